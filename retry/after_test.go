package retry_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/retry"
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 400_000_000, time.UTC)

func TestParseAfter(t *testing.T) {
	for _, c := range []struct {
		name, value string
		want        time.Duration // zero: not usable
	}{
		{"seconds", "120", 2 * time.Minute},
		{"one", "1", time.Second},
		{"leading zeros", "007", 7 * time.Second},
		{"spaces around", " \t5 ", 5 * time.Second},
		{"the longest usable", "86400", 24 * time.Hour},
		{"over 24 hours", "86401", 0},
		{"overflows a Duration", "9223372037", 0},
		{"overflows an int64", "9223372036854775808", 0},
		{"overflows to something small", "18446744073709551617", 0},
		{"many digits", strings.Repeat("9", 10_000), 0},
		{"zero", "0", 0},
		{"zeros", "000", 0},
		{"negative", "-5", 0},
		{"plus", "+5", 0},
		{"fraction", "1.5", 0},
		{"exponent", "1e3", 0},
		{"other digits", "٣", 0},
		{"inner space", "1 2", 0},
		{"empty", "", 0},
		{"words", "soon", 0},
		{"IMF-fixdate", "Mon, 23 Nov 2026 12:00:10 GMT", 9600 * time.Millisecond},
		{"RFC 850", "Monday, 23-Nov-26 12:00:10 GMT", 9600 * time.Millisecond},
		{"asctime", "Mon Nov 23 12:00:10 2026", 9600 * time.Millisecond},
		{"less than half a second ahead", "Mon, 23 Nov 2026 12:00:01 GMT", 600 * time.Millisecond},
		{"past", "Mon, 23 Nov 2026 11:59:59 GMT", 0},
		{"long past", "Thu, 01 Jan 1970 00:00:00 GMT", 0},
		{"day after tomorrow", "Wed, 25 Nov 2026 12:00:00 GMT", 0},
		{"year 9999", "Fri, 31 Dec 9999 23:59:59 GMT", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, ok := retry.ParseAfter(http.Header{"Retry-After": {c.value}}, now)
			require.Equal(t, c.want > 0, ok)
			if ok {
				require.Equal(t, c.want, d)
			}
		})
	}
	t.Run("none", func(t *testing.T) {
		_, ok := retry.ParseAfter(http.Header{}, now)
		require.False(t, ok)
		_, ok = retry.ParseAfter(nil, now)
		require.False(t, ok)
	})
	t.Run("the longest of several", func(t *testing.T) {
		d, ok := retry.ParseAfter(http.Header{"Retry-After": {"0", "7", "x", "3"}}, now)
		require.True(t, ok)
		require.Equal(t, 7*time.Second, d)
	})
	t.Run("by the clock of the sender", func(t *testing.T) {
		for _, skew := range []time.Duration{0, time.Hour, -time.Hour} {
			h := http.Header{
				"Date":        {now.Add(skew).Format(http.TimeFormat)},
				"Retry-After": {now.Add(skew + 30*time.Second).Format(http.TimeFormat)},
			}
			d, ok := retry.ParseAfter(h, now)
			require.True(t, ok)
			require.Equal(t, 30*time.Second, d)
		}
	})
}

func FuzzParseAfter(f *testing.F) {
	for _, s := range []string{"120", "-1", "9223372036854775808", "Mon, 23 Nov 2026 12:00:10 GMT", "Mon Nov 23 12:00:10 2026"} {
		f.Add(s, "")
		f.Add(s, "Monday, 23-Nov-26 12:00:00 GMT")
	}
	f.Fuzz(func(t *testing.T, after, date string) {
		d, ok := retry.ParseAfter(http.Header{"Retry-After": {after}, "Date": {date}}, now)
		if ok != (d > 0) || d < 0 || d > 24*time.Hour {
			t.Fatalf("ParseAfter(%q, %q) = %v, %v", after, date, d, ok)
		}
	})
}

func TestAfter(t *testing.T) {
	require.NoError(t, retry.After(time.Second, nil))
	require.Equal(t, refused, retry.After(0, refused))
	require.Equal(t, refused, retry.After(-time.Second, refused))

	err := retry.After(time.Second, refused)
	require.EqualError(t, err, "cause")
	require.Equal(t, outcome.Refused, outcome.Of(err))
	for _, c := range []struct {
		err  error
		want time.Duration
	}{
		{err, time.Second},
		{fmt.Errorf("x: %w", err), time.Second},
		{retry.Permanent(err), time.Second},
		{retry.After(time.Minute, err), time.Minute},
		{retry.After(time.Millisecond, err), time.Second},
		{errors.Join(errCause, err, retry.After(time.Hour, errCause)), time.Hour},
		{fmt.Errorf("%w and %w", err, errCause), time.Second},
		{errCause, 0},
		{errors.Join(errCause), 0},
		{nil, 0},
	} {
		d, ok := retry.AfterOf(c.err)
		require.Equal(t, c.want > 0, ok)
		require.Equal(t, c.want, d)
	}
}

func TestRetryAfterIsObeyedInFullOrNotAtAll(t *testing.T) {
	bubble(t, "never shortened, and the jitter only adds", func(t *testing.T) {
		seen := map[time.Duration]bool{}
		for range 100 {
			s := &script{errs: []error{retry.After(3*time.Second, refused)}}
			_, err := retry.Do(t.Context(), retry.Policy{}, s.op)
			require.NoError(t, err)
			d := s.gaps()[0]
			require.GreaterOrEqual(t, d, 3*time.Second)
			require.LessOrEqual(t, d, 3*time.Second+100*time.Millisecond)
			seen[d] = true
		}
		require.Greater(t, len(seen), 90, "clients told the same wait come back together")
	})
	bubble(t, "longer than allowed ends now and names the instant", func(t *testing.T) {
		s := always(retry.After(5*time.Minute+1, refused))
		began := time.Now()
		_, err := retry.Do(t.Context(), retry.Policy{}, s.op)
		require.Zero(t, time.Since(began))
		require.Len(t, s.calls, 1)
		require.ErrorIs(t, err, retry.ErrLater)
		require.ErrorIs(t, err, errCause)
		require.Equal(t, outcome.Refused, outcome.Of(err))
		e, ok := errors.AsType[*retry.Error](err)
		require.True(t, ok)
		require.False(t, e.At.Before(began.Add(5*time.Minute+1)), "coming back then is too early")
		require.Less(t, e.At.Sub(began), 5*time.Minute+2*time.Second)
		require.Contains(t, err.Error(), "2000-01-01T00:05:01Z")
		d, ok := retry.AfterOf(err)
		require.True(t, ok)
		require.Equal(t, 5*time.Minute+1, d)
	})
	bubble(t, "exactly as long as allowed is waited", func(t *testing.T) {
		s := &script{errs: []error{retry.After(5*time.Minute, refused)}}
		_, err := retry.Do(t.Context(), retry.Policy{}, s.op)
		require.NoError(t, err)
		require.GreaterOrEqual(t, s.gaps()[0], 5*time.Minute)
	})
	bubble(t, "of hours is never slept through", func(t *testing.T) {
		for _, d := range []time.Duration{time.Hour, 484289 * time.Hour, 1<<63 - 1} {
			began := time.Now()
			_, err := retry.Do(t.Context(), retry.Policy{}, always(retry.After(d, refused)).op)
			require.ErrorIs(t, err, retry.ErrLater)
			require.Zero(t, time.Since(began))
		}
	})
	bubble(t, "longer than the time left ends now and names the instant", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		began := time.Now()
		_, err := retry.Do(ctx, retry.Policy{}, always(retry.After(10*time.Second, refused)).op)
		require.ErrorIs(t, err, retry.ErrLater)
		require.Zero(t, time.Since(began))
		e, _ := errors.AsType[*retry.Error](err)
		require.Equal(t, began.Add(10*time.Second), e.At)
	})
	bubble(t, "that just fits is not spoiled by the jitter", func(t *testing.T) {
		for range 100 {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second+time.Millisecond)
			s := &script{errs: []error{retry.After(10*time.Second, refused)}}
			_, err := retry.Do(ctx, retry.Policy{Base: time.Second}, s.op)
			require.NoError(t, err)
			cancel()
		}
	})
	bubble(t, "none is waited for when MaxRetryAfter is negative", func(t *testing.T) {
		_, err := retry.Do(t.Context(), retry.Policy{MaxRetryAfter: -1}, always(retry.After(1, refused)).op)
		require.ErrorIs(t, err, retry.ErrLater)
	})
	bubble(t, "of zero is no hot loop", func(t *testing.T) {
		began := time.Now()
		for range 50 {
			_, _ = retry.Do(t.Context(), retry.Policy{}, always(retry.After(0, refused)).op)
		}
		require.Greater(t, time.Since(began), time.Second)
	})
}

func TestDelay(t *testing.T) {
	bubble(t, "grows to its limit", func(t *testing.T) {
		p := retry.Policy{Base: time.Second, Max: time.Minute}
		for n, limit := range map[int]time.Duration{
			-1: 1, 0: 1, 1: 1, 2: 2, 3: 4, 6: 32, 7: 60, 100: 60, 1 << 60: 60,
		} {
			var highest time.Duration
			for range 300 {
				d, err := p.Delay(n, errCause)
				require.NoError(t, err)
				require.GreaterOrEqual(t, d, time.Duration(0))
				highest = max(highest, d)
			}
			require.LessOrEqual(t, highest, limit*time.Second, "n = %d", n)
			require.Greater(t, highest, limit*time.Second*9/10, "n = %d", n)
		}
	})
	bubble(t, "obeys Retry-After", func(t *testing.T) {
		p := retry.Policy{MaxRetryAfter: time.Hour}
		d, err := p.Delay(1, retry.After(time.Hour, errCause))
		require.NoError(t, err)
		require.GreaterOrEqual(t, d, time.Hour)
		_, err = p.Delay(1, retry.After(time.Hour+1, timedOut))
		require.ErrorIs(t, err, retry.ErrLater)
		require.Equal(t, outcome.Unknown, outcome.Of(err))
	})
	bubble(t, "does not overflow", func(t *testing.T) {
		p := retry.Policy{MaxRetryAfter: 1<<63 - 1}
		d, err := p.Delay(1, retry.After(1<<63-1, errCause))
		require.NoError(t, err)
		require.Equal(t, time.Duration(1<<63-1), d)
	})
}

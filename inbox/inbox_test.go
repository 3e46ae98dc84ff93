package inbox_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/inbox"
	"github.com/crosstie/crosstie/internal/id"
	"github.com/crosstie/crosstie/outcome"
)

const day = 24 * time.Hour

var errBoom = errors.New("boom")

func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

// effect is a function that counts its runs.
type effect struct{ runs int }

func (e *effect) fn(context.Context, *sql.Tx) error {
	e.runs++
	return nil
}

func TestOnceInEffect(t *testing.T) {
	bubble(t, "a duplicate is a success", func(t *testing.T) {
		b := inbox.New("orders", inbox.NewMem(), nil)
		var e effect
		for range 1000 {
			require.NoError(t, b.Do(t.Context(), "msg_1", time.Now(), e.fn))
		}
		require.Equal(t, 1, e.runs)
	})
	bubble(t, "a failure leaves the id new", func(t *testing.T) {
		b := inbox.New("orders", inbox.NewMem(), nil)
		fail := outcome.TransientError(outcome.Refused, true, errBoom)
		err := b.Do(t.Context(), "msg_1", time.Now(), func(context.Context, *sql.Tx) error { return fail })
		require.Equal(t, fail, err, "fn's error comes back as it is")
		var e effect
		require.NoError(t, b.Do(t.Context(), "msg_1", time.Now(), e.fn))
		require.Equal(t, 1, e.runs)
	})
	bubble(t, "inboxes do not know each other", func(t *testing.T) {
		s := inbox.NewMem()
		var e effect
		for _, name := range []string{"a", "b"} {
			require.NoError(t, inbox.New(name, s, nil).Do(t.Context(), "msg_1", time.Now(), e.fn))
		}
		require.Equal(t, 2, e.runs)
	})
}

// Two copies that are handled at once are what most inboxes get wrong.
func TestConcurrentDuplicatesWait(t *testing.T) {
	bubble(t, "and are duplicates if the first succeeds", func(t *testing.T) {
		b := inbox.New("orders", inbox.NewMem(), nil)
		release := make(chan struct{})
		returned := 0
		var mu sync.Mutex
		for range 10 {
			go func() {
				err := b.Do(t.Context(), "msg_1", time.Now(), func(context.Context, *sql.Tx) error {
					<-release
					return nil
				})
				mu.Lock()
				defer mu.Unlock()
				returned++
				require.NoError(t, err)
			}()
		}
		synctest.Wait()
		mu.Lock()
		require.Zero(t, returned, "a duplicate was acknowledged before the effect")
		mu.Unlock()
		close(release)
		synctest.Wait()
		require.Equal(t, 10, returned)
	})
	bubble(t, "and one of them runs if the first fails", func(t *testing.T) {
		b := inbox.New("orders", inbox.NewMem(), nil)
		runs, failed, succeeded := 0, 0, 0
		var mu sync.Mutex
		for range 10 {
			go func() {
				err := b.Do(t.Context(), "msg_1", time.Now(), func(context.Context, *sql.Tx) error {
					time.Sleep(time.Second) // the others arrive meanwhile
					mu.Lock()
					defer mu.Unlock()
					if runs++; runs <= 3 {
						return errBoom
					}
					return nil
				})
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					failed++
				} else {
					succeeded++
				}
			}()
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, []int{4, 3, 7}, []int{runs, failed, succeeded})
	})
	bubble(t, "and one of them runs if the first panics", func(t *testing.T) {
		b := inbox.New("orders", inbox.NewMem(), nil)
		go func() {
			defer func() { require.Equal(t, "oh", recover()) }()
			_ = b.Do(t.Context(), "msg_1", time.Now(), func(context.Context, *sql.Tx) error {
				time.Sleep(time.Second)
				panic("oh")
			})
		}()
		synctest.Wait()
		var e effect
		require.NoError(t, b.Do(t.Context(), "msg_1", time.Now(), e.fn))
		require.Equal(t, 1, e.runs)
	})
	bubble(t, "no longer than their context", func(t *testing.T) {
		b := inbox.New("orders", inbox.NewMem(), nil)
		go func() {
			_ = b.Do(t.Context(), "msg_1", time.Now(), func(context.Context, *sql.Tx) error {
				time.Sleep(time.Hour)
				return nil
			})
		}()
		synctest.Wait()
		reason := errors.New("enough")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, reason)
		defer cancel()
		var e effect
		err := b.Do(ctx, "msg_1", time.Now(), e.fn)
		require.ErrorIs(t, err, reason)
		require.Zero(t, e.runs)
		require.True(t, outcome.NotApplied(err))
		require.NoError(t, b.Do(t.Context(), "msg_1", time.Now(), e.fn), "a duplicate once it has landed")
		require.Zero(t, e.runs)
	})
}

func TestTheWindow(t *testing.T) {
	for _, c := range []struct {
		name   string
		window time.Duration // as configured
		off    time.Duration // of at, from now
		want   error
	}{
		{"now", 0, 0, nil},
		{"as old as remembered", 0, -8 * day, nil},
		{"older", 0, -8*day - time.Millisecond, inbox.ErrTooOld},
		{"a clock ahead", 0, day, nil},
		{"a window ahead", 0, 8 * day, nil},
		{"more than a window ahead", 0, 8*day + time.Millisecond, inbox.ErrTooNew},
		{"a short window", time.Hour, -time.Hour - time.Millisecond, inbox.ErrTooOld},
		{"a short window, inside", time.Hour, -time.Hour, nil},
		{"a negative window is the default", -1, -8 * day, nil},
		{"the epoch", 0, -30 * 365 * day, inbox.ErrTooOld},
		{"an endless window", 1<<63 - 1, -200 * 365 * day, nil},
	} {
		bubble(t, c.name, func(t *testing.T) {
			b := inbox.New("orders", inbox.NewMem(), &inbox.Options{Window: c.window})
			var e effect
			at := time.Now().Add(c.off)
			err := b.Do(t.Context(), "msg_1", at, e.fn)
			if c.want == nil {
				require.NoError(t, err)
				require.Equal(t, 1, e.runs)
				return
			}
			require.ErrorIs(t, err, c.want)
			require.Zero(t, e.runs, "it was processed")
			got, ok := errors.AsType[*inbox.Error](err)
			require.True(t, ok)
			require.Equal(t, "msg_1", got.ID)
			require.True(t, got.At.Equal(at))
			require.Equal(t, got.Newest.Sub(got.Oldest)/2, time.Since(got.Oldest))
			require.Equal(t, outcome.Refused, outcome.Of(err))
			transient, said := outcome.Transient(err)
			require.True(t, said && !transient)
		})
	}
	bubble(t, "is named when it refuses", func(t *testing.T) {
		err := inbox.New("orders", inbox.NewMem(), nil).Do(t.Context(), "msg_1", time.Now().Add(-9*day), (&effect{}).fn)
		require.EqualError(t, err, `inbox: do: orders: "msg_1" made at 1999-12-23T00:00:00Z, not within `+
			"1999-12-24T00:00:00Z and 2000-01-09T00:00:00Z: "+inbox.ErrTooOld.Error())
	})
	bubble(t, "closes while the message is repeated", func(t *testing.T) {
		b := inbox.New("orders", inbox.NewMem(), nil)
		var e effect
		made := time.Now()
		for range 10 * 24 {
			err := b.Do(t.Context(), "msg_1", made, e.fn)
			if time.Since(made) > 8*day {
				require.ErrorIs(t, err, inbox.ErrTooOld)
			} else {
				require.NoError(t, err)
			}
			_, err = b.Forget(t.Context())
			require.NoError(t, err)
			time.Sleep(time.Hour)
		}
		require.Equal(t, 1, e.runs)
	})
}

func TestAZeroTime(t *testing.T) {
	bubble(t, "is the time inside our ids", func(t *testing.T) {
		b := inbox.New("orders", inbox.NewMem(), nil)
		ours := id.New()
		time.Sleep(8*day + time.Second)
		var e effect
		require.ErrorIs(t, b.Do(t.Context(), ours, time.Time{}, e.fn), inbox.ErrTooOld)
		require.NoError(t, b.Do(t.Context(), id.New(), time.Time{}, e.fn))
		require.Equal(t, 1, e.runs)
	})
	bubble(t, "is the first sight of other ids", func(t *testing.T) {
		b := inbox.New("orders", inbox.NewMem(), nil)
		var e effect
		for range 8 { // repeated daily, and forgotten a window after the first
			require.NoError(t, b.Do(t.Context(), "msg_1", time.Time{}, e.fn))
			time.Sleep(day)
			_, err := b.Forget(t.Context())
			require.NoError(t, err)
		}
		require.Equal(t, 1, e.runs)
		time.Sleep(time.Second)
		n, err := b.Forget(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, 1, n)
	})
}

func TestForget(t *testing.T) {
	bubble(t, "deletes what the window has passed over", func(t *testing.T) {
		b := inbox.New("orders", inbox.NewMem(), nil)
		var e effect
		for i := range 10 {
			require.NoError(t, b.Do(t.Context(), fmt.Sprint("msg_", i), time.Now(), e.fn))
			time.Sleep(day)
		}
		n, err := b.Forget(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, 2, n)
	})
	bubble(t, "keeps what it forgot refused when the window grows", func(t *testing.T) {
		s := inbox.NewMem()
		var e effect
		made := time.Now()
		require.NoError(t, inbox.New("orders", s, nil).Do(t.Context(), "msg_1", made, e.fn))
		time.Sleep(9 * day)
		n, err := inbox.New("orders", s, nil).Forget(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, 1, n)
		wider := inbox.New("orders", s, &inbox.Options{Window: 30 * day})
		require.ErrorIs(t, wider.Do(t.Context(), "msg_1", made, e.fn), inbox.ErrTooOld)
		require.Equal(t, 1, e.runs)
	})
	bubble(t, "keeps what is being processed", func(t *testing.T) {
		b := inbox.New("orders", inbox.NewMem(), nil)
		made := time.Now()
		var e effect
		require.NoError(t, b.Do(t.Context(), "msg_1", made, func(ctx context.Context, tx *sql.Tx) error {
			time.Sleep(9 * day)
			n, err := b.Forget(ctx)
			require.NoError(t, err)
			require.Zero(t, n)
			return e.fn(ctx, tx)
		}))
		require.ErrorIs(t, b.Do(t.Context(), "msg_1", made, e.fn), inbox.ErrTooOld)
		require.Equal(t, 1, e.runs)
	})
}

func TestIDs(t *testing.T) {
	b := inbox.New("orders", inbox.NewMem(), nil)
	for name, c := range map[string]struct {
		id string
		ok bool
	}{
		"one character":       {"1", true},
		"every character":     {`!"#$%&'()*+,-./09:;<=>?@AZ[\]^_` + "`az{|}~", true},
		"256 bytes":           {strings.Repeat("x", 256), true},
		"257 bytes":           {strings.Repeat("x", 257), false},
		"empty":               {"", false},
		"space":               {"a b", false},
		"trailing space":      {"a ", false},
		"NUL":                 {"a\x00", false},
		"line end":            {"a\r\nb", false},
		"DEL":                 {"a\x7f", false},
		"another alphabet":    {"größe", false},
		"no UTF-8":            {"a\xff", false},
		"very long and dirty": {strings.Repeat("\x1b", 1<<20), false},
	} {
		t.Run(name, func(t *testing.T) {
			var e effect
			err := b.Do(t.Context(), c.id, time.Now(), e.fn)
			if c.ok {
				require.NoError(t, err)
				require.Equal(t, 1, e.runs)
				return
			}
			require.ErrorIs(t, err, inbox.ErrID)
			require.Zero(t, e.runs)
			require.Less(t, len(err.Error()), 500)
			for _, r := range err.Error() {
				require.True(t, r >= ' ' && r <= '~', "%q", err.Error())
			}
			_, err = b.Once(t.Context(), nil, c.id, time.Now())
			require.ErrorIs(t, err, inbox.ErrID)
		})
	}
}

func TestNewPanicsOnMistakes(t *testing.T) {
	s := inbox.NewMem()
	require.Panics(t, func() { inbox.New("", s, nil) })
	require.Panics(t, func() { inbox.New("a b", s, nil) })
	require.Panics(t, func() { inbox.New("orders", nil, nil) })
}

// failing is a store whose every answer is an error.
type failing struct {
	inbox.Store
	err error
}

func (f failing) Do(context.Context, string, string, time.Time, func(context.Context, *sql.Tx) error) (bool, error) {
	return false, f.err
}

func (f failing) Once(context.Context, *sql.Tx, string, string, time.Time) (bool, error) {
	return true, f.err
}

func (f failing) Forget(context.Context, string, time.Time) (int64, error) { return 0, f.err }

func TestErrorsOfTheStore(t *testing.T) {
	for _, c := range []struct {
		err       error
		want      outcome.Outcome
		transient bool
	}{
		{errBoom, outcome.Unknown, true},
		{outcome.Error(outcome.Refused, errBoom), outcome.Refused, true},
		{outcome.TransientError(outcome.Refused, false, errBoom), outcome.Refused, false},
		{fmt.Errorf("%w: %w", inbox.ErrTooOld, errBoom), outcome.Refused, false},
	} {
		b := inbox.New("orders", failing{err: c.err}, nil)
		first, onceErr := b.Once(t.Context(), new(sql.Tx), "msg_1", time.Now())
		require.False(t, first)
		_, forgetErr := b.Forget(t.Context())
		doErr := b.Do(t.Context(), "msg_1", time.Now(), (&effect{}).fn)
		for op, err := range map[string]error{"do": doErr, "once": onceErr, "forget": forgetErr} {
			for _, err := range []error{err, fmt.Errorf("wrapped: %w", err), errors.Join(err)} {
				require.ErrorIs(t, err, errBoom)
				e, ok := errors.AsType[*inbox.Error](err)
				require.True(t, ok)
				require.Equal(t, op, e.Op)
				require.True(t, strings.HasPrefix(e.Error(), "inbox: "+op+": orders: "))
				require.Equal(t, c.want, outcome.Of(err))
				transient, said := outcome.Transient(err)
				require.True(t, said)
				require.Equal(t, c.transient, transient)
			}
		}
	}
}

// commits is a store that runs fn, and fails when it commits.
type commits struct {
	failing
}

func (f commits) Do(ctx context.Context, _, _ string, _ time.Time, fn func(context.Context, *sql.Tx) error) (bool, error) {
	_ = fn(ctx, nil) // fails, and is run again as the database asked
	if err := fn(ctx, nil); err != nil {
		return false, fmt.Errorf("rolled back: %w", err)
	}
	return false, f.err
}

func TestALostCommitIsUnknown(t *testing.T) {
	lost := outcome.TransientError(outcome.Unknown, true, errors.New("connection lost during COMMIT"))
	b := inbox.New("orders", commits{failing{err: lost}}, nil)
	runs := 0
	err := b.Do(t.Context(), "msg_1", time.Now(), func(context.Context, *sql.Tx) error {
		if runs++; runs == 1 {
			return errBoom
		}
		return nil
	})
	require.ErrorIs(t, err, lost)
	require.NotErrorIs(t, err, errBoom, "the last run counts")
	require.Equal(t, outcome.Unknown, outcome.Of(err))

	err = b.Do(t.Context(), "msg_1", time.Now(), func(context.Context, *sql.Tx) error { return errBoom })
	require.Equal(t, errBoom, err)
}

func TestOnceNeedsATransaction(t *testing.T) {
	b := inbox.New("orders", inbox.NewMem(), nil)
	_, err := b.Once(t.Context(), nil, "msg_1", time.Now())
	require.ErrorIs(t, err, inbox.ErrNoTx)
	_, err = b.Once(t.Context(), new(sql.Tx), "msg_1", time.Now())
	require.ErrorIs(t, err, inbox.ErrNoTx)
	require.Equal(t, outcome.Refused, outcome.Of(err))
	var e effect
	require.NoError(t, b.Do(t.Context(), "msg_1", time.Now(), e.fn), "a refused Once records nothing")
	require.Equal(t, 1, e.runs)
}

func FuzzID(f *testing.F) {
	f.Add("msg_1", int64(0))
	f.Add("", int64(1<<62))
	f.Add("017f22e2-79b0-7cc3-98c4-dc0c0c07398f", int64(-1))
	f.Fuzz(func(t *testing.T, msg string, at int64) {
		b := inbox.New("orders", inbox.NewMem(), nil)
		var e effect
		for range 2 {
			err := b.Do(t.Context(), msg, time.UnixMilli(at), e.fn)
			if (err == nil) != (e.runs == 1) {
				t.Fatalf("Do(%q, %d) = %v after %d runs", msg, at, err, e.runs)
			}
			if err != nil && outcome.Of(err) != outcome.Refused {
				t.Fatalf("Do(%q, %d) = %v", msg, at, err)
			}
		}
	})
}

func BenchmarkDo(b *testing.B) {
	box := inbox.New("orders", inbox.NewMem(), nil)
	fn := func(context.Context, *sql.Tx) error { return nil }
	ids := make([]string, 1<<16)
	for i := range ids {
		ids[i] = id.New()
	}
	b.Run("first", func(b *testing.B) {
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			if i%len(ids) == 0 {
				box = inbox.New("orders", inbox.NewMem(), nil)
			}
			_ = box.Do(b.Context(), ids[i%len(ids)], time.Time{}, fn)
			i++
		}
	})
	b.Run("duplicate", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = box.Do(b.Context(), ids[0], time.Time{}, fn)
		}
	})
}

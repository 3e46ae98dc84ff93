package retry_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/retry"
)

var (
	errCause  = errors.New("cause")
	refused   = outcome.TransientError(outcome.Refused, true, errCause) // a 429
	notSent   = outcome.TransientError(outcome.NotSent, true, errCause) // no connection
	timedOut  = outcome.TransientError(outcome.Unknown, true, errCause) // a 504
	forbidden = outcome.TransientError(outcome.Refused, false, errCause)
	cutShort  = outcome.Error(outcome.Applied, errCause) // a 2xx whose body broke off
)

// script is an op that fails with each error in turn and then succeeds.
type script struct {
	errs  []error
	calls []time.Time
}

func (s *script) op(context.Context) (int, error) {
	s.calls = append(s.calls, time.Now())
	if n := len(s.calls); n <= len(s.errs) {
		return -1, s.errs[n-1]
	}
	return len(s.calls), nil
}

func always(err error) *script {
	s := &script{}
	for range 100 {
		s.errs = append(s.errs, err)
	}
	return s
}

// gaps returns the waits between the calls.
func (s *script) gaps() []time.Duration {
	var ds []time.Duration
	for i := 1; i < len(s.calls); i++ {
		ds = append(ds, s.calls[i].Sub(s.calls[i-1]))
	}
	return ds
}

func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

func TestWhatIsRepeated(t *testing.T) {
	plain := errCause
	for _, c := range []struct {
		name           string
		err            error
		do, idempotent bool // repeated by
	}{
		{"refused for now", refused, true, true},
		{"not sent", notSent, true, true},
		{"unknown", timedOut, false, true},
		{"refused for good", forbidden, false, false},
		{"applied, unclassified", cutShort, false, true},
		{"not sent, unclassified", outcome.Error(outcome.NotSent, errCause), false, true},
		{"unknown for good", outcome.TransientError(outcome.Unknown, false, errCause), false, false},
		{"unclassified", plain, false, true},
		{"permanent", retry.Permanent(plain), false, false},
		{"permanent inside", fmt.Errorf("op: %w", retry.Permanent(refused)), false, false},
		{"permanent, then marked transient", outcome.TransientError(outcome.Refused, true, retry.Permanent(plain)), false, false},
		{"refused, come back", retry.After(time.Second, outcome.Error(outcome.Refused, plain)), true, true},
		{"unknown, come back", retry.After(time.Second, plain), false, true},
		{"refused for good, come back", retry.After(time.Second, forbidden), false, false},
		{"join of refused", errors.Join(refused, refused), true, true},
		{"join of refused and unknown", errors.Join(refused, timedOut), false, true},
		{"deadline of the attempt", context.DeadlineExceeded, false, true},
	} {
		bubble(t, c.name, func(t *testing.T) {
			for _, way := range []struct {
				do   func(context.Context, retry.Policy, func(context.Context) (int, error)) (int, error)
				want bool
			}{{retry.Do[int], c.do}, {retry.DoIdempotent[int], c.idempotent}} {
				s := &script{errs: []error{c.err}}
				v, err := way.do(t.Context(), retry.Policy{}, s.op)
				if way.want {
					require.NoError(t, err)
					require.Equal(t, 2, v)
				} else {
					require.Equal(t, c.err, err, "the first error comes back as it is")
					require.Zero(t, v)
					require.Len(t, s.calls, 1)
				}
			}
		})
	}
}

func TestAttemptsEnd(t *testing.T) {
	for _, c := range []struct{ max, want int }{{0, 4}, {1, 1}, {2, 2}, {7, 7}, {-1, 1}, {-1 << 62, 1}} {
		bubble(t, fmt.Sprint(c.max), func(t *testing.T) {
			s := always(refused)
			_, err := retry.Do(t.Context(), retry.Policy{MaxAttempts: c.max}, s.op)
			require.Len(t, s.calls, c.want)
			require.ErrorIs(t, err, retry.ErrAttempts)
			require.ErrorIs(t, err, errCause)
			e, ok := errors.AsType[*retry.Error](fmt.Errorf("wrapped: %w", err))
			require.True(t, ok)
			require.Equal(t, c.want, e.Attempts)
			require.Equal(t, outcome.Refused, outcome.Of(err))
			require.True(t, e.At.IsZero())
		})
	}
}

// The last error alone may be of an attempt that changed nothing, while one
// before it did.
func TestTheOutcomeIsTheWorstOfAllAttempts(t *testing.T) {
	for _, c := range []struct {
		name string
		errs []error
		want outcome.Outcome
	}{
		{"unknown, then not sent", []error{timedOut, notSent}, outcome.Unknown},
		{"unknown, then refused for good", []error{timedOut, forbidden}, outcome.Unknown},
		{"applied, then unknown", []error{cutShort, timedOut, timedOut}, outcome.Applied},
		{"not sent, then refused", []error{notSent, refused}, outcome.Refused},
		{"not sent", []error{notSent, notSent}, outcome.NotSent},
	} {
		bubble(t, c.name, func(t *testing.T) {
			s := &script{errs: c.errs}
			_, err := retry.DoIdempotent(t.Context(), retry.Policy{MaxAttempts: len(c.errs)}, s.op)
			require.Equal(t, c.want, outcome.Of(err))
			require.Equal(t, c.want, outcome.Of(errors.Join(err)))
		})
	}
}

func TestFullJitter(t *testing.T) {
	p := retry.Policy{MaxAttempts: 9, Base: 100 * time.Millisecond, Max: time.Second}
	limits := []time.Duration{100, 200, 400, 800, 1000, 1000, 1000, 1000}
	synctest.Test(t, func(t *testing.T) {
		var lowest, highest [8]time.Duration
		const rounds = 400
		for i := range lowest {
			lowest[i] = time.Hour
		}
		for range rounds {
			s := always(refused)
			_, err := retry.Do(t.Context(), p, s.op)
			require.ErrorIs(t, err, retry.ErrAttempts)
			for i, d := range s.gaps() {
				lowest[i], highest[i] = min(lowest[i], d), max(highest[i], d)
			}
		}
		for i, limit := range limits {
			limit *= time.Millisecond
			require.LessOrEqual(t, highest[i], limit, "wait %d", i+1)
			// All of 400 missing a tenth of the range: once in 10^18.
			require.Greater(t, highest[i], limit*9/10, "wait %d", i+1)
			require.Less(t, lowest[i], limit/10, "wait %d", i+1)
		}
	})
}

func TestABaseAboveMaxIsJitterUpToMax(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lowest, highest := time.Hour, time.Duration(0)
		for range 400 {
			d, err := retry.Policy{Base: time.Hour, Max: time.Second}.Delay(1, errCause)
			require.NoError(t, err)
			lowest, highest = min(lowest, d), max(highest, d)
		}
		require.Less(t, lowest, time.Second/10)
		require.Greater(t, highest, time.Second*9/10)
		require.LessOrEqual(t, highest, time.Second)
	})
}

func TestDefaultsOfTheSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var highest [3]time.Duration
		for range 400 {
			s := always(refused)
			_, _ = retry.Do(t.Context(), retry.Policy{}, s.op)
			for i, d := range s.gaps() {
				highest[i] = max(highest[i], d)
			}
		}
		for i, limit := range []time.Duration{100, 200, 400} {
			limit *= time.Millisecond
			require.LessOrEqual(t, highest[i], limit)
			require.Greater(t, highest[i], limit*9/10)
		}
	})
}

func TestSillyPoliciesHaveAMeaning(t *testing.T) {
	const least = -1 << 63
	for name, p := range map[string]retry.Policy{
		"negative Base":     {Base: -1},
		"negative Max":      {Max: least},
		"all negative":      {Base: least, Max: least, MaxRetryAfter: least, MaxAttempts: 4},
		"a nanosecond":      {Base: 1, Max: 1},
		"Base above Max":    {Base: time.Hour, Max: time.Nanosecond},
		"a negative budget": {Base: -1, Budget: retry.NewBudget(0.5, -1)},
	} {
		bubble(t, name, func(t *testing.T) {
			s := &script{errs: []error{refused, refused, refused}}
			began := time.Now()
			_, err := retry.Do(t.Context(), p, s.op)
			require.NoError(t, err)
			require.Len(t, s.calls, 4)
			require.LessOrEqual(t, time.Since(began), 3*time.Nanosecond)
		})
	}
	bubble(t, "for ever", func(t *testing.T) {
		s := &script{errs: []error{refused, refused, refused}}
		p := retry.Policy{Base: 1<<63 - 1, Max: 1<<63 - 1, MaxRetryAfter: 1<<63 - 1}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		_, err := retry.Do(ctx, p, s.op)
		require.ErrorIs(t, err, retry.ErrDeadline)
	})
}

func TestTheDeadlineIsNeverSleptPast(t *testing.T) {
	bubble(t, "returns at once with the last error", func(t *testing.T) {
		for range 50 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			began := time.Now()
			s := always(refused)
			_, err := retry.Do(ctx, retry.Policy{MaxAttempts: 1000, Base: time.Hour, Max: time.Hour}, s.op)
			require.ErrorIs(t, err, retry.ErrDeadline)
			require.ErrorIs(t, err, errCause)
			require.NotErrorIs(t, err, context.DeadlineExceeded)
			require.NoError(t, ctx.Err(), "it waited for the deadline")
			require.Equal(t, s.calls[len(s.calls)-1].Sub(began), time.Since(began), "it waited after the last attempt")
			cancel()
		}
	})
	// backoff v4's MaxElapsedTime makes the first attempt's own duration
	// count against repeating it; a deadline far away must not.
	bubble(t, "a long first attempt is repeated", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		n := 0
		_, err := retry.Do(ctx, retry.Policy{}, func(context.Context) (int, error) {
			if n++; n == 1 {
				time.Sleep(50 * time.Minute)
				return 0, refused
			}
			return 0, nil
		})
		require.NoError(t, err)
	})
}

// endsSilently has ended at an instant, but a select never learns of it first.
type endsSilently struct {
	context.Context
	at time.Time
}

func (c endsSilently) Err() error {
	if time.Now().Before(c.at) {
		return nil
	}
	return context.Canceled
}

func slowly(n *int) (int, error) {
	*n++
	time.Sleep(11 * time.Second)
	return 0, errCause
}

// What backoff does in these places, and ours does not: see the tests around.
func TestBackoffEndsWithoutAWord(t *testing.T) {
	bubble(t, "backoff: the first attempt used up the time for repeats", func(t *testing.T) {
		b := backoff.NewExponentialBackOff()
		b.MaxElapsedTime = 10 * time.Second
		n := 0
		_, err := backoff.RetryWithData(func() (int, error) { return slowly(&n) }, b)
		require.Equal(t, errCause, err, "nothing says why there was one attempt")
		require.Equal(t, 1, n)
		n = 0
		for range 100 { // and who waits by hand takes its end for a wait
			n++
			time.Sleep(b.NextBackOff())
		}
		require.Equal(t, 100, n)
		require.Equal(t, backoff.Stop, b.NextBackOff())
	})
	bubble(t, "ours repeats, and says why it ends", func(t *testing.T) {
		n := 0
		_, err := retry.Do(t.Context(), retry.Policy{}, func(context.Context) (int, error) {
			v, err := slowly(&n)
			return v, outcome.TransientError(outcome.Refused, true, err)
		})
		require.Equal(t, 4, n)
		require.ErrorIs(t, err, retry.ErrAttempts)
		d, err := retry.Policy{}.Delay(1000, errCause)
		require.NoError(t, err)
		require.GreaterOrEqual(t, d, time.Duration(0))
	})
}

func TestBackoffGoesOnAfterTheCancel(t *testing.T) {
	late := 0
	for range 200 {
		ctx, cancel := context.WithCancel(t.Context())
		_ = backoff.RetryNotify(func() error {
			if ctx.Err() != nil {
				late++
			}
			return errCause
		}, backoff.WithContext(&backoff.ZeroBackOff{}, ctx), func(error, time.Duration) { cancel() })
	}
	require.NotZero(t, late, "backoff: attempts after the cancel")

	late = 0
	for range 200 {
		ctx, cancel := context.WithCancel(t.Context())
		_, err := retry.DoIdempotent(ctx, retry.Policy{Base: -1}, func(context.Context) (int, error) {
			if ctx.Err() != nil {
				late++
			}
			return 0, cancels{cancel}
		})
		require.ErrorIs(t, err, context.Canceled)
	}
	require.Zero(t, late)
}

// cancels is an error that ends its caller's context when it is looked at,
// after the attempt and before the next.
type cancels struct{ cancel context.CancelFunc }

func (cancels) Error() string              { return "cause" }
func (c cancels) Outcome() outcome.Outcome { c.cancel(); return outcome.Unknown }
func (cancels) Transient() bool            { return true }

func TestCancel(t *testing.T) {
	reason := errors.New("the user left")
	bubble(t, "during the wait starts no other attempt", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Minute, func() { cancel(reason) })
		s := &script{errs: []error{retry.After(2*time.Minute, refused)}}
		began := time.Now()
		_, err := retry.Do(ctx, retry.Policy{}, s.op)
		require.Equal(t, time.Minute, time.Since(began))
		require.Len(t, s.calls, 1)
		require.ErrorIs(t, err, reason)
		require.ErrorIs(t, err, errCause)
		require.Equal(t, outcome.Refused, outcome.Of(err))
	})
	bubble(t, "at the very instant the wait ends starts no other attempt", func(t *testing.T) {
		ctx := endsSilently{context.Background(), time.Now().Add(time.Minute)}
		s := &script{errs: []error{retry.After(time.Minute, refused)}}
		_, err := retry.Do(ctx, retry.Policy{Base: -1}, s.op)
		require.Len(t, s.calls, 1)
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, err, errCause)
	})
	bubble(t, "during an attempt ends the call", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		calls := 0
		_, err := retry.DoIdempotent(ctx, retry.Policy{}, func(context.Context) (int, error) {
			calls++
			cancel(reason)
			return 0, timedOut
		})
		require.Equal(t, 1, calls)
		require.ErrorIs(t, err, reason)
		require.ErrorIs(t, err, errCause)
		require.Equal(t, outcome.Unknown, outcome.Of(err))
	})
	bubble(t, "that the attempt reports itself is said once", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		_, err := retry.DoIdempotent(ctx, retry.Policy{}, func(ctx context.Context) (int, error) {
			cancel()
			return 0, fmt.Errorf("op: %w", ctx.Err())
		})
		require.EqualError(t, err, "op: context canceled")
	})
	bubble(t, "an attempt that succeeds all the same has succeeded", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		v, err := retry.Do(ctx, retry.Policy{}, func(context.Context) (int, error) {
			cancel()
			return 7, nil
		})
		require.NoError(t, err)
		require.Equal(t, 7, v)
	})
	bubble(t, "before the first attempt makes none", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(reason)
		s := &script{}
		_, err := retry.Do(ctx, retry.Policy{}, s.op)
		require.Empty(t, s.calls)
		require.ErrorIs(t, err, reason)
		require.Equal(t, outcome.NotSent, outcome.Of(err))
	})
	bubble(t, "a deadline of the caller is not taken for the attempt's", func(t *testing.T) {
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, reason)
		defer cancel()
		calls := 0
		_, err := retry.DoIdempotent(ctx, retry.Policy{}, func(ctx context.Context) (int, error) {
			calls++
			<-ctx.Done()
			return 0, ctx.Err()
		})
		require.Equal(t, 1, calls)
		require.ErrorIs(t, err, reason)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestAttemptsIsTheSameLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := retry.Policy{MaxAttempts: 3}.Begin(true)
		require.Equal(t, 3, a.Left())
		require.NoError(t, a.Next(t.Context(), timedOut))
		require.Equal(t, 2, a.Left())
		require.Equal(t, 1, a.Made())
		require.NoError(t, a.Next(t.Context(), refused))
		err := a.Next(t.Context(), notSent)
		require.ErrorIs(t, err, retry.ErrAttempts)
		require.Equal(t, outcome.Unknown, outcome.Of(err))
		require.NoError(t, a.Next(t.Context(), nil))
	})
}

func TestErrorsSurviveWrapping(t *testing.T) {
	for _, reason := range []error{retry.ErrAttempts, retry.ErrBudget, retry.ErrDeadline, retry.ErrLater} {
		e := &retry.Error{Attempts: 2, Reason: reason, Err: errCause}
		for _, err := range []error{e, fmt.Errorf("wrapped: %w", e), errors.Join(errors.New("other"), e)} {
			require.ErrorIs(t, err, reason)
			require.ErrorIs(t, err, errCause)
			got, ok := errors.AsType[*retry.Error](err)
			require.True(t, ok)
			require.Same(t, e, got)
		}
	}
	require.Empty(t, (&retry.Error{}).Unwrap())
	require.EqualError(t, &retry.Error{Attempts: 4, Reason: retry.ErrAttempts, Err: errCause},
		"retry: attempt 4: no attempt is left: the policy allows no more: cause")
	require.True(t, retry.IsPermanent(errors.Join(errCause, fmt.Errorf("x: %w", retry.Permanent(errCause)))))
	require.False(t, retry.IsPermanent(errCause))
	require.False(t, retry.IsPermanent(nil))
	require.NoError(t, retry.Permanent(nil))
	require.EqualError(t, retry.Permanent(errCause), "cause")
	require.Equal(t, outcome.Refused, outcome.Of(retry.Permanent(refused)))
	transient, said := outcome.Transient(retry.Permanent(refused))
	require.True(t, said && !transient, "what does not know this package learns it, too")
}

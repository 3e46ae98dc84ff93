package requestreply_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/retry"
)

var (
	errBoom    = errors.New("boom")
	errUnsent  = outcome.TransientError(outcome.NotSent, true, errors.New("no route"))
	errRefused = outcome.TransientError(outcome.Refused, false, errors.New("bad order"))
	errLost    = outcome.TransientError(outcome.Unknown, true, errors.New("reset"))
)

// op returns a function that fails with errs in turn and then succeeds, and a
// counter of its calls.
func op(errs ...error) (func(context.Context) (int, error), *int) {
	n := 0
	return func(context.Context) (int, error) {
		n++
		if n <= len(errs) {
			return n, errs[n-1]
		}
		return n, nil
	}, &n
}

func asError(t *testing.T, err error) *requestreply.Error {
	t.Helper()
	e, ok := errors.AsType[*requestreply.Error](err)
	require.True(t, ok, "%v", err)
	return e
}

// inBubble runs fn as a subtest under synctest.
func inBubble(t *testing.T, name string, fn func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, fn) })
}

func TestRepeats(t *testing.T) {
	for _, c := range []struct {
		name       string
		idempotent bool
		errs       []error
		calls      int
		known      outcome.Outcome // of the error; Applied means there is none
	}{
		{"no failure", false, nil, 1, outcome.Applied},
		{"not sent is repeated", false, []error{errUnsent}, 2, outcome.Applied},
		{"unknown is not", false, []error{errLost}, 1, outcome.Unknown},
		{"unknown of an idempotent op is", true, []error{errLost}, 2, outcome.Applied},
		{"a refusal is not", true, []error{errRefused}, 1, outcome.Refused},
		{"what says nothing is not", false, []error{errBoom}, 1, outcome.Unknown},
		{"what says nothing of an idempotent op is", true, []error{errBoom}, 2, outcome.Applied},
		{"permanent is not", true, []error{retry.Permanent(errLost)}, 1, outcome.Unknown},
		{"attempts end", true, []error{errLost, errLost, errLost, errLost, errLost}, 4, outcome.Unknown},
		{"a possible effect is not forgotten", true, []error{errLost, errUnsent, errRefused}, 3, outcome.Unknown},
		{"nor is one that happened", true, []error{outcome.TransientError(outcome.Applied, true, errBoom), errUnsent, errUnsent, errUnsent}, 4, outcome.Applied},
	} {
		inBubble(t, c.name, func(t *testing.T) {
			fn, calls := op(c.errs...)
			for _, g := range []*requestreply.Guard{nil, requestreply.NewGuard(nil)} {
				*calls = 0
				v, err := requestreply.Run(t.Context(), g, requestreply.Op{Idempotent: c.idempotent}, fn)
				require.Equal(t, c.calls, *calls)
				require.Equal(t, c.calls, v, "the last value comes along")
				if c.calls > len(c.errs) {
					require.NoError(t, err)
					continue
				}
				e := asError(t, err)
				require.Equal(t, c.known, outcome.Of(err))
				require.Equal(t, c.calls, e.Attempts)
				require.ErrorIs(t, err, c.errs[c.calls-1])
			}
		})
	}
}

// hang waits for the end of its context.
func hang(ctx context.Context) (int, error) {
	<-ctx.Done()
	return 0, ctx.Err()
}

func TestTimeLimits(t *testing.T) {
	inBubble(t, "each attempt has its own, all have one", func(t *testing.T) {
		g := requestreply.NewGuard(&requestreply.Options{Timeout: 5 * time.Second, TryTimeout: 2 * time.Second})
		start := time.Now()
		var at []time.Duration
		_, err := requestreply.Run(t.Context(), g, requestreply.Op{Idempotent: true}, func(ctx context.Context) (int, error) {
			at = append(at, time.Since(start))
			return hang(ctx)
		})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Len(t, at, 3)
		require.LessOrEqual(t, time.Since(start), 5*time.Second)
		require.Greater(t, time.Since(start), 4*time.Second, "the time left is used")
		require.Equal(t, outcome.Unknown, outcome.Of(err))
	})
	inBubble(t, "the caller's deadline counts", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, err := requestreply.Run(ctx, nil, requestreply.Op{Idempotent: true}, hang)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(start))
	})
	inBubble(t, "no wait passes the deadline", func(t *testing.T) {
		g := requestreply.NewGuard(&requestreply.Options{
			Timeout: time.Second, Retry: retry.Policy{Base: time.Hour, Max: time.Hour},
		})
		start := time.Now()
		_, err := requestreply.Run(t.Context(), g, requestreply.Op{Idempotent: true}, func(context.Context) (int, error) { return 0, errLost })
		require.ErrorIs(t, err, retry.ErrDeadline)
		require.ErrorIs(t, err, errLost, "the last error is kept")
		require.Zero(t, time.Since(start), "it ends at once")
	})
	inBubble(t, "a Retry-After longer than the time left ends the call and names the instant", func(t *testing.T) {
		g := requestreply.NewGuard(&requestreply.Options{Timeout: 10 * time.Second})
		start := time.Now()
		_, err := requestreply.Run(t.Context(), g, requestreply.Op{}, func(context.Context) (int, error) {
			return 0, retry.After(time.Minute, errUnsent)
		})
		require.ErrorIs(t, err, retry.ErrLater)
		require.Zero(t, time.Since(start))
		require.GreaterOrEqual(t, asError(t, err).At.Sub(start), time.Minute)
	})
	inBubble(t, "no limits", func(t *testing.T) {
		g := requestreply.NewGuard(&requestreply.Options{Timeout: -1, TryTimeout: -1})
		_, err := requestreply.Run(t.Context(), g, requestreply.Op{}, func(ctx context.Context) (int, error) {
			_, limited := ctx.Deadline()
			require.False(t, limited)
			time.Sleep(24 * time.Hour)
			return 0, nil
		})
		require.NoError(t, err)
	})
	inBubble(t, "one limit", func(t *testing.T) {
		for _, o := range []requestreply.Options{{Timeout: -1, TryTimeout: 3 * time.Second}, {Timeout: 3 * time.Second, TryTimeout: -1}} {
			start := time.Now()
			_, err := requestreply.Run(t.Context(), requestreply.NewGuard(&o), requestreply.Op{}, hang)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, 3*time.Second, time.Since(start))
		}
	})
	inBubble(t, "the attempt's context ends with it", func(t *testing.T) {
		var kept context.Context
		_, err := requestreply.Run(t.Context(), nil, requestreply.Op{}, func(ctx context.Context) (int, error) {
			kept = ctx
			return 0, nil
		})
		require.NoError(t, err)
		require.ErrorIs(t, kept.Err(), context.Canceled)
	})
}

func TestCancelled(t *testing.T) {
	inBubble(t, "before the first attempt", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errBoom)
		fn, calls := op()
		_, err := requestreply.Run(ctx, nil, requestreply.Op{}, fn)
		require.ErrorIs(t, err, errBoom)
		require.Equal(t, outcome.NotSent, outcome.Of(err))
		require.Zero(t, *calls)
		require.Zero(t, asError(t, err).Attempts)
	})
	inBubble(t, "while waiting for the next", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		g := requestreply.NewGuard(&requestreply.Options{Retry: retry.Policy{Base: 10 * time.Second, Max: 10 * time.Second}})
		calls := 0
		_, err := requestreply.Run(ctx, g, requestreply.Op{Idempotent: true}, func(context.Context) (int, error) {
			calls++
			time.AfterFunc(0, cancel)
			return 0, errLost
		})
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, err, errLost)
		require.Equal(t, 1, calls)
	})
}

func TestPanic(t *testing.T) {
	g := requestreply.NewGuard(&requestreply.Options{MaxInFlight: 1, MaxQueue: -1})
	require.PanicsWithValue(t, "boom", func() {
		_, _ = requestreply.Run(t.Context(), g, requestreply.Op{}, func(context.Context) (int, error) { panic("boom") })
	})
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _ = requestreply.Run(t.Context(), g, requestreply.Op{}, func(context.Context) (int, error) { runtime.Goexit(); return 0, nil })
	})
	wg.Wait()
	fn, _ := op()
	_, err := requestreply.Run(t.Context(), g, requestreply.Op{}, fn)
	require.NoError(t, err, "the one place was given back")
}

func TestMaxInFlight(t *testing.T) {
	g := func() *requestreply.Guard {
		return requestreply.NewGuard(&requestreply.Options{MaxInFlight: 2, MaxQueue: 1, Timeout: time.Minute, TryTimeout: time.Minute})
	}
	// occupy takes n places at target until release is called.
	occupy := func(t *testing.T, g *requestreply.Guard, target string, n int) (release func()) {
		free := make(chan struct{})
		var wg sync.WaitGroup
		for range n {
			wg.Go(func() {
				_, err := requestreply.Run(t.Context(), g, requestreply.Op{Target: target}, func(context.Context) (int, error) {
					<-free
					return 0, nil
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		return func() { close(free); wg.Wait() }
	}
	inBubble(t, "full is refused at once", func(t *testing.T) {
		g := g()
		release := occupy(t, g, "a", 3) // two in flight, one waits
		fn, calls := op()
		_, err := requestreply.Run(t.Context(), g, requestreply.Op{Target: "a"}, fn)
		require.ErrorIs(t, err, requestreply.ErrFull)
		require.Equal(t, outcome.NotSent, outcome.Of(err))
		require.Zero(t, *calls)
		_, err = requestreply.Run(t.Context(), g, requestreply.Op{Target: "b"}, fn)
		require.NoError(t, err, "another target is not held up")
		release()
		_, err = requestreply.Run(t.Context(), g, requestreply.Op{Target: "a"}, fn)
		require.NoError(t, err)
	})
	inBubble(t, "who waits is served in order", func(t *testing.T) {
		g := requestreply.NewGuard(&requestreply.Options{MaxInFlight: 1, Timeout: time.Minute, TryTimeout: time.Minute, MaxQueue: 10})
		release := occupy(t, g, "a", 1)
		var order []int
		var wg sync.WaitGroup
		for i := range 5 {
			wg.Go(func() {
				_, _ = requestreply.Run(t.Context(), g, requestreply.Op{Target: "a"}, func(context.Context) (int, error) {
					order = append(order, i)
					time.Sleep(time.Second)
					return 0, nil
				})
			})
			synctest.Wait()
		}
		release()
		wg.Wait()
		require.Equal(t, []int{0, 1, 2, 3, 4}, order)
	})
	inBubble(t, "waiting ends with the call's time", func(t *testing.T) {
		g := g()
		release := occupy(t, g, "a", 2)
		start := time.Now()
		fn, calls := op()
		_, err := requestreply.Run(t.Context(), g, requestreply.Op{Target: "a"}, fn)
		require.ErrorIs(t, err, requestreply.ErrFull)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, outcome.NotSent, outcome.Of(err))
		require.Equal(t, time.Minute, time.Since(start))
		require.Zero(t, *calls)
		release()
	})
	inBubble(t, "waiting ends with the caller", func(t *testing.T) {
		g := g()
		release := occupy(t, g, "a", 2)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		fn, _ := op()
		_, err := requestreply.Run(ctx, g, requestreply.Op{Target: "a"}, fn)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NotErrorIs(t, err, requestreply.ErrFull)
		require.Equal(t, outcome.NotSent, outcome.Of(err))
		release()
		release = occupy(t, g, "a", 2) // nobody's place was lost
		release()
	})
	inBubble(t, "time spent waiting is not the attempt's", func(t *testing.T) {
		g := requestreply.NewGuard(&requestreply.Options{MaxInFlight: 1, MaxQueue: 1, TryTimeout: 10 * time.Second, Timeout: time.Minute})
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				_, err := requestreply.Run(t.Context(), g, requestreply.Op{}, func(ctx context.Context) (int, error) {
					d, _ := ctx.Deadline()
					if left := time.Until(d); left != 10*time.Second {
						t.Errorf("%v left", left)
					}
					time.Sleep(9 * time.Second)
					return 0, ctx.Err()
				})
				if err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		wg.Wait()
	})
}

// Many goroutines fight over few places: never more in flight than allowed,
// and every caller gets its turn.
func TestMaxInFlightUnderLoad(t *testing.T) {
	g := requestreply.NewGuard(&requestreply.Options{MaxInFlight: 3, MaxQueue: 1000})
	var mu sync.Mutex
	in, most := 0, 0
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for range 100 {
				_, err := requestreply.Run(t.Context(), g, requestreply.Op{}, func(context.Context) (int, error) {
					mu.Lock()
					in++
					most = max(most, in)
					mu.Unlock()
					runtime.Gosched()
					mu.Lock()
					in--
					mu.Unlock()
					return 0, nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	require.LessOrEqual(t, most, 3)
	require.Equal(t, 3, most)
}

func TestTargetsAreBounded(t *testing.T) {
	inBubble(t, "the longest idle is forgotten, the busy never", func(t *testing.T) {
		g := requestreply.NewGuard(&requestreply.Options{MaxTargets: 2, MaxInFlight: 1, MaxQueue: -1})
		call := func(target string, fn func(context.Context) (int, error)) error {
			_, err := requestreply.Run(t.Context(), g, requestreply.Op{Target: target}, fn)
			return err
		}
		ok, _ := op()
		free := make(chan struct{})
		busy := func(context.Context) (int, error) { <-free; return 0, nil }
		var wg sync.WaitGroup
		wg.Go(func() { _ = call("a", busy) })
		synctest.Wait()
		for i := range 10 {
			require.NoError(t, call(fmt.Sprint("other", i), ok))
		}
		require.ErrorIs(t, call("a", ok), requestreply.ErrFull, "a is known still, and busy")
		wg.Go(func() { _ = call("b", busy) })
		synctest.Wait()
		err := call("c", ok)
		require.ErrorIs(t, err, requestreply.ErrFull)
		require.Equal(t, outcome.NotSent, outcome.Of(err))
		close(free)
		wg.Wait()
		require.NoError(t, call("c", ok))
	})
}

// An outage met by many clients that share a guard: repeats stay a small part
// of the calls, though each call alone would make four attempts.
func TestRetryBudgetHoldsInAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := requestreply.NewGuard(&requestreply.Options{Breaker: requestreply.Breaker{Disabled: true}})
		const calls = 2000
		attempts := 0
		for range calls {
			_, err := requestreply.Run(t.Context(), g, requestreply.Op{Target: "down", Idempotent: true}, func(context.Context) (int, error) {
				attempts++
				return 0, errLost
			})
			require.Error(t, err)
		}
		require.Greater(t, attempts, calls+20, "some are repeated")
		require.LessOrEqual(t, float64(attempts), 1.11*calls, "%d attempts for %d calls", attempts, calls)
	})
}

func TestErrorText(t *testing.T) {
	secret := "https://bob:hunter2@api.example/orders?token=hunter2#hunter2"
	client := &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) { return nil, errBoom })}
	_, err := requestreply.Run(t.Context(), nil, requestreply.Op{Target: "api"}, func(ctx context.Context) (int, error) {
		r, err := http.NewRequestWithContext(ctx, "POST", secret, nil)
		require.NoError(t, err)
		_, err = client.Do(r)
		failed, _ := errors.AsType[*url.Error](err)
		return 0, fmt.Errorf("ordering at %s: %w", failed.URL, err)
	})
	require.Contains(t, err.Error(), "api.example/orders")
	require.NotContains(t, err.Error(), "hunter2")
	require.NotContains(t, fmt.Sprintf("%+v", err), "hunter2")
	require.Contains(t, err.Error(), "unknown")
}

// Sentinels are found through wrapping and joins.
func TestSentinels(t *testing.T) {
	for _, s := range []error{requestreply.ErrOpen, requestreply.ErrFull, requestreply.ErrTooLarge} {
		e := &requestreply.Error{Reason: s, Err: errBoom, Known: outcome.NotSent}
		require.ErrorIs(t, errors.Join(errLost, fmt.Errorf("x: %w", e)), s)
		require.ErrorIs(t, e, errBoom)
	}
	transient, said := outcome.Transient(requestreply.ErrOpen)
	require.True(t, said && transient)
}

type watcher struct {
	mu   sync.Mutex
	seen []string
}

func (w *watcher) Start(ctx context.Context, op string, _ ...slog.Attr) context.Context {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, "start "+op)
	return context.WithValue(ctx, w, op)
}

func (w *watcher) End(ctx context.Context, op string, err error, _ ...slog.Attr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if ctx.Value(w) != op {
		op += " (not its context)"
	}
	w.seen = append(w.seen, fmt.Sprintf("end %s %v", op, err != nil))
}

func TestObserver(t *testing.T) {
	w := &watcher{}
	g := requestreply.NewGuard(&requestreply.Options{Observer: w, Retry: retry.Policy{Base: -1}})
	fn, _ := op(errUnsent)
	_, err := requestreply.Run(t.Context(), g, requestreply.Op{}, fn)
	require.NoError(t, err)
	require.Equal(t, []string{
		"start requestreply.call",
		"start requestreply.attempt", "end requestreply.attempt true",
		"start requestreply.attempt", "end requestreply.attempt false",
		"end requestreply.call false",
	}, w.seen)
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

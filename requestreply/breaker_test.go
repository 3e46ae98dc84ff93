package requestreply_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/retry"
)

// breaking is a guard whose breaker opens after 4 failures for 5 s, and that
// repeats nothing.
func breaking(change func(target, from, to string)) *requestreply.Guard {
	return requestreply.NewGuard(&requestreply.Options{
		TryTimeout: 2 * time.Second,
		Retry:      retry.Policy{MaxAttempts: 1},
		Breaker:    requestreply.Breaker{MinCalls: 4, OpenFor: 5 * time.Second, OnChange: change},
	})
}

func call(t *testing.T, g *requestreply.Guard, fn func(context.Context) (int, error)) error {
	t.Helper()
	_, err := requestreply.Run(t.Context(), g, requestreply.Op{Target: "a"}, fn)
	return err
}

func fails(context.Context) (int, error) { return 0, errLost }
func works(context.Context) (int, error) { return 1, nil }

// open makes the breaker of g open by failures.
func open(t *testing.T, g *requestreply.Guard) {
	t.Helper()
	for range 4 {
		require.ErrorIs(t, call(t, g, fails), errLost)
	}
	require.ErrorIs(t, call(t, g, works), requestreply.ErrOpen)
}

func TestBreaker(t *testing.T) {
	inBubble(t, "opens, refuses, probes and closes", func(t *testing.T) {
		var changes []string
		g := breaking(func(target, from, to string) {
			changes = append(changes, fmt.Sprintf("%s %s-%s at %v", target, from, to, time.Now().Second()))
		})
		open(t, g)
		err := call(t, g, works)
		e := asError(t, err)
		require.Equal(t, outcome.NotSent, e.Known)
		require.Zero(t, e.Attempts)
		require.WithinDuration(t, time.Now().Add(5*time.Second), e.At, time.Millisecond)

		_, err = requestreply.Run(t.Context(), g, requestreply.Op{Target: "b"}, works)
		require.NoError(t, err, "another target is not held up")

		time.Sleep(time.Until(e.At))
		require.NoError(t, call(t, g, works), "the instant named is true")
		require.NoError(t, call(t, g, works))
		require.Equal(t, []string{"a closed-open at 0", "a open-half-open at 5", "a half-open-closed at 5"}, changes)
	})
	inBubble(t, "a failed probe opens it again", func(t *testing.T) {
		g := breaking(nil)
		open(t, g)
		time.Sleep(5*time.Second + 1)
		require.ErrorIs(t, call(t, g, fails), errLost)
		require.ErrorIs(t, call(t, g, works), requestreply.ErrOpen)
	})
	inBubble(t, "a call that was repeated meets it half-way", func(t *testing.T) {
		g := requestreply.NewGuard(&requestreply.Options{Breaker: requestreply.Breaker{MinCalls: 2}})
		_, err := requestreply.Run(t.Context(), g, requestreply.Op{Idempotent: true}, fails)
		require.ErrorIs(t, err, requestreply.ErrOpen)
		require.ErrorIs(t, err, errLost, "what the last attempt said is kept")
		require.Equal(t, outcome.Unknown, outcome.Of(err), "the attempts made may have had an effect")
		require.Equal(t, 2, asError(t, err).Attempts)
	})
}

func TestBreakerSigns(t *testing.T) {
	for _, c := range []struct {
		name  string
		fn    func(context.Context) (int, error)
		opens bool
	}{
		{"lost answers", fails, true},
		{"errors that say nothing", func(context.Context) (int, error) { return 0, errBoom }, true},
		{"time-outs", hang, true},
		{"refusals are signs of life", func(context.Context) (int, error) { return 0, errRefused }, false},
		{"so is what is permanent", func(context.Context) (int, error) { return 0, retry.Permanent(errBoom) }, false},
		{"success", works, false},
	} {
		inBubble(t, c.name, func(t *testing.T) {
			g := breaking(nil)
			for range 4 {
				_ = call(t, g, c.fn)
			}
			err := call(t, g, works)
			if c.opens {
				require.ErrorIs(t, err, requestreply.ErrOpen)
			} else {
				require.NoError(t, err)
			}
		})
	}
	inBubble(t, "a caller that goes away says nothing", func(t *testing.T) {
		g := breaking(nil)
		for range 20 {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			_, err := requestreply.Run(ctx, g, requestreply.Op{Target: "a"}, hang)
			require.ErrorIs(t, err, context.Canceled)
		}
		require.NoError(t, call(t, g, works))
	})
	inBubble(t, "nor does one that leaves no time", func(t *testing.T) {
		patient := func(d time.Duration) *requestreply.Guard {
			g := breaking(nil)
			for range 20 {
				ctx, cancel := context.WithTimeout(t.Context(), d)
				_, err := requestreply.Run(ctx, g, requestreply.Op{Target: "a"}, hang)
				require.Error(t, err)
				cancel()
			}
			return g
		}
		require.NoError(t, call(t, patient(199*time.Millisecond), works))
		require.ErrorIs(t, call(t, patient(200*time.Millisecond), works), requestreply.ErrOpen, "a tenth of TryTimeout is time enough")
	})
	inBubble(t, "nor does one that cancels the probe", func(t *testing.T) {
		g := breaking(nil)
		open(t, g)
		time.Sleep(5*time.Second + 1)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, err := requestreply.Run(ctx, g, requestreply.Op{Target: "a"}, hang)
		require.ErrorIs(t, err, context.Canceled)
		require.NoError(t, call(t, g, works), "the probe's permit came back")
	})
}

func TestBreakerProbe(t *testing.T) {
	inBubble(t, "there is one at a time", func(t *testing.T) {
		g := breaking(nil)
		open(t, g)
		time.Sleep(5*time.Second + 1)
		started := 0
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				_ = call(t, g, func(context.Context) (int, error) {
					started++
					time.Sleep(time.Second)
					return 0, nil
				})
			})
		}
		wg.Wait()
		require.Equal(t, 1, started)
		require.NoError(t, call(t, g, works))
	})
	inBubble(t, "a panic gives its permit back", func(t *testing.T) {
		g := breaking(nil)
		open(t, g)
		time.Sleep(5*time.Second + 1)
		require.Panics(t, func() { _ = call(t, g, func(context.Context) (int, error) { panic("boom") }) })
		require.ErrorIs(t, call(t, g, works), requestreply.ErrOpen, "it counts as a failure")
		time.Sleep(5*time.Second + 1)
		require.NoError(t, call(t, g, works))
	})
	inBubble(t, "one that ignores its limit is settled by it", func(t *testing.T) {
		g := breaking(nil)
		open(t, g)
		time.Sleep(5*time.Second + 1)
		free := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			_ = call(t, g, func(context.Context) (int, error) { <-free; return 1, nil })
		})
		synctest.Wait()
		require.ErrorIs(t, call(t, g, works), requestreply.ErrOpen, "the probe is out")
		time.Sleep(2*time.Second + 1) // the attempt's limit: it counts as failed
		e := asError(t, call(t, g, works))
		require.ErrorIs(t, e, requestreply.ErrOpen)
		time.Sleep(time.Until(e.At))
		require.NoError(t, call(t, g, works), "a second probe is let through")
		close(free)
		wg.Wait() // the late success of the first decides nothing, and breaks nothing
		require.NoError(t, call(t, g, works))
	})
	inBubble(t, "one without a limit gets OpenFor", func(t *testing.T) {
		g := requestreply.NewGuard(&requestreply.Options{
			Timeout: -1, TryTimeout: -1, Retry: retry.Policy{MaxAttempts: 1},
			Breaker: requestreply.Breaker{MinCalls: 4, OpenFor: 5 * time.Second},
		})
		open(t, g)
		time.Sleep(5*time.Second + 1)
		free := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() { _ = call(t, g, func(context.Context) (int, error) { <-free; return 1, nil }) })
		time.Sleep(10*time.Second + 2)
		require.NoError(t, call(t, g, works))
		close(free)
		wg.Wait()
	})
	// An attempt begun while the breaker was closed comes back when it is
	// half-open: it must not close it, nor use up the probe's permit.
	for name, late := range map[string]error{"success": nil, "failure": errLost} {
		inBubble(t, "a late "+name+" of a closed time decides nothing", func(t *testing.T) {
			g := requestreply.NewGuard(&requestreply.Options{
				Timeout: time.Minute, TryTimeout: time.Minute, Retry: retry.Policy{MaxAttempts: 1},
				Breaker: requestreply.Breaker{MinCalls: 4, OpenFor: 5 * time.Second},
			})
			free := make(chan struct{})
			var wg sync.WaitGroup
			wg.Go(func() { _ = call(t, g, func(context.Context) (int, error) { <-free; return 0, late }) })
			synctest.Wait()
			open(t, g)
			time.Sleep(5*time.Second + 1)
			probe := make(chan struct{})
			wg.Go(func() { _ = call(t, g, func(context.Context) (int, error) { <-probe; return 1, nil }) })
			synctest.Wait()
			close(free)
			synctest.Wait()
			require.ErrorIs(t, call(t, g, works), requestreply.ErrOpen, "the probe is still out, and alone")
			close(probe)
			wg.Wait()
			require.NoError(t, call(t, g, works), "the probe decided")
		})
	}
}

func TestBreakerHook(t *testing.T) {
	inBubble(t, "may call the guard", func(t *testing.T) {
		var g *requestreply.Guard
		var seen []string
		g = breaking(func(_, _, to string) {
			seen = append(seen, to)
			_ = call(t, g, works)
		})
		open(t, g)
		time.Sleep(5*time.Second + 1)
		require.NoError(t, call(t, g, works))
		require.Equal(t, []string{"open", "half-open", "closed"}, seen)
	})
	inBubble(t, "a panic in it harms no call", func(t *testing.T) {
		told := 0
		g := breaking(func(_, _, _ string) { told++; panic("boom") })
		open(t, g)
		time.Sleep(5*time.Second + 1)
		require.NoError(t, call(t, g, works))
		require.Equal(t, 3, told)
	})
	inBubble(t, "one that hangs holds up only the call that tells it", func(t *testing.T) {
		free := make(chan struct{})
		g := breaking(func(_, _, _ string) { <-free })
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { _ = call(t, g, fails) })
			synctest.Wait()
		}
		require.ErrorIs(t, call(t, g, works), requestreply.ErrOpen)
		close(free)
		wg.Wait()
	})
}

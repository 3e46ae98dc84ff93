package requestreply_test

import (
	"bytes"
	"context"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/retry"
)

// deaf returns an operation that ignores its context until it is freed.
func deaf() (fn func(context.Context) (int, error), free func()) {
	gate := make(chan struct{})
	return func(context.Context) (int, error) { <-gate; return 1, nil }, func() { close(gate) }
}

func TestAbandon(t *testing.T) {
	abandon := func(t *testing.T, g *requestreply.Guard, fn func(context.Context) (int, error)) (int, error) {
		return requestreply.Abandon(t.Context(), g, requestreply.Op{Target: "a"}, fn)
	}
	inBubble(t, "beside Run, which waits", func(t *testing.T) {
		g := requestreply.NewGuard(&requestreply.Options{TryTimeout: time.Second})
		slow := func(context.Context) (int, error) { time.Sleep(time.Minute); return 1, nil }
		start := time.Now()
		_, err := requestreply.Run(t.Context(), g, requestreply.Op{}, slow)
		require.NoError(t, err)
		require.Equal(t, time.Minute, time.Since(start), "an operation that ignores its context is waited for")

		start = time.Now()
		_, err = requestreply.Abandon(t.Context(), g, requestreply.Op{}, slow)
		require.Equal(t, time.Second, time.Since(start))
		require.ErrorIs(t, err, requestreply.ErrAbandoned)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, outcome.Unknown, outcome.Of(err))
		require.Equal(t, 1, g.Abandoned())
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Zero(t, g.Abandoned())
	})
	inBubble(t, "the place stays taken until it returns", func(t *testing.T) {
		g := requestreply.NewGuard(&requestreply.Options{
			TryTimeout: time.Second, MaxInFlight: 3, MaxQueue: -1, Breaker: requestreply.Breaker{Disabled: true},
		})
		fn, free := deaf()
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				_, err := abandon(t, g, fn)
				if err == nil {
					t.Error("it was waited for")
				}
			})
		}
		wg.Wait()
		require.Equal(t, 3, g.Abandoned())
		before := runtime.NumGoroutine()
		for range 100 {
			_, err := abandon(t, g, fn)
			require.ErrorIs(t, err, requestreply.ErrFull)
			require.Equal(t, outcome.NotSent, outcome.Of(err))
		}
		require.Equal(t, before, runtime.NumGoroutine(), "a dead target takes no more goroutines")
		free()
		synctest.Wait()
		require.Zero(t, g.Abandoned())
		_, err := abandon(t, g, works)
		require.NoError(t, err)
	})
	inBubble(t, "a nil guard counts too", func(t *testing.T) {
		fn, free := deaf()
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				_, err := requestreply.Abandon(t.Context(), nil, requestreply.Op{Target: t.Name()}, fn)
				if err == nil {
					t.Error("it was waited for")
				}
			})
		}
		wg.Wait()
		_, err := requestreply.Abandon(t.Context(), nil, requestreply.Op{Target: t.Name()}, fn)
		require.ErrorIs(t, err, requestreply.ErrFull)
		free()
	})
	t.Run("a guard that cannot count them makes no attempt", func(t *testing.T) {
		fn, calls := op()
		_, err := abandon(t, requestreply.NewGuard(&requestreply.Options{MaxInFlight: -1}), fn)
		require.ErrorContains(t, err, "MaxInFlight")
		require.Equal(t, outcome.NotSent, outcome.Of(err))
		require.Zero(t, *calls)
	})
	inBubble(t, "what may be repeated is, beside the one that runs", func(t *testing.T) {
		g := requestreply.NewGuard(&requestreply.Options{TryTimeout: time.Second, Retry: retry.Policy{MaxAttempts: 2, Base: -1}})
		var calls atomic.Int64
		v, err := requestreply.Abandon(t.Context(), g, requestreply.Op{Idempotent: true}, func(context.Context) (int, error) {
			if calls.Add(1) == 1 {
				time.Sleep(time.Hour)
				return 1, nil
			}
			return 2, nil
		})
		require.NoError(t, err)
		require.Equal(t, 2, v)
		require.Equal(t, 1, g.Abandoned())
		time.Sleep(time.Hour)
	})
	inBubble(t, "the caller leaves", func(t *testing.T) {
		g := requestreply.NewGuard(nil)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		fn, free := deaf()
		_, err := requestreply.Abandon(ctx, g, requestreply.Op{Idempotent: true}, fn)
		require.ErrorIs(t, err, requestreply.ErrAbandoned)
		require.ErrorIs(t, err, context.Canceled)
		free()
	})
	inBubble(t, "results, errors and values are those of Run", func(t *testing.T) {
		g := requestreply.NewGuard(&requestreply.Options{Retry: quick})
		fn, calls := op(errUnsent, errUnsent)
		v, err := abandon(t, g, fn)
		require.NoError(t, err)
		require.Equal(t, 3, v)
		require.Equal(t, 3, *calls)
		v, err = abandon(t, g, func(context.Context) (int, error) { return 7, errRefused })
		require.ErrorIs(t, err, errRefused)
		require.Equal(t, outcome.Refused, outcome.Of(err))
		require.Equal(t, 7, v)
	})
	inBubble(t, "panic and Goexit reach the caller, and nothing stays taken", func(t *testing.T) {
		g := requestreply.NewGuard(&requestreply.Options{MaxInFlight: 1, MaxQueue: -1})
		require.PanicsWithValue(t, "boom", func() { _, _ = abandon(t, g, func(context.Context) (int, error) { panic("boom") }) })
		var wg sync.WaitGroup
		wg.Go(func() {
			_, _ = abandon(t, g, func(context.Context) (int, error) { runtime.Goexit(); return 0, nil })
			t.Error("it went on")
		})
		wg.Wait()
		_, err := abandon(t, g, works)
		require.NoError(t, err)
	})
	inBubble(t, "a panic that comes too late is logged", func(t *testing.T) {
		var log bytes.Buffer
		g := requestreply.NewGuard(&requestreply.Options{TryTimeout: time.Second, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		_, err := abandon(t, g, func(context.Context) (int, error) { time.Sleep(time.Minute); panic("boom") })
		require.ErrorIs(t, err, requestreply.ErrAbandoned)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Contains(t, log.String(), "boom")
		require.Zero(t, g.Abandoned())
	})
	inBubble(t, "a probe that hangs is settled at once, and the observer sees all end", func(t *testing.T) {
		w := &watcher{}
		g := requestreply.NewGuard(&requestreply.Options{
			TryTimeout: 2 * time.Second, Retry: retry.Policy{MaxAttempts: 1}, Observer: w,
			Breaker: requestreply.Breaker{MinCalls: 4, OpenFor: 5 * time.Second},
		})
		open(t, g)
		time.Sleep(5*time.Second + 1)
		fn, free := deaf()
		_, err := abandon(t, g, fn)
		require.ErrorIs(t, err, requestreply.ErrAbandoned)
		_, err = abandon(t, g, works)
		require.ErrorIs(t, err, requestreply.ErrOpen)
		require.Equal(t, []string{
			"start requestreply.call", "start requestreply.attempt", "end requestreply.attempt true", "end requestreply.call true",
			"start requestreply.call", "end requestreply.call true",
		}, w.seen[len(w.seen)-6:])
		free()
	})
}

package lease_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/internal/lease"
)

var (
	noon    = time.Date(2026, 3, 29, 12, 0, 0, 0, time.UTC)
	errBoom = errors.New("boom")
)

const (
	d    = 10 * time.Second
	free = -1
)

// TestSteps walks a lease through events at given instants. The clock that
// stamps them is the grantor's, so it may jump.
func TestSteps(t *testing.T) {
	type step struct {
		at    time.Duration // on the grantor's clock, from noon
		event string
		epoch int64 // of who renews or releases
		ok    bool
		// What holds after.
		epochAfter int64
		until      time.Duration // from noon, or free
	}
	for name, steps := range map[string][]step{
		"claim, renew, release, claim": {
			{0, "claim", 0, true, 1, d},
			{1, "claim", 0, false, 1, d},
			{3 * time.Second, "renew", 1, true, 1, 3*time.Second + d},
			{4 * time.Second, "release", 1, true, 1, free},
			{4 * time.Second, "claim", 0, true, 2, 4*time.Second + d},
		},
		"it runs out to the instant": {
			{0, "claim", 0, true, 1, d},
			{d - 1, "claim", 0, false, 1, d},
			{d, "claim", 0, true, 2, 2 * d},
		},
		"who was passed over owns nothing": {
			{0, "claim", 0, true, 1, d},
			{d, "claim", 0, true, 2, 2 * d},
			{d + 1, "renew", 1, false, 2, 2 * d},
			{d + 1, "release", 1, false, 2, 2 * d},
			{d + 2, "renew", 2, true, 2, 2*d + 2},
		},
		"late, but nobody came": {
			{0, "claim", 0, true, 1, d},
			{5 * d, "renew", 1, true, 1, 6 * d},
		},
		"who released cannot come back": {
			{0, "claim", 0, true, 1, d},
			{1, "release", 1, true, 1, free},
			{2, "renew", 1, false, 1, free},
			{2, "release", 1, false, 1, free},
		},
		"nobody holds what was never granted": {
			{0, "renew", 0, false, 0, free},
			{0, "release", 0, false, 0, free},
		},
		"the clock jumps ahead: the next comes early, and the first is fenced": {
			{0, "claim", 0, true, 1, d},
			{time.Hour, "claim", 0, true, 2, time.Hour + d},
			{2 * time.Second, "renew", 1, false, 2, time.Hour + d},
		},
		"the clock steps back: nothing is shortened, nobody is let in": {
			{0, "claim", 0, true, 1, d},
			{-time.Hour, "renew", 1, true, 1, d},
			{-time.Hour, "claim", 0, false, 1, d},
			{-time.Hour, "release", 1, true, 1, free},
			{-time.Hour, "claim", 0, true, 2, -time.Hour + d},
		},
		"the clock steps back after it ran out: the epoch still grows": {
			{0, "claim", 0, true, 1, d},
			{d, "claim", 0, true, 2, 2 * d},
			{-time.Hour, "renew", 1, false, 2, 2 * d},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var l lease.Lease
			for i, s := range steps {
				var ok bool
				now := noon.Add(s.at)
				before := l
				switch s.event {
				case "claim":
					l, ok = l.Claim("me", now, d)
				case "renew":
					l, ok = l.Renew(s.epoch, now, d)
				case "release":
					l, ok = l.Release(s.epoch)
				}
				until := noon.Add(s.until)
				if s.until == free {
					until = time.Time{}
				}
				require.Equal(t, s.ok, ok, "step %d", i)
				require.Equal(t, s.epochAfter, l.Epoch, "step %d", i)
				require.Equal(t, until, l.Until, "step %d", i)
				require.Equal(t, !until.IsZero(), l.Owns(l.Epoch), "step %d", i)
				if !ok {
					require.Equal(t, before, l, "a refused step changes nothing")
				}
			}
		})
	}
}

// TestSkew: the holder measures by its own clock from when it asked, so it
// stops before the grantor lets go however far the two clocks are apart, as
// long as they run equally fast, within a sixth.
func TestSkew(t *testing.T) {
	for _, skew := range []time.Duration{-48 * time.Hour, -time.Second, 0, time.Second, 48 * time.Hour} {
		for _, way := range []time.Duration{0, time.Second, d / 2} { // from asking to being granted
			asked := noon
			granted, ok := lease.Lease{}.Claim("me", asked.Add(way+skew), d)
			require.True(t, ok)
			renew, stop := lease.Beat(asked, d)
			require.True(t, renew.Before(stop))
			require.True(t, stop.Add(skew).Before(granted.Until))
			// A clock that is slow by a tenth still stops in time.
			slow := asked.Add(stop.Sub(asked) * 11 / 10)
			require.True(t, slow.Add(skew).Before(granted.Until))
		}
	}
}

func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

func TestKeep(t *testing.T) {
	bubble(t, "renews at each beat until stopped", func(t *testing.T) {
		var at []time.Duration
		start := time.Now()
		held, stop := lease.Keep(t.Context(), 9*time.Second, func(context.Context) error {
			at = append(at, time.Since(start))
			return nil
		})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.NoError(t, held.Err())
		require.NoError(t, stop())
		require.Error(t, held.Err())
		require.NotErrorIs(t, context.Cause(held), lease.ErrLost)
		require.NoError(t, stop(), "again")
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Equal(t, []time.Duration{3 * time.Second, 6 * time.Second, 9 * time.Second}, at)
	})
	bubble(t, "no length means the default", func(t *testing.T) {
		n := 0
		_, stop := lease.Keep(t.Context(), 0, func(context.Context) error { n++; return nil })
		time.Sleep(9 * time.Second)
		require.NoError(t, stop())
		require.Equal(t, 2, n)
	})
	bubble(t, "ends at once when the grantor says lost", func(t *testing.T) {
		start := time.Now()
		held, stop := lease.Keep(t.Context(), 9*time.Second, func(context.Context) error {
			return fmt.Errorf("epoch 7: %w", lease.ErrLost)
		})
		<-held.Done()
		require.Equal(t, 3*time.Second, time.Since(start))
		require.ErrorIs(t, context.Cause(held), lease.ErrLost)
		require.EqualError(t, stop(), "epoch 7: "+lease.ErrLost.Error())
		require.ErrorIs(t, stop(), lease.ErrLost, "again")
	})
	bubble(t, "tries again while there is time, then stops before the grantor lets go", func(t *testing.T) {
		start := time.Now()
		n := 0
		held, stop := lease.Keep(t.Context(), 12*time.Second, func(context.Context) error { n++; return errBoom })
		<-held.Done()
		require.Equal(t, 10*time.Second, time.Since(start))
		require.ErrorIs(t, context.Cause(held), lease.ErrLost)
		require.ErrorIs(t, stop(), lease.ErrLost)
		require.Equal(t, 6, n, "at 4 5 6 7 8 and 9 s")
	})
	bubble(t, "recovers when a later try succeeds", func(t *testing.T) {
		n := 0
		held, stop := lease.Keep(t.Context(), 12*time.Second, func(context.Context) error {
			if n++; n < 4 {
				return errBoom
			}
			return nil
		})
		time.Sleep(time.Hour)
		synctest.Wait()
		require.NoError(t, held.Err())
		require.NoError(t, stop())
	})
	bubble(t, "a renew that hangs and ignores its context does not keep it alive", func(t *testing.T) {
		start := time.Now()
		hang := make(chan struct{})
		held, stop := lease.Keep(t.Context(), 12*time.Second, func(context.Context) error { <-hang; return nil })
		<-held.Done()
		require.Equal(t, 10*time.Second, time.Since(start))
		require.ErrorIs(t, context.Cause(held), lease.ErrLost)
		time.AfterFunc(time.Minute, func() { close(hang) })
		require.ErrorIs(t, stop(), lease.ErrLost, "the late success does not count")
		require.Equal(t, 70*time.Second, time.Since(start), "stop waits for the renew")
	})
	bubble(t, "counts from when it asked, not from the answer", func(t *testing.T) {
		start := time.Now()
		first := true
		held, _ := lease.Keep(t.Context(), 12*time.Second, func(ctx context.Context) error {
			if first {
				first = false
				time.Sleep(5 * time.Second) // asked at 4 s, answered at 9 s
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		})
		<-held.Done()
		require.Equal(t, 14*time.Second, time.Since(start))
	})
	bubble(t, "stop ends a renew under way by its context", func(t *testing.T) {
		_, stop := lease.Keep(t.Context(), 12*time.Second, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		time.Sleep(5 * time.Second)
		start := time.Now()
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if err := stop(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		require.Zero(t, time.Since(start))
	})
	bubble(t, "ends with its parent, which is no loss", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		held, stop := lease.Keep(ctx, d, func(context.Context) error { t.Error("renewed"); return nil })
		cancel(errBoom)
		<-held.Done()
		require.ErrorIs(t, context.Cause(held), errBoom)
		require.NoError(t, stop())
	})
}

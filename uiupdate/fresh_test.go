package uiupdate_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/uiupdate"
)

var errDown = errors.New("the source is down")

// A source answers loads with the value it has when they begin.
type source struct {
	mu    sync.Mutex
	val   int
	err   error
	took  time.Duration
	deaf  bool // ignores its context
	calls int
}

func (s *source) load(ctx context.Context, _ string) (int, error) {
	s.mu.Lock()
	s.calls++
	val, err, took, deaf := s.val, s.err, s.took, s.deaf
	s.mu.Unlock()
	if deaf {
		ctx = context.Background()
	}
	if took > 0 {
		select {
		case <-time.After(took):
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
	return val, err
}

func (s *source) set(f func(*source)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

func (s *source) called() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

// fresh runs a test in a bubble, with a source and a Fresh over it.
func fresh(t *testing.T, name string, o uiupdate.FreshOptions, f func(t *testing.T, s *source, c *uiupdate.Fresh[string, int])) {
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &source{val: 1}
			f(t, s, uiupdate.NewFresh(s.load, &o))
			time.Sleep(time.Hour) // loads that are under way end
		})
	})
}

func TestFresh(t *testing.T) {
	type F = *uiupdate.Fresh[string, int]
	limits := uiupdate.FreshOptions{MaxAge: 10 * time.Second, MaxStale: time.Minute}

	fresh(t, "ages", limits, func(t *testing.T, s *source, c F) {
		for _, step := range []struct {
			wait  time.Duration
			down  bool
			calls int
			stale bool
			is    error
		}{
			{0, false, 1, false, nil},
			{10 * time.Second, false, 1, false, nil}, // at its limit
			{time.Nanosecond, false, 2, false, nil},
			{11 * time.Second, true, 3, true, nil},
			{49 * time.Second, true, 4, true, nil}, // at its limit
			{time.Second, true, 5, false, uiupdate.ErrTooStale},
			{time.Second, false, 6, false, nil},
		} {
			time.Sleep(step.wait)
			s.set(func(s *source) {
				s.err = nil
				if step.down {
					s.err = errDown
				}
			})
			v, err := c.Load(t.Context(), "a")
			require.Equal(t, step.calls, s.called())
			if step.is != nil {
				require.ErrorIs(t, err, step.is)
				require.ErrorIs(t, err, errDown)
				require.ErrorIs(t, errors.Join(errors.New("other"), fmt.Errorf("wrapped: %w", err)), step.is)
				e, ok := errors.AsType[*uiupdate.Error](err)
				require.True(t, ok)
				require.Equal(t, 61*time.Second, time.Since(e.AsOf))
				require.Equal(t, outcome.Refused, outcome.Of(err))
				continue
			}
			require.NoError(t, err)
			require.Equal(t, step.stale, v.Stale)
			if step.stale {
				require.ErrorIs(t, v.Err, errDown)
			}
		}
	})

	fresh(t, "a limit of one's own", limits, func(t *testing.T, s *source, c F) {
		s.took = time.Second
		_, err := c.Load(t.Context(), "a")
		require.NoError(t, err)
		time.Sleep(5 * time.Second)
		_, err = c.Within(t.Context(), "a", 7*time.Second)
		require.NoError(t, err)
		require.Equal(t, 1, s.called())
		v, err := c.Within(t.Context(), "a", 2*time.Second)
		require.NoError(t, err)
		require.Equal(t, time.Second, v.Age())
		require.Equal(t, 2, s.called())
		v, err = c.Within(t.Context(), "a", 0)
		require.NoError(t, err, "a load that begins after the call is young enough, however long it takes")
		require.Equal(t, 3, s.called())
		require.False(t, v.Stale)
		go func() { _, _ = c.Within(t.Context(), "a", 0) }()
		time.Sleep(500 * time.Millisecond)
		s.set(func(s *source) { s.val = 2 })
		v, err = c.Within(t.Context(), "a", 0)
		require.NoError(t, err)
		require.Equal(t, 2, v.V, "not what a load brings that began before")
		require.Equal(t, 5, s.called())
		s.set(func(s *source) { s.err = errDown })
		_, err = c.Within(t.Context(), "a", time.Millisecond)
		require.ErrorIs(t, err, uiupdate.ErrTooStale, "although Load would have had it")
		v, err = c.Within(t.Context(), "a", time.Hour)
		require.NoError(t, err)
		require.False(t, v.Stale, "it is young enough for MaxAge")
	})

	fresh(t, "one load for all, which no caller's cancellation ends", limits, func(t *testing.T, s *source, c F) {
		s.took = time.Second
		first, cancel := context.WithCancelCause(t.Context())
		cause := errors.New("the first has gone")
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := c.Load(first, "a")
			require.ErrorIs(t, err, cause)
		})
		synctest.Wait()
		for range 50 {
			wg.Go(func() {
				v, err := c.Load(t.Context(), "a")
				require.NoError(t, err)
				require.Equal(t, 1, v.V)
			})
		}
		synctest.Wait()
		cancel(cause)
		wg.Wait()
		require.Equal(t, 1, s.called())
		require.EqualValues(t, 50, c.Stats().Shared)
	})

	fresh(t, "an invalidation fences the load", limits, func(t *testing.T, s *source, c F) {
		s.took = time.Second
		var early, late uiupdate.Value[int]
		var wg sync.WaitGroup
		wg.Go(func() { early, _ = c.Load(t.Context(), "a") })
		time.Sleep(500 * time.Millisecond)
		s.set(func(s *source) { s.val = 2 })
		c.Invalidate("a", time.Time{})
		wg.Go(func() { late, _ = c.Load(t.Context(), "a") })
		wg.Wait()
		require.Equal(t, 2, late.V)
		require.Equal(t, 2, early.V, "who waited waits for another")
		v, err := c.Load(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, 2, v.V)
		require.Equal(t, 2, s.called())
		require.EqualValues(t, 1, c.Stats().Fenced)
	})

	fresh(t, "a put fences the load", limits, func(t *testing.T, s *source, c F) {
		s.took = time.Second
		var wg sync.WaitGroup
		wg.Go(func() {
			v, err := c.Load(t.Context(), "a")
			require.NoError(t, err)
			require.Equal(t, 2, v.V)
			require.Zero(t, v.Age())
		})
		time.Sleep(500 * time.Millisecond)
		c.Put("a", 2, time.Now())
		wg.Wait()
		time.Sleep(5 * time.Second)
		v, err := c.Load(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, 2, v.V)
		require.Equal(t, 1, s.called())
	})

	fresh(t, "changes faster than it loads", limits, func(t *testing.T, s *source, c F) {
		s.took = time.Second
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go func() {
			for ctx.Err() == nil {
				time.Sleep(100 * time.Millisecond)
				c.Invalidate("a", time.Time{})
			}
		}()
		_, err := c.Load(t.Context(), "a")
		require.ErrorIs(t, err, uiupdate.ErrTooStale)
		require.Equal(t, 4, s.called(), "and not for ever")
	})

	fresh(t, "puts in any order", limits, func(t *testing.T, s *source, c F) {
		t0 := time.Now()
		c.Put("a", 5, t0.Add(-time.Second))
		c.Put("a", 4, t0.Add(-2*time.Second)) // late
		v, err := c.Load(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, 5, v.V)
		require.Equal(t, time.Second, v.Age(), "as old as the source says")
		c.Invalidate("a", t0.Add(-1500*time.Millisecond)) // late
		v, err = c.Load(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, 5, v.V)
		c.Invalidate("a", t0)
		c.Put("a", 6, t0.Add(-time.Second)) // late: of before the invalidation
		v, err = c.Load(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, 1, v.V, "loaded")
		require.EqualValues(t, 3, c.Stats().Late)
		require.Equal(t, 1, s.called())
	})

	fresh(t, "clocks that differ", limits, func(t *testing.T, s *source, c F) {
		_, err := c.Load(t.Context(), "a")
		require.NoError(t, err)
		time.Sleep(100 * time.Millisecond)
		// The source's clock is behind: it dates what came after our load
		// before it. Nobody can tell, so the key is loaded anew.
		c.Put("a", 7, time.Now().Add(-500*time.Millisecond))
		s.set(func(s *source) { s.val = 8 })
		v, err := c.Load(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, 8, v.V)
		time.Sleep(2 * time.Second)
		c.Put("a", 9, time.Now().Add(-5*time.Second)) // surely before the load
		v, _ = c.Load(t.Context(), "a")
		require.Equal(t, 8, v.V)
		c.Put("a", 10, time.Now()) // surely after it
		v, _ = c.Load(t.Context(), "a")
		require.Equal(t, 10, v.V)

		// A clock that is ahead makes nothing young for ever, and does not
		// make all after it look late.
		c.Put("a", 11, time.Now().Add(24*time.Hour))
		time.Sleep(2 * time.Second)
		c.Put("a", 12, time.Now())
		v, _ = c.Load(t.Context(), "a")
		require.Equal(t, 12, v.V)
		c.Put("b", 1, time.Now().Add(24*time.Hour))
		calls := s.called()
		time.Sleep(11 * time.Second)
		_, _ = c.Load(t.Context(), "b")
		require.Equal(t, calls+1, s.called())
	})

	fresh(t, "there is none", limits, func(t *testing.T, s *source, c F) {
		s.set(func(s *source) { s.err = fmt.Errorf("part: %w", uiupdate.ErrNotFound) })
		for range 3 {
			v, err := c.Load(t.Context(), "a")
			require.ErrorIs(t, err, uiupdate.ErrNotFound)
			require.False(t, v.AsOf.IsZero())
		}
		require.Equal(t, 1, s.called(), "the absence is kept like a value")
		time.Sleep(11 * time.Second)
		s.set(func(s *source) { s.err = errDown })
		v, err := c.Load(t.Context(), "a")
		require.ErrorIs(t, err, uiupdate.ErrNotFound)
		require.ErrorIs(t, err, errDown)
		require.True(t, v.Stale)
		c.Invalidate("a", time.Time{})
		time.Sleep(time.Second)
		s.set(func(s *source) { s.err = nil })
		v, err = c.Load(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, 1, v.V)
	})

	fresh(t, "an error is kept for the pause and no longer", limits, func(t *testing.T, s *source, c F) {
		s.err = errDown
		for range 5 {
			_, err := c.Load(t.Context(), "a")
			require.ErrorIs(t, err, errDown)
			require.NotErrorIs(t, err, uiupdate.ErrTooStale, "there never was a value")
		}
		require.Equal(t, 1, s.called())
		time.Sleep(time.Second)
		s.set(func(s *source) { s.err = nil })
		_, err := c.Load(t.Context(), "a")
		require.NoError(t, err)
	})

	patient := limits
	patient.Patience = 100 * time.Millisecond
	fresh(t, "patience", patient, func(t *testing.T, s *source, c F) {
		s.took = time.Second
		_, err := c.Load(t.Context(), "a")
		require.NoError(t, err, "there is nothing else to give")
		time.Sleep(20 * time.Second)
		s.set(func(s *source) { s.val = 2 })
		begun := time.Now()
		v, err := c.Load(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, 100*time.Millisecond, time.Since(begun))
		require.True(t, v.Stale)
		require.NoError(t, v.Err)
		require.Equal(t, 1, v.V)
		time.Sleep(time.Second)
		v, err = c.Load(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, 2, v.V, "the load went on")
	})

	never := limits
	never.Patience = -1
	fresh(t, "no patience", never, func(t *testing.T, s *source, c F) {
		_, err := c.Load(t.Context(), "a")
		require.NoError(t, err)
		time.Sleep(20 * time.Second)
		s.set(func(s *source) { s.took = time.Hour })
		begun := time.Now()
		v, err := c.Load(t.Context(), "a")
		require.NoError(t, err)
		require.True(t, v.Stale)
		require.Zero(t, time.Since(begun))
		time.Sleep(time.Minute)
	})

	slow := limits
	slow.Timeout, slow.Loads = time.Second, 2
	fresh(t, "a load that ignores its context", slow, func(t *testing.T, s *source, c F) {
		s.took, s.deaf = time.Minute, true
		begun := time.Now()
		_, err := c.Load(t.Context(), "a")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(begun))
		_, err = c.Load(t.Context(), "b")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err = c.Load(ctx, "c")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 2, s.called(), "those that do not end keep their room")
		time.Sleep(2 * time.Minute)
		s.set(func(s *source) { s.took = 0 })
		_, err = c.Load(t.Context(), "c")
		require.NoError(t, err)
	})

	small := limits
	small.Size = 10
	fresh(t, "its size", small, func(t *testing.T, s *source, c F) {
		for i := range 25 {
			_, err := c.Load(t.Context(), fmt.Sprint(i))
			require.NoError(t, err)
			_, err = c.Load(t.Context(), "0")
			require.NoError(t, err)
		}
		require.Equal(t, 10, c.Stats().Values)
		require.Equal(t, 25, s.called(), "the one in use stays")
		_, err := c.Load(t.Context(), "24")
		require.NoError(t, err)
		require.Equal(t, 25, s.called())
		_, err = c.Load(t.Context(), "1")
		require.NoError(t, err)
		require.Equal(t, 26, s.called())
	})
}

// A load function that panics, or ends its goroutine, fails the load and
// nothing else.
func TestFreshPanic(t *testing.T) {
	for name, load := range map[string]func(context.Context, string) (int, error){
		"panic":  func(context.Context, string) (int, error) { panic("secret") },
		"goexit": func(context.Context, string) (int, error) { runtime.Goexit(); return 0, nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := uiupdate.NewFresh(load, &uiupdate.FreshOptions{Loads: 1, Pause: -1})
				for range 3 {
					_, err := c.Load(t.Context(), "a")
					require.Error(t, err)
					require.NotContains(t, err.Error(), "secret")
					e, ok := errors.AsType[*uiupdate.Error](err)
					require.True(t, ok)
					require.Equal(t, "load", e.Op)
				}
			})
		})
	}
	require.Panics(t, func() { uiupdate.NewFresh[string, int](nil, nil) })
}

package remoteinvoke_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/remoteinvoke"
	"github.com/crosstie/crosstie/retry"
)

// begin starts a job from within.
func begin(t *testing.T, s *remoteinvoke.Service, in any, o *remoteinvoke.StartOptions) remoteinvoke.Status {
	t.Helper()
	st, err := s.Start(t.Context(), "", in, o)
	require.NoError(t, err)
	return st
}

func status(t *testing.T, s *remoteinvoke.Service, id string) remoteinvoke.Status {
	t.Helper()
	st, err := s.Status(t.Context(), "", id)
	require.NoError(t, err)
	return st
}

func TestDeadlines(t *testing.T) {
	causes := func(seen *[]error) func(context.Context, *remoteinvoke.Job, string) (string, error) {
		return func(ctx context.Context, _ *remoteinvoke.Job, _ string) (string, error) {
			<-ctx.Done()
			*seen = append(*seen, context.Cause(ctx))
			return "", ctx.Err()
		}
	}
	bubble(t, "of the queue", func(t *testing.T) {
		s := remoteinvoke.NewService("f", remoteinvoke.NewMem(), work(time.Hour), &remoteinvoke.ServiceOptions{Workers: 1, QueueTimeout: time.Minute})
		start(t, s)
		c, _ := client[string, string](s)
		first, err := c.Start(t.Context(), "x", nil)
		require.NoError(t, err)
		time.Sleep(time.Second)
		second, err := c.Start(t.Context(), "x", nil)
		require.NoError(t, err)
		began := time.Now()
		_, err = second.Wait(t.Context())
		f, ok := errors.AsType[*remoteinvoke.Failure](err)
		require.True(t, ok, "%v", err)
		require.Equal(t, remoteinvoke.CodeQueueTimeout, f.Code)
		require.Equal(t, outcome.Refused, outcome.Of(err), "nothing was begun")
		require.Less(t, time.Since(began), 70*time.Second, "although every worker is busy")
		_, err = first.Wait(t.Context())
		require.NoError(t, err)
	})
	bubble(t, "of an attempt", func(t *testing.T) {
		var seen []error
		s := remoteinvoke.NewService("f", remoteinvoke.NewMem(), causes(&seen), &remoteinvoke.ServiceOptions{RunTimeout: time.Minute})
		start(t, s)
		c, _ := client[string, string](s)
		p, err := c.Start(t.Context(), "x", nil)
		require.NoError(t, err)
		_, err = p.Wait(t.Context())
		f, ok := errors.AsType[*remoteinvoke.Failure](err)
		require.True(t, ok)
		require.Equal(t, remoteinvoke.CodeAttempts, f.Code)
		require.Len(t, seen, 10)
		require.ErrorIs(t, seen[0], remoteinvoke.ErrTimeout)
	})
	bubble(t, "of all", func(t *testing.T) {
		var seen []error
		s := remoteinvoke.NewService("f", remoteinvoke.NewMem(), causes(&seen), &remoteinvoke.ServiceOptions{Timeout: time.Minute})
		start(t, s)
		c, _ := client[string, string](s)
		p, err := c.Start(t.Context(), "x", nil)
		require.NoError(t, err)
		require.Equal(t, time.Minute, status(t, s, p.ID()).Deadline.Sub(status(t, s, p.ID()).Created))
		_, err = p.Wait(t.Context())
		f, ok := errors.AsType[*remoteinvoke.Failure](err)
		require.True(t, ok)
		require.Equal(t, remoteinvoke.CodeTimeout, f.Code)
		require.Len(t, seen, 1)
		require.ErrorIs(t, seen[0], remoteinvoke.ErrTimeout)
		// The caller asks for less, and cannot ask for more.
		for _, d := range []time.Duration{10 * time.Second, time.Hour} {
			p, err := c.Start(t.Context(), "x", &remoteinvoke.StartOptions{Timeout: d})
			require.NoError(t, err)
			st := status(t, s, p.ID())
			require.Equal(t, min(d, time.Minute), st.Deadline.Sub(st.Created))
		}
	})
	bubble(t, "none", func(t *testing.T) {
		s := remoteinvoke.NewService("f", remoteinvoke.NewMem(), work(30*time.Hour),
			&remoteinvoke.ServiceOptions{Timeout: -1, RunTimeout: -1, QueueTimeout: -1, Lease: time.Hour, Poll: time.Hour})
		start(t, s)
		st := begin(t, s, "x", nil)
		require.Zero(t, st.Deadline)
		time.Sleep(31 * time.Hour)
		require.Equal(t, remoteinvoke.Done, status(t, s, st.ID).State)
	})
}

func TestDrain(t *testing.T) {
	bubble(t, "lets a function return", func(t *testing.T) {
		s := remoteinvoke.NewService("f", remoteinvoke.NewMem(), work(5*time.Second), nil)
		stop := start(t, s)
		st := begin(t, s, "x", nil)
		time.Sleep(time.Second)
		began := time.Now()
		stop()
		require.Equal(t, 4*time.Second, time.Since(began))
		require.Equal(t, remoteinvoke.Done, status(t, s, st.ID).State)
	})
	bubble(t, "hands back what takes longer, uncounted and with what it saved", func(t *testing.T) {
		store := remoteinvoke.NewMem()
		var causes []error
		var from []int
		fn := func(ctx context.Context, j *remoteinvoke.Job, _ string) (int, error) {
			var n int
			if _, err := j.Saved(&n); err != nil {
				return 0, err
			}
			from = append(from, n)
			defer func() {
				if err := context.Cause(ctx); err != nil {
					causes = append(causes, err)
				}
			}()
			for ; n < 100; n++ {
				if _, err := work(time.Second)(ctx, j, ""); err != nil {
					return 0, err
				}
				if err := j.Save(ctx, n+1); err != nil {
					return 0, err
				}
			}
			return j.Attempt(), nil
		}
		first := remoteinvoke.NewService("f", store, fn, nil)
		second := remoteinvoke.NewService("f", store, fn, nil)
		stop := start(t, first)
		c, _ := client[string, int](second)
		p, err := c.Start(t.Context(), "x", nil)
		require.NoError(t, err)
		time.Sleep(30 * time.Second)
		began := time.Now()
		stop()
		require.Equal(t, 10*time.Second, time.Since(began))
		require.Equal(t, remoteinvoke.Running, status(t, second, p.ID()).State)
		start(t, second)
		attempts, err := p.Wait(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, attempts)
		require.Len(t, causes, 1)
		require.ErrorIs(t, causes[0], remoteinvoke.ErrStopping)
		require.Equal(t, 0, from[0])
		require.InDelta(t, 39, from[1], 2)
	})
	bubble(t, "at any moment costs no attempt", func(t *testing.T) {
		store := &slowly{Store: remoteinvoke.NewMem()}
		fn := work(70 * time.Millisecond)
		o := &remoteinvoke.ServiceOptions{Drain: -1, Workers: 4, Retry: retry.Policy{MaxAttempts: 1}}
		api := remoteinvoke.NewService("f", store, fn, o)
		var ids []string
		for range 40 {
			ids = append(ids, begin(t, api, "x", nil).ID)
		}
		began := time.Now()
		for i := range 60 {
			stop := start(t, remoteinvoke.NewService("f", store, fn, o))
			time.Sleep(time.Duration(i*7%200) * time.Millisecond)
			stop()
		}
		start(t, api)
		time.Sleep(3 * time.Second)
		for _, id := range ids {
			require.Equal(t, remoteinvoke.Done, status(t, api, id).State)
		}
		require.Less(t, time.Since(began), 20*time.Second, "and no lease had to run out")
	})
	bubble(t, "runs once at a time", func(t *testing.T) {
		s := remoteinvoke.NewService("f", remoteinvoke.NewMem(), echo, nil)
		stop := start(t, s)
		time.Sleep(time.Second)
		require.ErrorIs(t, s.Run(t.Context()), remoteinvoke.ErrRunning)
		stop()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.NoError(t, s.Run(ctx), "and again")
	})
}

// slowly is a store whose answers take time, so that a context may end on
// their way; what was asked for is done all the same.
type slowly struct{ remoteinvoke.Store }

func (s *slowly) Claim(ctx context.Context, c remoteinvoke.Claim) ([]remoteinvoke.Task, error) {
	ts, err := s.Store.Claim(ctx, c)
	time.Sleep(15 * time.Millisecond)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return ts, err
}

func TestVersions(t *testing.T) {
	bubble(t, "a job of a newer program waits for a process of it", func(t *testing.T) {
		store := remoteinvoke.NewMem()
		o := &remoteinvoke.ServiceOptions{Retry: retry.Policy{Base: time.Hour, Max: time.Hour}, MaxPending: -1}
		older := remoteinvoke.NewService("f", store, func(context.Context, *remoteinvoke.Job, struct{ A int }) (int, error) { return 1, nil }, o)
		newer := remoteinvoke.NewService("f", store, func(context.Context, *remoteinvoke.Job, struct{ A, B int }) (int, error) { return 2, nil }, o)
		stop := start(t, older)
		st := begin(t, newer, struct{ A, B int }{1, 2}, nil)
		time.Sleep(time.Second)
		stop()
		require.Equal(t, remoteinvoke.Running, status(t, newer, st.ID).State)
		start(t, newer)
		c, _ := client[any, int](newer)
		p, err := c.Resume("job1." + st.ID)
		require.NoError(t, err)
		out, err := p.Wait(t.Context())
		require.NoError(t, err)
		require.Equal(t, 2, out)
	})
}

func TestManyJobs(t *testing.T) {
	bubble(t, "run at once, and no more than may", func(t *testing.T) {
		var now, most atomic.Int64
		s := remoteinvoke.NewService("f", remoteinvoke.NewMem(), func(ctx context.Context, j *remoteinvoke.Job, in string) (string, error) {
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			defer now.Add(-1)
			return work(time.Second)(ctx, j, in)
		}, &remoteinvoke.ServiceOptions{Workers: 10, Retry: retry.Policy{MaxAttempts: 1}})
		start(t, s)
		began := time.Now()
		var ids []string
		for range 100 {
			ids = append(ids, begin(t, s, "x", nil).ID)
		}
		time.Sleep(10*time.Second + 10*time.Millisecond)
		for _, id := range ids {
			require.Equal(t, remoteinvoke.Done, status(t, s, id).State)
		}
		require.EqualValues(t, 10, most.Load())
		require.Less(t, time.Since(began), 11*time.Second)
	})
}

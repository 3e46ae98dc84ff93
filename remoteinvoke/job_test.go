package remoteinvoke_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/remoteinvoke"
)

func TestProgress(t *testing.T) {
	bubble(t, "never goes back, and is not written at each report", func(t *testing.T) {
		counted := &counts{Store: remoteinvoke.NewMem()}
		s := remoteinvoke.NewService("f", counted, func(ctx context.Context, j *remoteinvoke.Job, _ string) (int, error) {
			for n := range 1000 {
				j.Report(int64(n+1), 1000, "adding")
				j.Report(int64(n-5), 1000, "adding") // is behind
				time.Sleep(10 * time.Millisecond)
				if n == 500 && j.Attempt() == 1 {
					return 0, errors.New("begins anew, without what it had")
				}
			}
			return 0, nil
		}, nil)
		start(t, s)
		c, _ := client[string, int](s)
		c.Poll.First = time.Second
		p, err := c.Start(t.Context(), "x", nil)
		require.NoError(t, err)
		var seen []remoteinvoke.Status
		_, err = p.Watch(t.Context(), func(st remoteinvoke.Status) { seen = append(seen, st) })
		require.NoError(t, err)
		require.Greater(t, len(seen), 10)
		for i := range seen[1:] {
			require.Greater(t, seen[i+1].Version, seen[i].Version)
			require.GreaterOrEqual(t, seen[i+1].Progress.Done, seen[i].Progress.Done)
		}
		require.EqualValues(t, 1000, seen[len(seen)-1].Progress.Done)
		require.Less(t, counted.updates.Load(), int64(30), "for 3,000 reports")
	})
	bubble(t, "is whole at the end", func(t *testing.T) {
		s := remoteinvoke.NewService("f", remoteinvoke.NewMem(), func(_ context.Context, j *remoteinvoke.Job, _ string) (int, error) {
			j.Report(1, 2, "")
			time.Sleep(10 * time.Millisecond) // the first is written
			j.Report(2, 2, "")
			return 0, nil
		}, nil)
		start(t, s)
		st := begin(t, s, "x", nil)
		time.Sleep(time.Second)
		synctest.Wait()
		require.EqualValues(t, 2, status(t, s, st.ID).Progress.Done)
	})
	bubble(t, "is bounded", func(t *testing.T) {
		s := remoteinvoke.NewService("f", remoteinvoke.NewMem(), func(ctx context.Context, j *remoteinvoke.Job, _ string) (int, error) {
			j.Report(-5, -1, string(make([]byte, 1000))+"\xff")
			return 0, j.Save(ctx, 1)
		}, nil)
		start(t, s)
		st := begin(t, s, "x", nil)
		time.Sleep(time.Second)
		st = status(t, s, st.ID)
		require.Zero(t, st.Progress.Done)
		require.Len(t, st.Progress.Note, 256)
	})
}

type counts struct {
	remoteinvoke.Store
	updates atomic.Int64
}

func (c *counts) Update(ctx context.Context, k remoteinvoke.Key, epoch int64, u remoteinvoke.Update) (remoteinvoke.State, error) {
	c.updates.Add(1)
	return c.Store.Update(ctx, k, epoch, u)
}

func TestSave(t *testing.T) {
	bubble(t, "under a lost lease ends the function's context", func(t *testing.T) {
		store := &dies{Store: remoteinvoke.NewMem()}
		var errs []error
		s := remoteinvoke.NewService("f", store, func(ctx context.Context, j *remoteinvoke.Job, _ string) (int, error) {
			store.dead.Store(true)
			errs = append(errs, j.Save(ctx, 1), context.Cause(ctx))
			return 0, ctx.Err()
		}, nil)
		start(t, s)
		begin(t, s, "x", nil)
		time.Sleep(time.Second)
		synctest.Wait()
		require.Len(t, errs, 2)
		require.ErrorIs(t, errs[0], remoteinvoke.ErrLost)
		require.ErrorIs(t, errs[1], remoteinvoke.ErrLost)
	})
	bubble(t, "what cannot be saved", func(t *testing.T) {
		var kept *remoteinvoke.Job
		var errs []error
		s := remoteinvoke.NewService("f", remoteinvoke.NewMem(), func(ctx context.Context, j *remoteinvoke.Job, _ string) (int, error) {
			kept = j
			errs = append(errs, j.Save(ctx, func() {}), j.Save(ctx, make([]byte, 2000)), j.SaveTx(ctx, nil, 1), j.Save(ctx, "text"))
			var n int
			_, err := j.Saved(&n) // it is a text
			errs = append(errs, err)
			return 0, nil
		}, &remoteinvoke.ServiceOptions{MaxSaved: 1000})
		start(t, s)
		st := begin(t, s, "x", nil)
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, remoteinvoke.Done, status(t, s, st.ID).State)
		require.ErrorIs(t, errs[0], remoteinvoke.ErrInvalid)
		require.ErrorIs(t, errs[1], remoteinvoke.ErrTooLarge)
		require.ErrorIs(t, errs[2], remoteinvoke.ErrNoTx)
		require.NoError(t, errs[3])
		require.Error(t, errs[4])
		require.ErrorIs(t, kept.Save(t.Context(), 1), remoteinvoke.ErrLost, "after the function has returned")
		kept.Report(1, 1, "")
		require.Zero(t, status(t, s, st.ID).Progress)
	})
}

// A lateBeat holds up the heartbeats that carry a progress until they are let
// go.
type lateBeat struct {
	remoteinvoke.Store
	let  chan struct{}
	late atomic.Int64
}

func (s *lateBeat) Update(ctx context.Context, k remoteinvoke.Key, epoch int64, u remoteinvoke.Update) (remoteinvoke.State, error) {
	if u.Verdict == remoteinvoke.Extend && u.Saved == nil && u.Progress != nil {
		s.late.Add(1)
		<-s.let
	}
	return s.Store.Update(ctx, k, epoch, u)
}

func TestLateBeat(t *testing.T) {
	bubble(t, "does not take a progress back", func(t *testing.T) {
		store := &lateBeat{Store: remoteinvoke.NewMem(), let: make(chan struct{})}
		s := remoteinvoke.NewService("f", store, func(ctx context.Context, job *remoteinvoke.Job, in string) (string, error) {
			job.Report(1, 10, "one")
			time.Sleep(time.Millisecond) // the beat is on its way
			job.Report(2, 10, "two")
			if err := job.Save(ctx, 2); err != nil {
				return "", err
			}
			time.Sleep(5 * time.Second)
			return in, nil
		}, nil)
		start(t, s)
		st := begin(t, s, "x", nil)
		time.Sleep(time.Second)
		synctest.Wait()
		require.EqualValues(t, 1, store.late.Load())
		was := status(t, s, st.ID)
		require.EqualValues(t, 2, was.Progress.Done)
		close(store.let)
		time.Sleep(10 * time.Millisecond)
		now := status(t, s, st.ID)
		require.Equal(t, was.Progress, now.Progress)
		require.Equal(t, was.Version, now.Version)
	})
}

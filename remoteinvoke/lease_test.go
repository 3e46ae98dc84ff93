package remoteinvoke_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/remoteinvoke"
)

// partitioned is a store that a process cannot reach for a while.
type partitioned struct {
	remoteinvoke.Store
	off atomic.Bool
}

func (p *partitioned) Update(ctx context.Context, k remoteinvoke.Key, epoch int64, u remoteinvoke.Update) (remoteinvoke.State, error) {
	if p.off.Load() {
		return "", errNet
	}
	return p.Store.Update(ctx, k, epoch, u)
}

// away is one that answers nothing of it.
type away struct{ partitioned }

func (p *away) Claim(ctx context.Context, c remoteinvoke.Claim) ([]remoteinvoke.Task, error) {
	if p.off.Load() {
		return nil, errNet
	}
	return p.Store.Claim(ctx, c)
}

func TestLeases(t *testing.T) {
	bubble(t, "a process that lost its job writes nothing more", func(t *testing.T) {
		mem := remoteinvoke.NewMem()
		first := &partitioned{Store: mem}
		var mu sync.Mutex
		saves := map[int][]error{} // by attempt
		var cause error
		fn := func(ctx context.Context, j *remoteinvoke.Job, _ string) (int, error) {
			for range 60 {
				time.Sleep(time.Second) // heeds nothing
				j.Report(int64(j.Attempt()*1000), 5000, "")
				err := j.Save(t.Context(), j.Attempt())
				mu.Lock()
				saves[j.Attempt()] = append(saves[j.Attempt()], err)
				mu.Unlock()
			}
			if j.Attempt() == 1 {
				cause = context.Cause(ctx)
			}
			return j.Attempt(), nil
		}
		a := remoteinvoke.NewService("f", first, fn, nil)
		b := remoteinvoke.NewService("f", mem, fn, nil)
		stop := start(t, a)
		st := begin(t, a, "x", nil)
		time.Sleep(5 * time.Second)
		first.off.Store(true)
		lost := time.Now()
		start(t, b)
		for status(t, b, st.ID).Attempt < 2 {
			time.Sleep(10 * time.Millisecond)
		}
		require.LessOrEqual(t, time.Since(lost), 20*time.Second, "two leases")
		first.off.Store(false)
		time.Sleep(2 * time.Minute)
		end := status(t, b, st.ID)
		require.Equal(t, remoteinvoke.Done, end.State)
		require.Equal(t, 2, end.Attempt)
		require.EqualValues(t, 2000, end.Progress.Done)
		stop()
		require.ErrorIs(t, cause, remoteinvoke.ErrLost)
		require.NoError(t, saves[1][2])
		require.ErrorIs(t, saves[1][40], remoteinvoke.ErrLost)
		for _, err := range saves[2] {
			require.NoError(t, err)
		}
	})
	bubble(t, "a short failure of the store loses nothing", func(t *testing.T) {
		p := &partitioned{Store: remoteinvoke.NewMem()}
		var n atomic.Int64
		s := remoteinvoke.NewService("f", p, func(ctx context.Context, _ *remoteinvoke.Job, _ string) (int64, error) {
			time.Sleep(30 * time.Second)
			return n.Add(1), ctx.Err()
		}, nil)
		start(t, s)
		st := begin(t, s, "x", nil)
		time.Sleep(9 * time.Second)
		p.off.Store(true)
		time.Sleep(4 * time.Second)
		p.off.Store(false)
		time.Sleep(16 * time.Second)
		p.off.Store(true) // when it ends
		time.Sleep(5 * time.Second)
		p.off.Store(false)
		time.Sleep(5 * time.Second)
		require.Equal(t, remoteinvoke.Done, status(t, s, st.ID).State)
		require.EqualValues(t, 1, n.Load())
	})
	for name, outage := range map[string]time.Duration{"a minute": time.Minute, "an hour": time.Hour} {
		bubble(t, "what was done while the store was away for "+name+" is not done again", func(t *testing.T) {
			p := &partitioned{Store: remoteinvoke.NewMem()}
			var n atomic.Int64
			s := remoteinvoke.NewService("f", p, func(context.Context, *remoteinvoke.Job, string) (int64, error) {
				time.Sleep(30 * time.Second)
				return n.Add(1), nil
			}, nil)
			start(t, s)
			st := begin(t, s, "x", nil)
			time.Sleep(29 * time.Second)
			p.off.Store(true)
			time.Sleep(outage)
			p.off.Store(false)
			time.Sleep(time.Minute)
			end := status(t, s, st.ID)
			require.Equal(t, remoteinvoke.Done, end.State)
			require.EqualValues(t, 1, n.Load())
		})
		bubble(t, "nor if its lease was lost on the way, for "+name, func(t *testing.T) {
			p := &away{partitioned{Store: remoteinvoke.NewMem()}}
			var n atomic.Int64
			s := remoteinvoke.NewService("f", p, func(context.Context, *remoteinvoke.Job, string) (int64, error) {
				time.Sleep(30 * time.Second) // heeds nothing
				return n.Add(1), nil
			}, nil)
			start(t, s)
			st := begin(t, s, "x", nil)
			time.Sleep(time.Second)
			p.off.Store(true)
			time.Sleep(29*time.Second + outage)
			p.off.Store(false)
			time.Sleep(time.Minute)
			require.Equal(t, remoteinvoke.Done, status(t, s, st.ID).State)
			require.EqualValues(t, 1, n.Load())
		})
	}
	bubble(t, "another process that took the job does it again: at least once", func(t *testing.T) {
		mem := remoteinvoke.NewMem()
		p := &away{partitioned{Store: mem}}
		var n atomic.Int64
		fn := func(context.Context, *remoteinvoke.Job, string) (int64, error) {
			time.Sleep(30 * time.Second)
			return n.Add(1), nil
		}
		a, b := remoteinvoke.NewService("f", p, fn, nil), remoteinvoke.NewService("f", mem, fn, nil)
		start(t, a)
		st := begin(t, a, "x", nil)
		time.Sleep(29 * time.Second)
		p.off.Store(true)
		start(t, b)
		time.Sleep(time.Minute)
		p.off.Store(false)
		time.Sleep(time.Minute)
		end := status(t, b, st.ID)
		require.Equal(t, remoteinvoke.Done, end.State)
		require.Equal(t, 2, end.Attempt)
		require.EqualValues(t, 2, n.Load())
	})
	bubble(t, "who takes its process down each time is failed", func(t *testing.T) {
		mem := remoteinvoke.NewMem()
		s := remoteinvoke.NewService("f", mem, echo, nil)
		st := begin(t, s, "x", nil)
		for range 10 { // claimed, and the process dies
			ts, err := mem.Claim(t.Context(), remoteinvoke.Claim{Service: "f", Lease: time.Second, Max: 1})
			require.NoError(t, err)
			require.Len(t, ts, 1)
			time.Sleep(time.Minute)
		}
		start(t, s)
		time.Sleep(time.Second)
		end := status(t, s, st.ID)
		require.Equal(t, remoteinvoke.Failed, end.State)
		require.Equal(t, remoteinvoke.CodeCrashed, end.Failure.Code)
		require.Equal(t, 11, end.Attempt)
	})
	bubble(t, "a job that was canceled and abandoned is canceled", func(t *testing.T) {
		mem := remoteinvoke.NewMem()
		var n atomic.Int64
		s := remoteinvoke.NewService("f", mem, func(context.Context, *remoteinvoke.Job, string) (int64, error) { return n.Add(1), nil }, nil)
		st := begin(t, s, "x", nil)
		_, err := mem.Claim(t.Context(), remoteinvoke.Claim{Service: "f", Lease: time.Second, Max: 1})
		require.NoError(t, err)
		_, err = s.Cancel(t.Context(), "", st.ID)
		require.NoError(t, err)
		start(t, s)
		time.Sleep(time.Minute)
		require.Equal(t, remoteinvoke.Canceled, status(t, s, st.ID).State)
		require.Zero(t, n.Load())
	})
}

package batchsync_test

import (
	"context"
	"errors"
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/batchsync"
	"github.com/crosstie/crosstie/outcome"
)

func TestASecondRunnerIsRefused(t *testing.T) {
	o := &batchsync.Options{Checkpoints: batchsync.NewMem()}
	var inner error
	dst := newTarget()
	second := batchsync.New("s", slice(1, items("a=1")...), dst, o)
	busy := batchsync.To(func(ctx context.Context, rows []row) ([]batchsync.Result, error) {
		var rep *batchsync.Report
		rep, inner = second.Run(ctx)
		require.Equal(t, batchsync.Counts{}, rep.Counts)
		require.ErrorIs(t, second.Reset(ctx), batchsync.ErrHeld)
		return dst.Write(ctx, rows)
	})
	_, err := batchsync.New("s", slice(1, items("a=1")...), busy, o).Run(t.Context())
	require.NoError(t, err)
	require.ErrorIs(t, inner, batchsync.ErrHeld)
	require.Equal(t, outcome.NotSent, outcome.Of(inner), "nothing was read")
	transient, _ := outcome.Transient(inner)
	require.True(t, transient, "it passes when the other has finished")
	_, err = batchsync.New("other", slice(1, items("a=1")...), dst, o).Run(t.Context())
	require.NoError(t, err)
}

func TestALongWriteKeepsItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &batchsync.Options{Checkpoints: batchsync.NewMem()}
		dst := newTarget()
		slow := batchsync.To(func(ctx context.Context, rows []row) ([]batchsync.Result, error) {
			time.Sleep(time.Hour)
			_, err := batchsync.New("s", slice(1), dst, o).Run(ctx)
			require.ErrorIs(t, err, batchsync.ErrHeld)
			return dst.Write(ctx, rows)
		})
		_, err := batchsync.New("s", slice(1, items("a=1")...), slow, o).Run(t.Context())
		require.NoError(t, err)
	})
}

// cut is a store that one runner cannot reach any more.
type cut struct {
	batchsync.Store
	down bool
}

var errDown = errors.New("the store is down")

func (c *cut) Renew(ctx context.Context, cp batchsync.Checkpoint, d time.Duration) error {
	if c.down {
		return errDown
	}
	return c.Store.Renew(ctx, cp, d)
}

func (c *cut) Release(ctx context.Context, cp batchsync.Checkpoint) error {
	if c.down {
		return errDown
	}
	return c.Store.Release(ctx, cp)
}

func TestAZombieCannotSave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := batchsync.NewMem()
		dst := newTarget()
		lost := &cut{Store: mem}
		var after batchsync.Checkpoint
		zombie := batchsync.To(func(ctx context.Context, rows []row) ([]batchsync.Result, error) {
			lost.down = true
			<-ctx.Done()
			time.Sleep(10 * time.Second) // it wakes up long after
			rep, err := batchsync.New("s", slice(1, items("a=1", "b=2")...), dst, &batchsync.Options{Checkpoints: mem}).Run(t.Context())
			require.NoError(t, err)
			require.Equal(t, batchsync.Counts{In: 2, Inserted: 2}, rep.Counts)
			after, err = mem.Claim(t.Context(), "s", "", "look", time.Second)
			require.NoError(t, err)
			return dst.Write(ctx, rows)
		})
		rep, err := batchsync.New("s", slice(1, items("a=1", "b=2")...), zombie, &batchsync.Options{Checkpoints: lost}).Run(t.Context())
		require.ErrorIs(t, err, batchsync.ErrLost)
		require.EqualValues(t, 1, rep.Unprocessed)
		time.Sleep(2 * time.Second)
		got, err := mem.Claim(t.Context(), "s", "", "look", time.Second)
		require.NoError(t, err)
		got.Epoch = after.Epoch
		require.Equal(t, after, got, "the zombie wrote nothing")
	})
}

func TestAfterACrashTheLeaseIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := batchsync.NewMem()
		_, err := mem.Claim(t.Context(), "s", "", "crashed", 10*time.Second)
		require.NoError(t, err)
		s := batchsync.New("s", slice(1, items("a=1")...), newTarget(), &batchsync.Options{Checkpoints: mem})
		started := time.Now()
		for {
			_, err := s.Run(t.Context())
			if err == nil {
				break
			}
			require.ErrorIs(t, err, batchsync.ErrHeld)
			time.Sleep(time.Second)
		}
		require.LessOrEqual(t, time.Since(started), 20*time.Second)
	})
}

// A panic of a source goes through Run, and leaves nothing behind that would
// hold the sync for as long as the process lives.
func TestAPanicGivesTheLeaseBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad := true
		src := batchsync.From(func(context.Context, string) iter.Seq2[batchsync.Page[int], error] {
			return func(yield func(batchsync.Page[int], error) bool) {
				if bad {
					panic("boo")
				}
				yield(batchsync.Page[int]{Done: true}, nil)
			}
		})
		dst := batchsync.To(func(context.Context, []batchsync.Row[int]) ([]batchsync.Result, error) { return nil, nil })
		s := batchsync.New("s", src, dst, nil)
		require.PanicsWithValue(t, "boo", func() { _, _ = s.Run(t.Context()) })
		bad = false
		_, err := s.Run(t.Context())
		require.NoError(t, err)
	})
}

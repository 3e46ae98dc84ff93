package batchsync_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/batchsync"
	"github.com/crosstie/crosstie/outcome"
)

// A fault hits the n-th call to store or sink: before it, after it took
// effect, or this one and all that follow (the process is gone).
type fault struct {
	n, calls int
	mode     string
}

func (f *fault) around(do func() error) error {
	f.calls++
	hit := f.calls == f.n || f.mode == "from then on" && f.calls > f.n && f.n > 0
	if hit && f.mode != "after" {
		return outcome.TransientError(outcome.NotSent, false, errBoom)
	}
	err := do()
	if hit && err == nil {
		return outcome.TransientError(outcome.Unknown, false, errBoom)
	}
	return err
}

type faultyStore struct {
	batchsync.Store
	f *fault
}

func (s faultyStore) Claim(ctx context.Context, sync, part, owner string, d time.Duration) (c batchsync.Checkpoint, err error) {
	err = s.f.around(func() error { c, err = s.Store.Claim(ctx, sync, part, owner, d); return err })
	return c, err
}

func (s faultyStore) Save(ctx context.Context, c batchsync.Checkpoint, dead []batchsync.DeadRow, d time.Duration) error {
	return s.f.around(func() error { return s.Store.Save(ctx, c, dead, d) })
}

func (s faultyStore) Release(ctx context.Context, c batchsync.Checkpoint) error {
	return s.f.around(func() error { return s.Store.Release(ctx, c) })
}

// TestEveryBoundary fails each call of a run once, before and after its
// effect, and lets the run be resumed: whatever was hit, in the end every row
// is in the sink or among the dead rows, and the report adds up.
func TestEveryBoundary(t *testing.T) {
	rows := items("a=1", "b=2", "c=3", "d=4", "e=5", "b=6", "a=7")
	rows[2].Err = errBoom
	want := map[string]string{"a": "7", "b": "6", "d": "4", "e": "5"}
	for _, mode := range []string{"before", "after", "from then on"} {
		t.Run(mode, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for n := 1; ; n++ {
					dst, mem, f := newTarget(), batchsync.NewMem(), &fault{n: n, mode: mode}
					sink := batchsync.To(func(ctx context.Context, rows []row) (out []batchsync.Result, err error) {
						err = f.around(func() error { out, err = dst.Write(ctx, rows); return err })
						return out, err
					})
					run := func(store batchsync.Store) (*batchsync.Report, error) {
						rep, err := batchsync.New("s", slice(2, rows...), sink, &batchsync.Options{Checkpoints: store, BatchRows: 2}).Run(t.Context())
						require.NoError(t, rep.Check())
						return rep, err
					}
					_, err := run(faultyStore{mem, f})
					if f.calls < n {
						require.NoError(t, err)
						t.Logf("%d boundaries", n-1)
						return
					}
					f.n = 0
					if err != nil {
						time.Sleep(10 * time.Second) // the lease runs out
						rep, err := run(mem)
						require.NoError(t, err, "call %d", n)
						require.EqualValues(t, 7, rep.In)
						require.EqualValues(t, 1, rep.Parked)
					}
					require.Equal(t, want, dst.snapshot(), "call %d", n)
					dead, err := mem.Dead(t.Context(), "s", batchsync.DeadRow{}, 10)
					require.NoError(t, err)
					require.Len(t, dead, 1)
				}
			})
		})
	}
}

// TestRandomOutcomes gives rows any outcome, and the run any interruption: the
// report always adds up, and what it says of the sink is so.
func TestRandomOutcomes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for seed := range uint64(300) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			var rows []row
			for i := range rnd.IntN(40) {
				r := items(fmt.Sprintf("%d=%d", rnd.IntN(30), i))[0]
				if rnd.IntN(10) == 0 {
					r.Err = errBoom
				}
				rows = append(rows, r)
			}
			dst, applied := newTarget(), int64(0)
			sink := batchsync.To(func(ctx context.Context, in []row) ([]batchsync.Result, error) {
				if rnd.IntN(6) == 0 {
					return nil, outcome.TransientError(outcome.Refused, rnd.IntN(2) == 0, errBoom)
				}
				var out []batchsync.Result
				for _, r := range in {
					switch rnd.IntN(8) {
					case 0:
						out = append(out, batchsync.Result{Verdict: batchsync.Failed, Err: outcome.TransientError(outcome.Refused, rnd.IntN(2) == 0, errBoom)})
					case 1:
						out = append(out, batchsync.Result{})
					default:
						out = append(out, dst.write([]row{r})...)
						applied++
					}
				}
				return out, nil
			})
			o := &batchsync.Options{Checkpoints: batchsync.NewMem(), BatchRows: 1 + rnd.IntN(5)}
			s := batchsync.New("s", slice(1+rnd.IntN(7), rows...), sink, o)
			for {
				rep, err := s.Run(t.Context())
				require.NoError(t, rep.Check(), "seed %d", seed)
				require.Len(t, deadRows(t, s), int(rep.Failed+rep.Parked), "seed %d", seed)
				if err == nil {
					require.EqualValues(t, len(rows), rep.In, "seed %d", seed)
					require.Zero(t, rep.Unprocessed, "seed %d", seed)
					require.LessOrEqual(t, rep.Done()+rep.Unchanged, applied, "seed %d", seed)
					break
				}
			}
		}
	})
}

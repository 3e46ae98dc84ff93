package batchsync_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/batchsync"
	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/retry"
)

func TestDeltaRunMovesOnlyWhatChanged(t *testing.T) {
	dst := newTarget()
	o := &batchsync.Options{Checkpoints: batchsync.NewMem()}
	first, err := batchsync.New("s", slice(2, items("a=1", "b=2", "c=3")...), dst, o).Run(t.Context())
	require.NoError(t, err)
	require.Equal(t, batchsync.Counts{In: 3, Inserted: 3}, first.Counts)
	require.True(t, first.Complete())
	require.EqualValues(t, 1, first.Run)

	next, err := batchsync.New("s", slice(2, items("a=1", "b=9", "c=", "d=")...), dst, o).Run(t.Context())
	require.NoError(t, err)
	require.Equal(t, batchsync.Counts{In: 4, Updated: 1, Unchanged: 2, Deleted: 1}, next.Counts)
	require.EqualValues(t, 2, next.Run)
	require.EqualValues(t, 2, next.Done())
	require.False(t, next.Resumed)
	require.Equal(t, map[string]string{"a": "1", "b": "9"}, dst.snapshot())
}

func TestAnEmptySourceIsARunOfNoRows(t *testing.T) {
	rep, err := batchsync.New("s", slice(2), newTarget(), nil).Run(t.Context())
	require.NoError(t, err)
	require.Equal(t, batchsync.Counts{}, rep.Counts)
}

// failing yields the pages of src and, instead of page n, err.
func failing(src batchsync.Source[string], n int, err error) batchsync.Source[string] {
	return batchsync.From(func(ctx context.Context, after string) iter.Seq2[batchsync.Page[string], error] {
		return func(yield func(batchsync.Page[string], error) bool) {
			i := 0
			for p, e := range src.Pages(ctx, after) {
				if i == n {
					if err != nil {
						yield(batchsync.Page[string]{}, err)
					}
					return
				}
				if !yield(p, e) {
					return
				}
				i++
			}
		}
	})
}

func TestASourceThatFailsIsNotEmptyAndIsResumed(t *testing.T) {
	all := slice(2, items("a=1", "b=2", "c=3", "d=4", "e=5")...)
	for name, cause := range map[string]error{"an error": errBoom, "cut short": nil} {
		t.Run(name, func(t *testing.T) {
			dst := newTarget()
			o := &batchsync.Options{Checkpoints: batchsync.NewMem()}
			rep, err := batchsync.New("s", failing(all, 0, cause), dst, o).Run(t.Context())
			require.Error(t, err)
			require.Equal(t, batchsync.Counts{}, rep.Counts)
			require.Empty(t, dst.snapshot())

			rep, err = batchsync.New("s", failing(all, 1, cause), dst, o).Run(t.Context())
			want := cause
			if cause == nil {
				want = batchsync.ErrIncomplete
			}
			require.ErrorIs(t, err, want)
			e, ok := errors.AsType[*batchsync.Error](err)
			require.True(t, ok)
			require.Equal(t, "read", e.Op)
			require.EqualValues(t, 2, rep.In)

			rep, err = batchsync.New("s", all, dst, o).Run(t.Context())
			require.NoError(t, err)
			require.True(t, rep.Resumed)
			require.Equal(t, batchsync.Counts{In: 5, Inserted: 5}, rep.Counts)
			require.Equal(t, [][]string{{"a", "b"}, {"c", "d"}, {"e"}}, dst.writes)
		})
	}
}

func TestAPageThatCannotBeResumedAfterIsRefused(t *testing.T) {
	src := batchsync.From(func(context.Context, string) iter.Seq2[batchsync.Page[string], error] {
		return func(yield func(batchsync.Page[string], error) bool) {
			yield(batchsync.Page[string]{Rows: items("a=1")}, nil)
		}
	})
	dst := newTarget()
	_, err := batchsync.New("s", src, dst, nil).Run(t.Context())
	require.ErrorContains(t, err, "no Next")
	require.Empty(t, dst.snapshot())
}

func TestBadRowsAreParkedAndTheRestIsMoved(t *testing.T) {
	rows := items("a=1", "b=2", "=3", "d=x", "e=5")
	rows[1].Err, rows[1].Raw = errors.New("line 2: bad"), []byte("b;2")
	src := batchsync.Map(slice(2, rows...), func(v string) (string, error) {
		if v == "x" {
			return "", errors.New("no number")
		}
		return v, nil
	})
	dst := newTarget()
	s := batchsync.New("s", src, dst, nil)
	rep, err := s.Run(t.Context())
	require.NoError(t, err)
	require.Equal(t, batchsync.Counts{In: 5, Inserted: 2, Parked: 3}, rep.Counts)
	require.False(t, rep.Complete())
	require.Equal(t, map[string]string{"a": "1", "e": "5"}, dst.snapshot())

	dead := deadRows(t, s)
	require.Len(t, dead, 3)
	require.Equal(t, "b item 2 line 2: bad b;2", show(dead[0]))
	require.Equal(t, ` item 3 the row has no identity "3"`, show(dead[1]))
	require.Equal(t, `d item 4 map: no number "x"`, show(dead[2]))
	require.Equal(t, []int64{2, 3, 4}, []int64{dead[0].N, dead[1].N, dead[2].N})
	require.WithinDuration(t, time.Now(), dead[0].At, time.Minute)
}

func show(d batchsync.DeadRow) string {
	return fmt.Sprintf("%s %s %s %s", d.ID, d.Pos, d.Why, d.Value)
}

func deadRows(t *testing.T, s *batchsync.Sync) []batchsync.DeadRow {
	t.Helper()
	var out []batchsync.DeadRow
	for d, err := range s.DeadRows(t.Context()) {
		require.NoError(t, err)
		out = append(out, d)
	}
	return out
}

func TestDeadRowsStayUntilAFullRunHasEnded(t *testing.T) {
	o := &batchsync.Options{Checkpoints: batchsync.NewMem()}
	bad := items("a=1", "b=2", "c=3")
	bad[0].Err = errBoom
	s := batchsync.New("s", slice(1, bad...), newTarget(), o)
	_, err := s.Run(t.Context())
	require.NoError(t, err)
	require.Len(t, deadRows(t, s), 1)

	good := slice(1, items("a=1", "b=2", "c=3")...)
	_, err = batchsync.New("s", failing(good, 2, errBoom), newTarget(), o).Run(t.Context())
	require.ErrorIs(t, err, errBoom)
	require.Len(t, deadRows(t, s), 1)
	_, err = batchsync.New("s", good, newTarget(), o).Run(t.Context())
	require.NoError(t, err)
	require.Empty(t, deadRows(t, s))
}

func TestTheOriginalOfADeadRowIsCut(t *testing.T) {
	for limit, want := range map[int]string{0: `"12345"`, 3: `"12`, -1: ""} {
		s := batchsync.New("s", slice(1, items("a=12345")...), refusing(retry.Permanent(errBoom), 99), &batchsync.Options{MaxOriginal: limit})
		_, err := s.Run(t.Context())
		require.NoError(t, err)
		d := deadRows(t, s)[0]
		require.Equal(t, want, string(d.Value))
		require.Equal(t, limit != 0, d.Cut)
	}
}

// refusing is a sink that fails row "a" the first n times and takes the rest.
func refusing(err error, n int) *refuser { return &refuser{target: *newTarget(), err: err, n: n} }

type refuser struct {
	target
	err error
	n   int
}

func (d *refuser) Write(ctx context.Context, rows []row) ([]batchsync.Result, error) {
	var out []batchsync.Result
	for _, r := range rows {
		if r.ID == "a" && d.n > 0 {
			d.n--
			v := batchsync.Failed
			if d.err == nil {
				v = batchsync.Unprocessed
			}
			out = append(out, batchsync.Result{ID: "a", Verdict: v, Err: d.err})
			continue
		}
		out = append(out, d.write([]row{r})...)
	}
	return out, nil
}

func TestFailedRowsAreRetriedByClass(t *testing.T) {
	passing := outcome.TransientError(outcome.Refused, true, errBoom)
	lasting := outcome.TransientError(outcome.Refused, false, errBoom)
	for _, c := range []struct {
		name string
		err  error
		n    int
		want batchsync.Counts
		sink bool // a run error: the sink never took the row up
	}{
		{"transient, passes", passing, 3, batchsync.Counts{In: 2, Inserted: 2}, false},
		{"transient, does not pass", passing, 99, batchsync.Counts{In: 2, Inserted: 1, Failed: 1}, false},
		{"says nothing, passes", errBoom, 3, batchsync.Counts{In: 2, Inserted: 2}, false},
		{"says nothing, does not pass", errBoom, 99, batchsync.Counts{In: 2, Inserted: 1, Failed: 1}, false},
		{"lasting", lasting, 1, batchsync.Counts{In: 2, Inserted: 1, Parked: 1}, false},
		{"permanent", retry.Permanent(passing), 1, batchsync.Counts{In: 2, Inserted: 1, Parked: 1}, false},
		{"not taken up at first", nil, 3, batchsync.Counts{In: 2, Inserted: 2}, false},
		{"never taken up", nil, 99, batchsync.Counts{In: 2}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dst := refusing(c.err, c.n)
				s := batchsync.New("s", slice(2, items("a=1", "b=2")...), dst, nil)
				rep, err := s.Run(t.Context())
				require.Equal(t, c.want, rep.Counts)
				require.NoError(t, rep.Check())
				dead := deadRows(t, s)
				require.Len(t, dead, int(c.want.Failed+c.want.Parked))
				for _, d := range dead {
					require.Equal(t, "a", d.ID)
					require.Equal(t, c.want.Failed == 1, d.Transient)
				}
				if c.sink {
					require.ErrorIs(t, err, retry.ErrAttempts)
					require.EqualValues(t, 2, rep.Unprocessed)
					return
				}
				require.NoError(t, err)
				require.Len(t, dst.writes, map[bool]int{true: 2, false: 1}[c.want.Inserted == 2])
			})
		})
	}
}

func TestAWholeWriteThatFails(t *testing.T) {
	for _, c := range []struct {
		name  string
		err   error
		calls int
		known outcome.Outcome
	}{
		{"transient", outcome.TransientError(outcome.NotSent, true, errBoom), 4, outcome.NotSent},
		{"lasting", outcome.TransientError(outcome.Refused, false, errBoom), 1, outcome.Refused},
		{"unknown", errBoom, 4, outcome.Unknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				dst := batchsync.To(func(ctx context.Context, rows []row) ([]batchsync.Result, error) {
					calls++
					return nil, c.err
				})
				s := batchsync.New("s", slice(3, items("a=1", "b=2", "c=3")...), dst, nil)
				rep, err := s.Run(t.Context())
				require.ErrorIs(t, err, errBoom)
				require.Equal(t, c.calls, calls)
				require.EqualValues(t, 3, rep.Unprocessed)
				require.EqualValues(t, 3, rep.In)
				e, _ := errors.AsType[*batchsync.Error](err)
				require.Equal(t, "write", e.Op)
				require.Len(t, e.Rows, 3)
				for i, r := range e.Rows {
					require.Equal(t, c.known, r.Known)
					require.Equal(t, string(rune('a'+i)), r.ID)
				}
				require.Equal(t, c.known, outcome.Of(err))
				require.Empty(t, deadRows(t, s))
			})
		})
	}
}

func TestPartOfAPageIsWritten(t *testing.T) {
	n := 0
	dst := newTarget()
	some := batchsync.To(func(ctx context.Context, rows []row) ([]batchsync.Result, error) {
		if n++; n == 2 {
			return nil, outcome.TransientError(outcome.NotSent, false, errBoom)
		}
		return dst.Write(ctx, rows)
	})
	_, err := batchsync.New("s", slice(3, items("a=1", "b=2", "c=3")...), some, &batchsync.Options{BatchRows: 1}).Run(t.Context())
	e, ok := errors.AsType[*batchsync.Error](err)
	require.True(t, ok)
	require.Equal(t, []outcome.Outcome{outcome.Applied, outcome.NotSent, outcome.NotSent},
		[]outcome.Outcome{e.Rows[0].Known, e.Rows[1].Known, e.Rows[2].Known})
	require.Equal(t, outcome.Applied, outcome.Of(err))
}

func TestASinkThatBreaksItsContractEndsTheRun(t *testing.T) {
	for name, results := range map[string][]batchsync.Result{
		"too few":             {{Verdict: batchsync.Inserted}},
		"another order":       {{ID: "b", Verdict: batchsync.Inserted}, {ID: "a", Verdict: batchsync.Inserted}},
		"verdict of a run":    {{Verdict: batchsync.Parked}, {Verdict: batchsync.Inserted}},
		"verdict out of line": {{Verdict: 77}, {Verdict: batchsync.Inserted}},
	} {
		t.Run(name, func(t *testing.T) {
			dst := batchsync.To(func(context.Context, []row) ([]batchsync.Result, error) { return results, nil })
			rep, err := batchsync.New("s", slice(2, items("a=1", "b=2")...), dst, nil).Run(t.Context())
			require.ErrorContains(t, err, "the sink")
			require.EqualValues(t, 2, rep.Unprocessed)
		})
	}
}

func TestRowsWithOneIDTakeEffectInOrder(t *testing.T) {
	dst := newTarget()
	rep, err := batchsync.New("s", slice(9, items("a=1", "b=1", "a=2", "a=", "b=1", "a=3")...), dst, nil).Run(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[string]string{"a": "3", "b": "1"}, dst.snapshot())
	require.Equal(t, batchsync.Counts{In: 6, Inserted: 3, Updated: 1, Deleted: 1, Unchanged: 1, Repeated: 4}, rep.Counts)
	require.Equal(t, [][]string{{"a", "b"}, {"a", "b"}, {"a"}, {"a"}}, dst.writes)
}

func TestTooManyDeadRowsEndTheRun(t *testing.T) {
	rows := items("a=1", "b=2", "c=3", "d=4")
	for i := range rows[1:] {
		rows[i+1].Err = errBoom
	}
	o := &batchsync.Options{Checkpoints: batchsync.NewMem(), MaxDead: 2}
	s := batchsync.New("s", slice(1, rows...), newTarget(), o)
	rep, err := s.Run(t.Context())
	require.ErrorIs(t, err, batchsync.ErrTooManyDead)
	require.ErrorContains(t, err, "item 4")
	require.EqualValues(t, 2, rep.Parked)
	require.EqualValues(t, 1, rep.Unprocessed)
	require.Len(t, deadRows(t, s), 2)

	o.MaxDead = -1
	rep, err = batchsync.New("s", slice(1, rows...), newTarget(), o).Run(t.Context())
	require.NoError(t, err)
	require.Equal(t, batchsync.Counts{In: 4, Inserted: 1, Parked: 3}, rep.Counts)
}

func TestCancelKeepsTheCheckpoint(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("shutting down")
	dst := newTarget()
	o := &batchsync.Options{Checkpoints: batchsync.NewMem()}
	o.Progress = func(p batchsync.Progress) {
		if p.Done == 2 {
			cancel(why)
		}
	}
	all := slice(1, items("a=1", "b=2", "c=3")...)
	rep, err := batchsync.New("s", all, dst, o).Run(ctx)
	require.ErrorIs(t, err, why)
	require.Equal(t, batchsync.Counts{In: 2, Inserted: 2}, rep.Counts)
	o.Progress = nil
	rep, err = batchsync.New("s", all, dst, o).Run(t.Context())
	require.NoError(t, err, "the lease was given back")
	require.Equal(t, batchsync.Counts{In: 3, Inserted: 3}, rep.Counts)
}

func TestResetBeginsAgain(t *testing.T) {
	dst := newTarget()
	o := &batchsync.Options{Checkpoints: batchsync.NewMem()}
	all := slice(1, items("a=1", "b=2", "c=3")...)
	_, err := batchsync.New("s", failing(all, 2, errBoom), dst, o).Run(t.Context())
	require.ErrorIs(t, err, errBoom)
	s := batchsync.New("s", all, dst, o)
	require.NoError(t, s.Reset(t.Context()))
	rep, err := s.Run(t.Context())
	require.NoError(t, err)
	require.False(t, rep.Resumed)
	require.Equal(t, batchsync.Counts{In: 3, Inserted: 1, Unchanged: 2}, rep.Counts)
}

func TestNewPanicsOnNothing(t *testing.T) {
	require.Panics(t, func() { batchsync.New("", slice(1), newTarget(), nil) })
	require.Panics(t, func() { batchsync.New[string]("s", nil, newTarget(), nil) })
	require.Panics(t, func() { batchsync.New[string]("s", slice(1), nil, nil) })
}

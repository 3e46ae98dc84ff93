package batchsync_test

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/batchsync"
	"github.com/crosstie/crosstie/outcome"
)

// counted is a source that knows how many rows it has.
type counted struct {
	batchsync.Source[string]
	n int64
}

func (c counted) Count(context.Context) (int64, error) { return c.n, nil }

func TestWrappersKeepOptionalPowers(t *testing.T) {
	upper := func(v string) (string, error) { return strings.ToUpper(v), nil }
	all := func(string) bool { return true }
	plain := slice(1)
	for name, wrap := range map[string]func(batchsync.Source[string]) batchsync.Source[string]{
		"Map":    func(s batchsync.Source[string]) batchsync.Source[string] { return batchsync.Map(s, upper) },
		"Filter": func(s batchsync.Source[string]) batchsync.Source[string] { return batchsync.Filter(s, all) },
		"Map of Filter": func(s batchsync.Source[string]) batchsync.Source[string] {
			return batchsync.Map(batchsync.Filter(s, all), upper)
		},
		"Filter of Map": func(s batchsync.Source[string]) batchsync.Source[string] {
			return batchsync.Filter(batchsync.Map(s, upper), all)
		},
	} {
		t.Run(name, func(t *testing.T) {
			n, err := wrap(counted{plain, 42}).(batchsync.Counted).Count(t.Context())
			require.NoError(t, err)
			require.EqualValues(t, 42, n)
			_, err = wrap(plain).(batchsync.Counted).Count(t.Context())
			require.ErrorIs(t, err, errors.ErrUnsupported)
		})
	}
}

func TestMapKeepsWhatIsNotTheValue(t *testing.T) {
	in := items("a=x", "b=", "c=z")
	in[0].At = time.Unix(7, 0)
	in[2].Err, in[2].Raw = errBoom, []byte("raw")
	pages := 0
	for p, err := range batchsync.Map(slice(2, in...), func(v string) (int, error) { return len(v), nil }).Pages(t.Context(), "") {
		require.NoError(t, err)
		if pages++; pages == 1 {
			require.Equal(t, "2", p.Next)
			require.Equal(t, batchsync.Row[int]{ID: "a", Pos: "item 1", At: time.Unix(7, 0), Value: 1}, p.Rows[0])
			require.True(t, p.Rows[1].Deleted)
			continue
		}
		require.True(t, p.Done)
		require.Equal(t, batchsync.Row[int]{ID: "c", Pos: "item 3", Err: errBoom, Raw: []byte("raw")}, p.Rows[0])
	}
	require.Equal(t, 2, pages)
}

func TestFilteredRowsAreCountedBesideTheSum(t *testing.T) {
	odd := func(v string) bool { return v == "1" || v == "3" }
	rows := items("a=1", "b=2", "c=3", "d=4", "e=")
	dst := newTarget()
	src := batchsync.Filter(batchsync.Filter(slice(2, rows...), odd), func(v string) bool { return v != "3" })
	rep, err := batchsync.New("s", src, dst, nil).Run(t.Context())
	require.NoError(t, err)
	require.Equal(t, batchsync.Counts{In: 2, Inserted: 1, Unchanged: 1, Filtered: 3}, rep.Counts)
	require.Contains(t, rep.String(), "filtered out before: 3")
}

func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dst := newTarget()
		slow := batchsync.To(func(ctx context.Context, rows []row) ([]batchsync.Result, error) {
			time.Sleep(time.Second)
			return dst.Write(ctx, rows)
		})
		var got []batchsync.Progress
		o := &batchsync.Options{Checkpoints: batchsync.NewMem(), Progress: func(p batchsync.Progress) { got = append(got, p) }}
		src := counted{slice(2, items("a=1", "b=2", "c=3", "d=4", "e=5")...), 5}
		_, err := batchsync.New("s", src, slow, o).Run(t.Context())
		require.NoError(t, err)
		require.Equal(t, []batchsync.Progress{
			{In: 2, Done: 2, Total: 5, Rate: 2, ETA: 1500 * time.Millisecond},
			{In: 4, Done: 4, Total: 5, Rate: 2, ETA: 500 * time.Millisecond},
			{In: 5, Done: 5, Total: 5, Rate: 5.0 / 3},
		}, got)

		got = nil
		_, err = batchsync.New("t", slice(5, items("a=1", "b=2")...), slow, o).Run(t.Context())
		require.NoError(t, err)
		require.Equal(t, []batchsync.Progress{{In: 2, Done: 2, Rate: 2}}, got, "no total, so no ETA")
	})
}

func TestReportThatDoesNotAddUp(t *testing.T) {
	r := batchsync.Report{Counts: batchsync.Counts{In: 7, Inserted: 1, Updated: 1, Deleted: 1, Unchanged: 1, Failed: 1, Parked: 1}, Unprocessed: 1}
	require.NoError(t, r.Check())
	r.Unprocessed = 0
	require.ErrorContains(t, r.Check(), "does not add up")
}

func TestErrorsSurviveWrapping(t *testing.T) {
	for _, s := range []error{batchsync.ErrHeld, batchsync.ErrLost, batchsync.ErrSchema, batchsync.ErrCursor, batchsync.ErrIncomplete, batchsync.ErrTooManyDead} {
		err := error(&batchsync.Error{Op: "read", Sync: "s", Err: errors.Join(errBoom, s)})
		require.ErrorIs(t, errors.Join(err, errBoom), s)
		require.Contains(t, err.Error(), "batchsync: s: read: ")
	}
	e := &batchsync.Error{Err: errBoom, Rows: []batchsync.Result{{Known: outcome.NotSent}, {Known: outcome.Refused}}}
	require.Equal(t, outcome.Refused, outcome.Of(e))
}

type observer struct{ got []string }

func (o *observer) Start(ctx context.Context, op string, attrs ...slog.Attr) context.Context {
	o.got = append(o.got, "+"+op)
	return ctx
}

func (o *observer) End(ctx context.Context, op string, err error, attrs ...slog.Attr) {
	o.got = append(o.got, "-"+op)
}

func TestObserverSeesEachOperation(t *testing.T) {
	var o observer
	_, err := batchsync.New("s", slice(1, items("a=1", "b=2")...), newTarget(), &batchsync.Options{Observer: &o}).Run(t.Context())
	require.NoError(t, err)
	require.Equal(t, "+run +write -write +save -save +write -write +save -save -run", strings.Join(o.got, " "))
}

// All rows come, in order and in larger pages, whatever the pages of the source
// are, and from every place that a page names.
func TestGather(t *testing.T) {
	var rows []row
	for i := range 23 {
		rows = append(rows, row{ID: strconv.Itoa(i), Value: "v"})
	}
	for _, size := range []int{1, 4, 23, 50} {
		for _, n := range []int{-1, 0, 1, 5, 10, 23, 100} {
			src := batchsync.Gather(slice(size, rows...), n)
			at := 0
			for after, done := "", false; !done; {
				for p, err := range src.Pages(t.Context(), after) { // each page from its own start
					require.NoError(t, err)
					require.True(t, p.Done || len(p.Rows) >= max(n, 1))
					require.Less(t, len(p.Rows), max(n, 1)+size)
					for _, r := range p.Rows {
						require.Equal(t, strconv.Itoa(at), r.ID)
						at++
					}
					after, done = p.Next, p.Done
					break
				}
			}
			require.Equal(t, len(rows), at)
		}
	}
	_, err := batchsync.Gather(slice(1), 5).(batchsync.Counted).Count(t.Context())
	require.ErrorIs(t, err, errors.ErrUnsupported)
}

// What was read before a source failed is not lost, and its failure is not an
// end.
func TestGatherOfASourceThatFails(t *testing.T) {
	for name, fail := range map[string]func(yield func(batchsync.Page[string], error) bool){
		"an error":  func(yield func(batchsync.Page[string], error) bool) { yield(batchsync.Page[string]{}, errBoom) },
		"cut short": func(func(batchsync.Page[string], error) bool) {},
		"no place": func(yield func(batchsync.Page[string], error) bool) {
			yield(batchsync.Page[string]{Rows: items("c=3")}, nil)
		},
	} {
		src := batchsync.From(func(context.Context, string) iter.Seq2[batchsync.Page[string], error] {
			return func(yield func(batchsync.Page[string], error) bool) {
				if yield(batchsync.Page[string]{Rows: items("a=1"), Next: "1", Filtered: 1}, nil) &&
					yield(batchsync.Page[string]{Rows: items("b=2"), Next: "2", Filtered: 2}, nil) {
					fail(yield)
				}
			}
		})
		dst, store := newTarget(), batchsync.NewMem()
		rep, err := batchsync.New("x", batchsync.Gather(src, 100), dst, &batchsync.Options{Checkpoints: store}).Run(t.Context())
		require.Error(t, err, name)
		if name == "no place" {
			continue
		}
		require.EqualValues(t, 2, rep.Inserted, name)
		require.EqualValues(t, 3, rep.Filtered, name)
		c, err := store.Load(t.Context(), "x", "")
		require.NoError(t, err)
		require.Equal(t, "2", c.Cursor)
		require.False(t, c.Done)
	}
}

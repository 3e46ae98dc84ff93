package batchsync_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"io"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/batchsync"
	"github.com/crosstie/crosstie/batchsync/csvrow"
	"github.com/crosstie/crosstie/outcome"
)

// A warehouse is the other system of these tests. It counts what it is asked
// to do, and fails as real ones do.
type warehouse struct {
	stock  map[string]int
	writes int
	fail   func(sku string) error // asked before each write
}

func newWarehouse() *warehouse { return &warehouse{stock: map[string]int{}} }

func (w *warehouse) put(sku string, n int) error {
	if w.fail != nil {
		if err := w.fail(sku); err != nil {
			return err
		}
	}
	w.writes++
	w.stock[sku] = n
	return nil
}

type line struct {
	SKU   string `csv:"sku"`
	Stock int    `csv:"stock"`
}

// Write makes the warehouse a sink that compares before it writes.
func (w *warehouse) Write(ctx context.Context, rows []batchsync.Row[line]) ([]batchsync.Result, error) {
	out := make([]batchsync.Result, len(rows))
	for i, r := range rows {
		was, found := w.stock[r.Value.SKU]
		if found && was == r.Value.Stock {
			out[i].Verdict = batchsync.Unchanged
			continue
		}
		if err := w.put(r.Value.SKU, r.Value.Stock); err != nil {
			out[i] = batchsync.Result{Verdict: batchsync.Failed, Err: err}
			continue
		}
		out[i].Verdict = batchsync.Inserted
		if found {
			out[i].Verdict = batchsync.Updated
		}
	}
	return out, nil
}

func list(n int, change func(i int, stock string) string) string {
	var b strings.Builder
	b.WriteString("sku,stock\n")
	for i := range n {
		stock := strconv.Itoa(i)
		if change != nil {
			stock = change(i, stock)
		}
		b.WriteString("S" + strconv.Itoa(i) + "," + stock + "\n")
	}
	return b.String()
}

func lines(text string) batchsync.Source[line] {
	return csvrow.NewSource[line](func() (io.ReadSeekCloser, error) {
		return file{bytes.NewReader([]byte(text))}, nil
	}, &csvrow.Options{ID: []string{"sku"}, PageRows: 100})
}

type file struct{ *bytes.Reader }

func (file) Close() error { return nil }

// naiveLoad is the load that is written first: read all, write all, stop at
// what goes wrong.
func naiveLoad(text string, w *warehouse) error {
	records, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		return err
	}
	for _, r := range records[1:] {
		n, err := strconv.Atoi(r[1])
		if err != nil {
			return err
		}
		if err := w.put(r[0], n); err != nil {
			return err
		}
	}
	return nil
}

// Polling by full reload: every five minutes all is written again, whether or
// not it changed.
func TestAntiPatternFullReloadEachTime(t *testing.T) {
	const rows, changed, runs = 1000, 3, 12 // an hour
	day := func(run int) string {
		return list(rows, func(i int, stock string) string {
			if i < changed {
				return strconv.Itoa(1000*run + i)
			}
			return stock
		})
	}
	naive := newWarehouse()
	for run := range runs {
		require.NoError(t, naiveLoad(day(run), naive))
	}
	require.Equal(t, rows*runs, naive.writes, "12,000 writes an hour to move 33 changes")

	ours := newWarehouse()
	o := &batchsync.Options{Checkpoints: batchsync.NewMem()}
	for run := range runs {
		rep, err := batchsync.New("stock", lines(day(run)), ours, o).Run(t.Context())
		require.NoError(t, err)
		if run > 0 {
			require.EqualValues(t, changed, rep.Updated)
			require.EqualValues(t, rows-changed, rep.Unchanged)
		}
	}
	require.Equal(t, naive.stock, ours.stock)
	require.Equal(t, rows+changed*(runs-1), ours.writes)
}

// No error handling: a lock that would have passed in a second loses the row,
// and with it all that come after.
func TestAntiPatternTransientFailureLosesRows(t *testing.T) {
	text := list(300, nil)
	locked := func() func(string) error {
		seen := map[string]int{}
		return func(sku string) error {
			if seen[sku]++; seen[sku] <= 2 && strings.HasSuffix(sku, "7") {
				return outcome.TransientError(outcome.Refused, true, errBoom)
			}
			return nil
		}
	}
	naive := newWarehouse()
	naive.fail = locked()
	require.Error(t, naiveLoad(text, naive))
	require.Len(t, naive.stock, 7, "it stopped at S7")

	synctest.Test(t, func(t *testing.T) {
		ours := newWarehouse()
		ours.fail = locked()
		rep, err := batchsync.New("stock", lines(text), ours, nil).Run(t.Context())
		require.NoError(t, err)
		require.True(t, rep.Complete())
		require.Len(t, ours.stock, 300)
	})
}

// One bad row kills the load: everything behind it is missing, every night,
// until somebody mends the file.
func TestAntiPatternOneBadRowKillsTheLoad(t *testing.T) {
	text := list(300, func(i int, stock string) string {
		if i == 42 {
			return "a dozen"
		}
		return stock
	})
	naive := newWarehouse()
	require.Error(t, naiveLoad(text, naive))
	require.Len(t, naive.stock, 42)

	ours := newWarehouse()
	s := batchsync.New("stock", lines(text), ours, nil)
	rep, err := s.Run(t.Context())
	require.NoError(t, err)
	require.Equal(t, batchsync.Counts{In: 300, Inserted: 299, Parked: 1}, rep.Counts)
	require.Len(t, ours.stock, 299)
	dead := deadRows(t, s)
	require.Len(t, dead, 1)
	require.Equal(t, "S42,a dozen", string(dead[0].Value))
	require.Equal(t, `line 44, char 5, column "stock": not a whole number in decimal digits`, dead[0].Why)
}

// Checkpoint before apply: a crash between the two loses the page for good,
// because the resume begins behind it.
func TestAntiPatternCheckpointBeforeApply(t *testing.T) {
	text := list(300, nil)
	records, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	require.NoError(t, err)
	records = records[1:]

	naive, checkpoint, crash := newWarehouse(), 0, true
	for range 2 { // two lives
		for checkpoint < len(records) {
			page := records[checkpoint : checkpoint+100]
			checkpoint += 100
			if crash && checkpoint == 200 {
				crash = false
				break // kill -9
			}
			for _, r := range page {
				n, err := strconv.Atoi(r[1])
				require.NoError(t, err)
				require.NoError(t, naive.put(r[0], n))
			}
		}
	}
	require.Len(t, naive.stock, 200, "a hundred rows were never written, and nobody knows")

	synctest.Test(t, func(t *testing.T) {
		ours, calls := newWarehouse(), 0
		crashing := batchsync.To(func(ctx context.Context, rows []batchsync.Row[line]) ([]batchsync.Result, error) {
			if calls++; calls == 2 {
				return nil, outcome.TransientError(outcome.Unknown, false, errBoom)
			}
			return ours.Write(ctx, rows)
		})
		s := batchsync.New("stock", lines(text), crashing, nil)
		rep, err := s.Run(t.Context())
		require.Error(t, err)
		require.EqualValues(t, 100, rep.Unprocessed)
		rep, err = s.Run(t.Context())
		require.NoError(t, err)
		require.Equal(t, batchsync.Counts{In: 300, Inserted: 300}, rep.Counts)
		require.Len(t, ours.stock, 300)
	})
}

// A source that failed taken for an empty one: the mirror deletes everything.
func TestAntiPatternFailureTakenForEmpty(t *testing.T) {
	download := func() []string { return nil } // an error was logged, and nothing came
	mirror := map[string]bool{"a": true, "b": true}
	now := map[string]bool{}
	for _, sku := range download() {
		now[sku] = true
	}
	for sku := range mirror {
		if !now[sku] {
			delete(mirror, sku)
		}
	}
	require.Empty(t, mirror, "the target is wiped")

	ours := newWarehouse()
	rep, err := batchsync.New("stock", lines(""), ours, nil).Run(t.Context())
	require.ErrorIs(t, err, csvrow.ErrEmpty)
	require.Zero(t, rep.In)
}

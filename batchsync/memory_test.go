package batchsync_test

import (
	"context"
	"fmt"
	"iter"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/batchsync"
)

// TestMemoryIsOnePage moves rows that together are far larger than what the
// run may hold at any moment.
func TestMemoryIsOnePage(t *testing.T) {
	const pages, size = 300, 1000
	text := strings.Repeat("x", 200)
	src := batchsync.From(func(ctx context.Context, after string) iter.Seq2[batchsync.Page[string], error] {
		return func(yield func(batchsync.Page[string], error) bool) {
			for n := 1; n <= pages; n++ {
				p := batchsync.Page[string]{Next: strconv.Itoa(n), Done: n == pages}
				for i := range size {
					id := strconv.Itoa(n*size + i)
					p.Rows = append(p.Rows, row{ID: id, Pos: "row " + id, Value: text + id})
				}
				if !yield(p, nil) {
					return
				}
			}
		}
	})
	dst := batchsync.To(func(ctx context.Context, rows []row) ([]batchsync.Result, error) {
		out := make([]batchsync.Result, len(rows))
		for i := range out {
			out[i].Verdict = batchsync.Inserted
		}
		return out, nil
	})
	var first, most uint64
	n := 0
	o := &batchsync.Options{Progress: func(batchsync.Progress) {
		if n++; n%50 != 0 {
			return
		}
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		if first == 0 {
			first = m.HeapAlloc
		}
		most = max(most, m.HeapAlloc)
	}}
	rep, err := batchsync.New("s", src, dst, o).Run(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, pages*size, rep.Inserted)
	require.Less(t, most, first+4<<20, fmt.Sprintf("the heap grew from %d to %d", first, most))
}

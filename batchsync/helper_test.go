package batchsync_test

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"strconv"
	"strings"
	"sync"

	"github.com/crosstie/crosstie/batchsync"
)

type row = batchsync.Row[string]

// items makes rows of "id=value"; "id=" with nothing after it is a delete.
func items(specs ...string) []row {
	out := make([]row, len(specs))
	for i, s := range specs {
		id, v, _ := strings.Cut(s, "=")
		out[i] = row{ID: id, Pos: "item " + strconv.Itoa(i+1), Value: v, Deleted: v == ""}
	}
	return out
}

// slice is a source of rows in pages of size; its positions are indexes.
func slice(size int, rows ...row) batchsync.Source[string] {
	return batchsync.From(func(ctx context.Context, after string) iter.Seq2[batchsync.Page[string], error] {
		return func(yield func(batchsync.Page[string], error) bool) {
			at, _ := strconv.Atoi(after)
			for {
				end := min(at+size, len(rows))
				p := batchsync.Page[string]{Rows: rows[at:end], Next: strconv.Itoa(end)}
				if end == len(rows) {
					p.Next, p.Done = "", true
				}
				if !yield(p, nil) || p.Done {
					return
				}
				at = end
			}
		}
	})
}

// A target is a sink that compares, as a good one does.
type target struct {
	mu     sync.Mutex // guards rows and writes
	rows   map[string]string
	writes [][]string // ids of each call
}

func newTarget() *target { return &target{rows: map[string]string{}} }

func (d *target) Write(ctx context.Context, rows []row) ([]batchsync.Result, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.write(rows), nil
}

func (d *target) write(rows []row) []batchsync.Result {
	var ids []string
	out := make([]batchsync.Result, len(rows))
	for i, r := range rows {
		ids = append(ids, r.ID)
		was, found := d.rows[r.ID]
		out[i].ID = r.ID
		switch {
		case r.Deleted && found:
			out[i].Verdict = batchsync.Deleted
			delete(d.rows, r.ID)
		case r.Deleted, found && was == r.Value:
			out[i].Verdict = batchsync.Unchanged
		case found:
			out[i].Verdict = batchsync.Updated
			d.rows[r.ID] = r.Value
		default:
			out[i].Verdict = batchsync.Inserted
			d.rows[r.ID] = r.Value
		}
	}
	d.writes = append(d.writes, ids)
	return out
}

func (d *target) snapshot() map[string]string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.rows)
}

var errBoom = fmt.Errorf("boom")

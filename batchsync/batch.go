package batchsync

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/retry"
)

// A batch is a page on its way into the sink.
type batch[T any] struct {
	r        *run
	page     Page[T]
	results  []Result // by place in page.Rows; Unprocessed until known
	chunks   [][]int  // places in page.Rows, in the order of writing
	repeated int64
}

// newBatch parks what cannot be written and cuts the rest into chunks, so that
// no ID occurs twice in one: its second row goes into a chunk after all first
// ones. Written in this order, rows have the effect they would have one by one.
func newBatch[T any](r *run, p Page[T]) *batch[T] {
	b := &batch[T]{r: r, page: p, results: make([]Result, len(p.Rows))}
	seen := make(map[string]int, len(p.Rows))
	var levels [][]int
	for i, row := range p.Rows {
		switch {
		case row.Err != nil:
			b.results[i] = Result{ID: row.ID, Verdict: Parked, Err: row.Err, Known: outcome.NotSent}
			continue
		case row.ID == "":
			b.results[i] = Result{Verdict: Parked, Err: errors.New("the row has no identity"), Known: outcome.NotSent}
			continue
		}
		b.results[i] = Result{ID: row.ID, Known: outcome.NotSent}
		n := seen[row.ID]
		seen[row.ID]++
		if n > 0 {
			b.repeated++
		}
		if n == len(levels) {
			levels = append(levels, nil)
		}
		levels[n] = append(levels[n], i)
	}
	size := r.sync.o.BatchRows
	for _, level := range levels {
		for size > 0 && len(level) > size {
			b.chunks = append(b.chunks, level[:size])
			level = level[size:]
		}
		b.chunks = append(b.chunks, level)
	}
	return b
}

// next returns the checkpoint after the batch, and its dead rows.
func (b *batch[T]) next() (Checkpoint, []DeadRow, error) {
	next := b.r.saved
	next.Cursor, next.Done = b.page.Next, b.page.Done
	first := next.Counts.In
	next.Counts.In = b.r.read
	next.Counts.Filtered += b.page.Filtered
	next.Counts.Repeated += b.repeated
	var dead []DeadRow
	for i, res := range b.results {
		next.Counts.add(res.Verdict)
		if res.Verdict == Failed || res.Verdict == Parked {
			dead = append(dead, b.dead(i, first+int64(i)+1))
		}
	}
	if limit := b.r.sync.o.MaxDead; limit >= 0 && next.Counts.Failed+next.Counts.Parked > limit && len(dead) > 0 {
		last := dead[len(dead)-1]
		return next, nil, retry.Permanent(fmt.Errorf("%w; the last was %s: %s", ErrTooManyDead, last.Pos, last.Why))
	}
	sum := Report{Counts: next.Counts}
	return next, dead, sum.Check()
}

func (b *batch[T]) dead(i int, n int64) DeadRow {
	row, res := b.page.Rows[i], b.results[i]
	d := DeadRow{
		Sync: b.r.saved.Sync, Partition: b.r.saved.Partition, Run: b.r.saved.Run, N: n,
		ID: row.ID, Pos: row.Pos, Value: row.Raw, Cut: row.Cut && row.Raw != nil, Why: "unknown",
		Transient: res.Verdict == Failed, At: time.Now().UTC(),
	}
	if res.Err != nil {
		d.Why = res.Err.Error()
	}
	if d.Value == nil && !row.Deleted && row.Err == nil {
		v, err := json.Marshal(row.Value)
		if err != nil {
			d.Why += " (and the value cannot be kept: " + err.Error() + ")"
		}
		d.Value = v
	}
	if limit := max(0, b.r.sync.o.MaxOriginal); len(d.Value) > limit {
		d.Value, d.Cut = d.Value[:limit], true
	}
	return d
}

// write brings every chunk into the sink by itself.
func (b *batch[T]) write(ctx context.Context, write func(context.Context, []Row[T]) ([]Result, error)) error {
	for _, places := range b.chunks {
		tries := b.r.sync.o.Retry.Begin(true)
		for len(places) > 0 {
			if ctx.Err() != nil {
				return b.fail("write", context.Cause(ctx))
			}
			again, why, err := b.call(ctx, places, write)
			if err == nil && len(again) == 0 {
				break
			}
			if err == nil {
				places, err = again, why
			}
			if err = tries.Next(ctx, err); err == nil {
				continue
			}
			if why == nil || !errors.Is(err, retry.ErrAttempts) || !b.giveUp(again) {
				return b.fail("write", err)
			}
			break
		}
	}
	return nil
}

// together brings all chunks and the checkpoint into the database in one
// transaction; to write a row again means to begin the transaction again.
func (b *batch[T]) together(ctx context.Context, dst TxSink[T]) error {
	store, o := b.r.sync.tx, &b.r.sync.o
	tries := o.Retry.Begin(true)
	parked := append([]Result(nil), b.results...)
	for {
		var next Checkpoint
		var retryable []int
		var inside error
		op := "save"
		err := store.Tx(ctx, func(ctx context.Context, tx *sql.Tx) (err error) {
			defer func() { inside = err }()
			copy(b.results, parked)
			retryable = nil
			var whys []error
			for _, places := range b.chunks {
				op = "write"
				again, why, err := b.call(ctx, places, func(ctx context.Context, rows []Row[T]) ([]Result, error) {
					return dst.WriteTx(ctx, tx, rows)
				})
				if err != nil {
					return err
				}
				if len(again) > 0 {
					retryable, whys = append(retryable, again...), append(whys, why)
				}
			}
			if len(retryable) > 0 && (tries.Left() > 1 || !b.giveUp(retryable)) {
				return &rowsAgain{errors.Join(whys...)}
			}
			op = "check"
			var dead []DeadRow
			if next, dead, err = b.next(); err != nil {
				return retry.Permanent(err)
			}
			op = "save"
			octx := o.Observer.Start(ctx, "save", slog.String("sync", b.r.sync.name))
			err = store.SaveTx(octx, tx, next, dead, o.Lease)
			o.Observer.End(octx, "save", err, slog.String("sync", b.r.sync.name))
			return err
		})
		if err == nil {
			b.r.saved = next
			return nil
		}
		if inside != nil { // so it was rolled back, whatever the error is
			err = outcome.Error(outcome.Refused, err)
		}
		if !outcome.NotApplied(err) && b.r.committed(ctx, next) {
			b.r.saved = next
			return nil
		}
		b.known(err)
		// Only a transaction known not to be committed may begin again: else
		// its rows would count as unchanged. The next Run reads the truth.
		if errors.Is(err, ErrLost) || !outcome.NotApplied(err) {
			return b.fail(op, err)
		}
		if err = tries.Next(ctx, err); err != nil {
			return b.fail(op, err)
		}
	}
}

// rowsAgain rolls a transaction back because some of its rows are to be
// written again.
type rowsAgain struct{ err error }

func (e *rowsAgain) Error() string   { return "some rows have to be written again: " + e.err.Error() }
func (e *rowsAgain) Unwrap() error   { return e.err }
func (e *rowsAgain) Transient() bool { return true }

// call writes the rows at places once and files the results. It returns the
// places that are worth another attempt, and why they failed.
func (b *batch[T]) call(ctx context.Context, places []int, write func(context.Context, []Row[T]) ([]Result, error)) (again []int, why, err error) {
	rows := make([]Row[T], len(places))
	for i, at := range places {
		rows[i] = b.page.Rows[at]
	}
	o := &b.r.sync.o
	octx := o.Observer.Start(ctx, "write", slog.String("sync", b.r.sync.name), slog.Int("rows", len(rows)))
	results, err := write(octx, rows)
	if err == nil {
		err = checkResults(rows, results)
	}
	o.Observer.End(octx, "write", err, slog.String("sync", b.r.sync.name), slog.Int("rows", len(rows)))
	if err != nil {
		for _, at := range places {
			b.results[at] = Result{ID: b.page.Rows[at].ID, Verdict: Unprocessed, Err: err, Known: outcome.Of(err)}
		}
		return nil, nil, err
	}
	var whys []error
	for i, at := range places {
		res := results[i]
		res.ID = rows[i].ID
		switch {
		case res.Verdict == Unprocessed:
			res.Known = outcome.NotSent
			again = append(again, at)
			if res.Err != nil {
				whys = append(whys, res.Err)
			}
		case res.Verdict == Failed && worthRepeating(res.Err):
			again = append(again, at)
			whys = append(whys, res.Err)
		case res.Verdict == Failed:
			res.Verdict = Parked
		default:
			res.Known = outcome.Applied
		}
		b.results[at] = res
	}
	if len(again) > 0 {
		why = &rowsAgain{errors.Join(whys...)}
		if len(whys) == 0 {
			why = &rowsAgain{errors.New("the sink left rows unprocessed")}
		}
	}
	return again, why, nil
}

// worthRepeating is retry's rule for idempotent calls.
func worthRepeating(err error) bool {
	if err == nil || retry.IsPermanent(err) {
		return false
	}
	transient, said := outcome.Transient(err)
	return transient || !said
}

// giveUp settles rows whose attempts are used up. It answers false if some of
// them were never taken up: that is not the rows' fault, so the run must end.
func (b *batch[T]) giveUp(places []int) bool {
	for _, at := range places {
		if b.results[at].Verdict == Unprocessed {
			return false
		}
	}
	return true
}

func checkResults[T any](rows []Row[T], results []Result) error {
	if len(results) != len(rows) {
		return retry.Permanent(fmt.Errorf("the sink answered %d results for %d rows: it must answer one for each, in their order", len(results), len(rows)))
	}
	for i, res := range results {
		if res.ID != "" && res.ID != rows[i].ID {
			return retry.Permanent(fmt.Errorf("the sink's result %d is for another row than was written there: results must be in the order of the rows", i))
		}
		if res.Verdict < Unprocessed || res.Verdict > Failed {
			return retry.Permanent(fmt.Errorf("the sink gave the verdict %v, which only a run may give", res.Verdict))
		}
	}
	return nil
}

// known notes what the failed transaction means for the rows in hand.
func (b *batch[T]) known(err error) {
	o := outcome.Of(err)
	for i := range b.results {
		if b.results[i].Verdict != Parked {
			b.results[i] = Result{ID: b.page.Rows[i].ID, Err: err, Known: o}
		}
	}
}

func (b *batch[T]) fail(op string, err error) error {
	b.r.hand = b.results
	return b.r.fail(op, err)
}

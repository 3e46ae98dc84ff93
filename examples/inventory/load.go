package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"path/filepath"
	"strings"
	"time"

	"github.com/crosstie/crosstie/batchsync"
	"github.com/crosstie/crosstie/batchsync/csvrow"
	"github.com/crosstie/crosstie/batchsync/table"
	"github.com/crosstie/crosstie/retry"
)

// load brings the input into the warehouse. A catalogue goes straight into the products. Invoice lines are loaded as
// they are, each line accounted for, and then a second sync moves the catalogue that follows from them.
func (s *system) load(ctx context.Context, bar *progress, say io.Writer) ([]tally, error) {
	in, err := openInput(s.c.input)
	if err != nil {
		return nil, err
	}
	if err := s.warehouse.takes(ctx, s.c.rules(in.kind)); err != nil {
		return nil, about(s.folder.path, err)
	}
	products, err := table.New[product](s.warehouse.db, "product", "sku", nil)
	if err != nil {
		return nil, err
	}
	lines, err := table.New[invoiceLine](s.warehouse.db, "invoice_line", "line", nil)
	if err != nil {
		return nil, err
	}
	var steps []step
	switch in.kind {
	case catalogueInput:
		src, err := s.c.catalogueSource(ctx, in)
		if err != nil {
			return nil, err
		}
		steps = []step{newStep("load", "load products of "+in.base(), s.warehouse, src, products)}
		if in.history != nil { // the forecast wants to know what was sold before
			steps = append(steps, newStep("history", "load invoice lines of its history", s.warehouse, s.c.lineSource(in.history), lines))
		}
	case lineInput:
		derived, err := table.New[product](s.warehouse.db, "catalogue_of_lines", "sku", nil)
		if err != nil {
			return nil, err
		}
		steps = []step{
			newStep("load", "load invoice lines of "+in.base(), s.warehouse, s.c.lineSource(in.open), lines),
			newStep("catalogue", "make the catalogue of them", s.warehouse, derived, products),
		}
	}
	var tallies []tally
	for _, st := range steps {
		t, err := s.sync(ctx, st, bar, say)
		if err != nil {
			return nil, err
		}
		tallies = append(tallies, t)
	}
	return tallies, s.describe(ctx, in, steps)
}

func (in input) base() string {
	if in.name == builtIn {
		return in.name
	}
	return filepath.Base(in.name)
}

// A step is one sync of the load.
type step struct {
	bar, what string
	apart     string // what is said of rows that were not moved
	sync      *batchsync.Sync
	progress  *func(batchsync.Progress)
}

func newStep[T any](name, what string, w *warehouse, src batchsync.Source[T], dst batchsync.Sink[T]) step {
	show := new(func(batchsync.Progress))
	return step{name, what, "refused", batchsync.New(name, src, dst, &batchsync.Options{
		Checkpoints: w.store.Syncs(), // in the same file: a page and its checkpoint are one commit
		Retry:       patient,
		Lease:       time.Second, // a resumed run need not wait long for the lease of the one that was killed
		Progress:    func(p batchsync.Progress) { (*show)(p) },
	}), show}
}

// patient is how an org that stumbles is borne with.
var patient = retry.Policy{MaxAttempts: 12, Base: 20 * time.Millisecond, Max: time.Second}

// sync runs one step. It goes on where a killed run stopped; a file that changed since is read from its start.
func (s *system) sync(ctx context.Context, st step, bar *progress, say io.Writer) (tally, error) {
	bar.start(st.bar, 0)
	*st.progress = func(p batchsync.Progress) { bar.of(p.Done, p.Total) }
	report, err := st.sync.Run(ctx)
	for again := true; again; {
		switch {
		case errors.Is(err, batchsync.ErrCursor): // the file is not the one a killed run was reading: from its start
			err = st.sync.Reset(ctx)
		case errors.Is(err, batchsync.ErrHeld), errors.Is(err, batchsync.ErrLost):
			// The folder is ours alone, so the holder is dead and its lease runs out, or we were too slow to renew ours.
			err = pause(ctx, 50*time.Millisecond)
		default:
			again = false
		}
		if again && err == nil {
			report, err = st.sync.Run(ctx)
		}
	}
	if err != nil {
		return tally{}, about(s.folder.path, err)
	}
	t := tally{
		Pattern: "batchsync", What: st.what, In: report.In, Done: report.Done(), Unchanged: report.Unchanged,
		Failed: report.Failed, Parked: report.Parked, Unprocessed: report.Unprocessed, Took: report.Took,
	}
	bar.end(fmt.Sprintf("%s: %d new, %d changed, %d unchanged, %d %s", plural(report.In, "row"),
		report.Inserted, report.Updated, report.Unchanged, report.Failed+report.Parked, st.apart))
	return t, complainOfRows(ctx, st.sync, say)
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// shownRows is how many refused rows are shown on the terminal; load.txt has all.
const shownRows = 10

func complainOfRows(ctx context.Context, sync *batchsync.Sync, say io.Writer) error {
	n := 0
	for d, err := range sync.DeadRows(ctx) {
		if err != nil {
			return err
		}
		if n++; n <= shownRows {
			fmt.Fprintln(say, "  refused:", refusal(d))
		}
	}
	if n > shownRows {
		fmt.Fprintf(say, "  and %d more, see load.txt\n", n-shownRows)
	}
	return nil
}

// refusal says where a row is, which column is wrong, and why.
func refusal(d batchsync.DeadRow) string {
	if strings.HasPrefix(d.Why, d.Pos) {
		return d.Why
	}
	return d.Pos + ": " + d.Why
}

// lineSource reads invoice lines. A line is known by its place in the file.
func (c config) lineSource(open func() (io.ReadSeekCloser, error)) batchsync.Source[invoiceLine] {
	src := batchsync.Map(csvrow.NewSource[lineRecord](open, readOptions), func(r lineRecord) (invoiceLine, error) {
		return c.line(r), nil
	})
	return edited[invoiceLine]{src, func(r *batchsync.Row[invoiceLine]) {
		r.ID = place(r.Pos)
		r.Value.Line = r.ID
	}}
}

// catalogueSource reads a catalogue. A code that stands in it twice is a contradiction: the first row counts, the
// others are refused.
func (c config) catalogueSource(ctx context.Context, in input) (batchsync.Source[product], error) {
	src := batchsync.Map(csvrow.NewSource[catalogueRecord](in.open, readOptions), func(r catalogueRecord) (product, error) {
		return c.product(r), nil
	})
	first := map[string]string{}
	for page, err := range src.Pages(ctx, "") {
		if err != nil {
			return nil, fmt.Errorf("%s: %w", in.name, err)
		}
		for _, r := range page.Rows {
			if r.Err == nil && first[r.Value.SKU] == "" {
				first[r.Value.SKU] = r.Pos
			}
		}
	}
	return edited[product]{src, func(r *batchsync.Row[product]) {
		switch {
		case r.Err != nil:
		case first[r.Value.SKU] != r.Pos:
			r.Err = fmt.Errorf("%s, column \"sku\": the product stands on %s already", r.Pos, first[r.Value.SKU])
		default:
			r.ID = r.Value.SKU
		}
	}}, nil
}

// place makes of "line 17" what sorts as text like the lines do.
func place(pos string) string {
	n := strings.TrimPrefix(pos, "line ")
	return strings.Repeat("0", max(0, 10-len(n))) + n
}

// edited is a source whose rows pass through a function that sees the whole row.
type edited[T any] struct {
	src  batchsync.Source[T]
	edit func(*batchsync.Row[T])
}

// Pages implements batchsync.Source.
func (e edited[T]) Pages(ctx context.Context, after string) iter.Seq2[batchsync.Page[T], error] {
	return func(yield func(batchsync.Page[T], error) bool) {
		for page, err := range e.src.Pages(ctx, after) {
			for i := range page.Rows {
				e.edit(&page.Rows[i])
			}
			if !yield(page, err) {
				return
			}
		}
	}
}

// Count implements batchsync.Counted.
func (e edited[T]) Count(ctx context.Context) (int64, error) {
	if c, ok := e.src.(batchsync.Counted); ok {
		return c.Count(ctx)
	}
	return 0, errors.ErrUnsupported
}

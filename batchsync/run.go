package batchsync

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/crosstie/crosstie/outcome"
)

// A run is the state of one Run that does not depend on the row type.
type run struct {
	sync     *Sync
	saved    Checkpoint // as the store has it
	started  time.Time
	begun    Counts // what an earlier call had counted
	total    int64
	hasTotal bool

	read      int64    // rows read, counted as they come: the report's In
	unsettled int64    // rows in hand that no checkpoint covers
	hand      []Result // what is known of the page in hand
}

func (r *run) counts() Counts {
	c := r.saved.Counts
	c.In = r.read
	return c
}

func (r *run) countTotal(ctx context.Context) {
	if r.sync.o.Progress == nil {
		return
	}
	n, err := r.sync.total(ctx)
	r.total, r.hasTotal = n, err == nil
}

func (r *run) fail(op string, err error) *Error {
	return &Error{Op: op, Sync: r.sync.name, Rows: r.hand, Err: err}
}

// move is the loop of a run: a page is read, written and checkpointed before
// the next one is read.
func move[T any](ctx context.Context, r *run, src Source[T], dst Sink[T], tx TxSink[T], jobs JobSink[T]) error {
	for p, err := range src.Pages(ctx, r.saved.Cursor) {
		if err != nil {
			return r.fail("read", err)
		}
		if p.Next == "" && !p.Done {
			return r.fail("read", errors.New("the source yielded a page that is not the last and has no Next: a run could not be resumed after it"))
		}
		if ctx.Err() != nil {
			return r.fail("read", context.Cause(ctx))
		}
		r.read += int64(len(p.Rows))
		r.unsettled = int64(len(p.Rows))
		r.hand = inHand(p.Rows)
		if err := settle(ctx, r, p, dst, tx, jobs); err != nil {
			return err
		}
		r.unsettled, r.hand = 0, nil
		r.progress()
		if p.Done {
			return nil
		}
	}
	if ctx.Err() != nil {
		return r.fail("read", context.Cause(ctx))
	}
	return r.fail("read", ErrIncomplete)
}

func inHand[T any](rows []Row[T]) []Result {
	hand := make([]Result, len(rows))
	for i, row := range rows {
		hand[i] = Result{ID: row.ID, Known: outcome.NotSent}
	}
	return hand
}

func (r *run) progress() {
	report := r.sync.o.Progress
	if report == nil {
		return
	}
	c := r.saved.Counts
	p := Progress{In: r.read + c.Filtered, Done: c.In + c.Filtered}
	moved := p.Done - r.begun.In - r.begun.Filtered
	if took := time.Since(r.started).Seconds(); took > 0 {
		p.Rate = float64(moved) / took
	}
	if r.hasTotal {
		p.Total = r.total
		if left := p.Total - p.Done; left > 0 && p.Rate > 0 {
			p.ETA = time.Duration(float64(left) / p.Rate * float64(time.Second))
		}
	}
	report(p)
}

// settle brings one page into the sink and saves the checkpoint after it.
func settle[T any](ctx context.Context, r *run, p Page[T], dst Sink[T], tx TxSink[T], jobs JobSink[T]) error {
	b := newBatch(r, p)
	if r.sync.tx != nil {
		return b.together(ctx, tx)
	}
	if err := b.write(ctx, writer(r, dst, jobs)); err != nil {
		return err
	}
	r.hand = b.results
	next, dead, err := b.next()
	if err != nil {
		return r.fail("check", err)
	}
	return r.save(ctx, next, func(ctx context.Context) error {
		return r.sync.o.Checkpoints.Save(ctx, next, dead, r.sync.o.Lease)
	})
}

// save runs fn, which stores next: again after failures that pass, since
// storing the same state twice changes nothing.
func (r *run) save(ctx context.Context, next Checkpoint, fn func(context.Context) error) error {
	tries := r.sync.o.Retry.Begin(true)
	for {
		octx := r.sync.o.Observer.Start(ctx, "save", slog.String("sync", r.sync.name))
		err := fn(octx)
		r.sync.o.Observer.End(octx, "save", err, slog.String("sync", r.sync.name))
		if err == nil {
			r.saved = next
			return nil
		}
		if errors.Is(err, ErrLost) {
			return r.fail("save", err)
		}
		if err = tries.Next(ctx, err); err != nil {
			return r.fail("save", err)
		}
	}
}

// committed asks the store whether a transaction whose outcome is unknown
// saved next. No is no proof: the commit may still be under way.
func (r *run) committed(ctx context.Context, next Checkpoint) bool {
	if next.Epoch == 0 {
		return false // it never came to saving
	}
	lctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	c, err := r.sync.o.Checkpoints.Load(lctx, next.Sync, next.Partition)
	return err == nil && c == next
}

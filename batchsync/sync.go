package batchsync

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"time"

	"github.com/crosstie/crosstie/internal/id"
	"github.com/crosstie/crosstie/internal/lease"
)

// A Sync moves the rows of one source into one sink, each time Run is called.
// It is made by [New]. It is safe for concurrent use: of several Runs, in this
// process or others that share the store, one moves and the others get
// ErrHeld.
type Sync struct {
	name  string
	o     Options // with its defaults
	owner string
	move  func(ctx context.Context, r *run) error
	total func(ctx context.Context) (int64, error)
	tx    TxStore // not nil if sink and store share a database
}

// New returns the sync called name, from src to dst. The name is the key of
// its checkpoint: it must stay the same from run to run, and differ from those
// of other syncs on the same store. A nil o means the defaults. New panics if
// name is empty or src or dst is nil, and does no I/O.
func New[T any](name string, src Source[T], dst Sink[T], o *Options) *Sync {
	if name == "" || src == nil || dst == nil {
		panic("batchsync: New needs a name, a source and a sink")
	}
	s := &Sync{name: name, o: o.withDefaults()}
	jobs, _ := dst.(JobSink[T])
	if jobs != nil && (o == nil || o.BatchRows == 0) {
		s.o.BatchRows = -1 // a job a page: each has its price
	}
	host, _ := os.Hostname()
	s.owner = fmt.Sprintf("%s/%d/%s", host, os.Getpid(), id.New())
	s.total = func(ctx context.Context) (int64, error) { return count(ctx, src) }
	sink, _ := dst.(TxSink[T])
	store, _ := s.o.Checkpoints.(TxStore)
	if sink != nil && store != nil && sink.Database() != nil && sink.Database() == store.Database() {
		s.tx = store
	}
	s.move = func(ctx context.Context, r *run) error { return move(ctx, r, src, dst, sink, jobs) }
	return s
}

// Run moves rows until the source says Done, and returns what became of each.
// If the last run did not end, because of a crash or an error, it goes on with
// that run after the last page that was settled; else it begins a new run.
//
// The report is never nil and always adds up. The error is an [*Error] if the
// run ended early; rows that failed one by one are no error of the run: they
// are in the report ([Report.Complete]) and in [Sync.DeadRows]. When ctx ends,
// Run stops between two writes, keeps its checkpoint and returns ctx's cause.
func (s *Sync) Run(ctx context.Context) (*Report, error) {
	started := time.Now()
	ctx = s.o.Observer.Start(ctx, "run", slog.String("sync", s.name))
	rep, err := s.run(ctx, started)
	rep.Took = time.Since(started)
	if sum := rep.Check(); sum != nil && err == nil {
		err = &Error{Op: "check", Sync: s.name, Err: sum}
	}
	s.o.Observer.End(ctx, "run", err, slog.String("sync", s.name), slog.Int64("in", rep.In),
		slog.Int64("done", rep.Done()), slog.Int64("dead", rep.Failed+rep.Parked))
	return rep, err
}

func (s *Sync) run(ctx context.Context, started time.Time) (*Report, error) {
	c, err := s.o.Checkpoints.Claim(ctx, s.name, "", s.owner, s.o.Lease)
	if err != nil {
		return &Report{}, &Error{Op: "claim", Sync: s.name, Err: err}
	}
	resumed := c.Run > 0 && !c.Done
	if !resumed {
		c.Run, c.Done, c.Full, c.Counts = c.Run+1, false, c.Cursor == "", Counts{}
	}
	r := &run{sync: s, saved: c, read: c.Counts.In, started: started, begun: c.Counts}
	held, stop := lease.Keep(ctx, s.o.Lease, func(ctx context.Context) error {
		return s.o.Checkpoints.Renew(ctx, c, s.o.Lease)
	})
	ended := false
	defer func() {
		if !ended { // a panic: nothing may go on renewing the lease
			_ = stop()
			s.release(ctx, r.saved)
		}
	}()
	r.countTotal(held)
	err = s.move(held, r)
	ended = true
	if lost := stop(); lost != nil && !errors.Is(err, ErrLost) {
		if e, ok := errors.AsType[*Error](err); ok {
			e.Err = fmt.Errorf("%w: %w", ErrLost, e.Err)
		}
	}
	s.release(ctx, r.saved)
	return &Report{
		Counts:      r.counts(),
		Unprocessed: r.unsettled,
		Run:         c.Run,
		Resumed:     resumed,
		Atomic:      s.tx != nil,
	}, err
}

// release outlives ctx, so that a cancelled runner does not make the next one
// wait for its lease.
func (s *Sync) release(ctx context.Context, c Checkpoint) {
	rctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := s.o.Checkpoints.Release(rctx, c); err != nil && !errors.Is(err, ErrLost) {
		s.o.Logger.WarnContext(ctx, "the lease could not be given back; it will run out",
			slog.String("sync", s.name), slog.Any("error", err))
	}
}

// Reset forgets the position, so that the next Run begins a new run at the
// start of the source. It changes nothing in the sink, and keeps dead rows
// until that run has ended. It returns ErrHeld while a run is going on.
func (s *Sync) Reset(ctx context.Context) error {
	c, err := s.o.Checkpoints.Claim(ctx, s.name, "", s.owner, s.o.Lease)
	if err != nil {
		return &Error{Op: "reset", Sync: s.name, Err: err}
	}
	defer s.release(ctx, c)
	c.Cursor, c.Done, c.Full = "", true, false
	if err := s.o.Checkpoints.Save(ctx, c, nil, s.o.Lease); err != nil {
		return &Error{Op: "reset", Sync: s.name, Err: err}
	}
	return nil
}

// DeadRows yields the rows that could not be brought into the sink, oldest run
// first; see [DeadRow] for how long they stay. It reads pages and holds nothing
// open between them. An error is the last thing it yields.
func (s *Sync) DeadRows(ctx context.Context) iter.Seq2[DeadRow, error] {
	return func(yield func(DeadRow, error) bool) {
		var after DeadRow
		for {
			rows, err := s.o.Checkpoints.Dead(ctx, s.name, after, 100)
			if err != nil {
				yield(DeadRow{}, &Error{Op: "read", Sync: s.name, Err: err})
				return
			}
			for _, r := range rows {
				if !yield(r, nil) {
					return
				}
				after = r
			}
			if len(rows) == 0 {
				return
			}
		}
	}
}

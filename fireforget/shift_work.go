package fireforget

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/crosstie/crosstie/outcome"
)

// settleBatch is the most results written in one transaction.
const settleBatch = 1024

// work attempts the tasks of d until there are none.
func (s *shift) work(d *dest) {
	var t *task
	i := 0
	defer func() {
		if t == nil {
			return
		}
		// A deliverer called runtime.Goexit, which ends this goroutine with
		// its deferred calls: another one takes its place.
		s.finish(d, t, i, time.Now(), 0, errGoexit)
		s.workers.Go(func() { s.work(d) })
	}()
	for t = s.next(d); t != nil; t = s.next(d) {
		for i = 0; i < len(t.items); i++ {
			if s.stopped(t.h) {
				s.mu.Lock()
				s.handBack(t, t.items[i:])
				s.mu.Unlock()
				break
			}
			if !s.attempt(d, t, i) {
				break
			}
		}
	}
}

var errGoexit = errors.New("the deliverer ended its goroutine")

// stopped reports whether nothing new may begin under h.
func (s *shift) stopped(h *hold) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining || h.ctx.Err() != nil
}

// attempt delivers the i-th item of t and puts the result on its way. It
// returns false when the task is over.
func (s *shift) attempt(d *dest, t *task, i int) bool {
	e := &t.items[i]
	start := time.Now()
	if !e.Expires.IsZero() && !start.Before(e.Expires) {
		r := e.result(Park)
		r.Reason = reasonExpired
		return s.pass(t, i, r)
	}
	err := s.observed(t.h.ctx, d, e)
	return s.finish(d, t, i, start, time.Since(start), err)
}

// observed delivers e and tells the observer.
func (s *shift) observed(ctx context.Context, d *dest, e *Entry) (err error) {
	ctx = s.o.Observer.Start(ctx, "deliver", attrs(e)...)
	err = errGoexit // unless it returns
	defer func() { s.o.Observer.End(ctx, "deliver", err, attrs(e)...) }()
	return deliver(ctx, d, e.Item)
}

// finish follows an attempt that ended with err.
func (s *shift) finish(d *dest, t *task, i int, start time.Time, took time.Duration, err error) bool {
	s.mu.Lock()
	d.took += (took - d.took) / 8
	if err != nil && t.h.ctx.Err() != nil {
		// We ended it, so it says nothing about the destination.
		s.handBack(t, t.items[i:])
		s.mu.Unlock()
		return false
	}
	s.mu.Unlock()
	r := d.o.judge(&t.items[i], err, time.Now(), randomWait)
	if err != nil {
		r.Attempt = record(start, took, err)
	}
	return s.pass(t, i, r)
}

// pass puts the result of the i-th item of t on its way to the store.
func (s *shift) pass(t *task, i int, r Result) bool {
	// Behind a landed or a parked message the next of its key may go on; the
	// results are written in order, so the store sees the same.
	on := i+1 < len(t.items) && (r.Verdict == Landed || r.Verdict == Park && !r.Stop)
	p := settlement{r: r, id: t.items[i].ID, n: 1}
	if !on {
		p.end, p.n = t, len(t.items)-i
	}
	s.mu.Lock()
	s.add(p)
	s.mu.Unlock()
	return on
}

// deliver calls the deliverer with its limit. A panic is an error.
func deliver(ctx context.Context, d *dest, it Item) (err error) {
	if d.o.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d.o.Timeout)
		defer cancel()
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the deliverer panicked: %v", p)
		}
	}()
	if err := d.d.Deliver(ctx, it); err != nil {
		// An error that is a nil pointer panics when it is asked; it shall do
		// so here.
		_, _ = outcome.Transient(err)
		_ = outcome.Of(err)
		_ = err.Error()
		return err
	}
	return nil
}

// settleAll writes results until the shift is closed and all are written. A
// store that fails is tried again; after the end of ctx only for as long as
// the leases may last.
func (s *shift) settleAll(ctx context.Context) error {
	for {
		s.mu.Lock()
		n := min(len(s.pending), settleBatch)
		batch := s.pending[:n:n]
		s.pending = s.pending[n:]
		if len(s.pending) == 0 {
			s.pending = nil
		}
		closed := s.closed
		s.mu.Unlock()
		if n == 0 {
			if closed {
				return nil
			}
			<-s.ready
			continue
		}
		rs := make([]Result, 0, n)
		at := make([]int, 0, n) // where in batch each is
		for i := range batch {
			if !batch[i].none {
				rs, at = append(rs, batch[i].r), append(at, i)
			}
		}
		lost, err := s.settle(ctx, rs)
		if err != nil {
			s.mu.Lock()
			left := len(rs) + len(s.pending)
			s.mu.Unlock()
			return fmt.Errorf("%d results were not written, and their messages will be attempted again: %w", left, err)
		}
		for _, i := range lost {
			b := &batch[at[i]]
			s.o.Logger.Warn("result_lost", "to", b.r.To, "id", b.id, "lane", b.r.Lane, "error", ErrLost)
		}
		s.settled(batch)
	}
}

func (s *shift) settle(ctx context.Context, rs []Result) (lost []int, err error) {
	if len(rs) == 0 {
		return nil, nil
	}
	var giveUp time.Time
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		// On a context of its own: a result is worth as much after ctx ends.
		sctx, cancel := context.WithTimeout(s.base, max(s.o.Lease, time.Second))
		octx := s.o.Observer.Start(sctx, "settle")
		lost, err = s.store.Settle(octx, rs)
		s.o.Observer.End(octx, "settle", err)
		cancel()
		if err == nil {
			return lost, nil
		}
		s.o.Logger.Warn("settle_failed", "owner", s.owner, "error", err)
		if ctx.Err() != nil {
			if giveUp.IsZero() {
				giveUp = time.Now().Add(s.o.Drain + s.o.Lease)
			}
			if time.Now().After(giveUp) {
				return nil, err
			}
		}
		sleep(s.base, pause)
	}
}

// settled takes what was written off the books.
func (s *shift) settled(batch []settlement) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range batch {
		p := &batch[i]
		if p.n > 0 {
			to := p.r.To
			if p.end != nil {
				to = p.end.h.to
			}
			s.dests[to].outstanding -= p.n
		}
		if p.end == nil {
			continue
		}
		h := p.end.h
		if h.lane == 0 {
			s.forget(h)
		} else {
			delete(h.busy, p.end.items[0].Key)
		}
	}
	wakeUp(s.kick)
}

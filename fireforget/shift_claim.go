package fireforget

import (
	"context"
	"time"
)

const (
	// ahead is how much work, in time, is claimed before it can be begun: it
	// hides the store's latency, and is not so much that other relays idle.
	ahead = 500 * time.Millisecond
	// maxAhead is the most items of a destination one relay claims.
	maxAhead = 1024
	// forgetPage is how many IDs are forgotten between two claims.
	forgetPage = 1000
)

// claimAll claims and dispatches until ctx ends.
func (s *shift) claimAll(ctx context.Context) {
	var forgotten time.Time
	pause := s.o.Poll
	for ctx.Err() == nil {
		added := s.store.Added()
		es, err := s.claim()
		if err != nil {
			s.o.Logger.Warn("claim_failed", "owner", s.owner, "error", err)
			sleep(ctx, pause)
			pause = min(2*pause, max(5*time.Second, s.o.Poll))
			continue
		}
		pause = s.o.Poll
		s.dispatch(es)
		if time.Since(forgotten) > time.Hour && s.o.Remember > 0 {
			now := time.Now()
			n, err := s.store.Forget(ctx, now.Add(-s.o.Remember), forgetPage)
			if err != nil && ctx.Err() == nil {
				s.o.Logger.Warn("forget_failed", "error", err)
			}
			if n < forgetPage { // else there are more: go on after the next claim
				forgotten = now
			}
		}
		t := time.NewTimer(s.o.Poll)
		select {
		case <-ctx.Done():
		case <-added:
		case <-s.kick:
		case <-t.C:
		}
		t.Stop()
	}
}

// claim asks for what there is room for. Its context does not end with Run's:
// what is claimed by a call that was cut short would wait for its lease.
func (s *shift) claim() ([]Entry, error) {
	ws := s.wants()
	if len(ws) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(s.base, s.o.Lease)
	defer cancel()
	return s.store.Claim(ctx, Claim{Owner: s.owner, Lease: s.o.Lease, Wants: ws})
}

// wants says what there is room for.
func (s *shift) wants() (ws []Want) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.relay.eachRoute(func(rt *route) {
		if s.dests[rt.to] == nil {
			s.dests[rt.to] = &dest{route: rt, lanes: map[int]*hold{}, took: 100 * time.Millisecond}
		}
	})
	for _, d := range s.dests {
		target := d.target()
		room := target - d.outstanding
		// Small claims cost as much as large ones: wait for a quarter of the
		// room, unless workers have nothing to do.
		if room <= 0 || room < target/4 && len(d.queue) > 0 {
			continue
		}
		w := Want{To: d.to, Max: room}
		for _, h := range d.lanes {
			held := Held{Lane: h.lane, Epoch: h.epoch}
			for k := range h.busy {
				held.Busy = append(held.Busy, k)
			}
			w.Held = append(w.Held, held)
		}
		ws = append(ws, w)
	}
	return ws
}

// target is how many items may be outstanding. s.mu is held.
func (d *dest) target() int {
	n := maxAhead
	if d.took > 0 {
		n = int(min(int64(d.o.Concurrency)*int64(ahead)/int64(d.took), maxAhead))
	}
	return max(n, d.o.Concurrency)
}

// dispatch queues what was claimed, and gives back lanes we have nothing of.
func (s *shift) dispatch(es []Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(es) > 0 {
		e := es[0]
		n := 1 // messages of one key that stand together are one task
		for e.Lane > 0 && n < len(es) && es[n].Lane == e.Lane && es[n].Key == e.Key && es[n].To == e.To {
			n++
		}
		run := es[:n:n]
		es = es[n:]
		d := s.dests[e.To]
		if d == nil {
			s.o.Logger.Error("claimed_without_handler", "to", e.To)
			continue
		}
		h := s.holdOf(d, &e)
		if _, busy := h.busy[e.Key]; busy && e.Lane > 0 {
			continue // we have its messages already
		}
		if e.Lane > 0 {
			h.busy[e.Key] = struct{}{}
		}
		d.outstanding += n
		d.queue = append(d.queue, &task{h: h, items: run})
		if d.running < d.o.Concurrency {
			d.running++
			s.workers.Go(func() { s.work(d) })
		}
	}
	for _, d := range s.dests {
		for _, h := range d.lanes {
			if len(h.busy) == 0 {
				s.release(d, h)
			}
		}
	}
}

// holdOf returns the hold that e was claimed under. s.mu is held.
func (s *shift) holdOf(d *dest, e *Entry) *hold {
	if h := d.lanes[e.Lane]; h != nil && e.Lane > 0 {
		if h.epoch == e.Epoch {
			return h
		}
		s.lose(h) // it ran out, and we were granted it again
	}
	h := &hold{to: e.To, lane: e.Lane, epoch: e.Epoch}
	h.ctx, h.cancel = context.WithCancelCause(s.base)
	s.holds[h] = struct{}{}
	if e.Lane == 0 {
		h.seq = e.Seq
		return h
	}
	h.busy = map[string]struct{}{}
	d.lanes[e.Lane] = h
	return h
}

// next returns the next task of d, or nil when the worker may go.
func (s *shift) next(d *dest) *task {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(d.queue) == 0 || s.draining {
		d.running--
		return nil
	}
	t := d.queue[0]
	d.queue[0] = nil // the array lives on
	d.queue = d.queue[1:]
	if len(d.queue) == 0 {
		d.queue = nil
	}
	return t
}

// sleep waits for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

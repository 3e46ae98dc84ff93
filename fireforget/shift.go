package fireforget

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/crosstie/crosstie/internal/id"
	"github.com/crosstie/crosstie/internal/lease"
)

// errDrained is the cause of an attempt's end when a drain took too long.
var errDrained = errors.New("the relay stops, and its time to drain is over")

// A shift is one Run of a relay. One goroutine claims, one settles, one
// extends the leases; workers attempt. What is claimed goes
//
//	claim -> queue of its destination -> attempt -> pending -> settled
//
// and counts as outstanding from the claim until it is settled.
type shift struct {
	relay *Relay
	store Store
	o     RelayOptions
	owner string
	base  context.Context // has the values of Run's context, not its end

	kick    chan struct{} // tells the claimer that there may be more to do
	ready   chan struct{} // tells the settler that there is something pending
	workers sync.WaitGroup

	mu       sync.Mutex // guards all below and the state of dests and holds
	dests    map[string]*dest
	holds    map[*hold]struct{}
	pending  []settlement
	draining bool
	closed   bool // nothing more will be pending
}

// A dest is the state of one destination.
type dest struct {
	*route
	queue       []*task
	running     int
	outstanding int
	took        time.Duration // moving average of an attempt's time
	lanes       map[int]*hold
}

// A hold is a lease in our hands: a lane, or an item with no key.
type hold struct {
	to     string
	lane   int
	epoch  int64
	seq    int64           // zero for a lane
	ctx    context.Context // ends when the lease is lost
	cancel context.CancelCauseFunc
	busy   map[string]struct{} // keys of a lane with unsettled items
}

// A task is what one worker does at a stretch: an item with no key, or
// messages of one key in order.
type task struct {
	h     *hold
	items []Entry
}

// A settlement is one result on its way to the store.
type settlement struct {
	r    Result
	none bool // there is no result, only an end
	id   string
	end  *task // what is over when this is settled
	n    int   // how many items are no longer outstanding then
}

func newShift(r *Relay, ctx context.Context) *shift {
	return &shift{
		relay: r, store: r.store, o: r.o, owner: id.New(),
		base:  context.WithoutCancel(ctx),
		kick:  make(chan struct{}, 1),
		ready: make(chan struct{}, 1),
		dests: map[string]*dest{},
		holds: map[*hold]struct{}{},
	}
}

func (s *shift) run(ctx context.Context) error {
	kctx, stopKeeper := context.WithCancel(s.base)
	var keeper sync.WaitGroup
	keeper.Go(func() { s.keep(kctx) })

	settled := make(chan error, 1)
	go func() { settled <- s.settleAll(ctx) }()

	s.claimAll(ctx)
	s.drain()
	err := <-settled // the settler has the last word: it hands the lanes back
	stopKeeper()
	keeper.Wait()
	return err
}

// drain ends what can be ended and waits for the attempts under way.
func (s *shift) drain() {
	s.mu.Lock()
	s.draining = true
	for _, d := range s.dests {
		queue := d.queue
		d.queue = nil
		for _, t := range queue {
			s.handBack(t, t.items)
		}
	}
	s.mu.Unlock()

	t := time.AfterFunc(s.o.Drain, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for h := range s.holds {
			h.cancel(errDrained)
		}
	})
	s.workers.Wait()
	t.Stop()

	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.dests {
		for _, h := range d.lanes {
			s.release(d, h)
		}
	}
	s.closed = true
	wakeUp(s.ready)
}

// handBack gives back the items of t that were not attempted. s.mu is held.
func (s *shift) handBack(t *task, items []Entry) {
	p := settlement{none: true, end: t, n: len(items)}
	if t.h.lane == 0 {
		p.none, p.r, p.id = false, items[0].result(HandBack), items[0].ID
	}
	s.add(p)
}

// release gives a lane back. s.mu is held.
func (s *shift) release(d *dest, h *hold) {
	delete(d.lanes, h.lane)
	s.forget(h)
	s.add(settlement{r: Result{To: h.to, Lane: h.lane, Epoch: h.epoch, Verdict: HandBack}})
}

// forget drops h. s.mu is held.
func (s *shift) forget(h *hold) {
	delete(s.holds, h)
	h.cancel(context.Canceled)
}

// add puts p on its way to the store. s.mu is held.
func (s *shift) add(p settlement) {
	s.pending = append(s.pending, p)
	wakeUp(s.ready)
}

// keep extends the leases of all holds at every beat. When that fails for so
// long that they may have run out, all attempts under way are ended: another
// relay may begin the same.
func (s *shift) keep(ctx context.Context) {
	for ctx.Err() == nil {
		held, stop := lease.Keep(ctx, s.o.Lease, s.extend)
		<-held.Done()
		if stop() == nil {
			continue // ctx has ended
		}
		s.o.Logger.Warn("leases_lost", "owner", s.owner)
		s.mu.Lock()
		for h := range s.holds {
			s.lose(h)
		}
		s.mu.Unlock()
	}
}

// lose ends the work under h. Results that are in already are still written:
// the epoch decides whether they count. s.mu is held.
func (s *shift) lose(h *hold) {
	delete(s.holds, h)
	h.cancel(ErrLost)
	d := s.dests[h.to]
	if d.lanes[h.lane] == h {
		delete(d.lanes, h.lane)
	}
}

func (s *shift) extend(ctx context.Context) error {
	s.mu.Lock()
	holds := make([]*hold, 0, len(s.holds))
	rs := make([]Result, 0, len(s.holds))
	for h := range s.holds {
		holds = append(holds, h)
		rs = append(rs, Result{To: h.to, Lane: h.lane, Epoch: h.epoch, Seq: h.seq, Verdict: Extend, Lease: s.o.Lease})
	}
	s.mu.Unlock()
	if len(rs) == 0 {
		return nil
	}
	lost, err := s.store.Settle(ctx, rs)
	if err != nil {
		s.o.Logger.Warn("extend_failed", "owner", s.owner, "error", err)
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, i := range lost {
		if h := holds[i]; s.has(h) {
			s.lose(h)
			s.o.Logger.Warn("lease_lost", "to", h.to, "lane", h.lane)
		}
	}
	return nil
}

func (s *shift) has(h *hold) bool {
	_, ok := s.holds[h]
	return ok
}

func attrs(e *Entry) []slog.Attr {
	return []slog.Attr{slog.String("to", e.To), slog.String("id", e.ID), slog.Int("attempt", e.Attempt)}
}

// wakeUp leaves a token in ch unless there is one.
func wakeUp(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

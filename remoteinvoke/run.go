package remoteinvoke

import (
	"context"
	"sync"
	"time"

	"github.com/crosstie/crosstie/internal/id"
)

// Run runs jobs until ctx ends, and then drains: functions that run may
// return within ServiceOptions.Drain; then their contexts end with
// [ErrStopping] and their jobs are handed back, so that other processes have
// them at once and no attempt is counted. It also sends the callbacks that are
// due, fails jobs that are overdue, and removes what need not be kept. It
// returns nil after a drain. A store that fails is tried again for as long as
// ctx lasts.
//
// Run waits for every function it called; one that ignores its context holds
// it up. A second Run at the same time returns [ErrRunning].
func (s *Service) Run(ctx context.Context) error {
	s.mu.Lock()
	if s.running {
		s.mu.Unlock()
		return failed("run", "", ErrRunning)
	}
	s.running = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.running = false
		s.mu.Unlock()
	}()
	sh := &shift{
		s: s, owner: id.New(), base: context.WithoutCancel(ctx),
		jobs: newPool(s.o.Workers), calls: newPool(callers), stops: map[any]context.CancelCauseFunc{}, owed: map[Key]owed{},
	}
	sh.run(ctx)
	return nil
}

// callers is how many callbacks are sent at once.
const callers = 16

// A shift is one Run of a service.
type shift struct {
	s     *Service
	owner string
	base  context.Context // has the values of Run's context, not its end

	jobs, calls *pool

	mu      sync.Mutex // guards what follows
	drained bool       // the time to drain is over
	stops   map[any]context.CancelCauseFunc
	owed    map[Key]owed
	ctx     context.Context // Run's own
}

func (sh *shift) run(ctx context.Context) {
	sh.ctx = ctx
	var loops sync.WaitGroup
	loops.Go(func() { sh.loop(ctx, sh.jobs, sh.claimJobs) })
	loops.Go(func() { sh.loop(ctx, sh.calls, sh.claimCalls) })
	loops.Go(func() { sh.sweep(ctx) })
	loops.Wait()

	t := time.AfterFunc(sh.s.o.Drain, sh.stopAll)
	defer t.Stop()
	sh.jobs.wait()
	sh.calls.wait()
}

// stopAll ends the contexts of all that runs.
func (sh *shift) stopAll() {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.drained = true
	for _, stop := range sh.stops {
		stop(ErrStopping)
	}
}

// enter has stop called when the time to drain is over, until leave is.
func (sh *shift) enter(who any, stop context.CancelCauseFunc) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.stops[who] = stop
	if sh.drained {
		stop(ErrStopping)
	}
}

// leave reports whether stop was called.
func (sh *shift) leave(who any) bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	delete(sh.stops, who)
	return sh.drained
}

// gather is how long a claim waits for more to get free.
const gather = 500 * time.Microsecond

// loop claims work for a pool as long as ctx lasts.
func (sh *shift) loop(ctx context.Context, p *pool, claim func(ctx context.Context, free int) (int, error)) {
	t := time.NewTimer(0)
	defer t.Stop()
	for ctx.Err() == nil {
		added := sh.s.store.Added()
		freed := p.freed()
		free := p.free()
		n := 0
		if free > 0 {
			var err error
			if n, err = claim(ctx, free); err != nil && ctx.Err() == nil {
				sh.s.o.Logger.Warn("claim_failed", "service", sh.s.name, "error", err)
			}
			if n == free {
				continue // there may be more, when somebody is free
			}
		} else {
			added = nil
		}
		t.Reset(sh.s.o.Poll)
		select {
		case <-ctx.Done():
		case <-added:
		case <-whenFull(free, freed):
			// Short jobs end together: one claim for several of them.
			sleep(ctx, gather)
		case <-t.C:
		}
	}
}

// whenFull returns freed if nobody was free: else there is nothing to claim
// for one more.
func whenFull(free int, freed <-chan struct{}) <-chan struct{} {
	if free > 0 {
		return nil
	}
	return freed
}

func (sh *shift) claimJobs(ctx context.Context, free int) (int, error) {
	// Not under ctx: what is claimed when it ends is handed back, and not left
	// to run out.
	cctx, cancel := context.WithTimeout(sh.base, sh.s.o.Lease)
	defer cancel()
	ts, err := sh.s.store.Claim(cctx, Claim{Service: sh.s.name, Owner: sh.owner, Lease: sh.s.o.Lease, Max: free})
	for _, t := range ts {
		sh.jobs.run(func() {
			if ctx.Err() != nil {
				sh.settle(t, Update{Verdict: HandBack})
				return
			}
			sh.work(t)
		})
	}
	return len(ts), err
}

// sweepEvery is how long an overdue job may wait to be failed.
const (
	sweepEvery = time.Second
	sweepPage  = 256
)

func (sh *shift) sweep(ctx context.Context) {
	t := time.NewTicker(sweepEvery)
	defer t.Stop()
	for {
		n, err := sh.s.store.Sweep(ctx, sh.s.name, sweepPage)
		if err != nil && ctx.Err() == nil {
			sh.s.o.Logger.Warn("sweep_failed", "service", sh.s.name, "error", err)
		}
		if n >= sweepPage && ctx.Err() == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// A pool bounds how much is done at once.
type pool struct {
	size int
	wg   sync.WaitGroup

	mu   sync.Mutex // guards busy and ch
	busy int
	ch   chan struct{} // closed when somebody gets free
}

func newPool(size int) *pool { return &pool{size: size, ch: make(chan struct{})} }

func (p *pool) free() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.size - p.busy
}

func (p *pool) freed() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ch
}

func (p *pool) run(fn func()) {
	p.mu.Lock()
	p.busy++
	p.mu.Unlock()
	p.wg.Go(func() {
		defer func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.busy--
			close(p.ch)
			p.ch = make(chan struct{})
		}()
		fn()
	})
}

func (p *pool) wait() { p.wg.Wait() }

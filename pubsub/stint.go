package pubsub

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/crosstie/crosstie/internal/lease"
)

var (
	// errDrained is the cause of an attempt's end when a drain took too long.
	errDrained = errors.New("the subscription stops, and its time to drain is over")
	errEnded   = errors.New("the subscription has given its shard back")
)

// A stint is one holding of one shard, from the claim until it is given back
// or lost. One goroutine reads, one saves, one renews the lease; workers
// handle. An event goes
//
//	read -> lane of its key -> handled, or parked -> passed by the mark -> saved
//
// The mark is the low-water mark: everything up to it is done. What is read
// and not yet saved counts as in the window.
type stint struct {
	s      *Subscription
	o      SubscribeOptions
	base   context.Context // has the values of Run's context, not its end
	held   context.Context // ends when the shard is lost, or the drain is over
	lose   context.CancelCauseFunc
	kick   chan struct{} // tells the reader that there may be room, or more to do
	dirty  chan struct{} // tells the saver that the mark has moved
	urgent chan struct{} // tells the saver not to wait for more

	workers sync.WaitGroup

	// One save at a time, so that an older cursor never overwrites a newer. A
	// channel and no mutex, because who waits may have to leave.
	saving chan struct{}

	mu       sync.Mutex // guards all below
	claim    Claim      // as last saved
	after    Cursor     // as far as was read
	mark     Cursor
	slots    []*task // read, in log order, and not passed by the mark
	window   int     // events read and not saved
	passed   int     // those of them that the mark has passed
	bytes    int     // of data that is not done
	lanes    map[string]*lane
	ready    []*lane
	waits    map[*lane]*time.Timer
	redriven map[int64]bool // Pos of dead letters that are in a lane
	settled  map[int64]bool // Pos of those that left it since the last look began
	running  int
	full     bool // the reader waits for room
	old      bool // what is read was there before the claim: a holder before may have parked it
	alone    int  // how many events are still to be handled one by one
	tries    int  // of the event behind the mark, if it is one of them
	stopping bool
}

// A task is one event on its way, or a place in the log where nothing is to
// be done.
type task struct {
	m        Message
	event    bool // it counts in the window
	done     bool
	attempts int
	dead     *DeadLetter // it was redriven
}

// A lane has the events of one key in order; an event with no key has a lane
// of its own. From its first task to its last it is ready, in work, or waiting.
type lane struct {
	key   string
	tasks []*task
}

func newStint(s *Subscription, ctx context.Context, c Claim) *stint {
	return &stint{
		s: s, o: s.o, base: context.WithoutCancel(ctx), claim: c, after: c.Cursor, mark: c.Cursor,
		saving: make(chan struct{}, 1), kick: make(chan struct{}, 1), dirty: make(chan struct{}, 1), urgent: make(chan struct{}, 1),
		old: true, alone: alone(s.o, c), tries: c.Tries,
		lanes: map[string]*lane{}, waits: map[*lane]*time.Timer{}, redriven: map[int64]bool{}, settled: map[int64]bool{},
	}
}

// run handles events until ctx ends or the shard is lost.
func (st *stint) run(ctx context.Context, claimed time.Time) error {
	if time.Since(claimed) > st.o.Lease/3 {
		return st.release() // the answer came late: there is no knowing how much of the lease is left
	}
	kept, stopKeep := lease.Keep(st.base, st.o.Lease, st.renew)
	st.held, st.lose = context.WithCancelCause(kept)
	rctx, stopReading := context.WithCancel(ctx)
	ended := context.AfterFunc(st.held, stopReading)

	closing := make(chan struct{})
	var saver sync.WaitGroup
	saver.Go(func() { st.saveAll(closing) })

	err := st.read(rctx)
	st.drain()
	close(closing)
	saver.Wait()
	stopReading()
	ended()
	lost := context.Cause(st.held)
	if errors.Is(lost, errDrained) {
		lost = nil
	}
	if lost == nil {
		lost = st.last()
	}
	st.lose(errEnded)
	if kerr := stopKeep(); kerr != nil && lost == nil {
		lost = kerr
	}
	if lost != nil {
		st.o.Logger.Warn("shard_lost", "topic", st.claim.Topic, "group", st.claim.Name, "shard", st.claim.Shard, "error", lost)
		return err
	}
	return errors.Join(err, st.release())
}

// last saves the cursor for the last time.
func (st *stint) last() error {
	ctx, cancel := context.WithTimeout(st.base, max(st.o.Lease/2, time.Second))
	defer cancel()
	var err error
	for pause := 10 * time.Millisecond; ; pause *= 2 {
		err = st.save(ctx, st.changed())
		if err == nil || errors.Is(err, ErrLost) || ctx.Err() != nil {
			return err
		}
		sleep(ctx, pause)
	}
}

// release gives the shard back. A failure is no more than a wait for others.
func (st *stint) release() error {
	ctx, cancel := context.WithTimeout(st.base, max(st.o.Lease/2, time.Second))
	defer cancel()
	if err := st.s.groups.Release(ctx, st.claim); err != nil {
		st.o.Logger.Warn("release_failed", "topic", st.claim.Topic, "group", st.claim.Name, "shard", st.claim.Shard, "error", err)
	}
	return nil
}

// drain lets handlers finish, for a while, and begins nothing new.
func (st *stint) drain() {
	st.mu.Lock()
	st.stopping = true
	st.ready = nil
	for _, t := range st.waits {
		t.Stop()
	}
	st.mu.Unlock()
	t := time.AfterFunc(st.o.Drain, func() { st.lose(errDrained) })
	st.workers.Wait()
	t.Stop()
}

// saveEvery is how long the saver waits for more to save: a cursor is one
// write in a shared commit.
const saveEvery = 100 * time.Millisecond

// saveAll saves the cursor when the mark has moved.
func (st *stint) saveAll(closing chan struct{}) {
	pause := saveEvery
	for {
		select {
		case <-closing:
			return
		case <-st.held.Done():
			return
		case <-st.dirty:
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-st.urgent:
		case <-closing:
		}
		t.Stop()
		ctx, cancel := context.WithTimeout(st.held, st.o.Lease)
		err := st.save(ctx, st.changed())
		cancel()
		if err == nil {
			pause = saveEvery
			continue
		}
		if errors.Is(err, ErrLost) {
			st.lose(err)
			return
		}
		st.o.Logger.Warn("save_failed", "topic", st.claim.Topic, "group", st.claim.Name, "shard", st.claim.Shard, "error", err)
		pause = min(2*pause, 5*time.Second)
		wakeUp(st.dirty)
	}
}

// renew extends the lease, and saves the cursor on the way.
func (st *stint) renew(ctx context.Context) error {
	err := st.save(ctx, true)
	if errors.Is(err, ErrLost) {
		return errors.Join(lease.ErrLost, err)
	}
	return err
}

func (st *stint) changed() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.mark != st.claim.Cursor
}

func (st *stint) save(ctx context.Context, really bool) (err error) {
	if !really {
		return nil
	}
	select {
	case st.saving <- struct{}{}:
		defer func() { <-st.saving }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	st.mu.Lock()
	c, n := st.claim, st.passed
	c.Cursor, c.Tries = st.mark, st.tries
	st.mu.Unlock()
	octx := st.o.Observer.Start(ctx, "save")
	err = st.s.groups.Save(octx, c, st.o.Lease)
	st.o.Observer.End(octx, "save", err)
	if err != nil {
		return err
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	st.claim.Cursor, st.claim.Tries = c.Cursor, c.Tries
	st.window -= n
	st.passed -= n
	if st.full {
		wakeUp(st.kick)
	}
	return nil
}

// wakeUp leaves a token in ch unless there is one.
func wakeUp(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// Package group lets many callers share one expensive step, such as the fsync
// of a commit.
//
// Callers hand items in with [Group.Do] and wait. Whatever has gathered while
// one round was under way is the next round: under load a round carries many
// items and the step is paid once for all, and a lone caller pays no delay.
//
// There is nothing to start or to close: the first caller starts a leader,
// which ends by itself as soon as nobody waits. A caller does not lead himself:
// he could then not leave when his context ends, and a panic, runtime.Goexit or
// endless loop in his code would take the others with it. Such code runs in its
// caller's goroutine (see [Item.Call]). The hand-over costs some microseconds
// a round, which is shared like the rest.
//
// # Gathering
//
// Callers that write in a loop come back a moment after their round. A leader
// that took the next round at once would find half of them, and throughput
// would settle at half of what the disk gives. So after a round the leader
// yields until all of that round are back, for at most a quarter of the time
// it took.
//
// # What is bounded
//
//	items in a round           Options.Batch, 256     the rest waits for the next
//	items waiting              Options.Queue, 16384   ErrFull at once
//	waiting after ctx ended    Options.Grace, 1 s     an error with outcome Unknown
package group

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/crosstie/crosstie/outcome"
)

// ErrFull says that as many items wait as the group allows. Nothing was done
// for this one; its outcome is NotSent, and a later try may get in.
var ErrFull = errors.New("too many callers wait for their turn: call again later, or let fewer call at once")

// Options of a Group. The zero value of a field means its default.
type Options struct {
	Batch int           // most items in a round; 256
	Queue int           // most items waiting; 16384
	Grace time.Duration // how long Do waits for the verdict of an item already taken after its context ended; 1 s
}

var errNoVerdict = outcome.Error(outcome.Unknown, errors.New("the round gave no verdict"))

const (
	gatherShare = 4    // gather for at most 1/4 of the last round's time
	gatherSpins = 5000 // and for at most so many yields: a fake clock stands still while we spin
)

// A Group runs items in rounds. Make one with [New]. It is safe for concurrent
// use.
type Group[T any] struct {
	open func()
	run  func([]*Item[T])
	o    Options
	pool sync.Pool

	mu     sync.Mutex // guards what follows and the state of every item
	first  *Item[T]   // who waits, oldest first
	last   *Item[T]
	queued int
	busy   bool // somebody leads
	expect int  // who may come back: the last round's, and who waited already
	took   time.Duration
	ended  time.Time
	batch  []*Item[T]
}

// New returns a group whose rounds are run by open and run, one round at a
// time. open makes ready what a round needs and may wait for it (a connection,
// a lock): until it returns, nobody is taken into the round, and everybody may
// still leave it. Then run gives every item of the batch a verdict with
// [Item.Done]; the batch is empty if all have left meanwhile. Before it works
// on an item it calls [Group.Begin] or [Item.Call], for callers may leave until
// then. run keeps neither the batch nor its items. A nil open has nothing to
// make ready.
func New[T any](open func(), run func(batch []*Item[T]), o Options) *Group[T] {
	if open == nil {
		open = func() {}
	}
	if o.Batch <= 0 {
		o.Batch = 256
	}
	if o.Queue <= 0 {
		o.Queue = 16384
	}
	if o.Grace <= 0 {
		o.Grace = time.Second
	}
	g := &Group[T]{open: open, run: run, o: o}
	g.pool.New = func() any { return &Item[T]{g: g, wake: make(chan bool, 1)} }
	return g
}

// Do hands v to the next round and returns its verdict.
//
// If ctx ends before the round begins with v, v is never run and the error's
// outcome is NotSent. After that Do waits for the truth, but once ctx has ended
// no longer than Options.Grace; then it returns an error with outcome Unknown.
// In no case does the round use v after Do has returned.
func (g *Group[T]) Do(ctx context.Context, v T) error {
	if ctx.Err() != nil {
		return notBegun(ctx)
	}
	it := g.pool.Get().(*Item[T])
	it.Value, it.state, it.late = v, waiting, false
	g.mu.Lock()
	if g.queued >= g.o.Queue {
		g.mu.Unlock()
		g.put(it)
		return outcome.TransientError(outcome.NotSent, true, ErrFull)
	}
	g.push(it)
	lead := !g.busy
	g.busy = true
	g.mu.Unlock()
	if lead {
		go g.lead()
	}
	return g.wait(ctx, it)
}

// lead runs rounds until nobody waits.
func (g *Group[T]) lead() {
	for g.round() {
	}
}

// round takes what waits, runs it and wakes its callers. It reports whether to
// go on; if not, the group is idle.
func (g *Group[T]) round() bool {
	g.await(1)
	g.mu.Lock()
	if g.first == nil {
		g.busy = false
		g.mu.Unlock()
		return false
	}
	g.mu.Unlock()
	g.open() // meanwhile more come
	g.await(g.o.Batch)
	g.mu.Lock()
	b := g.batch[:0]
	for g.first != nil && len(b) < g.o.Batch {
		it := g.first
		g.remove(it)
		it.state = taken
		b = append(b, it)
	}
	g.mu.Unlock()
	start := time.Now()
	g.safely(b)
	end := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, it := range b {
		if it.state != left {
			it.state, it.call = done, nil
			it.finish()
		}
	}
	g.expect, g.took, g.ended = len(b)+g.queued, end.Sub(start), end
	clear(b)
	g.batch = b[:0]
	if g.expect <= 1 && g.first == nil {
		g.busy = false // a lone caller: nobody to gather
		return false
	}
	return true
}

// safely runs a round. A panic of run itself becomes the error of all that
// have no verdict yet.
func (g *Group[T]) safely(b []*Item[T]) {
	for _, it := range b {
		it.err = errNoVerdict
	}
	defer func() {
		if p := recover(); p != nil {
			err := outcome.Error(outcome.Unknown, fmt.Errorf("the round panicked: %v\n%s", p, debug.Stack()))
			for _, it := range b {
				if it.err == errNoVerdict {
					it.err = err
				}
			}
		}
	}()
	g.run(b)
}

// await yields to the callers of the last round, so that they are in the next,
// until enough wait, or all that are expected.
func (g *Group[T]) await(enough int) {
	for range gatherSpins {
		g.mu.Lock()
		over := g.queued >= min(enough, g.expect) || time.Since(g.ended) >= g.took/gatherShare
		g.mu.Unlock()
		if over {
			return
		}
		runtime.Gosched()
	}
}

// wait returns the verdict of it, and runs what its round calls.
func (g *Group[T]) wait(ctx context.Context, it *Item[T]) error {
	gone := ctx.Done()
	var grace <-chan time.Time
	for {
		select {
		case over := <-it.wake:
			if over { // nobody else has the item: no need for the lock
				err := it.err
				g.put(it)
				return err
			}
		case <-gone:
			gone = nil
			t := time.NewTimer(g.o.Grace)
			defer t.Stop()
			grace = t.C
		case <-grace:
			g.mu.Lock()
			it.late = true
			g.mu.Unlock()
		}
		g.mu.Lock()
		was := it.state
		switch {
		case was == waiting && gone == nil && ctx.Err() != nil:
			g.remove(it)
			it.state = left
		case was == taken && gone == nil && ctx.Err() != nil, was == ended && it.late:
			it.state = left
		}
		call, state := it.call, it.state
		it.call = nil
		g.mu.Unlock()
		switch {
		case state == done:
			err := it.err
			g.put(it)
			return err
		case call != nil:
			it.here(call)
		case state == left && was == ended:
			return outcome.Error(outcome.Unknown, fmt.Errorf("the context ended while the commit was under way: %w", context.Cause(ctx)))
		case state == left:
			return notBegun(ctx)
		}
	}
}

func notBegun(ctx context.Context) error {
	return outcome.Error(outcome.NotSent, fmt.Errorf("not begun: the context ended before its turn: %w", context.Cause(ctx)))
}

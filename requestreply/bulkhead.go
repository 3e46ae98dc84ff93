package requestreply

import (
	"container/list"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/crosstie/crosstie/outcome"
)

// A bulkhead limits the attempts in flight. Taking and giving back a place
// that is free is one atomic step each: a channel or a mutex would be a tenth
// of the whole cost of a guarded call. Who waits is served in order.
type bulkhead struct {
	max   int64 // zero: no limit
	queue int64

	taken   atomic.Int64
	waiting atomic.Int64 // set before a waiter looks for a place for the last time

	mu   sync.Mutex // guards line
	line list.List  // of chan struct{}, closed when a place is handed over
}

// grab takes a place if one is free.
func (b *bulkhead) grab() bool {
	for {
		n := b.taken.Load()
		if n >= b.max {
			return false
		}
		if b.taken.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// grabAtOnce takes a place unless there is none or somebody waits for one.
func (b *bulkhead) grabAtOnce() bool {
	return b.max == 0 || b.waiting.Load() == 0 && b.grab()
}

// wait takes a place, waiting in the queue until end (zero: for as long as ctx
// lasts).
func (b *bulkhead) wait(ctx context.Context, end time.Time) error {
	b.mu.Lock()
	if n := b.waiting.Add(1); n == 1 && b.grab() { // freed before we were seen waiting
		b.waiting.Add(-1)
		b.mu.Unlock()
		return nil
	} else if n > b.queue {
		b.waiting.Add(-1)
		b.mu.Unlock()
		return ErrFull
	}
	turn := make(chan struct{})
	place := b.line.PushBack(turn)
	b.mu.Unlock()

	var over <-chan time.Time
	if !end.IsZero() {
		timer := time.NewTimer(time.Until(end))
		defer timer.Stop()
		over = timer.C
	}
	var err error
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
		err = outcome.Error(outcome.NotSent, context.Cause(ctx))
	case <-over:
		err = outcome.TransientError(outcome.NotSent, true,
			fmt.Errorf("%w: no place became free in time: %w", ErrFull, context.DeadlineExceeded))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-turn: // handed over at the same moment: hand it on
		b.taken.Add(-1)
		b.next()
	default:
		b.line.Remove(place)
		b.waiting.Add(-1)
	}
	return err
}

// release gives a place back.
func (b *bulkhead) release() {
	if b.max == 0 {
		return
	}
	b.taken.Add(-1)
	if b.waiting.Load() > 0 {
		b.mu.Lock()
		b.next()
		b.mu.Unlock()
	}
}

// next hands free places to who waits. Its caller holds b.mu.
func (b *bulkhead) next() {
	for first := b.line.Front(); first != nil && b.grab(); first = b.line.Front() {
		b.waiting.Add(-1)
		close(b.line.Remove(first).(chan struct{}))
	}
}

func (b *bulkhead) idle() bool { return b.taken.Load() == 0 && b.waiting.Load() == 0 }

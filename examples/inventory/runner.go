package main

import (
	"context"
	"sync"
)

// A runner keeps something running that blocks until its context ends, and lets it be stopped and started again: a
// relay, a worker, a subscriber. It is safe for concurrent use.
type runner struct {
	run  func(context.Context) error
	fail func(error) // told when it ended and nobody had asked

	mu     sync.Mutex // guards the rest
	cancel context.CancelFunc
	done   chan struct{}
}

// start starts it, unless it runs. It goes on when ctx ends: stop ends it.
func (r *runner) start(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done != nil {
		select {
		case <-r.done: // it failed; this is another try
			r.cancel()
		default:
			return
		}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	r.cancel, r.done = cancel, done
	go func() {
		defer close(done)
		if err := r.run(ctx); ctx.Err() == nil {
			r.fail(err)
		}
	}()
}

// stop ends it, and returns when it has ended. It may be called when nothing runs.
func (r *runner) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done == nil {
		return
	}
	r.cancel()
	<-r.done
	r.cancel, r.done = nil, nil
}

// running reports whether it runs.
func (r *runner) running() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done == nil {
		return false
	}
	select {
	case <-r.done:
		return false
	default:
		return true
	}
}

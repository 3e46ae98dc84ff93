package coalesce

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/crosstie/crosstie/internal/trips"
)

// A flight is one call that serves several callers.
type flight struct {
	done   chan struct{}           // closed when the call has ended and its answers stand
	cancel context.CancelCauseFunc // ends the call; nil before it is made
	wanted int                     // how many still wait, once for each key
	pays   trips.Group             // the work of those who came, for Trips
}

// errUnwanted is why a call whose callers have all left is cancelled.
var errUnwanted = errors.New("coalesce: nobody waits any more")

// depart makes the context of the call: no caller's, since it serves all.
func (f *flight) depart(limit time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(f.pays.Context(context.Background()))
	f.cancel = cancel
	if limit < 0 {
		return ctx, func() { cancel(nil) }
	}
	ctx, stop := context.WithTimeout(ctx, limit)
	return ctx, func() { stop(); cancel(nil) }
}

// leave takes one who waits out of the flight, and ends it when nobody is left.
func (f *flight) leave() {
	if f.wanted--; f.wanted == 0 && f.cancel != nil {
		f.cancel(errUnwanted)
	}
}

// landed says whether the answers stand.
func (f *flight) landed() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// perform makes a call and hands settle what it returned, also when it panics
// or ends its goroutine.
func perform[V any](call func() (V, error), settle func(V, error)) {
	var v V
	err := error(&PanicError{}) // what it stays after runtime.Goexit
	defer func() {
		if p := recover(); p != nil {
			err = &PanicError{Value: p, Stack: debug.Stack()}
		}
		settle(v, err)
	}()
	v, err = call()
}

// orphaned logs a panic that reaches no caller.
func orphaned(log *slog.Logger, err error) {
	if p, ok := errors.AsType[*PanicError](err); ok {
		log.Error("coalesce: a call that nobody waits for panicked", "err", p.Error(), "stack", string(p.Stack))
	}
}

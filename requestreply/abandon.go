package requestreply

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"sync/atomic"

	"github.com/crosstie/crosstie/outcome"
)

// ErrAbandoned says that an operation ignores the end of its time. It still
// runs, nobody waits for it any more, and its result will be dropped.
var ErrAbandoned = errors.New("the operation did not end in time: it was left running")

var errNoLimit = outcome.TransientError(outcome.NotSent, false,
	errors.New("Abandon needs a limit of attempts in flight: set Options.MaxInFlight"))

// alone serves Abandon without a Guard: what is left running must be counted
// by somebody.
var alone = NewGuard(&Options{Breaker: Breaker{Disabled: true}})

// Abandon is [Run] for a function that cannot be made to obey its context,
// such as a foreign library: fn runs in a goroutine of its own, and when the
// attempt's time is over and fn has not returned, Abandon returns on time, or
// repeats if that is safe, with [ErrAbandoned] and the outcome unknown. Prefer
// Run: an abandoned fn goes on using what it uses, and may have its effect
// later, beside a repeat.
//
// An abandoned fn keeps its place among Options.MaxInFlight until it really
// returns, so that a target which hangs cannot take goroutines without bound:
// when all places are taken, calls to it fail with ErrFull. A Guard without
// that limit makes no attempt. [Guard.Abandoned] counts those still running.
//
// What fn returns too late is dropped, so fn closes what it opens. A panic of
// fn passes through to its caller; one that comes too late goes to
// Options.Logger. A nil g means default limits, and one count of places for
// all such calls to one target.
func Abandon[T any](ctx context.Context, g *Guard, op Op, fn func(context.Context) (T, error)) (v T, err error) {
	if g == nil {
		g = alone
	}
	c := call{g: g, name: op.Target}
	if o := g.o.Observer; o != nil {
		attr := slog.String("target", op.Target)
		ctx = o.Start(ctx, opCall, attr)
		defer func() { o.End(ctx, opCall, err, attr, slog.Int("attempts", c.made)) }()
	}
	if err := c.begin(ctx, op); err != nil {
		return v, err
	}
	if c.t.max == 0 {
		return v, c.refused(errNoLimit)
	}
	for {
		if v, err = apart(ctx, &c, op.Target, fn); err == nil {
			c.succeeded()
			return v, nil
		}
		if err = c.again(ctx, err); err != nil {
			return v, err
		}
	}
}

// Abandoned returns how many operations that [Abandon] left are still running.
func (g *Guard) Abandoned() int { return int(g.abandoned.Load()) }

// How an attempt apart stands.
const (
	running int32 = iota
	ended
	abandoned
)

// How an operation left its goroutine.
type exit int

const (
	exited exit = iota // by runtime.Goexit
	returned
	panicked
)

// A result is how an operation ended.
type result[T any] struct {
	v     T
	err   error
	how   exit
	panic any
}

// apart makes one attempt in a goroutine of its own.
func apart[T any](ctx context.Context, c *call, target string, fn func(context.Context) (T, error)) (v T, err error) {
	by, err := c.enter(ctx)
	if err != nil {
		return v, err
	}
	if o := c.g.o.Observer; o != nil {
		attr, n := slog.String("target", target), slog.Int("attempt", c.made)
		ctx = o.Start(ctx, opAttempt, attr, n)
		defer func() { o.End(ctx, opAttempt, err, attr, n) }()
	}
	if c.under != nil {
		ctx = c.under.Attempt(ctx)
	}
	actx, cancel := withDeadline(ctx, by)
	state, done := new(atomic.Int32), make(chan result[T], 1)
	go work(actx, c.g, c.t, target, state, done, fn)
	var e result[T]
	select {
	case e = <-done:
	case <-actx.Done():
		c.g.abandoned.Add(1) // before it can be counted down
		if state.CompareAndSwap(running, abandoned) {
			cancel()
			err = outcome.TransientError(outcome.Unknown, true, fmt.Errorf("%w: %w", ErrAbandoned, context.Cause(actx)))
			c.permit.settle(sign(err, c.gaveUp(ctx)))
			return v, err
		}
		c.g.abandoned.Add(-1)
		e = <-done
	}
	cancel()
	switch {
	case e.how == panicked:
		c.leave(errSick)
		panic(e.panic)
	case e.how == exited:
		c.leave(errSick)
		runtime.Goexit()
	case e.err == nil:
		c.leave(nil)
		return e.v, nil
	}
	err = classify(e.err)
	c.leave(sign(err, c.gaveUp(ctx)))
	return e.v, err
}

// work runs fn. Whoever still waits for it gives its place back, else it does.
func work[T any](ctx context.Context, g *Guard, t *target, name string, state *atomic.Int32, done chan<- result[T], fn func(context.Context) (T, error)) {
	var e result[T]
	defer func() {
		if e.how == exited {
			if p := recover(); p != nil {
				e.how, e.panic = panicked, p
			}
		}
		if state.CompareAndSwap(running, ended) {
			done <- e
			return
		}
		if e.how == panicked {
			g.o.Logger.Error("an abandoned operation panicked", "target", name, "panic", e.panic, "stack", string(debug.Stack()))
		}
		g.abandoned.Add(-1)
		t.release()
	}()
	e.v, e.err = fn(ctx)
	e.how = returned
}

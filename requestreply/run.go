package requestreply

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/retry"
)

// Run calls fn under the protection of g, and calls it again after a failure
// that may be repeated and will pass: within the time limits, if the retry
// budget of the target allows it. An op that is not Idempotent is repeated
// only when it is known to have had no effect.
//
// fn receives a context with the deadline of its attempt, and must obey it: a
// function that ignores its context is waited for. What fn's error says about
// itself (see package outcome) decides. Of errors that say nothing, those of
// packages net and crypto/tls are told by their type, and all others are
// Unknown: mark yours with outcome.Error or outcome.TransientError. fn's last
// value is returned beside an error as well. Every error is an [*Error].
//
// g may be nil, op may be zero. A function with no value to return can return
// struct{}{}. A panic of fn passes through; nothing stays taken.
func Run[T any](ctx context.Context, g *Guard, op Op, fn func(context.Context) (T, error)) (T, error) {
	if g == nil {
		g = bare
	}
	c := call{g: g, name: op.Target}
	return run(ctx, &c, op, fn)
}

// run makes the call c. Its caller keeps c to name the error's Op and Key.
func run[T any](ctx context.Context, c *call, op Op, fn func(context.Context) (T, error)) (T, error) {
	if c.g.o.Observer != nil {
		return observed(ctx, *c, op, fn)
	}
	if err := c.begin(ctx, op); err != nil {
		var zero T
		return zero, err
	}
	return loop(ctx, c, fn)
}

// observed has a call of its own, because what its closure holds is on the
// heap, and calls nobody observes shall not pay for that.
func observed[T any](ctx context.Context, c call, op Op, fn func(context.Context) (T, error)) (v T, err error) {
	attr := slog.String("target", op.Target)
	o := c.g.o.Observer
	ctx = o.Start(ctx, opCall, attr)
	defer func() { o.End(ctx, opCall, err, attr, slog.Int("attempts", c.made)) }()
	if err := c.begin(ctx, op); err != nil {
		return v, err
	}
	return loop(ctx, &c, func(ctx context.Context) (v T, err error) {
		n := slog.Int("attempt", c.made)
		ctx = o.Start(ctx, opAttempt, attr, n)
		defer func() { o.End(ctx, opAttempt, err, attr, n) }()
		return fn(ctx)
	})
}

const (
	opCall    = "requestreply.call"
	opAttempt = "requestreply.attempt"
)

func loop[T any](ctx context.Context, c *call, fn func(context.Context) (T, error)) (T, error) {
	for {
		v, err := attempt(ctx, c, fn)
		if err == nil {
			c.succeeded()
			return v, nil
		}
		if err = c.again(ctx, err); err != nil {
			return v, err
		}
	}
}

func attempt[T any](ctx context.Context, c *call, fn func(context.Context) (T, error)) (v T, err error) {
	end, err := c.enter(ctx)
	if err != nil {
		return v, err
	}
	actx, cancel := ctx, context.CancelFunc(nothing)
	if !end.IsZero() {
		actx, cancel = context.WithDeadline(ctx, end)
	}
	ended := false
	defer func() {
		cancel()
		if !ended { // fn panicked, or ended its goroutine
			c.leave(errSick)
		}
	}()
	v, err = fn(actx)
	ended = true
	if err == nil {
		c.leave(nil)
		return v, nil
	}
	err = classify(err)
	c.leave(sign(err, c.gaveUp(ctx)))
	return v, err
}

func nothing() {}

// A call is the state of one guarded call. It lives on its caller's stack.
type call struct {
	g        *Guard
	name     string // Op and Key of the error
	key      string
	t        *target
	harmless bool
	begun    time.Time
	entered  time.Time       // when the attempt began
	tries    *retry.Attempts // made at the first failure
	made     int
	known    outcome.Outcome // the worst of the attempts made
	permit   permit
	last     error // of the attempt before
	stop     error // set by enter: why there is no attempt
	gave     error // set by a Transport that returns a failed response: why
}

// begin prepares the call. It fails if ctx has ended already.
func (c *call) begin(ctx context.Context, op Op) error {
	c.known, c.harmless, c.begun = outcome.NotSent, op.Idempotent, time.Now()
	if ctx.Err() != nil {
		return c.refused(outcome.Error(outcome.NotSent, context.Cause(ctx)))
	}
	var err error
	if c.t, err = c.g.target(op.Target, c.begun); err != nil {
		return c.refused(err)
	}
	return nil
}

// end is when the call must end, zero for never.
func (c *call) end() time.Time {
	if c.g.total == 0 {
		return time.Time{}
	}
	return c.begun.Add(c.g.total)
}

// enter takes a place and a permit for the next attempt and returns the
// attempt's deadline, zero for none. The clock is read only if time can have
// passed since begin.
func (c *call) enter(ctx context.Context) (end time.Time, err error) {
	now := c.begun
	waited := !c.t.grabAtOnce()
	if waited {
		if err := c.t.wait(ctx, c.end()); err != nil {
			c.stop = err
			return end, err
		}
	}
	if waited || c.made > 0 {
		now = time.Now()
		end = c.end()
		if c.g.try > 0 {
			if e := now.Add(c.g.try); end.IsZero() || e.Before(end) {
				end = e
			}
		}
	} else if c.g.first > 0 {
		end = now.Add(c.g.first)
	}
	if c.t.breaker != nil {
		if c.permit, err = c.t.breaker.allow(now, end); err != nil {
			c.t.release()
			c.stop = err
			return end, err
		}
	}
	c.made++
	c.entered = now
	return end, nil
}

// gaveUp reports whether the attempt failed because of its caller, not of its
// target: the caller cancelled, or left it less than a tenth of the time an
// attempt may take.
func (c *call) gaveUp(ctx context.Context) bool {
	switch err := ctx.Err(); {
	case err == nil:
		return false
	case errors.Is(err, context.Canceled):
		return true
	}
	return time.Since(c.entered) < c.g.try/10
}

// leave gives back what enter took.
func (c *call) leave(sign error) {
	c.t.release()
	c.permit.settle(sign)
}

// succeeded counts a call that needed no repeat: the others are counted when
// their loop begins.
func (c *call) succeeded() {
	switch {
	case c.tries != nil:
	case c.t.budget != nil:
		c.t.budget.Call()
	default:
		c.g.o.Retry.Budget.Call()
	}
}

// again takes the error of an attempt. It waits and returns nil when there
// shall be another one, else it returns the error of the call.
func (c *call) again(ctx context.Context, err error) error {
	if c.stop != nil {
		return c.refused(c.stop)
	}
	if c.tries == nil {
		p := c.g.o.Retry
		if c.t.budget != nil {
			p.Budget = c.t.budget
		}
		tries := p.Begin(c.harmless)
		c.tries = &tries
	}
	c.last = err
	c.known = outcome.Worst(c.known, outcome.Of(err))
	if end := c.end(); !end.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, end)
		defer cancel()
	}
	if err = c.tries.Next(ctx, err); err != nil {
		return c.failed(err)
	}
	return nil
}

package requestreply

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/crosstie/crosstie/internal/trips"
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
// packages net and crypto/tls are told by their type, those of gRPC by their
// code (outcome.GRPC), those of a database by their SQLSTATE (outcome.SQLState),
// sql.ErrNoRows (Refused: an answer) and driver.ErrBadConn (NotSent: database/sql
// has repeated it already); all others are Unknown: mark yours with
// outcome.Error or outcome.TransientError. Each speaks of one exchange, so an fn
// that makes several marks its errors itself, or uses [Tx]. fn's last
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
	if c.under != nil {
		actx = c.under.Attempt(ctx)
	}
	if !end.IsZero() {
		actx, cancel = context.WithDeadline(actx, end)
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
	name     string        // Op and Key of the error
	r        *http.Request // instead of name: what it is made of, if it is needed
	key      string
	t        *target
	target   string // Op.Target
	harmless bool
	begun    time.Time
	entered  time.Time       // when the attempt began
	tries    *retry.Attempts // made at the first failure
	made     int
	known    outcome.Outcome // the worst of the attempts made
	permit   permit
	last     error        // of the attempt before
	stop     error        // set by enter: why there is no attempt
	gave     error        // set by a Transport that returns a failed response: why
	under    *trips.Under // who counts the call
	tell     bool         // an HTTP attempt names the time left for it

	confirm confirm   // settles an unknown outcome, or nil
	over    time.Time // with confirm: the end of the call, zero for never
	rest    time.Time // with confirm: when the attempts end and it is asked
}

// begin prepares the call. It fails if ctx has ended already, or the work the
// call is for has made all the calls it may.
func (c *call) begin(ctx context.Context, op Op) error {
	c.known, c.harmless, c.target, c.begun = outcome.NotSent, op.Idempotent, op.Target, time.Now()
	if op.Confirm != nil {
		c.keepTime(ctx, op.Confirm)
	}
	if ctx.Err() != nil {
		return c.refused(outcome.Error(outcome.NotSent, context.Cause(ctx)))
	}
	c.under = trips.Of(ctx)
	if err := c.under.Charge(op.Target); err != nil {
		return c.refused(err)
	}
	var err error
	if c.t, err = c.g.target(op.Target, c.begun); err != nil {
		return c.refused(err)
	}
	return nil
}

// end is when the last attempt must end, zero for never.
func (c *call) end() time.Time {
	if !c.rest.IsZero() {
		return c.rest
	}
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
	if waited || c.made > 0 || !c.rest.IsZero() {
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
	if q := c.g.o.Quota; q != nil {
		if err = c.pay(ctx, q); err != nil {
			c.stop = err
			return end, err
		}
	}
	c.made++
	c.entered = now
	return end, nil
}

// pay takes the attempt from the allowance, and gives back what enter took if
// there is none.
func (c *call) pay(ctx context.Context, q Quota) (err error) {
	paid := false
	defer func() {
		if !paid {
			c.leave(errNoSign)
		}
	}()
	if end := c.end(); !end.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, end)
		defer cancel()
	}
	if err = q.Take(ctx, c.target); err != nil {
		if _, says := errors.AsType[knower](err); !says {
			err = outcome.TransientError(outcome.NotSent, true, err)
		}
		return err
	}
	paid = true
	return nil
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
		return c.settled(ctx, c.refused(c.stop))
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
	within := ctx
	if end := c.end(); !end.IsZero() {
		var cancel context.CancelFunc
		within, cancel = context.WithDeadline(ctx, end)
		defer cancel()
	}
	if err = c.tries.Next(within, err); err != nil {
		return c.settled(ctx, c.failed(err))
	}
	return nil
}

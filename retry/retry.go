package retry

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/crosstie/crosstie/outcome"
)

// Do calls op, and calls it again after a failure that is known to have had
// no effect and is said to pass, as p allows. It returns op's value, or the
// zero value and an error: op's own when the first attempt cannot be
// repeated, else an [*Error]. What op returns beside an error is dropped, so
// op closes what it opened.
//
// Each attempt gets ctx itself; a limit for one attempt is op's to set. When
// ctx has ended, no further attempt is begun, and an op that ignores ctx is
// waited for.
func Do[T any](ctx context.Context, p Policy, op func(context.Context) (T, error)) (T, error) {
	return run(ctx, p.Begin(false), op)
}

// DoIdempotent is [Do] for an op that may happen twice without harm, by its
// nature or because each attempt carries the same key. It repeats any
// failure, unless its cause is said to last or ctx has ended.
func DoIdempotent[T any](ctx context.Context, p Policy, op func(context.Context) (T, error)) (T, error) {
	return run(ctx, p.Begin(true), op)
}

func run[T any](ctx context.Context, a Attempts, op func(context.Context) (T, error)) (T, error) {
	if ctx.Err() != nil {
		var zero T
		return zero, &Error{Reason: context.Cause(ctx), Known: outcome.NotSent}
	}
	for {
		v, err := op(ctx)
		if err == nil {
			return v, nil
		}
		if err = a.Next(ctx, err); err != nil {
			var zero T
			return zero, err
		}
	}
}

// An Attempts is the loop of one call, for callers that write the loop
// themselves because there is more to do around an attempt than [Do] knows:
//
//	a := policy.Begin(idempotent)
//	for {
//		v, err := attempt()
//		if err == nil {
//			return v, nil
//		}
//		if err = a.Next(ctx, err); err != nil {
//			return zero, err
//		}
//	}
//
// It is made by [Policy.Begin], belongs to one call and is not safe for
// concurrent use.
type Attempts struct {
	policy     Policy // with its defaults
	idempotent bool
	made       int
	known      outcome.Outcome // of the attempts made
	schedule   *backoff.ExponentialBackOff
}

// Begin starts the loop of one call and counts the call in the budget.
// idempotent says that the call may happen twice without harm.
func (p Policy) Begin(idempotent bool) Attempts {
	p = p.withDefaults()
	p.Budget.Call()
	return Attempts{policy: p, idempotent: idempotent, known: outcome.NotSent}
}

// Left returns how many attempts may still be made.
func (a *Attempts) Left() int { return a.policy.MaxAttempts - a.made }

// Made returns how many attempts have failed so far.
func (a *Attempts) Made() int { return a.made }

// Next takes the error of the attempt that just failed. It waits and returns
// nil when there shall be another attempt; else it returns at once the error
// to give up with. A nil err is a programmer's error and comes back as nil
// without a wait.
func (a *Attempts) Next(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	a.made++
	a.known = outcome.Worst(a.known, outcome.Of(err))
	if ctx.Err() != nil {
		return a.ended(ctx, err)
	}
	if !a.repeatable(err) {
		return a.giveUp(nil, err)
	}
	if a.Left() <= 0 {
		return a.giveUp(ErrAttempts, err)
	}
	wait, why := a.wait(ctx, err)
	if why != nil {
		return why
	}
	loan, ok := a.policy.Budget.take()
	if !ok {
		return a.giveUp(ErrBudget, err)
	}
	if wait > 0 {
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
		}
	}
	// The timer and the end may both be due: the end wins.
	if ctx.Err() != nil {
		a.policy.Budget.giveBack(loan)
		return a.ended(ctx, err)
	}
	return nil
}

func (a *Attempts) repeatable(err error) bool {
	if IsPermanent(err) || !outcome.CanRepeat(err, a.idempotent) {
		return false
	}
	transient, said := outcome.Transient(err)
	return transient || a.idempotent && !said
}

// wait returns how long to wait before the next attempt, or the error to end
// with because that is too long.
func (a *Attempts) wait(ctx context.Context, err error) (time.Duration, error) {
	p := a.policy
	asked, _ := AfterOf(err)
	if asked > p.MaxRetryAfter {
		return 0, a.later(asked, err)
	}
	if a.schedule == nil {
		a.schedule = p.schedule()
	}
	jitter := p.next(a.schedule)
	deadline, ok := ctx.Deadline()
	if !ok {
		return sum(asked, jitter), nil
	}
	left := time.Until(deadline)
	switch {
	case asked == 0 && jitter >= left:
		return 0, a.giveUp(ErrDeadline, err)
	case asked >= left && asked > 0:
		return 0, a.later(asked, err)
	case asked > 0:
		// What was asked for fits; the part we add must not spoil that.
		jitter = min(jitter, (left-asked)/2)
	}
	return sum(asked, jitter), nil
}

func (a *Attempts) later(asked time.Duration, err error) error {
	e := a.policy.later(a.made, asked, err)
	e.Known = a.known
	return e
}

func (a *Attempts) ended(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	if errors.Is(err, cause) {
		cause = nil
	}
	return a.giveUp(cause, err)
}

// giveUp returns err itself if it already says all there is to say.
func (a *Attempts) giveUp(reason, err error) error {
	if reason == nil && a.made == 1 {
		return err
	}
	return &Error{Attempts: a.made, Reason: reason, Known: a.known, Err: err}
}

package requestreply

import (
	"context"
	"errors"
	"time"

	"github.com/crosstie/crosstie/outcome"
)

type confirm = func(ctx context.Context, key string) (outcome.Outcome, error)

// confirmIn is the time for Op.Confirm of a call that has no end.
const confirmIn = 10 * time.Second

// keepTime divides the time of the call between its attempts and ask.
func (c *call) keepTime(ctx context.Context, ask confirm) {
	if c.key == "" && IdempotencyKey(ctx) == "" {
		return
	}
	c.confirm = ask
	if c.g.total > 0 {
		c.over = c.begun.Add(c.g.total)
	}
	if d, ok := ctx.Deadline(); ok && (c.over.IsZero() || d.Before(c.over)) {
		c.over = d
	}
	if !c.over.IsZero() {
		kept := c.over.Sub(c.begun) / 5
		if c.g.try > 0 {
			kept = min(kept, c.g.try)
		}
		c.rest = c.over.Add(-kept)
	}
}

// settled asks for the key of a call whose outcome is unknown. Who has gone
// waits for no answer.
func (c *call) settled(ctx context.Context, e *Error) *Error {
	if c.confirm == nil || c.made == 0 || e.Known != outcome.Unknown || ctx.Err() != nil {
		return e
	}
	end := c.over
	if end.IsZero() {
		end = time.Now().Add(confirmIn)
	}
	ctx, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	o, err := c.confirm(ctx, orText(c.key, IdempotencyKey(ctx)))
	switch {
	case err != nil:
		e.Confirm = err
	case o == outcome.Unknown:
		e.Confirm = errNotSettled
	default:
		e.Known = o
	}
	return e
}

var errNotSettled = errors.New("the other side cannot tell")

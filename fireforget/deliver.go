package fireforget

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/retry"
)

// A Deliverer hands one item to its destination. Nil means that it landed and
// will not be delivered again. An error is recorded and the item attempted
// again by the schedule, unless the error says that a repeat is of no use: it
// is marked by [retry.Permanent], or has a method Transient() bool that
// returns false, as the errors of [Webhook] have. [retry.After] makes the
// next attempt later.
//
// An item may be delivered more than once: a process can die between the
// delivery and its record. Its ID is the same each time, and the receiver
// dedupes by it, as [NewReceiver] does.
//
// Deliver is called by many goroutines at once, for one key by one at a time.
// Its context ends after RouteOptions.Timeout, when the claim is lost, and
// when the drain of a relay that stops has taken too long. A panic is a
// failed attempt.
type Deliverer interface {
	Deliver(ctx context.Context, it Item) error
}

// A DelivererFunc is a function as a [Deliverer].
type DelivererFunc func(ctx context.Context, it Item) error

// Deliver calls f.
func (f DelivererFunc) Deliver(ctx context.Context, it Item) error { return f(ctx, it) }

// JSON returns a deliverer that decodes the body into a T for fn. A body that
// does not decode is refused for good: it counts as one attempt and is
// parked, since it would not decode the next time either.
func JSON[T any](fn func(ctx context.Context, id string, v T) error) Deliverer {
	return DelivererFunc(func(ctx context.Context, it Item) error {
		var v T
		if err := json.Unmarshal(it.Body, &v); err != nil {
			// The decoder's text may quote the payload.
			return retry.Permanent(outcome.Error(outcome.NotSent, fmt.Errorf("the body does not decode into %T", v)))
		}
		return fn(ctx, it.ID, v)
	})
}

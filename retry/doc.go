// Package retry repeats a call that failed, when that is safe and worth it.
//
// Use it for one call whose caller waits. For work that must land although
// nobody waits, hand it to package fireforget, whose schedule lasts for days.
// Package requestreply has this loop inside, with limits for each attempt and
// a breaker around it; do not put one loop around another.
//
//	order, err := retry.Do(ctx, retry.Policy{}, func(ctx context.Context) (Order, error) {
//		return orders.Create(ctx, draft)
//	})
//	if later, ok := errors.AsType[*retry.Error](err); ok && !later.At.IsZero() {
//		return scheduleFor(later.At) // the other side named an instant
//	}
//
// # What is repeated
//
// [Do] repeats a call only if it is known to have had no effect (its outcome
// is NotSent or Refused, see package outcome) and its cause is said to pass.
// [DoIdempotent] is for calls that may happen twice, because they change
// nothing or carry a key: it repeats them whatever the outcome, unless the
// cause is said to last. An error that says nothing about itself is not
// repeated by Do and is repeated by DoIdempotent. [Permanent] ends both.
//
// # How long it waits
//
// Between attempts it waits a random time between nothing and a limit that
// starts at Policy.Base and doubles up to Policy.Max (full jitter). When the
// error carries a Retry-After ([After], [ParseAfter]), it waits at least that
// long; the random part only adds to it, so that clients that were told the
// same time do not all return at once. A Retry-After is obeyed in full or not
// at all: when it is longer than Policy.MaxRetryAfter or than the time the
// context has left, the call ends at once with an [*Error] that names the
// instant to come back at. A wait that would pass the context's deadline is
// not begun either.
//
// # What is bounded
//
//	bounded                  default   at the bound
//	attempts                 4         *Error wraps ErrAttempts
//	limit of one wait        20 s      the limit stays there
//	Retry-After waited for   5 min     *Error wraps ErrLater, At is set
//	Retry-After read         24 h      not usable: as if there was none
//	retries of all callers   no bound  with a Budget: *Error wraps ErrBudget
//	total time               ctx       *Error wraps ErrDeadline, or the context's cause
//
// # Errors
//
// When the first attempt fails with what must not be repeated, its error comes
// back as it is. Every other end is an [*Error]: it wraps the last error of the
// call and the reason, and its Outcome is the one most likely to have had an
// effect among all attempts: a time-out followed by a refused connection is
// still unknown.
//
// # Concurrency
//
// A [Policy] is a value and may be shared, a [Budget] is safe for concurrent
// use, an [Attempts] belongs to one call.
//
// # Testing
//
// Waiting uses package time alone, so that testing/synctest makes it take no
// time: see the examples and tests of this package.
package retry

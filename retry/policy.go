package retry

import (
	"time"

	"github.com/cenkalti/backoff/v4"
)

// A Policy says how often a call is repeated and how long the waits are. The
// zero value is ready; each field that is zero means its default. A Policy is
// a value that may be shared and copied.
type Policy struct {
	// MaxAttempts is how often the call is made in all, the first included.
	// Defaults to 4. One, or a negative number, never repeats.
	MaxAttempts int
	// Base is the limit of the first wait; the limit doubles with each
	// attempt. Defaults to 100 ms. A negative Base does not wait at all,
	// unless the error asks for it.
	Base time.Duration
	// Max is where the limit stops growing; a Base above it counts as Max.
	// Defaults to 20 s. A negative Max does not wait at all, unless the error
	// asks for it.
	Max time.Duration
	// MaxRetryAfter is the longest wait the other side may ask for; a longer
	// one ends the call with ErrLater. Defaults to 5 min. A negative one ends
	// the call whenever a wait is asked for.
	MaxRetryAfter time.Duration
	// Budget limits the retries of all calls that share it. Nil is no limit.
	Budget *Budget
}

func (p Policy) withDefaults() Policy {
	p.MaxAttempts = max(1, orDefault(p.MaxAttempts, 4))
	p.Base = max(0, orDefault(p.Base, 100*time.Millisecond))
	p.Max = max(0, orDefault(p.Max, 20*time.Second))
	p.Base = min(p.Base, p.Max)
	p.MaxRetryAfter = max(0, orDefault(p.MaxRetryAfter, 5*time.Minute))
	return p
}

func orDefault[T int | time.Duration](v, d T) T {
	if v == 0 {
		return d
	}
	return v
}

// Delay returns how long to wait between attempt n (the first is 1) that
// failed with err and the next one. It is for callers that store the instant
// of the next attempt instead of waiting for it; it asks neither the budget
// nor MaxAttempts nor whether err can be repeated. When err carries a
// Retry-After longer than MaxRetryAfter the error is an [*Error] wrapping
// [ErrLater], with the instant in At.
func (p Policy) Delay(n int, err error) (time.Duration, error) {
	p = p.withDefaults()
	asked, _ := AfterOf(err)
	if asked > p.MaxRetryAfter {
		return 0, p.later(n, asked, err)
	}
	s := p.schedule()
	for range min(n, 64) - 1 { // the limit has stopped growing long before
		s.NextBackOff()
	}
	return sum(asked, p.next(s)), nil
}

// schedule makes full jitter of backoff's "interval ± factor": around half of
// the limit, by all of it. p has its defaults.
func (p Policy) schedule() *backoff.ExponentialBackOff {
	s := &backoff.ExponentialBackOff{
		InitialInterval:     max(1, p.Base/2),
		RandomizationFactor: 1,
		Multiplier:          2,
		MaxInterval:         max(1, p.Max/2),
		Clock:               backoff.SystemClock,
	}
	s.Reset()
	return s
}

// next returns the next wait of s. backoff may pass its limit by the
// nanosecond it adds for rounding, and knows no wait of zero.
func (p Policy) next(s *backoff.ExponentialBackOff) time.Duration {
	if p.Base == 0 {
		return 0
	}
	return min(s.NextBackOff(), p.Max)
}

// sum adds two waits; neither is negative.
func sum(a, b time.Duration) time.Duration {
	if s := a + b; s >= a {
		return s
	}
	return a
}

package requestreply

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/retry"
)

// A Guard holds what calls to the same systems share: time limits, the retry
// schedule and, for each target, a breaker, a limit of attempts in flight and
// a budget of retries. Make one and keep it; a Guard made for a call protects
// nothing.
//
// A nil *Guard is legal: calls get the default time limits and retries, and
// share nothing. A Guard is safe for concurrent use and has nothing to close.
type Guard struct {
	o     Options       // with its defaults
	total time.Duration // zero: no limit
	try   time.Duration // zero: no limit
	first time.Duration // the limit of a first attempt that need not wait

	abandoned atomic.Int64 // operations nobody waits for any more

	known atomic.Pointer[map[string]*target] // replaced, never written to
	mu    sync.Mutex                         // guards the replacing
}

// NewGuard returns a Guard. o may be nil.
func NewGuard(o *Options) *Guard {
	g := &Guard{o: o.withDefaults()}
	g.total = max(0, g.o.Timeout)
	g.try = max(0, g.o.TryTimeout)
	if g.first = min(g.total, g.try); g.first == 0 {
		g.first = max(g.total, g.try)
	}
	g.known.Store(&map[string]*target{})
	return g
}

// bare serves the nil Guard: the default limits, and nothing shared.
var bare = func() *Guard {
	g := NewGuard(&Options{MaxInFlight: -1, Breaker: Breaker{Disabled: true}})
	g.known.Store(nil)
	return g
}()

// once serves calls whose transport has a guard of its own: a second loop
// around the first would multiply the attempts.
var once = func() *Guard {
	g := NewGuard(&Options{
		Timeout: -1, TryTimeout: -1, MaxInFlight: -1,
		Retry:   retry.Policy{MaxAttempts: 1},
		Breaker: Breaker{Disabled: true},
	})
	g.known.Store(nil)
	return g
}()

// quiet is how long a connection must have been silent to count as stalled.
func (g *Guard) quiet() time.Duration {
	if g.try == 0 {
		return time.Second
	}
	return g.try / 10
}

// An Op describes one call. The zero Op is legal.
type Op struct {
	// Target is who is called, for instance a host: calls to one target share
	// a breaker, a limit in flight and a retry budget.
	Target string
	// Idempotent says that the call may happen twice without harm, by its
	// nature or because every attempt carries the same key and the other side
	// honours it.
	Idempotent bool
	// Confirm settles a call that failed and may have had its effect, by asking
	// the other side whether it has the key of the context
	// ([WithIdempotencyKey]). It is asked once, after the last attempt, if there
	// is a key; a fifth of the call's time, at most TryTimeout, is kept for it.
	// What it returns is what the [*Error] then says: outcome.Applied, or
	// outcome.Refused if the call has no effect and can have none any more. That
	// the other side does not know the key yet is no proof: the request may be
	// on its way. So refuse the key there, or look again after as long as a
	// request can live, or return outcome.Unknown. Its error leaves the outcome
	// unknown, and is in Error.Confirm. Nil asks nobody.
	Confirm func(ctx context.Context, key string) (outcome.Outcome, error)
}

// A target is what calls to one target share.
type target struct {
	bulkhead
	breaker *breaker      // nil when disabled
	budget  *retry.Budget // nil when the policy has its own
	used    atomic.Int64  // when last, in Unix nanoseconds
}

// unshared is the target of guards that share nothing.
var unshared = new(target)

// idleAfter is how long an unused target is remembered at least.
const idleAfter = 10 * time.Minute

// target returns the shared state of name, at instant now.
func (g *Guard) target(name string, now time.Time) (*target, error) {
	m := g.known.Load()
	if m == nil {
		return unshared, nil
	}
	t, ok := (*m)[name]
	if !ok {
		var err error
		if t, err = g.add(name, now); err != nil {
			return nil, err
		}
	}
	if n := now.UnixNano(); n-t.used.Load() > int64(time.Second) {
		t.used.Store(n) // a store each call would be fought over
	}
	return t, nil
}

func (g *Guard) add(name string, now time.Time) (*target, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	old := *g.known.Load()
	if t, ok := old[name]; ok {
		return t, nil
	}
	next := make(map[string]*target, len(old)+1)
	for k, t := range old {
		if !t.idle() || now.UnixNano()-t.used.Load() < int64(idleAfter) {
			next[k] = t
		}
	}
	if len(next) >= g.o.MaxTargets && g.o.MaxTargets > 0 && !forget(next) {
		return nil, outcome.TransientError(outcome.NotSent, true,
			fmt.Errorf("%w: %d targets are in use already", ErrFull, len(next)))
	}
	t := g.newTarget(name)
	t.used.Store(now.UnixNano())
	next[name] = t
	g.known.Store(&next)
	return t, nil
}

// forget deletes the idle target unused for longest, one with a closed breaker
// before one that still refuses. A call that waits between two attempts keeps
// the forgotten target; it only no longer shares it.
func forget(m map[string]*target) bool {
	var idle []string
	for k, t := range m {
		if t.idle() {
			idle = append(idle, k)
		}
	}
	if len(idle) == 0 {
		return false
	}
	delete(m, slices.MinFunc(idle, func(a, b string) int {
		ta, tb := m[a], m[b]
		return cmp.Or(
			cmp.Compare(ta.breaker.weight(), tb.breaker.weight()),
			cmp.Compare(ta.used.Load(), tb.used.Load()))
	}))
	return true
}

func (g *Guard) newTarget(name string) *target {
	t := new(target)
	if g.o.MaxInFlight > 0 {
		t.max, t.queue = int64(g.o.MaxInFlight), int64(max(0, g.o.MaxQueue))
	}
	if !g.o.Breaker.Disabled {
		t.breaker = newBreaker(name, g.o.Breaker, g.o.Logger)
	}
	if g.o.Retry.Budget == nil {
		t.budget = retry.NewBudget(0, 0)
	}
	return t
}

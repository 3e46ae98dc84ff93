package requestreply

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/retry"
)

// What an attempt tells the breaker; nil is a sign of life.
var (
	errSick   = errors.New("sick")
	errNoSign = errors.New("no sign") // the caller gave up
)

// keptChanges is how many undelivered changes of one breaker are kept.
const keptChanges = 64

// A breaker wraps gobreaker's two-step form. gobreaker's generations already
// keep late results of a closed time from deciding a half-open one.
type breaker struct {
	name  string
	two   *gobreaker.TwoStepCircuitBreaker[struct{}]
	o     Breaker
	log   *slog.Logger
	state atomic.Int32 // the gobreaker.State last entered
	due   atomic.Bool  // pending is not empty

	mu         sync.Mutex // guards what follows; taken inside gobreaker's lock
	until      time.Time  // when an open breaker turns half-open
	pending    []change
	delivering bool
}

type change struct{ from, to gobreaker.State }

func newBreaker(name string, o Breaker, log *slog.Logger) *breaker {
	b := &breaker{name: name, o: o, log: log}
	b.two = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name:         name,
		MaxRequests:  1,
		Interval:     o.Window,
		BucketPeriod: max(1, o.Window/10),
		Timeout:      o.OpenFor,
		ReadyToTrip: func(c gobreaker.Counts) bool {
			// Requests counts those in flight as well; only what ended says something.
			ended := c.TotalSuccesses + c.TotalFailures
			return int64(ended) >= int64(o.MinCalls) &&
				float64(c.TotalFailures) >= o.FailRatio*float64(ended)
		},
		IsExcluded:    func(err error) bool { return err == errNoSign },
		OnStateChange: b.changed,
	})
	return b
}

// changed runs under gobreaker's lock: it only takes notes.
func (b *breaker) changed(_ string, from, to gobreaker.State) {
	b.state.Store(int32(to))
	b.mu.Lock()
	defer b.mu.Unlock()
	if to == gobreaker.StateOpen {
		// gobreaker turns half-open after the instant, not at it.
		b.until = time.Now().Add(b.o.OpenFor + time.Nanosecond)
	}
	if len(b.pending) >= keptChanges {
		b.pending = b.pending[1:]
	}
	b.pending = append(b.pending, change{from, to})
	b.due.Store(true)
}

// deliver hands pending changes to the hooks, one deliverer at a time, so
// that they arrive in order and a hook may call the Guard.
func (b *breaker) deliver() {
	b.mu.Lock()
	if b.delivering {
		b.mu.Unlock()
		return
	}
	b.delivering = true
	for len(b.pending) > 0 {
		c := b.pending[0]
		b.pending = b.pending[1:]
		b.tell(c)
	}
	b.due.Store(false)
	b.delivering = false
	b.mu.Unlock()
}

// tell calls the hooks of one change without b.mu, which its caller holds.
func (b *breaker) tell(c change) {
	b.mu.Unlock()
	defer b.mu.Lock()
	defer func() { // the call that happens to deliver must not pay for a hook
		if p := recover(); p != nil {
			b.log.Error("OnChange panicked", "target", b.name, "panic", p)
		}
	}()
	b.log.Warn("breaker changed", "target", b.name, "from", c.from.String(), "to", c.to.String())
	if b.o.OnChange != nil {
		b.o.OnChange(b.name, c.from.String(), c.to.String())
	}
}

// allow asks for one attempt that ends before end (zero: no limit). On
// success the permit must be settled, once or more often.
func (b *breaker) allow(now, end time.Time) (permit, error) {
	done, err := b.two.Allow()
	if b.due.Load() {
		b.deliver()
	}
	if err != nil {
		return permit{}, b.refusal(err)
	}
	p := permit{b: b, done: done}
	// An attempt allowed while half-open is a probe. When the state changed
	// since, its generation has passed and watching it does no harm.
	if gobreaker.State(b.state.Load()) == gobreaker.StateHalfOpen {
		limit := b.o.OpenFor
		if !end.IsZero() {
			limit = end.Sub(now)
		}
		p.probe = new(probe)
		p.probe.watch(p, limit)
	}
	return p, nil
}

// A probe is the attempt that decides a half-open breaker.
type probe struct {
	settled atomic.Bool
	timer   *time.Timer
}

// watch settles the probe as failed when it outlives its limit, so that an
// operation that ignores its context cannot keep the breaker half-open.
func (pr *probe) watch(p permit, limit time.Duration) {
	pr.timer = time.AfterFunc(limit, func() {
		if pr.settled.CompareAndSwap(false, true) {
			p.report(errSick)
		}
	})
}

func (b *breaker) refusal(err error) error {
	if errors.Is(err, gobreaker.ErrTooManyRequests) {
		return ErrOpen // half-open: when the probe ends is not known
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return retry.After(time.Until(b.until), ErrOpen)
}

// weight orders breakers by how much forgetting them would lose.
func (b *breaker) weight() int {
	if b == nil || gobreaker.State(b.state.Load()) == gobreaker.StateClosed {
		return 0
	}
	return 1
}

// A permit is the breaker's leave for one attempt. The zero permit, of a
// disabled breaker, settles nothing.
type permit struct {
	b     *breaker
	done  func(error)
	probe *probe // nil when it is none
}

// settle reports sign (nil, errSick or errNoSign), unless the probe was
// settled by its limit before.
func (p *permit) settle(sign error) {
	if p.b == nil {
		return
	}
	if p.probe != nil {
		p.probe.timer.Stop()
		if !p.probe.settled.CompareAndSwap(false, true) {
			return
		}
	}
	p.report(sign)
}

func (p *permit) report(sign error) {
	p.done(sign)
	if p.b.due.Load() {
		p.b.deliver()
	}
}

// sign reads what the error of an attempt says about the target.
func sign(err error, gaveUp bool) error {
	switch {
	case err == nil:
		return nil
	case gaveUp:
		return errNoSign
	}
	if transient, said := outcome.Transient(err); said && !transient {
		return nil
	}
	if s, ok := errors.AsType[*statusError](err); ok && s.status < 500 && s.status != 408 && s.status != 429 {
		return nil
	}
	return errSick
}

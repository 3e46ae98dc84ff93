package quota

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/retry"
)

var (
	// ErrSpent says that the allowance is used up, or what of it is not kept for
	// important callers, or that the other side asked for a rest. Nothing was
	// sent; retry.AfterOf, and requestreply.Error.At, tell when to come back.
	ErrSpent = errors.New("the allowance of calls is used up: come back when the next period begins, or mark what matters by quota.Important")
	// ErrBusy says that others were faster each time the state was to be saved.
	// Nothing was sent.
	ErrBusy = errors.New("the state of the allowance is fought over: take larger chunks (Options.Chunk)")
)

const (
	maxTries  = 32
	maxPeriod = 31 * 24 * time.Hour
	// refusedFor is how long a refusal is believed without another look.
	refusedFor = time.Second
)

// Options configure a [Quota]. A nil *Options is legal; each field that is zero
// means its default.
type Options struct {
	// Period is the time the allowance is for. Periods begin at its multiples
	// since the zero time, so days at midnight UTC, until an answer says when
	// the other side's ends. Defaults to 24 h; at most 31 days.
	Period time.Duration
	// Reserve is the part of the allowance, in calls, that only callers marked
	// by Important may take. Defaults to none.
	Reserve int64
	// Chunk is how many calls are taken from the store at a time. A process that
	// dies wastes up to as many. Defaults to a thousandth of the allowance, at
	// least one.
	Chunk int64
}

// A Quota is an allowance of calls. It is a requestreply.Quota, so put it into
// the Options of a Guard; it is safe for concurrent use.
type Quota struct {
	name    string
	limit   int64
	period  time.Duration
	reserve int64
	chunk   int64
	store   Store

	// lock guards what follows; a channel, since who waits for it, behind a
	// store that is slow, may leave.
	lock  chan struct{}
	seen  State     // as last loaded or saved
	hand  int64     // taken from the store and not used yet, until seen.Until
	again time.Time // before it, ordinary callers are refused without a look
}

// New returns the allowance name of limit calls in a period, kept in s: all
// Quotas of that name and store share it. A limit or Reserve that is negative
// counts as zero. It panics without a store. o may be nil.
func New(name string, limit int64, s Store, o *Options) *Quota {
	if s == nil {
		panic("quota: New needs a Store; NewMem makes one in memory")
	}
	var v Options
	if o != nil {
		v = *o
	}
	q := &Quota{name: name, limit: max(0, limit), period: v.Period, reserve: max(0, v.Reserve), chunk: v.Chunk, store: s, lock: make(chan struct{}, 1)}
	if q.period <= 0 {
		q.period = 24 * time.Hour
	}
	q.period = min(q.period, maxPeriod)
	if q.chunk <= 0 {
		q.chunk = max(1, q.limit/1000)
	}
	return q
}

type importantOf struct{}

// Important returns a context whose calls may take from the reserve.
func Important(ctx context.Context) context.Context {
	return context.WithValue(ctx, importantOf{}, true)
}

// Take takes one call. Its error is ErrSpent, ErrBusy, the store's or that of
// ctx; all have the outcome NotSent. target is not looked at: one Quota is one
// allowance, see [ByTarget].
func (q *Quota) Take(ctx context.Context, target string) error {
	important, _ := ctx.Value(importantOf{}).(bool)
	if err := q.acquire(ctx); err != nil {
		return outcome.Error(outcome.NotSent, err)
	}
	defer func() { <-q.lock }()
	now := time.Now()
	switch {
	case now.Before(q.seen.Shut):
		return q.spent(now, q.seen.Shut)
	case q.hand > 0 && now.Before(q.seen.Until):
		q.hand--
		return nil
	case !important && now.Before(q.again):
		return q.spent(now, q.seen.Until)
	}
	q.hand = 0
	return q.refill(ctx, now, important)
}

func (q *Quota) acquire(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	select {
	case q.lock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// refill takes a chunk from the store and one call of it.
func (q *Quota) refill(ctx context.Context, now time.Time, important bool) error {
	var n int64
	var refused error
	err := q.update(ctx, func(s State) (State, bool) {
		n, refused = 0, nil
		if now.Before(s.Shut) {
			refused = q.spent(now, s.Shut)
			return s, false
		}
		all := q.limitOf(s)
		ordinary := all - min(q.reserve, all)
		if n = min(q.chunk, ordinary-s.Used); n <= 0 && important && s.Used < all {
			n = 1
		}
		if n <= 0 {
			q.again = now.Add(min(refusedFor, s.Until.Sub(now)))
			refused = q.spent(now, s.Until)
			return s, false
		}
		s.Used += n
		return s, true
	})
	if err == nil {
		err = refused
	}
	if err != nil {
		return err
	}
	q.hand = n - 1
	return nil
}

// update changes the stored state by step, which may be called again and
// returns false to leave it as it is.
func (q *Quota) update(ctx context.Context, step func(State) (State, bool)) error {
	for range maxTries {
		s, version, err := q.store.Load(ctx, q.name)
		if err != nil {
			return q.failed(err)
		}
		s = s.at(time.Now(), q.period)
		next, change := step(s)
		if !change {
			q.seen = s
			return nil
		}
		ok, err := q.store.Save(ctx, q.name, version, next)
		if err != nil {
			return q.failed(err)
		}
		if ok {
			q.seen = next
			return nil
		}
	}
	return outcome.TransientError(outcome.NotSent, true, fmt.Errorf("quota %q: %w", q.name, ErrBusy))
}

// at is s at an instant: a period that is over is followed by the next.
func (s State) at(now time.Time, period time.Duration) State {
	if !now.Before(s.Until) {
		s.Used, s.Until = 0, now.Truncate(period).Add(period)
	}
	return s
}

func (q *Quota) limitOf(s State) int64 {
	if s.Limit > 0 {
		return s.Limit
	}
	return q.limit
}

func (q *Quota) spent(now, until time.Time) error {
	return outcome.TransientError(outcome.NotSent, true, retry.After(until.Sub(now), fmt.Errorf("quota %q: %w", q.name, ErrSpent)))
}

func (q *Quota) failed(err error) error {
	return outcome.TransientError(outcome.NotSent, true, fmt.Errorf("quota %q: its store does not answer: %w", q.name, err))
}

// Saw learns from the status and header of an answer what is left; see the
// package comment. What it cannot save it forgets: the next answer says more.
func (q *Quota) Saw(ctx context.Context, target string, status int, h http.Header) {
	now := time.Now()
	sight := look(status, h, now)
	if sight.nothing() || q.acquire(ctx) != nil {
		return
	}
	defer func() { <-q.lock }()
	if !sight.news(q.seen, q.limitOf(q.seen), q.reserve, q.chunk) {
		return
	}
	err := q.update(ctx, func(s State) (State, bool) {
		next := sight.apply(s, q.limitOf(s), q.hand)
		return next, next != s
	})
	if err == nil && (q.seen.Used-q.hand >= q.limitOf(q.seen) || now.Before(q.seen.Shut)) {
		q.hand = 0 // what it was taken from is not there
	}
}

// State returns what is known of the allowance now, as the store has it. Used
// counts what processes hold in hand.
func (q *Quota) State(ctx context.Context) (State, error) {
	s, _, err := q.store.Load(ctx, q.name)
	if err != nil {
		return State{}, q.failed(err)
	}
	s = s.at(time.Now(), q.period)
	s.Limit = q.limitOf(s)
	return s, nil
}

// ByTarget is a requestreply.Quota of several: calls to a target take from its
// own, and those to targets that are not in it from none. It must not change
// while it is used.
type ByTarget map[string]*Quota

// Take takes one call from the allowance of target.
func (b ByTarget) Take(ctx context.Context, target string) error {
	if q := b[target]; q != nil {
		return q.Take(ctx, target)
	}
	return nil
}

// Saw tells the allowance of target of an answer.
func (b ByTarget) Saw(ctx context.Context, target string, status int, h http.Header) {
	if q := b[target]; q != nil {
		q.Saw(ctx, target, status, h)
	}
}

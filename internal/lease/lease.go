// Package lease holds the arithmetic of fenced leases.
//
// A lease bounds how long a crashed holder keeps others waiting; its epoch
// keeps a paused holder, who wakes up after the lease has passed on, from
// writing over its successor. [Lease] is the grantor's side, a pure step over
// (state, event, now) that stores call inside their own lock or transaction;
// [Keep] is the holder's side.
package lease

import (
	"context"
	"errors"
	"time"
)

// Default is how long a lease lasts when its user names no other time.
const Default = 10 * time.Second

// ErrLost says that a lease is no longer ours: it ran out and somebody else
// may hold it.
var ErrLost = errors.New("lease lost: it ran out and another owner may hold it")

// A Lease is the state of one leased thing. The zero value was never held.
// It is a value: each step returns the next state.
type Lease struct {
	Owner string    // who holds it, for people; the epoch decides
	Epoch int64     // grows with every grant and never shrinks
	Until time.Time // when it runs out; zero when it is free
}

// Held reports whether somebody holds l at now.
func (l Lease) Held(now time.Time) bool { return now.Before(l.Until) }

// Claim grants l to owner for d, if it is free or has run out, under an epoch
// larger than any before.
func (l Lease) Claim(owner string, now time.Time, d time.Duration) (Lease, bool) {
	if l.Held(now) {
		return l, false
	}
	return Lease{Owner: owner, Epoch: l.Epoch + 1, Until: now.Add(d)}, true
}

// Renew extends l to now+d for the holder of epoch. A holder may renew after
// its time ran out, as long as nobody else was granted the lease since. A
// lease is never shortened.
func (l Lease) Renew(epoch int64, now time.Time, d time.Duration) (Lease, bool) {
	if !l.Owns(epoch) {
		return l, false
	}
	if until := now.Add(d); until.After(l.Until) {
		l.Until = until
	}
	return l, true
}

// Owns reports whether epoch is the one last granted and not yet released:
// the only one that may write.
func (l Lease) Owns(epoch int64) bool { return epoch == l.Epoch && !l.Until.IsZero() }

// Release frees l for the next claim, keeping its epoch.
func (l Lease) Release(epoch int64) (Lease, bool) {
	if !l.Owns(epoch) {
		return l, false
	}
	l.Owner, l.Until = "", time.Time{}
	return l, true
}

// Beat is the holder's pure step. A holder that was last granted (or renewed)
// d at granted must renew at the first instant and stop work at the second:
// a third of the lease to renew, a sixth of it kept as margin, so that the
// holder stops before the grantor lets go.
func Beat(granted time.Time, d time.Duration) (renew, stop time.Time) {
	return granted.Add(d / 3), granted.Add(d - d/6)
}

// Keep holds a lease of length d, granted just now, until stop is called. It
// calls renew at every beat, on a context that ends when the lease would. The
// context it returns ends with cause [ErrLost] when renew returns an error
// that wraps ErrLost, or when no renewal succeeded in time; other errors of
// renew are tried again at a shorter beat. stop waits for the last renew to
// return and reports the loss, if there was one; it may be called again.
func Keep(ctx context.Context, d time.Duration, renew func(context.Context) error) (held context.Context, stop func() error) {
	held, cancel := context.WithCancelCause(ctx)
	quit := make(chan struct{})
	done := make(chan struct{})
	var lost error
	go func() {
		defer close(done)
		granted := time.Now()
		next, end := Beat(granted, d)
		t := time.NewTimer(time.Until(next))
		defer t.Stop()
		for {
			select {
			case <-quit:
				return
			case <-held.Done():
				return
			case <-t.C:
			}
			asked := time.Now()
			if !asked.Before(end) {
				lost = ErrLost
				cancel(lost)
				return
			}
			rctx, rcancel := context.WithDeadline(held, end)
			err := renew(rctx)
			rcancel()
			switch {
			case err == nil:
				granted = asked
				next, end = Beat(granted, d)
			case errors.Is(err, ErrLost):
				lost = err
				cancel(lost)
				return
			default:
				next = time.Now().Add(d / 12)
				if next.After(end) {
					next = end
				}
			}
			t.Reset(time.Until(next))
		}
	}()
	closed := false
	return held, func() error {
		if !closed {
			closed = true
			close(quit)
		}
		<-done
		cancel(context.Canceled)
		return lost
	}
}

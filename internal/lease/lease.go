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

// Keep holds a lease of length d, granted just now, until stop is called; a d
// of zero or less means [Default]. It calls renew at every beat, one call at a
// time, on a context that ends when the holder must stop. The context it
// returns ends then too, with cause [ErrLost], also while a renew hangs; it
// ends at once when renew returns an error that wraps ErrLost, with that as
// its cause. Other errors of renew are tried again at a shorter beat.
//
// stop ends the context, waits for the last renew to return, and reports the
// loss, if there was one before. It may be called again, and by several.
func Keep(ctx context.Context, d time.Duration, renew func(context.Context) error) (held context.Context, stop func() error) {
	if d <= 0 {
		d = Default
	}
	held, cancel := context.WithCancelCause(ctx)
	k := &keeper{d: d, renew: renew, held: held, cancel: cancel, done: make(chan struct{})}
	next, end := Beat(time.Now(), d)
	k.expiry = time.AfterFunc(time.Until(end), func() { cancel(ErrLost) })
	go func() {
		defer close(k.done)
		defer k.expiry.Stop()
		k.run(next, end)
	}()
	return held, func() error {
		cancel(errStopped) // the first cause counts
		<-k.done
		if cause := context.Cause(held); errors.Is(cause, ErrLost) && ctx.Err() == nil {
			return cause
		}
		return nil
	}
}

var errStopped = errors.New("the lease was given up by its holder")

type keeper struct {
	d      time.Duration
	renew  func(context.Context) error
	held   context.Context
	cancel context.CancelCauseFunc
	expiry *time.Timer // a renew that ignores its context must not keep held alive
	done   chan struct{}
}

func (k *keeper) run(next, end time.Time) {
	t := time.NewTimer(time.Until(next))
	defer t.Stop()
	for {
		select {
		case <-k.held.Done():
			return
		case <-t.C:
		}
		asked := time.Now()
		if !asked.Before(end) {
			k.cancel(ErrLost)
			return
		}
		ctx, cancel := context.WithDeadline(k.held, end)
		err := k.renew(ctx)
		cancel()
		switch {
		case err == nil:
			// From when we asked: the grantor counts from later.
			next, end = Beat(asked, k.d)
			if !k.expiry.Stop() {
				return // too late: held has ended, or is about to
			}
			k.expiry.Reset(time.Until(end))
		case errors.Is(err, ErrLost):
			k.cancel(err)
			return
		default:
			next = time.Now().Add(k.d / 12)
		}
		t.Reset(time.Until(next))
	}
}

package uiupdate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/crosstie/crosstie/outcome"
)

var (
	errSlow   = fmt.Errorf("the load took longer than FreshOptions.Timeout: %w", context.DeadlineExceeded)
	errFenced = errors.New("it changes faster than it can be loaded")
	errPanic  = errors.New("the load function panicked, or ended its goroutine")
)

// fences is how often a caller whose load was overtaken waits for another.
const fences = 3

// A flight is one load that runs.
type flight[V any] struct {
	began  time.Time
	done   chan struct{} // closed under the lock when the rest is set
	landed bool
	fenced bool
	val    V
	err    error
}

// get answers one call. Ages count from its beginning, so that a load which
// began after it is always young enough, however long it takes.
func (f *Fresh[K, V]) get(ctx context.Context, key K, age, stale time.Duration) (Value[V], error) {
	start := time.Now()
	young, old := start.Add(-age), start.Add(-stale)
	var patience <-chan time.Time
	if f.opts.Patience > 0 {
		t := time.NewTimer(f.opts.Patience)
		defer t.Stop()
		patience = t.C
	}
	slot, shared := false, false
	defer func() {
		if slot {
			<-f.slots
		}
	}()
	for fenced := 0; fenced <= fences; {
		f.mu.Lock()
		e := f.entry(key)
		if e.has && !e.at.Before(young) {
			f.stats.Hits++
			v, err := e.answer(false, nil)
			f.mu.Unlock()
			return v, err
		}
		if e.err != nil && time.Since(e.failed) < f.opts.Pause {
			v, err := f.fallback(e, old, e.err)
			f.mu.Unlock()
			return v, err
		}
		if e.flight == nil && !slot {
			select {
			case f.slots <- struct{}{}:
				slot = true
			default:
			}
		}
		switch {
		case e.flight == nil && slot:
			e.flight, slot = f.begin(ctx, key), false // the load frees it
		case e.flight != nil && !shared:
			shared = true
			f.stats.Shared++
		}
		fl, tolerable := e.flight, e.has && !e.at.Before(old)
		if tolerable && f.opts.Patience < 0 {
			v, err := f.fallback(e, old, nil)
			f.mu.Unlock()
			return v, err
		}
		f.mu.Unlock()

		var done <-chan struct{}
		var free chan<- struct{}
		var enough <-chan time.Time
		if fl != nil {
			done = fl.done
		} else {
			free = f.slots
		}
		if tolerable {
			enough = patience
		}
		select {
		case <-done:
			switch {
			case fl.fenced:
				fenced++
			case fl.err != nil && !errors.Is(fl.err, ErrNotFound):
				return f.late(key, old, fl.err)
			case !fl.began.Before(young):
				e := entry[K, V]{key: key, absent: fl.err != nil, val: fl.val, at: fl.began}
				return e.answer(false, nil)
			}
		case free <- struct{}{}:
			slot = true
		case <-enough:
			return f.late(key, old, nil)
		case <-ctx.Done():
			err := context.Cause(ctx)
			return Value[V]{}, &Error{Op: "load", Key: name(key), Known: outcome.Of(err), Err: err}
		}
	}
	return f.late(key, old, errFenced)
}

func (f *Fresh[K, V]) late(key K, old time.Time, err error) (Value[V], error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fallback(f.entry(key), old, err)
}

// fallback is the answer when no young value is to be had because of err, or
// because there is no patience to wait for it.
func (f *Fresh[K, V]) fallback(e *entry[K, V], old time.Time, err error) (Value[V], error) {
	usable := e.has && !e.at.Before(old)
	if err == nil && !usable { // it was there a moment ago
		err = errFenced
	}
	switch {
	case usable:
		f.stats.Stale++
		return e.answer(true, err)
	case e.has || errors.Is(err, errFenced):
		f.stats.Refused++
		return Value[V]{}, &Error{Op: "load", Key: name(e.key), AsOf: e.at, Known: outcome.Refused, Err: fmt.Errorf("%w: %w", ErrTooStale, err)}
	}
	return Value[V]{}, &Error{Op: "load", Key: name(e.key), Known: outcome.Of(err), Err: err}
}

func (e *entry[K, V]) answer(stale bool, why error) (Value[V], error) {
	v := Value[V]{V: e.val, AsOf: e.at, Stale: stale, Err: why}
	if !e.absent {
		return v, nil
	}
	err := ErrNotFound
	if why != nil {
		err = fmt.Errorf("%w: %w", ErrNotFound, why)
	}
	return v, &Error{Op: "load", Key: name(e.key), AsOf: e.at, Known: outcome.Refused, Err: err}
}

// begin starts a load, which has a slot and gives it back when the load
// function has returned, however late.
func (f *Fresh[K, V]) begin(ctx context.Context, key K) *flight[V] {
	fl := &flight[V]{began: time.Now(), done: make(chan struct{})}
	f.stats.Loads++
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), f.opts.Timeout, errSlow)
	go f.run(ctx, cancel, key, fl)
	return fl
}

// run calls the load function. Deferred calls land the flight, since the
// function may panic or end its goroutine.
func (f *Fresh[K, V]) run(ctx context.Context, cancel context.CancelFunc, key K, fl *flight[V]) {
	defer func() { <-f.slots }()
	defer cancel()
	// Who waits is let go on time, even if the load function is not.
	stop := context.AfterFunc(ctx, func() {
		var none V
		f.land(key, fl, none, errSlow)
	})
	defer stop()
	var val V
	err := errPanic
	ctx = f.opts.Observer.Start(ctx, "load")
	defer func() {
		if p := recover(); p != nil {
			f.opts.Logger.Error("uiupdate: the load function panicked", slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
		}
		f.opts.Observer.End(ctx, "load", err)
		f.land(key, fl, val, err)
	}()
	val, err = f.load(ctx, key)
}

// land ends a flight, once.
func (f *Fresh[K, V]) land(key K, fl *flight[V], val V, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl.landed {
		return
	}
	fl.landed, fl.val, fl.err = true, val, err
	defer close(fl.done)
	absent := errors.Is(err, ErrNotFound)
	if err != nil && !absent {
		f.stats.Failed++
	}
	e := f.entries[key] // it is there, and fl is its flight: else fl were fenced
	e.flight = nil
	if err != nil && !absent {
		e.err, e.failed = err, time.Now()
		return
	}
	if absent {
		var none V
		val = none
	}
	e.has, e.absent, e.loaded, e.val, e.at, e.err = true, absent, true, val, fl.began, nil
}

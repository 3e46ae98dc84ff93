package requestreply

import (
	"context"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"
)

// A hop is one attempt of a [Transport], from its place in flight to the end
// of its body. It is the context of the attempt, its timer, its trace and its
// body in one piece of memory: a call over a network costs tens of
// microseconds, and what stands around it should not be seen beside that.
type hop struct {
	context.Context // ends early when the attempt is over
	cancel          context.CancelCauseFunc
	end             time.Time // zero: no limit
	timer           *time.Timer
	unhook          func() bool // instead of timer: the place ends with the caller's context
	expired         atomic.Bool
	over            atomic.Bool

	t     *target
	to    reach
	visit visit
	r     http.Request // what goes out
	once  sync.Once    // guards trace
	trace httptrace.ClientTrace
	asked *httptrace.ClientTrace // trace, with that of the caller
	body  held
}

// newHop begins an attempt at t that must end by end.
func newHop(ctx context.Context, end time.Time, t *target) *hop {
	h := &hop{end: end, t: t}
	h.Context, h.cancel = context.WithCancelCause(ctx)
	if end.IsZero() {
		h.unhook = context.AfterFunc(ctx, h.leave)
	} else {
		h.timer = time.AfterFunc(time.Until(end), h.expire)
	}
	return h
}

// expire ends an attempt whose time is over. Who forgot its body has lost it,
// and its place.
func (h *hop) expire() {
	if h.Context.Err() == nil { // else its caller was first
		h.expired.Store(true)
	}
	h.cancel(context.DeadlineExceeded)
	h.leave()
}

// Deadline is that of the attempt or of its caller, whichever comes first.
func (h *hop) Deadline() (time.Time, bool) {
	d, ok := h.Context.Deadline()
	if !h.end.IsZero() && (!ok || h.end.Before(d)) {
		return h.end, true
	}
	return d, ok
}

// Err is that of a context with a deadline: the one inside was cancelled.
func (h *hop) Err() error {
	err := h.Context.Err()
	if err != nil && h.expired.Load() {
		return context.DeadlineExceeded
	}
	return err
}

// finish ends the attempt. It may be called again.
func (h *hop) finish() {
	if h.over.Load() {
		return
	}
	if h.timer != nil {
		h.timer.Stop()
	}
	if h.unhook != nil {
		h.unhook()
	}
	h.leave()
	h.cancel(nil)
}

// leave gives back the place and the connection, once.
func (h *hop) leave() {
	if h.over.CompareAndSwap(false, true) {
		h.to.visit.leave(h)
		h.t.release()
	}
}

// Value is that of the caller, but for the trace, which is made when it is
// asked for: a base that does not report to one does not pay for it.
func (h *hop) Value(key any) any {
	if key == traceKey {
		h.once.Do(h.hook)
		return h.asked
	}
	return h.Context.Value(key)
}

func (h *hop) hook() {
	h.trace = h.to.hooks()
	if h.asked = &h.trace; httptrace.ContextClientTrace(h.Context) != nil {
		h.asked = httptrace.ContextClientTrace(httptrace.WithClientTrace(h.Context, &h.trace))
	}
}

// traceKey is the key that net/http finds a trace by. Answering to it ourselves
// saves a context around the hop, which every look for a value would pass. If
// one day it were not found, less would be known of failures, never more.
var traceKey = func() any {
	var k keyAsked
	httptrace.ContextClientTrace(&k)
	return k.key
}()

// keyAsked notes what it is asked for.
type keyAsked struct {
	context.Context
	key any
}

func (k *keyAsked) Value(key any) any {
	k.key = key
	return nil
}

// through sends r, whose context is not looked at, through base.
func (h *hop) through(base http.RoundTripper, r *http.Request, header http.Header, body io.ReadCloser) (*http.Response, error) {
	h.r = *r.WithContext(h)
	outgoing(&h.r, header, body)
	resp, err := base.RoundTrip(&h.r)
	if err != nil {
		return nil, h.to.mark(err)
	}
	h.to.visit.heard()
	return resp, nil
}

package server

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"time"

	"github.com/crosstie/crosstie/internal/lease"
	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/retry"
)

// Idempotent makes any http.Handler answer each Idempotency-Key once, as
// [HandleTx] does, but cannot commit the handler's effect and its answer
// together: they are two writes. When the process dies between them, or the
// handler panics, the effect may have happened and nobody knows; repeats are
// then answered 500 with the outcome "unknown", and the handler is not run
// again under that key. Prefer HandleTx where the effect is in a database.
//
// scope tells callers apart, see Options.Scope; a nil scope panics, since one
// tenant could see another's answers. o may be nil.
//
// Requests with a safe method pass by. Answers that say that nothing was done
// (307, 308, every 4xx but 408, 501, 505, and 503 with a Retry-After that
// retry.ParseAfter reads) are not stored: their repeat runs the handler again.
// All others are, without headers that carry credentials
// (Set-Cookie, WWW-Authenticate and the like). The answer is held back until
// it is stored; one longer than Options.MaxReply is sent on as it comes, and
// its repeat answered 409.
func Idempotent(keys Keys, scope func(*http.Request) string, o *Options) func(http.Handler) http.Handler {
	if keys == nil || scope == nil {
		panic("requestreply/server: Idempotent needs keys and a scope, which tells one caller's keys from another's")
	}
	h := handler{o: o.withDefaults(), keys: keys}
	h.o.Scope = scope
	return func(next http.Handler) http.Handler {
		h := h
		if s, ok := next.(served); ok {
			h.parts = s.parts
		}
		guarded := h.serve(func(w http.ResponseWriter, r *http.Request) error {
			return h.once(w, r, next)
		})
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.Method {
			case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
				next.ServeHTTP(w, r)
			default:
				guarded.ServeHTTP(w, r)
			}
		})
	}
}

func (h handler) once(w http.ResponseWriter, r *http.Request, next http.Handler) error {
	body, p := h.body(w, r)
	if p != nil {
		write(w, p, 0)
		return p
	}
	if p := tooLateFor(r); p != nil {
		write(w, p, time.Second)
		return p
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	c, ok := h.claim(w, r, body)
	switch {
	case !ok:
		return nil
	case c == nil:
		next.ServeHTTP(w, r)
		return nil
	case c.Abandoned:
		return h.unsettled(w, r, *c)
	}
	ctx, stop := lease.Keep(r.Context(), h.o.Lease, h.renew(*c))
	rec := &recorder{w: w, header: http.Header{}, max: h.o.MaxReply}
	ended := false
	defer func() {
		_ = stop()
		if !ended { // it panicked: nobody knows how far it came
			_ = h.finish(ctx, *c, Reply{Status: http.StatusInternalServerError, Missing: Unsettled})
		}
	}()
	next.ServeHTTP(rec, r.WithContext(ctx))
	ended = true
	_ = stop()
	reply := rec.reply()
	_, later := retry.ParseAfter(reply.Header, time.Now())
	if o, _ := outcome.Status(reply.Status, later); o == outcome.Refused {
		h.release(ctx, *c)
	} else if err := h.finish(ctx, *c, h.toKeep(reply)); err != nil && !rec.passing {
		// The first caller may still have its answer: it is a true one.
		h.o.Logger.ErrorContext(ctx, "answer not stored: repeats are answered unknown", "error", err)
	}
	rec.pass()
	return nil
}

// unsettled answers a key whose owner died before it stored an answer.
func (h handler) unsettled(w http.ResponseWriter, r *http.Request, c Claim) error {
	reply := Reply{Status: http.StatusInternalServerError, Missing: Unsettled}
	err := h.finish(r.Context(), c, reply)
	replay(w, reply)
	return err
}

func (h handler) finish(ctx context.Context, c Claim, r Reply) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return h.keys.Finish(ctx, c, r)
}

// A recorder holds an answer back until it is stored, up to max bytes of it.
type recorder struct {
	w       http.ResponseWriter
	header  http.Header // the handler's
	sent    http.Header // as it was when the handler wrote it
	status  int
	body    bytes.Buffer
	max     int
	passing bool // longer than max: from here on it goes straight to w
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && status >= 200 {
		r.status = status
		r.sent = r.header.Clone()
	}
}

func (r *recorder) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	if !r.passing && r.body.Len()+len(p) > r.max {
		r.flush()
		r.passing = true
	}
	if r.passing {
		return r.w.Write(p)
	}
	return r.body.Write(p)
}

// reply is what was recorded.
func (r *recorder) reply() Reply {
	r.WriteHeader(http.StatusOK)
	v := Reply{Status: r.status, Header: r.sent, Body: r.body.Bytes()}
	if r.passing {
		v.Body, v.Missing = nil, TooLarge
	}
	return v
}

// pass sends the recorded answer, unless it has gone already.
func (r *recorder) pass() {
	if !r.passing {
		r.flush()
	}
}

func (r *recorder) flush() {
	send(r.w, Reply{Status: r.status, Header: r.sent, Body: r.body.Bytes()})
	r.body.Reset()
}

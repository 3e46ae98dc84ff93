package server

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"time"

	"github.com/crosstie/crosstie/internal/lease"
	"github.com/crosstie/crosstie/internal/shape"
	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply"
)

// Handle serves fn as JSON: the request's body decodes to a Req, fn's Resp is
// the answer, status 200, or 204 when Resp is struct{}. Requests of GET, HEAD
// and DELETE have no body: fn gets the zero Req and finds the rest with
// [Request], or with tags. When a field of Req has one of these, each exported
// field must, and is read from there:
//
//	SKU    string   `path:"sku"`            the wildcard {sku} of the mux
//	Limit  int      `query:"limit,omitempty"`
//	Tags   []string `query:"tag,omitempty"`  a list: the parameter may repeat
//	Tenant string   `header:"X-Tenant"`
//	Order  Order    `body:"json"`           a pointer means that there may be none
//
// A parameter is a text, a number, a bool or has UnmarshalText. One that is
// neither a pointer nor omitempty is required; a query parameter that no field
// names is answered 400, since a filter with a misspelt name would find all.
// The tag enum:"small,large", on these and on strings and integers in a body,
// lists the values that are taken.
//
// An error of fn is answered as a problem (RFC 9457). To choose it, return a
// [*requestreply.Problem], with its Status set; retry.After adds a Retry-After
// to it. Else the outcome of the error decides: 503 with Retry-After when
// nothing was done and it will pass, 504 when time ran out, 500 for the rest;
// the text of the error goes to the Logger only. So does a Problem that
// another system answered fn with: it is found in a [*requestreply.Error], and
// passing it on takes a Problem of fn's own.
//
// A repeated request runs fn again: see [HandleTx] and [Idempotent].
func Handle[Req, Resp any](fn func(context.Context, Req) (Resp, error), o *Options) http.Handler {
	if fn == nil {
		panic("requestreply/server: Handle needs a function")
	}
	h := handler{o: o.withDefaults(), parts: partsOf[Req]()}
	return h.serve(func(w http.ResponseWriter, r *http.Request) error {
		var req Req
		_, p := h.read(w, r, &req)
		if p != nil {
			write(w, p, 0)
			return p
		}
		if p := tooLateFor(r); p != nil {
			write(w, p, time.Second)
			return p
		}
		resp, err := fn(r.Context(), req)
		if err != nil {
			return h.failed(w, r, err, false)
		}
		reply, err := encode(resp, h.o.Status)
		if err != nil {
			return h.failed(w, r, outcome.Error(outcome.Applied, err), false)
		}
		send(w, reply)
		return nil
	})
}

// HandleTx is [Handle] for a function with an effect in the database of keys:
// the effect and the stored answer are committed together, so that for each
// Idempotency-Key the effect happens once, whatever crashes. A repeat of a
// request is answered as the first was, with the header Idempotent-Replayed;
// the same key with another request is answered 422, and a repeat while the
// first is being answered 409 with Retry-After. The answer is sent when both
// are durable.
//
// fn works through its *sql.Tx alone: what it does elsewhere is not rolled
// back when it returns an error, and happens again when it is called again.
// Nothing is stored about a call that failed: its repeat runs fn again.
func HandleTx[Req, Resp any](keys TxKeys, fn func(context.Context, *sql.Tx, Req) (Resp, error), o *Options) http.Handler {
	if keys == nil || fn == nil {
		panic("requestreply/server: HandleTx needs keys and a function")
	}
	h := handler{o: o.withDefaults(), keys: keys, parts: partsOf[Req]()}
	return h.serve(func(w http.ResponseWriter, r *http.Request) error {
		var req Req
		body, p := h.read(w, r, &req)
		if p != nil {
			write(w, p, 0)
			return p
		}
		if p := tooLateFor(r); p != nil {
			write(w, p, time.Second)
			return p
		}
		return h.settle(w, r, body, func(ctx context.Context, c *Claim) (reply Reply, stage stage, err error) {
			stage = inCommit
			late := false
			err = keys.Tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
				stage = inFunction // again, when Tx repeats a transaction
				resp, err := fn(ctx, tx, req)
				if late = ctx.Err() != nil; err != nil {
					return err
				}
				if reply, err = encode(resp, h.o.Status); err != nil {
					return err
				}
				stage = inFinish
				if c != nil {
					if err := keys.FinishTx(ctx, tx, *c, h.toKeep(reply)); err != nil {
						return err
					}
				}
				stage = inCommit
				return nil
			})
			if late && err != nil {
				err = &tooLate{err} // whatever the store calls it
			}
			return reply, stage, err
		})
	})
}

// A stage is where a transaction ended.
type stage int

const (
	inFunction stage = iota // rolled back
	inFinish                // rolled back
	inCommit                // as the error says
)

type requestOf struct{}

// Request returns the request a function served by this package answers, for
// its path values, query and headers; its body is consumed. Nil outside.
func Request(ctx context.Context) *http.Request {
	r, _ := ctx.Value(requestOf{}).(*http.Request)
	return r
}

// A handler is what the functions of this package share.
type handler struct {
	o     Options
	keys  Keys
	parts shape.Parts
}

// serve wraps fn with the time limit and the observer. fn answers, and returns
// an error only for the observer.
func (h handler) serve(fn func(http.ResponseWriter, *http.Request) error) http.Handler {
	return served{h.parts, func(w http.ResponseWriter, r *http.Request) {
		ctx := context.WithValue(r.Context(), requestOf{}, r)
		limit := h.o.Timeout
		left, told, err := timeLeft(r.Header)
		if err != nil {
			write(w, problem(http.StatusBadRequest, outcome.Refused, err.Error()), 0)
			return
		}
		if told && (limit <= 0 || left < limit) {
			limit = left
		}
		if limit > 0 || told {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, limit)
			defer cancel()
		}
		if h.o.Observer == nil {
			_ = fn(w, r.WithContext(ctx))
			return
		}
		const op = "requestreply/server.request"
		attrs := []slog.Attr{slog.String("method", r.Method), slog.String("route", r.Pattern)}
		ctx = h.o.Observer.Start(ctx, op, attrs...)
		err = errors.New("panicked")
		defer func() { h.o.Observer.End(ctx, op, err, attrs...) }()
		err = fn(w, r.WithContext(ctx))
	}}
}

// served is a handler that says which parts of a request it reads.
type served struct {
	parts shape.Parts
	http.HandlerFunc
}

// body reads the request's body.
func (h handler) body(w http.ResponseWriter, r *http.Request) ([]byte, *requestreply.Problem) {
	from := r.Body
	if h.o.MaxBody > 0 {
		from = http.MaxBytesReader(w, r.Body, h.o.MaxBody)
	}
	body, err := io.ReadAll(from)
	if err == nil {
		return body, nil
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, problem(http.StatusRequestEntityTooLarge, outcome.Refused, "the body is longer than the server takes")
	}
	return nil, problem(http.StatusBadRequest, outcome.Refused, "the body broke off")
}

// failed answers for an error of a user's function.
func (h handler) failed(w http.ResponseWriter, r *http.Request, err error, undone bool) error {
	p, again := answerFor(err, undone)
	if p.Status >= 500 {
		h.o.Logger.ErrorContext(r.Context(), "request failed", "method", r.Method, "route", r.Pattern, "status", p.Status, "error", err)
	}
	write(w, p, again)
	return err
}

func encode[Resp any](resp Resp, status int) (Reply, error) {
	if _, none := any(resp).(struct{}); none {
		return Reply{Status: http.StatusNoContent}, nil
	}
	body, err := json.Marshal(resp)
	if err != nil {
		return Reply{}, err
	}
	return Reply{Status: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: body}, nil
}

// toKeep is what is stored of a reply.
func (h handler) toKeep(r Reply) Reply {
	r.Header = storable(r.Header)
	if len(r.Body) > h.o.MaxReply {
		r.Body, r.Missing = nil, TooLarge
	}
	return r
}

func send(w http.ResponseWriter, r Reply) {
	maps.Copy(w.Header(), r.Header)
	w.WriteHeader(r.Status)
	_, _ = w.Write(r.Body)
}

// settle answers a request under its key. do makes the answer and stores it
// under the claim, which is nil for a request without a key.
func (h handler) settle(w http.ResponseWriter, r *http.Request, body []byte, do func(context.Context, *Claim) (Reply, stage, error)) error {
	c, ok := h.claim(w, r, body)
	if !ok {
		return nil
	}
	ctx := r.Context()
	if c == nil {
		reply, stage, err := do(ctx, nil)
		if err != nil {
			return h.failed(w, r, err, stage != inCommit)
		}
		send(w, reply)
		return nil
	}
	ctx, stop := lease.Keep(ctx, h.o.Lease, h.renew(*c))
	settled := false
	defer func() {
		_ = stop()
		if !settled { // the function failed or panicked, and was rolled back
			h.release(ctx, *c)
		}
	}()
	reply, stage, err := do(ctx, c)
	switch {
	case err == nil:
		settled = true
		send(w, reply)
		return nil
	case errors.Is(err, ErrLost):
		settled = true // by somebody else
		write(w, problem(http.StatusConflict, outcome.Unknown, ErrInFlight.Error()), time.Second)
		return err
	}
	// Release before the answer: the caller may repeat at once. When the
	// commit happened after all, there is nothing left to release.
	settled = true
	lost := stop()
	h.release(ctx, *c)
	if undone := stage != inCommit || outcome.NotApplied(err); lost != nil && undone && chosen(err) == nil {
		// It is no fault of the request that its turn came too late. Another
		// may have claimed the key since, and be answering it now.
		h.o.Logger.WarnContext(ctx, "the claim on a key ran out before its request was done: make Lease longer if this goes on", "route", r.Pattern, "error", err)
		write(w, problem(http.StatusServiceUnavailable, outcome.Unknown, "the server was too busy to do it while the key was claimed: repeat it under the same key"), time.Second)
		return err
	}
	return h.failed(w, r, err, stage != inCommit)
}

// renew is what lease.Keep calls. A lease that was lost must look so to it.
func (h handler) renew(c Claim) func(context.Context) error {
	return func(ctx context.Context) error {
		err := h.keys.Renew(ctx, c, h.o.Lease)
		if errors.Is(err, ErrLost) {
			return lease.ErrLost
		}
		return err
	}
}

func (h handler) release(ctx context.Context, c Claim) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := h.keys.Release(ctx, c); err != nil {
		h.o.Logger.WarnContext(ctx, "key not released: its repeat waits for the lease to run out", "error", err)
	}
}

// claim claims the request's key. When it returns false it has answered; a
// nil Claim means that the request has no key and needs none.
func (h handler) claim(w http.ResponseWriter, r *http.Request, body []byte) (*Claim, bool) {
	key, err := keyOf(r)
	if err == nil && key == "" {
		if h.o.KeyOptional {
			return nil, true
		}
		err = errors.New("Idempotency-Key is required: make a key for each thing that shall happen once")
	}
	if err != nil {
		write(w, problem(http.StatusBadRequest, outcome.Refused, err.Error()), 0)
		return nil, false
	}
	c, err := h.keys.Claim(r.Context(), storedKey(h.o.Scope(r), r, key), h.fingerprint(r, body), h.o.Lease, h.o.Keep)
	switch {
	case errors.Is(err, ErrReused):
		write(w, problem(http.StatusUnprocessableEntity, outcome.Refused, ErrReused.Error()), 0)
	case errors.Is(err, ErrInFlight):
		write(w, problem(http.StatusConflict, outcome.Unknown, ErrInFlight.Error()), time.Second)
	case err != nil:
		h.o.Logger.ErrorContext(r.Context(), "key not claimed", "error", err)
		// An earlier request under the key may have had its effect.
		write(w, problem(http.StatusServiceUnavailable, outcome.Unknown, "the store of keys does not answer: repeat it later"), time.Second)
	case c.Reply != nil:
		replay(w, *c.Reply)
	default:
		return &c, true
	}
	return nil, false
}

// replay answers as the first request was answered.
func replay(w http.ResponseWriter, r Reply) {
	w.Header().Set("Idempotent-Replayed", "true")
	switch r.Missing {
	case "":
		send(w, r)
	case TooLarge:
		// A long error page is no sign of an effect.
		if known, _ := outcome.Status(r.Status, false); known != outcome.Applied {
			write(w, problem(http.StatusConflict, outcome.Unknown, fmt.Sprintf("the request was answered %d; the answer was too large to be kept", r.Status)), 0)
			return
		}
		write(w, problem(http.StatusConflict, outcome.Applied, "the request took effect; its answer was too large to be kept"), 0)
	default:
		write(w, problem(http.StatusInternalServerError, outcome.Unknown, "it is not known whether the first request under this key took effect: look before you use another key"), 0)
	}
}

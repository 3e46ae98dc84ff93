package requestreply

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/retry"
)

// A Transport gives any HTTP client, and so any SDK that takes one, the
// protection of a [Guard]: time limits, repeats, a breaker and a limit in
// flight for each host.
//
// A request is repeated when that is safe: it was not sent or not applied, its
// method is idempotent (RFC 9110 §9.2.2), or it carries a key to a host that
// honours one. A request with a body is repeated only if GetBody is set, as
// http.NewRequest does for bodies in memory. When the attempts are used up,
// the last response is returned if there was one, whatever its status.
//
// net/http by itself sends a request with an Idempotency-Key header again when
// a used connection breaks, after the server may have acted on it. Through a
// Transport it does not, whoever set the header: every attempt is ours, and
// counted.
//
// The time limit of the attempt goes on until the response's body is read to
// its end or closed, and so does its place among those in flight. A failed
// attempt's body is read, up to 64 KiB, so that its connection is used again,
// and closed.
//
// net/http takes an HTTP/2 connection for new requests as long as it is not
// closed, and one that nothing comes through any more is not. When nothing came
// through it for the time of an attempt, calls to that host go on over a copy
// of Base with connections of its own, and to other hosts as before. What is in
// flight on the old connection goes on. A copy that stalls in turn is closed
// when its last call has ended; a Base is not, for others live in it: there the
// connection ends with IdleConnTimeout, so set that. At most 256 hosts have a
// copy at a time.
//
// Redirects are http.Client's to follow: it takes Authorization and Cookie
// headers to subdomains only, but any other header everywhere. Set
// http.Client.CheckRedirect to [CheckRedirect] where a header of yours is a
// secret. The key of a context
// goes to no host that is not in KeyHosts, not by a redirect either.
//
// A Transport is safe for concurrent use if its Base is; its fields must not
// change after first use. The zero value is ready.
type Transport struct {
	// Base makes the attempts. Nil means http.DefaultTransport. An
	// *http.Transport is copied for a host whose HTTP/2 connection stalls.
	Base http.RoundTripper
	// Guard protects the calls. The target is the host of the URL. A nil
	// Guard means default limits and nothing shared.
	Guard *Guard
	// KeyHosts are the hosts, with port or without, that honour the
	// Idempotency-Key header. To them, and nobody else, the key of the
	// request's context is sent.
	KeyHosts []string
	// TimeHosts are the hosts, with port or without, that are told how long each
	// attempt is waited for ([TimeLeftHeader]). Others are not told.
	TimeHosts []string

	stalled copies
	via     *copies // instead of stalled; may be nil
	plain   bool    // Base is not copied
}

// drained is how much of a failed attempt's body is read.
const drained = 64 << 10

// RoundTrip implements [http.RoundTripper]. Its errors are [*Error].
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	g := t.Guard
	if g == nil {
		g = bare
	}
	c := call{g: g, r: r}
	op := Op{Target: r.URL.Host, Idempotent: idempotent(r.Method)}
	header, err := t.key(r, &c, &op)
	if err != nil {
		closeBody(r)
		return nil, c.refused(err)
	}
	ctx := r.Context()
	o := g.o.Observer
	attr := slog.String("target", op.Target)
	if o != nil {
		ctx = o.Start(ctx, opCall, attr)
	}
	resp, err := t.loop(ctx, r, header, op, &c)
	if o != nil {
		o.End(ctx, opCall, err, attr, slog.Int("attempts", c.made))
	}
	if w, ok := r.Context().Value(withinOf{}).(*within); ok {
		w.made += c.made
		w.known = outcome.Worst(w.known, c.known)
		w.gave = c.gave
	}
	if err != nil {
		return nil, err
	}
	resp.Request = r
	return resp, nil
}

// key returns the header to send, with the key of the context if the host
// honours one.
func (t *Transport) key(r *http.Request, c *call, op *Op) (http.Header, error) {
	c.tell = listed(t.TimeHosts, r)
	if w, ok := r.Context().Value(withinOf{}).(*within); ok && strings.EqualFold(w.host, r.URL.Host) {
		op.Idempotent = op.Idempotent || w.idempotent
		c.tell = c.tell || w.tell
	}
	if !listed(t.KeyHosts, r) {
		return r.Header, nil
	}
	if v := r.Header.Get(keyHeader); v != "" {
		c.key, op.Idempotent = v, true
		return r.Header, nil
	}
	c.key = IdempotencyKey(r.Context())
	if c.key == "" {
		return r.Header, nil
	}
	v, err := keyValue(c.key)
	if err != nil {
		return nil, err
	}
	op.Idempotent = true
	header := r.Header.Clone()
	if header == nil {
		header = http.Header{}
	}
	header.Set(keyHeader, v)
	return header, nil
}

func (t *Transport) loop(ctx context.Context, r *http.Request, header http.Header, op Op, c *call) (*http.Response, error) {
	if err := c.begin(ctx, op); err != nil {
		closeBody(r)
		return nil, err
	}
	body := r.Body
	for {
		resp, err := t.attempt(ctx, r, header, body, op, c)
		if err == nil {
			c.succeeded()
			return resp, nil
		}
		if c.stop != nil && body != nil {
			_ = body.Close() // the base never saw it
		}
		has := body != nil && body != http.NoBody
		if has && r.GetBody == nil && c.stop == nil {
			err = retry.Permanent(err)
		}
		if err = c.again(ctx, err); err != nil {
			if resp != nil {
				c.gave = err
				return resp, nil
			}
			return nil, err
		}
		if resp != nil {
			_ = resp.Body.Close()
		}
		if has {
			if body, err = r.GetBody(); err != nil {
				return nil, c.refused(errors.New("GetBody failed, so the body cannot be sent again"))
			}
		}
	}
}

// attempt makes one attempt. A response is returned beside the error its
// status stands for; its body then holds neither place nor connection unless
// it is longer than what is drained.
func (t *Transport) attempt(ctx context.Context, r *http.Request, header http.Header, body io.ReadCloser, op Op, c *call) (resp *http.Response, err error) {
	end, err := c.enter(ctx)
	if err != nil {
		return nil, err
	}
	if o := c.g.o.Observer; o != nil {
		attr, n := slog.String("target", op.Target), slog.Int("attempt", c.made)
		ctx = o.Start(ctx, opAttempt, attr, n)
		defer func() { o.End(ctx, opAttempt, err, attr, n) }()
	}
	if c.under != nil {
		ctx = c.under.Attempt(ctx)
	}
	h := newHop(ctx, end, c.t)
	base := t.base()
	if tr, ok := base.(*http.Transport); ok && !t.plain {
		s := &t.stalled
		if t.via != nil {
			s = t.via
		}
		h.to.visit = s.visit(&h.visit, tr, r, c.g.quiet())
		base = h.to.visit
	}
	done := false
	defer func() {
		if !done { // the base panicked
			h.finish()
			c.permit.settle(errSick)
		}
	}()
	if c.tell {
		header = withTimeLeft(h, header)
	}
	resp, err = h.through(base, r, header, body)
	done = true
	if err != nil {
		h.finish()
		c.permit.settle(sign(err, c.gaveUp(ctx)))
		return nil, err
	}
	if q := c.g.o.Quota; q != nil {
		q.Saw(ctx, op.Target, resp.StatusCode, resp.Header)
	}
	err = ofStatus(resp, nil)
	if err != nil {
		if transient, _ := outcome.Transient(err); !transient {
			err = nil // a response for the caller, not for us: a 404 is no failed attempt
		}
	}
	if err == nil {
		c.permit.settle(nil)
		h.hold(resp)
		return resp, nil
	}
	c.permit.settle(sign(err, false))
	h.keep(resp)
	return resp, err
}

// CloseIdleConnections closes the idle connections of Base, if it has a method
// for it, and of the copies that serve hosts whose connection stalled. It is
// what http.Client.CloseIdleConnections calls.
func (t *Transport) CloseIdleConnections() {
	if b, ok := t.base().(interface{ CloseIdleConnections() }); ok {
		b.CloseIdleConnections()
	}
	t.stalled.closeIdleAll()
}

func (t *Transport) base() http.RoundTripper {
	if t.Base == nil {
		return http.DefaultTransport
	}
	return t.Base
}

// outgoing readies r for one attempt. net/http repeats a request on its own account
// when its body is absent or can be rewound, and it has a header named exactly
// Idempotency-Key or X-Idempotency-Key. So a keyed request with a body goes
// out without GetBody, and one without a body spells the name in lower case,
// as HTTP/2 does and HTTP/1.1 allows.
func outgoing(r *http.Request, header http.Header, body io.ReadCloser) {
	r.Header, r.Body = header, body
	for _, name := range []string{keyHeader, "X-Idempotency-Key"} {
		v, ok := r.Header[name]
		switch {
		case !ok:
		case body != nil && body != http.NoBody:
			r.GetBody = nil
		default:
			r.Header = r.Header.Clone()
			delete(r.Header, name)
			r.Header[strings.ToLower(name)] = v
		}
	}
}

func idempotent(method string) bool {
	switch method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}

func withDeadline(ctx context.Context, end time.Time) (context.Context, context.CancelFunc) {
	if end.IsZero() {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, end)
}

func closeBody(r *http.Request) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
}

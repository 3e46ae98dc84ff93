package requestreply

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"

	"github.com/crosstie/crosstie/outcome"
)

// What a conditional call can meet (RFC 9110 §13). Each is wrapped by an
// [*Error]; match with errors.Is.
var (
	// ErrNotModified says that the other side still has the version that
	// Endpoint.IfNoneMatch names, and so sent nothing (304): use what you have.
	ErrNotModified = errors.New("unchanged: the version you have is the current one")
	// ErrPrecondition says that the other side does not have the version that
	// Endpoint.IfMatch names, or has one where IfNoneMatch wants none (412):
	// somebody was faster. It was not applied; read again and decide anew. If
	// an attempt before had an unknown outcome, it may have been that one, and
	// Error.Known stays Unknown.
	ErrPrecondition = errors.New("it is not the version that the call was meant for: read it again")
)

// A Reply is an answer with what came around it.
type Reply[T any] struct {
	// Value is the decoded answer.
	Value T
	// Status is the HTTP status.
	Status int
	// Header is that of the answer.
	Header http.Header
}

// ETag returns the entity tag of the answer, with its quotes and its W/ if it
// is a weak one, as Endpoint.IfMatch and IfNoneMatch take it; empty if it has
// none.
func (r Reply[T]) ETag() string { return r.Header.Get("ETag") }

// Reply does what [Endpoint.Call] does, and returns the answer with its status
// and header. Beside an error, they are those of the last attempt's answer, if
// there was one.
func (e Endpoint[Req, Resp]) Reply(ctx context.Context, req Req) (Reply[Resp], error) {
	r, _, err := e.reply(ctx, req)
	return r, err
}

// An answer is what an attempt learned besides the value.
type answer struct {
	status int
	header http.Header
	url    *url.URL // after redirects
	size   int64    // of the body, in bytes
	tried  int
}

func (e Endpoint[Req, Resp]) reply(ctx context.Context, req Req) (Reply[Resp], answer, error) {
	var a answer
	p, err := e.planFor(ctx, req)
	if err != nil {
		return Reply[Resp]{}, a, err
	}
	v, err := run(ctx, &p.call, p.op, func(ctx context.Context) (Resp, error) {
		var v Resp
		a = answer{tried: a.tried + 1}
		err := p.attempt(ctx, &v, &a)
		return v, err
	})
	if err == nil && a.status == http.StatusNotModified {
		err = p.notModified(a.tried)
	}
	return Reply[Resp]{Value: v, Status: a.status, Header: a.header}, a, err
}

// notModified is the error of a 304. For the guard it was a success; for the
// caller there is no value.
func (p *plan) notModified(tried int) error {
	return &Error{
		Op: p.call.name, Key: p.call.key, Attempts: tried, Status: http.StatusNotModified,
		Known: outcome.Applied, Err: &statusError{status: http.StatusNotModified, known: outcome.Applied}, harmless: true,
	}
}

// planFor is the plan of a call that sends req.
func (e Endpoint[Req, Resp]) planFor(ctx context.Context, req Req) (plan, error) {
	p, err := e.plan(ctx)
	if err == nil && p.sends {
		if u, ok := any(req).(Upload); ok {
			p.upload, err = &u, u.valid()
			if e.Header.Get("Content-Type") == "" {
				p.header.Set("Content-Type", orText(u.ContentType, "application/octet-stream"))
			}
		} else {
			p.body, err = json.Marshal(req)
		}
	}
	if err != nil {
		p.call.harmless = true
		return p, p.call.refused(outcome.TransientError(outcome.NotSent, false, err))
	}
	return p, nil
}

// conditions puts the conditions of the call into its header.
func (p *plan) conditions(ifMatch, ifNoneMatch string) {
	for name, v := range map[string]string{"If-Match": ifMatch, "If-None-Match": ifNoneMatch} {
		if v != "" {
			p.header.Set(name, v)
		}
	}
}

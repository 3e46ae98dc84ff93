package requestreply

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/crosstie/crosstie/internal/redirect"
	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/retry"
)

// classify marks err with what its type alone tells about the effect of the
// attempt, unless it says so itself. What it does not know stays Unknown.
func classify(err error) error {
	if _, ok := errors.AsType[knower](err); ok {
		return err
	}
	if o, transient, ok := byType(err); ok {
		return outcome.TransientError(o, transient, err)
	}
	return err
}

// A knower is an error that says what is known.
type knower interface {
	error
	Outcome() outcome.Outcome
}

func byType(err error) (o outcome.Outcome, transient, ok bool) {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return outcome.NotSent, false, true // who is there will not be another in a second
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return outcome.NotSent, true, true
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		if op.Op == "dial" {
			return outcome.NotSent, true, true
		}
		return outcome.Unknown, true, true
	}
	if se, ok := errors.AsType[streamError](err); ok && se.Code == refusedStream {
		return outcome.NotSent, true, true // RFC 9113 §8.7
	}
	if unprocessed(err) {
		return outcome.NotSent, true, true
	}
	return byCode(err)
}

// streamError has the shape of net/http's unexported HTTP/2 stream error,
// which lets errors.As fill any such struct.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (e streamError) Error() string { return fmt.Sprintf("stream %d: code %d", e.StreamID, e.Code) }

const refusedStream = 7

// unprocessed reports whether net/http says that the server of an HTTP/2
// connection has not begun to work on the request: it refused the stream, or
// went away below it (RFC 9113 §6.8, §8.7). Where net/http could not send the
// body again it says so in text alone. A text that it may change one day makes
// less known, never more.
func unprocessed(err error) bool {
	text := err.Error()
	for _, sure := range []string{
		"http2: Transport received Server's graceful shutdown GOAWAY",
		"http2: Transport received GOAWAY from server ErrCode:",
	} {
		if strings.Contains(text, sure) {
			return true
		}
	}
	return strings.Contains(text, "http2: Transport: cannot retry err [stream error: stream ID ") && strings.Contains(text, "; REFUSED_STREAM; ")
}

// A reach notes how far one HTTP attempt came.
type reach struct {
	asked atomic.Bool // a connection was asked for
	got   atomic.Bool // there was one: from here on bytes may have left
	visit *visit      // may be nil
}

func (r *reach) hooks() httptrace.ClientTrace {
	return httptrace.ClientTrace{
		GetConn: func(string) { r.asked.Store(true) },
		GotConn: func(i httptrace.GotConnInfo) { r.got.Store(true); r.visit.over(i.Conn) },
	}
}

// exchange makes one HTTP attempt of an Endpoint and marks its error with what
// is known.
func exchange(r *http.Request, do func(*http.Request) (*http.Response, error), v *visit) (*http.Response, error) {
	to := reach{visit: v}
	hooks := to.hooks()
	resp, err := do(r.WithContext(httptrace.WithClientTrace(r.Context(), &hooks)))
	if err != nil {
		return nil, to.mark(err)
	}
	v.heard()
	return resp, nil
}

// mark says what is known of an attempt that got no response. A base that
// does not report to httptrace leaves asked unset: then types alone speak.
func (r *reach) mark(err error) error {
	if ue, ok := errors.AsType[*url.Error](err); ok {
		err = ue.Err // its text names the URL with its query
	}
	err = redirect.Unquoted(err)
	if _, ok := errors.AsType[knower](err); ok || !r.asked.Load() {
		return classify(err)
	}
	o, transient, ok := byType(err)
	if !r.got.Load() {
		o = outcome.NotSent
	}
	return outcome.TransientError(o, transient || !ok, err)
}

// A statusError is a response whose status is not a success.
type statusError struct {
	status    int
	known     outcome.Outcome
	transient bool
	err       error // the Problem, or nil
}

func (e *statusError) Error() string {
	s := strings.TrimSpace(fmt.Sprintf("status %d %s", e.status, http.StatusText(e.status)))
	p, ok := e.err.(*Problem)
	if !ok {
		return s
	}
	for _, text := range []string{p.Title, p.Detail} { // its status stands there already
		if text != "" && text != http.StatusText(e.status) {
			s += ": " + printable(text)
		}
	}
	return s
}

func (e *statusError) Unwrap() error            { return e.err }
func (e *statusError) Outcome() outcome.Outcome { return e.known }
func (e *statusError) Transient() bool          { return e.transient }

// Is finds the sentinels that are statuses.
func (e *statusError) Is(target error) bool {
	switch target {
	case ErrNotModified:
		return e.status == http.StatusNotModified
	case ErrPrecondition:
		return e.status == http.StatusPreconditionFailed
	}
	return false
}

// ofStatus returns the error a response's status stands for, nil for a 2xx or
// 304. p is the problem in its body, or nil; ofStatus reads no body itself.
func ofStatus(resp *http.Response, p *Problem) error {
	if resp.StatusCode/100 == 2 || resp.StatusCode == http.StatusNotModified {
		return nil
	}
	after, asked := retry.ParseAfter(resp.Header, time.Now())
	o, transient := outcome.Status(resp.StatusCode, asked)
	// A 409 that names a time to come back is a request with the same key
	// still in flight (draft-ietf-httpapi-idempotency-key-header §2.6).
	transient = transient || resp.StatusCode == http.StatusConflict && asked
	e := &statusError{status: resp.StatusCode, known: o, transient: transient}
	if p != nil {
		e.err = p
	}
	if o, ok := p.said(); ok {
		e.known = o
	}
	if asked {
		return retry.After(after, e)
	}
	return e
}

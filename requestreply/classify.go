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
	return outcome.Unknown, false, false
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

// A reach notes how far one HTTP attempt came.
type reach struct {
	asked atomic.Bool // a connection was asked for
	got   atomic.Bool // there was one: from here on bytes may have left
}

func (r *reach) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn: func(string) { r.asked.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { r.got.Store(true) },
	}
}

// exchange makes one HTTP attempt and marks its error with what is known.
func exchange(r *http.Request, do func(*http.Request) (*http.Response, error)) (*http.Response, error) {
	var to reach
	resp, err := do(r.WithContext(httptrace.WithClientTrace(r.Context(), to.trace())))
	if err != nil {
		return nil, to.mark(err)
	}
	return resp, nil
}

// mark says what is known of an attempt that got no response. A base that
// does not report to httptrace leaves asked unset: then types alone speak.
func (r *reach) mark(err error) error {
	if ue, ok := errors.AsType[*url.Error](err); ok {
		err = ue.Err // its text names the URL with its query
	}
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

// ofStatus returns the error a response's status stands for, nil for a 2xx or
// 304. p is the problem in its body, or nil; ofStatus reads no body itself.
func ofStatus(resp *http.Response, p *Problem) error {
	after, asked := retry.ParseAfter(resp.Header, time.Now())
	o, transient := outcome.Status(resp.StatusCode, asked)
	if o == outcome.Applied {
		return nil
	}
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

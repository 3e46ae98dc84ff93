// Package redirect makes clients that follow no redirect and quote no answer.
//
// http.ErrUseLastResponse is not enough: an http.Client reads the Location
// first, and where that does not parse its error quotes it, whatever its length
// and whatever of the request the other side put into it. The status, which
// says what is known, is lost on the way.
//
// The error for an answer that is no HTTP quotes its first line in the same way,
// or a header that makes no sense.
package redirect

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
)

// Refuse makes c answer with a redirect instead of following it, and keeps what
// does not parse of an answer out of its errors. c must not be in use, and is
// changed once.
func Refuse(c *http.Client) {
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.Transport = deaf{c.Transport}
}

// A deaf transport does not pass on a Location that does not parse.
type deaf struct{ base http.RoundTripper } // nil is http.DefaultTransport

func (d deaf) RoundTrip(r *http.Request) (*http.Response, error) {
	base := d.base
	if base == nil {
		base = http.DefaultTransport
	}
	resp, err := base.RoundTrip(r)
	if err == nil && resp != nil && resp.Header.Get("Location") != "" {
		if _, bad := r.URL.Parse(resp.Header.Get("Location")); bad != nil {
			resp.Header.Del("Location")
		}
	}
	return resp, Unquoted(err)
}

// Unquoted returns an error of a transport without what answered in its text.
func Unquoted(err error) error {
	if err == nil || !strings.Contains(err.Error(), "transport connection broken") && !strings.Contains(err.Error(), "malformed HTTP") {
		return err // net/http has no type for what it could not read
	}
	if _, ok := errors.AsType[net.Error](err); ok || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		strings.Contains(err.Error(), "headers exceeded") {
		return err // the connection broke, or was too much: that quotes nobody
	}
	return unread{err}
}

// An unread error is that of an answer which is no HTTP.
type unread struct{ err error }

func (unread) Error() string   { return "the answer is no HTTP: check the URL, and what listens there" }
func (u unread) Unwrap() error { return u.err }

// CloseIdleConnections is for http.Client's.
func (d deaf) CloseIdleConnections() {
	if c, ok := d.base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

package sftest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// Client gives an HTTP client whose calls reach the org without a network,
// whatever address they name. With [Options.InMemory] it is the only way in;
// in a testing/synctest bubble it lets the bubble's time pass.
//
// Faults show as they do on a network, with io.ErrUnexpectedEOF for the end of
// a connection.
func (o *Org) Client() *http.Client {
	return &http.Client{Transport: direct{o}}
}

// direct is a transport that calls the handler.
type direct struct{ org *Org }

// RoundTrip lets the org answer; it obeys the context of the request, and the
// org goes on with a call that nobody waits for, as a server does.
func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if d.org.closed() {
		return nil, fmt.Errorf("sftest: the org is closed: %w", http.ErrServerClosed)
	}
	in := r.Clone(r.Context())
	in.RequestURI = r.URL.RequestURI()
	in.Host = r.URL.Host
	if in.Body == nil {
		in.Body = http.NoBody
	}
	w := &recorder{header: http.Header{}}
	done := make(chan error, 1)
	go func() {
		defer in.Body.Close()
		done <- w.serve(d.org, in)
	}()
	select {
	case err := <-done:
		if err != nil {
			return nil, err
		}
		return w.response(r), nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// A recorder keeps what a handler writes.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
	broken bool
}

func (w *recorder) Header() http.Header         { return w.header }
func (w *recorder) WriteHeader(status int)      { w.status = status }
func (w *recorder) Write(p []byte) (int, error) { return w.body.Write(p) }
func (w *recorder) Flush()                      {}

// serve runs the handler; one that aborts breaks the connection.
func (w *recorder) serve(h http.Handler, r *http.Request) (err error) {
	defer func() {
		switch p := recover(); {
		case p == nil:
		case p == http.ErrAbortHandler: //nolint // the value itself is the sign
			if w.broken = true; w.status == 0 {
				err = io.ErrUnexpectedEOF
			}
		default:
			err = errors.New("sftest: the org panicked")
		}
	}()
	h.ServeHTTP(w, r)
	return nil
}

func (w *recorder) response(r *http.Request) *http.Response {
	body := io.Reader(&w.body)
	if w.broken {
		body = io.MultiReader(body, broken{})
	}
	return &http.Response{
		Status: http.StatusText(w.status), StatusCode: w.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header, Body: io.NopCloser(body), ContentLength: -1, Request: r,
	}
}

// broken is the rest of a body that never comes.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

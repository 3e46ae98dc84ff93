package requestreply

import (
	"bytes"
	"io"
	"net/http"
)

// A held body ends its attempt when it has been read or closed: not before,
// or reading it would fail, and not never, or the attempt would go on.
type held struct {
	io.ReadCloser
	hop *hop
}

func (b *held) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.hop.to.visit.heard()
	}
	if err != nil {
		b.hop.finish()
	}
	return n, err
}

func (b *held) Close() error {
	err := b.ReadCloser.Close()
	b.hop.finish()
	return err
}

// heldWriter is the body of a 101 response, which is a connection.
type heldWriter struct {
	*held
	io.Writer
}

// hold lets resp's body keep the attempt, its context and its place in flight.
// A caller who forgets the body loses all at the attempt's deadline.
func (h *hop) hold(resp *http.Response) {
	if resp.Body == nil || resp.Body == http.NoBody {
		h.finish()
		return
	}
	h.body = held{resp.Body, h}
	if w, ok := resp.Body.(io.Writer); ok {
		resp.Body = &heldWriter{&h.body, w}
		return
	}
	resp.Body = &h.body
}

// keep reads the body of a failed attempt into memory, so that its connection
// is free while we wait and its caller can still read it. One that is longer
// than drained stays open and goes on from memory.
func (h *hop) keep(resp *http.Response) {
	if resp.Body == nil || resp.Body == http.NoBody {
		h.finish()
		return
	}
	start, err := io.ReadAll(io.LimitReader(resp.Body, drained+1))
	if err == nil && len(start) > drained {
		h.hold(resp)
		rest := resp.Body
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(start), rest), rest}
		return
	}
	_ = resp.Body.Close()
	h.finish()
	var tail io.Reader = bytes.NewReader(start)
	if err != nil {
		tail = io.MultiReader(tail, failing{err})
	}
	resp.Body = io.NopCloser(tail)
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// A heeded body tells a visit of what comes through.
type heeded struct {
	io.ReadCloser
	visit *visit
}

func (b heeded) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.visit.heard()
	}
	return n, err
}

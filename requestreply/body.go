package requestreply

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"sync"
)

// A held body ends its attempt when it has been read or closed: not before,
// or reading it would fail, and not never, or the attempt would go on.
type held struct {
	io.ReadCloser
	finish func()
}

func (b *held) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.finish()
	}
	return n, err
}

func (b *held) Close() error {
	err := b.ReadCloser.Close()
	b.finish()
	return err
}

// heldWriter is the body of a 101 response, which is a connection.
type heldWriter struct {
	held
	io.Writer
}

// hold lets resp's body keep the attempt's context and its place in flight.
// A caller who forgets the body loses both at the attempt's deadline.
func hold(ctx context.Context, resp *http.Response, cancel context.CancelFunc, t *target) {
	if resp.Body == nil || resp.Body == http.NoBody {
		cancel()
		t.release()
		return
	}
	over := sync.OnceFunc(t.release)
	forgotten := context.AfterFunc(ctx, over)
	finish := func() {
		forgotten()
		cancel()
		over()
	}
	if w, ok := resp.Body.(io.Writer); ok {
		resp.Body = &heldWriter{held{resp.Body, finish}, w}
		return
	}
	resp.Body = &held{resp.Body, finish}
}

// keep reads the body of a failed attempt into memory, so that its connection
// is free while we wait and its caller can still read it. One that is longer
// than drained stays open and goes on from memory.
func keep(ctx context.Context, resp *http.Response, cancel context.CancelFunc, t *target) {
	if resp.Body == nil || resp.Body == http.NoBody {
		cancel()
		t.release()
		return
	}
	start, err := io.ReadAll(io.LimitReader(resp.Body, drained+1))
	if err == nil && len(start) > drained {
		hold(ctx, resp, cancel, t)
		rest := resp.Body
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(start), rest), rest}
		return
	}
	_ = resp.Body.Close()
	cancel()
	t.release()
	var tail io.Reader = bytes.NewReader(start)
	if err != nil {
		tail = io.MultiReader(tail, failing{err})
	}
	resp.Body = io.NopCloser(tail)
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

package uiupdate

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"
)

// Why a stream ended, as the Observer is told.
var (
	errDropped = errors.New("its client takes nothing")
	errExpired = errors.New("its authorization ended")
	errAborted = errors.New("its writer panicked")
)

// piece is how much of a write has a deadline of its own, so that a slow line
// is told from a dead one.
const piece = 16 << 10

// closed is a bell that has rung.
var closed = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// A wire is where a stream is written to.
type wire interface {
	// Write sends p before it returns.
	Write(p []byte) (int, error)
	SetWriteDeadline(t time.Time) error
}

// response is the wire of net/http.
type response struct {
	http.ResponseWriter
	*http.ResponseController
}

func (r response) Write(p []byte) (int, error) {
	n, err := r.ResponseWriter.Write(p)
	if err == nil {
		err = r.Flush()
	}
	return n, err
}

// A stream is one open response.
type stream struct {
	h      *Handler
	wire   wire
	reader *reader
	until  time.Time // when its authorization ends; zero is never

	mu      sync.Mutex // guards the write deadline
	hurried bool
}

// hello is the first that a stream sends, so that a browser knows that it is
// connected, whether or not the view has anything to say.
func (h *Handler) hello(b []byte) []byte {
	return append(strconv.AppendInt(append(b, "retry: "...), h.retry().Milliseconds(), 10), "\n\n"...)
}

// run writes first, and then until the client goes, the authorization ends,
// or the handler shuts down.
func (s *stream) run(ctx context.Context, first []byte) error {
	h := s.h
	if err := s.send(first); err != nil {
		return gone(err)
	}
	beat := time.NewTimer(h.opts.Heartbeat)
	defer beat.Stop()
	draining := h.draining
	var expiry, leave <-chan time.Time
	if !s.until.IsZero() {
		expiry = time.After(time.Until(s.until))
	}
	var buf []byte
	for due := false; ; {
		if !s.until.IsZero() && !time.Now().Before(s.until) {
			h.expired.Add(1)
			return errExpired
		}
		rung := h.feed.listen()
		b := h.feed.take(s.reader, buf, h.opts.Heartbeat, due)
		if len(b) > 0 {
			if err := s.send(b); err != nil {
				return gone(err)
			}
			rung = closed
			beat.Reset(h.opts.Heartbeat)
		}
		if buf = nil; !s.reader.rest { // at rest a stream holds no buffer
			buf = b
		}
		due = false
		select {
		case <-rung:
		case <-beat.C:
			due = true
		case <-expiry:
		case <-draining:
			draining, leave = nil, time.After(upTo(h.spread))
		case <-leave:
			return nil
		case <-h.hurry:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// send writes and flushes b. An error is errDropped, or that the client went.
func (s *stream) send(b []byte) error {
	for len(b) > 0 {
		n := min(len(b), piece)
		began := time.Now()
		if !s.allow(began) {
			return errGone
		}
		_, err := s.wire.Write(b[:n])
		if errors.Is(err, http.ErrNotSupported) {
			return err
		}
		if err != nil {
			return s.failed(err, time.Since(began))
		}
		b = b[n:]
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.hurried {
		// The connection may serve other requests after this one, and HTTP/2
		// ends a stream whose deadline passes while nothing is written.
		_ = s.wire.SetWriteDeadline(time.Time{})
	}
	return nil
}

// failed says why a write failed. HTTP/2 tells a deadline as a closed stream.
func (s *stream) failed(err error, took time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	limit := s.h.opts.WriteTimeout
	if !s.until.IsZero() && !time.Now().Before(s.until) {
		s.h.expired.Add(1)
		return errExpired
	}
	if !s.hurried && (errors.Is(err, os.ErrDeadlineExceeded) || limit > 0 && took >= limit) {
		s.h.dropped.Add(1)
		return errDropped
	}
	return errGone
}

// allow gives the next write its time, unless the stream must end.
func (s *stream) allow(began time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	end := s.until
	if limit := began.Add(s.h.opts.WriteTimeout); s.h.opts.WriteTimeout > 0 && (end.IsZero() || limit.Before(end)) {
		end = limit
	}
	if !s.hurried && !end.IsZero() {
		// Where the writer knows no deadlines the server's own hold.
		_ = s.wire.SetWriteDeadline(end)
	}
	return !s.hurried
}

// hurry ends a write that is under way.
func (s *stream) hurry() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hurried = true
	_ = s.wire.SetWriteDeadline(time.Now())
}

// errGone says that the client went, which is how most streams end.
var errGone = errors.New("its client went")

func gone(err error) error {
	if errors.Is(err, errGone) {
		return nil
	}
	return err
}

func upTo(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return rand.N(d)
}

// poll answers once: at once if there is news for the reader, else when there
// is, or empty when HandlerOptions.Poll is over.
func (h *Handler) poll(ctx context.Context, w http.ResponseWriter, r *reader) error {
	over := time.NewTimer(h.opts.Poll)
	defer over.Stop()
	for ended := false; ; {
		rung := h.feed.listen()
		if b, news := h.feed.poll(r); news || ended {
			_, _ = w.Write(append(b, '\n'))
			return nil
		}
		select {
		case <-rung:
		case <-over.C:
			ended = true
		case <-h.draining:
			ended = true
		case <-ctx.Done():
			return nil
		}
	}
}

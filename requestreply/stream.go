package requestreply

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/crosstie/crosstie/internal/redirect"
	"github.com/crosstie/crosstie/outcome"
)

// An Upload as the Req of an [Endpoint] is a body that is sent as it is read
// and never held in memory.
type Upload struct {
	// Open returns the body from its start. It is called for each attempt, and
	// what it returned is closed when the attempt has read it or is over.
	Open func() (io.ReadCloser, error)
	// Size is the length of the body in bytes, or zero if it is not known; then
	// it is sent in chunks.
	Size int64
	// ContentType defaults to application/octet-stream. A Content-Type in
	// Endpoint.Header comes first.
	ContentType string
}

func (u *Upload) valid() error {
	if u.Open == nil || u.Size < 0 {
		return errors.New("an Upload needs Open, and a Size that is not negative")
	}
	return nil
}

func (u *Upload) open() (io.ReadCloser, error) {
	body, err := u.Open()
	if err != nil {
		return nil, outcome.TransientError(outcome.NotSent, false, fmt.Errorf("Upload.Open failed: %w", err))
	}
	return body, nil
}

func (u *Upload) length() int64 {
	if u.Size == 0 {
		return -1
	}
	return u.Size
}

// Stream does what [Endpoint.Call] does, but hands over the body of a 2xx
// answer unread, whatever its type; Resp is not used. The caller must close
// it. Until then the call keeps its place in flight and its time limits
// (TryTimeout of the Guard), so give them the time that reading takes. A
// failed attempt is repeated as ever, but once there is a body its faults are
// the caller's to see: reading it returns an [*Error] with the outcome Applied
// when it breaks off, or ErrTooLarge after MaxBody bytes, which for Stream have
// no default. Accept defaults to everything.
func (e Endpoint[Req, Resp]) Stream(ctx context.Context, req Req) (Reply[io.ReadCloser], error) {
	if e.Header.Get("Accept") == "" {
		h := e.Header.Clone()
		if h == nil {
			h = http.Header{}
		}
		h.Set("Accept", "*/*")
		e.Header = h
	}
	p, err := e.planFor(ctx, req)
	if err != nil {
		return Reply[io.ReadCloser]{}, err
	}
	return p.stream(ctx, e.Guard, max(0, e.MaxBody))
}

// stream makes the call through a Transport, which holds what belongs to a
// body until that is closed.
func (p *plan) stream(ctx context.Context, g *Guard, limit int64) (r Reply[io.ReadCloser], err error) {
	client := &http.Client{}
	if p.client != nil {
		*client = *p.client
	}
	if !p.guarded {
		t := &Transport{Base: client.Transport, Guard: g, plain: p.client != nil, via: &stalled}
		client.Transport = t
	}
	if p.client == nil {
		redirect.Refuse(client)
	}
	p.guarded, p.call.g = true, once
	c := &p.call
	if err := c.begin(ctx, p.op); err != nil {
		return r, err
	}
	actx, cancel := withDeadline(ctx, c.rest)
	w := &within{host: p.op.Target, idempotent: p.op.Idempotent, tell: p.tell, known: outcome.NotSent}
	if c.under != nil {
		actx = c.under.Attempt(actx)
	}
	fail := func(err error) (Reply[io.ReadCloser], error) {
		cancel()
		c.made++
		return r, c.again(ctx, classify(&throughTransport{err, w}))
	}
	req, err := p.request(context.WithValue(actx, withinOf{}, w))
	if err != nil {
		return fail(err)
	}
	req.Header = p.header
	resp, err := exchange(req, client.Do, nil)
	if err != nil {
		return fail(err)
	}
	r.Status, r.Header = resp.StatusCode, resp.Header
	if ofStatus(resp, nil) != nil {
		err := ofStatus(resp, problem(resp))
		_ = resp.Body.Close()
		return fail(err)
	}
	if resp.StatusCode == http.StatusNotModified {
		_ = resp.Body.Close()
		cancel()
		return r, p.notModified(max(1, w.made))
	}
	r.Value = &streamed{body: resp.Body, call: c, status: resp.StatusCode, left: limit, limited: limit > 0, cancel: cancel}
	return r, nil
}

// A streamed is the body of an answer that is being read.
type streamed struct {
	body    io.ReadCloser
	call    *call
	status  int
	left    int64
	limited bool
	cancel  context.CancelFunc
}

func (s *streamed) Read(b []byte) (int, error) {
	if s.limited && int64(len(b)) > s.left+1 {
		b = b[:s.left+1]
	}
	n, err := s.body.Read(b)
	if s.limited {
		if int64(n) > s.left {
			return int(s.left), s.failed(fmt.Errorf("status %d: %w", s.status, ErrTooLarge), false)
		}
		s.left -= int64(n)
	}
	if err != nil && err != io.EOF {
		err = s.failed(fmt.Errorf("status %d, its body broke off: %w", s.status, err), true)
	}
	return n, err
}

func (s *streamed) failed(err error, transient bool) error {
	return &Error{
		Op: s.call.name, Key: s.call.key, Attempts: 1, Status: s.status, Known: outcome.Applied, harmless: s.call.harmless,
		Err: outcome.TransientError(outcome.Applied, transient, err),
	}
}

func (s *streamed) Close() error {
	err := s.body.Close()
	s.cancel()
	return err
}

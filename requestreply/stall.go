package requestreply

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// An HTTP/2 connection that nothing comes through any more, because a router
// forgot it or its server hangs, is taken for every new request until the
// kernel gives it up, a quarter of an hour later: each repeat meets it again.
// So a host whose connection was silent for the time of an attempt gets a copy
// of the http.Transport, with connections of its own. What is in flight on the
// old one goes on, and a copy that is replaced in its turn is closed when its
// last call has ended.

// maxCopies is how many hosts have a copy at a time. Beyond it the oldest is
// given up, and its host served by the Base again.
const maxCopies = 256

// copies are the transports of hosts whose connection stalled. The zero value
// has none.
type copies struct {
	some atomic.Bool // by is not empty: most have none, and pay nothing

	mu    sync.Mutex // guards what follows
	by    map[peer]*copied
	conns map[net.Conn]*traffic // HTTP/2 connections in use
}

// A peer is whom a connection leads to.
type peer struct{ scheme, host string }

// A copied is a copy of a Base.
type copied struct {
	tr      *http.Transport
	since   time.Time
	users   int
	retired bool
}

// traffic is what is known of a connection while it is used.
type traffic struct {
	users int
	heard time.Time // when something last came through it
}

// A visit is the use that one attempt makes of a host's transport. The nil
// visit, of a Base that is not an *http.Transport, does nothing.
type visit struct {
	in     *copies
	base   *http.Transport
	origin peer
	quiet  time.Duration // less than this without a sign is no stall

	mine   *copied     // nil: base
	shares atomic.Bool // conn is set: most connections are not shared, and pay nothing
	// guarded by in.mu
	conn net.Conn
	got  time.Time
	left bool
}

// visit begins an attempt at r's host, in v.
func (s *copies) visit(v *visit, base *http.Transport, r *http.Request, quiet time.Duration) *visit {
	v.in, v.base, v.origin, v.quiet = s, base, peer{r.URL.Scheme, r.URL.Host}, quiet
	if s.some.Load() {
		s.mu.Lock()
		if v.mine = s.by[v.origin]; v.mine != nil {
			v.mine.users++
		}
		s.mu.Unlock()
	}
	return v
}

// RoundTrip goes through the transport of the visit.
func (v *visit) RoundTrip(r *http.Request) (*http.Response, error) {
	if v.mine != nil {
		return v.mine.tr.RoundTrip(r)
	}
	return v.base.RoundTrip(r)
}

// over notes the connection of the attempt, if others may share it.
func (v *visit) over(c net.Conn) {
	if v == nil || !v.shared(c) {
		return
	}
	s := v.in
	s.mu.Lock()
	defer s.mu.Unlock()
	if v.left {
		return
	}
	v.unhook()
	v.conn, v.got = c, time.Now()
	v.shares.Store(true)
	t := s.conns[c]
	if t == nil {
		t = new(traffic)
		if s.conns == nil {
			s.conns = map[net.Conn]*traffic{}
		}
		s.conns[c] = t
	}
	t.users++
}

// shared reports whether c speaks HTTP/2. Of one without TLS only the
// configuration tells.
func (v *visit) shared(c net.Conn) bool {
	if t, ok := c.(interface{ ConnectionState() tls.ConnectionState }); ok {
		return t.ConnectionState().NegotiatedProtocol == "h2"
	}
	p := v.base.Protocols
	return p != nil && p.UnencryptedHTTP2() && !p.HTTP1()
}

// unhook forgets the connection and returns what was known of it. Its caller
// holds in.mu.
func (v *visit) unhook() *traffic {
	t := v.in.conns[v.conn]
	if v.conn == nil || t == nil {
		return nil
	}
	if t.users--; t.users == 0 {
		delete(v.in.conns, v.conn)
	}
	v.conn = nil
	return t
}

// heard notes that something came through the connection.
func (v *visit) heard() {
	if v == nil || !v.shares.Load() {
		return
	}
	v.in.mu.Lock()
	defer v.in.mu.Unlock()
	if t := v.in.conns[v.conn]; v.conn != nil && t != nil {
		t.heard = time.Now()
	}
}

// leave ends the visit; ctx is that of the attempt. It may be called again.
func (v *visit) leave(ctx context.Context) {
	if v == nil {
		return
	}
	v.in.mu.Lock()
	defer v.in.mu.Unlock()
	if v.left {
		return
	}
	v.left = true
	if t := v.unhook(); t != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		now := time.Now()
		silent := now.Sub(v.got)
		if t.heard.After(v.got) {
			silent = now.Sub(t.heard)
		}
		if silent >= max(v.quiet, now.Sub(v.got)/2) {
			v.replace(now)
		}
	}
	if v.mine != nil {
		v.mine.users--
		v.mine.closeIdle()
	}
}

// replace gives the host a new copy, unless another attempt did so already.
// Its caller holds in.mu.
func (v *visit) replace(now time.Time) {
	s := v.in
	if s.by[v.origin] != v.mine {
		return
	}
	if s.by == nil {
		s.by = map[peer]*copied{}
	}
	if v.mine == nil && len(s.by) >= maxCopies {
		var oldest peer
		for o, c := range s.by {
			if s.by[oldest] == nil || c.since.Before(s.by[oldest].since) {
				oldest = o
			}
		}
		s.by[oldest].retired = true
		s.by[oldest].closeIdle()
		delete(s.by, oldest)
	}
	if v.mine != nil {
		v.mine.retired = true // closed when its last call leaves
	}
	tr := v.base.Clone()
	if tr.IdleConnTimeout == 0 {
		tr.IdleConnTimeout = 90 * time.Second // nobody else will close it
	}
	s.by[v.origin] = &copied{tr: tr, since: now}
	s.some.Store(true)
}

// closeIdle closes a copy that was replaced and serves nobody any more. A
// stream that was cancelled is gone a moment later only, so it is asked twice;
// what is idle still ends with IdleConnTimeout.
func (c *copied) closeIdle() {
	if !c.retired || c.users > 0 {
		return
	}
	c.tr.CloseIdleConnections()
	time.AfterFunc(time.Second, c.tr.CloseIdleConnections)
}

// closeIdleAll closes the idle connections of all copies.
func (s *copies) closeIdleAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.by {
		c.tr.CloseIdleConnections()
	}
}

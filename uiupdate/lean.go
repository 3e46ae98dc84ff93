package uiupdate

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// tick is how late what a crowd does by the clock may be.
const tick = time.Second

// A lean stream is one whose connection was taken over from net/http, with
// its goroutine and its buffers: what is left is the connection and its place.
type lean struct {
	*stream
	ctx   context.Context // for the Observer alone; its request is over
	conn  net.Conn
	raw   syscall.RawConn
	next  []byte // to be written first
	beat  time.Time
	leave time.Time
}

// takeOver makes s lean and reports whether it did.
func (h *Handler) takeOver(ctx context.Context, s *stream, w http.ResponseWriter, r *http.Request) bool {
	hijacker, ok := w.(http.Hijacker)
	if !ok || !canTryWrite || r.ProtoMajor != 1 || r.TLS != nil || w.Header().Get("Content-Encoding") != "" {
		return false
	}
	conn, _, err := hijacker.Hijack()
	if err != nil {
		return false
	}
	_ = conn.SetDeadline(time.Time{}) // the server's were for its own reading and writing
	var first bytes.Buffer
	first.WriteString("HTTP/1.1 200 OK\r\n")
	w.Header().Set("Connection", "close")
	w.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
	_ = w.Header().Write(&first)
	first.WriteString("\r\n")
	s.wire = conn
	h.opened(s)
	l := &lean{stream: s, ctx: context.WithoutCancel(ctx), conn: conn, next: h.hello(first.Bytes())}
	if l.raw, err = rawConn(conn); err != nil {
		// It is none of the system's connections. net/http has let go of it
		// already, so it is served as it is.
		l.end(s.run(ctx, l.next))
		return true
	}
	h.crowds[h.next.Add(1)%uint32(len(h.crowds))].join(l)
	return true
}

func rawConn(c net.Conn) (syscall.RawConn, error) {
	s, ok := c.(syscall.Conn)
	if !ok {
		return nil, http.ErrNotSupported
	}
	return s.SyscallConn()
}

// end closes a lean stream.
func (l *lean) end(err error) {
	_ = l.conn.Close()
	l.h.ended(l.stream)
	l.h.close(l.ctx, "stream", err)
}

// A crowd is many lean streams and one goroutine, which runs while there are
// any. It never waits for a client: a stream that takes no more gets a
// goroutine of its own until it has caught up.
type crowd struct {
	h     *Handler
	wake  chan struct{}
	write tryWriter

	mu      sync.Mutex // guards all below
	joining []*lean
	running bool
}

func newCrowd(h *Handler) *crowd { return &crowd{h: h, wake: make(chan struct{}, 1)} }

func (c *crowd) join(l *lean) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.joining = append(c.joining, l)
	if !c.running {
		c.running = true
		go c.run()
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// welcome adds who has joined, and says whether anybody is there.
func (c *crowd) welcome(streams []*lean) ([]*lean, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	streams = append(streams, c.joining...)
	c.joining = nil
	c.running = len(streams) > 0
	return streams, c.running
}

func (c *crowd) run() {
	h := c.h
	var streams []*lean
	var buf []byte
	timer := time.NewTicker(tick)
	defer timer.Stop()
	for {
		var any bool
		if streams, any = c.welcome(streams); !any {
			return
		}
		rung := h.feed.listen()
		now, draining, hurry, more := time.Now(), over(h.draining), over(h.hurry), false
		kept := streams[:0]
		for _, l := range streams {
			if l.over(now, draining, hurry) {
				continue
			}
			stays, busy := c.serve(l, now, &buf)
			if stays {
				kept = append(kept, l)
			}
			more = more || busy
		}
		clear(streams[len(kept):])
		streams = kept
		if more {
			runtime.Gosched()
			continue
		}
		var slow <-chan time.Time
		if draining {
			slow = time.After(tick / 20)
		}
		stop := h.draining
		if draining {
			stop = h.hurry
		}
		select {
		case <-rung:
		case <-c.wake:
		case <-timer.C:
		case <-slow:
		case <-stop:
		}
	}
}

func over(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// over ends a stream whose time is over.
func (l *lean) over(now time.Time, draining, hurry bool) bool {
	if draining && l.leave.IsZero() {
		l.leave = now.Add(upTo(l.h.spread))
	}
	switch {
	case hurry, draining && !now.Before(l.leave):
		l.end(nil)
	case !l.until.IsZero() && !now.Before(l.until):
		l.h.expired.Add(1)
		l.end(errExpired)
	default:
		return false
	}
	return true
}

// serve writes what there is for a stream, as far as its client takes it. It
// reports whether the stream stays in the crowd, and whether it has more to
// get at once.
func (c *crowd) serve(l *lean, now time.Time, buf *[]byte) (stays, busy bool) {
	due := !l.beat.IsZero() && !now.Before(l.beat)
	if due && c.write.ended(l.raw) {
		l.end(nil)
		return false, false
	}
	for range 4 { // then it is the next one's turn
		b := l.next
		if l.next = nil; b == nil {
			rest := l.reader.rest
			b = c.h.feed.take(l.reader, *buf, c.h.opts.Heartbeat, due)
			if !rest {
				*buf = b[:0]
			}
		}
		if due = false; len(b) == 0 {
			return true, false
		}
		n, err := c.write.try(l.raw, b)
		if err != nil {
			l.end(nil)
			return false, false
		}
		if l.beat.IsZero() { // the first at random, so that not all come at once
			l.beat = now.Add(rand.N(c.h.opts.Heartbeat))
		} else {
			l.beat = now.Add(c.h.opts.Heartbeat)
		}
		if n < len(b) {
			go c.wait(l, bytes.Clone(b[n:]))
			return false, false
		}
	}
	return true, true
}

// wait writes to a client that takes no more for now, until it has taken rest.
func (c *crowd) wait(l *lean, rest []byte) {
	if err := l.send(rest); err != nil {
		l.end(gone(err))
		return
	}
	c.join(l)
}

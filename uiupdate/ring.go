package uiupdate

// A ring keeps the framed bytes of the latest changes, once for all streams.
// It is made of segments that are only appended to, so that a stream writes
// straight from them, without a lock and without a copy, while others append.
type ring struct {
	first, last *segment
	bytes       int // capacity of all segments
	window      int // the most of it
	size        int // of one segment
}

// A segment is a run of whole frames.
type segment struct {
	n    uint64 // counts up along the ring
	buf  []byte
	seq  uint64 // of the last frame in it
	next *segment
}

func newRing(window int) *ring {
	g := &ring{window: window, size: min(max(window/16, 1<<10), 64<<10)}
	g.first = &segment{buf: make([]byte, 0, g.size)}
	g.last, g.bytes = g.first, g.size
	return g
}

// add appends one frame and drops what the window has passed.
func (g *ring) add(frame []byte, seq uint64) {
	if len(g.last.buf)+len(frame) > cap(g.last.buf) {
		s := &segment{n: g.last.n + 1, buf: make([]byte, 0, max(g.size, len(frame)))}
		g.last.next, g.last = s, s
		g.bytes += cap(s.buf)
		for g.bytes > g.window && g.first != g.last {
			old := g.first
			g.first, g.bytes = old.next, g.bytes-cap(old.buf)
			old.next = nil // a reader that is stuck in it keeps it, and no more
		}
	}
	g.last.buf = append(g.last.buf, frame...)
	g.last.seq = seq
}

// A tail is a stream's place in the ring.
type tail struct {
	at  *segment
	off int
}

func (g *ring) end() tail { return tail{at: g.last, off: len(g.last.buf)} }

// read returns the bytes after t that are in one piece, the sequence number
// they end with, and whether t is still in the ring.
func (g *ring) read(t *tail) (b []byte, seq uint64, ok bool) {
	if t.at.n < g.first.n {
		return nil, 0, false
	}
	if t.off == len(t.at.buf) && t.at.next != nil {
		*t = tail{at: t.at.next}
	}
	b = t.at.buf[t.off:]
	t.off += len(b)
	return b, t.at.seq, true
}

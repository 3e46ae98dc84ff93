package uiupdate

import (
	"bytes"
	"time"
)

// A writing puts changes into the rows and, framed once for all streams, into
// the ring. Its caller holds the lock.
type writing[K comparable, V any] struct {
	v   *View[K, V]
	out frames[K, V]
	was uint64 // the version it began with
}

func (v *View[K, V]) write() *writing[K, V] {
	return &writing[K, V]{v: v, out: frames[K, V]{buf: v.scratch[:0], epoch: v.epoch}, was: v.seq}
}

// put makes one change, unless it is late or none.
func (w *writing[K, V]) put(c *staged[K, V]) {
	v := w.v
	v.stats.Changes++
	switch r := v.rows.find(c.Key); {
	case r == nil && c.AsOf.Before(v.floor), r != nil && c.AsOf.Before(r.asOf):
		v.stats.Late++
		return
	case r != nil && r.tomb != nil && c.Deleted:
		r.asOf = c.AsOf
		v.stats.Unchanged++
		return
	case r != nil && c.AsOf.Equal(r.asOf) && bytes.Equal(r.body, c.body):
		v.stats.Unchanged++
		return
	}
	v.stats.Applied++
	// All rows of a frame have the version that the frame will get.
	w.out.row(Delta, v.rows.put(c, v.seq+1))
	if w.out.size() >= chunk {
		w.flush()
	}
}

func (w *writing[K, V]) flush() {
	if w.out.rows == 0 {
		return
	}
	w.v.seq++
	w.out.end(Delta, position{base: w.v.seq, head: w.v.seq})
	w.emit()
}

// confirm moves the instant up to which the view is complete.
func (w *writing[K, V]) confirm(asOf, now time.Time) {
	w.flush()
	v := w.v
	if !asOf.After(v.asOf) {
		return
	}
	v.asOf = asOf
	if since := now.Sub(v.told); since >= 0 && since < time.Second {
		return
	}
	v.told = now
	v.seq++
	w.out.live(asOf, now, 0, position{base: v.seq, head: v.seq})
	w.emit()
}

func (w *writing[K, V]) emit() {
	w.v.ring.add(w.out.buf, w.v.seq)
	w.out.buf, w.out.start = w.out.buf[:0], 0
}

// done ends the writing and wakes the readers if there is anything new.
func (w *writing[K, V]) done() {
	w.flush()
	if cap(w.out.buf) <= 4*chunk {
		w.v.scratch = w.out.buf
	}
	w.v.rows.forget()
	if w.v.seq != w.was {
		w.v.bell.Ring()
	}
}

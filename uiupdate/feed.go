package uiupdate

import (
	"encoding/json"
	"time"
)

// A feed is a View without its types: what a Handler needs of it.
type feed interface {
	join(after string) (*reader, error)
	leave()
	// listen returns a channel that is closed at the next change. It is asked
	// before take, so that nothing falls between.
	listen() <-chan struct{}
	// take returns the next bytes for a stream, in buf or straight from the
	// ring; none when there is nothing new. When a heartbeat is due, a live
	// event takes the place of none.
	take(r *reader, buf []byte, beat time.Duration, due bool) []byte
	// poll returns one answer to a long poll, and whether it has news.
	poll(r *reader) (answer []byte, news bool)
}

func (v *View[K, V]) listen() <-chan struct{} { return v.bell.Listen() }

func (v *View[K, V]) take(r *reader, buf []byte, beat time.Duration, due bool) []byte {
	now := time.Now()
	v.mu.RLock()
	defer v.mu.RUnlock()
	if r.rest {
		b, seq, ok := v.ring.read(&r.tail)
		switch {
		case ok && len(b) > 0:
			r.seq = seq
			return b
		case ok && due:
			f := frames[K, V]{buf: buf[:0], epoch: v.epoch}
			f.live(v.asOf, now, beat, position{base: r.seq, head: r.seq})
			return f.buf
		case ok:
			return nil
		}
		*r = reader{base: r.seq} // it fell off: each changed row's latest, then
	}
	f := frames[K, V]{buf: buf[:0], epoch: v.epoch}
	if v.catchUp(r, &f) {
		f.live(v.asOf, now, beat, position{base: v.seq, head: v.seq})
		r.pos, r.rest, r.tail = nil, true, v.ring.end()
	}
	return f.buf
}

// An answer to a long poll has rows as they stand in a JSON array.
type answer struct {
	ID    string           `json:"id"`
	Reset string           `json:"reset,omitempty"` // why everything before is void
	Rows  json.RawMessage  `json:"rows"`
	Live  *json.RawMessage `json:"live,omitempty"` // absent: there is more, ask again at once
}

func (v *View[K, V]) poll(r *reader) ([]byte, bool) {
	now := time.Now()
	p := polled[K, V]{epoch: v.epoch}
	v.mu.RLock()
	news := v.seq != r.seq
	all := v.catchUp(r, &p)
	a := answer{ID: r.position().id(v.epoch), Reset: p.why, Rows: p.rows}
	if all {
		live := json.RawMessage(appendLive(nil, v.asOf, now, 0))
		a.ID, a.Live = position{base: v.seq, head: v.seq}.id(v.epoch), &live
	}
	v.mu.RUnlock()
	a.Rows = append(append(json.RawMessage{'['}, a.Rows...), ']')
	b, err := json.Marshal(a)
	if err != nil { // it is made of JSON
		panic(err)
	}
	return b, news
}

// polled collects the rows of one answer.
type polled[K comparable, V any] struct {
	epoch string
	why   string
	rows  []byte
}

func (p *polled[K, V]) size() int { return len(p.rows) }

func (p *polled[K, V]) row(_ Kind, r *row[K, V]) {
	if len(p.rows) > 0 {
		p.rows = append(p.rows, ',')
	}
	p.rows = append(appendTime(append(append(p.rows, r.body...), `,"asOf":"`...), r.asOf), `"}`...)
}

func (p *polled[K, V]) end(Kind, position) {}

func (p *polled[K, V]) reset(why string, _ position) { p.why, p.rows = why, nil }

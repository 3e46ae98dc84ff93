package fireforget

import (
	"container/heap"
	"context"
	"slices"
	"time"
)

// maxRun is how many messages of one key one claim returns, so that one long
// key does not fill the whole answer.
const maxRun = 32

// Claim implements Store.
func (m *mem) Claim(ctx context.Context, c Claim) ([]Entry, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	var out []Entry
	for _, w := range c.Wants {
		d := m.dests[w.To]
		if d == nil || w.Max <= 0 {
			continue
		}
		max := len(out) + w.Max
		half := len(out) + w.Max/2
		if d.flip = !d.flip; d.flip {
			half = len(out) + (w.Max+1)/2
		}
		out = m.claimFree(out, d, c, half, now)
		out = m.claimLanes(out, d, c, w, max, now)
		out = m.claimFree(out, d, c, max, now)
	}
	return out, nil
}

func (m *mem) claimFree(out []Entry, d *memDest, c Claim, max int, now time.Time) []Entry {
	for len(out) < max && len(d.free) > 0 && !d.free[0].at().After(now) {
		it := d.free[0]
		it.lease, _ = it.lease.Claim(c.Owner, now, c.Lease)
		it.Epoch = it.lease.Epoch
		heap.Fix(&d.free, 0)
		out = append(out, it.Entry)
	}
	return out
}

func (m *mem) claimLanes(out []Entry, d *memDest, c Claim, w Want, max int, now time.Time) []Entry {
	for _, h := range w.Held {
		l := d.lanes[h.Lane]
		if l == nil || !l.lease.Owns(h.Epoch) || !l.lease.Held(now) {
			continue
		}
		out = m.claimLane(out, l, h.Busy, max, now)
	}
	for _, l := range d.lanes { // in random order, which shares them fairly
		if len(out) >= max {
			break
		}
		was := len(out)
		held, ok := l.lease.Claim(c.Owner, now, c.Lease)
		if !ok {
			continue
		}
		before := l.lease
		l.lease = held
		if out = m.claimLane(out, l, nil, max, now); len(out) == was {
			l.lease = before // nothing is due: leave it to nobody
		}
	}
	return out
}

// claimLane appends what is due in l, each key's messages in order.
func (m *mem) claimLane(out []Entry, l *memLane, busy []string, max int, now time.Time) []Entry {
	for key, q := range l.keys {
		if len(out) >= max {
			break
		}
		if q[0].at().After(now) || slices.Contains(busy, key) {
			continue
		}
		if m.stops[memKeyName{q[0].To, key}] {
			for _, it := range slices.Clone(q) {
				m.park(it, "key stopped", now)
			}
			continue
		}
		for i, it := range q {
			if len(out) >= max || i == maxRun || it.at().After(now) {
				break
			}
			e := it.Entry
			e.Epoch = l.lease.Epoch
			out = append(out, e)
		}
	}
	return out
}

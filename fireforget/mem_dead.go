package fireforget

import (
	"context"
	"slices"
	"time"
)

// Parked implements Store.
func (m *mem) Parked(_ context.Context, f Filter, after int64, max int) (out []DeadLetter, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range m.dead {
		if len(out) == max {
			break
		}
		if d.Pos > after && f.matches(&d.DeadLetter) {
			out = append(out, d.DeadLetter)
		}
	}
	return out, nil
}

func (f *Filter) matches(d *DeadLetter) bool {
	switch {
	case f.To != "" && f.To != d.Item.To,
		f.Key != "" && f.Key != d.Item.Key,
		f.ID != "" && f.ID != d.Item.ID,
		!f.Since.IsZero() && d.ParkedAt.Before(f.Since),
		!f.Before.IsZero() && !d.ParkedAt.Before(f.Before),
		f.Discarded != (d.Discarded != ""):
		return false
	}
	return true
}

// Redrive implements Store.
func (m *mem) Redrive(_ context.Context, f Filter, through int64, max int) (n int, upTo int64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if through == 0 {
		through = m.pos
	}
	f.Discarded = false
	keys := map[memKeyName]bool{}
	m.dead = slices.DeleteFunc(m.dead, func(d *memDead) bool {
		if n == max || d.Pos > through || !f.matches(&d.DeadLetter) {
			return false
		}
		n++
		it := &memItem{Entry: Entry{Item: d.Item, Lane: d.lane, Sum: d.sum}, history: d.History}
		it.Attempt, it.Expires = 0, time.Time{}
		m.enter(it)
		if id := m.ids[it.ID]; it.Sum != "" && id != nil {
			id.live = it.Seq
		}
		keys[memKeyName{it.To, it.Key}] = true
		return true
	})
	for _, d := range m.dead { // parked since the redrive began, it has stopped its key anew
		if d.Pos > through && d.Discarded == "" {
			delete(keys, memKeyName{d.Item.To, d.Item.Key})
		}
	}
	for k := range keys {
		delete(m.stops, k)
	}
	m.bell.Ring()
	return n, through, nil
}

// Discard implements Store.
func (m *mem) Discard(_ context.Context, id, reason string) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.IndexFunc(m.dead, func(d *memDead) bool { return d.Item.ID == id && d.Discarded == "" })
	if i < 0 {
		return false, nil
	}
	d := m.dead[i]
	d.Discarded = reason
	if reason == "" {
		d.Discarded = "no reason given"
	}
	d.Item.Body, d.Item.Header = nil, nil
	if rec := m.ids[id]; d.sum != "" && rec != nil {
		rec.live = 0
	}
	of := func(e *memDead) bool {
		return e.Discarded == "" && e.Item.To == d.Item.To && e.Item.Key == d.Item.Key
	}
	if !slices.ContainsFunc(m.dead, of) {
		delete(m.stops, memKeyName{d.Item.To, d.Item.Key})
	}
	return true, nil
}

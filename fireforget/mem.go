package fireforget

import (
	"bytes"
	"container/heap"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/crosstie/crosstie/internal/lease"
	"github.com/crosstie/crosstie/internal/wake"
)

// NewMem returns a store in memory, for tests and for messages that need not
// survive the process. It has no transactions: SendTx answers [ErrNoTx].
func NewMem() Store {
	return &mem{
		items: map[int64]*memItem{},
		dests: map[string]*memDest{},
		ids:   map[string]*memID{},
		stops: map[memKeyName]bool{},
	}
}

// mem is the twin of the SQL stores: one mutex stands for their transaction.
type mem struct {
	bell wake.Bell

	mu    sync.Mutex // guards all below
	seq   int64
	items map[int64]*memItem // by Seq
	dests map[string]*memDest
	ids   map[string]*memID // of messages their sender named
	stops map[memKeyName]bool
	pos   int64
	dead  []*memDead // by Pos
}

type memKeyName struct{ to, key string }

type memID struct {
	sum  string
	at   time.Time
	live int64 // Seq or, negative, Pos of where it is; 0 when it is gone
}

type memDead struct {
	DeadLetter
	sum  string
	lane int
}

type memItem struct {
	Entry
	due     time.Time   // for the next attempt
	lease   lease.Lease // when it has no key
	history []Attempt
	index   int // in the heap, when it has no key
}

// at is when the item can be claimed.
func (it *memItem) at() time.Time {
	at := it.due
	if it.NotBefore.After(at) {
		at = it.NotBefore
	}
	if it.lease.Until.After(at) {
		at = it.lease.Until
	}
	return at
}

type memDest struct {
	free  memHeap
	lanes map[int]*memLane
	flip  bool // who goes first, so that neither kind starves the other
}

type memLane struct {
	lease lease.Lease
	keys  map[string][]*memItem // never an empty slice
}

func (m *mem) dest(to string) *memDest {
	d := m.dests[to]
	if d == nil {
		d = &memDest{lanes: map[int]*memLane{}}
		m.dests[to] = d
	}
	return d
}

func (d *memDest) lane(n int) *memLane {
	l := d.lanes[n]
	if l == nil {
		l = &memLane{keys: map[string][]*memItem{}}
		d.lanes[n] = l
	}
	return l
}

// Added implements Store.
func (m *mem) Added() <-chan struct{} { return m.bell.Listen() }

// Wake makes the relays of this process look now.
func (m *mem) Wake() { m.bell.Ring() }

// Add implements Store.
func (m *mem) Add(ctx context.Context, es []Entry, limit int64) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if limit > 0 && int64(len(m.items)) >= limit {
		return ErrFull
	}
	named := map[string]string{}
	for _, e := range es {
		if e.Sum == "" {
			continue
		}
		sum, ok := named[e.ID]
		if was := m.ids[e.ID]; !ok && was != nil {
			sum, ok = was.sum, true
		}
		if ok && sum != e.Sum {
			return &Error{Op: "send", ID: e.ID, Err: ErrReused}
		}
		named[e.ID] = e.Sum
	}
	for _, e := range es {
		if e.Sum != "" && m.ids[e.ID] != nil {
			continue
		}
		e.Body, e.Header = bytes.Clone(e.Body), maps.Clone(e.Header)
		it := &memItem{Entry: e}
		m.enter(it)
		if e.Sum != "" {
			m.ids[e.ID] = &memID{sum: e.Sum, at: time.Now(), live: it.Seq}
		}
	}
	m.bell.Ring()
	return nil
}

// enter puts it behind everything there is. m.mu is held.
func (m *mem) enter(it *memItem) {
	m.seq++
	it.Seq, it.Epoch = m.seq, 0
	m.items[it.Seq] = it
	d := m.dest(it.To)
	if it.Lane == 0 {
		heap.Push(&d.free, it)
		return
	}
	l := d.lane(it.Lane)
	l.keys[it.Key] = append(l.keys[it.Key], it)
}

// leave takes it out of everything but ids. m.mu is held.
func (m *mem) leave(it *memItem) {
	delete(m.items, it.Seq)
	d := m.dest(it.To)
	if it.Lane == 0 {
		heap.Remove(&d.free, it.index)
		return
	}
	l := d.lane(it.Lane)
	q := l.keys[it.Key]
	i := slices.Index(q, it)
	switch {
	case len(q) == 1:
		delete(l.keys, it.Key)
	case i == 0:
		q[0] = nil // the array behind q lives on
		l.keys[it.Key] = q[1:]
	default:
		l.keys[it.Key] = slices.Delete(q, i, i+1)
	}
}

// Settle implements Store.
func (m *mem) Settle(ctx context.Context, rs []Result) (lost []int, err error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	for i, r := range rs {
		if !m.settle(r, now) {
			lost = append(lost, i)
		}
	}
	return lost, nil
}

func (m *mem) settle(r Result, now time.Time) (ok bool) {
	it := m.items[r.Seq]
	if r.Lane > 0 {
		l := m.dest(r.To).lane(r.Lane)
		if !l.lease.Owns(r.Epoch) {
			return false
		}
		switch {
		case r.Verdict == Extend:
			l.lease, ok = l.lease.Renew(r.Epoch, now, r.Lease)
			return ok
		case r.Seq == 0:
			l.lease, ok = l.lease.Release(r.Epoch)
			return ok
		case r.Verdict == HandBack:
			return it != nil
		}
	}
	if it == nil || it.To != r.To || it.Lane != r.Lane {
		return false
	}
	if r.Lane == 0 && !it.lease.Owns(r.Epoch) {
		return false
	}
	switch r.Verdict {
	case Landed:
		m.leave(it)
		if id := m.ids[it.ID]; it.Sum != "" && id != nil {
			id.live = 0
		}
	case Park:
		it.history = AddAttempt(it.history, r.Attempt)
		if !r.Attempt.At.IsZero() {
			it.Attempt++
		}
		m.park(it, r.Reason, now)
		if r.Stop {
			m.stops[memKeyName{it.To, it.Key}] = true
		}
	case Again:
		if r.Lane > 0 && it.Attempt > r.Tried {
			return true
		}
		it.history = AddAttempt(it.history, r.Attempt)
		it.Attempt++
		it.due = now.Add(r.Next)
		it.lease, _ = it.lease.Release(it.lease.Epoch)
	case Extend:
		it.lease, _ = it.lease.Renew(r.Epoch, now, r.Lease)
	case HandBack:
		it.due = time.Time{}
		it.lease, _ = it.lease.Release(r.Epoch)
	default:
		panic(fmt.Sprintf("fireforget: verdict %d", r.Verdict))
	}
	if it.Lane == 0 && m.items[it.Seq] == it {
		heap.Fix(&m.dest(it.To).free, it.index)
	}
	return true
}

// park moves it to the dead letters. m.mu is held.
func (m *mem) park(it *memItem, reason string, now time.Time) {
	m.leave(it)
	m.pos++
	m.dead = append(m.dead, &memDead{
		DeadLetter: DeadLetter{Item: it.Item, Pos: m.pos, ParkedAt: now, Reason: reason, History: it.history},
		sum:        it.Sum, lane: it.Lane,
	})
	if id := m.ids[it.ID]; it.Sum != "" && id != nil {
		id.live = -m.pos
	}
}

// Forget implements Store.
func (m *mem) Forget(_ context.Context, before time.Time, limit int) (n int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k, id := range m.ids {
		if n == limit {
			break
		}
		if id.live == 0 && id.at.Before(before) {
			delete(m.ids, k)
			n++
		}
	}
	return n, nil
}

// memHeap orders items with no key by when they can be claimed.
type memHeap []*memItem

func (h memHeap) Len() int { return len(h) }
func (h memHeap) Less(i, j int) bool {
	a, b := h[i].at(), h[j].at()
	if a.Equal(b) {
		return h[i].Seq < h[j].Seq
	}
	return a.Before(b)
}
func (h memHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *memHeap) Push(x any) {
	it := x.(*memItem)
	it.index = len(*h)
	*h = append(*h, it)
}
func (h *memHeap) Pop() any {
	old := *h
	it := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return it
}

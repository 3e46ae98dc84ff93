package pubsub

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"maps"
	"sort"
	"sync"
	"time"

	"github.com/crosstie/crosstie/internal/cursor"
	"github.com/crosstie/crosstie/internal/lease"
	"github.com/crosstie/crosstie/internal/wake"
)

// Mem is a [Log] and a [Groups] in memory, for tests and for events that need
// not survive the process. It has no transactions: PublishTx answers
// [ErrNoTx].
type Mem struct {
	bells wake.Bells
	life  string

	mu     sync.Mutex // guards all below
	topics map[string]*memTopic
	groups map[memGroupKey]*memGroup
	epoch  int64 // the last of groups that were dropped
	pos    int64
	dead   []*DeadLetter // by Pos
}

type memTopic struct {
	n    int64 // its number
	gone int64 // how many of the first events were trimmed
	ms   []Message
	last time.Time
}

type memGroupKey struct{ topic, group string }

type memGroup struct{ shards []*memShard }

type memShard struct {
	cursor Cursor
	saved  time.Time
	lease  lease.Lease
	died   int
	tries  int
}

// NewMem returns an empty log.
func NewMem() *Mem {
	var life [cursor.Life / 2]byte
	_, _ = rand.Read(life[:])
	return &Mem{life: hex.EncodeToString(life[:]), topics: map[string]*memTopic{}, groups: map[memGroupKey]*memGroup{}}
}

// Appended implements [Log].
func (m *Mem) Appended(topic string) <-chan struct{} { return m.bells.Of(topic).Listen() }

// Wake makes the subscriptions of topic look now.
func (m *Mem) Wake(topic string) { m.bells.Of(topic).Ring() }

func (m *Mem) topic(name string) *memTopic {
	t := m.topics[name]
	if t == nil {
		t = &memTopic{n: int64(len(m.topics)) + 1}
		m.topics[name] = t
	}
	return t
}

func (m *Mem) cursor(t *memTopic, pos int64) Cursor {
	return Cursor(cursor.Place{Life: m.life, Topic: t.n, Pos: pos}.String())
}

// memHold is how far the clock may be set back before log time follows it.
const memHold = time.Hour

func (t *memTopic) head() int64 { return t.gone + int64(len(t.ms)) }

// Append implements [Log].
func (m *Mem) Append(ctx context.Context, topic string, ms []Message) (int, error) {
	if err := context.Cause(ctx); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.topic(topic)
	if now := time.Now().UTC(); now.After(t.last) || now.Before(t.last.Add(-memHold)) {
		t.last = now
	}
	for _, msg := range ms {
		msg.Data, msg.Header = bytes.Clone(msg.Data), maps.Clone(msg.Header)
		msg.Cursor, msg.Appended = m.cursor(t, t.head()+1), t.last
		t.ms = append(t.ms, msg)
	}
	m.bells.Of(topic).Ring()
	return len(ms), nil
}

// place checks a cursor of topic. m.mu is held.
func (m *Mem) place(t *memTopic, c Cursor) (int64, error) {
	p, ok := cursor.Parse(string(c))
	if !ok {
		return 0, BadCursor("is not one of a log")
	}
	if p.Life != m.life {
		return 0, &GoneError{After: c, Oldest: m.cursor(t, t.gone), Missing: -1, Why: "the cursor is of another log, or of one that was made anew"}
	}
	if p.Topic != t.n {
		return 0, BadCursor("is of another topic")
	}
	switch {
	case p.Pos < t.gone:
		return 0, &GoneError{After: c, Oldest: m.cursor(t, t.gone), Missing: t.gone - p.Pos, Why: "they were trimmed"}
	case p.Pos > t.head():
		return 0, &GoneError{After: c, Oldest: m.cursor(t, t.gone), Missing: -1, Why: "the log ends before the cursor, as after a restore from a backup"}
	}
	return p.Pos, nil
}

// Read implements [Log].
func (m *Mem) Read(ctx context.Context, topic string, r Read) (Batch, error) {
	if err := context.Cause(ctx); err != nil {
		return Batch{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.topic(topic)
	pos, err := m.place(t, r.After)
	if err != nil {
		return Batch{}, err
	}
	b := Batch{Through: r.After}
	size := 0
	for _, msg := range t.ms[pos-t.gone:] {
		if ShardOf(msg, r.Shards) == r.Shard || r.Shards < 2 {
			if len(b.Messages) >= r.Max || size+len(msg.Data) > r.MaxBytes && len(b.Messages) > 0 {
				break
			}
			size += len(msg.Data)
			b.Messages = append(b.Messages, copyOf(msg))
		}
		b.Through = msg.Cursor
	}
	return b, nil
}

// copyOf gives a reader something of its own.
func copyOf(m Message) Message {
	m.Data, m.Header = bytes.Clone(m.Data), maps.Clone(m.Header)
	return m
}

// Find implements [Log].
func (m *Mem) Find(ctx context.Context, topic string, s Start) (Cursor, error) {
	if err := context.Cause(ctx); err != nil {
		return "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.topic(topic)
	switch {
	case s.After != "":
		_, err := m.place(t, s.After)
		return s.After, err
	case s.Latest:
		return m.cursor(t, t.head()), nil
	case !s.Since.IsZero():
		n := sort.Search(len(t.ms), func(i int) bool { return !t.ms[i].Appended.Before(s.Since) })
		return m.cursor(t, t.gone+int64(n)), nil
	}
	return m.cursor(t, t.gone), nil
}

// Behind implements [Log].
func (m *Mem) Behind(ctx context.Context, topic string, c Cursor) (int64, time.Time, error) {
	if err := context.Cause(ctx); err != nil {
		return 0, time.Time{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.topic(topic)
	pos, err := m.place(t, c)
	if err != nil || pos == t.head() {
		return 0, time.Time{}, err
	}
	return t.head() - pos, t.ms[pos-t.gone].Appended, nil
}

// Trim implements [Log].
func (m *Mem) Trim(ctx context.Context, topic string, r Retention, max int) (int, error) {
	if err := context.Cause(ctx); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.topic(topic)
	n := 0
	if r.Age > 0 {
		cut := time.Now().Add(-r.Age)
		for n < len(t.ms) && t.ms[n].Appended.Before(cut) {
			n++
		}
	}
	if over := len(t.ms) - int(min(r.Count, int64(len(t.ms)))); r.Count > 0 && over > n {
		n = over
	}
	if !r.DropUnread {
		for k, g := range m.groups {
			if k.topic != topic {
				continue
			}
			for _, s := range g.shards {
				if p, ok := cursor.Parse(string(s.cursor)); ok && p.Life == m.life {
					n = min(n, int(p.Pos-t.gone))
				}
			}
		}
	}
	n = min(n, max)
	if n <= 0 {
		return 0, nil
	}
	t.ms = append([]Message(nil), t.ms[n:]...)
	t.gone += int64(n)
	return n, nil
}

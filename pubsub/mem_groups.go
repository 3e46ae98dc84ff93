package pubsub

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/crosstie/crosstie/internal/cursor"
	"github.com/crosstie/crosstie/internal/lease"
)

// Create implements [Groups].
func (m *Mem) Create(ctx context.Context, g Group, c Cursor) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	k := memGroupKey{g.Topic, g.Name}
	if was := m.groups[k]; was != nil {
		if len(was.shards) != g.Shards {
			return ErrShards
		}
		return nil
	}
	if err := m.kept(g.Topic, c); err != nil {
		return err
	}
	m.groups[k] = newMemGroup(g.Shards, c, m.epoch)
	return nil
}

// kept reports whether a group may begin at c: a cursor of this log has what
// follows it. m.mu is held.
func (m *Mem) kept(topic string, c Cursor) error {
	p, ok := cursor.Parse(string(c))
	t := m.topics[topic]
	if !ok || p.Life != m.life || t == nil {
		return nil // of another log, which knows
	}
	_, err := m.place(t, c)
	return err
}

func newMemGroup(shards int, c Cursor, epoch int64) *memGroup {
	g := &memGroup{}
	for range shards {
		g.shards = append(g.shards, &memShard{cursor: c, saved: time.Now().UTC(), lease: lease.Lease{Epoch: epoch}})
	}
	return g
}

// free returns the largest epoch of g, or ErrHeld. m.mu is held.
func (g *memGroup) free() (epoch int64, err error) {
	now := time.Now()
	for _, s := range g.shards {
		if s.lease.Held(now) {
			return 0, ErrHeld
		}
		epoch = max(epoch, s.lease.Epoch)
	}
	return epoch, nil
}

// Seek implements [Groups].
func (m *Mem) Seek(ctx context.Context, g Group, c Cursor) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.kept(g.Topic, c); err != nil {
		return err
	}
	k := memGroupKey{g.Topic, g.Name}
	if err := m.drop(k); err != nil {
		return err
	}
	m.groups[k] = newMemGroup(g.Shards, c, m.epoch)
	return nil
}

// drop removes a group that nobody reads. What is made later has an epoch
// above any of it: a claim of this one must not fit that one. m.mu is held.
func (m *Mem) drop(k memGroupKey) error {
	if g := m.groups[k]; g != nil {
		epoch, err := g.free()
		if err != nil {
			return err
		}
		m.epoch = max(m.epoch, epoch+1)
	}
	delete(m.groups, k)
	return nil
}

// Drop implements [Groups].
func (m *Mem) Drop(ctx context.Context, topic, group string) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.drop(memGroupKey{topic, group})
}

// States implements [Groups].
func (m *Mem) States(ctx context.Context, topic, group string) (states []State, err error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	keys := slices.SortedFunc(maps.Keys(m.groups), func(a, b memGroupKey) int { return strings.Compare(a.group, b.group) })
	for _, k := range keys {
		if k.topic != topic || group != "" && k.group != group {
			continue
		}
		g := m.groups[k]
		for i, s := range g.shards {
			states = append(states, State{
				Claim: Claim{
					Group: Group{k.topic, k.group, len(g.shards)}, Shard: i, Epoch: s.lease.Epoch, Cursor: s.cursor,
					Died: s.died, Tries: s.tries,
				},
				Owner: s.lease.Owner, Until: s.lease.Until, Saved: s.saved,
			})
		}
	}
	return states, nil
}

// shard returns a shard of a group. m.mu is held.
func (m *Mem) shard(g Group, n int) (*memShard, error) {
	was := m.groups[memGroupKey{g.Topic, g.Name}]
	if was == nil || len(was.shards) != g.Shards || n < 0 || n >= g.Shards {
		return nil, ErrShards
	}
	return was.shards[n], nil
}

// Claim implements [Groups].
func (m *Mem) Claim(ctx context.Context, g Group, n int, owner string, d time.Duration) (Claim, error) {
	if err := context.Cause(ctx); err != nil {
		return Claim{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.shard(g, n)
	if err != nil {
		return Claim{}, err
	}
	l, ok := s.lease.Claim(owner, time.Now(), d)
	if !ok {
		return Claim{}, ErrHeld
	}
	if !s.lease.Until.IsZero() {
		s.died++
	}
	s.lease = l
	return Claim{Group: g, Shard: n, Epoch: l.Epoch, Cursor: s.cursor, Died: s.died, Tries: s.tries}, nil
}

// owned returns the shard of c, or ErrLost. m.mu is held.
func (m *Mem) owned(c Claim) (*memShard, error) {
	s, err := m.shard(c.Group, c.Shard)
	if err != nil || !s.lease.Owns(c.Epoch) {
		return nil, ErrLost
	}
	return s, nil
}

// Save implements [Groups].
func (m *Mem) Save(ctx context.Context, c Claim, d time.Duration) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.owned(c)
	if err != nil {
		return err
	}
	now := time.Now()
	s.lease, _ = s.lease.Renew(c.Epoch, now, d)
	if s.cursor != c.Cursor {
		s.died = 0
	}
	s.cursor, s.tries, s.saved = c.Cursor, c.Tries, now.UTC()
	return nil
}

// Release implements [Groups].
func (m *Mem) Release(ctx context.Context, c Claim) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.owned(c)
	if err == nil {
		s.lease, _ = s.lease.Release(c.Epoch)
		s.died, s.tries = 0, 0
	}
	return err
}

// Park implements [Groups].
func (m *Mem) Park(ctx context.Context, c Claim, ds []DeadLetter) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.owned(c); err != nil {
		return err
	}
	for _, d := range ds {
		d.Message, d.Topic, d.Group = copyOf(d.Message), c.Topic, c.Name
		d.Redriven, d.Discarded = false, ""
		i := slices.IndexFunc(m.dead, func(o *DeadLetter) bool {
			return o.Topic == c.Topic && o.Group == c.Name && (o.Pos == d.Pos || d.Pos == 0 && o.Message.Cursor == d.Message.Cursor)
		})
		switch {
		case d.Pos > 0 && (i < 0 || m.dead[i].Discarded != ""):
			continue // somebody has decided meanwhile
		case i >= 0:
			d.Pos = m.dead[i].Pos
			m.dead[i] = &d
			continue
		}
		m.pos++
		d.Pos = m.pos
		m.dead = append(m.dead, &d)
	}
	return nil
}

// Unpark implements [Groups].
func (m *Mem) Unpark(ctx context.Context, c Claim, pos []int64) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.owned(c); err != nil {
		return err
	}
	m.dead = slices.DeleteFunc(m.dead, func(d *DeadLetter) bool {
		return d.Topic == c.Topic && d.Group == c.Name && slices.Contains(pos, d.Pos)
	})
	return nil
}

func (f *Filter) matches(d *DeadLetter) bool {
	return f.Topic == d.Topic && f.Group == d.Group && (f.Key == "" || f.Key == d.Message.Key) && (f.ID == "" || f.ID == d.Message.ID) &&
		(!f.Redriven || d.Redriven) && f.Discarded == (d.Discarded != "") &&
		(f.Shards < 2 || ShardOf(d.Message, f.Shards) == f.Shard)
}

// Parked implements [Groups].
func (m *Mem) Parked(ctx context.Context, f Filter, after int64, max int) (ds []DeadLetter, err error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range m.dead {
		if len(ds) >= max {
			break
		}
		if d.Pos > after && f.matches(d) {
			c := *d
			c.Message = copyOf(d.Message)
			ds = append(ds, c)
		}
	}
	return ds, nil
}

// ParkedAt implements [Groups].
func (m *Mem) ParkedAt(ctx context.Context, topic, group string, cs []Cursor) (at []Cursor, err error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range m.dead {
		if d.Topic == topic && d.Group == group && slices.Contains(cs, d.Message.Cursor) {
			at = append(at, d.Message.Cursor)
		}
	}
	return at, nil
}

// Redrive implements [Groups].
func (m *Mem) Redrive(ctx context.Context, f Filter) (n int, err error) {
	if err := context.Cause(ctx); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	f.Discarded = false
	for _, d := range m.dead {
		if !d.Redriven && f.matches(d) {
			d.Redriven = true
			n++
		}
	}
	return n, nil
}

// Discard implements [Groups].
func (m *Mem) Discard(ctx context.Context, topic, group, id, reason string) (found bool, err error) {
	if err := context.Cause(ctx); err != nil {
		return false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	f := Filter{Topic: topic, Group: group, ID: id}
	for _, d := range m.dead {
		if id != "" && f.matches(d) { // no ID would be any
			d.Discarded, d.Redriven, found = reason, false, true
			d.Message.Data, d.Message.Header = nil, nil
		}
	}
	return found, nil
}

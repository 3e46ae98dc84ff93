package batchsync

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/crosstie/crosstie/internal/lease"
)

// NewMem returns a Store in memory, for tests and for syncs that begin again
// after a crash.
func NewMem() Store { return &mem{parts: map[[2]string]*memPart{}} }

type mem struct {
	mu    sync.Mutex // guards parts and what they point to
	parts map[[2]string]*memPart
}

type memPart struct {
	lease lease.Lease
	saved Checkpoint
	dead  []DeadRow
}

func (m *mem) Claim(ctx context.Context, sync, partition, owner string, d time.Duration) (Checkpoint, error) {
	if err := ctx.Err(); err != nil {
		return Checkpoint{}, context.Cause(ctx)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	k := [2]string{sync, partition}
	p := m.parts[k]
	if p == nil {
		p = &memPart{saved: Checkpoint{Sync: sync, Partition: partition}}
		m.parts[k] = p
	}
	next, ok := p.lease.Claim(owner, time.Now(), d)
	if !ok {
		return Checkpoint{}, ErrHeld
	}
	p.lease = next
	c := p.saved
	c.Epoch = next.Epoch
	return c, nil
}

func (m *mem) Load(ctx context.Context, sync, partition string) (Checkpoint, error) {
	if err := ctx.Err(); err != nil {
		return Checkpoint{}, context.Cause(ctx)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.parts[[2]string{sync, partition}]
	if p == nil {
		return Checkpoint{Sync: sync, Partition: partition}, nil
	}
	c := p.saved
	c.Epoch = p.lease.Epoch
	return c, nil
}

func (m *mem) Renew(ctx context.Context, c Checkpoint, d time.Duration) error {
	return m.own(ctx, c, func(p *memPart) { p.lease, _ = p.lease.Renew(c.Epoch, time.Now(), d) })
}

func (m *mem) Save(ctx context.Context, c Checkpoint, dead []DeadRow, d time.Duration) error {
	return m.own(ctx, c, func(p *memPart) {
		p.lease, _ = p.lease.Renew(c.Epoch, time.Now(), d)
		p.saved = c
		for _, r := range dead {
			r.Sync, r.Partition, r.Value = c.Sync, c.Partition, slices.Clone(r.Value)
			i, found := slices.BinarySearchFunc(p.dead, r, compareDead)
			if found {
				p.dead[i] = r
			} else {
				p.dead = slices.Insert(p.dead, i, r)
			}
		}
		if c.Done && c.Full {
			p.dead = slices.DeleteFunc(p.dead, func(r DeadRow) bool { return r.Run < c.Run })
		}
	})
}

func (m *mem) Release(ctx context.Context, c Checkpoint) error {
	return m.own(ctx, c, func(p *memPart) { p.lease, _ = p.lease.Release(c.Epoch) })
}

func (m *mem) own(ctx context.Context, c Checkpoint, fn func(*memPart)) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.parts[[2]string{c.Sync, c.Partition}]
	if p == nil || !p.lease.Owns(c.Epoch) {
		return ErrLost
	}
	fn(p)
	return nil
}

func (m *mem) Dead(ctx context.Context, sync string, after DeadRow, limit int) ([]DeadRow, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []DeadRow
	for k, p := range m.parts {
		if k[0] != sync {
			continue
		}
		for _, r := range p.dead {
			if compareDead(r, after) > 0 {
				r.Value = slices.Clone(r.Value)
				out = append(out, r)
			}
		}
	}
	slices.SortFunc(out, compareDead)
	return out[:min(max(limit, 0), len(out))], nil
}

func compareDead(a, b DeadRow) int {
	return cmp.Or(cmp.Compare(a.Run, b.Run), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.N, b.N))
}

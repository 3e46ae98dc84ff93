package inbox

import (
	"context"
	"database/sql"
	"sync"
	"time"

	"github.com/crosstie/crosstie/outcome"
)

// Mem is a [Store] in memory, for tests and single processes. It gives fn a
// nil transaction, so it undoes the record of the id when fn fails but not
// what fn did, and it answers Once with [ErrNoTx]. It keeps ids until Forget.
type Mem struct {
	mu    sync.Mutex // guards what follows
	boxes map[string]*box
}

type box struct {
	ids  map[string]*entry
	mark time.Time
}

// An entry is an id that is being processed until done is closed, and is
// recorded after. A failed one is taken out before done is closed.
type entry struct {
	at     time.Time
	done   chan struct{}
	landed bool // written before done is closed, read after
}

// NewMem returns an empty store.
func NewMem() *Mem { return &Mem{boxes: map[string]*box{}} }

// Do implements [Store].
func (m *Mem) Do(ctx context.Context, inbox, id string, at time.Time, fn func(context.Context, *sql.Tx) error) (bool, error) {
	for {
		e, mine, err := m.claim(ctx, inbox, id, at)
		if err != nil {
			return false, err
		}
		if mine {
			err := m.run(ctx, inbox, id, e, fn)
			return err == nil, err
		}
		select {
		case <-e.done:
			if e.landed {
				return false, nil
			}
		case <-ctx.Done():
			return false, outcome.Error(outcome.NotSent, context.Cause(ctx))
		}
	}
}

// claim returns the entry of id, and whether the caller has to process it.
func (m *Mem) claim(ctx context.Context, inbox, id string, at time.Time) (e *entry, mine bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.box(inbox)
	if at.Before(b.mark) {
		return nil, false, ErrTooOld
	}
	if e, ok := b.ids[id]; ok {
		return e, false, nil
	}
	if ctx.Err() != nil {
		return nil, false, outcome.Error(outcome.NotSent, context.Cause(ctx))
	}
	e = &entry{at: at, done: make(chan struct{})}
	b.ids[id] = e
	return e, true, nil
}

func (m *Mem) run(ctx context.Context, inbox, id string, e *entry, fn func(context.Context, *sql.Tx) error) error {
	// Deferred, because fn may panic or leave by runtime.Goexit.
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if !e.landed {
			delete(m.box(inbox).ids, id)
		}
		close(e.done)
	}()
	if err := fn(ctx, nil); err != nil {
		return err
	}
	e.landed = true
	return nil
}

// Once implements [Store]: it always returns [ErrNoTx].
func (m *Mem) Once(context.Context, *sql.Tx, string, string, time.Time) (bool, error) {
	return false, ErrNoTx
}

// Forget implements [Store]. It keeps ids that are being processed.
func (m *Mem) Forget(_ context.Context, inbox string, before time.Time) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.box(inbox)
	if before.After(b.mark) {
		b.mark = before
	}
	var n int64
	for id, e := range b.ids {
		select {
		case <-e.done:
			if e.at.Before(before) {
				delete(b.ids, id)
				n++
			}
		default:
		}
	}
	return n, nil
}

func (m *Mem) box(inbox string) *box {
	b, ok := m.boxes[inbox]
	if !ok {
		b = &box{ids: map[string]*entry{}}
		m.boxes[inbox] = b
	}
	return b
}

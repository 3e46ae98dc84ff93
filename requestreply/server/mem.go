package server

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/crosstie/crosstie/internal/lease"
	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply"
)

// What NewMemKeys keeps.
const (
	maxMem      = 1 << 17  // keys
	maxMemBytes = 64 << 20 // bodies of answers, in all
)

// NewMemKeys returns keys kept in memory, for tests and for one process whose
// effects may be lost with its keys. Tx gives a nil *sql.Tx to its function,
// since there is no database; a finished answer counts when the function
// returns nil, but what the function did to other memory stays done when it
// returns an error. It keeps up to 131072 keys and refuses another one with
// requestreply.ErrFull until some are forgotten. It keeps up to 64 MiB of
// answers, and another one without its body, as TooLarge.
func NewMemKeys() TxKeys {
	return &mem{keys: map[string]*memKey{}}
}

type mem struct {
	mu    sync.Mutex // guards what follows
	keys  map[string]*memKey
	size  int   // of all bodies
	epoch int64 // the last given; of the whole store, so that forgetting a key resets nothing
}

type memKey struct {
	lease   lease.Lease
	request [32]byte
	reply   *Reply
	until   time.Time // kept until then
}

func (k *memKey) forgettable(now time.Time) bool {
	return !now.Before(k.until) && !k.lease.Held(now)
}

func (m *mem) Claim(ctx context.Context, key string, request [32]byte, d, keep time.Duration) (Claim, error) {
	if err := ctx.Err(); err != nil {
		return Claim{}, outcome.Error(outcome.NotSent, context.Cause(ctx))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	k := m.keys[key]
	if k == nil || k.forgettable(now) {
		if k == nil && len(m.keys) >= maxMem && m.forget(now, maxMem/16) == 0 {
			return Claim{}, fmt.Errorf("%w: %d keys are kept", requestreply.ErrFull, len(m.keys))
		}
		m.drop(key)
		k = &memKey{request: request}
		m.keys[key] = k
	}
	unsettled := !k.lease.Until.IsZero()
	switch {
	case k.request != request && (unsettled || k.reply != nil):
		return Claim{}, ErrReused
	case k.reply != nil:
		return Claim{Key: key, Epoch: k.lease.Epoch, Reply: k.reply.clone()}, nil
	}
	free := k.lease
	free.Epoch = max(free.Epoch, m.epoch)
	next, ok := free.Claim("", now, d)
	if !ok {
		return Claim{}, ErrInFlight
	}
	m.epoch = next.Epoch
	k.lease, k.request, k.until = next, request, now.Add(keep)
	return Claim{Key: key, Epoch: next.Epoch, Abandoned: unsettled}, nil
}

func (m *mem) Renew(_ context.Context, c Claim, d time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	k, ok := m.own(c)
	if !ok {
		return ErrLost
	}
	k.lease, _ = k.lease.Renew(c.Epoch, time.Now(), d)
	return nil
}

func (m *mem) Finish(_ context.Context, c Claim, r Reply) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.finish(c, r)
}

func (m *mem) finish(c Claim, r Reply) error {
	k, ok := m.own(c)
	if !ok {
		return ErrLost
	}
	if m.size+len(r.Body) > maxMemBytes {
		r.Body, r.Missing = nil, TooLarge
	}
	k.reply = r.clone()
	m.size += len(r.Body)
	k.lease, _ = k.lease.Release(c.Epoch)
	return nil
}

func (m *mem) Release(_ context.Context, c Claim) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if k, ok := m.own(c); ok {
		k.lease, _ = k.lease.Release(c.Epoch)
	}
	return nil
}

// own returns the key c claimed, if c still owns it.
func (m *mem) own(c Claim) (*memKey, bool) {
	k := m.keys[c.Key]
	return k, k != nil && k.reply == nil && k.lease.Owns(c.Epoch)
}

func (m *mem) Forget(_ context.Context, max int) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.forget(time.Now(), max), nil
}

func (m *mem) forget(now time.Time, max int) (n int) {
	for key, k := range m.keys {
		if n >= max {
			break
		}
		if k.forgettable(now) {
			m.drop(key)
			n++
		}
	}
	return n
}

func (m *mem) drop(key string) {
	if k := m.keys[key]; k != nil && k.reply != nil {
		m.size -= len(k.reply.Body)
	}
	delete(m.keys, key)
}

// A memTx holds what FinishTx shall store when the function returns nil.
type memTx struct {
	claims  []Claim
	replies []Reply
}

type memTxOf struct{}

func (m *mem) Tx(ctx context.Context, fn func(context.Context, *sql.Tx) error) error {
	var tx memTx
	if err := fn(context.WithValue(ctx, memTxOf{}, &tx), nil); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range tx.claims {
		if _, ok := m.own(c); !ok {
			return outcome.Error(outcome.Refused, ErrLost)
		}
	}
	for i, c := range tx.claims {
		_ = m.finish(c, tx.replies[i])
	}
	return nil
}

func (m *mem) FinishTx(ctx context.Context, _ *sql.Tx, c Claim, r Reply) error {
	tx, ok := ctx.Value(memTxOf{}).(*memTx)
	if !ok {
		return fmt.Errorf("FinishTx outside of Tx: %w", sql.ErrTxDone)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.own(c); !ok {
		return ErrLost
	}
	tx.claims, tx.replies = append(tx.claims, c), append(tx.replies, *r.clone())
	return nil
}

func (r *Reply) clone() *Reply {
	return &Reply{Status: r.Status, Header: r.Header.Clone(), Body: slices.Clone(r.Body), Missing: r.Missing}
}

package remoteinvoke

import (
	"context"
	"sync"
	"time"
)

// NewMemCallbacks returns a store of callbacks in memory, for tests and for
// single processes: after a restart [Pending.Wait] finds out by polling.
func NewMemCallbacks() CallbackStore { return &memCallbacks{said: map[Key]said{}} }

type memCallbacks struct {
	mu   sync.Mutex // guards said
	said map[Key]said
}

type said struct {
	st Status
	at time.Time
}

// Put implements CallbackStore.
func (m *memCallbacks) Put(ctx context.Context, k Key, st Status) (bool, error) {
	if err := context.Cause(ctx); err != nil {
		return false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if was, ok := m.said[k]; ok && !st.Newer(was.st) {
		return false, nil
	}
	m.said[k] = said{st, now()}
	return true, nil
}

// Load implements CallbackStore.
func (m *memCallbacks) Load(ctx context.Context, k Key) (Status, error) {
	if err := context.Cause(ctx); err != nil {
		return Status{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.said[k]
	if !ok {
		return Status{}, ErrNotFound
	}
	return s.st, nil
}

// Forget implements CallbackStore.
func (m *memCallbacks) Forget(ctx context.Context, before time.Time, most int) (n int, err error) {
	if err := context.Cause(ctx); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for k, s := range m.said {
		if n < most && s.at.Before(before) {
			delete(m.said, k)
			n++
		}
	}
	return n, nil
}

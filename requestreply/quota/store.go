package quota

import (
	"context"
	"sync"
	"time"
)

// A Store keeps what is known of allowances, for all processes that share one.
// Package quotatest tests an implementation. Methods may be called concurrently.
type Store interface {
	// Load returns the state of name and its version. Of a name that was never
	// saved both are zero.
	Load(ctx context.Context, name string) (State, int64, error)
	// Save stores s as the state of name if its version is still version, and
	// gives it a larger one. It returns false, and stores nothing, when another
	// was faster. Times are kept to the microsecond.
	Save(ctx context.Context, name string, version int64, s State) (bool, error)
}

// A State is what is known of one allowance.
type State struct {
	// Used is how many calls were taken in the period, by all.
	Used int64
	// Limit is the allowance as the other side last named it; zero when it has
	// not, and then that of New counts.
	Limit int64
	// Until is when the period ends; zero before the first.
	Until time.Time
	// Shut is an instant before which nothing may be taken; zero when there is
	// none.
	Shut time.Time
}

// NewMem returns a Store in memory, for tests and for one process.
func NewMem() Store { return &mem{by: map[string]saved{}} }

type mem struct {
	mu sync.Mutex // guards by
	by map[string]saved
}

type saved struct {
	State
	version int64
}

func (m *mem) Load(ctx context.Context, name string) (State, int64, error) {
	if err := ctx.Err(); err != nil {
		return State{}, 0, context.Cause(ctx)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.by[name]
	return s.State, s.version, nil
}

func (m *mem) Save(ctx context.Context, name string, version int64, s State) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, context.Cause(ctx)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.by[name].version != version {
		return false, nil
	}
	s.Until, s.Shut = s.Until.Truncate(time.Microsecond), s.Shut.Truncate(time.Microsecond)
	m.by[name] = saved{s, version + 1}
	return true, nil
}

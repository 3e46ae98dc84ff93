package coalesce

import (
	"context"
	"sync"

	"github.com/crosstie/crosstie/internal/trips"
	"github.com/crosstie/crosstie/outcome"
)

// A Shared makes one call for all who ask for the same key at the same time.
// Make one per kind of read, and keep it. It is safe for concurrent use and
// has nothing to close.
type Shared[K comparable, V any] struct {
	call func(context.Context, K) (V, error)
	o    SharedOptions

	mu      sync.Mutex             // guards what follows
	flights map[K]*sharedFlight[V] // the calls that can be joined
	running int                    // all calls, those nobody waits for too
}

type sharedFlight[V any] struct {
	flight
	value V // these two stand when it has landed
	err   error
}

// NewShared returns a Shared that asks by call. It panics if call is nil. o may
// be nil. The context of call is nobody's: see the package comment.
func NewShared[K comparable, V any](call func(ctx context.Context, k K) (V, error), o *SharedOptions) *Shared[K, V] {
	if call == nil {
		panic("coalesce: NewShared needs a function to call")
	}
	return &Shared[K, V]{call: call, o: o.withDefaults(), flights: map[K]*sharedFlight[V]{}}
}

// Do returns the value of k: by the call for k that is under way, else by a new
// one. When ctx ends it returns at once, and the call goes on for the others; a
// call that the last of them has left is cancelled, and nobody joins it any
// more. The call's value is returned beside its error as well.
func (s *Shared[K, V]) Do(ctx context.Context, k K) (V, error) {
	var zero V
	if ctx.Err() != nil {
		return zero, left(ctx, outcome.NotSent)
	}
	if err := usable(k); err != nil {
		return zero, err
	}
	pays := trips.Of(ctx)
	if err := pays.Full(); err != nil {
		return zero, err
	}
	f, err := s.join(k, pays)
	if err != nil {
		return zero, err
	}
	select {
	case <-f.done:
		return f.value, f.err
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.landed() {
		return f.value, f.err
	}
	if f.leave(); f.wanted == 0 {
		s.forget(k, f)
	}
	return zero, left(ctx, outcome.Unknown)
}

// join returns the flight for k with the caller counted.
func (s *Shared[K, V]) join(k K, pays *trips.Under) (*sharedFlight[V], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f, ok := s.flights[k]; ok {
		f.wanted++
		f.pays.Join(pays)
		return f, nil
	}
	if s.o.MaxInFlight >= 0 && s.running >= s.o.MaxInFlight {
		return nil, ErrFull
	}
	f := &sharedFlight[V]{flight: flight{done: make(chan struct{}), wanted: 1}}
	if equal(k, k) { // a NaN is found in no map, and could not be deleted
		s.flights[k] = f
	}
	s.running++
	f.pays.Join(pays)
	ctx, cancel := f.depart(s.o.Timeout)
	go s.send(ctx, cancel, k, f)
	return f, nil
}

// forget lets the next caller make a call of its own: the one of f is over, or
// ends for want of callers. s.mu is held.
func (s *Shared[K, V]) forget(k K, f *sharedFlight[V]) {
	if s.flights[k] == f {
		delete(s.flights, k)
	}
}

func (s *Shared[K, V]) send(ctx context.Context, cancel context.CancelFunc, k K, f *sharedFlight[V]) {
	defer cancel()
	perform(func() (v V, err error) {
		if o := s.o.Observer; o != nil {
			ctx = o.Start(ctx, "requestreply.shared")
			err = &PanicError{} // unless it returns
			defer func() { o.End(ctx, "requestreply.shared", err) }()
		}
		return s.call(ctx, k)
	}, func(v V, err error) {
		f.value, f.err = v, err
		s.mu.Lock()
		close(f.done)
		s.forget(k, f)
		s.running--
		unwanted := f.wanted == 0
		s.mu.Unlock()
		if unwanted {
			orphaned(s.o.Logger, err)
		}
	})
}

package fireforget

import (
	"context"
	"fmt"
	"sync"
)

// A Relay delivers what an outbox accepted. Any number of relays, in any
// number of processes, share the messages of one store. A relay only touches
// messages to destinations it has a handler for. Handle and Run are safe for
// concurrent use.
type Relay struct {
	store Store
	o     RelayOptions

	mu      sync.Mutex // guards routes and running
	routes  map[string]*route
	running bool
}

type route struct {
	to string
	d  Deliverer
	o  RouteOptions
}

// NewRelay returns a relay of the messages in store; [Relay.Run] does the
// work. It panics if store is nil.
func NewRelay(store Store, o *RelayOptions) *Relay {
	if store == nil {
		panic("fireforget: NewRelay needs a store: use NewMem or one of sqlstore")
	}
	return &Relay{store: store, o: o.withDefaults(), routes: map[string]*route{}}
}

// Handle delivers messages to the destination to by d, in the manner of
// http.ServeMux: it panics if to is empty or has a handler already, or d is
// nil. It may be called while the relay runs.
func (r *Relay) Handle(to string, d Deliverer, o *RouteOptions) {
	if to == "" {
		panic("fireforget: Handle needs the name of a destination")
	}
	if d == nil {
		panic(fmt.Sprintf("fireforget: Handle(%q) needs a deliverer", to))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.routes[to] != nil {
		panic(fmt.Sprintf("fireforget: Handle(%q): the destination has a handler already", to))
	}
	r.routes[to] = &route{to: to, d: d, o: o.withDefaults()}
}

// Run delivers messages until ctx ends, and then drains: attempts under way
// finish on a context of their own, within RelayOptions.Drain; everything
// else is handed back, so that other relays have it at once and no failure is
// counted. It returns nil after a drain, also when ctx was cancelled. A store
// that fails is tried again for as long as ctx lasts.
//
// Run waits for every deliverer it called; one that ignores its context holds
// it up. A second Run at the same time returns [ErrRunning]. An [*Error] for
// "run" after a drain says that results could not be written: those messages
// will be attempted again.
func (r *Relay) Run(ctx context.Context) error {
	r.mu.Lock()
	if r.running {
		r.mu.Unlock()
		return failed("run", "", ErrRunning)
	}
	r.running = true
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		r.running = false
		r.mu.Unlock()
	}()
	if err := newShift(r, ctx).run(ctx); err != nil {
		return failed("run", "", err)
	}
	return nil
}

func (r *Relay) eachRoute(fn func(*route)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rt := range r.routes {
		fn(rt)
	}
}

package uiupdate

import (
	"container/list"
	"context"
	"fmt"
	"sync"
	"time"
)

// A Fresh keeps values that are loaded on demand, and knows of each how old
// it is. A value no older than FreshOptions.MaxAge is answered from memory;
// an older one is loaded again, once for all who ask; and when that fails, a
// value up to MaxStale old is answered and marked, and one that is older
// never. It is made by [NewFresh] and safe for concurrent use.
//
// What is told by [Fresh.Put] and [Fresh.Invalidate] is not undone by a load
// that began before.
type Fresh[K comparable, V any] struct {
	load  func(context.Context, K) (V, error)
	opts  FreshOptions
	slots chan struct{} // one for each load that runs

	mu      sync.Mutex // guards all below
	entries map[K]*entry[K, V]
	recent  list.List // of *entry, the latest used first
	stats   FreshStats
}

// FreshStats count what a [Fresh] has answered.
type FreshStats struct {
	// Values is how many keys are kept.
	Values int
	// Hits were answered from memory, and Stale of the answers were marked.
	// Refused got ErrTooStale.
	Hits, Stale, Refused int64
	// Loads were begun, Failed of them failed, and Fenced of them were
	// overtaken by a Put or an Invalidate and not kept. Shared is how many
	// callers waited for a load that another had begun.
	Loads, Failed, Fenced, Shared int64
	// Late is how many Puts and Invalidates were older than what was known.
	Late int64
}

// An entry is what is known of one key.
type entry[K comparable, V any] struct {
	key    K
	place  *list.Element
	has    bool // there is a value, or missing
	absent bool // the value is that there is none
	val    V
	at     time.Time // as of when, with this machine's monotonic clock
	fact   time.Time // the as-of of the last Put or Invalidate, by the source's clock
	loaded bool      // the value is from a load and not from a Put
	flight *flight[V]
	err    error     // of the last load, if it failed
	failed time.Time // when
}

// NewFresh returns a Fresh that gets its values from load. It is called with
// a context that has the values of the first caller's and ends after
// FreshOptions.Timeout, whatever becomes of the callers. What it returns was
// right at some time after its call, which is the value's as-of. It returns
// [ErrNotFound] to say that there is none. NewFresh panics if load is nil.
func NewFresh[K comparable, V any](load func(context.Context, K) (V, error), o *FreshOptions) *Fresh[K, V] {
	if load == nil {
		panic("uiupdate: new fresh: no load function")
	}
	d := o.withDefaults()
	return &Fresh[K, V]{load: load, opts: d, slots: make(chan struct{}, d.Loads), entries: map[K]*entry[K, V]{}}
}

// Load returns the value of a key, no older than FreshOptions.MaxAge, or
// marked as stale and no older than MaxStale. Its errors are an [*Error] that
// matches [ErrTooStale] and the cause when a value there was is too old,
// [ErrNotFound] when there is none, the cause of ctx's end, or what load
// returned. The Value of an ErrNotFound says as of when that was so.
func (f *Fresh[K, V]) Load(ctx context.Context, key K) (Value[V], error) {
	return f.get(ctx, key, f.opts.MaxAge, f.opts.MaxStale)
}

// Within is Load for a caller with a limit of its own: the value is no older
// than age, or an error.
func (f *Fresh[K, V]) Within(ctx context.Context, key K, age time.Duration) (Value[V], error) {
	return f.get(ctx, key, max(0, min(age, f.opts.MaxAge)), max(0, age))
}

// Put tells the value of a key as of an instant by the source's clock, as an
// event stream has it. It is left out if it is older than what is known. A
// value that was loaded bears this machine's time: when it is nearer to asOf
// than FreshOptions.Skew nobody knows which is newer, and the key is loaded
// anew. A load that is running is fenced: what it brings is not kept. A zero
// asOf is now.
func (f *Fresh[K, V]) Put(key K, val V, asOf time.Time) {
	f.tell(key, asOf, func(e *entry[K, V], at time.Time) {
		e.has, e.absent, e.loaded, e.val, e.at = true, false, false, val, at
	})
}

// Invalidate tells that the value of a key changed at asOf, by the source's
// clock. What is known from before is forgotten, with anything that was
// loaded, and a load that is running is fenced: whoever asks from now on gets
// what a later load brings. A zero asOf is now.
func (f *Fresh[K, V]) Invalidate(key K, asOf time.Time) {
	f.tell(key, asOf, func(e *entry[K, V], _ time.Time) { e.drop() })
}

func (e *entry[K, V]) drop() {
	var none V
	e.has, e.absent, e.val, e.err = false, false, none, nil
}

// tell takes a fact from the source.
func (f *Fresh[K, V]) tell(key K, asOf time.Time, accept func(*entry[K, V], time.Time)) {
	now := time.Now()
	if asOf.IsZero() {
		asOf = now
	}
	// A fact from a clock that is ahead must not make all after it look late.
	asOf = earlier(asOf, now.Add(f.opts.Skew)).Round(0)
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.entry(key)
	if asOf.Before(e.fact) || e.has && e.loaded && asOf.Before(e.at.Round(0).Add(-f.opts.Skew)) {
		f.stats.Late++
		return
	}
	e.fact = asOf
	if e.flight != nil {
		f.stats.Fenced++
	}
	e.fence()
	if e.has && e.loaded && !asOf.After(e.at.Round(0).Add(f.opts.Skew)) {
		e.drop()
		return
	}
	// The age counts from now by the monotonic clock, so that a clock that is
	// set back makes nothing young.
	accept(e, now.Add(-max(0, now.Round(0).Sub(asOf))))
	e.err = nil
}

// fence makes who waits for a load that is running wait for another.
func (e *entry[K, V]) fence() {
	if fl := e.flight; fl != nil {
		e.flight, fl.landed, fl.fenced = nil, true, true
		close(fl.done)
	}
}

// entry finds or makes the entry of a key, and makes it the latest used.
func (f *Fresh[K, V]) entry(key K) *entry[K, V] {
	e, ok := f.entries[key]
	if ok {
		f.recent.MoveToFront(e.place)
		return e
	}
	e = &entry[K, V]{key: key}
	e.place, f.entries[key] = f.recent.PushFront(e), e
	for f.recent.Len() > f.opts.Size {
		old := f.recent.Remove(f.recent.Back()).(*entry[K, V])
		old.fence() // what it brings has no place to go
		delete(f.entries, old.key)
	}
	return e
}

// Stats returns the counts.
func (f *Fresh[K, V]) Stats() FreshStats {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.stats
	s.Values = f.recent.Len()
	return s
}

// name is a key as an error shows it.
func name[K comparable](key K) string { return fmt.Sprintf("%v", key) }

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

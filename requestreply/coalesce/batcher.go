package coalesce

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/crosstie/crosstie/internal/trips"
	"github.com/crosstie/crosstie/outcome"
)

// A Batcher gathers the keys that are asked for at the same time and fetches
// them with one call. Make one per kind of read, and keep it. It is safe for
// concurrent use and has nothing to close.
type Batcher[K comparable, V any] struct {
	fetch func(context.Context, []K) (map[K]V, error)
	o     BatcherOptions

	mu      sync.Mutex     // guards what follows
	open    *batch[K, V]   // takes keys; nil when there is none
	full    []*batch[K, V] // wait for a place in flight, the oldest first
	running int
	waiting int // keys that somebody waits for, in open and full
}

// A batch is the keys of one fetch.
type batch[K comparable, V any] struct {
	flight
	items  []*item[K, V] // in the order they came, some of them given up
	byKey  map[K]*item[K, V]
	gone   int  // how many of items nobody waits for any more
	ripe   bool // its window is over
	window *time.Timer
}

// An item is one key of a batch.
type item[K comparable, V any] struct {
	key    K
	wanted int // how many wait for it
	value  V   // these two stand when the batch has landed
	err    error
}

// NewBatcher returns a Batcher that asks by fetch. It panics if fetch is nil. o
// may be nil.
//
// fetch is given distinct keys in the order they were first asked for; the
// slice is its own. It returns the values by key; keys that nobody asked for
// are ignored. An error fails every key of the call, unless it is or wraps a
// [KeyErrors]: that one fails the keys it names, the others have their values,
// and a key with neither gets [ErrMissing], or the error when the KeyErrors is
// wrapped in one. Its context is nobody's: see the package comment.
func NewBatcher[K comparable, V any](fetch func(ctx context.Context, keys []K) (map[K]V, error), o *BatcherOptions) *Batcher[K, V] {
	if fetch == nil {
		panic("coalesce: NewBatcher needs a fetch function")
	}
	return &Batcher[K, V]{fetch: fetch, o: o.withDefaults()}
}

// Load returns the value of k, asked for together with the keys that others
// load at the same time. When ctx ends it returns at once; the fetch goes on
// for the others.
func (b *Batcher[K, V]) Load(ctx context.Context, k K) (V, error) {
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
	b.mu.Lock()
	t, err := b.add(k, pays)
	b.added()
	b.mu.Unlock()
	if err != nil {
		return zero, err
	}
	return b.await(ctx, t)
}

// LoadAll returns the values of ks, in as many fetches as it takes. Keys
// without a value are in the error, a [KeyErrors], which is nil when there are
// none; the map holds the others in any case. A key that is named twice counts
// once.
func (b *Batcher[K, V]) LoadAll(ctx context.Context, ks []K) (map[K]V, error) {
	for _, k := range ks {
		if err := usable(k); err != nil {
			return nil, err // no KeyErrors could name it
		}
	}
	pays := trips.Of(ctx)
	full := pays.Full()
	failed := KeyErrors[K]{}
	tickets := make([]ticket[K, V], 0, len(ks))
	seen := make(map[K]struct{}, len(ks))
	b.mu.Lock()
	for _, k := range ks {
		if _, again := seen[k]; again {
			continue
		}
		seen[k] = struct{}{}
		if ctx.Err() != nil {
			failed[k] = left(ctx, outcome.NotSent)
			continue
		}
		if full != nil {
			failed[k] = full
			continue
		}
		t, err := b.add(k, pays)
		if err != nil {
			failed[k] = err
			continue
		}
		tickets = append(tickets, t)
	}
	b.added()
	b.mu.Unlock()

	values := make(map[K]V, len(tickets))
	for _, t := range tickets {
		v, err := b.await(ctx, t)
		if err != nil {
			failed[t.item.key] = err
			continue
		}
		values[t.item.key] = v
	}
	if len(failed) > 0 {
		return values, failed
	}
	return values, nil
}

// A ticket is one caller's wait for one key.
type ticket[K comparable, V any] struct {
	batch *batch[K, V]
	item  *item[K, V]
}

// add puts k into the open batch, for work that pays. b.mu is held; added must
// follow.
func (b *Batcher[K, V]) add(k K, pays *trips.Under) (ticket[K, V], error) {
	var it *item[K, V]
	if b.open != nil {
		it = b.open.byKey[k]
	}
	if it == nil {
		if b.o.MaxWaiting >= 0 && b.waiting >= b.o.MaxWaiting {
			return ticket[K, V]{}, ErrFull
		}
		b.waiting++
	}
	if b.open == nil {
		b.begin()
	}
	t := b.open
	if it == nil {
		it = &item[K, V]{key: k}
		t.items = append(t.items, it)
		t.byKey[k] = it
	}
	it.wanted++
	t.wanted++
	t.pays.Join(pays)
	if len(t.items)-t.gone == b.o.MaxKeys {
		t.window.Stop()
		b.open, b.full = nil, append(b.full, t)
		b.dispatch()
	}
	return ticket[K, V]{t, it}, nil
}

// begin opens a batch. b.mu is held.
func (b *Batcher[K, V]) begin() {
	t := &batch[K, V]{flight: flight{done: make(chan struct{})}, byKey: map[K]*item[K, V]{}}
	b.open = t
	t.window = time.AfterFunc(max(0, b.o.Window), func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		t.ripe = true
		b.dispatch()
	})
}

// added sends what is to be sent after keys were added. b.mu is held.
func (b *Batcher[K, V]) added() {
	if b.open != nil && b.o.Window < 0 {
		b.open.window.Stop()
		b.open.ripe = true
	}
	b.dispatch()
}

// dispatch sends batches while there are places in flight. One whose window is
// over goes on taking keys until there is a place. b.mu is held.
func (b *Batcher[K, V]) dispatch() {
	for b.o.MaxInFlight < 0 || b.running < b.o.MaxInFlight {
		var t *batch[K, V]
		switch {
		case len(b.full) > 0:
			t = b.full[0]
			b.full = slices.Delete(b.full, 0, 1)
		case b.open != nil && b.open.ripe:
			t, b.open = b.open, nil
		default:
			return
		}
		t.compact()
		b.waiting -= len(t.items)
		b.running++
		ctx, cancel := t.depart(b.o.Timeout)
		go b.send(ctx, cancel, t, t.wanted)
	}
}

// send fetches the keys of t.
func (b *Batcher[K, V]) send(ctx context.Context, cancel context.CancelFunc, t *batch[K, V], loads int) {
	defer cancel()
	keys := make([]K, len(t.items))
	for i, it := range t.items {
		keys[i] = it.key
	}
	perform(func() (vs map[K]V, err error) {
		if o := b.o.Observer; o != nil {
			ctx = o.Start(ctx, "requestreply.batch", slog.Int("keys", len(keys)), slog.Int("loads", loads))
			err = &PanicError{} // unless it returns
			defer func() {
				o.End(ctx, "requestreply.batch", err, slog.Int("keys", len(t.items)), slog.Int("loads", loads))
			}()
		}
		return b.fetch(ctx, keys)
	}, func(vs map[K]V, err error) {
		t.answer(vs, err)
		b.mu.Lock()
		close(t.done)
		unwanted := t.wanted == 0
		b.running--
		b.dispatch()
		b.mu.Unlock()
		if unwanted {
			orphaned(b.o.Logger, err)
		}
	})
}

// answer says of each key what the fetch said of it.
func (t *batch[K, V]) answer(vs map[K]V, err error) {
	named, partial := errors.AsType[KeyErrors[K]](err)
	_, bare := err.(KeyErrors[K])
	for _, it := range t.items {
		v, has := vs[it.key]
		switch {
		case err != nil && !partial:
			it.err = err
		case named[it.key] != nil:
			it.err = named[it.key]
		case has:
			it.value = v
		case partial && !bare:
			it.err = err
		default:
			it.err = ErrMissing
		}
	}
}

// await waits for one key.
func (b *Batcher[K, V]) await(ctx context.Context, t ticket[K, V]) (V, error) {
	select {
	case <-t.batch.done:
		return t.item.value, t.item.err
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if t.batch.landed() {
		return t.item.value, t.item.err
	}
	var zero V
	return zero, left(ctx, b.leave(t))
}

// leave takes a caller out of a batch that has not landed, and says what is
// known of the key. What nobody waits for is not sent, and does not pile up
// while fetches hang. b.mu is held.
func (b *Batcher[K, V]) leave(t ticket[K, V]) outcome.Outcome {
	t.item.wanted--
	t.batch.leave()
	if t.batch.cancel != nil {
		return outcome.Unknown
	}
	if t.item.wanted == 0 {
		b.waiting--
		delete(t.batch.byKey, t.item.key)
		if t.batch.gone++; t.batch.gone > len(t.batch.items)/2 {
			t.batch.compact()
		}
	}
	if t.batch.wanted == 0 {
		t.batch.window.Stop()
		if b.open == t.batch {
			b.open = nil
		}
		b.full = slices.DeleteFunc(b.full, func(f *batch[K, V]) bool { return f == t.batch })
	}
	return outcome.NotSent
}

// compact forgets the keys that nobody waits for any more.
func (t *batch[K, V]) compact() {
	t.items = slices.DeleteFunc(t.items, func(it *item[K, V]) bool { return it.wanted == 0 })
	t.gone = 0
}

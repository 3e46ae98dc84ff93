package uiupdate

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/crosstie/crosstie/outcome"
)

// A Kind says what an [Event] is.
type Kind int

const (
	// Reset says that what the reader has is void: begin with nothing. A
	// stream that does not go on from an earlier one begins with it.
	Reset Kind = iota + 1
	// Snapshot has rows of a view that is being sent whole, a part at a time.
	Snapshot
	// Delta has rows that changed.
	Delta
	// Live says that the reader has everything, and up to when the view is
	// complete.
	Live
)

// String returns the name of the kind's event on the wire: "reset",
// "snapshot", "delta" or "live".
func (k Kind) String() string {
	switch k {
	case Reset:
		return "reset"
	case Snapshot:
		return "snapshot"
	case Delta:
		return "delta"
	case Live:
		return "live"
	}
	return fmt.Sprintf("kind(%d)", int(k))
}

// An Event is one step of a watcher's copy of a view.
type Event[K comparable, V any] struct {
	// ID is where the copy is once the event is applied, for another Watch to
	// go on from.
	ID   string
	Kind Kind
	// Changes has the rows of a snapshot or a delta.
	Changes []Change[K, V]
	// AsOf, of a live event, is the instant up to which the view is complete;
	// zero when its feed never said.
	AsOf time.Time
}

// Watch yields the view and then its changes, until ctx ends or the loop is
// left. after is the ID of the last event that was applied, in this process
// and of this view; with "", or an ID that is too old or from elsewhere, the
// first event is a Reset and snapshots follow.
//
// A loop that is slower than the changes gets each row's latest value and not
// those in between. It delays nobody. The last pair has a zero Event and an
// [*Error]: the cause of ctx's end, or [ErrFull].
func (v *View[K, V]) Watch(ctx context.Context, after string) iter.Seq2[Event[K, V], error] {
	return func(yield func(Event[K, V], error) bool) {
		r, err := v.join(after)
		if err != nil {
			yield(Event[K, V]{}, &Error{Op: "watch", Known: outcome.NotSent, Err: err})
			return
		}
		defer v.leave()
		live := false
		for {
			rung := v.bell.Listen()
			out := events[K, V]{epoch: v.epoch}
			v.mu.RLock()
			// A live event is for what no delta says: that a copy is whole
			// again after several, or that the view is complete up to later.
			news := v.seq != r.seq
			all := v.catchUp(r, &out)
			if all && (!live || news && len(out.done) == 0) {
				out.done = append(out.done, Event[K, V]{ID: out.id(position{base: v.seq, head: v.seq}), Kind: Live, AsOf: v.asOf})
			}
			live = all
			v.mu.RUnlock()
			for _, e := range out.done {
				if ctx.Err() != nil {
					break
				}
				if !yield(e, nil) {
					return
				}
			}
			if ctx.Err() == nil && all {
				select {
				case <-rung:
				case <-ctx.Done():
				}
			}
			if ctx.Err() != nil {
				yield(Event[K, V]{}, &Error{Op: "watch", Known: outcome.NotSent, Err: context.Cause(ctx)})
				return
			}
		}
	}
}

// join counts a reader in.
func (v *View[K, V]) join(after string) (*reader, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.readers >= v.opts.MaxReaders {
		return nil, fmt.Errorf("%w: %d streams and watchers", ErrFull, v.readers)
	}
	v.readers++
	return v.begin(after), nil
}

func (v *View[K, V]) leave() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.readers--
}

// events collects the typed events of a watcher.
type events[K comparable, V any] struct {
	epoch string
	rows  []Change[K, V]
	bytes int
	done  []Event[K, V]
}

func (e *events[K, V]) size() int { return e.bytes }

func (e *events[K, V]) row(_ Kind, r *row[K, V]) {
	e.rows = append(e.rows, Change[K, V]{Key: r.key, Value: r.val, Deleted: r.tomb != nil, AsOf: r.asOf})
	e.bytes += len(r.body)
}

func (e *events[K, V]) end(kind Kind, at position) {
	if len(e.rows) > 0 {
		e.done = append(e.done, Event[K, V]{ID: e.id(at), Kind: kind, Changes: e.rows})
	}
	e.rows, e.bytes = nil, 0
}

func (e *events[K, V]) reset(_ string, at position) {
	e.done = append(e.done, Event[K, V]{ID: e.id(at), Kind: Reset})
}

func (e *events[K, V]) id(at position) string { return at.id(e.epoch) }

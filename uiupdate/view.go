package uiupdate

import (
	"bytes"
	"crypto/rand"
	"errors"
	"iter"
	"sync"
	"time"

	"github.com/crosstie/crosstie/internal/wake"
	"github.com/crosstie/crosstie/outcome"
)

// A View is what a screen shows: rows by key, each with the instant as of
// which it is known. It is written from whatever feeds it, and read by any
// number of streams (see [NewHandler]) and watchers, of which none waits for
// another and none makes the writer wait. It is made by [NewView] and safe
// for concurrent use.
//
// A view is kept in memory. Rows are sent as JSON, keys as text: a key is a
// string, an integer or an [encoding.TextMarshaler].
type View[K comparable, V any] struct {
	opts  ViewOptions
	epoch string // names this view in this process, so that ids of others are known as such
	bell  wake.Bell

	mu      sync.RWMutex // guards all below
	rows    table[K, V]
	ring    *ring
	seq     uint64    // of the last frame; 1 is the empty view, 0 is nothing
	asOf    time.Time // the view is complete up to here
	floor   time.Time // of the last reset: what is older and has no row was deleted
	told    time.Time // when a ring frame last said asOf
	readers int
	stats   ViewStats
	scratch []byte
}

// ViewStats count what a [View] has taken. Changes = Applied + Unchanged +
// Late.
type ViewStats struct {
	// Rows is how many rows there are, and Deleted how many deletions are
	// remembered. Readers is how many streams and watchers there are.
	Rows, Deleted, Readers int
	// Changes counts all changes, with those that a Reset implies. Applied of
	// them were made; Unchanged repeated what the view had; Late were older
	// than that, and left out.
	Changes, Applied, Unchanged, Late int64
	// AsOf is the instant up to which the view is complete.
	AsOf time.Time
}

// NewView returns an empty view. It panics if K has no text, which is a
// mistake of the program.
func NewView[K comparable, V any](o *ViewOptions) *View[K, V] {
	checkKey[K]()
	d := o.withDefaults()
	v := &View[K, V]{opts: d, epoch: rand.Text(), ring: newRing(d.Window), seq: 1}
	v.rows.index, v.rows.deleted = map[K]int{}, d.Deleted
	return v
}

// Set gives a row its value as of an instant, by the source's clock. A change
// older than the row is left out and counted, which is no error. The value
// must not be changed afterwards.
func (v *View[K, V]) Set(key K, val V, asOf time.Time) error {
	return v.apply("set", []Change[K, V]{{Key: key, Value: val, AsOf: asOf}})
}

// Delete removes a row as of an instant. The deletion is remembered, so that
// a late change does not bring the row back; see ViewOptions.Deleted.
func (v *View[K, V]) Delete(key K, asOf time.Time) error {
	return v.apply("delete", []Change[K, V]{{Key: key, Deleted: true, AsOf: asOf}})
}

// Apply makes changes in their order, all or, with an error, none. Readers get
// them in one event if they are no more than 32 KiB; when a live event says
// that a reader has all, it has all of them.
func (v *View[K, V]) Apply(changes []Change[K, V]) error { return v.apply("apply", changes) }

func (v *View[K, V]) apply(op string, changes []Change[K, V]) error {
	now := time.Now()
	all := make([]staged[K, V], len(changes))
	for i, c := range changes {
		s, err := v.stage(i, c, now)
		if err != nil {
			return refused(op, c.Key, err)
		}
		all[i] = s
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.fits(all) {
		return &Error{Op: op, Known: outcome.Refused, Err: ErrFull}
	}
	w := v.write()
	for i := range all {
		w.put(&all[i])
	}
	w.done()
	return nil
}

// Reset replaces the content of the view by rows, which are all that the
// source had at asOf. Rows that are not among them are deleted, unless a
// change later than asOf set them. What did not change is not sent again, so
// that a full reading every so often costs the readers nothing; they only
// learn that the view is complete up to asOf.
//
// asOf must be no later than the beginning of the reading, and earlier by as
// much as changes may become visible late at the source. A Reset older than
// the last is left out and counted. It takes a map and no iterator, because a
// source that fails half way must not look like one that ended.
func (v *View[K, V]) Reset(rows map[K]V, asOf time.Time) error {
	now := time.Now()
	all := make([]staged[K, V], 0, len(rows))
	for k, val := range rows {
		s, err := v.stage(len(all), Change[K, V]{Key: k, Value: val, AsOf: asOf}, now)
		if err != nil {
			return refused("reset", k, err)
		}
		all = append(all, s)
	}
	if len(all) == 0 {
		var none K
		if _, err := v.stage(0, Change[K, V]{Key: none, Deleted: true, AsOf: asOf}, now); err != nil {
			return refused("reset", none, err)
		}
	}
	asOf = asOf.Round(0)
	v.mu.Lock()
	defer v.mu.Unlock()
	if asOf.Before(v.floor) {
		v.stats.Changes += int64(len(all))
		v.stats.Late += int64(len(all))
		return nil
	}
	var gone []staged[K, V]
	kept := 0 // rows that are not in the reading, and later
	for k, i := range v.rows.index {
		r := v.rows.at(i)
		if _, ok := rows[k]; ok || r.tomb != nil {
			continue
		}
		if r.asOf.After(asOf) {
			kept++
			continue
		}
		end := bytes.Index(r.body, []byte(`,"value":`))
		gone = append(gone, staged[K, V]{
			Change: Change[K, V]{Key: k, Deleted: true, AsOf: asOf},
			body:   append(bytes.Clone(r.body[:end]), `,"deleted":true`...),
		})
	}
	if len(all)+kept > v.opts.MaxRows {
		return &Error{Op: "reset", Known: outcome.Refused, Err: ErrFull}
	}
	w := v.write()
	for i := range gone {
		w.put(&gone[i])
	}
	for i := range all {
		if r := v.rows.find(all[i].Key); r != nil && bytes.Equal(r.body, all[i].body) {
			v.stats.Changes++
			if asOf.Before(r.asOf) {
				v.stats.Late++
			} else {
				r.asOf = asOf // readers learn it from the live event
				v.stats.Unchanged++
			}
			continue
		}
		w.put(&all[i])
	}
	v.floor = asOf
	w.confirm(asOf, now)
	w.done()
	return nil
}

// Confirm says that the view has every change the source had made at asOf, so
// that readers can tell a quiet source from a broken feed. Call it whenever
// the feed has heard from its source: after each poll, at each heartbeat. An
// asOf before the last, or without meaning, is left out. Readers learn of it
// at most once a second; streams learn the latest with each heartbeat.
func (v *View[K, V]) Confirm(asOf time.Time) {
	now := time.Now()
	if asOf.IsZero() || asOf.After(now.Add(v.opts.MaxAhead)) {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	w := v.write()
	w.confirm(asOf.Round(0), now)
	w.done()
}

// A Value is a value with what is known about it.
type Value[V any] struct {
	// V is the value.
	V V
	// AsOf is the latest instant at which it is known to have been right.
	AsOf time.Time
	// Stale says that the value is older than it should be, and Err why it
	// could not be renewed. Rows of a View are never marked: they are as
	// young as their feed, and AsOf says how young that is.
	Stale bool
	Err   error
}

// Age is how old the value is now.
func (v Value[V]) Age() time.Duration { return max(0, time.Since(v.AsOf)) }

// Load returns a row, or false if there is none.
func (v *View[K, V]) Load(key K) (Value[V], bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	r := v.rows.find(key)
	if r == nil || r.tomb != nil {
		return Value[V]{AsOf: v.asOf}, false
	}
	return v.value(r), true
}

func (v *View[K, V]) value(r *row[K, V]) Value[V] {
	return Value[V]{V: r.val, AsOf: later(r.asOf, v.asOf)}
}

// All returns the rows, in no order. It holds no lock while the loop runs, so
// that a change made meanwhile may or may not be seen; [View.Watch] has an
// order and an end.
func (v *View[K, V]) All() iter.Seq2[K, Value[V]] {
	return func(yield func(K, Value[V]) bool) {
		type pair struct {
			key K
			val Value[V]
		}
		page := make([]pair, 0, blockSize)
		for n := 0; ; n++ {
			v.mu.RLock()
			if n >= len(v.rows.blocks) {
				v.mu.RUnlock()
				return
			}
			page = page[:0]
			for i := range v.rows.blocks[n].rows {
				if r := &v.rows.blocks[n].rows[i]; r.seq > 0 && r.tomb == nil {
					page = append(page, pair{r.key, v.value(r)})
				}
			}
			v.mu.RUnlock()
			for _, p := range page {
				if !yield(p.key, p.val) {
					return
				}
			}
		}
	}
}

// Stats returns the view's counts.
func (v *View[K, V]) Stats() ViewStats {
	v.mu.RLock()
	defer v.mu.RUnlock()
	s := v.stats
	s.Rows, s.Deleted, s.Readers, s.AsOf = v.rows.live(), v.rows.tombs.Len(), v.readers, v.asOf
	return s
}

// fits says whether there is room for the rows that changes would add.
func (v *View[K, V]) fits(all []staged[K, V]) bool {
	if v.rows.live()+len(all) <= v.opts.MaxRows {
		return true
	}
	alive := map[K]bool{}
	n := v.rows.live()
	for _, s := range all {
		was, ok := alive[s.Key]
		if r := v.rows.find(s.Key); !ok && r != nil {
			was = r.tomb == nil
		}
		switch {
		case s.Deleted && was:
			n--
		case !s.Deleted && !was:
			n++
		}
		alive[s.Key] = !s.Deleted
		if n > v.opts.MaxRows {
			return false
		}
	}
	return true
}

// refused wraps the error of a change once, at the border of the package.
func refused[K comparable](op string, key K, err error) error {
	text, bad := keyText(key)
	if f, ok := errors.AsType[*FieldError](err); bad != nil || ok && f.Field == "Key" {
		text = ""
	}
	return &Error{Op: op, Key: text, Known: outcome.NotSent, Err: err}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

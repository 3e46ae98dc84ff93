package uiupdate

import (
	"container/list"
	"time"
)

// blockSize is how many rows share a version in what a reader remembers of
// its own progress, and are read in one step.
const blockSize = 64

// A row is a slot of the table: free, alive, or a deletion that is remembered.
type row[K comparable, V any] struct {
	key  K
	val  V
	body []byte // its JSON up to the as-of: {"key":"a","value":1
	asOf time.Time
	seq  uint64        // of its last change; 0 in a slot that is free
	tomb *list.Element // set when the row is deleted
}

// A block is a run of rows that never move.
type block[K comparable, V any] struct {
	rows [blockSize]row[K, V]
	last uint64 // the largest seq of its rows
	gone uint64 // the largest seq of its deletions that are forgotten
}

// A table holds the rows in blocks, so that what changed since a version is
// found without a list of changes: a block whose last is not newer has none.
type table[K comparable, V any] struct {
	blocks  []*block[K, V]
	index   map[K]int
	free    []int
	used    int       // slots ever used
	tombs   list.List // of int, the longest deleted first
	deleted int       // how many deletions are remembered
}

// live is the number of rows that are not deleted.
func (t *table[K, V]) live() int { return len(t.index) - t.tombs.Len() }

func (t *table[K, V]) at(i int) *row[K, V] { return &t.blocks[i/blockSize].rows[i%blockSize] }

// find returns the row of a key, alive or deleted, or nil.
func (t *table[K, V]) find(k K) *row[K, V] {
	if i, ok := t.index[k]; ok {
		return t.at(i)
	}
	return nil
}

// put writes a change of version seq into its row.
func (t *table[K, V]) put(c *staged[K, V], seq uint64) *row[K, V] {
	i, ok := t.index[c.Key]
	if !ok {
		i = t.slot()
		t.index[c.Key] = i
	}
	r := t.at(i)
	tomb := r.tomb
	*r = row[K, V]{key: c.Key, val: c.Value, body: c.body, asOf: c.AsOf, seq: seq}
	t.blocks[i/blockSize].last = seq
	if tomb != nil {
		t.tombs.Remove(tomb)
	}
	if c.Deleted {
		r.tomb = t.tombs.PushBack(i)
	}
	return r
}

// slot finds room for a new row.
func (t *table[K, V]) slot() int {
	if n := len(t.free); n > 0 {
		i := t.free[n-1]
		t.free = t.free[:n-1]
		return i
	}
	if t.used == len(t.blocks)*blockSize {
		t.blocks = append(t.blocks, new(block[K, V]))
	}
	t.used++
	return t.used - 1
}

// forget drops the longest deleted rows that are over the bound. Whoever has
// not heard of one by then cannot be told any more, which gone remembers.
func (t *table[K, V]) forget() {
	for t.tombs.Len() > t.deleted {
		i := t.tombs.Remove(t.tombs.Front()).(int)
		r, b := t.at(i), t.blocks[i/blockSize]
		b.gone = max(b.gone, r.seq)
		delete(t.index, r.key)
		*r = row[K, V]{}
		t.free = append(t.free, i)
	}
}

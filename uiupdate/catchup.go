package uiupdate

// A sink takes what a reader is given: rows, and between them the ends of
// events.
type sink[K comparable, V any] interface {
	row(kind Kind, r *row[K, V])
	end(kind Kind, at position)
	reset(why string, at position)
	size() int // bytes of the event that is open
}

// A reader is one stream's or watcher's progress. While it catches up it has
// a version for each block, so that it is never given an older value after a
// newer one, nor one value twice; streams at rest have their place in the
// ring instead.
type reader struct {
	why   string // a reset is due, for this reason
	pos   []uint64
	base  uint64 // every block was read at this version or later
	head  uint64 // the version at which this round over the blocks began
	block int    // the next of them
	seq   uint64 // the version it has been given in full, at rest
	rest  bool
	tail  tail
}

// Reasons of a reset, as its event says them.
const (
	whyNew     = "new"     // it came without an id
	whyUnknown = "unknown" // its id is none of this view: another process, or another view
	whyGone    = "gone"    // it was away for more deletions than are remembered
)

// begin makes a reader that goes on after id.
func (v *View[K, V]) begin(id string) *reader {
	if id == "" {
		return &reader{why: whyNew}
	}
	p, ok := parsePosition(v.epoch, id)
	if !ok || p.head > v.seq || p.block > len(v.rows.blocks) {
		return &reader{why: whyUnknown}
	}
	r := &reader{base: p.base, head: p.head, block: p.block}
	if p.base == p.head {
		r.seq = p.base
	}
	for range p.block {
		r.pos = append(r.pos, p.head)
	}
	return r
}

// again makes a reader begin with nothing.
func (r *reader) again(why string) { *r = reader{why: why} }

// catchUp gives r the next rows it lacks, oldest round first, and reports
// whether r now has all. It holds for one event or little more, so that no
// reader keeps the lock for long. The caller holds the lock for reading.
//
// Blocks are read in turn, each at its newest. Were rows read in the order of
// their changes, a reader slower than the changes would never get to the row
// that changes most.
func (v *View[K, V]) catchUp(r *reader, out sink[K, V]) bool {
	for !v.round(r, out) {
		if r.why == "" {
			return false
		}
	}
	r.base, r.head, r.block, r.seq = v.seq, v.seq, 0, v.seq
	return true
}

func (v *View[K, V]) round(r *reader, out sink[K, V]) (all bool) {
	blocks := v.rows.blocks
	if r.why != "" {
		why := r.why
		*r = reader{head: v.seq}
		out.reset(why, position{head: v.seq})
	}
	for len(r.pos) < len(blocks) {
		r.pos = append(r.pos, r.base)
	}
	if r.block == 0 {
		r.head = v.seq
	}
	kind := Snapshot
	for range blocks {
		if r.block == len(blocks) { // the round is over, the next begins
			out.end(kind, position{base: r.head, head: r.head})
			r.base, r.head, r.block = r.head, v.seq, 0
		}
		b, at := blocks[r.block], &r.pos[r.block]
		now := Delta
		if *at == 0 {
			now = Snapshot
		} else if b.gone > *at {
			out.end(kind, r.position())
			r.again(whyGone)
			return false
		}
		if now != kind {
			out.end(kind, r.position())
			kind = now
		}
		if b.last > *at {
			for i := range b.rows {
				if row := &b.rows[i]; row.seq > *at && (kind == Delta || row.tomb == nil) {
					out.row(kind, row)
				}
			}
		}
		*at = v.seq
		r.block++
		if out.size() >= chunk {
			out.end(kind, r.position())
			if r.block == len(blocks) {
				// Over now, and not when a block more is there: the round
				// would end twice, with one id.
				r.base, r.block = r.head, 0
			}
			return false
		}
	}
	out.end(kind, position{base: v.seq, head: v.seq})
	return true
}

// position is where r is in the middle of a round, or at the end of one.
func (r *reader) position() position {
	if r.block == len(r.pos) {
		return position{base: r.head, head: r.head}
	}
	return position{base: r.base, head: r.head, block: r.block}
}

// Package trips counts, through a context, the calls made for a piece of work.
// It is the mechanics of requestreply's Trips, which the calls that serve
// several pieces of work at once (coalesce) charge too.
package trips

import (
	"cmp"
	"slices"
	"sync"
)

// A Call is where a call went and what part of the program made it.
type Call struct{ Target, Site string }

// A Count is how often a call was made, and how often it was not.
type Count struct {
	Call
	Made, Refused int
}

// maxCalls is how many calls a tally tells apart; the rest count as the zero
// Call.
const maxCalls = 256

// A Tally counts the calls of one piece of work. Its fields are set before use.
type Tally struct {
	Max    int  // zero for no limit, negative for none at all
	Refuse bool // calls over Max are not made
	Sites  bool // tell calls apart by what part of the program made them
	// Over is told of the first call over Max by the goroutine that makes it.
	// It may be nil.
	Over func(c Call)
	Why  func() error // the error of a refused call

	mu      sync.Mutex // guards what follows
	made    int
	refused int
	warned  bool
	calls   map[Call]*Count
}

// Counts says how many calls there were.
func (t *Tally) Counts() (made, refused int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.made, t.refused
}

// Calls lists what was counted, the most frequent first.
func (t *Tally) Calls() []Count {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]Count, 0, len(t.calls))
	for _, c := range t.calls {
		all = append(all, *c)
	}
	slices.SortFunc(all, func(a, b Count) int {
		return cmp.Or(
			cmp.Compare(b.Made+b.Refused, a.Made+a.Refused),
			cmp.Compare(a.Target, b.Target), cmp.Compare(a.Site, b.Site))
	})
	return all
}

// at returns the count of c. t.mu is held.
func (t *Tally) at(c Call) *Count {
	if !t.Sites {
		c.Site = ""
	}
	if _, ok := t.calls[c]; !ok && len(t.calls) >= maxCalls {
		c = Call{}
	}
	n, ok := t.calls[c]
	if !ok {
		if t.calls == nil {
			t.calls = map[Call]*Count{}
		}
		n = &Count{Call: c}
		t.calls[c] = n
	}
	return n
}

// full says whether t refuses the next call. t.mu is held.
func (t *Tally) full() bool { return t.Refuse && t.Max != 0 && t.made >= t.Max }

// take counts a call as made, unless t refuses it; with must it does not.
func (t *Tally) take(c Call, must bool) bool {
	t.mu.Lock()
	if t.full() && !must {
		t.mu.Unlock()
		return false
	}
	t.made++
	t.at(c).Made++
	tell := t.Max != 0 && t.made > t.Max && !t.warned
	t.warned = t.warned || tell
	t.mu.Unlock()
	if tell && t.Over != nil {
		t.Over(c)
	}
	return true
}

// back undoes a take: another tally refused the call.
func (t *Tally) back(c Call) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.made--
	t.at(c).Made--
}

// refuse counts a call that was not made.
func (t *Tally) refuse(c Call) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refused++
	t.at(c).Refused++
}

// full says whether one of ts refuses the next call, and then counts that.
func full(ts []*Tally) (refuser *Tally) {
	for _, t := range ts {
		t.mu.Lock()
		no := t.full()
		t.mu.Unlock()
		if no {
			for _, t := range ts {
				t.refuse(Call{})
			}
			return t
		}
	}
	return nil
}

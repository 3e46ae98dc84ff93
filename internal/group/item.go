package group

// An Item is one caller's part of a round.
type Item[T any] struct {
	Value T

	g          *Group[T]
	state      state
	next, prev *Item[T]
	wake       chan bool // one place: true is the verdict, false is to look at what follows
	err        error
	call       func()
	returned   chan struct{}
	late       bool // its caller's patience is at an end
}

type state uint8

const (
	waiting state = iota // in the queue
	taken                // in a round, and untouched
	begun                // the round works on it
	ended                // the round has worked on it; the verdict is to come
	left                 // its caller went away; nothing of it may run any more
	done                 // it has its verdict
)

func (it *Item[T]) here(call func()) {
	defer func() {
		it.g.mu.Lock()
		if it.state == begun {
			it.state = ended
		}
		it.g.mu.Unlock()
		close(it.returned)
	}()
	call()
}

// put keeps it for the next caller. Nobody rouses an item that is done, so
// what is left in its channel is stale.
func (g *Group[T]) put(it *Item[T]) {
	select {
	case <-it.wake:
	default:
	}
	var zero T
	it.Value, it.err, it.call, it.returned = zero, nil, nil, nil
	g.pool.Put(it)
}

// Done sets the item's verdict, which its caller gets when the round is over;
// a later verdict replaces it. Only run may call it, for items of its batch.
func (it *Item[T]) Done(err error) { it.err = err }

// Begin says that the round begins to work on items, and returns those whose
// callers have not left: only these it may work on. It returns a part of items.
func (g *Group[T]) Begin(items []*Item[T]) []*Item[T] {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, it := range items {
		if it.state == left {
			stay := append([]*Item[T](nil), items[:i]...)
			for _, it := range items[i:] {
				if it.state != left {
					it.state = begun
					stay = append(stay, it)
				}
			}
			return stay
		}
		it.state = begun
	}
	return items
}

// End says that the round has worked on items, which it began with.
func (g *Group[T]) End(items []*Item[T]) { g.set(items, begun, ended) }

// Again says that what the round did with items is undone, and that it will
// begin with them anew.
func (g *Group[T]) Again(items []*Item[T]) { g.set(items, ended, taken) }

func (g *Group[T]) set(items []*Item[T], from, to state) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, it := range items {
		if it.state == from {
			it.state = to
			if it.late || to == taken {
				it.rouse()
			}
		}
	}
}

// Call is Begin and End with f between them, which is run by the goroutine that
// waits in [Group.Do], where a panic belongs. returned is closed when f has
// ended in whatever way; the round may stop waiting for it earlier. ok is false
// when the caller has left: then f never runs.
func (it *Item[T]) Call(f func()) (returned <-chan struct{}, ok bool) {
	it.g.mu.Lock()
	defer it.g.mu.Unlock()
	if it.state == left {
		return nil, false
	}
	it.state, it.call, it.returned = begun, f, make(chan struct{})
	it.rouse()
	return it.returned, true
}

// rouse has the caller look. It is called under the lock, by the leader only.
func (it *Item[T]) rouse() {
	select {
	case it.wake <- false:
	default:
	}
}

// finish is the last thing the leader does with an item, which belongs to its
// caller from then on. It is called under the lock.
func (it *Item[T]) finish() {
	select {
	case <-it.wake:
	default:
	}
	it.wake <- true
}

func (g *Group[T]) push(it *Item[T]) {
	it.prev, it.next = g.last, nil
	if g.last == nil {
		g.first = it
	} else {
		g.last.next = it
	}
	g.last = it
	g.queued++
}

func (g *Group[T]) remove(it *Item[T]) {
	if it.prev == nil {
		g.first = it.next
	} else {
		it.prev.next = it.next
	}
	if it.next == nil {
		g.last = it.prev
	} else {
		it.next.prev = it.prev
	}
	it.prev, it.next = nil, nil
	g.queued--
}

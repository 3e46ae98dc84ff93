// Package wake tells those who wait for new work that there may be some.
//
// A bell is heard only by those who listened before it rang, so a listener
// takes its channel first and looks for work second: what is added between
// the two closes the channel. A ring that nobody hears costs latency, never
// work, because every listener also polls.
package wake

import (
	"sync"
	"time"
)

// A Bell wakes all who listen. The zero value is ready; it is safe for
// concurrent use and must not be copied.
type Bell struct {
	mu    sync.Mutex
	ch    chan struct{} // closed by the next ring; nil while nobody listens
	until time.Time     // when the rings of RingFor end
	step  time.Duration // the wait before the next of them; 0 while none is due
	timer *time.Timer
}

// Listen returns a channel that the next ring closes.
func (b *Bell) Listen() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch == nil {
		b.ch = make(chan struct{})
	}
	return b.ch
}

// Ring wakes all who listen now.
func (b *Bell) Ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ring()
}

func (b *Bell) ring() {
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
}

// RingFor rings at growing intervals until d has passed: something was
// written in a transaction whose commit nobody reports, and most commits
// follow soon. Asked again meanwhile, it begins anew.
func (b *Bell) RingFor(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	running := b.step > 0
	b.until, b.step = time.Now().Add(d), d/500
	switch {
	case !running:
		b.timer = time.AfterFunc(b.step, b.again)
	case b.timer.Stop():
		b.timer.Reset(b.step)
	default: // again waits for our lock, and goes on with the new step
	}
}

func (b *Bell) again() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ring()
	if !time.Now().Before(b.until) {
		b.step = 0
		return
	}
	b.step += b.step / 2
	b.timer.Reset(b.step)
}

// Bells are a bell for each name. The zero value is ready; it is safe for
// concurrent use and must not be copied. A bell stays once it was asked for.
type Bells struct {
	m sync.Map // name -> *Bell
}

// Of returns the bell of a name.
func (b *Bells) Of(name string) *Bell {
	if bell, ok := b.m.Load(name); ok {
		return bell.(*Bell)
	}
	bell, _ := b.m.LoadOrStore(name, &Bell{})
	return bell.(*Bell)
}

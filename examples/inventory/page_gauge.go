package main

import (
	"context"
	"fmt"
	"net/url"
	"sync"
	"time"
)

// openCounter opens the counter at the near end of a bad network.
func (s *system) openCounter(ctx context.Context) (*counter, error) {
	warehouse, err := s.listen(ctx, "127.0.0.1:0", s.warehouse.handler())
	if err != nil {
		return nil, err
	}
	proxy := newFaultProxy(&url.URL{Scheme: "http", Host: warehouse}, s.c.seed, s.transport())
	c := &counter{s: s, network: &cut{next: proxy}}
	at, err := s.listen(ctx, "127.0.0.1:0", c.network)
	if err != nil {
		return nil, err
	}
	c.shop = newShop("http://"+at, s.transport(), s.c.wait)
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	c.life = life
	s.onClose(func() error { end(); c.work.Wait(); return nil })
	return c, nil
}

// gaugeEvery is how often the board is brought up to date with what is counted elsewhere.
const gaugeEvery = 200 * time.Millisecond

// watch keeps the board true until the system is closed.
func (s *system) watch(ctx context.Context, c *counter, p *page, load []tally) {
	ctx, end := context.WithCancel(context.WithoutCancel(ctx))
	var work sync.WaitGroup
	var in, done, unchanged, failed, parked int64
	for _, t := range load {
		in, done, unchanged, failed, parked = in+t.In, done+t.Done, unchanged+t.Unchanged, failed+t.Failed, parked+t.Parked
	}
	s.board.counts("batchsync", in, done, unchanged, failed, parked)
	s.board.now("batchsync", "The catalogue is in the warehouse; a second run moves what changed.")
	s.board.event("batchsync", fmt.Sprintf("Loaded %s into the warehouse: %d new or changed, %d as before.", plural(in, "row"), done, unchanged))
	work.Go(func() {
		for pause(ctx, gaugeEvery) == nil {
			c.gauge(s.board)
			p.gauge()
			if waiting, err := s.waiting(ctx); err == nil {
				s.gauge(waiting)
			}
		}
	})
	s.onClose(func() error { end(); work.Wait(); return nil })
}

// gauge tells how the orders of the page go.
func (c *counter) gauge(b *board) {
	made, refused, failed := c.made.Load(), c.refused.Load(), c.failed.Load()
	b.counts("requestreply", c.placed.Load(), made, 0, refused+failed, 0)
	switch n := c.open.Load(); {
	case n > 0 && c.network.broken.Load():
		b.now("requestreply", fmt.Sprintf("%s without an answer, tried again under the same key.", plural(n, "order")))
	case n > 0:
		b.now("requestreply", fmt.Sprintf("%s asked, and waited for.", plural(n, "order")))
	default:
		b.now("requestreply", "The shop asks, waits, and repeats under its key what was not answered.")
	}
	c.mu.Lock()
	late := c.late
	c.late = nil
	c.mu.Unlock()
	switch len(late) {
	case 0:
	case 1:
		b.event(kindMended, late[0])
	default:
		b.event(kindMended, fmt.Sprintf("%s settled after all, each once: they had kept their keys.", plural(int64(len(late)), "order")))
	}
	if c.network.broken.Load() {
		b.party(partyNetwork, away, "Nothing gets through. Orders keep their keys, webhooks their place in the outbox, events their place in the log.")
	} else {
		b.party(partyNetwork, well, "It loses a request in ten and an answer in four.")
	}
}

// gauge tells how the webhooks go.
func (s *system) gauge(queues map[string]queue) {
	var sent, pending, parked int64
	for _, q := range queues {
		sent, pending, parked = sent+q.sent, pending+q.pending, parked+q.parked
	}
	s.board.counts("fireforget", sent, sent-pending-parked, 0, 0, parked)
	down := s.receiver != nil && s.receiver.down.Load()
	switch {
	case down && pending > 0:
		s.board.now("fireforget", fmt.Sprintf("%s safe in the outbox until the receiver is back.", plural(pending, "webhook")))
	case pending > 0:
		s.board.now("fireforget", fmt.Sprintf("%s on the way.", plural(pending, "webhook")))
	default:
		s.board.now("fireforget", "Each reservation is told to the auditor and to the notifier.")
	}
	if down {
		s.board.party(partyReceiver, away, "")
	} else {
		s.board.party(partyReceiver, well, "It answers.")
	}
}

// gauge tells how the browsers are kept up to date.
func (p *page) gauge() {
	v := p.stock.Stats()
	p.board.counts("uiupdate", v.Changes, v.Applied, v.Unchanged+v.Late, 0, 0)
	words := "No browser looks."
	if v.Readers > 0 {
		words = fmt.Sprintf("%s shown live in %s.", plural(int64(v.Rows), "product"), plural(int64(v.Readers), "browser"))
	}
	p.board.now("uiupdate", words)
	if lost := p.streams[0].Stats().Dropped + p.streams[1].Stats().Dropped; lost > p.lost {
		p.lost = lost
		p.board.event(kindTrouble, "A browser took nothing for so long that its stream was ended. It costs nobody anything, and resumes if it comes back.")
	}
}

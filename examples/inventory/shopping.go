package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync/atomic"
	"time"
)

// openShop opens the shop at the far end of a bad network.
func (s *story) openShop(ctx context.Context) error {
	warehouse, err := s.listen(ctx, "127.0.0.1:0", s.warehouse.handler())
	if err != nil {
		return err
	}
	s.proxy = newFaultProxy(&url.URL{Scheme: "http", Host: warehouse}, s.c.seed, s.transport())
	network, err := s.listen(ctx, "127.0.0.1:0", s.proxy)
	if err != nil {
		return err
	}
	s.shop = newShop("http://"+network, s.transport(), s.c.wait)
	s.openWindow(s.shop)
	return nil
}

// shopping places the orders of this run through the fault proxy, while people look at the window and a screen is
// watched.
func (s *story) shopping(ctx context.Context) ([]tally, error) {
	skus, err := s.warehouse.skus(ctx)
	if err != nil {
		return nil, err
	}
	if len(skus) == 0 {
		return nil, errors.New("the catalogue is empty: nothing of the input could be loaded, so there is nothing to reserve")
	}
	s.orders = planOrders(skus, s.c.seed, s.c.reservations)
	s.looks = s.look(ctx)
	all := int64(len(s.orders))
	s.bar.start("reserve", all)
	began := time.Now()
	var settled atomic.Int64
	err = s.shop.run(ctx, s.orders, func(o order) {
		n := settled.Add(1)
		s.bar.set(n)
		s.looks.at(o.SKU)
		s.outage(ctx, n, all)
	})
	s.looks.end()
	if s.receiver != nil {
		s.receiver.down.Store(false)
	}
	s.subscribers[subscriberOrg].start(ctx)
	if err != nil {
		return nil, err
	}
	s.bar.end(fmt.Sprintf("%s; the network lost %s and %s, %s after a reservation: each was settled by its key",
		plural(all, "order"), plural(s.proxy.lostRequests.Load(), "request"),
		plural(s.proxy.lostAnswers.Load(), "answer"), plural(s.proxy.lostAfterEffect.Load(), "answer")))
	seen, err := s.looks.tally(ctx)
	return append(s.shop.tallies(all, time.Since(began)), seen), err
}

// outage is what goes wrong on the way, by how many of the orders are settled: our receiver is away for the middle
// third, the subscriber that tells the org is stopped for it, and the screen's stream is cut eight times.
func (s *story) outage(ctx context.Context, settled, of int64) {
	if s.receiver != nil {
		s.receiver.down.Store(settled >= of/3 && settled < of*2/3)
	}
	if settled%max(1, of/screenCuts) == 0 {
		s.screen.cutNow()
	}
	switch settled {
	case max(1, of/3):
		s.subscribers[subscriberOrg].stop()
		s.heard = s.subscribers[subscriberOrg].count()
	case max(1, of*2/3):
		s.subscribers[subscriberOrg].start(ctx)
	}
}

func (s *shop) tallies(orders int64, took time.Duration) []tally {
	slowest := time.Duration(s.slowest.Load())
	return []tally{
		{
			Pattern: "requestreply", What: fmt.Sprintf("ask for stock (slowest answer %s, limit %s)", short(slowest), short(stockDeadline)),
			In: s.questions.Load(), Done: s.answered.Load(), Failed: s.late.Load(), Took: took,
		},
		{
			Pattern: "requestreply", What: "reserve under a key (failed: out of stock)",
			In: orders, Done: s.reserved.Load(), Unchanged: s.already.Load(), Failed: s.refused.Load(), Took: took,
		},
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"sync/atomic"
	"time"
)

// once plays the story: load, reserve over a bad network while the receiver is away for a third of the time, wait
// until everybody was told, and prove it. A run that was killed goes on with -dir: every step may be done again.
func once(ctx context.Context, c config, stdout, stderr io.Writer) (err error) {
	interrupted := ctx.Err
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	s, err := openSystem(ctx, c, stderr, fail)
	if err != nil {
		return err
	}
	bar := newProgress(stderr)
	defer func() {
		bar.clear()
		switch {
		case err == nil:
		case interrupted() != nil:
			err = fmt.Errorf("interrupted; the same command with -dir %s goes on", s.folder.path)
		case ctx.Err() != nil:
			err = about(s.folder.path, context.Cause(ctx))
		}
		if stop := s.close(); err == nil {
			err = stop
		}
	}()
	tallies, err := s.load(ctx, bar, stderr)
	if err != nil {
		return err
	}
	before, err := s.waiting(ctx)
	if err != nil {
		return err
	}
	began := s.deliver(ctx)
	orders, placed, err := s.shopping(ctx, bar)
	if err != nil {
		return err
	}
	told, err := s.telling(ctx, bar, before, began)
	if err != nil {
		return err
	}
	tallies = append(append(tallies, placed...), told...)
	bar.start("check", 0)
	if err := s.check(ctx, orders, tallies); err != nil {
		return err
	}
	bar.end("every invariant holds")
	fmt.Fprintln(stdout)
	if err := printTable(stdout, tallies); err != nil {
		return err
	}
	for _, n := range s.notes {
		fmt.Fprintln(stdout, n)
	}
	return nil
}

// shopping places the orders of this run through the fault proxy.
func (s *system) shopping(ctx context.Context, bar *progress) ([]order, []tally, error) {
	skus, err := s.warehouse.skus(ctx)
	if err != nil {
		return nil, nil, err
	}
	if len(skus) == 0 {
		return nil, nil, errors.New("the catalogue is empty: nothing of the input could be loaded, so there is nothing to reserve")
	}
	warehouse, err := s.listen(ctx, "127.0.0.1:0", s.warehouse.handler())
	if err != nil {
		return nil, nil, err
	}
	proxy := newFaultProxy(&url.URL{Scheme: "http", Host: warehouse}, s.c.seed, s.transport())
	network, err := s.listen(ctx, "127.0.0.1:0", proxy)
	if err != nil {
		return nil, nil, err
	}
	orders := planOrders(skus, s.c.seed, s.c.reservations)
	shop := newShop("http://"+network, s.transport(), s.c.wait)
	bar.start("reserve", int64(len(orders)))
	began := time.Now()
	var settled atomic.Int64
	err = shop.run(ctx, orders, func() {
		n := settled.Add(1)
		bar.set(n)
		s.outage(n, int64(len(orders)))
	})
	if s.receiver != nil {
		s.receiver.down.Store(false)
	}
	if err != nil {
		return nil, nil, err
	}
	bar.end(fmt.Sprintf("%s; the network lost %s and %s, %s after a reservation: each was settled by its key",
		plural(int64(len(orders)), "order"), plural(proxy.lostRequests.Load(), "request"),
		plural(proxy.lostAnswers.Load(), "answer"), plural(proxy.lostAfterEffect.Load(), "answer")))
	return orders, shop.tallies(int64(len(orders)), time.Since(began)), nil
}

// outage has our receiver away while the middle third of the orders is settled.
func (s *system) outage(settled, of int64) {
	if s.receiver != nil {
		s.receiver.down.Store(settled >= of/3 && settled < of*2/3)
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

// queue is what the outbox holds for one destination.
type queue struct{ sent, pending, parked int64 }

// waiting says what the outbox holds, and how many messages the reservations so far have sent.
func (s *system) waiting(ctx context.Context) (map[string]queue, error) {
	var sent int64
	if err := s.warehouse.db.QueryRowContext(ctx, `SELECT count(*) FROM reservation`).Scan(&sent); err != nil {
		return nil, err
	}
	all := map[string]queue{}
	for _, to := range []string{audit, notification} {
		pending, parked, err := s.warehouse.held(ctx, to)
		if err != nil {
			return nil, err
		}
		all[to] = queue{sent, pending, parked}
	}
	return all, nil
}

// telling waits until every message has landed, and says what became of them since the courier began.
func (s *system) telling(ctx context.Context, bar *progress, before map[string]queue, began time.Time) ([]tally, error) {
	now, err := s.waiting(ctx)
	if err != nil {
		return nil, err
	}
	start := now[audit].pending + now[notification].pending
	bar.start("deliver", start)
	look := time.NewTicker(25 * time.Millisecond)
	defer look.Stop()
	patience := time.NewTimer(s.c.wait)
	defer patience.Stop()
	for last := start; last > 0; {
		select {
		case <-look.C:
		case <-patience.C:
			return nil, broken("no message is lost", "%s did not land within %s: is the receiver there? What is not delivered stays in %s",
				plural(last, "webhook"), s.c.wait, s.folder.path)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		if now, err = s.waiting(ctx); err != nil {
			return nil, err
		}
		left := now[audit].pending + now[notification].pending
		if left < last {
			patience.Reset(s.c.wait)
		}
		last = left
		bar.set(start - left)
	}
	tallies := make([]tally, 0, 2)
	for _, to := range []string{audit, notification} {
		was, is := before[to], now[to]
		tallies = append(tallies, tally{
			Pattern: "fireforget", What: "deliver each " + to + " as a signed webhook",
			In: is.sent, Done: s.courier.count(to), Unchanged: was.sent - was.pending - was.parked,
			Parked: is.parked, Unprocessed: is.pending, Took: time.Since(began),
		})
	}
	bar.end(fmt.Sprintf("%s landed, %s failed first and came again",
		plural(s.courier.count(audit)+s.courier.count(notification), "webhook"), plural(s.courier.failures(), "attempt")))
	return tallies, nil
}

// check proves from the databases that the story went as promised.
func (s *system) check(ctx context.Context, orders []order, tallies []tally) error {
	for _, t := range tallies {
		if err := t.check(); err != nil {
			return err
		}
		if t.Pattern == "fireforget" && t.Parked > 0 {
			return broken("no message is lost", "%s are parked, because the receiver refused them: see crosstie_outbox_dead in warehouse.db", plural(t.Parked, "webhook"))
		}
	}
	if err := checkWarehouse(ctx, s.warehouse.db, orders); err != nil {
		return err
	}
	if s.receiver == nil {
		return nil // the journal is outside; who keeps it can check it
	}
	reservations, err := allReservations(ctx, s.warehouse.db)
	if err != nil {
		return err
	}
	return checkJournal(ctx, s.receiver.db, reservations)
}

package main

import (
	"context"
	"fmt"
	"time"
)

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
func (s *story) telling(ctx context.Context) ([]tally, error) {
	now, err := s.waiting(ctx)
	if err != nil {
		return nil, err
	}
	start := now[audit].pending + now[notification].pending
	s.bar.start("deliver", start)
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
		s.bar.set(start - left)
	}
	tallies := make([]tally, 0, 2)
	for _, to := range []string{audit, notification} {
		was, is := s.outbox[to], now[to]
		tallies = append(tallies, tally{
			Pattern: "fireforget", What: "deliver each " + to + " as a signed webhook",
			In: is.sent, Done: s.courier.count(to), Unchanged: was.sent - was.pending - was.parked,
			Parked: is.parked, Unprocessed: is.pending, Took: time.Since(s.began),
		})
	}
	s.bar.end(fmt.Sprintf("%s landed, %s failed first and came again",
		plural(s.courier.count(audit)+s.courier.count(notification), "webhook"), plural(s.courier.failures(), "attempt")))
	return tallies, nil
}

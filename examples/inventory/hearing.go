package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/crosstie/crosstie/pubsub"
)

// heardSoFar says of each subscriber how many events it had taken before this process began: of those with a journal
// in the warehouse what stands there, of the org's what lies before its cursor and is not parked.
func (s *story) heardSoFar(ctx context.Context) (map[string]int64, error) {
	had := map[string]int64{}
	published, err := s.published(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{subscriberCache, subscriberPage} {
		var n int64
		if err := s.warehouse.db.QueryRowContext(ctx, `SELECT count(DISTINCT event) FROM seen WHERE subscriber = ?`, name).Scan(&n); err != nil {
			return nil, err
		}
		had[name] = n
	}
	sub := s.subscribers[subscriberOrg].sub
	lag, err := sub.Lag(ctx)
	if err != nil {
		return nil, err
	}
	had[subscriberOrg] = published - lag.Events
	for _, err := range sub.DeadLetters().All(ctx) {
		if err != nil {
			return nil, err
		}
		had[subscriberOrg]--
	}
	return had, nil
}

func (s *story) published(ctx context.Context) (n int64, err error) {
	for _, err := range s.warehouse.topic.Events(ctx, pubsub.Start{}) {
		if err != nil && !errors.Is(err, pubsub.ErrUnreadable) { // what cannot be read is parked, and counts
			return 0, err
		}
		n++
	}
	return n, nil
}

// hearing waits until each subscriber has nothing left to hear, and says what became of the events.
func (s *story) hearing(ctx context.Context) ([]tally, error) {
	published, err := s.published(ctx)
	if err != nil {
		return nil, err
	}
	s.bar.start("hear", published*int64(len(subscribers)))
	look := time.NewTicker(25 * time.Millisecond)
	defer look.Stop()
	end := time.Now().Add(s.c.wait)
	for last := int64(-1); ; {
		var left int64
		for _, name := range subscribers {
			lag, err := s.subscribers[name].sub.Lag(ctx)
			if err != nil {
				return nil, err
			}
			left += lag.Events
		}
		s.bar.set(published*int64(len(subscribers)) - left)
		if left == 0 {
			break
		}
		if left != last {
			last, end = left, time.Now().Add(s.c.wait)
		}
		if time.Now().After(end) {
			why := s.orgTold()
			if why != "" {
				why = " The org: " + why
			}
			return nil, broken("each subscriber hears each event", "%s were not heard within %s.%s They stay in %s: the same command with that -dir goes on",
				plural(left, "event"), s.c.wait, why, s.folder.path)
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	var tallies []tally
	for _, name := range subscribers {
		sb := s.subscribers[name]
		t := tally{Pattern: "pubsub", What: "tell of each change of stock: " + name, In: published, Done: sb.count(), Took: time.Since(s.began)}
		for d, err := range sb.sub.DeadLetters().All(ctx) {
			if err != nil {
				return nil, err
			}
			if t.Parked++; t.Parked == 1 {
				s.parked = fmt.Sprintf("%s could not take %s of %s: %s", name, d.Message.ID, d.Message.Key, whyParked(d))
			}
		}
		t.Unchanged = s.heardBefore[name]
		tallies = append(tallies, t)
	}
	lost := ""
	if s.ownOrg != nil {
		lost = fmt.Sprintf("; %s of the org went wrong first", plural(s.stumbled(), "call"))
	}
	s.bar.end(fmt.Sprintf("%s, each to %d subscribers; %s was stopped after %s and resumed at its cursor%s",
		plural(published, "event"), len(subscribers), subscriberOrg, plural(s.heard, "event"), lost))
	return tallies, nil
}

// checkEvents proves that each reservation was published once, and that each subscriber inside this program took each
// event once, in the order of its product.
func (s *story) checkEvents(ctx context.Context, reservations []reservation) error {
	if s.parked != "" {
		return broken("each subscriber hears each event", "%s", s.parked)
	}
	events := map[string]stockChanged{} // by id
	byReservation := map[string]string{}
	for e, err := range s.warehouse.topic.Events(ctx, pubsub.Start{}) {
		if err != nil {
			return err
		}
		if other, twice := byReservation[e.Data.Reservation]; twice {
			return broken("each reservation is published once", "%s is told by the events %s and %s", e.Data.Reservation, other, e.ID)
		}
		events[e.ID], byReservation[e.Data.Reservation] = e.Data, e.ID
	}
	for _, r := range reservations {
		if byReservation[r.ID] == "" {
			return broken("each reservation is published", "no event tells of %s", r.ID)
		}
	}
	if len(events) != len(reservations) {
		return broken("an event tells of a reservation", "%d events tell of %d reservations", len(events), len(reservations))
	}
	type note struct {
		subscriber, event, sku string
		number                 int64
	}
	notes, err := queryAll(ctx, s.warehouse.db, func(rows *sql.Rows) (n note, err error) {
		return n, rows.Scan(&n.subscriber, &n.event, &n.sku, &n.number)
	}, `SELECT subscriber, event, sku, number FROM seen ORDER BY n`)
	if err != nil {
		return err
	}
	took := map[string]int{}
	once := map[[2]string]bool{}
	last := map[[2]string]int64{}
	for _, n := range notes {
		if id := [2]string{n.subscriber, n.event}; once[id] {
			return broken("each event takes effect once", "%s took %s twice", n.subscriber, n.event)
		} else {
			once[id] = true
		}
		product := [2]string{n.subscriber, n.sku}
		if n.number != last[product]+1 {
			return broken("a product's events are taken in order", "%s took number %d of %s after number %d", n.subscriber, n.number, n.sku, last[product])
		}
		last[product] = n.number
		took[n.subscriber]++
	}
	for _, name := range []string{subscriberCache, subscriberPage} {
		if took[name] != len(events) {
			return broken("each subscriber hears each event", "%s took %d of %d", name, took[name], len(events))
		}
	}
	return nil
}

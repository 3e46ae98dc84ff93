package main

import (
	"context"
	"fmt"
	"time"

	"github.com/crosstie/crosstie/pubsub"
)

// work starts all that runs beside the shop while the program serves, and keeps the board true of it until the system
// is closed.
func (s *system) work(ctx context.Context) error {
	if err := s.refill(ctx); err != nil {
		return err
	}
	if err := s.renewOrg(ctx); err != nil {
		return err
	}
	s.deliver(ctx)
	for _, name := range subscribers {
		s.subscribers[name].start(ctx)
	}
	s.serveForecasts(ctx)
	s.life.Go(func() { s.confirm(s.lifetime) })
	s.life.Go(func() { s.show(s.lifetime) })
	s.life.Go(func() { s.keepOrg(s.lifetime) })
	return nil
}

// showEvery is how often the board is told what the stores say.
const showEvery = 250 * time.Millisecond

// show tells the board of the patterns whose work has no single place to tell it from.
func (s *system) show(ctx context.Context) {
	parked := map[string]bool{}
	for ok := true; ok; ok = pause(ctx, showEvery) == nil {
		parked = s.showEvents(ctx, parked)
		s.showForecasts()
	}
}

// showEvents says how far each subscriber is. What is counted are the events, once for each subscriber. parked is what
// it returned the last time.
func (s *system) showEvents(ctx context.Context, parked map[string]bool) map[string]bool {
	var reserved, behind, dead, unreadable int64
	if err := s.warehouse.db.QueryRowContext(ctx, `SELECT count(*) FROM reservation`).Scan(&reserved); err != nil {
		return parked
	}
	now := map[string]bool{}
	for _, name := range subscribers {
		sb := s.subscribers[name]
		lag, err := sb.sub.Lag(ctx)
		switch {
		case err != nil:
			return parked
		case !sb.running():
		case lag.Events > 0:
			s.board.subscriber(name, waiting, fmt.Sprintf("%s behind, for %s", plural(lag.Events, "event"), short(lag.Age)))
		default:
			s.board.subscriber(name, well, "has heard all")
		}
		behind += max(0, lag.Events)
		for d, err := range sb.sub.DeadLetters().All(ctx) {
			if err != nil {
				return parked
			}
			dead++
			if d.Reason == "unreadable" {
				unreadable++ // no reservation made it
			}
			what := fmt.Sprintf("The event %s of %s, for the subscriber %s", d.Message.ID, d.Message.Key, name)
			if now[what] = true; !parked[what] {
				s.board.park("pubsub", what, whyParked(d))
			}
		}
	}
	for what := range parked {
		if !now[what] {
			s.board.unpark("pubsub", what)
		}
	}
	in := reserved*int64(len(subscribers)) + unreadable
	s.board.counts("pubsub", in, max(0, in-dead-behind), 0, 0, dead)
	if behind > 0 {
		s.board.now("pubsub", fmt.Sprintf("%s still to be heard, by %d subscribers in all.", plural(behind, "event"), len(subscribers)))
	} else if dead > 0 {
		s.board.now("pubsub", fmt.Sprintf("%s parked; all others were heard by all %d subscribers.", plural(dead, "event"), len(subscribers)))
	} else {
		s.board.now("pubsub", fmt.Sprintf("All %d subscribers have heard of every change.", len(subscribers)))
	}
	return now
}

// whyParked says in words why an event waits for a person.
func whyParked(d pubsub.DeadLetter) string {
	switch d.Reason {
	case "unreadable":
		return "It is of a kind or version that this program does not know, so nothing was guessed. Start a program that knows it, and restart the subscriber. " + d.Error
	case "crashed":
		return fmt.Sprintf("The program died in the middle of it, %d times, so it is kept apart. Mend what is wrong, and restart the subscriber. %s", d.Attempts, d.Error)
	case "exhausted":
		return fmt.Sprintf("It failed %d times, and is not tried again by itself. Mend what is wrong, and restart the subscriber. %s", d.Attempts, d.Error)
	}
	return "It is refused, and would be again. Mend what is wrong, and restart the subscriber. " + d.Error
}

func (s *system) showForecasts() {
	f := &s.forecasts
	f.mu.Lock()
	defer f.mu.Unlock()
	s.board.counts("remoteinvoke", f.started, f.done, 0, f.failed+f.canceled, 0)
	words := "Run the forecast"
	if f.job != nil {
		words = "The forecast runs"
	}
	s.board.flip("forecast", f.job != nil, words)
}

package requestreply

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/crosstie/crosstie/internal/trips"
	"github.com/crosstie/crosstie/outcome"
)

// ErrTrips says that the work has made as many calls as its [TripsOptions]
// allow. Nothing was sent; to come back later is of no use.
var ErrTrips = outcome.TransientError(outcome.NotSent, false,
	errors.New("the budget of calls is used up: ask for more at once, or raise TripsOptions.Max"))

// Trips counts the calls that one piece of work makes, a page load for
// instance: what asks row by row is found out in a test, or before it is slow.
// Get it from [WithTrips]. It is safe for concurrent use.
type Trips struct {
	tally *trips.Tally
	name  string
}

// TripsOptions configure [WithTrips]. A nil *TripsOptions is legal: calls are
// counted, and that is all.
type TripsOptions struct {
	// Name names the work in logs and errors. Keep it free of secrets.
	// Defaults to "work".
	Name string
	// Max is how many calls the work may make. Zero means no limit, a
	// negative value means none.
	Max int
	// Refuse says that calls over Max are not made: they fail with ErrTrips.
	// Otherwise they are made, and Logger is told of the first.
	Refuse bool
	// Sites says to tell the calls apart by the line of the program that makes
	// them, at the price of a look at the stack, some microseconds a call.
	Sites bool
	// Logger receives a warning at the first call over Max that is made. Nil
	// is silent.
	Logger *slog.Logger
}

// A Trip is what [Trips.Calls] lists: one target, called from one place.
type Trip struct {
	// Target is the Op.Target of the calls, a host as a rule. It is empty for
	// those that are not told apart: after 256 different ones, and loads
	// refused before it was known whom they would ask.
	Target string
	// Site is the file and line that made them, with TripsOptions.Sites.
	Site string
	// Made and Refused are how often the call was made, and how often Max
	// forbade it.
	Made, Refused int
}

// WithTrips returns a context under which calls are counted: those of [Run],
// [Endpoint] and [Transport], and the fetches of package coalesce. Work inside
// of other work counts for both. o may be nil.
//
// A call is counted once, however often it is repeated, and also if its guard
// refuses it. A call inside another is the same trip: an Endpoint whose client
// has a Transport makes one, not two. What a redirect or a second call inside
// an attempt adds is counted.
//
// A call that serves several pieces of work, as those of coalesce do, counts
// for each of them, and none can refuse it. It is the load that fails with
// [ErrTrips], if its own work may make no further call when it begins.
func WithTrips(ctx context.Context, o *TripsOptions) (context.Context, *Trips) {
	var v TripsOptions
	if o != nil {
		v = *o
	}
	t := &Trips{tally: &trips.Tally{Max: v.Max, Refuse: v.Refuse, Sites: v.Sites}, name: orText(v.Name, "work")}
	t.tally.Why = func() error {
		made, _ := t.tally.Counts()
		return fmt.Errorf("%s has made %d calls: %w", t.name, made, ErrTrips)
	}
	if v.Logger != nil {
		t.tally.Over = func(c trips.Call) {
			v.Logger.WarnContext(ctx, "requestreply: more calls than planned",
				"work", t.name, "max", max(0, v.Max), "target", c.Target, "site", c.Site)
		}
	}
	return trips.With(ctx, t.tally), t
}

// Made returns how many calls were made until now.
func (t *Trips) Made() int {
	made, _ := t.tally.Counts()
	return made
}

// Refused returns how many calls were not made, because of Max.
func (t *Trips) Refused() int {
	_, refused := t.tally.Counts()
	return refused
}

// Calls lists the calls by target and, with TripsOptions.Sites, by where they
// were made, the most frequent first.
func (t *Trips) Calls() []Trip {
	all := t.tally.Calls()
	list := make([]Trip, len(all))
	for i, c := range all {
		list[i] = Trip{Target: c.Target, Site: c.Site, Made: c.Made, Refused: c.Refused}
	}
	return list
}

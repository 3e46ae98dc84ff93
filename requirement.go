package crosstie

import (
	"errors"
	"fmt"
	"time"
)

// A Requirement describes an integration by what decides between the
// patterns. The zero value is legal and reads: between two systems that are
// not Salesforce, a thousand items a day, one by one, of which none may be
// lost; one listener; the work takes a second; nobody waits, and an hour is
// soon enough. A Requirement is a plain value; [Choose] does not change it.
type Requirement struct {
	// Within is how soon the answer, or the change, must be there. It counts
	// to the end of the work, not to its acceptance. Defaults to 5 seconds
	// when a person waits and to an hour when nobody does. At least a
	// millisecond; at most an hour when a person waits.
	Within time.Duration
	// PersonWaits says that somebody sits in front of it: asks and looks at
	// the clock, or looks on while things change.
	PersonWaits bool
	// Runs is how long the work at the other side takes. Defaults to a
	// second, or to Within where that is shorter. It cannot be longer than
	// Within, when Within is given.
	Runs time.Duration
	// PerDay is how many items move on an ordinary day: questions, messages,
	// rows or changes. Defaults to the greater of 1,000 and PerBurst.
	PerDay int64
	// PerBurst is how many of them come at once. Defaults to 1. It may exceed
	// PerDay: a weekly list comes as one burst of seven days' items.
	PerBurst int64
	// BestEffort says that a lost item does no harm. The zero value is the
	// careful one: delivery is guaranteed.
	BestEffort bool
	// Direction says which way the data or the order to act goes. Defaults to
	// [Between].
	Direction Direction
	// Starts says which side begins. Defaults to [EitherSide].
	Starts Side
	// Listeners is how many receive the same item: systems, or open screens.
	// Defaults to 1.
	Listeners int
	// InPlace says that the data may stay in the system that owns it and be
	// read there: no copy is needed.
	InPlace bool
	// CallsPerDay is how many calls a day the other system allows. Defaults
	// to 100,000 with Salesforce, what an Enterprise organisation has before
	// its licences add to it, and to no limit between other systems.
	CallsPerDay int64
}

// A Direction says which way data, or the order to act, goes.
type Direction int

const (
	// Between two systems of which neither is Salesforce.
	Between Direction = iota
	// IntoSalesforce: from another system into Salesforce.
	IntoSalesforce
	// OutOfSalesforce: from Salesforce to another system.
	OutOfSalesforce
)

// String returns the constant's name in plain words.
func (d Direction) String() string {
	switch d {
	case Between:
		return "between two systems"
	case IntoSalesforce:
		return "into Salesforce"
	case OutOfSalesforce:
		return "out of Salesforce"
	}
	return fmt.Sprintf("direction(%d)", int(d))
}

// A Side says which of the two systems begins.
type Side int

const (
	// EitherSide: not decided, or a clock begins.
	EitherSide Side = iota
	// AskingSide: whoever needs the data or the effect asks for it.
	AskingSide
	// ChangedSide: the system where something happened says so unasked.
	ChangedSide
)

// String returns the constant's name in plain words.
func (s Side) String() string {
	switch s {
	case EitherSide:
		return "either side"
	case AskingSide:
		return "the asking side"
	case ChangedSide:
		return "the changed side"
	}
	return fmt.Sprintf("side(%d)", int(s))
}

// The defaults and limits of a Requirement, all in one place.
const (
	defaultWithinPerson = 5 * time.Second
	defaultWithin       = time.Hour
	defaultRuns         = time.Second
	defaultPerDay       = 1_000
	// An Enterprise or Professional organisation may make 100,000 API
	// requests in 24 hours, and 1,000 more for each licence.
	salesforceCalls = 100_000

	minWithin       = time.Millisecond
	maxPersonWaits  = time.Hour
	maxItems        = 1_000_000_000_000 // what the cost formulas multiply without overflow
	maxListeners    = 1_000_000
	maxPlannedTime  = 366 * 24 * time.Hour
	salesforceEvery = 25_000 // events a day that an Enterprise organisation delivers to API clients
)

// An Error says which field of a [Requirement] makes no sense. Choose returns
// one for each such field, joined.
type Error struct {
	Field string // the field's name in Requirement
	Value string // what it held
	Limit string // what it may hold
	Hint  string // what to do about it
}

// Error names the field, its value, its limit and what to do.
func (e *Error) Error() string {
	return fmt.Sprintf("crosstie: Requirement.%s is %s, want %s: %s", e.Field, e.Value, e.Limit, e.Hint)
}

// check returns every field that makes no sense, by itself or beside another.
// It looks at what the caller wrote: defaults never contradict.
func (r Requirement) check() error {
	var errs []error
	bad := func(field string, value any, limit, hint string) {
		errs = append(errs, &Error{Field: field, Value: fmt.Sprint(value), Limit: limit, Hint: hint})
	}
	count := func(field string, v, most int64, hint string) {
		if v < 0 || v > most {
			bad(field, v, fmt.Sprintf("0 to %s", group(most)), hint)
		}
	}
	if r.Within < 0 || r.Within > 0 && r.Within < minWithin || r.Within > maxPlannedTime {
		bad("Within", r.Within, fmt.Sprintf("0 or %s to %s", minWithin, maxPlannedTime), "say how soon the answer must be there, or leave it out")
	} else if r.PersonWaits && r.Within > maxPersonWaits {
		bad("Within", r.Within, fmt.Sprintf("at most %s while PersonWaits", maxPersonWaits), "nobody waits that long: drop PersonWaits or ask for it sooner")
	}
	if r.Runs < 0 || r.Runs > maxPlannedTime {
		bad("Runs", r.Runs, fmt.Sprintf("0 to %s", maxPlannedTime), "say how long the work takes, or leave it out")
	} else if r.Within > 0 && r.Runs > r.Within {
		bad("Runs", r.Runs, fmt.Sprintf("at most Within, %s", r.Within), "no pattern answers before the work is done: allow more time or shorten the work")
	}
	count("PerDay", r.PerDay, maxItems, "count the items of an ordinary day")
	count("PerBurst", r.PerBurst, maxItems, "count the items that come at once")
	if r.Direction < Between || r.Direction > OutOfSalesforce {
		bad("Direction", int(r.Direction), "Between, IntoSalesforce or OutOfSalesforce", "use one of the constants")
	}
	if r.Starts < EitherSide || r.Starts > ChangedSide {
		bad("Starts", int(r.Starts), "EitherSide, AskingSide or ChangedSide", "use one of the constants")
	}
	count("Listeners", int64(r.Listeners), maxListeners, "count the systems or screens that receive the same item")
	count("CallsPerDay", r.CallsPerDay, maxItems, "say how many calls the other system allows, or leave it out")
	return errors.Join(errs...)
}

// withDefaults fills in what the caller left out.
func (r Requirement) withDefaults() Requirement {
	if r.Within == 0 {
		r.Within = defaultWithin
		if r.PersonWaits {
			r.Within = defaultWithinPerson
		}
	}
	if r.Runs == 0 {
		r.Runs = min(defaultRuns, r.Within)
	}
	if r.PerBurst == 0 {
		r.PerBurst = 1
	}
	if r.PerDay == 0 {
		r.PerDay = max(defaultPerDay, r.PerBurst)
	}
	if r.Listeners == 0 {
		r.Listeners = 1
	}
	if r.CallsPerDay == 0 && r.Direction != Between {
		r.CallsPerDay = salesforceCalls
	}
	return r
}

package batchsync

import (
	"errors"
	"fmt"

	"github.com/crosstie/crosstie/internal/lease"
	"github.com/crosstie/crosstie/outcome"
)

var (
	// ErrHeld: another runner holds the lease of this sync. Nothing was read.
	// Wait for it, or for its lease to run out if it crashed.
	ErrHeld = outcome.TransientError(outcome.NotSent, true,
		errors.New("another runner holds this sync: let it finish, or wait until its lease runs out"))
	// ErrLost: the lease passed to another runner while this one worked, or
	// could not be renewed in time. What this one had not saved, the other
	// does again.
	ErrLost = fmt.Errorf("this runner no longer holds the sync: %w", lease.ErrLost)
	// ErrSchema: source or sink does not have the shape of the row type.
	ErrSchema = errors.New("the data does not have the shape of the row type")
	// ErrCursor: the source cannot go on from the stored position, because it
	// is not the one the position was taken from. [Sync.Reset] forgets it.
	ErrCursor = errors.New("the source cannot go on from the stored position: if it was replaced on purpose, call Reset and run again")
	// ErrIncomplete: the source ended without saying that it was at its end.
	ErrIncomplete = errors.New("the source ended without saying Done: it was cut short, or does not keep the contract of Source")
	// ErrTooManyDead: more rows failed than Options.MaxDead allows.
	ErrTooManyDead = errors.New("more rows failed than Options.MaxDead allows: the input is probably wrong as a whole; fix it, or raise the limit, and run again")
)

// An Error is why a run ended before its source did. What the report counts,
// Unprocessed excepted, is settled; the next Run goes on after it.
type Error struct {
	// Op is what failed: "claim", "read", "write", "save", "check" or "reset".
	Op string
	// Sync is the name of the sync.
	Sync string
	// Rows says what is known of each row of the page in hand. It is nil if
	// none was in hand.
	Rows []Result
	// Err is the cause.
	Err error
}

// Error returns "batchsync: sync: op: cause".
func (e *Error) Error() string { return fmt.Sprintf("batchsync: %s: %s: %v", e.Sync, e.Op, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Outcome returns what is known about the rows in hand as a whole: that of the
// row most likely to have had an effect, and without rows that of the cause.
func (e *Error) Outcome() outcome.Outcome {
	if len(e.Rows) == 0 {
		return outcome.Of(e.Err)
	}
	var all []error
	seen := map[outcome.Outcome]bool{}
	for _, r := range e.Rows {
		if !seen[r.Known] {
			seen[r.Known] = true
			all = append(all, outcome.Error(r.Known, errors.New("row")))
		}
	}
	return outcome.Of(errors.Join(all...))
}

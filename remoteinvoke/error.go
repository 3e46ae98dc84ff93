package remoteinvoke

import (
	"errors"
	"fmt"

	"github.com/crosstie/crosstie/outcome"
)

// Match these with errors.Is; most come wrapped in an [*Error].
var (
	// ErrNotFound says that there is no job of that id, of this caller: it
	// was never accepted, or its id is not remembered any more.
	ErrNotFound = errors.New("no such job of this caller: it was never accepted, or is not remembered any more")
	// ErrGone says that the job has ended, and its result is not kept any
	// more.
	ErrGone = errors.New("the result is not kept any more: fetch it within ServiceOptions.KeepResult")
	// ErrReused says that a job of the same id but another input was accepted
	// before. Give the new job an id of its own.
	ErrReused = errors.New("the id was used before with another input: give this job its own")
	// ErrFull says that as many jobs as may have not ended. Nothing was
	// accepted: start again later.
	ErrFull = errors.New("the service has as many jobs as it may: start again later")
	// ErrInvalid says that an argument breaks a rule, which the text names.
	ErrInvalid = errors.New("invalid")
	// ErrTooLarge says that an input, a result or a saved state is over its
	// limit.
	ErrTooLarge = errors.New("too large")
	// ErrCallback says that the URL to call back is not one that the service
	// allows for this caller.
	ErrCallback = errors.New("this URL is not among those that may be called back for this caller")
	// ErrCanceled says that the job was canceled. It is also the cause of the
	// end of a function's context when its job is asked to cancel.
	ErrCanceled = errors.New("the job was canceled")
	// ErrTimeout is the cause of the end of a function's context when its
	// attempt, or its job, has taken too long.
	ErrTimeout = errors.New("the job took too long")
	// ErrStopping is the cause of the end of a function's context when Run
	// ends: the job is handed back and goes on elsewhere.
	ErrStopping = errors.New("the service stops: the job is handed back")
	// ErrLost says that the lease on a job ran out and another process may
	// have it. It is also the cause of the end of a function's context then.
	ErrLost = errors.New("the job was lost: its lease ran out and another process may have it")
	// ErrNoTx says that the store cannot join a transaction of the caller, or
	// that the transaction is nil.
	ErrNoTx = errors.New("no transaction to join: this needs one, begun in the database of a store of sqlstore")
	// ErrRunning says that Run was called while the service runs.
	ErrRunning = errors.New("the service runs already: make one service for each Run")
)

// An Error is the failure of one operation of this package.
type Error struct {
	// Op is what failed: "start", "status", "result", "cancel", "wait",
	// "resume", "save", "run" or "poll".
	Op string
	// ID is the job's, where there is one.
	ID string
	// Known says whether the operation took effect; for "wait" it speaks of
	// the job. After a start that is Unknown the job may have been accepted:
	// start it again under the same ID.
	Known outcome.Outcome
	// Err is the cause.
	Err error
}

// Error returns the operation, the job's id and the cause, and of a start or a
// cancel what is known and what to do next. It never contains a payload.
func (e *Error) Error() string {
	s := "remoteinvoke: " + e.Op
	if e.ID != "" {
		s += fmt.Sprintf(": job %q", e.ID)
	}
	s += ": " + e.Err.Error()
	switch {
	case e.Op != "start" && e.Op != "cancel":
	case e.Known == outcome.NotSent:
		s += ": nothing was sent"
	case e.Known == outcome.Refused:
		s += ": nothing was accepted"
	case e.Known == outcome.Unknown:
		s += ": whether it was accepted is unknown: " + e.Op + " it again under the same id"
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Outcome returns Known.
func (e *Error) Outcome() outcome.Outcome { return e.Known }

// failed wraps err once, at the border of the package.
func failed(op, id string, err error) error {
	if e, ok := err.(*Error); ok {
		err = e.Err
	}
	return &Error{Op: op, ID: id, Known: knownOf(err), Err: err}
}

// knownOf is the outcome of err, which the errors of this package have where
// err itself says none.
func knownOf(err error) outcome.Outcome {
	if _, says := errors.AsType[interface {
		error
		Outcome() outcome.Outcome
	}](err); says {
		return outcome.Of(err)
	}
	for _, before := range []error{ErrInvalid, ErrTooLarge, ErrNoTx, ErrRunning} {
		if errors.Is(err, before) {
			return outcome.NotSent
		}
	}
	for _, answer := range []error{ErrNotFound, ErrGone, ErrReused, ErrFull, ErrCallback, ErrLost} {
		if errors.Is(err, answer) {
			return outcome.Refused
		}
	}
	return outcome.Of(err)
}

// invalid names what breaks a rule, and the rule.
func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}

// tooLarge names what is over which limit.
func tooLarge(what string, size, limit int) error {
	return fmt.Errorf("%s is %w (%d bytes, limit %d)", what, ErrTooLarge, size, limit)
}

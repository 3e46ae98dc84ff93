package fireforget

import (
	"errors"
	"fmt"

	"github.com/crosstie/crosstie/outcome"
)

// Match these with errors.Is; most come wrapped in an [*Error].
var (
	// ErrFull says that the outbox holds as many messages as it may.
	// Nothing was accepted: send again later, or set OutboxOptions.Wait.
	ErrFull = errors.New("the outbox is full: send again when the relay has caught up")
	// ErrTooLarge says that a payload is over OutboxOptions.MaxBody.
	ErrTooLarge = errors.New("payload too large")
	// ErrInvalid says that a message breaks a rule; a [*FieldError] says which.
	ErrInvalid = errors.New("invalid message")
	// ErrReused says that a message with the same ID but other content was
	// accepted before. Give the new message an ID of its own.
	ErrReused = errors.New("the ID was used before for other content: give this message its own")
	// ErrNoTx says that the store cannot join a transaction of the caller, or
	// that the transaction is nil.
	ErrNoTx = errors.New("no transaction to join: SendTx needs one, begun in the database of a store of sqlstore")
	// ErrLost says that a claim ran out while its holder worked: another
	// relay may attempt the message too.
	ErrLost = errors.New("the claim was lost: it ran out and another relay may have the message")
	// ErrRunning says that Run was called while the relay runs.
	ErrRunning = errors.New("the relay runs already: make one relay for each Run")
)

// An Error is the failure of one operation of this package.
type Error struct {
	// Op is what failed: "send", "run", "receive", "list", "redrive" or
	// "discard".
	Op string
	// ID is the message's, where one message is to blame.
	ID string
	// Known says whether the operation took effect. After a send that is
	// Unknown the message may have been accepted: send it again under the
	// same ID, see [Outbox.Send].
	Known outcome.Outcome
	// Err is the cause.
	Err error
}

// Error returns the operation, the message's ID and the cause, and of a send
// what is known and what to do next. It never contains the payload.
func (e *Error) Error() string {
	s := "fireforget: " + e.Op
	if e.ID != "" {
		s += fmt.Sprintf(": message %q", e.ID)
	}
	s += ": " + e.Err.Error()
	switch {
	case e.Op != "send":
	case e.Known == outcome.NotSent, e.Known == outcome.Refused:
		s += ": nothing was accepted"
	case e.Known == outcome.Unknown:
		s += ": whether it was accepted is unknown: send it again under the same ID"
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Outcome returns Known.
func (e *Error) Outcome() outcome.Outcome { return e.Known }

// A FieldError says which field of a message breaks which rule. It wraps
// [ErrTooLarge] or [ErrInvalid].
type FieldError struct {
	// Field is the name of the field of [Message].
	Field string
	// Size and Limit are set where the rule is a limit: bytes, or entries of
	// a header.
	Size, Limit int64
	// Reason says what is wrong, after the field's name.
	Reason string

	err error
}

// Error names the field, the rule and the limit.
func (e *FieldError) Error() string {
	if e.Limit > 0 {
		return fmt.Sprintf("%s %s (%d, limit %d)", e.Field, e.Reason, e.Size, e.Limit)
	}
	return e.Field + " " + e.Reason
}

// Unwrap returns ErrTooLarge or ErrInvalid.
func (e *FieldError) Unwrap() error { return e.err }

// failed wraps err once, at the border of the package.
func failed(op, id string, err error) error {
	if e, ok := errors.AsType[*Error](err); ok {
		if e.ID != "" {
			id = e.ID
		}
		err = e.Err
	}
	known := outcome.Of(err)
	switch {
	case errors.Is(err, ErrFull), errors.Is(err, ErrTooLarge), errors.Is(err, ErrInvalid), errors.Is(err, ErrNoTx):
		known = outcome.NotSent
	case errors.Is(err, ErrReused):
		known = outcome.Refused
	}
	return &Error{Op: op, ID: id, Known: known, Err: err}
}

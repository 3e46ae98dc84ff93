package pubsub

import (
	"errors"
	"fmt"

	"github.com/crosstie/crosstie/outcome"
)

// Match these with errors.Is; most come wrapped in an [*Error].
var (
	// ErrGone says that the log no longer has what comes after a cursor; a
	// [*GoneError] says how much is missing. See SubscribeOptions.Gone.
	ErrGone = errors.New("the log no longer has what comes after the cursor")
	// ErrLost says that a shard passed on while its holder worked: its lease
	// ran out, or the group's cursor was moved.
	ErrLost = errors.New("the shard was lost: its lease ran out and another process may hold it")
	// ErrHeld says that somebody holds the shard, or a shard of the group.
	ErrHeld = errors.New("the group is being read: stop its subscriptions, or wait for their lease to run out")
	// ErrShards says that the group was made with another number of shards.
	ErrShards = errors.New("the group has another number of shards: run all its subscriptions with the same, or stop them and Seek")
	// ErrTooLarge says that data is over TopicOptions.MaxData, or that one
	// call is given too much.
	ErrTooLarge = errors.New("data too large")
	// ErrInvalid says that an event or an argument breaks a rule; a
	// [*FieldError] says which.
	ErrInvalid = errors.New("invalid event")
	// ErrNoTx says that the log cannot join a transaction of the caller, or
	// that the transaction is nil.
	ErrNoTx = errors.New("no transaction to join: PublishTx needs one, begun in the database of a log of sqlstore")
	// ErrUnreadable says that an event is not of this subscription's type or
	// schema, or that its data does not decode; an [*UnreadableError] says
	// which. Such an event is parked.
	ErrUnreadable = errors.New("the event cannot be read by this program")
	// ErrRunning says that Run was called while the subscription runs.
	ErrRunning = errors.New("the subscription runs already: make one subscription for each Run")
)

// An Error is the failure of one operation of this package.
type Error struct {
	// Op is what failed: "publish", "read", "run", "lag", "seek", "drop",
	// "prune", "list", "redrive" or "discard".
	Op string
	// Topic and Group are whose, as far as there is one.
	Topic, Group string
	// ID is the event's, where one event is to blame.
	ID string
	// Known says whether the operation took effect. After a publish that is
	// Unknown the event may be in the log: publish it again under the same
	// ID, and an inbox on the other side sees a repeat.
	Known outcome.Outcome
	// Err is the cause.
	Err error
}

// Error returns the operation, what it was about and the cause, and of a
// publish what is known and what to do next. It never contains data.
func (e *Error) Error() string {
	s := "pubsub: " + e.Op
	if e.Topic != "" {
		s += fmt.Sprintf(": topic %q", e.Topic)
	}
	if e.Group != "" {
		s += fmt.Sprintf(": group %q", e.Group)
	}
	if e.ID != "" {
		s += fmt.Sprintf(": event %q", e.ID)
	}
	s += ": " + e.Err.Error()
	switch {
	case e.Op != "publish":
	case e.Known == outcome.NotSent, e.Known == outcome.Refused:
		s += ": nothing was published"
	case e.Known == outcome.Unknown:
		s += ": whether it was published is unknown: publish it again under the same ID"
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Outcome returns Known.
func (e *Error) Outcome() outcome.Outcome { return e.Known }

// A FieldError says which field of an event or which argument breaks which
// rule. It wraps [ErrTooLarge] or [ErrInvalid].
type FieldError struct {
	// Field is the name of the field of [Event], or of the argument.
	Field string
	// Size and Limit are set where the rule is a limit: bytes, or a number.
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

// A GoneError says what is missing. It wraps [ErrGone]. Logs return it.
type GoneError struct {
	// After is the cursor that was to be read from, Oldest the one before the
	// oldest event that is kept.
	After, Oldest Cursor
	// Missing is how many events are gone; -1 when the log cannot tell.
	Missing int64
	// Why says what became of them, such as "trimmed" or "of another log".
	Why string
}

// Error says how many events are missing and why.
func (e *GoneError) Error() string {
	if e.Missing >= 0 {
		return fmt.Sprintf("%v: %d events are missing: %s", ErrGone, e.Missing, e.Why)
	}
	return fmt.Sprintf("%v: %s", ErrGone, e.Why)
}

// Unwrap returns ErrGone.
func (e *GoneError) Unwrap() error { return ErrGone }

// An UnreadableError says why a program cannot read an event. It wraps
// [ErrUnreadable]. It is not transient: the same program will never read it.
type UnreadableError struct {
	// ID, Type, Schema and ContentType are the event's.
	ID, Type, Schema, ContentType string
	// Reason is why, for people: "its type is not read here", "its schema is
	// not known here" or "its data does not decode".
	Reason string
	// Want is what would have been read, if the type or the schema is why.
	Want []string
	// Err is the codec's error, if its data is why. It may quote data.
	Err error
}

// Error says why, what was found, and what would have been read.
func (e *UnreadableError) Error() string {
	s := fmt.Sprintf("%v: %s: type %q", ErrUnreadable, e.Reason, e.Type)
	if e.Schema != "" || e.Reason == reasonSchema {
		s += fmt.Sprintf(", schema %q", e.Schema)
	}
	if len(e.Want) > 0 {
		s += fmt.Sprintf(", want one of %q", e.Want)
	}
	if e.Err != nil {
		s += fmt.Sprintf(", content type %q: %v", e.ContentType, e.Err)
	}
	return s
}

// Unwrap returns ErrUnreadable and the codec's error.
func (e *UnreadableError) Unwrap() []error {
	if e.Err == nil {
		return []error{ErrUnreadable}
	}
	return []error{ErrUnreadable, e.Err}
}

// Transient returns false.
func (e *UnreadableError) Transient() bool { return false }

// Outcome returns Refused: the handler never saw it.
func (e *UnreadableError) Outcome() outcome.Outcome { return outcome.Refused }

const (
	reasonType   = "its type is not read here"
	reasonSchema = "its schema is not known here"
	reasonDecode = "its data does not decode"
)

// failed wraps err once, at the border of the package.
func failed(op, topic, group, id string, err error) error {
	if e, ok := errors.AsType[*Error](err); ok {
		if e.ID != "" {
			id = e.ID
		}
		err = e.Err
	}
	known := outcome.Of(err)
	switch {
	case errors.Is(err, ErrTooLarge), errors.Is(err, ErrInvalid), errors.Is(err, ErrNoTx):
		known = outcome.NotSent
	case errors.Is(err, ErrGone), errors.Is(err, ErrHeld), errors.Is(err, ErrShards), errors.Is(err, ErrRunning), errors.Is(err, ErrUnreadable):
		known = outcome.Refused
	}
	return &Error{Op: op, Topic: topic, Group: group, ID: id, Known: known, Err: err}
}

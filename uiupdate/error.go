package uiupdate

import (
	"errors"
	"fmt"
	"time"

	"github.com/crosstie/crosstie/outcome"
)

// Match these with errors.Is; most come wrapped in an [*Error].
var (
	// ErrInvalid says that a change breaks a rule; a [*FieldError] says which.
	// Nothing of the call was applied.
	ErrInvalid = errors.New("invalid change")
	// ErrTooLarge says that a row is over ViewOptions.MaxRow. Nothing of the
	// call was applied.
	ErrTooLarge = errors.New("row too large")
	// ErrFull says that a bound is reached: ViewOptions.MaxRows, of which
	// nothing was applied, or ViewOptions.MaxReaders.
	ErrFull = errors.New("full")
	// ErrTooStale says that no value young enough is to be had. Loading one
	// failed; the cause is wrapped beside it.
	ErrTooStale = errors.New("too stale: no value is as young as asked for")
	// ErrNotFound is what the load function of a [Fresh] returns, wrapped or
	// not, when there is no such value. The absence is kept like a value.
	ErrNotFound = errors.New("not found")
	// ErrUnauthorized is what HandlerOptions.Authorize returns, wrapped or
	// not, when nobody has logged in: the answer is 401. Any other error of
	// it is answered with 403.
	ErrUnauthorized = errors.New("unauthorized: nobody has logged in")
)

// An Error is the failure of one operation of this package.
type Error struct {
	// Op is what failed: "set", "delete", "apply", "reset", "watch", "load",
	// "put" or "stream".
	Op string
	// Key is the row's, where one row is to blame, as text.
	Key string
	// AsOf is set with [ErrTooStale] when there was a value: how old it is.
	AsOf time.Time
	// Known says whether the operation took effect.
	Known outcome.Outcome
	// Err is the cause.
	Err error
}

// Error returns the operation, the key and the cause. It never contains a
// value.
func (e *Error) Error() string {
	s := "uiupdate: " + e.Op
	if e.Key != "" {
		s += fmt.Sprintf(": key %.80q", e.Key)
	}
	if !e.AsOf.IsZero() {
		s += ": as of " + e.AsOf.UTC().Format(time.RFC3339)
	}
	return s + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Outcome returns Known.
func (e *Error) Outcome() outcome.Outcome { return e.Known }

// A FieldError says which field of a [Change] breaks which rule. It wraps
// [ErrTooLarge] or [ErrInvalid].
type FieldError struct {
	// Field is the name of the field of [Change], and Index the change's
	// place in the call.
	Field string
	Index int
	// Size and Limit are set, in bytes, where the rule is a limit of size.
	Size, Limit int64
	// Reason says what is wrong, after the field's name.
	Reason string

	err error
}

// Error names the field, the rule and the limit.
func (e *FieldError) Error() string {
	if e.Limit > 0 {
		return fmt.Sprintf("change %d: %s %s (%d bytes, limit %d)", e.Index, e.Field, e.Reason, e.Size, e.Limit)
	}
	return fmt.Sprintf("change %d: %s %s", e.Index, e.Field, e.Reason)
}

// Unwrap returns ErrTooLarge or ErrInvalid.
func (e *FieldError) Unwrap() error { return e.err }

package retry

import (
	"errors"
	"fmt"
	"time"

	"github.com/crosstie/crosstie/outcome"
)

// Why a call that could have been repeated was not. Each is wrapped by an
// [*Error] beside the last error of the call; match with errors.Is.
var (
	// ErrAttempts says that every attempt the policy allows was made.
	ErrAttempts = errors.New("no attempt is left: the policy allows no more")
	// ErrDeadline says that the wait before the next attempt would have
	// passed the deadline of the context.
	ErrDeadline = errors.New("the next attempt would come after the deadline: give the call more time")
	// ErrLater says that the other side asked for a longer wait than the
	// policy or the deadline allows: come back at Error.At.
	ErrLater = errors.New("asked to wait longer than allowed")
	// ErrBudget says that too many calls were being repeated already.
	ErrBudget = errors.New("the budget for retries is used up: the other side is failing often, let it recover")
)

// An Error is why a call was given up: what its last attempt said, and why
// there was no other. Both are found by errors.Is and errors.As.
type Error struct {
	// Attempts is how many attempts were made; it may be zero.
	Attempts int
	// Reason is ErrAttempts, ErrDeadline, ErrLater, ErrBudget or the cause
	// of the context's end; nil when the last error itself forbids a repeat.
	Reason error
	// At is the instant to come back at, set only with ErrLater.
	At time.Time
	// Known is the outcome of the call: of all its attempts, the one most
	// likely to have had an effect.
	Known outcome.Outcome
	// Err is the error of the last attempt; nil when none was made.
	Err error
}

// Error names the number of attempts, the reason and the last error.
func (e *Error) Error() string {
	s := fmt.Sprintf("retry: attempt %d", e.Attempts)
	if e.Reason != nil {
		s += ": " + e.Reason.Error()
	}
	if !e.At.IsZero() {
		s += ": come back at " + e.At.UTC().Format(time.RFC3339)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the reason and the last error, as far as there are any.
func (e *Error) Unwrap() []error {
	var es []error
	if e.Reason != nil {
		es = append(es, e.Reason)
	}
	if e.Err != nil {
		es = append(es, e.Err)
	}
	return es
}

// Outcome returns Known.
func (e *Error) Outcome() outcome.Outcome { return e.Known }

// later names the instant rounded up, so that its text, too, shortens nothing.
func (p Policy) later(n int, asked time.Duration, err error) *Error {
	at := time.Now().Add(asked)
	if up := at.Truncate(time.Second); up.Before(at) {
		at = up.Add(time.Second)
	}
	return &Error{Attempts: n, Reason: ErrLater, At: at, Known: outcome.Of(err), Err: err}
}

// Permanent marks err so that it is not repeated, whatever else it says. It
// keeps err's text and outcome. A nil err returns nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanent{err}
}

// IsPermanent reports whether err was marked by [Permanent], through any
// wrapping.
func IsPermanent(err error) bool {
	_, ok := errors.AsType[*permanent](err)
	return ok
}

type permanent struct{ err error }

func (e *permanent) Error() string   { return e.err.Error() }
func (e *permanent) Unwrap() error   { return e.err }
func (e *permanent) Transient() bool { return false }

// After marks err with how long the other side asked to wait before a repeat,
// counted from now. It keeps err's text and outcome, and makes err transient
// unless err says otherwise. A d of zero or less asks for nothing: err comes
// back as it is, as does a nil err.
func After(d time.Duration, err error) error {
	if err == nil || d <= 0 {
		return err
	}
	return &after{d, err}
}

// AfterOf reads the longest wait that [After] put on err, through any
// wrapping and in every branch of a join.
func AfterOf(err error) (time.Duration, bool) {
	var d time.Duration
	for err != nil {
		if a, ok := err.(*after); ok {
			d = max(d, a.d)
		}
		switch x := err.(type) {
		case interface{ Unwrap() error }:
			err = x.Unwrap()
		case interface{ Unwrap() []error }:
			for _, b := range x.Unwrap() {
				in, _ := AfterOf(b)
				d = max(d, in)
			}
			return d, d > 0
		default:
			return d, d > 0
		}
	}
	return d, d > 0
}

type after struct {
	d   time.Duration
	err error
}

func (e *after) Error() string { return e.err.Error() }
func (e *after) Unwrap() error { return e.err }

func (e *after) Transient() bool {
	t, said := outcome.Transient(e.err)
	return t || !said
}

package coalesce

import (
	"context"
	"errors"
	"fmt"

	"github.com/crosstie/crosstie/outcome"
)

// What can happen to a key besides what its call says. Match with errors.Is.
var (
	// ErrMissing says that the fetch ended well and did not speak of the key:
	// neither with a value nor with an error. Its outcome is Applied, the
	// question was asked and answered; to ask again is of no use.
	ErrMissing = outcome.TransientError(outcome.Applied, false,
		errors.New("coalesce: the answer does not speak of this key"))
	// ErrFull says that too many keys wait or are in flight. Nothing was sent.
	ErrFull = outcome.TransientError(outcome.NotSent, true,
		errors.New("coalesce: too many keys wait: come back later, or raise MaxWaiting or MaxInFlight"))
)

// KeyErrors are the errors of single keys. A fetch returns them beside the
// values of the others; [Batcher.LoadAll] returns them for the keys it has no
// value of. A nil error in it is none.
type KeyErrors[K comparable] map[K]error

// Error says how many keys failed and why one of them did. It names no key.
func (e KeyErrors[K]) Error() string {
	n, text := 0, ""
	for _, err := range e {
		if err == nil {
			continue
		}
		if s := err.Error(); n == 0 || s < text {
			text = s // the same one each time
		}
		n++
	}
	switch n {
	case 0:
		return "coalesce: no key failed"
	case 1:
		return "coalesce: 1 key failed: " + text
	}
	return fmt.Sprintf("coalesce: %d keys failed, one of them: %s", n, text)
}

// Unwrap returns the errors of all keys, in no order.
func (e KeyErrors[K]) Unwrap() []error {
	all := make([]error, 0, len(e))
	for _, err := range e {
		if err != nil {
			all = append(all, err)
		}
	}
	return all
}

// Outcome is that of all keys together: the one most likely to have had an
// effect.
func (e KeyErrors[K]) Outcome() outcome.Outcome {
	return outcome.Of(errors.Join(e.Unwrap()...))
}

// A PanicError is what a panic of a call is to its callers, and a call of
// runtime.Goexit. Its outcome is Unknown.
type PanicError struct {
	// Value is what the call panicked with; nil after runtime.Goexit.
	Value any
	// Stack is the call's, as debug.Stack formats it; nil after
	// runtime.Goexit.
	Stack []byte
}

// Error says that the call panicked, and with what if that is an error. Other
// values it only names the type of: they may hold what was asked for.
func (e *PanicError) Error() string {
	switch v := e.Value.(type) {
	case nil:
		return "coalesce: the call ended its goroutine"
	case error:
		return "coalesce: the call panicked: " + v.Error()
	default:
		return fmt.Sprintf("coalesce: the call panicked with a %T", v)
	}
}

// Unwrap returns the value, if that is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// Outcome returns Unknown, whatever a wrapped error says: the panic may have
// come later.
func (e *PanicError) Outcome() outcome.Outcome { return outcome.Unknown }

// left is the error of a caller whose context ended while the key was as o
// says.
func left(ctx context.Context, o outcome.Outcome) error {
	err := ctx.Err()
	if cause := context.Cause(ctx); !errors.Is(cause, err) {
		err = fmt.Errorf("%w: %w", err, cause)
	}
	return outcome.TransientError(o, false, fmt.Errorf("coalesce: the caller left: %w", err))
}

// usable says whether k can be a key: a K that is or holds an interface may
// carry what cannot be compared, and every map would panic of it.
func usable[K comparable](k K) (err error) {
	defer func() {
		if recover() != nil {
			err = outcome.TransientError(outcome.NotSent, false,
				fmt.Errorf("coalesce: a key of type %T cannot be compared", any(k)))
		}
	}()
	equal(k, k) // it panics, or does nothing
	return nil
}

func equal[K comparable](a, b K) bool { return a == b }

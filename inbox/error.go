package inbox

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/crosstie/crosstie/outcome"
)

var (
	// ErrTooOld says that a message is older than ids are remembered, so
	// that nobody can tell whether it took effect before. It was not
	// processed: park it for somebody to decide.
	ErrTooOld = errors.New("older than the inbox remembers: it may have taken effect before, park it")
	// ErrTooNew says that a message bears a time more than a window ahead.
	// It was not processed: the sender's clock, or the at that was passed,
	// is wrong.
	ErrTooNew = errors.New("its time is too far ahead: check the clock of the sender")
	// ErrID says that an id is empty, longer than 256 bytes, or holds other
	// characters than the printable ones of ASCII without space.
	ErrID = errors.New("not an id: need 1 to 256 printable ASCII characters without spaces")
	// ErrNoTx says that Once was called without a transaction, or on a store
	// that has none.
	ErrNoTx = errors.New("no transaction to record the id in: use Do, or a store in a database")
)

// An Error is a failed operation of an inbox, for another reason than an
// error of the caller's function. errors.Is finds the reason.
type Error struct {
	// Op is "do", "once" or "forget".
	Op string
	// Inbox is the name of the inbox.
	Inbox string
	// ID is the id of the message, and At the time that counted for it.
	ID string
	At time.Time
	// Oldest and Newest are what the inbox admitted at that instant; set
	// when that is why the message was refused by its window.
	Oldest, Newest time.Time
	// Err is the reason.
	Err error
}

// Error names the operation, the inbox, the id and the reason.
func (e *Error) Error() string {
	s := "inbox: " + e.Op + ": " + e.Inbox
	if e.ID != "" {
		s += ": " + quote(e.ID)
	}
	if !e.Oldest.IsZero() {
		s += fmt.Sprintf(" made at %s, not within %s and %s", stamp(e.At), stamp(e.Oldest), stamp(e.Newest))
	}
	return s + ": " + e.Err.Error()
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Outcome is Refused for what the inbox itself refused, for nothing was
// processed then; else what the store's error says.
func (e *Error) Outcome() outcome.Outcome {
	for _, refused := range []error{ErrTooOld, ErrTooNew, ErrID, ErrNoTx} {
		if errors.Is(e.Err, refused) {
			return outcome.Refused
		}
	}
	return outcome.Of(e.Err)
}

// Transient is false for what the inbox itself refused; else what the store's
// error says, and true if that says nothing.
func (e *Error) Transient() bool {
	for _, refused := range []error{ErrTooOld, ErrTooNew, ErrID, ErrNoTx} {
		if errors.Is(e.Err, refused) {
			return false
		}
	}
	transient, said := outcome.Transient(e.Err)
	return transient || !said
}

func (b *Inbox) wrap(op, id string, at time.Time, err error) *Error {
	return &Error{Op: op, Inbox: b.name, ID: id, At: at, Err: err}
}

// quote makes an id safe to print: it came from outside and may be no id.
func quote(id string) string {
	const most = 64
	if len(id) > most {
		return strconv.QuoteToASCII(id[:most]) + "..."
	}
	return strconv.QuoteToASCII(id)
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func checkID(id string) error {
	if len(id) < 1 || len(id) > 256 {
		return ErrID
	}
	for i := range len(id) {
		if id[i] <= ' ' || id[i] > '~' {
			return ErrID
		}
	}
	return nil
}

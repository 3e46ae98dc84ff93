package outcome

import "fmt"

// An Outcome says what is known about the effect of a call that failed.
// Outcomes are comparable constants; the zero value is Unknown, so that an
// outcome nobody set claims nothing.
type Outcome int

const (
	// Unknown: the effect may or may not have happened. A request byte was
	// sent and no conclusive answer came back.
	Unknown Outcome = iota
	// NotSent: nothing left this side, so nothing happened there.
	NotSent
	// Refused: the other side answered, and did not apply the request.
	Refused
	// Applied: it took effect; only the answer is missing or unreadable.
	Applied
)

// String returns "unknown", "not sent", "refused" or "applied", and
// "outcome(n)" for a value that is none of the four.
func (o Outcome) String() string {
	switch o {
	case Unknown:
		return "unknown"
	case NotSent:
		return "not sent"
	case Refused:
		return "refused"
	case Applied:
		return "applied"
	}
	return fmt.Sprintf("outcome(%d)", int(o))
}

// Error returns err marked with outcome o. It keeps err's text, and errors.Is
// and errors.As see through it. What err says about being transient stays as
// it was. A nil err returns nil.
func Error(o Outcome, err error) error {
	if err == nil {
		return nil
	}
	return &known{outcome: o, err: err}
}

// TransientError returns err marked with outcome o and with whether its cause
// is likely to pass by itself. A nil err returns nil.
func TransientError(o Outcome, transient bool, err error) error {
	if err == nil {
		return nil
	}
	return &passing{known{outcome: o, err: err}, transient}
}

// Of reads the outcome of err through any wrapping. The outermost error that
// has an Outcome method decides. In a join (an error whose Unwrap returns
// several) the branch most likely to have had an effect decides: Applied
// before Unknown before Refused before NotSent; a branch that says nothing
// counts as Unknown. An error that says nothing at all is Unknown. Of(nil) is
// Applied: a call without an error took effect.
func Of(err error) Outcome {
	if err == nil {
		return Applied
	}
	for err != nil {
		if s, ok := err.(interface{ Outcome() Outcome }); ok {
			return s.Outcome()
		}
		switch x := err.(type) {
		case interface{ Unwrap() error }:
			err = x.Unwrap()
		case interface{ Unwrap() []error }:
			return worst(x.Unwrap())
		default:
			return Unknown
		}
	}
	return Unknown
}

func worst(branches []error) Outcome {
	var os []Outcome
	for _, b := range branches {
		if b != nil {
			os = append(os, Of(b))
		}
	}
	return Worst(os...)
}

// Worst returns the outcome most likely to have had an effect: Applied before
// Unknown before Refused before NotSent. It is the outcome of a call that was
// made of several attempts. Worst of none is Unknown.
func Worst(os ...Outcome) Outcome {
	if len(os) == 0 {
		return Unknown
	}
	w := os[0]
	for _, o := range os[1:] {
		if weight(o) > weight(w) {
			w = o
		}
	}
	return w
}

// weight orders outcomes by how likely an effect is.
func weight(o Outcome) int {
	switch o {
	case NotSent:
		return 0
	case Refused:
		return 1
	case Applied:
		return 3
	}
	return 2
}

// NotApplied reports whether err is known to have had no effect: its outcome
// is NotSent or Refused. Such a call may always be repeated safely; whether a
// repeat is worth it is what [Transient] answers.
func NotApplied(err error) bool {
	o := Of(err)
	return o == NotSent || o == Refused
}

// CanRepeat reports whether repeating the failed call cannot do harm: it had
// no effect, or the operation is idempotent (by nature or by a key).
func CanRepeat(err error, idempotent bool) bool {
	return idempotent || NotApplied(err)
}

// Transient reports whether the cause of err is likely to pass by itself, so
// that a repeat is worth it; said is false when no error in the chain says
// anything about it. In a join, one branch that will not pass decides.
//
// Any error may say so with a method Transient() bool.
func Transient(err error) (transient, said bool) {
	for err != nil {
		if s, ok := err.(interface{ Transient() bool }); ok {
			return s.Transient(), true
		}
		switch x := err.(type) {
		case interface{ Unwrap() error }:
			err = x.Unwrap()
		case interface{ Unwrap() []error }:
			all := true
			for _, b := range x.Unwrap() {
				t, ok := Transient(b)
				said = said || ok
				all = all && (t || !ok)
			}
			return all && said, said
		default:
			return false, false
		}
	}
	return false, false
}

// Status returns what an HTTP response status says of the request it answers,
// and whether a repeat is worth it. retryAfter says that the response had a
// usable Retry-After header, which turns a 503 from Unknown into Refused.
//
// Any 2xx and 304 is Applied. Statuses the table does not list follow their
// class: other 4xx are Refused for good, other 5xx (and what is above, as
// RFC 9110 §15 asks) Unknown and transient. A 307 or 308 is Refused, for the
// request is to be made elsewhere; other 3xx are Unknown, for many servers
// answer so after they did what was asked. What is no final status at all is
// Unknown, and not worth a repeat.
func Status(status int, retryAfter bool) (o Outcome, transient bool) {
	switch {
	case status < 200:
		return Unknown, false
	case status < 300, status == 304:
		return Applied, false
	case status == 307, status == 308:
		return Refused, false
	case status < 400:
		return Unknown, false
	case status == 408:
		return Unknown, true
	case status == 425, status == 429:
		return Refused, true
	case status < 500, status == 501, status == 505:
		return Refused, false
	case status == 503 && retryAfter:
		return Refused, true
	}
	return Unknown, true
}

type known struct {
	outcome Outcome
	err     error
}

func (e *known) Error() string    { return e.err.Error() }
func (e *known) Unwrap() error    { return e.err }
func (e *known) Outcome() Outcome { return e.outcome }

type passing struct {
	known
	transient bool
}

func (e *passing) Transient() bool { return e.transient }

package salesforce

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/crosstie/crosstie/outcome"
)

// What went wrong, in words that say what to do next. Each is wrapped by an
// [*Error]; match with errors.Is.
var (
	// ErrUnreachable: no connection could be made. Nothing was sent.
	ErrUnreachable = errors.New("the org cannot be reached: check its URL, the network and the proxy")
	// ErrCredentials: the org does not accept who asks.
	ErrCredentials = errors.New("the org does not accept the credentials: check client id and secret, that the app is enabled for this grant, and that the URL is the org's My Domain")
	// ErrNotSalesforce: what answered does not speak the Salesforce API: a
	// login page, a proxy, a redirect.
	ErrNotSalesforce = errors.New("what answered is not the Salesforce API: check that the URL is the org's own (https://name.my.salesforce.com) and that no proxy or login page stands in between")
	// ErrLimit: the org's calls of the day are used up. The window rolls over
	// 24 hours: wait some hours, or find out who else is calling.
	ErrLimit = errors.New("the org's API calls of the last 24 hours are used up: go on in some hours, or find out which other program uses them")
	// ErrReserve: the calls that are left today are reserved for others, by
	// Options.Reserve. Nothing was sent.
	ErrReserve = errors.New("the org's remaining API calls are reserved for others: go on later, or lower Options.Reserve")
	// ErrNotFound: no such record, object, job or resource.
	ErrNotFound = errors.New("the org has no such record or resource, or hides it from this user")
	// ErrAmbiguous: several records have that external id.
	ErrAmbiguous = errors.New("several records have this external id: make the field unique in the org, or remove all but one")
	// ErrTooLarge: an answer or a query is larger than its bound.
	ErrTooLarge = errors.New("larger than its bound: ask for less, or raise the bound")
	// ErrInput: an argument cannot be sent. Nothing was sent.
	ErrInput = errors.New("an argument cannot be sent")
)

// An Error is a call to an org that failed. It never holds a token or a
// secret; what the org says of a record is in Message.
type Error struct {
	// Op is what was to be done: "create Account".
	Op string
	// Status is the HTTP status of the last answer; 0 without one.
	Status int
	// Code is the org's errorCode, such as "UNABLE_TO_LOCK_ROW"; empty if it
	// gave none.
	Code string
	// Message is the org's own text, cut at 1,000 bytes.
	Message string
	// Fields are the fields at fault, if the org names any.
	Fields []string
	// Attempts is how often the call was sent or was about to be.
	Attempts int
	// Known is what is known of the call's effect, of all attempts.
	Known outcome.Outcome
	// At is the instant to come back at, zero when nobody named one.
	At time.Time
	// Reason is why there was no further attempt, an error of package retry or
	// the context's cause; nil when the last error itself forbids one.
	Reason error
	// Err is the cause: one of this package's errors, or one of the network.
	// It may be nil when Code says it all.
	Err error

	transient bool
	session   bool // the session is over: a new token may help
}

// Error says what was to be done, what the org said, what is known of it, and
// what to do next.
func (e *Error) Error() string {
	var parts []string
	if e.Op != "" {
		parts = append(parts, e.Op)
	}
	if e.Reason != nil {
		parts = append(parts, e.Reason.Error())
	}
	if e.Code != "" || e.Message != "" {
		parts = append(parts, strings.TrimPrefix(e.Code+": "+e.Message, ": "))
	}
	if e.Status != 0 {
		s := fmt.Sprintf("status %d", e.Status)
		if len(e.Fields) > 0 {
			s += ", fields " + strings.Join(e.Fields, " ")
		}
		parts = append(parts, s)
	}
	if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	switch e.Known {
	case outcome.NotSent:
		parts = append(parts, "nothing was sent")
	case outcome.Refused:
		parts = append(parts, "it was not applied")
	case outcome.Applied:
		parts = append(parts, "it took effect and only the answer is missing")
	default:
		parts = append(parts, "whether it took effect is unknown")
	}
	s := "salesforce: " + strings.Join(parts, ": ")
	if !e.At.IsZero() {
		s += "; come back at " + e.At.UTC().Format(time.RFC3339)
	}
	return s
}

// Unwrap returns Reason and Err, as far as there are any.
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

// Transient reports whether the cause is likely to pass by itself.
func (e *Error) Transient() bool { return e.transient }

// codes is what the org's error codes say beyond the HTTP status. What is in
// no row follows outcome.Status.
var codes = map[string]struct {
	known     outcome.Outcome
	transient bool
}{
	"UNABLE_TO_LOCK_ROW":          {outcome.Refused, true},
	"SERVER_UNAVAILABLE":          {outcome.Refused, true},
	"REQUEST_LIMIT_EXCEEDED":      {outcome.Refused, true}, // the daily one is told by its text
	"TOO_MANY_APEX_REQUESTS":      {outcome.Refused, true},
	"TXN_SECURITY_METERING_ERROR": {outcome.Refused, true},
	"ENTITY_IS_LOCKED":            {outcome.Refused, false},
	"QUERY_TIMEOUT":               {outcome.Refused, false}, // a smaller query may do
	"INVALID_SESSION_ID":          {outcome.Refused, false},
	"UNKNOWN_EXCEPTION":           {outcome.Unknown, true},
	"REQUEST_RUNNING_TOO_LONG":    {outcome.Unknown, true},
}

// Code says of an org's error code what [Error] would: what is known of the
// record's effect, and whether the cause passes by itself. It is for the
// per-record codes of bulk results and collections. A code nobody knows is
// Refused for good, since the org answered for that record.
func Code(code string) (known outcome.Outcome, transient bool) {
	if c, ok := codes[code]; ok {
		return c.known, c.transient
	}
	return outcome.Refused, false
}

func input(op, format string, args ...any) *Error {
	return &Error{Op: op, Known: outcome.NotSent, Err: fmt.Errorf("%w: %s", ErrInput, fmt.Sprintf(format, args...))}
}

// said is foreign text for an error: without secrets before it is cut, since
// half of one would stay, and on one line, since errors end in logs.
func said(s string, n int, secrets ...string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r) {
			return ' '
		}
		return r
	}, redact(s, secrets))
	return clip(s, n)
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "..."
}

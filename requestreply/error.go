package requestreply

import (
	"context"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/retry"
)

// Why a call was not made, or its answer not taken. Each is wrapped by an
// [*Error]; match with errors.Is.
var (
	// ErrOpen says that the breaker of the target is open: it failed too
	// often of late. Nothing was sent by this attempt; Error.At is when the
	// next one is let through, if that is known.
	ErrOpen = outcome.TransientError(outcome.NotSent, true,
		errors.New("the breaker is open: the target failed too often, come back later"))
	// ErrFull says that the limit of attempts in flight and the queue for it
	// are used up. Nothing was sent by this attempt.
	ErrFull = outcome.TransientError(outcome.NotSent, true,
		errors.New("too many calls in flight: come back later or raise MaxInFlight"))
	// ErrTooLarge says that an answer was longer than Endpoint.MaxBody, or
	// that there were more pages, or bytes in them, than [Paged] allows.
	ErrTooLarge = errors.New("the answer is too large: raise its limit or ask for less")
)

// An Error is a call that failed. What the last attempt said and why there
// was no other are found by errors.Is and errors.As: context errors,
// [ErrOpen], [ErrFull], [ErrTooLarge], a [*Problem], and the reasons of
// package retry (retry.ErrAttempts, ErrDeadline, ErrLater, ErrBudget).
type Error struct {
	// Op says what was called: the target, or method and URL without user
	// info, query and fragment.
	Op string
	// Key is the idempotency key the attempts carried, if they did. Repeating
	// the call under it settles an Unknown.
	Key string
	// Attempts is how many attempts were made; zero when the guard refused
	// the first.
	Attempts int
	// Status is the HTTP status of the last attempt, zero without one.
	Status int
	// Known is what is known of the whole call: of all its attempts, the
	// outcome most likely to have had an effect.
	Known outcome.Outcome
	// At is the instant to come back at, zero when nobody named one.
	At time.Time
	// Reason is why there was no further attempt; nil when Err itself
	// forbids one.
	Reason error
	// Err is the error of the last attempt; nil when none was made.
	Err error
	// Confirm is why the hook that settles an unknown outcome (Op.Confirm)
	// could not; nil when it was not asked or did. It is not found by errors.Is.
	Confirm error

	harmless bool // the call may be repeated whatever is known
}

// Error says what was called, why it was given up, what the last attempt said,
// what is known and what to do next. It holds no query, user info or payload.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("requestreply: ")
	if e.Op != "" {
		b.WriteString(e.Op + ": ")
	}
	if e.Attempts > 1 {
		b.WriteString("attempt " + strconv.Itoa(e.Attempts) + ": ")
	}
	if e.Reason != nil {
		b.WriteString(safeText(e.Reason) + ": ")
	}
	if e.Err != nil {
		b.WriteString(safeText(e.Err) + ": ")
	}
	if e.Confirm != nil {
		b.WriteString("asked for its key: " + safeText(e.Confirm) + ": ")
	}
	b.WriteString(e.advice())
	if !e.At.IsZero() {
		b.WriteString("; come back at " + e.At.UTC().Format(time.RFC3339))
	}
	return b.String()
}

func (e *Error) advice() string {
	switch {
	case e.Known == outcome.NotSent:
		return "nothing was sent"
	case e.Known == outcome.Refused:
		return "it was not applied"
	case e.Known == outcome.Applied && e.Key == "" && !e.harmless:
		return "it took effect and only the answer is missing: do not repeat it"
	case e.Known == outcome.Applied:
		return "it took effect and only the answer is missing"
	case e.harmless && e.Key == "":
		return "whether it took effect is unknown: it may be repeated"
	case e.Key == "":
		return "whether it took effect is unknown: look before you repeat it"
	}
	return "whether it took effect is unknown: repeat it under the same key to learn it"
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

// Timeout reports whether time ran out. A [url.Error] asks it, so a call through
// an http.Client on a [Transport] is known as a time-out to what knows only
// net.Error.
func (e *Error) Timeout() bool {
	if errors.Is(e, context.DeadlineExceeded) {
		return true
	}
	t, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](e.Err)
	return ok && t.Timeout()
}

// safeText is err's text without the secrets of a URL that net/http put in.
func safeText(err error) string {
	s := err.Error()
	if ue, ok := errors.AsType[*url.Error](err); ok && ue.URL != "" {
		safe := safeURL(ue.URL)
		s = strings.ReplaceAll(s, strconv.Quote(ue.URL), strconv.Quote(safe))
		s = strings.ReplaceAll(s, ue.URL, safe)
	}
	return s
}

// safeURL drops user info, query and fragment, where secrets travel.
func safeURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "a URL that does not parse"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
}

// op is what the error of the call names.
func (c *call) op() string {
	if c.r != nil {
		return c.r.Method + " " + safeURL(c.r.URL.String())
	}
	return c.name
}

// failed makes the error of a call from what the retry loop gave up with.
func (c *call) failed(err error) *Error {
	if in, ok := errors.AsType[*Error](err); ok && c.g == once { // it has said all
		e := *in
		e.Op, e.Key, e.harmless = c.op(), orText(c.key, in.Key), c.harmless
		e.Known = outcome.Worst(c.known, in.Known)
		return &e
	}
	e := &Error{Op: c.op(), Key: c.key, harmless: c.harmless, Attempts: c.made, Known: c.known, Err: err}
	if r, ok := err.(*retry.Error); ok {
		e.Reason, e.Err, e.At = r.Reason, r.Err, r.At
	}
	e.fill()
	return e
}

// refused makes the error of a call that the guard stopped before an attempt.
func (c *call) refused(why error) *Error {
	e := &Error{Op: c.op(), Key: c.key, harmless: c.harmless, Attempts: c.made, Known: c.known, Reason: why, Err: c.last}
	if c.made == 0 {
		e.Known = outcome.NotSent
	}
	e.fill()
	return e
}

// fill sets what an error of this package inside, a status or a Retry-After
// says.
func (e *Error) fill() {
	if s, ok := errors.AsType[*statusError](e.Err); ok {
		e.Status = s.status
	}
	if in, ok := errors.AsType[*throughTransport](e.Err); ok {
		e.Attempts = max(e.Attempts, in.made)
		if gave, ok := errors.AsType[*Error](in.gave); ok && gave.Reason != nil && e.Reason != nil {
			e.Reason, e.At = gave.Reason, gave.At // ours is that it was not our turn to repeat
		}
	}
	if in, ok := errors.AsType[*Error](e.Err); ok {
		e.Status, e.Attempts, e.Key = in.Status, max(e.Attempts, in.Attempts), orText(e.Key, in.Key)
	}
	if e.At.IsZero() {
		if d, ok := retry.AfterOf(errors.Join(e.Reason, e.Err)); ok {
			e.At = time.Now().Add(d)
		}
	}
}

func orText(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

package server

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/retry"
)

// problem makes an answer of our own. known is what is known of the effect.
func problem(status int, known outcome.Outcome, detail string) *requestreply.Problem {
	p := &requestreply.Problem{Status: status, Title: http.StatusText(status), Detail: detail}
	// A Retry-After may yet change what a status of the server's fault says.
	if o, _ := outcome.Status(status, false); o != known || status >= 500 {
		p.Known = known.String()
	}
	return p
}

// write answers with p. again is when to come back; zero says nothing.
func write(w http.ResponseWriter, p *requestreply.Problem, again time.Duration) {
	body, err := json.Marshal(p)
	if err != nil { // texts marshal
		body = []byte("{}")
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	if again > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(again.Seconds()))))
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(body)
}

// answerFor turns the error of a user's function into an answer. undone says
// that what the function did was rolled back.
func answerFor(err error, undone bool) (p *requestreply.Problem, again time.Duration) {
	known, says := knownOf(err)
	if undone {
		// What else it called may still have had an effect, if it says so.
		if known = outcome.Worst(outcome.Refused, known); !says {
			known = outcome.Refused
		}
		says = true
	}
	if known == outcome.NotSent {
		known = outcome.Refused // of the caller's request, which was received
	}
	again, _ = retry.AfterOf(err)
	if given := chosen(err); given != nil {
		c := *given
		if c.Status < 400 || c.Status > 599 {
			c.Status = http.StatusInternalServerError
		}
		if by, _ := outcome.Status(c.Status, again > 0); c.Known == "" && says && by != known {
			c.Known = known.String()
		}
		return &c, again
	}
	transient, _ := outcome.Transient(err)
	switch {
	case !says:
		known = outcome.Unknown
		if isTimeout(err) {
			return problem(http.StatusGatewayTimeout, known, "the answer took too long"), again
		}
	case isTimeout(err):
		return problem(http.StatusGatewayTimeout, known, "the answer took too long"), again
	case known == outcome.Refused && transient:
		return problem(http.StatusServiceUnavailable, known, "nothing was done: repeat it later"), max(again, time.Second)
	}
	return problem(http.StatusInternalServerError, known, "the server failed to answer"), again
}

// chosen returns the problem the function chose to be answered with. One that
// another system answered the function with is told to that system's caller:
// its text may hold what ours must not read, and its 401 is not about ours.
func chosen(err error) *requestreply.Problem {
	switch x := err.(type) {
	case *requestreply.Problem:
		return x
	case *requestreply.Error:
		return nil
	case interface{ Unwrap() error }:
		return chosen(x.Unwrap())
	case interface{ Unwrap() []error }:
		for _, b := range x.Unwrap() {
			if p := chosen(b); p != nil {
				return p
			}
		}
	}
	return nil
}

// tooLate is the error of a function whose context ended.
type tooLate struct{ err error }

func (e *tooLate) Error() string        { return e.err.Error() }
func (e *tooLate) Unwrap() error        { return e.err }
func (e *tooLate) Is(target error) bool { return target == context.DeadlineExceeded }

func isTimeout(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

func knownOf(err error) (o outcome.Outcome, says bool) {
	_, says = errors.AsType[interface {
		error
		Outcome() outcome.Outcome
	}](err)
	return outcome.Of(err), says
}

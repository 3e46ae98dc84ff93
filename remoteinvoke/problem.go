package remoteinvoke

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/retry"
)

// A problem is an error on the wire, in the form of RFC 9457, with two
// extension members: what is known of the effect, and a code for programs.
type problem struct {
	Title   string `json:"title"`
	Status  int    `json:"status"`
	Detail  string `json:"detail,omitempty"`
	Outcome string `json:"outcome,omitempty"`
	Code    string `json:"code,omitempty"`
}

// problems says how each error is answered. The first that fits decides.
var problems = []struct {
	err    error
	status int
	code   string
}{
	{ErrNotFound, http.StatusNotFound, "not_found"},
	{ErrGone, http.StatusGone, "gone"},
	{ErrReused, http.StatusUnprocessableEntity, "reused"},
	{ErrFull, http.StatusServiceUnavailable, "full"},
	{ErrCallback, http.StatusForbidden, "callback"},
	{ErrTooLarge, http.StatusRequestEntityTooLarge, "too_large"},
	{ErrInvalid, http.StatusBadRequest, "invalid"},
	{errNotEnded, http.StatusConflict, "not_ended"},
	{errNoResult, http.StatusConflict, "no_result"},
	{errCaller, http.StatusUnauthorized, "caller"},
	{errMethod, http.StatusMethodNotAllowed, "method"},
	{errMedia, http.StatusUnsupportedMediaType, "media_type"},
}

var (
	errNotEnded = errors.New("the job has not ended: look at its status, no sooner than Retry-After says")
	errNoResult = errors.New("the job ended without a result: its status says why")
	errCaller   = errors.New("who asks is not known")
	errMethod   = errors.New("this is asked for by another method: see Allow")
	errMedia    = errors.New("want application/json in UTF-8, not compressed")
)

// fullAfter is when to come back to a service that is full.
const fullAfter = 5 * time.Second

// refuse answers with err. The texts of errors that are not ours stay here.
func (s *Service) refuse(w http.ResponseWriter, r *http.Request, err error, again time.Duration) {
	p := problem{Status: http.StatusInternalServerError, Detail: "the service failed to answer", Outcome: outcome.Of(err).String()}
	after, _ := retry.AfterOf(err)
	again = max(again, after)
	found := false
	for _, known := range problems {
		if errors.Is(err, known.err) {
			p.Status, p.Code, p.Detail, p.Outcome = known.status, known.code, known.err.Error(), outcome.Refused.String()
			if e, ok := err.(*Error); ok && (known.err == ErrInvalid || known.err == ErrTooLarge || known.err == ErrCallback) {
				p.Detail = e.Err.Error() // ours, and about what was sent
			}
			if known.err == ErrFull {
				again = max(again, fullAfter)
			}
			found = true
			break
		}
	}
	if !found {
		s.o.Logger.ErrorContext(r.Context(), "request_failed", "service", s.name, "method", r.Method, "error", err)
		if transient, _ := outcome.Transient(err); transient && outcome.NotApplied(err) {
			p.Status, p.Detail, again = http.StatusServiceUnavailable, "nothing was done: repeat it later", max(again, time.Second)
		}
		if outcome.Of(err) == outcome.NotSent {
			p.Outcome = outcome.Refused.String() // of the caller's request, which was received
		}
	}
	p.Title = http.StatusText(p.Status)
	body, err := json.Marshal(p)
	if err != nil { // texts marshal
		body = []byte("{}")
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	retryAfter(w, again)
	w.WriteHeader(p.Status)
	_, _ = w.Write(body)
}

func retryAfter(w http.ResponseWriter, d time.Duration) {
	if d > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(d.Seconds()))))
	}
}

package server

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply"
)

var errTimeLeft = errors.New(requestreply.TimeLeftHeader + " must be one value of 1 to 10 digits, in milliseconds")

// timeLeft reads how long the caller waits.
func timeLeft(h http.Header) (left time.Duration, told bool, err error) {
	vs := h[requestreply.TimeLeftHeader]
	if len(vs) == 0 {
		return 0, false, nil
	}
	if len(vs) > 1 || len(vs[0]) > 10 {
		return 0, false, errTimeLeft
	}
	ms, err := strconv.ParseUint(vs[0], 10, 64) // takes no sign
	if err != nil {
		return 0, false, errTimeLeft
	}
	return time.Duration(ms) * time.Millisecond, true, nil
}

// tooLateFor is the answer to a request whose time was over before its work
// was begun. Of a key it may be that an earlier request under it had its effect.
func tooLateFor(r *http.Request) *requestreply.Problem {
	if r.Context().Err() == nil {
		return nil
	}
	known := outcome.Refused
	if len(r.Header["Idempotency-Key"]) > 0 {
		known = outcome.Unknown
	}
	return problem(http.StatusServiceUnavailable, known, "the time to answer was over before the work was begun: give the call more time")
}

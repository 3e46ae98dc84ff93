package main

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply"
)

// inWords says what went wrong so that a person understands it and knows what to do, and with which status a browser
// is told. What an error wraps stays in the logs: it may name what is none of the visitor's business.
func inWords(err error) (status int, words string) {
	var bad badRequest
	var still *stillTrying
	var no declined
	problem, isProblem := errors.AsType[*requestreply.Problem](err)
	switch {
	case errors.As(err, &bad):
		return http.StatusBadRequest, string(bad)
	case errors.As(err, &still):
		return http.StatusAccepted, still.Error()
	case errors.As(err, &no):
		return http.StatusConflict, string(no)
	case isProblem && problem.Type == problemOutOfStock:
		return http.StatusConflict, "Not reserved: " + problem.Title + "."
	case isProblem && problem.Type == problemNoProduct:
		return http.StatusNotFound, "Not reserved: no product has this code."
	case isProblem && problem.Status < 500:
		return http.StatusConflict, "Not done: " + strings.TrimSuffix(problem.Title, ".") + "."
	case errors.Is(err, requestreply.ErrOpen), errors.Is(err, requestreply.ErrFull):
		return http.StatusServiceUnavailable, "Not sent: the other side failed too often just now, and is left alone for a moment. Try again."
	}
	switch outcome.Of(err) {
	case outcome.NotSent:
		return http.StatusServiceUnavailable, "Not done: the other side cannot be reached, and nothing was sent."
	case outcome.Refused:
		return http.StatusConflict, "Not done: the other side refused it."
	case outcome.Applied:
		return http.StatusOK, "Done, although the answer was lost on the way."
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return http.StatusGatewayTimeout, "There is no answer yet. Whether it was done is not known; the activity will tell."
	}
	return http.StatusInternalServerError, "Something went wrong on the server, and whether it was done is not known. The activity will tell."
}

// A declined is a sentence for the person who pressed: it was not done, and why.
type declined string

func (d declined) Error() string { return string(d) }

// stillTrying: the order is neither made nor refused. It is repeated under its key until one of the two is known.
type stillTrying struct{ why string }

func (s *stillTrying) Error() string {
	return s.why + " It is tried again under the same key until the answer is known, so nothing is done twice."
}

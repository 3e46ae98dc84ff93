package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"

	"github.com/crosstie/crosstie/salesforce"
	"github.com/crosstie/crosstie/webhook"
)

// A teller is a slog.Handler that says on the board, in words for people, what the rooms can tell no caller: that a
// callback was forged, that a worker died. It is an alarm too.
type teller struct {
	alarm
	s *system
}

// logger is for all parts whose troubles belong on the board.
func (s *system) logger() *slog.Logger {
	return slog.New(teller{alarm{slog.DiscardHandler, s.fail}, s})
}

// troubles are what the rooms log, in words.
var troubles = map[string]string{
	"callback_refused":     "Somebody called back who is not the forecast service: the call is not signed with its secret. Nobody believed it.",
	"callback_misdirected": "A callback came that is for somebody else. It changed nothing.",
	"callback_senseless":   "A signed callback came that makes no sense. It changed nothing.",
	"callback_given_up":    "The forecast service could not call back. That changes nothing: whoever waits asks by himself.",
	"job_taken_over":       "The worker of the forecast died. Another goes on with what it had saved.",
	"job_lost":             "A worker of the forecast was too slow, and another has its job. What the slow one found does not count.",
	"job_attempt_failed":   "An attempt at the forecast failed. It is tried again, from what was saved.",
	"shard_lost":           "A subscriber was too slow, and its place went to another. What both handled counts once.",
	"history_gone":         "A subscriber's cursor is older than the log: it goes on with what there is.",
}

// Handle implements slog.Handler.
func (t teller) Handle(ctx context.Context, r slog.Record) error {
	if words, ok := troubles[r.Message]; ok {
		r.Attrs(func(a slog.Attr) bool {
			if err, ok := a.Value.Any().(error); ok && errors.Is(err, webhook.ErrTime) {
				words = "A callback came whose time is not now: an old one, sent again by somebody. Nobody believed it."
			}
			return true
		})
		t.s.board.event(kindTrouble, words)
	}
	return t.alarm.Handle(ctx, r)
}

// A wire is the way to the org. When the network is broken, nothing is sent on it.
type wire struct {
	broken atomic.Bool
	next   http.RoundTripper
}

var errBroken = errors.New("the network is broken")

// RoundTrip implements http.RoundTripper.
func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	if !w.broken.Load() {
		return w.next.RoundTrip(r)
	}
	if r.Body != nil {
		r.Body.Close()
	}
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errBroken}
}

// orgIs shows how the org is, by how the last call to it went, and notes when that changes.
func (s *system) orgIs(err error) {
	words := orgWords(err)
	s.orgMu.Lock()
	defer s.orgMu.Unlock()
	was := s.orgSaid
	if s.wire.broken.Load() && err != nil {
		s.board.party(partyOrg, away, words) // it is the network, and the board says so
		return
	}
	s.orgSaid = words
	switch {
	case words != "":
		s.board.party(partyOrg, away, words)
		if words != was {
			s.board.event(kindTrouble, "The Salesforce org is away. "+words)
		}
	default:
		s.board.party(partyOrg, well, "It answers.")
		if was != "" {
			s.board.event(kindMended, "The Salesforce org is back. What waited for it is on its way.")
		}
	}
}

// orgTold is what the last call to the org said of it, or nothing if that went well.
func (s *system) orgTold() string {
	s.orgMu.Lock()
	defer s.orgMu.Unlock()
	return s.orgSaid
}

// orgWords says what keeps the org from hearing anything, and what to do; nothing for no error.
func orgWords(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, salesforce.ErrUnreachable):
		return "It cannot be reached. What it should hear waits, and is tried again: look at its address and at the network."
	case errors.Is(err, salesforce.ErrCredentials):
		return "It refuses the key or the secret in " + orgIDEnv + " and " + orgSecretEnv + ". What it should hear waits: put them right and start this program again."
	case errors.Is(err, salesforce.ErrLimit), errors.Is(err, salesforce.ErrReserve):
		return "Its API calls of the last 24 hours are used up. What it should hear waits until there are some again."
	case errors.Is(err, salesforce.ErrNotSalesforce):
		return "What answers is a page for people and not its API: a login page, or a proxy. What it should hear waits: look at the address in -org."
	case passes(err):
		return "It stumbles, and is tried again. What it should hear waits: " + err.Error()
	}
	return "It refuses what it should be told, and is asked again: " + err.Error()
}

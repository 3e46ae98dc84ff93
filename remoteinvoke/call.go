package remoteinvoke

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/retry"
	"github.com/crosstie/crosstie/webhook"
)

// A notice is what a callback carries. The id and the caller are in what is
// signed, so that it can be taken for no other job's and no other caller's.
type notice struct {
	Service string `json:"service"`
	Caller  string `json:"caller"`
	Job     Status `json:"job"`
}

func (sh *shift) claimCalls(_ context.Context, free int) (int, error) {
	o := sh.s.o
	// Nothing extends the claim: it lasts for an attempt and the record of it.
	cctx, cancel := context.WithTimeout(sh.base, o.Lease)
	defer cancel()
	cs, err := sh.s.store.Calls(cctx, Claim{Service: sh.s.name, Owner: sh.owner, Lease: o.CallbackTimeout + o.Lease, Max: free})
	for _, c := range cs {
		sh.calls.run(func() { sh.callBack(c) })
	}
	return len(cs), err
}

// errSettled ends the attempts of a callback, for its receiver wants none.
var errSettled = errors.New("the receiver wants no callback any more")

// callBack makes one attempt to tell of a job's end.
func (sh *shift) callBack(c Call) {
	s := sh.s
	ctx, stop := context.WithCancelCause(sh.base)
	defer stop(nil)
	sh.enter(&c, stop)
	attrs := []slog.Attr{slog.String("service", s.name), slog.String("id", c.ID), slog.Int("attempt", c.Attempt)}
	octx := s.o.Observer.Start(ctx, "callback", attrs...)
	tctx, cancel := context.WithTimeout(octx, s.o.CallbackTimeout)
	err := s.tell(tctx, c)
	cancel()
	s.o.Observer.End(octx, "callback", err, attrs...)
	sh.leave(&c)
	again := s.callAgain(c, err)

	wctx, cancel := context.WithTimeout(sh.base, s.o.Lease)
	defer cancel()
	if werr := s.store.Called(wctx, c.Key(), c.Epoch, again); werr != nil {
		// The claim runs out, and the receiver gets the callback once more.
		s.o.Logger.Warn("callback_not_recorded", "service", s.name, "id", c.ID, "error", werr)
	}
}

// callAgain returns the wait before the next attempt, zero for none.
func (s *Service) callAgain(c Call, err error) time.Duration {
	if err == nil {
		return 0
	}
	s.o.Logger.Warn("callback_failed", "service", s.name, "id", c.ID, "attempt", c.Attempt, "error", err)
	if errors.Is(err, errSettled) || c.Attempt > len(s.o.CallbackSchedule) {
		s.o.Logger.Error("callback_given_up", "service", s.name, "id", c.ID, "attempt", c.Attempt)
		return 0
	}
	wait := s.o.CallbackSchedule[c.Attempt-1]
	if after, ok := retry.AfterOf(err); ok {
		wait = max(wait, min(after, maxWait))
	}
	return wait + rand.N(wait/10+1)
}

// tell sends one callback. Callbacks and the client are the user's: where they
// panic, the attempt has failed, and the process goes on.
func (s *Service) tell(ctx context.Context, c Call) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("calling back panicked: %v", p)
		}
	}()
	t, err := s.target(c.Caller, c.Callback)
	if err != nil {
		return err
	}
	body, err := json.Marshal(notice{s.name, c.Caller, c.Status})
	if err != nil {
		return err
	}
	signed, err := webhook.Headers(c.ID, time.Now(), body, t.Sign)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.Callback, bytes.NewReader(body))
	if err != nil {
		return errors.New("the request could not be made")
	}
	req.GetBody = nil // each attempt is ours to count
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "crosstie-remoteinvoke")
	maps.Copy(req.Header, signed)
	resp, err := s.o.CallbackClient.Do(req)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // its text has the whole URL
		}
		return fmt.Errorf("POST to %s: %w", req.URL.Host, err)
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, maxDrain)
	switch {
	case resp.StatusCode >= 200 && resp.StatusCode < 300:
		return nil
	case resp.StatusCode == http.StatusGone:
		return errSettled
	}
	after, ok := retry.ParseAfter(resp.Header, time.Now())
	known, transient := outcome.Status(resp.StatusCode, ok)
	return retry.After(after, outcome.TransientError(known, transient,
		errors.New("the receiver answered "+strconv.Itoa(resp.StatusCode))))
}

// maxDrain is how much of an answer is read so that its connection can be used
// again.
const maxDrain = 64 << 10

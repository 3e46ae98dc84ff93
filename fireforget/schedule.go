package fireforget

import (
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/retry"
)

// Why a message was parked, as DeadLetter.Reason has it.
const (
	reasonExhausted = "exhausted"
	reasonPermanent = "permanent"
	reasonExpired   = "expired"
	reasonStopped   = "key stopped"
)

// blockedWait is the wait of a Block route that has no schedule to take its
// last wait from.
const blockedWait = time.Minute

// judge says what follows from an attempt at e that ended at now with err. It
// is pure but for jitter, which returns a duration in [0, d).
func (o *RouteOptions) judge(e *Entry, err error, now time.Time, jitter func(d time.Duration) time.Duration) Result {
	r := e.result(Again)
	if err == nil {
		r.Verdict = Landed
		return r
	}
	keyed := e.Lane > 0
	permanent := isPermanent(err)
	exhausted := e.Attempt >= len(o.Schedule)
	wait := blockedWait
	switch {
	case (permanent || exhausted) && !(keyed && o.OnPoison == Block):
		r.Verdict, r.Reason = Park, reasonExhausted
		if permanent {
			r.Reason = reasonPermanent
		}
		r.Stop = keyed && o.OnPoison == ParkKey
		return r
	case len(o.Schedule) > 0 && (permanent || exhausted):
		wait = o.Schedule[len(o.Schedule)-1]
	case !exhausted:
		wait = o.Schedule[e.Attempt]
	}
	if after, ok := retry.AfterOf(err); ok {
		// The later of the two: coming back as soon as allowed, attempt for
		// attempt, would use up a schedule made for days in minutes.
		wait = max(wait, min(after, maxWait))
	}
	wait += jitter(wait/10 + 1)
	if !e.Expires.IsZero() && !now.Add(wait).Before(e.Expires) {
		r.Verdict, r.Reason = Park, reasonExpired
		return r
	}
	r.Next = wait
	return r
}

func isPermanent(err error) bool {
	transient, said := outcome.Transient(err)
	return said && !transient || retry.IsPermanent(err)
}

func randomWait(d time.Duration) time.Duration { return rand.N(d) }

// result returns a result that names e.
func (e *Entry) result(v Verdict) Result {
	return Result{To: e.To, Key: e.Key, Lane: e.Lane, Epoch: e.Epoch, Seq: e.Seq, Tried: e.Attempt, Verdict: v}
}

// maxErrorText is how much of an error's text the history keeps.
const maxErrorText = 1 << 10

// record is what the history keeps of a failed attempt.
func record(at time.Time, took time.Duration, err error) Attempt {
	a := Attempt{At: at.UTC(), Took: took, Known: outcome.Of(err), Error: err.Error()}
	if len(a.Error) > maxErrorText {
		a.Error = a.Error[:maxErrorText]
	}
	a.Error = strings.ToValidUTF8(a.Error, "�")
	if s, ok := errors.AsType[*StatusError](err); ok {
		a.Status = s.Status
	}
	return a
}

package requestreply

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/crosstie/crosstie/internal/hook"
	"github.com/crosstie/crosstie/retry"
)

// Options configure a [Guard]. A nil *Options is legal; each field that is
// zero means its default.
type Options struct {
	// Timeout limits one call with all its attempts and the waits between
	// them. The deadline of the caller's context counts too: the earlier of
	// the two ends the call. Defaults to 30 s; a negative value leaves the
	// caller's deadline alone.
	Timeout time.Duration
	// TryTimeout limits one attempt, reading its answer included. Defaults
	// to 10 s; a negative value lets an attempt use all the time left.
	TryTimeout time.Duration
	// Retry is the schedule of repeats. Its zero value makes 4 attempts.
	// When Retry.Budget is nil each target gets a [retry.Budget] of its own:
	// the greater of 10 % of the calls and one retry a minute, 10 saved.
	Retry retry.Policy
	// Breaker stops calling a target that keeps failing.
	Breaker Breaker
	// MaxInFlight is how many attempts may run at one target at a time.
	// Defaults to 64; a negative value means no limit.
	MaxInFlight int
	// MaxQueue is how many attempts may wait for a place among MaxInFlight;
	// what comes then fails with ErrFull. Defaults to MaxInFlight; a negative
	// value means that none waits.
	MaxQueue int
	// MaxTargets is how many targets are remembered. When there are more, the
	// one idle for longest is forgotten; when none is idle, the call fails
	// with ErrFull. Defaults to 1024. Targets unused for ten minutes are
	// forgotten when a new one comes.
	MaxTargets int
	// Quota is an allowance that every attempt is taken from, shared by processes
	// if it is one of package quota. Nil allows everything.
	Quota Quota
	// Logger receives the changes of breakers, which no caller sees. Nil is
	// silent.
	Logger *slog.Logger
	// Observer watches calls ("requestreply.call") and their attempts
	// ("requestreply.attempt"). Nil watches nothing.
	Observer Observer
}

// A Breaker says when to stop calling a target, so that it can recover and
// callers need not wait for what will fail. It counts the attempts of a
// rolling window. A failure is an attempt that did not end in time, met a
// broken connection or a status that blames the server, or returned an error
// that says nothing about itself. Not counted is an attempt that its caller
// cancelled, or whose caller's deadline left it less than a tenth of
// TryTimeout. A refusal (outcome Refused that does not pass by itself) counts
// as a sign of life.
type Breaker struct {
	// Disabled switches the breaker off.
	Disabled bool
	// FailRatio is the part of the attempts in the window that must fail for
	// the breaker to open, between 0 and 1. Defaults to 0.5.
	FailRatio float64
	// MinCalls is how many attempts must have ended in the window before the
	// ratio means anything. Defaults to 10.
	MinCalls int
	// Window is the time looked back upon, in ten steps. Defaults to 10 s.
	Window time.Duration
	// OpenFor is how long an open breaker refuses before it lets one attempt
	// through as a probe; the probe's success closes it, and its failure, or
	// running over its time limit, opens it again. A probe without a time
	// limit gets OpenFor. Defaults to 5 s.
	OpenFor time.Duration
	// OnChange is told of each change, from one of "closed", "open" and
	// "half-open" to another, in order and outside any lock, by the call that
	// caused it or one that came by. It may use the Guard. While it runs,
	// up to 64 further changes of that target are kept, then the oldest are
	// dropped. A panic in it is logged and goes no further.
	OnChange func(target, from, to string)
}

// A Quota is an allowance of calls that the other side counts. Package quota has
// one that processes share. Its methods may be called concurrently.
type Quota interface {
	// Take takes one attempt at target, or returns why there is none; the
	// attempt is then not made, nor the call repeated, and retry.After on the
	// error says when to come back. ctx is that of the call.
	Take(ctx context.Context, target string) error
	// Saw is told the status and header of each answer of target.
	Saw(ctx context.Context, target string, status int, h http.Header)
}

// An Observer watches operations begin and end. One value serves all rooms of
// this module; a tracer or a metrics library needs nothing else. A panic in one
// is logged and goes no further: who watches changes nothing.
type Observer interface {
	// Start is called when op begins and may return a context that carries a
	// span; the operation runs under it.
	Start(ctx context.Context, op string, attrs ...slog.Attr) context.Context
	// End is called with the context Start returned when op has ended.
	End(ctx context.Context, op string, err error, attrs ...slog.Attr)
}

func (o *Options) withDefaults() Options {
	var v Options
	if o != nil {
		v = *o
	}
	v.Timeout = orDefault(v.Timeout, 30*time.Second)
	v.TryTimeout = orDefault(v.TryTimeout, 10*time.Second)
	v.MaxInFlight = orDefault(v.MaxInFlight, 64)
	v.MaxQueue = orDefault(v.MaxQueue, v.MaxInFlight)
	v.MaxTargets = orDefault(v.MaxTargets, 1024)
	v.Breaker = v.Breaker.withDefaults()
	if v.Logger == nil {
		v.Logger = slog.New(slog.DiscardHandler)
	}
	if v.Observer != nil { // who is not watched does not pay for it
		v.Observer = hook.Guard(v.Observer, v.Logger)
	}
	return v
}

func (b Breaker) withDefaults() Breaker {
	if !(b.FailRatio > 0) {
		b.FailRatio = 0.5
	}
	b.FailRatio = min(b.FailRatio, 1)
	if b.MinCalls <= 0 {
		b.MinCalls = 10
	}
	if b.Window <= 0 {
		b.Window = 10 * time.Second
	}
	if b.OpenFor <= 0 {
		b.OpenFor = 5 * time.Second
	}
	return b
}

func orDefault[T int | time.Duration](v, d T) T {
	if v == 0 {
		return d
	}
	return v
}

package coalesce

import (
	"log/slog"
	"time"

	"github.com/crosstie/crosstie/internal/hook"
	"github.com/crosstie/crosstie/requestreply"
)

// BatcherOptions configure a [Batcher]. A nil *BatcherOptions is legal; each
// field that is zero means its default.
type BatcherOptions struct {
	// MaxKeys is how many keys one fetch is given at most: as many as the
	// other side takes in one request. Defaults to 100; a negative value means
	// no limit but MaxWaiting.
	MaxKeys int
	// Window is how long the first key of a batch waits for others. Every Load
	// is that much slower at most, unless MaxKeys is reached before or all
	// fetches in flight are taken. Defaults to 2 ms; with a negative value only
	// the keys of one LoadAll share a fetch.
	Window time.Duration
	// Timeout limits one fetch. Defaults to 30 s; a negative value means no
	// limit: a fetch then ends by itself or when all its callers have left.
	Timeout time.Duration
	// MaxInFlight is how many fetches run at a time. Defaults to 4; a negative
	// value means no limit.
	MaxInFlight int
	// MaxWaiting is how many keys may wait to be sent; one more is ErrFull.
	// Defaults to 10,000; a negative value means no limit.
	MaxWaiting int
	// Logger receives the panics of fetches that no caller waits for any
	// more. Nil is silent.
	Logger *slog.Logger
	// Observer watches fetches ("requestreply.batch"), with the number of
	// their keys and of the loads they serve. Nil watches nothing.
	Observer requestreply.Observer
}

// SharedOptions configure a [Shared]. A nil *SharedOptions is legal; each field
// that is zero means its default.
type SharedOptions struct {
	// Timeout limits one call. Defaults to 30 s; a negative value means no
	// limit: a call then ends by itself or when all its callers have left.
	Timeout time.Duration
	// MaxInFlight is how many calls, each for its key, run at a time; one more
	// is ErrFull. Defaults to 10,000; a negative value means no limit.
	MaxInFlight int
	// Logger receives the panics of calls that no caller waits for any more.
	// Nil is silent.
	Logger *slog.Logger
	// Observer watches calls ("requestreply.shared"). Nil watches nothing.
	Observer requestreply.Observer
}

func (o *BatcherOptions) withDefaults() BatcherOptions {
	var v BatcherOptions
	if o != nil {
		v = *o
	}
	v.MaxKeys = orDefault(v.MaxKeys, 100)
	v.Window = orDefault(v.Window, 2*time.Millisecond)
	v.Timeout = orDefault(v.Timeout, 30*time.Second)
	v.MaxInFlight = orDefault(v.MaxInFlight, 4)
	v.MaxWaiting = orDefault(v.MaxWaiting, 10_000)
	if v.Logger == nil {
		v.Logger = slog.New(slog.DiscardHandler)
	}
	if v.Observer != nil { // who is not watched does not pay for it
		v.Observer = hook.Guard(v.Observer, v.Logger)
	}
	return v
}

func (o *SharedOptions) withDefaults() SharedOptions {
	var v SharedOptions
	if o != nil {
		v = *o
	}
	v.Timeout = orDefault(v.Timeout, 30*time.Second)
	v.MaxInFlight = orDefault(v.MaxInFlight, 10_000)
	if v.Logger == nil {
		v.Logger = slog.New(slog.DiscardHandler)
	}
	if v.Observer != nil { // who is not watched does not pay for it
		v.Observer = hook.Guard(v.Observer, v.Logger)
	}
	return v
}

func orDefault[T int | time.Duration](v, d T) T {
	if v == 0 {
		return d
	}
	return v
}

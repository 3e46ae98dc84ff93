package fireforget

import (
	"log/slog"
	"slices"
	"time"

	"github.com/crosstie/crosstie/internal/hook"
)

// OutboxOptions configure an [Outbox]. Nil, and the zero value of each field,
// mean the default.
type OutboxOptions struct {
	// MaxBody is the largest encoded payload in bytes. Defaults to 256 KiB;
	// negative allows empty bodies only.
	MaxBody int
	// MaxPending is how many messages may wait in the store before Send
	// refuses with [ErrFull]. The count may be a second old, so that many
	// senders can pass it by what they send in a second. Defaults to
	// 1,000,000; negative is no limit.
	MaxPending int64
	// Wait makes Send and SendAll wait for room, as long as their context
	// allows, where they would return [ErrFull]. SendTx never waits, because
	// it would hold the caller's transaction open.
	Wait bool
	// Logger is told what no caller can be told. Nil is silent.
	Logger *slog.Logger
	// Observer sees each send. Nil is none.
	Observer Observer
}

func (o *OutboxOptions) withDefaults() OutboxOptions {
	var d OutboxOptions
	if o != nil {
		d = *o
	}
	if d.MaxBody == 0 {
		d.MaxBody = 256 << 10
	}
	d.MaxBody = max(d.MaxBody, 0)
	if d.MaxPending == 0 {
		d.MaxPending = 1_000_000
	}
	d.MaxPending = max(d.MaxPending, 0)
	d.Logger = orSilent(d.Logger)
	d.Observer = hook.Guard(d.Observer, d.Logger)
	return d
}

// RelayOptions configure a [Relay]. Nil, and the zero value of each field,
// mean the default.
type RelayOptions struct {
	// Lease is how long others wait for the messages of a relay that died;
	// it is extended every third of it. Between a kill and the next attempt
	// at most two leases pass. Defaults to 10 s, and is at least 100 ms.
	Lease time.Duration
	// Poll is how long messages of other processes, and messages whose time
	// has come, may wait to be seen. Messages sent in this process are seen
	// at once. Defaults to 250 ms.
	Poll time.Duration
	// Drain is how long attempts that are under way when Run's context ends
	// may take to finish; then their context ends, and what they have not
	// delivered is handed back without counting as a failure. Defaults to
	// 10 s; negative is no time at all.
	Drain time.Duration
	// Remember is how long the ID of a message named by its sender is
	// recognised when it is sent again, counted from its acceptance and at
	// least as long as the message is in the store. Defaults to 8 days;
	// negative is for ever.
	Remember time.Duration
	// Logger is told what no caller can be told. Nil is silent.
	Logger *slog.Logger
	// Observer sees each attempt and each batch written to the store. Nil is
	// none.
	Observer Observer
}

func (o *RelayOptions) withDefaults() RelayOptions {
	var d RelayOptions
	if o != nil {
		d = *o
	}
	d.Lease = max(orDefault(d.Lease, 10*time.Second), 100*time.Millisecond)
	d.Poll = max(orDefault(d.Poll, 250*time.Millisecond), time.Millisecond)
	d.Drain = max(orDefault(d.Drain, 10*time.Second), 0)
	d.Remember = orDefault(d.Remember, 8*24*time.Hour)
	d.Logger = orSilent(d.Logger)
	d.Observer = hook.Guard(d.Observer, d.Logger)
	return d
}

// RouteOptions configure one destination of a [Relay]. Nil, and the zero
// value of each field, mean the default.
type RouteOptions struct {
	// Concurrency is how many attempts run at once. Defaults to 16. Messages
	// of one key are always delivered one after another.
	Concurrency int
	// Timeout ends the context of an attempt. Defaults to 1 minute; negative
	// is no limit.
	Timeout time.Duration
	// Schedule has the waits after the first failed attempt, the second, and
	// so on: there is one attempt more than there are waits. Each wait grows
	// by up to a tenth of itself at random, and to a Retry-After that is
	// longer. Defaults to the example of the Standard Webhooks specification:
	// 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h, which is ten
	// attempts in 75 h 35 min. An empty slice that is not nil makes one
	// attempt. A negative wait is none; none is longer than ten years.
	Schedule []time.Duration
	// OnPoison says what becomes of the messages behind one that is parked.
	// Defaults to ParkMessage. It concerns messages with a key only.
	OnPoison Poison
}

func (o *RouteOptions) withDefaults() RouteOptions {
	var d RouteOptions
	if o != nil {
		d = *o
	}
	if d.Concurrency <= 0 {
		d.Concurrency = 16
	}
	d.Timeout = orDefault(d.Timeout, time.Minute)
	if d.Schedule == nil {
		d.Schedule = standardSchedule
	}
	d.Schedule = slices.Clone(d.Schedule)
	for i, wait := range d.Schedule {
		d.Schedule[i] = min(max(wait, 0), maxWait)
	}
	return d
}

// maxWait keeps sums of waits and instants from overflowing.
const maxWait = 10 * 365 * 24 * time.Hour

// standardSchedule is the example of the Standard Webhooks specification,
// without its first entry, which is no wait.
var standardSchedule = []time.Duration{
	5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour,
	10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
}

// A Poison says what happens to a key when its first message cannot be
// delivered: its attempts are used up, or it was refused for good.
type Poison int

const (
	// ParkMessage parks the message and goes on with the next of its key:
	// the key keeps its order but has a gap.
	ParkMessage Poison = iota
	// ParkKey parks the message and every later one of its key, in order,
	// until the key is redriven.
	ParkKey
	// Block keeps the message first and attempts it at the last wait of the
	// schedule for ever, so that nothing overtakes it. Only Expires ends it.
	Block
)

func orDefault(v, d time.Duration) time.Duration {
	if v == 0 {
		return d
	}
	return v
}

func orSilent(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l
}

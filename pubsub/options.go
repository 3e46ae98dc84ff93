package pubsub

import (
	"log/slog"
	"net/url"
	"slices"
	"time"

	"github.com/crosstie/crosstie/internal/hook"
	"github.com/crosstie/crosstie/retry"
)

// TopicOptions configure a [Topic]. Nil, and the zero value of each field,
// mean the default.
type TopicOptions struct {
	// Source is the CloudEvents source of what is published: a URI reference
	// that names this service. Defaults to "/" and the topic's name.
	Source string
	// Type is the CloudEvents type of what is published, and the one that is
	// read. Defaults to the topic's name.
	Type string
	// Schema names the version of T that is published: an absolute URI, such
	// as "urn:stock-changed:2". Defaults to none, which is a version too.
	Schema string
	// Accept has further schemas whose events the Codec can decode into T:
	// those of earlier versions, and "" for events that name none. An event
	// of a schema that is neither here nor Schema is not guessed at, it is
	// parked. Defaults to none.
	Accept []string
	// Codec encodes and decodes T. Defaults to [JSON].
	Codec Codec
	// MaxData is the largest encoded data in bytes. Defaults to 256 KiB;
	// negative allows empty data only.
	MaxData int
	// Logger is told of a panic of the Observer. Nil is silent.
	Logger *slog.Logger
	// Observer sees each publish. Nil is none.
	Observer Observer
}

// withDefaults panics at what is the program's mistake.
func (o *TopicOptions) withDefaults(topic string) TopicOptions {
	var d TopicOptions
	if o != nil {
		d = *o
	}
	if d.Source == "" {
		d.Source = "/" + topic
	}
	if d.Type == "" {
		d.Type = topic
	}
	if d.Codec == nil {
		d.Codec = JSON{}
	}
	d.MaxData = max(orDefault(d.MaxData, 256<<10), 0)
	d.Accept = slices.Clone(d.Accept)
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	d.Observer = hook.Guard(d.Observer, d.Logger)
	probe := Message{ID: "x", Source: d.Source, Type: d.Type, Schema: d.Schema, Time: time.Unix(0, 0)}
	if err := probe.check(); err != nil {
		panic("pubsub: NewTopic: " + err.Error())
	}
	if _, err := url.Parse(d.Source); err != nil {
		panic("pubsub: NewTopic: Source is not a URI reference")
	}
	if u, err := url.Parse(d.Schema); d.Schema != "" && (err != nil || u.Scheme == "") {
		panic("pubsub: NewTopic: Schema is not an absolute URI, such as \"urn:stock-changed:2\"")
	}
	return d
}

// SubscribeOptions configure a [Subscription]. Nil, and the zero value of each
// field, mean the default.
type SubscribeOptions struct {
	// Groups keeps the cursors. Defaults to the topic's log, if it is a
	// Groups too, as those of this module are; else it must be set.
	Groups Groups
	// Start is where a group that does not exist yet begins. Defaults to the
	// oldest event the log keeps. A group that exists goes on at its cursor.
	Start Start
	// Shards is how many parts the group has; keys are spread over them, and
	// each is read by one process at a time. It belongs to the group: all its
	// subscriptions have the same. Defaults to 1; at most 1,024.
	Shards int
	// MaxShards is how many shards this subscription holds at once, at most.
	// Defaults to all: then the first process to run does all the work and
	// the others stand by.
	MaxShards int
	// InFlight is how many handlers run at once in each shard. Defaults to 16.
	// Events of one key are always handled one after another.
	InFlight int
	// Window is how many events of a shard may be read beyond the saved
	// cursor: how many are handled again after a crash, at most, and how many
	// go on behind a key that waits for its retry. Defaults to 1,024.
	Window int
	// Retry says how often an event is tried and how long its key waits in
	// between. Its defaults here are 12 attempts, a Base of 200 ms and a Max
	// of 1 minute, which is about two minutes in all. Its Budget is not used.
	Retry retry.Policy
	// Timeout ends the context of one attempt. Defaults to 1 minute; negative
	// is no limit.
	Timeout time.Duration
	// Gone is what to do when the log no longer has what follows the cursor.
	// Defaults to GoneFail.
	Gone Gone
	// Types are the event types that are handed to the handler; events of
	// others are passed over. Defaults to all: then an event that is not of
	// the topic's own type is parked as unreadable.
	Types []string
	// Filter, if set, decides which events are handed to the handler; the
	// others are passed over. A panic in it counts as a failed attempt.
	Filter func(Message) bool
	// Lease is how long others wait for the shards of a process that died; it
	// is extended every third of it. Between a kill and the next attempt at
	// most two leases pass. Defaults to 10 s, and is at least 100 ms.
	Lease time.Duration
	// Poll is how long events of other processes may wait to be seen. Events
	// published in this process are seen at once. Defaults to 250 ms.
	Poll time.Duration
	// Drain is how long handlers that run when Run's context ends may take to
	// finish; then their context ends, and what they have not done stays
	// unread. Defaults to 10 s; negative is no time at all.
	Drain time.Duration
	// Logger is told what no caller can be told. Nil is silent.
	Logger *slog.Logger
	// Observer sees each attempt and each save of a cursor. Nil is none.
	Observer Observer
}

const maxShards = 1024

func (o *SubscribeOptions) withDefaults() SubscribeOptions {
	var d SubscribeOptions
	if o != nil {
		d = *o
	}
	d.Shards = min(max(d.Shards, 1), maxShards)
	if d.MaxShards <= 0 {
		d.MaxShards = d.Shards
	}
	if d.InFlight <= 0 {
		d.InFlight = 16
	}
	if d.Window <= 0 {
		d.Window = 1024
	}
	d.Retry.MaxAttempts = max(orDefault(d.Retry.MaxAttempts, 12), 1)
	d.Retry.Base = orDefault(d.Retry.Base, 200*time.Millisecond)
	d.Retry.Max = orDefault(d.Retry.Max, time.Minute)
	d.Retry.Budget = nil
	d.Timeout = orDefault(d.Timeout, time.Minute)
	d.Lease = max(orDefault(d.Lease, 10*time.Second), 100*time.Millisecond)
	d.Poll = max(orDefault(d.Poll, 250*time.Millisecond), time.Millisecond)
	d.Drain = max(orDefault(d.Drain, 10*time.Second), 0)
	d.Types = slices.Clone(d.Types)
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	d.Observer = hook.Guard(d.Observer, d.Logger)
	return d
}

// A Gone says what a subscription does when the log no longer has what
// follows its cursor.
type Gone int

const (
	// GoneFail ends Run with an error that wraps [ErrGone].
	GoneFail Gone = iota
	// GoneEarliest goes on with the oldest event that is kept, and logs what
	// is missing as "history_gone".
	GoneEarliest
	// GoneLatest goes on with what is appended from now on, and logs that too.
	GoneLatest
)

func orDefault[T int | time.Duration](v, d T) T {
	if v == 0 {
		return d
	}
	return v
}

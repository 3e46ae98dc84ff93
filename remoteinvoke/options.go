package remoteinvoke

import (
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/crosstie/crosstie/internal/hook"
	"github.com/crosstie/crosstie/internal/lease"
	"github.com/crosstie/crosstie/internal/redirect"
	"github.com/crosstie/crosstie/retry"
	"github.com/crosstie/crosstie/webhook"
)

// ServiceOptions configure a [Service]. Nil, and the zero value of each field,
// mean the default. Processes that share a service's jobs should agree on
// them.
type ServiceOptions struct {
	// Workers is how many jobs run at once in one Run. Defaults to 16.
	Workers int
	// Retry says how often a job is attempted, a process that dies included,
	// and how long it waits after an attempt that failed. To wait costs a
	// durable job nothing, so its defaults are patient: 10 attempts, waits of
	// up to 1 s that double each time up to 5 min, and a Retry-After of any
	// length, if the job's Timeout allows it. Its Budget is not used.
	Retry retry.Policy
	// QueueTimeout is how long a job may wait to begin. Defaults to Timeout;
	// negative is no limit.
	QueueTimeout time.Duration
	// RunTimeout ends the context of one attempt. Defaults to 1 h; negative
	// is no limit.
	RunTimeout time.Duration
	// Timeout is how long a job may take from its start to its end. A caller
	// may ask for less. Defaults to 24 h; negative is no limit.
	Timeout time.Duration
	// KeepResult is how long a job's result can be fetched after its end.
	// Defaults to 24 h, and is at least 1 min.
	KeepResult time.Duration
	// Remember is how long a job's id and status are known after its end; a
	// start that is repeated later begins a new job. Defaults to 8 days, and
	// is never shorter than KeepResult.
	Remember time.Duration
	// MaxPending is how many jobs may have not ended before a start is
	// refused with [ErrFull]. The count may be a second old. Defaults to
	// 100,000; negative is no limit.
	MaxPending int64
	// MaxInput, MaxResult and MaxSaved limit a job's input, its result and
	// what it saves, in bytes of JSON. Each defaults to 1 MiB.
	MaxInput, MaxResult, MaxSaved int

	// Caller tells who sent a request, as authenticated, never as the
	// request merely says. Jobs belong to their callers: nobody else sees
	// them. An error is answered 401, with the challenge "Bearer" unless
	// who wraps the service has set WWW-Authenticate. Nil makes all requests those of one
	// caller, whose name is empty.
	Caller func(*http.Request) (string, error)
	// Callbacks says how a caller may be called back. It is asked when a job
	// is started and again before each callback, so that secrets are nowhere
	// stored; an error is tried again then. Nil, and a Target that allows
	// nothing, refuse starts that ask for a callback with [ErrCallback].
	Callbacks func(caller string) (Target, error)
	// CallbackSchedule has the waits after the first failed attempt to call
	// back, the second, and so on. Each grows by up to a tenth of itself at
	// random, and to a Retry-After that is longer. Defaults to the example of
	// the Standard Webhooks specification, ten attempts in 75 h 35 min. An
	// empty slice that is not nil makes one attempt.
	CallbackSchedule []time.Duration
	// CallbackTimeout limits one attempt. Defaults to 20 s.
	CallbackTimeout time.Duration
	// CallbackClient sends callbacks. Defaults to webhook.NewClient(nil),
	// which connects to public addresses only. Redirects are never followed.
	CallbackClient *http.Client

	// Lease is how long others wait for the jobs of a process that died; it
	// is extended every third of it, when also a cancel is noticed that
	// another process was asked for. Defaults to 10 s, and is at least
	// 100 ms.
	Lease time.Duration
	// Poll is how long jobs started in other processes, and jobs whose time
	// has come, may wait to be seen. Defaults to 250 ms.
	Poll time.Duration
	// Drain is how long functions that run when Run's context ends may take
	// to return; then their contexts end, and their jobs are handed back.
	// Defaults to 10 s; negative is no time at all.
	Drain time.Duration
	// Logger is told what no caller can be told: errors of functions among
	// it. Nil is silent.
	Logger *slog.Logger
	// Observer sees each "start", "run" of a job, and "callback". Nil is
	// none.
	Observer Observer
}

// A Target says where a caller may be called back, and with which secret.
type Target struct {
	// Allow has URLs. A callback may go to one of them or below it: with the
	// same scheme, host and port, and a path that is the same or begins with
	// it and a slash. They must be https, unless their scheme is http.
	Allow []string
	// Sign signs the callbacks: the secret that this caller and nobody else
	// shares with the service.
	Sign webhook.Signer
}

// maxWait keeps sums of instants and waits from overflowing.
const maxWait = 10 * 365 * 24 * time.Hour

// standardSchedule is the example of the Standard Webhooks specification,
// without its first entry, which is no wait.
var standardSchedule = []time.Duration{
	5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour,
	10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
}

func (o *ServiceOptions) withDefaults() ServiceOptions {
	var d ServiceOptions
	if o != nil {
		d = *o
	}
	if d.Workers <= 0 {
		d.Workers = 16
	}
	d.Retry.Budget = nil
	if d.Retry.MaxAttempts == 0 {
		d.Retry.MaxAttempts = 10
	}
	d.Retry.Base = orDefault(d.Retry.Base, time.Second)
	d.Retry.Max = orDefault(d.Retry.Max, 5*time.Minute)
	d.Retry.MaxRetryAfter = orDefault(d.Retry.MaxRetryAfter, maxWait)
	d.Timeout = limit(d.Timeout, 24*time.Hour)
	d.QueueTimeout = limit(d.QueueTimeout, d.Timeout)
	d.RunTimeout = limit(d.RunTimeout, time.Hour)
	d.KeepResult = max(limit(d.KeepResult, 24*time.Hour), time.Minute)
	d.Remember = max(limit(d.Remember, 8*24*time.Hour), d.KeepResult)
	if d.MaxPending == 0 {
		d.MaxPending = 100_000
	}
	d.MaxPending = max(d.MaxPending, 0)
	for _, n := range []*int{&d.MaxInput, &d.MaxResult, &d.MaxSaved} {
		if *n <= 0 {
			*n = 1 << 20
		}
	}
	if d.CallbackSchedule == nil {
		d.CallbackSchedule = standardSchedule
	}
	d.CallbackSchedule = slices.Clone(d.CallbackSchedule)
	for i, wait := range d.CallbackSchedule {
		d.CallbackSchedule[i] = min(max(wait, time.Millisecond), maxWait)
	}
	if d.CallbackTimeout <= 0 {
		d.CallbackTimeout = 20 * time.Second
	}
	client := webhook.NewClient(nil)
	if d.CallbackClient != nil {
		*client = *d.CallbackClient
		// A 307 would carry the signed body to whoever the receiver names.
		redirect.Refuse(client)
	}
	d.CallbackClient = client
	d.Lease = max(orDefault(d.Lease, lease.Default), 100*time.Millisecond)
	d.Poll = max(orDefault(d.Poll, 250*time.Millisecond), time.Millisecond)
	d.Drain = max(orDefault(d.Drain, 10*time.Second), 0)
	d.Logger = orSilent(d.Logger)
	d.Observer = hook.Guard(d.Observer, d.Logger)
	return d
}

// attempts is how often a job may be begun.
func (o *ServiceOptions) attempts() int {
	return max(o.Retry.MaxAttempts, 1)
}

// limit returns d, its default for zero, and zero for none.
func limit(d, def time.Duration) time.Duration {
	return min(max(orDefault(d, def), 0), maxWait)
}

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

// StartOptions are the optional parts of a start. Nil, and the zero value of
// each field, mean the default.
type StartOptions struct {
	// ID names the job; a start that is repeated with it cannot begin a
	// second one. 1 to 128 of A-Z a-z 0-9 _ and -. One is made by default.
	ID string
	// Timeout is how long the job may take from now on. Defaults to the
	// service's, and is never longer.
	Timeout time.Duration
	// Callback is the URL to tell of the job's end. It defaults to the URL of
	// the client's Callbacks, and to none.
	Callback string
}

package server

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/crosstie/crosstie/internal/hook"
	"github.com/crosstie/crosstie/internal/lease"
	"github.com/crosstie/crosstie/requestreply"
)

// Options configure [Handle], [HandleTx] and [Idempotent]. A nil *Options is
// legal; each field that is zero means its default.
type Options struct {
	// MaxBody limits a request's body, in bytes; a longer one is answered
	// 413. Defaults to 1 MiB; a negative value means no limit.
	MaxBody int64
	// Timeout limits the answering of one request: the function's context
	// ends then, and under HandleTx nothing is begun after it. The context in
	// a transaction is the store's: that of sqlstore ends at its own TxLimit
	// (5 s) and not before. A caller that tells how long it waits
	// (requestreply.TimeLeftHeader) can shorten it. Defaults to 30 s; a negative
	// value means no limit of ours.
	Timeout time.Duration
	// AllowUnknown accepts JSON members the request type does not have, and
	// query parameters where its fields are tagged. By default they are
	// answered 400. Not used by Idempotent.
	AllowUnknown bool
	// Complete answers 400 to a body that lacks a member of the request type,
	// or has null for it. Pointers, interfaces and what is tagged omitempty or
	// omitzero may be missing; an array must have its length, bytes are a text
	// in base64, and a json.Number is none. A query parameter is answered 400 too
	// where no field is tagged, unless AllowUnknown takes it. By default what is
	// missing is zero. Not used by Idempotent.
	Complete bool
	// Status is that of an answer with a body, 200 to 299 but 204 and 205.
	// Defaults to 200. Not used by Idempotent.
	Status int

	// Scope tells callers apart: a key is compared within its scope only.
	// Return the caller's identity as authenticated, never what a request
	// merely says, and nothing that changes between two attempts, such as an
	// access token. Used by HandleTx, where nil puts all callers into one
	// scope; for Idempotent it is a parameter.
	Scope func(*http.Request) string
	// KeyOptional lets requests without an Idempotency-Key through, as often
	// as they come. By default they are answered 400. Not used by Handle.
	KeyOptional bool
	// Lease is how long a key stays claimed by a process that died. While a
	// request is being answered its lease is renewed. Defaults to 10 s.
	Lease time.Duration
	// Keep is how long an answer is kept to be replayed. Tell your callers:
	// a repeat that comes later is a new request. Defaults to 24 h; a
	// negative value keeps none.
	Keep time.Duration
	// MaxReply is the longest body that is stored, in bytes. A longer answer
	// is sent to the first caller but not kept: its repeat is answered 409
	// with the reason. Defaults to 1 MiB, as does a negative value.
	MaxReply int

	// Logger receives the errors no caller is told. Nil is silent.
	Logger *slog.Logger
	// Observer watches requests ("requestreply/server.request"). Nil watches
	// nothing.
	Observer requestreply.Observer
}

func (o *Options) withDefaults() Options {
	var v Options
	if o != nil {
		v = *o
	}
	v.MaxBody = orDefault(v.MaxBody, 1<<20)
	v.Timeout = orDefault(v.Timeout, 30*time.Second)
	v.Keep = max(0, orDefault(v.Keep, 24*time.Hour))
	if v.Status == 0 {
		v.Status = http.StatusOK
	}
	if v.Lease <= 0 {
		v.Lease = lease.Default
	}
	if v.MaxReply <= 0 {
		v.MaxReply = 1 << 20
	}
	if v.Scope == nil {
		v.Scope = func(*http.Request) string { return "" }
	}
	if v.Logger == nil {
		v.Logger = slog.New(slog.DiscardHandler)
	}
	if v.Observer != nil { // who is not watched does not pay for it
		v.Observer = hook.Guard(v.Observer, v.Logger)
	}
	return v
}

func orDefault[T int64 | time.Duration](v, d T) T {
	if v == 0 {
		return d
	}
	return v
}

package fireforget

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/crosstie/crosstie/inbox"
	"github.com/crosstie/crosstie/internal/hook"
	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/retry"
	"github.com/crosstie/crosstie/webhook"
)

// ReceiverOptions configure [NewReceiver]. Nil, and the zero value of each
// field, mean the default.
type ReceiverOptions struct {
	// EventTime says when a message was made, by which the inbox decides
	// whether it is too old to know. The signature's time is no answer: it is
	// new on each attempt. By default, and when EventTime returns zero, it is
	// the time in the id if that is a UUID of version 7, as ours are, and
	// else the first sight, so that a message whose id the inbox has
	// forgotten counts as new.
	EventTime func(webhook.Message) time.Time
	// Quarantine is told of each message that was refused as too old or too
	// new, with an [*Error] that wraps [inbox.ErrTooOld] or
	// [inbox.ErrTooNew]. The sender parks it in any case. Nil tells nobody
	// but the log.
	Quarantine func(ctx context.Context, m webhook.Message, err error)
	// Logger is told what was refused and why. Nil is silent.
	Logger *slog.Logger
	// Observer sees each message. Nil is none.
	Observer Observer
}

// NewReceiver returns a handler of signed webhooks. It verifies the request
// with v, which also caps its body, then runs fn in one transaction with the
// record of the message's id in in, and only then answers: 204 when the
// effect is durable, by this delivery or an earlier one. fn writes through
// its transaction and sees each id once inside the inbox's window, however
// often the message is delivered.
//
// Other answers: 400, 401 and 413 for a request that does not verify; 405 for
// a method that is not POST; 422 for a message the inbox refuses as too old
// or too new, and for an error of fn marked by [retry.Permanent] or not
// transient by its own word: the sender gives up; 503 with Retry-After for an
// error marked by [retry.After], and 500 for any other: the sender comes
// back. The text of an error is never answered.
//
// It panics if in or fn is nil.
func NewReceiver(v webhook.Verifier, in *inbox.Inbox, fn func(ctx context.Context, tx *sql.Tx, m webhook.Message) error, o *ReceiverOptions) http.Handler {
	if in == nil || fn == nil {
		panic("fireforget: NewReceiver needs an inbox and a function")
	}
	r := &receiver{verifier: v, inbox: in, fn: fn}
	if o != nil {
		r.o = *o
	}
	r.o.Logger = orSilent(r.o.Logger)
	r.o.Observer = hook.Guard(r.o.Observer, r.o.Logger)
	return r
}

type receiver struct {
	verifier webhook.Verifier
	inbox    *inbox.Inbox
	fn       func(context.Context, *sql.Tx, webhook.Message) error
	o        ReceiverOptions
}

func (rc *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "a webhook is a POST", http.StatusMethodNotAllowed)
		return
	}
	m, err := rc.verifier.Read(r)
	if err != nil {
		rc.o.Logger.Warn("webhook_refused", "error", err)
		http.Error(w, "the webhook was not accepted", webhook.Status(err))
		return
	}
	id := slog.String("id", m.ID)
	ctx := rc.o.Observer.Start(r.Context(), "receive", id)
	err = rc.take(ctx, m)
	rc.o.Observer.End(ctx, "receive", err, id)
	if err == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	rc.o.Logger.Warn("webhook_failed", "id", m.ID, "error", err)
	status := http.StatusInternalServerError
	text := "the webhook was not processed: send it again"
	if after, ok := retry.AfterOf(err); ok {
		w.Header().Set("Retry-After", strconv.FormatInt(int64(math.Ceil(after.Seconds())), 10))
		status = http.StatusServiceUnavailable
	}
	if refused(err) {
		w.Header().Del("Retry-After")
		status, text = http.StatusUnprocessableEntity, "the webhook is refused for good"
	}
	http.Error(w, text, status)
}

// refused reports whether the message is at fault, and not what keeps it: a
// store that is read-only or stopped does not pass by itself either, and yet
// the message is as good as it was.
func refused(err error) bool {
	if in, ok := errors.AsType[*inbox.Error](err); ok {
		return errors.Is(in, inbox.ErrTooOld) || errors.Is(in, inbox.ErrTooNew)
	}
	return isPermanent(err)
}

func (rc *receiver) take(ctx context.Context, m webhook.Message) error {
	var at time.Time
	if rc.o.EventTime != nil {
		at = rc.o.EventTime(m)
	}
	err := rc.inbox.Do(ctx, m.ID, at, func(ctx context.Context, tx *sql.Tx) error { return rc.fn(ctx, tx, m) })
	if err == nil {
		return nil
	}
	err = &Error{Op: "receive", ID: m.ID, Known: outcome.Of(err), Err: err}
	if rc.o.Quarantine != nil && (errors.Is(err, inbox.ErrTooOld) || errors.Is(err, inbox.ErrTooNew)) {
		rc.o.Quarantine(ctx, m, err)
	}
	return err
}

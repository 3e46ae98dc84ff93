package outbound

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"runtime/debug"
	"strings"
	"time"

	"github.com/crosstie/crosstie/inbox"
	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/requestreply/soap"
	"github.com/crosstie/crosstie/retry"
)

// A Notification says that a record was saved, and what it was like when this
// was sent.
type Notification[T any] struct {
	// ID is the notification's own, the same in each repeat.
	ID string
	// OrganizationID is the org's, as it was sent.
	OrganizationID string
	// ActionID is the id of the outbound message that an administrator made.
	ActionID string
	// SObject is the record.
	SObject T
}

// A Listener is the endpoint of outbound messages for one object of one org: an
// http.Handler. It is made by [New] and is safe for concurrent use.
type Listener struct {
	object  string
	columns []column
	byName  map[string]column // in lower case
	sender  Sender
	inbox   *inbox.Inbox
	o       Options
	log     *slog.Logger
	mux     *soap.Mux
	// run decodes a notification and makes its effect, unless it is known.
	run func(ctx context.Context, key string, m *message, n *notification) error
}

// New returns a listener for the notifications of an object, such as Account or
// Invoice__c, that the sender sends. For each notification it runs fn in one
// transaction with the record of its id in in, and acknowledges a message when
// all of its notifications are durable. fn writes through its transaction and
// sees each id once inside the inbox's window. When it fails, or panics, the
// notification stays new.
//
// T is a struct whose fields have the API names of the record's in their `json`
// tags, as elsewhere in package salesforce, whose Time, Date and Int read the
// org's forms. Null is the zero value, or a pointer nil; null and absent are
// one, since the org leaves null fields out, but for a json.RawMessage, which is
// null or stays empty. Fields that T lacks are passed over, and a field that
// does not fit is an error that names it.
//
// o may be nil. An error names what could never work.
func New[T any](object string, from Sender, in *inbox.Inbox, fn func(ctx context.Context, tx *sql.Tx, n Notification[T]) error, o *Options) (*Listener, error) {
	l := &Listener{object: object, columns: columns(reflect.TypeFor[T]()), byName: map[string]column{}, sender: from, inbox: in}
	err := from.check()
	if err == nil {
		l.o, err = o.withDefaults()
	}
	switch {
	case err != nil:
	case object == "" || strings.Trim(object, alphabet+"_") != "":
		err = errors.New("the object has no API name: give one such as Account or Invoice__c")
	case reflect.TypeFor[T]().Kind() != reflect.Struct || len(l.columns) == 0:
		err = fmt.Errorf("%s is no struct with fields: give them `json` tags with the API names of the record's", reflect.TypeFor[T]())
	case in == nil || fn == nil:
		err = errors.New("an inbox and a function are needed")
	}
	if err != nil {
		return nil, fmt.Errorf("salesforce/outbound: new: %w", err)
	}
	for _, c := range l.columns {
		l.byName[strings.ToLower(c.name)] = c
	}
	l.log = l.o.Logger
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	l.run = func(ctx context.Context, key string, m *message, n *notification) error {
		v := Notification[T]{ID: n.ID, OrganizationID: m.OrganizationID, ActionID: m.ActionID}
		if err := n.SObject.decode(&v.SObject, object, l.byName); err != nil {
			return err
		}
		return in.Do(ctx, key, time.Time{}, func(ctx context.Context, tx *sql.Tx) error { return fn(ctx, tx, v) })
	}
	l.mux = soap.NewMux(&soap.Options{
		Limits:  soap.Limits{Bytes: l.o.MaxBytes, Depth: 16},
		Timeout: l.o.Timeout, Logger: l.o.Logger, Observer: watch{l.o.Observer, l.log},
	})
	soap.Handle(l.mux, "", l.take)
	return l, nil
}

// ServeHTTP implements [http.Handler].
func (l *Listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if status, err := l.sender.admit(r); status != 0 {
		l.log.WarnContext(r.Context(), "outbound_message_refused", "status", status, "error", err)
		http.Error(w, http.StatusText(status), status)
		return
	}
	if r.Method == http.MethodGet && strings.EqualFold(r.URL.RawQuery, "wsdl") {
		l.describe(w, r)
		return
	}
	if l.o.Timeout > 0 { // a writer that cannot is one of a test
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(l.o.Timeout))
	}
	l.mux.ServeHTTP(w, r)
}

// watch logs what the Mux tells its caller alone, which here is nobody who reads
// it: what could not be read as a message.
type watch struct {
	requestreply.Observer // may be nil
	log                   *slog.Logger
}

func (w watch) Start(ctx context.Context, op string, attrs ...slog.Attr) context.Context {
	if w.Observer == nil {
		return ctx
	}
	return w.Observer.Start(ctx, op, attrs...)
}

func (w watch) End(ctx context.Context, op string, err error, attrs ...slog.Attr) {
	if _, chosen := errors.AsType[*soap.Fault](err); err != nil && !chosen {
		w.log.WarnContext(ctx, "outbound_message_unread", "error", err)
	}
	if w.Observer != nil {
		w.Observer.End(ctx, op, err, attrs...)
	}
}

// take makes the effects of a message.
func (l *Listener) take(ctx context.Context, m message) (reply, error) {
	if err := l.check(&m); err != nil {
		l.log.WarnContext(ctx, "outbound_message_refused", "error", err)
		return reply{}, err
	}
	var fault *soap.Fault
	var panicked any
	ack := true
	for i := range m.Notifications {
		if ctx.Err() != nil {
			l.log.WarnContext(ctx, "outbound_message_unfinished", "done", i, "of", len(m.Notifications))
			return reply{}, nil
		}
		n := &m.Notifications[i]
		p, err := l.one(ctx, &m, n)
		if p != nil && panicked == nil {
			panicked = p
		}
		if err == nil {
			continue
		}
		ack = false
		l.log.WarnContext(ctx, "outbound_notification_failed", "id", n.ID, "error", err)
		if bad, ok := errors.AsType[*misfit](err); ok && fault == nil {
			// Of the others some may have taken effect.
			fault = &soap.Fault{Code: "Client", Text: fmt.Sprintf("/Envelope/Body/notifications/Notification[%d]/%s", i+1, bad), Known: outcome.Unknown.String()}
		}
	}
	switch {
	case panicked != nil:
		panic(panicked)
	case fault != nil:
		return reply{}, fault
	}
	return reply{Ack: ack}, nil
}

// check refuses a message before anything of it takes effect.
func (l *Listener) check(m *message) error {
	where, what := "", ""
	switch n := len(m.Notifications); {
	case !isID(m.OrganizationID) || identity(m.OrganizationID) != identity(l.sender.OrganizationID):
		where, what = "/OrganizationId", "this listener is another organisation's"
	case !isID(m.ActionID):
		where, what = "/ActionId", "want an id of 15 or 18 characters"
	case n == 0:
		what = "want at least one Notification"
	case n > most:
		what = fmt.Sprintf("more than %d Notifications", most)
	}
	for i, n := range m.Notifications {
		if what == "" && !isID(n.ID) {
			where, what = fmt.Sprintf("/Notification[%d]/Id", i+1), "want an id of 15 or 18 characters"
		}
	}
	if what == "" {
		return nil
	}
	return &soap.Fault{Code: "Client", Text: "/Envelope/Body/notifications" + where + ": " + what, Known: outcome.Refused.String()}
}

// one makes the effect of a notification, or parks it. A panic waits until the
// others were tried: else those behind it would wait for a day and be lost.
func (l *Listener) one(ctx context.Context, m *message, n *notification) (panicked any, err error) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			panicked, err = p, errors.New("panicked")
		default:
			panicked, err = fmt.Sprintf("%v\n\n%s", p, debug.Stack()), errors.New("panicked")
		}
	}()
	key := identity(m.OrganizationID) + "/" + identity(n.ID)
	err = l.run(ctx, key, m, n)
	if err == nil || l.o.Park == nil || !forGood(err) {
		return nil, err
	}
	parked := Parked{
		ID: n.ID, OrganizationID: m.OrganizationID, ActionID: m.ActionID,
		Object: cmp.Or(n.SObject.typ, l.object), Fields: n.SObject.raw(), Err: err,
	}
	err = l.inbox.Do(ctx, key, time.Time{}, func(ctx context.Context, tx *sql.Tx) error { return l.o.Park(ctx, tx, parked) })
	if err != nil {
		return nil, errors.Join(parked.Err, fmt.Errorf("park: %w", err))
	}
	l.log.WarnContext(ctx, "outbound_notification_parked", "id", n.ID, "error", parked.Err)
	return nil, nil
}

// forGood says whether a repeat could only fail again.
func forGood(err error) bool {
	if _, ok := errors.AsType[*misfit](err); ok {
		return true
	}
	if _, ok := errors.AsType[*inbox.Error](err); ok {
		return false // the store's trouble, not the notification's
	}
	transient, says := outcome.Transient(err)
	return retry.IsPermanent(err) || says && !transient
}

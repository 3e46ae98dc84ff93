package sftest

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// An OutboundMessage is a rule of the org: the save of a record sends it, as SOAP,
// to an endpoint. [Org.AddOutboundMessage] turns it on.
type OutboundMessage struct {
	// Object is the sObject whose saves send it.
	Object string `json:"object"`
	// Fields are those of the record that are sent besides Id. Default none.
	Fields []string `json:"fields,omitempty"`
	// URL is where it is sent to: on this machine, unless Transport is set.
	URL string `json:"url"`
	// SessionID sends a token of the org along, as the rule's setting does. Its
	// default, false, sends none.
	SessionID bool `json:"sessionId,omitempty"`
	// When says which creates and updates send it. It is asked while the org is
	// locked, so it must not call it. Default nil: all.
	When func(Change) bool `json:"-"`
	// MaxDelay is the longest wait between two attempts, which begins with 15 s
	// and doubles. Default 2 h, as the API guide says; the guide to patterns says
	// 60 minutes.
	MaxDelay time.Duration `json:"-"`
	// Transport makes the attempts. Default nil: one of its own that uses no
	// proxy. One that is given may go anywhere.
	Transport http.RoundTripper `json:"-"`
}

// A Notification is one save that an [OutboundMessage] tells of.
type Notification struct {
	// ID is the notification's own, the same in each attempt.
	ID string `json:"id"`
	// ActionID is the OutboundMessage's, as AddOutboundMessage gave it.
	ActionID string `json:"actionId"`
	// Object and RecordID say which row.
	Object   string `json:"object"`
	RecordID string `json:"recordId"`
	// Created is when the row was saved.
	Created time.Time `json:"created"`
	// State is queued, acknowledged, void (the record is gone, nothing was sent)
	// or dropped (24 hours have passed).
	State string `json:"state"`
	// Attempts is how many messages it was in, and Next when the next attempt is
	// due while it is queued.
	Attempts int       `json:"attempts"`
	Next     time.Time `json:"next"`
	// Failure says why the last attempt failed.
	Failure string `json:"failure,omitempty"`
}

// The states of a notification.
const (
	queued       = "queued"
	acknowledged = "acknowledged"
	void         = "void"
	dropped      = "dropped"
)

const (
	notificationsMost = 100              // in one message
	outboundFirst     = 15 * time.Second // until the second attempt
	outboundLife      = 24 * time.Hour
	outboundWait      = time.Minute // for an answer
)

// A rule is an OutboundMessage that is on.
type rule struct {
	OutboundMessage
	action string
	object *object
	fields []*field
	client http.RoundTripper
	wake   chan struct{} // holds one: there is something to do

	waiting []*Notification // those that are queued; under the lock of the org
}

// AddOutboundMessage turns a rule on and gives the id of its action. From then on
// saves that fit are queued and sent, in messages of up to 100, at once and then
// until the endpoint answers with an Ack of true, for 24 hours. A message bears the
// values of the time when it is sent; in which order is left to chance, that of
// the seed. A deleted record is not told of. The error says what is wrong with
// the rule.
func (o *Org) AddOutboundMessage(m OutboundMessage) (actionID string, err error) {
	bad := func(format string, args ...any) (string, error) {
		return "", fmt.Errorf("sftest: outbound message: "+format, args...)
	}
	r := &rule{OutboundMessage: m, object: o.schema.object(m.Object), wake: make(chan struct{}, 1)}
	if r.object == nil || r.object.event {
		return bad("%q is no object of the org", m.Object)
	}
	for _, name := range m.Fields {
		f := r.object.field(name)
		if f == nil || f.at == atID {
			return bad("%s has no field %q to send; Id comes by itself", r.object.Name, name)
		}
		r.fields = append(r.fields, f)
	}
	u, err := url.Parse(m.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return bad("its URL is no absolute http or https URL")
	case m.Transport == nil && !loopback(u.Hostname()):
		return bad("%q is not of this machine: give a Transport, if the test may call it", u.Hostname())
	case m.MaxDelay < 0:
		return bad("a negative MaxDelay")
	}
	if r.MaxDelay == 0 {
		r.MaxDelay = 2 * time.Hour
	}
	if r.client = m.Transport; r.client == nil {
		r.client = &http.Transport{Proxy: nil, IdleConnTimeout: outboundWait}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed() {
		return bad("the org is closed")
	}
	r.action = o.data.ids.make("04k")
	o.rules = append(o.rules, r)
	o.workers.Go(func() { o.sendAll(r) })
	return r.action, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// queueNotes queues what a write sends; the lock is held.
func (o *Org) queueNotes(c Change, obj *object, values []any) {
	if c.Op == "delete" {
		return
	}
	for _, r := range o.rules {
		if r.object != obj {
			continue
		}
		if c.Row = obj.plain(values); r.When != nil && !r.When(c) {
			continue
		}
		n := &Notification{
			ID: o.data.ids.make("04l"), ActionID: r.action, Object: obj.Name, RecordID: c.ID,
			Created: c.Time, State: queued, Next: c.Time,
		}
		o.notes, r.waiting = append(o.notes, n), append(r.waiting, n)
		r.stir()
	}
	if over := len(o.notes) - o.opts.Journal; over > o.opts.Journal/8 {
		o.notes = slices.DeleteFunc(o.notes, func(n *Notification) bool {
			over--
			return over >= 0 && n.State != queued
		})
	}
}

// stir wakes the sender of a rule.
func (r *rule) stir() {
	select {
	case r.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// Notifications lists what outbound messages tell of, in the order of the saves:
// the queue of the org's Setup, and what has left it.
func (o *Org) Notifications() []Notification {
	o.mu.Lock()
	defer o.mu.Unlock()
	var list []Notification
	for _, n := range o.notes {
		list = append(list, *n)
	}
	return list
}

// RetryNotifications makes the next attempt of every notification that is queued
// due now, as the link Retry of the org's Setup does.
func (o *Org) RetryNotifications() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, r := range o.rules {
		for _, n := range r.waiting {
			n.Next = time.Now()
		}
		r.stir()
	}
}

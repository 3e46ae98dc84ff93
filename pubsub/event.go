package pubsub

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/crosstie/crosstie/internal/id"
)

// An Event is something that happened, with its data. Publishers fill in Key
// and Data, and the other fields of the first group if they want to.
type Event[T any] struct {
	// ID names the event. Publish makes one, which sorts by time. An event
	// published again under the same ID is a second entry of the log, which
	// an inbox recognises. At most 150 visible ASCII characters.
	ID string
	// Key orders events: those of one key are handled one after another, in
	// the order of the log. Events with no Key have no order. At most 512
	// bytes.
	Key string
	// Subject is what the event is about, inside the topic: an order's
	// number, a file's name. At most 512 bytes.
	Subject string
	// Time is when it happened, to the microsecond. Defaults to the moment of
	// publishing.
	Time time.Time
	// Header has further attributes: CloudEvents extension attributes, such
	// as traceparent. Names have 1 to 20 lower-case letters and digits. At
	// most 32 of them and 8 KiB; they are stored, so no secrets.
	Header map[string]string
	// Data is the payload.
	Data T

	// What follows is set when an event is read.

	// Type and Schema are those it was published with.
	Type, Schema string
	// Cursor is the position behind the event: reading After it continues
	// with the next.
	Cursor Cursor
	// Attempt is 1 when the handler is given the event for the first time
	// since the subscription holds its shard, and grows with each retry.
	Attempt int
}

// A Cursor is a position in a log: behind one event, before the next. It is
// opaque: no arithmetic, no order, and valid for the topic it came from only.
type Cursor string

// A Start says where reading begins. The zero value is the oldest event that
// the log keeps. At most one field is set.
type Start struct {
	// After begins behind a cursor.
	After Cursor
	// Since begins with the first event that was appended at or after an
	// instant, by the log's clock. If that was set back by more than an hour
	// there may be several such places, and it is one of them.
	Since time.Time
	// Latest begins with what is appended from now on.
	Latest bool
}

// find asks log where to begin.
func find(ctx context.Context, log Log, topic string, s Start) (Cursor, error) {
	n := 0
	for _, set := range []bool{s.After != "", !s.Since.IsZero(), s.Latest} {
		if set {
			n++
		}
	}
	if n > 1 {
		return "", &FieldError{Field: "Start", Reason: "has more than one field set", err: ErrInvalid}
	}
	return log.Find(ctx, topic, s)
}

// BadCursor is the error of a log for a cursor that is none of its topic. It
// wraps [ErrInvalid].
func BadCursor(reason string) error {
	return &FieldError{Field: "cursor", Reason: reason, err: ErrInvalid}
}

// A Message is an event as logs keep it: the attributes of CloudEvents 1.0
// (github.com/cloudevents/spec) and encoded data. It must not be changed.
type Message struct {
	// ID, Source and Type are the attributes id, source and type, which every
	// event has; Source and ID together name it in the world.
	ID, Source, Type string
	// Subject, Schema, ContentType and Time are subject, dataschema,
	// datacontenttype and time.
	Subject, Schema, ContentType string
	Time                         time.Time
	// Key is the extension partitionkey.
	Key string
	// Header are the other extension attributes.
	Header map[string]string
	Data   []byte

	// Cursor is the position behind the message, and Appended the instant at
	// which the log took it, by the log's clock; set by Log.Read. In one topic
	// Appended does not go back, unless the clock is set back by more than an
	// hour.
	Cursor   Cursor
	Appended time.Time
}

// The limits of a message that are no options.
const (
	maxName       = 100 // of a topic and of a group
	maxID         = 150 // with a hash before it, it fits an inbox
	maxKey        = 512
	maxSubject    = 512
	maxSource     = 512
	maxType       = 255
	maxSchema     = 512
	maxHeaders    = 32
	maxHeader     = 8 << 10
	maxHeaderName = 20 // what CloudEvents tells producers
	maxForeign    = 100
)

// message makes the message of an event; the ID and the time it has go back
// into e.
func message[T any](t *Topic[T], e *Event[T], now time.Time) (Message, error) {
	if e.ID == "" {
		e.ID = id.New()
	}
	if e.Time.IsZero() {
		e.Time = now
	}
	m := Message{
		ID: e.ID, Source: t.o.Source, Type: t.o.Type, Subject: e.Subject, Schema: t.o.Schema,
		Time: e.Time.UTC().Truncate(time.Microsecond), Key: e.Key, Header: maps.Clone(e.Header),
	}
	if err := checkHeader(m.Header, maxHeaderName); err != nil {
		return m, err
	}
	if err := m.check(); err != nil {
		return m, err
	}
	data, contentType, err := t.o.Codec.Encode(e.Data)
	if err != nil {
		return m, &FieldError{Field: "Data", Reason: "does not encode: " + err.Error(), err: ErrInvalid}
	}
	m.Data, m.ContentType = data, contentType
	if len(m.Data) > t.o.MaxData {
		return m, &FieldError{
			Field: "Data", Size: int64(len(m.Data)), Limit: int64(t.o.MaxData), err: ErrTooLarge,
			Reason: "is too large: store it elsewhere and publish a reference, or raise TopicOptions.MaxData",
		}
	}
	return m, nil
}

// check reports the first attribute of m that breaks a rule.
func (m *Message) check() error {
	for _, f := range []struct {
		name, value string
		max         int
	}{
		{"ID", m.ID, maxID}, {"Source", m.Source, maxSource}, {"Type", m.Type, maxType}, {"Key", m.Key, maxKey},
		{"Subject", m.Subject, maxSubject}, {"Schema", m.Schema, maxSchema}, {"ContentType", m.ContentType, maxType},
	} {
		if err := checkText(f.name, f.value, f.max); err != nil {
			return err
		}
	}
	for _, f := range []struct{ name, value string }{{"ID", m.ID}, {"Source", m.Source}, {"Type", m.Type}} {
		if f.value == "" {
			return &FieldError{Field: f.name, Reason: "is empty", err: ErrInvalid}
		}
	}
	if !visible(m.ID) {
		return &FieldError{Field: "ID", Reason: "has a character that is not visible ASCII", err: ErrInvalid}
	}
	if y := m.Time.UTC().Year(); y < 1 || y > 9999 {
		return &FieldError{Field: "Time", Reason: "is not in the years 1 to 9999", err: ErrInvalid}
	}
	return checkHeader(m.Header, maxForeign)
}

// checkText holds a value against CloudEvents' type String: no control
// characters (spec §Type System).
func checkText(name, value string, max int) error {
	switch {
	case len(value) > max:
		return &FieldError{Field: name, Size: int64(len(value)), Limit: int64(max), Reason: "is too long", err: ErrInvalid}
	case !utf8.ValidString(value):
		return &FieldError{Field: name, Reason: "is not valid UTF-8", err: ErrInvalid}
	case strings.ContainsFunc(value, control):
		return &FieldError{Field: name, Reason: "has a control character", err: ErrInvalid}
	}
	return nil
}

func control(r rune) bool { return r < ' ' || r >= 0x7f && r <= 0x9f }

func visible(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// attributes are the names that are not free for extensions.
var attributes = map[string]bool{
	"id": true, "source": true, "specversion": true, "type": true, "datacontenttype": true, "dataschema": true,
	"subject": true, "time": true, "data": true, "partitionkey": true,
}

func checkHeader(h map[string]string, longest int) error {
	if len(h) > maxHeaders {
		return &FieldError{Field: "Header", Size: int64(len(h)), Limit: maxHeaders, Reason: "has too many entries", err: ErrInvalid}
	}
	size := 0
	for k, v := range h {
		size += len(k) + len(v)
		if len(k) < 1 || len(k) > longest || strings.ContainsFunc(k, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') }) {
			return &FieldError{Field: "Header", Reason: fmt.Sprintf("has a name that is not 1 to %d lower-case letters and digits", longest), err: ErrInvalid}
		}
		if attributes[k] {
			return &FieldError{Field: "Header", Reason: "has the name " + k + ", which is an attribute of its own", err: ErrInvalid}
		}
		if err := checkText("Header", v, maxHeader); err != nil {
			return err
		}
	}
	if size > maxHeader {
		return &FieldError{Field: "Header", Size: int64(size), Limit: maxHeader, Reason: "is too large", err: ErrInvalid}
	}
	return nil
}

// checkName is the rule for topics and groups.
func checkName(name string) error {
	if name == "" || len(name) > maxName || !visible(name) {
		return &FieldError{Field: "name", Size: int64(len(name)), Limit: maxName, Reason: "is not 1 to 100 visible ASCII characters", err: ErrInvalid}
	}
	return nil
}

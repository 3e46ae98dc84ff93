package fireforget

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/crosstie/crosstie/internal/id"
)

// A Message is what a sender hands over.
type Message struct {
	// ID names the message for its whole life: it is the same on every
	// attempt, and the receiver dedupes by it. One is made if it is empty.
	// With an ID of your own a message may be sent again safely: it is
	// accepted once. At most 255 visible ASCII characters, without a dot.
	ID string
	// To is the destination, a name that a relay knows by [Relay.Handle].
	// Required, at most 255 bytes.
	To string
	// Key orders messages: those with the same To and Key are delivered one
	// after another in the order they were sent. Messages with no Key have no
	// order. At most 512 bytes.
	Key string
	// Payload is sent as JSON; a []byte as it is, as
	// application/octet-stream; a json.RawMessage as it is, as JSON; nil is
	// an empty body.
	Payload any
	// Header goes along with the message; a webhook sends it as HTTP headers.
	// A Content-Type here replaces the one that follows from Payload. At most
	// 32 entries and 8 KiB; it must hold no secrets, since it is stored.
	Header map[string]string
	// NotBefore is the earliest instant of the first attempt. Zero is now.
	// Later messages of the same Key wait behind it.
	NotBefore time.Time
	// Expires is the instant from which on the message is parked instead of
	// attempted. Zero is never.
	Expires time.Time
}

// An Item is an accepted message, as a [Deliverer] gets it. It must not be
// changed.
type Item struct {
	ID, To, Key string
	// ContentType and Body are the encoded payload.
	ContentType string
	Body        []byte
	Header      map[string]string
	// Attempt is how many attempts failed before this one.
	Attempt int
	// AcceptedAt is when the outbox took it, by the sender's clock.
	AcceptedAt time.Time
	NotBefore  time.Time
	Expires    time.Time
}

// The limits of a message that are no options.
const (
	maxID      = 255
	maxTo      = 255
	maxKey     = 512
	maxHeaders = 32
	maxHeader  = 8 << 10
)

// lanes is how many lanes a destination's keys share. Two binaries that
// disagree on it would break the order of a key, so it never changes.
const lanes = 64

// laneOf returns the lane of a key, from 1 to lanes, and 0 for no key.
func laneOf(key string) int {
	if key == "" {
		return 0
	}
	h := fnv.New32a()
	h.Write([]byte(key))
	return 1 + int(h.Sum32()%lanes)
}

// entry checks and encodes m as it would be sent at now.
func (m *Message) entry(now time.Time, maxBody int) (Entry, error) {
	e := Entry{
		Item: Item{
			ID: m.ID, To: m.To, Key: m.Key, Header: maps.Clone(m.Header),
			AcceptedAt: now, NotBefore: m.NotBefore, Expires: m.Expires,
		},
		Lane: laneOf(m.Key),
	}
	if err := m.check(now); err != nil {
		return e, err
	}
	switch p := m.Payload.(type) {
	case nil:
	case []byte:
		e.Body, e.ContentType = slices.Clone(p), "application/octet-stream"
	case json.RawMessage:
		e.Body, e.ContentType = slices.Clone([]byte(p)), "application/json"
	default:
		b, err := json.Marshal(p)
		if err != nil {
			return e, &FieldError{Field: "Payload", Reason: "does not encode as JSON: " + err.Error(), err: ErrInvalid}
		}
		e.Body, e.ContentType = b, "application/json"
	}
	if len(e.Body) > maxBody {
		return e, &FieldError{
			Field: "Payload", Size: int64(len(e.Body)), Limit: int64(maxBody), err: ErrTooLarge,
			Reason: "is too large: store it elsewhere and send a reference, or raise OutboxOptions.MaxBody",
		}
	}
	for k, v := range e.Header {
		if strings.EqualFold(k, "Content-Type") {
			e.ContentType = v
			delete(e.Header, k)
		}
	}
	if m.ID == "" {
		e.ID = id.New()
		return e, nil
	}
	e.Sum = e.sum()
	return e, nil
}

// check reports the first field of m that breaks a rule.
func (m *Message) check(now time.Time) error {
	for _, f := range []struct {
		name, value string
		max         int
	}{{"ID", m.ID, maxID}, {"To", m.To, maxTo}, {"Key", m.Key, maxKey}} {
		switch {
		case len(f.value) > f.max:
			return &FieldError{Field: f.name, Size: int64(len(f.value)), Limit: int64(f.max), Reason: "is too long", err: ErrInvalid}
		case !utf8.ValidString(f.value):
			return &FieldError{Field: f.name, Reason: "is not valid UTF-8", err: ErrInvalid}
		case strings.ContainsRune(f.value, 0):
			return &FieldError{Field: f.name, Reason: "contains a zero byte", err: ErrInvalid}
		}
	}
	if m.To == "" {
		return &FieldError{Field: "To", Reason: "is empty: name the destination", err: ErrInvalid}
	}
	// The dot separates what a webhook signs.
	if strings.ContainsFunc(m.ID, func(r rune) bool { return r <= ' ' || r > '~' || r == '.' }) {
		return &FieldError{Field: "ID", Reason: "has a character that is not visible ASCII, or a dot", err: ErrInvalid}
	}
	if !m.Expires.IsZero() && !m.Expires.After(now) {
		return &FieldError{Field: "Expires", Reason: "is past", err: ErrInvalid}
	}
	if !m.Expires.IsZero() && !m.Expires.After(m.NotBefore) {
		return &FieldError{Field: "Expires", Reason: "is not after NotBefore: it would never be attempted", err: ErrInvalid}
	}
	if !storable(m.NotBefore) {
		return &FieldError{Field: "NotBefore", Reason: "is not in the years 1 to 9999", err: ErrInvalid}
	}
	if !storable(m.Expires) {
		return &FieldError{Field: "Expires", Reason: "is not in the years 1 to 9999", err: ErrInvalid}
	}
	return m.checkHeader()
}

// storable reports whether every store and JSON can keep t.
func storable(t time.Time) bool {
	y := t.UTC().Year()
	return y >= 1 && y <= 9999
}

func (m *Message) checkHeader() error {
	if len(m.Header) > maxHeaders {
		return &FieldError{Field: "Header", Size: int64(len(m.Header)), Limit: maxHeaders, Reason: "has too many entries", err: ErrInvalid}
	}
	size := 0
	for k, v := range m.Header {
		size += len(k) + len(v)
		if !isToken(k) {
			return &FieldError{Field: "Header", Reason: "has a name that is no HTTP token", err: ErrInvalid}
		}
		// A line break would begin a header of the payload's choosing.
		if strings.ContainsFunc(v, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) || !utf8.ValidString(v) {
			return &FieldError{Field: "Header", Reason: "has a control character in the value of " + k, err: ErrInvalid}
		}
	}
	if size > maxHeader {
		return &FieldError{Field: "Header", Size: int64(size), Limit: maxHeader, Reason: "is too large", err: ErrInvalid}
	}
	return nil
}

// isToken reports whether s is a token of RFC 9110 §5.6.2.
func isToken(s string) bool {
	if s == "" {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
		case strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0:
		default:
			return false
		}
	}
	return true
}

// sum is a fingerprint of what the receiver would see. The times are left
// out: who sends again computes them again.
func (e *Entry) sum() string {
	h := sha256.New()
	part := func(s string) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	part(e.To)
	part(e.Key)
	part(e.ContentType)
	for _, k := range slices.Sorted(maps.Keys(e.Header)) {
		part(k)
		part(e.Header[k])
	}
	part("")
	part(string(e.Body))
	return string(h.Sum(nil))
}

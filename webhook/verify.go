package webhook

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// maxSignatures is how many entries of a signature header are looked at. A
// sender has one for each of its keys.
const maxSignatures = 32

// A Message is a webhook that was verified.
type Message struct {
	// ID is the same for every attempt to deliver the message.
	ID string
	// At is when this attempt was signed, to the second; another attempt of
	// the same message has another.
	At time.Time
	// Body is what was signed.
	Body []byte
}

// A Verifier tells the messages of those who hold a secret from all others.
// It is a value, safe for concurrent use. Without secrets it refuses all.
type Verifier struct {
	// Secrets are the keys accepted, in any order; several while one is
	// rotated.
	Secrets []Secret
	// Tolerance is how far a message's timestamp may be from now, both ways.
	// Defaults to 5 min. A negative one takes any timestamp, so that a message
	// recorded once can be played back for ever.
	Tolerance time.Duration
	// MaxBody is the longest body read, in bytes. Defaults to 1 MiB. A
	// negative one reads any, as long as memory lasts.
	MaxBody int64
}

func (v Verifier) maxBody() int64 {
	if v.MaxBody == 0 {
		return 1 << 20
	}
	return v.MaxBody
}

func (v Verifier) tolerance() time.Duration {
	if v.Tolerance == 0 {
		return 5 * time.Minute
	}
	return v.Tolerance
}

// Read reads the body of r and verifies it as of now. The header, and the
// length where it is announced, are checked before the body is read, and the
// length before anything is computed. Read does not close the body; a server
// does that itself.
func (v Verifier) Read(r *http.Request) (Message, error) {
	p, err := v.parse(r.Header, time.Now())
	if err != nil {
		return Message{}, wrap("read", err)
	}
	body, err := v.readBody(r)
	if err != nil {
		return Message{}, wrap("read", err)
	}
	m, err := v.match(p, body)
	if err != nil {
		return Message{}, wrap("read", err)
	}
	return m, nil
}

// Verify checks that body was signed, with the id and the timestamp in h, by a
// holder of one of the secrets, and that the timestamp is near now. body may
// be no longer than MaxBody. The message keeps body itself, not a copy.
func (v Verifier) Verify(h http.Header, body []byte, now time.Time) (Message, error) {
	p, err := v.parse(h, now)
	if err != nil {
		return Message{}, wrap("verify", err)
	}
	if most := v.maxBody(); most >= 0 && int64(len(body)) > most {
		return Message{}, wrap("verify", tooLarge(most))
	}
	m, err := v.match(p, body)
	if err != nil {
		return Message{}, wrap("verify", err)
	}
	return m, nil
}

func (v Verifier) readBody(r *http.Request) ([]byte, error) {
	if r.Body == nil {
		return nil, nil
	}
	most := v.maxBody()
	if most < 0 {
		body, err := io.ReadAll(r.Body)
		return body, bodyError(r.Context(), err)
	}
	if r.ContentLength > most {
		return nil, tooLarge(most)
	}
	// One byte more tells a body at the limit from one above it; the sum
	// cannot overflow for a limit that fits into memory.
	body, err := io.ReadAll(io.LimitReader(r.Body, max(most, most+1)))
	if int64(len(body)) > most {
		return nil, tooLarge(most)
	}
	return body, bodyError(r.Context(), err)
}

func bodyError(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return fmt.Errorf("%w: %w", ErrTooLarge, err)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", ErrBody, context.Cause(ctx))
	}
	return fmt.Errorf("%w: %w", ErrBody, err)
}

func tooLarge(most int64) error { return fmt.Errorf("%w: the limit is %d bytes", ErrTooLarge, most) }

// parsed are the header fields of a message, as they were signed.
type parsed struct {
	id, ts, sigs string
	at           time.Time
}

func (v Verifier) parse(h http.Header, now time.Time) (p parsed, err error) {
	if p.id, err = field(h, headerID); err != nil {
		return p, err
	}
	if !validID(p.id) {
		return p, malformed(headerID)
	}
	if p.ts, err = field(h, headerTimestamp); err != nil {
		return p, err
	}
	secs, ok := timestamp(p.ts)
	if !ok {
		return p, malformed(headerTimestamp)
	}
	if p.sigs, err = field(h, headerSignature); err != nil {
		return p, err
	}
	if strings.Count(p.sigs, " ") >= maxSignatures {
		return p, fmt.Errorf("%w: %s: more than %d entries", ErrHeader, headerSignature, maxSignatures)
	}
	p.at = time.Unix(secs, 0).UTC()
	if tol := v.tolerance(); tol >= 0 {
		// Whole seconds on both sides: the sender's were cut off.
		if age := now.Truncate(time.Second).Sub(p.at); age > tol || age < -tol {
			return p, fmt.Errorf("%w: it is off by %v, more than %v", ErrTime, age, tol)
		}
	}
	return p, nil
}

// field returns the only value of a header field. Two values are refused, for
// another reader of the same request might take the other one.
func field(h http.Header, name string) (string, error) {
	switch vs := h[name]; len(vs) {
	case 0:
		return "", fmt.Errorf("%w: %s is missing", ErrHeader, name)
	case 1:
		return vs[0], nil
	default:
		return "", fmt.Errorf("%w: %s is there %d times", ErrHeader, name, len(vs))
	}
}

func malformed(name string) error { return fmt.Errorf("%w: %s is malformed", ErrHeader, name) }

// timestamp reads decimal seconds in the one form there is for each number:
// no sign, no leading zero, no space.
func timestamp(s string) (int64, bool) {
	if len(s) < 1 || len(s) > 10 || s[0] == '0' {
		return 0, false
	}
	var n int64
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int64(s[i]-'0')
	}
	return n, true
}

// match compares texts and not bytes, so that each signature has one form.
// Entries of other versions belong to others and are passed over.
func (v Verifier) match(p parsed, body []byte) (Message, error) {
	good := 0
	for _, s := range v.Secrets {
		if s.key == nil {
			continue
		}
		want := s.key().sign(p.id, p.ts, body)
		for entry := range strings.SplitSeq(p.sigs, " ") {
			if sig, ok := strings.CutPrefix(entry, version); ok {
				good |= subtle.ConstantTimeCompare([]byte(sig), want[:])
			}
		}
	}
	if good != 1 {
		return Message{}, ErrSignature
	}
	return Message{ID: p.id, At: p.at, Body: body}, nil
}

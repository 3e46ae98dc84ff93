package webhook

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	prefix = "whsec_"
	// The specification asks for 24 to 64 bytes of secret.
	minSecret, maxSecret = 24, 64
	version              = "v1,"
	redacted             = "REDACTED"
)

// A Secret is a key that sender and receiver share. It prints as REDACTED in
// every way there is, [Secret.Reveal] excepted. The zero value is no secret: it
// signs nothing, and verifies nothing. A Secret is safe for concurrent use.
type Secret struct {
	// Inside a function, for what prints by reflection asks no methods of a
	// Secret in an unexported field, follows pointers, but cannot look there.
	key func() *key
}

func newSecret(b []byte) Secret {
	k := &key{bytes: b}
	return Secret{func() *key { return k }}
}

type key struct {
	bytes []byte
	macs  sync.Pool // of *mac: setting up an HMAC costs two blocks of SHA-256
}

type mac struct {
	hash.Hash
	buf [64]byte // for the timestamp and the sum
}

// ParseSecret reads a secret of the form "whsec_" and the base64 of 24 to 64
// bytes, with or without padding. Any other text is refused with an error that
// wraps [ErrSecret] and does not repeat the text.
func ParseSecret(s string) (Secret, error) {
	text, ok := strings.CutPrefix(s, prefix)
	if !ok {
		return Secret{}, wrap("parse secret", fmt.Errorf("%w: it does not begin with %s", ErrSecret, prefix))
	}
	// base64 itself skips line ends.
	if strings.ContainsAny(text, "\r\n") {
		return Secret{}, wrap("parse secret", fmt.Errorf("%w: it is not base64", ErrSecret))
	}
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		b, err = base64.RawStdEncoding.Strict().DecodeString(text)
	}
	if err != nil {
		// Not err: it tells of the text.
		return Secret{}, wrap("parse secret", fmt.Errorf("%w: it is not base64", ErrSecret))
	}
	if len(b) < minSecret || len(b) > maxSecret {
		return Secret{}, wrap("parse secret", fmt.Errorf("%w: it has %d bytes", ErrSecret, len(b)))
	}
	return newSecret(b), nil
}

// NewSecret returns a secret of 32 random bytes.
func NewSecret() Secret {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails: it ends the program instead
	return newSecret(b)
}

// Reveal returns the secret in the form that ParseSecret reads, to be kept or
// handed over; it is empty for the zero value.
func (s Secret) Reveal() string {
	if s.key == nil {
		return ""
	}
	return prefix + base64.StdEncoding.EncodeToString(s.key().bytes)
}

// Sign returns the signature v1 of a message: the header's entry, as
// "v1,base64". It implements [Signer].
func (s Secret) Sign(id string, at time.Time, body []byte) (string, error) {
	if s.key == nil {
		return "", wrap("sign", fmt.Errorf("%w: the zero value", ErrSecret))
	}
	if err := checkMessage(id, at); err != nil {
		return "", wrap("sign", err)
	}
	var ts [20]byte
	sig := s.key().sign(id, string(strconv.AppendInt(ts[:0], at.Unix(), 10)), body)
	return version + string(sig[:]), nil
}

const signatureLen = 44 // the base64 of 32 bytes

func (k *key) sign(id, ts string, body []byte) (sig [signatureLen]byte) {
	m, ok := k.macs.Get().(*mac)
	if !ok {
		m = &mac{Hash: hmac.New(sha256.New, k.bytes)}
	}
	m.Reset()
	_, _ = io.WriteString(m, id)
	_, _ = m.Write(append(append(append(m.buf[:0], '.'), ts...), '.'))
	_, _ = m.Write(body)
	base64.StdEncoding.Encode(sig[:], m.Sum(m.buf[:0]))
	k.macs.Put(m)
	return sig
}

// String returns REDACTED.
func (Secret) String() string { return redacted }

// GoString returns REDACTED.
func (Secret) GoString() string { return redacted }

// Format writes REDACTED, whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue returns REDACTED.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns REDACTED; no text is read back.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON returns "REDACTED"; no JSON is read back.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

package webhook

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The header fields of Standard Webhooks, in net/http's canonical form.
const (
	headerID        = "Webhook-Id"
	headerTimestamp = "Webhook-Timestamp"
	headerSignature = "Webhook-Signature"
)

// A Signer makes the signature of a message: one entry of the header, or
// several separated by spaces. It is safe for concurrent use, and keeps no
// part of body. [Secret] is one.
type Signer interface {
	Sign(id string, at time.Time, body []byte) (signature string, err error)
}

// All returns a signer that signs with each of by. It is how a secret is
// rotated without losing a message.
func All(by ...Signer) Signer { return all(by) }

type all []Signer

func (by all) Sign(id string, at time.Time, body []byte) (string, error) {
	if len(by) == 0 {
		return "", wrap("sign", ErrSigner)
	}
	sigs := make([]string, len(by))
	for i, s := range by {
		if s == nil {
			return "", wrap("sign", ErrSigner)
		}
		sig, err := s.Sign(id, at, body)
		if err != nil {
			return "", err
		}
		sigs[i] = sig
	}
	return strings.Join(sigs, " "), nil
}

// Headers returns the three header fields of a message: webhook-id,
// webhook-timestamp and webhook-signature. id is the message's own, the same
// for every attempt: 1 to 256 printable characters of ASCII with no space and
// no dot, for the dot separates what is signed. at is the time of this
// attempt, which receivers compare with their clocks.
func Headers(id string, at time.Time, body []byte, by Signer) (http.Header, error) {
	if err := checkMessage(id, at); err != nil {
		return nil, wrap("sign", err)
	}
	if by == nil {
		return nil, wrap("sign", ErrSigner)
	}
	sig, err := by.Sign(id, at, body)
	if err != nil {
		return nil, err
	}
	return http.Header{
		headerID:        {id},
		headerTimestamp: {strconv.FormatInt(at.Unix(), 10)},
		headerSignature: {sig},
	}, nil
}

func checkMessage(id string, at time.Time) error {
	if !validID(id) {
		return fmt.Errorf("%w: %s: need 1 to 256 printable ASCII characters without space and dot", ErrHeader, headerID)
	}
	if u := at.Unix(); u <= 0 || u > maxTimestamp {
		return fmt.Errorf("%w: %s: %s is not between 1970 and 2286", ErrHeader, headerTimestamp, at.UTC().Format(time.RFC3339))
	}
	return nil
}

// maxTimestamp is the last second written with ten digits, in November 2286.
const maxTimestamp = 9_999_999_999

func validID(id string) bool {
	if len(id) < 1 || len(id) > 256 {
		return false
	}
	for i := range len(id) {
		if id[i] <= ' ' || id[i] > '~' || id[i] == '.' {
			return false
		}
	}
	return true
}

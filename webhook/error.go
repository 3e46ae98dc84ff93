package webhook

import (
	"errors"
	"net/http"

	"github.com/crosstie/crosstie/outcome"
)

var (
	// ErrHeader says that a header field is missing, there twice, malformed
	// or too long.
	ErrHeader = errors.New("not a header of Standard Webhooks")
	// ErrTime says that the timestamp is further from now than the tolerance.
	ErrTime = errors.New("the timestamp is too far from now: check both clocks, or sign each attempt anew")
	// ErrSignature says that no signature was made with one of the secrets.
	ErrSignature = errors.New("no signature matches: check that both sides have the same secret")
	// ErrTooLarge says that the body is longer than the limit.
	ErrTooLarge = errors.New("the body is too large")
	// ErrBody says that the body could not be read to its end.
	ErrBody = errors.New("the body could not be read")
	// ErrSecret says that a text is no secret: one is whsec_ and the base64 of
	// 24 to 64 bytes.
	ErrSecret = errors.New("not a secret: need whsec_ and the base64 of 24 to 64 bytes")
	// ErrSigner says that there is nothing to sign with.
	ErrSigner = errors.New("no signer: pass a secret")
	// ErrBlocked says that a URL, or the address it led to, may not be
	// connected to. Nothing was sent.
	ErrBlocked = errors.New("not allowed as a destination")
)

// An Error is a failed operation of this package; errors.Is finds the reason.
type Error struct {
	// Op is "read", "verify", "sign", "parse secret", "check" or "dial".
	Op string
	// Err is the reason.
	Err error
}

// Error names the operation and the reason.
func (e *Error) Error() string { return "webhook: " + e.Op + ": " + e.Err.Error() }

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Outcome is Refused for a message that was not accepted, and NotSent for one
// that was not sent.
func (e *Error) Outcome() outcome.Outcome {
	switch e.Op {
	case "read", "verify":
		return outcome.Refused
	}
	return outcome.NotSent
}

// Transient is true if the body could not be read, and else false: the same
// message is refused again.
func (e *Error) Transient() bool { return errors.Is(e.Err, ErrBody) }

func wrap(op string, err error) *Error { return &Error{Op: op, Err: err} }

// Status returns the HTTP status to answer with when Read or Verify refused a
// message: 413 for a body that is too large, 400 for a malformed message or a
// body that broke off, 401 for a signature or a timestamp that is not good,
// and 500 for any other error. It is 204 for nil.
func Status(err error) int {
	switch {
	case err == nil:
		return http.StatusNoContent
	case errors.Is(err, ErrTooLarge):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, ErrHeader), errors.Is(err, ErrBody):
		return http.StatusBadRequest
	case errors.Is(err, ErrSignature), errors.Is(err, ErrTime):
		return http.StatusUnauthorized
	}
	return http.StatusInternalServerError
}

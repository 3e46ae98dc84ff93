package requestreply

import (
	"context"
	"errors"
	"strings"

	"github.com/crosstie/crosstie/outcome"
)

// keyHeader is the header of draft-ietf-httpapi-idempotency-key-header.
const keyHeader = "Idempotency-Key"

type keyOf struct{}

// WithIdempotencyKey returns a context under which calls carry key, so that
// the other side can tell a repeat from a second wish. Make a key once for
// each thing that shall happen once, store it with that thing, and use it for
// every attempt to make it happen, in this process or a later one.
//
// The key is sent only to those who honour one: an [Endpoint] with Keyed set,
// a [Transport] for the hosts in KeyHosts. It is 1 to 255 printable ASCII
// characters; a call with another key fails before anything is sent.
func WithIdempotencyKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, keyOf{}, key)
}

// IdempotencyKey returns the key that [WithIdempotencyKey] put into ctx, or
// the empty string.
func IdempotencyKey(ctx context.Context) string {
	k, _ := ctx.Value(keyOf{}).(string)
	return k
}

var errBadKey = outcome.TransientError(outcome.NotSent, false,
	errors.New("an idempotency key has 1 to 255 printable ASCII characters"))

// keyValue writes key as the draft's structured field string (RFC 8941
// §3.3.3). A server that takes the header as opaque text is served as well.
func keyValue(key string) (string, error) {
	if key == "" || len(key) > 255 {
		return "", errBadKey
	}
	for i := range len(key) {
		if key[i] < 0x20 || key[i] > 0x7e {
			return "", errBadKey
		}
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(key) + `"`, nil
}

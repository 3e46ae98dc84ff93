package server

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"

	"github.com/crosstie/crosstie/internal/shape"
)

var errKey = errors.New("Idempotency-Key must be one value of 1 to 255 printable ASCII characters")

// keyOf reads the Idempotency-Key header: a structured field string as
// draft-ietf-httpapi-idempotency-key-header §2.1 has it, or the bare text that
// many clients send. It returns "" when there is none.
func keyOf(r *http.Request) (string, error) {
	vs := r.Header.Values("Idempotency-Key")
	if len(vs) == 0 {
		return "", nil
	}
	if len(vs) > 1 {
		return "", errKey
	}
	key := strings.Trim(vs[0], " \t")
	if strings.HasPrefix(key, `"`) {
		var ok bool
		if key, ok = unquote(key); !ok {
			return "", errKey
		}
	}
	if key == "" || len(key) > 255 {
		return "", errKey
	}
	for i := range len(key) {
		if key[i] < 0x20 || key[i] > 0x7e {
			return "", errKey
		}
	}
	return key, nil
}

// unquote parses a string of RFC 8941 §3.3.3, without parameters.
func unquote(s string) (string, bool) {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return "", false
	}
	var b strings.Builder
	for s = s[1 : len(s)-1]; s != ""; s = s[1:] {
		switch s[0] {
		case '"':
			return "", false
		case '\\':
			if s = s[1:]; s == "" || s[0] != '"' && s[0] != '\\' {
				return "", false
			}
		}
		b.WriteByte(s[0])
	}
	return b.String(), true
}

// storedKey is what a store sees of a key: nobody who knows another caller's
// key, but is not that caller, can name it, and no secret is stored.
func storedKey(scope string, r *http.Request, key string) string {
	route := r.Pattern
	if route == "" {
		route = r.URL.Path
	}
	sum := digest(scope, r.Method, route, key)
	return hex.EncodeToString(sum[:])
}

// fingerprint tells two requests under one key apart. Of the headers those
// count that are parameters: the others may differ from attempt to attempt.
func (h handler) fingerprint(r *http.Request, body []byte) [32]byte {
	parts := []string{r.Method, r.URL.Path, r.URL.RawQuery, string(body)}
	for _, q := range h.parts.Params {
		if q.In == shape.Header {
			parts = append(parts, append([]string{q.Name}, r.Header.Values(q.Name)...)...)
		}
	}
	return digest(parts...)
}

// digest hashes parts with their lengths, so that no two lists collide by
// where one part ends.
func digest(parts ...string) [32]byte {
	h := sha256.New()
	for _, p := range parts {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(p)))
		h.Write(n[:])
		h.Write([]byte(p))
	}
	return [32]byte(h.Sum(nil))
}

// storable returns the headers of an answer that may be kept: not those that
// carry credentials or belong to the connection, nor the date.
func storable(h http.Header) http.Header {
	kept := http.Header{}
	for name, vs := range h {
		if !secret(name) {
			kept[name] = vs
		}
	}
	return kept
}

func secret(name string) bool {
	name = strings.ToLower(name)
	switch name {
	case "date", "connection", "keep-alive", "transfer-encoding", "upgrade", "trailer", "te", "content-length":
		return true
	}
	for _, part := range []string{"cookie", "auth", "token", "secret", "session", "api-key", "apikey", "password"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}

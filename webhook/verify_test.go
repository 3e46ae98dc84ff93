package webhook_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/webhook"
)

func signed(t testing.TB, by ...webhook.Signer) http.Header {
	t.Helper()
	h, err := webhook.Headers("msg_1", now, body, webhook.All(by...))
	require.NoError(t, err)
	return h
}

func verifier(secrets ...webhook.Secret) webhook.Verifier { return webhook.Verifier{Secrets: secrets} }

func TestVerify(t *testing.T) {
	m, err := verifier(one).Verify(signed(t, one), body, now)
	require.NoError(t, err)
	require.Equal(t, webhook.Message{ID: "msg_1", At: now.Truncate(time.Second), Body: body}, m)
}

// Every bit of what is signed, and of the signature, matters.
func TestEveryBitCounts(t *testing.T) {
	v := webhook.Verifier{Secrets: []webhook.Secret{one}, Tolerance: -1}
	good := signed(t, one)
	flip := func(s string, bit int) string {
		b := []byte(s)
		b[bit/8] ^= 1 << (bit % 8)
		return string(b)
	}
	for name := range good {
		value := good.Get(name)
		for bit := range len(value) * 8 {
			h := good.Clone()
			h.Set(name, flip(value, bit))
			_, err := v.Verify(h, body, now)
			require.Error(t, err, "%s with bit %d flipped: %q", name, bit, h.Get(name))
		}
	}
	for bit := range len(body) * 8 {
		_, err := v.Verify(good, []byte(flip(string(body), bit)), now)
		require.ErrorIs(t, err, webhook.ErrSignature)
	}
	for _, b := range [][]byte{nil, {}, body[1:], body[:len(body)-1], append(slices.Clone(body), '\n')} {
		_, err := v.Verify(good, b, now)
		require.ErrorIs(t, err, webhook.ErrSignature)
	}
}

func TestRotation(t *testing.T) {
	for _, c := range []struct {
		knows []webhook.Secret
		by    []webhook.Signer
		ok    bool
	}{
		{[]webhook.Secret{one}, []webhook.Signer{one}, true},
		{[]webhook.Secret{one, two}, []webhook.Signer{one}, true},
		{[]webhook.Secret{two, one}, []webhook.Signer{one}, true},
		{[]webhook.Secret{one, two}, []webhook.Signer{one, two}, true},
		{[]webhook.Secret{one, two}, []webhook.Signer{two, one}, true},
		{[]webhook.Secret{two}, []webhook.Signer{one, two}, true},
		{[]webhook.Secret{one}, []webhook.Signer{one, two}, true},
		{[]webhook.Secret{two, one, one}, []webhook.Signer{one, one}, true},
		{[]webhook.Secret{{}, one}, []webhook.Signer{one}, true},
		{[]webhook.Secret{two}, []webhook.Signer{one}, false},
		{[]webhook.Secret{three}, []webhook.Signer{one, two}, false},
		{[]webhook.Secret{{}}, []webhook.Signer{one}, false},
		{nil, []webhook.Signer{one}, false},
	} {
		_, err := verifier(c.knows...).Verify(signed(t, c.by...), body, now)
		if c.ok {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, webhook.ErrSignature)
		}
	}
}

func TestSignatureList(t *testing.T) {
	good := signed(t, one).Get("webhook-signature")
	long := func(n int) string { return strings.Repeat("v1,AAAA ", n) + good }
	for _, c := range []struct {
		name, value string
		want        error
	}{
		{"other versions before and after", "v1a,xyz " + good + " v2,abc", nil},
		{"spaces around", " " + good + "  ", nil},
		{"the 32nd", long(31), nil},
		{"a 33rd", long(32), webhook.ErrHeader},
		{"10 000", long(10_000), webhook.ErrHeader},
		{"nothing but spaces", strings.Repeat(" ", 1<<20), webhook.ErrHeader},
		{"empty", "", webhook.ErrSignature},
		{"no version", strings.TrimPrefix(good, "v1,"), webhook.ErrSignature},
		{"version in capitals", "V1" + good[2:], webhook.ErrSignature},
		{"version 1a", "v1a" + good[2:], webhook.ErrSignature},
		{"version twice", "v1,v1" + good[2:], webhook.ErrSignature},
		{"empty signature", "v1,", webhook.ErrSignature},
		{"signature cut", good[:len(good)-1], webhook.ErrSignature},
		{"signature unpadded", strings.TrimRight(good, "="), webhook.ErrSignature},
		{"signature longer", good + "A", webhook.ErrSignature},
		{"commas instead of spaces", good + "," + good, webhook.ErrSignature},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := signed(t, one)
			h.Set("webhook-signature", c.value)
			_, err := verifier(one).Verify(h, body, now)
			if c.want == nil {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, c.want)
		})
	}
}

func TestHeadersAreStrict(t *testing.T) {
	for _, name := range []string{"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"} {
		t.Run("twice "+name, func(t *testing.T) {
			h := signed(t, one)
			h.Add(name, h.Get(name))
			_, err := verifier(one).Verify(h, body, now)
			require.ErrorIs(t, err, webhook.ErrHeader)
		})
		t.Run("without "+name, func(t *testing.T) {
			h := signed(t, one)
			h.Del(name)
			_, err := verifier(one).Verify(h, body, now)
			require.ErrorIs(t, err, webhook.ErrHeader)
			require.Contains(t, err.Error(), name)
		})
	}
	for _, id := range []string{"", "a.b", "a b", "a\tb", "ä", strings.Repeat("x", 257)} {
		t.Run(fmt.Sprintf("id %.10q", id), func(t *testing.T) {
			h := signed(t, one)
			h["Webhook-Id"] = []string{id}
			_, err := verifier(one).Verify(h, body, now)
			require.ErrorIs(t, err, webhook.ErrHeader)
		})
	}
	for _, ts := range []string{
		"", "0", "+1795435200", "-1795435200", "01795435200", " 1795435200", "1795435200 ", "1795435200.0",
		"1795435200000", "17954352000", "1.7e9", "0x6b0000", "99999999999999999999", "1_795_435_200", "١٧٩٥٤٣٥٢٠٠",
	} {
		t.Run(fmt.Sprintf("timestamp %q", ts), func(t *testing.T) {
			h := signed(t, one)
			h["Webhook-Timestamp"] = []string{ts}
			v := webhook.Verifier{Secrets: []webhook.Secret{one}, Tolerance: -1}
			_, err := v.Verify(h, body, now)
			require.ErrorIs(t, err, webhook.ErrHeader)
		})
	}
}

// A dot in an id would let one signature serve two messages.
func TestTheDotIsNoPartOfAnID(t *testing.T) {
	h := http.Header{
		"Webhook-Id":        {"msg_1.1795435200"},
		"Webhook-Timestamp": {"1795435200"},
		"Webhook-Signature": signed(t, one)["Webhook-Signature"],
	}
	_, err := verifier(one).Verify(h, body, now)
	require.ErrorIs(t, err, webhook.ErrHeader)
}

func TestTolerance(t *testing.T) {
	at := now.Truncate(time.Second)
	for _, c := range []struct {
		tolerance, off time.Duration
		ok             bool
	}{
		{0, 0, true},
		{0, 5 * time.Minute, true},
		{0, -5 * time.Minute, true},
		{0, 5*time.Minute + 999*time.Millisecond, true}, // the same second
		{0, 5*time.Minute + time.Second, false},
		{0, -5*time.Minute - time.Second, false},
		{time.Second, time.Second, true},
		{time.Second, 2 * time.Second, false},
		{time.Hour, time.Hour, true},
		{time.Hour, -time.Hour - time.Second, false},
		{-1, 20 * 365 * 24 * time.Hour, true},
		{-1, -20 * 365 * 24 * time.Hour, true},
	} {
		v := webhook.Verifier{Secrets: []webhook.Secret{one}, Tolerance: c.tolerance}
		_, err := v.Verify(signed(t, one), body, at.Add(c.off))
		if c.ok {
			require.NoError(t, err, "%v", c)
		} else {
			require.ErrorIs(t, err, webhook.ErrTime, "%v", c)
		}
	}
}

func request(t *testing.T, h http.Header, body io.Reader) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", body)
	maps.Copy(r.Header, h)
	return r
}

// counting tells how much was read of it.
type counting struct {
	io.Reader
	n int64
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}

func TestRead(t *testing.T) {
	fresh := func(t *testing.T, b []byte) http.Header {
		h, err := webhook.Headers("msg_1", time.Now(), b, one)
		require.NoError(t, err)
		return h
	}
	bubble := func(name string, f func(t *testing.T)) {
		t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
	}
	bubble("what was signed", func(t *testing.T) {
		m, err := verifier(one).Read(request(t, fresh(t, body), bytes.NewReader(body)))
		require.NoError(t, err)
		require.Equal(t, body, m.Body)
	})
	bubble("an empty body", func(t *testing.T) {
		r := request(t, fresh(t, nil), nil)
		_, err := verifier(one).Read(r)
		require.NoError(t, err)
		r.Body = nil
		_, err = verifier(one).Read(r)
		require.NoError(t, err)
	})
	bubble("ages", func(t *testing.T) {
		h := fresh(t, body)
		time.Sleep(5*time.Minute + time.Second)
		_, err := verifier(one).Read(request(t, h, bytes.NewReader(body)))
		require.ErrorIs(t, err, webhook.ErrTime)
		require.Equal(t, http.StatusUnauthorized, webhook.Status(err))
		require.Equal(t, outcome.Refused, outcome.Of(err))
	})
	for _, limit := range []int64{0, 10, 1 << 16} {
		most := limit
		if most == 0 {
			most = 1 << 20
		}
		v := webhook.Verifier{Secrets: []webhook.Secret{one}, MaxBody: limit}
		bubble(fmt.Sprintf("at the limit of %d", limit), func(t *testing.T) {
			b := bytes.Repeat([]byte("x"), int(most))
			_, err := v.Read(request(t, fresh(t, b), bytes.NewReader(b)))
			require.NoError(t, err)
			_, err = v.Verify(fresh(t, b), b, time.Now())
			require.NoError(t, err)
		})
		bubble(fmt.Sprintf("above the limit of %d", limit), func(t *testing.T) {
			b := bytes.Repeat([]byte("x"), int(most)+1)
			h := fresh(t, b)
			announced := &counting{Reader: bytes.NewReader(b)}
			r := request(t, h, announced)
			r.ContentLength = int64(len(b))
			_, err := v.Read(r)
			require.ErrorIs(t, err, webhook.ErrTooLarge)
			require.Equal(t, http.StatusRequestEntityTooLarge, webhook.Status(err))
			require.Zero(t, announced.n, "it read what it was told is too large")

			endless := &counting{Reader: iotest.OneByteReader(endless{})}
			r = request(t, h, endless)
			r.ContentLength = -1
			_, err = v.Read(r)
			require.ErrorIs(t, err, webhook.ErrTooLarge)
			require.LessOrEqual(t, endless.n, most+1)

			_, err = v.Verify(h, b, time.Now())
			require.ErrorIs(t, err, webhook.ErrTooLarge)
		})
	}
	bubble("without a limit", func(t *testing.T) {
		b := bytes.Repeat([]byte("x"), 3<<20)
		for _, limit := range []int64{-1, 1<<63 - 1} {
			v := webhook.Verifier{Secrets: []webhook.Secret{one}, MaxBody: limit}
			_, err := v.Read(request(t, fresh(t, b), bytes.NewReader(b)))
			require.NoError(t, err)
		}
	})
	bubble("the header before the body", func(t *testing.T) {
		b := &counting{Reader: bytes.NewReader(body)}
		_, err := verifier(one).Read(request(t, http.Header{}, b))
		require.ErrorIs(t, err, webhook.ErrHeader)
		require.Zero(t, b.n)
		require.Equal(t, http.StatusBadRequest, webhook.Status(err))
	})
	bubble("a body that breaks off", func(t *testing.T) {
		for _, limit := range []int64{0, -1} {
			v := webhook.Verifier{Secrets: []webhook.Secret{one}, MaxBody: limit}
			_, err := v.Read(request(t, fresh(t, body), iotest.TimeoutReader(iotest.OneByteReader(bytes.NewReader(body)))))
			require.ErrorIs(t, err, webhook.ErrBody)
			require.ErrorIs(t, err, iotest.ErrTimeout)
			require.Equal(t, http.StatusBadRequest, webhook.Status(err))
			transient, said := outcome.Transient(err)
			require.True(t, transient && said)
		}
	})
	bubble("a caller who leaves", func(t *testing.T) {
		left := errors.New("left")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(left)
		r := request(t, fresh(t, body), iotest.ErrReader(io.ErrUnexpectedEOF)).WithContext(ctx)
		_, err := verifier(one).Read(r)
		require.ErrorIs(t, err, webhook.ErrBody)
		require.ErrorIs(t, err, left)
	})
	bubble("a limit of the server", func(t *testing.T) {
		r := request(t, fresh(t, body), nil)
		r.Body = http.MaxBytesReader(httptest.NewRecorder(), io.NopCloser(bytes.NewReader(body)), 3)
		_, err := verifier(one).Read(r)
		require.ErrorIs(t, err, webhook.ErrTooLarge)
	})
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestErrorsSurviveWrapping(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
	}{
		{webhook.ErrHeader, 400}, {webhook.ErrBody, 400}, {webhook.ErrTime, 401}, {webhook.ErrSignature, 401},
		{webhook.ErrTooLarge, 413}, {webhook.ErrSecret, 500}, {webhook.ErrSigner, 500}, {webhook.ErrBlocked, 500},
	} {
		e := &webhook.Error{Op: "verify", Err: c.err}
		for _, err := range []error{e, fmt.Errorf("wrapped: %w", e), errors.Join(errors.New("other"), e)} {
			require.ErrorIs(t, err, c.err)
			got, ok := errors.AsType[*webhook.Error](err)
			require.True(t, ok)
			require.Same(t, e, got)
			require.Equal(t, c.status, webhook.Status(err))
		}
		require.True(t, strings.HasPrefix(e.Error(), "webhook: verify: "))
	}
	require.Equal(t, http.StatusNoContent, webhook.Status(nil))
	require.Equal(t, http.StatusInternalServerError, webhook.Status(errors.New("other")))
}

// The id of a message is its own, not the attempt's: a receiver that
// remembers it takes a message once, however often it is repeated.
func TestReplayKeepsTheID(t *testing.T) {
	seen := map[string]int{}
	for i := range 1000 {
		h, err := webhook.Headers("msg_1", now.Add(time.Duration(i)*time.Second), body, one)
		require.NoError(t, err)
		m, err := verifier(one).Verify(h, body, now.Add(time.Duration(i)*time.Second))
		require.NoError(t, err)
		seen[m.ID]++
	}
	require.Equal(t, map[string]int{"msg_1": 1000}, seen)
}

func FuzzVerify(f *testing.F) {
	h := signed(f, one, two)
	f.Add(h.Get("webhook-id"), h.Get("webhook-timestamp"), h.Get("webhook-signature"), body)
	f.Add("a.b", "-1", "v1,", []byte(nil))
	v := webhook.Verifier{Secrets: []webhook.Secret{one, two}, Tolerance: -1}
	f.Fuzz(func(t *testing.T, id, ts, sigs string, body []byte) {
		h := http.Header{"Webhook-Id": {id}, "Webhook-Timestamp": {ts}, "Webhook-Signature": {sigs}}
		m, err := v.Verify(h, body, now)
		if err != nil {
			if webhook.Status(err) >= 500 || outcome.Of(err) != outcome.Refused {
				t.Fatalf("Verify: %v", err)
			}
			return
		}
		// What verifies is what a holder of a secret signs, and in no other form.
		want, err := webhook.Headers(m.ID, m.At, m.Body, webhook.All(one, two))
		if err != nil || m.ID != id || want.Get("webhook-timestamp") != ts {
			t.Fatalf("Verify took what Headers does not make: %q %q: %v", id, ts, err)
		}
		for sig := range strings.FieldsSeq(want.Get("webhook-signature")) {
			if slices.Contains(strings.Split(sigs, " "), sig) {
				return
			}
		}
		t.Fatalf("Verify took %q, want one of %q", sigs, want)
	})
}

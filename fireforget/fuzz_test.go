package fireforget_test

import (
	"bufio"
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/fireforget"
	"github.com/crosstie/crosstie/webhook"
)

// wire is a network that writes each request as bytes and reads it again.
type wire struct{ http.Handler }

func (w wire) RoundTrip(r *http.Request) (*http.Response, error) {
	var b bytes.Buffer
	if err := r.Write(&b); err != nil {
		return nil, err
	}
	got, err := http.ReadRequest(bufio.NewReader(&b))
	if err != nil {
		return nil, err
	}
	rec := httptest.NewRecorder()
	w.ServeHTTP(rec, got)
	return rec.Result(), nil
}

// FuzzMessage: whatever Send accepts can be delivered as a webhook, verifies,
// and no field of it can forge another.
func FuzzMessage(f *testing.F) {
	f.Add("order-1", "dest", "key", "X-Header", "value", []byte("body"))
	f.Add("", "d", "", "Webhook-Id", "forged", []byte{})
	f.Add("a b", "d\r\n", "\x00", "A: b\r\nC", "d\r\nE: f", []byte{0xff})
	f.Add("a.b", "é", "é", "Content-Length", "7", []byte("x"))
	f.Add("1", "d", "k", "Transfer-Encoding", "chunked", []byte("x"))
	f.Add("1", "d", "k", "Host", "elsewhere", []byte("x"))
	key := secret(f, "a")
	v := webhook.Verifier{Secrets: []webhook.Secret{key}}
	f.Fuzz(func(t *testing.T, id, to, k, name, value string, body []byte) {
		s := fireforget.NewMem()
		m := fireforget.Message{ID: id, To: to, Key: k, Header: map[string]string{name: value}, Payload: body}
		id, err := fireforget.NewOutbox(s, nil).Send(t.Context(), m)
		if err != nil {
			_, ok := errors.AsType[*fireforget.FieldError](err)
			require.True(t, ok, "%v", err)
			return
		}
		es := claim(t, s, to)
		require.Len(t, es, 1)
		d := fireforget.Webhook("https://receiver.example/in", key, &fireforget.WebhookOptions{
			Client: &http.Client{Transport: wire{http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				got, err := v.Read(r)
				require.NoError(t, err)
				require.Equal(t, id, got.ID)
				require.True(t, bytes.Equal(body, got.Body))
				require.Equal(t, "receiver.example", r.Host)
				known := map[string]bool{"Webhook-Id": true, "Webhook-Timestamp": true, "Webhook-Signature": true, "User-Agent": true,
					"Crosstie-Attempt": true, "Content-Type": true, "Content-Length": true, http.CanonicalHeaderKey(name): true}
				for h := range r.Header {
					require.True(t, known[h], "%q was not sent", h)
				}
				if h := r.Header.Get(name); strings.HasPrefix(name, "X-") {
					require.Equal(t, strings.Trim(value, " \t"), h)
				}
			})}},
		})
		require.NoError(t, d.Deliver(t.Context(), es[0].Item))
	})
}

package node

import (
	"context"
	"database/sql"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/fireforget"
	"github.com/crosstie/crosstie/inbox"
	"github.com/crosstie/crosstie/webhook"
)

// What fireforget signs, the library of Standard Webhooks verifies, and what
// that signs, our receiver takes, once for an id; a forgery neither takes.
func TestStandardWebhooks(t *testing.T) {
	secret := webhook.NewSecret()
	type message struct{ ID, Body string }
	var took []message
	in := inbox.New("webhooks", inbox.NewMem(), nil)
	receiver := httptest.NewServer(fireforget.NewReceiver(webhook.Verifier{Secrets: []webhook.Secret{secret}}, in,
		func(_ context.Context, _ *sql.Tx, m webhook.Message) error {
			took = append(took, message{m.ID, string(m.Body)})
			return nil
		}, nil))
	defer receiver.Close()
	type send struct {
		ID     string `json:"id"`
		Body   string `json:"body"`
		Forged string `json:"forged,omitempty"`
	}
	s := begin(t, "webhook.js", map[string]any{"secret": secret.Reveal(), "to": receiver.URL, "send": []send{
		{"msg_1", `{"free":7,"note":"ä"}`, ""},
		{"msg_1", `{"free":7,"note":"ä"}`, ""},
		{"msg_2", `{"free":7}`, `{"free":8}`},
	}})
	var at struct{ URL string }
	s.says(&at)
	var theirs struct{ Sent []int }
	s.says(&theirs)
	require.Equal(t, []int{204, 204, 401}, theirs.Sent)
	require.Equal(t, []message{{"msg_1", `{"free":7,"note":"ä"}`}}, took)

	deliver := func(by webhook.Signer, id string, attempt int, body string) error {
		d := fireforget.Webhook(at.URL, by, &fireforget.WebhookOptions{Client: http.DefaultClient, AllowHTTP: true})
		return d.Deliver(t.Context(), fireforget.Item{ID: id, Attempt: attempt, Body: []byte(body), ContentType: "application/json"})
	}
	other := webhook.NewSecret()
	require.NoError(t, deliver(secret, "a-1", 0, `{"qty":2,"note":"ä"}`))
	require.NoError(t, deliver(webhook.All(other, secret), "a-2", 3, `[]`), "a secret that is being replaced")
	var refused *fireforget.StatusError
	require.ErrorAs(t, deliver(other, "a-3", 0, `{}`), &refused)
	require.Equal(t, 400, refused.Status)

	type seen struct {
		ID, Type, Refused string
		Payload           any
	}
	var ours struct{ Heard []seen }
	s.end(&ours)
	require.Equal(t, []seen{
		{"a-1", "application/json", "", map[string]any{"qty": 2.0, "note": "ä"}},
		{"a-2", "application/json", "", []any{}},
		{"a-3", "application/json", "No matching signature found", nil},
	}, ours.Heard)
}

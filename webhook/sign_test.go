package webhook_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/webhook"
)

var (
	now  = time.Date(2026, 11, 23, 12, 0, 0, 500_000_000, time.UTC)
	body = []byte(`{"type":"order.created"}`)
)

func secret(fill byte) webhook.Secret {
	s, err := webhook.ParseSecret("whsec_" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{fill}, 32)))
	if err != nil {
		panic(err)
	}
	return s
}

var one, two, three = secret(1), secret(2), secret(3)

// The example that the specification's own libraries test against.
func TestSignMatchesTheSpecification(t *testing.T) {
	s, err := webhook.ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	require.NoError(t, err)
	sig, err := s.Sign("msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	require.NoError(t, err)
	require.Equal(t, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", sig)
}

func TestHeaders(t *testing.T) {
	h, err := webhook.Headers("msg_1", now, body, one)
	require.NoError(t, err)
	require.Len(t, h, 3)
	require.Equal(t, "msg_1", h.Get("webhook-id"))
	require.Equal(t, "1795435200", h.Get("webhook-timestamp"))
	require.Regexp(t, `^v1,[A-Za-z0-9+/]{43}=$`, h.Get("webhook-signature"))

	h, err = webhook.Headers("msg_1", now, body, webhook.All(one, webhook.All(two, three)))
	require.NoError(t, err)
	require.Len(t, strings.Fields(h.Get("webhook-signature")), 3)
}

type failing struct{ err error }

func (f failing) Sign(string, time.Time, []byte) (string, error) { return "", f.err }

func TestWhatCannotBeSigned(t *testing.T) {
	boom := errors.New("boom")
	for _, c := range []struct {
		name string
		id   string
		at   time.Time
		by   webhook.Signer
		want error
	}{
		{"no id", "", now, one, webhook.ErrHeader},
		{"id with a dot", "msg.1", now, one, webhook.ErrHeader},
		{"id with a space", "msg 1", now, one, webhook.ErrHeader},
		{"id with a line end", "msg\r\nX: y", now, one, webhook.ErrHeader},
		{"id of other letters", "größe", now, one, webhook.ErrHeader},
		{"id too long", strings.Repeat("x", 257), now, one, webhook.ErrHeader},
		{"zero time", "msg", time.Time{}, one, webhook.ErrHeader},
		{"time before 1970", "msg", time.Unix(-1, 0), one, webhook.ErrHeader},
		{"time of eleven digits", "msg", time.Unix(10_000_000_000, 0), one, webhook.ErrHeader},
		{"no signer", "msg", now, nil, webhook.ErrSigner},
		{"none of none", "msg", now, webhook.All(), webhook.ErrSigner},
		{"a nil among them", "msg", now, webhook.All(one, nil), webhook.ErrSigner},
		{"zero secret", "msg", now, webhook.Secret{}, webhook.ErrSecret},
		{"one of them fails", "msg", now, webhook.All(one, failing{boom}), boom},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, err := webhook.Headers(c.id, c.at, body, c.by)
			require.ErrorIs(t, err, c.want)
			require.Nil(t, h)
		})
	}
	_, err := one.Sign("msg.1", now, body)
	require.ErrorIs(t, err, webhook.ErrHeader)
	require.Equal(t, outcome.NotSent, outcome.Of(err))
	_, err = webhook.Headers(strings.Repeat("x", 256), now, body, one)
	require.NoError(t, err)
}

func TestParseSecret(t *testing.T) {
	raw := func(n int) []byte { return bytes.Repeat([]byte{0xfb}, n) }
	std := base64.StdEncoding.EncodeToString
	for _, c := range []struct {
		name, text string
		ok         bool
	}{
		{"24 bytes", "whsec_" + std(raw(24)), true},
		{"64 bytes", "whsec_" + std(raw(64)), true},
		{"unpadded", "whsec_" + base64.RawStdEncoding.EncodeToString(raw(32)), true},
		{"23 bytes", "whsec_" + std(raw(23)), false},
		{"65 bytes", "whsec_" + std(raw(65)), false},
		{"empty", "", false},
		{"prefix alone", "whsec_", false},
		{"no prefix", std(raw(32)), false},
		{"other prefix", "whpk_" + std(raw(32)), false},
		{"upper prefix", "WHSEC_" + std(raw(32)), false},
		{"url alphabet", "whsec_" + base64.URLEncoding.EncodeToString(raw(32)), false},
		{"line end inside", "whsec_" + std(raw(24))[:8] + "\n" + std(raw(24))[8:], false},
		{"line end after", "whsec_" + std(raw(24)) + "\n", false},
		{"space after", "whsec_" + std(raw(24)) + " ", false},
		{"trailing bits", "whsec_" + std(raw(32))[:42] + "/=", false},
		{"too much padding", "whsec_" + std(raw(32)) + "=", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := webhook.ParseSecret(c.text)
			if c.ok {
				require.NoError(t, err)
				again, err := webhook.ParseSecret(s.Reveal())
				require.NoError(t, err)
				require.Equal(t, s.Reveal(), again.Reveal())
				return
			}
			require.ErrorIs(t, err, webhook.ErrSecret)
			require.Contains(t, err.Error(), "24 to 64 bytes")
			require.Empty(t, s.Reveal())
			if len(c.text) > 10 {
				require.NotContains(t, err.Error(), c.text[8:])
			}
		})
	}
}

func TestNewSecret(t *testing.T) {
	a, b := webhook.NewSecret(), webhook.NewSecret()
	require.NotEqual(t, a.Reveal(), b.Reveal())
	_, err := webhook.ParseSecret(a.Reveal())
	require.NoError(t, err)
}

func TestSecretsDoNotPrint(t *testing.T) {
	const canary = "canarycanarycanarycanary!!"
	s, err := webhook.ParseSecret("whsec_" + base64.StdEncoding.EncodeToString([]byte(canary)))
	require.NoError(t, err)
	type holder struct {
		Exported webhook.Secret
		Pointer  *webhook.Secret
		hidden   webhook.Secret
		v        webhook.Verifier
	}
	h := holder{s, &s, s, webhook.Verifier{Secrets: []webhook.Secret{s}}}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%p", "%t", "%08.3f"} {
		for _, v := range []any{s, &s, h, &h, []webhook.Secret{s}, map[string]webhook.Secret{"k": s}, h.v, webhook.All(s)} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
	}
	for _, v := range []any{s, &s, h, h.v, map[string]any{"k": s}} {
		b, err := json.Marshal(v)
		require.NoError(t, err)
		out.Write(b)
		slog.New(slog.NewTextHandler(&out, nil)).Info("text", "v", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("json", "v", v)
	}
	text, err := s.MarshalText()
	require.NoError(t, err)
	out.Write(text)
	out.WriteString(s.String() + s.GoString() + s.LogValue().String())
	_, _ = fmt.Fprintln(&out, s)
	_, err = webhook.Verifier{Secrets: []webhook.Secret{s}}.Verify(http.Header{}, nil, now)
	_, _ = fmt.Fprintf(&out, "%+v %#v", err, err)

	for name, leak := range map[string]string{
		"bytes":  canary[:8],
		"base64": base64.StdEncoding.EncodeToString([]byte(canary))[:8],
		"hex":    fmt.Sprintf("%x", canary[:4]),
		"HEX":    fmt.Sprintf("%X", canary[:4]),
		"list":   "99 97 110 97",
		"Go":     "0x63, 0x61",
	} {
		require.NotContains(t, out.String(), leak, name)
	}
	require.Contains(t, out.String(), "REDACTED")
	require.NotContains(t, fmt.Sprintf("%v", s), "{")
}

func FuzzParseSecret(f *testing.F) {
	f.Add("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	f.Add("whsec_")
	f.Add("whsec_====")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := webhook.ParseSecret(text)
		if err != nil {
			if !errors.Is(err, webhook.ErrSecret) || s.Reveal() != "" {
				t.Fatalf("ParseSecret(%q) = %q, %v", text, s.Reveal(), err)
			}
			return
		}
		if got := strings.TrimRight(s.Reveal(), "="); got != strings.TrimRight(text, "=") {
			t.Fatalf("ParseSecret(%q) reveals %q", text, got)
		}
	})
}

package salesforce_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/retry"
	"github.com/crosstie/crosstie/salesforce"
)

func through(s *script) *salesforce.Options {
	return &salesforce.Options{Client: &http.Client{Transport: s}, Retry: retry.Policy{Base: -1}}
}

// The assertion is checked as the other side would, from RFC 7519 and 7515.
func TestJWTBearer(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	s := &script{answer: func(int, *http.Request) (*http.Response, error) { return reply(200, `{"fields":[]}`), nil }}
	_, err = scriptedAs(t, salesforce.JWTBearer("app", "me@acme", "", key), through(s)).Describe(t.Context(), "Account")
	require.NoError(t, err)
	require.Equal(t, "urn:ietf:params:oauth:grant-type:jwt-bearer", s.forms[0].Get("grant_type"))
	parts := strings.Split(s.forms[0].Get("assertion"), ".")
	require.Len(t, parts, 3)
	decode := func(s string) []byte {
		b, err := base64.RawURLEncoding.DecodeString(s)
		require.NoError(t, err)
		return b
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	require.NoError(t, rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, sum[:], decode(parts[2])))
	require.JSONEq(t, `{"alg":"RS256","typ":"JWT"}`, string(decode(parts[0])))
	var claims struct {
		Iss, Sub, Aud string
		Exp           int64
	}
	require.NoError(t, json.Unmarshal(decode(parts[1]), &claims))
	require.Equal(t, "app me@acme https://login.salesforce.com", claims.Iss+" "+claims.Sub+" "+claims.Aud)
	left := time.Until(time.Unix(claims.Exp, 0))
	require.True(t, left > 2*time.Minute && left <= 3*time.Minute, left)

	_, err = scriptedAs(t, salesforce.JWTBearer("app", "me", "", nil), through(s)).Describe(t.Context(), "Account")
	require.ErrorIs(t, err, salesforce.ErrInput)
}

func TestRefreshToken(t *testing.T) {
	s := &script{login: func(int) (int, string) {
		return 400, `{"error":"invalid_grant","error_description":"expired: R3FRESH+1 of s3cr3t"}`
	}}
	_, err := scriptedAs(t, salesforce.RefreshToken("app", "s3cr3t", "R3FRESH+1"), through(s)).Describe(t.Context(), "Account")
	require.ErrorIs(t, err, salesforce.ErrCredentials)
	require.ErrorContains(t, err, "expired: (secret) of (secret)")
	require.Equal(t, outcome.NotSent, outcome.Of(err))
	require.Equal(t, "refresh_token R3FRESH+1 s3cr3t", s.forms[0].Get("grant_type")+" "+s.forms[0].Get("refresh_token")+" "+s.forms[0].Get("client_secret"))
	s = &script{answer: func(int, *http.Request) (*http.Response, error) { return reply(200, `{"fields":[]}`), nil }}
	_, err = scriptedAs(t, salesforce.RefreshToken("app", "", "r"), through(s)).Describe(t.Context(), "Account")
	require.NoError(t, err)
	require.False(t, s.forms[0].Has("client_secret"))
}

// What a query looks for is nobody's business in a log.
func TestErrorsHoldNoQuery(t *testing.T) {
	s := &script{answer: func(int, *http.Request) (*http.Response, error) { return nil, errors.New("reset by peer") }}
	for _, err := range salesforce.Query[product](t.Context(), scripted(t, s), "SELECT Id FROM Contact WHERE Email = ?", "ada@example.com") {
		require.ErrorContains(t, err, "reset by peer")
		require.NotContains(t, err.Error(), "ada")
	}
}

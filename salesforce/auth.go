package salesforce

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/crosstie/crosstie/outcome"
)

// An Auth gets access tokens. It prints nothing of what it holds.
type Auth struct {
	token func(ctx context.Context, o *Org) (Token, error)
}

// A Token is a session of the API.
type Token struct {
	// Access is the access token. It is a secret.
	Access string
	// InstanceURL is where the API is; empty means the URL given to [New].
	InstanceURL string
	// OrgID is the org's id, 15 or 18 characters; empty means the one that an
	// opaque token begins with.
	OrgID string
}

// Format prints a text without the token, whatever the verb.
func (Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "salesforce.Token(secret)") }

// LogValue is a text without the token.
func (Token) LogValue() slog.Value { return slog.StringValue("salesforce.Token(secret)") }

// MarshalJSON writes a text without the token: what holds one may be logged as
// JSON. To keep a token, keep its Access.
func (Token) MarshalJSON() ([]byte, error) { return []byte(`"salesforce.Token(secret)"`), nil }

// ClientCredentials logs in as the user that a connected app, or external
// client app, runs as (OAuth 2.0 client credentials, RFC 6749 §4.4). It works
// on the org's My Domain only, not on login.salesforce.com.
func ClientCredentials(clientID, clientSecret string) Auth {
	return Auth{func(ctx context.Context, o *Org) (Token, error) {
		return o.grant(ctx, url.Values{
			"grant_type": {"client_credentials"}, "client_id": {clientID}, "client_secret": {clientSecret},
		})
	}}
}

// RefreshToken logs in with a refresh token that a user's authorization gave
// (RFC 6749 §6). clientSecret may be empty for an app that needs none.
func RefreshToken(clientID, clientSecret, refreshToken string) Auth {
	return Auth{func(ctx context.Context, o *Org) (Token, error) {
		form := url.Values{"grant_type": {"refresh_token"}, "client_id": {clientID}, "refresh_token": {refreshToken}}
		if clientSecret != "" {
			form.Set("client_secret", clientSecret)
		}
		return o.grant(ctx, form)
	}}
}

// JWTBearer logs in as username by an assertion that key signs with RS256 (RFC
// 7523 §2.1); the app in the org holds the certificate. audience is
// "https://login.salesforce.com", "https://test.salesforce.com" for a sandbox,
// or the URL of an Experience Cloud site; empty means the first. An assertion
// is good for three minutes.
func JWTBearer(clientID, username, audience string, key *rsa.PrivateKey) Auth {
	if audience == "" {
		audience = "https://login.salesforce.com"
	}
	return Auth{func(ctx context.Context, o *Org) (Token, error) {
		if key == nil {
			return Token{}, input("login", "the key of JWTBearer is nil")
		}
		claims, err := json.Marshal(map[string]any{
			"iss": clientID, "sub": username, "aud": audience, "exp": time.Now().Add(3 * time.Minute).Unix(),
		})
		if err != nil {
			return Token{}, input("login", "the claims have no form in JSON")
		}
		b64 := base64.RawURLEncoding
		text := b64.EncodeToString([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + b64.EncodeToString(claims)
		sum := sha256.Sum256([]byte(text))
		sig, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
		if err != nil {
			return Token{}, input("login", "the key of JWTBearer cannot sign")
		}
		return o.grant(ctx, url.Values{
			"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {text + "." + b64.EncodeToString(sig)},
		})
	}}
}

// StaticToken uses an access token that somebody else got, until the org says
// that its session is over.
func StaticToken(access string) Auth {
	return TokenFunc(func(context.Context) (Token, error) { return Token{Access: access}, nil })
}

// TokenFunc asks fn for a token at first, and once again each time the org
// says that the session is over: for a vault, or another grant with the library
// of your choice. fn is called by one goroutine at a time.
func TokenFunc(fn func(ctx context.Context) (Token, error)) Auth {
	return Auth{func(ctx context.Context, _ *Org) (Token, error) {
		t, err := fn(ctx)
		if err != nil {
			return t, &Error{Op: "login", Known: outcome.NotSent, Err: err}
		}
		return t, nil
	}}
}

// A grant is a token in use.
type grant struct {
	access string
	base   *url.URL
	org    string // 18 characters, or empty
}

// A session holds the token that all calls share.
type session struct {
	auth Auth

	mu     sync.Mutex // guards the fields below
	now    *grant
	asking *login
}

// A login is one request for a token, and all who wait for it.
type login struct {
	done  chan struct{}
	grant *grant
	err   error
}

// token returns the token in use, or a new one if that is stale. Of callers at
// the same time one asks. The one request outlives the caller that began it,
// since others wait for it too; it is bounded by Options.Timeout.
func (s *session) token(ctx context.Context, o *Org, stale *grant) (*grant, error) {
	s.mu.Lock()
	if s.now != nil && s.now != stale {
		defer s.mu.Unlock()
		return s.now, nil
	}
	l := s.asking
	if l == nil {
		l = &login{done: make(chan struct{})}
		s.asking = l
		go s.ask(context.WithoutCancel(ctx), o, l)
	}
	s.mu.Unlock()
	select {
	case <-l.done:
		return l.grant, l.err
	case <-ctx.Done():
		return nil, &Error{Op: "login", Known: outcome.NotSent, Err: context.Cause(ctx)}
	}
}

func (s *session) ask(ctx context.Context, o *Org, l *login) {
	limit := o.o.Timeout
	if limit <= 0 {
		limit = 2 * time.Minute
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	l.err = errNoReturn // what remains if the function of TokenFunc ends its goroutine
	defer func() {
		s.mu.Lock()
		s.asking = nil
		if l.err == nil {
			s.now = l.grant
		}
		s.mu.Unlock()
		close(l.done)
	}()
	ctx = o.o.Observer.Start(ctx, "salesforce.login")
	t, err := s.auth.token(ctx, o)
	var g *grant
	if err == nil {
		g, err = o.accept(t)
	}
	l.grant, l.err = g, err
	o.o.Observer.End(ctx, "salesforce.login", err)
}

var errNoReturn = &Error{Op: "login", Known: outcome.NotSent, Err: input("", "the function of TokenFunc did not return").Err}

// accept checks a token before anything is sent with it.
func (o *Org) accept(t Token) (*grant, error) {
	if t.Access == "" || strings.ContainsAny(t.Access, " \r\n\t") {
		return nil, input("login", "the access token is empty, or has a blank in it")
	}
	g := &grant{access: t.Access, base: o.login}
	if t.InstanceURL != "" {
		u, err := baseURL(t.InstanceURL, o.o.PlainHTTP)
		if err != nil {
			return nil, input("login", "the instance URL of the token %v", err)
		}
		if o.login.Scheme == "https" && u.Scheme != "https" {
			return nil, input("login", "the login was https and the instance URL of the token is not")
		}
		g.base = u
	}
	id := t.OrgID
	if before, _, ok := strings.Cut(t.Access, "!"); ok && id == "" {
		id = before
	}
	g.org = longID(id)
	return g, nil
}

// grant asks the token endpoint.
func (o *Org) grant(ctx context.Context, form url.Values) (Token, error) {
	a := attempt{
		op: "login", method: http.MethodPost, url: o.login.JoinPath("/services/oauth2/token"),
		contentType: "application/x-www-form-urlencoded", accept: "application/json",
		body: []byte(form.Encode()), secrets: []string{form.Get("client_secret"), form.Get("refresh_token"), form.Get("assertion")},
	}
	var t struct {
		Access   string `json:"access_token"`
		Instance string `json:"instance_url"`
		ID       string `json:"id"` // https://login.salesforce.com/id/<org>/<user>
	}
	if err := o.send(ctx, a, &t); err != nil {
		// Whatever became of the login, the call it was for was not sent.
		err.Known = outcome.NotSent
		return Token{}, err
	}
	org := ""
	if parts := strings.Split(strings.TrimRight(t.ID, "/"), "/"); len(parts) >= 2 {
		org = parts[len(parts)-2]
	}
	return Token{Access: t.Access, InstanceURL: t.Instance, OrgID: org}, nil
}

// longID adds the three characters that say which letters of a 15-character
// id are capital: for each five, one that stands for their five bits. It
// returns "" for what is no id.
func longID(id string) string {
	switch {
	case len(id) != 15 && len(id) != 18, strings.Trim(id, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") != "":
		return ""
	case len(id) == 18:
		return id
	}
	out := []byte(id)
	for block := range 3 {
		bits := 0
		for i := range 5 {
			if c := id[block*5+i]; 'A' <= c && c <= 'Z' {
				bits |= 1 << i
			}
		}
		out = append(out, "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"[bits])
	}
	return string(out)
}

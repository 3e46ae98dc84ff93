package sftest

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// A session is an access token that was given out.
type session struct {
	used time.Time // of its last call
}

// token answers a login.
func (o *Org) token(r *request) answer {
	form, ok := r.form()
	if !ok {
		return oauthError(400, "invalid_request", "a login is sent as application/x-www-form-urlencoded")
	}
	id, secret, basic := r.BasicAuth()
	if !basic {
		id, secret = form.Get("client_id"), form.Get("client_secret")
	}
	switch grant := form.Get("grant_type"); {
	case grant == "":
		return oauthError(400, "invalid_request", "missing required parameter: grant_type")
	case grant != "client_credentials":
		return oauthError(400, "unsupported_grant_type", "grant type not supported")
	case id != o.opts.ClientID:
		return oauthError(400, "invalid_client_id", "client identifier invalid")
	case subtle.ConstantTimeCompare([]byte(secret), []byte(o.opts.ClientSecret)) != 1:
		return oauthError(400, "invalid_client", "invalid client credentials")
	}
	issued := strconv.FormatInt(time.Now().UnixMilli(), 10)
	identity := o.identity()
	mac := hmac.New(sha256.New, []byte(o.opts.ClientSecret))
	mac.Write([]byte(identity + issued))
	return jsonAnswer(200, map[string]string{
		"access_token": o.Token(),
		"signature":    base64.StdEncoding.EncodeToString(mac.Sum(nil)),
		"scope":        "api",
		"instance_url": o.url,
		"id":           identity,
		"token_type":   "Bearer",
		"issued_at":    issued,
	})
}

// revoke ends a session.
func (o *Org) revoke(r *request) answer {
	token := r.URL.Query().Get("token")
	if form, ok := r.form(); ok && token == "" {
		token = form.Get("token")
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.sessions[token] == nil {
		a := text(400, "application/x-www-form-urlencoded", "error=invalid_token&error_description=token+has+already+been+revoked")
		return a
	}
	delete(o.sessions, token)
	return answer{status: 200}
}

func (o *Org) userInfo(*request) answer {
	return jsonAnswer(200, map[string]any{
		"sub":                o.identity(),
		"user_id":            o.user,
		"organization_id":    o.id,
		"preferred_username": "integration@" + strings.ToLower(o.id) + ".example",
		"name":               "Integration User",
		"active":             true,
	})
}

// whoAmI answers at the URL that the answer to a login has as its id.
func (o *Org) whoAmI(*request) answer {
	name := "integration@" + strings.ToLower(o.id) + ".example"
	return jsonAnswer(200, map[string]any{
		"id":              o.identity(),
		"asserted_user":   true,
		"user_id":         o.user,
		"organization_id": o.id,
		"username":        name,
		"nick_name":       "integration",
		"display_name":    "Integration User",
		"email":           name,
		"email_verified":  true,
		"first_name":      nil,
		"last_name":       "User",
		"timezone":        "GMT",
		"urls": map[string]string{
			"rest":     o.url + "/services/data/v{version}/",
			"sobjects": o.url + "/services/data/v{version}/sobjects/",
			"query":    o.url + "/services/data/v{version}/query/",
		},
		"user_type": "STANDARD",
		"language":  "en_US",
		"locale":    "en_US",
		"utcOffset": 0,
		"active":    true,
	})
}

func (o *Org) identity() string { return o.url + "/id/" + o.id + "/" + o.user }

// Token opens a session and gives its access token, for a test that does not
// log in.
func (o *Org) Token() string {
	// By chance, not by the seed: the token of another org, or of this one
	// before a restart, must not be good here.
	token := o.id[:15] + "!" + rand.Text() + rand.Text() + rand.Text()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sessions[token] = &session{used: time.Now()}
	return token
}

// ExpireSessions ends every session, as an administrator or the time does.
// Calls with their tokens are answered with INVALID_SESSION_ID.
func (o *Org) ExpireSessions() {
	o.mu.Lock()
	defer o.mu.Unlock()
	clear(o.sessions)
}

// enter lets a call in, or says why not. It keeps the session alive.
func (o *Org) enter(r *request) *answer {
	o.mu.Lock()
	defer o.mu.Unlock()
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	s := o.sessions[token]
	known := s != nil && (strings.EqualFold(scheme, "Bearer") || strings.EqualFold(scheme, "OAuth"))
	if known && o.opts.SessionIdle > 0 && time.Since(s.used) > o.opts.SessionIdle {
		delete(o.sessions, token)
		known = false
	}
	if !known {
		return expired()
	}
	s.used = time.Now()
	return nil
}

func expired() *answer {
	a := refuse(wrong("INVALID_SESSION_ID", "Session expired or invalid").with(401))
	a.header = map[string]string{"WWW-Authenticate": "Token"}
	return &a
}

func oauthError(status int, code, description string) answer {
	return jsonAnswer(status, map[string]string{"error": code, "error_description": description})
}

// form reads a urlencoded body, or none.
func (r *request) form() (url.Values, bool) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" || r.Method != http.MethodPost {
		return nil, false
	}
	form, err := url.ParseQuery(string(r.body))
	return form, err == nil
}

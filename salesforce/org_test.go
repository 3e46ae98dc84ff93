package salesforce_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/retry"
	"github.com/crosstie/crosstie/salesforce"
	"github.com/crosstie/crosstie/salesforce/sftest"
)

func TestNewRefusesWhatCannotBeMeant(t *testing.T) {
	auth := salesforce.StaticToken("x")
	for _, c := range []struct {
		url     string
		auth    salesforce.Auth
		version string
		want    string
	}{
		{"acme.my.salesforce.com", auth, "", "no URL with a host"},
		{"ftp://acme", auth, "", `scheme "ftp"`},
		{"https://me:pw@acme", auth, "", "user name"},
		{"http://acme.my.salesforce.com", auth, "", "in the clear"},
		{"https://acme", salesforce.Auth{}, "", "Auth is empty"},
		{"https://acme", auth, "45.0", "Options.Version"},
		{"https://acme", auth, "v66.0", "Options.Version"},
		{"https://acme", auth, "66", "Options.Version"},
	} {
		_, err := salesforce.New(c.url, c.auth, &salesforce.Options{Version: c.version})
		require.ErrorIs(t, err, salesforce.ErrInput, c.url)
		require.ErrorContains(t, err, c.want)
		require.NotContains(t, err.Error(), "pw")
		require.Equal(t, outcome.NotSent, outcome.Of(err))
	}
	for _, u := range []string{"http://localhost:8080", "http://127.0.0.1:1/", "http://[::1]:1", "https://x"} {
		_, err := salesforce.New(u, auth, nil)
		require.NoError(t, err)
	}
	_, err := salesforce.New("http://sforg:8080", auth, &salesforce.Options{PlainHTTP: true})
	require.NoError(t, err)
}

func TestOneLoginForManyCallers(t *testing.T) {
	hold := make(chan struct{})
	s := &script{answer: func(int, *http.Request) (*http.Response, error) { return reply(200, `{"fields":[]}`), nil }}
	s.login = func(int) (int, string) {
		<-hold
		return 200, `{"access_token":"00D000000000001!TOKEN","instance_url":"https://acme.my.salesforce.com"}`
	}
	org := scripted(t, s)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			_, err := org.Describe(t.Context(), "Account")
			require.NoError(t, err)
		})
	}
	// A caller that goes away does not take the login with it.
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("gone")
	cancel(why)
	_, err := org.Describe(ctx, "Account")
	require.ErrorIs(t, err, why)
	require.Equal(t, outcome.NotSent, outcome.Of(err))
	close(hold)
	wg.Wait()
	require.Equal(t, 1, s.logins)
	require.Equal(t, 50, s.calls())
	id, err := org.ID(t.Context())
	require.NoError(t, err)
	require.Equal(t, "00D000000000001EAA", id, "completed from the 15 characters of the token")
}

func TestASessionThatIsOverIsRenewedOnce(t *testing.T) {
	over := func() (*http.Response, error) {
		return fault(401, "INVALID_SESSION_ID", "Session expired or invalid"), nil
	}
	tokens := func(n int) (int, string) {
		return 200, fmt.Sprintf(`{"access_token":"00D000000000001!T%d","instance_url":"https://acme.my.salesforce.com"}`, n)
	}
	s := &script{login: tokens, answer: func(n int, r *http.Request) (*http.Response, error) {
		if strings.HasSuffix(r.Header.Get("Authorization"), "!T1") {
			return over()
		}
		return reply(201, `{"id":"001000000000001AAA","success":true,"errors":[]}`), nil
	}}
	org := scripted(t, s)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			_, err := org.Create(t.Context(), "Account", map[string]any{"Name": "x"})
			require.NoError(t, err, "a create that was refused for its session was not applied")
		})
	}
	wg.Wait()
	require.Equal(t, 2, s.logins)

	dead := &script{login: tokens, answer: func(int, *http.Request) (*http.Response, error) { return over() }}
	_, err := scripted(t, dead).Create(t.Context(), "Account", map[string]any{"Name": "x"})
	require.ErrorIs(t, err, salesforce.ErrCredentials)
	require.Equal(t, outcome.Refused, outcome.Of(err))
	require.Equal(t, 2, dead.logins, "no loop of logins")
	require.Equal(t, 2, dead.calls())
}

func TestLoginThatFails(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		body   string
		want   error
		words  string
		logins int
	}{
		{"wrong id", 400, `{"error":"invalid_client_id","error_description":"client identifier invalid"}`, salesforce.ErrCredentials, "client identifier invalid", 1},
		{"wrong host", 400, `{"error":"invalid_grant","error_description":"request not supported on this domain"}`, salesforce.ErrCredentials, "My Domain", 1},
		{"a page", 200, `<html><title>Login</title></html>`, salesforce.ErrNotSalesforce, "login page", 1},
		{"no such endpoint", 404, `<html>URL No Longer Exists</html>`, salesforce.ErrNotSalesforce, "", 1},
		{"maintenance", 503, `<html>We are down</html>`, retry.ErrAttempts, "page for people", 4},
		{"no token", 200, `{"instance_url":"https://acme.my.salesforce.com"}`, salesforce.ErrInput, "token is empty", 1},
		{"a token that splits the header", 200, `{"access_token":"x\r\nX-Evil: 1"}`, salesforce.ErrInput, "blank", 1},
		{"an instance in the clear", 200, `{"access_token":"x","instance_url":"http://acme.my.salesforce.com"}`, salesforce.ErrInput, "in the clear", 1},
		{"an instance on this machine", 200, `{"access_token":"x","instance_url":"http://127.0.0.1"}`, salesforce.ErrInput, "https", 1},
		{"an echo of the secret", 400, `{"error":"invalid_client","error_description":"no: ` + secret + ` s3cr3t%26%2B%2F"}`, salesforce.ErrCredentials, "(secret)", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &script{login: func(int) (int, string) { return c.status, c.body }}
			_, err := scripted(t, s).Create(t.Context(), "Account", map[string]any{"Name": "x"})
			require.ErrorIs(t, err, c.want)
			require.ErrorContains(t, err, c.words)
			require.ErrorContains(t, err, "create Account")
			require.Equal(t, outcome.NotSent, outcome.Of(err), "the record was never sent")
			require.NotContains(t, err.Error(), "s3cr3t")
			require.Equal(t, c.logins, s.logins)
			require.Zero(t, s.calls())
		})
	}
}

func TestUnreachable(t *testing.T) {
	fake := sftest.NewOrg(t, nil)
	require.NoError(t, fake.Close())
	org, err := salesforce.New(fake.URL(), salesforce.ClientCredentials("id", "secret"), &salesforce.Options{Retry: retry.Policy{Base: -1}})
	require.NoError(t, err)
	_, err = org.Create(t.Context(), "Account", map[string]any{"Name": "x"})
	require.ErrorIs(t, err, salesforce.ErrUnreachable)
	require.ErrorIs(t, err, retry.ErrAttempts, "whoever is down may come back")
	require.Equal(t, outcome.NotSent, outcome.Of(err))
}

// Nothing of a redirect is followed: the secret of the login and the token of
// a call stay at home.
func TestRedirectsAreNotFollowed(t *testing.T) {
	s := &script{answer: func(int, *http.Request) (*http.Response, error) {
		return reply(302, "<html>moved</html>", "Location", "https://evil.example/collect?x=1"), nil
	}}
	org := scripted(t, s)
	_, err := org.Describe(t.Context(), "Account")
	require.ErrorIs(t, err, salesforce.ErrNotSalesforce)
	require.ErrorContains(t, err, "evil.example")
	require.NotContains(t, err.Error(), "x=1")
	require.Equal(t, 1, s.calls())

	s = &script{login: func(int) (int, string) { return 307, "" }}
	_, err = scripted(t, s).Describe(t.Context(), "Account")
	require.ErrorIs(t, err, salesforce.ErrNotSalesforce)
	require.Equal(t, 1, s.logins)
}

func TestWhatIsKnown(t *testing.T) {
	lost := func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF }
	for _, c := range []struct {
		name            string
		answer          func() (*http.Response, error)
		known           outcome.Outcome
		creates, upsert int // how often each is sent
		is              error
	}{
		{"the answer is lost", func() (*http.Response, error) { return lost(nil) }, outcome.Unknown, 1, 4, nil},
		{"a locked row", func() (*http.Response, error) { return fault(400, "UNABLE_TO_LOCK_ROW", "busy"), nil }, outcome.Refused, 4, 4, retry.ErrAttempts},
		{"unavailable", func() (*http.Response, error) { return fault(503, "SERVER_UNAVAILABLE", "later"), nil }, outcome.Refused, 4, 4, retry.ErrAttempts},
		{"too many at once", func() (*http.Response, error) {
			return fault(403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests (Concurrent API Requests) Limit exceeded."), nil
		}, outcome.Refused, 4, 4, retry.ErrAttempts},
		{"the day's calls are gone", func() (*http.Response, error) {
			return fault(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."), nil
		}, outcome.Refused, 1, 1, salesforce.ErrLimit},
		{"something broke", func() (*http.Response, error) { return fault(500, "UNKNOWN_EXCEPTION", "ErrorId: 1"), nil }, outcome.Unknown, 1, 4, nil},
		{"a bad field", func() (*http.Response, error) { return fault(400, "INVALID_FIELD", "no such column"), nil }, outcome.Refused, 1, 1, nil},
		{"not there", func() (*http.Response, error) { return fault(404, "NOT_FOUND", "no"), nil }, outcome.Refused, 1, 1, salesforce.ErrNotFound},
		{"several", func() (*http.Response, error) { return reply(300, `["/a","/b"]`), nil }, outcome.Refused, 1, 1, salesforce.ErrAmbiguous},
		{"a page", func() (*http.Response, error) { return reply(200, "<html>Please log in</html>"), nil }, outcome.Unknown, 1, 1, salesforce.ErrNotSalesforce},
		{"a page without a type", func() (*http.Response, error) {
			r := reply(200, "<html>")
			r.Header.Del("Content-Type")
			return r, nil
		}, outcome.Unknown, 1, 1, salesforce.ErrNotSalesforce},
		{"a gateway's page", func() (*http.Response, error) { return reply(502, "<html>Bad gateway</html>"), nil }, outcome.Unknown, 1, 4, nil},
		{"half an answer", func() (*http.Response, error) { return reply(200, `{"id":"001`), nil }, outcome.Applied, 1, 4, nil},
		{"an answer too long", func() (*http.Response, error) { return reply(200, `"`+strings.Repeat("x", 1<<20)+`"`), nil }, outcome.Applied, 1, 1, salesforce.ErrTooLarge},
		{"neither yes nor no", func() (*http.Response, error) { return reply(200, `{}`), nil }, outcome.Unknown, 1, 1, nil},
		{"no after all", func() (*http.Response, error) {
			return reply(200, `{"success":false,"errors":[{"statusCode":"DUPLICATE_VALUE","message":"dup","fields":["SKU__c"]}]}`), nil
		}, outcome.Refused, 1, 1, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &script{answer: func(int, *http.Request) (*http.Response, error) { return c.answer() }}
			org := scripted(t, s, func(o *salesforce.Options) { o.MaxBody = 1 << 20 })
			_, err := org.Create(t.Context(), "Account", map[string]any{"Name": "x"})
			require.Error(t, err)
			require.Equal(t, c.known, outcome.Of(err), "%v", err)
			require.Equal(t, c.creates, s.calls(), "%v", err)
			s.seen = nil
			_, err = org.UpsertBy(t.Context(), "Account", "Key__c", "k", map[string]any{"Name": "x"})
			require.Equal(t, c.known, outcome.Of(err), "%v", err)
			require.Equal(t, c.upsert, s.calls(), "%v", err)
			require.NotContains(t, err.Error(), "TOKEN")
			if c.is != nil {
				for _, e := range []error{err, fmt.Errorf("wrapped: %w", err), errors.Join(errors.New("other"), err)} {
					require.ErrorIs(t, e, c.is)
				}
			}
		})
	}
}

func TestRetryAfterIsObeyed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answer: func(n int, _ *http.Request) (*http.Response, error) {
			if n == 1 {
				return reply(503, `[{"errorCode":"SERVER_UNAVAILABLE","message":"later"}]`, "Retry-After", "30"), nil
			}
			return reply(201, `{"id":"001000000000001AAA","success":true}`), nil
		}}
		org := scripted(t, s)
		start := time.Now()
		_, err := org.Create(t.Context(), "Account", map[string]any{"Name": "x"})
		require.NoError(t, err)
		require.GreaterOrEqual(t, time.Since(start), 30*time.Second)
	})
}

func TestAnAttemptThatHangsEndsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answer: func(_ int, r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}}
		start := time.Now()
		_, err := scripted(t, s).Create(t.Context(), "Account", map[string]any{"Name": "x"})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, outcome.Unknown, outcome.Of(err))
		require.Equal(t, 2*time.Minute, time.Since(start))
	})
}

func TestReserveIsLeftToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		used := 8
		s := &script{answer: func(int, *http.Request) (*http.Response, error) {
			used++
			return reply(200, `{"fields":[]}`, "Sforce-Limit-Info", fmt.Sprintf("api-usage=%d/15; per-app-api-usage=1/2(appName=x)", used)), nil
		}}
		org := scripted(t, s, func(o *salesforce.Options) { o.Reserve = 5 })
		require.Zero(t, org.Limits())
		call := func() error { _, err := org.Describe(t.Context(), "Account"); return err }
		require.NoError(t, call())
		require.Equal(t, int64(6), org.Limits().Left())
		require.NoError(t, call())
		require.Equal(t, salesforce.Limits{Used: 10, Max: 15, At: time.Now()}, org.Limits())
		for range 3 {
			err := call()
			require.ErrorIs(t, err, salesforce.ErrReserve)
			require.Equal(t, outcome.NotSent, outcome.Of(err))
			transient, _ := outcome.Transient(err)
			require.False(t, transient, "no wait of seconds gives the calls back")
		}
		require.Equal(t, 2, s.calls())
		time.Sleep(time.Minute)
		require.NoError(t, call(), "one looks again")
		require.ErrorIs(t, call(), salesforce.ErrReserve)
		time.Sleep(time.Minute)
		used = 0 // the window rolled on
		require.NoError(t, call())
		require.NoError(t, call())
	})
}

func TestSecretsDoNotPrint(t *testing.T) {
	tok := salesforce.Token{Access: "TOP", InstanceURL: "https://x"}
	for _, v := range []any{salesforce.ClientCredentials("id", "TOP"), salesforce.StaticToken("TOP"), tok, &tok} {
		for _, form := range []string{"%v", "%+v", "%#v", "%s", "%d"} {
			require.NotContains(t, fmt.Sprintf(form, v), "TOP")
		}
		text, err := json.Marshal(map[string]any{"v": v})
		require.NoError(t, err)
		require.NotContains(t, string(text), "TOP")
	}
	s := &script{answer: func(_ int, r *http.Request) (*http.Response, error) {
		return fault(400, "ODD", "your header was "+r.Header.Get("Authorization")), nil
	}}
	_, err := scripted(t, s).Describe(t.Context(), "Account")
	require.ErrorContains(t, err, "(secret)")
	require.NotContains(t, err.Error(), "TOKEN")
}

// A token that stands where a message is cut, in a code or among the fields is
// found all the same, and what answers cannot write lines into a log.
func TestWhatAnOrgSaysIsTamed(t *testing.T) {
	const token = "00D000000000001!TOKEN"
	for name, body := range map[string]string{
		"at the cut":      `[{"errorCode":"ODD","message":"` + strings.Repeat("x", 990) + token + `"}]`,
		"over two errors": `[{"errorCode":"A","message":"` + strings.Repeat("x", 980) + `"},{"errorCode":"B","message":"` + token + `"}]`,
		"as the code":     `[{"errorCode":"` + token + `","message":"no"}]`,
		"as oauth's code": `{"error":"` + token + `","error_description":"no"}`,
		"as a field":      `[{"errorCode":"ODD","message":"no","fields":["` + token + `"]}]`,
		"escaped":         `[{"errorCode":"ODD","message":"/x?token=00D000000000001%21TOKEN"}]`,
	} {
		s := &script{answer: func(int, *http.Request) (*http.Response, error) { return reply(400, body), nil }}
		_, err := scripted(t, s).Describe(t.Context(), "Account")
		require.Error(t, err, name)
		require.NotContains(t, err.Error(), "TOK", name)
		require.NotContains(t, err.Error(), "00D0000", name)
	}
	for name, body := range map[string]string{
		"of an error":  `[{"errorCode":"ODD\r\nX: y","message":"no\n2026-01-01 all is well\u001b[2K\u2028 ok","fields":["A\nB"` + strings.Repeat(`,"A"`, 5_000) + `]}]`,
		"of a success": `{"id":"","success":false,"errors":[{"statusCode":"ODD\n","message":"no\n2026-01-01 all is well","fields":["A\nB"` + strings.Repeat(`,"A"`, 5_000) + `]}]}`,
	} {
		status := 400
		if name == "of a success" {
			status = 201
		}
		s := &script{answer: func(int, *http.Request) (*http.Response, error) { return reply(status, body), nil }}
		_, err := scripted(t, s).Create(t.Context(), "Account", map[string]any{})
		require.ErrorContains(t, err, "all is well", name)
		require.Less(t, len(err.Error()), 8<<10, name)
		require.False(t, strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' || r == 0x2028 }), name)
	}
}

// What answers and speaks no HTTP is quoted by net/http, and may have the token
// in it.
func TestAnAnswerThatIsNoHTTP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b := make([]byte, 64<<10)
			n, _ := c.Read(b)
			_, token, _ := strings.Cut(string(b[:n]), "Authorization: Bearer ")
			token, _, _ = strings.Cut(token, "\r\n")
			_, _ = io.WriteString(c, "GOPHER"+token+strings.Repeat("x", 100<<10)+"\r\n\r\n")
			_ = c.Close()
		}
	}()
	org, err := salesforce.New("http://"+l.Addr().String(), salesforce.StaticToken("TOPSECRET"), &salesforce.Options{Retry: retry.Policy{MaxAttempts: 1}})
	require.NoError(t, err)
	_, err = org.Describe(t.Context(), "Account")
	require.Error(t, err)
	require.Equal(t, outcome.Unknown, outcome.Of(err))
	require.NotContains(t, err.Error(), "TOPSECRET")
	require.NotContains(t, err.Error(), "GOPHER")
	require.Contains(t, err.Error(), "the answer is no HTTP")
	require.Less(t, len(err.Error()), 3<<10)
}

func TestTokenFunc(t *testing.T) {
	boom := errors.New("the vault is closed")
	s := &script{}
	org, err := salesforce.New("https://acme.my.salesforce.com", salesforce.TokenFunc(func(context.Context) (salesforce.Token, error) {
		return salesforce.Token{}, boom
	}), &salesforce.Options{Client: &http.Client{Transport: s}, Retry: retry.Policy{Base: -1}})
	require.NoError(t, err)
	_, err = org.Describe(t.Context(), "Account")
	require.ErrorIs(t, err, boom)
	require.Equal(t, outcome.NotSent, outcome.Of(err))
}

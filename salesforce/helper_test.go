package salesforce_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/retry"
	"github.com/crosstie/crosstie/salesforce"
)

// A script answers requests by functions, for answers that no org gives. It
// logs in by itself.
type script struct {
	mu     sync.Mutex // guards logins and seen
	logins int
	forms  []url.Values // of the logins
	seen   []*http.Request
	bodies []string

	login  func(n int) (int, string)
	answer func(n int, r *http.Request) (*http.Response, error) // n counts from 1
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	body := ""
	if r.Body != nil {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		body = string(b)
	}
	s.mu.Lock()
	if strings.HasPrefix(r.URL.Path, "/services/oauth2/") {
		s.logins++
		form, _ := url.ParseQuery(body)
		s.forms = append(s.forms, form)
		n := s.logins
		s.mu.Unlock()
		if s.login != nil {
			status, text := s.login(n)
			return reply(status, text), nil
		}
		return reply(200, `{"access_token":"00D000000000001!TOKEN","instance_url":"https://acme.my.salesforce.com","id":"https://login.salesforce.com/id/00D000000000001EAA/005000000000001AAA"}`), nil
	}
	s.seen, s.bodies = append(s.seen, r), append(s.bodies, body)
	n := len(s.seen)
	s.mu.Unlock()
	return s.answer(n, r)
}

func (s *script) calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.seen)
}

// reply is a response; JSON unless it begins like a page. Further arguments
// are headers.
func reply(status int, body string, header ...string) *http.Response {
	h := http.Header{"Content-Type": {"application/json;charset=UTF-8"}}
	if strings.HasPrefix(body, "<") {
		h.Set("Content-Type", "text/html")
	}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

func fault(status int, code, message string) *http.Response {
	return reply(status, `[{"errorCode":"`+code+`","message":"`+message+`"}]`)
}

const secret = "s3cr3t&+/"

// scripted is an org whose answers are a test's, with waits of no length.
func scripted(t *testing.T, s *script, change ...func(*salesforce.Options)) *salesforce.Org {
	t.Helper()
	o := &salesforce.Options{Client: &http.Client{Transport: s}, Retry: retry.Policy{Base: -1}}
	for _, c := range change {
		c(o)
	}
	return scriptedAs(t, salesforce.ClientCredentials("id", secret), o)
}

func scriptedAs(t *testing.T, auth salesforce.Auth, o *salesforce.Options) *salesforce.Org {
	t.Helper()
	org, err := salesforce.New("https://acme.my.salesforce.com/", auth, o)
	require.NoError(t, err)
	return org
}

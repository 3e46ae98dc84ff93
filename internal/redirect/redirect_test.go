package redirect_test

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/fireforget"
	"github.com/crosstie/crosstie/internal/redirect"
	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/remoteinvoke"
	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/requestreply/soap"
	"github.com/crosstie/crosstie/retry"
	"github.com/crosstie/crosstie/webhook"
)

// A mirror redirects to what it was told in a header, which is no URL.
func mirror(t *testing.T) (url string, calls *int) {
	calls = new(int)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*calls++
		w.Header().Set("Location", "a b:"+r.Header.Get("Authorization")+strings.Repeat("x", 1<<10))
		w.WriteHeader(http.StatusTemporaryRedirect)
	}))
	t.Cleanup(s.Close)
	return s.URL, calls
}

const secret = "Bearer hush-hush"

// callers are all who follow no redirect.
var callers = map[string]func(ctx context.Context, url string) error{
	"requestreply": func(ctx context.Context, url string) error {
		_, err := requestreply.Endpoint[int, int]{URL: url, Header: http.Header{"Authorization": {secret}}}.Call(ctx, 1)
		return err
	},
	"requestreply, as a stream": func(ctx context.Context, url string) error {
		_, err := requestreply.Endpoint[int, int]{URL: url, Header: http.Header{"Authorization": {secret}}}.Stream(ctx, 1)
		return err
	},
	"requestreply/soap": func(ctx context.Context, url string) error {
		type ask struct {
			XMLName xml.Name `xml:"urn:x Ask"`
		}
		_, err := soap.Endpoint[ask, ask]{URL: url, Header: http.Header{"Authorization": {secret}}}.Call(ctx, ask{})
		return err
	},
	"remoteinvoke": func(ctx context.Context, url string) error {
		_, err := remoteinvoke.Client[int, int]{URL: url, Header: http.Header{"Authorization": {secret}}, Retry: retry.Policy{MaxAttempts: 1}}.Start(ctx, 1, nil)
		return err
	},
	"remoteinvoke, with a client": func(ctx context.Context, url string) error {
		_, err := remoteinvoke.Client[int, int]{URL: url, HTTP: &http.Client{}, Header: http.Header{"Authorization": {secret}}, Retry: retry.Policy{MaxAttempts: 1}}.Start(ctx, 1, nil)
		return err
	},
	"fireforget": func(ctx context.Context, url string) error {
		d := fireforget.Webhook(url, webhook.NewSecret(), &fireforget.WebhookOptions{Client: &http.Client{}, AllowHTTP: true})
		return d.Deliver(ctx, fireforget.Item{ID: "m1", Body: []byte("{}"), Header: map[string]string{"Authorization": secret}})
	},
}

// In no room does an error say what a Location says, and each says the status.
func TestALocationThatDoesNotParseIsNotQuoted(t *testing.T) {
	for room, call := range callers {
		url, calls := mirror(t)
		err := call(t.Context(), url)
		require.Error(t, err, room)
		require.NotContains(t, err.Error(), "hush", room)
		require.Contains(t, err.Error(), "307", room)
		require.Less(t, len(err.Error()), 500, room)
		require.Equal(t, outcome.Refused, outcome.Of(err), room)
		require.Equal(t, 1, *calls, room)
	}
}

// An answer that is no HTTP is not quoted either, and may have taken effect.
func TestAnAnswerThatIsNoHTTPIsNotQuoted(t *testing.T) {
	for name, answer := range map[string]string{
		"another protocol":     "GOPHER %s\r\n\r\n",
		"a status in words":    "HTTP/1.1 %s OK\r\n\r\n",
		"a line without colon": "HTTP/1.1 200 OK\r\n%s\r\n\r\n",
		"a length in words":    "HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\n",
		"two lengths":          "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: %s\r\n\r\n",
		"an unknown encoding":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: %s\r\n\r\n",
	} {
		url := echo(t, answer)
		for room, call := range callers {
			err := call(t.Context(), url)
			require.Error(t, err, room)
			require.NotContains(t, err.Error(), "hush", "%s, %s", room, name)
			require.Contains(t, err.Error(), "no HTTP", "%s, %s", room, name)
			require.Less(t, len(err.Error()), 500, "%s, %s", room, name)
			require.Equal(t, outcome.Unknown, outcome.Of(err), "%s, %s", room, name)
		}
	}
}

// A connection that breaks is not taken for one that speaks something else.
func TestABrokenAnswerSaysHowItBroke(t *testing.T) {
	url := echo(t, "HTTP/1.1 200 OK\r\n")
	for room, call := range callers {
		require.ErrorContains(t, call(t.Context(), url), "EOF", room)
	}
}

// echo answers each connection with what format makes of the secret it was
// sent, and closes it.
func echo(t *testing.T, format string) (url string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
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
			_, _ = io.WriteString(c, strings.Replace(format, "%s", token+strings.Repeat("x", 10<<10), 1))
			_ = c.Close()
		}
	}()
	return "http://" + l.Addr().String()
}

// What parses is there for who wants it, and is not followed.
func TestRefuse(t *testing.T) {
	calls, closed := 0, false
	c := &http.Client{Transport: &closer{func(r *http.Request) (*http.Response, error) {
		if calls++; calls > 1 {
			return nil, errors.New("broken")
		}
		return &http.Response{StatusCode: 302, Header: http.Header{"Location": {"/there"}}, Body: http.NoBody, Request: r}, nil
	}, &closed}}
	redirect.Refuse(c)
	resp, err := c.Get("http://a.example/")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, "/there", resp.Header.Get("Location"))
	require.Equal(t, 1, calls)
	_, err = c.Get("http://a.example/")
	require.ErrorContains(t, err, "broken")
	c.CloseIdleConnections()
	require.True(t, closed)
}

type closer struct {
	fn     func(*http.Request) (*http.Response, error)
	closed *bool
}

func (c *closer) RoundTrip(r *http.Request) (*http.Response, error) { return c.fn(r) }
func (c *closer) CloseIdleConnections()                             { *c.closed = true }

package requestreply_test

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/retry"
)

// raw serves each connection of a loopback listener with fn, which then closes
// it. It returns the URL.
func raw(t *testing.T, fn func(c *net.TCPConn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			wg.Go(func() {
				defer c.Close()
				fn(c.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, c := range conns {
			_ = c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return "http://" + l.Addr().String()
}

// take reads one request of c whole.
func take(c *net.TCPConn) {
	r, err := http.ReadRequest(bufio.NewReader(c))
	if err == nil {
		_, _ = io.Copy(io.Discard, r.Body)
	}
}

// hangUp waits until the other side closes.
func hangUp(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) }

// reset makes the close of c a reset.
func reset(c *net.TCPConn) { _ = c.SetLinger(0) }

func reply(c *net.TCPConn, text string) {
	_, _ = io.WriteString(c, strings.ReplaceAll(text, "\n", "\r\n"))
}

func status(code int, headers ...string) func(*net.TCPConn) {
	return func(c *net.TCPConn) {
		take(c)
		reply(c, fmt.Sprintf("HTTP/1.1 %d X\nContent-Length: 0\nConnection: close\n", code)+strings.Join(headers, "\n")+strings.Repeat("\n", min(1, len(headers))+1))
	}
}

// refused is an address where nobody listens: a port that was free a moment ago
// may be another test's by now, this one is nobody's.
const refused = "http://127.0.0.1:1"

// What is known after an attempt, by where it failed: the table of package
// outcome, met by real connections.
func TestWhatIsKnown(t *testing.T) {
	big := strings.Repeat("x", 4<<20)
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	secure.Config.ErrorLog = quiet
	t.Cleanup(secure.Close)

	cases := []struct {
		name      string
		url       string
		body      string
		known     outcome.Outcome
		transient bool
	}{
		{"nobody listens", refused, "{}", outcome.NotSent, true},
		{"no such host", "http://nobody.invalid", "{}", outcome.NotSent, true},
		{"a certificate nobody vouches for", secure.URL, "{}", outcome.NotSent, false},
		{"no TLS there", strings.Replace(raw(t, func(c *net.TCPConn) { reply(c, "HTTP/1.0 400 No\n\n") }), "http:", "https:", 1), "{}", outcome.NotSent, true},
		{"closed at the handshake", strings.Replace(raw(t, func(c *net.TCPConn) { reset(c) }), "http:", "https:", 1), "{}", outcome.NotSent, true},
		{"hangs at the handshake", strings.Replace(raw(t, hangUp), "http:", "https:", 1), "{}", outcome.NotSent, true},
		{"reset after the first byte", raw(t, func(c *net.TCPConn) {
			_, _ = io.CopyN(io.Discard, c, 1)
			reset(c)
		}), "{}", outcome.Unknown, true},
		{"reset in the middle of the request", raw(t, func(c *net.TCPConn) {
			_, _ = io.CopyN(io.Discard, c, 1000)
			reset(c)
		}), big, outcome.Unknown, true},
		{"closed after the request", raw(t, take), "{}", outcome.Unknown, true},
		{"reset after the request", raw(t, func(c *net.TCPConn) { take(c); reset(c) }), "{}", outcome.Unknown, true},
		{"hangs after the request", raw(t, func(c *net.TCPConn) { take(c); hangUp(c) }), "{}", outcome.Unknown, true},
		{"an answer that is not HTTP", raw(t, func(c *net.TCPConn) { take(c); reply(c, "hello\n\n") }), "{}", outcome.Unknown, true},
		{"cut in the header", raw(t, func(c *net.TCPConn) { take(c); reply(c, "HTTP/1.1 200 OK\nContent-") }), "{}", outcome.Unknown, true},
		{"cut in the body", raw(t, func(c *net.TCPConn) {
			take(c)
			reply(c, "HTTP/1.1 200 OK\nContent-Type: application/json\nContent-Length: 100\n\n{")
		}), "{}", outcome.Applied, true},
		{"hangs in the body", raw(t, func(c *net.TCPConn) {
			take(c)
			reply(c, "HTTP/1.1 200 OK\nContent-Type: application/json\nContent-Length: 100\n\n{")
			hangUp(c)
		}), "{}", outcome.Applied, true},
		{"a redirect", raw(t, status(307, "Location: http://elsewhere.invalid/")), "{}", outcome.Refused, false},
		{"409 in flight", raw(t, status(409, "Retry-After: 1")), "{}", outcome.Refused, true},
		{"503 with Retry-After", raw(t, status(503, "Retry-After: 1")), "{}", outcome.Refused, true},
	}
	for _, s := range []int{400, 401, 403, 404, 405, 406, 409, 410, 412, 413, 414, 415, 422, 425, 428, 429, 431, 408, 500, 501, 502, 503, 504, 505, 301, 399, 499, 599} {
		c := cases[0]
		c.name, c.url = fmt.Sprint(s), raw(t, status(s))
		c.known, c.transient = outcome.Status(s, false)
		cases = append(cases, c)
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			tr := &http.Transport{}
			defer tr.CloseIdleConnections()
			limit := 20 * time.Second
			if strings.Contains(c.name, "hangs") {
				limit = 200 * time.Millisecond
			}
			e := requestreply.Endpoint[string, map[string]int]{
				URL: c.url + "/orders", Client: &http.Client{Transport: tr, CheckRedirect: noRedirect},
				Guard: requestreply.NewGuard(&requestreply.Options{TryTimeout: limit, Retry: retry.Policy{MaxAttempts: 1}}),
			}
			_, err := e.Call(t.Context(), c.body)
			require.Equal(t, c.known, outcome.Of(err), "%v", err)
			transient, _ := outcome.Transient(err)
			require.Equal(t, c.transient, transient, "%v", err)
			require.Equal(t, 1, asError(t, err).Attempts)

			// The same through a RoundTripper, as far as it sees: the body
			// and the meaning of a status are its caller's.
			if c.known == outcome.Applied || asError(t, err).Status != 0 {
				return
			}
			client := &http.Client{Transport: &requestreply.Transport{Base: tr, Guard: e.Guard}}
			_, err = client.Post(c.url+"/orders", "text/plain", strings.NewReader(c.body))
			require.Equal(t, c.known, outcome.Of(err), "%v", err)
		})
	}
}

func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

var quiet = log.New(io.Discard, "", 0)

package requestreply_test

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/retry"
)

// Peers that mean harm, or are broken as if they did. Each call ends with a
// typed error in its time, takes little memory, and leaves no goroutine and no
// connection behind.
func TestHostilePeers(t *testing.T) {
	forever := func(c *net.TCPConn, head, part string) {
		take(c)
		reply(c, head)
		for {
			if _, err := io.WriteString(c, part); err != nil {
				return
			}
		}
	}
	const js = "HTTP/1.1 200 OK\nContent-Type: application/json\n"
	tick := func(c *net.TCPConn, head, part string) { // a byte now and then, for ever
		take(c)
		reply(c, head)
		beat := time.NewTicker(10 * time.Millisecond)
		defer beat.Stop()
		for range beat.C {
			if _, err := io.WriteString(c, part); err != nil {
				return
			}
		}
	}
	for _, c := range []struct {
		name  string
		on    func(c *net.TCPConn)
		known outcome.Outcome
		text  string // of the error
		is    error
	}{
		{"an answer without end", func(c *net.TCPConn) { forever(c, js+"\n\"", strings.Repeat("x", 8192)) }, outcome.Applied, "200", requestreply.ErrTooLarge},
		{"chunks without end", func(c *net.TCPConn) {
			forever(c, js+"Transfer-Encoding: chunked\n\n", "1000\r\n"+strings.Repeat("x", 4096)+"\r\n")
		}, outcome.Applied, "200", requestreply.ErrTooLarge},
		{"a drip", func(c *net.TCPConn) { tick(c, js+"\n[", " ") }, outcome.Applied, "broke off", context.DeadlineExceeded},
		{"a drip in the head", func(c *net.TCPConn) { tick(c, js, "X") }, outcome.Unknown, "", context.DeadlineExceeded},
		{"a hang after the head", func(c *net.TCPConn) { take(c); reply(c, js+"Content-Length: 9\n\n"); hangUp(c) }, outcome.Applied, "broke off", context.DeadlineExceeded},
		{"a head without end", func(c *net.TCPConn) { forever(c, js, "X-More: "+strings.Repeat("x", 4096)+"\r\n") }, outcome.Unknown, "", nil},
		{"a line without end", func(c *net.TCPConn) { forever(c, "HTTP/1.1 200 ", strings.Repeat("x", 8192)) }, outcome.Unknown, "", nil},
		{"interim answers without end", func(c *net.TCPConn) { forever(c, "", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n") }, outcome.Unknown, "", nil},
		{"a body shorter than it says", func(c *net.TCPConn) { take(c); reply(c, js+"Content-Length: 10\n\n{}") }, outcome.Applied, "broke off", io.ErrUnexpectedEOF},
		{"a length that is none", func(c *net.TCPConn) { take(c); reply(c, js+"Content-Length: -5\n\n{}") }, outcome.Unknown, "", nil},
		{"two lengths", func(c *net.TCPConn) { take(c); reply(c, js+"Content-Length: 2\nContent-Length: 3\n\n{}") }, outcome.Unknown, "", nil},
		{"gzip that grows a thousandfold", func(c *net.TCPConn) {
			take(c)
			reply(c, js+"Content-Encoding: gzip\nConnection: close\n\n")
			z := gzip.NewWriter(c)
			_, _ = z.Write([]byte(`"`))
			zero := make([]byte, 64<<10)
			for range 400 { // 25 MiB
				if _, err := z.Write(zero); err != nil {
					return
				}
			}
			_ = z.Close()
		}, outcome.Applied, "200", requestreply.ErrTooLarge},
		{"gzip that is none", func(c *net.TCPConn) { take(c); reply(c, js+"Content-Encoding: gzip\nContent-Length: 2\n\n{}") }, outcome.Applied, "broke off", nil},
		{"an encoding nobody asked for", func(c *net.TCPConn) { take(c); reply(c, js+"Content-Encoding: br\nContent-Length: 2\n\n\x01\x02") }, outcome.Applied, "not JSON", nil},
		{"HTML in the name of JSON", func(c *net.TCPConn) { take(c); reply(c, js+"Content-Length: 6\n\n<html>") }, outcome.Applied, "not JSON at byte", nil},
		{"JSON in the name of HTML", func(c *net.TCPConn) {
			take(c)
			reply(c, "HTTP/1.1 200 OK\nContent-Type: text/html\nContent-Length: 2\n\n{}")
		}, outcome.Applied, "text/html", nil},
		{"no type at all", func(c *net.TCPConn) { take(c); reply(c, "HTTP/1.1 200 OK\nContent-Length: 2\n\n{}") }, outcome.Applied, "no content type", nil},
		{"JSON of 10,001 levels", func(c *net.TCPConn) {
			take(c)
			deep := strings.Repeat("[", 10_001) + strings.Repeat("]", 10_001)
			reply(c, fmt.Sprintf("%sContent-Length: %d\n\n%s", js, len(deep), deep))
		}, outcome.Applied, "does not decode", nil},
		{"a problem of 10 MB", func(c *net.TCPConn) {
			forever(c, "HTTP/1.1 400 No\nContent-Type: application/problem+json\nContent-Length: 10000000\n\n{\"title\":\"", strings.Repeat("x", 8192))
		}, outcome.Refused, "400", nil},
		{"a problem with control characters", func(c *net.TCPConn) {
			take(c)
			body := `{"title":"\u001b[31mred\nlevel=error","detail":"x"}`
			reply(c, fmt.Sprintf("HTTP/1.1 400 No\nContent-Type: application/problem+json\nContent-Length: %d\n\n%s", len(body), body))
		}, outcome.Refused, `\x1b[31mred\nlevel=error`, nil},
		{"a status that is none", func(c *net.TCPConn) { take(c); reply(c, "HTTP/1.1 999999 No\n\n") }, outcome.Unknown, "", nil},
		{"a proxy that resets", func(c *net.TCPConn) { take(c); reply(c, js+"Content-Length: 10\n\n{"); reset(c) }, outcome.Applied, "", nil},
	} {
		meet := func(t *testing.T, through bool) {
			before := runtime.NumGoroutine()
			url := raw(t, c.on)
			tr, dials := dials(t, nil)
			tr.MaxResponseHeaderBytes = 64 << 10
			e := requestreply.Endpoint[Order, Receipt]{URL: url, Strict: true, Client: &http.Client{Transport: tr},
				Guard: requestreply.NewGuard(&requestreply.Options{TryTimeout: 500 * time.Millisecond, MaxInFlight: 1, MaxQueue: -1, Retry: retry.Policy{MaxAttempts: 1}})}
			if c.is == requestreply.ErrTooLarge {
				e.Guard = requestreply.NewGuard(&requestreply.Options{TryTimeout: time.Minute, Timeout: -1, MaxInFlight: 1, MaxQueue: -1, Retry: retry.Policy{MaxAttempts: 1}})
			}
			guard := e.Guard
			if through {
				e.Client, e.Guard = &http.Client{Transport: &requestreply.Transport{Base: tr, Guard: guard}}, nil
			}
			var m0, m1 runtime.MemStats
			runtime.ReadMemStats(&m0)
			_, err := e.Call(t.Context(), Order{})
			runtime.ReadMemStats(&m1)
			require.Less(t, m1.TotalAlloc-m0.TotalAlloc, uint64(32<<20), "bytes allocated")
			require.Equal(t, c.known, asError(t, err).Known, "%v", err)
			require.ErrorContains(t, err, c.text)
			if c.is != nil {
				require.ErrorIs(t, err, c.is)
			}
			require.LessOrEqual(t, len(err.Error()), 4096)
			require.False(t, strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' }), "%q", err.Error())
			require.EqualValues(t, 1, dials.Load())

			// Its place is free again, and nothing stays.
			_, err = requestreply.Run(t.Context(), guard, requestreply.Op{Target: strings.TrimPrefix(url, "http://")}, works)
			require.NoError(t, err)
			tr.CloseIdleConnections()
			require.Eventually(t, func() bool { return runtime.NumGoroutine() <= before+2 }, 20*time.Second, 5*time.Millisecond,
				"goroutines stay: %d, and the server's own", before)
		}
		t.Run(c.name, func(t *testing.T) { meet(t, false) })
		t.Run(c.name+", through a Transport", func(t *testing.T) { meet(t, true) })
	}
	t.Run("a Retry-After of every kind", func(t *testing.T) {
		for after, waits := range map[string]time.Duration{
			"0": 0, "-1": 0, "9223372037": 0, "99999999999999999999999": 0, "1e9": 0, "soon": 0, "": 0,
			"Thu, 01 Jan 1970 00:00:00 GMT": 0, "Fri, 31 Dec 9999 23:59:59 GMT": 0,
			"7200": 2 * time.Hour,
		} {
			var calls int
			g := requestreply.NewGuard(&requestreply.Options{Retry: retry.Policy{Base: -1}})
			e := requestreply.Endpoint[struct{}, struct{}]{Method: "GET", URL: "http://api.example", Guard: g, Client: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				calls++
				return &http.Response{StatusCode: 503, Header: http.Header{"Retry-After": {after}}, Body: http.NoBody, Request: r}, nil
			})}}
			_, err := e.Call(t.Context(), struct{}{})
			if waits == 0 {
				require.Equal(t, 4, calls, "%q is no wait: the schedule and the attempts bound it", after)
				require.ErrorIs(t, err, retry.ErrAttempts)
				continue
			}
			require.Equal(t, 1, calls)
			require.ErrorIs(t, err, retry.ErrLater)
			require.WithinDuration(t, time.Now().Add(waits), asError(t, err).At, time.Minute)
		}
	})
	t.Run("headers with line ends are not sent", func(t *testing.T) {
		e := requestreply.Endpoint[struct{}, struct{}]{URL: serving(t, func(http.ResponseWriter, *http.Request) { t.Error("sent") }), Header: http.Header{"X-A": {"a\r\nX-Admin: 1"}}}
		_, err := e.Call(t.Context(), struct{}{})
		require.Equal(t, outcome.NotSent, outcome.Of(err))
		e.Header, e.Keyed = nil, true
		_, err = e.Call(requestreply.WithIdempotencyKey(t.Context(), "a\r\nX-Admin: 1"), struct{}{})
		require.Equal(t, outcome.NotSent, outcome.Of(err))
		require.NotContains(t, err.Error(), "Admin")
	})
}

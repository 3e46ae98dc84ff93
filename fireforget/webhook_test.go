package fireforget_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/fireforget"
	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/retry"
	"github.com/crosstie/crosstie/webhook"
)

func secret(t testing.TB, letter string) webhook.Secret {
	t.Helper()
	s, err := webhook.ParseSecret("whsec_" + strings.Repeat(letter, 40))
	require.NoError(t, err)
	return s
}

// local is a client that may reach the test servers.
func local() *http.Client {
	return webhook.NewClient(&webhook.TransportOptions{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Ports: []int{0}})
}

func deliverer(t testing.TB, url string) fireforget.Deliverer {
	return fireforget.Webhook(url, secret(t, "a"), &fireforget.WebhookOptions{Client: local(), AllowHTTP: true, Timeout: 5 * time.Second})
}

func item(body string) fireforget.Item {
	return fireforget.Item{ID: "msg_1", To: "dest", ContentType: "application/json", Body: []byte(body)}
}

func TestWebhookRequest(t *testing.T) {
	v := webhook.Verifier{Secrets: []webhook.Secret{secret(t, "b")}}
	var ids, attempts []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m, err := v.Read(r)
		if err != nil {
			t.Error(err)
		}
		ids, attempts = append(ids, m.ID), append(attempts, r.Header.Get("Crosstie-Attempt"))
		if r.Header.Get("X-Ours") != "1" || r.Header.Get("Content-Type") != "application/json" || string(m.Body) != `{"n":1}` {
			t.Errorf("got %v and %q", r.Header, m.Body)
		}
		w.WriteHeader(http.StatusAccepted)
	}))
	defer server.Close()
	// Signed with two secrets, as while one is rotated.
	d := fireforget.Webhook(server.URL, webhook.All(secret(t, "a"), secret(t, "b")), &fireforget.WebhookOptions{Client: local(), AllowHTTP: true})
	it := item(`{"n":1}`)
	it.Header = map[string]string{"X-Ours": "1", "Webhook-Id": "forged", "Webhook-Signature": "forged"}
	require.NoError(t, d.Deliver(t.Context(), it))
	it.Attempt = 4
	require.NoError(t, d.Deliver(t.Context(), it))
	require.Equal(t, []string{"msg_1", "msg_1"}, ids)
	require.Equal(t, []string{"1", "5"}, attempts)
}

func TestWebhookStatus(t *testing.T) {
	var status atomic.Int32
	var after atomic.Value
	after.Store("")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/elsewhere" {
			t.Error("a redirect was followed, with the signed body")
		}
		w.Header().Set("Location", "/elsewhere")
		if a := after.Load().(string); a != "" {
			w.Header().Set("Retry-After", a)
		}
		w.WriteHeader(int(status.Load()))
	}))
	defer server.Close()
	d := deliverer(t, server.URL)
	for _, c := range []struct {
		status    int
		after     string
		landed    bool
		known     outcome.Outcome
		transient bool
		wait      time.Duration
	}{
		{status: 200, landed: true},
		{status: 204, landed: true},
		{status: 301, known: outcome.Refused}, {status: 302, known: outcome.Refused},
		{status: 303, known: outcome.Refused}, {status: 307, known: outcome.Refused},
		{status: 308, known: outcome.Refused}, {status: 304, known: outcome.Refused},
		{status: 400, known: outcome.Refused}, {status: 401, known: outcome.Refused},
		{status: 404, known: outcome.Refused}, {status: 410, known: outcome.Refused},
		{status: 422, known: outcome.Refused},
		{status: 408, known: outcome.Unknown, transient: true},
		{status: 429, known: outcome.Refused, transient: true},
		{status: 429, after: "120", known: outcome.Refused, transient: true, wait: 2 * time.Minute},
		{status: 500, known: outcome.Unknown, transient: true},
		{status: 502, known: outcome.Unknown, transient: true},
		{status: 503, known: outcome.Unknown, transient: true},
		{status: 503, after: "7", known: outcome.Refused, transient: true, wait: 7 * time.Second},
		{status: 503, after: "-3", known: outcome.Unknown, transient: true},
		{status: 501, known: outcome.Refused},
	} {
		t.Run(fmt.Sprint(c.status, " ", c.after), func(t *testing.T) {
			status.Store(int32(c.status))
			after.Store(c.after)
			err := d.Deliver(t.Context(), item("x"))
			if c.landed {
				require.NoError(t, err)
				return
			}
			s, ok := errors.AsType[*fireforget.StatusError](err)
			require.True(t, ok, "%v", err)
			require.Equal(t, c.status, s.Status)
			if c.status >= 400 { // of redirects the table has its own opinion
				require.Equal(t, c.known, outcome.Of(err))
			}
			transient, said := outcome.Transient(err)
			require.True(t, said)
			require.Equal(t, c.transient, transient)
			wait, _ := retry.AfterOf(err)
			require.Equal(t, c.wait, wait)
		})
	}
}

// TestWebhookFaults: what is known when there is no answer, and that nothing
// of the URL's query is in the error.
func TestWebhookFaults(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		switch r.URL.Path {
		case "/hangs":
			<-release
		case "/breaks":
			panic(http.ErrAbortHandler)
		case "/half":
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, "only this")
		case "/huge":
			w.WriteHeader(http.StatusOK)
			for range 1 << 12 {
				if _, err := w.Write(make([]byte, 16<<10)); err != nil {
					return // it was cut off, as it should be
				}
			}
			t.Error("64 MiB of a response were read")
		}
	}))
	defer server.Close()
	defer close(release)

	for _, c := range []struct {
		name, url string
		known     outcome.Outcome
	}{
		{"refused connection", "http://127.0.0.1:1/?token=s3cret", outcome.NotSent},
		{"no such host", "http://no-such-host.invalid/?token=s3cret", outcome.NotSent},
		{"hangs", server.URL + "/hangs?token=s3cret", outcome.Unknown},
		{"closes half way", server.URL + "/breaks?token=s3cret", outcome.Unknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := fireforget.Webhook(c.url, secret(t, "a"), &fireforget.WebhookOptions{Client: local(), AllowHTTP: true, Timeout: 200 * time.Millisecond})
			err := d.Deliver(t.Context(), item("x"))
			require.Error(t, err)
			require.Equal(t, c.known, outcome.Of(err), "%v", err)
			transient, said := outcome.Transient(err)
			require.True(t, transient && said, "%v", err)
			require.NotContains(t, err.Error(), "s3cret")
		})
	}
	require.NoError(t, deliverer(t, server.URL+"/half").Deliver(t.Context(), item("x")), "a 200 whose body is cut has landed")
	require.NoError(t, deliverer(t, server.URL+"/huge").Deliver(t.Context(), item("x")))
}

// TestWebhookGuard: by default nothing inside is reached.
func TestWebhookGuard(t *testing.T) {
	var hits atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	defer server.Close()
	port := server.URL[strings.LastIndex(server.URL, ":"):]
	for _, host := range []string{"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"} {
		for _, at := range []string{port, ""} {
			d := fireforget.Webhook("http://"+host+at+"/", secret(t, "a"), &fireforget.WebhookOptions{AllowHTTP: true, Timeout: 5 * time.Second})
			err := d.Deliver(t.Context(), item("x"))
			require.ErrorIs(t, err, webhook.ErrBlocked, host)
			require.Equal(t, outcome.NotSent, outcome.Of(err))
			transient, said := outcome.Transient(err)
			require.True(t, said && !transient, "it is parked at once")
		}
	}
	require.Zero(t, hits.Load())
}

// TestWebhookSendsOnce: net/http by itself repeats a request that bears an
// Idempotency-Key when a kept connection breaks; ours is one request an
// attempt.
func TestWebhookSendsOnce(t *testing.T) {
	var hits atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if hits.Add(1) > 1 {
			panic(http.ErrAbortHandler)
		}
	}))
	defer server.Close()
	d := deliverer(t, server.URL)
	it := item("x")
	it.Header = map[string]string{"Idempotency-Key": "k"}
	require.NoError(t, d.Deliver(t.Context(), it))
	require.Error(t, d.Deliver(t.Context(), it))
	require.Equal(t, int32(2), hits.Load())
}

func TestWebhookPanics(t *testing.T) {
	for _, url := range []string{"", "billing", "/in", "http://example.com", "ftp://example.com", "https://user:pass@example.com/", "https://%zz"} {
		require.Panics(t, func() { fireforget.Webhook(url, secret(t, "a"), nil) }, url)
	}
	require.Panics(t, func() { fireforget.Webhook("https://example.com", nil, nil) })
	require.NotPanics(t, func() { fireforget.Webhook("https://example.com", secret(t, "a"), nil) })
}

// TestWebhookParks: 410 and its like end in the dead letters after one
// attempt, with the status in the history.
func TestWebhookParks(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) }))
	defer server.Close()
	s := fireforget.NewMem()
	r := fireforget.NewRelay(s, nil)
	r.Handle("dest", deliverer(t, server.URL), nil)
	stop := start(t, r)
	send(t, s, "dest", "key", "x")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for len(dead(t, s, fireforget.Filter{})) == 0 {
		require.NoError(t, ctx.Err())
		<-tick.C
	}
	require.NoError(t, stop())
	d := dead(t, s, fireforget.Filter{})[0]
	require.Equal(t, "permanent", d.Reason)
	require.Len(t, d.History, 1)
	require.Equal(t, 410, d.History[0].Status)
	require.Equal(t, outcome.Refused, d.History[0].Known)
}

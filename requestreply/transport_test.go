package requestreply_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/retry"
)

// quick repeats without waiting.
var quick = retry.Policy{Base: -1}

// dials counts the connections of a transport of its own.
func dials(t *testing.T, tune func(*http.Transport)) (*http.Transport, *atomic.Int64) {
	var n atomic.Int64
	d := &net.Dialer{}
	tr := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		n.Add(1)
		return d.DialContext(ctx, network, addr)
	}}
	if tune != nil {
		tune(tr)
	}
	t.Cleanup(tr.CloseIdleConnections)
	return tr, &n
}

// trap is a server that acts on each request and, when a connection is used
// again, closes it instead of answering. It counts the effects.
func trap(t *testing.T) (string, *atomic.Int64) {
	var effects atomic.Int64
	return raw(t, func(c *net.TCPConn) {
		in := bufio.NewReader(c)
		for used := false; ; used = true {
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, r.Body)
			effects.Add(1)
			if used {
				return
			}
			reply(c, "HTTP/1.1 200 OK\nContent-Length: 2\n\nok")
		}
	}), &effects
}

func send(t *testing.T, rt http.RoundTripper, method, url, body, key string) error {
	t.Helper()
	var b io.Reader
	if body != "" {
		b = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(requestreply.WithIdempotencyKey(t.Context(), key), method, url, b)
	require.NoError(t, err)
	resp, err := (&http.Client{Transport: rt}).Do(r)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return errors.Join(err, resp.Body.Close())
}

// The replay trap of net/http: a request with an Idempotency-Key header is
// sent again by the transport itself when its used connection breaks, though
// the server may have acted on it and need not know the header. Two calls have
// three effects and nobody is told. Ours sends what it counts.
func TestNetHTTPReplayTrap(t *testing.T) {
	for _, body := range []string{"", `{"qty":1}`} {
		t.Run(fmt.Sprintf("body %q", body), func(t *testing.T) {
			t.Run("bare net/http acts three times on two calls", func(t *testing.T) {
				url, effects := trap(t)
				base, _ := dials(t, nil)
				keyed := roundTrip(func(r *http.Request) (*http.Response, error) {
					r.Header.Set("Idempotency-Key", "k")
					return base.RoundTrip(r)
				})
				require.NoError(t, send(t, keyed, "POST", url, body, ""))
				require.NoError(t, send(t, keyed, "POST", url, body, ""))
				require.EqualValues(t, 3, effects.Load())
			})
			for name, set := range map[string]func(*http.Request){
				"the key of the context":  func(*http.Request) {},
				"a header of the caller":  func(r *http.Request) { r.Header.Set("Idempotency-Key", "k") },
				"the other header's name": func(r *http.Request) { r.Header.Set("X-Idempotency-Key", "k") },
			} {
				t.Run("ours does not, with "+name, func(t *testing.T) {
					url, effects := trap(t)
					base, _ := dials(t, nil)
					ours := &requestreply.Transport{Base: base, KeyHosts: []string{"127.0.0.1"},
						Guard: requestreply.NewGuard(&requestreply.Options{Retry: retry.Policy{MaxAttempts: 1}})}
					rt := roundTrip(func(r *http.Request) (*http.Response, error) { set(r); return ours.RoundTrip(r) })
					require.NoError(t, send(t, rt, "POST", url, body, "k"))
					err := send(t, rt, "POST", url, body, "k")
					require.Error(t, err)
					require.Equal(t, outcome.Unknown, outcome.Of(err))
					require.Equal(t, 1, asError(t, err).Attempts)
					require.EqualValues(t, 2, effects.Load())
				})
			}
			t.Run("its own repeats are counted", func(t *testing.T) {
				url, effects := trap(t)
				base, _ := dials(t, nil)
				w := &watcher{}
				ours := &requestreply.Transport{Base: base, KeyHosts: []string{"127.0.0.1"},
					Guard: requestreply.NewGuard(&requestreply.Options{Retry: quick, Observer: w})}
				require.NoError(t, send(t, ours, "POST", url, body, "k"))
				require.NoError(t, send(t, ours, "POST", url, body, "k"))
				require.EqualValues(t, 3, effects.Load())
				require.Equal(t, 3, strings.Count(fmt.Sprint(w.seen), "start requestreply.attempt"))
			})
		})
	}
}

// notes are what handlers on other goroutines saw.
type notes struct {
	mu   sync.Mutex
	seen []string
}

// add returns how many there were before.
func (n *notes) add(s string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.seen = append(n.seen, s)
	return len(n.seen) - 1
}

// take returns the notes and begins anew.
func (n *notes) take() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	seen := n.seen
	n.seen = nil
	return seen
}

// answers serves statuses in turn, then 200, and notes the requests.
func answers(t *testing.T, fns ...http.HandlerFunc) (*httptest.Server, *notes) {
	var seen notes
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if n := seen.add(fmt.Sprintf("%s %s %s", r.Method, r.Header.Get("Idempotency-Key"), body)); n < len(fns) {
			fns[n](w, r)
			return
		}
		_, _ = io.WriteString(w, "done")
	}))
	s.Config.ErrorLog = quiet
	t.Cleanup(s.Close)
	return s, &seen
}

func says(status int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, strings.Repeat("x", 10_000))
	}
}

func drop(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func TestTransportRepeats(t *testing.T) {
	for _, c := range []struct {
		name, method, key string
		answers           []http.HandlerFunc
		attempts          int
		status            int // 0: an error
	}{
		{"GET after 500", "GET", "", []http.HandlerFunc{says(500)}, 2, 200},
		{"GET after a lost answer", "GET", "", []http.HandlerFunc{drop}, 2, 200},
		{"PUT after a lost answer", "PUT", "", []http.HandlerFunc{drop}, 2, 200},
		{"POST after 500 is not repeated", "POST", "", []http.HandlerFunc{says(500)}, 1, 500},
		{"POST after a lost answer is not repeated", "POST", "", []http.HandlerFunc{drop}, 1, 0},
		{"POST refused for now", "POST", "", []http.HandlerFunc{says(429)}, 2, 200},
		{"keyed POST", "POST", "k", []http.HandlerFunc{drop, says(500), says(409, "Retry-After", "0")}, 3, 409},
		{"404 is an answer", "GET", "", []http.HandlerFunc{says(404)}, 1, 404},
		{"the last answer is returned", "GET", "", []http.HandlerFunc{says(500), says(500), says(500), says(502), says(200)}, 4, 502},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, seen := answers(t, c.answers...)
			base, n := dials(t, nil)
			tr := &requestreply.Transport{Base: base, KeyHosts: []string{"127.0.0.1"}, Guard: requestreply.NewGuard(&requestreply.Options{Retry: quick})}
			r, err := http.NewRequestWithContext(requestreply.WithIdempotencyKey(t.Context(), c.key), c.method, s.URL, strings.NewReader("body"))
			require.NoError(t, err)
			resp, err := tr.RoundTrip(r)
			made := seen.take()
			require.Len(t, made, c.attempts)
			for _, got := range made {
				key := ""
				if c.key != "" {
					key = `"k"`
				}
				require.Equal(t, c.method+" "+key+" body", got, "each attempt sends all of it")
			}
			if c.status == 0 {
				require.Error(t, err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.status, resp.StatusCode)
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			if c.status >= 400 {
				require.Len(t, body, 10_000, "the answer can be read")
			}
			if !strings.Contains(c.name, "lost") && c.key == "" {
				require.EqualValues(t, 1, n.Load(), "one connection serves all attempts")
			}
		})
	}
}

// Failed attempts' bodies are drained and closed: with one connection allowed
// to the host, the next attempt would wait for ever for it otherwise. One too
// long to drain loses its connection instead.
func TestOneConnectionPerHost(t *testing.T) {
	long := func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(500)
		_, _ = w.Write(bytes.Repeat([]byte("x"), 1<<20))
	}
	for name, c := range map[string]struct {
		first http.HandlerFunc
		dials int64
	}{"drained": {says(500), 1}, "too long to drain": {long, 2}} {
		t.Run(name, func(t *testing.T) {
			s, seen := answers(t, c.first)
			base, n := dials(t, func(tr *http.Transport) { tr.MaxConnsPerHost = 1 })
			tr := &requestreply.Transport{Base: base, Guard: requestreply.NewGuard(&requestreply.Options{Retry: quick, MaxInFlight: 1, Timeout: 20 * time.Second})}
			require.NoError(t, send(t, tr, "GET", s.URL, "", ""))
			require.Len(t, seen.take(), 2)
			require.Equal(t, c.dials, n.Load())
		})
	}
	t.Run("a long failure that is not repeated can be read", func(t *testing.T) {
		s, _ := answers(t, long)
		base, _ := dials(t, nil)
		tr := &requestreply.Transport{Base: base}
		resp, err := (&http.Client{Transport: tr}).Post(s.URL, "text/plain", strings.NewReader("x"))
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Len(t, body, 1<<20)
		require.NoError(t, resp.Body.Close())
	})
}

// One call's failure leaves the connections of the others alone.
func TestFailureKeepsThePool(t *testing.T) {
	gate := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/gate" {
			<-gate
		}
		if r.URL.Path == "/slow" {
			<-r.Context().Done()
		}
	}))
	defer s.Close()
	base, n := dials(t, func(tr *http.Transport) { tr.MaxIdleConnsPerHost = 10 })
	tr := &requestreply.Transport{Base: base, Guard: requestreply.NewGuard(&requestreply.Options{Retry: quick})}
	many := func() {
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				if err := send(t, tr, "GET", s.URL+"/gate", "", ""); err != nil {
					t.Error(err)
				}
			})
		}
		for n.Load() < 5 { // all five are out at once
			select {
			case <-time.After(time.Millisecond):
			case <-t.Context().Done():
			}
		}
		close(gate)
		wg.Wait()
	}
	many()
	require.EqualValues(t, 5, n.Load())
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", s.URL+"/slow", nil)
	require.NoError(t, err)
	_, err = tr.RoundTrip(r)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	for range 4 {
		require.NoError(t, send(t, tr, "GET", s.URL, "", ""))
	}
	require.EqualValues(t, 5, n.Load())
}

func TestTransportKeysGoWhereTheyAreHonoured(t *testing.T) {
	s, seen := answers(t)
	host := strings.TrimPrefix(s.URL, "http://")
	for _, c := range []struct {
		hosts []string
		want  string
	}{
		{nil, ""},
		{[]string{"elsewhere.example"}, ""},
		{[]string{"127.0.0.1"}, `"a \"key\""`},
		{[]string{host}, `"a \"key\""`},
		{[]string{"127.0.0.1:1"}, ""},
	} {
		seen.take()
		require.NoError(t, send(t, &requestreply.Transport{KeyHosts: c.hosts}, "POST", s.URL, "x", `a "key"`))
		require.Equal(t, []string{"POST " + c.want + " x"}, seen.take(), "%v", c.hosts)
	}
	t.Run("not by a redirect either", func(t *testing.T) {
		from, _ := answers(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, s.URL, http.StatusSeeOther) })
		seen.take()
		tr := &requestreply.Transport{KeyHosts: []string{strings.TrimPrefix(from.URL, "http://")}}
		require.NoError(t, send(t, tr, "POST", from.URL, "x", "k"))
		require.Equal(t, []string{"GET  "}, seen.take())
	})
	t.Run("a bad key is refused before anything is sent", func(t *testing.T) {
		seen.take()
		for _, key := range []string{"line\nbreak", "ü", strings.Repeat("k", 256)} {
			err := send(t, &requestreply.Transport{KeyHosts: []string{host}}, "POST", s.URL, "x", key)
			require.Equal(t, outcome.NotSent, outcome.Of(err), "%v", err)
		}
		require.Empty(t, seen.take())
	})
}

// A body that cannot be sent again is not: neither in part nor empty.
func TestTransportBodyWithoutGetBody(t *testing.T) {
	s, seen := answers(t, says(500))
	r, err := http.NewRequestWithContext(t.Context(), "PUT", s.URL, io.NopCloser(strings.NewReader("once")))
	require.NoError(t, err)
	resp, err := (&requestreply.Transport{}).RoundTrip(r)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, 500, resp.StatusCode)
	require.Equal(t, []string{"PUT  once"}, seen.take())
}

func TestTransportBodyIsClosedWhenNothingIsSent(t *testing.T) {
	closed := 0
	body := func() io.ReadCloser {
		return closer{strings.NewReader("x"), func() { closed++ }}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, ctx := range []context.Context{ended, requestreply.WithIdempotencyKey(t.Context(), "\n")} {
		r, err := http.NewRequestWithContext(ctx, "POST", "http://a.invalid", nil)
		require.NoError(t, err)
		r.Body = body()
		_, err = (&requestreply.Transport{KeyHosts: []string{"a.invalid"}}).RoundTrip(r)
		require.Equal(t, outcome.NotSent, outcome.Of(err))
	}
	require.Equal(t, 2, closed)
}

type closer struct {
	io.Reader
	fn func()
}

func (c closer) Close() error { c.fn(); return nil }

// The attempt's context lives until its body is read or closed, and not
// longer; so does its place in flight.
func TestTransportBodyKeepsItsAttempt(t *testing.T) {
	var attempt context.Context
	base := roundTrip(func(r *http.Request) (*http.Response, error) {
		attempt = r.Context()
		return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader("a long answer"))}, nil
	})
	get := func(t *testing.T, g *requestreply.Guard) *http.Response {
		r, err := http.NewRequestWithContext(t.Context(), "GET", "http://a.invalid", nil)
		require.NoError(t, err)
		resp, err := (&requestreply.Transport{Base: base, Guard: g}).RoundTrip(r)
		require.NoError(t, err)
		return resp
	}
	one := func() *requestreply.Guard {
		return requestreply.NewGuard(&requestreply.Options{MaxInFlight: 1, MaxQueue: -1, TryTimeout: 10 * time.Second})
	}
	for name, end := range map[string]func(io.ReadCloser) error{
		"closed":          func(b io.ReadCloser) error { return b.Close() },
		"read to its end": func(b io.ReadCloser) error { _, err := io.Copy(io.Discard, b); return err },
	} {
		inBubble(t, name, func(t *testing.T) {
			g := one()
			resp := get(t, g)
			_, err := resp.Body.Read(make([]byte, 3))
			require.NoError(t, err)
			require.NoError(t, attempt.Err())
			_, err = requestreply.Run(t.Context(), g, requestreply.Op{Target: "a.invalid"}, works)
			require.ErrorIs(t, err, requestreply.ErrFull)
			require.NoError(t, end(resp.Body))
			require.Error(t, attempt.Err())
			_, err = requestreply.Run(t.Context(), g, requestreply.Op{Target: "a.invalid"}, works)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close(), "closing twice is harmless")
		})
	}
	inBubble(t, "forgotten", func(t *testing.T) {
		g := one()
		resp := get(t, g)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.ErrorIs(t, attempt.Err(), context.DeadlineExceeded)
		_, err := requestreply.Run(t.Context(), g, requestreply.Op{Target: "a.invalid"}, works)
		require.NoError(t, err, "its place came back")
		require.NoError(t, resp.Body.Close())
		_, err = requestreply.Run(t.Context(), g, requestreply.Op{Target: "a.invalid"}, works)
		require.NoError(t, err)
	})
}

func TestTransportRetryAfter(t *testing.T) {
	inBubble(t, "is obeyed", func(t *testing.T) {
		start := time.Now()
		var at []time.Duration
		base := roundTrip(func(*http.Request) (*http.Response, error) {
			at = append(at, time.Since(start))
			resp := &http.Response{StatusCode: 503, Header: http.Header{"Retry-After": {"7"}}, Body: http.NoBody}
			if len(at) > 1 {
				resp.StatusCode = 200
			}
			return resp, nil
		})
		require.NoError(t, send(t, &requestreply.Transport{Base: base}, "POST", "http://a.invalid", "x", ""))
		require.Len(t, at, 2)
		require.GreaterOrEqual(t, at[1], 7*time.Second)
	})
}

// While a call waits for its next attempt it holds no place in flight.
func TestTransportWaitsWithoutAPlace(t *testing.T) {
	inBubble(t, "between attempts", func(t *testing.T) {
		n := 0
		base := roundTrip(func(*http.Request) (*http.Response, error) {
			resp := &http.Response{StatusCode: 200, Body: http.NoBody}
			if n++; n == 1 {
				resp.StatusCode, resp.Header = 503, http.Header{"Retry-After": {"5"}}
				resp.Body = io.NopCloser(strings.NewReader("busy"))
			}
			return resp, nil
		})
		g := requestreply.NewGuard(&requestreply.Options{MaxInFlight: 1, MaxQueue: -1})
		tr := &requestreply.Transport{Base: base, Guard: g}
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := send(t, tr, "GET", "http://a.invalid", "", ""); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		require.NoError(t, send(t, tr, "GET", "http://a.invalid", "", ""))
		wg.Wait()
		require.Equal(t, 3, n)
	})
}

func TestTransportSwitchesProtocols(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "echo")
		w.WriteHeader(http.StatusSwitchingProtocols)
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		line, _ := rw.ReadString('\n')
		_, _ = rw.WriteString(line)
		_ = rw.Flush()
	}))
	defer s.Close()
	r, err := http.NewRequestWithContext(t.Context(), "GET", s.URL, nil)
	require.NoError(t, err)
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "echo")
	resp, err := (&requestreply.Transport{}).RoundTrip(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	_, err = io.WriteString(resp.Body.(io.Writer), "hello\n")
	require.NoError(t, err)
	line, err := bufio.NewReader(resp.Body).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "hello\n", line)
}

// The caller's own trace goes on, and errors tell no secrets of the URL.
func TestTransportIsTransparent(t *testing.T) {
	s, _ := answers(t)
	got := false
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { got = true }})
	r, err := http.NewRequestWithContext(ctx, "GET", s.URL, nil)
	require.NoError(t, err)
	resp, err := (&requestreply.Transport{}).RoundTrip(r)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.True(t, got)
	require.Same(t, r, resp.Request)

	secret := strings.Replace(refused, "http://", "http://bob:hunter2@", 1) + "/x?token=hunter2#hunter2"
	r, err = http.NewRequestWithContext(t.Context(), "POST", secret, nil)
	require.NoError(t, err)
	_, err = (&requestreply.Transport{Guard: requestreply.NewGuard(&requestreply.Options{Retry: quick})}).RoundTrip(r)
	require.Equal(t, outcome.NotSent, outcome.Of(err))
	require.Equal(t, 4, asError(t, err).Attempts)
	require.NotContains(t, fmt.Sprintf("%v %+v", err, err), "hunter2")
	_, isURL := errors.AsType[*url.Error](err)
	require.False(t, isURL)
}

// Many calls are cancelled at odd moments: nobody gets another's answer, and
// nothing stays taken.
func TestCancelStorm(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	}))
	defer s.Close()
	base, _ := dials(t, nil)
	g := requestreply.NewGuard(&requestreply.Options{MaxInFlight: 8, MaxQueue: 100, Retry: quick})
	tr := &requestreply.Transport{Base: base, Guard: g}
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for j := range 40 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration((i*j)%17)*100*time.Microsecond)
				want := fmt.Sprintf("%d/%d", i, j)
				r, _ := http.NewRequestWithContext(ctx, "PUT", s.URL, strings.NewReader(want))
				resp, err := tr.RoundTrip(r)
				if err == nil {
					got, err := io.ReadAll(resp.Body)
					_ = resp.Body.Close()
					if err == nil && string(got) != want {
						t.Errorf("got %q, want %q", got, want)
					}
				}
				cancel()
			}
		})
	}
	wg.Wait()
	var all sync.WaitGroup
	for range 8 { // every place is free
		all.Go(func() {
			if err := send(t, tr, "GET", s.URL, "", ""); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// What knows only net.Error asks url.Error, which asks ours.
func TestATimeOutIsOneForNetError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late := roundTrip(func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() })
		broken := roundTrip(func(*http.Request) (*http.Response, error) { return nil, errLost })
		for base, want := range map[*roundTrip]bool{&late: true, &broken: false} {
			c := &http.Client{Transport: &requestreply.Transport{Base: *base}}
			_, err := c.Get("http://a.invalid")
			timeout, ok := errors.AsType[net.Error](err)
			require.True(t, ok)
			require.Equal(t, want, timeout.Timeout(), "%v", err)
		}
	})
}

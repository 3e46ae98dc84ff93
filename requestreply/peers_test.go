package requestreply_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sony/gobreaker/v2"
	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/requestreply/quota"
	"github.com/crosstie/crosstie/retry"
)

func TestTheSecondAttemptSendsItAll(t *testing.T) {
	t.Run("naive: the same request again has no body", func(t *testing.T) {
		s, seen := answers(t, says(503))
		r, err := http.NewRequestWithContext(t.Context(), "PUT", s.URL, struct{ io.Reader }{strings.NewReader("all of it")})
		require.NoError(t, err)
		for range 2 {
			resp, err := http.DefaultClient.Do(r)
			require.NoError(t, err)
			_ = resp.Body.Close()
		}
		require.Equal(t, []string{"PUT  all of it", "PUT  "}, seen.take())
	})
	t.Run("ours has", func(t *testing.T) {
		s, seen := answers(t, says(503), says(503))
		e := requestreply.Endpoint[string, any]{Method: "PUT", URL: s.URL, Guard: requestreply.NewGuard(&requestreply.Options{Retry: quick})}
		_, _ = e.Call(t.Context(), "all of it")
		require.Equal(t, slices.Repeat([]string{`PUT  "all of it"`}, 3), seen.take())
	})
	t.Run("or is not sent", func(t *testing.T) {
		s, seen := answers(t, says(503), says(503))
		r, err := http.NewRequestWithContext(t.Context(), "PUT", s.URL, struct{ io.Reader }{strings.NewReader("all of it")})
		require.NoError(t, err)
		resp, err := (&requestreply.Transport{Guard: requestreply.NewGuard(&requestreply.Options{Retry: quick})}).RoundTrip(r)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, []string{"PUT  all of it"}, seen.take())
	})
}

// A failed attempt may leave before the transport has read its body; who takes
// the buffer back then gives it to another.
func TestNobodySendsAnothersBytes(t *testing.T) {
	t.Run("naive: freed by the attempt and by the call", func(t *testing.T) {
		var free []*bytes.Buffer
		take := func(s string) *bytes.Buffer {
			b := new(bytes.Buffer)
			if n := len(free); n > 0 {
				b, free = free[n-1], free[:n-1]
			}
			b.Reset()
			b.WriteString(s)
			return b
		}
		first := take("of the first")
		free = append(free, first) // the attempt failed
		free = append(free, first) // and the call is over
		a, b := take("mine"), take("yours")
		require.Equal(t, "yours", a.String())
		require.Equal(t, "yours", b.String())
	})
	t.Run("ours", func(t *testing.T) {
		var n [8]atomic.Int64
		url := serving(t, func(w http.ResponseWriter, r *http.Request) {
			i, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
			if err != nil {
				panic(err)
			}
			switch n[i].Add(1) % 3 {
			case 0: // an answer before the body was read
				w.WriteHeader(503)
				return
			case 1:
				panic(http.ErrAbortHandler)
			}
			body, _ := io.ReadAll(r.Body)
			fixed(200, "application/json", string(body))(w, r)
		})
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				// A call is repeated twice at most, and the budget, which nobody shares, allows ten.
				e := requestreply.Endpoint[string, string]{Method: "PUT", URL: url + "/" + strconv.Itoa(i), Guard: requestreply.NewGuard(&requestreply.Options{
					Retry: retry.Policy{Base: -1, MaxAttempts: 50, Budget: retry.NewBudget(10, 0)}, Breaker: requestreply.Breaker{Disabled: true}})}
				mine := strings.Repeat(strconv.Itoa(i), 100_000)
				for range 20 {
					got, err := e.Call(t.Context(), mine)
					if err != nil || got != mine {
						t.Errorf("%d bytes, %v", len(got), err)
						return
					}
				}
			})
		}
		wg.Wait()
	})
}

func TestARepeatFindsAFreeConnection(t *testing.T) {
	one := func(tr *http.Transport) { tr.MaxConnsPerHost = 1 }
	t.Run("naive: the answer to the first is open, and the second waits for ever", func(t *testing.T) {
		s, seen := answers(t, says(503))
		base, _ := dials(t, one)
		first, err := (&http.Client{Transport: base}).Get(s.URL)
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, "GET", s.URL, nil)
		require.NoError(t, err)
		_, err = (&http.Client{Transport: base}).Do(r)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Len(t, seen.take(), 1)
		require.NoError(t, first.Body.Close())
	})
	t.Run("ours finds it, whoever repeats", func(t *testing.T) {
		s, seen := answers(t, says(503), says(503))
		base, n := dials(t, one)
		e := requestreply.Endpoint[struct{}, struct{}]{Method: "GET", URL: s.URL, Client: &http.Client{Transport: base},
			Guard: requestreply.NewGuard(&requestreply.Options{Retry: quick})}
		_, _ = e.Call(t.Context(), struct{}{})
		require.Len(t, seen.take(), 3)
		require.EqualValues(t, 1, n.Load())
	})
}

// A watched body knows whether it was closed.
type watched struct {
	io.Reader
	open *atomic.Int64
	once sync.Once
}

func (b *watched) Close() error { b.once.Do(func() { b.open.Add(-1) }); return nil }

// Whatever ends a call, no answer of an attempt stays open; a Transport leaves
// one, to be closed by its caller.
func TestEveryEndClosesItsBodies(t *testing.T) {
	for name, c := range map[string]struct {
		o      requestreply.Options
		status int
		header string
		body   string
		ends   error
	}{
		"the attempts are used up":   {o: requestreply.Options{Retry: quick}, status: 503, ends: retry.ErrAttempts},
		"the budget is":              {o: requestreply.Options{Retry: retry.Policy{Base: -1, Budget: retry.NewBudget(-1, -1)}}, status: 503, ends: retry.ErrBudget},
		"the breaker opens":          {o: requestreply.Options{Retry: quick, Breaker: requestreply.Breaker{MinCalls: 2}}, status: 503, ends: requestreply.ErrOpen},
		"it is asked to come later":  {status: 429, header: "7200", ends: retry.ErrLater},
		"the time is up":             {o: requestreply.Options{Retry: retry.Policy{Base: time.Hour, Max: time.Hour}}, status: 503, ends: retry.ErrDeadline},
		"the allowance is spent":     {o: requestreply.Options{Retry: quick, Quota: quota.New("api", 2, quota.NewMem(), nil)}, status: 503, ends: quota.ErrSpent},
		"a refusal":                  {status: 404},
		"a redirect":                 {status: 307},
		"an answer that is no JSON":  {status: 200, body: "<html>"},
		"an answer that is too long": {status: 200, body: `"` + strings.Repeat("x", 2<<20), ends: requestreply.ErrTooLarge},
		"an error longer than read":  {o: requestreply.Options{Retry: quick}, status: 503, body: strings.Repeat("x", 1<<20), ends: retry.ErrAttempts},
	} {
		inBubble(t, name, func(t *testing.T) {
			var open, made atomic.Int64
			base := roundTrip(func(r *http.Request) (*http.Response, error) {
				made.Add(1)
				open.Add(1)
				h := http.Header{"Content-Type": {"application/json"}}
				if c.header != "" {
					h.Set("Retry-After", c.header)
				}
				return &http.Response{StatusCode: c.status, Header: h, Body: &watched{Reader: strings.NewReader(c.body), open: &open}, Request: r}, nil
			})
			for _, rt := range []http.RoundTripper{base, &requestreply.Transport{Base: base, Guard: requestreply.NewGuard(&c.o)}} {
				e := requestreply.Endpoint[struct{}, struct{}]{Method: "GET", URL: "http://api.example", Client: &http.Client{Transport: rt, CheckRedirect: noRedirect}}
				if _, guarded := rt.(*requestreply.Transport); !guarded {
					e.Guard = requestreply.NewGuard(&c.o)
				}
				_, err := e.Call(t.Context(), struct{}{})
				require.Error(t, err)
				if c.ends != nil && e.Guard != nil {
					require.ErrorIs(t, err, c.ends)
				}
				require.Zero(t, open.Load(), "after %d attempts", made.Load())
			}
			resp, err := (&requestreply.Transport{Base: base, Guard: requestreply.NewGuard(&c.o)}).RoundTrip(request(t))
			if err == nil {
				require.LessOrEqual(t, open.Load(), int64(1))
				require.NoError(t, resp.Body.Close())
			}
			require.Zero(t, open.Load())
		})
	}
}

func request(t *testing.T) *http.Request {
	r, err := http.NewRequestWithContext(t.Context(), "GET", "http://api.example", nil)
	require.NoError(t, err)
	return r
}

// busy answers 503 with a Retry-After and counts.
func busy(after string, n *int) http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		*n++
		return &http.Response{StatusCode: 503, Header: http.Header{"Retry-After": {after}}, Body: http.NoBody, Request: r}, nil
	})
}

// believes takes what it reads for the wait.
func believes(rt http.RoundTripper, r *http.Request) {
	for range 4 {
		resp, err := rt.RoundTrip(r)
		if err != nil {
			return
		}
		n, err := strconv.Atoi(resp.Header.Get("Retry-After"))
		wait := time.Duration(n) * time.Second
		if at, not := http.ParseTime(resp.Header.Get("Retry-After")); err != nil && not == nil {
			wait = time.Until(at)
		}
		time.Sleep(wait)
	}
}

func TestRetryAfterThatIsALie(t *testing.T) {
	const day = 24 * time.Hour
	for _, c := range []struct {
		after string
		took  func(naive time.Duration) bool
	}{
		{"9223372037", func(d time.Duration) bool { return d == 0 }}, // more nanoseconds than an int64 has
		{"0", func(d time.Duration) bool { return d == 0 }},
		{"Thu, 01 Jan 1970 00:00:00 GMT", func(d time.Duration) bool { return d == 0 }},
		{"1743440400", func(d time.Duration) bool { return d > 484289*time.Hour }}, // an instant, taken for seconds
		{"7200", func(d time.Duration) bool { return d == 8*time.Hour }},
	} {
		inBubble(t, c.after, func(t *testing.T) {
			start, n := time.Now(), 0
			believes(busy(c.after, &n), request(t))
			require.Equal(t, 4, n)
			require.True(t, c.took(time.Since(start)), "%v", time.Since(start))

			// Ours waits by its schedule for what says nothing usable, and not
			// at all for what is too long.
			var waited time.Duration
			for range 50 { // a wait is random, and may be none
				start, n = time.Now(), 0
				e := requestreply.Endpoint[struct{}, struct{}]{Method: "GET", URL: "http://api.example", Client: &http.Client{Transport: busy(c.after, &n)}}
				_, err := e.Call(t.Context(), struct{}{})
				require.Error(t, err)
				require.LessOrEqual(t, time.Since(start), 700*time.Millisecond)
				waited += time.Since(start)
				if errors.Is(err, retry.ErrLater) {
					require.Equal(t, 1, n)
					require.Equal(t, "7200", c.after)
					require.False(t, asError(t, err).At.Before(start.Add(2*time.Hour)))
					continue
				}
				require.Equal(t, 4, n)
			}
			require.Less(t, waited, day)
			require.Equal(t, c.after != "7200", waited > 5*time.Second, "it is no hot loop: %v", waited)
		})
	}
}

func TestClientsToldTheSameWaitComeBackApart(t *testing.T) {
	const clients = 200
	// herd runs clients at once against a server that tells each to come back
	// in 30 s, and returns how long after that they came.
	herd := func(t *testing.T, call func(http.RoundTripper)) []time.Duration {
		var mu sync.Mutex
		var late []time.Duration
		start := time.Now()
		var wg sync.WaitGroup
		for range clients {
			wg.Go(func() {
				again := false
				call(roundTrip(func(r *http.Request) (*http.Response, error) {
					if again {
						mu.Lock()
						late = append(late, time.Since(start)-30*time.Second)
						mu.Unlock()
						return &http.Response{StatusCode: 204, Body: http.NoBody, Request: r}, nil
					}
					again = true
					return &http.Response{StatusCode: 429, Header: http.Header{"Retry-After": {"30"}}, Body: http.NoBody, Request: r}, nil
				}))
			})
		}
		wg.Wait()
		slices.Sort(late)
		return late
	}
	inBubble(t, "naive: all at one instant", func(t *testing.T) {
		late := herd(t, func(rt http.RoundTripper) {
			for range 2 {
				resp, _ := rt.RoundTrip(request(t))
				n, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
				time.Sleep(time.Duration(n) * time.Second)
			}
		})
		require.Len(t, slices.Compact(late), 1)
	})
	inBubble(t, "ours: spread, and none too early", func(t *testing.T) {
		late := herd(t, func(rt http.RoundTripper) {
			e := requestreply.Endpoint[struct{}, struct{}]{Method: "GET", URL: "http://api.example", Client: &http.Client{Transport: rt},
				Guard: requestreply.NewGuard(&requestreply.Options{Timeout: time.Minute})}
			if _, err := e.Call(t.Context(), struct{}{}); err != nil {
				t.Error(err)
			}
		})
		require.Len(t, late, clients)
		require.GreaterOrEqual(t, late[0], time.Duration(0))
		require.Greater(t, len(slices.Compact(late)), clients*9/10)
	})
}

func TestAFailureClosesNobodysConnections(t *testing.T) {
	// storm opens five connections, lets one call fail, and returns how many
	// dials five more calls need.
	storm := func(t *testing.T, call func(base *http.Transport, url string) error) int64 {
		var together sync.WaitGroup
		url := serving(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/fails" {
				panic(http.ErrAbortHandler)
			}
			together.Done()
			together.Wait()
			w.WriteHeader(http.StatusNoContent)
		})
		base, n := dials(t, func(tr *http.Transport) { tr.MaxIdleConnsPerHost = 10 })
		five := func() {
			together.Add(5)
			var wg sync.WaitGroup
			for range 5 {
				wg.Go(func() {
					if err := call(base, url); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
		}
		five()
		require.EqualValues(t, 5, n.Load())
		require.Error(t, call(base, url+"/fails"))
		before := n.Load()
		five()
		return n.Load() - before
	}
	t.Run("naive: all are dialled anew", func(t *testing.T) {
		n := storm(t, func(base *http.Transport, url string) error {
			c := &http.Client{Transport: base}
			resp, err := c.Get(url)
			if err != nil {
				c.CloseIdleConnections()
				return err
			}
			return resp.Body.Close()
		})
		require.EqualValues(t, 5, n)
	})
	t.Run("ours: the one that broke", func(t *testing.T) {
		n := storm(t, func(base *http.Transport, url string) error {
			_, err := requestreply.Endpoint[struct{}, struct{}]{URL: url, Client: &http.Client{Transport: base}}.Call(t.Context(), struct{}{})
			return err
		})
		require.EqualValues(t, 1, n)
	})
}

func TestTheBreakerForgivesWhoLeft(t *testing.T) {
	inBubble(t, "gobreaker by itself opens", func(t *testing.T) {
		b := gobreaker.NewCircuitBreaker[int](gobreaker.Settings{})
		for range 6 {
			_, err := b.Execute(func() (int, error) { return 0, context.Canceled })
			require.ErrorIs(t, err, context.Canceled)
		}
		_, err := b.Execute(func() (int, error) { return 1, nil })
		require.ErrorIs(t, err, gobreaker.ErrOpenState)
	})
	inBubble(t, "ours does not, nor in a Transport", func(t *testing.T) {
		g := breaking(nil)
		waits := &requestreply.Transport{Guard: g, Base: roundTrip(func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() })}
		for range 20 {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			_, err := waits.RoundTrip(request(t).WithContext(ctx))
			require.ErrorIs(t, err, context.Canceled)
		}
		_, err := requestreply.Run(t.Context(), g, requestreply.Op{Target: "api.example"}, works)
		require.NoError(t, err)
	})
}

func TestAProbeThatHangsIsNotTheLast(t *testing.T) {
	inBubble(t, "gobreaker by itself refuses for as long as it hangs", func(t *testing.T) {
		b := gobreaker.NewCircuitBreaker[int](gobreaker.Settings{Timeout: 5 * time.Second, ReadyToTrip: func(gobreaker.Counts) bool { return true }})
		_, _ = b.Execute(func() (int, error) { return 0, errLost })
		time.Sleep(5*time.Second + 1)
		free := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = b.Execute(func() (int, error) { <-free; return 1, nil }) })
		time.Sleep(24 * time.Hour)
		_, err := b.Execute(func() (int, error) { return 1, nil })
		require.ErrorIs(t, err, gobreaker.ErrTooManyRequests)
		close(free)
		wg.Wait()
	})
	inBubble(t, "ours lets another through when its time is over", func(t *testing.T) {
		g := breaking(nil)
		open(t, g)
		time.Sleep(5*time.Second + 1)
		fn, free := deaf()
		var wg sync.WaitGroup
		wg.Go(func() { _ = call(t, g, fn) })
		time.Sleep(7*time.Second + 2) // its limit, and then OpenFor
		require.NoError(t, call(t, g, works))
		free()
		wg.Wait()
	})
}

func TestTheBodyOutlivesItsFunction(t *testing.T) {
	const size = 4 << 20
	url := serving(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, &zeros{left: size}) })
	t.Run("naive: the context ends with the function", func(t *testing.T) {
		get := func() (*http.Response, error) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			r, err := http.NewRequestWithContext(ctx, "GET", url, nil)
			require.NoError(t, err)
			return http.DefaultClient.Do(r)
		}
		resp, err := get()
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, resp.Body)
		require.ErrorIs(t, err, context.Canceled)
		require.NoError(t, resp.Body.Close())
	})
	t.Run("ours with the body", func(t *testing.T) {
		resp, err := (&http.Client{Transport: &requestreply.Transport{}}).Get(url)
		require.NoError(t, err)
		n, err := io.Copy(io.Discard, resp.Body)
		require.NoError(t, err)
		require.EqualValues(t, size, n)
		require.NoError(t, resp.Body.Close())
	})
}

// Two places where a library looks for a time-out and misses it: behind the
// *url.Error, and where the http.Client's own Timeout ended the call.
func TestTimeOutsAreFoundByErrorsIs(t *testing.T) {
	url := serving(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // or nobody listens for the end
		<-r.Context().Done()
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	require.NoError(t, err)
	_, err = http.DefaultClient.Do(r)
	require.Error(t, err)
	require.NotEqual(t, context.DeadlineExceeded, err, "naive: compared, it is none")

	for name, e := range map[string]requestreply.Endpoint[struct{}, struct{}]{
		"the attempt's limit":       {Guard: requestreply.NewGuard(&requestreply.Options{TryTimeout: 20 * time.Millisecond, Retry: retry.Policy{MaxAttempts: 1}})},
		"the call's limit":          {Guard: requestreply.NewGuard(&requestreply.Options{Timeout: 20 * time.Millisecond})},
		"the client's own":          {Client: &http.Client{Timeout: 20 * time.Millisecond}},
		"the client's, through one": {Client: &http.Client{Timeout: 20 * time.Millisecond, Transport: &requestreply.Transport{}}},
	} {
		t.Run(name, func(t *testing.T) {
			e.URL = url
			_, err := e.Call(t.Context(), struct{}{})
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, outcome.Unknown, outcome.Of(err))
			timeout, ok := errors.AsType[interface {
				error
				Timeout() bool
			}](err)
			require.True(t, ok && timeout.Timeout())
		})
	}
}

// A hedge sends again before the first has answered. Ours never does: the next
// attempt begins when the one before has ended.
func TestAttemptsNeverOverlap(t *testing.T) {
	// slow succeeds when it is asked first, after a second; a second request
	// meanwhile fails at once.
	slow := func(out, most *atomic.Int64) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			n := out.Add(1)
			defer out.Add(-1)
			most.Store(max(most.Load(), n))
			if n > 1 {
				return &http.Response{StatusCode: 500, Body: http.NoBody, Request: r}, nil
			}
			select {
			case <-time.After(time.Second):
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
			return &http.Response{StatusCode: 204, Body: http.NoBody, Request: r}, nil
		})
	}
	inBubble(t, "naive: the first answer wins, and it is an error", func(t *testing.T) {
		var out, most atomic.Int64
		rt := slow(&out, &most)
		first := make(chan int, 2)
		for range 2 {
			go func() {
				resp, err := rt.RoundTrip(request(t))
				if err == nil {
					first <- resp.StatusCode
				}
			}()
			time.Sleep(100 * time.Millisecond)
		}
		require.Equal(t, 500, <-first)
		require.EqualValues(t, 2, most.Load(), "and had it been a POST, it was sent twice")
		require.Equal(t, 204, <-first)
	})
	for _, method := range []string{"GET", "POST"} {
		inBubble(t, "ours, "+method, func(t *testing.T) {
			var out, most atomic.Int64
			e := requestreply.Endpoint[struct{}, struct{}]{Method: method, URL: "http://api.example", Keyed: true, Client: &http.Client{Transport: slow(&out, &most)},
				Guard: requestreply.NewGuard(&requestreply.Options{TryTimeout: 500 * time.Millisecond})}
			_, err := e.Call(t.Context(), struct{}{})
			require.ErrorIs(t, err, retry.ErrAttempts)
			require.EqualValues(t, 1, most.Load())
			e.Guard = nil
			_, err = e.Call(t.Context(), struct{}{})
			require.NoError(t, err, "a slow success is a success")
		})
	}
}

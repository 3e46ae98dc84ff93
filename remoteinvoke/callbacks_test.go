package remoteinvoke_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/remoteinvoke"
	"github.com/crosstie/crosstie/webhook"
)

func jsonText(s string) io.Reader { return strings.NewReader(s) }

// post sends body as a webhook signed by by, now.
func post(t *testing.T, h http.Handler, id string, body []byte, by webhook.Signer) *http.Response {
	t.Helper()
	return postAt(t, h, id, body, by, time.Now())
}

func postAt(t *testing.T, h http.Handler, id string, body []byte, by webhook.Signer, at time.Time) *http.Response {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
	signed, err := webhook.Headers(id, at, body, by)
	require.NoError(t, err)
	maps.Copy(r.Header, signed)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

// A pair is a service and a caller that it can call back, without a network.
type pair struct {
	s         *remoteinvoke.Service
	c         remoteinvoke.Client[string, string]
	jobs      *network // from the caller to the service
	hooks     *network // and back
	callbacks *remoteinvoke.Callbacks
	secret    webhook.Secret
	store     remoteinvoke.Store
}

const hookURL = "https://me.example/hooks/ended"

func newPair(fn func(context.Context, *remoteinvoke.Job, string) (string, error), o remoteinvoke.ServiceOptions, co *remoteinvoke.CallbackOptions) *pair {
	p := &pair{secret: webhook.NewSecret(), store: remoteinvoke.NewMem()}
	p.callbacks = remoteinvoke.NewCallbacks("f", hookURL, webhook.Verifier{Secrets: []webhook.Secret{p.secret}}, remoteinvoke.NewMemCallbacks(), co)
	o.CallbackClient, p.hooks = over(p.callbacks)
	o.Poll = 5 * time.Second // what starts and ends here is seen at once
	if o.Callbacks == nil {
		o.Callbacks = func(string) (remoteinvoke.Target, error) {
			return remoteinvoke.Target{Allow: []string{"https://me.example/hooks"}, Sign: p.secret}, nil
		}
	}
	p.s = remoteinvoke.NewService("f", p.store, fn, &o)
	p.c, p.jobs = client[string, string](p.s)
	p.c.Callbacks = p.callbacks
	return p
}

func TestCallback(t *testing.T) {
	bubble(t, "is heard before the next look", func(t *testing.T) {
		p := newPair(work(time.Hour), remoteinvoke.ServiceOptions{}, nil)
		start(t, p.s)
		job, err := p.c.Start(t.Context(), "x", nil)
		require.NoError(t, err)
		began := time.Now()
		out, err := job.Wait(t.Context())
		require.NoError(t, err)
		require.Equal(t, "x", out)
		require.Less(t, time.Since(began), time.Hour+time.Second)
		require.EqualValues(t, 1, p.hooks.calls.Load())
	})
	bubble(t, "is heard at once, without a look into the store", func(t *testing.T) {
		p := newPair(work(time.Hour), remoteinvoke.ServiceOptions{}, &remoteinvoke.CallbackOptions{Poll: -1})
		start(t, p.s)
		job, err := p.c.Start(t.Context(), "x", nil)
		require.NoError(t, err)
		began := time.Now()
		_, err = job.Wait(t.Context())
		require.NoError(t, err)
		require.Less(t, time.Since(began), time.Hour+10*time.Millisecond)
	})
	bubble(t, "is heard when the service cannot be asked", func(t *testing.T) {
		p := newPair(work(time.Hour), remoteinvoke.ServiceOptions{}, nil)
		start(t, p.s)
		job, err := p.c.Start(t.Context(), "x", nil)
		require.NoError(t, err)
		p.jobs.fault = func(r *http.Request, _ int64) (error, error) {
			if strings.HasSuffix(r.URL.Path, "/result") {
				return nil, nil
			}
			return errNet, nil
		}
		out, err := job.Wait(t.Context())
		require.NoError(t, err)
		require.Equal(t, "x", out)
	})
	bubble(t, "that never comes costs time only", func(t *testing.T) {
		p := newPair(work(time.Hour), remoteinvoke.ServiceOptions{}, nil)
		p.hooks.fault = func(*http.Request, int64) (error, error) { return errNet, nil }
		stop := start(t, p.s)
		job, err := p.c.Start(t.Context(), "x", nil)
		require.NoError(t, err)
		began := time.Now()
		_, err = job.Wait(t.Context())
		require.NoError(t, err)
		require.Less(t, time.Since(began), time.Hour+40*time.Second)
		before := status(t, p.s, job.ID())
		time.Sleep(90 * time.Hour)
		synctest.Wait()
		require.Equal(t, remoteinvoke.Done, before.State)
		require.EqualValues(t, 10, p.hooks.calls.Load(), "ten attempts in 75 hours, and no more")
		after := status(t, p.s, job.ID())
		before.Gone = true // by now
		require.Equal(t, before, after, "and the job is as it was")
		stop()
	})
	bubble(t, "that comes before Start has returned is kept", func(t *testing.T) {
		p := newPair(echo, remoteinvoke.ServiceOptions{}, nil)
		start(t, p.s)
		slow := p.jobs
		p.c.HTTP = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			resp, err := slow.RoundTrip(r)
			if r.Method == http.MethodPost {
				time.Sleep(20 * time.Second) // the answer is on its way
				synctest.Wait()
				require.EqualValues(t, 1, p.hooks.calls.Load())
			}
			return resp, err
		})}
		job, err := p.c.Start(t.Context(), "x", nil)
		require.NoError(t, err)
		began := time.Now()
		out, err := job.Wait(t.Context())
		require.NoError(t, err)
		require.Equal(t, "x", out)
		require.Zero(t, time.Since(began))
		require.EqualValues(t, 2, slow.calls.Load(), "start and result")
	})
	bubble(t, "is heard by who waits in another process", func(t *testing.T) {
		p := newPair(work(time.Hour), remoteinvoke.ServiceOptions{}, nil)
		kept := remoteinvoke.NewMemCallbacks()
		v := webhook.Verifier{Secrets: []webhook.Secret{p.secret}}
		p.hooks.Handler = remoteinvoke.NewCallbacks("f", hookURL, v, kept, nil)
		p.c.Callbacks = remoteinvoke.NewCallbacks("f", hookURL, v, kept, nil)
		start(t, p.s)
		job, err := p.c.Start(t.Context(), "x", nil)
		require.NoError(t, err)
		began := time.Now()
		_, err = job.Wait(t.Context())
		require.NoError(t, err)
		require.LessOrEqual(t, time.Since(began), time.Hour+2*time.Second)
	})
	bubble(t, "tells of each end", func(t *testing.T) {
		p := newPair(func(ctx context.Context, j *remoteinvoke.Job, in string) (string, error) {
			if in == "fail" {
				return "", &remoteinvoke.Failure{Code: "no", Message: "none"}
			}
			return work(time.Hour)(ctx, j, in)
		}, remoteinvoke.ServiceOptions{}, nil)
		start(t, p.s)
		job, err := p.c.Start(t.Context(), "fail", nil)
		require.NoError(t, err)
		_, err = job.Wait(t.Context())
		f, ok := errors.AsType[*remoteinvoke.Failure](err)
		require.True(t, ok)
		require.Equal(t, "no", f.Code)
		job, err = p.c.Start(t.Context(), "x", nil)
		require.NoError(t, err)
		time.Sleep(time.Second)
		synctest.Wait()
		_, err = job.Cancel(t.Context())
		require.NoError(t, err)
		_, err = job.Wait(t.Context())
		require.ErrorIs(t, err, remoteinvoke.ErrCanceled)
		require.EqualValues(t, 2, p.hooks.calls.Load())
	})
	bubble(t, "is signed, with the id, the caller and no result", func(t *testing.T) {
		p := newPair(echo, remoteinvoke.ServiceOptions{}, nil)
		var bodies, ids []string
		p.hooks.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			m, err := webhook.Verifier{Secrets: []webhook.Secret{p.secret}}.Read(r)
			require.NoError(t, err)
			bodies, ids = append(bodies, string(m.Body)), append(ids, m.ID)
			if len(bodies) < 3 {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		})
		start(t, p.s)
		st, err := p.s.Start(t.Context(), "ann", "secret result", &remoteinvoke.StartOptions{Callback: hookURL})
		require.NoError(t, err)
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Len(t, bodies, 3)
		require.Equal(t, []string{st.ID, st.ID, st.ID}, ids, "the same on each attempt")
		require.Contains(t, bodies[0], `"service":"f","caller":"ann"`)
		require.Contains(t, bodies[0], st.ID)
		require.NotContains(t, bodies[0], "secret result")
	})
	bubble(t, "ends at 410, and waits as it is told to", func(t *testing.T) {
		p := newPair(echo, remoteinvoke.ServiceOptions{}, nil)
		var at []time.Time
		p.hooks.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if at = append(at, time.Now()); len(at) == 1 {
				w.Header().Set("Retry-After", "3600")
				w.WriteHeader(http.StatusTooManyRequests)
				return
			}
			w.WriteHeader(http.StatusGone)
		})
		start(t, p.s)
		_, err := p.c.Start(t.Context(), "x", nil)
		require.NoError(t, err)
		time.Sleep(90 * time.Hour)
		synctest.Wait()
		require.Len(t, at, 2)
		require.GreaterOrEqual(t, at[1].Sub(at[0]), time.Hour)
	})
	bubble(t, "goes where this caller allows, and nowhere else", func(t *testing.T) {
		targets := map[string]remoteinvoke.Target{
			"ann": {Allow: []string{"https://ann.example/hooks/"}, Sign: webhook.NewSecret()},
			"bob": {Allow: []string{"https://bob.example:8443"}, Sign: webhook.NewSecret()},
			"eve": {Sign: webhook.NewSecret()},
			"sam": {Allow: []string{"https://sam.example"}},
		}
		errDB := errors.New("database away")
		p := newPair(echo, remoteinvoke.ServiceOptions{Callbacks: func(caller string) (remoteinvoke.Target, error) {
			if caller == "tom" {
				return remoteinvoke.Target{}, errDB
			}
			return targets[caller], nil
		}}, nil)
		try := func(caller, url string) error {
			_, err := p.s.Start(t.Context(), caller, "x", &remoteinvoke.StartOptions{Callback: url})
			return err
		}
		for _, good := range [][2]string{
			{"ann", "https://ann.example/hooks/"}, {"ann", "https://ann.example/hooks"}, {"ann", "https://ANN.example:443/hooks/a/b?job=1"},
			{"bob", "https://bob.example:8443/"}, {"bob", "https://bob.example:8443/x"}, {"bob", "https://bob.example:8443"},
		} {
			require.NoError(t, try(good[0], good[1]), good[1])
		}
		for _, bad := range [][2]string{
			{"bob", "https://ann.example/hooks/"}, {"eve", "https://ann.example/hooks/"}, {"sam", "https://sam.example/"},
			{"ann", "https://ann.example/"}, {"ann", "https://ann.example/hooksx"}, {"ann", "https://ann.example/hooks/../admin"},
			{"ann", "https://ann.example/hooks/%2e%2e/admin"}, {"ann", "https://ann.example/hooks/a%2fb"}, {"ann", "https://ann.example/hooks/..%2fadmin"}, {"ann", "https://ann.example/hooks//x"},
			{"ann", `https://ann.example/hooks/..\admin`}, {"ann", "https://ann.example/hooks/./x"}, {"ann", "http://ann.example/hooks/"},
			{"ann", "https://ann.example.evil.example/hooks/"}, {"ann", "https://ann.example@evil.example/hooks/"}, {"ann", "https://u:p@ann.example/hooks/"},
			{"ann", "https://ann.example:444/hooks/"}, {"ann", "https://ann.example/hooks/#x"}, {"ann", "//ann.example/hooks/"}, {"ann", "hooks"},
			{"ann", "ftp://ann.example/hooks/"}, {"ann", "https://169.254.169.254/hooks/"}, {"ann", "https://ann.example./hooks/"}, {"bob", "https://bob.example/"},
			{"ann", "https://ann.example/hooks/" + strings.Repeat("x", 3000)},
		} {
			err := try(bad[0], bad[1])
			require.Error(t, err, bad[1])
			require.True(t, errors.Is(err, remoteinvoke.ErrCallback) || errors.Is(err, remoteinvoke.ErrTooLarge), "%s: %v", bad[1], err)
			require.NotContains(t, err.Error(), "u:p@")
		}
		require.ErrorIs(t, try("tom", "https://tom.example/"), errDB)

		// What is allowed no more when the job ends is not told.
		delete(targets, "ann")
		var mu sync.Mutex
		var hosts []string
		p.hooks.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			hosts = append(hosts, r.URL.Host)
		})
		start(t, p.s)
		time.Sleep(time.Minute)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		require.Equal(t, []string{"bob.example:8443", "bob.example:8443", "bob.example:8443"}, hosts)
	})
	bubble(t, "goes to no address inside by default", func(t *testing.T) {
		secret := webhook.NewSecret()
		var errs []error
		s := remoteinvoke.NewService("f", remoteinvoke.NewMem(), echo, &remoteinvoke.ServiceOptions{
			Callbacks: func(string) (remoteinvoke.Target, error) {
				return remoteinvoke.Target{Allow: []string{"https://127.0.0.1"}, Sign: secret}, nil
			},
			CallbackSchedule: []time.Duration{},
			Observer:         ends{"callback": &errs},
		})
		start(t, s)
		begin(t, s, "x", &remoteinvoke.StartOptions{Callback: "https://127.0.0.1/"})
		time.Sleep(time.Second)
		synctest.Wait()
		require.Len(t, errs, 1)
		require.ErrorIs(t, errs[0], webhook.ErrBlocked)
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestCallbacks(t *testing.T) {
	bubble(t, "what is refused", func(t *testing.T) {
		secret, other := webhook.NewSecret(), webhook.NewSecret()
		kept := remoteinvoke.NewMemCallbacks()
		c := remoteinvoke.NewCallbacks("f", hookURL, webhook.Verifier{Secrets: []webhook.Secret{secret}}, kept, &remoteinvoke.CallbackOptions{Caller: "ann"})
		good := `{"service":"f","caller":"ann","job":{"id":"a","state":"done","version":3}}`
		replace := func(old, by string) []byte { return []byte(strings.Replace(good, old, by, 1)) }
		for name, x := range map[string]struct {
			r      *http.Response
			status int
		}{
			"forged":           {post(t, c, "a", []byte(good), other), 401},
			"replayed late":    {postAt(t, c, "a", []byte(good), secret, time.Now().Add(-6*time.Minute)), 401},
			"from the future":  {postAt(t, c, "a", []byte(good), secret, time.Now().Add(6*time.Minute)), 401},
			"about another":    {post(t, c, "b", []byte(good), secret), 422},
			"another service":  {post(t, c, "a", replace(`"f"`, `"g"`), secret), 403},
			"another caller":   {post(t, c, "a", replace(`"ann"`, `"bob"`), secret), 403},
			"not of an end":    {post(t, c, "a", replace(`"done"`, `"running"`), secret), 422},
			"of no state":      {post(t, c, "a", replace(`"done"`, `"finished"`), secret), 422},
			"without version":  {post(t, c, "a", replace(`3`, `0`), secret), 422},
			"no JSON":          {post(t, c, "a", []byte("{"), secret), 422},
			"too large":        {post(t, c, "a", []byte(strings.Repeat(" ", 65<<10)+good), secret), 413},
			"without a header": {do(c, "POST", "/", good), 400},
			"not a POST":       {do(c, "GET", "/", ""), 405},
		} {
			require.Equal(t, x.status, x.r.StatusCode, name)
		}
		_, err := kept.Load(t.Context(), remoteinvoke.Key{Service: "f", Caller: "ann", ID: "a"})
		require.ErrorIs(t, err, remoteinvoke.ErrNotFound)
		require.Equal(t, 204, post(t, c, "a", []byte(good), secret).StatusCode)
	})
	bubble(t, "tell who does not wait", func(t *testing.T) {
		var told []string
		fail := 2
		p := newPair(echo, remoteinvoke.ServiceOptions{}, &remoteinvoke.CallbackOptions{Notify: func(_ context.Context, st remoteinvoke.Status) error {
			if fail--; fail >= 0 {
				return errors.New("not now")
			}
			told = append(told, st.ID)
			return nil
		}})
		start(t, p.s)
		job, err := p.c.Start(t.Context(), "x", nil)
		require.NoError(t, err)
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Equal(t, []string{job.ID()}, told)
		require.EqualValues(t, 3, p.hooks.calls.Load())
	})
	bubble(t, "come in any order and number, and the state never goes back", func(t *testing.T) {
		secret := webhook.NewSecret()
		kept := remoteinvoke.NewMemCallbacks()
		c := remoteinvoke.NewCallbacks("f", hookURL, webhook.Verifier{Secrets: []webhook.Secret{secret}}, kept, nil)
		var bodies [][]byte
		for v := range int64(4) {
			b, err := json.Marshal(map[string]any{"service": "f", "job": remoteinvoke.Status{ID: "a", State: remoteinvoke.Failed, Version: v + 1}})
			require.NoError(t, err)
			bodies = append(bodies, b)
		}
		var newest atomic.Int64
		var permute func(left [][]byte, version int64)
		permute = func(left [][]byte, last int64) {
			for i, b := range left {
				require.Equal(t, 204, post(t, c, "a", b, secret).StatusCode)
				st, err := kept.Load(t.Context(), remoteinvoke.Key{Service: "f", ID: "a"})
				require.NoError(t, err)
				require.GreaterOrEqual(t, st.Version, last)
				newest.Store(st.Version)
				rest := append(append([][]byte{}, left[:i]...), left[i+1:]...)
				permute(rest, st.Version)
			}
		}
		permute(bodies, 0)
		require.EqualValues(t, 4, newest.Load())
	})
	t.Run("mistakes of the program", func(t *testing.T) {
		v := webhook.Verifier{Secrets: []webhook.Secret{webhook.NewSecret()}}
		for name, fn := range map[string]func(){
			"no service": func() { remoteinvoke.NewCallbacks("", hookURL, v, remoteinvoke.NewMemCallbacks(), nil) },
			"no URL":     func() { remoteinvoke.NewCallbacks("f", "", v, remoteinvoke.NewMemCallbacks(), nil) },
			"no secret": func() {
				remoteinvoke.NewCallbacks("f", hookURL, webhook.Verifier{}, remoteinvoke.NewMemCallbacks(), nil)
			},
			"no store": func() { remoteinvoke.NewCallbacks("f", hookURL, v, nil, nil) },
			"a name":   func() { remoteinvoke.NewService("a b", remoteinvoke.NewMem(), echo, nil) },
			"jobs":     func() { remoteinvoke.NewService("f", nil, echo, nil) },
			"poll":     func() { remoteinvoke.NewPoller[int](nil, nil) },
		} {
			require.Panics(t, fn, name)
		}
	})
}

// ends is an observer that keeps the errors of some operations.
type ends map[string]*[]error

func (ends) Start(ctx context.Context, _ string, _ ...slog.Attr) context.Context { return ctx }

func (e ends) End(_ context.Context, op string, err error, _ ...slog.Attr) {
	if to := e[op]; to != nil {
		*to = append(*to, err)
	}
}

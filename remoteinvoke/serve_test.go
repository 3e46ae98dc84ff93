package remoteinvoke_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/remoteinvoke"
	"github.com/crosstie/crosstie/webhook"
)

// do makes one request of a handler.
func do(h http.Handler, method, path, body string, header ...string) *http.Response {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Del(header[i])
		if header[i+1] != "" {
			r.Header.Add(header[i], header[i+1])
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func text(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	return string(b)
}

// byUser takes the caller from a header that stands for a token.
func byUser(r *http.Request) (string, error) {
	u := r.Header.Get("User")
	if u == "" {
		return "", errors.New("no token")
	}
	return u, nil
}

func TestWire(t *testing.T) {
	bubble(t, "a job from its start to its end", func(t *testing.T) {
		s := remoteinvoke.NewService("f", remoteinvoke.NewMem(), work(10*time.Minute),
			&remoteinvoke.ServiceOptions{KeepResult: time.Hour, Remember: 3 * time.Hour})
		mux := http.NewServeMux()
		mux.Handle("/v1/f/", http.StripPrefix("/v1/f/", s))

		r := do(mux, "POST", "/v1/f/", `"x"`, "Idempotency-Key", `"job-1"`)
		require.Equal(t, http.StatusAccepted, r.StatusCode)
		require.Equal(t, "job-1", r.Header.Get("Location"))
		require.Equal(t, "1", r.Header.Get("Retry-After"))
		require.Equal(t, `"v1"`, r.Header.Get("ETag"))
		require.Empty(t, r.Header.Get("Idempotent-Replayed"))
		first := text(t, r)
		for _, key := range []string{"job-1", `"job-1"`, " job-1 "} {
			r = do(mux, "POST", "/v1/f/", ` "x" `, "Idempotency-Key", key)
			require.Equal(t, http.StatusAccepted, r.StatusCode)
			require.Equal(t, "true", r.Header.Get("Idempotent-Replayed"))
			require.Equal(t, first, text(t, r))
		}
		r = do(mux, "GET", "/v1/f/job-1/result", "")
		require.Equal(t, http.StatusConflict, r.StatusCode)
		require.Equal(t, "1", r.Header.Get("Retry-After"))

		start(t, s)
		time.Sleep(5 * time.Minute)
		r = do(mux, "GET", "/v1/f/job-1", "")
		require.Equal(t, http.StatusOK, r.StatusCode)
		require.Equal(t, "30", r.Header.Get("Retry-After"), "a tenth of its age, at most 30 s")
		require.Contains(t, text(t, r), `"running"`)
		tag := r.Header.Get("ETag")
		r = do(mux, "GET", "/v1/f/job-1", "", "If-None-Match", tag)
		require.Equal(t, http.StatusNotModified, r.StatusCode)
		require.Equal(t, "30", r.Header.Get("Retry-After"))
		require.Empty(t, text(t, r))
		r = do(mux, "HEAD", "/v1/f/job-1", "")
		require.Equal(t, http.StatusOK, r.StatusCode)

		time.Sleep(6 * time.Minute)
		r = do(mux, "GET", "/v1/f/job-1", "", "If-None-Match", tag)
		require.Equal(t, http.StatusOK, r.StatusCode)
		require.Empty(t, r.Header.Get("Retry-After"))
		require.Contains(t, text(t, r), `"done"`)
		r = do(mux, "GET", "/v1/f/job-1/result", "")
		require.Equal(t, http.StatusOK, r.StatusCode)
		require.Equal(t, `"x"`, text(t, r))
		r = do(mux, "POST", "/v1/f/", `"x"`, "Idempotency-Key", "job-1")
		require.Equal(t, http.StatusOK, r.StatusCode)
		r = do(mux, "POST", "/v1/f/job-1/cancel", "")
		require.Equal(t, http.StatusOK, r.StatusCode)
		require.Contains(t, text(t, r), `"done"`)

		time.Sleep(61 * time.Minute)
		require.Equal(t, http.StatusGone, do(mux, "GET", "/v1/f/job-1/result", "").StatusCode)
		r = do(mux, "GET", "/v1/f/job-1", "", "If-None-Match", tag)
		require.Contains(t, text(t, r), `"gone":true`)
		c, _ := client[string, string](s)
		p, err := c.Resume("job1.job-1")
		require.NoError(t, err)
		_, err = p.Wait(t.Context())
		require.ErrorIs(t, err, remoteinvoke.ErrGone)
		require.Equal(t, outcome.Applied, outcome.Of(err), "it was done")
		time.Sleep(2 * time.Hour)
		require.Equal(t, http.StatusNotFound, do(mux, "GET", "/v1/f/job-1", "").StatusCode)
	})
	bubble(t, "what is refused", func(t *testing.T) {
		s := remoteinvoke.NewService("f", remoteinvoke.NewMem(), func(context.Context, *remoteinvoke.Job, Range) (int, error) { return 0, nil },
			&remoteinvoke.ServiceOptions{MaxInput: 40, MaxPending: 1, Callbacks: func(string) (remoteinvoke.Target, error) {
				return remoteinvoke.Target{Allow: []string{"https://ok.example/hooks"}, Sign: webhook.NewSecret()}, nil
			}})
		require.Equal(t, http.StatusAccepted, do(s, "POST", "/", `{"From":1}`, "Idempotency-Key", "a").StatusCode)
		for name, c := range map[string]struct {
			r      *http.Response
			status int
			code   string
		}{
			"another input":    {do(s, "POST", "/", `{"From":2}`, "Idempotency-Key", "a"), 422, "reused"},
			"full":             {do(s, "POST", "/", `{"From":2}`, "Idempotency-Key", "b"), 503, "full"},
			"too large":        {do(s, "POST", "/", `{"From":2`+strings.Repeat(" ", 40)+`}`), 413, "too_large"},
			"no JSON":          {do(s, "POST", "/", `{"From":`), 400, "invalid"},
			"nothing":          {do(s, "POST", "/", ``), 400, "invalid"},
			"two values":       {do(s, "POST", "/", `{}{}`), 400, "invalid"},
			"another type":     {do(s, "POST", "/", `{"From":"x"}`), 400, "invalid"},
			"unknown field":    {do(s, "POST", "/", `{"Frm":1}`), 400, "invalid"},
			"not UTF-8":        {do(s, "POST", "/", "{\"\xff\":1}"), 400, "invalid"},
			"an id with a dot": {do(s, "POST", "/", `{}`, "Idempotency-Key", "a.b"), 400, "invalid"},
			"a long id":        {do(s, "POST", "/", `{}`, "Idempotency-Key", strings.Repeat("a", 129)), 400, "invalid"},
			"an empty id":      {do(s, "POST", "/", `{}`, "Idempotency-Key", `""`), 400, "invalid"},
			"a time-out":       {do(s, "POST", "/", `{}`, "Crosstie-Timeout", "-1"), 400, "invalid"},
			"a time-out of 0":  {do(s, "POST", "/", `{}`, "Crosstie-Timeout", "0"), 400, "invalid"},
			"a foreign URL":    {do(s, "POST", "/", `{}`, "Crosstie-Callback", "https://evil.example/hooks"), 403, "callback"},
			"no such job":      {do(s, "GET", "/b", ""), 404, "not_found"},
			"no such result":   {do(s, "GET", "/b/result", ""), 404, "not_found"},
			"nothing there":    {do(s, "GET", "/a/x/y", ""), 404, "not_found"},
			"no such path":     {do(s, "POST", "/a/stop", ""), 404, "not_found"},
			"cancel of none":   {do(s, "POST", "/b/cancel", ""), 404, "not_found"},
			"GET of all":       {do(s, "GET", "/", ""), 405, "method"},
			"DELETE of one":    {do(s, "DELETE", "/a", ""), 405, "method"},
			"PUT of a result":  {do(s, "PUT", "/a/result", ""), 405, "method"},
			"a form":           {do(s, "POST", "/", `{}`, "Content-Type", "text/plain"), 415, "media_type"},
			"gzip":             {do(s, "POST", "/", `{}`, "Content-Encoding", "gzip"), 415, "media_type"},
		} {
			body := text(t, c.r)
			require.Equal(t, c.status, c.r.StatusCode, "%s: %s", name, body)
			require.Equal(t, "application/problem+json", c.r.Header.Get("Content-Type"), name)
			var p struct {
				Status  int
				Code    string
				Outcome string
			}
			require.NoError(t, json.Unmarshal([]byte(body), &p), name)
			require.Equal(t, c.code, p.Code, name)
			require.Equal(t, c.status, p.Status, name)
			require.Equal(t, "refused", p.Outcome, name)
			require.Equal(t, c.status == 503, c.r.Header.Get("Retry-After") != "", name)
		}
	})
	bubble(t, "headers that go with a status, as RFC 9110 has them", func(t *testing.T) {
		s := remoteinvoke.NewService("f", remoteinvoke.NewMem(), echo, &remoteinvoke.ServiceOptions{Caller: byUser})
		ann := func(method, path string, header ...string) *http.Response {
			return do(s, method, path, `"x"`, append(header, "User", "ann")...)
		}
		require.Equal(t, http.StatusAccepted, ann("POST", "/", "Idempotency-Key", "a").StatusCode)
		tag := ann("GET", "/a").Header.Get("ETag")
		for given, status := range map[string]int{
			tag: 304, "W/" + tag: 304, "*": 304, `"v9", W/` + tag + ` ,"v8"`: 304,
			`"v9"`: 200, "v1": 200, `w/` + tag: 200, ",": 200,
		} {
			require.Equal(t, status, ann("GET", "/a", "If-None-Match", given).StatusCode, given)
			require.Equal(t, status, ann("HEAD", "/a", "If-None-Match", given).StatusCode, given)
		}
		require.Equal(t, "POST", ann("GET", "/").Header.Get("Allow"))
		require.Equal(t, "GET, HEAD", ann("DELETE", "/a").Header.Get("Allow"))
		require.Equal(t, "POST", ann("GET", "/a/cancel").Header.Get("Allow"))
		require.Equal(t, "application/json", ann("POST", "/", "Content-Type", "text/plain").Header.Get("Accept-Post"))
		r := ann("POST", "/", "Content-Encoding", "gzip")
		require.Equal(t, "identity", r.Header.Get("Accept-Encoding"))
		require.Equal(t, 415, r.StatusCode)
		require.Equal(t, 202, ann("POST", "/", "Content-Encoding", "identity").StatusCode)
		r = do(s, "GET", "/a", "")
		require.Equal(t, 401, r.StatusCode)
		require.Equal(t, "Bearer", r.Header.Get("WWW-Authenticate"))
	})
	bubble(t, "callers see their own jobs only", func(t *testing.T) {
		s := remoteinvoke.NewService("f", remoteinvoke.NewMem(), echo, &remoteinvoke.ServiceOptions{Caller: byUser})
		start(t, s)
		require.Equal(t, http.StatusUnauthorized, do(s, "POST", "/", `"x"`).StatusCode)
		for _, user := range []string{"ann", "bob"} {
			r := do(s, "POST", "/", fmt.Sprintf(`"of %s"`, user), "Idempotency-Key", "a", "User", user)
			require.Equal(t, http.StatusAccepted, r.StatusCode)
		}
		require.Equal(t, http.StatusAccepted, do(s, "POST", "/", `"x"`, "Idempotency-Key", "b", "User", "ann").StatusCode)
		time.Sleep(time.Second)
		for _, user := range []string{"ann", "bob"} {
			require.Equal(t, fmt.Sprintf(`"of %s"`, user), text(t, do(s, "GET", "/a/result", "", "User", user)))
		}
		for _, path := range []string{"/b", "/b/result"} {
			require.Equal(t, http.StatusNotFound, do(s, "GET", path, "", "User", "bob").StatusCode)
		}
		require.Equal(t, http.StatusNotFound, do(s, "POST", "/b/cancel", "", "User", "bob").StatusCode)
	})
	bubble(t, "a URL relative to the request", func(t *testing.T) {
		s := remoteinvoke.NewService("f", remoteinvoke.NewMem(), echo, nil)
		mux := http.NewServeMux()
		mux.Handle("POST /api/f", http.StripPrefix("/api/f", s))
		r := do(mux, "POST", "/api/f?x=/y", `"x"`, "Idempotency-Key", "a")
		require.Equal(t, http.StatusAccepted, r.StatusCode)
		require.Equal(t, "f/a", r.Header.Get("Location"), "against /api/f that is /api/f/a")
	})
}

func TestStartErrors(t *testing.T) {
	bubble(t, "are those of the service", func(t *testing.T) {
		s := remoteinvoke.NewService("f", remoteinvoke.NewMem(), func(context.Context, *remoteinvoke.Job, Range) (int, error) { return 0, nil },
			&remoteinvoke.ServiceOptions{MaxInput: 40, MaxPending: 1})
		c, _ := client[any, int](s)
		begin := func(in any, o *remoteinvoke.StartOptions) error {
			_, err := c.Start(t.Context(), in, o)
			e, ok := errors.AsType[*remoteinvoke.Error](err)
			require.True(t, ok, "%v", err)
			require.Equal(t, "start", e.Op)
			require.NotEmpty(t, e.ID)
			require.True(t, outcome.NotApplied(err), "%v", err)
			require.NotContains(t, err.Error(), "jobs.example/?")
			return err
		}
		_, err := c.Start(t.Context(), Range{1, 2}, &remoteinvoke.StartOptions{ID: "a"})
		require.NoError(t, err)
		require.ErrorIs(t, begin(Range{1, 3}, &remoteinvoke.StartOptions{ID: "a"}), remoteinvoke.ErrReused)
		began := time.Now()
		require.ErrorIs(t, begin(Range{1, 3}, nil), remoteinvoke.ErrFull)
		require.GreaterOrEqual(t, time.Since(began), 15*time.Second, "three times as long as it was asked to wait")
		require.ErrorIs(t, begin(strings.Repeat("x", 100), nil), remoteinvoke.ErrTooLarge)
		require.ErrorIs(t, begin("x", nil), remoteinvoke.ErrInvalid)
		require.ErrorIs(t, begin(func() {}, nil), remoteinvoke.ErrInvalid)
		require.ErrorIs(t, begin(Range{}, &remoteinvoke.StartOptions{ID: "a/b"}), remoteinvoke.ErrInvalid)
		require.ErrorIs(t, begin(Range{}, &remoteinvoke.StartOptions{Timeout: -1}), remoteinvoke.ErrInvalid)
		require.ErrorIs(t, begin(Range{}, &remoteinvoke.StartOptions{Callback: "https://x.example/"}), remoteinvoke.ErrCallback)
		for _, u := range []string{"", "jobs.example", "ftp://jobs.example/", "https://jobs.example/?token=x"} {
			c.URL = u
			require.ErrorIs(t, begin(Range{}, nil), remoteinvoke.ErrInvalid, u)
		}
	})
	bubble(t, "say what is known", func(t *testing.T) {
		s := remoteinvoke.NewService("f", remoteinvoke.NewMem(), echo, nil)
		c, n := client[string, string](s)
		n.fault = func(*http.Request, int64) (error, error) { return nil, errNet }
		_, err := c.Start(t.Context(), "x", nil)
		e, ok := errors.AsType[*remoteinvoke.Error](err)
		require.True(t, ok)
		require.Equal(t, outcome.Unknown, e.Known)
		require.EqualValues(t, 4, n.calls.Load())
		st, err := s.Status(t.Context(), "", e.ID)
		require.NoError(t, err, "it was accepted")
		require.Equal(t, remoteinvoke.Queued, st.State)
		n.fault = nil
		p, err := c.Start(t.Context(), "x", &remoteinvoke.StartOptions{ID: e.ID})
		require.NoError(t, err)
		require.Equal(t, e.ID, p.ID())
	})
	t.Run("of a server that is no service", func(t *testing.T) {
		for body, kind := range map[string]string{
			`{}`: "application/json", `{"id":"other","state":"done","version":1}`: "application/json",
			`hello`: "text/plain", `[1]`: "application/json",
		} {
			h, _ := over(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", kind)
				w.WriteHeader(http.StatusAccepted)
				_, _ = io.WriteString(w, body)
			}))
			c := remoteinvoke.Client[string, string]{URL: "https://jobs.example/", HTTP: h}
			_, err := c.Start(t.Context(), "x", nil)
			require.Error(t, err, body)
			require.Equal(t, outcome.Applied, outcome.Of(err), body)
		}
	})
}

// TestErrorsSurvive holds that each sentinel is found through wrapping.
func TestErrorsSurvive(t *testing.T) {
	for _, want := range []error{
		remoteinvoke.ErrNotFound, remoteinvoke.ErrGone, remoteinvoke.ErrReused, remoteinvoke.ErrFull, remoteinvoke.ErrInvalid, remoteinvoke.ErrTooLarge,
		remoteinvoke.ErrCallback, remoteinvoke.ErrCanceled, remoteinvoke.ErrTimeout, remoteinvoke.ErrStopping, remoteinvoke.ErrLost, remoteinvoke.ErrNoTx, remoteinvoke.ErrRunning,
	} {
		err := fmt.Errorf("x: %w", errors.Join(errors.New("y"), &remoteinvoke.Error{Op: "start", ID: "a", Known: outcome.Refused, Err: fmt.Errorf("z: %w", want)}))
		require.ErrorIs(t, err, want)
		e, ok := errors.AsType[*remoteinvoke.Error](err)
		require.True(t, ok)
		require.Equal(t, outcome.Refused, e.Outcome())
		require.Equal(t, `remoteinvoke: start: job "a": z: `+want.Error()+": nothing was accepted", e.Error())
	}
}

package remoteinvoke_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/remoteinvoke"
	"github.com/crosstie/crosstie/retry"
	"github.com/crosstie/crosstie/webhook"
)

// FuzzStart throws bytes at the start of a job: each is answered by a status
// that says what was wrong, or is a job with the id it asked for.
func FuzzStart(f *testing.F) {
	f.Add(`{"From":1,"To":2}`, `"a"`, "5", "https://me.example/")
	f.Add(`{}`, `""`, "0", "")
	f.Add("{\"\xff\":1}", `"`, "99999999999999999999", "https://me.example/%2e%2e/")
	f.Add(`{"From":1,"From":2}`, "a.b", "-1", "//me.example")
	f.Fuzz(func(t *testing.T, body, key, timeout, callback string) {
		store := remoteinvoke.NewMem()
		s := remoteinvoke.NewService("f", store, add, &remoteinvoke.ServiceOptions{Callbacks: func(string) (remoteinvoke.Target, error) {
			return remoteinvoke.Target{Allow: []string{"https://me.example/x"}, Sign: webhook.NewSecret()}, nil
		}})
		r := do(s, http.MethodPost, "/", body, "Idempotency-Key", key, "Crosstie-Timeout", timeout, "Crosstie-Callback", callback)
		switch r.StatusCode {
		case http.StatusAccepted:
			var st remoteinvoke.Status
			require.NoError(t, json.NewDecoder(r.Body).Decode(&st))
			require.Regexp(t, `^[A-Za-z0-9_-]{1,128}$`, st.ID)
			require.Equal(t, st.ID, r.Header.Get("Location"))
			rec, err := store.Load(t.Context(), remoteinvoke.Key{Service: "f", ID: st.ID})
			require.NoError(t, err)
			if rec.Callback != "" {
				require.Regexp(t, `^https://[mM][eE]\.[^/@]*/x(/|\?|$)|^https://[mM][eE]\.[^/@]*/x$`, rec.Callback)
			}
		case http.StatusBadRequest, http.StatusForbidden, http.StatusRequestEntityTooLarge:
		default:
			t.Fatalf("answered %d", r.StatusCode)
		}
	})
}

// FuzzCallbacks throws signed bytes at the receiver of callbacks: what it
// keeps is the end of a job of its own.
func FuzzCallbacks(f *testing.F) {
	f.Add(`{"service":"f","caller":"","job":{"id":"a","state":"done","version":1}}`, "a")
	f.Add(`{"service":"f","job":{"id":"a","state":"done","version":1,"failure":{"code":"x"},"progress":null}}`, "a")
	f.Add(`{"service":"f","job":null}`, "")
	f.Add(`[]`, "a")
	f.Fuzz(func(t *testing.T, body, id string) {
		secret := webhook.NewSecret()
		kept := remoteinvoke.NewMemCallbacks()
		c := remoteinvoke.NewCallbacks("f", hookURL, webhook.Verifier{Secrets: []webhook.Secret{secret}}, kept, nil)
		if len(id) == 0 || len(id) > 200 {
			return
		}
		for i := range len(id) {
			if id[i] <= ' ' || id[i] > '~' || id[i] == '.' {
				return // nobody can sign it
			}
		}
		r := post(t, c, id, []byte(body), secret)
		st, err := kept.Load(t.Context(), remoteinvoke.Key{Service: "f", ID: id})
		require.Equal(t, r.StatusCode == http.StatusNoContent, err == nil, "%d", r.StatusCode)
		if err == nil {
			require.Equal(t, id, st.ID)
			require.True(t, st.State.Terminal())
		} else {
			require.Contains(t, []int{400, 401, 403, 413, 422}, r.StatusCode)
		}
	})
}

// Whatever answers a client, it ends with a result, a failure or an error of
// bounded length, and believes nothing of another job.
func FuzzAnswer(f *testing.F) {
	for _, body := range []string{
		`{"id":"j1","state":"queued","version":1}`, `{"id":"j1","state":"done","version":9223372036854775807}`,
		`{"id":"j1","state":"failed","version":2,"failure":{"code":"c","message":"m"}}`, `{"id":"other","state":"done","version":2}`,
		`{"id":"j1","state":"canceled","version":-1}`, `{"type":"about:blank","code":"full","status":503,"outcome":"applied","detail":"\u001b"}`,
		`{"id":"j1","id":"j2","state":"done","version":1}`, `[[[[`, `null`, ``, "\xff",
	} {
		for _, status := range []int{200, 202, 304, 307, 400, 404, 410, 429, 503} {
			f.Add(status, "application/json", body, "99999999999999999999")
			f.Add(status, "application/problem+json", body, "Fri, 31 Dec 9999 23:59:59 GMT")
		}
	}
	f.Fuzz(func(t *testing.T, status int, kind, body, after string) {
		if status < 200 || status > 599 {
			return
		}
		asked := 0
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		client := remoteinvoke.Client[int, int]{URL: "https://model.example/f/", Retry: retry.Policy{MaxAttempts: 1}, HTTP: &http.Client{
			Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				require.Equal(t, "model.example", r.URL.Host)
				if asked++; asked > 2 {
					cancel() // who is told to come back for ever gives up here
				}
				return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(body)), Request: r,
					Header: http.Header{"Content-Type": {kind}, "Retry-After": {after}, "Location": {"https://evil.example/"}, "Etag": {body}}}, nil
			}),
		}}
		_, err := client.Start(ctx, 1, &remoteinvoke.StartOptions{ID: "j1"})
		errs := []error{err}
		pending, err := client.Resume("job1.j1")
		require.NoError(t, err)
		st, err := pending.Status(ctx)
		errs = append(errs, err)
		if err == nil {
			require.Equal(t, "j1", st.ID)
			require.LessOrEqual(t, len(st.Progress.Note), 256)
		}
		_, err = pending.Cancel(ctx)
		for _, err := range append(errs, err) {
			if err != nil {
				require.Less(t, len(err.Error()), 8<<10)
			}
		}
		if st.State.Terminal() {
			_, err = pending.Wait(ctx)
			var f *remoteinvoke.Failure
			if errors.As(err, &f) {
				require.LessOrEqual(t, len(f.Message), 1<<10)
				require.LessOrEqual(t, len(f.Code), 64)
			}
		}
	})
}

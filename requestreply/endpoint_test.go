package requestreply_test

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply"
)

// serving answers every request with fn.
func serving(t *testing.T, fn http.HandlerFunc) string {
	s := httptest.NewServer(fn)
	s.Config.ErrorLog = quiet
	t.Cleanup(s.Close)
	return s.URL
}

func fixed(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = nil
		if contentType != "" {
			w.Header().Set("Content-Type", contentType)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func TestEndpointAnswers(t *testing.T) {
	const js = "application/json"
	for _, c := range []struct {
		name, contentType, body string
		status                  int
		number                  int
		fails                   string // a part of the error
	}{
		{"json", js, `{"number":7}`, 200, 7, ""},
		{"created", js, `{"number":7}`, 201, 7, ""},
		{"with charset", js + "; charset=UTF-8", `{"number":7}`, 200, 7, ""},
		{"a json suffix", "application/vnd.api+json", `{"number":7}`, 200, 7, ""},
		{"new fields are no error", js, `{"number":7,"since":"v2"}`, 200, 7, ""},
		{"space around", js, "\n {\"number\":7} \n", 200, 7, ""},
		{"no content", "", "", 204, 0, ""},
		{"reset content", "", "", 205, 0, ""},
		{"not modified", "", "", 304, 0, "304"},
		{"empty", js, "", 200, 0, "is empty"},
		{"empty, of no type", "", "", 201, 0, "is empty"},
		{"two values", js, `{"number":7}{"number":8}`, 200, 0, "not JSON"},
		{"cut", js, `{"number":7`, 200, 0, "not JSON"},
		{"another type", js, `{"number":"7"}`, 200, 0, `field "number"`},
		{"html", "text/html", `{"number":7}`, 200, 0, "text/html"},
		{"no content type", "", `{"number":7}`, 200, 0, "no content type"},
		{"no UTF-8 in a text", js, "{\"number\":7,\"note\":\"\xff\"}", 200, 0, "UTF-8"},
		{"another charset", js + "; charset=latin1", `{"number":7}`, 200, 0, "UTF-8"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := requestreply.Endpoint[Order, Receipt]{URL: serving(t, fixed(c.status, c.contentType, c.body))}
			got, err := e.Call(t.Context(), Order{})
			require.Equal(t, c.number, got.Number)
			if c.fails == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.fails)
			require.Equal(t, outcome.Applied, outcome.Of(err))
			require.Equal(t, 1, asError(t, err).Attempts)
			require.NotContains(t, err.Error(), `{`, "no payload in errors")
		})
	}
	t.Run("nothing wanted, nothing got", func(t *testing.T) {
		e := requestreply.Endpoint[Order, struct{}]{URL: serving(t, fixed(200, "", ""))}
		_, err := e.Call(t.Context(), Order{})
		require.NoError(t, err)
	})
	t.Run("HEAD", func(t *testing.T) {
		e := requestreply.Endpoint[struct{}, struct{}]{Method: "HEAD", URL: serving(t, fixed(200, js, `{}`))}
		_, err := e.Call(t.Context(), struct{}{})
		require.NoError(t, err)
	})
}

func TestEndpointRequest(t *testing.T) {
	type request struct {
		Method, URI, Body string
		Header            http.Header
	}
	requests := make(chan request, 1)
	url := serving(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		requests <- request{r.Method, r.RequestURI, string(body), r.Header}
		w.WriteHeader(204)
	})
	header := http.Header{"X-Api-Version": {"2"}}
	for method, want := range map[string]string{
		"": `{"sku":"a","qty":1}`, "PUT": `{"sku":"a","qty":1}`, "PATCH": `{"sku":"a","qty":1}`,
		"GET": "", "DELETE": "",
	} {
		e := requestreply.Endpoint[Order, Receipt]{Method: method, URL: url + "/a%2Fb?c=d", Header: header}
		_, err := e.Call(requestreply.WithIdempotencyKey(t.Context(), "k"), Order{"a", 1})
		require.NoError(t, err)
		got := <-requests
		require.Equal(t, want, got.Body, method)
		require.Equal(t, "/a%2Fb?c=d", got.URI)
		require.Equal(t, "2", got.Header.Get("X-Api-Version"))
		require.Empty(t, got.Header.Get("Idempotency-Key"), "not declared to honour one")
		require.Equal(t, want != "", got.Header.Get("Content-Type") == "application/json")
	}
	require.Len(t, header, 1, "the caller's header is its own")
}

// Without a key in the context a keyed endpoint makes one and keeps it for
// all attempts, and the error names it.
func TestEndpointMakesAKey(t *testing.T) {
	var seen notes
	url := serving(t, func(_ http.ResponseWriter, r *http.Request) {
		seen.add(r.Header.Get("Idempotency-Key"))
		panic(http.ErrAbortHandler)
	})
	e := requestreply.Endpoint[Order, Receipt]{URL: url, Keyed: true, Guard: requestreply.NewGuard(&requestreply.Options{Retry: quick})}
	_, err := e.Call(t.Context(), Order{})
	keys := seen.take()
	require.Len(t, keys, 4)
	key := asError(t, err).Key
	for _, k := range keys {
		require.Equal(t, `"`+key+`"`, k)
	}
	require.Contains(t, err.Error(), "under the same key")
	_, err = e.Call(t.Context(), Order{})
	require.NotEqual(t, key, asError(t, err).Key)
}

func TestEndpointMaxBody(t *testing.T) {
	text := func(n int) string { return `"` + strings.Repeat("x", n-2) + `"` }
	for _, c := range []struct {
		max   int64
		n     int
		large bool
	}{{0, 1 << 20, false}, {0, 1<<20 + 1, true}, {100, 100, false}, {100, 101, true}, {-1, 2 << 20, false}} {
		e := requestreply.Endpoint[Order, string]{URL: serving(t, fixed(200, "application/json", text(c.n))), MaxBody: c.max}
		got, err := e.Call(t.Context(), Order{})
		if c.large {
			require.ErrorIs(t, err, requestreply.ErrTooLarge)
			require.Equal(t, outcome.Applied, outcome.Of(err))
		} else {
			require.NoError(t, err)
			require.Len(t, got, c.n-2)
		}
	}
	t.Run("what decompresses to more", func(t *testing.T) {
		e := requestreply.Endpoint[Order, string]{URL: serving(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = io.WriteString(z, text(8<<20))
			_ = z.Close()
		}), Guard: requestreply.NewGuard(&requestreply.Options{Timeout: -1, TryTimeout: time.Minute})}
		_, err := e.Call(t.Context(), Order{})
		require.ErrorIs(t, err, requestreply.ErrTooLarge)
	})
}

func TestEndpointProblem(t *testing.T) {
	const kind = "application/problem+json"
	ask := func(t *testing.T, fn http.HandlerFunc) error {
		_, err := requestreply.Endpoint[Order, Receipt]{URL: serving(t, fn)}.Call(t.Context(), Order{})
		require.Error(t, err)
		return err
	}
	t.Run("is found", func(t *testing.T) {
		err := ask(t, fixed(422, kind, `{"type":"https://x/stock","title":"Out of stock","status":400,"detail":"2 left","instance":"/o/1",
			"errors":[{"detail":"at most 2","pointer":"#/qty"}],"balance":3}`))
		p, ok := errors.AsType[*requestreply.Problem](err)
		require.True(t, ok)
		require.Equal(t, &requestreply.Problem{Type: "https://x/stock", Title: "Out of stock", Status: 422, Detail: "2 left", Instance: "/o/1",
			Fields: map[string]string{"/qty": "at most 2"}}, p)
		require.Equal(t, 422, asError(t, err).Status)
		require.Equal(t, outcome.Refused, outcome.Of(err))
		require.Contains(t, err.Error(), "Out of stock: 2 left")
	})
	t.Run("what the server says of the effect counts", func(t *testing.T) {
		for _, o := range []outcome.Outcome{outcome.Unknown, outcome.Refused, outcome.Applied} {
			err := ask(t, fixed(409, kind, fmt.Sprintf(`{"outcome":%q}`, o)))
			require.Equal(t, o, outcome.Of(err))
		}
		require.Equal(t, outcome.Refused, outcome.Of(ask(t, fixed(409, kind, `{"outcome":"who knows"}`))))
		require.Equal(t, outcome.Refused, outcome.Of(ask(t, fixed(409, "application/json", `{"outcome":"applied"}`))), "only a problem says so")
	})
	t.Run("is bounded and cannot forge a log", func(t *testing.T) {
		err := ask(t, fixed(400, kind, fmt.Sprintf(`{"title":"a\nlevel=ERROR b","detail":%q}`, strings.Repeat("é", 5000))))
		p, _ := errors.AsType[*requestreply.Problem](err)
		require.LessOrEqual(t, len(p.Detail), 1<<10)
		require.NotContains(t, err.Error(), "\n")
	})
	t.Run("one too long or broken is left", func(t *testing.T) {
		for _, body := range []string{`{"title":"` + strings.Repeat("x", 64<<10) + `"}`, `{"title":`, `[]`, ``} {
			err := ask(t, fixed(400, kind, body))
			_, ok := errors.AsType[*requestreply.Problem](err)
			require.False(t, ok)
			require.Equal(t, 400, asError(t, err).Status)
		}
	})
}

func TestEndpointRefusesBadInput(t *testing.T) {
	for _, url := range []string{"", "/orders", "orders", "ftp://a.invalid/", "http://", "https://bob:hunter2@a.invalid:x/", "http://a.invalid/%zz"} {
		_, err := requestreply.Endpoint[Order, Receipt]{URL: url}.Call(t.Context(), Order{})
		require.Equal(t, outcome.NotSent, outcome.Of(err), url)
		require.NotContains(t, err.Error(), "hunter2")
	}
	_, err := requestreply.Endpoint[Order, Receipt]{Method: "BAD METHOD", URL: "http://a.invalid"}.Call(t.Context(), Order{})
	require.Equal(t, outcome.NotSent, outcome.Of(err))
	_, err = requestreply.Endpoint[func(), Receipt]{URL: "http://a.invalid"}.Call(t.Context(), nil)
	require.Equal(t, outcome.NotSent, outcome.Of(err), "what does not marshal is not sent")
	_, err = requestreply.Endpoint[Order, Receipt]{URL: "http://a.invalid", Header: http.Header{"Authorization": {"hunter2\n"}}}.Call(t.Context(), Order{})
	require.Equal(t, outcome.NotSent, outcome.Of(err), "net/http refuses it after it was asked to send")
	require.ErrorContains(t, err, "Authorization")
	require.NotContains(t, err.Error(), "hunter2")
	_, err = requestreply.Endpoint[Order, Receipt]{URL: "http://a.invalid", Keyed: true}.Call(requestreply.WithIdempotencyKey(t.Context(), "\x00"), Order{})
	require.Equal(t, outcome.NotSent, outcome.Of(err))
}

func TestEndpointErrorsHoldNoSecrets(t *testing.T) {
	e := requestreply.Endpoint[Order, Receipt]{
		URL:   strings.Replace(refused, "http://", "http://bob:hunter2@", 1) + "/x?token=hunter2#hunter2",
		Guard: requestreply.NewGuard(&requestreply.Options{Retry: quick}),
	}
	_, err := e.Call(t.Context(), Order{})
	require.NotContains(t, fmt.Sprintf("%v %+v", err, err), "hunter2")
	_, isURL := errors.AsType[*url.Error](err)
	require.False(t, isURL, "whose text names the whole URL to who unwraps it")
}

// A redirect would carry the caller's headers away.
func TestEndpointFollowsNoRedirect(t *testing.T) {
	var asked notes
	other := serving(t, func(http.ResponseWriter, *http.Request) { asked.add("") })
	for _, status := range []int{301, 302, 303, 307, 308} {
		url := serving(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other, status) })
		_, err := requestreply.Endpoint[Order, Receipt]{URL: url, Header: http.Header{"X-Api-Key": {"s"}}}.Call(t.Context(), Order{})
		want, _ := outcome.Status(status, false)
		require.Equal(t, want, outcome.Of(err), "%v", err)
		require.Equal(t, status, asError(t, err).Status)
	}
	require.Empty(t, asked.take())
}

// One loop of repeats, not one around another.
func TestEndpointOnAGuardedTransport(t *testing.T) {
	var n atomic.Int64
	url := serving(t, func(w http.ResponseWriter, _ *http.Request) { n.Add(1); w.WriteHeader(500) })
	client := &http.Client{Transport: &requestreply.Transport{Guard: requestreply.NewGuard(&requestreply.Options{Retry: quick})}}
	_, err := requestreply.Endpoint[struct{}, Receipt]{Method: "GET", URL: url, Client: client}.Call(t.Context(), struct{}{})
	require.Equal(t, 500, asError(t, err).Status)
	require.EqualValues(t, 4, n.Swap(0))

	client.Transport.(*requestreply.Transport).Base = roundTrip(func(*http.Request) (*http.Response, error) { n.Add(1); return nil, errLost })
	_, err = requestreply.Endpoint[struct{}, Receipt]{Method: "GET", URL: url, Client: client}.Call(t.Context(), struct{}{})
	require.EqualValues(t, 4, n.Swap(0))
	require.Equal(t, 4, asError(t, err).Attempts)
	require.Equal(t, outcome.Unknown, outcome.Of(err))
}

// http.Client's own time limit is a time-out like any other.
func TestEndpointClientTimeout(t *testing.T) {
	url := serving(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // else net/http does not notice that the client went
		<-r.Context().Done()
	})
	e := requestreply.Endpoint[Order, Receipt]{URL: url, Client: &http.Client{Timeout: 50 * time.Millisecond}}
	_, err := e.Call(t.Context(), Order{})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Equal(t, outcome.Unknown, outcome.Of(err))
	require.Equal(t, 1, asError(t, err).Attempts)
}

func FuzzProblem(f *testing.F) {
	f.Add([]byte(`{"title":"x","status":"y","errors":[{"pointer":"#/a","detail":"b"},3]}`))
	f.Add([]byte(`{"errors":{}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var p requestreply.Problem
		if json.Unmarshal(data, &p) != nil {
			return
		}
		for _, s := range []string{p.Type, p.Title, p.Detail, p.Instance, p.Known} {
			if len(s) > 1<<10 {
				t.Fatalf("%d bytes", len(s))
			}
		}
		if len(p.Fields) > 64 || strings.ContainsAny(p.Error(), "\n\r\x1b") {
			t.Fatalf("%q", p.Error())
		}
		out, err := json.Marshal(&p)
		if err != nil {
			t.Fatal(err)
		}
		var again requestreply.Problem
		if err := json.Unmarshal(out, &again); err != nil {
			t.Fatal(err)
		}
	})
}

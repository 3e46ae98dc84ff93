package requestreply_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/retry"
)

// zeros is a body of n bytes that is made as it is read; it counts what is
// open.
type zeros struct {
	left int64
	open *atomic.Int64
	most *int // the largest read asked for
}

func (z *zeros) Read(p []byte) (int, error) {
	if z.left == 0 {
		return 0, io.EOF
	}
	if z.most != nil {
		*z.most = max(*z.most, len(p))
	}
	n := int(min(int64(len(p)), z.left))
	clear(p[:n])
	z.left -= int64(n)
	return n, nil
}

func (z *zeros) Close() error { z.open.Add(-1); return nil }

func TestUpload(t *testing.T) {
	const size = 8 << 20
	var open, opened atomic.Int64
	upload := func(size int64) requestreply.Upload {
		return requestreply.Upload{Size: size, ContentType: "text/csv", Open: func() (io.ReadCloser, error) {
			open.Add(1)
			opened.Add(1)
			return &zeros{left: 8 << 20, open: &open}, nil
		}}
	}
	type got struct {
		n, length   int64
		contentType string
	}
	var seen atomic.Value
	var fails atomic.Int64
	url := serving(t, func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			return
		}
		seen.Store(got{n, r.ContentLength, r.Header.Get("Content-Type")})
		if fails.Add(-1) >= 0 {
			w.WriteHeader(503)
			return
		}
		fixed(200, "application/json", `{"number":7}`)(w, r)
	})
	e := requestreply.Endpoint[requestreply.Upload, Receipt]{
		Method: "PUT", URL: url, Guard: requestreply.NewGuard(&requestreply.Options{Retry: quick, TryTimeout: time.Minute, Timeout: -1}),
	}
	for _, c := range []struct {
		name   string
		size   int64
		length int64
		client *http.Client
	}{
		{"of a known size", size, size, nil},
		{"in chunks", 0, -1, nil},
		{"over a guarded transport", size, size, &http.Client{Transport: &requestreply.Transport{Guard: e.Guard}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			opened.Store(0)
			fails.Store(1)
			e := e
			if c.client != nil {
				e.Client, e.Guard = c.client, nil
			}
			receipt, err := e.Call(t.Context(), upload(c.size))
			require.NoError(t, err)
			require.Equal(t, 7, receipt.Number)
			require.Equal(t, got{size, c.length, "text/csv"}, seen.Load(), "the second attempt sends it whole")
			require.EqualValues(t, 2, opened.Load())
			require.Eventually(t, func() bool { return open.Load() == 0 }, 20*time.Second, time.Millisecond, "each was closed")
		})
	}
	t.Run("one that does not open is not sent", func(t *testing.T) {
		_, err := e.Call(t.Context(), requestreply.Upload{Open: func() (io.ReadCloser, error) { return nil, errBoom }})
		require.ErrorIs(t, err, errBoom)
		require.Equal(t, outcome.NotSent, outcome.Of(err))
		_, err = e.Call(t.Context(), requestreply.Upload{})
		require.Equal(t, outcome.NotSent, outcome.Of(err))
		_, err = e.Call(t.Context(), requestreply.Upload{Size: -1, Open: upload(0).Open})
		require.Equal(t, outcome.NotSent, outcome.Of(err))
	})
	t.Run("a size that is a lie leaves nothing open", func(t *testing.T) {
		_, err := e.Call(t.Context(), upload(size*2))
		require.Error(t, err)
		require.Eventually(t, func() bool { return open.Load() == 0 }, 20*time.Second, time.Millisecond)
	})
}

func TestStream(t *testing.T) {
	one := requestreply.NewGuard(&requestreply.Options{MaxInFlight: 1, MaxQueue: -1, TryTimeout: time.Minute, Retry: quick})
	stream := func(t *testing.T, e requestreply.Endpoint[struct{}, struct{}], fn http.HandlerFunc) (requestreply.Reply[io.ReadCloser], error) {
		e.URL, e.Method = serving(t, fn), "GET"
		if e.Guard == nil && e.Client == nil {
			e.Guard = one
		}
		return e.Stream(t.Context(), struct{}{})
	}
	t.Run("a large body of any type, read as it comes", func(t *testing.T) {
		const size = 8 << 20
		var fails atomic.Int64
		fails.Store(2)
		r, err := stream(t, requestreply.Endpoint[struct{}, struct{}]{}, func(w http.ResponseWriter, r *http.Request) {
			if fails.Add(-1) >= 0 {
				w.WriteHeader(503)
				return
			}
			w.Header().Set("Content-Type", "text/csv")
			w.Header().Set("X-Accept", r.Header.Get("Accept"))
			_, _ = io.Copy(w, &zeros{left: size})
		})
		require.NoError(t, err)
		require.Equal(t, 200, r.Status)
		require.Equal(t, "*/*", r.Header.Get("X-Accept"))
		_, err = requestreply.Run(t.Context(), one, requestreply.Op{Target: r.Header.Get("X-Host")}, works)
		require.NoError(t, err, "another target is free")
		n, err := io.Copy(io.Discard, r.Value)
		require.NoError(t, err)
		require.EqualValues(t, size, n)
		require.NoError(t, r.Value.Close())
	})
	t.Run("its place is taken until it is closed", func(t *testing.T) {
		url := serving(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
		e := requestreply.Endpoint[struct{}, struct{}]{Method: "GET", URL: url, Guard: one}
		r, err := e.Stream(t.Context(), struct{}{})
		require.NoError(t, err)
		_, err = e.Stream(t.Context(), struct{}{})
		require.ErrorIs(t, err, requestreply.ErrFull)
		require.NoError(t, r.Value.Close())
		r, err = e.Stream(t.Context(), struct{}{})
		require.NoError(t, err)
		require.NoError(t, r.Value.Close())
	})
	t.Run("failures are those of Call", func(t *testing.T) {
		r, err := stream(t, requestreply.Endpoint[struct{}, struct{}]{}, fixed(404, "application/problem+json", `{"title":"no such report"}`))
		require.Equal(t, outcome.Refused, outcome.Of(err))
		p, ok := errors.AsType[*requestreply.Problem](err)
		require.True(t, ok)
		require.Equal(t, "no such report", p.Title)
		require.Equal(t, 404, r.Status)
		require.Nil(t, r.Value)
		_, err = stream(t, requestreply.Endpoint[struct{}, struct{}]{}, fixed(500, "", ""))
		require.Equal(t, 4, asError(t, err).Attempts)
		_, err = stream(t, requestreply.Endpoint[struct{}, struct{}]{IfNoneMatch: `"x"`}, fixed(304, "", ""))
		require.ErrorIs(t, err, requestreply.ErrNotModified)
		_, err = requestreply.Endpoint[struct{}, struct{}]{URL: "nowhere"}.Stream(t.Context(), struct{}{})
		require.Equal(t, outcome.NotSent, outcome.Of(err))
	})
	t.Run("a body that breaks off", func(t *testing.T) {
		url := raw(t, func(c *net.TCPConn) {
			take(c)
			reply(c, "HTTP/1.1 200 OK\nContent-Length: 100\n\nhalf")
		})
		r, err := requestreply.Endpoint[struct{}, struct{}]{Method: "GET", URL: url, Guard: one}.Stream(t.Context(), struct{}{})
		require.NoError(t, err)
		data, err := io.ReadAll(r.Value)
		require.Equal(t, "half", string(data))
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		require.Equal(t, outcome.Applied, outcome.Of(err))
		require.Equal(t, 200, asError(t, err).Status)
		require.NoError(t, r.Value.Close())
	})
	t.Run("a limit, in bytes", func(t *testing.T) {
		for n, large := range map[int]bool{99: false, 100: false, 101: true, 5000: true} {
			r, err := stream(t, requestreply.Endpoint[struct{}, struct{}]{MaxBody: 100}, func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, strings.Repeat("x", n))
			})
			require.NoError(t, err)
			data, err := io.ReadAll(r.Value)
			require.Len(t, data, min(n, 100))
			if large {
				require.ErrorIs(t, err, requestreply.ErrTooLarge)
			} else {
				require.NoError(t, err)
			}
			require.NoError(t, r.Value.Close())
		}
	})
	t.Run("a drip ends with the attempt's time", func(t *testing.T) {
		g := requestreply.NewGuard(&requestreply.Options{TryTimeout: 200 * time.Millisecond})
		url := raw(t, func(c *net.TCPConn) {
			take(c)
			reply(c, "HTTP/1.1 200 OK\nContent-Length: 100\n\nd")
			hangUp(c)
		})
		r, err := requestreply.Endpoint[struct{}, struct{}]{Method: "GET", URL: url, Guard: g}.Stream(t.Context(), struct{}{})
		require.NoError(t, err)
		_, err = io.ReadAll(r.Value)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NoError(t, r.Value.Close())
	})
	t.Run("over a guarded transport, and with a hook that settles", func(t *testing.T) {
		var hits atomic.Int64
		e := requestreply.Endpoint[struct{}, struct{}]{
			Client:  &http.Client{Transport: &requestreply.Transport{Guard: requestreply.NewGuard(&requestreply.Options{Retry: quick})}},
			Confirm: func(context.Context, string) (outcome.Outcome, error) { return outcome.Applied, nil },
		}
		e.URL = serving(t, func(http.ResponseWriter, *http.Request) { hits.Add(1); panic(http.ErrAbortHandler) })
		_, err := e.Stream(requestreply.WithIdempotencyKey(t.Context(), "k"), struct{}{})
		require.Equal(t, outcome.Applied, outcome.Of(err), "%v", err)
		require.EqualValues(t, 1, hits.Load())
	})
	t.Run("a call of a page load is counted once", func(t *testing.T) {
		ctx, trips := requestreply.WithTrips(t.Context(), nil)
		e := requestreply.Endpoint[struct{}, struct{}]{Method: "GET", URL: serving(t, fixed(200, "", "x")), Guard: one}
		r, err := e.Stream(ctx, struct{}{})
		require.NoError(t, err)
		require.NoError(t, r.Value.Close())
		require.Equal(t, 1, trips.Made())
	})
}

// What two readers could read in two ways, and what the type does not know.
func TestEndpointStrict(t *testing.T) {
	for _, c := range []struct {
		body          string
		strict, known string // a part of the error, or nothing
	}{
		{`{"number":7}`, "", ""},
		{`{"number":7,"since":"v2"}`, "", `field /since: the name is not known`},
		{`{"number":7,"number":8}`, "field /number: the name appears twice", "twice"},
		{`{"Number":7}`, `differs in case from "number"`, "differs in case"},
		{`{"x":` + strings.Repeat("[", 65) + strings.Repeat("]", 65) + `}`, "nested more than 64 deep", "not known"},
		{`{"number":7} {}`, "does not decode", "does not decode"},
		{`{"number":"hunter2"}`, `field "number" at byte`, `field "number" at byte`},
		{"{\"\x1b\":1}", "", "does not decode"},
	} {
		url := serving(t, fixed(200, "application/json", c.body))
		for _, e := range []requestreply.Endpoint[struct{}, Receipt]{
			{URL: url}, {URL: url, Strict: true}, {URL: url, NoUnknown: true},
		} {
			want := ""
			switch {
			case e.NoUnknown:
				want = c.known
			case e.Strict:
				want = c.strict
			case strings.Contains(c.body, "hunter2"), strings.HasSuffix(c.body, "{}"), strings.Contains(c.body, "\x1b"):
				want = "does not decode"
			}
			_, err := e.Call(t.Context(), struct{}{})
			if want == "" && !strings.Contains(c.body, "\x1b") {
				require.NoError(t, err, "%+v %s", e, c.body)
				continue
			}
			require.ErrorContains(t, err, want, "%s", c.body)
			require.Equal(t, outcome.Applied, outcome.Of(err))
			require.NotContains(t, fmt.Sprintf("%+v", err), "hunter2")
			require.NotContains(t, err.Error(), "\x1b")
		}
	}
}

// Credentials stay at home: http.Client takes a header of yours to whom it is
// sent, CheckRedirect does not.
func TestCheckRedirect(t *testing.T) {
	var seen atomic.Value
	abroad := serving(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		seen.Store(fmt.Sprint(r.Header, string(body)))
		fixed(200, "application/json", `{"number":7}`)(w, r)
	})
	abroad = strings.Replace(abroad, "127.0.0.1", "localhost", 1) // another origin, and another host
	home := func(t *testing.T, status int, to string) string {
		return serving(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/there" {
				seen.Store(fmt.Sprint(r.Header))
				fixed(200, "application/json", `{"number":7}`)(w, r)
				return
			}
			http.Redirect(w, r, to, status)
		})
	}
	get := func(t *testing.T, url string, check func(*http.Request, []*http.Request) error, method string) error {
		seen.Store("")
		e := requestreply.Endpoint[Order, Receipt]{
			Method: method, URL: url + "?token=hunter2", Keyed: method == "GET", Client: &http.Client{CheckRedirect: check},
			Header: http.Header{"X-Api-Key": {"hunter2"}, "Authorization": {"hunter2"}, "Cookie": {"a=hunter2"}},
			Guard:  requestreply.NewGuard(&requestreply.Options{Retry: retry.Policy{MaxAttempts: 1}}),
		}
		_, err := e.Call(requestreply.WithIdempotencyKey(t.Context(), "hunter2"), Order{"hunter2", 1})
		return err
	}
	t.Run("http.Client by itself", func(t *testing.T) {
		require.NoError(t, get(t, home(t, 302, abroad), nil, "GET"))
		require.Contains(t, seen.Load(), "X-Api-Key:[hunter2]")
		require.Contains(t, strings.ToLower(seen.Load().(string)), "idempotency-key")
		require.Contains(t, seen.Load(), "token=hunter2", "in Referer")
	})
	t.Run("ours", func(t *testing.T) {
		require.NoError(t, get(t, home(t, 302, abroad), requestreply.CheckRedirect, "GET"))
		require.NotContains(t, seen.Load(), "hunter2")
		require.Contains(t, seen.Load(), "application/json")
	})
	t.Run("at home it keeps all", func(t *testing.T) {
		require.NoError(t, get(t, home(t, 302, "/there"), requestreply.CheckRedirect, "GET"))
		require.Contains(t, seen.Load(), "X-Api-Key:[hunter2]")
	})
	t.Run("home and back by way of another", func(t *testing.T) {
		var start string
		middle := strings.Replace(serving(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, start+"/there", http.StatusFound) }), "127.0.0.1", "localhost", 1)
		start = home(t, 302, middle)
		require.NoError(t, get(t, start, requestreply.CheckRedirect, "GET"))
		require.NotEmpty(t, seen.Load())
	})
	t.Run("no body goes elsewhere", func(t *testing.T) {
		for _, status := range []int{307, 308} {
			err := get(t, home(t, status, abroad), requestreply.CheckRedirect, "POST")
			require.ErrorContains(t, err, "take the body")
			require.Equal(t, outcome.Refused, outcome.Of(err), "%v", err)
			require.Empty(t, seen.Load())
			require.NotContains(t, err.Error(), "hunter2")
		}
		err := get(t, home(t, 302, abroad), requestreply.CheckRedirect, "POST")
		require.NoError(t, err, "a 302 makes it a GET without a body")
		require.NotContains(t, seen.Load(), "hunter2")
	})
	t.Run("not from https to http, not for ever", func(t *testing.T) {
		secure := roundTrip(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 303, Header: http.Header{"Location": {r.Header.Get("To")}}, Body: http.NoBody, Request: r}, nil
		})
		for to, want := range map[string]string{"http://api.example/": "from https to http", "/again": "10 of them"} {
			e := requestreply.Endpoint[Order, Receipt]{
				URL: "https://api.example/", Client: &http.Client{Transport: secure, CheckRedirect: requestreply.CheckRedirect},
				Header: http.Header{"To": {to}},
			}
			_, err := e.Call(t.Context(), Order{})
			require.ErrorContains(t, err, want)
			require.Equal(t, outcome.Unknown, outcome.Of(err), "a 303 may be the answer to what was done")
		}
	})
}

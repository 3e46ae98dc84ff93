package requestreply_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/retry"
)

// A shelf is a resource with versions: what a server that honours conditions
// does (RFC 9110 §13).
type shelf struct {
	mu      sync.Mutex
	number  int
	version int
	lose    int // how many answers to PUT are lost after the effect
	puts    int
}

func (s *shelf) tag() string { return fmt.Sprintf(`"v%d"`, s.version) }

func (s *shelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	is := func(cond string) bool { return cond == s.tag() || cond == "*" && s.version > 0 }
	if c := r.Header.Get("If-Match"); c != "" && !is(c) {
		w.WriteHeader(http.StatusPreconditionFailed)
		return
	}
	if c := r.Header.Get("If-None-Match"); c != "" && is(c) {
		if r.Method == http.MethodGet {
			w.Header().Set("ETag", s.tag())
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.WriteHeader(http.StatusPreconditionFailed)
		return
	}
	if r.Method == http.MethodPut {
		s.puts++
		s.version++
		if s.lose > 0 {
			s.lose--
			panic(http.ErrAbortHandler)
		}
	}
	w.Header().Set("ETag", s.tag())
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"number":%d}`, s.number)
}

func TestConditions(t *testing.T) {
	at := func(t *testing.T, s *shelf) (get, put requestreply.Endpoint[struct{}, Receipt]) {
		url := serving(t, s.ServeHTTP)
		guard := requestreply.NewGuard(&requestreply.Options{Retry: retry.Policy{Base: 1}})
		get = requestreply.Endpoint[struct{}, Receipt]{Method: "GET", URL: url, Guard: guard}
		put = get
		put.Method = "PUT"
		return get, put
	}
	t.Run("unchanged", func(t *testing.T) {
		get, _ := at(t, &shelf{number: 7, version: 1})
		r, err := get.Reply(t.Context(), struct{}{})
		require.NoError(t, err)
		require.Equal(t, 7, r.Value.Number)
		require.Equal(t, 200, r.Status)
		require.Equal(t, `"v1"`, r.ETag())

		get.IfNoneMatch = r.ETag()
		again, err := get.Reply(t.Context(), struct{}{})
		require.ErrorIs(t, err, requestreply.ErrNotModified)
		require.NotErrorIs(t, err, requestreply.ErrPrecondition)
		require.Equal(t, outcome.Applied, outcome.Of(err))
		require.Equal(t, 304, again.Status)
		require.Equal(t, `"v1"`, again.ETag())
		e, ok := errors.AsType[*requestreply.Error](err)
		require.True(t, ok)
		require.Equal(t, []int{304, 1}, []int{e.Status, e.Attempts})
		_, err = get.Call(t.Context(), struct{}{})
		require.ErrorIs(t, err, requestreply.ErrNotModified)

		get.IfNoneMatch = `"v0"`
		_, err = get.Call(t.Context(), struct{}{})
		require.NoError(t, err)
	})
	t.Run("the second writer is refused and nothing is lost", func(t *testing.T) {
		s := &shelf{version: 1}
		get, put := at(t, s)
		r, err := get.Reply(t.Context(), struct{}{})
		require.NoError(t, err)
		put.IfMatch = r.ETag()
		first, err := put.Reply(t.Context(), struct{}{})
		require.NoError(t, err)
		_, err = put.Call(t.Context(), struct{}{})
		require.ErrorIs(t, err, requestreply.ErrPrecondition)
		require.NotErrorIs(t, err, requestreply.ErrNotModified)
		require.Equal(t, outcome.Refused, outcome.Of(err))
		require.Equal(t, 1, s.puts)
		put.IfMatch = first.ETag()
		_, err = put.Call(t.Context(), struct{}{})
		require.NoError(t, err)
	})
	t.Run("only the first creates", func(t *testing.T) {
		s := &shelf{}
		_, put := at(t, s)
		put.IfNoneMatch = "*"
		_, err := put.Call(t.Context(), struct{}{})
		require.NoError(t, err)
		_, err = put.Call(t.Context(), struct{}{})
		require.ErrorIs(t, err, requestreply.ErrPrecondition)
		require.Equal(t, 1, s.puts)
	})
	// RFC 9110 §13.1.1: the refusal may be the doing of an attempt of ours
	// whose answer was lost. To say "refused" would be a lie.
	t.Run("refused by our own lost attempt", func(t *testing.T) {
		s := &shelf{version: 1, lose: 1}
		_, put := at(t, s)
		put.IfMatch = `"v1"`
		_, err := put.Call(t.Context(), struct{}{})
		require.ErrorIs(t, err, requestreply.ErrPrecondition)
		require.Equal(t, outcome.Unknown, outcome.Of(err))
		require.Equal(t, 1, s.puts)
		e, _ := errors.AsType[*requestreply.Error](err)
		require.Equal(t, 2, e.Attempts)
	})
	t.Run("an unchanged answer is no failure for the guard", func(t *testing.T) {
		o := &ends{}
		s := &shelf{version: 1}
		get := requestreply.Endpoint[struct{}, Receipt]{
			Method: "GET", URL: serving(t, s.ServeHTTP), IfNoneMatch: `"v1"`,
			Guard: requestreply.NewGuard(&requestreply.Options{
				Observer: o, Breaker: requestreply.Breaker{MinCalls: 2},
			}),
		}
		for range 20 {
			_, err := get.Call(t.Context(), struct{}{})
			require.ErrorIs(t, err, requestreply.ErrNotModified)
			e, _ := errors.AsType[*requestreply.Error](err)
			require.Equal(t, 1, e.Attempts)
		}
		require.Zero(t, o.failed)
	})
	t.Run("through a Transport", func(t *testing.T) {
		s := &shelf{version: 1}
		get, put := at(t, s)
		client := &http.Client{Transport: &requestreply.Transport{}}
		get.Guard, put.Guard, get.Client, put.Client = nil, nil, client, client
		get.IfNoneMatch, put.IfMatch = `"v1"`, `"v0"`
		_, err := get.Call(t.Context(), struct{}{})
		require.ErrorIs(t, err, requestreply.ErrNotModified)
		_, err = put.Call(t.Context(), struct{}{})
		require.ErrorIs(t, err, requestreply.ErrPrecondition)
		require.Equal(t, outcome.Refused, outcome.Of(err))
	})
	t.Run("a line end in a tag goes nowhere", func(t *testing.T) {
		s := &shelf{}
		_, put := at(t, s)
		for _, set := range []func(){func() { put.IfMatch = "\"v1\"\r\nX-Evil: 1" }, func() { put.IfMatch, put.IfNoneMatch = "", "\n" }} {
			set()
			_, err := put.Call(t.Context(), struct{}{})
			require.ErrorContains(t, err, "control character")
			require.NotContains(t, err.Error(), "Evil")
			require.Equal(t, outcome.NotSent, outcome.Of(err))
		}
		require.Zero(t, s.puts)
	})
	t.Run("sentinels survive wrapping", func(t *testing.T) {
		get, _ := at(t, &shelf{version: 1})
		get.IfNoneMatch = "*"
		_, err := get.Call(t.Context(), struct{}{})
		require.ErrorIs(t, fmt.Errorf("page: %w", errors.Join(errors.New("other"), err)), requestreply.ErrNotModified)
	})
}

// ends counts the operations that ended with an error.
type ends struct{ failed int }

func (o *ends) Start(ctx context.Context, _ string, _ ...slog.Attr) context.Context { return ctx }

func (o *ends) End(_ context.Context, _ string, err error, _ ...slog.Attr) {
	if err != nil {
		o.failed++
	}
}

func TestReplyBesideAnError(t *testing.T) {
	url := serving(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Request-Id", "77")
		w.WriteHeader(http.StatusForbidden)
	})
	r, err := requestreply.Endpoint[struct{}, Receipt]{URL: url}.Reply(t.Context(), struct{}{})
	require.Error(t, err)
	require.Equal(t, 403, r.Status)
	require.Equal(t, "77", r.Header.Get("X-Request-Id"))

	t.Run("an answer before the last attempt is not the last attempt's", func(t *testing.T) {
		lost := errors.New("lost")
		n := 0
		e := requestreply.Endpoint[struct{}, Receipt]{
			Method: "GET", URL: "http://shop.example/",
			Guard: requestreply.NewGuard(&requestreply.Options{Retry: retry.Policy{MaxAttempts: 2, Base: 1}}),
			Client: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				if n++; n == 1 {
					return &http.Response{StatusCode: 502, Body: http.NoBody, Header: http.Header{"ETag": {"x"}}}, nil
				}
				return nil, lost
			})},
		}
		r, err := e.Reply(t.Context(), struct{}{})
		require.ErrorIs(t, err, lost)
		require.Equal(t, 2, n)
		require.Zero(t, r.Status)
		require.Nil(t, r.Header)
	})

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r, err = requestreply.Endpoint[struct{}, Receipt]{URL: url}.Reply(ctx, struct{}{})
	require.Error(t, err)
	require.Zero(t, r.Status)
	require.Empty(t, r.ETag())
}

package server_test

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/requestreply/server"
	"github.com/crosstie/crosstie/retry"
)

// A function that asks another system and returns its error must not hand our
// caller what that system told us.
func TestProblemOfAnotherSystemIsNotPassedOn(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte(`{"title":"hunter2","detail":"the token of hunter2 has expired"}`))
	}))
	t.Cleanup(other.Close)
	up := requestreply.Endpoint[int, int]{URL: other.URL}

	w := ask(server.Handle(up.Call, nil), "POST", "/", "", "1")
	require.Equal(t, 500, w.Code, "401 would speak of our caller's credentials")
	require.NotContains(t, w.Body.String(), "hunter2")
	require.Equal(t, outcome.Refused.String(), problem(t, w).Known)

	own := server.Handle(func(ctx context.Context, n int) (int, error) {
		v, err := up.Call(ctx, n)
		if err != nil {
			return 0, retry.After(2*time.Second, &requestreply.Problem{Status: 503, Title: "Prices are not known now"})
		}
		return v, nil
	}, nil)
	w = ask(own, "POST", "/", "", "1")
	require.Equal(t, 503, w.Code)
	require.Equal(t, "2", w.Header().Get("Retry-After"))
	require.Equal(t, "Prices are not known now", problem(t, w).Title)
}

// Only a Retry-After that a client can read makes a 503 mean that nothing was
// done: of any other the client believes that it may have been, and so must we.
func TestIdempotentKeepsAnAmbiguous503(t *testing.T) {
	for after, runs := range map[string]string{"": "1", "0": "1", "soon": "1", "99999999": "1", "2": "2"} {
		t.Run(after, func(t *testing.T) {
			h, n := legacy(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", after)
				w.WriteHeader(http.StatusServiceUnavailable)
			})
			h = server.Idempotent(server.NewMemKeys(), everybody, nil)(h)
			require.Equal(t, 503, ask(h, "POST", "/", "key", "{}").Code)
			again := ask(h, "POST", "/", "key", "{}")
			require.Equal(t, 503, again.Code)
			require.Equal(t, runs, again.Header().Get("Run"), "%d runs", *n)
		})
	}
}

// A store may give the function a context with an end of its own: what it then
// says, the caller learns that time ran out, and that nothing was done.
func TestStoreEndsTheFunction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := server.HandleTx(impatient{server.NewMemKeys()}, func(ctx context.Context, _ *sql.Tx, _ struct{}) (int, error) {
			<-ctx.Done()
			return 0, errors.New("query interrupted")
		}, nil)
		w := ask(h, "POST", "/", "key", "")
		require.Equal(t, http.StatusGatewayTimeout, w.Code)
		require.Equal(t, outcome.Refused.String(), problem(t, w).Known)
	})
}

type impatient struct{ server.TxKeys }

func (i impatient) Tx(ctx context.Context, fn func(context.Context, *sql.Tx) error) error {
	return i.TxKeys.Tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		return outcome.Error(outcome.Refused, fn(ctx, tx))
	})
}

// An answer that was too large to keep says of the effect what it said at first.
func TestIdempotentLongAnswers(t *testing.T) {
	for status, want := range map[int]outcome.Outcome{201: outcome.Applied, 500: outcome.Unknown, 302: outcome.Unknown} {
		h, n := legacy(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = w.Write(make([]byte, 11))
		})
		h = server.Idempotent(server.NewMemKeys(), everybody, &server.Options{MaxReply: 10})(h)
		require.Equal(t, status, ask(h, "POST", "/", "key", "{}").Code)
		again := ask(h, "POST", "/", "key", "{}")
		require.Equal(t, http.StatusConflict, again.Code)
		require.Equal(t, want.String(), problem(t, again).Known)
		require.Equal(t, 1, *n)
	}
}

func TestFieldsThatDifferInCaseAlone(t *testing.T) {
	type twins struct {
		A int `json:"id"`
		B int `json:"ID"`
	}
	h := server.Handle(func(_ context.Context, v twins) (twins, error) { return v, nil }, nil)
	w := ask(h, "POST", "/", "", `{"id":1,"ID":2}`)
	require.Equal(t, 200, w.Code, w.Body)
	require.JSONEq(t, `{"id":1,"ID":2}`, w.Body.String())
	require.Equal(t, 400, ask(h, "POST", "/", "", `{"Id":1}`).Code)
}

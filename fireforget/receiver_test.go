package fireforget_test

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/fireforget"
	"github.com/crosstie/crosstie/inbox"
	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/retry"
	"github.com/crosstie/crosstie/webhook"
)

// request returns a signed request.
func request(t testing.TB, id, body string, by webhook.Signer) *http.Request {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/in", strings.NewReader(body))
	h, err := webhook.Headers(id, time.Now(), []byte(body), by)
	require.NoError(t, err)
	maps.Copy(r.Header, h)
	return r
}

func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// old is a UUID of version 7 made in June 2020.
const old = "01726f7d-0000-7000-8000-000000000000"

func TestReceiver(t *testing.T) {
	key := secret(t, "a")
	var effects []string
	var fail error
	var quarantined []error
	h := fireforget.NewReceiver(
		webhook.Verifier{Secrets: []webhook.Secret{key}, MaxBody: 100},
		inbox.New("in", inbox.NewMem(), nil),
		func(_ context.Context, _ *sql.Tx, m webhook.Message) error {
			if fail != nil {
				return fail
			}
			effects = append(effects, m.ID)
			return nil
		},
		&fireforget.ReceiverOptions{Quarantine: func(_ context.Context, _ webhook.Message, err error) { quarantined = append(quarantined, err) }},
	)

	t.Run("takes effect, then says so", func(t *testing.T) {
		require.Equal(t, 204, serve(h, request(t, "1", "x", key)).Code)
		require.Equal(t, []string{"1"}, effects)
	})
	t.Run("a duplicate is a success without an effect", func(t *testing.T) {
		for range 100 {
			require.Equal(t, 204, serve(h, request(t, "1", "x", key)).Code)
		}
		require.Equal(t, []string{"1"}, effects)
	})
	t.Run("a failure is told, and the message stays new", func(t *testing.T) {
		for _, c := range []struct {
			err    error
			status int
			after  string
		}{
			{errors.New("database s3cret"), 500, ""},
			{retry.After(1500*time.Millisecond, errors.New("busy")), 503, "2"},
			{retry.Permanent(errors.New("not for us")), 422, ""},
			{retry.Permanent(retry.After(time.Second, errors.New("x"))), 422, ""},
		} {
			fail = c.err
			w := serve(h, request(t, "2", "x", key))
			require.Equal(t, c.status, w.Code, "%v", c.err)
			require.Equal(t, c.after, w.Header().Get("Retry-After"))
			require.NotContains(t, w.Body.String(), "s3cret")
		}
		fail = nil
		require.Equal(t, 204, serve(h, request(t, "2", "x", key)).Code)
		require.Equal(t, []string{"1", "2"}, effects)
	})
	t.Run("what does not verify is refused", func(t *testing.T) {
		require.Equal(t, 401, serve(h, request(t, "3", "x", secret(t, "z"))).Code)
		require.Equal(t, 400, serve(h, httptest.NewRequest(http.MethodPost, "/", strings.NewReader("x"))).Code)
		require.Equal(t, 413, serve(h, request(t, "3", strings.Repeat("x", 101), key)).Code)
		w := serve(h, httptest.NewRequest(http.MethodGet, "/", nil))
		require.Equal(t, 405, w.Code)
		require.Equal(t, "POST", w.Header().Get("Allow"))
		require.Equal(t, []string{"1", "2"}, effects)
	})
	t.Run("too old to know is quarantined, and the sender gives up", func(t *testing.T) {
		require.Equal(t, 422, serve(h, request(t, old, "x", key)).Code)
		require.Equal(t, []string{"1", "2"}, effects)
		require.Len(t, quarantined, 1)
		require.ErrorIs(t, quarantined[0], inbox.ErrTooOld)
		e, ok := errors.AsType[*fireforget.Error](quarantined[0])
		require.True(t, ok)
		require.Equal(t, old, e.ID)
	})
	t.Run("the event's own time decides where it is given", func(t *testing.T) {
		h := fireforget.NewReceiver(webhook.Verifier{Secrets: []webhook.Secret{key}}, inbox.New("in", inbox.NewMem(), nil),
			func(context.Context, *sql.Tx, webhook.Message) error { return nil },
			&fireforget.ReceiverOptions{EventTime: func(m webhook.Message) time.Time {
				if string(m.Body) == "old" {
					return time.Now().Add(-9 * 24 * time.Hour)
				}
				return time.Now()
			}})
		require.Equal(t, 422, serve(h, request(t, "4", "old", key)).Code)
		require.Equal(t, 204, serve(h, request(t, old, "new", key)).Code)
	})
	require.Panics(t, func() { fireforget.NewReceiver(webhook.Verifier{}, nil, nil, nil) })
}

// A store that will not recover by itself is no fault of the message: were it
// refused for good, every sender would park what comes during the outage.
func TestReceiverWithABrokenStoreAsksToComeBack(t *testing.T) {
	key := secret(t, "a")
	in := inbox.New("in", brokenInbox{inbox.NewMem()}, nil)
	h := fireforget.NewReceiver(webhook.Verifier{Secrets: []webhook.Secret{key}}, in,
		func(context.Context, *sql.Tx, webhook.Message) error { return nil }, nil)
	w := serve(h, request(t, "1", "{}", key))
	require.Equal(t, http.StatusInternalServerError, w.Code, w.Body)
}

type brokenInbox struct{ inbox.Store }

func (brokenInbox) Do(context.Context, string, string, time.Time, func(context.Context, *sql.Tx) error) (bool, error) {
	return false, outcome.TransientError(outcome.Refused, false, errors.New("the database is read-only"))
}

package requestreply_test

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/retry"
)

// What a call says must not depend on who makes its attempts.
func TestEndpointSaysTheSameOverATransport(t *testing.T) {
	var (
		mu       sync.Mutex
		statuses []int
		keys     []string
	)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		keys = append(keys, r.Header.Get("Idempotency-Key"))
		status := statuses[0]
		statuses = statuses[1:]
		if status == 0 {
			panic(http.ErrAbortHandler) // the connection breaks
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(s.Close)

	for name, c := range map[string]struct {
		statuses []int
		known    outcome.Outcome
		status   int
		reason   error
	}{
		"an earlier attempt may have had its effect": {[]int{500, 422}, outcome.Unknown, 422, nil},
		"a broken connection, then a refusal":        {[]int{0, 403}, outcome.Unknown, 403, nil},
		"refused from first to last":                 {[]int{429, 422}, outcome.Refused, 422, nil},
		"no attempt is left":                         {[]int{429, 429, 429, 500}, outcome.Unknown, 500, retry.ErrAttempts},
		"no answer at all":                           {[]int{0, 0, 0, 0}, outcome.Unknown, 0, retry.ErrAttempts},
	} {
		texts := map[string]string{}
		for by, e := range map[string]requestreply.Endpoint[int, struct{}]{
			"a guard":     {Guard: requestreply.NewGuard(nil)},
			"a transport": {Client: &http.Client{Transport: &requestreply.Transport{Guard: requestreply.NewGuard(nil)}}},
		} {
			t.Run(name+" by "+by, func(t *testing.T) {
				mu.Lock()
				statuses, keys = append([]int(nil), c.statuses...), nil
				mu.Unlock()
				e.URL, e.Keyed = s.URL, true
				_, err := e.Call(requestreply.WithIdempotencyKey(t.Context(), "order-1"), 1)

				var failed *requestreply.Error
				require.ErrorAs(t, err, &failed)
				require.Equal(t, c.known, outcome.Of(err))
				require.Equal(t, len(c.statuses), failed.Attempts)
				require.Equal(t, c.status, failed.Status)
				require.Equal(t, "order-1", failed.Key)
				require.Equal(t, c.reason, failed.Reason)
				texts[by] = err.Error()

				mu.Lock()
				defer mu.Unlock()
				require.Len(t, keys, len(c.statuses), "a keyed call is repeated, with its body")
				for _, k := range keys {
					require.Equal(t, `"order-1"`, k)
				}
			})
		}
		if c.status != 0 { // a broken connection's text names ports
			require.Equal(t, texts["a guard"], texts["a transport"])
		}
	}
}

// That an operation may be repeated is said of its own host alone.
func TestEndpointsWordIsNotCarriedByARedirect(t *testing.T) {
	var mu sync.Mutex
	asked := 0
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked++
		w.WriteHeader(500)
	}))
	t.Cleanup(other.Close)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	}))
	t.Cleanup(s.Close)

	e := requestreply.Endpoint[int, struct{}]{
		URL: s.URL, Keyed: true, Client: &http.Client{Transport: &requestreply.Transport{}},
	}
	_, err := e.Call(t.Context(), 1)
	require.Equal(t, outcome.Unknown, outcome.Of(err))
	require.Equal(t, 1, asked)
}

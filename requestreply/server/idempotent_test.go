package server_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/requestreply/server"
)

type slogAttr = slog.Attr

func everybody(*http.Request) string { return "" }

// legacy is a handler that knows nothing of keys; it counts its runs.
func legacy(fn http.HandlerFunc) (http.Handler, *int) {
	n := 0
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n++
		w.Header().Set("Run", fmt.Sprint(n))
		fn(w, r)
	}), &n
}

func TestIdempotent(t *testing.T) {
	wrap := func(fn http.HandlerFunc, o *server.Options) (http.Handler, *int) {
		next, n := legacy(fn)
		return server.Idempotent(server.NewMemKeys(), everybody, o)(next), n
	}
	echo := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Set-Cookie", "session=hunter2")
		w.Header().Set("X-Refresh-Token", "hunter2")
		w.Header().Set("WWW-Authenticate", "x")
		w.Header().Set("Location", "/m/1")
		w.WriteHeader(201)
		w.Header().Set("Location", "too late")
		_, _ = io.Copy(w, r.Body)
	}
	t.Run("a repeat is answered as the first, without its secrets", func(t *testing.T) {
		h, n := wrap(echo, nil)
		first := ask(h, "POST", "/m", "k", "hello")
		require.Equal(t, 201, first.Code)
		require.Equal(t, "hello", first.Body.String())
		require.Equal(t, "session=hunter2", first.Header().Get("Set-Cookie"))
		again := ask(h, "POST", "/m", "k", "hello")
		require.Equal(t, 201, again.Code)
		require.Equal(t, "hello", again.Body.String())
		require.Equal(t, http.Header{"Idempotent-Replayed": {"true"}, "Location": {"/m/1"}, "Run": {"1"}}, again.Header())
		require.Equal(t, 1, *n)
		require.Equal(t, 422, ask(h, "POST", "/m", "k", "bye").Code)
		require.Equal(t, 400, ask(h, "POST", "/m", "", "hello").Code)
	})
	t.Run("safe methods pass by", func(t *testing.T) {
		h, n := wrap(echo, nil)
		for range 2 {
			ask(h, "GET", "/m", "k", "")
			ask(h, "HEAD", "/m", "", "")
		}
		require.Equal(t, 4, *n)
	})
	t.Run("what says that nothing was done is not stored", func(t *testing.T) {
		for status, stored := range map[int]bool{
			200: true, 202: true, 204: true, 302: true, 303: true, 500: true, 502: true, 504: true,
			400: false, 401: false, 409: false, 422: false, 429: false, 501: false, 503: true,
		} {
			h, n := wrap(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }, nil)
			for range 2 {
				require.Equal(t, status, ask(h, "POST", "/", "k", "").Code)
			}
			require.Equal(t, stored, *n == 1, "%d", status)
		}
		h, n := wrap(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(503)
		}, nil)
		ask(h, "POST", "/", "k", "")
		ask(h, "POST", "/", "k", "")
		require.Equal(t, 2, *n)
	})
	t.Run("a handler that writes nothing answered 200", func(t *testing.T) {
		h, n := wrap(func(http.ResponseWriter, *http.Request) {}, nil)
		for range 2 {
			require.Equal(t, 200, ask(h, "POST", "/", "k", "").Code)
		}
		require.Equal(t, 1, *n)
	})
	t.Run("a long answer is sent but not kept", func(t *testing.T) {
		long := func(n int) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) {
				for range n {
					_, _ = io.WriteString(w, "x")
				}
			}
		}
		h, _ := wrap(long(10), &server.Options{MaxReply: 10})
		require.Equal(t, 10, ask(h, "POST", "/", "k", "").Body.Len())
		require.Equal(t, 200, ask(h, "POST", "/", "k", "").Code)
		h, n := wrap(long(11), &server.Options{MaxReply: 10})
		require.Equal(t, 11, ask(h, "POST", "/", "k", "").Body.Len())
		w := ask(h, "POST", "/", "k", "")
		require.Equal(t, 409, w.Code)
		require.Equal(t, "applied", problem(t, w).Known)
		require.Equal(t, 1, *n)
	})
	t.Run("a body too long", func(t *testing.T) {
		h, n := wrap(echo, &server.Options{MaxBody: 3})
		require.Equal(t, 413, ask(h, "POST", "/", "k", "four").Code)
		require.Zero(t, *n)
	})
	t.Run("after a panic nobody knows", func(t *testing.T) {
		h, n := wrap(func(http.ResponseWriter, *http.Request) { panic("boom") }, nil)
		require.PanicsWithValue(t, "boom", func() { ask(h, "POST", "/", "k", "") })
		w := ask(h, "POST", "/", "k", "")
		require.Equal(t, 500, w.Code)
		require.Equal(t, "unknown", problem(t, w).Known)
		require.Equal(t, 1, *n, "it is not run again")
	})
	t.Run("scope and keys are required", func(t *testing.T) {
		require.Panics(t, func() { server.Idempotent(server.NewMemKeys(), nil, nil) })
		require.Panics(t, func() { server.Idempotent(nil, everybody, nil) })
	})
	t.Run("tenants are apart", func(t *testing.T) {
		next, n := legacy(echo)
		h := server.Idempotent(server.NewMemKeys(), func(r *http.Request) string { return r.Header.Get("Tenant") }, nil)(next)
		ask(h, "POST", "/", "k", "of a", "Tenant", "a")
		require.Equal(t, "of b", ask(h, "POST", "/", "k", "of b", "Tenant", "b").Body.String())
		require.Equal(t, 2, *n)
	})
}

// The process dies after the handler's effect and before its answer is stored.
// Whether the effect happened cannot be known here, and that is what repeats
// are told; a second run would be a guess. HandleTx has no such window.
func TestIdempotentCrashWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := &dying{Keys: server.NewMemKeys()}
		next, n := legacy(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "done") })
		h := server.Idempotent(keys, everybody, nil)(next)
		keys.dead = true // its Finish never reaches the store
		require.Equal(t, "done", ask(h, "POST", "/", "k", "").Body.String(), "the first caller has a true answer")
		keys.dead = false

		w := ask(h, "POST", "/", "k", "")
		require.Equal(t, 409, w.Code, "while the lease runs")
		time.Sleep(10*time.Second + 1)
		for range 2 {
			w := ask(h, "POST", "/", "k", "")
			require.Equal(t, 500, w.Code)
			require.Contains(t, problem(t, w).Detail, "not known")
		}
		require.Equal(t, 1, *n)
		require.Equal(t, 422, ask(h, "POST", "/", "k", "other").Code)
	})
}

type dying struct {
	server.Keys
	dead bool
}

func (d *dying) Finish(ctx context.Context, c server.Claim, r server.Reply) error {
	if d.dead {
		return errBoom
	}
	return d.Keys.Finish(ctx, c, r)
}

func TestIdempotentUnderLoad(t *testing.T) {
	var mu sync.Mutex
	runs := map[string]int{}
	h := server.Idempotent(server.NewMemKeys(), everybody, nil)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		runs[string(body)]++
		mu.Unlock()
		_, _ = w.Write(body)
	}))
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			for {
				key := fmt.Sprint("k", i%8)
				w := httptest.NewRecorder()
				r := httptest.NewRequest("POST", "/", strings.NewReader(key))
				r.Header.Set("Idempotency-Key", key)
				h.ServeHTTP(w, r)
				if w.Code == 409 {
					continue
				}
				if w.Code != 200 || w.Body.String() != key {
					t.Errorf("%s: %d %s", key, w.Code, w.Body)
				}
				return
			}
		})
	}
	wg.Wait()
	require.Len(t, runs, 8)
	for key, n := range runs {
		require.Equal(t, 1, n, key)
	}
}

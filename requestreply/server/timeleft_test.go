package server_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/requestreply/server"
	"github.com/crosstie/crosstie/retry"
)

const left = requestreply.TimeLeftHeader

func TestTimeLeft(t *testing.T) {
	// timed answers with how much time it is given; a second of it may be
	// spent before.
	timed := func(o *server.Options) (http.Handler, *int) {
		runs := 0
		return server.Handle(func(ctx context.Context, _ string) (string, error) {
			runs++
			end, ok := ctx.Deadline()
			if !ok {
				return "no end", nil
			}
			return time.Until(end).String(), nil
		}, o), &runs
	}
	bubble := func(name string, fn func(t *testing.T)) {
		t.Run(name, func(t *testing.T) { synctest.Test(t, fn) })
	}
	bubble("it only shortens", func(t *testing.T) {
		for _, c := range []struct {
			limit time.Duration
			told  string
			want  string
		}{
			{0, "", "30s"}, {0, "1500", "1.5s"}, {0, "30001", "30s"}, {0, "9999999999", "30s"},
			{time.Second, "1500", "1s"}, {-1, "1500", "1.5s"}, {-1, "", "no end"}, {0, "0001", "1ms"},
		} {
			h, _ := timed(&server.Options{Timeout: c.limit})
			var header []string
			if c.told != "" {
				header = []string{left, c.told}
			}
			w := ask(h, "POST", "/", "", `"x"`, header...)
			require.Equal(t, `"`+c.want+`"`, w.Body.String(), "%v %s", c.limit, c.told)
		}
	})
	bubble("what nobody waits for is not begun", func(t *testing.T) {
		h, runs := timed(nil)
		w := ask(h, "POST", "/", "", `"x"`, left, "0")
		require.Equal(t, 503, w.Code)
		require.Equal(t, "1", w.Header().Get("Retry-After"))
		require.Equal(t, "refused", problem(t, w).Known)
		require.Zero(t, *runs)

		// The body takes longer than the caller waits.
		r := httptest.NewRequest("POST", "/", slow{strings.NewReader(`"x"`), 2 * time.Second})
		r.Header = http.Header{"Content-Type": {"application/json"}, left: {"1000"}}
		w = httptest.NewRecorder()
		h.ServeHTTP(w, r)
		require.Equal(t, 503, w.Code)
		require.Zero(t, *runs)
	})
	bubble("what does not parse is said to", func(t *testing.T) {
		h, runs := timed(nil)
		for _, v := range []string{"", "-1", "+1", "1s", "1.5", " 1", "0x10", "1e3", "12345678901", "99999999999999999999"} {
			w := ask(h, "POST", "/", "", `"x"`, left, v)
			require.Equal(t, 400, w.Code, "%q", v)
			require.Contains(t, problem(t, w).Detail, left)
		}
		r := httptest.NewRequest("POST", "/", strings.NewReader(`"x"`))
		r.Header = http.Header{"Content-Type": {"application/json"}, left: {"1", "2"}}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		require.Equal(t, 400, w.Code)
		require.Zero(t, *runs)
	})
	bubble("keyed requests claim no key", func(t *testing.T) {
		h, n := counting(server.NewMemKeys(), nil, nil)
		next, m := legacy(func(w http.ResponseWriter, r *http.Request) {
			end, _ := r.Context().Deadline()
			_, _ = io.WriteString(w, time.Until(end).String())
		})
		idem := server.Idempotent(server.NewMemKeys(), everybody, nil)(next)
		for _, h := range []http.Handler{h, idem} {
			w := ask(h, "POST", "/", "k", `{}`, left, "0")
			require.Equal(t, 503, w.Code)
			require.Equal(t, "unknown", problem(t, w).Known, "an earlier request under the key may have had its effect")
		}
		require.Zero(t, *n+*m)
		require.Equal(t, 200, ask(h, "POST", "/", "k", `{}`).Code)
		require.Equal(t, "2s", ask(idem, "POST", "/", "k", `{}`, left, "2000").Body.String())
		require.Equal(t, "true", ask(h, "POST", "/", "k", `{}`, left, "2000").Header().Get("Idempotent-Replayed"), "the time is no part of the request")
	})
}

// slow reads after a while.
type slow struct {
	io.Reader
	after time.Duration
}

func (s slow) Read(p []byte) (int, error) {
	time.Sleep(s.after)
	return s.Reader.Read(p)
}

// The time a caller has is what the other side is told, attempt by attempt, and
// work that would be for nobody is not begun.
func TestTimeLeftTravels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		hangs := true // in the first request of each list
		h := server.Handle(func(ctx context.Context, _ string) (string, error) {
			if hangs && len(told) == 1 {
				<-ctx.Done()
				return "", outcome.TransientError(outcome.Unknown, true, ctx.Err())
			}
			return "ok", nil
		}, nil)
		base := roundTrip(func(r *http.Request) (*http.Response, error) {
			told = append(told, r.Header.Get(left))
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			resp := w.Result()
			resp.Request = r
			return resp, nil
		})
		guard := requestreply.NewGuard(&requestreply.Options{Timeout: 5 * time.Second, TryTimeout: 4 * time.Second, Retry: retry.Policy{Base: -1}})
		e := requestreply.Endpoint[string, string]{
			URL: "http://stock.example", Idempotent: true, TellTime: true,
			Client: &http.Client{Transport: base}, Guard: guard,
		}
		v, err := e.Call(t.Context(), "x")
		require.NoError(t, err)
		require.Equal(t, "ok", v)
		require.Equal(t, []string{"4000", "1000"}, told)

		told = nil
		e.Guard, e.Client = nil, &http.Client{Transport: &requestreply.Transport{Base: base, Guard: guard}}
		_, err = e.Call(t.Context(), "x")
		require.NoError(t, err)
		require.Equal(t, []string{"4000", "1000"}, told, "the same, over a Transport")

		told = nil
		e.TellTime = false
		_, _ = e.Call(t.Context(), "x")
		require.Equal(t, []string{"", ""}, told, "nobody is told who is not to be")

		told, hangs = nil, false
		tr := &requestreply.Transport{Base: base, Guard: guard, TimeHosts: []string{"stock.example"}}
		for _, url := range []string{"http://stock.example/a", "http://stock.example:8080/b", "http://elsewhere.example"} {
			resp, err := (&http.Client{Transport: tr}).Get(url)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
		}
		require.Equal(t, []string{"4000", "4000", ""}, told)
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// The time a caller says it waits shortens ours or is refused: it never makes it
// longer, whatever it says.
func FuzzTimeLeft(f *testing.F) {
	for _, s := range []string{"0", "1000", "9999999999", "99999999999", "-1", "+1", "1e3", " 1", "0x10", "1_0", ""} {
		f.Add(s)
	}
	const limit = time.Hour
	f.Fuzz(func(t *testing.T, given string) {
		called := false
		h := server.Handle(func(ctx context.Context, _ struct{}) (struct{}, error) {
			called = true
			end, ok := ctx.Deadline()
			ms, err := strconv.ParseInt(given, 10, 64)
			if !ok || time.Until(end) > limit || err != nil || ms < 0 || time.Until(end) > time.Duration(ms)*time.Millisecond {
				t.Errorf("%q gave %v", given, time.Until(end))
			}
			return struct{}{}, nil
		}, &server.Options{Timeout: limit})
		r := httptest.NewRequest("POST", "/", strings.NewReader("{}"))
		r.Header.Set("Content-Type", "application/json")
		r.Header[left] = []string{given}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		switch {
		case called && w.Code == 204, !called && w.Code == 400, !called && w.Code == 503:
		default:
			t.Fatalf("%d for %q", w.Code, given)
		}
	})
}

package server_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/requestreply/server"
	"github.com/crosstie/crosstie/retry"
)

var errBoom = errors.New("the password is hunter2")

// ask sends one request to h and returns the answer.
func ask(h http.Handler, method, path, key, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// problem decodes the problem of w.
func problem(t *testing.T, w *httptest.ResponseRecorder) requestreply.Problem {
	t.Helper()
	require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"), "%d %s", w.Code, w.Body)
	var p requestreply.Problem
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &p))
	require.Equal(t, w.Code, p.Status)
	require.NotContains(t, w.Body.String(), "hunter2")
	return p
}

type nested struct {
	Order
	Lines []Order          `json:"lines"`
	By    map[string]Order `json:"by"`
	At    time.Time        `json:"at"`
	Note  *string          `json:"note"`
	Any   any              `json:"any"`
	Skip  string           `json:"-"`
	Plain string
}

func TestDecoding(t *testing.T) {
	strict := server.Handle(func(_ context.Context, n nested) (nested, error) { return n, nil }, nil)
	loose := server.Handle(func(_ context.Context, n nested) (nested, error) { return n, nil }, &server.Options{AllowUnknown: true})
	deep := func(n int) string { return `{"any":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}` }
	for _, c := range []struct {
		name, body string
		at, what   string // of the field at fault; "" is a fault without one, "ok" is none
		loose      bool   // whether AllowUnknown takes it
	}{
		{"all of it", `{"sku":"a","qty":1,"lines":[{"sku":"b"}],"by":{"A":{"qty":1},"a":{"qty":2}},"at":"2026-11-23T00:00:00Z","note":null,"any":{"x":[1,{"X":2,"x":3}]},"Plain":"p"}`, "ok", "", true},
		{"another type", `{"qty":"hunter2"}`, "/qty", "want an integer", false},
		{"too large a number", `{"qty":99999999999999999999}`, "/qty", "want an integer", false},
		{"in a list", `{"lines":[{"sku":"a"},{"sku":["hunter2"]}]}`, "/lines/1/sku", "want a string", false},
		{"a list for a string", `{"sku": [1,2]}`, "/sku", "want a string", false},
		{"an object for a list", `{"any":1,"lines":{"a":1}}`, "/lines", "want an array", false},
		{"a string for all", `"hunter2"`, "", "", false},
		{"an unknown name", `{"lines":[{"sku":"a"},{"hunter":2}]}`, "/lines/1/hunter", "not known", true},
		{"a name left out", `{"Skip":"hunter2"}`, "/Skip", "not known", true},
		{"a name twice", `{"sku":"a","qty":1,"sku":"hunter2"}`, "/sku", "twice", false},
		{"a name twice in a map", `{"by":{"a":{},"a":{}}}`, "/by/a", "twice", false},
		{"a name twice where anything goes", `{"any":{"a":1,"a":2}}`, "/any/a", "twice", false},
		{"another case", `{"SKU":"a"}`, "/SKU", "differs in case", false},
		{"another case by unicode", `{"ſku":"a"}`, "/ſku", "differs in case", false},
		{"a name with a slash", `{"a/b~c":1}`, "/a~1b~0c", "not known", true},
		{"deep enough", deep(63), "ok", "", true},
		{"too deep", deep(65), "/any" + strings.Repeat("/0", 64), "nested", false},
		{"far too deep", deep(100_000), "/any" + strings.Repeat("/0", 64), "nested", false},
		{"trailing data", `{"sku":"a"} {}`, "", "", false},
		{"cut", `{"sku":"a"`, "", "", false},
		{"nothing", ``, "", "", false},
		{"no JSON", `sku=a`, "", "", false},
		{"no UTF-8 in a text", "{\"sku\":\"\xff\"}", "", "", false},
		{"names that differ in case alone", `{"any":{"Id":1,"id":2}}`, "ok", "", true},
		{"a bad time", `{"at":"hunter2"}`, "", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			for i, takes := range []bool{c.at == "ok", c.loose} {
				w := ask([]http.Handler{strict, loose}[i], "POST", "/", "", c.body)
				if takes {
					require.Equal(t, 200, w.Code, w.Body)
					continue
				}
				require.Equal(t, 400, w.Code)
				p := problem(t, w)
				if c.at != "" {
					require.Contains(t, p.Fields[c.at], c.what, "%v", p.Fields)
				}
			}
		})
	}
}

func TestHandle(t *testing.T) {
	h := server.Handle(func(_ context.Context, o Order) (Order, error) { return o, nil }, &server.Options{MaxBody: 40})
	t.Run("answers", func(t *testing.T) {
		w := ask(h, "POST", "/", "", `{"sku":"a","qty":2}`)
		require.Equal(t, 200, w.Code)
		require.JSONEq(t, `{"sku":"a","qty":2}`, w.Body.String())
		require.Equal(t, "application/json", w.Header().Get("Content-Type"))
	})
	t.Run("a body at the limit, and over it", func(t *testing.T) {
		fits := `{"sku":"` + strings.Repeat("x", 40-len(`{"sku":""}`)) + `"}`
		require.Equal(t, 200, ask(h, "POST", "/", "", fits).Code)
		require.Equal(t, 413, ask(h, "POST", "/", "", fits+" ").Code)
	})
	t.Run("content types", func(t *testing.T) {
		for ct, code := range map[string]int{
			"application/json": 200, "application/json; charset=utf-8": 200, "Application/JSON": 200,
			"application/json; charset=latin1": 415, "text/plain": 415, "": 415, ";": 415, "application/x-www-form-urlencoded": 415,
		} {
			require.Equal(t, code, ask(h, "POST", "/", "", `{}`, "Content-Type", ct).Code, ct)
		}
		require.Equal(t, 415, ask(h, "POST", "/", "", `{}`, "Content-Encoding", "gzip").Code)
	})
	t.Run("no answer is 204, no request needs no body", func(t *testing.T) {
		none := server.Handle(func(context.Context, struct{}) (struct{}, error) { return struct{}{}, nil }, nil)
		require.Equal(t, 204, ask(none, "POST", "/", "", "", "Content-Type", "").Code)
		require.Equal(t, 204, ask(none, "POST", "/", "", "{}").Code)
	})
	t.Run("GET has no body and finds its request", func(t *testing.T) {
		mux := http.NewServeMux()
		mux.Handle("GET /stock/{sku}", server.Handle(func(ctx context.Context, o Order) (string, error) {
			r := server.Request(ctx)
			return r.PathValue("sku") + r.URL.Query().Get("q"), nil
		}, nil))
		require.Equal(t, `"a1"`, ask(mux, "GET", "/stock/a?q=1", "", "ignored").Body.String())
		require.Nil(t, server.Request(t.Context()))
	})
	t.Run("an answer that does not marshal took effect", func(t *testing.T) {
		bad := server.Handle(func(context.Context, struct{}) (any, error) { return func() {}, nil }, nil)
		w := ask(bad, "POST", "/", "", "")
		require.Equal(t, 500, w.Code)
		require.Equal(t, "applied", problem(t, w).Known)
	})
}

func TestErrorsAreAnswered(t *testing.T) {
	for _, c := range []struct {
		name         string
		err          error
		code, codeTx int
		known        string
		knownTx      string
		again        string
	}{
		{"an error that says nothing", errBoom, 500, 500, "unknown", "refused", ""},
		{"a problem", &requestreply.Problem{Status: 409, Title: "Out of stock"}, 409, 409, "", "", ""},
		{"a problem wrapped", fmt.Errorf("x: %w", &requestreply.Problem{Status: 503}), 503, 503, "", "refused", ""},
		{"a problem without a status", &requestreply.Problem{Title: "x"}, 500, 500, "", "refused", ""},
		{"nothing done, will pass", outcome.TransientError(outcome.NotSent, true, errBoom), 503, 503, "refused", "refused", "1"},
		{"nothing done, come back", retry.After(7*time.Second, outcome.TransientError(outcome.Refused, true, errBoom)), 503, 503, "refused", "refused", "7"},
		{"nothing done, for good", outcome.TransientError(outcome.Refused, false, errBoom), 500, 500, "refused", "refused", ""},
		{"another system may have done it", outcome.TransientError(outcome.Unknown, true, errBoom), 500, 500, "unknown", "unknown", ""},
		{"out of time", context.DeadlineExceeded, 504, 504, "unknown", "refused", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := ask(server.Handle(func(context.Context, struct{}) (struct{}, error) { return struct{}{}, c.err }, nil), "POST", "/", "", "")
			require.Equal(t, c.code, w.Code)
			require.Equal(t, c.known, problem(t, w).Known)
			require.Equal(t, c.again, w.Header().Get("Retry-After"))

			w = ask(server.HandleTx(server.NewMemKeys(), func(context.Context, *sql.Tx, struct{}) (struct{}, error) { return struct{}{}, c.err }, nil), "POST", "/", "k", "")
			require.Equal(t, c.codeTx, w.Code)
			require.Equal(t, c.knownTx, problem(t, w).Known, "it was rolled back")
			require.Equal(t, c.again, w.Header().Get("Retry-After"))
		})
	}
}

func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for o, want := range map[*server.Options]time.Duration{nil: 30 * time.Second, {Timeout: time.Second}: time.Second} {
			start := time.Now()
			w := ask(server.Handle(func(ctx context.Context, _ struct{}) (struct{}, error) {
				<-ctx.Done()
				return struct{}{}, ctx.Err()
			}, o), "POST", "/", "", "")
			require.Equal(t, 504, w.Code)
			require.Equal(t, want, time.Since(start))
		}
	})
}

// counting is a HandleTx that counts its effects.
func counting(keys server.TxKeys, o *server.Options, fn func() error) (http.Handler, *int) {
	n := 0
	return server.HandleTx(keys, func(_ context.Context, _ *sql.Tx, o Order) (Receipt, error) {
		if fn != nil {
			if err := fn(); err != nil {
				return Receipt{}, err
			}
		}
		n++
		return Receipt{Reserved: n}, nil
	}, o), &n
}

func TestHandleTx(t *testing.T) {
	const body = `{"sku":"a","qty":1}`
	t.Run("a repeat is answered as the first", func(t *testing.T) {
		h, n := counting(server.NewMemKeys(), nil, nil)
		first := ask(h, "POST", "/r", "k", body)
		require.Equal(t, 200, first.Code)
		require.Empty(t, first.Header().Get("Idempotent-Replayed"))
		again := ask(h, "POST", "/r", `"k"`, body) // the quoted form of the draft
		require.Equal(t, "true", again.Header().Get("Idempotent-Replayed"))
		again.Header().Del("Idempotent-Replayed")
		require.Equal(t, first.Header(), again.Header())
		require.Equal(t, first.Body.String(), again.Body.String())
		require.Equal(t, 1, *n)
	})
	t.Run("the same key with another request is refused", func(t *testing.T) {
		h, n := counting(server.NewMemKeys(), nil, nil)
		ask(h, "POST", "/r?x=1", "k", body)
		require.Equal(t, 422, ask(h, "POST", "/r?x=1", "k", `{"sku":"b","qty":1}`).Code)
		require.Equal(t, 422, ask(h, "POST", "/r?x=2", "k", body).Code)
		require.Equal(t, 1, *n)
		require.Equal(t, 200, ask(h, "POST", "/r?x=1", "k2", body).Code)
		require.Equal(t, 200, ask(h, "PUT", "/r?x=1", "k", body).Code, "the method is part of the key")
		require.Equal(t, 200, ask(h, "POST", "/s?x=1", "k", body).Code, "and so is the route")
	})
	t.Run("the route is the pattern where there is one", func(t *testing.T) {
		h, _ := counting(server.NewMemKeys(), nil, nil)
		mux := http.NewServeMux()
		mux.Handle("POST /orders/{id}", h)
		require.Equal(t, 200, ask(mux, "POST", "/orders/1", "k", body).Code)
		require.Equal(t, 422, ask(mux, "POST", "/orders/2", "k", body).Code)
	})
	t.Run("scopes are apart", func(t *testing.T) {
		h, n := counting(server.NewMemKeys(), &server.Options{Scope: func(r *http.Request) string { return r.Header.Get("Tenant") }}, nil)
		a := ask(h, "POST", "/", "k", body, "Tenant", "a")
		b := ask(h, "POST", "/", "k", body, "Tenant", "b")
		require.NotEqual(t, a.Body.String(), b.Body.String(), "b is not given a's answer")
		require.Equal(t, 2, *n)
		require.Equal(t, 200, ask(h, "POST", "/", "k", `{"qty":9}`, "Tenant", "c").Code, "nor told that a used the key")
	})
	t.Run("keys", func(t *testing.T) {
		h, _ := counting(server.NewMemKeys(), nil, nil)
		for key, code := range map[string]int{
			"": 400, `""`: 400, `"a`: 400, `a"b`: 200, `"a"b"`: 400, `"a\"b"`: 422, `"a\\b"`: 200, `"a\b"`: 400, "ü": 400, "a\x01": 400,
			strings.Repeat("k", 255): 200, strings.Repeat("k", 256): 400, " spaced ": 200,
		} {
			if key == `"a\"b"` {
				require.Equal(t, 200, ask(h, "POST", "/", `a"b`, body).Code)
				require.Equal(t, 422, ask(h, "POST", "/", key, `{}`).Code, "the two forms are one key")
				continue
			}
			if key == `a"b` {
				continue
			}
			require.Equal(t, code, ask(h, "POST", "/", key, body).Code, "%q", key)
		}
		r := httptest.NewRequest("POST", "/", strings.NewReader(body))
		r.Header = http.Header{"Content-Type": {"application/json"}, "Idempotency-Key": {"a", "b"}}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		require.Equal(t, 400, w.Code, "two keys are none")
	})
	t.Run("a key may be optional", func(t *testing.T) {
		h, n := counting(server.NewMemKeys(), &server.Options{KeyOptional: true}, nil)
		for range 2 {
			require.Equal(t, 200, ask(h, "POST", "/", "", body).Code)
		}
		require.Equal(t, 2, *n)
	})
	t.Run("a failure is not stored", func(t *testing.T) {
		var err error = &requestreply.Problem{Status: 409}
		h, n := counting(server.NewMemKeys(), nil, func() error { return err })
		require.Equal(t, 409, ask(h, "POST", "/", "k", body).Code)
		require.Equal(t, 400, ask(h, "POST", "/", "k", `{"qty":`).Code, "nor is a request that does not decode")
		err = nil
		require.Equal(t, 200, ask(h, "POST", "/", "k", body).Code)
		require.Equal(t, 1, *n)
	})
	t.Run("a panic releases the key", func(t *testing.T) {
		panics := true
		h, n := counting(server.NewMemKeys(), nil, func() error {
			if panics {
				panic("boom")
			}
			return nil
		})
		require.PanicsWithValue(t, "boom", func() { ask(h, "POST", "/", "k", body) })
		panics = false
		require.Equal(t, 200, ask(h, "POST", "/", "k", body).Code)
		require.Equal(t, 1, *n)
	})
	t.Run("an answer too large is not kept", func(t *testing.T) {
		h, n := counting(server.NewMemKeys(), &server.Options{MaxReply: 5}, nil)
		first := ask(h, "POST", "/", "k", body)
		require.Equal(t, 200, first.Code)
		require.Equal(t, `{"reserved":1}`, first.Body.String())
		again := ask(h, "POST", "/", "k", body)
		require.Equal(t, 409, again.Code)
		require.Equal(t, "applied", problem(t, again).Known)
		require.Equal(t, 1, *n)
	})
	t.Run("panics at construction", func(t *testing.T) {
		require.Panics(t, func() { counting(nil, nil, nil) })
		require.Panics(t, func() { server.HandleTx[Order, Order](server.NewMemKeys(), nil, nil) })
		require.Panics(t, func() { server.Handle[Order, Order](nil, nil) })
	})
}

func TestInFlight(t *testing.T) {
	const body = `{"sku":"a","qty":1}`
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		h, n := counting(server.NewMemKeys(), nil, func() error { <-free; return nil })
		var wg sync.WaitGroup
		wg.Go(func() { require.Equal(t, 200, ask(h, "POST", "/", "k", body).Code) })
		synctest.Wait()
		for range 4 { // the heartbeat keeps the key past its lease of 10 s
			w := ask(h, "POST", "/", "k", body)
			require.Equal(t, 409, w.Code)
			require.Equal(t, "1", w.Header().Get("Retry-After"))
			require.Equal(t, "unknown", problem(t, w).Known, "the first may yet have its effect")
			require.Equal(t, 422, ask(h, "POST", "/", "k", `{}`).Code)
			time.Sleep(7 * time.Second)
		}
		close(free)
		wg.Wait()
		require.Equal(t, 200, ask(h, "POST", "/", "k", body).Code)
		require.Equal(t, 1, *n)
	})
}

// An owner that lost its lease, for it was paused or could not renew, cannot
// commit: its successor answers.
func TestZombieIsFenced(t *testing.T) {
	const body = `{"sku":"a","qty":1}`
	synctest.Test(t, func(t *testing.T) {
		keys := &unreachable{TxKeys: server.NewMemKeys()}
		free := make(chan struct{})
		first := true
		h, n := counting(keys, &server.Options{Timeout: time.Hour}, func() error {
			if first {
				first = false
				<-free
			}
			return nil
		})
		var wg sync.WaitGroup
		var zombie *httptest.ResponseRecorder
		wg.Go(func() { zombie = ask(h, "POST", "/", "k", body) })
		synctest.Wait()
		keys.down.Store(true) // renewing fails from now on
		time.Sleep(10*time.Second + 1)
		second := ask(h, "POST", "/", "k", body)
		require.Equal(t, 200, second.Code)
		close(free)
		wg.Wait()
		require.Equal(t, 409, zombie.Code)
		require.Equal(t, "unknown", problem(t, zombie).Known)
		require.Equal(t, second.Body.String(), ask(h, "POST", "/", "k", body).Body.String())
		require.Equal(t, 2, *n, "in memory what the zombie did stays: a database rolls it back")
	})
}

// unreachable keys cannot be renewed while they are down. tx, unless nil, comes
// before each transaction, and its error instead of it.
type unreachable struct {
	server.TxKeys
	down atomic.Bool
	tx   func(context.Context) error
}

func (u *unreachable) Tx(ctx context.Context, fn func(context.Context, *sql.Tx) error) error {
	if u.tx != nil {
		return u.tx(ctx)
	}
	return u.TxKeys.Tx(ctx, fn)
}

func (u *unreachable) Renew(ctx context.Context, c server.Claim, d time.Duration) error {
	if u.down.Load() {
		return errBoom
	}
	return u.TxKeys.Renew(ctx, c, d)
}

// The store fails at every step in turn: whatever is answered is true, and a
// repeat under the same key ends with one effect.
func TestStoreFaults(t *testing.T) {
	const body = `{"sku":"a","qty":1}`
	for _, c := range []struct {
		step  string
		after bool // it did what it was asked, and says that it failed
		code  int
		known string
	}{
		{"Claim", false, 503, "unknown"},
		{"Tx", false, 500, "unknown"},
		{"Tx", true, 500, "unknown"},
		{"FinishTx", false, 500, "refused"},
	} {
		t.Run(fmt.Sprintf("%s after=%v", c.step, c.after), func(t *testing.T) {
			keys := &faulty{TxKeys: server.NewMemKeys(), step: c.step, after: c.after}
			h, _ := counting(keys, nil, nil)
			w := ask(h, "POST", "/", "k", body)
			require.Equal(t, c.code, w.Code)
			require.Equal(t, c.known, problem(t, w).Known)
			keys.step = ""
			w = ask(h, "POST", "/", "k", body)
			require.Equal(t, 200, w.Code, w.Body)
			require.Equal(t, c.after, w.Header().Get("Idempotent-Replayed") == "true")
		})
	}
	t.Run("Release", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			keys := &faulty{TxKeys: server.NewMemKeys(), step: "Release"}
			fail := errBoom
			h, _ := counting(keys, nil, func() error { return fail })
			require.Equal(t, 500, ask(h, "POST", "/", "k", body).Code)
			fail = nil
			require.Equal(t, 409, ask(h, "POST", "/", "k", body).Code, "until the lease runs out")
			time.Sleep(10*time.Second + 1)
			require.Equal(t, 200, ask(h, "POST", "/", "k", body).Code)
		})
	})
}

type faulty struct {
	server.TxKeys
	step  string
	after bool
}

func (f *faulty) Claim(ctx context.Context, key string, request [32]byte, lease, keep time.Duration) (server.Claim, error) {
	if f.step == "Claim" {
		return server.Claim{}, errBoom
	}
	return f.TxKeys.Claim(ctx, key, request, lease, keep)
}

func (f *faulty) Tx(ctx context.Context, fn func(context.Context, *sql.Tx) error) error {
	if f.step != "Tx" {
		return f.TxKeys.Tx(ctx, fn)
	}
	if f.after {
		_ = f.TxKeys.Tx(ctx, fn)
	}
	return errBoom
}

func (f *faulty) FinishTx(ctx context.Context, tx *sql.Tx, c server.Claim, r server.Reply) error {
	if f.step == "FinishTx" {
		return errBoom
	}
	return f.TxKeys.FinishTx(ctx, tx, c, r)
}

func (f *faulty) Release(ctx context.Context, c server.Claim) error {
	if f.step == "Release" {
		return errBoom
	}
	return f.TxKeys.Release(ctx, c)
}

func TestKeysAreKeptForADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, n := counting(server.NewMemKeys(), nil, nil)
		ask(h, "POST", "/", "k", `{}`)
		time.Sleep(24*time.Hour - 1)
		ask(h, "POST", "/", "k", `{}`)
		require.Equal(t, 1, *n)
		time.Sleep(2 * time.Nanosecond)
		ask(h, "POST", "/", "k", `{}`)
		require.Equal(t, 2, *n)
	})
}

type observer struct{ seen []string }

func (o *observer) Start(ctx context.Context, op string, _ ...slogAttr) context.Context {
	o.seen = append(o.seen, "start "+op)
	return ctx
}

func (o *observer) End(_ context.Context, op string, err error, _ ...slogAttr) {
	o.seen = append(o.seen, fmt.Sprint("end ", op, " ", err != nil))
}

func TestObserver(t *testing.T) {
	o := &observer{}
	h := server.Handle(func(_ context.Context, o Order) (Order, error) {
		if o.Qty == 13 {
			panic("boom")
		}
		return o, nil
	}, &server.Options{Observer: o})
	ask(h, "POST", "/", "", `{}`)
	ask(h, "POST", "/", "", `{`)
	require.Panics(t, func() { ask(h, "POST", "/", "", `{"qty":13}`) })
	const op = "requestreply/server.request"
	require.Equal(t, []string{"start " + op, "end " + op + " false", "start " + op, "end " + op + " true", "start " + op, "end " + op + " true"}, o.seen)
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"sku":"a","qty":1,"lines":[{"sku":"b"}],"by":{"A":{"qty":1}},"any":{"x":[1]}}`))
	f.Add([]byte(`{"SKU":"a","\u0073ku":1}`))
	f.Add([]byte(`[[[[`))
	h := server.Handle(func(_ context.Context, n nested) (nested, error) { return n, nil }, nil)
	f.Fuzz(func(t *testing.T, data []byte) {
		w := ask(h, "POST", "/", "", string(data))
		switch w.Code {
		case 200:
			var strict nested
			d := json.NewDecoder(strings.NewReader(string(data)))
			d.DisallowUnknownFields()
			if err := d.Decode(&strict); err != nil {
				t.Fatalf("took %q: %v", data, err)
			}
			if _, err := d.Token(); err != io.EOF {
				t.Fatalf("took trailing data: %q", data)
			}
		case 400, 413:
		default:
			t.Fatalf("%d for %q", w.Code, data)
		}
	})
}

func FuzzKey(f *testing.F) {
	f.Add(`"a\"b"`)
	f.Add("k")
	f.Fuzz(func(t *testing.T, key string) {
		h, _ := counting(server.NewMemKeys(), nil, nil)
		if code := ask(h, "POST", "/", key, `{}`).Code; code != 200 && code != 400 {
			t.Fatalf("%d for %q", code, key)
		}
	})
}

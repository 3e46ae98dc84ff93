package requestreply_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/requestreply/server"
	"github.com/crosstie/crosstie/retry"
)

// Anti-pattern: repeat whatever failed. A POST whose answer was lost has had
// its effect; the loop makes it happen again and reports success.
func TestAntipatternBlindRepeat(t *testing.T) {
	naive := func(url string) error {
		var last error
		for range 3 {
			resp, err := http.Post(url, "application/json", strings.NewReader(`{"sku":"84879","qty":1}`))
			if err != nil {
				last = err
				continue
			}
			_ = resp.Body.Close()
			if resp.StatusCode < 500 {
				return nil
			}
			last = errors.New(resp.Status)
		}
		return last
	}

	// flaky applies each order and loses the answer of the first.
	flaky := func(t *testing.T, h http.Handler) string {
		var n atomic.Int64
		return serving(t, func(w http.ResponseWriter, r *http.Request) {
			if n.Add(1) > 1 {
				h.ServeHTTP(w, r)
				return
			}
			h.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		})
	}
	var orders atomic.Int64
	plain := server.Handle(func(_ context.Context, _ Order) (Receipt, error) {
		return Receipt{Number: int(orders.Add(1))}, nil
	}, nil)

	t.Run("the naive loop orders twice", func(t *testing.T) {
		orders.Store(0)
		require.NoError(t, naive(flaky(t, plain)))
		require.EqualValues(t, 2, orders.Load())
	})
	t.Run("ours orders once and says that it does not know", func(t *testing.T) {
		orders.Store(0)
		place := requestreply.Endpoint[Order, Receipt]{URL: flaky(t, plain)}
		_, err := place.Call(t.Context(), Order{"84879", 1})
		require.Equal(t, outcome.Unknown, outcome.Of(err))
		require.EqualValues(t, 1, orders.Load())
	})
	t.Run("with a key it orders once and gets its answer", func(t *testing.T) {
		orders.Store(0)
		keyed := server.HandleTx(server.NewMemKeys(), func(context.Context, *sql.Tx, Order) (Receipt, error) {
			return Receipt{Number: int(orders.Add(1))}, nil
		}, nil)
		place := requestreply.Endpoint[Order, Receipt]{URL: flaky(t, keyed), Keyed: true}
		receipt, err := place.Call(t.Context(), Order{"84879", 1})
		require.NoError(t, err)
		require.Equal(t, 1, receipt.Number)
		require.EqualValues(t, 1, orders.Load())
	})
}

// Anti-pattern: repeat on a fixed beat, whatever the other side asks and
// however little time is left. A server that asks for a minute's rest gets
// hundreds of calls in it, and callers wait past their deadline for an answer
// that cannot come.
func TestAntipatternHammering(t *testing.T) {
	naive := func(ctx context.Context, c *http.Client, url string) error {
		for range 600 {
			resp, err := c.Get(url)
			if err == nil && resp.StatusCode == 200 {
				return nil
			}
			<-time.After(100 * time.Millisecond) // and ctx is for others
		}
		return errors.New("gave up")
	}

	// overloaded asks for a minute's rest and counts who does not give it.
	overloaded := func(hits *int) http.RoundTripper {
		start := time.Now()
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			if time.Since(start) < time.Minute {
				*hits++
				return &http.Response{StatusCode: 503, Header: http.Header{"Retry-After": {"60"}}, Body: http.NoBody, Request: r}, nil
			}
			return &http.Response{StatusCode: 200, Body: http.NoBody, Request: r}, nil
		})
	}

	inBubble(t, "the naive loop hammers, and overstays its deadline", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		hits, start := 0, time.Now()
		_ = naive(ctx, &http.Client{Transport: overloaded(&hits)}, "http://stock.invalid")
		require.Greater(t, hits, 500)
		require.Greater(t, time.Since(start), 55*time.Second)
	})
	inBubble(t, "ours ends at once when it has no time to wait", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		hits, start := 0, time.Now()
		stock := requestreply.Endpoint[struct{}, struct{}]{Method: "GET", URL: "http://stock.invalid", Client: &http.Client{Transport: overloaded(&hits)}}
		_, err := stock.Call(ctx, struct{}{})
		require.Equal(t, 1, hits)
		require.Zero(t, time.Since(start))
		require.ErrorIs(t, err, retry.ErrLater)
		require.WithinDuration(t, start.Add(time.Minute), asError(t, err).At, time.Second, "it names the instant to come back at")
	})
	inBubble(t, "and waits as asked when it has", func(t *testing.T) {
		hits := 0
		stock := requestreply.Endpoint[struct{}, struct{}]{Method: "GET", URL: "http://stock.invalid",
			Client: &http.Client{Transport: overloaded(&hits)},
			Guard:  requestreply.NewGuard(&requestreply.Options{Timeout: 2 * time.Minute})}
		_, err := stock.Call(t.Context(), struct{}{})
		require.NoError(t, err)
		require.Equal(t, 1, hits)
	})
}

// Anti-pattern: no limits. One target that hangs takes every worker, and the
// work for healthy targets waits behind it.
func TestAntipatternOneSlowTargetStopsAll(t *testing.T) {
	const workers = 4
	// run serves jobs with a few workers and returns how many of the healthy
	// target's were done after a minute.
	run := func(t *testing.T, do func(ctx context.Context, target string) error) int {
		jobs := make(chan string, 200)
		for i := range 200 {
			jobs <- []string{"slow", "healthy"}[i%2]
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var done atomic.Int64
		var ended [workers]chan struct{}
		for i := range workers {
			ended[i] = make(chan struct{})
			go func() {
				defer close(ended[i])
				for ctx.Err() == nil {
					select {
					case target := <-jobs:
						if do(ctx, target) == nil && target == "healthy" {
							done.Add(1)
						}
					default:
						return
					}
				}
			}()
		}
		for _, c := range ended {
			<-c
		}
		return int(done.Load())
	}
	remote := func(ctx context.Context, target string) (int, error) {
		if target == "slow" {
			return hang(ctx)
		}
		return 1, nil
	}

	inBubble(t, "naive workers end up waiting for the slow one", func(t *testing.T) {
		n := run(t, func(ctx context.Context, target string) error { _, err := remote(ctx, target); return err })
		require.Less(t, n, 10)
	})
	inBubble(t, "ours go on", func(t *testing.T) {
		g := requestreply.NewGuard(&requestreply.Options{TryTimeout: time.Second, MaxInFlight: 2, MaxQueue: -1, Breaker: requestreply.Breaker{MinCalls: 2}})
		n := run(t, func(ctx context.Context, target string) error {
			_, err := requestreply.Run(ctx, g, requestreply.Op{Target: target}, func(ctx context.Context) (int, error) { return remote(ctx, target) })
			return err
		})
		require.Equal(t, 100, n)
	})
}

// Anti-pattern: write back what was read a while ago. Of two who do so at the
// same time the second undoes the first, and both are told that all is well.
func TestAntipatternLostUpdate(t *testing.T) {
	s := &stockroom{qty: 10, version: 1}
	url := serving(t, s.ServeHTTP)
	read := requestreply.Endpoint[struct{}, Order]{Method: "GET", URL: url}
	write := requestreply.Endpoint[Order, Order]{Method: "PUT", URL: url}
	// take reads, lets another take as well, and writes back one less.
	take := func(t *testing.T, between func(), conditional bool) error {
		r, err := read.Reply(t.Context(), struct{}{})
		require.NoError(t, err)
		between()
		w := write
		if conditional {
			w.IfMatch = r.ETag()
		}
		r.Value.Qty--
		_, err = w.Call(t.Context(), r.Value)
		return err
	}

	t.Run("naive: two are taken and one is missing", func(t *testing.T) {
		s.qty = 10
		err := take(t, func() { require.NoError(t, take(t, func() {}, false)) }, false)
		require.NoError(t, err)
		require.Equal(t, 9, s.qty)
	})
	t.Run("with IfMatch the second is told, and tries again", func(t *testing.T) {
		s.qty = 10
		err := take(t, func() { require.NoError(t, take(t, func() {}, true)) }, true)
		require.ErrorIs(t, err, requestreply.ErrPrecondition)
		require.True(t, outcome.NotApplied(err))
		require.NoError(t, take(t, func() {}, true))
		require.Equal(t, 8, s.qty)
	})
}

// A stockroom keeps one number and its version.
type stockroom struct{ qty, version int }

func (s *stockroom) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	tag := fmt.Sprintf(`"v%d"`, s.version)
	if r.Method == http.MethodPut {
		if c := r.Header.Get("If-Match"); c != "" && c != tag {
			w.WriteHeader(http.StatusPreconditionFailed)
			return
		}
		var o Order
		if json.NewDecoder(r.Body).Decode(&o) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		s.qty, s.version = o.Qty, s.version+1
		tag = fmt.Sprintf(`"v%d"`, s.version)
	}
	w.Header().Set("ETag", tag)
	fixed(200, "application/json", fmt.Sprintf(`{"sku":"84879","qty":%d}`, s.qty))(w, r)
}

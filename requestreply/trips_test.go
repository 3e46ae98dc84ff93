package requestreply_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/requestreply/coalesce"
)

func trip(ctx context.Context, target string) error {
	_, err := requestreply.Run(ctx, nil, requestreply.Op{Target: target, Idempotent: true}, func(context.Context) (int, error) { return 0, nil })
	return err
}

func TestTripsBudget(t *testing.T) {
	t.Run("only counts", func(t *testing.T) {
		ctx, trips := requestreply.WithTrips(t.Context(), nil)
		for range 30 {
			require.NoError(t, trip(ctx, "stock"))
		}
		require.NoError(t, trip(ctx, "prices"))
		require.NoError(t, trip(t.Context(), "stock")) // other work
		require.Equal(t, 31, trips.Made())
		require.Equal(t, []requestreply.Trip{{Target: "stock", Made: 30}, {Target: "prices", Made: 1}}, trips.Calls())
	})
	t.Run("warns once", func(t *testing.T) {
		var log bytes.Buffer
		ctx, trips := requestreply.WithTrips(t.Context(), &requestreply.TripsOptions{
			Name: "product page", Max: 2, Sites: true, Logger: slog.New(slog.NewTextHandler(&log, nil)),
		})
		for range 5 {
			require.NoError(t, trip(ctx, "stock"))
		}
		require.Equal(t, 5, trips.Made())
		require.Zero(t, trips.Refused())
		require.Equal(t, 1, strings.Count(log.String(), "level=WARN"))
		require.Contains(t, log.String(), `work="product page" max=2 target=stock site=`)
		require.Contains(t, log.String(), "trips_test.go:")
	})
	t.Run("refuses", func(t *testing.T) {
		ctx, trips := requestreply.WithTrips(t.Context(), &requestreply.TripsOptions{Name: "product page", Max: 2, Refuse: true})
		called := false
		for range 2 {
			require.NoError(t, trip(ctx, "stock"))
		}
		_, err := requestreply.Run(ctx, nil, requestreply.Op{Target: "stock", Idempotent: true}, func(context.Context) (int, error) {
			called = true
			return 0, nil
		})
		require.ErrorIs(t, err, requestreply.ErrTrips)
		require.ErrorContains(t, err, "product page has made 2 calls")
		require.Equal(t, outcome.NotSent, outcome.Of(err))
		require.False(t, called)
		require.Equal(t, []requestreply.Trip{{Target: "stock", Made: 2, Refused: 1}}, trips.Calls())
		require.ErrorIs(t, fmt.Errorf("page: %w", errors.Join(errors.New("other"), err)), requestreply.ErrTrips)
	})
	t.Run("a negative budget allows none", func(t *testing.T) {
		ctx, trips := requestreply.WithTrips(t.Context(), &requestreply.TripsOptions{Max: -1, Refuse: true})
		require.ErrorIs(t, trip(ctx, "stock"), requestreply.ErrTrips)
		require.Zero(t, trips.Made())
		require.Equal(t, 1, trips.Refused())
	})
	t.Run("as many as the budget, however many ask at once", func(t *testing.T) {
		outer, all := requestreply.WithTrips(t.Context(), nil)
		ctx, trips := requestreply.WithTrips(outer, &requestreply.TripsOptions{Max: 100, Refuse: true})
		var g sync.WaitGroup
		for range 8 {
			g.Go(func() {
				for range 50 {
					_ = trip(ctx, "stock")
				}
			})
		}
		g.Wait()
		require.Equal(t, 100, trips.Made())
		require.Equal(t, 300, trips.Refused())
		require.Equal(t, 100, all.Made())
		require.Equal(t, 300, all.Refused())
	})
	t.Run("work inside of work: what the outer refuses the inner has not made", func(t *testing.T) {
		outer, all := requestreply.WithTrips(t.Context(), &requestreply.TripsOptions{Max: 1, Refuse: true})
		ctx, trips := requestreply.WithTrips(outer, &requestreply.TripsOptions{Max: 5, Refuse: true})
		require.NoError(t, trip(ctx, "stock"))
		require.ErrorIs(t, trip(ctx, "stock"), requestreply.ErrTrips)
		require.Equal(t, []int{1, 1, 1, 1}, []int{trips.Made(), trips.Refused(), all.Made(), all.Refused()})
	})
}

// What is one trip, and what are two.
func TestTripsCounting(t *testing.T) {
	url := serving(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/moved" {
			http.Redirect(w, r, "/stock", http.StatusFound)
			return
		}
		fixed(200, "application/json", `{"number":7}`)(w, r)
	})
	client := &http.Client{Transport: &requestreply.Transport{}}
	get := func(ctx context.Context, url string) error {
		r, err := http.NewRequestWithContext(ctx, "GET", url, nil)
		require.NoError(t, err)
		resp, err := client.Do(r)
		if err == nil {
			err = resp.Body.Close()
		}
		return err
	}
	stock := requestreply.Endpoint[struct{}, Receipt]{Method: "GET", URL: url + "/stock"}
	for _, c := range []struct {
		name string
		want int
		do   func(context.Context) error
	}{
		{"an endpoint", 1, func(ctx context.Context) error { _, err := stock.Call(ctx, struct{}{}); return err }},
		{"an endpoint whose client has a Transport", 1, func(ctx context.Context) error {
			e := stock
			e.Client = client
			_, err := e.Call(ctx, struct{}{})
			return err
		}},
		{"a Transport", 1, func(ctx context.Context) error { return get(ctx, url+"/stock") }},
		{"a Transport on a Transport", 1, func(ctx context.Context) error {
			e := stock
			e.Client = &http.Client{Transport: &requestreply.Transport{Base: &requestreply.Transport{}}}
			_, err := e.Call(ctx, struct{}{})
			return err
		}},
		{"a redirect", 2, func(ctx context.Context) error { return get(ctx, url+"/moved") }},
		{"a Run around a Transport", 1, func(ctx context.Context) error {
			_, err := requestreply.Run(ctx, nil, requestreply.Op{}, func(ctx context.Context) (int, error) { return 0, get(ctx, url) })
			return err
		}},
		{"a Run around three calls", 3, func(ctx context.Context) error {
			_, err := requestreply.Run(ctx, nil, requestreply.Op{}, func(ctx context.Context) (int, error) {
				return 0, errors.Join(get(ctx, url), get(ctx, url), trip(ctx, "stock"))
			})
			return err
		}},
		{"work inside an attempt", 1, func(ctx context.Context) error {
			_, err := requestreply.Run(ctx, nil, requestreply.Op{}, func(ctx context.Context) (int, error) {
				ctx, inner := requestreply.WithTrips(ctx, nil)
				err := get(ctx, url)
				require.Equal(t, 1, inner.Made())
				return 0, err
			})
			return err
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, trips := requestreply.WithTrips(t.Context(), nil)
			require.NoError(t, c.do(ctx))
			require.Equal(t, c.want, trips.Made())
		})
	}
	bubble := func(t *testing.T) {
		ctx, trips := requestreply.WithTrips(t.Context(), nil)
		attempts := 0
		_, err := requestreply.Run(ctx, nil, requestreply.Op{Idempotent: true}, func(ctx context.Context) (int, error) {
			if attempts++; attempts < 3 {
				return 0, errors.Join(trip(ctx, "inside"), outcome.TransientError(outcome.Unknown, true, errors.New("busy")))
			}
			return 0, trip(ctx, "inside")
		})
		require.NoError(t, err)
		require.Equal(t, 3, attempts)
		require.Equal(t, 1, trips.Made())
	}
	t.Run("a call with repeats", func(t *testing.T) { synctest.Test(t, bubble) })
}

// The site is the line of the program, not of this package, also through an
// http.Client.
func TestTripsSites(t *testing.T) {
	url := serving(t, fixed(200, "application/json", `{"number":7}`))
	stock := requestreply.Endpoint[struct{}, Receipt]{Method: "GET", URL: url + "/stock"}
	client := &http.Client{Transport: &requestreply.Transport{}}
	ctx, trips := requestreply.WithTrips(t.Context(), &requestreply.TripsOptions{Sites: true})

	_, file, line, _ := runtime.Caller(0)
	_, err := stock.Call(ctx, struct{}{})
	require.NoError(t, err)
	r, _ := http.NewRequestWithContext(ctx, "GET", url, nil)
	resp, err := client.Do(r)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())

	sites := map[string]int{}
	for _, c := range trips.Calls() {
		sites[c.Site] = c.Made
	}
	require.Equal(t, map[string]int{fmt.Sprintf("%s:%d", file, line+1): 1, fmt.Sprintf("%s:%d", file, line+4): 1}, sites)
}

// A fetch that serves two pages is a call of each.
func TestTripsOfSharedCalls(t *testing.T) {
	run := func(name string, fn func(t *testing.T)) {
		t.Run(name, func(t *testing.T) { synctest.Test(t, fn) })
	}
	prices := func() *coalesce.Batcher[int, int] {
		return coalesce.NewBatcher(func(ctx context.Context, keys []int) (map[int]int, error) {
			found := map[int]int{}
			for _, k := range keys {
				found[k] = k
			}
			return found, trip(ctx, "prices")
		}, nil)
	}
	run("26 loads of a page are one call", func(t *testing.T) {
		b := prices()
		request, all := requestreply.WithTrips(t.Context(), nil)
		one, first := requestreply.WithTrips(request, &requestreply.TripsOptions{Max: 1, Refuse: true})
		two, second := requestreply.WithTrips(request, nil)
		var g sync.WaitGroup
		for k := range 26 {
			for _, ctx := range []context.Context{one, two, t.Context()} {
				g.Go(func() {
					_, err := b.Load(ctx, k)
					require.NoError(t, err)
				})
			}
		}
		g.Wait()
		require.Equal(t, []int{1, 1, 1}, []int{first.Made(), second.Made(), all.Made()})

		_, err := b.Load(one, 1)
		require.ErrorIs(t, err, requestreply.ErrTrips)
		_, err = b.LoadAll(one, []int{1, 2})
		require.ErrorIs(t, err, requestreply.ErrTrips)
		require.Equal(t, outcome.NotSent, outcome.Of(err))
		require.Equal(t, []int{1, 2}, []int{first.Made(), first.Refused()})
		_, err = b.Load(two, 1)
		require.NoError(t, err)
	})
	run("one page over its budget takes nothing from another", func(t *testing.T) {
		b := prices()
		one, first := requestreply.WithTrips(t.Context(), &requestreply.TripsOptions{Max: 1, Refuse: true})
		two, second := requestreply.WithTrips(t.Context(), nil)
		var g sync.WaitGroup
		for _, ctx := range []context.Context{one, two} {
			g.Go(func() {
				_, err := b.Load(ctx, 1)
				require.NoError(t, err)
			})
		}
		synctest.Wait()
		require.NoError(t, trip(one, "elsewhere")) // while the batch waits
		g.Wait()
		require.Equal(t, []int{2, 1}, []int{first.Made(), second.Made()})
	})
	run("Shared: who joins pays from then on", func(t *testing.T) {
		s := coalesce.NewShared(func(ctx context.Context, _ int) (int, error) {
			err := trip(ctx, "a")
			time.Sleep(time.Second)
			return 0, errors.Join(err, trip(ctx, "b"))
		}, nil)
		one, first := requestreply.WithTrips(t.Context(), nil)
		two, second := requestreply.WithTrips(t.Context(), nil)
		var g sync.WaitGroup
		g.Go(func() { _, err := s.Do(one, 1); require.NoError(t, err) })
		synctest.Wait()
		g.Go(func() { _, err := s.Do(two, 1); require.NoError(t, err) })
		g.Wait()
		require.Equal(t, []int{2, 1}, []int{first.Made(), second.Made()})
		require.Equal(t, []requestreply.Trip{{Target: "b", Made: 1}}, second.Calls())
	})
}

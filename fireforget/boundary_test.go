package fireforget_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/fireforget"
	"github.com/crosstie/crosstie/inbox"
	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/webhook"
)

// A fault is injected at one boundary: a call of the store, or a request.
type fault int

const (
	failBefore fault = iota // the call fails and had no effect
	failAfter               // it takes effect, and its answer is lost
	hang                    // it has no effect and lasts until its context ends
	failOn                  // it and all after it fail, until the restart
)

var errInjected = errors.New("injected")

// An injector counts boundaries and spoils the one asked for.
type injector struct {
	mu    sync.Mutex
	mode  fault
	left  int
	fired bool
	off   bool
}

// at reports what happens at this boundary.
func (in *injector) at() (before, after, hangs bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.off {
		return false, false, false
	}
	in.left--
	if in.left > 0 || in.fired && in.mode != failOn {
		return false, false, false
	}
	in.fired = true
	return in.mode == failBefore || in.mode == failOn, in.mode == failAfter, in.mode == hang
}

func (in *injector) disarm() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.off = true
	return in.fired
}

func through[T any](ctx context.Context, in *injector, call func() (T, error)) (T, error) {
	var zero T
	before, after, hangs := in.at()
	if hangs {
		<-ctx.Done()
		return zero, ctx.Err()
	}
	if before {
		return zero, errInjected
	}
	v, err := call()
	if after {
		return zero, errInjected
	}
	return v, err
}

type spoiled struct {
	fireforget.Store
	in *injector
}

func (s spoiled) Add(ctx context.Context, es []fireforget.Entry, max int64) error {
	_, err := through(ctx, s.in, func() (int, error) { return 0, s.Store.Add(ctx, es, max) })
	return err
}

func (s spoiled) Claim(ctx context.Context, c fireforget.Claim) ([]fireforget.Entry, error) {
	return through(ctx, s.in, func() ([]fireforget.Entry, error) { return s.Store.Claim(ctx, c) })
}

func (s spoiled) Settle(ctx context.Context, rs []fireforget.Result) ([]int, error) {
	return through(ctx, s.in, func() ([]int, error) { return s.Store.Settle(ctx, rs) })
}

// A world is a store, a receiver with an inbox, and the way between them.
type world struct {
	store   fireforget.Store
	key     webhook.Secret
	in      *injector
	handler http.Handler
	mu      sync.Mutex // guards effects
	effects map[string][]string
}

func newWorld(t *testing.T, mode fault, n int) *world {
	w := &world{store: fireforget.NewMem(), key: secret(t, "a"), in: &injector{mode: mode, left: n}, effects: map[string][]string{}}
	w.handler = fireforget.NewReceiver(webhook.Verifier{Secrets: []webhook.Secret{w.key}}, inbox.New("in", inbox.NewMem(), nil),
		func(_ context.Context, _ *sql.Tx, m webhook.Message) error {
			key := m.ID[:len(m.ID)-1]
			w.mu.Lock()
			defer w.mu.Unlock()
			w.effects[key] = append(w.effects[key], m.ID)
			return nil
		}, nil)
	return w
}

// RoundTrip is the network.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	return through(r.Context(), w.in, func() (*http.Response, error) {
		rec := httptest.NewRecorder()
		w.handler.ServeHTTP(rec, r)
		return rec.Result(), nil
	})
}

func (w *world) relay() *fireforget.Relay {
	r := fireforget.NewRelay(spoiled{w.store, w.in}, &fireforget.RelayOptions{Lease: 3 * time.Second, Drain: time.Second})
	r.Handle("dest", fireforget.Webhook("https://receiver.example/", w.key, &fireforget.WebhookOptions{Client: &http.Client{Transport: w}, Timeout: 2 * time.Second}),
		&fireforget.RouteOptions{Concurrency: 1, Schedule: slices.Repeat([]time.Duration{time.Second}, 50)})
	return r
}

// TestBoundaries spoils every call of the store and every request, one at a
// time and in each way, restarts, and checks what must hold whatever happens.
func TestBoundaries(t *testing.T) {
	for mode, name := range []string{"fails before", "fails after taking effect", "hangs", "fails from here on"} {
		t.Run(name, func(t *testing.T) {
			n := 1
			for ; ; n++ {
				fired := false
				synctest.Test(t, func(t *testing.T) { fired = boundary(t, fault(mode), n) })
				if !fired {
					break
				}
				require.Less(t, n, 500)
			}
			t.Logf("%d boundaries", n-1)
			require.Greater(t, n, 15)
		})
	}
}

func boundary(t *testing.T, mode fault, n int) (fired bool) {
	w := newWorld(t, mode, n)
	stop := start(t, w.relay())
	box := fireforget.NewOutbox(spoiled{w.store, w.in}, nil)
	acked := map[string][]string{}
	for i := range 4 {
		for _, key := range []string{"a", "b", ""} {
			id := fmt.Sprintf("%s%d", "id-"+key, i)
			// A sender that gives up is told why, and may not assume that
			// nothing happened; one that goes on uses the same ID.
			for range 3 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				_, err := box.Send(ctx, fireforget.Message{ID: id, To: "dest", Key: key, Payload: id})
				cancel()
				if err == nil {
					acked["id-"+key] = append(acked["id-"+key], id)
					break
				}
				require.NotEqual(t, outcome.Applied, outcome.Of(err))
				require.NotEqual(t, outcome.Refused, outcome.Of(err), "%v", err)
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	time.Sleep(2 * time.Second)
	fired = w.in.disarm()
	_ = stop() // it may have to say that results were not written

	stop = start(t, w.relay())
	time.Sleep(time.Minute)
	require.NoError(t, stop())
	for key, ids := range acked {
		effects := slices.Clone(w.effects[key])
		if key == "id-" {
			slices.Sort(effects)
		}
		for _, id := range ids {
			require.Contains(t, effects, id, "accepted and lost at boundary %d", n)
		}
		require.True(t, slices.IsSorted(effects), "out of order at boundary %d: %v", n, effects)
		require.Len(t, slices.Compact(effects), len(w.effects[key]), "effected twice at boundary %d: %v", n, effects)
	}
	require.Empty(t, dead(t, w.store, fireforget.Filter{}))
	require.Empty(t, claim(t, w.store, "dest"), "stuck at boundary %d", n)
	return fired
}

package fireforget_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/fireforget"
)

// follows: a claimer that is never heard of again is what a killed process
// leaves behind.
func follows(t *testing.T) {
	s := fireforget.NewMem()
	for i := range 100 {
		send(t, s, "dest", "", "x")
		send(t, s, "dest", fmt.Sprint(i), "x")
	}
	lease := 10 * time.Second
	es, err := s.Claim(t.Context(), fireforget.Claim{Owner: "killed", Lease: lease, Wants: []fireforget.Want{{To: "dest", Max: 1000}}})
	require.NoError(t, err)
	require.Len(t, es, 200)
	killed := time.Now()
	r := fireforget.NewRelay(s, nil)
	var j journal
	r.Handle("dest", &j, nil)
	stop := start(t, r)
	time.Sleep(2 * lease)
	require.NoError(t, stop())
	require.Len(t, j.all(), 200)
	require.Less(t, j.at[199].Sub(killed), 2*lease)
	require.GreaterOrEqual(t, j.at[0].Sub(killed), lease)
}

// asleep is a store that one relay cannot reach for a while: it is paused.
type asleep struct {
	fireforget.Store
	mu     sync.Mutex
	paused bool
	lost   int
	calls  int
}

var errAsleep = errors.New("not reachable")

func (a *asleep) set(paused bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.paused = paused
}

func (a *asleep) off() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls++
	return a.paused
}

func (a *asleep) Claim(ctx context.Context, c fireforget.Claim) ([]fireforget.Entry, error) {
	if a.off() {
		return nil, errAsleep
	}
	return a.Store.Claim(ctx, c)
}

func (a *asleep) Settle(ctx context.Context, rs []fireforget.Result) ([]int, error) {
	if a.off() {
		return nil, errAsleep
	}
	lost, err := a.Store.Settle(ctx, rs)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lost += len(lost)
	return lost, err
}

func fencesZombies(t *testing.T) {
	s := &asleep{Store: fireforget.NewMem()}
	zombie := fireforget.NewRelay(s, nil)
	var ended atomic.Pointer[error]
	began := make(chan struct{})
	zombie.Handle("dest", fireforget.DelivererFunc(func(ctx context.Context, it fireforget.Item) error {
		close(began)
		<-ctx.Done()
		cause := context.Cause(ctx)
		ended.Store(&cause)
		return nil // it landed, it says
	}), nil)
	send(t, s, "dest", "key", "x")
	stopZombie := start(t, zombie)
	<-began
	start0 := time.Now()
	s.set(true)

	r := fireforget.NewRelay(s.Store, nil)
	var j journal
	r.Handle("dest", &j, nil)
	stop := start(t, r)
	time.Sleep(9 * time.Second)
	require.ErrorIs(t, *ended.Load(), fireforget.ErrLost, "the holder stops before the store lets go")
	require.Empty(t, j.all())
	time.Sleep(10 * time.Second)
	require.Equal(t, []string{"x"}, j.all())
	require.Less(t, j.at[0].Sub(start0), 20*time.Second)
	s.set(false)
	time.Sleep(10 * time.Second)
	require.NoError(t, stopZombie())
	require.NoError(t, stop())
	require.Positive(t, s.lost, "what the zombie says is refused")
	require.Len(t, j.all(), 1)
}

func ridesOutStore(t *testing.T) {
	s := &asleep{Store: fireforget.NewMem()}
	r := fireforget.NewRelay(s, nil)
	var j journal
	r.Handle("dest", fireforget.DelivererFunc(func(ctx context.Context, it fireforget.Item) error {
		s.set(true) // the result cannot be written
		return j.Deliver(ctx, it)
	}), nil)
	send(t, s, "dest", "", "x")
	stop := start(t, r)
	time.Sleep(5 * time.Second)
	s.set(false)
	time.Sleep(time.Minute)
	require.Equal(t, []string{"x"}, j.all(), "written when the store was back, within the lease")
	s.set(true)
	send(t, s.Store, "dest", "", "y")
	time.Sleep(time.Hour)
	s.set(false)
	time.Sleep(10 * time.Second)
	s.set(true)
	err := stop()
	require.ErrorIs(t, err, errAsleep, "the last result could not be written")
	_, ok := errors.AsType[*fireforget.Error](err)
	require.True(t, ok)
}

func backsOff(t *testing.T) {
	s := &asleep{Store: fireforget.NewMem()}
	r := fireforget.NewRelay(s, nil)
	var j journal
	r.Handle("dest", &j, nil)
	s.set(true)
	stop := start(t, r)
	time.Sleep(time.Hour)
	s.mu.Lock()
	calls := s.calls
	s.mu.Unlock()
	require.Less(t, calls, 1000, "in an hour")
	send(t, s.Store, "dest", "", "x")
	s.set(false)
	time.Sleep(6 * time.Second)
	require.Len(t, j.all(), 1)
	require.NoError(t, stop())
}

// rescuesBesideLong: attempts that take minutes, with their leases extended
// all the while, do not stand in the way of what a dead relay left.
func rescuesBesideLong(t *testing.T) {
	s := fireforget.NewMem()
	r := fireforget.NewRelay(s, nil)
	var j journal
	r.Handle("dest", fireforget.DelivererFunc(func(ctx context.Context, it fireforget.Item) error {
		if string(it.Body) == "long" {
			time.Sleep(10 * time.Minute)
		}
		return j.Deliver(ctx, it)
	}), &fireforget.RouteOptions{Timeout: -1})
	for i := range 10 {
		send(t, s, "dest", fmt.Sprint("dead", i), "left")
		send(t, s, "dest", "", "left")
	}
	require.Len(t, claim(t, s, "dest"), 20) // for a minute
	for i := range 5 {
		send(t, s, "dest", fmt.Sprint("long", i), "long")
		send(t, s, "dest", "", "long")
	}
	stop := start(t, r)
	time.Sleep(61 * time.Second)
	require.Equal(t, slices.Repeat([]string{"left"}, 20), j.all())
	time.Sleep(10 * time.Minute)
	require.Len(t, j.all(), 30)
	require.NoError(t, stop())
}

func rescuesOnce(t *testing.T) {
	s := fireforget.NewMem()
	for i := range 50 {
		send(t, s, "dest", fmt.Sprint(i), "x")
		send(t, s, "dest", "", "x")
	}
	require.Len(t, claim(t, s, "dest"), 100)
	var j journal
	var stops []func() error
	for range 3 {
		r := fireforget.NewRelay(s, nil)
		r.Handle("dest", fireforget.DelivererFunc(func(ctx context.Context, it fireforget.Item) error {
			time.Sleep(30 * time.Second) // three times the lease
			return j.Deliver(ctx, it)
		}), &fireforget.RouteOptions{Concurrency: 100})
		stops = append(stops, start(t, r))
	}
	time.Sleep(5 * time.Minute)
	for _, stop := range stops {
		require.NoError(t, stop())
	}
	require.Len(t, j.all(), 100, "each attempted once")
}

// A nilError is what many return by mistake: an error that is a nil pointer.
type nilError struct{ text string }

func (e *nilError) Error() string { return e.text }

func survivesNilErrors(t *testing.T) {
	s := fireforget.NewMem()
	r := fireforget.NewRelay(s, nil)
	calls := 0
	r.Handle("dest", fireforget.DelivererFunc(func(context.Context, fireforget.Item) error {
		if calls++; calls == 1 {
			var e *nilError
			return e
		}
		return nil
	}), &fireforget.RouteOptions{Concurrency: 1})
	stop := start(t, r)
	send(t, s, "dest", "k", "1")
	time.Sleep(time.Hour)
	require.NoError(t, stop())
	require.Equal(t, 2, calls, "it counts as a failed attempt")
}

// A tally counts the deliveries that began and those that ended.
type tally struct{ starts, ends atomic.Int64 }

func (c *tally) Start(ctx context.Context, op string, _ ...slog.Attr) context.Context {
	if op == "deliver" {
		c.starts.Add(1)
	}
	return ctx
}

func (c *tally) End(_ context.Context, op string, _ error, _ ...slog.Attr) {
	if op == "deliver" {
		c.ends.Add(1)
	}
}

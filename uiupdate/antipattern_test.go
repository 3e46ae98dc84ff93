package uiupdate_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/uiupdate"
)

// Each test runs the documented anti-pattern as it is usually written, shows
// that it fails, and that the same situation does no harm here.

// A price list that changes, counts who asks, and can be down or slow.
type priceList struct {
	mu    sync.Mutex
	price float64
	down  bool
	slow  time.Duration
	calls int
}

func (p *priceList) load(ctx context.Context, _ string) (float64, error) {
	p.mu.Lock()
	p.calls++
	price, down, slow := p.price, p.down, p.slow
	p.mu.Unlock()
	if slow > 0 { // the answer was read, and is on its way
		select {
		case <-time.After(slow):
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	if down {
		return 0, errors.New("down")
	}
	return price, nil
}

func (p *priceList) set(price float64, down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.price, p.down = price, down
}

// ttlCache is a cache as it is usually written.
type ttlCache struct {
	mu   sync.Mutex
	ttl  time.Duration
	vals map[string]float64
	till map[string]time.Time
}

func newTTL(ttl time.Duration) *ttlCache {
	return &ttlCache{ttl: ttl, vals: map[string]float64{}, till: map[string]time.Time{}}
}

func (c *ttlCache) get(ctx context.Context, key string, load func(context.Context, string) (float64, error)) (float64, error) {
	c.mu.Lock()
	v, ok := c.vals[key]
	fresh := ok && time.Now().Before(c.till[key])
	c.mu.Unlock()
	if fresh {
		return v, nil
	}
	loaded, err := load(ctx, key)
	if err != nil && ok {
		return v, nil // "better than nothing"
	}
	if err != nil {
		return 0, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.vals[key], c.till[key] = loaded, time.Now().Add(c.ttl)
	return loaded, nil
}

func (c *ttlCache) invalidate(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.vals, key)
	delete(c.till, key)
}

// Caching too long: the price that is shown is an hour old, and nobody can
// see that.
func TestAntiPatternCacheTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list := &priceList{price: 10}
		naive := newTTL(15 * time.Minute)
		ours := uiupdate.NewFresh(list.load, &uiupdate.FreshOptions{MaxAge: 10 * time.Second, MaxStale: 5 * time.Minute})
		ask := func() (float64, uiupdate.Value[float64], error) {
			old, err := naive.get(t.Context(), "M-1042", list.load)
			require.NoError(t, err)
			v, err := ours.Load(t.Context(), "M-1042")
			return old, v, err
		}
		_, _, err := ask()
		require.NoError(t, err)

		list.set(20, false)
		time.Sleep(time.Minute)
		old, v, err := ask()
		require.NoError(t, err)
		require.InDelta(t, 10, old, 0, "a minute old, and given as the price")
		require.InDelta(t, 20, v.V, 0, "ours was loaded again")
		require.False(t, v.Stale)

		list.set(30, true)
		time.Sleep(time.Minute)
		_, v, err = ask()
		require.NoError(t, err)
		require.True(t, v.Stale, "ours says so")
		require.Equal(t, time.Minute, v.Age())

		time.Sleep(time.Hour)
		old, _, err = ask()
		require.InDelta(t, 10, old, 0, "an hour old, from a source that is down, and given as the price")
		require.ErrorIs(t, err, uiupdate.ErrTooStale, "ours refuses")
	})
}

// Cache-aside: who reads the source, and is slow to write what it read into
// the cache, writes the old value over the invalidation.
func TestAntiPatternCacheAsideRace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list := &priceList{price: 10, slow: time.Second}
		naive := newTTL(time.Hour)
		ours := uiupdate.NewFresh(list.load, &uiupdate.FreshOptions{MaxAge: time.Hour})
		go func() { _, _ = naive.get(t.Context(), "M-1042", list.load) }()
		go func() { _, _ = ours.Load(t.Context(), "M-1042") }()
		time.Sleep(500 * time.Millisecond) // both have read 10
		list.set(20, false)
		naive.invalidate("M-1042")
		ours.Invalidate("M-1042", time.Now())
		time.Sleep(time.Minute)

		old, err := naive.get(t.Context(), "M-1042", list.load)
		require.NoError(t, err)
		require.InDelta(t, 10, old, 0, "the old price came back, for an hour")
		v, err := ours.Load(t.Context(), "M-1042")
		require.NoError(t, err)
		require.InDelta(t, 20, v.V, 0)
	})
}

// Polling the page: a thousand calls for three changes, and still late.
func TestAntiPatternPollThePage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const every = 5 * time.Second
		view := uiupdate.NewView[string, int](nil)
		require.NoError(t, view.Set("M-1042", 0, time.Now()))
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		calls, polled := 0, 0
		var late time.Duration
		wg.Go(func() {
			tick := time.NewTicker(every)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				calls++
				if v, _ := view.Load("M-1042"); v.V != polled {
					polled, late = v.V, max(late, v.Age())
				}
			}
		})
		events := 0
		var pushed time.Duration
		wg.Go(func() {
			for e, err := range view.Watch(ctx, "") {
				if err == nil && e.Kind == uiupdate.Delta {
					events++
					pushed = max(pushed, time.Since(e.Changes[0].AsOf))
				}
			}
		})
		time.Sleep(time.Second)
		for i := range 3 {
			require.NoError(t, view.Set("M-1042", i+1, time.Now()))
			time.Sleep(30 * time.Minute)
		}
		stop()
		wg.Wait()
		require.Greater(t, calls, 1000, "for three changes")
		require.GreaterOrEqual(t, late, 4*time.Second, "and seconds late")
		require.Equal(t, 3, events)
		require.Zero(t, pushed)
	})
}

// A queue for each subscriber: one who does not read makes it grow without
// end.
func TestAntiPatternQueuePerSubscriber(t *testing.T) {
	type queue struct {
		changes []string
	}
	naive := &queue{}
	view := uiupdate.NewView[string, string](nil)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	blocked, read := make(chan struct{}), make(chan struct{})
	given := 0
	done := make(chan struct{})
	last := ""
	go func() {
		defer close(done)
		for e, err := range view.Watch(ctx, "") {
			if err != nil {
				return
			}
			if e.Kind == uiupdate.Live && given == 0 {
				close(blocked)
				<-read // takes nothing until all is over
			}
			for _, c := range e.Changes {
				given++
				if last = c.Value; c.Key == "end" {
					return
				}
			}
		}
	}()
	<-blocked
	const changes = 100_000
	for i := range changes {
		value := fmt.Sprint("value ", i)
		naive.changes = append(naive.changes, value)
		require.NoError(t, view.Set(fmt.Sprint("row ", i%10), value, noon))
	}
	require.NoError(t, view.Set("end", "the end", noon))
	close(read)
	<-done
	require.Len(t, naive.changes, changes, "all kept for one who does not read")
	require.LessOrEqual(t, given, 11, "the latest of each row")
	require.Equal(t, "the end", last)
}

// Dropping when the queue is full: what is dropped is the newest, so that the
// screen stays wrong when the burst is over.
func TestAntiPatternDropWhenFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		naive := make(chan int, 64)
		view := uiupdate.NewView[string, int](nil)
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		shown, ours := -1, -1
		wg.Go(func() {
			for v := range naive {
				time.Sleep(time.Millisecond) // draws
				shown = v
			}
		})
		wg.Go(func() {
			for e := range view.Watch(ctx, "") {
				for _, c := range e.Changes {
					time.Sleep(time.Millisecond)
					ours = c.Value
				}
			}
		})
		for i := range 1000 {
			select {
			case naive <- i:
			default: // full: dropped, with no word
			}
			require.NoError(t, view.Set("M-1042", i, time.Now()))
		}
		time.Sleep(time.Minute)
		close(naive)
		stop()
		wg.Wait()
		require.NotEqual(t, 999, shown, "the screen shows an old value for good")
		require.Equal(t, 999, ours)
	})
}

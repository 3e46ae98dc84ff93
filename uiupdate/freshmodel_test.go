package uiupdate_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/uiupdate"
)

// Whatever loads, events, faults and readers do, no answer is older than it
// may be, no answer that is not marked is older than MaxAge, and none is of
// before an invalidation that was over when it was asked for.
func TestFreshModel(t *testing.T) {
	for seed := range uint64(rounds(40)) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const maxAge, maxStale = 5 * time.Second, 20 * time.Second
				r := rand.New(rand.NewPCG(seed, 1))
				var mu sync.Mutex
				born := []time.Time{time.Now()} // of each value
				var fenced atomic.Int64         // the least value that may be answered
				val, down, took := 0, false, time.Duration(0)
				c := uiupdate.NewFresh(func(ctx context.Context, _ string) (int, error) {
					mu.Lock()
					v, d, k := val, down, took
					mu.Unlock()
					time.Sleep(k)
					if d {
						return 0, errDown
					}
					return v, nil
				}, &uiupdate.FreshOptions{MaxAge: maxAge, MaxStale: maxStale, Skew: -1, Size: 3})
				var wg sync.WaitGroup
				answers := 0
				for reader := range 4 {
					wg.Go(func() {
						rr := rand.New(rand.NewPCG(seed, uint64(reader)+2))
						for range 60 {
							time.Sleep(time.Duration(rr.IntN(2000)) * time.Millisecond)
							least, asked := fenced.Load(), time.Now()
							v, err := c.Load(t.Context(), "a")
							if err != nil {
								require.True(t, errors.Is(err, errDown) || errors.Is(err, uiupdate.ErrTooStale), err)
								continue
							}
							mu.Lock()
							answers++
							over := time.Time{} // when the value ceased to be true
							if v.V+1 < len(born) {
								over = born[v.V+1]
							}
							mu.Unlock()
							limit := maxAge
							if v.Stale {
								limit = maxStale
							}
							require.LessOrEqual(t, asked.Sub(v.AsOf), limit)
							require.True(t, over.IsZero() || !over.Before(v.AsOf), "said to be as of %s, but over at %s", v.AsOf, over)
							require.GreaterOrEqual(t, int64(v.V), least)
						}
					})
				}
				for range 200 {
					time.Sleep(time.Duration(r.IntN(1000)) * time.Millisecond)
					mu.Lock()
					down = r.IntN(4) == 0
					took = time.Duration(r.IntN(1500)) * time.Millisecond
					if r.IntN(2) == 0 {
						val++
						born = append(born, time.Now())
					}
					now, at := val, time.Now()
					mu.Unlock()
					switch r.IntN(6) {
					case 0:
						c.Put("a", now, at)
						fenced.Store(int64(now))
					case 1:
						c.Invalidate("a", at)
						fenced.Store(int64(now))
					case 2:
						_, _ = c.Load(t.Context(), fmt.Sprint(r.IntN(5)))
					}
				}
				wg.Wait()
				require.Greater(t, answers, 50)
			})
		})
	}
}

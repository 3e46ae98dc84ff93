package coalesce_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/singleflight"

	"github.com/crosstie/crosstie/requestreply/coalesce"
)

// Anti-pattern: the chatty page. 26 products, 26 calls one after another, each
// with the whole way there and back.
func TestAntipatternChattyPage(t *testing.T) {
	const there = 40 * time.Millisecond
	var calls atomic.Int64
	ask := func(_ context.Context, skus []string) (map[string]Price, error) {
		calls.Add(1)
		time.Sleep(there)
		found := map[string]Price{}
		for _, sku := range skus {
			found[sku] = Price{Cents: len(sku)}
		}
		return found, nil
	}
	skus := make([]string, 26)
	for i := range skus {
		skus[i] = fmt.Sprintf("sku-%02d", i)
	}

	t.Run("the naive page asks 26 times", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			calls.Store(0)
			began := time.Now()
			for _, sku := range skus {
				_, err := ask(t.Context(), []string{sku})
				require.NoError(t, err)
			}
			require.EqualValues(t, 26, calls.Load())
			require.Equal(t, 26*there, time.Since(began))
		})
	})
	t.Run("ours asks once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			calls.Store(0)
			began := time.Now()
			prices := coalesce.NewBatcher(ask, nil)
			var page sync.WaitGroup
			for _, sku := range skus {
				page.Go(func() {
					p, err := prices.Load(t.Context(), sku)
					require.NoError(t, err)
					require.Equal(t, 6, p.Cents)
				})
			}
			page.Wait()
			require.EqualValues(t, 1, calls.Load())
			require.Equal(t, there+2*time.Millisecond, time.Since(began))
		})
	})
}

// Anti-pattern: keep what came back, whatever it was. One bad moment of the
// other side then lasts until the program is restarted.
func TestAntipatternCachedError(t *testing.T) {
	calls := 0
	ask := func(_ context.Context, sku string) (Price, error) {
		if calls++; calls == 1 {
			return Price{}, errors.New("status 503")
		}
		return Price{Cents: 1275}, nil
	}

	t.Run("naive: an hour later it still fails", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			calls = 0
			remembered := map[string]func() (Price, error){}
			price := func(sku string) (Price, error) {
				if remembered[sku] == nil {
					remembered[sku] = sync.OnceValues(func() (Price, error) { return ask(t.Context(), sku) })
				}
				return remembered[sku]()
			}
			_, err := price("22423")
			require.Error(t, err)
			time.Sleep(time.Hour)
			_, err = price("22423")
			require.Error(t, err)
			require.Equal(t, 1, calls)
		})
	})
	t.Run("ours asks again", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			calls = 0
			shared := coalesce.NewShared(ask, nil)
			_, err := shared.Do(t.Context(), "22423")
			require.Error(t, err)
			p, err := shared.Do(t.Context(), "22423")
			require.NoError(t, err)
			require.Equal(t, 1275, p.Cents)
		})
	})
}

// Anti-pattern: share a call and with it the context of whoever came first.
// When he gives up, all fail (documented bug 21 of this class).
func TestAntipatternSharedCancellation(t *testing.T) {
	slow := func(ctx context.Context) (string, error) {
		select {
		case <-time.After(time.Second):
			return "answer", nil
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	// lead asks with a short deadline, and follow a moment later without one.
	lead := func(t *testing.T, do func(context.Context) (string, error)) (led, followed error) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		var both sync.WaitGroup
		both.Go(func() { _, led = do(ctx) })
		synctest.Wait()
		both.Go(func() { _, followed = do(t.Context()) })
		both.Wait()
		return led, followed
	}

	t.Run("naive: the follower fails with the leader's deadline", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var group singleflight.Group
			_, followed := lead(t, func(ctx context.Context) (string, error) {
				v, err, _ := group.Do("key", func() (any, error) { return slow(ctx) })
				text, _ := v.(string)
				return text, err
			})
			require.ErrorIs(t, followed, context.DeadlineExceeded)
		})
	})
	t.Run("Shared: he gives up alone", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			shared := coalesce.NewShared(func(ctx context.Context, _ string) (string, error) { return slow(ctx) }, nil)
			led, followed := lead(t, func(ctx context.Context) (string, error) { return shared.Do(ctx, "key") })
			require.ErrorIs(t, led, context.DeadlineExceeded)
			require.NoError(t, followed)
		})
	})
	t.Run("Batcher: he gives up alone", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := coalesce.NewBatcher(func(ctx context.Context, keys []string) (map[string]string, error) {
				v, err := slow(ctx)
				return map[string]string{"key": v}, err
			}, nil)
			led, followed := lead(t, func(ctx context.Context) (string, error) { return b.Load(ctx, "key") })
			require.ErrorIs(t, led, context.DeadlineExceeded)
			require.NoError(t, followed)
		})
	})
}

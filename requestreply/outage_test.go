package requestreply_test

import (
	"context"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/retry"
)

// outage returns how many attempts there were for a call. Clients that are
// warm have had a minute of success before.
func outage(t *testing.T, warm bool, b requestreply.Breaker, budget func() *retry.Budget) (during, ever float64) {
	const each, beat = 120, 500 * time.Millisecond
	clients := 200
	if os.Getenv("CROSSTIE_SOAK") != "" {
		clients = 10_000
	}
	var made, before atomic.Int64
	start := time.Now()
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			time.Sleep(time.Duration(i) * beat / time.Duration(clients)) // not all at one instant
			p := retry.Policy{Base: 10 * time.Millisecond, Max: 50 * time.Millisecond, Budget: budget()}
			g := requestreply.NewGuard(&requestreply.Options{Breaker: b, Retry: p})
			for n := range each * 2 {
				up := n < each
				if up && !warm {
					continue
				}
				_, err := requestreply.Run(t.Context(), g, requestreply.Op{Target: "shop", Idempotent: true}, func(context.Context) (int, error) {
					if made.Add(1); up {
						before.Add(1)
						return 1, nil
					}
					return 0, errLost
				})
				if (err == nil) != up {
					t.Error(err)
				}
				time.Sleep(beat - time.Since(start)%beat)
			}
		})
	}
	wg.Wait()
	calls := float64(clients * each)
	return float64(made.Load()-before.Load()) / calls, float64(made.Load()) / (calls + float64(before.Load()))
}

// An outage of a minute, met by many clients with a guard each, ten thousand if
// CROSSTIE_SOAK is set: with the budget alone repeats are a tenth of the calls,
// and with the breaker most calls are not made at all.
func TestManyClientsInAnOutage(t *testing.T) {
	off := requestreply.Breaker{Disabled: true}
	own := func() *retry.Budget { return nil } // the guard's
	inBubble(t, "the budget alone", func(t *testing.T) {
		ratio, _ := outage(t, false, off, own)
		t.Logf("%.3f attempts a call", ratio)
		require.LessOrEqual(t, ratio, 1.1)
		require.Greater(t, ratio, 1.05, "repeats are not forbidden")
	})
	inBubble(t, "the budget alone, after a good minute", func(t *testing.T) {
		during, ever := outage(t, true, off, own)
		t.Logf("%.3f attempts a call in the outage, which began with 10 saved, and %.3f in all", during, ever)
		require.LessOrEqual(t, ever, 1.1)
	})
	inBubble(t, "with the breaker", func(t *testing.T) {
		ratio, _ := outage(t, false, requestreply.Breaker{}, own)
		t.Logf("%.3f attempts a call", ratio)
		require.Less(t, ratio, 0.5)
	})
	inBubble(t, "naive: no budget", func(t *testing.T) {
		ratio, _ := outage(t, false, off, func() *retry.Budget { return retry.NewBudget(10, 0) })
		t.Logf("%.3f attempts a call", ratio)
		require.Greater(t, ratio, 3.9)
	})
}

package bench

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/bulkhead"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/retrypolicy"
	"github.com/failsafe-go/failsafe-go/timeout"
	"github.com/sony/gobreaker/v2"

	"github.com/crosstie/crosstie/requestreply"
)

// The cost of a call that succeeds, against the least that could protect it:
// one context.WithTimeout and gobreaker's two-step form with the window the
// guard gives it. The operation asks for ctx.Done(), as anything that waits
// does: one that ignores its context would flatter contexts made lazily.

func remote(ctx context.Context) (int, error) {
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	default:
		return 1, nil
	}
}

type caller struct {
	name string
	call func(context.Context) error
}

func callers() []caller {
	two := gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests: 1, Interval: 10 * time.Second, BucketPeriod: time.Second, Timeout: 5 * time.Second,
		ReadyToTrip: func(c gobreaker.Counts) bool {
			ended := c.TotalSuccesses + c.TotalFailures
			return ended >= 10 && float64(c.TotalFailures) >= 0.5*float64(ended)
		},
	})
	guard := requestreply.NewGuard(nil)
	rival := failsafe.With(
		failsafe.Policy[int](timeout.New[int](30*time.Second)), // for the call
		retrypolicy.NewBuilder[int]().WithMaxRetries(3).WithBackoff(100*time.Millisecond, 20*time.Second).Build(),
		circuitbreaker.NewBuilder[int]().WithFailureRateThreshold(0.5, 10, 10*time.Second).WithDelay(5*time.Second).Build(),
		bulkhead.NewBuilder[int](64).WithMaxWaitTime(10*time.Second).Build(),
		timeout.New[int](10*time.Second), // for the attempt
	)
	abandoning := requestreply.NewGuard(nil)
	return []caller{
		{"floor", func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
			defer cancel()
			done, err := two.Allow()
			if err != nil {
				return err
			}
			_, err = remote(ctx)
			done(err)
			return err
		}},
		{"guard", func(ctx context.Context) error {
			_, err := requestreply.Run(ctx, guard, requestreply.Op{Target: "warehouse", Idempotent: true}, remote)
			return err
		}},
		{"abandon", func(ctx context.Context) error {
			_, err := requestreply.Abandon(ctx, abandoning, requestreply.Op{Target: "warehouse", Idempotent: true}, remote)
			return err
		}},
		{"failsafe", func(ctx context.Context) error {
			_, err := rival.WithContext(ctx).GetWithExecution(func(e failsafe.Execution[int]) (int, error) { return remote(e.Context()) })
			return err
		}},
	}
}

func BenchmarkGuard(b *testing.B) {
	for _, c := range callers() {
		b.Run("serial/"+c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := c.call(context.Background()); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("parallel/"+c.name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					if err := c.call(context.Background()); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
		b.Run("cancelable/"+c.name, func(b *testing.B) {
			b.ReportAllocs()
			ctx := b.Context()
			for b.Loop() {
				if err := c.call(ctx); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkGuardRatio runs all of them in turn, in short rounds, and reports
// the median of the rounds' ratios: noise of the machine falls on all alike.
// failsafe has both time-outs, as the guard has: neither stops an operation
// that ignores its context, so that is a fair pair. Abandon does.
func BenchmarkGuardRatio(b *testing.B) {
	const calls = 500
	for _, parallel := range []int{1, 2} {
		name := map[int]string{1: "serial", 2: "parallel"}[parallel]
		b.Run(name, func(b *testing.B) {
			cs := callers()
			ratios := map[string][]float64{}
			for b.Loop() {
				took := map[string]float64{}
				for _, c := range cs {
					var wg sync.WaitGroup
					start := time.Now()
					for range parallel {
						wg.Go(func() {
							for range calls {
								if err := c.call(context.Background()); err != nil {
									b.Error(err)
								}
							}
						})
					}
					wg.Wait()
					took[c.name] = float64(time.Since(start))
				}
				for _, pair := range [][2]string{{"guard", "floor"}, {"abandon", "floor"}, {"failsafe", "guard"}} {
					name := pair[0] + "/" + pair[1]
					ratios[name] = append(ratios[name], took[pair[0]]/took[pair[1]])
				}
				cs = append(cs[1:], cs[0]) // who comes first is slower
			}
			for name, r := range ratios {
				slices.Sort(r)
				b.ReportMetric(r[len(r)/2], name)
			}
		})
	}
}

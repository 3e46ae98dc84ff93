package retry_test

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/retry"
)

// drain takes what is saved and returns how much it was.
func drain(b *retry.Budget) int {
	n := 0
	for b.Take() {
		if n++; n > 1000 {
			break
		}
	}
	return n
}

func TestBudgetSavesTen(t *testing.T) {
	for name, b := range map[string]*retry.Budget{
		"zero value": {},
		"defaults":   retry.NewBudget(0, 0),
		"generous":   retry.NewBudget(1e9, 1e9),
		"infinite":   retry.NewBudget(math.Inf(1), math.Inf(1)),
		"calls only": retry.NewBudget(0.5, -1),
		"time only":  retry.NewBudget(-1, 1),
	} {
		bubble(t, name, func(t *testing.T) {
			require.Equal(t, 10, drain(b))
			for range 10_000 {
				b.Call()
			}
			time.Sleep(24 * time.Hour)
			require.Equal(t, 10, drain(b))
		})
	}
}

func TestBudgetOfNothing(t *testing.T) {
	for _, b := range []*retry.Budget{retry.NewBudget(-1, -1), retry.NewBudget(math.NaN(), math.Inf(-1))} {
		synctest.Test(t, func(t *testing.T) {
			for range 100 {
				b.Call()
			}
			time.Sleep(time.Hour)
			require.Zero(t, drain(b))
		})
	}
}

func TestNilBudgetAllowsEverything(t *testing.T) {
	var b *retry.Budget
	b.Call()
	require.Equal(t, 1001, drain(b))
}

func TestBudgetAllowsTheGreaterOfTwo(t *testing.T) {
	for _, c := range []struct {
		name          string
		callsPerMin   int
		retriesPerMin float64
	}{
		{"no traffic: one a minute", 0, 1},
		{"little traffic: one a minute", 5, 1},
		{"both the same: one, not two", 10, 1},
		{"much traffic: a tenth", 600, 60},
	} {
		bubble(t, c.name, func(t *testing.T) {
			b := &retry.Budget{}
			drain(b)
			for range 100 { // make up for what was saved
				b.Call()
			}
			const minutes = 100
			allowed := 0
			for range minutes {
				for range c.callsPerMin {
					b.Call()
					if b.Take() { // all calls fail, and want all they can have
						allowed++
					}
				}
				time.Sleep(time.Minute)
				if b.Take() {
					allowed++
				}
			}
			require.InDelta(t, c.retriesPerMin*minutes, allowed, 2)
		})
	}
}

// A partial outage: a budget lets most retries through; a total one: few.
func TestBudgetInTheLoop(t *testing.T) {
	bubble(t, "is asked before waiting", func(t *testing.T) {
		b := retry.NewBudget(-1, 0)
		drain(b)
		s := always(retry.After(time.Minute, refused))
		began := time.Now()
		_, err := retry.Do(t.Context(), retry.Policy{Budget: b}, s.op)
		require.ErrorIs(t, err, retry.ErrBudget)
		require.ErrorIs(t, err, errCause)
		require.Zero(t, time.Since(began))
		require.Len(t, s.calls, 1)
	})
	bubble(t, "bounds the attempts of an outage", func(t *testing.T) {
		p := retry.Policy{Base: -1, Budget: &retry.Budget{}}
		attempts := 0
		for range 1000 {
			_, _ = retry.Do(t.Context(), p, func(context.Context) (int, error) { attempts++; return 0, refused })
		}
		require.InDelta(t, 1000+100, attempts, 1, "what was saved is a part of the tenth")
		naive := 0
		for range 1000 {
			_, _ = retry.Do(t.Context(), retry.Policy{Base: -1}, func(context.Context) (int, error) { naive++; return 0, refused })
		}
		require.Equal(t, 4000, naive)
	})
	bubble(t, "is filled by calls that fail, too", func(t *testing.T) {
		b := retry.NewBudget(0.1, -1)
		drain(b)
		for range 10 {
			_, _ = retry.Do(t.Context(), retry.Policy{Budget: b}, always(forbidden).op)
		}
		require.Equal(t, 1, drain(b))
	})
	bubble(t, "gets back what a cancel left unused", func(t *testing.T) {
		b := retry.NewBudget(-1, 1./60)
		for range 100 {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Nanosecond, cancel)
			_, err := retry.Do(ctx, retry.Policy{Budget: b}, always(retry.After(time.Second, refused)).op)
			require.ErrorIs(t, err, context.Canceled)
		}
		require.Equal(t, 10, drain(b))
	})
}

func TestBudgetIsSharedSafely(t *testing.T) {
	b := retry.NewBudget(-1, 1e-9)
	var (
		took atomic.Int32
		wg   sync.WaitGroup
	)
	for range 8 {
		wg.Go(func() {
			for range 100 {
				b.Call()
				if b.Take() {
					took.Add(1)
				}
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 10, took.Load())
}

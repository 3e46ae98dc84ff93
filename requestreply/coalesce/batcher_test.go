package coalesce_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply/coalesce"
)

// A backend doubles numbers, remembers what it was asked, and takes as long as
// it is told.
type backend struct {
	mu    sync.Mutex
	asked [][]int
	takes time.Duration
	fails func(keys []int) error
	most  int // fetches at a time
	now   int
}

func (b *backend) fetch(ctx context.Context, keys []int) (map[int]int, error) {
	b.mu.Lock()
	b.asked = append(b.asked, slices.Clone(keys))
	b.now++
	b.most = max(b.most, b.now)
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		b.now--
		b.mu.Unlock()
	}()
	select {
	case <-time.After(b.takes):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	found := map[int]int{}
	for _, k := range keys {
		found[k] = 2 * k
	}
	if b.fails != nil {
		return found, b.fails(keys)
	}
	return found, nil
}

func bubble(t *testing.T, name string, fn func(t *testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, fn) })
}

// loads starts a Load and returns where its result will be after wait.
func loads(ctx context.Context, b *coalesce.Batcher[int, int], k int) (wait func() (int, error)) {
	var v int
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		v, err = b.Load(ctx, k)
	}()
	return func() (int, error) { <-done; return v, err }
}

func TestBatcherWindow(t *testing.T) {
	bubble(t, "what comes inside the window goes together", func(t *testing.T) {
		back := &backend{}
		b := coalesce.NewBatcher(back.fetch, &coalesce.BatcherOptions{Window: 10 * time.Millisecond})
		began := time.Now()
		first := loads(t.Context(), b, 1)
		time.Sleep(9 * time.Millisecond)
		second := loads(t.Context(), b, 2)
		v, err := first()
		require.NoError(t, err)
		require.Equal(t, 2, v)
		require.Equal(t, 10*time.Millisecond, time.Since(began))
		v, err = second()
		require.NoError(t, err)
		require.Equal(t, 4, v)
		require.Equal(t, [][]int{{1, 2}}, back.asked)
	})
	bubble(t, "what comes after it goes by itself", func(t *testing.T) {
		back := &backend{}
		b := coalesce.NewBatcher(back.fetch, &coalesce.BatcherOptions{Window: 10 * time.Millisecond})
		first := loads(t.Context(), b, 1)
		time.Sleep(11 * time.Millisecond)
		second := loads(t.Context(), b, 2)
		_, _ = first()
		_, _ = second()
		require.Equal(t, [][]int{{1}, {2}}, back.asked)
	})
	bubble(t, "a full batch does not wait", func(t *testing.T) {
		back := &backend{}
		b := coalesce.NewBatcher(back.fetch, &coalesce.BatcherOptions{Window: time.Hour, MaxKeys: 2})
		began := time.Now()
		first, second := loads(t.Context(), b, 1), loads(t.Context(), b, 2)
		_, _ = first()
		_, _ = second()
		require.Zero(t, time.Since(began))
	})
	bubble(t, "without a window only LoadAll shares", func(t *testing.T) {
		back := &backend{}
		b := coalesce.NewBatcher(back.fetch, &coalesce.BatcherOptions{Window: -1})
		vs, err := b.LoadAll(t.Context(), []int{1, 2, 3, 2, 1})
		require.NoError(t, err)
		require.Equal(t, map[int]int{1: 2, 2: 4, 3: 6}, vs)
		_, err = b.Load(t.Context(), 4)
		require.NoError(t, err)
		require.Equal(t, [][]int{{1, 2, 3}, {4}}, back.asked)
	})
	bubble(t, "a key in the window twice is asked once", func(t *testing.T) {
		back := &backend{}
		b := coalesce.NewBatcher(back.fetch, nil)
		first, second := loads(t.Context(), b, 7), loads(t.Context(), b, 7)
		for _, wait := range []func() (int, error){first, second} {
			v, err := wait()
			require.NoError(t, err)
			require.Equal(t, 14, v)
		}
		require.Equal(t, [][]int{{7}}, back.asked)
	})
	bubble(t, "nothing is kept", func(t *testing.T) {
		back := &backend{fails: func([]int) error { return errors.New("down") }}
		b := coalesce.NewBatcher(back.fetch, nil)
		_, err := b.Load(t.Context(), 7)
		require.ErrorContains(t, err, "down")
		back.fails = nil
		for range 2 {
			v, err := b.Load(t.Context(), 7)
			require.NoError(t, err)
			require.Equal(t, 14, v)
		}
		require.Len(t, back.asked, 3)
	})
}

func TestBatcherBounds(t *testing.T) {
	bubble(t, "LoadAll is cut into fetches, a few at a time", func(t *testing.T) {
		back := &backend{takes: time.Second}
		b := coalesce.NewBatcher(back.fetch, &coalesce.BatcherOptions{MaxKeys: 10, MaxInFlight: 3})
		keys := make([]int, 95)
		for i := range keys {
			keys[i] = i
		}
		began := time.Now()
		vs, err := b.LoadAll(t.Context(), keys)
		require.NoError(t, err)
		require.Len(t, vs, 95)
		require.Len(t, back.asked, 10)
		require.Equal(t, 3, back.most)
		require.Equal(t, 4*time.Second, time.Since(began)) // ten fetches by threes
	})
	bubble(t, "a ripe batch fills up while it waits for its place", func(t *testing.T) {
		back := &backend{takes: time.Second}
		b := coalesce.NewBatcher(back.fetch, &coalesce.BatcherOptions{MaxInFlight: 1})
		waits := []func() (int, error){loads(t.Context(), b, 0)}
		time.Sleep(3 * time.Millisecond)
		for k := 1; k < 20; k++ {
			waits = append(waits, loads(t.Context(), b, k))
			time.Sleep(3 * time.Millisecond)
		}
		for _, wait := range waits {
			_, err := wait()
			require.NoError(t, err)
		}
		require.Len(t, back.asked, 2)
		require.Len(t, back.asked[1], 19)
	})
	bubble(t, "more keys than may wait", func(t *testing.T) {
		back := &backend{takes: time.Second}
		b := coalesce.NewBatcher(back.fetch, &coalesce.BatcherOptions{MaxKeys: 2, MaxInFlight: 1, MaxWaiting: 3})
		vs, err := b.LoadAll(t.Context(), []int{1, 2, 3, 4, 5, 6, 7})
		failed, ok := errors.AsType[coalesce.KeyErrors[int]](err)
		require.True(t, ok)
		require.Len(t, vs, 5)
		require.Equal(t, []int{6, 7}, slices.Sorted(maps.Keys(failed)))
		require.ErrorIs(t, err, coalesce.ErrFull)
		require.Equal(t, outcome.NotSent, outcome.Of(err))
		transient, _ := outcome.Transient(failed[6])
		require.True(t, transient)
		vs, err = b.LoadAll(t.Context(), []int{6, 7})
		require.NoError(t, err)
		require.Len(t, vs, 2)
	})
	bubble(t, "keys given up do not pile up behind a fetch that hangs", func(t *testing.T) {
		back := &backend{takes: 20 * time.Second}
		b := coalesce.NewBatcher(back.fetch, &coalesce.BatcherOptions{MaxKeys: 4, MaxInFlight: 1, MaxWaiting: 8})
		held := loads(t.Context(), b, -1)
		time.Sleep(3 * time.Millisecond)
		for k := range 100 { // more than may wait, but never at once
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			_, err := b.LoadAll(ctx, []int{3 * k, 3*k + 1, 3*k + 2, 3*k + 3, 3*k + 4})
			cancel()
			require.NotErrorIs(t, err, coalesce.ErrFull)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, outcome.NotSent, outcome.Of(err))
		}
		last := loads(t.Context(), b, 1000)
		_, err := held()
		require.NoError(t, err)
		_, err = last()
		require.NoError(t, err)
		require.Equal(t, [][]int{{-1}, {1000}}, back.asked)
	})
	bubble(t, "keys given up make room in their batch, and can be asked for again", func(t *testing.T) {
		back := &backend{takes: time.Second}
		b := coalesce.NewBatcher(back.fetch, &coalesce.BatcherOptions{MaxKeys: 4, MaxInFlight: 1})
		held := loads(t.Context(), b, -1)
		time.Sleep(3 * time.Millisecond)
		waits := []func() (int, error){held, loads(t.Context(), b, 0)}
		giveUp := func(keys ...int) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			_, err := b.LoadAll(ctx, keys)
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
		for range 10 {
			giveUp(1, 2)
		}
		for k := 1; k < 4; k++ {
			waits = append(waits, loads(t.Context(), b, k))
			synctest.Wait()
			if k == 1 {
				giveUp(k + 10)
			}
		}
		for i, wait := range waits {
			v, err := wait()
			require.NoError(t, err)
			require.Equal(t, 2*(i-1), v)
		}
		require.Equal(t, [][]int{{-1}, {0, 1, 2, 3}}, back.asked)
	})
	bubble(t, "a fetch has its own time limit", func(t *testing.T) {
		b := coalesce.NewBatcher((&backend{takes: time.Hour}).fetch, &coalesce.BatcherOptions{Timeout: time.Second})
		began := time.Now()
		_, err := b.Load(t.Context(), 1)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Second+2*time.Millisecond, time.Since(began))
	})
	bubble(t, "without limits", func(t *testing.T) {
		back := &backend{takes: time.Hour}
		b := coalesce.NewBatcher(back.fetch, &coalesce.BatcherOptions{MaxKeys: -1, Timeout: -1, MaxInFlight: -1, MaxWaiting: -1})
		keys := make([]int, 12_000)
		for i := range keys {
			keys[i] = i
		}
		vs, err := b.LoadAll(t.Context(), keys)
		require.NoError(t, err)
		require.Len(t, vs, len(keys))
		require.Len(t, back.asked, 1)
	})
}

type tenant struct{}

func TestBatcherCallers(t *testing.T) {
	bubble(t, "a cancelled caller returns at once and harms nobody", func(t *testing.T) {
		back := &backend{takes: time.Minute / 4}
		b := coalesce.NewBatcher(back.fetch, nil)
		ctx, cancel := context.WithCancelCause(t.Context())
		gone, stays := loads(ctx, b, 1), loads(t.Context(), b, 2)
		time.Sleep(time.Second)
		why := errors.New("the page was closed")
		cancel(why)
		_, err := gone()
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, err, why)
		require.Equal(t, outcome.Unknown, outcome.Of(err))
		v, err := stays()
		require.NoError(t, err)
		require.Equal(t, 4, v)
	})
	bubble(t, "who left before it was sent is not asked for", func(t *testing.T) {
		back := &backend{}
		b := coalesce.NewBatcher(back.fetch, &coalesce.BatcherOptions{Window: time.Second})
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		stays := loads(t.Context(), b, 2)
		_, err := b.Load(ctx, 1)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, outcome.NotSent, outcome.Of(err))
		_, err = stays()
		require.NoError(t, err)
		require.Equal(t, [][]int{{2}}, back.asked)
	})
	bubble(t, "when all have left, nothing is sent", func(t *testing.T) {
		back := &backend{}
		b := coalesce.NewBatcher(back.fetch, &coalesce.BatcherOptions{Window: time.Second})
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err := b.LoadAll(ctx, []int{1, 2, 3})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Empty(t, back.asked)
	})
	bubble(t, "when the last has left, the fetch is cancelled", func(t *testing.T) {
		ended := make(chan error, 1)
		b := coalesce.NewBatcher(func(ctx context.Context, _ []int) (map[int]int, error) {
			<-ctx.Done()
			ended <- context.Cause(ctx)
			return nil, ctx.Err()
		}, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		first, second := loads(ctx, b, 1), loads(ctx, b, 2)
		_, _ = first()
		_, _ = second()
		require.ErrorContains(t, <-ended, "nobody waits")
	})
	bubble(t, "an ended context sends nothing", func(t *testing.T) {
		back := &backend{}
		b := coalesce.NewBatcher(back.fetch, nil)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := b.Load(ctx, 1)
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, outcome.NotSent, outcome.Of(err))
		_, err = b.LoadAll(ctx, []int{1})
		require.Equal(t, outcome.NotSent, outcome.Of(err))
		time.Sleep(time.Second)
		synctest.Wait()
		require.Empty(t, back.asked)
	})
	bubble(t, "no value of a caller reaches the fetch", func(t *testing.T) {
		var seen any
		b := coalesce.NewBatcher(func(ctx context.Context, keys []int) (map[int]int, error) {
			seen = ctx.Value(tenant{})
			return map[int]int{1: 1}, nil
		}, nil)
		_, err := b.Load(context.WithValue(t.Context(), tenant{}, "acme"), 1)
		require.NoError(t, err)
		require.Nil(t, seen)
	})
}

func TestBatcherErrorsPerKey(t *testing.T) {
	one := errors.New("withdrawn")
	down := errors.New("down")
	values := map[int]int{1: 10, 2: 20, 99: 990}
	for _, c := range []struct {
		name string
		err  error
		want map[int]error // of keys 1, 2, 3
	}{
		{"no error", nil, map[int]error{3: coalesce.ErrMissing}},
		{"a plain error fails all", down, map[int]error{1: down, 2: down, 3: down}},
		{"a key's own", coalesce.KeyErrors[int]{3: one}, map[int]error{3: one}},
		{"it beats a value", coalesce.KeyErrors[int]{1: one}, map[int]error{1: one, 3: coalesce.ErrMissing}},
		{"a nil one is none", coalesce.KeyErrors[int]{1: nil}, map[int]error{3: coalesce.ErrMissing}},
		{"an empty one is none", coalesce.KeyErrors[int]{}, map[int]error{3: coalesce.ErrMissing}},
		{"a wrapped one", fmt.Errorf("%w: %w", down, coalesce.KeyErrors[int]{1: one}), map[int]error{1: one, 3: down}},
		{"a joined one", errors.Join(down, coalesce.KeyErrors[int]{1: one}), map[int]error{1: one, 3: down}},
		{"of another key type", coalesce.KeyErrors[string]{"1": one}, map[int]error{1: one, 2: one, 3: one}},
	} {
		bubble(t, c.name, func(t *testing.T) {
			b := coalesce.NewBatcher(func(context.Context, []int) (map[int]int, error) { return values, c.err }, nil)
			vs, err := b.LoadAll(t.Context(), []int{1, 2, 3})
			failed, _ := errors.AsType[coalesce.KeyErrors[int]](err)
			require.Len(t, failed, len(c.want))
			for k := 1; k <= 3; k++ {
				v, err := b.Load(t.Context(), k)
				if c.want[k] == nil {
					require.NoError(t, err)
					require.Equal(t, values[k], v)
					require.Equal(t, values[k], vs[k])
					continue
				}
				require.ErrorIs(t, err, c.want[k])
				require.ErrorIs(t, failed[k], c.want[k])
				require.Zero(t, v)
				require.NotContains(t, vs, k)
			}
		})
	}
}

func TestBatcherPanics(t *testing.T) {
	for name, c := range map[string]struct {
		fn   func()
		says string
	}{
		"text":    {func() { panic("boom 4711") }, "panicked with a string"},
		"error":   {func() { panic(errors.New("boom")) }, "panicked: boom"},
		"runtime": {func() { var s []int; _ = s[len(s)] }, "out of range"},
		"goexit":  {runtime.Goexit, "ended its goroutine"},
	} {
		bubble(t, name, func(t *testing.T) {
			bad := true
			b := coalesce.NewBatcher(func(_ context.Context, keys []int) (map[int]int, error) {
				if bad {
					c.fn()
				}
				return map[int]int{1: 1}, nil
			}, &coalesce.BatcherOptions{MaxInFlight: 1})
			first, second := loads(t.Context(), b, 1), loads(t.Context(), b, 2)
			for _, wait := range []func() (int, error){first, second} {
				_, err := wait()
				p, ok := errors.AsType[*coalesce.PanicError](err)
				require.True(t, ok)
				require.ErrorContains(t, err, c.says)
				require.NotContains(t, err.Error(), "4711")
				require.Equal(t, outcome.Unknown, outcome.Of(err))
				if name != "goexit" {
					require.Contains(t, string(p.Stack), "batcher_test.go")
				}
			}
			bad = false
			_, err := b.Load(t.Context(), 1) // its place is free again
			require.NoError(t, err)
		})
	}
	bubble(t, "one that reaches nobody is logged", func(t *testing.T) {
		var log bytes.Buffer
		b := coalesce.NewBatcher(func(ctx context.Context, _ []int) (map[int]int, error) {
			<-ctx.Done()
			panic("late")
		}, &coalesce.BatcherOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := b.Load(ctx, 1)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		synctest.Wait()
		require.Contains(t, log.String(), "panicked")
	})
}

func TestBatcherOddKeys(t *testing.T) {
	bubble(t, "NaN", func(t *testing.T) {
		b := coalesce.NewBatcher(func(_ context.Context, ks []float64) (map[float64]int, error) {
			found := map[float64]int{}
			for _, k := range ks {
				found[k] = 1
			}
			return found, nil
		}, nil)
		_, err := b.Load(t.Context(), math.NaN())
		require.ErrorIs(t, err, coalesce.ErrMissing) // no map can hold it for us
	})
	bubble(t, "what cannot be compared", func(t *testing.T) {
		b := coalesce.NewBatcher(func(_ context.Context, ks []any) (map[any]int, error) { return nil, nil }, nil)
		_, err := b.Load(t.Context(), []int{1})
		require.ErrorContains(t, err, "cannot be compared")
		require.Equal(t, outcome.NotSent, outcome.Of(err))
		_, err = b.LoadAll(t.Context(), []any{1, []int{1}})
		require.ErrorContains(t, err, "cannot be compared")
	})
	bubble(t, "none", func(t *testing.T) {
		vs, err := coalesce.NewBatcher((&backend{}).fetch, nil).LoadAll(t.Context(), nil)
		require.NoError(t, err)
		require.Empty(t, vs)
	})
	require.Panics(t, func() { coalesce.NewBatcher[int, int](nil, nil) })
}

// Whatever callers do, each gets the value of its own key or the reason of its
// own, and no key is in one fetch twice.
func TestBatcherProperty(t *testing.T) {
	seeds := uint64(30)
	if _, soak := os.LookupEnv("CROSSTIE_SOAK"); soak {
		seeds = 3000
	}
	for seed := range seeds {
		bubble(t, fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			back := &backend{takes: time.Duration(r.IntN(20)) * time.Millisecond}
			back.fails = func(keys []int) error {
				failed := coalesce.KeyErrors[int]{}
				for _, k := range keys {
					if k%7 == 0 {
						failed[k] = fmt.Errorf("key %d", k)
					}
				}
				return failed
			}
			b := coalesce.NewBatcher(back.fetch, &coalesce.BatcherOptions{
				MaxKeys: 1 + r.IntN(20), MaxInFlight: 1 + r.IntN(3), MaxWaiting: 5 + r.IntN(200),
			})
			var all sync.WaitGroup
			for range 300 {
				k, n := r.IntN(100), r.IntN(4)
				starts, patience := time.Duration(r.IntN(100))*time.Millisecond, time.Duration(1+r.IntN(40))*time.Millisecond
				all.Go(func() {
					time.Sleep(starts)
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					defer cancel()
					keys := make([]int, n+1)
					for i := range keys {
						keys[i] = (k + i*i) % 100
					}
					vs, err := b.LoadAll(ctx, keys)
					failed, _ := errors.AsType[coalesce.KeyErrors[int]](err)
					for _, k := range keys {
						v, has := vs[k]
						if why := failed[k]; why != nil {
							require.False(t, has)
							require.True(t, why.Error() == fmt.Sprintf("key %d", k) || errors.Is(why, coalesce.ErrFull) || errors.Is(why, context.DeadlineExceeded), why)
							continue
						}
						require.True(t, has)
						require.Equal(t, 2*k, v)
					}
				})
			}
			all.Wait()
			for _, keys := range back.asked {
				require.Len(t, slices.Compact(slices.Sorted(slices.Values(keys))), len(keys))
			}
		})
	}
}

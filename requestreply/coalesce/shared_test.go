package coalesce_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply/coalesce"
)

func TestShared(t *testing.T) {
	bubble(t, "one call for all, and nothing kept", func(t *testing.T) {
		var calls atomic.Int64
		s := coalesce.NewShared(func(ctx context.Context, k string) (string, error) {
			time.Sleep(time.Second)
			return fmt.Sprint(k, calls.Add(1)), nil
		}, nil)
		var all sync.WaitGroup
		for range 50 {
			for _, k := range []string{"a", "b"} {
				all.Go(func() {
					v, err := s.Do(t.Context(), k)
					require.NoError(t, err)
					require.Equal(t, k, v[:1])
				})
			}
		}
		all.Wait()
		require.EqualValues(t, 2, calls.Load())
		_, err := s.Do(t.Context(), "a")
		require.NoError(t, err)
		require.EqualValues(t, 3, calls.Load())
	})
	bubble(t, "an error reaches those who waited and nobody after", func(t *testing.T) {
		down := errors.New("down")
		fails := true
		s := coalesce.NewShared(func(context.Context, int) (int, error) {
			time.Sleep(time.Second)
			if fails {
				return 5, down
			}
			return 1, nil
		}, nil)
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				v, err := s.Do(t.Context(), 1)
				require.ErrorIs(t, err, down)
				require.Equal(t, 5, v)
			})
		}
		both.Wait()
		fails = false
		_, err := s.Do(t.Context(), 1)
		require.NoError(t, err)
	})
	bubble(t, "who comes after the last has left gets a call of his own", func(t *testing.T) {
		var calls atomic.Int64
		s := coalesce.NewShared(func(ctx context.Context, k string) (int64, error) {
			n := calls.Add(1)
			if n == 1 {
				<-ctx.Done()
				require.ErrorContains(t, context.Cause(ctx), "nobody waits")
				time.Sleep(time.Hour) // it is slow to give up
				return 0, ctx.Err()
			}
			time.Sleep(2 * time.Hour) // the first ends meanwhile, and must not end this one
			return n, ctx.Err()
		}, &coalesce.SharedOptions{Timeout: -1})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := s.Do(ctx, "k")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, outcome.Unknown, outcome.Of(err))
		var both sync.WaitGroup
		both.Go(func() {
			v, err := s.Do(t.Context(), "k")
			require.NoError(t, err)
			require.EqualValues(t, 2, v)
		})
		time.Sleep(90 * time.Minute)
		both.Go(func() {
			v, err := s.Do(t.Context(), "k")
			require.NoError(t, err)
			require.EqualValues(t, 2, v)
		})
		both.Wait()
	})
	bubble(t, "a call has its own time limit and no value of a caller", func(t *testing.T) {
		s := coalesce.NewShared(func(ctx context.Context, _ int) (any, error) {
			<-ctx.Done()
			return ctx.Value(tenant{}), ctx.Err()
		}, &coalesce.SharedOptions{Timeout: time.Second})
		began := time.Now()
		v, err := s.Do(context.WithValue(t.Context(), tenant{}, "acme"), 1)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Nil(t, v)
		require.Equal(t, time.Second, time.Since(began))
	})
	bubble(t, "calls in flight are bounded", func(t *testing.T) {
		s := coalesce.NewShared(func(context.Context, int) (int, error) {
			time.Sleep(time.Second)
			return 0, nil
		}, &coalesce.SharedOptions{MaxInFlight: 1})
		go func() { _, _ = s.Do(t.Context(), 1) }()
		synctest.Wait()
		_, err := s.Do(t.Context(), 2)
		require.ErrorIs(t, err, coalesce.ErrFull)
		require.Equal(t, outcome.NotSent, outcome.Of(err))
		_, err = s.Do(t.Context(), 1) // it joins
		require.NoError(t, err)
		_, err = s.Do(t.Context(), 2)
		require.NoError(t, err)
	})
	bubble(t, "a panic and a Goexit reach each caller", func(t *testing.T) {
		for _, fn := range []func(){func() { panic("boom") }, runtime.Goexit} {
			s := coalesce.NewShared(func(context.Context, int) (int, error) {
				time.Sleep(time.Second)
				fn()
				return 1, nil
			}, nil)
			var both sync.WaitGroup
			for range 2 {
				both.Go(func() {
					_, err := s.Do(t.Context(), 1)
					_, ok := errors.AsType[*coalesce.PanicError](err)
					require.True(t, ok)
				})
			}
			both.Wait()
		}
	})
	bubble(t, "a panic that reaches nobody is logged", func(t *testing.T) {
		var log bytes.Buffer
		s := coalesce.NewShared(func(ctx context.Context, _ int) (int, error) {
			<-ctx.Done()
			panic("late")
		}, &coalesce.SharedOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, _ = s.Do(ctx, 1)
		synctest.Wait()
		require.Contains(t, log.String(), "panicked")
	})
	bubble(t, "odd keys", func(t *testing.T) {
		s := coalesce.NewShared(func(context.Context, any) (int, error) { return 1, nil }, &coalesce.SharedOptions{MaxInFlight: 1})
		_, err := s.Do(t.Context(), []int{1})
		require.ErrorContains(t, err, "cannot be compared")
		for range 3 {
			v, err := s.Do(t.Context(), math.NaN())
			require.NoError(t, err)
			require.Equal(t, 1, v)
			synctest.Wait()
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = s.Do(ctx, 1)
		require.Equal(t, outcome.NotSent, outcome.Of(err))
	})
	require.Panics(t, func() { coalesce.NewShared[int, int](nil, nil) })
}

// Whatever callers do, no two calls for one key run at a time unless the first
// has been given up by all, and whoever stays gets the value of his key.
func TestSharedProperty(t *testing.T) {
	seeds := uint64(30)
	if _, soak := os.LookupEnv("CROSSTIE_SOAK"); soak {
		seeds = 3000
	}
	for seed := range seeds {
		bubble(t, fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 2))
			var mu sync.Mutex // guards what the calls share
			speed := rand.New(rand.NewPCG(seed, 3))
			under, twice := map[int]map[context.Context]bool{}, 0
			s := coalesce.NewShared(func(ctx context.Context, k int) (int, error) {
				mu.Lock()
				for other := range under[k] {
					if other.Err() == nil {
						twice++
					}
				}
				if under[k] == nil {
					under[k] = map[context.Context]bool{}
				}
				under[k][ctx] = true
				takes := time.Duration(1+speed.IntN(20)) * time.Millisecond
				mu.Unlock()
				time.Sleep(takes) // it does not look at its context
				mu.Lock()
				defer mu.Unlock()
				delete(under[k], ctx)
				if k%5 == 0 {
					return 0, fmt.Errorf("key %d", k)
				}
				return 2 * k, nil
			}, nil)
			var all sync.WaitGroup
			for range 300 {
				k := r.IntN(6)
				starts, patience := time.Duration(r.IntN(100))*time.Millisecond, time.Duration(1+r.IntN(30))*time.Millisecond
				all.Go(func() {
					time.Sleep(starts)
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					defer cancel()
					v, err := s.Do(ctx, k)
					switch {
					case errors.Is(err, context.DeadlineExceeded):
						require.Error(t, ctx.Err())
					case k%5 == 0:
						require.EqualError(t, err, fmt.Sprintf("key %d", k))
					default:
						require.NoError(t, err)
						require.Equal(t, 2*k, v)
					}
				})
			}
			all.Wait()
			time.Sleep(time.Second) // for the calls that all have given up
			mu.Lock()
			defer mu.Unlock()
			require.Zero(t, twice, "keys that were asked twice at a time")
		})
	}
}

// An observer counts what is begun and ended.
type observer struct {
	mu    sync.Mutex
	ended []string
}

func (o *observer) Start(ctx context.Context, op string, attrs ...slog.Attr) context.Context {
	return context.WithValue(ctx, tenant{}, op)
}

func (o *observer) End(ctx context.Context, op string, err error, attrs ...slog.Attr) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = append(o.ended, fmt.Sprint(ctx.Value(tenant{}) == op, " ", op, " ", err != nil, " ", attrs))
}

func TestObserver(t *testing.T) {
	bubble(t, "each call is seen to end", func(t *testing.T) {
		o := &observer{}
		b := coalesce.NewBatcher(func(ctx context.Context, keys []int) (map[int]int, error) {
			if keys[0] == 13 {
				panic("unlucky")
			}
			return map[int]int{1: 1, 2: 2}, nil
		}, &coalesce.BatcherOptions{Observer: o})
		s := coalesce.NewShared(func(context.Context, int) (int, error) { return 0, nil }, &coalesce.SharedOptions{Observer: o})
		again := loads(t.Context(), b, 1)
		_, _ = b.LoadAll(t.Context(), []int{1, 2})
		_, _ = again()
		_, _ = b.Load(t.Context(), 13)
		_, _ = s.Do(t.Context(), 1)
		require.Equal(t, []string{
			"true requestreply.batch false [keys=2 loads=3]",
			"true requestreply.batch true [keys=1 loads=1]",
			"true requestreply.shared false []",
		}, o.ended)
	})
}

func TestErrors(t *testing.T) {
	for _, sentinel := range []error{coalesce.ErrFull, coalesce.ErrMissing} {
		wrapped := fmt.Errorf("page: %w", errors.Join(errors.New("other"), sentinel))
		require.ErrorIs(t, wrapped, sentinel)
		require.ErrorIs(t, coalesce.KeyErrors[string]{"k": wrapped}, sentinel)
	}
	secret := coalesce.KeyErrors[string]{"4111-1111": errors.New("b"), "4222-2222": errors.New("a"), "x": nil}
	require.EqualError(t, secret, "coalesce: 2 keys failed, one of them: a")
	require.EqualError(t, coalesce.KeyErrors[string]{"4111": errors.New("b")}, "coalesce: 1 key failed: b")
	require.EqualError(t, coalesce.KeyErrors[string]{}, "coalesce: no key failed")
	require.Equal(t, outcome.Applied, outcome.Of(coalesce.KeyErrors[int]{1: coalesce.ErrFull, 2: coalesce.ErrMissing}))
	cause := errors.New("cause")
	require.ErrorIs(t, &coalesce.PanicError{Value: cause}, cause)
}

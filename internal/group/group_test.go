package group_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/internal/group"
	"github.com/crosstie/crosstie/outcome"
)

var errBoom = errors.New("boom")

// bubble runs f as a test of its own, in a bubble.
func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

// A gate is a round that begins, and then waits to be let through.
type gate struct {
	*group.Group[int]
	sizes   []int
	ran     []int
	through chan struct{}
}

func newGate(o group.Options) *gate {
	g := &gate{through: make(chan struct{})}
	g.Group = group.New(nil, func(b []*group.Item[int]) {
		g.sizes = append(g.sizes, len(b))
		b = g.Begin(b)
		<-g.through
		for _, it := range b {
			g.ran = append(g.ran, it.Value)
			it.Done(nil)
		}
		g.End(b)
	}, o)
	return g
}

func TestRounds(t *testing.T) {
	bubble(t, "whoever comes while a round is under way shares the next", func(t *testing.T) {
		g := newGate(group.Options{Batch: 4})
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() { require.NoError(t, g.Do(t.Context(), i)) })
			synctest.Wait()
		}
		close(g.through)
		wg.Wait()
		require.Equal(t, []int{1, 4, 4, 1}, g.sizes)
		require.Equal(t, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, g.ran, "in the order they came")
	})
	bubble(t, "each gets its own verdict", func(t *testing.T) {
		g := group.New(nil, func(b []*group.Item[int]) {
			for _, it := range b {
				it.Done(fmt.Errorf("%d: %w", it.Value, errBoom))
			}
		}, group.Options{})
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() { require.EqualError(t, g.Do(t.Context(), i), fmt.Sprint(i, ": boom")) })
		}
		wg.Wait()
	})
	bubble(t, "a lone caller waits for nobody", func(t *testing.T) {
		g := group.New(nil, func(b []*group.Item[int]) { b[0].Done(nil) }, group.Options{})
		start := time.Now()
		for range 100 {
			require.NoError(t, g.Do(t.Context(), 1))
		}
		require.Zero(t, time.Since(start))
	})
	bubble(t, "no verdict is an error that claims nothing", func(t *testing.T) {
		g := group.New(nil, func([]*group.Item[int]) {}, group.Options{})
		err := g.Do(t.Context(), 1)
		require.Error(t, err)
		require.Equal(t, outcome.Unknown, outcome.Of(err))
	})
	bubble(t, "a panic of the round itself is an error, and the next round runs", func(t *testing.T) {
		first := true
		g := group.New(nil, func(b []*group.Item[int]) {
			if first {
				first = false
				panic("broken")
			}
			b[0].Done(nil)
		}, group.Options{})
		err := g.Do(t.Context(), 1)
		require.ErrorContains(t, err, "broken")
		require.Equal(t, outcome.Unknown, outcome.Of(err))
		require.NoError(t, g.Do(t.Context(), 1))
	})
}

func TestFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(group.Options{Queue: 3})
		var wg sync.WaitGroup
		for i := range 4 { // one in its round, three waiting
			wg.Go(func() { require.NoError(t, g.Do(t.Context(), i)) })
			synctest.Wait()
		}
		err := g.Do(t.Context(), 4)
		require.ErrorIs(t, err, group.ErrFull)
		require.Equal(t, outcome.NotSent, outcome.Of(err))
		transient, said := outcome.Transient(err)
		require.True(t, transient && said)
		close(g.through)
		wg.Wait()
		require.NoError(t, g.Do(t.Context(), 5))
	})
}

func TestLeaving(t *testing.T) {
	bubble(t, "before its turn: never run", func(t *testing.T) {
		g := newGate(group.Options{})
		var wg sync.WaitGroup
		wg.Go(func() { require.NoError(t, g.Do(t.Context(), 1)) })
		synctest.Wait()
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errBoom)
		defer cancel()
		err := g.Do(ctx, 2)
		require.Equal(t, outcome.NotSent, outcome.Of(err))
		require.ErrorIs(t, err, errBoom)
		close(g.through)
		wg.Wait()
		require.Equal(t, []int{1}, g.ran)
	})
	bubble(t, "with a context that has ended: never run", func(t *testing.T) {
		g := group.New(nil, func([]*group.Item[int]) { t.Error("ran") }, group.Options{})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.Equal(t, outcome.NotSent, outcome.Of(g.Do(ctx, 1)))
	})
	bubble(t, "while the round is made ready: never run", func(t *testing.T) {
		ready := make(chan struct{})
		empty := false
		g := group.New(func() { <-ready }, func(b []*group.Item[int]) { empty = len(b) == 0 }, group.Options{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.Equal(t, outcome.NotSent, outcome.Of(g.Do(ctx, 1)))
		close(ready)
		synctest.Wait()
		require.True(t, empty)
	})
	bubble(t, "all of them, and one comes while their empty round runs: it has its turn", func(t *testing.T) {
		ready, through := make(chan struct{}), make(chan struct{})
		g := group.New(func() { <-ready }, func(b []*group.Item[int]) {
			if len(b) == 0 {
				<-through
			}
			for _, it := range b {
				it.Done(nil)
			}
		}, group.Options{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.Equal(t, outcome.NotSent, outcome.Of(g.Do(ctx, 1)))
		close(ready)
		synctest.Wait()
		done := make(chan error, 1)
		go func() { done <- g.Do(t.Context(), 2) }()
		synctest.Wait()
		close(through)
		synctest.Wait()
		select {
		case err := <-done:
			require.NoError(t, err)
		default:
			require.NoError(t, g.Do(t.Context(), 3)) // frees it, for the bubble's sake
			t.Fatal("nobody leads, and one waits")
		}
	})
	bubble(t, "in the round: the truth, if it comes soon", func(t *testing.T) {
		g := newGate(group.Options{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		time.AfterFunc(1900*time.Millisecond, func() { close(g.through) })
		require.NoError(t, g.Do(ctx, 1))
	})
	bubble(t, "worked on past all patience: the truth, if it comes with the end", func(t *testing.T) {
		g := newGate(group.Options{Grace: 3 * time.Second})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		time.AfterFunc(10*time.Second, func() { close(g.through) })
		require.NoError(t, g.Do(ctx, 1))
		require.Equal(t, 10*time.Second, time.Since(start))
	})
	bubble(t, "waiting for the commit: unknown, when patience ends", func(t *testing.T) {
		var g *group.Group[int]
		hang := make(chan struct{})
		g = group.New(nil, func(b []*group.Item[int]) {
			g.End(g.Begin(b))
			<-hang
			b[0].Done(nil)
		}, group.Options{Grace: 3 * time.Second})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		err := g.Do(ctx, 1)
		require.Equal(t, outcome.Unknown, outcome.Of(err))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 4*time.Second, time.Since(start))
		close(hang)
	})
	bubble(t, "worked on past all patience: unknown, as soon as the round lets go", func(t *testing.T) {
		var g *group.Group[int]
		hang := make(chan struct{})
		g = group.New(nil, func(b []*group.Item[int]) {
			b = g.Begin(b)
			time.Sleep(10 * time.Second)
			g.End(b)
			<-hang
		}, group.Options{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		require.Equal(t, outcome.Unknown, outcome.Of(g.Do(ctx, 1)))
		require.Equal(t, 10*time.Second, time.Since(start))
		close(hang)
	})
	bubble(t, "in the round, but not begun: never run", func(t *testing.T) {
		var g *group.Group[int]
		begin := make(chan struct{})
		g = group.New(nil, func(b []*group.Item[int]) {
			<-begin
			var values []int
			for _, it := range g.Begin(b) {
				values = append(values, it.Value)
				it.Done(nil)
			}
			require.NotContains(t, values, 2)
		}, group.Options{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() { require.NoError(t, g.Do(t.Context(), 0)) })
		synctest.Wait()
		for _, v := range []int{1, 2, 3} {
			wg.Go(func() {
				if v != 2 {
					require.NoError(t, g.Do(t.Context(), v))
					return
				}
				start := time.Now()
				require.Equal(t, outcome.NotSent, outcome.Of(g.Do(ctx, 2)))
				require.Equal(t, time.Second, time.Since(start))
			})
		}
		synctest.Wait()
		begin <- struct{}{} // the first round; the others are in the second
		time.Sleep(2 * time.Second)
		begin <- struct{}{}
		wg.Wait()
	})
	bubble(t, "undone and to be run again: never run again", func(t *testing.T) {
		var g *group.Group[int]
		g = group.New(nil, func(b []*group.Item[int]) {
			b = g.Begin(b)
			g.End(b)
			time.Sleep(1500 * time.Millisecond)
			g.Again(b)
			synctest.Wait()
			require.Empty(t, g.Begin(b))
		}, group.Options{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		require.Equal(t, outcome.NotSent, outcome.Of(g.Do(ctx, 1)))
		require.Equal(t, 1500*time.Millisecond, time.Since(start))
	})
	bubble(t, "one that leaves harms no neighbour", func(t *testing.T) {
		g := newGate(group.Options{})
		var wg sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		for i := range 9 {
			wg.Go(func() {
				if i%2 == 1 {
					require.Equal(t, outcome.NotSent, outcome.Of(g.Do(ctx, i)))
				} else {
					require.NoError(t, g.Do(t.Context(), i))
				}
			})
			synctest.Wait()
		}
		cancel()
		synctest.Wait()
		close(g.through)
		wg.Wait()
		require.Equal(t, []int{0, 2, 4, 6, 8}, g.ran)
	})
}

func TestCall(t *testing.T) {
	// call runs every item's function in its caller and waits for it.
	call := func(b []*group.Item[func()]) {
		for _, it := range b {
			if returned, ok := it.Call(it.Value); ok {
				<-returned
			}
			it.Done(nil)
		}
	}
	bubble(t, "runs in the goroutine of its caller, and panics there", func(t *testing.T) {
		g := group.New(nil, call, group.Options{})
		require.PanicsWithValue(t, "mine", func() { _ = g.Do(t.Context(), func() { panic("mine") }) })
		require.NoError(t, g.Do(t.Context(), func() {}))
	})
	bubble(t, "an exit of its goroutine stops nobody else", func(t *testing.T) {
		g := group.New(nil, call, group.Options{})
		var wg sync.WaitGroup
		wg.Go(func() { _ = g.Do(t.Context(), runtime.Goexit) })
		wg.Wait()
		require.NoError(t, g.Do(t.Context(), func() {}))
	})
	bubble(t, "a caller leaves until he is called, and then is not called", func(t *testing.T) {
		hold := make(chan struct{})
		g := group.New(nil, func(b []*group.Item[func()]) {
			<-hold
			_, ok := b[0].Call(b[0].Value)
			require.False(t, ok)
			b[0].Done(nil)
		}, group.Options{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		err := g.Do(ctx, func() { t.Error("ran") })
		require.Equal(t, outcome.NotSent, outcome.Of(err))
		require.Equal(t, time.Second, time.Since(start))
		close(hold)
	})
	bubble(t, "may be made again", func(t *testing.T) {
		g := group.New(nil, func(b []*group.Item[func()]) {
			for range 3 {
				returned, ok := b[0].Call(b[0].Value)
				require.True(t, ok)
				<-returned
			}
			b[0].Done(errBoom)
		}, group.Options{})
		n := 0
		require.ErrorIs(t, g.Do(t.Context(), func() { n++ }), errBoom)
		require.Equal(t, 3, n)
	})
	bubble(t, "a round need not wait for it", func(t *testing.T) {
		g := group.New(nil, func(b []*group.Item[func()]) {
			for _, it := range b {
				returned, ok := it.Call(it.Value)
				require.True(t, ok)
				limit := time.NewTimer(time.Second)
				select {
				case <-returned:
					it.Done(nil)
				case <-limit.C:
					it.Done(errBoom)
				}
			}
		}, group.Options{})
		start := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() {
			err := g.Do(t.Context(), func() {
				// It waits for itself, and gets away with it.
				if err := g.Do(t.Context(), func() {}); err != nil {
					t.Error(err)
				}
			})
			require.ErrorIs(t, err, errBoom)
		})
		wg.Wait()
		require.Equal(t, time.Second, time.Since(start))
	})
}

// TestStorm has many callers with contexts that end at random, some of whose
// items are recycled many times: each verdict must belong to its own item.
func TestStorm(t *testing.T) {
	var ran sync.Map
	var g *group.Group[int]
	verdict := func(v int) error {
		if v%3 == 0 {
			return fmt.Errorf("%d: %w", v, errBoom)
		}
		return nil
	}
	g = group.New(nil, func(b []*group.Item[int]) {
		for i, it := range b {
			v := it.Value
			if v%2 == 0 {
				returned, ok := it.Call(func() { ran.Store(v, true) })
				if !ok {
					continue
				}
				<-returned
			} else {
				kept := g.Begin(b[i : i+1])
				if len(kept) == 0 {
					continue
				}
				ran.Store(v, true)
				g.End(kept)
			}
			it.Done(verdict(v))
		}
	}, group.Options{Batch: 8, Queue: 40, Grace: time.Nanosecond})
	var wg sync.WaitGroup
	var left, unknown atomic.Int64
	for c := range 64 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(1, uint64(c)))
			for i := range 500 {
				v := c*500 + i
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rnd.IntN(200))*time.Microsecond)
				err := g.Do(ctx, v)
				cancel()
				_, did := ran.Load(v)
				switch {
				case err == nil && (!did || verdict(v) != nil):
					t.Errorf("%d: success, ran %v, want %v", v, did, verdict(v))
				case errors.Is(err, errBoom) && (!did || err.Error() != verdict(v).Error()):
					t.Errorf("%d: got %v", v, err)
				case errors.Is(err, group.ErrFull):
				case err != nil && outcome.Of(err) == outcome.NotSent:
					left.Add(1)
					if did {
						t.Errorf("%d: %v, but it ran", v, err)
					}
				case err != nil && !errors.Is(err, errBoom):
					unknown.Add(1)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d left in time, %d do not know", left.Load(), unknown.Load())
}

func BenchmarkDo(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprint(callers, " callers"), func(b *testing.B) {
			g := group.New(nil, func(b []*group.Item[int]) {
				for _, it := range b {
					it.Done(nil)
				}
			}, group.Options{})
			b.ReportAllocs()
			b.SetParallelism(callers)
			if callers == 1 {
				for b.Loop() {
					_ = g.Do(b.Context(), 1)
				}
				return
			}
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					_ = g.Do(b.Context(), 1)
				}
			})
		})
	}
}

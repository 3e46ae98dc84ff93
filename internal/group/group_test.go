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

// A gate is a round that waits to be let through.
type gate struct {
	sizes   []int
	ran     []int
	through chan struct{}
}

func (g *gate) run(b []*group.Item[int]) {
	g.sizes = append(g.sizes, len(b))
	<-g.through
	for _, it := range b {
		g.ran = append(g.ran, it.Value)
		it.Done(nil)
	}
}

func newGate() *gate { return &gate{through: make(chan struct{})} }

func TestRounds(t *testing.T) {
	bubble(t, "whoever comes while a round is under way shares the next", func(t *testing.T) {
		r := newGate()
		g := group.New(nil, r.run, group.Options{Batch: 4})
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() { require.NoError(t, g.Do(t.Context(), i)) })
			synctest.Wait()
		}
		close(r.through)
		wg.Wait()
		require.Equal(t, []int{1, 4, 4, 1}, r.sizes)
		require.Equal(t, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, r.ran, "in the order they came")
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
		r := newGate()
		g := group.New(nil, r.run, group.Options{Queue: 3})
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
		close(r.through)
		wg.Wait()
		require.NoError(t, g.Do(t.Context(), 5))
	})
}

func TestLeaving(t *testing.T) {
	bubble(t, "before its turn: never run", func(t *testing.T) {
		r := newGate()
		g := group.New(nil, r.run, group.Options{})
		var wg sync.WaitGroup
		wg.Go(func() { require.NoError(t, g.Do(t.Context(), 1)) })
		synctest.Wait()
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errBoom)
		defer cancel()
		err := g.Do(ctx, 2)
		require.Equal(t, outcome.NotSent, outcome.Of(err))
		require.ErrorIs(t, err, errBoom)
		close(r.through)
		wg.Wait()
		require.Equal(t, []int{1}, r.ran)
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
	bubble(t, "in the round: the truth, if it comes soon", func(t *testing.T) {
		r := newGate()
		g := group.New(nil, r.run, group.Options{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		time.AfterFunc(1900*time.Millisecond, func() { close(r.through) })
		require.NoError(t, g.Do(ctx, 1))
	})
	bubble(t, "in the round: unknown, if it does not", func(t *testing.T) {
		r := newGate()
		g := group.New(nil, r.run, group.Options{Grace: 3 * time.Second})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		err := g.Do(ctx, 1)
		require.Equal(t, outcome.Unknown, outcome.Of(err))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 4*time.Second, time.Since(start))
		close(r.through)
	})
	bubble(t, "one that leaves harms no neighbour", func(t *testing.T) {
		r := newGate()
		g := group.New(nil, r.run, group.Options{})
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
		close(r.through)
		wg.Wait()
		require.Equal(t, []int{0, 2, 4, 6, 8}, r.ran)
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
		require.PanicsWithValue(t, "mine", func() { _ = g.DoHere(t.Context(), func() { panic("mine") }) })
		require.NoError(t, g.DoHere(t.Context(), func() {}))
	})
	bubble(t, "an exit of its goroutine stops nobody else", func(t *testing.T) {
		g := group.New(nil, call, group.Options{})
		var wg sync.WaitGroup
		wg.Go(func() { _ = g.DoHere(t.Context(), runtime.Goexit) })
		wg.Wait()
		require.NoError(t, g.DoHere(t.Context(), func() {}))
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
		err := g.DoHere(ctx, func() { t.Error("ran") })
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
		require.ErrorIs(t, g.DoHere(t.Context(), func() { n++ }), errBoom)
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
			err := g.DoHere(t.Context(), func() {
				// It waits for itself, and gets away with it.
				if err := g.DoHere(t.Context(), func() {}); err != nil {
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
	verdict := func(v int) error {
		if v%3 == 0 {
			return fmt.Errorf("%d: %w", v, errBoom)
		}
		return nil
	}
	g := group.New(nil, func(b []*group.Item[int]) {
		for _, it := range b {
			v := it.Value
			if v%2 == 0 {
				returned, ok := it.Call(func() { ran.Store(v, true) })
				if !ok {
					continue
				}
				<-returned
			} else {
				ran.Store(v, true)
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
				do := g.Do
				if v%2 == 0 {
					do = g.DoHere
				}
				err := do(ctx, v)
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

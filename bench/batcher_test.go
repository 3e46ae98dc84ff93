package bench

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/crosstie/crosstie/requestreply/coalesce"
)

// What it costs a key to be gathered with others. The fetch answers at once, so
// that only the gathering is left. The floor is what one writes by hand: a lock,
// a slice of keys and one channel to close, without limits, without leaving
// early, without errors per key and without care for panics.

const pageRows = 100

type handBatch struct {
	keys []int
	done chan struct{}
	vals map[int]int
}

type handBatcher struct {
	mu   sync.Mutex
	open *handBatch
}

func (h *handBatcher) load(ctx context.Context, k int) (int, error) {
	h.mu.Lock()
	if h.open == nil {
		b := &handBatch{done: make(chan struct{})}
		h.open = b
		time.AfterFunc(time.Second, func() {
			h.mu.Lock()
			mine := h.open == b
			if mine {
				h.open = nil
			}
			h.mu.Unlock()
			if mine {
				h.send(b)
			}
		})
	}
	b := h.open
	b.keys = append(b.keys, k)
	full := len(b.keys) == pageRows
	if full {
		h.open = nil
	}
	h.mu.Unlock()
	if full {
		go h.send(b)
	}
	select {
	case <-b.done:
		return b.vals[k], nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (h *handBatcher) send(b *handBatch) {
	b.vals, _ = double(context.Background(), b.keys)
	close(b.done)
}

func double(_ context.Context, keys []int) (map[int]int, error) {
	found := make(map[int]int, len(keys))
	for _, k := range keys {
		found[k] = 2 * k
	}
	return found, nil
}

// page loads its rows, each in a goroutine.
func page(b *testing.B, load func(context.Context, int) (int, error)) {
	var rows sync.WaitGroup
	for k := range pageRows {
		rows.Go(func() {
			if v, err := load(b.Context(), k); v != 2*k || err != nil {
				b.Errorf("%d: %d, %v", k, v, err)
			}
		})
	}
	rows.Wait()
}

// trips sends a value to another goroutine and back, as often as a page has
// rows.
func trips(there, back chan int) {
	for k := range pageRows {
		there <- k
		<-back
	}
}

func BenchmarkBatcher(b *testing.B) {
	ours := coalesce.NewBatcher(double, &coalesce.BatcherOptions{Window: time.Second, MaxKeys: pageRows})
	hand := &handBatcher{}
	works := []struct {
		name string
		run  func(b *testing.B)
	}{
		{"hand", func(b *testing.B) { page(b, hand.load) }},
		{"ours", func(b *testing.B) { page(b, ours.Load) }},
	}
	for _, w := range works {
		b.Run(w.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				w.run(b)
			}
			b.ReportMetric(float64(b.Elapsed())/float64(b.N)/pageRows, "ns/key")
		})
	}
}

// BenchmarkBatcherRatio takes turns within each round and reports the median of
// the rounds' ratios.
func BenchmarkBatcherRatio(b *testing.B) {
	ours := coalesce.NewBatcher(double, &coalesce.BatcherOptions{Window: time.Second, MaxKeys: pageRows})
	hand := &handBatcher{}
	there, back := make(chan int), make(chan int)
	go func() {
		for k := range there {
			back <- k
		}
	}()
	defer close(there)
	all := make([]int, pageRows)
	for k := range all {
		all[k] = k
	}
	works := []func(){
		func() { trips(there, back) },
		func() { page(b, hand.load) },
		func() { page(b, ours.Load) },
		func() { // the rows' goroutines alone
			page(b, func(_ context.Context, k int) (int, error) { return 2 * k, nil })
		},
		func() {
			if _, err := ours.LoadAll(b.Context(), all); err != nil {
				b.Error(err)
			}
		},
	}
	const trip, byHand, load, rows, loadAll = 0, 1, 2, 3, 4
	rounds := map[string][]float64{}
	turn := 0
	for b.Loop() {
		var took [5]float64
		for i := range works {
			w := (i + turn) % len(works)
			start := time.Now()
			for range 5 {
				works[w]()
			}
			took[w] = float64(time.Since(start))
		}
		turn++
		rounds["load/trip"] = append(rounds["load/trip"], (took[load]-took[rows])/took[trip])
		rounds["load/hand"] = append(rounds["load/hand"], took[load]/took[byHand])
		rounds["loadall/trip"] = append(rounds["loadall/trip"], took[loadAll]/took[trip])
	}
	for name, r := range rounds {
		slices.Sort(r)
		b.ReportMetric(r[len(r)/2], name)
	}
}

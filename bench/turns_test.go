//go:build linux

package bench

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"
)

// A work does n of something and says how long that took.
type work struct {
	name string
	do   func(n int) (time.Duration, error)
}

// timed is a work all of whose time counts.
func timed(do func(n int) error) func(int) (time.Duration, error) {
	return func(n int) (time.Duration, error) {
		start := time.Now()
		err := do(n)
		return time.Since(start), err
	}
}

// takeTurns measures works in rounds of n, each round with another first, so
// that what disturbs the machine disturbs all of them. The first is ours. It
// reports our rate in unit, our allocations, the others' rates under their names,
// and as "ours/name" the median of the ratios of the rates within a round: above
// 1 we are faster.
func takeTurns(b *testing.B, n int, unit string, works []work) {
	run := func(w work) time.Duration {
		d, err := w.do(n)
		if err != nil {
			b.Fatal(w.name, err)
		}
		return d
	}
	for _, w := range works { // statements get prepared, files get their first pages
		run(w)
	}
	took := make([][]time.Duration, len(works))
	rounds := 0
	var before, after runtime.MemStats
	var allocs uint64
	for b.Loop() {
		rounds++
		for i := range works {
			k := (rounds + i) % len(works)
			runtime.ReadMemStats(&before)
			took[k] = append(took[k], run(works[k]))
			if k == 0 {
				runtime.ReadMemStats(&after)
				allocs += after.Mallocs - before.Mallocs
			}
		}
	}
	rate := func(k int) float64 { return float64(n) / median(took[k]).Seconds() }
	b.ReportMetric(rate(0), unit)
	b.ReportMetric(float64(allocs)/float64(rounds*n), "allocs/each")
	for k := 1; k < len(works); k++ {
		ratios := make([]float64, rounds)
		for i := range ratios {
			ratios[i] = took[k][i].Seconds() / took[0][i].Seconds()
		}
		b.ReportMetric(rate(k), works[k].name)
		b.ReportMetric(median(ratios), "ours/"+works[k].name)
	}
	b.ReportMetric(0, "ns/op") // a round of several works: says nothing
}

func median[T ~int64 | ~float64](xs []T) T {
	xs = slices.Sorted(slices.Values(xs))
	return xs[len(xs)/2]
}

// syncs returns how many 4 KiB writes a second the disk makes durable one by
// one.
func syncs(b *testing.B, dir string) float64 {
	f, err := os.Create(filepath.Join(dir, "probe"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	const n = 200
	page := make([]byte, 4096)
	if _, err := f.Write(make([]byte, n*len(page))); err != nil {
		b.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	for i := range int64(n) {
		if _, err := f.WriteAt(page, i*int64(len(page))); err != nil {
			b.Fatal(err)
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			b.Fatal(err)
		}
	}
	return n / time.Since(start).Seconds()
}

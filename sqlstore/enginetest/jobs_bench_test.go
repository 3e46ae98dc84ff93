package enginetest

import (
	"context"
	"database/sql"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/remoteinvoke"
	"github.com/crosstie/crosstie/sqlstore"
)

// benchInput is about 215 bytes of JSON.
var benchInput = map[string]string{"from": strings.Repeat("a", 90), "to": strings.Repeat("b", 100)}

func benchService(d *sqlstore.DB, workers int, returned *atomic.Int64) *remoteinvoke.Service {
	return remoteinvoke.NewService("bench", d.Jobs(), func(context.Context, *remoteinvoke.Job, map[string]string) (string, error) {
		returned.Add(1)
		return "a short result", nil
	}, &remoteinvoke.ServiceOptions{Workers: workers, MaxPending: -1})
}

// BenchmarkJobAcceptToFinish measures both at once: 256 callers start jobs
// that 256 workers run.
func BenchmarkJobAcceptToFinish(b *testing.B) {
	d, db := open(b, 8, nil)
	var returned atomic.Int64
	s := benchService(d, 256, &returned)
	ctx, cancel := context.WithCancel(b.Context())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	b.ReportAllocs()
	b.ResetTimer()
	fillJobs(b, s, b.N)
	untilEnded(b, db, &returned, b.N)
	b.StopTimer()
	cancel()
	require.NoError(b, <-ran)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
}

func fillJobs(b *testing.B, s *remoteinvoke.Service, n int) {
	b.Helper()
	var left atomic.Int64
	left.Store(int64(n))
	var wg sync.WaitGroup
	for range 256 {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if _, err := s.Start(context.Background(), "", benchInput, nil); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// untilEnded waits for the ends of n jobs: that many functions have returned,
// and then the last results are written.
func untilEnded(b *testing.B, db *sql.DB, returned *atomic.Int64, n int) {
	b.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for left := 1; left > 0; <-tick.C {
		if returned.Load() < int64(n) {
			continue
		}
		require.NoError(b, db.QueryRow(`SELECT count(*) FROM (SELECT 1 FROM crosstie_jobs WHERE service = 'bench' AND state < 3 LIMIT 1)`).Scan(&left))
	}
}

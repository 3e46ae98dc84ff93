package enginetest

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/fireforget"
)

// BenchmarkPostgresSendTx measures a transaction that sends one message of 512
// bytes and commits, with 32 callers on as many connections, beside a bare
// insert of the same row into the same table and its commit: "of-floor" is
// ours by theirs. The two take turns, since the disk's speed changes.
func BenchmarkPostgresSendTx(b *testing.B) {
	const callers = 32
	d, db := openPG(b, callers, nil)
	box := fireforget.NewOutbox(d.Outbox(), nil)
	body := make([]byte, 512)
	ctx := context.Background()
	var n atomic.Int64
	inTx := func(send func(tx *sql.Tx) error) func() error {
		return func() error {
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			if err := send(tx); err != nil {
				return err
			}
			return tx.Commit()
		}
	}
	ours := inTx(func(tx *sql.Tx) error {
		_, err := box.SendTx(ctx, tx, fireforget.Message{To: "dest", Payload: body})
		return err
	})
	floor := inTx(func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO crosstie_outbox (part, due_us, dest, key, id, content_type, body, accepted_us, not_before_us, expires_us, attempt, epoch)
			VALUES ($1, 0, $2, '', $3, $4, $5, $6, 0, 0, 0, 0)`,
			int64(7)<<8, "floor", fmt.Sprintf("01234567-89ab-7def-8123-%012d", n.Add(1)), "application/octet-stream", body, time.Now().UnixMicro())
		return err
	})
	run := func(calls int, fn func() error) time.Duration {
		var left atomic.Int64
		left.Store(int64(calls))
		errs := make(chan error, callers)
		begin := time.Now()
		for range callers {
			go func() {
				var err error
				for left.Add(-1) >= 0 && err == nil {
					err = fn()
				}
				errs <- err
			}()
		}
		for range callers {
			require.NoError(b, <-errs)
		}
		return time.Since(begin)
	}
	require.NotZero(b, run(20*callers, ours)+run(20*callers, floor)) // connections, plans
	const turn = 500
	var took [2]time.Duration
	b.ReportAllocs()
	b.ResetTimer()
	done := 0
	for ; done < b.N; done += turn {
		calls := min(turn, b.N-done)
		took[0] += run(calls, ours)
		b.StopTimer()
		took[1] += run(calls, floor)
		b.StartTimer()
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/took[0].Seconds(), "accepts/s")
	b.ReportMetric(took[1].Seconds()/took[0].Seconds(), "of-floor")
	b.ReportMetric(syncs(b), "fdatasync/s")
}

// syncs is how often this disk can sync a page, in a second.
func syncs(b *testing.B) float64 {
	f, err := os.Create(filepath.Join(b.TempDir(), "page"))
	require.NoError(b, err)
	defer f.Close()
	page := make([]byte, 8192)
	n, begin := 0, time.Now()
	for time.Since(begin) < 300*time.Millisecond {
		_, err := f.WriteAt(page, 0)
		require.NoError(b, err)
		require.NoError(b, f.Sync())
		n++
	}
	return float64(n) / time.Since(begin).Seconds()
}

// BenchmarkPostgresRelay measures a relay with a deliverer that does nothing,
// from a backlog, with the order of each key and without keys.
func BenchmarkPostgresRelay(b *testing.B) {
	for _, keys := range []int{0, 1000} {
		b.Run(fmt.Sprintf("keys=%d", keys), func(b *testing.B) {
			d, _ := openPG(b, 8, nil)
			fill(b, fireforget.NewOutbox(d.Outbox(), nil), keys, b.N)
			var n atomic.Int64
			done := make(chan struct{})
			r := fireforget.NewRelay(d.Outbox(), nil)
			r.Handle("dest", fireforget.DelivererFunc(func(context.Context, fireforget.Item) error {
				if n.Add(1) == int64(b.N) {
					close(done)
				}
				return nil
			}), nil)
			ctx, cancel := context.WithCancel(context.Background())
			ran := make(chan error, 1)
			b.ReportAllocs()
			b.ResetTimer()
			go func() { ran <- r.Run(ctx) }()
			<-done
			cancel()
			require.NoError(b, <-ran)
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "delivered/s")
		})
	}
}

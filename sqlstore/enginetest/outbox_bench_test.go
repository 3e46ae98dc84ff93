package enginetest

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/fireforget"
)

// BenchmarkOutboxSend measures durable accepts of 512 bytes at synchronous
// FULL, by how many callers send at once.
func BenchmarkOutboxSend(b *testing.B) {
	for _, keyed := range []bool{false, true} {
		for _, callers := range []int{1, 8, 64, 256} {
			b.Run(fmt.Sprintf("keyed=%v/callers=%d", keyed, callers), func(b *testing.B) {
				d, _ := open(b, 8, nil)
				box := fireforget.NewOutbox(d.Outbox(), nil)
				m := fireforget.Message{To: "dest", Payload: make([]byte, 512)}
				var n atomic.Int64
				b.ReportAllocs()
				atOnce(b, callers, func() error {
					m := m
					if keyed {
						m.Key = fmt.Sprint(n.Add(1) % 1000)
					}
					_, err := box.Send(context.Background(), m)
					return err
				})
			})
		}
	}
}

// atOnce shares b.N calls of fn among callers.
func atOnce(b *testing.B, callers int, fn func() error) {
	b.Helper()
	var left atomic.Int64
	left.Store(int64(b.N))
	errs := make(chan error, callers)
	b.ResetTimer()
	for range callers {
		go func() {
			for left.Add(-1) >= 0 {
				if err := fn(); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range callers {
		require.NoError(b, <-errs)
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "accepts/s")
}

// BenchmarkOutboxRelay measures a relay with a deliverer that does nothing,
// from a backlog, with the order of each key and without keys.
func BenchmarkOutboxRelay(b *testing.B) {
	for _, keys := range []int{0, 1, 1000} {
		b.Run(fmt.Sprintf("keys=%d", keys), func(b *testing.B) {
			d, _ := open(b, 8, nil)
			box := fireforget.NewOutbox(d.Outbox(), nil)
			fill(b, box, keys, b.N)
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

func fill(b *testing.B, box *fireforget.Outbox, keys, n int) {
	b.Helper()
	body := make([]byte, 512)
	ms := make([]fireforget.Message, 0, 1000)
	for i := range n {
		m := fireforget.Message{To: "dest", Payload: body}
		if keys > 0 {
			m.Key = fmt.Sprint("key", i%keys)
		}
		if ms = append(ms, m); len(ms) == cap(ms) || i == n-1 {
			_, err := box.SendAll(b.Context(), ms)
			require.NoError(b, err)
			ms = ms[:0]
		}
	}
}

// BenchmarkOutboxSendFloor is what a loop written by hand reaches with the
// same table, index and durability, when it knows beforehand what shares a
// commit: as many rows as there would be callers, one statement a row, or
// lists of up to 64 rows. Divide BenchmarkOutboxSend by it.
func BenchmarkOutboxSendFloor(b *testing.B) {
	const columns = `(part, due_us, dest, key, id, content_type, body, accepted_us, not_before_us, expires_us, attempt, epoch)`
	const row = `(?, 0, ?, '', ?, ?, ?, ?, 0, 0, 0, 0)`
	for _, many := range []int{1, 64} {
		for _, batch := range []int{1, 8, 64, 256} {
			size := min(many, batch)
			b.Run(fmt.Sprintf("rows=%d/callers=%d", many, batch), func(b *testing.B) {
				_, db := open(b, 8, nil)
				conn, err := db.Conn(b.Context())
				require.NoError(b, err)
				defer conn.Close()
				prepare := func(q string) *sql.Stmt {
					s, err := conn.PrepareContext(b.Context(), q)
					require.NoError(b, err)
					b.Cleanup(func() { _ = s.Close() })
					return s
				}
				begin, commit := prepare(`BEGIN IMMEDIATE`), prepare(`COMMIT`)
				insert := prepare(`INSERT INTO crosstie_outbox ` + columns + ` VALUES ` + row + strings.Repeat(","+row, size-1))
				body := make([]byte, 512)
				args := make([]any, 0, 6*size)
				exec := func(s *sql.Stmt, args ...any) {
					_, err := s.ExecContext(context.Background(), args...)
					require.NoError(b, err)
				}
				b.ReportAllocs()
				b.ResetTimer()
				for i := 0; i < b.N; {
					exec(begin)
					for range batch / size {
						args = args[:0]
						for range size {
							args = append(args, int64(7)<<8, "dest", fmt.Sprintf("01234567-89ab-7def-8123-%012d", i), "application/octet-stream", body, time.Now().UnixMicro())
							i++
						}
						exec(insert, args...)
					}
					exec(commit)
				}
				b.StopTimer()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "accepts/s")
			})
		}
	}
}

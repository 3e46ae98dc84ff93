package enginetest

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/fireforget"
)

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

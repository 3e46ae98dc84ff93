package fireforget_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/fireforget"
)

func BenchmarkSend(b *testing.B) {
	box := fireforget.NewOutbox(fireforget.NewMem(), &fireforget.OutboxOptions{MaxPending: -1})
	m := fireforget.Message{To: "dest", Key: "key", Payload: make([]byte, 512)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := box.Send(context.Background(), m); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRelay delivers a backlog with a deliverer that does nothing.
func BenchmarkRelay(b *testing.B) {
	for _, keys := range []int{0, 1, 1000} {
		b.Run(fmt.Sprintf("keys=%d", keys), func(b *testing.B) {
			s := fireforget.NewMem()
			box := fireforget.NewOutbox(s, &fireforget.OutboxOptions{MaxPending: -1})
			for i := range b.N {
				m := fireforget.Message{To: "dest", Payload: []byte("x")}
				if keys > 0 {
					m.Key = fmt.Sprint(i % keys)
				}
				_, err := box.Send(b.Context(), m)
				require.NoError(b, err)
			}
			var n atomic.Int64
			done := make(chan struct{})
			r := fireforget.NewRelay(s, nil)
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
		})
	}
}

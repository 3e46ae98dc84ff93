package enginetest

import (
	"context"
	"database/sql"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/inbox"
	"github.com/crosstie/crosstie/pubsub"
)

type rawData []byte

// rawCodec measures the log and not encoding/json.
type rawCodec struct{}

func (rawCodec) Encode(v any) ([]byte, string, error) {
	return v.(rawData), "application/octet-stream", nil
}

func (rawCodec) Decode(m pubsub.Message, v any) error {
	*v.(*rawData) = m.Data
	return nil
}

func fillLog(b *testing.B, topic *pubsub.Topic[rawData], keys, n int) {
	b.Helper()
	data := make(rawData, 256)
	es := make([]pubsub.Event[rawData], 0, 1000)
	for i := range n {
		es = append(es, pubsub.Event[rawData]{Key: fmt.Sprint("key", i%keys), Data: data})
		if len(es) == cap(es) || i == n-1 {
			_, err := topic.PublishAll(b.Context(), es)
			require.NoError(b, err)
			es = es[:0]
		}
	}
}

// BenchmarkLogSubscribe measures a subscription from a backlog: with a handler
// that does nothing, and with one whose effect is a row, under an inbox.
func BenchmarkLogSubscribe(b *testing.B) {
	for _, tx := range []bool{false, true} {
		b.Run(fmt.Sprintf("tx=%v", tx), func(b *testing.B) {
			d, db := open(b, 8, nil)
			table(b, db)
			topic := pubsub.NewTopic[rawData](d.Log(), "t", &pubsub.TopicOptions{Codec: rawCodec{}})
			fillLog(b, topic, 1000, b.N)
			var n atomic.Int64
			done := make(chan struct{})
			count := func() {
				if n.Add(1) == int64(b.N) {
					close(done)
				}
			}
			s := pubsub.Subscribe(topic, "g", func(context.Context, pubsub.Event[rawData]) error {
				count()
				return nil
			}, nil)
			if tx {
				s = pubsub.SubscribeTx(topic, "g", inbox.New("box", d.Inbox(), nil), func(ctx context.Context, tx *sql.Tx, e pubsub.Event[rawData]) error {
					defer count()
					return add(e.ID)(ctx, tx)
				}, &pubsub.SubscribeOptions{InFlight: 64})
			}
			ctx, cancel := context.WithCancel(context.Background())
			ran := make(chan error, 1)
			b.ReportAllocs()
			b.ResetTimer()
			go func() { ran <- s.Run(ctx) }()
			<-done
			cancel()
			require.NoError(b, <-ran)
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "handled/s")
		})
	}
}

// BenchmarkLogReadFloor is the query of a subscription's page and nothing
// else. Divide BenchmarkLogSubscribe by it.
func BenchmarkLogReadFloor(b *testing.B) {
	d, db := open(b, 8, nil)
	topic := pubsub.NewTopic[rawData](d.Log(), "t", &pubsub.TopicOptions{Codec: rawCodec{}})
	fillLog(b, topic, 1000, b.N)
	page, err := db.PrepareContext(b.Context(), `SELECT seq, id, source, type, subject, schema, content_type, key, time_us, header, data, appended_us
		FROM crosstie_log WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT 256`)
	require.NoError(b, err)
	defer page.Close()
	b.ReportAllocs()
	b.ResetTimer()
	var seq int64
	for n := 0; n < b.N; {
		rows, err := page.QueryContext(context.Background(), seq, int64(1)<<62)
		require.NoError(b, err)
		for rows.Next() {
			var id, source, typ, subject, schema, contentType, key string
			var happened, appended int64
			var header sql.NullString
			var data []byte
			require.NoError(b, rows.Scan(&seq, &id, &source, &typ, &subject, &schema, &contentType, &key, &happened, &header, &data, &appended))
			n++
		}
		require.NoError(b, rows.Close())
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "handled/s")
}

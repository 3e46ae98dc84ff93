//go:build linux

package bench

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/crosstie/crosstie/pubsub"
)

// BenchmarkPublish is pubsub.Topic.Publish of 256 bytes to the log on SQLite,
// from so many publishers at once, beside a floor written by hand: the same
// rows into the same table, as many a commit as there are publishers, the
// topic's head once a commit, and nobody to hand them over or to answer to.
//
//	appends/s         ours
//	row-floor         the floor that runs one INSERT a row
//	list-floor        the floor that runs VALUES lists of 64
func BenchmarkPublish(b *testing.B) {
	for _, publishers := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("publishers=%d", publishers), func(b *testing.B) {
			dir := b.TempDir()
			topic := pubsub.NewTopic[raw](store(b, pool(b, filepath.Join(dir, "ours.db"))).Log(), "t", &pubsub.TopicOptions{Codec: rawCodec{}})
			data := make(raw, 256)
			ours := func(n int) error {
				return atOnce(publishers, n, func(int) error {
					_, err := topic.Publish(context.Background(), "key", data)
					return err
				})
			}
			takeTurns(b, max(publishers*40, 400), "appends/s", []work{
				{"ours", timed(ours)},
				{"row-floor", timed(publishByHand(b, filepath.Join(dir, "row.db"), publishers, 1))},
				{"list-floor", timed(publishByHand(b, filepath.Join(dir, "list.db"), publishers, 64))},
			})
			b.ReportMetric(syncs(b, dir), "fdatasync/s")
		})
	}
}

type raw []byte

// rawCodec measures the log and not encoding/json.
type rawCodec struct{}

func (rawCodec) Encode(v any) ([]byte, string, error) {
	return v.(raw), "application/octet-stream", nil
}

func (rawCodec) Decode(m pubsub.Message, v any) error {
	*v.(*raw) = m.Data
	return nil
}

func publishByHand(b *testing.B, path string, batch, list int) func(n int) error {
	const row = `(?, 7, ?, '/t', 't', '', '', 'application/octet-stream', 'key', ?, ?, ?)`
	insert := func(rows int) string {
		return `INSERT INTO crosstie_log (seq, hash, id, source, type, subject, schema, content_type, key, time_us, data, appended_us) VALUES ` +
			row + strings.Repeat(","+row, rows-1)
	}
	h := newHand(b, pool(b, path))
	head := h.prepare(`UPDATE crosstie_log_topic SET head = head + ? WHERE id = 1`)
	one, many := h.prepare(insert(1)), h.prepare(insert(list))
	data := make([]byte, 256)
	seq := 1 << 40
	var args []any
	return func(n int) error {
		for n > 0 {
			h.exec(h.begin)
			left := min(n, batch)
			n -= left
			h.exec(head, left)
			for left > 0 {
				s, k := many, list
				if left < list {
					s, k = one, 1
				}
				args = args[:0]
				now := time.Now().UnixMicro()
				for range k {
					seq++
					args = append(args, seq, fmt.Sprintf("01234567-89ab-7def-8123-%012d", seq-1<<40), now, data, now)
				}
				h.exec(s, args...)
				left -= k
			}
			h.exec(h.commit)
		}
		return nil
	}
}

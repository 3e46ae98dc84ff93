//go:build linux

package bench

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/crosstie/crosstie/fireforget"
)

// BenchmarkAccept is the price of durability: fireforget.Outbox.Send on SQLite,
// from so many callers at once, beside a floor: one goroutine that writes the
// same rows into the same tables, as many a commit as there are callers (at
// most 256, our own batch), by hand on database/sql, with nobody to hand them
// over or to answer to. Both commit with synchronous=FULL. The rounds of the
// three writers take turns, each round with another first.
//
//	accepts/s         ours, median of the rounds
//	row-floor         accepts/s of the floor that runs one INSERT a row
//	list-floor        accepts/s of the floor that runs VALUES lists of 64
//	ours/row-floor    median of the ratios within a round: 0.9 is the goal at 64 and 256
//	ours/list-floor   the same
//	fdatasync/s       of the disk, measured beside: the works differ in nothing
//	                  else when it is slow, and only in processor time when it is fast
func BenchmarkAccept(b *testing.B) {
	for _, keys := range []string{"none", "many"} {
		for _, callers := range []int{1, 8, 64, 256} {
			b.Run(fmt.Sprintf("keys=%s/callers=%d", keys, callers), func(b *testing.B) { accept(b, callers, keys == "many") })
		}
	}
}

func accept(b *testing.B, callers int, keyed bool) {
	dir := b.TempDir()
	batch := min(callers, 256)
	n := max(callers*40, 400) // messages a round, about a tenth of a second
	db := pool(b, filepath.Join(dir, "ours.db"))
	send := ours(b, db, callers, keyed)
	if err := send(n); err != nil { // statements get prepared, files get their first pages
		b.Fatal(err)
	}
	works := []work{
		{"ours", timed(send)},
		{"row-floor", timed(byHand(b, pool(b, filepath.Join(dir, "row.db")), parts(b, db), batch, 1))},
		{"list-floor", timed(byHand(b, pool(b, filepath.Join(dir, "list.db")), parts(b, db), batch, 64))},
	}
	takeTurns(b, n, "accepts/s", works)
	b.ReportMetric(syncs(b, dir), "fdatasync/s")
}

var body = make([]byte, 512)

// ours returns what has callers send n messages between them.
func ours(b *testing.B, db *sql.DB, callers int, keyed bool) func(n int) error {
	out := fireforget.NewOutbox(store(b, db).Outbox(), nil)
	return func(n int) error {
		return atOnce(callers, n, func(c int) error {
			key := ""
			if keyed {
				key = fmt.Sprint("customer ", c)
			}
			_, err := out.Send(context.Background(), fireforget.Message{To: "erp", Key: key, Payload: body, Header: map[string]string{"source": "bench"}})
			return err
		})
	}
}

const (
	insert = `INSERT INTO crosstie_outbox (part, due_us, dest, key, id, sum, content_type, body, header,
		accepted_us, not_before_us, expires_us, attempt, epoch) VALUES `
	values  = `(?,?,?,?,?,?,?,?,?,?,?,?,?,?)`
	columns = 14
)

// parts returns the keys that are in use, and the part each is in, so that the
// floor fills its index alike.
func parts(b *testing.B, db *sql.DB) (ps []part) {
	rows, err := db.Query(`SELECT DISTINCT key, part FROM crosstie_outbox`)
	if err != nil {
		b.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var p part
		if err := rows.Scan(&p.key, &p.part); err != nil {
			b.Fatal(err)
		}
		ps = append(ps, p)
	}
	if err := rows.Err(); err != nil {
		b.Fatal(err)
	}
	return ps
}

type part struct {
	key  string
	part int64
}

// byHand returns what writes n rows in transactions of batch rows, by
// statements of list rows as long as there are so many left.
func byHand(b *testing.B, db *sql.DB, ps []part, batch, list int) func(n int) error {
	h := newHand(b, db)
	one := h.prepare(insert + values)
	many := one
	if list > 1 {
		many = h.prepare(insert + values + strings.Repeat(","+values, list-1))
	}
	rows := 0
	args := make([]any, 0, list*columns)
	transaction := func(n int) {
		h.exec(h.begin)
		for n > 0 {
			s, k := many, list
			if n < list {
				s, k = one, 1
			}
			args = args[:0]
			for range k {
				rows++
				id := fmt.Sprintf("0193a0f0-0000-7000-8000-%012d", rows)
				p := ps[rows%len(ps)]
				args = append(args, p.part, int64(0), "erp", p.key, id, nil, "application/octet-stream", body, `{"source":"bench"}`,
					time.Now().UnixMicro(), int64(0), int64(0), 0, 0)
			}
			h.exec(s, args...)
			n -= k
		}
		h.exec(h.commit)
	}
	return func(n int) error {
		for ; n > 0; n -= batch {
			transaction(min(n, batch))
		}
		return nil
	}
}

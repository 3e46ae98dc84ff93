//go:build linux

package bench

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/crosstie/crosstie/fireforget"
	"github.com/crosstie/crosstie/sqlstore"
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
	works := []struct {
		name string
		send func(n int) error
	}{
		{"ours", send},
		{"row", byHand(b, pool(b, filepath.Join(dir, "row.db")), parts(b, db), batch, 1)},
		{"list", byHand(b, pool(b, filepath.Join(dir, "list.db")), parts(b, db), batch, 64)},
	}
	for _, w := range works[1:] {
		if err := w.send(n); err != nil {
			b.Fatal(err)
		}
	}
	took := make(map[string][]time.Duration)
	first := 0
	for b.Loop() {
		first++
		for i := range works {
			w := works[(first+i)%len(works)]
			start := time.Now()
			if err := w.send(n); err != nil {
				b.Fatal(w.name, err)
			}
			took[w.name] = append(took[w.name], time.Since(start))
		}
	}
	rate := func(name string) float64 { return float64(n) / median(took[name]).Seconds() }
	ratio := func(name string) float64 {
		rs := make([]time.Duration, first) // of nanoseconds, in millionths
		for i := range rs {
			rs[i] = took[name][i] * 1e6 / took["ours"][i]
		}
		return float64(median(rs)) / 1e6
	}
	b.ReportMetric(rate("ours"), "accepts/s")
	b.ReportMetric(rate("row"), "row-floor")
	b.ReportMetric(rate("list"), "list-floor")
	b.ReportMetric(ratio("row"), "ours/row-floor")
	b.ReportMetric(ratio("list"), "ours/list-floor")
	b.ReportMetric(syncs(b, dir), "fdatasync/s")
	b.ReportMetric(0, "ns/op") // a round of three works: says nothing
}

func median(ds []time.Duration) time.Duration {
	ds = slices.Sorted(slices.Values(ds))
	return ds[len(ds)/2]
}

func pool(b *testing.B, path string) *sql.DB {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)&_pragma=synchronous(FULL)")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	if _, err := sqlstore.Open(b.Context(), db, sqlstore.SQLite, nil); err != nil {
		b.Fatal(err)
	}
	return db
}

var body = make([]byte, 512)

// ours returns what has callers send n messages between them.
func ours(b *testing.B, db *sql.DB, callers int, keyed bool) func(n int) error {
	store, err := sqlstore.Open(b.Context(), db, sqlstore.SQLite, nil)
	if err != nil {
		b.Fatal(err)
	}
	out := fireforget.NewOutbox(store.Outbox(), nil)
	return func(n int) error {
		var wg sync.WaitGroup
		var failed atomic.Value
		for c := range callers {
			wg.Go(func() {
				key := ""
				if keyed {
					key = fmt.Sprint("customer ", c)
				}
				for i := c; i < n; i += callers {
					m := fireforget.Message{To: "erp", Key: key, Payload: body, Header: map[string]string{"source": "bench"}}
					if _, err := out.Send(context.Background(), m); err != nil {
						failed.Store(err)
						return
					}
				}
			})
		}
		wg.Wait()
		err, _ := failed.Load().(error)
		return err
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
	ctx := context.Background()
	conn, err := db.Conn(ctx)
	if err != nil {
		b.Fatal(err)
	}
	prepare := func(q string) *sql.Stmt {
		s, err := conn.PrepareContext(ctx, q)
		if err != nil {
			b.Fatal(err)
		}
		return s
	}
	begin, commit, one := prepare(`BEGIN IMMEDIATE`), prepare(`COMMIT`), prepare(insert+values)
	many := one
	if list > 1 {
		q := insert + values
		for range list - 1 {
			q += "," + values
		}
		many = prepare(q)
	}
	b.Cleanup(func() { _ = conn.Close() })
	rows := 0
	args := make([]any, 0, list*columns)
	transaction := func(n int) error {
		if _, err := begin.ExecContext(ctx); err != nil {
			return err
		}
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
			if _, err := s.ExecContext(ctx, args...); err != nil {
				return err
			}
			n -= k
		}
		_, err := commit.ExecContext(ctx)
		return err
	}
	return func(n int) error {
		for ; n > 0; n -= batch {
			if err := transaction(min(n, batch)); err != nil {
				return err
			}
		}
		return nil
	}
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

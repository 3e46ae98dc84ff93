//go:build linux

package bench

import (
	"context"
	"database/sql"
	"sync"
	"sync/atomic"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/crosstie/crosstie/sqlstore"
)

// pool opens a file with our tables, each commit of which is durable.
func pool(b *testing.B, path string) *sql.DB {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)&_pragma=synchronous(FULL)")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	store(b, db)
	return db
}

func store(b *testing.B, db *sql.DB) *sqlstore.DB {
	s, err := sqlstore.Open(b.Context(), db, sqlstore.SQLite, nil)
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// atOnce has so many callers do n things between them.
func atOnce(callers, n int, do func(caller int) error) error {
	var left atomic.Int64
	left.Store(int64(n))
	var failed atomic.Value
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := do(c); err != nil {
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

// A hand is what writes a floor: one connection and its prepared statements.
// It ends the benchmark at the first error.
type hand struct {
	b             *testing.B
	conn          *sql.Conn
	begin, commit *sql.Stmt
}

func newHand(b *testing.B, db *sql.DB) *hand {
	conn, err := db.Conn(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	h := &hand{b: b, conn: conn}
	h.begin, h.commit = h.prepare(`BEGIN IMMEDIATE`), h.prepare(`COMMIT`)
	return h
}

func (h *hand) prepare(q string) *sql.Stmt {
	s, err := h.conn.PrepareContext(context.Background(), q)
	if err != nil {
		h.b.Fatal(err)
	}
	return s
}

func (h *hand) exec(s *sql.Stmt, args ...any) sql.Result {
	r, err := s.ExecContext(context.Background(), args...)
	if err != nil {
		h.b.Fatal(err)
	}
	return r
}

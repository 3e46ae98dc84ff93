package sqlstore

import (
	"context"
	"database/sql"
	"strings"
	"sync"
	"time"
)

// A writer runs the statements of one transaction. The same code serves calls
// that own their transaction and those that join the caller's.
type writer struct {
	d  *DB
	tx *sql.Tx

	mu    sync.Mutex // guards stmts: a function past its limit may still hold us
	stmts map[string]*sql.Stmt
	after *[]func() // nil in a foreign transaction

	// Whether an error of what runs undoes all it did: true for our own
	// functions in the shared commit, not for a caller's, who may go on.
	undone bool
}

func (d *DB) newWriter(tx *sql.Tx) *writer {
	return &writer{d: d, tx: tx, stmts: make(map[string]*sql.Stmt)}
}

// now is the time that is written into rows: see [micros].
func (w *writer) now() time.Time { return time.Now() }

// onCommit has f run when the transaction is durable. It reports false, and f
// never runs, in a transaction we did not begin: database/sql tells nobody of
// its commit. f must not block.
func (w *writer) onCommit(f func()) bool {
	if w.after == nil {
		return false
	}
	*w.after = append(*w.after, f)
	return true
}

// exec runs one statement. The text is written with the default prefix, is a
// constant or one of few (it is cached, prepared), and no context goes with
// it: an interrupted statement would roll back what others wrote.
func (w *writer) exec(q string, args ...any) (sql.Result, error) {
	if s := w.stmt(q); s != nil {
		return s.ExecContext(context.Background(), args...)
	}
	return w.tx.ExecContext(context.Background(), w.d.sql(q), args...)
}

// changed runs one statement and returns how many rows it changed.
func (w *writer) changed(q string, args ...any) (int64, error) {
	r, err := w.exec(q, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// row runs a query for one row. sql.ErrNoRows comes from Scan, as usual.
func (w *writer) row(q string, args ...any) *sql.Row {
	if s := w.stmt(q); s != nil {
		return s.QueryRowContext(context.Background(), args...)
	}
	return w.tx.QueryRowContext(context.Background(), w.d.sql(q), args...)
}

// query runs a query and has scan called for each of its rows; it must have a
// LIMIT.
func (w *writer) query(scan func(*sql.Rows) error, q string, args ...any) error {
	var rows *sql.Rows
	var err error
	if s := w.stmt(q); s != nil {
		rows, err = s.QueryContext(context.Background(), args...)
	} else {
		rows, err = w.tx.QueryContext(context.Background(), w.d.sql(q), args...)
	}
	return eachRow(rows, err, scan)
}

func eachRow(rows *sql.Rows, err error, scan func(*sql.Rows) error) error {
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// insertSizes are the lengths of the VALUES lists that insert prepares: few
// texts to cache, and one Exec for many rows is worth a quarter of the whole
// cost of an accept.
var insertSizes = [...]int{64, 16, 4, 1}

// insert adds n rows with few statements. head is "INSERT INTO t (a, b)",
// tail is empty or an ON CONFLICT clause; vals appends the values of row i, as
// many as there are columns.
func (w *writer) insert(head, tail string, columns, n int, vals func(i int, to []any) []any) error {
	args := make([]any, 0, columns*min(n, insertSizes[0]))
	for i := 0; i < n; {
		size := 1
		for _, s := range insertSizes {
			if s <= n-i {
				size = s
				break
			}
		}
		args = args[:0]
		for range size {
			args = vals(i, args)
			i++
		}
		q := head
		if w.undone && tail == "" && size > 1 {
			q = orFail(head)
		}
		if _, err := w.exec(w.d.valuesList(q, tail, columns, size), args...); err != nil {
			return err
		}
	}
	return nil
}

// orFail spares the engine the journal from which a statement of many rows
// that fails in the middle would be undone by itself: a fifth of the whole cost
// of an accept.
func orFail(head string) string { return "INSERT OR FAIL" + strings.TrimPrefix(head, "INSERT") }

type listKey struct {
	head, tail    string
	columns, size int
}

// valuesList returns the text of an insert of size rows.
func (d *DB) valuesList(head, tail string, columns, size int) string {
	k := listKey{head, tail, columns, size}
	if v, ok := d.lists.Load(k); ok {
		return v.(string)
	}
	row := "(?" + strings.Repeat(",?", columns-1) + ")"
	q := head + " VALUES " + row + strings.Repeat(","+row, size-1) + " " + tail
	d.lists.Store(k, q)
	return q
}

// stmt returns q prepared for this transaction, or nil if it is not prepared
// yet: preparing may wait for a connection, which nobody may do who holds one.
func (w *writer) stmt(q string) *sql.Stmt {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s, ok := w.stmts[q]; ok {
		return s
	}
	p := w.d.prepared(q)
	if p == nil {
		return nil
	}
	s := w.tx.StmtContext(context.Background(), p)
	w.stmts[q] = s
	return s
}

// maxStmts bounds the cache of prepared statements. Each room has few dozens.
const maxStmts = 512

// prepared returns the pool's statement for q, or nil after noting that it is
// wanted.
func (d *DB) prepared(q string) *sql.Stmt {
	d.mu.RLock()
	s, known := d.stmts[q]
	d.mu.RUnlock()
	if known {
		return s
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, known := d.stmts[q]; !known && len(d.stmts) < maxStmts {
		d.stmts[q] = nil
		d.wanted = append(d.wanted, q)
	}
	return nil
}

// prepareWanted prepares what earlier transactions ran unprepared. It is
// called by who is about to take a connection, so it waits for nothing else.
func (d *DB) prepareWanted(ctx context.Context) {
	d.mu.Lock()
	wanted := d.wanted
	d.wanted = nil
	d.mu.Unlock()
	for i, q := range wanted {
		s, err := d.db.PrepareContext(ctx, d.sql(q))
		d.mu.Lock()
		if err != nil {
			for _, q := range wanted[i:] {
				delete(d.stmts, q) // wanted again when next run
			}
			d.mu.Unlock()
			return
		}
		d.stmts[q] = s
		d.mu.Unlock()
	}
}

// micros is how times are stored: microseconds since 1970, UTC. The zero time
// is stored as 0.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

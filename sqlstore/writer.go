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
	d   *DB
	tx  *sql.Tx
	ctx context.Context // of its statements; a writer lives as long as one call

	lost error // why the server did not tell its time
	ours bool  // no statement of a caller runs in this transaction

	mu    sync.Mutex // guards stmts: a function past its limit may still hold us
	stmts map[string]*sql.Stmt
	after *[]func() // nil in a foreign transaction

	// Whether an error of what runs undoes all it did: true for our own
	// functions in the shared commit, not for a caller's, who may go on.
	undone bool
}

func (d *DB) newWriter(tx *sql.Tx) *writer {
	// On SQLite no context goes with a statement: an interrupted one would roll
	// back what others wrote.
	w := &writer{d: d, tx: tx, ctx: context.Background()}
	if d.dialect == SQLite {
		w.stmts = make(map[string]*sql.Stmt)
	}
	return w
}

// now is the time that is written into rows: see [micros]. Where processes of
// many machines meet it is the server's, as it is now and not as it was when
// the transaction began.
func (w *writer) now() time.Time {
	if w.d.dialect != PostgreSQL {
		return time.Now()
	}
	var us int64
	q := `SELECT ` + clock + `, ` + lasting + `, ''`
	if w.ours {
		// A plan stays cached with the connection: one made while the table was
		// empty must not read through all of it when it is full.
		q = `SELECT ` + clock + `, ` + lasting + `, set_config('enable_seqscan', 'off', true)`
	}
	if err := w.row(q).Scan(&us, new(sql.NullString), new(string)); err != nil {
		// Nothing more can be done in this transaction: the next statement
		// fails too, and runOnce tells why.
		w.lost = err
	}
	return fromMicros(us)
}

// lasting makes a transaction of PostgreSQL wait for the disk when it commits,
// whatever its session would do.
const lasting = `CASE WHEN current_setting('synchronous_commit') = 'off' THEN set_config('synchronous_commit', 'on', true) END`

// durably ends a statement that keeps a promise of ours, be it in a
// transaction of the caller.
const durably = ` /*pg RETURNING ` + lasting + `*/`

// clock is now in a statement of PostgreSQL.
const clock = `(extract(epoch FROM clock_timestamp()) * 1000000)::bigint`

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

// exec runs one statement. The text is written with the default prefix, and is
// a constant or one of few: it is cached.
func (w *writer) exec(q string, args ...any) (sql.Result, error) {
	if s := w.stmt(q); s != nil {
		return s.ExecContext(w.ctx, args...)
	}
	return w.tx.ExecContext(w.ctx, w.d.sql(q), args...)
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
		return s.QueryRowContext(w.ctx, args...)
	}
	return w.tx.QueryRowContext(w.ctx, w.d.sql(q), args...)
}

// query runs a query and has scan called for each of its rows; it must have a
// LIMIT.
func (w *writer) query(scan func(*sql.Rows) error, q string, args ...any) error {
	var rows *sql.Rows
	var err error
	if s := w.stmt(q); s != nil {
		rows, err = s.QueryContext(w.ctx, args...)
	} else {
		rows, err = w.tx.QueryContext(w.ctx, w.d.sql(q), args...)
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
// On PostgreSQL it is the driver's business, which knows what a pooler allows.
func (w *writer) stmt(q string) *sql.Stmt {
	if w.stmts == nil {
		return nil
	}
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
	if d.stmts == nil {
		return nil
	}
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

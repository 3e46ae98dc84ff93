package sqlstore

import (
	"context"
	"database/sql"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/crosstie/crosstie/internal/group"
)

// How a port of a room is built on this file's helpers.
//
// Texts of statements are constants that name tables with the default prefix,
// crosstie_; the helpers put in the prefix in use and cache the prepared
// statement. Tables come from migrations/ENGINE/NNNN_name.sql, found by name.
// A port for both engines writes its texts once: see dialect.go. It must not
// rely on being the only writer, as it is on SQLite: what it reads to decide on
// it locks with /*pg FOR UPDATE*/.
//
//	d.write(ctx, op, fn)      fn(w) runs under a savepoint in the shared commit, on the
//	                          committing goroutine: our code only, no caller's function
//	d.writeUser(ctx, op, fn)  the same for an fn(ctx, w) that calls a function of the user;
//	                          it runs in the goroutine of the caller, under Options.TxLimit
//	newAppender(d, op, run)   a *merged* append: all rows that wait for the same appender
//	                          are handed to run together; if run fails, each alone
//	d.join(ctx, op, tx)       a writer in the caller's own transaction (SendTx, Once),
//	                          after asking that its commit will be durable
//	d.read / d.readRow        pages through the pool; inside DB.Tx, through its transaction
//	w.exec, changed, row, query, insert, now, onCommit    see writer
//
// write, writeUser and appender return when the write is durable, and return an
// error with a true outcome. Called inside DB.Tx they fail with ErrInTx. What
// fn and run are given may be run again in a new transaction if the shared one
// was lost by another's fault: they must not touch anything but w and what
// they overwrite at each run.

const defaultPrefix = "crosstie_"

// A DB is the durable side of the patterns on one database. Make one with
// [Open]; it is safe for concurrent use. It has no Close: when the last call
// has returned nothing of it runs, and the *sql.DB is its owner's.
type DB struct {
	db      *sql.DB
	o       Options
	dialect Dialect
	memory  bool              // an in-memory database: nothing to sync
	lax     bool              // of PostgreSQL, whose commits would not wait for the disk
	group   *group.Group[*op] // of SQLite, whose one writer must share its commits

	// What the round under way holds, from open to the end of run.
	batch    *batch
	batchErr error

	stopped atomic.Pointer[Error] // why nothing is written any more
	outbox  outboxState           // see outbox.go
	jobs    jobState              // see jobs.go
	log     logState              // see log.go

	mu     sync.RWMutex // guards stmts and wanted
	stmts  map[string]*sql.Stmt
	wanted []string
	texts  sync.Map // text with the default prefix -> with ours
	lists  sync.Map // listKey -> text
}

// sql puts a text into the dialect in use, with the prefix in use.
func (d *DB) sql(q string) string {
	if d.o.Prefix == defaultPrefix && d.dialect != PostgreSQL {
		return q
	}
	if v, ok := d.texts.Load(q); ok {
		return v.(string)
	}
	v := strings.ReplaceAll(q, defaultPrefix, d.o.Prefix)
	if d.dialect == PostgreSQL {
		v = toPostgres(v)
	}
	d.texts.Store(q, v)
	return v
}

type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// reader returns what reads made with ctx go through. Inside DB.Tx that is its
// transaction: it sees its own writes, and with a pool of one connection any
// other way would wait for itself.
func (d *DB) reader(ctx context.Context) querier {
	if in := d.inside(ctx); in != nil {
		return in.tx
	}
	return d.db
}

// read calls scan for each row of a query, which must have a LIMIT. scan must
// not call the database.
func (d *DB) read(ctx context.Context, op string, scan func(*sql.Rows) error, q string, args ...any) error {
	var err error
	if s := d.readStmt(ctx, q); s != nil {
		rows, qerr := s.QueryContext(ctx, args...)
		err = eachRow(rows, qerr, scan)
	} else {
		rows, qerr := d.reader(ctx).QueryContext(ctx, d.sql(q), args...)
		err = eachRow(rows, qerr, scan)
	}
	return explainRead(op, err)
}

// readRow scans one row into dest; sql.ErrNoRows if there is none.
func (d *DB) readRow(ctx context.Context, op string, dest []any, q string, args ...any) error {
	var row *sql.Row
	if s := d.readStmt(ctx, q); s != nil {
		row = s.QueryRowContext(ctx, args...)
	} else {
		row = d.reader(ctx).QueryRowContext(ctx, d.sql(q), args...)
	}
	return explainRead(op, row.Scan(dest...))
}

func (d *DB) readStmt(ctx context.Context, q string) *sql.Stmt {
	if d.inside(ctx) != nil {
		return nil
	}
	return d.prepared(q)
}

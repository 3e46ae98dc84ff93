package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/crosstie/crosstie/outcome"
)

// insideKey marks the context given to a function of DB.Tx.
type insideKey struct{ d *DB }

type insideTx struct {
	tx *sql.Tx
	w  *writer
}

func (d *DB) inside(ctx context.Context) *insideTx {
	in, _ := ctx.Value(insideKey{d}).(*insideTx)
	return in
}

// Tx runs fn in a transaction and returns when what it wrote is durable. The
// commit is shared with other writers that wait at the same time, so that
// thousands of small transactions a second cost a few hundred disk syncs; each
// fn has its own savepoint in it.
//
// If fn returns an error, what it wrote is rolled back and Tx returns that
// error with outcome Refused (an outcome of its own is kept). A panic or
// runtime.Goexit in fn rolls back and goes on in the caller, whose goroutine
// fn runs in. Neither touches the other writers.
//
// Functions run one after another, so fn must be short, do no network calls,
// and not outlive Options.TxLimit: then it is rolled back, its transaction is
// dead, and Tx returns [ErrTxLimit] as soon as fn returns. fn must not call
// Commit or Rollback: the others are then run again without it, and Tx returns
// [ErrTxDone]. For such reasons fn may be called more than once, each time on
// a fresh transaction: it should have no effect but through tx.
//
// The ctx given to fn does not end with the caller's: an interrupted statement
// would roll back what others wrote. It ends at the limit, and so does a
// statement that was given it; one that was given another context (tx.Exec,
// tx.Query) cannot be interrupted, and all wait for its end. It marks the call
// as inside: durable calls made with it fail with [ErrInTx] and name their twin,
// and joining calls (SendTx, Once) know the transaction by it.
//
// A ctx that ends before fn has begun gives outcome NotSent, and fn never runs.
// After fn, Tx waits a second longer for the commit under way and then returns
// outcome Unknown.
func (d *DB) Tx(ctx context.Context, fn func(ctx context.Context, tx *sql.Tx) error) error {
	if fn == nil {
		return &Error{Op: "tx", Known: outcome.NotSent, Err: errors.New("the function is nil")}
	}
	return d.writeUser(ctx, "tx", func(ctx context.Context, w *writer) error { return fn(ctx, w.tx) })
}

// write: see the top of db.go.
func (d *DB) write(ctx context.Context, name string, fn func(*writer) error) error {
	return d.submit(ctx, &op{name: name, fn: fn})
}

// writeUser: see the top of db.go.
func (d *DB) writeUser(ctx context.Context, name string, fn func(context.Context, *writer) error) error {
	return d.submit(ctx, &op{name: name, user: fn, ctx: ctx})
}

// An appender merges the appends of all who wait: see the top of db.go.
type appender[T any] struct {
	d    *DB
	name string
	run  func(w *writer, rows []T) error
}

func newAppender[T any](d *DB, name string, run func(w *writer, rows []T) error) *appender[T] {
	return &appender[T]{d: d, name: name, run: run}
}

// do appends row and returns when it is durable.
func (a *appender[T]) do(ctx context.Context, row T) error {
	return a.d.submit(ctx, &op{name: a.name, merge: a, row: row})
}

func (a *appender[T]) merged(w *writer, ops []*op) error {
	rows := make([]T, len(ops))
	for i, o := range ops {
		rows[i] = o.row.(T)
	}
	return a.run(w, rows)
}

func (d *DB) submit(ctx context.Context, o *op) error {
	if d.inside(ctx) != nil {
		return &Error{Op: o.name, Known: outcome.NotSent, Err: ErrInTx}
	}
	if e := d.stopped.Load(); e != nil {
		return &Error{Op: o.name, Known: outcome.NotSent, Err: fmt.Errorf("%w: %w", ErrStopped, e.Err)}
	}
	if d.dialect == PostgreSQL {
		return d.runAlone(ctx, o)
	}
	err := d.group.Do(ctx, o)
	if err == nil {
		return nil
	}
	if f, ok := err.(final); ok {
		return f.error
	}
	t, _ := outcome.Transient(err)
	return &Error{Op: o.name, Known: outcome.Of(err), Temporary: t, Err: err}
}

// join: see the top of db.go.
func (d *DB) join(ctx context.Context, name string, tx *sql.Tx) (*writer, error) {
	if tx == nil {
		return nil, &Error{Op: name, Known: outcome.NotSent, Err: ErrNoTx}
	}
	if in := d.inside(ctx); in != nil && in.tx == tx {
		return in.w, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, &Error{Op: name, Known: outcome.NotSent, Err: context.Cause(ctx)}
	}
	w := d.newWriter(tx)
	if d.dialect == PostgreSQL {
		w.ctx = ctx
		return w, nil // its statements ask for durability: see durably
	}
	if d.memory {
		return w, nil
	}
	level, err := w.synchronous()
	if err != nil {
		return nil, explain(name, outcome.Refused, err)
	}
	if level < syncFull {
		return nil, &Error{Op: name, Known: outcome.NotSent, Err: fmt.Errorf("%w (it is %s)", ErrNotDurable, syncName(level))}
	}
	return w, nil
}

// joined explains an error of a statement that ran in a joined transaction.
func joined(name string, err error) error { return explain(name, outcome.Refused, err) }

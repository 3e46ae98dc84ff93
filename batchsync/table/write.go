package table

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"

	"github.com/crosstie/crosstie/batchsync"
	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/retry"
)

// Write brings rows into the table in one transaction and commits it. See
// [Table.WriteTx] for what it does with each row. How durable the commit is,
// is the pool's setting.
func (t *Table[T]) Write(ctx context.Context, rows []batchsync.Row[T]) ([]batchsync.Result, error) {
	tx, err := t.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, t.explain("begin", err)
	}
	results, err := t.WriteTx(ctx, tx, rows)
	if err != nil {
		_ = tx.Rollback()
		return nil, err
	}
	if err := tx.Commit(); err != nil {
		return nil, t.explainCommit(err)
	}
	return results, nil
}

// WriteTx brings rows into the table inside tx. A row whose key is not there is
// inserted. One whose key is there is compared with the table by the database,
// column by column of T, and updated only if it differs. A deleted row is
// deleted by the key that its ID is. Columns that T does not have are left as
// they are.
//
// A row that breaks a constraint fails, for good, and takes nothing with it.
// Any other error of the database is none of the row's and fails the call.
func (t *Table[T]) WriteTx(ctx context.Context, tx *sql.Tx, rows []batchsync.Row[T]) ([]batchsync.Result, error) {
	w := &writing[T]{t: t, ctx: ctx, tx: tx}
	results, err := w.rows(rows)
	if cerr := w.close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, t.explain("write", err)
	}
	return results, nil
}

// A writing is one call of WriteTx and its statements.
type writing[T any] struct {
	t                      *Table[T]
	ctx                    context.Context
	tx                     *sql.Tx
	insert, upsert, delete *sql.Stmt
	args                   []any // reused
}

// A savepoint tells whether the engine rolled back the whole transaction when
// it refused a row (ON CONFLICT ROLLBACK): then it is gone.
const (
	begin = "SAVEPOINT crosstie_rows"
	end   = "RELEASE crosstie_rows"
)

func (w *writing[T]) rows(rows []batchsync.Row[T]) ([]batchsync.Result, error) {
	if _, err := w.tx.ExecContext(w.ctx, begin); err != nil {
		return nil, err
	}
	results := make([]batchsync.Result, len(rows))
	for i, r := range rows {
		verdict, err := w.row(r)
		results[i] = batchsync.Result{ID: r.ID, Verdict: verdict}
		if err == nil {
			continue
		}
		fault, ok := errors.AsType[*rowFault](err)
		if !ok {
			return nil, err
		}
		results[i].Verdict = batchsync.Failed
		results[i].Known = outcome.Refused
		results[i].Err = outcome.Error(outcome.Refused, retry.Permanent(fault))
		for _, q := range []string{end, begin} {
			if _, err := w.tx.ExecContext(w.ctx, q); err != nil {
				return nil, fmt.Errorf("a row ended the transaction: %w", errors.Join(fault, err))
			}
		}
	}
	_, err := w.tx.ExecContext(w.ctx, end)
	return results, err
}

func (w *writing[T]) row(r batchsync.Row[T]) (batchsync.Verdict, error) {
	if r.Deleted {
		key, err := w.t.plan.keyOf(r.ID)
		if err != nil {
			return 0, &rowFault{err: err}
		}
		n, err := w.exec(&w.delete, w.t.text.delete, key)
		return pick(n, batchsync.Deleted, batchsync.Unchanged), err
	}
	v := reflect.ValueOf(&r.Value).Elem()
	w.args = w.args[:0]
	for _, c := range w.t.plan.columns {
		arg, err := c.bind(v.Field(c.field))
		if err != nil {
			return 0, &rowFault{column: c.name, err: err}
		}
		w.args = append(w.args, arg)
	}
	if w.args[w.t.plan.key] == "" {
		return 0, &rowFault{column: w.t.plan.columns[w.t.plan.key].name, err: errors.New("the key is empty")}
	}
	n, err := w.exec(&w.insert, w.t.text.insert, w.args...)
	if err != nil || n > 0 || w.t.text.upsert == "" {
		return pick(n, batchsync.Inserted, batchsync.Unchanged), err
	}
	n, err = w.exec(&w.upsert, w.t.text.upsert, w.args...)
	return pick(n, batchsync.Updated, batchsync.Unchanged), err
}

func pick(n int64, changed, not batchsync.Verdict) batchsync.Verdict {
	if n > 0 {
		return changed
	}
	return not
}

// exec runs a statement that is prepared at its first use. What the engine
// refuses because of the row is a rowFault.
func (w *writing[T]) exec(s **sql.Stmt, text string, args ...any) (int64, error) {
	if *s == nil {
		p, err := w.tx.PrepareContext(w.ctx, text)
		if err != nil {
			return 0, err
		}
		*s = p
	}
	res, err := (*s).ExecContext(w.ctx, args...)
	if err != nil {
		if isRowFault(err) {
			return 0, &rowFault{err: err}
		}
		return 0, err
	}
	return res.RowsAffected()
}

func (w *writing[T]) close() error {
	var errs []error
	for _, s := range []*sql.Stmt{w.insert, w.upsert, w.delete} {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	return errors.Join(errs...)
}

package requestreply

import (
	"context"
	"database/sql"
	"errors"

	"github.com/crosstie/crosstie/outcome"
)

// Tx runs fn in a transaction of db, commits it, and marks the error with what
// is known, so that [Run] repeats what can be repeated:
//
//	left, err := requestreply.Run(ctx, guard, requestreply.Op{Target: "stock"}, func(ctx context.Context) (int, error) {
//		return requestreply.Tx(ctx, db, take, nil)
//	})
//
// What fails before COMMIT is sent has had no effect in db: it is NotSent when
// no transaction began, else Refused. It is transient if the error says so:
// one of PostgreSQL by its SQLSTATE, driver.ErrBadConn, a broken connection,
// whatever is marked by package outcome. An error of fn that says more than
// Refused keeps that: fn may have called others.
//
// An error of COMMIT is what its SQLSTATE says, and else Unknown: the
// connection may have broken after the commit. driver.ErrBadConn is not
// believed there, since a driver is known that returns it for an answer that
// did not come.
//
// o may be nil, as in DB.BeginTx. fn must neither commit nor roll back, and
// may run again when Run repeats it. A panic of fn rolls back and passes
// through.
func Tx[T any](ctx context.Context, db *sql.DB, fn func(context.Context, *sql.Tx) (T, error), o *sql.TxOptions) (v T, err error) {
	tx, err := db.BeginTx(ctx, o)
	if err != nil {
		return v, outcome.Error(outcome.NotSent, classify(err))
	}
	ended := false
	defer func() {
		if !ended {
			_ = tx.Rollback()
		}
	}()
	v, err = fn(ctx, tx)
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return v, uncommitted(err)
	}
	ended = true
	if err = tx.Commit(); err != nil {
		return v, commitError(err)
	}
	return v, nil
}

// uncommitted marks an error before COMMIT.
func uncommitted(err error) error {
	if _, says := errors.AsType[knower](err); says {
		return outcome.Error(outcome.Worst(outcome.Refused, outcome.Of(err)), err)
	}
	return outcome.Error(outcome.Refused, classify(err))
}

// commitError marks an error of COMMIT.
func commitError(err error) error {
	if _, says := errors.AsType[knower](err); says {
		return err
	}
	if s, ok := errors.AsType[sqlStater](err); ok {
		if o, transient, known := outcome.SQLState(s.SQLState()); known {
			return outcome.TransientError(o, transient, err)
		}
	}
	return outcome.TransientError(outcome.Unknown, !errors.Is(err, sql.ErrTxDone), err)
}

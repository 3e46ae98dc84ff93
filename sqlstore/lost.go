package sqlstore

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/crosstie/crosstie/outcome"
)

// This file is about shared transactions that end early: because a caller's
// function ended them, or outlived its limit, or because the engine did, as
// SQLite may when the disk is full.

// A lostError says that the shared transaction is gone. cause is what the
// function returned; rollback is what Rollback answered after: sql.ErrTxDone if
// the function ended the transaction through its methods.
type lostError struct{ cause, rollback error }

func (e *lostError) Error() string { return fmt.Sprintf("%v (%v)", e.cause, e.rollback) }

// mark leaves a token that shares the fate of the transaction, in a table of
// this connection alone that costs no disk: a function that ended the
// transaction did it by COMMIT if the token is there afterwards. Without one no
// function may run: to run the others again could double them.
func (b *batch) mark() error {
	if b.token != 0 {
		return nil
	}
	if _, err := b.w.exec(markTable); err != nil {
		return err
	}
	var r [8]byte
	_, _ = rand.Read(r[:])
	token := int64(binary.LittleEndian.Uint64(r[:])>>1) | 1
	if _, err := b.w.exec(mark, token); err != nil {
		return err
	}
	b.token = token
	return nil
}

// lost settles a transaction that ended early by the fault of it: its verdict,
// that of what ran before, and what must run again.
func (b *batch) lost(it *item, err error, rest []*item) (again []*item) {
	f := b.fate()
	ran, d := b.ran, b.d
	b.drop()
	it.Done(final{d.lostVerdict(it.Value, f, err)})
	switch f {
	case rolledBack:
		return append(ran, rest...)
	case committed:
		d.finish(ran)
	default:
		for _, r := range ran {
			r.Done(final{&Error{Op: r.Value.name, Known: outcome.Unknown, Err: errFateUnknown}})
		}
	}
	return rest
}

var errFateUnknown = errors.New("another writer's function ended the shared transaction, and the connection cannot say how")

type fate int

const (
	rolledBack fate = iota
	committed
	unknowable
)

// fate finds out what became of a transaction that ended early.
func (b *batch) fate() fate {
	if b.token == 0 {
		return rolledBack // no function of a user ran: only the engine can have ended it
	}
	// A function may have begun another one by SQL; whatever that holds goes.
	b.abandonTx()
	_, _ = b.conn.ExecContext(context.Background(), `ROLLBACK`)
	var token int64
	err := b.conn.QueryRowContext(context.Background(), b.d.sql(readMark)).Scan(&token)
	switch {
	case err == nil && token == b.token:
		return committed
	case err == nil, errors.Is(err, sql.ErrNoRows), codeOf(err)&0xff == codeError:
		return rolledBack // the table itself may have gone with it
	}
	return unknowable
}

// lostVerdict is the error of the op by whose fault the transaction ended.
func (d *DB) lostVerdict(o *op, f fate, err error) error {
	var l *lostError
	if !errors.As(err, &l) {
		return d.verdict(o, outcome.Refused, err) // its savepoint could not begin
	}
	e := &Error{Op: o.name, Known: outcome.Refused, Err: ErrTxDone}
	if f == committed {
		e.Known = outcome.Applied
	}
	switch c := codeOf(l.cause) & 0xff; {
	case f == unknowable:
		e.Known = outcome.Unknown
	case errors.Is(l.cause, ErrTxLimit) && f == rolledBack:
		e.Err = ErrTxLimit
		return e
	case f == rolledBack && (c == codeFull || c == codeIO || c == codeNoMem || c == codeInterrupt || o.user == nil):
		return d.verdict(o, outcome.Refused, l.cause) // the engine itself rolled back
	case f == rolledBack && !errors.Is(l.rollback, sql.ErrTxDone):
		// SQL ended it, and statements after that were commits of their own.
		e.Known = outcome.Unknown
	}
	if l.cause != nil {
		e.Err = fmt.Errorf("%w: %w", ErrTxDone, l.cause)
	}
	return e
}

package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/crosstie/crosstie/internal/group"
	"github.com/crosstie/crosstie/outcome"
)

// An op is one caller's write. Exactly one of fn, user and merge is set.
type op struct {
	name  string
	fn    func(*writer) error
	user  func(context.Context, *writer) error
	ctx   context.Context // of the caller of user: its values go with the call
	merge interface {
		merged(w *writer, ops []*op) error
	}
	row any

	after  []func() // what to run when it is durable
	alone  bool     // a merged run with it failed: run it by itself
	solo   bool     // a commit with it failed: give it a transaction of its own
	failed bool     // the caller's function returned an error
}

type item = group.Item[*op]

// final marks the errors that rounds give, as against those of the group
// itself: full, left, or lost sight of.
type final struct{ error }

// A batch is one transaction that several ops share.
type batch struct {
	d     *DB
	conn  *sql.Conn
	tx    *sql.Tx
	w     *writer
	token int64   // in the connection's temporary table; 0: no function has run
	ran   []*item // under a released savepoint, waiting for the commit
}

const (
	syncFull    = 2 // PRAGMA synchronous
	markTable   = `CREATE TEMP TABLE IF NOT EXISTS crosstie_commit (one INTEGER PRIMARY KEY, token INTEGER NOT NULL)`
	mark        = `INSERT OR REPLACE INTO temp.crosstie_commit (one, token) VALUES (1, ?)`
	readMark    = `SELECT token FROM temp.crosstie_commit`
	lock        = `DELETE FROM crosstie_schema WHERE version < 0` // takes the write lock, changes nothing
	savepoint   = `SAVEPOINT crosstie_op`
	release     = `RELEASE crosstie_op`
	rollbackTo  = `ROLLBACK TO crosstie_op`
	synchronous = `PRAGMA synchronous`
)

// open begins the next round. It is called before anybody is taken into it.
func (d *DB) open() { d.batch, d.batchErr = d.begin() }

// run is the round of the group: see [group.New].
func (d *DB) run(items []*item) {
	b, err := d.batch, d.batchErr
	d.batch, d.batchErr = nil, nil
	defer func() {
		if b != nil { // all have left, or something panicked: the lock must not stay behind
			b.drop()
		}
	}()
	for len(items) > 0 {
		if b == nil && err == nil {
			b, err = d.begin()
		}
		if err != nil {
			for _, it := range items {
				it.Done(final{d.verdict(it.Value, outcome.NotSent, err)})
			}
			return
		}
		now, later := split(items)
		again := b.execute(now)
		d.group.Again(again)
		items = append(again, later...)
		b = nil
	}
}

// split returns what may share a transaction, and the rest.
func split(items []*item) (now, later []*item) {
	for _, it := range items {
		if !it.Value.solo {
			now = append(now, it)
		} else {
			later = append(later, it)
		}
	}
	if len(now) == 0 {
		return later[:1], later[1:]
	}
	return now, later
}

// begin takes a connection whose commits are durable, and the write lock. The
// lock comes with the first statement, before any read, so that a deferred
// BEGIN never meets BUSY_SNAPSHOT.
func (d *DB) begin() (*batch, error) {
	if e := d.stopped.Load(); e != nil {
		return nil, fmt.Errorf("%w: %v", ErrStopped, e.Err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), d.o.LockWait)
	defer cancel()
	d.prepareWanted(ctx)
	conn, err := d.db.Conn(ctx)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("%w: no connection came free within %v; is the caller's own transaction holding it?", ErrBusy, d.o.LockWait)
		}
		return nil, err
	}
	b := &batch{d: d, conn: conn}
	err = whileBusy(context.Background(), d.o.LockWait, func() error {
		err := b.lock()
		if err != nil {
			b.abandonTx()
		}
		return err
	})
	if err != nil {
		b.drop()
		return nil, err
	}
	return b, nil
}

func (b *batch) lock() error {
	for range 2 {
		tx, err := b.conn.BeginTx(context.Background(), nil)
		if err != nil {
			return err
		}
		b.tx, b.w = tx, b.d.newWriter(tx)
		if !b.d.memory {
			level, err := b.w.synchronous()
			if err != nil {
				return err
			}
			if level < syncFull {
				// It cannot be changed inside a transaction.
				b.abandonTx()
				if _, err := b.conn.ExecContext(context.Background(), `PRAGMA synchronous=FULL`); err != nil {
					return err
				}
				continue
			}
		}
		_, err = b.w.exec(lock)
		return err
	}
	return ErrNotDurable
}

func (w *writer) synchronous() (level int, err error) {
	err = w.row(synchronous).Scan(&level)
	return level, err
}

func syncName(level int) string {
	switch level {
	case 0:
		return "OFF"
	case 1:
		return "NORMAL"
	}
	return fmt.Sprint(level)
}

func (b *batch) abandonTx() {
	if b.tx != nil {
		_ = b.tx.Rollback()
		b.tx, b.w = nil, nil
	}
}

// drop gives up what is open and returns the connection.
func (b *batch) drop() {
	b.abandonTx()
	_ = b.conn.Close()
}

// execute runs items and commits. It returns those that must run again in a
// new transaction, which never include the one at fault.
func (b *batch) execute(items []*item) (again []*item) {
	var kinds []any
	merges := make(map[any][]*item)
	for i, it := range items {
		o := it.Value
		o.failed = false
		if o.merge != nil && !o.alone {
			if len(merges[o.merge]) == 0 {
				kinds = append(kinds, o.merge)
			}
			merges[o.merge] = append(merges[o.merge], it)
			continue
		}
		if err, lost := b.single(it); lost {
			return b.lost(it, err, append(slices.Clone(items[i+1:]), held(kinds, merges)...))
		}
	}
	for i, k := range kinds {
		its := b.d.group.Begin(merges[k])
		if len(its) == 0 {
			continue
		}
		head := its[0]
		merged := func() error { return head.Value.merge.merged(b.w, ops(its)) }
		var err error
		var lost bool
		if len(kinds) == 1 && len(b.ran) == 0 {
			// Nobody else to protect: if it fails, the transaction goes.
			b.hooks(head.Value)
			err = merged()
			b.w.after, lost = nil, err != nil
		} else {
			err, lost = b.under(head.Value, merged)
		}
		b.d.group.End(its)
		switch {
		case err == nil:
			b.ran = append(b.ran, its...)
			continue
		case len(its) == 1 && lost:
			return b.lost(head, err, held(kinds[i+1:], merges))
		case len(its) == 1:
			head.Done(final{b.d.verdict(head.Value, outcome.Refused, err)})
			continue
		}
		for _, it := range its {
			it.Value.alone = true
		}
		b.d.group.Again(its)
		if lost { // by whom, the next attempt shows
			ran := b.ran
			b.drop()
			return append(append(ran, its...), held(kinds[i+1:], merges)...)
		}
		for j, it := range its {
			if err, lost := b.single(it); lost {
				return b.lost(it, err, append(slices.Clone(its[j+1:]), held(kinds[i+1:], merges)...))
			}
		}
	}
	return b.commit()
}

func ops(its []*item) []*op {
	os := make([]*op, len(its))
	for i, it := range its {
		os[i] = it.Value
	}
	return os
}

func held(kinds []any, merges map[any][]*item) (its []*item) {
	for _, k := range kinds {
		its = append(its, merges[k]...)
	}
	return its
}

// single runs one op under its own savepoint and gives it its verdict if it
// failed, unless the shared transaction was lost with it.
func (b *batch) single(it *item) (err error, lost bool) {
	o := it.Value
	if o.user != nil {
		err, lost = b.callUser(it)
	} else {
		its := b.d.group.Begin([]*item{it})
		if len(its) == 0 {
			return nil, false
		}
		err, lost = b.under(o, func() error {
			if o.merge != nil {
				return o.merge.merged(b.w, []*op{o})
			}
			return o.fn(b.w)
		})
		b.d.group.End(its)
	}
	switch {
	case lost || err == errCallerLeft:
	case err != nil:
		it.Done(final{b.d.verdict(o, outcome.Refused, err)})
	default:
		b.ran = append(b.ran, it)
	}
	return err, lost
}

// hooks makes the writer ready for o: onCommit notes down for it, and forgets
// what a run that was undone had noted.
func (b *batch) hooks(o *op) {
	o.after = nil
	b.w.after, b.w.undone = &o.after, o.user == nil
}

// under runs f under a savepoint.
func (b *batch) under(o *op, f func() error) (err error, lost bool) {
	if _, err := b.w.exec(savepoint); err != nil {
		return err, true
	}
	b.hooks(o)
	err = f()
	return b.settle(err)
}

// settle releases the savepoint of what ran, or rolls it back.
func (b *batch) settle(err error) (error, bool) {
	b.w.after = nil
	if err != nil {
		if _, lost := b.w.exec(rollbackTo); lost != nil {
			return &lostError{err, b.tx.Rollback()}, true
		}
	}
	if _, lost := b.w.exec(release); lost != nil {
		return &lostError{err, b.tx.Rollback()}, true
	}
	return err, false
}

// callUser has the caller's goroutine run its function, within the limit.
func (b *batch) callUser(it *item) (err error, lost bool) {
	o := it.Value
	if err := b.mark(); err != nil {
		return err, true
	}
	if _, err := b.w.exec(savepoint); err != nil {
		return err, true
	}
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(o.ctx))
	defer cancel(context.Canceled)
	w := b.w
	ctx = context.WithValue(ctx, insideKey{b.d}, &insideTx{tx: b.tx, w: w})
	var result struct {
		err      error
		returned bool
	}
	b.hooks(o)
	returned, ok := it.Call(func() {
		err := o.user(ctx, w)
		result.err, result.returned = err, true
	})
	if !ok { // its caller has left and knows that nothing was done
		return b.settle(errCallerLeft)
	}
	var limit <-chan time.Time
	if b.d.o.TxLimit > 0 {
		t := time.NewTimer(b.d.o.TxLimit)
		defer t.Stop()
		limit = t.C
	}
	select {
	case <-returned:
	case <-limit:
		// The function still holds the transaction: take it away. Others run
		// again in a new one.
		cancel(ErrTxLimit)
		return &lostError{ErrTxLimit, b.tx.Rollback()}, true
	}
	if !result.returned {
		return b.settle(errUnwound)
	}
	if result.err != nil {
		o.failed = true
	}
	return b.settle(result.err)
}

var (
	errCallerLeft = errors.New("the caller left")
	errUnwound    = errors.New("the function did not return")
)

// commit makes durable what ran and gives the verdicts.
func (b *batch) commit() (again []*item) {
	if len(b.ran) == 0 {
		b.drop()
		return nil
	}
	err := b.tx.Commit()
	b.tx, b.w = nil, nil
	b.drop()
	if err == nil {
		b.d.finish(b.ran)
		return nil
	}
	c := codeOf(err) & 0xff
	if c == codeConstraint && len(b.ran) > 1 {
		// A deferred constraint of one of them: find out whose.
		for _, it := range b.ran {
			it.Value.solo = true
		}
		return b.ran
	}
	known := outcome.Unknown
	switch c {
	case codeBusy, codeLocked, codeNoMem, codeReadOnly, codeInterrupt, codeFull, codeConstraint:
		known = outcome.Refused // the engine says so, and the driver rolled back
	}
	for _, it := range b.ran {
		it.Done(final{b.d.verdict(it.Value, known, err)})
	}
	return nil
}

// finish reports success.
func (d *DB) finish(its []*item) {
	for _, it := range its {
		it.Done(nil)
		for _, f := range it.Value.after {
			f()
		}
	}
}

// verdict is the error an op's caller gets for err.
func (d *DB) verdict(o *op, known outcome.Outcome, err error) error {
	c := codeOf(err)
	if c&0xff == codeIO && known != outcome.NotSent {
		// After a failed write or sync the kernel may call dirty pages clean:
		// nothing this handle reads back can be trusted.
		d.stopped.CompareAndSwap(nil, &Error{Op: o.name, Known: known, Err: fmt.Errorf("%w: %w", ErrIO, err)})
	}
	if o.failed && c == 0 && sqlState(err) == "" {
		var says interface{ Outcome() outcome.Outcome }
		if errors.As(err, &says) {
			return err
		}
		return outcome.Error(outcome.Refused, err)
	}
	return explain(o.name, known, err)
}

package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/crosstie/crosstie/outcome"
)

// grace is how long a commit under way is waited for after its caller's
// context has ended.
const grace = time.Second

// runAlone runs one op in a transaction of its own. What is ours is run again
// when the server asks for it.
func (d *DB) runAlone(ctx context.Context, o *op) error {
	end := time.Now().Add(d.o.LockWait)
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		err := d.runOnce(ctx, o)
		state := sqlState(err)
		if o.user != nil || state != stateSerialization && state != stateDeadlock || outcome.Of(err) != outcome.Refused || time.Now().Add(pause).After(end) {
			return err
		}
		t := time.NewTimer(pause/2 + rand.N(pause))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return err
		}
	}
}

var errNoConn = errors.New("no connection came free")

func (d *DB) runOnce(ctx context.Context, o *op) error {
	fail := func(known outcome.Outcome, err error) error { return d.verdict(o, known, err) }
	if ctx.Err() != nil {
		return fail(outcome.NotSent, context.Cause(ctx))
	}
	o.failed, o.after = false, nil
	// The transaction's own context must outlive the caller's: a commit that is
	// interrupted leaves it unknown whether it was made.
	life, kill := context.WithCancelCause(context.WithoutCancel(ctx))
	defer kill(nil)
	left := context.AfterFunc(ctx, func() { kill(context.Cause(ctx)) })
	patience := time.AfterFunc(d.o.LockWait, func() { kill(errNoConn) })
	tx, err := d.db.BeginTx(life, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if !left() || !patience.Stop() {
		if err == nil {
			_ = tx.Rollback()
			err = context.Cause(life)
		}
	}
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return fail(outcome.NotSent, context.Cause(ctx))
	case context.Cause(life) == errNoConn:
		return fail(outcome.NotSent, fmt.Errorf("%w: no connection came free within %v", ErrBusy, d.o.LockWait))
	default:
		return fail(outcome.NotSent, err)
	}
	defer context.AfterFunc(ctx, func() { time.AfterFunc(grace, func() { kill(context.Cause(ctx)) }) })()

	committing := false
	defer func() {
		if !committing { // also when a function of the user unwinds
			_ = tx.Rollback()
		}
	}()
	w := d.newWriter(tx)
	w.after, w.ours = &o.after, o.user == nil
	err = d.runIn(ctx, w, o)
	if w.lost != nil {
		err = w.lost
	}
	if err != nil {
		return fail(outcome.Refused, err)
	}
	committing = true
	if err := tx.Commit(); err != nil {
		return d.commitFailed(o, err)
	}
	for _, f := range o.after {
		f()
	}
	return nil
}

// runIn runs o's function within its limit.
func (d *DB) runIn(ctx context.Context, w *writer, o *op) error {
	limit, cause := d.o.LockWait, ErrBusy
	if o.user != nil {
		limit, cause = d.o.TxLimit, ErrTxLimit
	}
	if limit > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, limit, cause)
		defer stop()
	}
	w.ctx = ctx
	var err error
	if d.lax {
		if _, err = w.exec(`SET LOCAL synchronous_commit = on`); err != nil {
			return err
		}
	}
	switch {
	case o.user != nil:
		err = o.user(context.WithValue(ctx, insideKey{d}, &insideTx{tx: w.tx, w: w}), w)
		o.failed = err != nil
	case o.merge != nil:
		err = o.merge.merged(w, []*op{o})
	default:
		err = o.fn(w)
	}
	if context.Cause(ctx) == cause && (err != nil || o.user != nil) {
		o.failed = false
		return cause
	}
	return err
}

// commitFailed is the verdict on a commit that was not confirmed.
func (d *DB) commitFailed(o *op, err error) error {
	known := outcome.Unknown
	switch state := sqlState(err); {
	case errors.Is(err, sql.ErrTxDone):
		return &Error{Op: o.name, Known: outcome.Unknown, Err: ErrTxDone}
	case len(state) > 2 && !strings.HasPrefix(state, "08") && !strings.HasPrefix(state, "57P") && !strings.HasPrefix(state, "58") && state != stateCompletionUnknown:
		known = outcome.Refused // the server says why it did not
	case state == "" && (strings.Contains(err.Error(), "resulted in rollback") || strings.Contains(err.Error(), "in a failed transaction")):
		// pgx and pq, of a COMMIT that PostgreSQL answered with ROLLBACK.
		known = outcome.Refused
		err = fmt.Errorf("a statement failed and the function went on as if it had not: %w", err)
	}
	return d.verdict(o, known, err)
}

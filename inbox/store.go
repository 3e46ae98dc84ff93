package inbox

import (
	"context"
	"database/sql"
	"time"
)

// A Store keeps the recorded ids. It is safe for concurrent use. The inbox
// has checked ids and names (1 to 256 printable characters of ASCII without
// space) and at (in UTC, to the millisecond) before they get here.
//
// For each inbox a store keeps a low-water mark: the latest before that Forget
// was called with. Do and Once answer an at before the mark with an error that
// wraps [ErrTooOld], without running fn or recording anything, whether or not
// the id is recorded: what Forget deleted stays refused.
//
// The kit inbox/inboxtest tests all of this.
type Store interface {
	// Do begins a transaction, records id and at in it, runs fn in it and
	// commits. It returns first true once that is durable. If the id was
	// recorded already it returns first false and no error without running
	// fn. If fn returns an error Do rolls back and returns an error that
	// wraps it; if fn panics Do rolls back and the panic goes on. A
	// concurrent Do with the same id waits for the first to end, or for ctx,
	// and then decides. The context fn gets has the values of ctx; it need not
	// end with ctx, where that would end the transactions of others.
	//
	// An error says by outcome.Of whether the effect may be committed all
	// the same; one before the commit was sent is Refused.
	Do(ctx context.Context, inbox, id string, at time.Time, fn func(context.Context, *sql.Tx) error) (first bool, err error)
	// Once records id and at in tx and reports whether the id is new there.
	// It neither commits nor rolls back. A store that keeps nothing in
	// transactions answers with an error that wraps ErrNoTx.
	Once(ctx context.Context, tx *sql.Tx, inbox, id string, at time.Time) (first bool, err error)
	// Forget deletes the ids with an at before the given instant, raises the
	// low-water mark to it, and returns how many it deleted. The mark is never
	// lowered. An id that is being processed may be kept.
	Forget(ctx context.Context, inbox string, before time.Time) (int64, error)
}

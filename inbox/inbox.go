package inbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/crosstie/crosstie/internal/id"
)

// An Inbox remembers the ids of one stream of messages, so that each takes
// effect once. Inboxes of different names on one store do not know of each
// other's ids. It is made by [New] and safe for concurrent use.
type Inbox struct {
	name   string
	store  Store
	window time.Duration
}

// Options are the optional settings of an [Inbox]. Nil and the zero value
// mean the defaults.
type Options struct {
	// Window is how long an id is remembered after the time of its message;
	// older messages are refused. It must be no shorter than the time over
	// which the sender may repeat one. Defaults to 8 days; a negative window
	// means the default too. All processes that share the inbox use the same.
	Window time.Duration
}

func (o *Options) withDefaults() Options {
	d := Options{Window: 8 * 24 * time.Hour}
	if o != nil && o.Window > 0 {
		d.Window = o.Window
	}
	return d
}

// New returns the inbox called name on store s. The name is part of what is
// stored: it stays the same for the life of the stream. Ids are unique for one
// sender alone, so give each sender an inbox of its own. New panics if name
// could not be an id, or s is nil: those are mistakes of the program.
func New(name string, s Store, o *Options) *Inbox {
	if err := checkID(name); err != nil {
		panic(fmt.Sprintf("inbox: new: name %q: %v", name, err))
	}
	if s == nil {
		panic("inbox: new: no store")
	}
	return &Inbox{name: name, store: s, window: o.withDefaults().Window}
}

// Do runs fn in a transaction that also records the id, unless the id is
// recorded already. It returns nil when the effect is committed, by this
// delivery or by an earlier one; fn does not run for a duplicate. When fn
// fails or panics, everything is rolled back and the id stays new; fn's error
// comes back as it is, a panic goes on.
//
// id names the message, 1 to 256 printable characters of ASCII without
// spaces; at is when it was made, see the package comment. A delivery of an id
// that is being processed waits for that to end, or for ctx. So fn must not
// call Do for its own id.
//
// fn writes through its transaction alone, and neither commits nor rolls it
// back. The context it gets has the values of ctx, and may go on when ctx ends:
// keep fn short, and without network. A store may run fn again when the
// database asks to repeat the transaction; what the last run did is what
// counts. With [Mem] the transaction is nil.
func (b *Inbox) Do(ctx context.Context, id string, at time.Time, fn func(context.Context, *sql.Tx) error) error {
	at, err := b.admit("do", id, at)
	if err != nil {
		return err
	}
	var failed error
	_, err = b.store.Do(ctx, b.name, id, at, func(ctx context.Context, tx *sql.Tx) error {
		failed = fn(ctx, tx)
		return failed
	})
	switch {
	case err == nil:
		return nil
	case failed != nil && errors.Is(err, failed):
		return failed
	}
	return b.wrap("do", id, at, err)
}

// Once records the id in the caller's own transaction and reports whether
// this is its first time. When first is true, go on to make the effect in tx;
// when it is false, skip the effect and commit, or roll back. Whether the id
// is recorded is decided by tx: a rollback makes it new again.
//
// A concurrent transaction with the same id makes Once wait until that one
// has ended, or fail with an error that asks to repeat the transaction. Once
// returns [ErrNoTx] if tx is nil or the store keeps nothing in transactions.
func (b *Inbox) Once(ctx context.Context, tx *sql.Tx, id string, at time.Time) (first bool, err error) {
	at, err = b.admit("once", id, at)
	if err != nil {
		return false, err
	}
	if tx == nil {
		return false, b.wrap("once", id, at, ErrNoTx)
	}
	first, err = b.store.Once(ctx, tx, b.name, id, at)
	if err != nil {
		return false, b.wrap("once", id, at, err)
	}
	return first, nil
}

// Forget deletes the ids whose messages are older than the window and returns
// how many. What is forgotten stays refused: a message that old is answered
// with [ErrTooOld] from then on, even if the window grows or the clock steps
// back.
func (b *Inbox) Forget(ctx context.Context) (int64, error) {
	n, err := b.store.Forget(ctx, b.name, time.Now().Add(-b.window).UTC())
	if err != nil {
		return n, b.wrap("forget", "", time.Time{}, err)
	}
	return n, nil
}

// admit returns the time that counts for the message, or why it is refused.
func (b *Inbox) admit(op, id string, at time.Time) (time.Time, error) {
	if err := checkID(id); err != nil {
		return at, b.wrap(op, id, at, err)
	}
	now := time.Now()
	at, err := admit(now, b.window, id, at)
	if err != nil {
		e := b.wrap(op, id, at, err)
		e.Oldest, e.Newest = now.Add(-b.window), now.Add(b.window)
		return at, e
	}
	return at, nil
}

// admit is the pure step. Times are cut to the millisecond, upwards in age,
// because that is what ids and databases keep.
func admit(now time.Time, window time.Duration, msg string, at time.Time) (time.Time, error) {
	if at.IsZero() {
		at = now
		if made, ok := id.Time(msg); ok {
			at = made
		}
	}
	at = at.UTC().Truncate(time.Millisecond)
	switch {
	case at.Before(now.Add(-window)):
		return at, ErrTooOld
	case at.After(now.Add(window)):
		return at, ErrTooNew
	}
	return at, nil
}

// Package sqlstore keeps what the patterns must not lose in a database behind
// database/sql: one DB, and a port for each pattern.
//
//	db, _ := sql.Open("sqlite", "file:orders.db?_pragma=busy_timeout(5000)")
//	store, err := sqlstore.Open(ctx, db, sqlstore.SQLite, nil)
//	if err != nil {
//		log.Fatal(err)
//	}
//	in := inbox.New("orders", store.Inbox(), nil)
//	err = store.Tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
//		first, err := in.Once(ctx, tx, msg.ID, msg.At)
//		if err != nil || !first {
//			return err
//		}
//		_, err = tx.ExecContext(ctx, "UPDATE stock SET free = free - 1 WHERE item = ?", msg.Item)
//		return err
//	})
//
// Use it when a service has a database already, or needs nothing but a file.
// For what may be lost with the process, each pattern has a twin in memory
// (NewMem).
//
// # What it promises
//
// [Open] is for SQLite, with all ports. [OpenPostgres] is for PostgreSQL, with
// those that [Postgres] has. What follows is about SQLite where it does not say
// otherwise.
//
// A call that returned nil is durable: it survives a crash of the process, and
// with SQLite's synchronous=FULL, which every commit here is made with, a loss
// of power. A call that failed says by outcome.Of whether it may have taken
// effect all the same.
//
// On SQLite all writes of a process through one DB, durable calls and
// functions given to [DB.Tx] alike, share commits: those that wait while one
// commit is under way go into the next one together, each under a savepoint of
// its own. This is why Tx is the recommended way to write on SQLite. A
// transaction that the caller began himself is accepted as well, by the calls
// that take a *sql.Tx: begin it with BEGIN IMMEDIATE (most drivers have a
// setting such as _txlock=immediate), or be ready to repeat it on
// [ErrSnapshot]; its durability is asked for inside that very transaction, and
// one that could be lost is refused with [ErrNotDurable].
//
// On PostgreSQL each call is a transaction of its own. One whose session would
// not wait for the disk (synchronous_commit=off) does so when it keeps a promise
// of ours. A server that was told to lose data (fsync=off) loses it.
//
// # Requirements
//
// SQLite 3.51.3 or newer, on a local disk, in WAL mode (set by Open). A
// connection that a shared commit used is left with synchronous=FULL. Or
// PostgreSQL 14 or newer, the primary, with a database in UTF8; PgBouncer in
// transaction mode may stand before it.
//
// Any driver for database/sql will do; none is imported. The pool may be of any
// size, one connection included.
//
// # What is bounded
//
//	writes that share a commit         Options.Batch, 256     the rest waits for the next
//	writes that wait                   Options.Queue, 16384   ErrQueueFull at once, outcome NotSent
//	one function given to Tx           Options.TxLimit, 5 s   rolled back, ErrTxLimit
//	waiting for the lock or the pool   Options.LockWait, 5 s  ErrBusy, outcome NotSent
//	waiting after ctx ended            1 s                    an error with outcome Unknown
//
// # Errors
//
// Errors are *[Error] and wrap one of the sentinels of this package where one
// fits. What a function given to Tx returned comes back as it is, marked
// Refused, since it was rolled back. After a failed disk write or sync nothing
// is written any more ([ErrStopped]): what the file holds then is in doubt
// until it is opened anew.
//
// # Concurrency
//
// A DB is safe for concurrent use, by many goroutines and by many processes on
// one file. It has no background work: nothing runs when no call waits.
//
// # Testing
//
// Tests use SQLite on a file in t.TempDir(), or in memory with
// SetMaxOpenConns(1). A port that passes its kit on SQLite passes it on
// PostgreSQL.
package sqlstore

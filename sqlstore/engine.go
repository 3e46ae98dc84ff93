package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/crosstie/crosstie/internal/group"
	"github.com/crosstie/crosstie/outcome"
)

// minEngine is the oldest engine Open accepts.
const minEngine = "3.51.3"

// Open checks the engine behind db and makes or checks the tables. ctx bounds
// Open only. db stays its owner's: close it after the last call.
//
// The file is set to WAL, and connections that commit are set to
// synchronous=FULL. An in-memory database (for tests) needs a pool of exactly
// one connection, since each connection would get a database of its own; what
// it holds survives nothing.
//
// Errors wrap [ErrEngine], [ErrSchema], [ErrReadOnly], [ErrCorrupt] or
// [ErrBusy], or are the engine's own.
func Open(ctx context.Context, db *sql.DB, dialect Dialect, options *Options) (*DB, error) {
	fail := func(err error) (*DB, error) { return nil, explain("open", outcome.Refused, err) }
	if db == nil {
		return fail(errors.New("the *sql.DB is nil"))
	}
	if dialect == PostgreSQL {
		return fail(fmt.Errorf("%w: not every port of DB is there for PostgreSQL: use OpenPostgres", ErrEngine))
	}
	if err := dialect.known(); err != nil {
		return fail(err)
	}
	o, err := options.withDefaults()
	if err != nil {
		return fail(err)
	}
	d := &DB{db: db, o: o, dialect: dialect, stmts: make(map[string]*sql.Stmt)}
	conn, err := db.Conn(ctx)
	if err != nil {
		return fail(err)
	}
	defer conn.Close()
	if err := d.checkEngine(ctx, conn); err != nil {
		return fail(err)
	}
	if err := d.migrate(ctx, conn); err != nil {
		return fail(err)
	}
	d.group = group.New(d.open, d.run, group.Options{Batch: o.Batch, Queue: o.Queue})
	return d, nil
}

func (d *DB) checkEngine(ctx context.Context, conn *sql.Conn) error {
	var version string
	if err := conn.QueryRowContext(ctx, `SELECT sqlite_version()`).Scan(&version); err != nil {
		return err
	}
	if !atLeast(version, minEngine) {
		return fmt.Errorf("%w: SQLite %s, want %s or newer, which do not damage the file when two connections write and checkpoint at once: update the driver", ErrEngine, version, minEngine)
	}
	// The first look into the file: a foreign or damaged one fails here.
	var tables int
	if err := conn.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema`).Scan(&tables); err != nil {
		return err
	}
	var file string
	if err := conn.QueryRowContext(ctx, `SELECT coalesce(file, '') FROM pragma_database_list WHERE name = 'main'`).Scan(&file); err != nil {
		return err
	}
	if file == "" {
		d.memory = true
		if n := d.db.Stats().MaxOpenConnections; n != 1 {
			return fmt.Errorf("%w: an in-memory database with a pool of many connections, each of which gets its own: call SetMaxOpenConns(1), or use a file", ErrEngine)
		}
		return nil
	}
	var mode string
	if err := conn.QueryRowContext(ctx, `PRAGMA journal_mode`).Scan(&mode); err != nil {
		return err
	}
	if strings.EqualFold(mode, "wal") {
		return nil
	}
	err := whileBusy(ctx, d.o.LockWait, func() error {
		return conn.QueryRowContext(ctx, `PRAGMA journal_mode=WAL`).Scan(&mode)
	})
	if err != nil {
		return err
	}
	if !strings.EqualFold(mode, "wal") {
		return fmt.Errorf("%w: the journal mode stays %q and cannot be set to WAL: the file must be on a local disk and writable", ErrEngine, mode)
	}
	return nil
}

// atLeast compares versions such as 3.51.3 number by number.
func atLeast(have, want string) bool {
	h, w := strings.Split(have, "."), strings.Split(want, ".")
	for i := range w {
		if i >= len(h) {
			return false
		}
		a, err := strconv.Atoi(h[i])
		if err != nil {
			return false
		}
		if b, _ := strconv.Atoi(w[i]); a != b {
			return a > b
		}
	}
	return true
}

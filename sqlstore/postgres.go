package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/fnv"

	"github.com/crosstie/crosstie/batchsync"
	"github.com/crosstie/crosstie/fireforget"
	"github.com/crosstie/crosstie/inbox"
	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply/quota"
	"github.com/crosstie/crosstie/requestreply/server"
)

// A Postgres is the durable side of the patterns on PostgreSQL. Make one with
// [OpenPostgres]; it is safe for concurrent use. It has the ports that are
// built for PostgreSQL, and no others: jobs and the log are on SQLite only, by
// [DB]. It has no Close: the *sql.DB is its owner's.
//
// Each call is a transaction of its own, on a connection of the pool, at READ
// COMMITTED. Nothing is kept in a session, so that a pooler which hands out
// connections by the transaction (PgBouncer) may stand in between; the driver
// must then not prepare statements by name, which for pgx is
// default_query_exec_mode=exec.
//
// Times that are compared between processes are the server's
// (clock_timestamp), so that no clock of a client decides whose lease has run
// out.
type Postgres struct{ d *DB }

// minPostgres is the oldest server OpenPostgres accepts, as
// server_version_num.
const minPostgres = 140000

// OpenPostgres checks the server behind db and makes or checks the tables, in
// the schema that comes first in search_path, under an advisory lock: several
// processes may open at once, old and new ones. ctx bounds OpenPostgres only.
// db stays its owner's: close it after the last call.
//
// Of options, Batch and Queue have no meaning here: PostgreSQL shares commits
// between connections by itself.
//
// Errors wrap [ErrEngine], [ErrReplica], [ErrSchema], [ErrReadOnly] or
// [ErrBusy], or are the driver's own.
func OpenPostgres(ctx context.Context, db *sql.DB, options *Options) (*Postgres, error) {
	fail := func(err error) (*Postgres, error) { return nil, explain("open", outcome.Refused, err) }
	if db == nil {
		return fail(errors.New("the *sql.DB is nil"))
	}
	o, err := options.withDefaults()
	if err != nil {
		return fail(err)
	}
	d := &DB{db: db, o: o, dialect: PostgreSQL}
	conn, err := db.Conn(ctx)
	if err != nil {
		return fail(err)
	}
	defer conn.Close()
	if err := d.checkServer(ctx, conn); err != nil {
		return fail(err)
	}
	if err := d.migrateServer(ctx, conn); err != nil {
		return fail(err)
	}
	return &Postgres{d}, nil
}

func (d *DB) checkServer(ctx context.Context, conn *sql.Conn) error {
	var version int
	if err := conn.QueryRowContext(ctx, `SELECT current_setting('server_version_num')::int`).Scan(&version); err != nil {
		if sqlState(err) == "" && ctx.Err() == nil {
			return fmt.Errorf("is it PostgreSQL, and does it answer? %w", err)
		}
		return err
	}
	if version < minPostgres {
		return fmt.Errorf("%w: PostgreSQL of version number %d, want %d or newer", ErrEngine, version, minPostgres)
	}
	var replica, readOnly bool
	var encoding string
	err := conn.QueryRowContext(ctx, `SELECT pg_is_in_recovery(), current_setting('transaction_read_only')::bool, current_setting('server_encoding'),
		current_setting('synchronous_commit') = 'off'`).Scan(&replica, &readOnly, &encoding, &d.lax)
	switch {
	case err != nil:
		return err
	case replica:
		return ErrReplica
	case readOnly:
		return fmt.Errorf("%w (default_transaction_read_only is on)", ErrReadOnly)
	case encoding != "UTF8":
		return fmt.Errorf("%w: the database's encoding is %s, want UTF8", ErrEngine, encoding)
	}
	return nil
}

// migrateServer brings the tables up to this library's version, or says why
// not. Two processes that open at once wait for each other at the lock, which
// ends with the transaction: a pooler may give the next one another session.
func (d *DB) migrateServer(ctx context.Context, conn *sql.Conn) error {
	ms := d.dialect.migrations()
	missing, err := d.missing(ctx, conn, ms)
	if err != nil || len(missing) == 0 {
		return err
	}
	if d.o.NoMigrate {
		return errMissing(missing)
	}
	tx, err := conn.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	h := fnv.New64a()
	_, _ = h.Write([]byte("crosstie migrates " + d.o.Prefix))
	if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(h.Sum64())); err != nil {
		return err
	}
	if err := d.apply(ctx, tx, ms); err != nil {
		return err
	}
	return tx.Commit()
}

// Tx runs fn in a transaction and returns when what it wrote is durable, on
// PostgreSQL as [DB.Tx] does on SQLite, with these differences: functions run
// beside one another and not one after another, each on a connection of its
// own; the ctx given to fn ends with the caller's, and at Options.TxLimit; and
// nobody else is there to protect, so that fn runs once.
//
// When PostgreSQL asks to repeat a transaction (a deadlock, or a conflict under
// a stricter isolation), fn's error comes back marked Refused and transient:
// repeat the call. If the connection is lost during the commit the outcome is
// Unknown. fn must not call Commit or Rollback, nor run such SQL; a call is
// found out and reported as [ErrTxDone], SQL is not.
func (p *Postgres) Tx(ctx context.Context, fn func(ctx context.Context, tx *sql.Tx) error) error {
	return p.d.Tx(ctx, fn)
}

// Inbox returns the port of package inbox: see [DB.Inbox].
func (p *Postgres) Inbox() inbox.Store { return p.d.Inbox() }

// Outbox returns the port of package fireforget: see [DB.Outbox]. Relays in other
// processes hear of a message when they look for one (RelayOptions.Poll).
func (p *Postgres) Outbox() fireforget.TxStore { return p.d.Outbox() }

// Syncs returns the port of package batchsync: see [DB.Syncs]. A sink that
// writes in its transactions speaks PostgreSQL; a table.Table speaks SQLite.
func (p *Postgres) Syncs() batchsync.TxStore { return p.d.Syncs() }

// Keys returns the port of package requestreply/server: see [DB.Keys].
func (p *Postgres) Keys() server.TxKeys { return p.d.Keys() }

// Quotas returns the port of package requestreply/quota: see [DB.Quotas].
func (p *Postgres) Quotas() quota.Store { return p.d.Quotas() }

package sqlstore

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"strings"
	"time"
)

//go:embed migrations
var migrationFiles embed.FS

// A migration is one file of an engine's folder. Changes come in two steps, each
// a release apart: first expand (new tables and columns that the old library
// can live beside), later contract. The line "-- oldest: N" says which library
// may still use a database that has this migration: one that knows at least
// migration N.
type migration struct {
	version, oldest int
	name, text      string
}

var (
	fileRule   = regexp.MustCompile(`^(\d{4})_([a-z0-9_]+)\.sql$`)
	oldestRule = regexp.MustCompile(`(?m)^-- oldest: (\d+)$`)
)

const schemaTable = `-- Which migrations this database has, and the oldest that a library must know to use it.
CREATE TABLE IF NOT EXISTS crosstie_schema (
  version INTEGER PRIMARY KEY,
  name    TEXT NOT NULL,
  oldest  INTEGER NOT NULL,
  at_us   BIGINT NOT NULL
);
`

// migrations returns the embedded files in order. They are part of the
// program, so a bad one is a panic, met by any test.
func (d Dialect) migrations() []migration {
	entries, err := fs.ReadDir(migrationFiles, d.folder())
	if err != nil {
		panic(err)
	}
	var ms []migration
	for _, e := range entries {
		name := fileRule.FindStringSubmatch(e.Name())
		text, err := fs.ReadFile(migrationFiles, d.folder()+"/"+e.Name())
		oldest := oldestRule.FindStringSubmatch(string(text))
		if name == nil || err != nil || oldest == nil {
			panic("sqlstore: migration " + e.Name() + `: want NNNN_name.sql with a line "-- oldest: N"`)
		}
		m := migration{name: name[2], text: string(text)}
		m.version, _ = strconv.Atoi(name[1])
		m.oldest, _ = strconv.Atoi(oldest[1])
		ms = append(ms, m)
	}
	return ms
}

// Schema returns the plain SQL that makes all tables of this version in an
// empty database, for those who review or run it by hand (see
// Options.NoMigrate). An empty prefix means the default.
func Schema(dialect Dialect, prefix string) (string, error) {
	o, err := (&Options{Prefix: prefix}).withDefaults()
	if err == nil {
		err = dialect.known()
	}
	if err != nil {
		return "", refused("schema", err)
	}
	d := &DB{o: o, dialect: dialect}
	begin, now := "BEGIN IMMEDIATE", "CAST(unixepoch('subsec') * 1000000 AS INTEGER)"
	if dialect == PostgreSQL {
		begin, now = "BEGIN", clock
	}
	var s strings.Builder
	s.WriteString(begin + ";\n")
	s.WriteString(d.sql(schemaTable))
	for _, m := range dialect.migrations() {
		s.WriteString("\n" + d.sql(m.text))
		fmt.Fprintf(&s, "\n%s VALUES (%d, '%s', %d, %s);\n", d.sql(addVersion), m.version, m.name, m.oldest, now)
	}
	s.WriteString("COMMIT;\n")
	return s.String(), nil
}

const addVersion = `INSERT INTO crosstie_schema (version, name, oldest, at_us)`

// migrate brings the tables up to this library's version, or says why not. Two
// processes that open at once wait for each other at BEGIN IMMEDIATE.
func (d *DB) migrate(ctx context.Context, conn *sql.Conn) error {
	ms := d.dialect.migrations()
	missing, err := d.missing(ctx, conn, ms)
	if err != nil {
		return err
	}
	if d.o.NoMigrate && len(missing) > 0 {
		return errMissing(missing)
	}
	err = whileBusy(ctx, d.o.LockWait, func() error {
		_, err := conn.ExecContext(ctx, `BEGIN IMMEDIATE`)
		return err
	})
	if err != nil {
		return err
	}
	err = d.apply(ctx, conn, ms)
	if err == nil {
		// Not BEGIN IMMEDIATE, which is content with reading, but a write
		// tells whether the file can be written.
		_, err = conn.ExecContext(context.WithoutCancel(ctx), d.sql(lock))
	}
	if err == nil {
		_, err = conn.ExecContext(context.WithoutCancel(ctx), `COMMIT`)
	}
	if err != nil {
		_, _ = conn.ExecContext(context.WithoutCancel(ctx), `ROLLBACK`)
	}
	return err
}

func errMissing(ms []migration) error {
	return fmt.Errorf("%w: migration %04d_%s is missing and Options.NoMigrate is set: run what sqlstore.Schema prints, from there on", ErrSchema, ms[0].version, ms[0].name)
}

// A migrated is the connection of SQLite, or the transaction of PostgreSQL, in
// which tables are made.
type migrated interface {
	querier
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

func (d *DB) apply(ctx context.Context, conn migrated, ms []migration) error {
	missing, err := d.missing(ctx, conn, ms)
	if err != nil || len(missing) == 0 {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	if _, err := conn.ExecContext(ctx, d.sql(schemaTable)); err != nil {
		return err
	}
	for _, m := range missing {
		if _, err := conn.ExecContext(ctx, d.sql(m.text)); err != nil {
			return fmt.Errorf("%w: migration %04d_%s: %w", ErrSchema, m.version, m.name, err)
		}
		if _, err := conn.ExecContext(ctx, d.sql(addVersion+` VALUES (?, ?, ?, ?)`), m.version, m.name, m.oldest, micros(time.Now())); err != nil {
			return err
		}
	}
	return nil
}

// missing returns the migrations that the database lacks, after checking that
// it still lets this library in.
func (d *DB) missing(ctx context.Context, conn querier, ms []migration) ([]migration, error) {
	there := `SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?`
	if d.dialect == PostgreSQL {
		// Not to_regclass, which may answer from before we had the lock.
		there = `SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
			WHERE c.relname = $1 AND c.relkind = 'r' AND n.nspname = ANY (current_schemas(false)) LIMIT 1`
	}
	var one int
	err := conn.QueryRowContext(ctx, there, d.sql("crosstie_schema")).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return ms, nil
	}
	if err != nil {
		return nil, err
	}
	has := make(map[int]bool)
	newest, oldest := 0, 0
	rows, err := conn.QueryContext(ctx, d.sql(`SELECT version, oldest FROM crosstie_schema ORDER BY version LIMIT 10000`))
	err = eachRow(rows, err, func(r *sql.Rows) error {
		var v, o int
		if err := r.Scan(&v, &o); err != nil {
			return err
		}
		has[v], newest, oldest = true, max(newest, v), max(oldest, o)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%w: the table %s is not ours: choose another Options.Prefix: %w", ErrSchema, d.sql("crosstie_schema"), err)
	}
	if ours := ms[len(ms)-1].version; oldest > ours {
		return nil, fmt.Errorf("%w: the database is at version %d and needs a library that knows version %d; this one knows %d: update the library", ErrSchema, newest, oldest, ours)
	}
	var missing []migration
	for _, m := range ms {
		if !has[m.version] {
			missing = append(missing, m)
		}
	}
	return missing, nil
}

// whileBusy tries f until it finds the database unlocked, for at most wait.
func whileBusy(ctx context.Context, wait time.Duration, f func() error) error {
	end := time.Now().Add(wait)
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		err := f()
		if c := codeOf(err) & 0xff; c != codeBusy && c != codeLocked || time.Now().Add(pause).After(end) {
			return err
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return err
		}
	}
}

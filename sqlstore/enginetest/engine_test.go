package enginetest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/sqlstore"
)

func tables(t *testing.T, db *sql.DB) string {
	t.Helper()
	var names sql.NullString
	err := db.QueryRowContext(t.Context(), `SELECT group_concat(type || ' ' || name || coalesce(sql, ''), char(10) ORDER BY name)
		FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'`).Scan(&names)
	require.NoError(t, err)
	return names.String
}

func TestOpen(t *testing.T) {
	s, db := open(t, 4, nil)
	var mode string
	require.NoError(t, db.QueryRow(`PRAGMA journal_mode`).Scan(&mode))
	require.Equal(t, "wal", mode)
	before := tables(t, db)
	require.Contains(t, before, "table crosstie_inbox")
	// Once more on the same file changes nothing.
	_, err := sqlstore.Open(t.Context(), db, sqlstore.SQLite, &sqlstore.Options{NoMigrate: true})
	require.NoError(t, err)
	_, err = sqlstore.Open(t.Context(), db, sqlstore.SQLite, nil)
	require.NoError(t, err)
	require.Equal(t, before, tables(t, db))
	require.NoError(t, s.Tx(t.Context(), func(context.Context, *sql.Tx) error { return nil }))
}

func TestOpenRefuses(t *testing.T) {
	path := func(t *testing.T) string { return filepath.Join(t.TempDir(), "store.db") }
	dsn := func(t *testing.T, dsn string, conns int) *sql.DB {
		db, err := sql.Open("sqlite", dsn)
		require.NoError(t, err)
		db.SetMaxOpenConns(conns)
		t.Cleanup(func() { db.Close() })
		return db
	}
	for name, c := range map[string]struct {
		db   func(t *testing.T) *sql.DB
		o    *sqlstore.Options
		want error
		says string
	}{
		"no pool": {db: func(*testing.T) *sql.DB { return nil }, says: "nil"},
		"a prefix that is no name": {
			db:   func(t *testing.T) *sql.DB { return pool(t, path(t), 1) },
			o:    &sqlstore.Options{Prefix: `x"; DROP TABLE y; --`},
			says: "lower-case",
		},
		"memory with many connections": {
			db:   func(t *testing.T) *sql.DB { return dsn(t, ":memory:", 2) },
			want: sqlstore.ErrEngine, says: "SetMaxOpenConns(1)",
		},
		"memory with any number of connections": {
			db:   func(t *testing.T) *sql.DB { return dsn(t, "file:x?mode=memory&cache=shared", 0) },
			want: sqlstore.ErrEngine, says: "SetMaxOpenConns(1)",
		},
		"a foreign file": {
			db: func(t *testing.T) *sql.DB {
				p := path(t)
				require.NoError(t, os.WriteFile(p, []byte(strings.Repeat("This is a diary. ", 1000)), 0o600))
				return pool(t, p, 1)
			},
			want: sqlstore.ErrCorrupt, says: "not a database",
		},
		"a damaged file": {
			db: func(t *testing.T) *sql.DB {
				p := path(t)
				db := pool(t, p, 1)
				_, err := sqlstore.Open(t.Context(), db, sqlstore.SQLite, nil)
				require.NoError(t, err)
				require.NoError(t, db.Close())
				f, err := os.OpenFile(p, os.O_RDWR, 0)
				require.NoError(t, err)
				noise := make([]byte, 3000)
				_, _ = rand.Read(noise)
				_, err = f.WriteAt(noise, 100)
				require.NoError(t, err)
				require.NoError(t, f.Close())
				return pool(t, p, 1)
			},
			want: sqlstore.ErrCorrupt,
		},
		"a read-only file": {
			db: func(t *testing.T) *sql.DB {
				p := path(t)
				_, err := sqlstore.Open(t.Context(), pool(t, p, 1), sqlstore.SQLite, nil)
				require.NoError(t, err)
				return dsn(t, "file:"+p+"?mode=ro", 1)
			},
			want: sqlstore.ErrReadOnly,
		},
		"a read-only connection": {
			db:   func(t *testing.T) *sql.DB { return dsn(t, "file:"+path(t)+"?_pragma=query_only(1)", 1) },
			want: sqlstore.ErrReadOnly,
		},
		"no such directory": {
			db:   func(t *testing.T) *sql.DB { return dsn(t, "file:"+path(t)+"/none/x.db", 1) },
			says: "unable to open",
		},
		"no tables and no right to make them": {
			db:   func(t *testing.T) *sql.DB { return pool(t, path(t), 1) },
			o:    &sqlstore.Options{NoMigrate: true},
			want: sqlstore.ErrSchema, says: "0001_inbox",
		},
		"a newer schema": {
			db: func(t *testing.T) *sql.DB {
				db := pool(t, path(t), 1)
				_, err := sqlstore.Open(t.Context(), db, sqlstore.SQLite, nil)
				require.NoError(t, err)
				_, err = db.Exec(`INSERT INTO crosstie_schema VALUES (9001, 'later', 9000, 0)`)
				require.NoError(t, err)
				return db
			},
			want: sqlstore.ErrSchema, says: "at version 9001 and needs a library that knows version 9000",
		},
		"somebody else's table": {
			db: func(t *testing.T) *sql.DB {
				db := pool(t, path(t), 1)
				_, err := db.Exec(`CREATE TABLE crosstie_schema (colour TEXT)`)
				require.NoError(t, err)
				return db
			},
			want: sqlstore.ErrSchema, says: "Prefix",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := sqlstore.Open(t.Context(), c.db(t), sqlstore.SQLite, c.o)
			require.Error(t, err)
			t.Log(err)
			if c.want != nil {
				require.ErrorIs(t, err, c.want)
			}
			require.ErrorContains(t, err, c.says)
			require.True(t, strings.HasPrefix(err.Error(), "sqlstore: open: "), err.Error())
			require.NotContains(t, err.Error(), "\n")
			require.True(t, outcome.NotApplied(err))
		})
	}
}

func TestOpenAnUnknownDialect(t *testing.T) {
	_, err := sqlstore.Open(t.Context(), pool(t, filepath.Join(t.TempDir(), "x.db"), 1), sqlstore.Dialect{}, nil)
	require.ErrorIs(t, err, sqlstore.ErrEngine)
}

func TestOpenExpandedSchema(t *testing.T) {
	_, db := open(t, 1, nil)
	// A later library has expanded the schema and still lets this one in.
	_, err := db.Exec(`INSERT INTO crosstie_schema VALUES (9001, 'later', 1, 0)`)
	require.NoError(t, err)
	_, err = sqlstore.Open(t.Context(), db, sqlstore.SQLite, nil)
	require.NoError(t, err)
}

func TestOpenInMemory(t *testing.T) {
	db, err := sql.Open("sqlite", ":memory:")
	require.NoError(t, err)
	defer db.Close()
	db.SetMaxOpenConns(1)
	s, err := sqlstore.Open(t.Context(), db, sqlstore.SQLite, nil)
	require.NoError(t, err)
	table(t, db)
	require.NoError(t, s.Tx(t.Context(), add("a")))
	require.Len(t, notes(t, db), 1)
}

func TestOpenAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	var wg sync.WaitGroup
	for range 8 {
		db := pool(t, path, 2)
		wg.Go(func() {
			if _, err := sqlstore.Open(t.Context(), db, sqlstore.SQLite, nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestSchema(t *testing.T) {
	for _, prefix := range []string{"", "shop_"} {
		_, migrated := open(t, 1, &sqlstore.Options{Prefix: prefix})
		text, err := sqlstore.Schema(sqlstore.SQLite, prefix)
		require.NoError(t, err)
		byHand := pool(t, filepath.Join(t.TempDir(), "hand.db"), 1)
		_, err = byHand.Exec(text)
		require.NoError(t, err)
		require.Equal(t, tables(t, migrated), tables(t, byHand))
		_, err = sqlstore.Open(t.Context(), byHand, sqlstore.SQLite, &sqlstore.Options{Prefix: prefix, NoMigrate: true})
		require.NoError(t, err)
		if prefix != "" {
			require.NotContains(t, tables(t, migrated), "crosstie_")
		}
	}
	_, err := sqlstore.Schema(sqlstore.SQLite, "No Good")
	require.Error(t, err)
	_, err = sqlstore.Schema(sqlstore.Dialect{}, "")
	require.ErrorIs(t, err, sqlstore.ErrEngine)
}

func TestPrefixesAreApart(t *testing.T) {
	a, db := open(t, 2, &sqlstore.Options{Prefix: "a_"})
	b, err := sqlstore.Open(t.Context(), db, sqlstore.SQLite, &sqlstore.Options{Prefix: "b_"})
	require.NoError(t, err)
	for i, s := range []*sqlstore.DB{a, b, a, b} {
		first, err := s.Inbox().Do(t.Context(), "box", "id", noon, func(context.Context, *sql.Tx) error { return nil })
		require.NoError(t, err)
		require.Equal(t, i < 2, first, fmt.Sprint(i))
	}
}

package enginetest

import (
	"context"
	"database/sql"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/sqlstore"
)

// pgTables lists what is in the schema of a pool, with types and indexes.
func pgTables(t testing.TB, db *sql.DB) string {
	t.Helper()
	var all string
	err := db.QueryRowContext(t.Context(), `SELECT string_agg(line, E'\n' ORDER BY line) FROM (
		SELECT c.relname || ' ' || c.relkind::text || ' ' || coalesce(a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || ' ' || a.attnotnull::text, '') AS line
		FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 WHERE c.relnamespace = current_schema()::regnamespace) x`).Scan(&all)
	require.NoError(t, err)
	return all
}

func TestPostgresOpen(t *testing.T) {
	s, db := openPG(t, 4, nil)
	before := pgTables(t, db)
	require.Contains(t, before, "crosstie_inbox r at_us bigint true")
	// Once more on the same database changes nothing.
	_, err := sqlstore.OpenPostgres(t.Context(), db, &sqlstore.Options{NoMigrate: true})
	require.NoError(t, err)
	_, err = sqlstore.OpenPostgres(t.Context(), db, nil)
	require.NoError(t, err)
	require.Equal(t, before, pgTables(t, db))
	require.NoError(t, s.Tx(t.Context(), func(context.Context, *sql.Tx) error { return nil }))
}

func TestPostgresOpenRefuses(t *testing.T) {
	needPostgres(t)
	for name, c := range map[string]struct {
		db   func(t *testing.T) *sql.DB
		o    *sqlstore.Options
		want error
		says string
	}{
		"no pool": {db: func(*testing.T) *sql.DB { return nil }, says: "nil"},
		"another engine": {
			db:   func(t *testing.T) *sql.DB { return pool(t, t.TempDir()+"/x.db", 1) },
			says: "is it PostgreSQL",
		},
		"nobody there": {
			db:   func(t *testing.T) *sql.DB { return pgPool(t, "postgres://127.0.0.1:1/none", 1) },
			says: "127.0.0.1",
		},
		"no tables and no right to make them": {
			db:   func(t *testing.T) *sql.DB { return pgPool(t, pgSchema(t), 1) },
			o:    &sqlstore.Options{NoMigrate: true},
			want: sqlstore.ErrSchema, says: "0001_inbox",
		},
		"a newer schema": {
			db: func(t *testing.T) *sql.DB {
				_, db := openPG(t, 1, nil)
				_, err := db.Exec(`INSERT INTO crosstie_schema VALUES (9001, 'later', 9000, 0)`)
				require.NoError(t, err)
				return db
			},
			want: sqlstore.ErrSchema, says: "at version 9001 and needs a library that knows version 9000",
		},
		"somebody else's table": {
			db: func(t *testing.T) *sql.DB {
				db := pgPool(t, pgSchema(t), 1)
				_, err := db.Exec(`CREATE TABLE crosstie_schema (colour TEXT)`)
				require.NoError(t, err)
				return db
			},
			want: sqlstore.ErrSchema, says: "Prefix",
		},
		"transactions that only read": {
			db: func(t *testing.T) *sql.DB {
				return pgPool(t, with(t, pgSchema(t), "default_transaction_read_only", "on"), 1)
			},
			want: sqlstore.ErrReadOnly, says: "default_transaction_read_only",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := sqlstore.OpenPostgres(t.Context(), c.db(t), c.o)
			require.Error(t, err)
			t.Log(err)
			if c.want != nil {
				require.ErrorIs(t, err, c.want)
			}
			require.ErrorContains(t, err, c.says)
			require.True(t, strings.HasPrefix(err.Error(), "sqlstore: open: "), err.Error())
			require.True(t, outcome.NotApplied(err))
		})
	}
}

// Open's DB has ports that PostgreSQL lacks: it says which door to take.
func TestOpenNamesOpenPostgres(t *testing.T) {
	_, err := sqlstore.Open(t.Context(), pool(t, t.TempDir()+"/x.db", 1), sqlstore.PostgreSQL, nil)
	require.ErrorIs(t, err, sqlstore.ErrEngine)
	require.ErrorContains(t, err, "OpenPostgres")
}

// Old and new binaries that start at once wait for each other, and an old one
// works on beside a new one's tables.
func TestPostgresMigrations(t *testing.T) {
	dsn := pgSchema(t)
	var wg sync.WaitGroup
	for range 6 {
		db := pgPool(t, dsn, 2)
		wg.Go(func() {
			if _, err := sqlstore.OpenPostgres(t.Context(), db, nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()

	db := pgPool(t, dsn, 2)
	old, err := sqlstore.OpenPostgres(t.Context(), db, nil)
	require.NoError(t, err)
	// A later library has expanded the schema and still lets this one in.
	_, err = db.Exec(`ALTER TABLE crosstie_inbox ADD COLUMN later TEXT NOT NULL DEFAULT '';
		INSERT INTO crosstie_schema VALUES (9001, 'later', 1, 0)`)
	require.NoError(t, err)
	again, err := sqlstore.OpenPostgres(t.Context(), db, nil)
	require.NoError(t, err)
	for i, s := range []*sqlstore.Postgres{old, again} {
		first, err := s.Inbox().Do(t.Context(), "box", "id", noon, func(context.Context, *sql.Tx) error { return nil })
		require.NoError(t, err)
		require.Equal(t, i == 0, first)
	}
}

func TestPostgresSchema(t *testing.T) {
	needPostgres(t)
	for _, prefix := range []string{"", "shop_"} {
		_, migrated := openPG(t, 1, &sqlstore.Options{Prefix: prefix})
		text, err := sqlstore.Schema(sqlstore.PostgreSQL, prefix)
		require.NoError(t, err)
		byHand := pgPool(t, pgSchema(t), 1)
		_, err = byHand.Exec(text)
		require.NoError(t, err)
		require.Equal(t, pgTables(t, migrated), pgTables(t, byHand))
		_, err = sqlstore.OpenPostgres(t.Context(), byHand, &sqlstore.Options{Prefix: prefix, NoMigrate: true})
		require.NoError(t, err)
		if prefix != "" {
			require.NotContains(t, pgTables(t, migrated), "crosstie_")
		}
	}
}

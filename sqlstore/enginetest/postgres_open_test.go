package enginetest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"net/url"
	"os"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/sqlstore"
)

// needPostgres returns the address of the server of the tests whose names begin
// with TestPostgres, as a URL, or skips. They make a schema each, and drop it.
func needPostgres(t testing.TB) string {
	t.Helper()
	base := os.Getenv("CROSSTIE_POSTGRES")
	if base == "" {
		t.Skip("NOT TESTED ON POSTGRESQL: set CROSSTIE_POSTGRES, such as postgres://postgres@127.0.0.1:5432/postgres")
	}
	return base
}

// pgSchema makes a schema for this test and returns a URL that leads into it.
// What does not answer, where the variable says there is one, is a failure.
func pgSchema(t testing.TB) string {
	t.Helper()
	return pgSchemaAt(t, needPostgres(t))
}

func pgSchemaAt(t testing.TB, base string) string {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal("CROSSTIE_POSTGRES is no URL") // without the error, which would show a password
	}
	name := "crosstie_test_" + strings.ToLower(rand.Text())
	admin := pgPool(t, with(t, base, "synchronous_commit", "off"), 1)
	if _, err := admin.ExecContext(t.Context(), `CREATE SCHEMA `+name); err != nil {
		t.Fatalf("CROSSTIE_POSTGRES is set, and the server there cannot be used: %v", err)
	}
	t.Cleanup(func() {
		_, err := admin.ExecContext(context.Background(), `DROP SCHEMA `+name+` CASCADE`)
		require.NoError(t, err)
	})
	return with(t, u.String(), "search_path", name)
}

// with returns dsn with one more setting.
func with(t testing.TB, dsn, key, value string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	require.NoError(t, err)
	q := u.Query()
	q.Set(key, value)
	u.RawQuery = q.Encode()
	return u.String()
}

func pgPool(t testing.TB, dsn string, conns int) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", dsn)
	require.NoError(t, err)
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// emptied returns what a kit opens its stores with: each is new on the same
// tables, from which the rows of the last are deleted. To make tables takes the
// disk longer than most tests of a kit do.
func emptied(t *testing.T, dsn string, conns int) func(t *testing.T) *sqlstore.Postgres {
	t.Helper()
	db := pgPool(t, dsn, conns)
	_, err := sqlstore.OpenPostgres(t.Context(), db, nil)
	require.NoError(t, err)
	var empty string
	err = db.QueryRowContext(t.Context(), `SELECT string_agg('DELETE FROM ' || relname, ';') FROM pg_class
		WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND relname <> 'crosstie_schema'`).Scan(&empty)
	require.NoError(t, err)
	return func(t *testing.T) *sqlstore.Postgres {
		t.Helper()
		_, err := db.ExecContext(t.Context(), empty)
		require.NoError(t, err)
		s, err := sqlstore.OpenPostgres(t.Context(), db, &sqlstore.Options{NoMigrate: true})
		require.NoError(t, err)
		return s
	}
}

// openPG returns a store in a schema of its own, and the pool under it.
func openPG(t testing.TB, conns int, o *sqlstore.Options) (*sqlstore.Postgres, *sql.DB) {
	t.Helper()
	db := pgPool(t, pgSchema(t), conns)
	s, err := sqlstore.OpenPostgres(t.Context(), db, o)
	require.NoError(t, err)
	return s, db
}

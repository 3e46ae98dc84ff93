package enginetest

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/crosstie/crosstie/sqlstore"
)

// pool opens a pool on a file that exists for this test.
func pool(t testing.TB, path string, conns int) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(1000)")
	require.NoError(t, err)
	db.SetMaxOpenConns(conns)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// open returns a store on a new file, and the pool under it.
func open(t testing.TB, conns int, o *sqlstore.Options) (*sqlstore.DB, *sql.DB) {
	t.Helper()
	db := pool(t, filepath.Join(t.TempDir(), "store.db"), conns)
	s, err := sqlstore.Open(t.Context(), db, sqlstore.SQLite, o)
	require.NoError(t, err)
	return s, db
}

// pools are the sizes every kit runs on: one connection, where holding it
// while waiting for another hangs, and many.
var pools = map[string]int{"one connection": 1, "many connections": 8}

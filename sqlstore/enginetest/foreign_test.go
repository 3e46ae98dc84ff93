package enginetest

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/inbox"
	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/sqlstore"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// Transactions that the caller began himself.
func TestForeignTx(t *testing.T) {
	begin := func(t *testing.T, db *sql.DB) *sql.Tx {
		t.Helper()
		tx, err := db.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		t.Cleanup(func() { _ = tx.Rollback() })
		return tx
	}
	t.Run("commits and rolls back with it", func(t *testing.T) {
		s, db := open(t, 1, nil)
		for _, commit := range []bool{false, true} {
			tx := begin(t, db)
			first, err := s.Inbox().Once(t.Context(), tx, "box", "id", noon)
			require.NoError(t, err)
			require.True(t, first)
			if commit {
				require.NoError(t, tx.Commit())
			} else {
				require.NoError(t, tx.Rollback())
			}
		}
		tx := begin(t, db)
		first, err := s.Inbox().Once(t.Context(), tx, "box", "id", noon)
		require.NoError(t, err)
		require.False(t, first)
	})
	t.Run("nil", func(t *testing.T) {
		s, _ := open(t, 1, nil)
		_, err := s.Inbox().Once(t.Context(), nil, "box", "id", noon)
		require.ErrorIs(t, err, inbox.ErrNoTx)
		require.Equal(t, outcome.NotSent, outcome.Of(err))
	})
	t.Run("one that is over", func(t *testing.T) {
		s, db := open(t, 1, nil)
		tx := begin(t, db)
		require.NoError(t, tx.Commit())
		_, err := s.Inbox().Once(t.Context(), tx, "box", "id", noon)
		require.ErrorIs(t, err, sql.ErrTxDone)
		require.True(t, outcome.NotApplied(err))
	})
	t.Run("one whose commit could be lost", func(t *testing.T) {
		for _, level := range []string{"OFF", "NORMAL"} {
			s, db := open(t, 1, nil)
			_, err := db.Exec(`PRAGMA synchronous=` + level)
			require.NoError(t, err)
			tx := begin(t, db)
			_, err = s.Inbox().Once(t.Context(), tx, "box", "id", noon)
			require.ErrorIs(t, err, sqlstore.ErrNotDurable)
			require.ErrorContains(t, err, level)
			require.Equal(t, outcome.NotSent, outcome.Of(err))
			require.NoError(t, tx.Commit())
			// Our own commits see to it themselves.
			require.NoError(t, s.Tx(t.Context(), func(_ context.Context, tx *sql.Tx) error {
				var now int
				require.NoError(t, tx.QueryRow(`PRAGMA synchronous`).Scan(&now))
				require.Equal(t, 2, now)
				return nil
			}))
		}
	})
	t.Run("one that read before it wrote", func(t *testing.T) {
		s, db := open(t, 4, nil)
		tx := begin(t, db)
		var n int
		require.NoError(t, tx.QueryRow(`SELECT count(*) FROM crosstie_inbox`).Scan(&n))
		_, err := s.Inbox().Do(t.Context(), "box", "other", noon, func(context.Context, *sql.Tx) error { return nil })
		require.NoError(t, err)
		_, err = s.Inbox().Once(t.Context(), tx, "box", "id", noon)
		require.ErrorIs(t, err, sqlstore.ErrSnapshot)
		require.Equal(t, outcome.Refused, outcome.Of(err))
		transient, said := outcome.Transient(err)
		require.True(t, transient && said)
	})
	t.Run("while another holds the lock", func(t *testing.T) {
		s, db := open(t, 4, nil)
		other := begin(t, db)
		_, err := other.Exec(`CREATE TABLE held (a)`)
		require.NoError(t, err)
		tx := begin(t, db)
		_, err = s.Inbox().Once(t.Context(), tx, "box", "id", noon)
		require.ErrorIs(t, err, sqlstore.ErrBusy)
		require.Equal(t, outcome.Refused, outcome.Of(err))
	})
	t.Run("of another database", func(t *testing.T) {
		s, _ := open(t, 1, nil)
		tx := begin(t, pool(t, filepath.Join(t.TempDir(), "other.db"), 1))
		_, err := s.Inbox().Once(t.Context(), tx, "box", "id", noon)
		require.ErrorContains(t, err, "no such table")
		require.Equal(t, outcome.Refused, outcome.Of(err))
	})
	t.Run("with a context that has ended", func(t *testing.T) {
		s, db := open(t, 1, nil)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := s.Inbox().Once(ctx, begin(t, db), "box", "id", noon)
		require.Equal(t, outcome.NotSent, outcome.Of(err))
		require.ErrorIs(t, err, context.Canceled)
	})
}

// Our own writes while a transaction of the caller holds what they need.
func TestBusy(t *testing.T) {
	for name, conns := range pools {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store.db")
			db, err := sql.Open("sqlite", "file:"+path)
			require.NoError(t, err)
			defer db.Close()
			db.SetMaxOpenConns(conns)
			s, err := sqlstore.Open(t.Context(), db, sqlstore.SQLite, &sqlstore.Options{LockWait: 100 * time.Millisecond})
			require.NoError(t, err)
			table(t, db)
			tx, err := db.BeginTx(t.Context(), nil)
			require.NoError(t, err)
			require.NoError(t, add("held")(t.Context(), tx))
			err = s.Tx(t.Context(), add("waits"))
			require.ErrorIs(t, err, sqlstore.ErrBusy)
			require.Equal(t, outcome.NotSent, outcome.Of(err))
			transient, said := outcome.Transient(err)
			require.True(t, transient && said)
			t.Log(err)

			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			defer cancel()
			err = s.Tx(ctx, add("leaves"))
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, outcome.NotSent, outcome.Of(err))

			require.NoError(t, tx.Commit())
			require.NoError(t, s.Tx(t.Context(), add("gets in")))
			require.Equal(t, map[string]bool{"held": true, "gets in": true}, notes(t, db))
		})
	}
}

// Two handles on one file stand for two processes.
func TestTwoHandles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	var stores []*sqlstore.DB
	var pools []*sql.DB
	for range 2 {
		db := pool(t, path, 3)
		s, err := sqlstore.Open(t.Context(), db, sqlstore.SQLite, nil)
		require.NoError(t, err)
		stores, pools = append(stores, s), append(pools, db)
	}
	table(t, pools[0])
	done := make(chan error)
	const each = 200
	for i, s := range stores {
		for c := range 4 {
			go func() {
				var err error
				for n := range each / 4 {
					if err == nil {
						err = s.Tx(t.Context(), add(string(rune('a'+i))+string(rune('a'+c))+time.Duration(n).String()))
					}
				}
				done <- err
			}()
		}
	}
	for range 8 {
		require.NoError(t, <-done)
	}
	require.Len(t, notes(t, pools[1]), 2*each)
}

package enginetest

import (
	"context"
	"database/sql"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/crosstie/crosstie/inbox"
	"github.com/crosstie/crosstie/sqlstore"
)

// TestFakeTime shows that a store can live in a bubble, if its pool is opened
// and closed there: hours pass in no time, on a real file.
func TestFakeTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	synctest.Test(t, func(t *testing.T) {
		db, err := sql.Open("sqlite", "file:"+path)
		require.NoError(t, err)
		defer db.Close()
		s, err := sqlstore.Open(t.Context(), db, sqlstore.SQLite, nil)
		require.NoError(t, err)
		in := inbox.New("box", s.Inbox(), &inbox.Options{Window: time.Hour})
		nothing := func(context.Context, *sql.Tx) error { return nil }
		made := time.Now()
		require.NoError(t, in.Do(t.Context(), "a", made, nothing))
		time.Sleep(time.Hour + time.Second)
		require.ErrorIs(t, in.Do(t.Context(), "a", made, nothing), inbox.ErrTooOld)
		n, err := in.Forget(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, 1, n)

		start := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() {
			err := s.Tx(t.Context(), func(ctx context.Context, _ *sql.Tx) error { <-ctx.Done(); return nil })
			require.ErrorIs(t, err, sqlstore.ErrTxLimit)
		})
		wg.Wait()
		require.Equal(t, 5*time.Second, time.Since(start))
	})
}

package enginetest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http/httptest"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/inbox"
	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/requestreply/server"
	"github.com/crosstie/crosstie/sqlstore"
)

func pgAdd(id string) func(context.Context, *sql.Tx) error {
	return func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO note (id) VALUES ($1)`, id)
		return err
	}
}

func TestPostgresTx(t *testing.T) {
	s, db := openPG(t, 4, &sqlstore.Options{TxLimit: time.Minute, LockWait: time.Minute})
	// hasty is the same store with limits that are to be met.
	hasty, err := sqlstore.OpenPostgres(t.Context(), db, &sqlstore.Options{TxLimit: 200 * time.Millisecond, LockWait: 300 * time.Millisecond})
	require.NoError(t, err)
	table(t, db)
	ctx := t.Context()
	has := func(t *testing.T, want ...string) {
		t.Helper()
		all := notes(t, db)
		require.Len(t, all, len(want))
		for _, id := range want {
			require.True(t, all[id], id)
		}
	}
	is := func(t *testing.T, err error, known outcome.Outcome, temporary bool) {
		t.Helper()
		require.Equal(t, known, outcome.Of(err), err)
		got, _ := outcome.Transient(err)
		require.Equal(t, temporary, got, err)
	}
	require.NoError(t, s.Tx(ctx, pgAdd("a")))
	has(t, "a")

	t.Run("an error rolls back, and comes back", func(t *testing.T) {
		err := s.Tx(ctx, func(ctx context.Context, tx *sql.Tx) error { return errors.Join(pgAdd("b")(ctx, tx), errBoom) })
		require.ErrorIs(t, err, errBoom)
		require.Equal(t, outcome.Refused, outcome.Of(err))
		has(t, "a")
	})
	t.Run("a panic and a Goexit roll back, and go on", func(t *testing.T) {
		require.Panics(t, func() {
			_ = s.Tx(ctx, func(ctx context.Context, tx *sql.Tx) error { _ = pgAdd("b")(ctx, tx); panic(errBoom) })
		})
		done := make(chan bool)
		go func() {
			defer close(done)
			_ = s.Tx(ctx, func(ctx context.Context, tx *sql.Tx) error { _ = pgAdd("b")(ctx, tx); runtime.Goexit(); return nil })
		}()
		<-done
		has(t, "a")
	})
	t.Run("an ended context runs nothing", func(t *testing.T) {
		ended, cancel := context.WithCancel(ctx)
		cancel()
		err := s.Tx(ended, func(context.Context, *sql.Tx) error { t.Error("it ran"); return nil })
		require.ErrorIs(t, err, context.Canceled)
		is(t, err, outcome.NotSent, false)
	})
	t.Run("a context that ends within reaches the function", func(t *testing.T) {
		within, cancel := context.WithCancel(ctx)
		defer cancel()
		err := s.Tx(within, func(ctx context.Context, tx *sql.Tx) error {
			cancel()
			_, err := tx.ExecContext(ctx, `SELECT pg_sleep(60)`)
			return err
		})
		require.ErrorIs(t, err, context.Canceled)
		require.True(t, outcome.NotApplied(err), err)
	})
	t.Run("the limit", func(t *testing.T) {
		err := hasty.Tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
			_ = pgAdd("b")(ctx, tx)
			<-ctx.Done()
			require.ErrorIs(t, context.Cause(ctx), sqlstore.ErrTxLimit)
			return nil
		})
		require.ErrorIs(t, err, sqlstore.ErrTxLimit)
		require.Equal(t, outcome.Refused, outcome.Of(err))
		has(t, "a")
	})
	t.Run("durable calls within fail at once", func(t *testing.T) {
		err := s.Tx(ctx, func(ctx context.Context, _ *sql.Tx) error {
			_, err := s.Inbox().Do(ctx, "box", "id", noon, func(context.Context, *sql.Tx) error { return nil })
			return err
		})
		require.ErrorIs(t, err, sqlstore.ErrInTx)
		require.ErrorContains(t, err, "Once")
	})
	t.Run("a function that ends the transaction", func(t *testing.T) {
		err := s.Tx(ctx, func(_ context.Context, tx *sql.Tx) error { return tx.Rollback() })
		require.ErrorIs(t, err, sqlstore.ErrTxDone)
		require.Equal(t, outcome.Unknown, outcome.Of(err))
	})
	t.Run("a failed statement that is passed over", func(t *testing.T) {
		err := s.Tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
			require.Error(t, pgAdd("a")(ctx, tx))
			return nil
		})
		require.ErrorContains(t, err, "a statement failed")
		require.Equal(t, outcome.Refused, outcome.Of(err))
	})
	t.Run("a constraint that is checked at the commit", func(t *testing.T) {
		_, err := db.ExecContext(ctx, `CREATE TABLE late (id TEXT UNIQUE DEFERRABLE INITIALLY DEFERRED)`)
		require.NoError(t, err)
		err = s.Tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, `INSERT INTO late VALUES ('x'), ('x')`)
			return err
		})
		require.Equal(t, outcome.Refused, outcome.Of(err), err)
	})
	t.Run("no connection comes free", func(t *testing.T) {
		var held []*sql.Conn
		for range 4 {
			c, err := db.Conn(ctx)
			require.NoError(t, err)
			held = append(held, c)
		}
		err := hasty.Tx(ctx, pgAdd("b"))
		require.ErrorIs(t, err, sqlstore.ErrBusy)
		is(t, err, outcome.NotSent, true)
		for _, c := range held {
			require.NoError(t, c.Close())
		}
	})
	t.Run("a row that stays locked", func(t *testing.T) {
		tx, err := db.BeginTx(ctx, nil)
		require.NoError(t, err)
		first, err := s.Inbox().Once(ctx, tx, "box", "held", noon)
		require.NoError(t, err)
		require.True(t, first)
		_, err = s.Keys().Claim(ctx, "k", [32]byte{}, time.Minute, time.Hour)
		require.NoError(t, err)
		_, err = tx.ExecContext(ctx, `SELECT 1 FROM crosstie_keys FOR UPDATE`)
		require.NoError(t, err)
		_, err = hasty.Keys().Claim(ctx, "k", [32]byte{}, time.Minute, time.Hour)
		require.ErrorIs(t, err, sqlstore.ErrBusy)
		is(t, err, outcome.Refused, true)
		require.NoError(t, tx.Commit())
	})
	t.Run("a deadlock asks to repeat", func(t *testing.T) {
		_, err := db.ExecContext(ctx, `CREATE TABLE pair (id INTEGER PRIMARY KEY, n INTEGER); INSERT INTO pair VALUES (1, 0), (2, 0)`)
		require.NoError(t, err)
		var both, wg sync.WaitGroup
		both.Add(2)
		errs := make([]error, 2)
		for i := range 2 {
			wg.Go(func() {
				errs[i] = s.Tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
					for step := range 2 {
						if _, err := tx.ExecContext(ctx, `UPDATE pair SET n = n + 1 WHERE id = $1`, 1+(i+step)%2); err != nil {
							return err
						}
						if step == 0 {
							both.Done()
							both.Wait()
						}
					}
					return nil
				})
			})
		}
		wg.Wait()
		if errs[0] == nil {
			errs[0] = errs[1]
		} else {
			require.NoError(t, errs[1])
		}
		is(t, errs[0], outcome.Refused, true)
	})
	t.Run("text that PostgreSQL cannot keep", func(t *testing.T) {
		_, err := s.Inbox().Do(ctx, "box", "zero\x00byte", noon, func(context.Context, *sql.Tx) error { return nil })
		require.ErrorContains(t, err, "zero bytes")
		is(t, err, outcome.Refused, false)
	})
}

// A session that would not wait for the disk does when it must keep a promise.
func TestPostgresAsksForDurability(t *testing.T) {
	dsn := with(t, pgSchema(t), "synchronous_commit", "off")
	db := pgPool(t, dsn, 2)
	s, err := sqlstore.OpenPostgres(t.Context(), db, nil)
	require.NoError(t, err)
	level := func(tx *sql.Tx) (v string) {
		t.Helper()
		require.NoError(t, tx.QueryRow(`SHOW synchronous_commit`).Scan(&v))
		return v
	}
	err = s.Tx(t.Context(), func(_ context.Context, tx *sql.Tx) error {
		require.Equal(t, "on", level(tx))
		return nil
	})
	require.NoError(t, err)

	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	require.Equal(t, "off", level(tx))
	_, err = s.Inbox().Once(t.Context(), tx, "box", "id", noon)
	require.NoError(t, err)
	require.Equal(t, "on", level(tx))
	require.NoError(t, tx.Commit())

	tx, err = db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	require.Equal(t, "off", level(tx), "of that transaction alone")
	c, err := s.Keys().Claim(t.Context(), "k", [32]byte{}, time.Minute, time.Hour)
	require.NoError(t, err)
	require.NoError(t, s.Keys().FinishTx(t.Context(), tx, c, server.Reply{Status: 200}))
	require.Equal(t, "on", level(tx))
	require.NoError(t, tx.Commit())

	_, err = db.Exec(`SET synchronous_commit = remote_apply`)
	require.NoError(t, err)
	db.SetMaxOpenConns(1)
	tx, err = db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	was := level(tx)
	_, err = s.Inbox().Once(t.Context(), tx, "box", "other", noon)
	require.NoError(t, err)
	if was == "remote_apply" {
		require.Equal(t, "remote_apply", level(tx), "more than on is left alone")
	}
	require.NoError(t, tx.Commit())
}

// Under a stricter isolation a duplicate asks to repeat the transaction, and is
// known when that is done.
func TestPostgresOnceUnderRepeatableRead(t *testing.T) {
	s, db := openPG(t, 4, nil)
	ctx := t.Context()
	begin := func() *sql.Tx {
		tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
		require.NoError(t, err)
		_, err = tx.Exec(`SELECT 1 FROM crosstie_inbox`) // its view is of now
		require.NoError(t, err)
		return tx
	}
	late := begin()
	first, err := s.Inbox().Do(ctx, "box", "id", noon, func(context.Context, *sql.Tx) error { return nil })
	require.NoError(t, err)
	require.True(t, first)
	_, err = s.Inbox().Once(ctx, late, "box", "id", noon)
	require.ErrorIs(t, err, sqlstore.ErrSnapshot)
	temporary, _ := outcome.Transient(err)
	require.True(t, temporary)
	require.NoError(t, late.Rollback())
	late = begin()
	first, err = s.Inbox().Once(ctx, late, "box", "id", noon)
	require.NoError(t, err)
	require.False(t, first)
	require.NoError(t, late.Rollback())
}

// An id is forgotten while its duplicate waits for its row: it is too old, not
// new. A store that looked at the mark once would take it for new.
func TestPostgresForgetBesideADuplicate(t *testing.T) {
	s, db := openPG(t, 8, nil)
	ctx := t.Context()
	nothing := func(context.Context, *sql.Tx) error { return nil }
	first, err := s.Inbox().Do(ctx, "box", "id", noon, nothing)
	require.NoError(t, err)
	require.True(t, first)

	// What Forget does, held between its two commits.
	forget, err := db.BeginTx(ctx, nil)
	require.NoError(t, err)
	_, err = forget.Exec(`DELETE FROM crosstie_inbox`)
	require.NoError(t, err)
	got := make(chan error, 1)
	go func() {
		first, err := s.Inbox().Do(ctx, "box", "id", noon, nothing)
		if err == nil {
			err = fmt.Errorf("first: %v", first)
		}
		got <- err
	}()
	waits := func() (n int) {
		require.NoError(t, db.QueryRow(`SELECT count(*) FROM pg_locks WHERE NOT granted AND pid IN
			(SELECT pid FROM pg_stat_activity WHERE query LIKE '%crosstie_inbox %' AND datname = current_database())`).Scan(&n))
		return n
	}
	for waits() == 0 {
		runtime.Gosched()
	}
	_, err = db.Exec(`INSERT INTO crosstie_inbox_mark VALUES ('box', $1)`, noon.Add(time.Hour).UnixMicro())
	require.NoError(t, err)
	require.NoError(t, forget.Commit())
	require.ErrorIs(t, <-got, inbox.ErrTooOld)
}

// Many callers repeat under the same keys at once: each key has its effect
// once, and all its callers that got an answer got the same.
func TestPostgresHandleTxOnceInEffect(t *testing.T) {
	d, db := openPG(t, 8, nil)
	stock(t, db)
	s := httptest.NewServer(server.HandleTx(d.Keys(), func(ctx context.Context, tx *sql.Tx, r reservation) (v reserved, err error) {
		err = tx.QueryRowContext(ctx, `UPDATE stock SET free = free - $1 WHERE sku = $2 AND free >= $1 RETURNING free`, r.Qty, r.SKU).Scan(&v.Left)
		return v, err
	}, nil))
	defer s.Close()
	call := requestreply.Endpoint[reservation, reserved]{URL: s.URL, Keyed: true, Guard: requestreply.NewGuard(nil)}

	const keys, callers = 10, 5
	var wg sync.WaitGroup
	var mu sync.Mutex
	answers := map[int]map[int]bool{}
	for k := range keys {
		answers[k] = map[int]bool{}
		for range callers {
			wg.Go(func() {
				ctx := requestreply.WithIdempotencyKey(t.Context(), fmt.Sprint("order-", k))
				for {
					v, err := call.Call(ctx, reservation{"84879", 2})
					if err != nil { // in flight for longer than the attempts: go on
						if outcome.Of(err) != outcome.Unknown {
							t.Error(err)
							return
						}
						continue
					}
					mu.Lock()
					answers[k][v.Left] = true
					mu.Unlock()
					return
				}
			})
		}
	}
	wg.Wait()
	require.Equal(t, 100-2*keys, free(t, db))
	for k, a := range answers {
		require.Len(t, a, 1, "key %d", k)
	}
}

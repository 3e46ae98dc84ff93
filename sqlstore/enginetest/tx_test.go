package enginetest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/sqlstore"
)

var errBoom = errors.New("boom")

// table makes the table that the closures of these tests write into.
func table(t testing.TB, db *sql.DB) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), `CREATE TABLE note (id TEXT PRIMARY KEY, body TEXT)`)
	require.NoError(t, err)
}

func add(id string) func(context.Context, *sql.Tx) error {
	return func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO note (id) VALUES (?)`, id)
		return err
	}
}

func notes(t testing.TB, db *sql.DB) map[string]bool {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), `SELECT id FROM note`)
	require.NoError(t, err)
	defer rows.Close()
	has := make(map[string]bool)
	for rows.Next() {
		var id string
		require.NoError(t, rows.Scan(&id))
		has[id] = true
	}
	require.NoError(t, rows.Err())
	return has
}

// behind starts fns one after another while a Tx holds the commit back, so that
// they share the next one, in their order. The test must be in a bubble.
func behind(t *testing.T, s *sqlstore.DB, fns ...func() error) []error {
	t.Helper()
	errs := make([]error, len(fns))
	var wg sync.WaitGroup
	err := s.Tx(t.Context(), func(context.Context, *sql.Tx) error {
		for i, fn := range fns {
			wg.Go(func() { errs[i] = fn() })
			synctest.Wait() // it waits for its turn
		}
		return nil
	})
	require.NoError(t, err)
	wg.Wait()
	return errs
}

// together is behind for functions of Tx.
func together(t *testing.T, s *sqlstore.DB, fns ...func(context.Context, *sql.Tx) error) []error {
	t.Helper()
	calls := make([]func() error, len(fns))
	for i, fn := range fns {
		calls[i] = func() error { return s.Tx(t.Context(), fn) }
	}
	return behind(t, s, calls...)
}

func TestTx(t *testing.T) {
	for name, conns := range pools {
		t.Run(name, func(t *testing.T) {
			s, db := open(t, conns, nil)
			table(t, db)
			require.NoError(t, s.Tx(t.Context(), add("a")))
			err := s.Tx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
				if err := add("b")(ctx, tx); err != nil {
					return err
				}
				return errBoom
			})
			require.ErrorIs(t, err, errBoom)
			require.Equal(t, outcome.Refused, outcome.Of(err))
			require.Equal(t, map[string]bool{"a": true}, notes(t, db))
		})
	}
}

func TestTxIsolatesItsNeighbours(t *testing.T) {
	for name, conns := range pools {
		t.Run(name, func(t *testing.T) {
			bad := map[string]func(ctx context.Context, tx *sql.Tx) error{
				"error":                       func(context.Context, *sql.Tx) error { return errBoom },
				"constraint":                  add("taken"),
				"commit":                      func(_ context.Context, tx *sql.Tx) error { return tx.Commit() },
				"rollback":                    func(_ context.Context, tx *sql.Tx) error { return tx.Rollback() },
				"ROLLBACK by SQL":             func(ctx context.Context, tx *sql.Tx) error { return run(ctx, tx, `ROLLBACK`) },
				"COMMIT by SQL":               func(ctx context.Context, tx *sql.Tx) error { return run(ctx, tx, `COMMIT`) },
				"ROLLBACK by SQL, then BEGIN": func(ctx context.Context, tx *sql.Tx) error { return run(ctx, tx, `ROLLBACK; BEGIN`) },
				"commits and fails":           func(_ context.Context, tx *sql.Tx) error { return errors.Join(tx.Commit(), errBoom) },
			}
			for name, fn := range bad {
				bubble(t, name, func(t *testing.T) {
					s, db := open(t, conns, nil)
					table(t, db)
					require.NoError(t, s.Tx(t.Context(), add("taken")))
					wrote := func(ctx context.Context, tx *sql.Tx) error {
						if err := run(ctx, tx, `INSERT INTO note (id) VALUES ('bad')`); err != nil {
							return err
						}
						return fn(ctx, tx)
					}
					for range 2 { // the second time on a connection that has seen it
						_, err := db.ExecContext(t.Context(), `DELETE FROM note WHERE id <> 'taken'`)
						require.NoError(t, err)
						errs := together(t, s, add("before"), wrote, add("after"))
						require.NoError(t, errs[0])
						require.Error(t, errs[1])
						require.NoError(t, errs[2])
						has := notes(t, db)
						require.True(t, has["before"] && has["after"], "%v", has)
						switch outcome.Of(errs[1]) {
						case outcome.Refused:
							require.False(t, has["bad"], "%v", errs[1])
						case outcome.Applied:
							require.True(t, has["bad"], "%v", errs[1])
						default:
							require.Contains(t, name, "ROLLBACK by SQL", "only a raw ROLLBACK may leave doubt: %v", errs[1])
						}
					}
				})
			}
		})
	}
}

func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

func run(ctx context.Context, tx *sql.Tx, q string) error {
	_, err := tx.ExecContext(ctx, q)
	return err
}

func TestTxPanic(t *testing.T) {
	s, db := open(t, 1, nil)
	table(t, db)
	unwind := map[string]func(){
		"panic":  func() { panic(errBoom) },
		"goexit": runtime.Goexit,
	}
	for name, how := range unwind {
		t.Run(name, func(t *testing.T) {
			var got any
			var wg sync.WaitGroup
			wg.Go(func() {
				defer func() { got = recover() }()
				_ = s.Tx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
					if err := add("bad")(ctx, tx); err != nil {
						return err
					}
					how()
					return nil
				})
				t.Error("Tx returned")
			})
			wg.Wait()
			if name == "panic" {
				require.Equal(t, errBoom, got, "the panic's own value goes on in its caller")
			}
			require.NoError(t, s.Tx(t.Context(), add("after "+name)))
			require.False(t, notes(t, db)["bad"])
		})
	}
}

func TestTxInsideTx(t *testing.T) {
	for name, conns := range pools {
		t.Run(name, func(t *testing.T) {
			s, _ := open(t, conns, nil)
			err := s.Tx(t.Context(), func(ctx context.Context, _ *sql.Tx) error {
				return s.Tx(ctx, func(context.Context, *sql.Tx) error { return nil })
			})
			require.ErrorIs(t, err, sqlstore.ErrInTx)
			err = s.Tx(t.Context(), func(ctx context.Context, _ *sql.Tx) error {
				_, err := s.Inbox().Do(ctx, "box", "id", time.Now(), nil)
				return err
			})
			require.ErrorIs(t, err, sqlstore.ErrInTx)
			require.ErrorContains(t, err, "Once")
		})
	}
}

// A durable call inside Tx that hides it by another context cannot be seen
// through; it must end in an error and not in a hang.
func TestTxThatWaitsForItself(t *testing.T) {
	for name, conns := range pools {
		t.Run(name, func(t *testing.T) {
			s, db := open(t, conns, &sqlstore.Options{TxLimit: 50 * time.Millisecond})
			table(t, db)
			calls := 0
			err := s.Tx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
				calls++
				if err := add("outer")(ctx, tx); err != nil {
					return err
				}
				return s.Tx(t.Context(), add("inner"))
			})
			require.ErrorIs(t, err, sqlstore.ErrTxLimit)
			require.Equal(t, outcome.Refused, outcome.Of(err))
			require.Equal(t, 1, calls)
			require.Equal(t, map[string]bool{"inner": true}, notes(t, db))
		})
	}
}

func TestTxPastItsLimitHarmsNobody(t *testing.T) { synctest.Test(t, pastItsLimit) }

func pastItsLimit(t *testing.T) {
	s, db := open(t, 1, &sqlstore.Options{TxLimit: 50 * time.Millisecond})
	table(t, db)
	goesOn, tried := make(chan struct{}), make(chan struct{})
	errs := together(t, s,
		add("before"),
		func(ctx context.Context, tx *sql.Tx) error {
			if err := add("slow")(ctx, tx); err != nil {
				return err
			}
			<-ctx.Done()
			<-goesOn
			defer close(tried)
			if err := add("late")(context.Background(), tx); err == nil {
				t.Error("its transaction still takes writes")
			}
			return context.Cause(ctx)
		},
		func(ctx context.Context, tx *sql.Tx) error {
			close(goesOn)
			<-tried
			return add("after")(ctx, tx)
		})
	require.NoError(t, errs[0])
	require.ErrorIs(t, errs[1], sqlstore.ErrTxLimit)
	require.NoError(t, errs[2])
	require.Equal(t, map[string]bool{"before": true, "after": true}, notes(t, db))
}

func TestTxNeverRunsWhatLeft(t *testing.T) {
	s, db := open(t, 4, nil)
	table(t, db)
	ctx, cancel := context.WithCancel(t.Context())
	err := s.Tx(t.Context(), func(context.Context, *sql.Tx) error {
		var wg sync.WaitGroup
		wg.Go(func() {
			err := s.Tx(ctx, add("left"))
			if outcome.Of(err) != outcome.NotSent || !errors.Is(err, context.Canceled) {
				t.Errorf("a caller that left before its turn got %v (%v)", err, outcome.Of(err))
			}
		})
		cancel()
		wg.Wait()
		return nil
	})
	require.NoError(t, err)
	require.NoError(t, s.Tx(t.Context(), add("after")))
	require.Equal(t, map[string]bool{"after": true}, notes(t, db))
}

func TestTxManyCallers(t *testing.T) {
	for name, conns := range pools {
		t.Run(name, func(t *testing.T) {
			s, db := open(t, conns, nil)
			table(t, db)
			var wg sync.WaitGroup
			for c := range 64 {
				wg.Go(func() {
					for i := range 10 {
						id := fmt.Sprint(c, "-", i)
						err := s.Tx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
							if err := add(id)(ctx, tx); err != nil {
								return err
							}
							if i%3 == 1 {
								return errBoom
							}
							return nil
						})
						if (err == nil) != (i%3 != 1) {
							t.Errorf("%s: %v", id, err)
						}
					}
				})
			}
			wg.Wait()
			require.Len(t, notes(t, db), 64*7)
		})
	}
}

// The limit interrupts a statement that was given the function's context, so
// that the others need not wait for its end.
func TestTxLimitInterrupts(t *testing.T) {
	s, db := open(t, 2, &sqlstore.Options{TxLimit: 50 * time.Millisecond})
	table(t, db)
	start := time.Now()
	err := s.Tx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
		return run(ctx, tx, `WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 1000000000)
			INSERT INTO note (id) SELECT 'endless' FROM c WHERE n < 0`)
	})
	require.ErrorIs(t, err, sqlstore.ErrTxLimit)
	require.Less(t, time.Since(start), 30*time.Second)
	require.NoError(t, s.Tx(t.Context(), add("after")))
	require.Equal(t, map[string]bool{"after": true}, notes(t, db))
}

// A function that commits for all, under a prefix of the user's: the others
// are in effect once.
func TestTxThatCommitsUnderAPrefix(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, db := open(t, 1, &sqlstore.Options{Prefix: "mine_"})
		table(t, db)
		ran := 0
		errs := together(t, s, func(ctx context.Context, tx *sql.Tx) error {
			ran++
			return add("before")(ctx, tx)
		}, func(ctx context.Context, tx *sql.Tx) error {
			return run(ctx, tx, `COMMIT`)
		}, add("after"))
		require.NoError(t, errs[0])
		require.Equal(t, 1, ran)
		require.ErrorIs(t, errs[1], sqlstore.ErrTxDone)
		require.NoError(t, errs[2])
		require.Equal(t, map[string]bool{"before": true, "after": true}, notes(t, db))
	})
}

// Where the mark cannot be left by which a commit in a function is told from a
// rollback, no function runs: running the others again could double them.
func TestTxWithoutAMark(t *testing.T) {
	s, db := open(t, 1, nil)
	table(t, db)
	_, err := db.Exec(`CREATE TEMP TABLE crosstie_commit (other)`)
	require.NoError(t, err)
	err = s.Tx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
		t.Error("ran")
		return nil
	})
	require.Error(t, err)
	require.Equal(t, outcome.Refused, outcome.Of(err))
	_, err = s.Syncs().Claim(t.Context(), "sync", "", "me", time.Minute)
	require.NoError(t, err, "what is no function goes on")
}

package enginetest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/sqlstore"
)

// A full disk refuses, transiently, and harms neither what is there nor small
// neighbours; when there is space again, writing goes on.
func TestDiskFull(t *testing.T) { synctest.Test(t, diskFull) }

func diskFull(t *testing.T) {
	s, db := open(t, 1, nil)
	table(t, db)
	var pages int
	require.NoError(t, db.QueryRow(`PRAGMA page_count`).Scan(&pages))
	_, err := db.Exec(fmt.Sprintf(`PRAGMA max_page_count=%d`, pages+8))
	require.NoError(t, err)
	big := func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO note (id, body) VALUES ('big', zeroblob(1000000))`)
		return err
	}
	require.NoError(t, s.Tx(t.Context(), add("first")))
	errs := together(t, s, add("before"), big, add("after"))
	require.NoError(t, errs[0])
	require.ErrorIs(t, errs[1], sqlstore.ErrDiskFull)
	require.Equal(t, outcome.Refused, outcome.Of(errs[1]))
	transient, said := outcome.Transient(errs[1])
	require.True(t, transient && said)
	require.NoError(t, errs[2])

	// One that hides the error has ended everybody's transaction unseen.
	errs = together(t, s, add("before 2"), func(ctx context.Context, tx *sql.Tx) error {
		_ = big(ctx, tx)
		return nil
	}, add("after 2"))
	require.NoError(t, errs[0])
	require.ErrorIs(t, errs[1], sqlstore.ErrTxDone)
	require.NoError(t, errs[2])

	want := map[string]bool{"first": true, "before": true, "after": true, "before 2": true, "after 2": true}
	require.Equal(t, want, notes(t, db))
	_, err = db.Exec(`PRAGMA max_page_count=100000`)
	require.NoError(t, err)
	require.NoError(t, s.Tx(t.Context(), big))
}

// A full disk under merged writes: the inbox's ids, many at a time.
func TestDiskFullForMany(t *testing.T) {
	s, db := open(t, 1, nil)
	var pages int
	require.NoError(t, db.QueryRow(`PRAGMA page_count`).Scan(&pages))
	_, err := db.Exec(fmt.Sprintf(`PRAGMA max_page_count=%d`, pages+4))
	require.NoError(t, err)
	var wg sync.WaitGroup
	var ok, full atomic.Int64
	for c := range 64 {
		wg.Go(func() {
			for i := range 20 {
				id := fmt.Sprintf("%0100d-%d-%d", 0, c, i)
				first, err := s.Inbox().Do(t.Context(), "box", id, noon, func(context.Context, *sql.Tx) error { return nil })
				switch {
				case err == nil && first:
					ok.Add(1)
				case errors.Is(err, sqlstore.ErrDiskFull) && outcome.Of(err) == outcome.Refused:
					full.Add(1)
				default:
					t.Errorf("%v %v", first, err)
				}
			}
		})
	}
	wg.Wait()
	var n int64
	require.NoError(t, db.QueryRow(`SELECT count(*) FROM crosstie_inbox`).Scan(&n))
	require.Equal(t, ok.Load(), n)
	require.NotZero(t, ok.Load())
	require.NotZero(t, full.Load())
}

// TestStorm has 64 callers whose contexts end at random moments: what was
// acknowledged is there, what was refused is not, what is unknown may be.
func TestStorm(t *testing.T) {
	for name, conns := range pools {
		t.Run(name, func(t *testing.T) {
			s, db := open(t, conns, nil)
			table(t, db)
			var mu sync.Mutex
			known := make(map[string]outcome.Outcome)
			var wg sync.WaitGroup
			for c := range 64 {
				wg.Go(func() {
					rnd := rand.New(rand.NewPCG(7, uint64(c)))
					for i := range 30 {
						ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rnd.IntN(3000))*time.Microsecond)
						id := fmt.Sprint(c, "-", i)
						var err error
						if i%2 == 0 {
							err = s.Tx(ctx, add(id))
						} else {
							_, err = s.Inbox().Do(ctx, "box", id, noon, add(id))
						}
						cancel()
						mu.Lock()
						known[id] = outcome.Of(err)
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			told(t, known, notes(t, db))
		})
	}
}

// TestInterleavings runs random mixtures of functions that succeed, fail,
// panic, break a constraint, end the transaction, fill the disk or take too
// long, and compares what is there with what each caller was told.
func TestInterleavings(t *testing.T) {
	seeds := uint64(4)
	if _, soak := os.LookupEnv("CROSSTIE_SOAK"); soak {
		seeds = 200
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			s, db := open(t, 1+int(seed%2)*3, &sqlstore.Options{TxLimit: 30 * time.Millisecond, Batch: 1 + rnd.IntN(20)})
			_, err := db.Exec(`CREATE TABLE parent (id TEXT PRIMARY KEY);
				CREATE TABLE note (id TEXT PRIMARY KEY, body TEXT, of TEXT REFERENCES parent DEFERRABLE INITIALLY DEFERRED)`)
			require.NoError(t, err)
			require.NoError(t, s.Tx(t.Context(), add("taken")))
			ends := []func(context.Context, *sql.Tx) error{
				func(context.Context, *sql.Tx) error { return nil },
				func(context.Context, *sql.Tx) error { return nil },
				func(context.Context, *sql.Tx) error { return nil },
				func(context.Context, *sql.Tx) error { return errBoom },
				func(context.Context, *sql.Tx) error { panic(errBoom) },
				add("taken"),
				func(_ context.Context, tx *sql.Tx) error { return tx.Commit() },
				func(_ context.Context, tx *sql.Tx) error { return tx.Rollback() },
				func(ctx context.Context, tx *sql.Tx) error {
					return run(ctx, tx, `INSERT OR ROLLBACK INTO note (id) VALUES ('taken')`)
				},
				func(ctx context.Context, _ *sql.Tx) error { <-ctx.Done(); return nil },
			}
			type call struct {
				id  string
				end int
				err error
			}
			calls := make([]call, 150)
			for i := range calls {
				calls[i] = call{id: fmt.Sprint(i), end: rnd.IntN(len(ends))}
			}
			var next atomic.Int64
			var wg sync.WaitGroup
			for range 16 {
				wg.Go(func() {
					for {
						i := int(next.Add(1)) - 1
						if i >= len(calls) {
							return
						}
						c := &calls[i]
						func() {
							defer func() {
								if p := recover(); p != nil {
									c.err = outcome.Error(outcome.Refused, errBoom)
								}
							}()
							c.err = s.Tx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
								if err := add(c.id)(ctx, tx); err != nil {
									return err
								}
								return ends[c.end](ctx, tx)
							})
						}()
					}
				})
			}
			wg.Wait()
			has := notes(t, db)
			for _, c := range calls {
				switch outcome.Of(c.err) {
				case outcome.Applied:
					require.True(t, has[c.id], "%s, end %d: %v", c.id, c.end, c.err)
				case outcome.Refused:
					require.False(t, has[c.id], "%s, end %d: %v", c.id, c.end, c.err)
				default:
					require.Equal(t, 8, c.end, "%s: %v", c.id, c.err) // ROLLBACK by SQL: honest doubt
				}
				require.Equal(t, c.end <= 2, c.err == nil, "%s, end %d: %v", c.id, c.end, c.err)
			}
		})
	}
}

// A deferred constraint shows at the commit, which is everybody's.
func TestDeferredConstraint(t *testing.T) { synctest.Test(t, deferredConstraint) }

func deferredConstraint(t *testing.T) {
	s, db := open(t, 1, nil)
	_, err := db.Exec(`PRAGMA foreign_keys=ON; CREATE TABLE parent (id TEXT PRIMARY KEY);
		CREATE TABLE note (id TEXT PRIMARY KEY, of TEXT REFERENCES parent DEFERRABLE INITIALLY DEFERRED)`)
	require.NoError(t, err)
	orphan := func(ctx context.Context, tx *sql.Tx) error {
		return run(ctx, tx, `INSERT INTO note (id, of) VALUES ('orphan', 'nobody')`)
	}
	errs := together(t, s, add("before"), orphan, add("after"))
	require.NoError(t, errs[0])
	require.Error(t, errs[1])
	require.Equal(t, outcome.Refused, outcome.Of(errs[1]))
	require.NoError(t, errs[2])
	require.Equal(t, map[string]bool{"before": true, "after": true}, notes(t, db))
}

// told holds what callers were told against what is there. Those who were told
// "unknown" may find either.
func told(t *testing.T, known map[string]outcome.Outcome, has map[string]bool) {
	t.Helper()
	count := make(map[outcome.Outcome]int)
	for id, o := range known {
		count[o]++
		switch o {
		case outcome.Applied:
			require.True(t, has[id], "%s was acknowledged and is lost", id)
		case outcome.NotSent, outcome.Refused:
			require.False(t, has[id], "%s was %v and is there", id, o)
		}
	}
	t.Log(count)
}

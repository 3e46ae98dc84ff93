package enginetest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/batchsync"
	"github.com/crosstie/crosstie/batchsync/batchsynctest"
	"github.com/crosstie/crosstie/batchsync/csvrow"
	sqltable "github.com/crosstie/crosstie/batchsync/table"
	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/retry"
)

func TestSyncs(t *testing.T) {
	for name, conns := range pools {
		t.Run(name, func(t *testing.T) {
			batchsynctest.TestStore(t, func(t *testing.T) batchsync.Store {
				d, _ := open(t, conns, nil)
				return d.Syncs()
			})
		})
	}
}

type article struct {
	SKU  string `csv:"sku" db:"sku"`
	Free int64  `csv:"free" db:"free"`
}

// articleTable notes each write, so that a row written twice is seen.
const articleTable = `
	CREATE TABLE article (sku TEXT PRIMARY KEY, free INTEGER NOT NULL CHECK (free >= 0));
	CREATE TABLE article_written (sku TEXT);
	CREATE TRIGGER article_i AFTER INSERT ON article BEGIN INSERT INTO article_written VALUES (new.sku); END;
	CREATE TRIGGER article_u AFTER UPDATE ON article BEGIN INSERT INTO article_written VALUES (new.sku); END;`

// articles writes a CSV file of n rows, of which each tenth has a fault of its
// own: no number, or a number that the table refuses.
func articles(t testing.TB, n int) (path string, good int) {
	t.Helper()
	var b strings.Builder
	b.WriteString("sku,free\n")
	for i := range n {
		switch i % 20 {
		case 9:
			fmt.Fprintf(&b, "A%05d,many\n", i)
		case 19:
			fmt.Fprintf(&b, "A%05d,-1\n", i)
		default:
			fmt.Fprintf(&b, "A%05d,%d\n", i, i)
			good++
		}
	}
	path = filepath.Join(t.TempDir(), "articles.csv")
	require.NoError(t, os.WriteFile(path, []byte(b.String()), 0o600))
	return path, good
}

func source(path string, page int) batchsync.Source[article] {
	return csvrow.File[article](path, &csvrow.Options{ID: []string{"sku"}, PageRows: page})
}

func TestSyncRowsAndCheckpointAreOneCommit(t *testing.T) {
	for name, conns := range pools {
		t.Run(name, func(t *testing.T) {
			d, db := open(t, conns, nil)
			_, err := db.ExecContext(t.Context(), articleTable)
			require.NoError(t, err)
			path, good := articles(t, 100)
			tab := newTable[article](t, db, "article", "sku", 0)
			s := batchsync.New("articles", source(path, 7), tab, &batchsync.Options{Checkpoints: d.Syncs(), BatchRows: 3})
			rep, err := s.Run(t.Context())
			require.NoError(t, err)
			require.True(t, rep.Atomic)
			require.Equal(t, batchsync.Counts{In: 100, Inserted: int64(good), Parked: int64(100 - good)}, rep.Counts)
			require.Equal(t, good, count(t, db, `SELECT count(*) FROM article`))
			dead := 0
			for r, err := range s.DeadRows(t.Context()) {
				require.NoError(t, err)
				require.Equal(t, []string{
					`line 11, char 8, column "free": not a whole number in decimal digits`,
					`constraint failed: CHECK constraint failed: free >= 0 (275)`,
				}[dead%2], strings.Replace(r.Why, fmt.Sprintf("line %d", r.N+1), "line 11", 1))
				dead++
			}
			require.Equal(t, 100-good, dead)

			rep, err = s.Run(t.Context())
			require.NoError(t, err)
			require.Equal(t, batchsync.Counts{In: 100, Unchanged: int64(good), Parked: int64(100 - good)}, rep.Counts)
			require.Equal(t, good, count(t, db, `SELECT count(*) FROM article_written`), "the second run wrote nothing")
		})
	}
}

func TestSyncIsAtomicOnlyOnOneDatabase(t *testing.T) {
	d, _ := open(t, 4, nil)
	other := sqlPool(t, 1, articleTable)
	path, good := articles(t, 100)
	s := batchsync.New("articles", source(path, 7), newTable[article](t, other, "article", "sku", 0), &batchsync.Options{Checkpoints: d.Syncs()})
	rep, err := s.Run(t.Context())
	require.NoError(t, err)
	require.False(t, rep.Atomic)
	require.EqualValues(t, good, rep.Inserted)
}

// A faultyTx fails the n-th call to the store or the table, before it or after
// its effect.
type faultyTx struct {
	batchsync.TxStore
	*sqltable.Table[article]
	n, calls int
	after    bool
	from     bool
}

func (f *faultyTx) around(do func() error) error {
	f.calls++
	hit := f.calls == f.n || f.from && f.n > 0 && f.calls > f.n
	if hit && !f.after {
		return outcome.TransientError(outcome.NotSent, false, errBoom)
	}
	err := do()
	if hit && err == nil {
		return outcome.TransientError(outcome.Unknown, false, errBoom)
	}
	return err
}

func (f *faultyTx) Database() *sql.DB { return f.TxStore.Database() }

func (f *faultyTx) Claim(ctx context.Context, sync, part, owner string, d time.Duration) (c batchsync.Checkpoint, err error) {
	err = f.around(func() error { c, err = f.TxStore.Claim(ctx, sync, part, owner, d); return err })
	return c, err
}

func (f *faultyTx) Tx(ctx context.Context, fn func(context.Context, *sql.Tx) error) error {
	return f.around(func() error { return f.TxStore.Tx(ctx, fn) })
}

func (f *faultyTx) SaveTx(ctx context.Context, tx *sql.Tx, c batchsync.Checkpoint, dead []batchsync.DeadRow, d time.Duration) error {
	return f.around(func() error { return f.TxStore.SaveTx(ctx, tx, c, dead, d) })
}

func (f *faultyTx) Release(ctx context.Context, c batchsync.Checkpoint) error {
	return f.around(func() error { return f.TxStore.Release(ctx, c) })
}

func (f *faultyTx) WriteTx(ctx context.Context, tx *sql.Tx, rows []batchsync.Row[article]) (rs []batchsync.Result, err error) {
	err = f.around(func() error { rs, err = f.Table.WriteTx(ctx, tx, rows); return err })
	return rs, err
}

// TestSyncEveryBoundary fails every call once. Whatever was hit, after the
// resume the counts are those of a run without faults, and no row was written
// twice.
func TestSyncEveryBoundary(t *testing.T) {
	path, good := articles(t, 60)
	want := batchsync.Counts{In: 60, Inserted: int64(good), Parked: int64(60 - good)}
	for _, mode := range []string{"before", "after", "from then on"} {
		t.Run(mode, func(t *testing.T) {
			d, db := open(t, 2, nil)
			_, err := db.ExecContext(t.Context(), articleTable)
			require.NoError(t, err)
			for n := 1; ; n++ {
				_, err := db.ExecContext(t.Context(), `DELETE FROM article; DELETE FROM article_written`)
				require.NoError(t, err)
				name := fmt.Sprint("articles ", n)
				f := &faultyTx{d.Syncs(), newTable[article](t, db, "article", "sku", 0), n, 0, mode == "after", mode == "from then on"}
				o := &batchsync.Options{Checkpoints: f, BatchRows: 8, Lease: 250 * time.Millisecond}
				rep, err := batchsync.New(name, source(path, 16), f, o).Run(t.Context())
				require.NoError(t, rep.Check())
				if f.calls < n && !errors.Is(err, batchsync.ErrLost) { // lost by a machine too slow for the lease
					require.NoError(t, err)
					require.Equal(t, want, rep.Counts)
					t.Logf("%d boundaries", n-1)
					return
				}
				f.n = 0
				if err != nil {
					rep = untilNotHeld(t, batchsync.New(name, source(path, 16), f, o))
				}
				require.Equal(t, want, rep.Counts, "call %d", n)
				require.Equal(t, good, count(t, db, `SELECT count(*) FROM article`), "call %d", n)
				require.Equal(t, good, count(t, db, `SELECT count(*) FROM article_written`), "call %d", n)
				require.Equal(t, 60-good, count(t, db, `SELECT count(*) FROM crosstie_sync_dead WHERE sync = ?`, name), "call %d", n)
			}
		})
	}
}

// untilNotHeld runs s as soon as the lease of a runner that is gone has run out,
// and again if a slow machine lets it lose its own.
func untilNotHeld(t testing.TB, s *batchsync.Sync) *batchsync.Report {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		rep, err := s.Run(t.Context())
		if !errors.Is(err, batchsync.ErrHeld) && !errors.Is(err, batchsync.ErrLost) {
			require.NoError(t, err)
			return rep
		}
		<-tick.C
	}
}

// flaky is a table that fails rows before it writes them.
type flaky struct {
	*sqltable.Table[article]
	fail func(call int, r batchsync.Row[article]) error
	n    int
}

func (f *flaky) WriteTx(ctx context.Context, tx *sql.Tx, rows []batchsync.Row[article]) ([]batchsync.Result, error) {
	f.n++
	out := make([]batchsync.Result, 0, len(rows))
	for _, r := range rows {
		if err := f.fail(f.n, r); err != nil {
			out = append(out, batchsync.Result{Verdict: batchsync.Failed, Err: err})
			continue
		}
		rs, err := f.Table.WriteTx(ctx, tx, []batchsync.Row[article]{r})
		if err != nil {
			return nil, err
		}
		out = append(out, rs...)
	}
	return out, nil
}

// A row that fails for a while begins the transaction of its page again; what
// the others wrote in it is not counted twice.
func TestSyncRetriesRowsInNewTransactions(t *testing.T) {
	passing := outcome.TransientError(outcome.Refused, true, errBoom)
	for _, c := range []struct {
		name string
		fail func(call int, r batchsync.Row[article]) error
		want batchsync.Counts
		n    int
	}{
		{"passes", func(call int, r batchsync.Row[article]) error {
			if call < 3 && r.ID == "A00001" {
				return passing
			}
			return nil
		}, batchsync.Counts{In: 4, Inserted: 4}, 3},
		{"does not pass", func(call int, r batchsync.Row[article]) error {
			if r.ID == "A00001" {
				return passing
			}
			return nil
		}, batchsync.Counts{In: 4, Inserted: 3, Failed: 1}, 4},
		{"lasting", func(call int, r batchsync.Row[article]) error {
			if r.ID == "A00001" {
				return retry.Permanent(passing)
			}
			return nil
		}, batchsync.Counts{In: 4, Inserted: 3, Parked: 1}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, db := open(t, 1, nil)
			_, err := db.ExecContext(t.Context(), articleTable)
			require.NoError(t, err)
			path, _ := articles(t, 4)
			sink := &flaky{newTable[article](t, db, "article", "sku", 0), c.fail, 0}
			o := &batchsync.Options{Checkpoints: d.Syncs(), Retry: retry.Policy{Base: -1}}
			rep, err := batchsync.New("a", source(path, 0), sink, o).Run(t.Context())
			require.NoError(t, err)
			require.Equal(t, c.want, rep.Counts)
			require.Equal(t, c.n, sink.n)
			require.EqualValues(t, c.want.Inserted, count(t, db, `SELECT count(*) FROM article_written`))
		})
	}
}

// stealing passes the lease on just before a page is written.
type stealing struct {
	batchsync.TxStore
	db *sql.DB
}

func (s *stealing) Tx(ctx context.Context, fn func(context.Context, *sql.Tx) error) error {
	if _, err := s.db.ExecContext(ctx, `UPDATE crosstie_syncs SET epoch = epoch + 1, owner = 'another'`); err != nil {
		return err
	}
	return s.TxStore.Tx(ctx, fn)
}

// A runner that lost its lease writes neither rows nor checkpoint.
func TestSyncZombieWritesNothing(t *testing.T) {
	d, db := open(t, 4, nil)
	_, err := db.ExecContext(t.Context(), articleTable)
	require.NoError(t, err)
	path, good := articles(t, 20)
	sink := newTable[article](t, db, "article", "sku", 0)
	store := &stealing{TxStore: d.Syncs(), db: db}
	o := &batchsync.Options{Checkpoints: store, Retry: retry.Policy{MaxAttempts: -1}}
	rep, err := batchsync.New("a", source(path, 0), sink, o).Run(t.Context())
	require.ErrorIs(t, err, batchsync.ErrLost)
	require.True(t, outcome.NotApplied(err))
	require.EqualValues(t, 20, rep.Unprocessed)
	require.Equal(t, 0, count(t, db, `SELECT count(*) FROM article`))
	require.Equal(t, 0, count(t, db, `SELECT count(*) FROM crosstie_sync_dead`))
	_, err = db.ExecContext(t.Context(), `UPDATE crosstie_syncs SET until_us = 1`)
	require.NoError(t, err)
	rep, err = batchsync.New("a", source(path, 0), sink, &batchsync.Options{Checkpoints: d.Syncs()}).Run(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, good, rep.Inserted)
}

// Source, sink and checkpoints in one database, also where there is only one
// connection: a source that kept its query open would wait for itself.
func TestSyncTableToTable(t *testing.T) {
	for name, conns := range pools {
		t.Run(name, func(t *testing.T) {
			d, db := open(t, conns, nil)
			_, err := db.ExecContext(t.Context(), articleTable+`CREATE TABLE supply (sku TEXT PRIMARY KEY, free INTEGER NOT NULL);
				WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)
				INSERT INTO supply SELECT printf('A%03d', i), i FROM n`)
			require.NoError(t, err)
			src := newTable[article](t, db, "supply", "sku", 7)
			var last batchsync.Progress
			s := batchsync.New("supply", src, newTable[article](t, db, "article", "sku", 0),
				&batchsync.Options{Checkpoints: d.Syncs(), Progress: func(p batchsync.Progress) { last = p }})
			rep, err := s.Run(t.Context())
			require.NoError(t, err)
			require.True(t, rep.Atomic)
			require.Equal(t, batchsync.Counts{In: 100, Inserted: 100}, rep.Counts)
			require.EqualValues(t, 100, last.Total)
			_, err = db.ExecContext(t.Context(), `UPDATE supply SET free = free + 1 WHERE sku LIKE 'A00%'`)
			require.NoError(t, err)
			rep, err = s.Run(t.Context())
			require.NoError(t, err)
			require.Equal(t, batchsync.Counts{In: 100, Updated: 9, Unchanged: 91}, rep.Counts)
		})
	}
}

package enginetest

import (
	"database/sql"
	"fmt"
	"iter"
	"math"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/batchsync"
	"github.com/crosstie/crosstie/batchsync/csvrow"
	sqltable "github.com/crosstie/crosstie/batchsync/table"
	"github.com/crosstie/crosstie/outcome"
)

type stockRow struct {
	SKU  string  `db:"sku"`
	Free int64   `db:"free"`
	Note *string `db:"note"`
}

const stockTable = `
	CREATE TABLE stock (sku TEXT PRIMARY KEY, free INTEGER NOT NULL CHECK (free >= 0), note TEXT UNIQUE, extra TEXT DEFAULT 'kept');
	CREATE TABLE written (sku TEXT, what TEXT);
	CREATE TRIGGER stock_i AFTER INSERT ON stock BEGIN INSERT INTO written VALUES (new.sku, 'insert'); END;
	CREATE TRIGGER stock_u AFTER UPDATE ON stock BEGIN INSERT INTO written VALUES (new.sku, 'update'); END;
	CREATE TRIGGER stock_d AFTER DELETE ON stock BEGIN INSERT INTO written VALUES (old.sku, 'delete'); END;`

func sqlPool(t testing.TB, conns int, schema string) *sql.DB {
	t.Helper()
	db := pool(t, filepath.Join(t.TempDir(), "rows.db"), conns)
	_, err := db.ExecContext(t.Context(), schema)
	require.NoError(t, err)
	return db
}

func newTable[T any](t testing.TB, db *sql.DB, name, key string, page int) *sqltable.Table[T] {
	t.Helper()
	tab, err := sqltable.New[T](db, name, key, &sqltable.Options{PageRows: page})
	require.NoError(t, err)
	return tab
}

func up(sku string, free int64) batchsync.Row[stockRow] {
	return batchsync.Row[stockRow]{ID: sku, Value: stockRow{SKU: sku, Free: free}}
}

func verdicts(rs []batchsync.Result) (out []string) {
	for _, r := range rs {
		out = append(out, r.Verdict.String())
	}
	return out
}

func count(t testing.TB, db *sql.DB, q string, args ...any) (n int) {
	t.Helper()
	require.NoError(t, db.QueryRowContext(t.Context(), q, args...).Scan(&n))
	return n
}

func TestTableSink(t *testing.T) {
	for name, conns := range pools {
		t.Run(name, func(t *testing.T) {
			db := sqlPool(t, conns, stockTable)
			tab := newTable[stockRow](t, db, "stock", "sku", 0)
			rs, err := tab.Write(t.Context(), []batchsync.Row[stockRow]{up("a", 1), up("b", 2), up("c", 3)})
			require.NoError(t, err)
			require.Equal(t, []string{"inserted", "inserted", "inserted"}, verdicts(rs))
			_, err = db.ExecContext(t.Context(), `UPDATE stock SET extra = 'mine'; DELETE FROM written`)
			require.NoError(t, err)

			gone := batchsync.Row[stockRow]{ID: "c", Deleted: true}
			never := batchsync.Row[stockRow]{ID: "x", Deleted: true}
			rs, err = tab.Write(t.Context(), []batchsync.Row[stockRow]{up("a", 1), up("b", 9), gone, never})
			require.NoError(t, err)
			require.Equal(t, []string{"unchanged", "updated", "deleted", "unchanged"}, verdicts(rs))
			require.Equal(t, 2, count(t, db, `SELECT count(*) FROM written`), "what did not change is not written")
			require.Equal(t, 2, count(t, db, `SELECT count(*) FROM stock WHERE extra = 'mine'`))
		})
	}
}

func TestTableSinkNull(t *testing.T) {
	db := sqlPool(t, 1, stockTable)
	tab := newTable[stockRow](t, db, "stock", "sku", 0)
	write := func(note *string) string {
		rs, err := tab.Write(t.Context(), []batchsync.Row[stockRow]{{ID: "a", Value: stockRow{SKU: "a", Note: note}}})
		require.NoError(t, err)
		return verdicts(rs)[0]
	}
	require.Equal(t, "inserted", write(nil))
	require.Equal(t, "unchanged", write(nil))
	require.Equal(t, "updated", write(new("")))
	require.Equal(t, "unchanged", write(new("")))
	require.Equal(t, "updated", write(new("x")))
	require.Equal(t, "updated", write(nil))
}

func TestTableSinkIsolatesRows(t *testing.T) {
	db := sqlPool(t, 1, stockTable)
	tab := newTable[stockRow](t, db, "stock", "sku", 0)
	dup := func(sku string) batchsync.Row[stockRow] {
		return batchsync.Row[stockRow]{ID: sku, Value: stockRow{SKU: sku, Note: new("same")}}
	}
	rows := []batchsync.Row[stockRow]{up("a", 1), up("b", -1), dup("c"), dup("d"), up("", 1), up("e", 5)}
	rs, err := tab.Write(t.Context(), rows)
	require.NoError(t, err)
	require.Equal(t, []string{"inserted", "failed", "inserted", "failed", "failed", "inserted"}, verdicts(rs))
	require.ErrorContains(t, rs[1].Err, "CHECK constraint failed")
	require.ErrorContains(t, rs[3].Err, "UNIQUE constraint failed")
	require.ErrorContains(t, rs[4].Err, "the key is empty")
	for _, i := range []int{1, 3, 4} {
		transient, said := outcome.Transient(rs[i].Err)
		require.True(t, said)
		require.False(t, transient)
		require.Equal(t, outcome.Refused, outcome.Of(rs[i].Err))
	}
	require.Equal(t, 3, count(t, db, `SELECT count(*) FROM stock`))
}

// A constraint that rolls the whole transaction back must not let the rows
// after it be committed one by one.
func TestTableSinkWhenARowEndsTheTransaction(t *testing.T) {
	db := sqlPool(t, 1, `CREATE TABLE stock (sku TEXT PRIMARY KEY, free INTEGER NOT NULL ON CONFLICT ROLLBACK CHECK (free >= 0), note TEXT)`)
	type loose struct {
		SKU  string `db:"sku"`
		Free *int64 `db:"free"`
	}
	tab := newTable[loose](t, db, "stock", "sku", 0)
	_, err := tab.Write(t.Context(), []batchsync.Row[loose]{
		{ID: "a", Value: loose{"a", new(int64(1))}}, {ID: "b", Value: loose{"b", nil}}, {ID: "c", Value: loose{"c", new(int64(3))}},
	})
	require.ErrorContains(t, err, "a row ended the transaction")
	require.Equal(t, 0, count(t, db, `SELECT count(*) FROM stock`))
}

func TestTableFaultsOfTheDatabaseParkNothing(t *testing.T) {
	t.Run("disk full", func(t *testing.T) {
		db := sqlPool(t, 1, stockTable)
		_, err := db.ExecContext(t.Context(), fmt.Sprintf(`PRAGMA max_page_count = %d`, count(t, db, `PRAGMA page_count`)+2))
		require.NoError(t, err)
		tab := newTable[stockRow](t, db, "stock", "sku", 0)
		var rows []batchsync.Row[stockRow]
		for i := range 5000 {
			rows = append(rows, up(fmt.Sprintf("sku-%040d", i), 1))
		}
		_, err = tab.Write(t.Context(), rows)
		require.ErrorContains(t, err, "full")
		require.Equal(t, outcome.Refused, outcome.Of(err))
		require.Equal(t, 0, count(t, db, `SELECT count(*) FROM stock`))
	})
	t.Run("locked", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "rows.db")
		db := pool(t, path, 2)
		_, err := db.ExecContext(t.Context(), stockTable)
		require.NoError(t, err)
		_, err = db.ExecContext(t.Context(), `PRAGMA busy_timeout = 0`)
		require.NoError(t, err)
		other := pool(t, path, 1)
		_, err = other.ExecContext(t.Context(), `BEGIN IMMEDIATE`)
		require.NoError(t, err)
		quick, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(0)")
		require.NoError(t, err)
		defer quick.Close()
		_, err = newTable[stockRow](t, quick, "stock", "sku", 0).Write(t.Context(), []batchsync.Row[stockRow]{up("a", 1)})
		transient, said := outcome.Transient(err)
		require.True(t, said && transient, "%v", err)
		require.True(t, outcome.NotApplied(err))
		_, err = other.ExecContext(t.Context(), `ROLLBACK`)
		require.NoError(t, err)
	})
	t.Run("no such table, column or constraint", func(t *testing.T) {
		db := sqlPool(t, 1, `CREATE TABLE loose (sku TEXT, free INTEGER, note TEXT); CREATE TABLE narrow (sku TEXT PRIMARY KEY, free INTEGER)`)
		for _, name := range []string{"nothing", "loose", "narrow"} {
			_, err := newTable[stockRow](t, db, name, "sku", 0).Write(t.Context(), []batchsync.Row[stockRow]{up("a", 1)})
			require.ErrorIs(t, err, batchsync.ErrSchema, name)
		}
		for _, name := range []string{"nothing", "narrow"} {
			_, err := readAll(t, newTable[stockRow](t, db, name, "sku", 0))
			require.ErrorIs(t, err, batchsync.ErrSchema, name)
		}
	})
	t.Run("closed", func(t *testing.T) {
		db, err := sql.Open("sqlite", "file::memory:")
		require.NoError(t, err)
		require.NoError(t, db.Close())
		_, err = newTable[stockRow](t, db, "stock", "sku", 0).Write(t.Context(), []batchsync.Row[stockRow]{up("a", 1)})
		require.Error(t, err)
		require.True(t, outcome.NotApplied(err))
	})
}

func readAll[T any](t testing.TB, src batchsync.Source[T]) ([]batchsync.Row[T], error) {
	t.Helper()
	var all []batchsync.Row[T]
	for p, err := range src.Pages(t.Context(), "") {
		if err != nil {
			return all, err
		}
		all = append(all, p.Rows...)
	}
	return all, nil
}

func TestTableSourceResumesAfterEveryPage(t *testing.T) {
	type text struct {
		K string `db:"k"`
	}
	type number struct {
		K int64 `db:"k"`
	}
	db := sqlPool(t, 1, `CREATE TABLE text (k TEXT PRIMARY KEY); CREATE TABLE number (k INTEGER PRIMARY KEY);
		INSERT INTO text VALUES ('b'), ('a'), ('B'), ('é'), ('a b'), ('''; DROP TABLE text; --'), ('10'), ('9'), (x'00ff'), (x'01ff'), (x'02ff');
		INSERT INTO number VALUES (10), (9), (-5), (9223372036854775807), (-9223372036854775808), (0), (1), (2), (3)`)
	walk(t, newTable[text](t, db, "text", "k", 2), 11)
	walk(t, newTable[text](t, db, "text", "k", 3), 11)
	walk(t, newTable[text](t, db, "text", "k", 100), 11)
	walk(t, newTable[number](t, db, "number", "k", 2), 9)
	walk(t, newTable[number](t, db, "number", "k", 9), 9)
}

// walk reads page by page, each in a new sequence, and holds nothing open: it
// counts between pages on the same pool of one connection.
func walk[T any](t *testing.T, tab *sqltable.Table[T], want int) {
	t.Helper()
	whole, err := readAll(t, tab)
	require.NoError(t, err)
	require.Len(t, whole, want)
	at := ""
	var got []batchsync.Row[T]
	for done := false; !done; {
		next, stop := iter.Pull2(tab.Pages(t.Context(), at))
		p, err, ok := next()
		require.True(t, ok)
		require.NoError(t, err)
		n, err := tab.Count(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, want, n)
		stop()
		got, at, done = append(got, p.Rows...), p.Next, p.Done
	}
	require.Equal(t, whole, got)
}

func TestTableSourceRefusesKeysThatLoseRows(t *testing.T) {
	db := sqlPool(t, 1, `CREATE TABLE dup (sku TEXT, free INTEGER, note TEXT); CREATE TABLE nul (sku TEXT PRIMARY KEY, free INTEGER, note TEXT);
		INSERT INTO dup VALUES ('a', 1, ''), ('b', 1, ''), ('b', 2, ''), ('c', 1, '');
		INSERT INTO nul VALUES ('a', 1, ''), (NULL, 2, '')`)
	for page := 1; page < 4; page++ {
		_, err := readAll(t, newTable[stockRow](t, db, "dup", "sku", page))
		require.ErrorIs(t, err, batchsync.ErrSchema)
		require.ErrorContains(t, err, "not unique")
	}
	_, err := readAll(t, newTable[stockRow](t, db, "nul", "sku", 1))
	require.ErrorIs(t, err, batchsync.ErrSchema)
	require.ErrorContains(t, err, "NULL")

	for _, bad := range []string{"x", "i", "ix", "f", "q1"} {
		for _, err := range newTable[stockRow](t, db, "nul", "sku", 1).Pages(t.Context(), bad) {
			if bad[0] == 'x' || bad[0] == 'q' || bad == "i" || bad == "ix" || bad == "f" {
				require.ErrorIs(t, err, batchsync.ErrCursor, bad)
			}
		}
	}
}

func TestTableSourceNamesRowsThatDoNotFit(t *testing.T) {
	db := sqlPool(t, 1, `CREATE TABLE stock (sku TEXT PRIMARY KEY, free INTEGER, note TEXT);
		INSERT INTO stock VALUES ('a', 1, 'x'), ('b', NULL, 'x'), ('c', 'secret words', 'x'), ('d', 4, NULL)`)
	rows, err := readAll(t, newTable[stockRow](t, db, "stock", "sku", 2))
	require.NoError(t, err)
	require.Len(t, rows, 4)
	require.NoError(t, rows[0].Err)
	require.ErrorContains(t, rows[1].Err, `name "free"`)
	require.ErrorContains(t, rows[2].Err, `name "free"`)
	require.NotContains(t, rows[2].Err.Error(), "secret")
	require.Equal(t, "c", rows[2].ID)
	require.Equal(t, stockRow{SKU: "d", Free: 4}, rows[3].Value)
}

type everyType struct {
	ID  int64              `db:"id"`
	S   string             `db:"s"`
	B   bool               `db:"b"`
	I8  int8               `db:"i8"`
	U   uint32             `db:"u"`
	F   float64            `db:"f"`
	R   []byte             `db:"r"`
	T   time.Time          `db:"t"`
	D   time.Time          `db:"d"`
	PT  *time.Time         `db:"pt"`
	PS  *string            `db:"ps"`
	PB  *bool              `db:"pb"`
	PI  *int               `db:"pi"`
	N   sql.Null[int64]    `db:"n"`
	NS  sql.NullString     `db:"ns"`
	O   csvrow.Opt[string] `db:"o"`
	Not chan int           `db:"-"`
}

func TestTableTypesRoundTrip(t *testing.T) {
	db := sqlPool(t, 1, `CREATE TABLE every (id INTEGER PRIMARY KEY, s TEXT, b BOOLEAN, i8 INTEGER, u INTEGER, f REAL, r BLOB,
		t TEXT, d DATETIME, pt TIMESTAMP, ps TEXT, pb BOOLEAN, pi INTEGER, n INTEGER, ns TEXT, o TEXT)`)
	tab := newTable[everyType](t, db, "every", "id", 0)
	at := time.Date(2026, 2, 3, 4, 5, 6, 123456789, time.FixedZone("", 7200))
	utc := at.UTC()
	full := everyType{
		ID: math.MinInt64, S: "\x00'\"é", B: true, I8: -128, U: math.MaxUint32, F: math.MaxFloat64, R: []byte{0, 255},
		T: at, D: at, PT: &at, PS: new(""), PB: new(false), PI: new(-1), N: sql.Null[int64]{V: 7, Valid: true},
		NS: sql.NullString{String: "x", Valid: true}, O: csvrow.Some("o"),
	}
	none := everyType{ID: 1, T: utc, D: utc, O: csvrow.Null[string]()}
	rows := []batchsync.Row[everyType]{{ID: "a", Value: full}, {ID: "b", Value: none}}
	rs, err := tab.Write(t.Context(), rows)
	require.NoError(t, err)
	require.Equal(t, []string{"inserted", "inserted"}, verdicts(rs))
	rs, err = tab.Write(t.Context(), rows)
	require.NoError(t, err)
	require.Equal(t, []string{"unchanged", "unchanged"}, verdicts(rs))

	got, err := readAll(t, tab)
	require.NoError(t, err)
	require.NoError(t, got[0].Err)
	full.T, full.D, full.PT = utc, utc, &utc
	require.Equal(t, full, got[0].Value)
	require.Equal(t, none, got[1].Value)
	require.Equal(t, "-9223372036854775808", got[0].ID)
	var text string
	require.NoError(t, db.QueryRowContext(t.Context(), `SELECT CAST(t AS TEXT) FROM every WHERE id = 1`).Scan(&text))
	require.Equal(t, "2026-02-03T02:05:06.123456789Z", text)

	nan := none
	nan.ID, nan.F = 2, math.NaN()
	absent := none
	absent.ID, absent.O = 3, csvrow.Opt[string]{}
	gone := batchsync.Row[everyType]{ID: "no number", Deleted: true}
	rs, err = tab.Write(t.Context(), []batchsync.Row[everyType]{{ID: "c", Value: nan}, {ID: "d", Value: absent}, gone})
	require.NoError(t, err)
	require.Equal(t, []string{"failed", "failed", "failed"}, verdicts(rs))
	require.ErrorContains(t, rs[0].Err, `column "f": NaN`)
	require.ErrorContains(t, rs[1].Err, `column "o"`)
	rs, err = tab.Write(t.Context(), []batchsync.Row[everyType]{{ID: "1", Deleted: true}})
	require.NoError(t, err)
	require.Equal(t, []string{"deleted"}, verdicts(rs))
}

func TestTableNamesAreQuotedOrRefused(t *testing.T) {
	type odd struct {
		Key   string `db:"order"`
		Group int    `db:"group by"`
		Where int    `db:"w-h$1"`
	}
	db := sqlPool(t, 1, `CREATE TABLE "select from" ("order" TEXT PRIMARY KEY, "group by" INTEGER, "w-h$1" INTEGER)`)
	for _, name := range []string{"select from", "main.select from"} {
		tab := newTable[odd](t, db, name, "order", 0)
		_, err := tab.Write(t.Context(), []batchsync.Row[odd]{{ID: "a", Value: odd{"a", 1, 2}}})
		require.NoError(t, err)
		rows, err := readAll(t, tab)
		require.NoError(t, err)
		require.Equal(t, odd{"a", 1, 2}, rows[0].Value)
	}
	for _, name := range []string{"", ".", "a.b.c", `a"b`, "a;b", "1a", "a\x00", "a'b"} {
		_, err := sqltable.New[stockRow](db, name, "sku", nil)
		require.ErrorIs(t, err, batchsync.ErrSchema, name)
	}
}

func TestTableTypesThatCannotBeStored(t *testing.T) {
	db := sqlPool(t, 1, ``)
	try := func(_ any, err error) { t.Helper(); require.ErrorIs(t, err, batchsync.ErrSchema) }
	try(sqltable.New[int](db, "t", "k", nil))
	try(sqltable.New[struct{}](db, "t", "k", nil))
	try(sqltable.New[stockRow](db, "t", "no such", nil))
	try(sqltable.New[struct{ K chan int }](db, "t", "K", nil))
	try(sqltable.New[struct{ K float64 }](db, "t", "K", nil))
	try(sqltable.New[struct{ K *string }](db, "t", "K", nil))
	try(sqltable.New[struct{ K []string }](db, "t", "K", nil))
	try(sqltable.New[struct{ K **string }](db, "t", "K", nil))
	try(sqltable.New[struct {
		K string
		L string `db:"k"`
	}](db, "t", "K", nil))
	try(sqltable.New[struct {
		K string `db:"k; DROP TABLE x"`
	}](db, "t", "k; DROP TABLE x", nil))
	try(sqltable.New[struct {
		stockRow
		K string
	}](db, "t", "K", nil))
	_, err := sqltable.New[stockRow](nil, "t", "sku", nil)
	require.Error(t, err)
}

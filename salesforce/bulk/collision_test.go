package bulk_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/batchsync"
	"github.com/crosstie/crosstie/salesforce/bulk"
	"github.com/crosstie/crosstie/salesforce/sftest"
)

// All rows that meet are parked with a reason that names the others, before
// anything of them is sent, however far apart they are.
func TestCollisionsAreParkedBeforeTheyAreSent(t *testing.T) {
	b := newBench(t)
	sink := sinkOf[product](b, "SKU__c", quick())
	rows := items(300)
	rows[3] = one("abc", "low")
	rows[250] = one("ABC", "high")
	rows[299] = batchsync.Row[product]{ID: "Abc ", Pos: "row Abc", Deleted: true}
	rows[10] = one("twice", "first")
	rows[11] = one("twice", "second") // the very same id: the last wins
	key, err := sink.Key(t.Context())
	require.NoError(t, err)
	src := bulk.ParkCollisions(source(100, rows...), key.Same)

	s := syncOf(src, sink, nil)
	rep, err := s.Run(t.Context())
	require.NoError(t, err)
	require.Equal(t, batchsync.Counts{In: 300, Inserted: 296, Updated: 1, Parked: 3, Repeated: 1}, rep.Counts)
	require.Nil(t, b.row("abc"))
	require.Nil(t, b.row("ABC"))
	require.Equal(t, "second", b.row("twice")["Name"])
	n := 0
	for d, err := range s.DeadRows(t.Context()) {
		require.NoError(t, err)
		require.Contains(t, d.Why, `"abc" (row abc), "ABC" (row ABC), "Abc " (row Abc)`)
		require.Contains(t, d.Why, "none of the rows was sent")
		if d.ID == "ABC" {
			require.JSONEq(t, `{"SKU":"ABC","Name":"high","Price":0,"Stock":0}`, string(d.Value))
		}
		n++
	}
	require.Equal(t, 3, n)

	all, err := bulk.Collisions(t.Context(), source(100, rows...), key.Same)
	require.NoError(t, err)
	require.Len(t, all, 1)
	require.Equal(t, `"abc" (row abc), "ABC" (row ABC), "Abc " (row Abc)`, all[0].String())

	code := sinkOf[struct {
		Code string `csv:"Code__c"`
	}](b, "Code__c", quick())
	key, err = code.Key(t.Context())
	require.NoError(t, err)
	all, err = bulk.Collisions(t.Context(), source(100, rows...), key.Same)
	require.NoError(t, err)
	require.Empty(t, all, "this field is case-sensitive")
}

// What a naive load does with the same rows: in one batch the org refuses both,
// and in two the later overwrites the earlier, and says that all is well.
func TestAntiPatternSendingCollisions(t *testing.T) {
	b := newBench(t)
	load := func(rows ...batchsync.Row[product]) {
		rep, err := syncOf(source(1, rows...), sinkOf[product](b, "SKU__c", quick()), nil).Run(t.Context())
		require.NoError(t, err)
		require.True(t, rep.Complete())
	}
	load(one("abc", "blue"), one("ABC", "red"))
	require.Len(t, b.fake.Rows("Product2"), 1, "two products went in, one is there, and nothing says so")
}

// The judge is an algorithm of another kind: maps of all rows.
func TestCollisionsProperty(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var rows []batchsync.Row[product]
		ids := map[string]map[string]bool{}
		for i := range rnd.IntN(60) {
			id := string("aAbBcC"[rnd.IntN(6)]) + string("xX1"[rnd.IntN(3)])
			r := one(id, "x")
			switch rnd.IntN(10) {
			case 0:
				r.Err = errors.New("unreadable")
			case 1:
				r.ID = ""
			default:
				f := strings.ToLower(id)
				if ids[f] == nil {
					ids[f] = map[string]bool{}
				}
				ids[f][id] = true
			}
			r.Pos = fmt.Sprint(i)
			rows = append(rows, r)
		}
		want := map[string]int{}
		for f, set := range ids {
			if len(set) > 1 {
				want[f] = len(set)
			}
		}
		all, err := bulk.Collisions(t.Context(), source(7, rows...), strings.ToLower)
		require.NoError(t, err)
		got := map[string]int{}
		for _, c := range all {
			got[strings.ToLower(c.Rows[0].ID)] = len(c.Rows)
		}
		require.Equal(t, want, got)
	}
}

func TestCollisionsOfASourceThatFails(t *testing.T) {
	boom := errors.New("boom")
	src := batchsync.From(func(context.Context, string) iter.Seq2[batchsync.Page[product], error] {
		return func(yield func(batchsync.Page[product], error) bool) {
			if yield(batchsync.Page[product]{Rows: items(1), Next: "1"}, nil) {
				yield(batchsync.Page[product]{}, boom)
			}
		}
	})
	_, err := bulk.Collisions(t.Context(), src, strings.ToLower)
	require.ErrorIs(t, err, boom)
	b := newBench(t)
	_, err = syncOf(bulk.ParkCollisions(src, strings.ToLower), sinkOf[product](b, "SKU__c", quick()), nil).Run(t.Context())
	require.ErrorIs(t, err, boom)
	require.Zero(t, b.calls(sftest.OpJobCreate), "nothing is sent before the check is done")

	short := batchsync.From(func(context.Context, string) iter.Seq2[batchsync.Page[product], error] {
		return func(yield func(batchsync.Page[product], error) bool) {
			yield(batchsync.Page[product]{Rows: items(1), Next: "1"}, nil)
		}
	})
	_, err = bulk.Collisions(t.Context(), short, strings.ToLower)
	require.ErrorIs(t, err, batchsync.ErrIncomplete)
	_, err = bulk.ParkCollisions(short, strings.ToLower).(batchsync.Counted).Count(t.Context())
	require.ErrorIs(t, err, errors.ErrUnsupported)
}

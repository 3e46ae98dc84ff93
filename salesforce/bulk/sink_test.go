package bulk_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/batchsync"
	"github.com/crosstie/crosstie/batchsync/csvrow"
	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/salesforce"
	"github.com/crosstie/crosstie/salesforce/bulk"
	"github.com/crosstie/crosstie/salesforce/sftest"
)

func TestRowsComeAndGo(t *testing.T) {
	b := newBench(t)
	sink := sinkOf[product](b, "SKU__c", quick())
	rep, err := syncOf(source(2000, items(1000)...), sink, nil).Run(t.Context())
	require.NoError(t, err)
	require.Equal(t, batchsync.Counts{In: 1000, Inserted: 1000}, rep.Counts)
	require.Len(t, b.fake.Rows("Product2"), 1000)
	require.Equal(t, "Item 7, \"new\"\nline", b.row("S-0007")["Name"])
	require.Equal(t, 1.75, b.row("S-0007")["Price__c"])
	require.Equal(t, 1, b.calls(sftest.OpJobCreate), "a page is one job, whatever BatchRows is elsewhere")

	rows := items(1000)
	for i := range rows[:10] {
		rows[i] = batchsync.Row[product]{ID: rows[i].ID, Deleted: true}
	}
	rows = append(rows, batchsync.Row[product]{ID: "never there", Deleted: true}, one("S-new", "n"))
	rep, err = syncOf(source(2000, rows...), sink, nil).Run(t.Context())
	require.NoError(t, err)
	require.Equal(t, batchsync.Counts{In: 1002, Inserted: 1, Updated: 990, Deleted: 10, Unchanged: 1}, rep.Counts)
	require.Len(t, b.fake.Rows("Product2"), 991)
	require.Empty(t, b.open())
}

func TestOnlyWhatChanged(t *testing.T) {
	b := newBench(t)
	sink := sinkOf[product](b, "SKU__c", quick(compare))
	rows := items(1500)
	rep, err := syncOf(source(2000, rows...), sink, nil).Run(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1500, rep.Inserted)

	before := b.fake.CallsUsed()
	rep, err = syncOf(source(2000, rows...), sink, nil).Run(t.Context())
	require.NoError(t, err)
	require.Equal(t, batchsync.Counts{In: 1500, Unchanged: 1500}, rep.Counts)
	require.Equal(t, 1, b.calls(sftest.OpJobCreate))
	require.LessOrEqual(t, b.fake.CallsUsed()-before, 6, "1 to 4 calls a thousand rows, as the package comment says")

	rows[3].Value.Stock++
	// Somebody changes a row in the org behind our back: that is seen too.
	require.NoError(t, b.org.Update(t.Context(), "Product2", b.row("S-0005")["Id"].(string), map[string]any{"Price__c": 99}))
	changes := len(b.fake.Changes("Product2"))
	rep, err = syncOf(source(2000, rows...), sink, nil).Run(t.Context())
	require.NoError(t, err)
	require.Equal(t, batchsync.Counts{In: 1500, Updated: 2, Unchanged: 1498}, rep.Counts)
	require.Len(t, b.fake.Changes("Product2"), changes+2, "nothing else was written")
	require.Equal(t, 1.25, b.row("S-0005")["Price__c"])
}

// Every type is compared as the org keeps it.
func TestCompareByType(t *testing.T) {
	type every struct {
		SKU     string                    `csv:"SKU__c"`
		Name    csvrow.Opt[string]        `csv:"Name"`
		Text    string                    `csv:"Description"`
		Active  csvrow.Opt[bool]          `csv:"IsActive"`
		Price   csvrow.Opt[float64]       `csv:"Price__c"`
		Stock   csvrow.Opt[float64]       `csv:"Stock__c"`
		Listed  salesforce.Date           `csv:"Listed__c"`
		Counted salesforce.Time           `csv:"Counted__c"`
		Maker   csvrow.Opt[string]        `csv:"Maker__c"`
		_       map[string]map[string]any `csv:"-"`
	}
	b := newBench(t)
	maker, err := b.org.Create(t.Context(), "Account", map[string]any{"Name": "Acme"})
	require.NoError(t, err)
	id, err := b.org.Create(t.Context(), "Product2", map[string]any{
		"SKU__c": "X", "Name": "x", "Description": " padded ", "IsActive": true, "Price__c": 12345678.9, "Stock__c": 0.001,
		"Listed__c": "2024-02-29", "Counted__c": "2024-02-29T12:00:00.000Z", "Maker__c": maker,
	})
	require.NoError(t, err)
	sink := sinkOf[every](b, "SKU__c", quick(compare))
	listed := salesforce.Date{Year: 2024, Month: 2, Day: 29}
	counted := salesforce.Time{}
	require.NoError(t, counted.UnmarshalText([]byte("2024-02-29T13:00:00.4+01:00")))
	same := every{
		SKU: "X", Name: csvrow.Some("x"), Text: "padded", Active: csvrow.Some(true), Price: csvrow.Some(12345678.901),
		Stock: csvrow.Some(0.0), Listed: listed, Counted: counted, Maker: csvrow.Some(maker[:15]),
	}
	write := func(v every) string {
		t.Helper()
		rs, err := sink.Write(t.Context(), []batchsync.Row[every]{{ID: "X", Value: v}})
		require.NoError(t, err)
		require.NoError(t, rs[0].Err)
		return rs[0].Verdict.String()
	}
	require.Equal(t, "unchanged", write(same))
	require.Equal(t, "unchanged", write(every{SKU: "X", Text: " padded", Listed: listed, Counted: counted}), "what is absent is not compared")
	for name, change := range map[string]func(*every){
		"text":    func(v *every) { v.Text = "Padded" },
		"bool":    func(v *every) { v.Active = csvrow.Some(false) },
		"null":    func(v *every) { v.Price = csvrow.Null[float64]() },
		"empty":   func(v *every) { v.Text = "" },
		"price":   func(v *every) { v.Price = csvrow.Some(12345678.91) },
		"listed":  func(v *every) { v.Listed = salesforce.Date{} },
		"counted": func(v *every) { v.Counted = salesforce.Time{Time: v.Counted.Add(1e9)} },
		"maker":   func(v *every) { v.Maker = csvrow.Null[string]() },
	} {
		v := same
		change(&v)
		require.Equal(t, "updated", write(v), name)
		require.Equal(t, "unchanged", write(v), "%s: what was written is what is there", name)
		require.Equal(t, "updated", write(same), name)
	}
	got, err := salesforce.Read[map[string]any](t.Context(), b.org, "Product2", id, "Description")
	require.NoError(t, err)
	require.Equal(t, "padded", got["Description"])
}

func TestEachRowHasItsVerdict(t *testing.T) {
	b := newBench(t)
	sink := sinkOf[product](b, "SKU__c", quick())
	long := strings.Repeat("x", 21)
	rows := []batchsync.Row[product]{
		one("ok", "fine"),
		one(long, "too long an id"),
		one("na", "#N/A"),
		one("other", "x"),
		{ID: "", Value: product{}},
		one("a\nb", "line break"),
		one("same", "first"), one("SAME", "second"),
		{ID: "bad", Value: product{SKU: "bad", Name: "\xff"}},
	}
	rows[3].ID = "not other"
	rs, err := sink.Write(t.Context(), rows)
	require.NoError(t, err)
	require.Equal(t, []string{"inserted", "failed", "failed", "failed", "failed", "failed", "failed", "failed", "failed"}, verdicts(rs))
	for i, want := range []string{"", "STRING_TOO_LONG", "stands for null", "must hold what identifies", "blank", "line break", `"same" (row same), "SAME" (row SAME)`, `"same" (row same), "SAME" (row SAME)`, "UTF-8"} {
		if want == "" {
			continue
		}
		require.ErrorContains(t, rs[i].Err, want)
		transient, said := outcome.Transient(rs[i].Err)
		require.True(t, said && !transient, "row %d is parked, not tried again", i)
	}
	require.Equal(t, outcome.Refused, rs[1].Known)
	require.Equal(t, outcome.NotSent, rs[7].Known)
	require.Len(t, b.fake.Rows("Product2"), 1)

	none, err := sink.Write(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, none)
	require.Equal(t, 1, b.calls(sftest.OpJobCreate), "no rows, no job")
}

func TestJobsAreSplitByBytes(t *testing.T) {
	b := newBench(t)
	sink := sinkOf[product](b, "SKU__c", quick(func(o *bulk.Options) { o.MaxJobBytes = 1000 }))
	big := one("big", strings.Repeat("y", 990))
	rs, err := sink.Write(t.Context(), append(items(60), big))
	require.NoError(t, err)
	require.ErrorContains(t, rs[60].Err, "more than a job may have")
	for _, r := range rs[:60] {
		require.Equal(t, batchsync.Inserted, r.Verdict)
	}
	require.Greater(t, b.calls(sftest.OpJobCreate), 2)
	require.Len(t, b.fake.Rows("Product2"), 60)
}

func TestNewSinkAndDescribeRefuse(t *testing.T) {
	b := newBench(t)
	type noKey struct{ Name string }
	type withID struct {
		ID  string `csv:"Id"`
		SKU string `csv:"SKU__c"`
	}
	type badName struct {
		SKU string `csv:"SKU__c"`
		X   string `csv:"x, y FROM User"`
	}
	type unknown struct {
		SKU string `csv:"SKU__c"`
		X   string `csv:"Nope__c"`
	}
	type system struct {
		SKU string `csv:"SKU__c"`
		X   string `csv:"CreatedDate"`
	}
	type plain struct {
		Name string
	}
	for _, err := range []error{
		second(bulk.NewSink[noKey](b.org, "Product2", "SKU__c", nil)),
		second(bulk.NewSink[withID](b.org, "Product2", "SKU__c", nil)),
		second(bulk.NewSink[badName](b.org, "Product2", "SKU__c", nil)),
		second(bulk.NewSink[product](b.org, "Product2 WHERE", "SKU__c", nil)),
		second(bulk.NewSink[product](nil, "Product2", "SKU__c", nil)),
		second(bulk.NewSink[int](b.org, "Product2", "SKU__c", nil)),
		second(sinkOf[unknown](b, "SKU__c", nil).Write(t.Context(), nil)),
		second(sinkOf[system](b, "SKU__c", nil).Write(t.Context(), nil)),
		second(sinkOf[plain](b, "Name", nil).Write(t.Context(), nil)),
	} {
		require.ErrorIs(t, err, batchsync.ErrSchema)
		transient, _ := outcome.Transient(err)
		require.False(t, transient)
	}
	s, err := bulk.NewSink[product](b.org, "Nothing__c", "SKU__c", nil)
	require.NoError(t, err)
	_, err = s.Write(t.Context(), nil)
	require.ErrorIs(t, err, salesforce.ErrNotFound)
}

func second[T any](_ T, err error) error { return err }

// An external id that holds numbers joins 1, 1.0 and 1e0.
func TestNumbersAsExternalID(t *testing.T) {
	type row struct {
		N    float64 `csv:"Number__c"`
		Name string  `csv:"Name"`
	}
	b := newBench(t)
	sink := sinkOf[row](b, "Number__c", quick(compare))
	rows := []batchsync.Row[row]{{ID: "1", Value: row{1, "one"}}, {ID: "2.5", Value: row{2.5, "two"}}, {ID: "x", Value: row{3, "three"}}}
	rs, err := sink.Write(t.Context(), rows)
	require.NoError(t, err)
	require.Equal(t, []string{"inserted", "inserted", "failed"}, verdicts(rs))
	rs, err = sink.Write(t.Context(), rows)
	require.NoError(t, err)
	require.Equal(t, []string{"unchanged", "unchanged", "failed"}, verdicts(rs))
}

// An external id that is not unique may meet several records.
func TestAmbiguousExternalID(t *testing.T) {
	type row struct {
		Shelf string `csv:"Shelf__c"`
		Name  string `csv:"Name"`
	}
	b := newBench(t)
	for range 2 {
		_, err := b.org.Create(t.Context(), "Product2", map[string]any{"Name": "x", "Shelf__c": "S1"})
		require.NoError(t, err)
	}
	_, err := b.org.UpsertBy(t.Context(), "Product2", "Shelf__c", "S1", map[string]any{"Name": "y"})
	require.ErrorIs(t, err, salesforce.ErrAmbiguous)
	require.Equal(t, outcome.Refused, outcome.Of(err))
	sink := sinkOf[row](b, "Shelf__c", quick(compare))
	rs, err := sink.Write(t.Context(), []batchsync.Row[row]{{ID: "S1", Value: row{"S1", "y"}}, {ID: "S2", Value: row{"S2", "z"}}})
	require.NoError(t, err)
	require.Equal(t, []string{"failed", "inserted"}, verdicts(rs))
	rs, err = sink.Write(t.Context(), []batchsync.Row[row]{{ID: "S1", Deleted: true}, {ID: "s2", Deleted: true}})
	require.NoError(t, err)
	require.Equal(t, []string{"failed", "deleted"}, verdicts(rs))
	require.ErrorIs(t, rs[0].Err, salesforce.ErrAmbiguous)
	require.Len(t, b.fake.Rows("Product2"), 2)
}

// A reference is set by the parent's own external id, and compared by it.
func TestParentByExternalID(t *testing.T) {
	type row struct {
		SKU   string              `csv:"SKU__c"`
		Name  string              `csv:"Name"`
		Maker csvrow.Opt[string]  `csv:"Maker__r.Code__c"`
		Stock csvrow.Opt[float64] `csv:"Stock__c"`
	}
	b := newBench(t)
	for _, code := range []string{"M1", "M2"} {
		_, err := b.org.UpsertBy(t.Context(), "Account", "Code__c", code, map[string]any{"Name": code})
		require.NoError(t, err)
	}
	sink := sinkOf[row](b, "SKU__c", quick(compare))
	write := func(maker csvrow.Opt[string]) batchsync.Result {
		t.Helper()
		rs, err := sink.Write(t.Context(), []batchsync.Row[row]{{ID: "a", Value: row{"a", "x", maker, csvrow.Opt[float64]{}}}})
		require.NoError(t, err)
		return rs[0]
	}
	require.Equal(t, batchsync.Inserted, write(csvrow.Some("M1")).Verdict)
	require.Equal(t, batchsync.Unchanged, write(csvrow.Some("M1")).Verdict)
	require.Equal(t, batchsync.Unchanged, write(csvrow.Opt[string]{}).Verdict)
	require.Equal(t, batchsync.Updated, write(csvrow.Some("M2")).Verdict)
	require.Equal(t, batchsync.Unchanged, write(csvrow.Some("M2")).Verdict)
	gone := write(csvrow.Some("nobody"))
	require.Equal(t, batchsync.Failed, gone.Verdict)
	require.ErrorContains(t, gone.Err, "INVALID_FIELD")
	require.Equal(t, batchsync.Updated, write(csvrow.Null[string]()).Verdict)
	require.Equal(t, batchsync.Unchanged, write(csvrow.Null[string]()).Verdict)
}

// However many columns there are, and whatever is in an external id, the query
// that compares fits into the URL that the org takes, and what the package
// comment says of its price holds.
func TestTheQueryThatComparesFits(t *testing.T) {
	b := newBench(t)
	rows := make([]batchsync.Row[product], 3000)
	for i := range rows {
		sku := fmt.Sprintf(`%05d'"\\ ü%%&0123456`, i)
		rows[i] = batchsync.Row[product]{ID: sku, Value: product{SKU: sku, Name: "x"}}
	}
	sink := sinkOf[product](b, "SKU__c", quick(compare))
	rs, err := sink.Write(t.Context(), rows)
	require.NoError(t, err)
	require.NotContains(t, verdicts(rs), "failed")
	before := b.fake.CallsUsed()
	rs, err = sink.Write(t.Context(), rows)
	require.NoError(t, err)
	for _, r := range rs {
		require.Equal(t, batchsync.Unchanged, r.Verdict)
	}
	require.Less(t, b.fake.CallsUsed()-before, 15, "these take five times the room of plain ones")

	for i := range rows {
		rows[i] = one(fmt.Sprintf("A%019d", i), "x")
	}
	before = b.fake.CallsUsed()
	_, err = sink.Write(t.Context(), rows)
	require.NoError(t, err)
	require.LessOrEqual(t, b.fake.CallsUsed()-before-b.calls(sftest.OpJobInfo), 3*3+6)
}

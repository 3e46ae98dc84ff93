package bulk_test

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/batchsync"
	"github.com/crosstie/crosstie/retry"
	"github.com/crosstie/crosstie/salesforce"
	"github.com/crosstie/crosstie/salesforce/bulk"
	"github.com/crosstie/crosstie/salesforce/sftest"
)

type product struct {
	SKU   string  `csv:"SKU__c"`
	Name  string  `csv:"Name"`
	Price float64 `csv:"Price__c"`
	Stock int     `csv:"Stock__c"`
}

var catalogue = []sftest.Object{{
	Name: "Product2",
	Fields: []sftest.Field{
		{Name: "SKU__c", Length: 20, ExternalID: true, Unique: true},
		{Name: "Code__c", Length: 20, ExternalID: true, Unique: true, CaseSensitive: true},
		{Name: "Shelf__c", Length: 20, ExternalID: true},
		{Name: "Number__c", Type: sftest.Double, Scale: 2, ExternalID: true},
		{Name: "Stock__c", Type: sftest.Double},
		{Name: "Price__c", Type: sftest.Currency, Precision: 16, Scale: 2},
		{Name: "Listed__c", Type: sftest.Date},
		{Name: "Counted__c", Type: sftest.DateTime},
		{Name: "Maker__c", Type: sftest.Reference, ReferenceTo: "Account"},
	},
}, {
	Name:   "Account",
	Fields: []sftest.Field{{Name: "Code__c", Length: 20, ExternalID: true, Unique: true}},
}}

// A bench is an org inside the test and a client of it.
type bench struct {
	t    *testing.T
	fake *sftest.Org
	org  *salesforce.Org
}

func newBench(t *testing.T, change ...func(*sftest.Options)) *bench {
	t.Helper()
	o := &sftest.Options{Objects: catalogue}
	for _, c := range change {
		c(o)
	}
	fake := sftest.NewOrg(t, o)
	return &bench{t, fake, connect(t, fake)}
}

func connect(t *testing.T, fake *sftest.Org) *salesforce.Org {
	t.Helper()
	so := &salesforce.Options{Retry: retry.Policy{Base: -1}}
	if fake.URL() == "https://org.invalid" {
		so.Client = fake.Client()
	}
	org, err := salesforce.New(fake.URL(), salesforce.ClientCredentials(fake.ClientID(), fake.ClientSecret()), so)
	require.NoError(t, err)
	return org
}

// quick are options of a sink whose polls take no time.
func quick(change ...func(*bulk.Options)) *bulk.Options {
	o := &bulk.Options{PollFirst: time.Millisecond, PollMax: 5 * time.Millisecond}
	for _, c := range change {
		c(o)
	}
	return o
}

func compare(o *bulk.Options) { o.Compare = true }

func sinkOf[T any](b *bench, key string, o *bulk.Options) *bulk.Sink[T] {
	b.t.Helper()
	s, err := bulk.NewSink[T](b.org, "Product2", key, o)
	require.NoError(b.t, err)
	return s
}

func (b *bench) fault(faults ...sftest.Fault) {
	b.t.Helper()
	require.NoError(b.t, b.fake.Fault(faults...))
}

// calls counts the calls of an op.
func (b *bench) calls(op sftest.Op) (n int) {
	for _, c := range b.fake.Calls() {
		if c.Op == op {
			n++
		}
	}
	return n
}

// row finds the record with that SKU.
func (b *bench) row(sku string) sftest.Row {
	for _, r := range b.fake.Rows("Product2") {
		if r["SKU__c"] == sku {
			return r
		}
	}
	return nil
}

// open are the jobs that are neither done nor aborted.
func (b *bench) open() (ids []string) {
	b.t.Helper()
	var page struct {
		Records []struct{ ID, State string } `json:"records"`
	}
	require.NoError(b.t, b.org.Do(b.t.Context(), salesforce.Call{Path: "jobs/ingest"}, &page))
	for _, j := range page.Records {
		if j.State != "JobComplete" && j.State != "Aborted" && j.State != "Failed" {
			ids = append(ids, j.ID+" "+j.State)
		}
	}
	return ids
}

func items(n int) []batchsync.Row[product] {
	rows := make([]batchsync.Row[product], n)
	for i := range rows {
		sku := fmt.Sprintf("S-%04d", i)
		rows[i] = batchsync.Row[product]{ID: sku, Pos: "line " + strconv.Itoa(i+2), Value: product{sku, fmt.Sprintf("Item %d, \"new\"\nline", i), float64(i) / 4, i}}
	}
	return rows
}

func one(sku, name string) batchsync.Row[product] {
	return batchsync.Row[product]{ID: sku, Pos: "row " + sku, Value: product{SKU: sku, Name: name}}
}

// source yields rows in pages of size.
func source[T any](size int, rows ...batchsync.Row[T]) batchsync.Source[T] {
	return batchsync.From(func(ctx context.Context, after string) iter.Seq2[batchsync.Page[T], error] {
		return func(yield func(batchsync.Page[T], error) bool) {
			at, _ := strconv.Atoi(after)
			for {
				end := min(at+size, len(rows))
				p := batchsync.Page[T]{Rows: rows[at:end], Next: strconv.Itoa(end)}
				if end == len(rows) {
					p.Next, p.Done = "", true
				}
				if !yield(p, nil) || p.Done {
					return
				}
				at = end
			}
		}
	})
}

// verdicts are those of results, in their order.
func verdicts(rs []batchsync.Result) (vs []string) {
	for _, r := range rs {
		vs = append(vs, r.Verdict.String())
	}
	return vs
}

func syncOf[T any](src batchsync.Source[T], dst batchsync.Sink[T], store batchsync.Store) *batchsync.Sync {
	return batchsync.New("products", src, dst, &batchsync.Options{Checkpoints: store, Retry: retry.Policy{Base: -1}})
}

func token(t *testing.T, s batchsync.Store) string {
	t.Helper()
	c, err := s.Load(t.Context(), "products", "")
	require.NoError(t, err)
	return c.Token
}

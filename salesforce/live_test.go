package salesforce_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/batchsync"
	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/salesforce"
	"github.com/crosstie/crosstie/salesforce/bulk"
	"github.com/crosstie/crosstie/salesforce/sftest"
)

// The whole client against the org in a process.
func TestRecordsInAnOrg(t *testing.T) {
	fake, org := inside(t)
	ctx := t.Context()
	up, err := org.UpsertBy(ctx, "Product2", "SKU__c", "a/b ?'ü", map[string]any{"Name": "Lamp", "Stock__c": 3})
	require.NoError(t, err)
	require.True(t, up.Created)
	again, err := org.UpsertBy(ctx, "Product2", "SKU__c", "A/B ?'Ü", product{Name: "Lamp 2", Listed: salesforce.Date{Year: 2024, Month: 2, Day: 29}})
	require.NoError(t, err)
	require.Equal(t, salesforce.Upserted{ID: up.ID}, again, "this field does not tell a from A")

	p, err := salesforce.Read[product](ctx, org, "Product2", up.ID)
	require.NoError(t, err)
	require.Equal(t, "Lamp 2", p.Name)
	require.Nil(t, p.Stock, "a null clears")
	require.Equal(t, "2024-02-29", p.Listed.String())

	require.NoError(t, org.Update(ctx, "Product2", up.ID, map[string]any{"Stock__c": 7.5, "Counted__c": salesforce.Time{Time: time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)}}))
	p, err = salesforce.ReadBy[product](ctx, org, "Product2", "SKU__c", "a/b ?'ü")
	require.NoError(t, err)
	require.Equal(t, 8.0, *p.Stock, "the field keeps no digits after the point")
	require.Equal(t, "Lamp 2", p.Name, "what is absent stays")
	require.Equal(t, 12, p.Seen.Hour())

	require.NoError(t, org.Delete(ctx, "Product2", up.ID))
	require.ErrorIs(t, org.Delete(ctx, "Product2", up.ID), salesforce.ErrNotFound)
	_, err = salesforce.Read[product](ctx, org, "Product2", up.ID)
	require.ErrorIs(t, err, salesforce.ErrNotFound)

	ev, err := org.Publish(ctx, "Stock_Changed__e", map[string]any{"SKU__c": "x"})
	require.NoError(t, err)
	require.NotEmpty(t, ev.UUID)
	require.Len(t, fake.Events("Stock_Changed__e"), 1)
	require.NoError(t, fake.Fault(sftest.Fault{Kind: sftest.FaultDropResponse, On: sftest.OpPublish}))
	_, err = org.Publish(ctx, "Stock_Changed__e", map[string]any{"SKU__c": "y"})
	require.Equal(t, outcome.Unknown, outcome.Of(err))
	require.Len(t, fake.Events("Stock_Changed__e"), 2, "it was taken, once")

	d, err := org.Describe(ctx, "Product2")
	require.NoError(t, err)
	sku, ok := d.Field("SKU__c")
	require.True(t, ok && sku.ExternalID && sku.Unique && !sku.CaseSensitive && sku.Length == 20 && sku.Updateable)
	id, err := org.ID(ctx)
	require.NoError(t, err)
	require.Equal(t, fake.ID(), id)
	require.EqualValues(t, fake.CallsUsed(), org.Limits().Used)
}

func TestQueryInAnOrg(t *testing.T) {
	fake, org := inside(t)
	const n = 2500
	type item struct {
		SKU  string `csv:"SKU__c"`
		Name string
	}
	sink, err := bulk.NewSink[item](org, "Product2", "SKU__c", &bulk.Options{PollFirst: time.Millisecond})
	require.NoError(t, err)
	rows := make([]batchsync.Row[item], n)
	for i := range rows {
		sku := fmt.Sprint(i)
		rows[i] = batchsync.Row[item]{ID: sku, Value: item{sku, "50%_" + sku}}
	}
	_, err = sink.Write(t.Context(), rows)
	require.NoError(t, err)
	got := 0
	require.NoError(t, fake.Fault(sftest.Fault{Kind: sftest.FaultTruncate, On: sftest.OpQueryMore}, sftest.Fault{Kind: sftest.FaultExpire, On: sftest.OpQuery}))
	for p, err := range salesforce.Query[product](t.Context(), org, "SELECT SKU__c FROM Product2 ORDER BY CreatedDate, Id") {
		require.NoError(t, err)
		require.NotEmpty(t, p.SKU)
		got++
	}
	require.Equal(t, n, got, "two pages, a cut one and a session that ended")
	count, err := salesforce.Count(t.Context(), org, "SELECT COUNT() FROM Product2 WHERE Name LIKE ?", salesforce.Like(salesforce.EscapeLike("50%_")+"1%"))
	require.NoError(t, err)
	require.EqualValues(t, 1+10+100+1000, count)
	_, err = salesforce.Count(t.Context(), org, "SELECT COUNT() FROM Nothing__c")
	require.ErrorContains(t, err, "INVALID_TYPE")
}

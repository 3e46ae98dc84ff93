package salesforce_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/retry"
	"github.com/crosstie/crosstie/salesforce"
	"github.com/crosstie/crosstie/salesforce/sftest"
)

// inside is an org of the test with the objects that tests here use.
func inside(t *testing.T) (*sftest.Org, *salesforce.Org) {
	t.Helper()
	fake := sftest.NewOrg(t, &sftest.Options{Objects: []sftest.Object{
		{Name: "Product2", Fields: []sftest.Field{
			{Name: "SKU__c", Length: 20, ExternalID: true, Unique: true},
			{Name: "Stock__c", Type: sftest.Double},
			{Name: "Listed__c", Type: sftest.Date},
			{Name: "Counted__c", Type: sftest.DateTime},
		}},
		{Name: "Stock_Changed__e", Fields: []sftest.Field{{Name: "SKU__c", Required: true}}},
	}})
	org, err := salesforce.New(fake.URL(), salesforce.ClientCredentials(fake.ClientID(), fake.ClientSecret()), &salesforce.Options{Retry: retry.Policy{Base: -1}})
	require.NoError(t, err)
	return fake, org
}

// A create is repeated when its answer does not come. The record is there
// twice.
func TestAntiPatternRepeatingACreate(t *testing.T) {
	fake, org := inside(t)
	order := map[string]any{"Name": "Lamp"}
	lose := sftest.Fault{Kind: sftest.FaultDropResponse, On: sftest.OpCreate}

	require.NoError(t, fake.Fault(lose))
	for range 3 { // naive
		if _, err := org.Create(t.Context(), "Product2", order); err == nil {
			break
		}
	}
	require.Len(t, fake.Rows("Product2"), 2)

	// Ours stops and says that it does not know.
	require.NoError(t, fake.Fault(lose))
	_, err := org.Create(t.Context(), "Product2", order)
	require.Equal(t, outcome.Unknown, outcome.Of(err))
	require.Len(t, fake.Rows("Product2"), 3)

	// An upsert by external id repeats itself, and there is one record.
	require.NoError(t, fake.Fault(sftest.Fault{Kind: sftest.FaultDropResponse, On: sftest.OpUpsert}))
	_, err = org.UpsertBy(t.Context(), "Product2", "SKU__c", "L-1", order)
	require.NoError(t, err)
	require.Len(t, fake.Rows("Product2"), 4)
}

// A query is put together from what a user typed. The quote in it ends the
// literal, and the rest is SOQL.
func TestAntiPatternQueryFromText(t *testing.T) {
	_, org := inside(t)
	for _, sku := range []string{"A-1", "B-2"} {
		_, err := org.UpsertBy(t.Context(), "Product2", "SKU__c", sku, map[string]any{"Name": sku})
		require.NoError(t, err)
	}
	typed := `x' OR SKU__c != '`
	find := func(soql string, args ...any) (n int) {
		for _, err := range salesforce.Query[map[string]any](t.Context(), org, soql, args...) {
			require.NoError(t, err)
			n++
		}
		return n
	}
	require.Equal(t, 2, find(fmt.Sprintf("SELECT Id FROM Product2 WHERE SKU__c = '%s'", typed)), "naive: everything is found")
	require.Zero(t, find("SELECT Id FROM Product2 WHERE SKU__c = ?", typed))
}

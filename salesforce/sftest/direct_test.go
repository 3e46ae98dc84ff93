package sftest_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/salesforce/sftest"
)

// What somebody else does to the org is seen by clients, costs no call, and is
// in the journal under no call.
func TestDirect(t *testing.T) {
	c := begin(t, nil)
	at := time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)
	ids, err := c.org.Insert("product2", sftest.Row{"Name": "a", "SKU__c": "1", "Stock__c": 3, "Counted__c": at}, sftest.Row{"Name": "b"})
	require.NoError(t, err)
	require.Len(t, ids, 2)
	require.Equal(t, "a", c.do("GET", "sobjects/Product2/SKU__c/1", "").object(t)["Name"])
	require.Equal(t, at, c.org.Rows("Product2")[0]["Counted__c"])
	require.NoError(t, c.org.Update("Product2", ids[0], sftest.Row{"Name": "a2", "Stock__c": nil}))
	require.NoError(t, c.org.Delete("Product2", ids[1]))
	require.Equal(t, 1, c.org.CallsUsed())
	changes := c.org.Changes("Product2")
	require.Len(t, changes, 4)
	for _, ch := range changes {
		require.Zero(t, ch.Call)
	}
	rows := c.org.Rows("Product2")
	require.Len(t, rows, 1)
	require.Equal(t, "a2", rows[0]["Name"])
	require.NotContains(t, rows[0], "Stock__c")

	for want, err := range map[string]error{
		"sftest: insert Nope__c, row 0: NOT_FOUND":                   second(c.org.Insert("Nope__c", sftest.Row{})),
		"sftest: insert Stock_Changed__e, row 0: NOT_FOUND":          second(c.org.Insert("Stock_Changed__e", sftest.Row{})),
		"sftest: insert Product2, row 1: DUPLICATE_VALUE":            second(c.org.Insert("Product2", sftest.Row{"Name": "x"}, sftest.Row{"Name": "y", "SKU__c": "1"})),
		"sftest: insert Product2, row 0: json: unsupported value":    second(c.org.Insert("Product2", sftest.Row{"Stock__c": math.NaN()})),
		"REQUIRED_FIELD_MISSING: Required fields are missing: [Name": c.org.Update("Product2", ids[0], sftest.Row{"Name": ""}),
		"INVALID_FIELD: No such column 'Nope'":                       c.org.Update("Product2", ids[0], sftest.Row{"Nope": ""}),
		"ENTITY_IS_DELETED":                                          c.org.Update("Product2", ids[1], sftest.Row{}),
		"sftest: delete Product2 " + ids[1] + ": ENTITY_IS_DELETED":  c.org.Delete("Product2", ids[1]),
		"MALFORMED_ID": c.org.Delete("Product2", "x"),
		"NOT_FOUND":    c.org.Delete("Nope__c", "x"),
	} {
		require.ErrorContains(t, err, want)
	}
}

func second(_ []string, err error) error { return err }

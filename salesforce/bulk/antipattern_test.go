package bulk_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/batchsync"
	"github.com/crosstie/crosstie/salesforce"
	"github.com/crosstie/crosstie/salesforce/sftest"
)

// One call a row is the day's allowance, gone by noon.
func TestAntiPatternACallARow(t *testing.T) {
	const n = 400
	b := newBench(t)
	for _, r := range items(n) { // naive
		_, err := b.org.UpsertBy(t.Context(), "Product2", "SKU__c", r.ID, map[string]any{"Name": r.Value.Name})
		require.NoError(t, err)
	}
	naive := b.fake.CallsUsed()
	require.Equal(t, n, naive)

	c := newBench(t)
	rep, err := syncOf(source(n, items(n)...), sinkOf[product](c, "SKU__c", quick()), nil).Run(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, n, rep.Inserted)
	require.Less(t, c.fake.CallsUsed()-c.calls(sftest.OpJobInfo), 10, "and as many polls as one has patience for")
}

// A load that begins again after a lost answer, with no memory of its job,
// writes everything twice.
func TestAntiPatternAJobNobodyRemembers(t *testing.T) {
	load := func(b *bench, dst batchsync.Sink[product]) error {
		b.fault(sftest.Fault{Kind: sftest.FaultLimit, On: sftest.OpJobInfo, Times: 1})
		store := batchsync.NewMem()
		_, err := syncOf(source(100, items(100)...), dst, store).Run(b.t.Context())
		require.ErrorIs(b.t, err, salesforce.ErrLimit)
		_, err = syncOf(source(100, items(100)...), dst, store).Run(b.t.Context())
		return err
	}
	b := newBench(t)
	sink := sinkOf[product](b, "SKU__c", quick())
	require.NoError(t, load(b, batchsync.To(sink.Write))) // naive
	require.Len(t, b.fake.Changes("Product2"), 200)

	b = newBench(t)
	require.NoError(t, load(b, sinkOf[product](b, "SKU__c", quick())))
	require.Len(t, b.fake.Changes("Product2"), 100)
}

package sftest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/salesforce/sftest"
)

func TestBulkFaults(t *testing.T) {
	c := begin(t, nil)
	var b strings.Builder
	b.WriteString("Name,SKU__c\n")
	for i := range 450 {
		fmt.Fprintf(&b, "n%d,s%d\n", i, i)
	}
	require.NoError(t, c.org.Fault(
		sftest.Fault{Kind: sftest.FaultLock, On: sftest.OpBulkRow, Object: "Product2", Skip: 10, Times: 3},
		sftest.Fault{Kind: sftest.FaultError, On: sftest.OpBulkRun, Skip: 1, Code: "TooManyLockFailure", Message: "too many"},
	))
	j := c.bulk(upsertSKU, b.String())
	require.Equal(t, "Failed", j.State)
	require.Equal(t, "TooManyLockFailure : too many", j.ErrorMessage)
	require.Equal(t, []int{200, 3}, []int{j.NumberRecordsProcessed, j.NumberRecordsFailed})
	failed := c.table(j.ID, "failedResults")
	require.Equal(t, []string{"", "UNABLE_TO_LOCK_ROW:unable to obtain exclusive access to this record:--", "n10", "s10"}, failed[1])
	require.Len(t, c.table(j.ID, "unprocessedrecords"), 251)

	// The upload's answer is lost, its data is not.
	id := c.open(upsertSKU)
	require.NoError(t, c.org.Fault(sftest.Fault{Kind: sftest.FaultDropResponse, On: sftest.OpJobUpload}))
	_, err := c.try("PUT", "jobs/ingest/"+id+"/batches", b.String())
	require.Error(t, err)
	require.Equal(t, 200, c.do("PATCH", "jobs/ingest/"+id, `{"state":"UploadComplete"}`).status)
	require.Equal(t, 450, c.wait(id).NumberRecordsProcessed)
	require.NoError(t, c.org.Fault(sftest.Fault{Kind: sftest.FaultTruncate, On: sftest.OpJobResults}))
	_, err = c.try("GET", "jobs/ingest/"+id+"/successfulResults", "")
	require.Error(t, err)
}

// Nobody may find out here that results come in the order of the rows.
func TestBulkResultsAreShuffled(t *testing.T) {
	c := begin(t, nil)
	var b strings.Builder
	b.WriteString("Name,SKU__c\n")
	for i := range 12_345 {
		fmt.Fprintf(&b, "n,%05d\n", i)
	}
	j := c.bulk(upsertSKU, b.String())
	require.Equal(t, 12_345, j.NumberRecordsProcessed)
	var keys []string
	for _, r := range c.table(j.ID, "successfulResults")[1:] {
		keys = append(keys, r[3])
	}
	require.False(t, slices.IsSorted(keys))
	slices.Sort(keys)
	require.Len(t, slices.Compact(keys), 12_345)
}

package sftest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/salesforce/sftest"
)

// A job of 10,000 rows, from its creation to its results: what an org in a test
// costs the test.
func BenchmarkBulkUpsert(b *testing.B) {
	const rows = 10_000
	var data strings.Builder
	data.WriteString("Name,SKU__c,Stock__c,Price__c\n")
	for i := range rows {
		fmt.Fprintf(&data, "\"Lamp, no. %d\",sku-%d,%d,%d.99\n", i, i, i%50, i%90)
	}
	org := inProcess(b, &sftest.Options{BulkHold: true, Journal: 1, DailyCalls: 1 << 40})
	b.ReportAllocs()
	for b.Loop() {
		_, made := org.do(b, "POST", "jobs/ingest", upsertSKU)
		id := made[7:25]
		org.do(b, "PUT", "jobs/ingest/"+id+"/batches", data.String())
		org.do(b, "PATCH", "jobs/ingest/"+id, `{"state":"UploadComplete"}`)
		org.RunBulk()
		status, _ := org.do(b, "GET", "jobs/ingest/"+id+"/successfulResults", "")
		require.Equal(b, 200, status)
		require.Equal(b, 204, first(org.do(b, "DELETE", "jobs/ingest/"+id, "")))
	}
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	require.Len(b, org.Rows("Product2"), rows)
}

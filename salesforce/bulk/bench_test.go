package bulk_test

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/salesforce"
	"github.com/crosstie/crosstie/salesforce/bulk"
	"github.com/crosstie/crosstie/salesforce/sftest"
)

// BenchmarkWrite brings 10,000 rows into an org in this process by one job,
// beside a hand-written floor: the same bytes to the same org with encoding/csv
// and four calls, results unread.
func BenchmarkWrite(b *testing.B) {
	const n = 10_000
	rows := items(n)
	var floor float64
	open := func(b *testing.B) *salesforce.Org {
		fake := sftest.NewOrg(b, &sftest.Options{Objects: catalogue, Journal: 1})
		org, err := salesforce.New(fake.URL(), salesforce.ClientCredentials(fake.ClientID(), fake.ClientSecret()), nil)
		require.NoError(b, err)
		return org
	}
	b.Run("floor", func(b *testing.B) {
		org := open(b)
		b.ReportAllocs()
		for b.Loop() {
			var body bytes.Buffer
			w := csv.NewWriter(&body)
			_ = w.Write([]string{"SKU__c", "Name", "Price__c", "Stock__c"})
			for _, r := range rows {
				v := r.Value
				_ = w.Write([]string{v.SKU, v.Name, strconv.FormatFloat(v.Price, 'f', -1, 64), strconv.Itoa(v.Stock)})
			}
			w.Flush()
			var job struct{ ID, State string }
			do := func(method, path string, in any, kind string) {
				require.NoError(b, org.Do(b.Context(), salesforce.Call{Method: method, Path: "jobs/ingest" + path, Body: in, ContentType: kind}, &job))
			}
			do("POST", "", map[string]string{"object": "Product2", "operation": "upsert", "externalIdFieldName": "SKU__c"}, "")
			require.NoError(b, org.Do(b.Context(), salesforce.Call{Method: "PUT", Path: "jobs/ingest/" + job.ID + "/batches", Body: body.Bytes(), ContentType: "text/csv"}, nil))
			do("PATCH", "/"+job.ID, map[string]string{"state": "UploadComplete"}, "")
			for job.State != "JobComplete" {
				do("GET", "/"+job.ID, nil, "")
			}
		}
		floor = report(b, n)
	})
	for _, o := range []*bulk.Options{quick(), quick(compare)} {
		b.Run(fmt.Sprintf("sink, compare %v", o.Compare), func(b *testing.B) {
			sink, err := bulk.NewSink[product](open(b), "Product2", "SKU__c", o)
			require.NoError(b, err)
			b.ReportAllocs()
			for b.Loop() {
				rs, err := sink.Write(b.Context(), rows)
				require.NoError(b, err)
				require.Len(b, rs, n)
			}
			b.ReportMetric(report(b, n)/floor, "of-floor")
		})
	}
}

func report(b *testing.B, n int) float64 {
	rate := float64(n) * float64(b.N) / b.Elapsed().Seconds()
	b.ReportMetric(rate, "rows/s")
	return rate
}

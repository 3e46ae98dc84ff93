package bulk_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/batchsync"
	"github.com/crosstie/crosstie/retry"
	"github.com/crosstie/crosstie/salesforce"
	"github.com/crosstie/crosstie/salesforce/bulk"
	"github.com/crosstie/crosstie/salesforce/sftest"
)

// A job that takes ten minutes is not a failure, and is not asked after a
// thousand times.
func TestASlowJobIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(o *sftest.Options) { o.InMemory, o.BulkDelay = true, 10*time.Minute })
		start := time.Now()
		rep, err := syncOf(source(500, items(300)...), sinkOf[product](b, "SKU__c", nil), nil).Run(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, 300, rep.Inserted)
		require.Less(t, time.Since(start), 11*time.Minute)
		require.LessOrEqual(t, b.calls(sftest.OpJobInfo), 30)
	})
}

// An outage of minutes while a job is at work is waited out by the sync's own
// retries, and the job is not sent again.
func TestAnOutageWhileAJobIsAtWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(o *sftest.Options) { o.InMemory, o.BulkDelay = true, time.Minute })
		b.fault(sftest.Fault{Kind: sftest.FaultError, On: sftest.OpJobInfo, Skip: 1, Times: 30})
		o := &batchsync.Options{Retry: retry.Policy{MaxAttempts: 20}}
		rep, err := batchsync.New("products", source(500, items(300)...), sinkOf[product](b, "SKU__c", nil), o).Run(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, 300, rep.Inserted)
		require.Equal(t, 1, b.calls(sftest.OpJobCreate))
	})
}

// The calls that are reserved for others stay theirs, and the run goes on when
// there are more.
func TestReserveStopsARun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(o *sftest.Options) { o.InMemory, o.DailyCalls = true, 40 })
		org, err := salesforce.New(b.fake.URL(), salesforce.ClientCredentials(b.fake.ClientID(), b.fake.ClientSecret()), &salesforce.Options{
			Client: b.fake.Client(), PlainHTTP: true, Reserve: 10,
		})
		require.NoError(t, err)
		sink, err := bulk.NewSink[product](org, "Product2", "SKU__c", nil)
		require.NoError(t, err)
		store := batchsync.NewMem()
		s := syncOf(source(10, items(100)...), sink, store)
		rep, err := s.Run(t.Context())
		require.ErrorIs(t, err, salesforce.ErrReserve)
		require.NoError(t, rep.Check())
		require.LessOrEqual(t, b.fake.CallsUsed(), 30)

		b.fake.SetCallsUsed(0)
		time.Sleep(time.Minute)
		for range 5 {
			if rep, err = s.Run(t.Context()); err == nil {
				break
			}
			require.ErrorIs(t, err, salesforce.ErrReserve)
			b.fake.SetCallsUsed(0)
			time.Sleep(time.Minute)
		}
		require.NoError(t, err)
		require.Equal(t, batchsync.Counts{In: 100, Inserted: 100}, rep.Counts)
		require.Len(t, b.fake.Changes("Product2"), 100)
	})
}

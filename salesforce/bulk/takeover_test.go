package bulk_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/batchsync"
	"github.com/crosstie/crosstie/salesforce"
	"github.com/crosstie/crosstie/salesforce/bulk"
	"github.com/crosstie/crosstie/salesforce/sftest"
)

// takeOver ends the lease of whoever runs, as time does to a paused process.
func takeOver(t *testing.T, store batchsync.Store) {
	t.Helper()
	c, err := store.Load(t.Context(), "products", "")
	require.NoError(t, err)
	require.NoError(t, store.Release(t.Context(), c))
}

// A runner is paused at each step of its job while another, with newer values,
// takes over and finishes. Whatever the paused one then does, the newer values
// stay.
func TestAPausedRunnerCannotOverwrite(t *testing.T) {
	for name, at := range map[string]func(r *http.Request) bool{
		"before create": func(r *http.Request) bool {
			return r.Method == "POST" && strings.HasSuffix(r.URL.Path, "/jobs/ingest")
		},
		"before upload": func(r *http.Request) bool { return r.Method == "PUT" },
		"before close":  func(r *http.Request) bool { return r.Method == "PATCH" },
		"before a poll": func(r *http.Request) bool {
			return r.Method == "GET" && strings.Contains(r.URL.Path, "/jobs/ingest/750")
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			store := batchsync.NewMem()
			paused := false
			var other error
			c := b.through(func(r *http.Request) *http.Response {
				if !paused && at(r) {
					paused = true
					takeOver(t, store)
					_, other = syncOf(source(5, one("a", "newer"), one("b", "newer")), sinkOf[product](b, "SKU__c", quick()), store).Run(t.Context())
				}
				return nil
			})
			_, err := syncOf(source(5, one("a", "older"), one("b", "older")), sinkOf[product](c, "SKU__c", quick()), store).Run(t.Context())
			require.True(t, paused)
			require.NoError(t, other)
			require.Error(t, err)
			require.Equal(t, "newer", b.row("a")["Name"])
			require.Equal(t, "newer", b.row("b")["Name"])
			require.Empty(t, token(t, store))
			require.Empty(t, b.open(), "the paused one's own job was aborted or is done")
		})
	}
}

// A dead run's job is still at work with older values when the next run has
// newer ones. It is waited for, and only then are those sent.
func TestAnOldJobIsOverBeforeNewerValuesAreSent(t *testing.T) {
	b := newBench(t, func(o *sftest.Options) { o.BulkHold = true })
	store := batchsync.NewMem()
	wait := func(o *bulk.Options) { o.Wait = 10 * time.Millisecond }
	_, err := syncOf(source(5, one("a", "older"), one("b", "same")), sinkOf[product](b, "SKU__c", quick(wait)), store).Run(t.Context())
	require.ErrorIs(t, err, bulk.ErrRunning)
	old := b.theJob()

	// As long as nobody can say how it is, nothing newer is sent.
	b.fault(sftest.Fault{Kind: sftest.FaultLimit, On: sftest.OpJobInfo, Times: -1})
	_, err = syncOf(source(5, one("a", "newer")), sinkOf[product](b, "SKU__c", quick()), store).Run(t.Context())
	require.ErrorIs(t, err, salesforce.ErrLimit)
	require.Equal(t, 1, b.calls(sftest.OpJobCreate))
	b.fake.ClearFaults()

	polled := 0
	c := b.through(func(r *http.Request) *http.Response {
		switch {
		case r.Method == "POST" && strings.HasSuffix(r.URL.Path, "/jobs/ingest"):
			require.Empty(t, b.open(), "nothing is begun while the old job is at work")
		case r.Method == "GET" && strings.HasSuffix(r.URL.Path, old):
			if polled++; polled == 5 {
				b.fake.RunBulk()
			}
		case r.Method == "GET" && strings.Contains(r.URL.Path, "/jobs/ingest/750"):
			b.fake.RunBulk()
		}
		return nil
	})
	rep, err := syncOf(source(5, one("a", "newer"), one("b", "same")), sinkOf[product](c, "SKU__c", quick()), store).Run(t.Context())
	require.NoError(t, err)
	require.Equal(t, batchsync.Counts{In: 2, Inserted: 1, Updated: 1}, rep.Counts, "b is taken from the old job, which brought the very same row")
	require.Equal(t, "newer", b.row("a")["Name"])
	require.Len(t, b.fake.Changes("Product2"), 3)
}

// The newest job that brought a row has the last word about it: what an older
// one brought may have been overwritten since.
func TestAnOlderResultIsNotTakenOverANewerOne(t *testing.T) {
	b := newBench(t)
	store := batchsync.NewMem()
	// Two jobs that are done, and a process that died before it learned so.
	lose := b.through(func(r *http.Request) *http.Response {
		if strings.HasSuffix(r.URL.Path, "/successfulResults") {
			return page(403, "application/json", `[{"errorCode":"REQUEST_LIMIT_EXCEEDED","message":"TotalRequests Limit exceeded."}]`)
		}
		return nil
	})
	var first, second string
	_, err := syncOf(source(5, one("a", "first")), sinkOf[product](lose, "SKU__c", quick()), store).Run(t.Context())
	require.ErrorIs(t, err, salesforce.ErrLimit)
	first = token(t, store)
	other := batchsync.NewMem()
	_, err = syncOf(source(5, one("a", "second")), sinkOf[product](lose, "SKU__c", quick()), other).Run(t.Context())
	require.ErrorIs(t, err, salesforce.ErrLimit)
	second = token(t, other)
	_, second, _ = strings.Cut(second, ":")

	c, err := store.Claim(t.Context(), "products", "", "me", time.Minute)
	require.NoError(t, err)
	c.Token = first + "," + second
	require.NoError(t, store.Save(t.Context(), c, nil, time.Minute))
	require.NoError(t, store.Release(t.Context(), c))

	rep, err := syncOf(source(5, one("a", "first")), sinkOf[product](b, "SKU__c", quick()), store).Run(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, rep.Updated)
	require.Equal(t, "first", b.row("a")["Name"])
}

func TestATokenOfAnotherOrgIsRefused(t *testing.T) {
	b := newBench(t)
	other := newBench(t, func(o *sftest.Options) { o.Seed = 7 })
	require.NotEqual(t, b.fake.ID(), other.fake.ID())
	job := batchsync.NewJob(b.fake.ID()+":750000000000001AAA", nil)
	_, err := sinkOf[product](other, "SKU__c", quick()).WriteJob(t.Context(), job, items(1))
	require.ErrorIs(t, err, bulk.ErrOtherOrg)

	// In its own org a job that was deleted, or is older than a week, is over.
	rs, err := sinkOf[product](b, "SKU__c", quick()).WriteJob(t.Context(), job, items(1))
	require.NoError(t, err)
	require.Equal(t, []string{"inserted"}, verdicts(rs))
}

// Without a memory that takes the id nothing is sent.
func TestAJobThatCannotBeRememberedSendsNothing(t *testing.T) {
	b := newBench(t)
	job := batchsync.NewJob("", func(context.Context, string) error { return batchsync.ErrLost })
	_, err := sinkOf[product](b, "SKU__c", quick()).WriteJob(t.Context(), job, items(1))
	require.ErrorIs(t, err, batchsync.ErrLost)
	require.Zero(t, b.calls(sftest.OpJobUpload))
	require.Empty(t, b.open(), "the empty job is aborted")
}

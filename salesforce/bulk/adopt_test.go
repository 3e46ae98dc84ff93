package bulk_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/batchsync"
	"github.com/crosstie/crosstie/salesforce"
)

// losing is a client that cannot read the results of jobs, but for one of them.
func (b *bench) losing(but string) *bench {
	return b.through(func(r *http.Request) *http.Response {
		if strings.HasSuffix(r.URL.Path, "Results") && !strings.HasSuffix(r.URL.Path, "/"+but+"/successfulResults") {
			return page(403, "application/json", `[{"errorCode":"REQUEST_LIMIT_EXCEEDED","message":"TotalRequests Limit exceeded."}]`)
		}
		return nil
	})
}

// A row that an older job brought, and a newer one deleted, is not there.
func TestADeletedRowIsNotTakenFromAnOlderJob(t *testing.T) {
	b := newBench(t)
	store := batchsync.NewMem()
	_, err := syncOf(source(5, one("a", "first")), sinkOf[product](b.losing("none"), "SKU__c", quick()), store).Run(t.Context())
	require.ErrorIs(t, err, salesforce.ErrLimit)
	first := token(t, store)
	require.NotNil(t, b.row("a"))

	_, first, _ = strings.Cut(first, ":")
	gone := one("a", "")
	gone.Deleted = true
	_, err = syncOf(source(5, gone), sinkOf[product](b.losing(first), "SKU__c", quick()), store).Run(t.Context())
	require.ErrorIs(t, err, salesforce.ErrLimit)
	require.Nil(t, b.row("a"))

	_, err = syncOf(source(5, one("a", "first")), sinkOf[product](b, "SKU__c", quick()), store).Run(t.Context())
	require.NoError(t, err)
	require.NotNil(t, b.row("a"), "it is in the source again")
}

type shelved struct {
	SKU   string `csv:"SKU__c"`
	Name  string `csv:"Name"`
	Shelf string `csv:"Shelf__c"`
}

// A program that has learned another column since goes on.
func TestAnOlderJobOfOtherColumns(t *testing.T) {
	b := newBench(t)
	store := batchsync.NewMem()
	_, err := syncOf(source(5, one("a", "first")), sinkOf[product](b.losing("none"), "SKU__c", quick()), store).Run(t.Context())
	require.ErrorIs(t, err, salesforce.ErrLimit)
	rows := source(5, batchsync.Row[shelved]{ID: "a", Value: shelved{"a", "first", "7"}})
	rep, err := syncOf(rows, sinkOf[shelved](b, "SKU__c", quick()), store).Run(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, rep.Updated)
	require.Equal(t, "7", b.row("a")["Shelf__c"])
	require.Empty(t, token(t, store))
}

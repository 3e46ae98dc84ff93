package sftest_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/salesforce/sftest"
)

func TestFaults(t *testing.T) {
	const body = `{"Name":"x"}`
	for _, w := range []struct {
		fault   sftest.Fault
		status  int
		text    string // in the body
		broken  bool   // the client finds no whole answer
		applied bool
	}{
		{sftest.Fault{Kind: sftest.FaultError}, 503, `"SERVER_UNAVAILABLE"`, false, false},
		{sftest.Fault{Kind: sftest.FaultError, Status: 500}, 500, `"UNKNOWN_EXCEPTION"`, false, false},
		{sftest.Fault{Kind: sftest.FaultError, Status: 503, After: true}, 503, `"SERVER_UNAVAILABLE"`, false, true},
		{sftest.Fault{Kind: sftest.FaultError, Status: 400, Code: "ENTITY_IS_LOCKED", Message: "locked"}, 400, `[{"message":"locked","errorCode":"ENTITY_IS_LOCKED"}]`, false, false},
		{sftest.Fault{Kind: sftest.FaultHTML}, 200, "<!DOCTYPE html>", false, false},
		{sftest.Fault{Kind: sftest.FaultHTML, Status: 502, After: true}, 502, "<!DOCTYPE html>", false, true},
		{sftest.Fault{Kind: sftest.FaultDropRequest}, 0, "", true, false},
		{sftest.Fault{Kind: sftest.FaultDropResponse}, 201, "", true, true},
		{sftest.Fault{Kind: sftest.FaultTruncate}, 201, `{"id":`, true, true},
		{sftest.Fault{Kind: sftest.FaultExpire}, 401, `"INVALID_SESSION_ID"`, false, false},
		{sftest.Fault{Kind: sftest.FaultLimit}, 403, `"REQUEST_LIMIT_EXCEEDED"`, false, false},
		{sftest.Fault{Kind: sftest.FaultLock}, 400, `"UNABLE_TO_LOCK_ROW"`, false, false},
		{sftest.Fault{Kind: sftest.FaultDelay, Delay: time.Millisecond}, 201, `"success":true`, false, true},
	} {
		t.Run(string(w.fault.Kind), func(t *testing.T) {
			c := begin(t, nil)
			require.NoError(t, c.org.Fault(w.fault))
			r, err := c.try("POST", "sobjects/Account", body)
			if w.broken {
				require.Error(t, err)
			} else {
				require.NoError(t, err)
				require.Equal(t, w.status, r.status)
			}
			require.Contains(t, r.body, w.text)
			call := c.org.Calls()[0]
			require.Equal(t, w.fault.Kind, call.Fault)
			require.Equal(t, w.status, call.Status)
			require.Equal(t, w.applied, call.Applied)
			require.Equal(t, w.applied, len(c.org.Rows("Account")) == 1)

			c.token = c.org.Token()
			c.add("Account", body) // once
		})
	}
}

func TestFaultsChoose(t *testing.T) {
	c := begin(t, nil)
	require.NoError(t, c.org.Fault(
		sftest.Fault{Kind: sftest.FaultLock, On: sftest.OpCreate, Object: "account", Skip: 1, Times: 2},
		sftest.Fault{Kind: sftest.FaultError, On: sftest.OpLimits, Times: -1, RetryAfter: 7 * time.Second},
	))
	c.add("Contact", `{"LastName":"x"}`)
	c.add("Account", `{"Name":"x"}`)
	for range 2 {
		c.do("POST", "sobjects/Account", `{"Name":"x"}`).fault(t, 400, "UNABLE_TO_LOCK_ROW", "")
	}
	c.add("Account", `{"Name":"x"}`)
	for range 3 {
		require.Equal(t, "7", c.do("GET", "limits", "").header.Get("Retry-After"))
	}
	c.org.ClearFaults()
	require.Equal(t, 200, c.do("GET", "limits", "").status)

	// A ratio hits its share, and the same calls under the same seed.
	hits := func(seed uint64) string {
		c := begin(t, &sftest.Options{Seed: seed})
		require.NoError(t, c.org.Fault(sftest.Fault{Kind: sftest.FaultLimit, Times: -1, Ratio: 0.25}))
		var b strings.Builder
		for range 200 {
			b.WriteByte("x."[c.do("GET", "limits", "").status/203])
		}
		return b.String()
	}
	one := hits(1)
	require.Equal(t, one, hits(1))
	require.NotEqual(t, one, hits(2))
	require.InDelta(t, 50, strings.Count(one, "."), 30)

	for want, f := range map[string]sftest.Fault{
		`kind ""`:            {},
		"skip -1":            {Kind: sftest.FaultHTML, Skip: -1},
		"ratio 2":            {Kind: sftest.FaultHTML, Ratio: 2},
		"status 99":          {Kind: sftest.FaultHTML, Status: 99},
		"negative time":      {Kind: sftest.FaultDelay, Delay: -1},
		"cannot hit a row":   {Kind: sftest.FaultHTML, On: sftest.OpBulkRow},
		"cannot hit the run": {Kind: sftest.FaultHTML, On: sftest.OpBulkRun},
	} {
		require.ErrorContains(t, c.org.Fault(sftest.Fault{Kind: sftest.FaultLimit}, f), want)
	}
	require.Equal(t, 200, c.do("GET", "limits", "").status, "none of a list with a wrong one is planted")
}

// Without a network the org lives in the time of a bubble: a client that gives
// up during a delay finds, later, that its call was applied all the same.
func TestInMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		org := sftest.NewOrg(t, &sftest.Options{InMemory: true})
		require.NoError(t, org.Fault(sftest.Fault{Kind: sftest.FaultDelay, Delay: time.Hour}))
		begun := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := post(ctx, org)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Minute, time.Since(begun))
		require.Empty(t, org.Rows("Account"))
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Len(t, org.Rows("Account"), 1)

		require.NoError(t, org.Fault(sftest.Fault{Kind: sftest.FaultDropResponse}, sftest.Fault{Kind: sftest.FaultTruncate}))
		_, err = post(t.Context(), org)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		half, err := post(t.Context(), org)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		require.True(t, strings.HasPrefix(half, `{"id":`))
		require.Len(t, org.Rows("Account"), 3)

		// A session lives by its calls, and ends 2 h after the last.
		token := org.Token()
		for _, w := range []struct {
			idle   time.Duration
			status int
		}{{90 * time.Minute, 200}, {90 * time.Minute, 200}, {121 * time.Minute, 401}} {
			time.Sleep(w.idle)
			r, err := http.NewRequestWithContext(t.Context(), "GET", org.URL()+"/services/data/v60.0/limits", nil)
			require.NoError(t, err)
			r.Header.Set("Authorization", "Bearer "+token)
			resp, err := org.Client().Do(r)
			require.NoError(t, err)
			require.Equal(t, w.status, resp.StatusCode)
		}
	})
}

// What the platform keeps for a time, the org keeps for that time: a cursor 2
// days, a job and its results 7.
func TestWhatIsKeptForATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		org := inProcess(t, &sftest.Options{BulkDelay: time.Hour, SessionIdle: -1})
		for range 250 {
			org.do(t, "POST", "sobjects/Product2", `{"Name":"x"}`)
		}
		r, err := http.NewRequestWithContext(t.Context(), "GET", org.URL()+"/services/data/v60.0/query?q=SELECT+Id+FROM+Product2", nil)
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer "+org.token)
		r.Header.Set("Sforce-Query-Options", "batchSize=200")
		resp, err := org.Client().Do(r)
		require.NoError(t, err)
		var first result
		require.NoError(t, json.NewDecoder(resp.Body).Decode(&first))
		next := strings.TrimPrefix(first.NextRecordsURL, "/services/data/v60.0/")
		status, made := org.do(t, "POST", "jobs/ingest", upsertSKU)
		require.Equal(t, 200, status)
		job := "jobs/ingest/" + made[7:25]
		org.do(t, "PUT", job+"/batches", "Name,SKU__c\nx,y\n")
		org.do(t, "PATCH", job, `{"state":"UploadComplete"}`)
		_, info := org.do(t, "GET", job, "")
		require.Contains(t, info, `"state":"UploadComplete"`, "it waits for BulkDelay")
		time.Sleep(47 * time.Hour)
		_, info = org.do(t, "GET", job, "")
		require.Contains(t, info, `"state":"JobComplete"`)
		status, _ = org.do(t, "GET", next, "")
		require.Equal(t, 200, status)
		time.Sleep(2 * time.Hour)
		status, text := org.do(t, "GET", next, "")
		require.Equal(t, 400, status)
		require.Contains(t, text, "INVALID_QUERY_LOCATOR")
		time.Sleep(6 * 24 * time.Hour)
		status, _ = org.do(t, "GET", job+"/successfulResults", "")
		require.Equal(t, 404, status)
		require.Empty(t, org.Jobs())
	})
}

func TestClosedInMemory(t *testing.T) {
	org, err := sftest.Start(&sftest.Options{InMemory: true})
	require.NoError(t, err)
	_, err = post(t.Context(), org)
	require.NoError(t, err)
	require.NoError(t, org.Close())
	_, err = post(t.Context(), org)
	require.ErrorIs(t, err, http.ErrServerClosed)
	require.Len(t, org.Rows("Account"), 1)
}

func post(ctx context.Context, org *sftest.Org) (string, error) {
	r, err := http.NewRequestWithContext(ctx, "POST", org.URL()+"/services/data/v60.0/sobjects/Account", strings.NewReader(`{"Name":"x"}`))
	if err != nil {
		return "", err
	}
	r.Header.Set("Authorization", "Bearer "+org.Token())
	resp, err := org.Client().Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

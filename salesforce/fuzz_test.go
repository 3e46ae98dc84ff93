package salesforce_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/retry"
	"github.com/crosstie/crosstie/salesforce"
)

// A thing has a field of each type of the package.
type thing struct {
	Id    string //nolint // as the org spells it
	Count salesforce.Int
	At    salesforce.Time
	On    salesforce.Date
}

// Whatever answers, the client says what is known of it, in one line, without
// the token, and never asks elsewhere.
func FuzzAnswer(f *testing.F) {
	const token = "00D000000000001!TOKEN"
	for _, body := range []string{
		`{"totalSize":1,"done":true,"records":[{"Id":"1","Count":12.0,"At":"2026-01-02T15:04:05.000+0000","On":"2026-01-02"}]}`,
		`{"totalSize":1,"done":false,"nextRecordsUrl":"/services/data/../../x?y","records":[]}`,
		`{"totalSize":1,"done":false,"nextRecordsUrl":"/services/data//evil.example/","records":[{"Count":1e400}]}`,
		`[{"errorCode":"UNABLE_TO_LOCK_ROW","message":"` + token + `","fields":["\n"]}]`,
		`{"error":"x","error_description":"` + token + `"}`, `{"id":"","success":false,"errors":[{"statusCode":"\u0000"}]}`,
		`<html>`, ``, `null`, `[[[[`, `{"records":null,"done":null}`, `{"id":1}`,
	} {
		for _, status := range []int{200, 201, 204, 300, 302, 400, 401, 404, 429, 500, 503} {
			f.Add(status, body, "3", "api-usage=1/2")
		}
	}
	f.Fuzz(func(t *testing.T, status int, body, after, usage string) {
		if status < 200 || status > 599 {
			return
		}
		s := &script{answer: func(int, *http.Request) (*http.Response, error) {
			return reply(status, body, "Retry-After", after, "Sforce-Limit-Info", usage, "Location", body), nil
		}}
		org := scripted(t, s, func(o *salesforce.Options) { o.Retry = retry.Policy{MaxAttempts: 1}; o.MaxRows = 50 })
		ctx := t.Context()
		var errs []error
		for _, err := range salesforce.Query[thing](ctx, org, "SELECT Id FROM Thing__c") {
			errs = append(errs, err)
		}
		_, err := org.Create(ctx, "Thing__c", thing{})
		errs = append(errs, err)
		_, err = org.UpsertBy(ctx, "Thing__c", "K__c", "a/../b", thing{})
		errs = append(errs, err)
		_, err = salesforce.Read[thing](ctx, org, "Thing__c", "..%2f")
		errs = append(errs, err, org.Delete(ctx, "Thing__c", "1"))
		for _, err := range errs {
			if err == nil {
				continue
			}
			require.NotContains(t, err.Error(), token)
			require.NotContains(t, err.Error(), "\n")
			require.Less(t, len(err.Error()), 16<<10)
		}
		for _, r := range s.seen {
			require.Equal(t, "https://acme.my.salesforce.com", r.URL.Scheme+"://"+r.URL.Host)
			require.True(t, strings.HasPrefix(r.URL.EscapedPath(), "/"))
		}
		require.GreaterOrEqual(t, org.Limits().Left(), int64(0))
	})
}

package sftest_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/salesforce/sftest"
)

// An unlistened is an org that is called in this process, for speed.
type unlistened struct {
	*sftest.Org
	token string
}

func inProcess(t testing.TB, o *sftest.Options) unlistened {
	o.InMemory, o.Objects = true, stock
	org := sftest.NewOrg(t, o)
	return unlistened{org, org.Token()}
}

func (u unlistened) do(t testing.TB, method, path, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, u.URL()+"/services/data/v60.0/"+path, strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+u.token)
	resp, err := u.Client().Do(r)
	require.NoError(t, err, "the org panicked, or answered nothing")
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode, string(b)
}

// shaped fails unless an answer is a success or an error in the platform's form.
func shaped(t testing.TB, status int, body string) {
	t.Helper()
	if status < 300 {
		return
	}
	var list []struct{ Message, ErrorCode string }
	require.NoError(t, json.Unmarshal([]byte(body), &list), body)
	require.NotEmpty(t, list)
	require.NotEmpty(t, list[0].ErrorCode)
	require.Less(t, status, 500)
}

func FuzzQuery(f *testing.F) {
	org := inProcess(f, &sftest.Options{DailyCalls: 1 << 40})
	_, made := org.do(f, "POST", "sobjects/Account", `{"Name":"Acme"}`)
	id := made[7:25]
	org.do(f, "POST", "sobjects/Product2", `{"Name":"Lamp","SKU__c":"L","Stock__c":1.5,"Listed__c":"2024-01-01","Counted__c":"2024-01-01T00:00:00Z","Maker__c":"`+id+`"}`)
	org.do(f, "POST", "sobjects/Product2", `{"Name":"Bulb"}`)
	for _, q := range []string{
		"SELECT Id, Name, Maker__r.Name FROM Product2 WHERE (Name LIKE 'L%\\_' OR NOT Stock__c IN (1, null)) ORDER BY Counted__c DESC NULLS LAST LIMIT 1 OFFSET 1",
		"SELECT COUNT() FROM Product2 WHERE Listed__c = TODAY AND Id = '" + id + "'", "SELECT Maker__r.Parent.Parent.Name FROM Product2",
	} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, q string) {
		status, body := org.do(t, "GET", "query?q="+url.QueryEscape(q), "")
		if status == http.StatusRequestURITooLong {
			return
		}
		shaped(t, status, body)
	})
}

func FuzzBody(f *testing.F) {
	org := inProcess(f, &sftest.Options{DailyCalls: 1 << 40})
	for _, b := range []string{
		`{"Name":"x","Stock__c":1e400,"Price__c":-0.005,"Listed__c":"2024-02-30","Counted__c":"2024-01-01T00:00:00+0100","IsActive":"yes"}`,
		`{"Name":["x"],"Maker__r":{"Name":1}}`, `{"attributes":{},"Name":null}`, `[]`, `{`, "\xff", `{"Name":"` + "\u0000" + `"}`,
	} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, body string) {
		status, text := org.do(t, "POST", "sobjects/Product2", body)
		shaped(t, status, text)
		status, text = org.do(t, "POST", "sobjects/Stock_Changed__e", body)
		shaped(t, status, text)
		status, text = org.do(t, "POST", "jobs/ingest", body)
		shaped(t, status, text)
		for _, r := range org.Rows("Product2") {
			require.NotEmpty(t, r["Name"])
			require.True(t, utf8.ValidString(r["Name"].(string)))
			org.do(t, "DELETE", "sobjects/Product2/"+r["Id"].(string), "")
		}
	})
}

// Whatever the data of a job is, the job ends, and its reports add up.
func FuzzBulkData(f *testing.F) {
	for _, d := range []string{"Name,SKU__c\na,1\n\"b \"\"c\",2\n", "Name,SKU__c\r\nx,y", "SKU__c,Name\n,,\n", "\"", "\ufeffName,SKU__c\n#N/A,#N/A\n", "Name,SKU__c\na,1\nb,1\n"} {
		f.Add(d, false)
		f.Add(d, true)
	}
	f.Fuzz(func(t *testing.T, data string, crlf bool) {
		org := inProcess(t, &sftest.Options{BulkHold: true})
		spec := upsertSKU
		if crlf {
			spec = strings.Replace(spec, "LF", "CRLF", 1)
		}
		_, made := org.do(t, "POST", "jobs/ingest", spec)
		id := made[7:25]
		status, _ := org.do(t, "PUT", "jobs/ingest/"+id+"/batches", data)
		require.Equal(t, 201, status)
		org.do(t, "PATCH", "jobs/ingest/"+id, `{"state":"UploadComplete"}`)
		org.RunBulk()
		_, info := org.do(t, "GET", "jobs/ingest/"+id, "")
		var j jobInfo
		require.NoError(t, json.Unmarshal([]byte(info), &j))
		if j.State == "Failed" {
			require.NotEmpty(t, j.ErrorMessage)
			require.Empty(t, org.Rows("Product2"))
			return
		}
		require.Equal(t, "JobComplete", j.State)
		require.LessOrEqual(t, len(org.Rows("Product2")), j.NumberRecordsProcessed-j.NumberRecordsFailed)
		for _, which := range []string{"successfulResults", "failedResults", "unprocessedrecords"} {
			status, text := org.do(t, "GET", "jobs/ingest/"+id+"/"+which, "")
			require.Equal(t, 200, status)
			require.True(t, strings.HasPrefix(text, `"`), "a header, at least")
		}
	})
}

// Whatever a path is, it is answered, with no redirect and in the platform's
// form.
func FuzzPath(f *testing.F) {
	org := inProcess(f, &sftest.Options{DailyCalls: 1 << 40, BulkHold: true})
	org.do(f, "POST", "jobs/ingest", upsertSKU)
	for _, p := range []string{
		"sobjects/Product2/SKU__c/a%2Fb", "sobjects//Product2/", "jobs/ingest/750000000000001/batches", "query/01g-1", "queryAll?q=x",
		"composite/sobjects/Product2/SKU__c", "composite/sobjects?ids=,&allOrNone=true", "../v1.0/limits", "limits?_HttpMethod=PUT", "%",
	} {
		for _, m := range []string{"GET", "POST", "PATCH", "PUT", "DELETE", "HEAD"} {
			f.Add(m, p, `{"records":[{"attributes":{"type":"Product2"}}],"ids":[1],"state":"Aborted"}`)
		}
	}
	f.Fuzz(func(t *testing.T, method, path, body string) {
		if _, err := http.NewRequestWithContext(t.Context(), method, org.URL()+"/services/data/v60.0/"+path, nil); err != nil {
			return
		}
		status, text := org.do(t, method, path, body)
		if status == http.StatusMultipleChoices || method == http.MethodHead || strings.HasPrefix(text, "<html>") {
			return // an external id with several rows, an answer without a body, or the edge
		}
		require.NotEqual(t, 3, status/100)
		shaped(t, status, text)
	})
}

// Whatever is asked of the control surface, it answers, in its own form.
func FuzzControl(f *testing.F) {
	org := inProcess(f, &sftest.Options{BulkHold: true})
	for _, b := range []string{`{"kind":"delay","delayMs":1}`, `[{"kind":"error","ratio":0.5,"times":-1}]`, `{"callsUsed":-1}`, `{"delayMs":9223372036854775807,"kind":"delay"}`, `[[`, ``} {
		f.Add("POST", "/faults", b)
		f.Add("POST", "/limits?after=x", b)
	}
	f.Add("GET", "/calls?after=-9223372036854775809", "")
	f.Add("GET", "/rows?object=%00", "")
	f.Add("DELETE", "/faults/../faults", "")
	f.Fuzz(func(t *testing.T, method, path, body string) {
		r, err := http.NewRequestWithContext(t.Context(), method, "http://127.0.0.1:1"+path, strings.NewReader(body))
		if err != nil || r.Host != "127.0.0.1:1" {
			return
		}
		w := httptest.NewRecorder()
		org.Control().ServeHTTP(w, r)
		org.ClearFaults()
		require.Less(t, w.Code, 500)
		if strings.HasPrefix(w.Header().Get("Content-Type"), "application/json") {
			require.True(t, json.Valid(w.Body.Bytes()))
		}
	})
}

// Whatever a login sends, it gets a session for the right secret alone.
func FuzzLogin(f *testing.F) {
	org := inProcess(f, &sftest.Options{ClientID: "id", ClientSecret: "secret-secret"})
	const form = "application/x-www-form-urlencoded"
	for _, b := range []string{"grant_type=client_credentials&client_id=id&client_secret=secret-secret", "grant_type=client_credentials&client_id=id", "grant_type=%", "grant_type=a;b", "token=x"} {
		f.Add("token", form, "", b)
		f.Add("revoke?token=%zz", form+"; charset=\"", "Basic aWQ6c2VjcmV0LXNlY3JldA==", b)
	}
	f.Fuzz(func(t *testing.T, path, kind, auth, body string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, org.URL()+"/services/oauth2/"+path, strings.NewReader(body))
		if err != nil {
			return
		}
		r.Header.Set("Content-Type", kind)
		r.Header.Set("Authorization", auth)
		w := httptest.NewRecorder()
		org.ServeHTTP(w, r)
		require.Less(t, w.Code, 500)
		if strings.Contains(w.Body.String(), "access_token") {
			_, given, _ := r.BasicAuth()
			require.True(t, given == "secret-secret" || strings.Contains(body, "secret"), "a session without the secret")
		}
	})
}

package sftest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/salesforce/sftest"
)

// The journal tells every call and no secret.
func TestJournal(t *testing.T) {
	c := begin(t, &sftest.Options{ClientSecret: "s3cret-of-the-app", Journal: 5})
	c.login("client_credentials", c.org.ClientID(), "s3cret-of-the-app")
	c.do("GET", "/services/oauth2/revoke?token="+c.token, "")
	c.do("GET", "limits", "").fault(t, 401, "INVALID_SESSION_ID", "")
	c.token = c.org.Token()
	id := c.add("Account", `{"Name":"x"}`)
	calls := c.org.Calls()
	require.Len(t, calls, 4)
	text, err := json.Marshal(calls)
	require.NoError(t, err)
	require.NotContains(t, string(text), "s3cret")
	require.NotContains(t, string(text), c.token)
	require.NotContains(t, string(text), "!", "no access token")
	require.Equal(t, sftest.OpToken, calls[0].Op)
	require.Equal(t, "token=redacted", calls[1].Query)
	require.Equal(t, 401, calls[2].Status)
	require.Equal(t, sftest.Call{
		Seq: 4, Time: calls[3].Time, Op: sftest.OpCreate, Method: "POST",
		Path: "/services/data/v60.0/sobjects/Account", Status: 201, Applied: true,
	}, calls[3])
	changes := c.org.Changes("")
	require.Equal(t, 4, changes[0].Call)
	require.Equal(t, id, changes[0].Row["Id"])
	require.Equal(t, "x", changes[0].Row["Name"])

	for range 20 {
		c.do("GET", "limits", "")
	}
	calls = c.org.Calls()
	require.Len(t, calls, 5)
	require.Equal(t, 20, calls[0].Seq, "the oldest are forgotten, which shows")
}

// Writes are serialisable: of many upserts of one new external id, one creates,
// and the journal holds the order in which they took effect.
func TestWritesAreSerialisable(t *testing.T) {
	c := begin(t, nil)
	const writers, writes = 8, 25
	created := make([]int, writers)
	var g sync.WaitGroup
	for w := range writers {
		g.Go(func() {
			for i := range writes {
				r, err := c.try("PATCH", fmt.Sprintf("sobjects/Product2/SKU__c/k%d", i), fmt.Sprintf(`{"Name":"%d","Stock__c":%d}`, w, w))
				if err == nil && r.status == 201 {
					created[w]++
				}
				_, _ = c.try("GET", "query?q=SELECT+Name+FROM+Product2+ORDER+BY+Name", "")
			}
		})
	}
	g.Wait()
	sum := 0
	for _, n := range created {
		sum += n
	}
	require.Equal(t, writes, sum)
	last := map[string]sftest.Row{}
	for i, ch := range c.org.Changes("Product2") {
		require.Equal(t, i+1, ch.Seq)
		last[ch.ID] = ch.Row
	}
	rows := c.org.Rows("Product2")
	require.Len(t, rows, writes)
	for _, r := range rows {
		require.Equal(t, last[r["Id"].(string)], r, "the row is as its last change left it")
		require.Equal(t, r["Name"], fmt.Sprint(r["Stock__c"]), "a write is seen whole")
	}
	require.Len(t, c.org.Changes("Product2"), writers*writes)
}

func TestControl(t *testing.T) {
	c := begin(t, &sftest.Options{BulkHold: true})
	server := httptest.NewServer(c.org.Control())
	t.Cleanup(server.Close)
	call := func(method, path, body string, header ...string) (int, string) {
		t.Helper()
		req := httptest.NewRequest(method, path, strings.NewReader(body))
		req.Host = "127.0.0.1:8090"
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		c.org.Control().ServeHTTP(w, req)
		return w.Code, w.Body.String()
	}
	id := c.add("Account", `{"Name":"x"}`)
	for path, want := range map[string]string{
		"/":                               "POST   /faults",
		"/calls":                          `"op":"create"`,
		"/calls?after=1":                  "[]",
		"/changes?object=Account":         `"id":"` + id + `"`,
		"/changes?object=account&after=1": "[]",
		"/rows?object=Account":            `"Name":"x"`,
		"/rows?object=Nothing__c":         "[]",
		"/events?object=Stock_Changed__e": "[]",
	} {
		status, body := call("GET", path, "")
		require.Equal(t, 200, status)
		require.Contains(t, body, want, path)
	}
	status, body := call("POST", "/faults", `[{"kind":"error","on":"limits","status":502,"retryAfterSeconds":3},{"kind":"delay","delayMs":1}]`)
	require.Equal(t, 200, status, body)
	r := c.do("GET", "limits", "")
	require.Equal(t, 502, r.status)
	require.Equal(t, "3", r.header.Get("Retry-After"))
	for body, want := range map[string]string{
		`{"kind":"nothing"}`:        `kind \"nothing\"`,
		`{"kind":"html","onn":"x"}`: `onn`,
		`{"kind":"html"} {}`:        "behind the JSON",
		``:                          "EOF",
	} {
		status, text := call("POST", "/faults", body)
		require.Equal(t, 400, status)
		require.Contains(t, text, want)
	}
	require.Equal(t, 200, first(call("POST", "/faults", `{"kind":"html","times":-1}`)))
	require.Equal(t, 200, first(call("DELETE", "/faults", "")))
	require.Equal(t, 200, first(call("POST", "/limits", `{"callsUsed":7}`)))
	require.Equal(t, 7, c.org.CallsUsed())
	require.Equal(t, 400, first(call("POST", "/limits", `{}`)))
	require.Equal(t, 400, first(call("GET", "/calls?after=x", "")))
	c.give(c.open(upsertSKU), "Name,SKU__c\nx,y\n")
	_, body = call("GET", "/jobs", "")
	require.Contains(t, body, `"state":"UploadComplete"`)
	_, body = call("POST", "/bulk/step", "")
	require.Equal(t, "{\"moved\":true}\n", body)
	require.Equal(t, 200, first(call("POST", "/bulk/run", "")))
	require.Len(t, c.org.Rows("Product2"), 1)
	require.Equal(t, 200, first(call("POST", "/sessions/expire", "")))
	c.do("GET", "limits", "").fault(t, 401, "INVALID_SESSION_ID", "")
	require.Equal(t, 403, first(call("POST", "/sessions/expire", "", "Origin", "http://evil.example")))

	resp, err := http.Get(server.URL + "/nothing")
	require.NoError(t, err)
	require.Equal(t, 404, resp.StatusCode)
	require.NoError(t, resp.Body.Close())
}

// The page shows what is there, and is no place for a row's own HTML.
func TestPage(t *testing.T) {
	c := begin(t, &sftest.Options{BulkHold: true})
	c.add("Product2", `{"Name":"x"}`)
	c.do("GET", "sobjects/Account/<b>x", "")
	c.give(c.open(upsertSKU), "Name,SKU__c\nx,y\n")
	require.NoError(t, c.org.Fault(sftest.Fault{Kind: sftest.FaultLock, On: sftest.OpCreate, Times: -1, Skip: 2, Ratio: 0.5}, sftest.Fault{Kind: sftest.FaultHTML}))
	req := httptest.NewRequest("GET", "http://localhost:8090/", nil)
	req.Header.Set("Accept", "text/html,application/xhtml+xml")
	w := httptest.NewRecorder()
	c.org.Control().ServeHTTP(w, req)
	require.Equal(t, "text/html; charset=utf-8", w.Header().Get("Content-Type"))
	for _, want := range []string{
		"<h1>Org " + c.org.ID() + "</h1>", "5 of 100000 API calls", `<td>Product2</td><td class="n">1</td><td>rows</td>`,
		"<td>upsert Product2</td><td>UploadComplete </td>", "<td>lock</td><td>on create </td><td>always, ratio 0.5, after 2 more</td>",
		"<td>html</td><td>on any call </td><td>1 times</td>", "&lt;b&gt;x", "<td>applied</td>",
	} {
		require.Contains(t, w.Body.String(), want)
	}
	require.NotContains(t, w.Body.String(), "<b>")
}

// No page of a browser reaches the control surface, whatever it calls itself.
func TestControlIsNotForPages(t *testing.T) {
	c := begin(t, nil)
	for name, h := range map[string]struct {
		host   string
		header []string
		want   int
	}{
		"a program":           {"127.0.0.1:8090", nil, 200},
		"by IPv6":             {"[::1]:8090", nil, 200},
		"without a port":      {"LOCALHOST", nil, 200},
		"typed into the bar":  {"localhost:8090", []string{"Sec-Fetch-Site", "none"}, 200},
		"a name rebound":      {"evil.example:8090", []string{"Sec-Fetch-Site", "same-origin"}, 421},
		"a name like ours":    {"localhost.evil.example", nil, 421},
		"a zone":              {"[fe80::1%25evil.example]", nil, 421},
		"no name":             {"", nil, 421},
		"another site":        {"127.0.0.1", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		"another port":        {"localhost:8090", []string{"Sec-Fetch-Site", "same-site"}, 403},
		"another origin":      {"127.0.0.1", []string{"Origin", "http://evil.example"}, 403},
		"a sandboxed frame":   {"127.0.0.1", []string{"Origin", "null"}, 403},
		"a page, of our name": {"127.0.0.1", []string{"Origin", "http://127.0.0.1"}, 403},
	} {
		req := httptest.NewRequest("GET", "/calls", nil)
		req.Host = h.host
		for i := 0; i < len(h.header); i += 2 {
			req.Header.Set(h.header[i], h.header[i+1])
		}
		w := httptest.NewRecorder()
		c.org.Control().ServeHTTP(w, req)
		require.Equal(t, h.want, w.Code, name)
	}
}

func first(status int, _ string) int { return status }

func TestReadSchema(t *testing.T) {
	const array = `[{"name":"X__c","fields":[{"name":"K__c","externalId":true,"length":9}]}]`
	for _, text := range []string{`{"objects":` + array + `}`, " " + array + "\n"} {
		objects, err := sftest.ReadSchema([]byte(text))
		require.NoError(t, err)
		require.Equal(t, []sftest.Object{{Name: "X__c", Fields: []sftest.Field{{Name: "K__c", ExternalID: true, Length: 9}}}}, objects)
	}
	for text, want := range map[string]string{
		`{"objects":[{"name":"X__c","feilds":[]}]}`: "feilds",
		`{"objects":[{"name":"X"}]}`:                "ends in __c",
		`[{"name":"X__c","label":1}]`:               "label",
		`{`:                                         "EOF",
	} {
		_, err := sftest.ReadSchema([]byte(text))
		require.ErrorContains(t, err, want)
	}
}

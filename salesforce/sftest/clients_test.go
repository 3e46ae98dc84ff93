package sftest_test

import (
	"encoding/base64"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/salesforce/sftest"
)

// What clients in use really send, each in its own way: the org answers them as
// they are.
func TestWhatClientsSend(t *testing.T) {
	c := begin(t, nil)
	id := c.add("Product2", `{"Name":"Lamp","SKU__c":"L-1"}`)
	require.Equal(t, 201, c.do("POST", "sobjects/Product2/", `{"attributes":{"type":"Product2"},"Name":"go-salesforce sends attributes"}`).status)
	require.Equal(t, 200, c.do("GET", "sobjects/Product2/"+id, `{"allOrNone":false,"records":null}`).status, "a body where none belongs")
	require.Equal(t, 200, c.do("GET", "query/?q="+url.QueryEscape("SELECT Id FROM Product2"), "").status, "a slash before the query")
	require.Equal(t, 200, c.do("GET", "query?q=SELECT+Id+FROM+Product2", "").status)
	require.Equal(t, 200, c.do("POST", "jobs/ingest//", upsertSKU).status, "Data Loader's doubled slash")
	require.Equal(t, 200, c.do("GET", "limits", "", "Authorization", "OAuth "+c.token).status, "the older scheme")
	c.do("GET", "limits", "", "Authorization", "Basic "+c.token).fault(t, 401, "INVALID_SESSION_ID", "")
	c.do("GET", "limits", "", "Authorization", c.token).fault(t, 401, "INVALID_SESSION_ID", "")

	// An error is JSON also for who asks for CSV, and results are CSV also for
	// who asks for JSON.
	c.do("GET", "jobs/ingest/750000000000001/failedResults", "", "Accept", "text/csv").fault(t, 404, "NOT_FOUND", "")
	j := c.bulk(strings.Replace(upsertSKU, "{", `{"assignmentRuleId":"",`, 1), "SKU__c,Name\nL-1,x\n")
	require.Equal(t, "text/csv", c.do("GET", "jobs/ingest/"+j.ID+"/unprocessedRecords/", "", "Accept", "application/json").header.Get("Content-Type"))

	// simple-salesforce logs in by Basic.
	basic := base64.StdEncoding.EncodeToString([]byte(c.org.ClientID() + ":" + c.org.ClientSecret()))
	r := c.do("POST", "/services/oauth2/token", "grant_type=client_credentials", "Authorization", "Basic "+basic, "Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	require.Equal(t, 200, r.status, r.body)
	c.token = r.object(t)["access_token"].(string)
	me := c.do("GET", "/services/oauth2/userinfo", "").object(t)
	require.Equal(t, c.org.ID(), me["organization_id"])

	// jsforce follows the id that a login answered with.
	at, err := url.Parse(r.object(t)["id"].(string))
	require.NoError(t, err)
	r = c.do("GET", at.Path+"?format=json&oauth_token="+url.QueryEscape(c.token), "")
	require.Equal(t, 200, r.status, r.body)
	me = r.object(t)
	require.Equal(t, c.org.ID(), me["organization_id"])
	require.Equal(t, at.String(), me["id"])
	require.Contains(t, me["urls"].(map[string]any)["sobjects"], "/services/data/v{version}/sobjects/")
	require.Equal(t, 404, c.do("GET", at.Path+"x", "").status, "nobody else")
	token := c.token
	c.token = "another"
	c.do("GET", at.Path, "").fault(t, 401, "INVALID_SESSION_ID", "")
	c.token = token

	// Camel revokes by GET, jsforce by POST; a second time there is nothing.
	r = c.do("POST", "/services/oauth2/revoke", "token="+url.QueryEscape(c.token), "Content-Type", "application/x-www-form-urlencoded")
	require.Equal(t, 200, r.status, r.body)
	c.do("GET", "limits", "").fault(t, 401, "INVALID_SESSION_ID", "")
	r = c.do("GET", "/services/oauth2/revoke?token="+url.QueryEscape(c.token), "")
	require.Equal(t, 400, r.status)
	require.Contains(t, r.body, "error=invalid_token")
}

// Errors of records list their fields, if there are none too; errors of requests
// do not. That is how orgs answered.
func TestFieldsOfErrors(t *testing.T) {
	c := begin(t, nil)
	id := c.add("Product2", `{"Name":"Lamp","SKU__c":"L-1"}`)
	require.JSONEq(t, `[{"message":"duplicate value found: SKU__c duplicates value on record with id: `+id+`","errorCode":"DUPLICATE_VALUE","fields":[]}]`,
		c.do("POST", "sobjects/Product2", `{"Name":"x","SKU__c":"L-1"}`).body)
	require.Equal(t, 204, c.do("DELETE", "sobjects/Product2/"+id, "").status)
	require.JSONEq(t, `[{"message":"entity is deleted","errorCode":"ENTITY_IS_DELETED","fields":[]}]`, c.do("DELETE", "sobjects/Product2/"+id, "").body)
	require.JSONEq(t, `[{"message":"The requested resource does not exist","errorCode":"NOT_FOUND"}]`, c.do("GET", "sobjects/Nope__c", "").body)
	require.JSONEq(t, `[{"message":"Required fields are missing: [Name]","errorCode":"REQUIRED_FIELD_MISSING","fields":["Name"]}]`, c.do("POST", "sobjects/Product2", `{}`).body)
}

// Records know no Idempotency-Key: a create that is repeated creates twice. An
// upsert by an external id does not.
func TestIdempotencyKeyIsIgnored(t *testing.T) {
	c := begin(t, nil)
	for range 2 {
		require.Equal(t, 201, c.do("POST", "sobjects/Product2", `{"Name":"x"}`, "Idempotency-Key", "7d0b5e1c-4f0a-4d5e-9d2f-0f8f5f3b1a11").status)
		c.do("PATCH", "sobjects/Product2/SKU__c/once", `{"Name":"once"}`)
	}
	require.Len(t, c.org.Rows("Product2"), 3)
}

// Before v53.0 the id of a row that failed is not told.
func TestFailedIDByVersion(t *testing.T) {
	c := begin(t, &sftest.Options{BulkHold: true})
	id := c.add("Product2", `{"Name":"Lamp","SKU__c":"L-1"}`)
	for version, want := range map[string]string{"v52.0": "", "v53.0": id} {
		base := "/services/data/" + version + "/jobs/ingest/"
		var j jobInfo
		c.do("POST", base, upsertSKU).into(t, &j)
		c.give(j.ID, "SKU__c,Name\nL-1,#N/A\n")
		c.org.RunBulk()
		require.Equal(t, want, c.table(j.ID, "failedResults")[1][0], version)
	}
}

package sftest_test

import (
	"encoding/csv"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/salesforce/sftest"
)

// A jobInfo is a job as its info says.
type jobInfo struct {
	ID, State, ErrorMessage, ContentURL, LineEnding string
	APIVersion                                      float64
	NumberRecordsProcessed, NumberRecordsFailed     int
}

// open creates a job.
func (c *caller) open(spec string) string {
	c.t.Helper()
	r := c.do("POST", "jobs/ingest/", spec)
	require.Equal(c.t, 200, r.status, r.body)
	var j jobInfo
	r.into(c.t, &j)
	require.Equal(c.t, "Open", j.State)
	require.Equal(c.t, "services/data/v60.0/jobs/ingest/"+j.ID+"/batches", j.ContentURL)
	return j.ID
}

func (c *caller) info(id string) jobInfo {
	c.t.Helper()
	var j jobInfo
	r := c.do("GET", "jobs/ingest/"+id, "")
	require.Equal(c.t, 200, r.status, r.body)
	r.into(c.t, &j)
	return j
}

// give uploads the data of a job and says that it is complete.
func (c *caller) give(id, data string) {
	c.t.Helper()
	r := c.do("PUT", "jobs/ingest/"+id+"/batches", data, "Content-Type", "text/csv")
	require.Equal(c.t, 201, r.status, r.body)
	require.Empty(c.t, r.body)
	r = c.do("PATCH", "jobs/ingest/"+id, `{"state":"UploadComplete"}`)
	require.Equal(c.t, 200, r.status, r.body)
}

// bulk runs a job from its beginning to its end.
func (c *caller) bulk(spec, data string) jobInfo {
	c.t.Helper()
	id := c.open(spec)
	c.give(id, data)
	return c.wait(id)
}

// wait asks for a job until it has ended.
func (c *caller) wait(id string) jobInfo {
	c.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		j := c.info(id)
		if j.State == "JobComplete" || j.State == "Failed" || j.State == "Aborted" {
			return j
		}
		require.True(c.t, time.Now().Before(deadline), "the job is still %s", j.State)
	}
}

// table reads one of the results of a job.
func (c *caller) table(id, which string) [][]string {
	c.t.Helper()
	r := c.do("GET", "jobs/ingest/"+id+"/"+which+"/", "", "Accept", "application/json")
	require.Equal(c.t, 200, r.status, r.body)
	require.Equal(c.t, "text/csv", r.header.Get("Content-Type"))
	rows, err := csv.NewReader(strings.NewReader(r.body)).ReadAll()
	require.NoError(c.t, err)
	return rows
}

const upsertSKU = `{"object":"Product2","operation":"upsert","externalIdFieldName":"SKU__c","contentType":"CSV","lineEnding":"LF"}`

func TestBulkUpsert(t *testing.T) {
	c := begin(t, nil)
	old := c.add("Product2", `{"Name":"Old","SKU__c":"a-1","Stock__c":5,"Family":"None"}`)
	j := c.bulk(upsertSKU, "Name,SKU__c,Stock__c,Family,Listed__c\n"+
		"New,A-1,,#N/A,\n"+
		"\"A \"\"quoted\"\",\nname\",b-2,1.5,,2024-02-29\n"+
		",c-3,1,,\n"+
		"Bad,d-4,many,,\n"+
		"Nokey,,1,,\n")
	require.Equal(t, "JobComplete", j.State)
	require.Equal(t, []int{5, 3}, []int{j.NumberRecordsProcessed, j.NumberRecordsFailed})
	require.InDelta(t, 60, j.APIVersion, 0)

	ok := c.table(j.ID, "successfulResults")
	require.Equal(t, []string{"sf__Id", "sf__Created", "Name", "SKU__c", "Stock__c", "Family", "Listed__c"}, ok[0])
	require.Len(t, ok, 3)
	require.Contains(t, ok, []string{old, "false", "New", "A-1", "", "#N/A", ""})
	failed := c.table(j.ID, "failedResults")
	require.Equal(t, []string{"sf__Id", "sf__Error", "Name", "SKU__c", "Stock__c", "Family", "Listed__c"}, failed[0])
	var errs []string
	for _, f := range failed[1:] {
		require.Empty(t, f[0])
		errs = append(errs, f[1])
	}
	require.ElementsMatch(t, []string{
		"REQUIRED_FIELD_MISSING:Required fields are missing: [Name]:Name --",
		"INVALID_TYPE_ON_FIELD_IN_RECORD:Stock__c: value not of required type: many:Stock__c --",
		"MISSING_ARGUMENT:SKU__c not specified:SKU__c --",
	}, errs)
	require.Equal(t, [][]string{{"Name", "SKU__c", "Stock__c", "Family", "Listed__c"}}, c.table(j.ID, "unprocessedRecords"))

	rows := c.org.Rows("Product2")
	require.Len(t, rows, 2)
	require.Equal(t, "New", rows[0]["Name"])
	require.Equal(t, "a-1", rows[0]["SKU__c"], "the record keeps its spelling")
	require.Equal(t, 5.0, rows[0]["Stock__c"], "an empty field says nothing")
	require.NotContains(t, rows[0], "Family", "#N/A says null")
	require.Equal(t, "A \"quoted\",\nname", rows[1]["Name"])
	require.Equal(t, j.ID, c.org.Changes("Product2")[1].Job)
}

// Rows that meet in one external id fail together if they share a chunk of
// 200; else the later one silently wins.
func TestBulkCollisions(t *testing.T) {
	c := begin(t, nil)
	j := c.bulk(upsertSKU, "Name,SKU__c\none,x\ntwo,X\nthree,y\n")
	require.Equal(t, 2, j.NumberRecordsFailed)
	for _, f := range c.table(j.ID, "failedResults")[1:] {
		require.Equal(t, "DUPLICATE_VALUE:Duplicate external id specified: "+f[3]+":SKU__c --", f[1])
	}
	require.Len(t, c.org.Rows("Product2"), 1)

	var b strings.Builder
	b.WriteString("Name,SKU__c\nfirst,far\n")
	for i := range 199 {
		fmt.Fprintf(&b, "n,n%d\n", i)
	}
	b.WriteString("last,FAR\n")
	j = c.bulk(upsertSKU, b.String())
	require.Zero(t, j.NumberRecordsFailed)
	require.Len(t, c.org.Rows("Product2"), 1+200)
	require.Equal(t, "last", c.org.Rows("Product2")[1]["Name"])

	// Where case tells values apart, they do not meet.
	j = c.bulk(strings.Replace(upsertSKU, "SKU__c", "Code__c", 1), "Name,Code__c\none,x\ntwo,X\n")
	require.Zero(t, j.NumberRecordsFailed)

	// One external id, several records.
	one, two := c.add("Product2", `{"Name":"1","Shelf__c":"top"}`), c.add("Product2", `{"Name":"2","Shelf__c":"top"}`)
	j = c.bulk(strings.Replace(upsertSKU, "SKU__c", "Shelf__c", 1), "Name,Shelf__c\nx,Top\n")
	require.Equal(t, "DUPLICATE_EXTERNAL_ID:Shelf__c: more than one record found for external id field: ["+one+", "+two+"]:--", c.table(j.ID, "failedResults")[1][1])
}

func TestBulkOperations(t *testing.T) {
	c := begin(t, nil)
	j := c.bulk(`{"object":"account","operation":"insert","externalIdFieldName":"","columnDelimiter":"PIPE","lineEnding":"CRLF"}`,
		"\ufeffName|NumberOfEmployees\r\nA|1\r\nB,C|2e1")
	require.Equal(t, "JobComplete", j.State, j.ErrorMessage)
	r := c.do("GET", "jobs/ingest/"+j.ID+"/successfulResults", "")
	require.Contains(t, r.body, `"true"|"B,C"|"2e1"`)
	rows := c.org.Rows("Account")
	require.Equal(t, 20.0, rows[1]["NumberOfEmployees"])
	a, b := rows[0]["Id"].(string), rows[1]["Id"].(string)

	j = c.bulk(`{"object":"Account","operation":"update"}`, "Id,Name\n"+a+",A2\n,x\n"+b+",B2\n"+strings.ToLower(b)+",B3\n001000000000001,x\n")
	require.Equal(t, 4, j.NumberRecordsFailed)
	var errs []string
	for _, f := range c.table(j.ID, "failedResults")[1:] {
		errs = append(errs, strings.SplitN(f[1], ":", 2)[0])
	}
	require.ElementsMatch(t, []string{"MISSING_ARGUMENT", "DUPLICATE_VALUE", "DUPLICATE_VALUE", "INVALID_CROSS_REFERENCE_KEY"}, errs)
	require.Equal(t, "A2", c.org.Rows("Account")[0]["Name"])
	require.Equal(t, "B,C", c.org.Rows("Account")[1]["Name"])

	// Through a reference, by an external id of what it refers to.
	c.add("Product2", `{"Name":"x"}`)
	j = c.bulk(`{"object":"Stock_Changed__e","operation":"insert"}`, "SKU__c,Quantity__c\nL-1,2\n")
	require.Zero(t, j.NumberRecordsFailed)
	require.Equal(t, j.ID, c.org.Events("Stock_Changed__e")[0].Job)

	j = c.bulk(`{"object":"Account","operation":"delete"}`, "Id\n"+a+"\n"+b+"\n")
	require.Zero(t, j.NumberRecordsFailed)
	require.Empty(t, c.org.Rows("Account"))
	j = c.bulk(`{"object":"Account","operation":"delete"}`, "Id\n"+a+"\n")
	require.Equal(t, [][]string{{"sf__Id", "sf__Error", "Id"}, {a, "ENTITY_IS_DELETED:entity is deleted:--", a}}, c.table(j.ID, "failedResults"))
	j = c.bulk(`{"object":"Account","operation":"delete"}`, "Id,Name\n"+a+",x\n")
	require.Equal(t, "InvalidBatch : The 'delete' batch must contain only ids", j.ErrorMessage)
}

func TestBulkRelationship(t *testing.T) {
	c := begin(t, &sftest.Options{Objects: []sftest.Object{
		{Name: "Shelf__c", Fields: []sftest.Field{{Name: "Code__c", ExternalID: true, Unique: true}}},
		{Name: "Box__c", Fields: []sftest.Field{{Name: "Shelf__c", Type: sftest.Reference, ReferenceTo: "Shelf__c"}}},
	}})
	shelf := c.add("Shelf__c", `{"Code__c":"top"}`)
	require.Equal(t, shelf, c.org.Rows("Shelf__c")[0]["Name"], "a record without a name has its id for one")
	j := c.bulk(`{"object":"Box__c","operation":"insert"}`, "Name,Shelf__r.Code__c\na,TOP\nb,cellar\n")
	require.Equal(t, "INVALID_FIELD:Foreign key external ID: cellar not found for field Code__c in entity Shelf__c:--", c.table(j.ID, "failedResults")[1][1])
	require.Equal(t, shelf, c.org.Rows("Box__c")[0]["Shelf__c"])
	c.add("Box__c", `{"Shelf__r":{"attributes":{"type":"Shelf__c"},"code__c":"Top"}}`)
	require.Equal(t, shelf, c.org.Rows("Box__c")[1]["Shelf__c"])
	c.do("POST", "sobjects/Box__c", `{"Shelf__r":{"Code__c":"attic"}}`).fault(t, 400, "INVALID_FIELD", "Foreign key external ID: attic")
	c.do("POST", "sobjects/Box__c", `{"Shelf__r":{"Name":"attic"}}`).fault(t, 400, "INVALID_FIELD", "No such column 'Name'")
	c.do("POST", "sobjects/Box__c", `{"Shelf__r":7}`).fault(t, 400, "INVALID_FIELD", "needs one external id")
}

func TestBulkRefusesJobs(t *testing.T) {
	c := begin(t, nil)
	for spec, want := range map[string]string{
		`{}`: "Unable to find object",
		`{"object":"Nope__c","operation":"insert"}`:                                         "Unable to find object: Nope__c",
		`{"object":"Account","operation":"merge"}`:                                          "operation merge",
		`{"object":"Account","operation":"insert","contentType":"XML"}`:                     "contentType XML",
		`{"object":"Account","operation":"insert","lineEnding":"CR"}`:                       "lineEnding CR",
		`{"object":"Account","operation":"insert","columnDelimiter":"DOT"}`:                 "columnDelimiter DOT",
		`{"object":"Product2","operation":"upsert"}`:                                        "External ID was blank for Product2",
		`{"object":"Product2","operation":"upsert","externalIdFieldName":"Name"}`:           "Field name provided, Name does not match an External ID for Product2",
		`{"object":"Stock_Changed__e","operation":"upsert","externalIdFieldName":"SKU__c"}`: "not supported",
	} {
		c.do("POST", "jobs/ingest", spec).fault(t, 400, "INVALIDJOB", want)
	}
	c.do("POST", "jobs/ingest", `{"object":"Account","operation":"hardDelete"}`).fault(t, 400, "FEATURENOTENABLED", "permission")
	c.do("POST", "jobs/ingest", `[`).fault(t, 400, "JSON_PARSER_ERROR", "")
	c.do("GET", "jobs/ingest/750000000000001", "").fault(t, 404, "NOT_FOUND", "")
	c.do("GET", "jobs/query", "").fault(t, 404, "NOT_FOUND", "")
	id := c.open(upsertSKU)
	c.do("GET", "jobs/ingest/"+id+"/batches", "").fault(t, 405, "METHOD_NOT_ALLOWED", "Allowed are PUT")
	c.do("GET", "jobs/ingest/"+id+"/nothing", "").fault(t, 404, "NOT_FOUND", "")
	c.do("PATCH", "jobs/ingest/"+id, `{"state":"JobComplete"}`).fault(t, 400, "INVALIDJOB", "JobComplete")
}

// What is wrong with the whole of a job's data fails the job.
func TestBulkFails(t *testing.T) {
	c := begin(t, &sftest.Options{MaxUpload: 40_000})
	for data, want := range map[string]string{
		"SKU__c,Nope\nx,y\n":   "InvalidBatch : Field name not found : Nope",
		"Name\nx\n":            "InvalidBatch : Field name not found : SKU__c",
		"SKU__c,sku__c\nx,y\n": "InvalidBatch : Duplicate field name : sku__c",
		"SKU__c\r\nx\r\n":      "ClientInputError : LineEnding is invalid on user data. Current LineEnding setting is LF",
		"SKU__c\n\"x\n":        "InvalidBatch : The quote at byte 7 is never closed",
		"":                     "InvalidBatch : The data has no header",
		"SKU__c\n\xff\n":       "ClientInputError : The data is not UTF-8",
		"SKU__c" + strings.Repeat(" ", 32_000) + "\nx\n": "InvalidBatch : The header is longer than 32000 characters",
		"SKU__c" + strings.Repeat(",a", 5_000) + "\nx\n": "InvalidBatch : The header has more than 5000 columns",
		"SKU__c,Maker__r.Name\nx,y\n":                    "InvalidBatch : Field name not found : Maker__r.Name",
	} {
		j := c.bulk(upsertSKU, data)
		require.Equal(t, "Failed", j.State, want)
		require.Equal(t, want, j.ErrorMessage)
		require.Zero(t, j.NumberRecordsProcessed)
	}
	j := c.bulk(strings.Replace(upsertSKU, "LF", "CRLF", 1), "SKU__c\nx\n")
	require.Equal(t, "ClientInputError : LineEnding is invalid on user data. Current LineEnding setting is CRLF", j.ErrorMessage)
	id := c.open(upsertSKU)
	require.Equal(t, 200, c.do("PATCH", "jobs/ingest/"+id, `{"state":"UploadComplete"}`).status)
	require.Equal(t, "ClientInputError : No data was uploaded", c.wait(id).ErrorMessage)
	id = c.open(upsertSKU)
	c.do("PUT", "jobs/ingest/"+id+"/batches", strings.Repeat("x", 40_001)).fault(t, 413, "REQUEST_ENTITY_TOO_LARGE", "40000 bytes")
	require.Empty(t, c.org.Rows("Product2"))

	// A row that is odd fails alone.
	j = c.bulk(upsertSKU, "Name,SKU__c\na,1,2\nb\n \"c\",3\n\"d\" ,4\n\"e\"x,5\nf,6\n\n")
	require.Equal(t, []int{6, 5}, []int{j.NumberRecordsProcessed, j.NumberRecordsFailed})
	require.Len(t, c.org.Rows("Product2"), 1)
	for _, f := range c.table(j.ID, "failedResults") {
		require.Len(t, f, 4, "rectangular")
	}
}

// A job that is held shows each of its states, and can be aborted in each.
func TestBulkStates(t *testing.T) {
	c := begin(t, &sftest.Options{BulkHold: true})
	var b strings.Builder
	b.WriteString("Name,SKU__c\n")
	for i := range 450 {
		fmt.Fprintf(&b, "n%d,s%d\n", i, i)
	}
	id := c.open(upsertSKU)
	c.do("GET", "jobs/ingest/"+id+"/successfulResults", "").fault(t, 400, "INVALIDJOBSTATE", "Open")
	c.do("DELETE", "jobs/ingest/"+id, "").fault(t, 400, "API_ERROR", "not terminated")
	require.Equal(t, 201, c.do("PUT", "jobs/ingest/"+id+"/batches", b.String()).status)
	c.do("PUT", "jobs/ingest/"+id+"/batches", b.String()).fault(t, 400, "INVALIDJOBSTATE", "Found multiple contents for job: <"+id+">")
	require.False(t, c.org.StepBulk(), "an open job does not move")
	require.Equal(t, 200, c.do("PATCH", "jobs/ingest/"+id, `{"id":"`+id+`","state":"UploadComplete"}`).status)
	c.do("PATCH", "jobs/ingest/"+id, `{"state":"UploadComplete"}`).fault(t, 400, "INVALIDJOBSTATE", "Closing already UploadComplete Job not allowed")
	c.do("PUT", "jobs/ingest/"+id+"/batches", b.String()).fault(t, 400, "INVALIDJOBSTATE", "UploadComplete")
	require.Equal(t, "UploadComplete", c.info(id).State)
	require.True(t, c.org.StepBulk())
	require.Equal(t, "InProgress", c.info(id).State)
	require.True(t, c.org.StepBulk())
	require.Equal(t, []sftest.Job{{
		ID: id, Object: "Product2", Operation: "upsert", Created: c.org.Jobs()[0].Created,
		State: "InProgress", Rows: 450, Processed: 200,
	}}, c.org.Jobs())
	j := c.info(id)
	require.Equal(t, "InProgress", j.State)
	require.Equal(t, 200, j.NumberRecordsProcessed)
	require.Len(t, c.org.Rows("Product2"), 200)
	c.do("DELETE", "jobs/ingest/"+id, "").fault(t, 400, "API_ERROR", "not terminated")

	require.Equal(t, 200, c.do("PATCH", "jobs/ingest/"+id, `{"state":"Aborted"}`).status)
	require.Equal(t, "Aborted", c.info(id).State)
	require.False(t, c.org.StepBulk())
	require.Len(t, c.table(id, "successfulResults"), 201)
	rest := c.table(id, "unprocessedrecords")
	require.Len(t, rest, 251)
	require.Equal(t, []string{"n200", "s200"}, rest[1])
	c.do("PATCH", "jobs/ingest/"+id, `{"state":"Aborted"}`).fault(t, 400, "INVALIDJOBSTATE", "Aborting already Aborted Job not allowed")
	require.Len(t, c.org.Rows("Product2"), 200, "what was written stays")

	next := c.open(upsertSKU)
	c.give(next, b.String())
	c.org.RunBulk()
	require.Equal(t, "JobComplete", c.info(next).State)
	c.do("PATCH", "jobs/ingest/"+next, `{"state":"Aborted"}`).fault(t, 400, "INVALIDJOBSTATE", "Aborting already Completed Job not allowed")

	var list struct {
		Done    bool
		Records []jobInfo
	}
	c.do("GET", "jobs/ingest?jobType=V2Ingest&isPkChunkingEnabled=false", "").into(t, &list)
	require.True(t, list.Done)
	require.Equal(t, []string{id, next}, []string{list.Records[0].ID, list.Records[1].ID})
	require.Equal(t, 204, c.do("DELETE", "jobs/ingest/"+id, "").status)
	c.do("GET", "jobs/ingest/"+id, "").fault(t, 404, "NOT_FOUND", "")
	c.do("GET", "jobs/ingest?jobType=Classic", "").into(t, &list)
	require.Empty(t, list.Records)
}

func TestBulkPolls(t *testing.T) {
	c := begin(t, &sftest.Options{BulkPolls: 3})
	id := c.open(upsertSKU)
	c.give(id, "Name,SKU__c\nx,y\n")
	var states []string
	for deadline := time.Now().Add(30 * time.Second); c.org.Rows("Product2") == nil; runtime.Gosched() {
		require.True(t, time.Now().Before(deadline), "nobody ran the job")
	}
	for range 4 {
		states = append(states, c.info(id).State)
	}
	require.Equal(t, []string{"InProgress", "InProgress", "InProgress", "JobComplete"}, states)
}

func TestBulkMultipart(t *testing.T) {
	c := begin(t, nil)
	body := "--b\r\nContent-Disposition: form-data; name=\"job\"\r\nContent-Type: application/json\r\n\r\n" + upsertSKU +
		"\r\n--b\r\nContent-Disposition: form-data; name=\"content\"; filename=\"content\"\r\nContent-Type: text/csv\r\n\r\nName,SKU__c\nx,y\n\r\n--b--\r\n"
	r := c.do("POST", "jobs/ingest", body, "Content-Type", "multipart/form-data; boundary=b")
	require.Equal(t, 200, r.status, r.body)
	var j jobInfo
	r.into(t, &j)
	require.NotEqual(t, "Open", j.State)
	require.Equal(t, "JobComplete", c.wait(j.ID).State)
	require.Len(t, c.org.Rows("Product2"), 1)
	c.do("POST", "jobs/ingest", "--b--\r\n", "Content-Type", "multipart/form-data; boundary=b").fault(t, 400, "INVALIDJOB", "part content")
	c.do("POST", "jobs/ingest", "x", "Content-Type", "multipart/form-data; boundary=b").fault(t, 400, "INVALIDJOB", "cannot be read")
	c.do("POST", "jobs/ingest", strings.Replace(body, "x,y\n", strings.Repeat("x,y\n", 30_000), 1), "Content-Type", "multipart/form-data; boundary=b").fault(t, 400, "INVALIDJOB", "100000 characters")
}

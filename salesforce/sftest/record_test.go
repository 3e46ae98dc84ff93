package sftest_test

import (
	"encoding/json"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/salesforce/sftest"
)

func TestUpdateAndDelete(t *testing.T) {
	c := begin(t, nil)
	id := c.add("Account", `{"Name":"Acme","Phone":"1"}`)
	require.Equal(t, 204, c.do("PATCH", "sobjects/Account/"+id, `{"Phone":null,"attributes":{"type":"Account"},"BillingCity":" Paris "}`).status)
	m := c.do("GET", "sobjects/Account/"+id, "").object(t)
	require.Nil(t, m["Phone"])
	require.Contains(t, m, "Phone", "a null field is shown")
	require.Equal(t, "Paris", m["BillingCity"], "text is trimmed")
	require.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000\+0000$`, m["CreatedDate"])

	require.Equal(t, 204, c.do("POST", "sobjects/Account/"+id+"?_HttpMethod=PATCH", `{"Phone":"2"}`).status)
	require.Equal(t, "2", c.org.Rows("Account")[0]["Phone"])

	r := c.do("DELETE", "sobjects/Account/"+id, "")
	require.Equal(t, 204, r.status)
	require.Empty(t, r.body)
	c.do("DELETE", "sobjects/Account/"+id, "").fault(t, 404, "ENTITY_IS_DELETED", "entity is deleted")
	c.do("PATCH", "sobjects/Account/"+id, `{"Phone":"3"}`).fault(t, 404, "ENTITY_IS_DELETED", "")
	c.do("GET", "sobjects/Account/"+id, "").fault(t, 404, "ENTITY_IS_DELETED", "")
	require.Empty(t, c.org.Rows("Account"))

	var ops []string
	for _, ch := range c.org.Changes("account") {
		ops = append(ops, ch.Op)
		require.Equal(t, id, ch.ID)
	}
	require.Equal(t, []string{"create", "update", "update", "delete"}, ops)
}

// Each refusal has the status, the code and the words of the platform, and
// changes nothing.
func TestRefusals(t *testing.T) {
	c := begin(t, nil)
	id := c.add("Product2", `{"Name":"Lamp","SKU__c":"L-1"}`)
	for _, w := range []struct {
		method, path, body string
		status             int
		code, words        string
	}{
		{"POST", "sobjects/Nothing__c", `{}`, 404, "NOT_FOUND", "does not exist"},
		{"GET", "nothing", ``, 404, "NOT_FOUND", "does not exist"},
		{"GET", "/services/data/v35.0/limits", ``, 404, "NOT_FOUND", ""},
		{"GET", "/services/data/v68.0/limits", ``, 404, "NOT_FOUND", ""},
		{"GET", "/services/other", ``, 404, "NOT_FOUND", ""},
		{"PUT", "sobjects/Product2/" + id, `{}`, 405, "METHOD_NOT_ALLOWED", "HTTP Method 'PUT' not allowed. Allowed are GET,PATCH,DELETE"},
		{"POST", "sobjects/Product2", `{}`, 400, "REQUIRED_FIELD_MISSING", "Required fields are missing: [Name]"},
		{"POST", "sobjects/Product2", ``, 400, "JSON_PARSER_ERROR", ""},
		{"POST", "sobjects/Product2", `[]`, 400, "JSON_PARSER_ERROR", ""},
		{"POST", "sobjects/Product2", "{\n\"Name\": x}", 400, "JSON_PARSER_ERROR", "line:2, column:9"},
		{"POST", "sobjects/Product2", `{"Name":"x"} {}`, 400, "JSON_PARSER_ERROR", ""},
		{"POST", "sobjects/Product2", `{"Name":{"a":1}}`, 400, "JSON_PARSER_ERROR", "START_OBJECT"},
		{"POST", "sobjects/Product2", `{"Name":["a"]}`, 400, "JSON_PARSER_ERROR", "START_ARRAY"},
		{"POST", "sobjects/Product2", `{"Name":"x","Stock__c":"many"}`, 400, "JSON_PARSER_ERROR", "Cannot deserialize instance of double from VALUE_STRING value many"},
		{"POST", "sobjects/Product2", `{"Name":"x","IsActive":7}`, 400, "JSON_PARSER_ERROR", "boolean"},
		{"POST", "sobjects/Product2", `{"Name":"x","Stock__c":true}`, 400, "JSON_PARSER_ERROR", "VALUE_TRUE"},
		{"POST", "sobjects/Product2", `{"Name":"x","Colour":"red"}`, 400, "INVALID_FIELD", "No such column 'Colour' on sobject of type Product2"},
		{"POST", "sobjects/Product2", `{"Name":"x","id":"` + id + `"}`, 400, "INVALID_FIELD", "The Id field should not be specified in the sobject data."},
		{"POST", "sobjects/Product2", `{"Name":"x","name":"y"}`, 400, "INVALID_FIELD", "Duplicate field"},
		{"POST", "sobjects/Product2", `{"Name":"x","CreatedDate":"2024-01-01T00:00:00Z"}`, 400, "INVALID_FIELD_FOR_INSERT_UPDATE", "CreatedDate"},
		{"POST", "sobjects/Product2", `{"Name":"x","SKU__c":"123456789012345678901"}`, 400, "STRING_TOO_LONG", "(max length=20)"},
		{"POST", "sobjects/Product2", `{"Name":"x","SKU__c":"l-1"}`, 400, "DUPLICATE_VALUE", "duplicate value found: SKU__c duplicates value on record with id: " + id},
		{"POST", "sobjects/Product2", `{"Name":"x","Size__c":"XXL"}`, 400, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "Size"},
		{"POST", "sobjects/Product2", `{"Name":"x","Listed__c":"2024-02-30"}`, 400, "JSON_PARSER_ERROR", "date"},
		{"POST", "sobjects/Product2", `{"Name":"x","Price__c":100000000000000}`, 400, "NUMBER_OUTSIDE_VALID_RANGE", "Price"},
		{"POST", "sobjects/Product2", `{"Name":"x","Maker__c":"nobody"}`, 400, "MALFORMED_ID", "Maker"},
		{"POST", "sobjects/Product2", `{"Name":"x","Maker__c":"001000000000001"}`, 400, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id"},
		{"POST", "sobjects/Contact", `{"LastName":"x","Email":"nowhere"}`, 400, "INVALID_EMAIL_ADDRESS", "Email: invalid email address: nowhere"},
		{"GET", "sobjects/Product2/xyz", ``, 404, "NOT_FOUND", "Provided external ID field does not exist or is not accessible: xyz"},
		{"GET", "sobjects/Product2/01t000000000001", ``, 404, "NOT_FOUND", "The requested resource does not exist"},
		{"GET", "sobjects/Product2/" + id + "?fields=Name,Nope", ``, 400, "INVALID_FIELD", "No such column 'Nope'"},
		{"PATCH", "sobjects/Product2/001000000000001", `{"Name":"y"}`, 400, "MALFORMED_ID", "id value of incorrect type"},
		{"PATCH", "sobjects/Product2/01t000000000001", `{"Name":"y"}`, 404, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id"},
		{"PATCH", "sobjects/Product2/" + id, `{"Name":""}`, 400, "REQUIRED_FIELD_MISSING", "[Name]"},
		{"PATCH", "sobjects/Product2/Name/Lamp", `{}`, 404, "NOT_FOUND", "Provided external ID field does not exist or is not accessible: Name"},
		{"PATCH", "sobjects/Product2/SKU__c/L-1", `{"SKU__c":"L-1"}`, 400, "INVALID_FIELD", "The SKU__c field should not be specified in the sobject data."},
		{"PATCH", "sobjects/Product2/SKU__c/L-9?updateOnly=true", `{"Name":"y"}`, 404, "NOT_FOUND", ""},
		{"PATCH", "sobjects/Product2/SKU__c/L-9", `{"Family":"y"}`, 400, "REQUIRED_FIELD_MISSING", "[Name]"},
		{"GET", "sobjects/Product2/SKU__c/L-9", ``, 404, "NOT_FOUND", ""},
		{"POST", "sobjects/Stock_Changed__e", `{"Quantity__c":1}`, 400, "REQUIRED_FIELD_MISSING", "[SKU__c]"},
		{"GET", "sobjects/Stock_Changed__e/e00000000000001", ``, 404, "NOT_FOUND", ""},
	} {
		t.Run(w.code+" "+w.path, func(t *testing.T) {
			c.do(w.method, w.path, w.body).fault(t, w.status, w.code, w.words)
		})
	}
	require.Len(t, c.org.Changes(""), 1)
	require.Empty(t, c.org.Events("Stock_Changed__e"))
	for _, call := range c.org.Calls()[1:] {
		require.False(t, call.Applied, call.Path)
	}
}

func TestUpsert(t *testing.T) {
	c := begin(t, nil)
	r := c.do("PATCH", "sobjects/Product2/SKU__c/a%2Fb%20c", `{"Name":"Lamp"}`)
	require.Equal(t, 201, r.status, r.body)
	made := r.object(t)
	require.Equal(t, true, made["created"])
	require.Equal(t, "a/b c", c.org.Rows("Product2")[0]["SKU__c"])

	// Not case-sensitive, so this is the same record, and keeps its spelling.
	r = c.do("PATCH", "sobjects/Product2/sku__c/A%2FB%20C", `{"Name":"Light"}`)
	require.Equal(t, 200, r.status, r.body)
	require.Equal(t, map[string]any{"id": made["id"], "success": true, "errors": []any{}, "created": false}, r.object(t))
	require.Equal(t, "a/b c", c.org.Rows("Product2")[0]["SKU__c"])
	require.Equal(t, "Light", c.org.Rows("Product2")[0]["Name"])

	r = c.do("PATCH", "/services/data/v45.0/sobjects/Product2/SKU__c/a%2Fb%20c", `{"Name":"Old"}`)
	require.Equal(t, 204, r.status)
	require.Empty(t, r.body)

	// Case-sensitive: two records.
	require.Equal(t, 201, c.do("PATCH", "sobjects/Product2/Code__c/x", `{"Name":"x"}`).status)
	require.Equal(t, 201, c.do("PATCH", "sobjects/Product2/Code__c/X", `{"Name":"X"}`).status)
	require.Equal(t, "X", c.do("GET", "sobjects/Product2/Code__c/X", "").object(t)["Name"])

	// An external id that is not unique may meet several: 300 and their URLs.
	one := c.add("Product2", `{"Name":"1","Shelf__c":"top"}`)
	two := c.add("Product2", `{"Name":"2","Shelf__c":"TOP"}`)
	r = c.do("PATCH", "sobjects/Product2/Shelf__c/Top", `{"Name":"3"}`)
	require.Equal(t, 300, r.status)
	var urls []string
	r.into(t, &urls)
	require.Equal(t, []string{"/services/data/v60.0/sobjects/Product2/" + one, "/services/data/v60.0/sobjects/Product2/" + two}, urls)

	require.Equal(t, 204, c.do("DELETE", "sobjects/Product2/SKU__c/a%2Fb%20c", "").status)
	require.Equal(t, 201, c.do("PATCH", "sobjects/Product2/SKU__c/a%2Fb%20c", `{"Name":"Again"}`).status, "a deleted record holds no value")
	require.Equal(t, 201, c.do("POST", "sobjects/Product2/Id", `{"Name":"By Id"}`).status)
	require.Equal(t, 204, c.do("PATCH", "sobjects/Product2/Id/"+one, `{"Name":"By Id"}`).status)
}

func TestPublish(t *testing.T) {
	c := begin(t, nil)
	var uuids []string
	for _, body := range []string{`{"SKU__c":"a","Quantity__c":1}`, `{"SKU__c":"b"}`} {
		r := c.do("POST", "sobjects/Stock_Changed__e/", body)
		require.Equal(t, 201, r.status, r.body)
		var m struct {
			ID      string
			Success bool
			Errors  []struct{ StatusCode, Message string }
		}
		r.into(t, &m)
		require.True(t, m.Success && strings.HasPrefix(m.ID, "e0"))
		require.Equal(t, "OPERATION_ENQUEUED", m.Errors[0].StatusCode)
		uuids = append(uuids, m.Errors[0].Message)
	}
	events := c.org.Events("stock_changed__e")
	require.Len(t, events, 2)
	for i, e := range events {
		require.Equal(t, uuids[i], e.UUID)
		require.Equal(t, int64(i+1), e.ReplayID)
		require.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, e.UUID)
	}
	require.Equal(t, sftest.Row{"SKU__c": "a", "Quantity__c": 1.0}, events[0].Fields)
	require.Nil(t, c.org.Events("Nothing__e"))
}

func TestDescribe(t *testing.T) {
	c := begin(t, nil)
	var d struct {
		Name, KeyPrefix string
		Fields          []struct {
			Name, Type, SoapType              string
			CaseSensitive, ExternalID, Unique bool
			IDLookup, Nillable, Createable    bool
			Length                            int
		}
	}
	c.do("GET", "sobjects/product2/describe/", "").into(t, &d)
	require.Equal(t, "Product2", d.Name)
	found := map[string]int{}
	for i, f := range d.Fields {
		found[f.Name] = i
	}
	sku, code := d.Fields[found["SKU__c"]], d.Fields[found["Code__c"]]
	require.True(t, sku.ExternalID && sku.Unique && sku.IDLookup && !sku.CaseSensitive && sku.Nillable)
	require.True(t, code.CaseSensitive)
	require.Equal(t, 20, sku.Length)
	require.Equal(t, "double", d.Fields[found["Stock__c"]].Type)
	require.Equal(t, "id", d.Fields[found["Id"]].Type)
	require.False(t, d.Fields[found["CreatedDate"]].Createable)

	all := c.do("GET", "sobjects", "").object(t)
	require.Len(t, all["sobjects"], 4)
	require.Equal(t, "Product2", c.do("GET", "sobjects/Product2", "").object(t)["objectDescribe"].(map[string]any)["name"])
	var versions []map[string]string
	c.do("GET", "/services/data//", "").into(t, &versions)
	require.Equal(t, map[string]string{"label": "API v67.0", "url": "/services/data/v67.0", "version": "67.0"}, versions[len(versions)-1])
	require.Equal(t, "/services/data/v60.0/query", c.do("GET", "/services/data/v60.0", "").object(t)["query"])
}

func TestLimits(t *testing.T) {
	c := begin(t, &sftest.Options{DailyCalls: 3})
	require.Equal(t, "api-usage=1/3", c.do("GET", "limits", "").header.Get("Sforce-Limit-Info"))
	r := c.do("GET", "/services/data", "")
	require.Empty(t, r.header.Get("Sforce-Limit-Info"), "the list of versions is free")
	daily := c.do("GET", "limits", "").object(t)["DailyApiRequests"]
	require.Equal(t, map[string]any{"Max": json.Number("3"), "Remaining": json.Number("1")}, daily)
	c.do("GET", "nothing", "").fault(t, 404, "NOT_FOUND", "")
	r = c.do("POST", "sobjects/Account", `{"Name":"x"}`)
	r.fault(t, 403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
	require.Equal(t, "api-usage=3/3", r.header.Get("Sforce-Limit-Info"))
	require.Equal(t, 200, c.login("client_credentials", c.org.ClientID(), c.org.ClientSecret()).status, "a login costs nothing")
	require.Empty(t, c.org.Rows("Account"))
	c.org.SetCallsUsed(0)
	c.add("Account", `{"Name":"x"}`)
	require.Equal(t, 1, c.org.CallsUsed())
}

func TestEdge(t *testing.T) {
	c := begin(t, nil)
	r := c.do("GET", "query?q="+strings.Repeat("x", 16_400), "")
	require.Equal(t, 414, r.status)
	require.Contains(t, r.header.Get("Content-Type"), "text/html")
	r = c.do("GET", "limits", "", "X-Long", strings.Repeat("x", 16_400))
	require.Equal(t, 431, r.status)
	r = c.do("GET", "/", "")
	require.Equal(t, 404, r.status)
	require.Contains(t, r.header.Get("Content-Type"), "text/html")
	require.Equal(t, 200, c.do("GET", "/services//data/v60.0//limits/", "").status)
}

func TestMediaTypes(t *testing.T) {
	c := begin(t, nil)
	const form = "application/x-www-form-urlencoded"
	c.do("POST", "sobjects/Account", `{"Name":"x"}`, "Content-Type", form).fault(t, 415, "UNSUPPORTED_MEDIA_TYPE", "not supported: "+form)
	c.do("POST", "sobjects/Account", `{"Name":"x"}`, "Content-Type", "text/").fault(t, 415, "UNSUPPORTED_MEDIA_TYPE", "text/")
	id := c.open(upsertSKU)
	c.do("PUT", "jobs/ingest/"+id+"/batches", "Name,SKU__c\n", "Content-Type", "application/json").fault(t, 415, "UNSUPPORTED_MEDIA_TYPE", "application/json")
	require.Equal(t, 201, c.do("PUT", "jobs/ingest/"+id+"/batches", "Name,SKU__c\n", "Content-Type", "").status, "it says nothing")
	require.Equal(t, 200, c.do("GET", "limits", "", "Content-Type", form).status, "there is no body")
	require.Empty(t, c.org.Rows("Account"))
}

// A client that opened a connection and asked nothing does not hold up Close.
func TestCloseWithSpareConnections(t *testing.T) {
	c := begin(t, nil)
	spare, err := net.Dial("tcp", strings.TrimPrefix(c.org.URL(), "http://"))
	require.NoError(t, err)
	defer spare.Close()
	c.add("Account", `{"Name":"x"}`)
	require.NoError(t, c.org.Close())
	require.NoError(t, c.org.Close())
	_, err = c.try("GET", "limits", "")
	require.Error(t, err)
	require.Len(t, c.org.Rows("Account"), 1, "what it kept can be read")
}

func TestSchemaErrors(t *testing.T) {
	for want, o := range map[string]sftest.Object{
		"ends in __c":             {Name: "Stock"},
		"is declared twice":       {Name: "X__c", Fields: []sftest.Field{{Name: "A__c"}, {Name: "a__C"}}},
		"type \"blob\"":           {Name: "X__c", Fields: []sftest.Field{{Name: "A__c", Type: "blob"}}},
		"no object of the org":    {Name: "X__c", Fields: []sftest.Field{{Name: "A__c", Type: sftest.Reference, ReferenceTo: "Y__c"}}},
		"needs ReferenceTo":       {Name: "X__c", Fields: []sftest.Field{{Name: "A__c", Type: sftest.Reference}}},
		"has the prefix 001":      {Name: "X__c", Prefix: "001"},
		"not three letters":       {Name: "X__c", Prefix: "a-"},
		"cannot be unique":        {Name: "X__c", Fields: []sftest.Field{{Name: "A__c", Type: sftest.Date, Unique: true}}},
		"at most 18 digits":       {Name: "X__c", Fields: []sftest.Field{{Name: "A__c", Type: sftest.Double, Scale: 19}}},
		"length -1":               {Name: "X__c", Fields: []sftest.Field{{Name: "A__c", Length: -1}}},
		"letters, digits and _":   {Name: "X__c", Fields: []sftest.Field{{Name: "a b"}}},
		"custom object's name is": {Name: "1__c"},
	} {
		_, err := sftest.Start(&sftest.Options{Objects: []sftest.Object{o}})
		var schema *sftest.SchemaError
		require.ErrorAs(t, err, &schema, want)
		require.Contains(t, err.Error(), want)
		require.Equal(t, o.Name, schema.Object)
	}
	for _, addr := range []string{"0.0.0.0:0", "192.0.2.1:0", "nonsense", "example.com:80"} {
		_, err := sftest.Start(&sftest.Options{Addr: addr})
		require.ErrorContains(t, err, addr)
	}
}

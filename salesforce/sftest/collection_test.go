package sftest_test

import (
	"compress/gzip"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// An outcome is an element of the answer to a collection.
type outcome struct {
	ID               string
	Success, Created bool
	Errors           []struct {
		StatusCode, Message string
		Fields              []string
	}
}

func (c *caller) many(method, path, body string) []outcome {
	c.t.Helper()
	r := c.do(method, "composite/sobjects"+path, body)
	require.Equal(c.t, 200, r.status, r.body)
	var list []outcome
	r.into(c.t, &list)
	return list
}

// codes gives the code of each outcome, or "ok".
func codes(list []outcome) string {
	var out []string
	for _, o := range list {
		if o.Success {
			out = append(out, "ok")
		} else {
			out = append(out, o.Errors[0].StatusCode)
		}
	}
	return strings.Join(out, " ")
}

func TestCollections(t *testing.T) {
	c := begin(t, nil)
	made := c.many("POST", "", `{"records":[
		{"attributes":{"type":"Account"},"Name":"a"},
		{"attributes":{"type":"account"}},
		{"attributes":{"type":"Product2"},"Name":"p","SKU__c":"x"},
		{"attributes":{"type":"Stock_Changed__e"},"SKU__c":"x"}]}`)
	require.Equal(t, "ok REQUIRED_FIELD_MISSING ok ok", codes(made))
	require.Equal(t, []string{"Name"}, made[1].Errors[0].Fields)
	require.Empty(t, made[1].ID)
	require.Equal(t, "OPERATION_ENQUEUED", made[3].Errors[0].StatusCode)
	require.Len(t, c.org.Events("Stock_Changed__e"), 1)
	account, product := made[0].ID, made[2].ID

	require.Equal(t, "ok ok MISSING_ARGUMENT", codes(c.many("PATCH", "", `{"records":[
		{"id":"`+account+`","attributes":{"type":"Account"},"Phone":"1"},
		{"Id":"`+product+`","attributes":{"type":"Product2"},"Stock__c":3},
		{"attributes":{"type":"Account"},"Phone":"1"}]}`)))
	require.Equal(t, "1", c.org.Rows("Account")[0]["Phone"])

	ups := c.many("PATCH", "/product2/sku__c", `{"records":[
		{"attributes":{"type":"Product2"},"SKU__c":"X","Name":"p2"},
		{"attributes":{"type":"Product2"},"SKU__c":"y","Name":"new"},
		{"attributes":{"type":"Product2"},"SKU__c":"twice","Name":"1"},
		{"attributes":{"type":"Product2"},"SKU__c":"Twice","Name":"2"}]}`)
	require.Equal(t, "ok ok DUPLICATE_VALUE DUPLICATE_VALUE", codes(ups))
	require.Equal(t, []bool{false, true}, []bool{ups[0].Created, ups[1].Created})
	require.Equal(t, product, ups[0].ID)

	var read []map[string]any
	c.do("GET", "composite/sobjects/Product2?ids="+product+",01t000000000001&fields=Name,SKU__c", "").into(t, &read)
	require.Equal(t, "p2", read[0]["Name"])
	require.Nil(t, read[1])
	c.do("POST", "composite/sobjects/Product2", `{"ids":["`+product+`"],"fields":["Id"]}`).into(t, &read)
	require.Equal(t, product, read[0]["Id"])

	before := c.org.CallsUsed()
	gone := c.many("DELETE", "?ids="+account+","+product+",x", "")
	require.Equal(t, "ok ok MALFORMED_ID", codes(gone))
	require.Equal(t, before+1, c.org.CallsUsed(), "one call, whatever it holds")
}

// All or none leaves no trace of what was undone: no row, no value, no entry of
// the journal, and no external id that is taken.
func TestAllOrNone(t *testing.T) {
	c := begin(t, nil)
	id := c.add("Product2", `{"Name":"old","SKU__c":"a"}`)
	journal := len(c.org.Changes(""))
	list := c.many("PATCH", "/Product2/SKU__c", `{"allOrNone":true,"records":[
		{"attributes":{"type":"Product2"},"SKU__c":"A","Name":"new"},
		{"attributes":{"type":"Product2"},"SKU__c":"b","Name":"b"},
		{"attributes":{"type":"Product2"},"SKU__c":"c"}]}`)
	require.Equal(t, "ALL_OR_NONE_OPERATION_ROLLED_BACK ALL_OR_NONE_OPERATION_ROLLED_BACK REQUIRED_FIELD_MISSING", codes(list))
	require.Empty(t, list[1].ID)
	require.Equal(t, "old", c.org.Rows("Product2")[0]["Name"])
	require.Len(t, c.org.Rows("Product2"), 1)
	require.Len(t, c.org.Changes(""), journal)
	require.False(t, c.org.Calls()[1].Applied)

	list = c.many("DELETE", "?allOrNone=true&ids="+id+",01t000000000001", "")
	require.Equal(t, "ALL_OR_NONE_OPERATION_ROLLED_BACK INVALID_CROSS_REFERENCE_KEY", codes(list))
	c.do("POST", "sobjects/Product2", `{"Name":"x","SKU__c":"A"}`).fault(t, 400, "DUPLICATE_VALUE", id)
	c.add("Product2", `{"Name":"x","SKU__c":"b"}`)

	list = c.many("POST", "", `{"allOrNone":true,"records":[{"attributes":{"type":"Account"},"Name":"a"},{"attributes":{"type":"Contact"},"LastName":"b"}]}`)
	require.Equal(t, "ok ok", codes(list))
	require.Len(t, c.org.Changes(""), journal+3)
}

func TestCollectionRefusals(t *testing.T) {
	c := begin(t, nil)
	one := `{"attributes":{"type":"Account"},"Name":"a"}`
	c.do("POST", "composite/sobjects", `{"records":[`+strings.Repeat(one+",", 200)+one+`]}`).fault(t, 400, "EXCEEDED_ID_LIMIT", "200 records")
	mixed := one + `,{"attributes":{"type":"Contact"},"LastName":"a"},`
	c.do("POST", "composite/sobjects", `{"records":[`+strings.Repeat(mixed, 5)+one+`]}`).fault(t, 400, "LIMIT_EXCEEDED", "10 chunks")
	c.do("POST", "composite/sobjects", `{"records":{}}`).fault(t, 400, "JSON_PARSER_ERROR", "array of records")
	c.do("POST", "composite/sobjects", `{"records":[1]}`).fault(t, 400, "JSON_PARSER_ERROR", "no JSON object")
	for record, code := range map[string]string{
		`{"attributes":{"type":"Nope"}}`:               "INVALID_TYPE",
		`{"attributes":{"type":"Account"},"Nope":1}`:   "INVALID_FIELD",
		`{"attributes":{"type":"Account"},"Name":[1]}`: "JSON_PARSER_ERROR",
		`{"Name":"of no type"}`:                        "INVALID_TYPE",
	} {
		c.do("POST", "composite/sobjects", `{"records":[`+one+`,`+record+`]}`).fault(t, 400, code, "")
	}
	c.do("PATCH", "composite/sobjects/Product2/SKU__c", `{"records":[`+one+`]}`).fault(t, 400, "INVALID_TYPE", "The records are of Product2, not of Account")
	c.do("PATCH", "composite/sobjects/Product2/Name", `{"records":[]}`).fault(t, 404, "NOT_FOUND", "external ID field")
	c.do("PATCH", "/services/data/v45.0/composite/sobjects/Product2/SKU__c", `{"records":[]}`).fault(t, 404, "NOT_FOUND", "")
	c.do("GET", "composite/sobjects/Product2?ids=x&fields=Nope", "").fault(t, 400, "INVALID_FIELD", "Nope")
	c.do("GET", "composite/sobjects/Product2?fields=Id&ids="+strings.Repeat("x,", 2_000), "").fault(t, 400, "EXCEEDED_ID_LIMIT", "2000")
	c.do("GET", "composite/sobjects", "").fault(t, 405, "METHOD_NOT_ALLOWED", "POST,PATCH,DELETE")
	require.Empty(t, c.org.Changes(""))
}

func TestGzip(t *testing.T) {
	c := begin(t, nil)
	var b strings.Builder
	z := gzip.NewWriter(&b)
	_, err := fmt.Fprint(z, `{"Name":"packed"}`)
	require.NoError(t, err)
	require.NoError(t, z.Close())
	require.Equal(t, 201, c.do("POST", "sobjects/Account", b.String(), "Content-Encoding", "gzip").status)
	require.Equal(t, "packed", c.org.Rows("Account")[0]["Name"])
	c.do("POST", "sobjects/Account", `{"Name":"x"}`, "Content-Encoding", "gzip").fault(t, 400, "JSON_PARSER_ERROR", "gzip")
}

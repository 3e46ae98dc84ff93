package sftest_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

type result struct {
	TotalSize      int
	Done           bool
	NextRecordsURL string
	Records        []map[string]any
}

func (c *caller) query(soql string, header ...string) result {
	c.t.Helper()
	r := c.do("GET", "query/?q="+url.QueryEscape(soql), "", header...)
	require.Equal(c.t, 200, r.status, r.body)
	var res result
	r.into(c.t, &res)
	return res
}

// names gives the Name of each record, joined.
func (r result) names() string {
	var list []string
	for _, m := range r.Records {
		list = append(list, fmt.Sprint(m["Name"]))
	}
	return strings.Join(list, " ")
}

func TestQuery(t *testing.T) {
	c := begin(t, nil)
	acme := c.add("Account", `{"Name":"Acme"}`)
	for _, body := range []string{
		`{"Name":"alpha","SKU__c":"A%1","Code__c":"x","Stock__c":3,"IsActive":true,"Listed__c":"2024-01-01","Counted__c":"2024-01-01T10:00:00Z","Maker__c":"` + acme + `"}`,
		`{"Name":"Beta","SKU__c":"b_2","Code__c":"X","Stock__c":10,"Listed__c":"2024-06-01","Counted__c":"2024-01-01T10:00:00+02:00"}`,
		`{"Name":"gamma","SKU__c":"c'3","Stock__c":-2}`,
		`{"Name":"Delta"}`,
	} {
		c.add("Product2", body)
	}
	gone := c.add("Product2", `{"Name":"gone"}`)
	require.Equal(t, 204, c.do("DELETE", "sobjects/Product2/"+gone, "").status)

	for where, want := range map[string]string{
		``:                             "alpha Beta gamma Delta",
		`WHERE Name = 'ALPHA'`:         "alpha",
		`WHERE Name != 'alpha'`:        "Beta gamma Delta",
		`WHERE SKU__c != 'b_2'`:        "alpha gamma Delta", // null is not equal
		`WHERE Code__c = 'x'`:          "alpha",
		`WHERE Code__c IN ('X','y')`:   "Beta",
		`WHERE SKU__c = 'C\'3'`:        "gamma",
		`WHERE SKU__c = null`:          "Delta",
		`WHERE SKU__c = ''`:            "Delta",
		`WHERE SKU__c <> null`:         "alpha Beta gamma",
		`WHERE SKU__c IN ('a%1',null)`: "alpha Delta",
		`WHERE SKU__c NOT IN ('a%1')`:  "Beta gamma Delta",
		`WHERE SKU__c LIKE '%\_%'`:     "Beta",
		`WHERE SKU__c LIKE 'a\%_'`:     "alpha",
		`WHERE Name LIKE '%a'`:         "alpha Beta gamma Delta",
		`WHERE Name LIKE '_e%'`:        "Beta Delta",
		`WHERE NOT Name LIKE '%m%'`:    "alpha Beta Delta",
		`WHERE Stock__c > 3`:           "Beta",
		`WHERE Stock__c >= 3`:          "alpha Beta",
		`WHERE Stock__c < 3.5e0`:       "alpha gamma",
		`WHERE Stock__c IN (10, -2)`:   "Beta gamma",
		`WHERE IsActive = TRUE`:        "alpha",
		`WHERE IsActive = false AND (Stock__c = 10 OR Name = 'delta')`: "Beta Delta",
		`WHERE NOT (Stock__c = 10 OR Name = 'delta')`:                  "alpha gamma",
		`WHERE Listed__c > 2024-01-01`:                                 "Beta",
		`WHERE Listed__c < TODAY`:                                      "alpha Beta",
		`WHERE Counted__c = 2024-01-01T08:00:00Z`:                      "Beta",
		`WHERE Counted__c > 2024-01-01T08:00:00Z`:                      "alpha",
		`WHERE Maker__r.Name = 'acme'`:                                 "alpha",
		`WHERE Maker__c = '` + acme[:15] + `'`:                         "alpha",
		`ORDER BY Name`:                                                "alpha Beta Delta gamma",
		`ORDER BY Name DESC`:                                           "gamma Delta Beta alpha",
		`ORDER BY Stock__c`:                                            "Delta gamma alpha Beta",
		`ORDER BY Stock__c DESC`:                                       "Delta Beta alpha gamma",
		`ORDER BY Stock__c DESC NULLS LAST, Name`:                      "Beta alpha gamma Delta",
		`ORDER BY Maker__r.Name NULLS LAST, Name LIMIT 2 OFFSET 1`:     "Beta Delta",
		`LIMIT 0`: "",
	} {
		require.Equal(t, want, c.query("SELECT Name FROM Product2 "+where).names(), where)
	}
}

func TestQueryShape(t *testing.T) {
	c := begin(t, nil)
	acme := c.add("Account", `{"Name":"Acme"}`)
	id := c.add("Product2", `{"Name":"Lamp","Maker__c":"`+acme+`"}`)
	c.add("Product2", `{"Name":"Bulb"}`)
	r := c.query("select NAME, Maker__r.Name, Maker__r.Parent.Name, Maker__c, Product2.Id from product2 order by Name desc")
	require.True(t, r.Done)
	require.Empty(t, r.NextRecordsURL)
	require.Equal(t, map[string]any{
		"attributes": map[string]any{"type": "Product2", "url": "/services/data/v60.0/sobjects/Product2/" + id},
		"Name":       "Lamp", "Maker__c": acme, "Id": id,
		"Maker__r": map[string]any{
			"attributes": map[string]any{"type": "Account", "url": "/services/data/v60.0/sobjects/Account/" + acme},
			"Name":       "Acme", "Parent": nil,
		},
	}, r.Records[0])
	require.Nil(t, r.Records[1]["Maker__r"])

	raw := c.do("GET", "query?q=SELECT+COUNT()+FROM+Product2", "")
	require.JSONEq(t, `{"totalSize":2,"done":true,"records":[]}`, raw.body)
}

func TestQueryRefusals(t *testing.T) {
	c := begin(t, nil)
	for query, want := range map[string][2]string{
		"":                                                      {"MALFORMED_QUERY", "empty"},
		"SELEKT Id FROM Product2":                               {"MALFORMED_QUERY", "\nSELEKT Id FROM Product2\n^\nERROR at Row:1:Column:1\nunexpected token: 'SELEKT'"},
		"SELECT Nope FROM Product2":                             {"INVALID_FIELD", "\n       ^\nERROR at Row:1:Column:8\nNo such column 'Nope' on entity 'Product2'"},
		"SELECT Id FROM Nope__c":                                {"INVALID_TYPE", "sObject type 'Nope__c' is not supported"},
		"SELECT Id FROM Stock_Changed__e":                       {"INVALID_TYPE", "sObject type 'Stock_Changed__e' is not supported"},
		"SELECT Id, ID FROM Product2":                           {"INVALID_FIELD", "duplicate field selected"},
		"SELECT Nope.Name FROM Product2":                        {"INVALID_FIELD", "Didn't understand relationship 'Nope'"},
		"SELECT Id FROM Product2 WHERE Stock__c = '3'":          {"INVALID_FIELD", "must be of type double and should not be enclosed in quotes"},
		"SELECT Id FROM Product2 WHERE Name = 3":                {"INVALID_FIELD", "must be of type string and should be enclosed in quotes"},
		"SELECT Id FROM Product2 WHERE Counted__c = 2024-01-01": {"INVALID_FIELD", "must be of type datetime"},
		"SELECT Id FROM Product2 WHERE Listed__c = 2024-02-30":  {"INVALID_FIELD", "must be of type date"},
		"SELECT Id FROM Product2 WHERE IsActive > TRUE":         {"INVALID_FIELD", "invalid operator"},
		"SELECT Id FROM Product2 WHERE Stock__c LIKE '3'":       {"INVALID_FIELD", "invalid operator"},
		"SELECT Id FROM Product2 WHERE Description = 'x'":       {"INVALID_FIELD", "can not be filtered"},
		"SELECT Id FROM Product2 ORDER BY Description":          {"INVALID_FIELD", "can not be sorted"},
		"SELECT Id FROM Product2 WHERE Id = 'x'":                {"INVALID_QUERY_FILTER_OPERATOR", "invalid ID field: x"},
		"SELECT Id FROM Product2 LIMIT 1 OFFSET 2001":           {"NUMBER_OUTSIDE_VALID_RANGE", "2000"},
		"SELECT Id FROM Product2 GROUP BY Id":                   {"MALFORMED_QUERY", "does not offer GROUP BY"},
	} {
		c.do("GET", "query?q="+url.QueryEscape(query), "").fault(t, 400, want[0], want[1])
	}
	for _, locator := range []string{"01g000000000000AAA-2000", "x", "-", "01g000000000000AAA"} {
		c.do("GET", "query/"+locator, "").fault(t, 400, "INVALID_QUERY_LOCATOR", "invalid query locator")
	}
}

func TestPaging(t *testing.T) {
	c := begin(t, nil)
	const n = 4_321
	c.load(n)
	pages := func(first result) (sizes []int, ids map[any]bool) {
		ids = map[any]bool{}
		for r := first; ; {
			require.Equal(t, n, r.TotalSize)
			sizes = append(sizes, len(r.Records))
			for _, m := range r.Records {
				ids[m["Id"]] = true
			}
			if r.Done {
				require.Empty(t, r.NextRecordsURL)
				return sizes, ids
			}
			require.Regexp(t, `^/services/data/v60\.0/query/01g[0-9A-Za-z]{15}-\d+$`, r.NextRecordsURL)
			next := c.do("GET", r.NextRecordsURL, "")
			r = result{}
			next.into(t, &r)
		}
	}
	sizes, ids := pages(c.query("SELECT Id FROM Product2"))
	require.Equal(t, []int{2000, 2000, 321}, sizes)
	require.Len(t, ids, n)
	sizes, ids = pages(c.query("SELECT Id FROM Product2", "Sforce-Query-Options", "batchSize=900"))
	require.Equal(t, []int{900, 900, 900, 900, 721}, sizes)
	require.Len(t, ids, n)
	sizes, _ = pages(c.query("SELECT Id FROM Product2", "Sforce-Query-Options", "batchSize=1"))
	require.Equal(t, 200, sizes[0], "the smallest page there is")

	// What is written after the query does not move its pages.
	first := c.query("SELECT Id FROM Product2 ORDER BY Name")
	c.load(10)
	_, ids = pages(first)
	require.Len(t, ids, n)
}

func TestQueryAll(t *testing.T) {
	c := begin(t, nil)
	id := c.add("Account", `{"Name":"gone"}`)
	require.Equal(t, 204, c.do("DELETE", "sobjects/Account/"+id, "").status)
	require.Empty(t, c.query("SELECT Name FROM Account").names())
	var r result
	c.do("GET", "queryAll?q="+url.QueryEscape("SELECT Name, IsDeleted FROM Account WHERE IsDeleted = TRUE"), "").into(t, &r)
	require.Equal(t, "gone", r.names())
	require.Equal(t, true, r.Records[0]["IsDeleted"])
}

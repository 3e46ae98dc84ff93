package salesforce_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/salesforce"
)

type product struct {
	ID     string           `json:"Id,omitempty"`
	Name   string           `json:"Name"`
	SKU    string           `json:"SKU__c,omitempty"`
	Stock  *float64         `json:"Stock__c"`
	Listed salesforce.Date  `json:"Listed__c"`
	Seen   *salesforce.Time `json:"Counted__c"`
	Skip   int              `json:"-"`
}

func TestFields(t *testing.T) {
	type base struct {
		ID string `json:"Id"`
	}
	type child struct {
		base
		attributes json.RawMessage
		Name       string
		Price      float64 `json:"Price__c,omitempty"`
		Type       any     `json:"attributes"`
	}
	_ = child{attributes: nil}
	require.Equal(t, []string{"Id", "Name", "SKU__c", "Stock__c", "Listed__c", "Counted__c"}, salesforce.Fields[product]())
	require.Equal(t, []string{"Id", "Name", "Price__c"}, salesforce.Fields[*child]())
	require.Empty(t, salesforce.Fields[map[string]any]())
	require.Equal(t, "SELECT Id, Name, Price__c", salesforce.Select[child]())
}

func TestPathsAndBodies(t *testing.T) {
	s := &script{answer: func(n int, r *http.Request) (*http.Response, error) {
		switch r.Method {
		case "PATCH":
			return reply(200, `{"id":"001000000000001AAA","success":true,"created":false}`), nil
		case "DELETE":
			return reply(204, ""), nil
		case "POST":
			return reply(201, `{"id":"e00000000000001AAA","success":true,"errors":[{"statusCode":"OPERATION_ENQUEUED","message":"5be1-uuid"}]}`), nil
		}
		return reply(200, `{"attributes":{},"Id":"x","Name":"Lamp","Stock__c":null,"Listed__c":"2024-02-29","Counted__c":"2024-02-29T11:00:00.000+0000"}`), nil
	}}
	org := scripted(t, s)
	last := func() (string, string) {
		r := s.seen[len(s.seen)-1]
		return r.Method + " " + r.URL.RequestURI(), s.bodies[len(s.bodies)-1]
	}
	up, err := org.UpsertBy(t.Context(), "Product2", "SKU__c", "a/b ?&%=#ü", product{ID: "x", SKU: "x", Name: "Lamp"})
	require.NoError(t, err)
	require.Equal(t, salesforce.Upserted{ID: "001000000000001AAA"}, up)
	call, body := last()
	require.Equal(t, "PATCH /services/data/v66.0/sobjects/Product2/SKU__c/a%2Fb%20%3F&%25=%23%C3%BC", call)
	require.JSONEq(t, `{"Name":"Lamp","Stock__c":null,"Listed__c":null,"Counted__c":null}`, body)

	require.NoError(t, org.Update(t.Context(), "Product2", "01t1", map[string]any{"Name": "x"}))
	require.NoError(t, org.Delete(t.Context(), "Product2", "01t1"))
	call, _ = last()
	require.Equal(t, "DELETE /services/data/v66.0/sobjects/Product2/01t1", call)

	p, err := salesforce.Read[product](t.Context(), org, "Product2", "01t1")
	require.NoError(t, err)
	require.Equal(t, "Lamp", p.Name)
	require.Nil(t, p.Stock)
	require.Equal(t, salesforce.Date{Year: 2024, Month: 2, Day: 29}, p.Listed)
	require.Equal(t, time.Date(2024, 2, 29, 11, 0, 0, 0, time.UTC), p.Seen.Time)
	call, _ = last()
	require.Equal(t, "GET /services/data/v66.0/sobjects/Product2/01t1?fields=Id%2CName%2CSKU__c%2CStock__c%2CListed__c%2CCounted__c", call)
	_, err = salesforce.ReadBy[map[string]any](t.Context(), org, "Product2", "SKU__c", "a b", "Id")
	require.NoError(t, err)
	call, _ = last()
	require.Equal(t, "GET /services/data/v66.0/sobjects/Product2/SKU__c/a%20b?fields=Id", call)

	ev, err := org.Publish(t.Context(), "Stock_Changed__e", map[string]any{"SKU__c": "x"})
	require.NoError(t, err)
	require.Equal(t, salesforce.Published{ID: "e00000000000001AAA", UUID: "5be1-uuid"}, ev)

	sent := s.calls()
	for name, call := range map[string]func() error{
		"a path for an object": func() error { return org.Update(t.Context(), "../oauth2", "x", nil) },
		"no id":                func() error { return org.Delete(t.Context(), "Account", "") },
		"dots":                 func() error { return org.Delete(t.Context(), "Account", "..") },
		"no record":            func() error { _, err := org.UpsertBy(t.Context(), "Account", "K__c", "v", 7); return err },
		"no JSON": func() error {
			_, err := org.Create(t.Context(), "Account", map[string]any{"x": make(chan int)})
			return err
		},
		"no event":      func() error { _, err := org.Publish(t.Context(), "Account", nil); return err },
		"a bad %escape": func() error { return org.Do(t.Context(), salesforce.Call{Path: "actions/%zz"}, nil) },
	} {
		err := call()
		require.ErrorIs(t, err, salesforce.ErrInput, name)
		require.Equal(t, outcome.NotSent, outcome.Of(err), name)
	}
	require.Equal(t, sent, s.calls())
	require.NoError(t, org.Do(t.Context(), salesforce.Call{Path: "//evil.example/services/data"}, nil))
	require.Equal(t, "acme.my.salesforce.com", s.seen[sent].URL.Host, "a token left home")
}

// A delete whose answer is lost finds its record deleted when it is repeated.
func TestDeleteTwiceIsDeletedOnce(t *testing.T) {
	s := &script{answer: func(n int, r *http.Request) (*http.Response, error) {
		if n == 1 {
			return nil, http.ErrHandlerTimeout
		}
		return fault(404, "ENTITY_IS_DELETED", "entity is deleted"), nil
	}}
	org := scripted(t, s)
	require.NoError(t, org.Delete(t.Context(), "Account", "001"))
	require.ErrorIs(t, org.Delete(t.Context(), "Account", "001"), salesforce.ErrNotFound)
}

func TestDescribeFields(t *testing.T) {
	s := &script{answer: func(int, *http.Request) (*http.Response, error) {
		return reply(200, `{"name":"Product2","fields":[
			{"name":"SKU__c","type":"string","length":20,"externalId":true,"idLookup":true,"unique":true,"caseSensitive":false,"nillable":true,"createable":true,"updateable":true},
			{"name":"Code__c","type":"string","length":20,"externalId":true,"caseSensitive":true},
			{"name":"N__c","type":"double","precision":18,"scale":2,"externalId":true}]}`), nil
	}}
	d, err := scripted(t, s).Describe(t.Context(), "Product2")
	require.NoError(t, err)
	sku, ok := d.Field("sku__C")
	require.True(t, ok)
	require.True(t, sku.ExternalID && sku.Unique && sku.IDLookup && sku.Createable && sku.Updateable && sku.Nillable && !sku.CaseSensitive)
	require.Equal(t, sku.Same(" ab-1Ü"), sku.Same("AB-1ü "))
	code, _ := d.Field("Code__c")
	require.NotEqual(t, code.Same("ab"), code.Same("AB"))
	require.Equal(t, code.Same("ab "), code.Same("ab"))
	n, _ := d.Field("N__c")
	require.Equal(t, n.Same("1.50"), n.Same("15e-1"))
	require.NotEqual(t, n.Same("1"), n.Same("2"))
	require.Equal(t, "x1", n.Same("x1"))
	_, ok = d.Field("Nope")
	require.False(t, ok)
}

func TestInts(t *testing.T) {
	for text, want := range map[string]salesforce.Int{"12.0": 12, "-3": -3, "1.2E7": 12_000_000, "0.0": 0, "null": 0, "9007199254740993.0": 9007199254740993} {
		i := salesforce.Int(99)
		require.NoError(t, json.Unmarshal([]byte(text), &i), text)
		require.Equal(t, want, i)
	}
	for _, bad := range []string{"12.5", `"12"`, "true", "1e30", "{}"} {
		var i salesforce.Int
		require.Error(t, json.Unmarshal([]byte(bad), &i), bad)
	}
	b, err := json.Marshal(salesforce.Int(12))
	require.NoError(t, err)
	require.Equal(t, "12", string(b))
}

func TestTimesAndDates(t *testing.T) {
	var v struct {
		T salesforce.Time
		D salesforce.Date
	}
	for _, form := range []string{`"2026-01-02T03:04:05.000+0000"`, `"2026-01-02T04:04:05+01:00"`, `"2026-01-02T03:04:05Z"`} {
		require.NoError(t, json.Unmarshal([]byte(`{"T":`+form+`,"D":"2026-01-02"}`), &v))
		b, err := json.Marshal(v)
		require.NoError(t, err)
		require.Equal(t, `{"T":"2026-01-02T03:04:05.000Z","D":"2026-01-02"}`, string(b))
	}
	require.NoError(t, json.Unmarshal([]byte(`{"T":null,"D":null}`), &v))
	require.True(t, v.T.IsZero() && v.D.IsZero())
	b, err := json.Marshal(v)
	require.NoError(t, err)
	require.Equal(t, `{"T":null,"D":null}`, string(b))
	for _, bad := range []string{`{"T":"yesterday"}`, `{"T":5}`, `{"D":"2026-02-30"}`, `{"D":{}}`} {
		require.Error(t, json.Unmarshal([]byte(bad), &v), bad)
	}
	require.Equal(t, salesforce.Date{Year: 2026, Month: 3, Day: 1}, salesforce.DateOf(time.Date(2026, 3, 1, 23, 0, 0, 0, time.Local)))
}

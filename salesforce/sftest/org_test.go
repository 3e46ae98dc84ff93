package sftest_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/salesforce/sftest"
)

// A caller is a client of raw HTTP, which shares no mistake with a real one.
type caller struct {
	t     testing.TB
	org   *sftest.Org
	token string
}

// A reply is what came back.
type reply struct {
	status int
	header http.Header
	body   string
}

// fields are the object that most tests use.
var stock = []sftest.Object{{
	Name: "Product2",
	Fields: []sftest.Field{
		{Name: "SKU__c", Length: 20, ExternalID: true, Unique: true},
		{Name: "Code__c", Length: 20, ExternalID: true, Unique: true, CaseSensitive: true},
		{Name: "Shelf__c", Length: 20, ExternalID: true},
		{Name: "Stock__c", Type: sftest.Double},
		{Name: "Price__c", Type: sftest.Currency, Precision: 16, Scale: 2},
		{Name: "Size__c", Type: sftest.Picklist, Values: []string{"S", "M", "L"}, Restricted: true},
		{Name: "Listed__c", Type: sftest.Date},
		{Name: "Counted__c", Type: sftest.DateTime},
		{Name: "Maker__c", Type: sftest.Reference, ReferenceTo: "Account"},
	},
}, {
	Name:   "Stock_Changed__e",
	Fields: []sftest.Field{{Name: "SKU__c", Required: true}, {Name: "Quantity__c", Type: sftest.Double}},
}}

func begin(t testing.TB, o *sftest.Options) *caller {
	t.Helper()
	if o == nil {
		o = &sftest.Options{}
	}
	if o.Objects == nil {
		o.Objects = stock
	}
	org := sftest.NewOrg(t, o)
	return &caller{t: t, org: org, token: org.Token()}
}

// do calls the org; a path without a slash at its front is below the version.
func (c *caller) do(method, path, body string, header ...string) reply {
	c.t.Helper()
	r, err := c.try(method, path, body, header...)
	require.NoError(c.t, err)
	return r
}

// try is do for calls that may find no answer.
func (c *caller) try(method, path, body string, header ...string) (reply, error) {
	if !strings.HasPrefix(path, "/") {
		path = "/services/data/v60.0/" + path
	}
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.org.URL()+path, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	if body != "" {
		req.Header.Set("Content-Type", map[bool]string{true: "text/csv", false: "application/json; charset=UTF-8"}[method == "PUT"])
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, string(b)}, err
}

// into decodes the reply.
func (r reply) into(t testing.TB, v any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader([]byte(r.body)))
	d.UseNumber()
	require.NoError(t, d.Decode(v), r.body)
}

// object decodes a reply that is one.
func (r reply) object(t testing.TB) map[string]any {
	t.Helper()
	m := map[string]any{}
	r.into(t, &m)
	return m
}

// fault checks a reply for one error in the platform's form.
func (r reply) fault(t testing.TB, status int, code, words string) {
	t.Helper()
	var list []struct{ Message, ErrorCode string }
	r.into(t, &list)
	require.Equal(t, status, r.status, r.body)
	require.Len(t, list, 1)
	require.Equal(t, code, list[0].ErrorCode, r.body)
	require.Contains(t, list[0].Message, words)
	require.Equal(t, "application/json;charset=UTF-8", r.header.Get("Content-Type"))
}

// add creates a record and gives its id.
func (c *caller) add(object, body string) string {
	c.t.Helper()
	r := c.do("POST", "sobjects/"+object, body)
	require.Equal(c.t, 201, r.status, r.body)
	return r.object(c.t)["id"].(string)
}

// load creates many products in few calls.
func (c *caller) load(n int) {
	c.t.Helper()
	for range n {
		c.add("Product2", `{"Name":"x"}`)
	}
}

func (c *caller) login(grant, id, secret string) reply {
	c.t.Helper()
	form := url.Values{"grant_type": {grant}, "client_id": {id}, "client_secret": {secret}}
	return c.do("POST", "/services/oauth2/token", form.Encode(), "Content-Type", "application/x-www-form-urlencoded")
}

func TestLogin(t *testing.T) {
	c := begin(t, nil)
	r := c.login("client_credentials", c.org.ClientID(), c.org.ClientSecret())
	require.Equal(t, 200, r.status, r.body)
	m := r.object(t)
	require.Equal(t, c.org.URL(), m["instance_url"])
	require.Equal(t, "Bearer", m["token_type"])
	require.True(t, strings.HasPrefix(m["access_token"].(string), c.org.ID()[:15]+"!"))
	require.Contains(t, m["id"], "/id/"+c.org.ID()+"/005")
	require.Len(t, c.org.ID(), 18)
	require.Empty(t, r.header.Get("Sforce-Limit-Info"))
	require.Zero(t, c.org.CallsUsed())

	for _, w := range []struct{ grant, id, secret, code string }{
		{"client_credentials", "nobody", c.org.ClientSecret(), "invalid_client_id"},
		{"client_credentials", c.org.ClientID(), "guess", "invalid_client"},
		{"password", c.org.ClientID(), c.org.ClientSecret(), "unsupported_grant_type"},
		{"", c.org.ClientID(), c.org.ClientSecret(), "invalid_request"},
	} {
		r := c.login(w.grant, w.id, w.secret)
		require.Equal(t, 400, r.status)
		require.Equal(t, w.code, r.object(t)["error"])
	}
	c.token = "wrong"
	r = c.do("GET", "sobjects/Account/001000000000000", "")
	r.fault(t, 401, "INVALID_SESSION_ID", "Session expired or invalid")
	require.Equal(t, "Token", r.header.Get("WWW-Authenticate"))
	require.Empty(t, r.header.Get("Sforce-Limit-Info"))
}

// A second org is the same as the first by its seed, and yet takes none of its
// tokens.
func TestTwoOrgs(t *testing.T) {
	one, same, other := begin(t, nil), begin(t, nil), begin(t, &sftest.Options{Seed: 2})
	require.Equal(t, one.org.ID(), same.org.ID())
	require.Equal(t, one.org.ClientSecret(), same.org.ClientSecret())
	require.NotEqual(t, one.org.ID(), other.org.ID())
	require.NotEqual(t, one.org.ClientSecret(), other.org.ClientSecret())
	same.token = one.token
	same.do("GET", "limits", "").fault(t, 401, "INVALID_SESSION_ID", "")
}

func TestCreateAndRead(t *testing.T) {
	c := begin(t, nil)
	r := c.do("POST", "sobjects/Product2", `{"Name":"Lamp","SKU__c":"L-1","Stock__c":12,"Price__c":2.555,"Listed__c":"2024-02-29","Counted__c":"2024-02-29T12:00:00.987+01:00"}`)
	require.Equal(t, 201, r.status, r.body)
	made := r.object(t)
	id := made["id"].(string)
	require.Len(t, id, 18)
	require.Equal(t, true, made["success"])
	require.Empty(t, made["errors"])
	require.Equal(t, "/services/data/v60.0/sobjects/Product2/"+id, r.header.Get("Location"))
	require.Equal(t, "api-usage=1/100000", r.header.Get("Sforce-Limit-Info"))

	for _, spelling := range []string{id, id[:15], strings.ToLower(id)} {
		r = c.do("GET", "sobjects/product2/"+spelling+"/?fields=Name,sku__C,Stock__c,Price__c,Listed__c,Counted__c,Family", "")
		require.Equal(t, 200, r.status, r.body)
		m := r.object(t)
		require.Equal(t, map[string]any{"type": "Product2", "url": "/services/data/v60.0/sobjects/Product2/" + id}, m["attributes"])
		delete(m, "attributes")
		require.Equal(t, map[string]any{
			"Name": "Lamp", "SKU__c": "L-1", "Stock__c": json.Number("12.0"), "Price__c": json.Number("2.56"),
			"Listed__c": "2024-02-29", "Counted__c": "2024-02-29T11:00:00.000+0000", "Family": nil,
		}, m)
	}
	require.Len(t, c.org.Rows("Product2"), 1)
	require.Equal(t, "Lamp", c.org.Rows("Product2")[0]["Name"])
}

// A counter says how much was read of a body.
type counter struct {
	io.Reader
	n int
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.n += n
	return n, err
}

// What a stranger sends is not taken in: 200 kB of it may become 200 MB.
func TestABombOfAStrangerIsNotRead(t *testing.T) {
	c := begin(t, nil)
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	for range 64 {
		_, err := z.Write(bytes.Repeat([]byte("client_id=x&    "), 1<<16))
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	send := func(path, kind, token string) (status, read int) {
		body := &counter{Reader: bytes.NewReader(bomb.Bytes())}
		r := httptest.NewRequest("POST", "http://127.0.0.1"+path, body)
		r.Header.Set("Content-Encoding", "gzip")
		r.Header.Set("Content-Type", kind)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		c.org.ServeHTTP(w, r)
		return w.Code, body.n
	}
	status, read := send("/services/data/v60.0/sobjects/Account", "application/json", "")
	require.Equal(t, 401, status)
	require.Zero(t, read)
	status, read = send("/services/oauth2/token", "application/x-www-form-urlencoded", "")
	require.Equal(t, 413, status)
	require.Less(t, read, 16<<10)
	status, _ = send("/services/data/v60.0/sobjects/Account", "application/json", c.org.Token())
	require.Equal(t, 413, status, "it is larger than any call may be")
}

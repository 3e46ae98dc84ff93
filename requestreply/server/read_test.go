package server_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/requestreply/server"
)

type search struct {
	Site   string     `path:"site"`
	Word   string     `query:"word"`
	Limit  *int8      `query:"limit"`
	Color  []string   `query:"color,omitempty" enum:"red,blue"`
	Since  time.Time  `query:"since,omitempty"`
	Dry    bool       `query:"dry,omitempty"`
	Ratio  float64    `query:"ratio,omitempty"`
	Tenant uint16     `header:"X-Tenant"`
	Body   *searchFor `body:"json"`
}

type searchFor struct {
	Tags  []string `json:"tags" enum:"new,old"`
	Exact *bool    `json:"exact"`
}

// asked sends a request to a handler that answers with what it was asked.
func asked(t *testing.T, o *server.Options, method, target, body string, header ...string) (int, string) {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/{site}/search", server.Handle(func(_ context.Context, s search) (search, error) { return s, nil }, o))
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set("X-Tenant", "7")
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header[header[i]] = append(r.Header[header[i]], header[i+1])
	}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	var p struct{ Detail string }
	if w.Code != 200 {
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &p))
		return w.Code, p.Detail
	}
	return w.Code, w.Body.String()
}

func TestTaggedFieldsAreReadFromTheirPlaces(t *testing.T) {
	code, got := asked(t, nil, "POST", "/a%2Fb/search?word=x+y&limit=-128&color=red&color=blue&since=2026-01-02T03:04:05Z&dry=true&ratio=2.5", `{"tags":["new"],"exact":true}`)
	require.Equal(t, 200, code, got)
	require.JSONEq(t, `{"Site":"a/b","Word":"x y","Limit":-128,"Color":["red","blue"],"Since":"2026-01-02T03:04:05Z","Dry":true,"Ratio":2.5,"Tenant":7,
		"Body":{"tags":["new"],"exact":true}}`, got)

	code, got = asked(t, nil, "GET", "/s/search?word=", "")
	require.Equal(t, 200, code, got)
	require.JSONEq(t, `{"Site":"s","Word":"","Limit":null,"Color":null,"Since":"0001-01-01T00:00:00Z","Dry":false,"Ratio":0,"Tenant":7,"Body":null}`, got)

	code, got = asked(t, nil, "POST", "/s/search?word=w", "")
	require.Equal(t, 200, code, got)
}

func TestParametersThatDoNotFitAreNamed(t *testing.T) {
	for _, c := range []struct{ query, want string }{
		{"", `query parameter "word": is required`},
		{"word=a&word=b", `query parameter "word": appears more than once`},
		{"word=a&limit=128", `query parameter "limit": want an integer of 8 bits`},
		{"word=a&limit=", `query parameter "limit": want an integer of 8 bits`},
		{"word=a&color=red&color=green", `query parameter "color": want one of red, blue`},
		{"word=a&since=yesterday", `query parameter "since": want a date and time as RFC 3339 has them`},
		{"word=a&dry=1", `query parameter "dry": want true or false`},
		{"word=a&ratio=Inf", `query parameter "ratio": want a number`},
		{"word=a&wrod=b&zoo=", `query parameter "wrod": the name is not known`},
		{"word=a;b=c", "the query cannot be read: percent-encode it, and part it with &"},
		{"word=%zz", "the query cannot be read: percent-encode it, and part it with &"},
	} {
		code, got := asked(t, nil, "GET", "/s/search?"+c.query, "")
		require.Equal(t, 400, code, c.query)
		require.Equal(t, c.want, got, c.query)
	}
	code, got := asked(t, nil, "GET", "/s/search?word=a", "", "X-Tenant", "8")
	require.Equal(t, 400, code)
	require.Equal(t, `header parameter "X-Tenant": appears more than once`, got)
	code, _ = asked(t, &server.Options{AllowUnknown: true}, "GET", "/s/search?word=a&wrod=b", "")
	require.Equal(t, 200, code)
}

func TestBadTagsPanicWhenTheHandlerIsMade(t *testing.T) {
	type bad struct {
		A string `path:"a"`
		B string
	}
	require.PanicsWithValue(t, "requestreply/server: server_test.bad: the field B has no place, others have: tag it path, query, header or body", func() {
		server.Handle(func(context.Context, bad) (struct{}, error) { return struct{}{}, nil }, nil)
	})
}

type parcel struct {
	ID    string            `json:"id"`
	Size  string            `json:"size" enum:"small,large"`
	Level int               `json:"level" enum:"1,2"`
	Pair  [2]int            `json:"pair"`
	Lines []line            `json:"lines"`
	Notes map[string]string `json:"notes,omitempty"`
	Any   any               `json:"any"`
	Raw   json.RawMessage   `json:"raw"`
	When  *time.Time        `json:"when"`
	Bytes []byte            `json:"bytes,omitempty"`
	Price json.Number       `json:"price,omitempty"`
}

type line struct {
	Qty int `json:"qty"`
}

const whole = `{"id":"","size":"small","level":1,"pair":[0,0],"lines":[],"raw":null}`

func pack(t *testing.T, o *server.Options, body string) (status int, field, why string) {
	t.Helper()
	h := server.Handle(func(_ context.Context, p parcel) (struct{}, error) { return struct{}{}, nil }, o)
	r := httptest.NewRequest("POST", "/", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	var p struct {
		Errors []struct{ Pointer, Detail string }
	}
	if w.Code == 400 {
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &p))
		require.Len(t, p.Errors, 1, w.Body)
		return 400, p.Errors[0].Pointer, p.Errors[0].Detail
	}
	return w.Code, "", ""
}

// Without Complete what is missing is zero, as it always was.
func TestCompleteRefusesWhatTheTypeWouldFillIn(t *testing.T) {
	replace := strings.NewReplacer
	for _, c := range []struct{ body, field, why string }{
		{replace(`"id":"",`, ``).Replace(whole), "#/id", "is required"},
		{replace(`"id":""`, `"id":null`).Replace(whole), "#/id", "is required"},
		{replace(`"lines":[],`, ``).Replace(whole), "#/lines", "is required"},
		{replace(`,"raw":null`, ``).Replace(whole), "#/raw", "is required"},
		{replace(`[]`, `[{"qty":1},{}]`).Replace(whole), "#/lines/1/qty", "is required"},
		{replace(`[]`, `[null]`).Replace(whole), "#/lines/0", "must not be null"},
		{replace(`"raw"`, `"notes":{"a/b":null},"raw"`).Replace(whole), "#/notes/a~1b", "must not be null"},
		{replace(`[0,0]`, `[0]`).Replace(whole), "#/pair", "want 2 items"},
		{replace(`[0,0]`, `[0,0,0]`).Replace(whole), "#/pair", "want 2 items"},
		{replace(`"raw"`, `"bytes":[1],"raw"`).Replace(whole), "#/bytes", "want a string in base64"},
		{replace(`"raw"`, `"price":"1","raw"`).Replace(whole), "#/price", "want a number"},
		{`null`, "#", "must not be null"},
	} {
		status, field, why := pack(t, &server.Options{Complete: true}, c.body)
		require.Equal(t, 400, status, c.body)
		require.Equal(t, c.field, field, c.body)
		require.Equal(t, c.why, why, c.body)
		status, _, _ = pack(t, nil, c.body)
		require.Equal(t, 204, status, c.body)
	}
	for _, body := range []string{whole, replace(`"raw"`, `"when":null,"any":null,"raw"`).Replace(whole), replace(`[]`, `[{"qty":0}]`).Replace(whole)} {
		status, field, why := pack(t, &server.Options{Complete: true}, body)
		require.Equal(t, 204, status, "%s: %s %s", body, field, why)
	}
}

func TestCompleteKnowsEveryQueryParameter(t *testing.T) {
	for o, want := range map[*server.Options]int{nil: 204, {Complete: true}: 400, {Complete: true, AllowUnknown: true}: 204} {
		h := server.Handle(func(context.Context, struct{}) (struct{}, error) { return struct{}{}, nil }, o)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/?site=north", nil))
		require.Equal(t, want, w.Code)
	}
}

func TestEnumListsWhatIsTaken(t *testing.T) {
	for _, c := range []struct{ from, to, field, why string }{
		{`"small"`, `"medium"`, "#/size", "want one of small, large"},
		{`"small"`, `""`, "#/size", "want one of small, large"},
		{`"level":1`, `"level":3`, "#/level", "want one of 1, 2"},
	} {
		status, field, why := pack(t, nil, strings.Replace(whole, c.from, c.to, 1))
		require.Equal(t, 400, status)
		require.Equal(t, c.field, field)
		require.Equal(t, c.why, why)
	}
	code, got := asked(t, nil, "POST", "/s/search?word=w", `{"tags":["new","older"]}`)
	require.Equal(t, 400, code, got)
}

func TestTextsThatATypeRefusesAreNamed(t *testing.T) {
	status, field, why := pack(t, nil, strings.Replace(whole, `"raw"`, `"any":"x","when":"soon","raw"`, 1))
	require.Equal(t, 400, status)
	require.Equal(t, "#/when", field)
	require.Equal(t, "has not the form it needs", why)
}

func TestStatusIsThatOfAnswersWithABody(t *testing.T) {
	for status, o := range map[int]*server.Options{200: nil, 201: {Status: 201}} {
		h := server.HandleTx(server.NewMemKeys(), txReceipt, o)
		for range 2 { // a replay too
			r := httptest.NewRequest("POST", "/", strings.NewReader(`{}`))
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Idempotency-Key", "k")
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			require.Equal(t, status, w.Code)
		}
	}
}

func txReceipt(context.Context, *sql.Tx, line) (line, error) { return line{Qty: 1}, nil }

// A header that is a parameter is part of the request: a key that comes again
// with another one comes with another request.
func TestAKeyCountsHeadersThatAreParameters(t *testing.T) {
	type request struct {
		Tenant string `header:"X-Tenant"`
		Line   line   `body:"json"`
	}
	scope := func(*http.Request) string { return "" }
	keyed := map[string]http.Handler{
		"HandleTx": server.HandleTx(server.NewMemKeys(), func(_ context.Context, _ *sql.Tx, in request) (request, error) { return in, nil }, nil),
		"Idempotent": server.Idempotent(server.NewMemKeys(), scope, nil)(
			server.Handle(func(_ context.Context, in request) (request, error) { return in, nil }, nil)),
	}
	for name, h := range keyed {
		send := func(tenant, trace string) int {
			return ask(h, "POST", "/", "k", `{"qty":1}`, "X-Tenant", tenant, "Traceparent", trace).Code
		}
		require.Equal(t, 200, send("a", "trace-1"), name)
		require.Equal(t, 200, send("a", "trace-2"), name)
		require.Equal(t, 422, send("b", "trace-1"), name)
	}
}

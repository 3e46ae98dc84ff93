package node

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/requestreply/openapi"
	"github.com/crosstie/crosstie/requestreply/server"
)

type Look struct {
	SKU  string `path:"sku" doc:"The number of the product."`
	Site string `query:"site,omitempty" enum:"north,south" doc:"Where to look; everywhere if left out."`
	Top  *int32 `query:"top" doc:"So many lots at most."`
	Lang string `header:"X-Language,omitempty"`
}

type Stock struct {
	SKU     string            `json:"sku"`
	Free    int32             `json:"free" doc:"Pieces that nobody has reserved."`
	Weight  float32           `json:"weight"`
	Seal    []byte            `json:"seal"`
	At      time.Time         `json:"at"`
	Lots    []Lot             `json:"lots"`
	Names   map[string]string `json:"names"`
	Size    [2]float64        `json:"size"`
	Lang    string            `json:"lang,omitempty"`
	Further any               `json:"further,omitempty"`
}

type Lot struct {
	Bin   string `json:"bin"`
	State string `json:"state" enum:"free,held"`
	Parts []Lot  `json:"parts"`
}

type Page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"`
}

type Order struct {
	Account     string `json:"account"`
	SKU         string `json:"sku"`
	Qty         int64  `json:"qty"`
	CallbackURL string `json:"callbackUrl,omitempty"`
}

type Receipt struct {
	ID   string `json:"id"`
	Left int64  `json:"left"`
}

type Change struct {
	SKU  string  `path:"sku"`
	Body Renamed `body:"json"`
}

type Renamed struct {
	Names map[string]string `json:"names"`
}

// warehouse is an API that has a bit of everything.
func warehouse(t *testing.T, p openapi.Profile) *openapi.API {
	t.Helper()
	look := func(_ context.Context, in Look) (Stock, error) {
		if in.SKU != "84 879/ä" {
			return Stock{}, &requestreply.Problem{Status: 404, Title: "No such product", Type: "https://warehouse.example/unknown"}
		}
		s := Stock{SKU: in.SKU, Free: 3, Weight: 0.25, Seal: []byte{0, 1, 255}, At: time.Now(), Size: [2]float64{1, 2.5}, Lang: in.Lang}
		s.Lots = []Lot{{Bin: in.Site, State: "free", Parts: []Lot{{Bin: "inside", State: "held"}}}}
		if in.Top != nil {
			s.Lots = s.Lots[:*in.Top]
		}
		return s, nil
	}
	left := int64(10)
	reserve := func(_ context.Context, _ *sql.Tx, o Order) (Receipt, error) {
		left -= o.Qty
		return Receipt{ID: "r-1", Left: left}, nil
	}
	api := openapi.New("Warehouse", "1.4.0", &openapi.Options{Profile: p, Description: "What there is.", URL: "https://warehouse.example/v1"})
	require.NoError(t, errors.Join(
		openapi.Register(api, "GET /stock/{sku}", "getStock", look, &openapi.Operation{Summary: "How much there is of a product"}),
		openapi.Register(api, "GET /stock", "listStock",
			func(context.Context, struct{}) (Page[Stock], error) { return Page[Stock]{}, nil }, nil),
		openapi.Register(api, "PUT /stock/{sku}/names", "rename",
			func(context.Context, Change) (struct{}, error) { return struct{}{}, nil }, nil),
		openapi.RegisterTx(api, server.NewMemKeys(), "POST /reservations", "reserve", reserve, &openapi.Operation{
			Summary: "Reserve stock for an order", Status: http.StatusCreated,
			Callbacks: []openapi.Callback{openapi.NewCallback[Receipt]("shipped", "{$request.body#/callbackUrl}")},
		}),
	))
	return api
}

// A served is an API for the script to judge, and to call.
type served struct {
	URL   string `json:"url"`
	Calls []call `json:"calls,omitempty"`
}

type call struct {
	Operation  string            `json:"operation"`
	Parameters map[string]any    `json:"parameters,omitempty"`
	Body       any               `json:"body,omitempty"`
	Headers    map[string]string `json:"headers,omitempty"`
}

// A judged is what the script says of one.
type judged struct {
	Schema, Rules []string // what the two validators object to
	Answers       []struct {
		Status  int
		Type    string
		Data    json.RawMessage
		Misfits []string // where it is not what the document says
	}
}

// The document passes validators of others, a client that others make of it
// can call the operations, and what it is answered fits the document.
func TestOpenAPI(t *testing.T) {
	const lamp = "84 879/ä"
	order := map[string]any{"account": "a", "sku": lamp, "qty": 4}
	key := map[string]string{"Idempotency-Key": "k-1"}
	const ok, problem = "application/json", "problem"
	wants := []struct {
		call
		status     int
		kind, data string // data "" is any
	}{
		{call{Operation: "getStock", Parameters: map[string]any{"sku": lamp, "site": "north", "X-Language": "de"}}, 200, ok, ""},
		{call{Operation: "getStock", Parameters: map[string]any{"sku": lamp, "top": 0}}, 200, ok, ""},
		{call{Operation: "getStock", Parameters: map[string]any{"sku": lamp, "site": "moon"}}, 400, problem, ""},
		{call{Operation: "getStock", Parameters: map[string]any{"sku": "1"}}, 404, problem,
			`{"type":"https://warehouse.example/unknown","title":"No such product","status":404}`},
		{call{Operation: "listStock"}, 200, ok, `{"items":[]}`},
		{call{Operation: "rename", Parameters: map[string]any{"sku": "1"}, Body: map[string]any{"names": map[string]any{"de": "Lampe"}}}, 204, "", ""},
		{call{Operation: "rename", Parameters: map[string]any{"sku": "1"}, Body: map[string]any{}}, 400, problem, ""},
		{call{Operation: "reserve", Body: order, Headers: key}, 201, ok, `{"id":"r-1","left":6}`},
		{call{Operation: "reserve", Body: order, Headers: key}, 201, ok, `{"id":"r-1","left":6}`},
		{call{Operation: "reserve", Body: order}, 400, problem, ""},
	}
	var calls []call
	for _, w := range wants {
		calls = append(calls, w.call)
	}
	profiles := []openapi.Profile{openapi.ExternalServices, openapi.Standard}
	problems := []string{"application/json", "application/problem+json"}
	var in []served
	for _, p := range profiles {
		s := httptest.NewServer(warehouse(t, p))
		defer s.Close()
		in = append(in, served{s.URL, calls})
	}
	var got []judged
	run(t, "openapi.js", in, &got)
	require.Len(t, got, len(in))
	for i, p := range profiles {
		t.Run(p.String(), func(t *testing.T) {
			require.Empty(t, got[i].Schema)
			require.Empty(t, got[i].Rules)
			require.Len(t, got[i].Answers, len(wants))
			for k, want := range wants {
				if want.kind == problem {
					want.kind = problems[i]
				}
				a := got[i].Answers[k]
				require.Equal(t, want.status, a.Status, "%+v: %s", want.call, a.Data)
				require.Equal(t, want.kind, a.Type, "%+v", want.call)
				require.Empty(t, a.Misfits, "%+v: %s", want.call, a.Data)
				if want.data != "" {
					require.JSONEq(t, want.data, string(a.Data), "%+v", want.call)
				}
			}
		})
	}
}

// The judges are awake: each objects to a document that is spoiled in one place.
func TestOpenAPIJudges(t *testing.T) {
	api := warehouse(t, openapi.Standard)
	spoils := []struct{ name, old, new, schema, rules, misfit string }{
		{"a member of another name", `"responses"`, `"reponses"`, "must have required property 'responses'", "struct", ""},
		{"a reference to nowhere", `schemas/Lot"`, `schemas/Lott"`, "", "no-unresolved-refs", ""},
		{"a parameter that no path has", `"/stock/{sku}"`, `"/stock/{id}"`, "", "path-parameters-defined", ""},
		{"one id twice", `"rename"`, `"getStock"`, "", "operation-operationId-unique", ""},
		{"a number that is called a text", `"number"`, `"string"`, "", "", "/weight: must be string"},
		{"a type that is not served", `application/json`, `application/xml`, "", "", `the document has no answer 200 of type "application/json"`},
	}
	var in []served
	for _, c := range spoils {
		document := bytes.ReplaceAll(api.Document(), []byte(c.old), []byte(c.new))
		require.NotEqual(t, api.Document(), document, c.name)
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/openapi.json" {
				_, _ = w.Write(document)
				return
			}
			api.ServeHTTP(w, r)
		}))
		defer s.Close()
		it := served{URL: s.URL}
		if c.misfit != "" {
			it.Calls = []call{{Operation: "getStock", Parameters: map[string]any{"sku": "84 879/ä"}}}
		}
		in = append(in, it)
	}
	var got []judged
	run(t, "openapi.js", in, &got)
	require.Len(t, got, len(in))
	for i, c := range spoils {
		t.Run(c.name, func(t *testing.T) {
			if c.schema != "" {
				require.Contains(t, strings.Join(got[i].Schema, "\n"), c.schema)
			}
			if c.rules != "" {
				require.Contains(t, strings.Join(got[i].Rules, "\n"), c.rules)
			}
			if c.misfit != "" {
				require.Contains(t, got[i].Answers[0].Misfits, c.misfit)
			}
		})
	}
}

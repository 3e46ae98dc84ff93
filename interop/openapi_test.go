package interop

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/requestreply/openapi"
	"github.com/crosstie/crosstie/requestreply/server"
)

type base struct {
	ID      string    `json:"id"`
	Created time.Time `json:"created"`
}

type page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"`
}

type line struct {
	SKU string `json:"sku" doc:"The number of the product."`
	Qty int32  `json:"qty"`
}

type order struct {
	base
	Lines    []line            `json:"lines"`
	State    string            `json:"state" enum:"open,done" doc:"Where it is."`
	Notes    map[string]string `json:"notes"`
	Parent   *order            `json:"parent,omitempty"`
	Any      any               `json:"any"`
	Blob     []byte            `json:"blob"`
	Pair     [2]float64        `json:"pair"`
	Small    uint8             `json:"small"`
	Delivery struct {
		Street string `json:"street"`
	} `json:"delivery" doc:"Where to."`
	Count int64 `json:"count,string"`
}

type search struct {
	State  []string  `query:"state,omitempty" enum:"open,done"`
	Limit  *int32    `query:"limit" doc:"How many."`
	Since  time.Time `query:"since,omitempty"`
	Tenant string    `header:"X-Tenant,omitempty"`
}

type byID struct {
	ID string `path:"id"`
}

type change struct {
	byID
	Order order `body:"json"`
}

type application struct {
	Amount      int64  `json:"amount"`
	CallbackURL string `json:"callbackUrl"`
}

func build(t *testing.T, p openapi.Profile) *openapi.API {
	t.Helper()
	first := order{State: "open", Lines: []line{{"a", 1}}}
	api := openapi.New("Orders", "1.0.0", &openapi.Options{Profile: p, Description: "All of it."})
	err := errors.Join(
		openapi.Register(api, "GET /orders", "listOrders", func(context.Context, search) (page[order], error) { return page[order]{Items: []order{first}}, nil }, nil),
		openapi.Register(api, "GET /orders/{id}", "getOrder", func(_ context.Context, in byID) (*order, error) {
			if in.ID != "1" {
				return nil, &requestreply.Problem{Status: 404, Title: "No such order", Fields: map[string]string{"/id": "unknown"}}
			}
			return &first, nil
		}, nil),
		openapi.Register(api, "PUT /orders/{id}", "putOrder", func(_ context.Context, in change) (order, error) { return in.Order, nil }, nil),
		openapi.Register(api, "DELETE /orders/{id}", "dropOrder", func(context.Context, byID) (struct{}, error) { return struct{}{}, nil }, nil),
		openapi.RegisterTx(api, server.NewMemKeys(), "POST /orders", "createOrder", func(context.Context, *sql.Tx, order) (base, error) { return base{ID: "7"}, nil }, &openapi.Operation{Summary: "Create", Status: 201}),
		openapi.Register(api, "POST /applications", "apply", func(context.Context, application) (struct{}, error) { return struct{}{}, nil },
			&openapi.Operation{Callbacks: []openapi.Callback{openapi.NewCallback[line]("decided", "{$request.body#/callbackUrl}")}}),
		openapi.Register(api, "GET /{$}", "home", func(context.Context, struct{}) (map[string][]line, error) { return nil, nil }, nil),
	)
	if err != nil {
		t.Fatal(err)
	}
	return api
}

// A stranger is kin-openapi, which knows a document and nothing of us.
type stranger struct {
	t      *testing.T
	api    *openapi.API
	router routers.Router
}

func meet(t *testing.T, api *openapi.API) stranger {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(api.Document())
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	return stranger{t, api, router}
}

// ask sends a request, has the stranger judge the answer, and returns what
// each thinks of the request.
func (s stranger) ask(method, target, body string) (ours int, answer string, theirs error) {
	s.t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Idempotency-Key", "key "+body)
	route, params, err := s.router.FindRoute(r)
	if err != nil {
		s.t.Fatal(method, target, err)
	}
	in := &openapi3filter.RequestValidationInput{Request: r.Clone(s.t.Context()), PathParams: params, Route: route}
	in.Request.Body = io.NopCloser(strings.NewReader(body))
	theirs = openapi3filter.ValidateRequest(s.t.Context(), in)
	w := httptest.NewRecorder()
	s.api.ServeHTTP(w, r)
	answer = w.Body.String()
	out := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: w.Code, Header: w.Header(), Body: io.NopCloser(strings.NewReader(answer)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	}
	if err := openapi3filter.ValidateResponse(s.t.Context(), out); err != nil {
		s.t.Errorf("%s %s is answered %s: %v", method, target, answer, err)
	}
	return w.Code, answer, theirs
}

func TestAStrangerReadsTheDocument(t *testing.T) {
	for _, p := range []openapi.Profile{openapi.ExternalServices, openapi.Standard} {
		s := meet(t, build(t, p))
		for _, c := range []struct {
			method, target, body string
			want                 int
		}{
			{"GET", "/orders?state=open&state=done&limit=3&since=2026-01-02T03:04:05Z", "", 200},
			{"GET", "/orders?state=shut", "", 400},
			{"GET", "/orders?limit=x", "", 400},
			{"GET", "/orders/1", "", 200},
			{"GET", "/orders/2", "", 404},
			{"DELETE", "/orders/1", "", 204},
			{"POST", "/applications", `{"amount":1,"callbackUrl":"x"}`, 204},
			{"POST", "/applications", `{"amount":1}`, 400},
			{"GET", "/", "", 200},
		} {
			ours, answer, theirs := s.ask(c.method, c.target, c.body)
			if ours != c.want || (theirs == nil) != (ours != 400) {
				t.Errorf("%s, %s %s: we answer %d %s, the stranger says: %v", p, c.method, c.target, ours, answer, theirs)
			}
		}
	}
}

// Of requests that are bent in one place, stranger and server say the same.
func TestAStrangerRefusesWhatWeRefuse(t *testing.T) {
	s := meet(t, build(t, openapi.ExternalServices))
	ours, whole, theirs := s.ask("GET", "/orders/1", "")
	if theirs != nil || ours != 200 {
		t.Fatal(theirs, ours)
	}
	refused := 0
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 1))
		var v map[string]any
		if err := json.Unmarshal([]byte(whole), &v); err != nil {
			t.Fatal(err)
		}
		bend(r, v)
		body, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		ours, answer, theirs := s.ask("PUT", "/orders/1", string(body))
		if (theirs == nil) != (ours == 200) {
			t.Errorf("seed %d: we answer %d %s, the stranger says %v\n%s", seed, ours, answer, theirs, body)
		}
		if ours != 200 {
			refused++
		}
	}
	if refused < 100 || refused > 450 {
		t.Errorf("%d of 500 are refused: the test is one-sided", refused)
	}
}

// bend changes a member of an order, or takes one away. Members that are read
// as texts of a form (created, count) only lose their type.
func bend(r *rand.Rand, v map[string]any) {
	keys := make([]string, 0, len(v))
	for k := range v {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	k := keys[r.IntN(len(keys))]
	switch r.IntN(4) {
	case 0:
		delete(v, k)
		return
	case 1:
		k = "any" // which takes anything
	}
	to := []any{true, 1.5, -1.0, 256.0, 3.0, []any{}, []any{1.0, 2.0}, []any{1.0}, []any{map[string]any{"sku": "b"}}, map[string]any{}, map[string]any{"street": "s"}, map[string]any{"street": 1.0}}
	if k != "created" && k != "count" && k != "blob" {
		to = append(to, "open", "done", "shut")
	}
	v[k] = to[r.IntN(len(to))]
}

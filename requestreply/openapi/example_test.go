package openapi_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/requestreply/openapi"
	"github.com/crosstie/crosstie/requestreply/server"
)

type StockQuery struct {
	SKU  string `path:"sku" doc:"The number of the product."`
	Site string `query:"site,omitempty" enum:"north,south" doc:"Where to look; everywhere if left out."`
}

type Stock struct {
	SKU  string `json:"sku"`
	Free int32  `json:"free" doc:"Pieces that nobody has reserved."`
}

type Order struct {
	Account string `json:"account"`
	Lines   []Line `json:"lines"`
}

type Line struct {
	SKU string `json:"sku"`
	Qty int32  `json:"qty"`
}

type Receipt struct {
	ID string `json:"id"`
}

// What Salesforce imports: the document is at /openapi.json, and each
// operation becomes a Flow action and a method in Apex.
func Example() {
	stock := func(ctx context.Context, q StockQuery) (Stock, error) {
		if q.SKU != "84879" {
			return Stock{}, &requestreply.Problem{Status: 404, Title: "No such product"}
		}
		return Stock{SKU: q.SKU, Free: 3}, nil
	}
	reserve := func(ctx context.Context, tx *sql.Tx, o Order) (Receipt, error) {
		return Receipt{ID: "r-1"}, nil
	}

	api := openapi.New("Warehouse", "1.4.0", nil)
	err := errors.Join(
		openapi.Register(api, "GET /stock/{sku}", "getStock", stock, nil),
		openapi.RegisterTx(api, server.NewMemKeys(), "POST /reservations", "reserve", reserve,
			&openapi.Operation{Summary: "Reserve stock for an order", Status: 201}),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	s := httptest.NewServer(api)
	defer s.Close()

	for _, path := range []string{"/stock/84879", "/stock/nothing", "/stock/84879?site=moon"} {
		resp, err := http.Get(s.URL + path)
		if err != nil {
			fmt.Println(err)
			return
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		fmt.Println(resp.StatusCode, resp.Header.Get("Content-Type"), string(body))
	}
	// Output:
	// 200 application/json {"sku":"84879","free":3}
	// 404 application/json {"title":"No such product","status":404}
	// 400 application/json {"title":"Bad Request","status":400,"detail":"query parameter \"site\": want one of north, south"}
}

// What the importer would not take is found before anybody imports it.
func ExampleRegister_refused() {
	type Price struct {
		Pence    uint64 `json:"pence"`
		Currency string `json:"currency"`
		CURRENCY string
	}
	api := openapi.New("Prices", "1.0.0", nil)
	err := openapi.Register(api, "GET /prices/{sku}", "price",
		func(ctx context.Context, _ struct{}) (Price, error) { return Price{}, nil }, nil)

	var refused *openapi.Error
	if errors.As(err, &refused) {
		for _, f := range refused.Findings {
			fmt.Printf("%s: %s\n\t(%s)\n", f.Where, f.What, f.Source)
		}
	}
	// Output:
	// pattern: {sku} needs a field of struct {} with the tag path:"sku"
	// 	(OpenAPI 3.0.3, Paths Object)
	// Price.pence: there is no unsigned integer of 64 bits: use int64 or uint32
	// 	(Salesforce Help, External Services, Schema Definitions)
	// Price.CURRENCY: differs from "currency" in case alone, which is one name in Apex: rename one
	// 	(Salesforce Help, External Services, Naming and Description Conventions)
}

// Other readers of OpenAPI need no leave from Salesforce.
func ExampleOptions_standard() {
	type Reading struct {
		Counter uint64 `json:"counter"`
	}
	api := openapi.New("Meters", "2.0.0", &openapi.Options{Profile: openapi.Standard, URL: "https://meters.example/v2"})
	err := openapi.Register(api, "POST /readings", "read",
		func(ctx context.Context, r Reading) (struct{}, error) { return struct{}{}, nil }, nil)
	fmt.Println(err)

	w := httptest.NewRecorder()
	api.ServeHTTP(w, httptest.NewRequest("POST", "/readings", strings.NewReader(`{"counter":-1}`)))
	fmt.Println(w.Code, w.Header().Get("Content-Type"))
	// Output:
	// <nil>
	// 415 application/problem+json
}

// A callback is described, and making it is up to you.
func ExampleNewCallback() {
	type Application struct {
		Amount      int64  `json:"amount"`
		CallbackURL string `json:"callbackUrl"`
	}
	type Decision struct {
		Approved bool `json:"approved"`
	}
	api := openapi.New("Loans", "1.0.0", nil)
	err := openapi.Register(api, "POST /applications", "apply",
		func(ctx context.Context, a Application) (struct{}, error) { return struct{}{}, nil },
		&openapi.Operation{Callbacks: []openapi.Callback{
			openapi.NewCallback[Decision]("decided", "{$request.body#/callbackUrl}"),
		}})
	fmt.Println(err)
	for _, note := range api.Notes() {
		fmt.Println(note)
	}
	// Output:
	// <nil>
	// apply: callback "decided": changed: callbacks are for Apex: a flow does not see them (Salesforce Help, External Services, Callouts and Callbacks: Limits and Usage)
}

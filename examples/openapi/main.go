// Openapi serves a warehouse that Salesforce can import by its document, and
// plays the importer: it meets what would have been refused, reads the
// document, and calls the operations as a flow does.
//
//	go run ./examples/openapi
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/requestreply/openapi"
	"github.com/crosstie/crosstie/requestreply/server"
)

type stockQuery struct {
	SKU  string `path:"sku" doc:"The number of the product."`
	Site string `query:"site,omitempty" enum:"north,south" doc:"Where to look; everywhere if left out."`
}

type stock struct {
	SKU  string   `json:"sku"`
	Free int32    `json:"free" doc:"Pieces that nobody has reserved."`
	Lots []string `json:"lots"`
}

type order struct {
	SKU string `json:"sku"`
	Qty int32  `json:"qty"`
}

type receipt struct {
	ID   string `json:"id"`
	Left int32  `json:"left"`
}

func main() {
	left := int32(3)
	look := func(_ context.Context, q stockQuery) (stock, error) {
		if q.SKU != "84879" {
			return stock{}, &requestreply.Problem{Status: http.StatusNotFound, Title: "No such product"}
		}
		return stock{SKU: q.SKU, Free: left}, nil // no lots: the answer has [], not null
	}
	reserve := func(_ context.Context, _ *sql.Tx, o order) (receipt, error) {
		if o.Qty > left {
			return receipt{}, &requestreply.Problem{Status: http.StatusConflict, Title: "Out of stock"}
		}
		left -= o.Qty
		return receipt{ID: "r-1", Left: left}, nil
	}

	api := openapi.New("Warehouse", "1.4.0", nil)
	if err := errors.Join(
		openapi.Register(api, "GET /stock/{sku}", "getStock", look, &openapi.Operation{Summary: "How much there is of a product"}),
		openapi.RegisterTx(api, server.NewMemKeys(), "POST /reservations", "reserve", reserve,
			&openapi.Operation{Summary: "Reserve stock for an order", Status: http.StatusCreated}),
	); err != nil {
		log.Fatal(err)
	}

	fmt.Println("An operation that could not be imported is not registered:")
	type price struct {
		Pence uint64 `json:"pence"`
	}
	err := openapi.Register(api, "GET /price/", "price", func(context.Context, struct{}) (price, error) { return price{}, nil }, nil)
	if e, ok := errors.AsType[*openapi.Error](err); ok {
		for _, f := range e.Findings {
			fmt.Println("  ", f)
		}
	}
	fmt.Println("What the others look like there:")
	for _, note := range api.Notes() {
		fmt.Println("  ", note)
	}

	s := httptest.NewServer(api)
	defer s.Close()
	fmt.Println("The document, which you register as an External Service:")
	document := call(s.URL, "GET", "/openapi.json", "", "")
	fmt.Printf("   %d bytes of OpenAPI 3.0 with %d operations\n", len(document), strings.Count(document, `"operationId"`))
	fmt.Println("A flow calls them:")
	fmt.Println("  ", call(s.URL, "GET", "/stock/84879?site=north", "", ""))
	fmt.Println("  ", call(s.URL, "GET", "/stock/84879?sight=north", "", ""))
	for range 2 { // it ran twice, and reserved once
		fmt.Println("  ", call(s.URL, "POST", "/reservations", "order-4711", `{"sku":"84879","qty":2}`))
	}
	fmt.Println("  ", call(s.URL, "POST", "/reservations", "order-4712", `{"sku":"84879"}`))
	fmt.Println("   left:", left)
}

// call asks as External Services does: the type it accepts is the document's.
func call(base, method, path, key, body string) string {
	r, err := http.NewRequest(method, base+path, strings.NewReader(body))
	if err != nil {
		log.Fatal(err)
	}
	r.Header = http.Header{"Accept": {"application/json"}, "Content-Type": {"application/json;charset=UTF-8"}, "Idempotency-Key": {key}}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	return string(answer)
}

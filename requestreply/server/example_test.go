package server_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/requestreply/server"
)

type Order struct {
	SKU string `json:"sku"`
	Qty int    `json:"qty"`
}

type Receipt struct {
	Reserved int `json:"reserved"`
}

func ExampleHandle() {
	mux := http.NewServeMux()
	mux.Handle("GET /stock/{sku}", server.Handle(func(ctx context.Context, _ struct{}) (Receipt, error) {
		if server.Request(ctx).PathValue("sku") != "84879" {
			return Receipt{}, &requestreply.Problem{Status: 404, Title: "No such product"}
		}
		return Receipt{Reserved: 3}, nil
	}, nil))
	s := httptest.NewServer(mux)
	defer s.Close()

	for _, sku := range []string{"84879", "nothing"} {
		stock := requestreply.Endpoint[struct{}, Receipt]{Method: "GET", URL: s.URL + "/stock/" + sku}
		r, err := stock.Call(context.Background(), struct{}{})
		fmt.Println(r.Reserved, err != nil)
	}
	// Output:
	// 3 false
	// 0 true
}

// With a database, keys come from sqlstore, and what the function does in its
// transaction is committed with the answer.
func ExampleHandleTx() {
	reserved := 0
	reserve := server.HandleTx(server.NewMemKeys(),
		func(ctx context.Context, tx *sql.Tx, o Order) (Receipt, error) {
			reserved += o.Qty
			return Receipt{Reserved: o.Qty}, nil
		}, nil)
	s := httptest.NewServer(reserve)
	defer s.Close()

	ctx := requestreply.WithIdempotencyKey(context.Background(), "order-1001")
	call := requestreply.Endpoint[Order, Receipt]{URL: s.URL, Keyed: true}
	for range 3 { // an anxious caller
		r, err := call.Call(ctx, Order{SKU: "84879", Qty: 2})
		fmt.Println(r.Reserved, err)
	}
	fmt.Println("reserved:", reserved)
	// Output:
	// 2 <nil>
	// 2 <nil>
	// 2 <nil>
	// reserved: 2
}

func ExampleIdempotent() {
	sent := 0
	old := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent++
		_, _ = fmt.Fprintf(w, "message %d sent", sent)
	})
	callerOf := func(r *http.Request) string { return r.Header.Get("X-Authenticated-Caller") }
	h := server.Idempotent(server.NewMemKeys(), callerOf, nil)(old)

	for range 2 {
		r := httptest.NewRequest("POST", "/messages", nil)
		r.Header.Set("Idempotency-Key", `"m-1"`)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Body, "replayed:", w.Header().Get("Idempotent-Replayed") == "true")
	}
	// Output:
	// 200 message 1 sent replayed: false
	// 200 message 1 sent replayed: true
}

// Tags say which field comes from where; what does not fit is answered 400
// with its name.
func ExampleHandle_tags() {
	type ask struct {
		SKU  string `path:"sku"`
		Site string `query:"site" enum:"north,south"`
		Max  *int   `query:"max"`
	}
	mux := http.NewServeMux()
	mux.Handle("GET /stock/{sku}", server.Handle(func(ctx context.Context, in ask) (Receipt, error) {
		return Receipt{Reserved: len(in.SKU)}, nil
	}, nil))

	for _, target := range []string{"/stock/84879?site=north", "/stock/84879?site=east", "/stock/84879?site=north&mxa=3"} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest("GET", target, nil))
		fmt.Println(w.Body)
	}
	// Output:
	// {"reserved":5}
	// {"title":"Bad Request","status":400,"detail":"query parameter \"site\": want one of north, south"}
	// {"title":"Bad Request","status":400,"detail":"query parameter \"mxa\": the name is not known"}
}

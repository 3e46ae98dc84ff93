package requestreply_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply"
)

type Order struct {
	SKU string `json:"sku"`
	Qty int    `json:"qty"`
}

type Receipt struct {
	Number int `json:"number"`
}

func ExampleEndpoint_Call() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprint(w, `{"number": 42}`)
	}))
	defer server.Close()

	guard := requestreply.NewGuard(nil) // one for the program
	place := requestreply.Endpoint[Order, Receipt]{URL: server.URL + "/orders", Keyed: true, Guard: guard}

	receipt, err := place.Call(context.Background(), Order{SKU: "84879", Qty: 3})
	fmt.Println(receipt.Number, err)
	// Output: 42 <nil>
}

func ExampleEndpoint_Call_unknown() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		panic(http.ErrAbortHandler) // it may have done the work: the answer is lost
	}))
	defer server.Close()

	place := requestreply.Endpoint[Order, Receipt]{URL: server.URL + "/orders"}
	_, err := place.Call(context.Background(), Order{SKU: "84879", Qty: 3})

	switch outcome.Of(err) {
	case outcome.NotSent, outcome.Refused:
		fmt.Println("nothing happened there: repeat it, or tell the user")
	case outcome.Applied:
		fmt.Println("it happened: only the answer is missing")
	case outcome.Unknown:
		failed, _ := errors.AsType[*requestreply.Error](err)
		fmt.Println("it may have happened; attempts:", failed.Attempts)
	}
	// Output: it may have happened; attempts: 1
}

func ExampleRun() {
	guard := requestreply.NewGuard(&requestreply.Options{TryTimeout: time.Second})
	calls := 0
	price, err := requestreply.Run(context.Background(), guard, requestreply.Op{Target: "prices", Idempotent: true},
		func(ctx context.Context) (int, error) {
			if calls++; calls == 1 {
				return 0, errors.New("connection reset")
			}
			return 1250, nil
		})
	fmt.Println(price, err, calls)
	// Output: 1250 <nil> 2
}

func ExampleWithIdempotencyKey() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println(r.Header.Get("Idempotency-Key"))
		w.WriteHeader(http.StatusNoContent)
	}))
	defer server.Close()

	// The key was stored with the order before the first attempt; a process
	// that finds the order unsettled after a crash calls again under it.
	ctx := requestreply.WithIdempotencyKey(context.Background(), "order-1001")
	cancel := requestreply.Endpoint[struct{}, struct{}]{URL: server.URL + "/orders/1001/cancel", Keyed: true}
	_, err := cancel.Call(ctx, struct{}{})
	fmt.Println(err)
	// Output:
	// "order-1001"
	// <nil>
}

func ExampleTransport() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println(r.Method, r.Header.Get("Idempotency-Key"))
	}))
	defer server.Close()

	client := &http.Client{Transport: &requestreply.Transport{
		Guard:    requestreply.NewGuard(nil),
		KeyHosts: []string{"127.0.0.1"}, // what is sent elsewhere carries no key
	}}
	ctx := requestreply.WithIdempotencyKey(context.Background(), "order-1001")
	r, _ := http.NewRequestWithContext(ctx, http.MethodPost, server.URL, nil)
	resp, err := client.Do(r) // or hand the client to any SDK
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = resp.Body.Close()
	fmt.Println(resp.Status)
	// Output:
	// POST "order-1001"
	// 200 OK
}

// Chatty loads a page of 26 products whose prices are in another system: row by
// row, under a budget of calls, and gathered, and shows what each costs.
//
//	go run ./examples/chatty
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"time"

	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/requestreply/coalesce"
)

type query struct {
	SKUs []string `json:"skus"`
}

type prices map[string]int // cents by SKU

// priceList is the other system: 20 ms away, and it takes lists.
func priceList(w http.ResponseWriter, r *http.Request) {
	time.Sleep(20 * time.Millisecond)
	var q query
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	found := prices{}
	for i, sku := range q.SKUs {
		if sku != "discontinued" {
			found[sku] = 100 + i
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(found)
}

func main() {
	server := httptest.NewServer(http.HandlerFunc(priceList))
	defer server.Close()
	ask := requestreply.Endpoint[query, prices]{
		URL: server.URL + "/prices", Idempotent: true, Guard: requestreply.NewGuard(nil),
	}
	skus := []string{"discontinued"}
	for i := range 25 {
		skus = append(skus, fmt.Sprintf("sku-%02d", i))
	}

	rowByRow := func(ctx context.Context) error {
		for _, sku := range skus {
			if _, err := ask.Call(ctx, query{SKUs: []string{sku}}); err != nil {
				return err
			}
		}
		return nil
	}

	// One for the program. No row knows of the others.
	batch := coalesce.NewBatcher(func(ctx context.Context, skus []string) (map[string]int, error) {
		return ask.Call(ctx, query{SKUs: skus})
	}, nil)
	gathered := func(ctx context.Context) error {
		var rows sync.WaitGroup
		errs := make([]error, len(skus))
		for i, sku := range skus {
			rows.Go(func() { _, errs[i] = batch.Load(ctx, sku) })
		}
		rows.Wait()
		return errors.Join(errs...)
	}

	for _, page := range []struct {
		name   string
		load   func(context.Context) error
		budget requestreply.TripsOptions
	}{
		{"row by row", rowByRow, requestreply.TripsOptions{}},
		{"row by row, at most 5 calls", rowByRow, requestreply.TripsOptions{Name: "the page", Max: 5, Refuse: true}},
		{"gathered, at most 5 calls", gathered, requestreply.TripsOptions{Max: 5, Refuse: true}},
	} {
		ctx, trips := requestreply.WithTrips(context.Background(), &page.budget)
		began := time.Now()
		err := page.load(ctx)
		fmt.Printf("%-28s %2d calls, %3d ms\n", page.name, trips.Made(), time.Since(began).Milliseconds())
		switch {
		case errors.Is(err, coalesce.ErrMissing):
			fmt.Println("  one row without a price:", err)
		case errors.Is(err, requestreply.ErrTrips):
			fmt.Println("  refused:", err)
		case err != nil:
			log.New(os.Stderr, "", 0).Fatal(err)
		}
	}
}

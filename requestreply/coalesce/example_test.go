package coalesce_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/crosstie/crosstie/requestreply/coalesce"
)

type Price struct{ Cents int }

// Each row of a page loads its own price; the price list is asked once.
func ExampleBatcher() {
	calls := 0
	prices := coalesce.NewBatcher(func(ctx context.Context, skus []string) (map[string]Price, error) {
		calls++ // one request to the price list, for instance by an Endpoint
		found := map[string]Price{}
		for i, sku := range skus {
			found[sku] = Price{Cents: 100 * (i + 1)}
		}
		return found, nil
	}, &coalesce.BatcherOptions{MaxKeys: 26, Window: time.Second}) // the 26th key sends them all

	var page sync.WaitGroup
	for row := range 26 {
		page.Go(func() {
			if _, err := prices.Load(context.Background(), fmt.Sprintf("sku-%d", row)); err != nil {
				fmt.Println(err)
			}
		})
	}
	page.Wait()
	fmt.Println("26 rows, calls:", calls)
	// Output: 26 rows, calls: 1
}

func ExampleBatcher_LoadAll() {
	prices := coalesce.NewBatcher(func(ctx context.Context, skus []string) (map[string]Price, error) {
		return map[string]Price{"22423": {Cents: 1275}},
			coalesce.KeyErrors[string]{"84879": errors.New("withdrawn")}
	}, nil)

	found, err := prices.LoadAll(context.Background(), []string{"22423", "84879", "85123A"})
	fmt.Println(len(found), "found:", found["22423"].Cents)
	if failed, ok := errors.AsType[coalesce.KeyErrors[string]](err); ok {
		fmt.Println("84879:", failed["84879"])
		fmt.Println("85123A is missing:", errors.Is(failed["85123A"], coalesce.ErrMissing))
	}
	// Output:
	// 1 found: 1275
	// 84879: withdrawn
	// 85123A is missing: true
}

// Many wait for the same report; it is made once, and the one who gives up
// takes it from nobody.
func ExampleShared() {
	made := make(chan struct{})
	reports := coalesce.NewShared(func(ctx context.Context, month string) (string, error) {
		<-made
		return "report of " + month, ctx.Err()
	}, nil)

	impatient, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	var all sync.WaitGroup
	all.Go(func() {
		text, err := reports.Do(context.Background(), "May")
		fmt.Println(text, err)
	})
	_, err := reports.Do(impatient, "May")
	fmt.Println("gave up:", errors.Is(err, context.DeadlineExceeded))
	close(made)
	all.Wait()
	// Output:
	// gave up: true
	// report of May <nil>
}

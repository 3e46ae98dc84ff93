package uiupdate_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/crosstie/crosstie/uiupdate"
	"github.com/crosstie/crosstie/uiupdate/uiupdatetest"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// A watcher gets the rows, learns that it has all, and then each change.
func Example() {
	stock := uiupdate.NewView[string, int](nil)
	if err := stock.Reset(map[string]int{"M-1042": 17}, noon); err != nil {
		fmt.Println(err)
	}
	for e, err := range stock.Watch(context.Background(), "") {
		if err != nil {
			fmt.Println(err)
			break
		}
		fmt.Print(e.Kind)
		for _, c := range e.Changes {
			fmt.Printf(" %s=%d as of %s", c.Key, c.Value, c.AsOf.Format(time.TimeOnly))
		}
		fmt.Println()
		if e.Kind == uiupdate.Delta {
			break
		}
		if e.Kind == uiupdate.Live {
			_ = stock.Set("M-1042", 99, noon.Add(-time.Hour)) // late: left out
			_ = stock.Set("M-1042", 16, noon.Add(time.Second))
		}
	}
	fmt.Println("late:", stock.Stats().Late)
	// Output:
	// reset
	// snapshot M-1042=17 as of 12:00:00
	// live
	// delta M-1042=16 as of 12:00:01
	// late: 1
}

// A browser that was cut off goes on where it was.
func ExampleNewHandler() {
	stock := uiupdate.NewView[string, int](nil)
	server := httptest.NewServer(uiupdate.NewHandler(stock, nil))
	defer server.Close()
	_ = stock.Set("M-1042", 17, noon)

	browser := &uiupdatetest.Client{URL: server.URL}
	live := func(c *uiupdatetest.Copy) bool { return c.Live }
	fmt.Println(browser.Connect(context.Background()), browser.Until(live))
	browser.Close()

	_ = stock.Set("M-1043", 5, noon)
	_ = stock.Delete("M-1042", noon)

	fmt.Println(browser.Connect(context.Background()), browser.Until(live))
	browser.Close()
	for key, row := range browser.Copy.Rows {
		fmt.Println(key, string(row.Value))
	}
	fmt.Println("began", browser.Copy.Resets, "time")
	// Output:
	// <nil> <nil>
	// <nil> <nil>
	// M-1043 5
	// began 1 time
}

// When the source is down, a value is answered as long as it may be, and says
// that it is stale.
func ExampleFresh() {
	up := true
	prices := uiupdate.NewFresh(func(_ context.Context, part string) (float64, error) {
		if !up {
			return 0, errors.New("the price list is down")
		}
		return 9.95, nil
	}, &uiupdate.FreshOptions{MaxAge: time.Nanosecond, MaxStale: time.Hour})
	ctx := context.Background()
	price, err := prices.Load(ctx, "M-1042")
	fmt.Println(price.V, price.Stale, err)

	up = false
	price, err = prices.Load(ctx, "M-1042")
	fmt.Println(price.V, price.Stale, price.Err, err)

	_, err = prices.Within(ctx, "M-1042", time.Nanosecond)
	fmt.Println(errors.Is(err, uiupdate.ErrTooStale))
	// Output:
	// 9.95 false <nil>
	// 9.95 true the price list is down <nil>
	// true
}

// The script is served from the host of the pages.
func ExampleScript() {
	mux := http.NewServeMux()
	mux.Handle("/uiupdate.js", uiupdate.Script())
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/uiupdate.js", nil))
	fmt.Println(w.Code, w.Header().Get("Content-Type"))
	// Output: 200 text/javascript; charset=utf-8
}

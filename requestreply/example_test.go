package requestreply_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
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

// A page load that may make 20 calls. What goes over is found in the log, with
// the line that made it.
func ExampleWithTrips() {
	loadPage := func(ctx context.Context) error {
		for range 25 {
			_, err := requestreply.Run(ctx, nil, requestreply.Op{Target: "prices.example"}, func(context.Context) (int, error) {
				return 1275, nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	}

	ctx, trips := requestreply.WithTrips(context.Background(), &requestreply.TripsOptions{
		Name: "product page", Max: 20, Refuse: true,
	})
	err := loadPage(ctx)
	fmt.Println(errors.Is(err, requestreply.ErrTrips), outcome.Of(err))
	for _, c := range trips.Calls() {
		fmt.Println(c.Target, c.Made, c.Refused)
	}
	// Output:
	// true not sent
	// prices.example 20 1
}

// A list in pages, by its Link headers. The error names the page to go on from.
func ExamplePaged() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Query().Get("page") != "2" {
			w.Header().Set("Link", `<?page=2>; rel="next"`)
			_, _ = fmt.Fprint(w, `["tea", "milk"]`)
			return
		}
		_, _ = fmt.Fprint(w, `["sugar"]`)
	}))
	defer server.Close()

	products := requestreply.Paged[struct{}, []string]{
		Endpoint: requestreply.Endpoint[struct{}, []string]{URL: server.URL + "/products"},
	}
	for page, err := range products.All(context.Background()) {
		if err != nil {
			fmt.Println("go on at", page.At, "after", err)
			return
		}
		fmt.Println(page.Value)
	}
	// Output:
	// [tea milk]
	// [sugar]
}

// Two people change the same stock. The second is told so, and overwrites
// nothing.
func ExampleEndpoint_Reply_ifMatch() {
	version := 1
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("ETag", fmt.Sprintf(`"v%d"`, version))
		if r.Method == http.MethodPut {
			if r.Header.Get("If-Match") != fmt.Sprintf(`"v%d"`, version) {
				w.WriteHeader(http.StatusPreconditionFailed)
				return
			}
			version++
		}
		_, _ = fmt.Fprint(w, `{"sku": "84879", "qty": 3}`)
	}))
	defer server.Close()
	ctx := context.Background()

	read := requestreply.Endpoint[struct{}, Order]{Method: "GET", URL: server.URL + "/stock/84879"}
	mine, _ := read.Reply(ctx, struct{}{})
	theirs, _ := read.Reply(ctx, struct{}{})

	write := requestreply.Endpoint[Order, Order]{Method: "PUT", URL: server.URL + "/stock/84879"}
	write.IfMatch = theirs.ETag()
	_, err := write.Call(ctx, Order{SKU: "84879", Qty: 2})
	fmt.Println("they:", err)
	write.IfMatch = mine.ETag()
	_, err = write.Call(ctx, Order{SKU: "84879", Qty: 1})
	fmt.Println("me:", errors.Is(err, requestreply.ErrPrecondition), outcome.Of(err))
	// Output:
	// they: <nil>
	// me: true refused
}

// Every page of a server under one budget: what calls too often is in the log.
func ExampleWithTrips_middleware() {
	log := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == "site" {
				return slog.Attr{}
			}
			return a
		},
	}))
	budget := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx, _ := requestreply.WithTrips(r.Context(), &requestreply.TripsOptions{
				Name: r.Pattern, Max: 2, Sites: true, Logger: log,
			})
			next.ServeHTTP(w, r.WithContext(ctx))
		})
	}

	pages := http.NewServeMux()
	pages.Handle("GET /products", budget(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for range 26 {
			_, _ = requestreply.Run(r.Context(), nil, requestreply.Op{Target: "prices.example"}, func(context.Context) (int, error) {
				return 1275, nil
			})
		}
	})))
	pages.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/products", nil))
	// Output: level=WARN msg="requestreply: more calls than planned" work="GET /products" max=2 target=prices.example
}

// A library that knows no context hangs for a minute; its caller has an answer
// on time. The operation keeps its place until it returns.
func ExampleAbandon() {
	guard := requestreply.NewGuard(&requestreply.Options{TryTimeout: 20 * time.Millisecond})
	free := make(chan struct{})
	_, err := requestreply.Abandon(context.Background(), guard, requestreply.Op{Target: "tax"}, func(context.Context) (int, error) {
		<-free // and no context ends it
		return 19, nil
	})
	fmt.Println(errors.Is(err, requestreply.ErrAbandoned), outcome.Of(err), guard.Abandoned())
	close(free)
	// Output: true unknown 1
}

// A transaction that deadlocked is repeated whole: nothing of it was done.
func ExampleTx() {
	var db *sql.DB // opened by your driver
	take := func(ctx context.Context, tx *sql.Tx) (left int, err error) {
		err = tx.QueryRowContext(ctx, "update stock set free = free - 1 where sku = $1 returning free", "85123A").Scan(&left)
		return left, err
	}
	reserve := func(ctx context.Context, guard *requestreply.Guard) (int, error) {
		return requestreply.Run(ctx, guard, requestreply.Op{Target: "stock"}, func(ctx context.Context) (int, error) {
			return requestreply.Tx(ctx, db, take, nil)
		})
	}
	_ = reserve
}

// The answer to a charge is lost. The other side is asked for its key, and
// knows it: so the charge was made, and must not be made again.
func ExampleOp_confirm() {
	ctx := requestreply.WithIdempotencyKey(context.Background(), "invoice-4711")
	_, err := requestreply.Run(ctx, nil, requestreply.Op{
		Target: "billing",
		Confirm: func(ctx context.Context, key string) (outcome.Outcome, error) {
			fmt.Println("is there a charge for", key+"?")
			return outcome.Applied, nil
		},
	}, func(context.Context) (struct{}, error) {
		return struct{}{}, &net.OpError{Op: "read", Err: io.ErrUnexpectedEOF}
	})
	fmt.Println(outcome.Of(err))
	// Output:
	// is there a charge for invoice-4711?
	// applied
}

// A report of any size goes to its reader as it comes, and a table goes up as
// it is read: neither is ever held in memory.
func ExampleEndpoint_Stream() {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body) // sends back what it gets
	}))
	defer api.Close()

	convert := requestreply.Endpoint[requestreply.Upload, struct{}]{URL: api.URL + "/convert", Idempotent: true}
	report, err := convert.Stream(context.Background(), requestreply.Upload{
		ContentType: "text/csv",
		Open:        func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("sku,qty\n85123A,6\n")), nil },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer report.Value.Close()
	if _, err := io.Copy(os.Stdout, report.Value); err != nil {
		fmt.Println(err)
	}
	// Output:
	// sku,qty
	// 85123A,6
}

func ExampleCheckRedirect() {
	client := &http.Client{
		Transport:     &requestreply.Transport{Guard: requestreply.NewGuard(nil)},
		CheckRedirect: requestreply.CheckRedirect, // an X-Api-Key goes to its own origin only
	}
	_ = client
}

// The other side is told how long each attempt is waited for, and need not
// work for nobody.
func ExampleTransport_timeHosts() {
	client := &http.Client{Transport: &requestreply.Transport{
		Guard:     requestreply.NewGuard(nil),
		TimeHosts: []string{"warehouse.example"}, // and nobody else
	}}
	_ = client
}

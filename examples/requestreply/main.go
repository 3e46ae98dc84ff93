// Requestreply asks a warehouse that loses answers, is overloaded, hangs and
// goes away, and shows what is known after each call: what happened there,
// whether it may be repeated, and how a key settles what is unknown.
//
//	go run ./examples/requestreply
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
	"sync/atomic"
	"time"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/requestreply/server"
	"github.com/crosstie/crosstie/retry"
)

type order struct {
	SKU string `json:"sku"`
	Qty int    `json:"qty"`
}

type receipt struct {
	Left int `json:"left"`
}

// A warehouse holds 100 pieces; trouble says what happens to the next request.
type warehouse struct {
	left    atomic.Int64
	trouble atomic.Value // of string
}

func (w *warehouse) reserve(_ context.Context, _ *sql.Tx, o order) (receipt, error) {
	if int64(o.Qty) > w.left.Load() {
		return receipt{}, &requestreply.Problem{Status: http.StatusConflict, Title: "Out of stock"}
	}
	return receipt{Left: int(w.left.Add(int64(-o.Qty)))}, nil
}

// flaky stands between caller and warehouse, as a network does.
func (w *warehouse) flaky(h http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch w.trouble.Swap("") {
		case "loses the answer":
			h.ServeHTTP(httptest.NewRecorder(), r) // it is done,
			panic(http.ErrAbortHandler)            // and nobody hears of it
		case "is overloaded":
			rw.Header().Set("Retry-After", "1")
			rw.WriteHeader(http.StatusServiceUnavailable)
		case "hangs":
			h.ServeHTTP(httptest.NewRecorder(), r)
			<-r.Context().Done()
		default:
			h.ServeHTTP(rw, r)
		}
	})
}

func main() {
	w := &warehouse{}
	w.left.Store(100)
	keys := server.NewMemKeys() // with a database: sqlstore's DB.Keys()
	s := httptest.NewUnstartedServer(w.flaky(server.HandleTx(keys, w.reserve, &server.Options{KeyOptional: true})))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Start()

	guard := requestreply.NewGuard(&requestreply.Options{TryTimeout: 500 * time.Millisecond, Retry: retry.Policy{MaxAttempts: 3}})
	plain := requestreply.Endpoint[order, receipt]{URL: s.URL + "/reservations", Guard: guard}
	keyed := plain
	keyed.Keyed = true

	ask := func(what string, e requestreply.Endpoint[order, receipt], trouble string, qty int) {
		w.trouble.Store(trouble)
		before := w.left.Load()
		got, err := e.Call(context.Background(), order{SKU: "84879", Qty: qty})
		fmt.Printf("%-42s ", what)
		if err == nil {
			fmt.Printf("reserved, %d left", got.Left)
		} else {
			fmt.Printf("%s: %s", outcome.Of(err), advice(err))
		}
		fmt.Printf(" (in truth %d were taken)\n", before-w.left.Load())
	}
	ask("all is well", plain, "", 2)
	ask("overloaded: waits as asked, repeats", plain, "is overloaded", 2)
	ask("answer lost, no key", plain, "loses the answer", 2)
	ask("answer lost, with a key", keyed, "loses the answer", 2)
	ask("hangs after doing it, no key", plain, "hangs", 2)
	ask("hangs after doing it, with a key", keyed, "hangs", 2)
	ask("refused: out of stock", keyed, "", 1000)
	s.Close()
	ask("the warehouse is gone", plain, "", 2)
}

// advice is what a program would do: repeat, ask, or tell its user.
func advice(err error) string {
	if p, ok := errors.AsType[*requestreply.Problem](err); ok {
		return "tell the user: " + p.Title
	}
	switch outcome.Of(err) {
	case outcome.NotSent, outcome.Refused:
		return "nothing happened, repeat it later"
	case outcome.Applied:
		return "it happened, do not repeat it"
	}
	return "it may have happened, look before you repeat it"
}

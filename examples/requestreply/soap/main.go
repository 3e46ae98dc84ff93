// Soap calls a service of the old kind: a login whose session travels in a
// header block, an order that is refused with a typed fault, and one whose
// answer is lost. The service has never heard of an Idempotency-Key, so the
// order's own number settles what is unknown.
//
//	go run ./examples/requestreply/soap
package main

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/requestreply/soap"
)

type login struct {
	XMLName xml.Name `xml:"urn:erp login"`
	User    string   `xml:"user"`
}

type session struct {
	XMLName xml.Name `xml:"urn:erp session"`
	ID      string   `xml:"id"`
}

type order struct {
	XMLName xml.Name `xml:"urn:erp order"`
	Number  string   `xml:"number"`
	Qty     int      `xml:"qty"`
}

type ordered struct {
	XMLName xml.Name `xml:"urn:erp orderResponse"`
	Left    int      `xml:"left"`
}

type outOfStock struct {
	XMLName xml.Name `xml:"urn:erp outOfStock"`
	Left    int      `xml:"left"`
}

// An erp has ten pieces, and loses the next answer when it is told to.
type erp struct {
	loses atomic.Bool
	mu    sync.Mutex // guards what follows
	left  int
	taken map[string]bool
}

func (e *erp) order(ctx context.Context, o order) (ordered, error) {
	var s session
	if ok, err := soap.ReadBlock(ctx, &s); err != nil || !ok || s.ID != "s-1" {
		return ordered{}, &soap.Fault{Code: "Client.Session", Text: "log in first"}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if o.Qty > e.left {
		return ordered{}, &soap.Fault{Code: "Client", Text: "out of stock", Detail: outOfStock{Left: e.left}}
	}
	e.left -= o.Qty
	e.taken[o.Number] = true
	return ordered{Left: e.left}, nil
}

func main() {
	e := &erp{left: 10, taken: map[string]bool{}}
	mux := soap.NewMux(&soap.Options{Understands: []xml.Name{{Space: "urn:erp", Local: "session"}}})
	soap.Handle(mux, "", func(context.Context, login) (session, error) { return session{ID: "s-1"}, nil })
	soap.Handle(mux, "", e.order)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if e.loses.Swap(false) {
			mux.ServeHTTP(httptest.NewRecorder(), r) // it is done,
			panic(http.ErrAbortHandler)              // and nobody hears of it
		}
		mux.ServeHTTP(w, r)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Start()
	defer s.Close()

	ctx := context.Background()
	guard := requestreply.NewGuard(nil)
	place := soap.Endpoint[order, ordered]{
		URL: s.URL, Guard: guard,
		Confirm: func(_ context.Context, number string) (outcome.Outcome, error) {
			e.mu.Lock()
			defer e.mu.Unlock()
			if e.taken[number] { // a query of the service, in earnest
				return outcome.Applied, nil
			}
			return outcome.Unknown, nil
		},
	}
	ask := func(number string, qty int) {
		got, err := place.Call(requestreply.WithIdempotencyKey(ctx, number), order{Number: number, Qty: qty})
		var few outOfStock
		f, _ := errors.AsType[*soap.Fault](err)
		switch {
		case err == nil:
			fmt.Printf("%s: ordered, %d left\n", number, got.Left)
		case f == nil:
			fmt.Printf("%s: no answer, and it is known that it was %v\n", number, outcome.Of(err))
		default:
			found, _ := f.In(&few)
			fmt.Printf("%s: %v (%s: %s, detail: %v, left: %d)\n", number, outcome.Of(err), f.Code, f.Text, found, few.Left)
		}
	}

	ask("order-1", 2) // without a session
	in, err := soap.Endpoint[login, session]{URL: s.URL, Guard: guard}.Call(ctx, login{User: "crosstie"})
	if err != nil {
		log.Fatal(err)
	}
	place.Blocks = []soap.Block{{Value: session{ID: in.ID}, MustUnderstand: true}}
	ask("order-1", 2)
	ask("order-2", 100)
	e.loses.Store(true)
	ask("order-3", 3)
	ask("order-4", 1)
}

// Pitfalls makes three mistakes of synchronous calls, each beside the way that
// does not: a call without a deadline, the repeat of an outcome that is unknown,
// and an error that is kept. The fourth, a chatty page, is examples/chatty.
//
//	go run ./examples/pitfalls
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/requestreply/coalesce"
)

func main() {
	withoutDeadline()
	repeatOfTheUnknown()
	keptError()
}

// serve runs h until the returned function is called.
func serve(h http.HandlerFunc) (url string, stop func()) {
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Start()
	return s.URL, s.Close
}

// A warehouse hangs. http.Get waits as long as it does; a guarded call ends.
func withoutDeadline() {
	awake := make(chan struct{})
	url, stop := serve(func(http.ResponseWriter, *http.Request) { <-awake })
	defer stop()
	time.AfterFunc(time.Second, func() { close(awake) }) // a real one may hang for ever

	began := time.Now()
	stock := requestreply.Endpoint[struct{}, int]{
		Method: "GET", URL: url, Guard: requestreply.NewGuard(&requestreply.Options{Timeout: 200 * time.Millisecond}),
	}
	_, err := stock.Call(context.Background(), struct{}{})
	fmt.Printf("a call with a deadline     ended after %4d ms: time-out %v\n", time.Since(began).Milliseconds(), errors.Is(err, context.DeadlineExceeded))

	resp, err := http.Get(url)
	if err == nil {
		_ = resp.Body.Close()
	}
	fmt.Printf("a call without one         ended after %4d ms, when it pleased the other side\n\n", time.Since(began).Milliseconds())
}

// A till charges and its answer is lost. Who repeats charges twice; who asks
// for the key knows.
func repeatOfTheUnknown() {
	var charges atomic.Int64
	url, stop := serve(func(http.ResponseWriter, *http.Request) {
		charges.Add(1)
		panic(http.ErrAbortHandler) // after the charge
	})
	defer stop()

	for range 3 {
		if resp, err := http.Post(url, "application/json", strings.NewReader(`{"cents":500}`)); err == nil {
			_ = resp.Body.Close()
			break
		}
	}
	fmt.Printf("repeating what failed      charged %d times\n", charges.Swap(0))

	charge := requestreply.Endpoint[map[string]int, struct{}]{URL: url, Confirm: func(_ context.Context, key string) (outcome.Outcome, error) {
		if charges.Load() > 0 { // a real one asks the till for key
			return outcome.Applied, nil
		}
		return outcome.Refused, nil
	}}
	_, err := charge.Call(requestreply.WithIdempotencyKey(context.Background(), "invoice-4711"), map[string]int{"cents": 500})
	fmt.Printf("asking for its key         charged %d time, and says: %s\n\n", charges.Load(), outcome.Of(err))
}

// A price list has one bad moment. Who keeps what came back fails for ever; who
// shares the calls that run at the same time asks again.
func keptError() {
	bad := true
	ask := func(context.Context, string) (int, error) {
		if bad {
			return 0, errors.New("status 503")
		}
		return 1275, nil
	}
	kept := sync.OnceValues(func() (int, error) { return ask(context.Background(), "22423") })
	shared := coalesce.NewShared(ask, nil)
	_, _ = kept()
	_, _ = shared.Do(context.Background(), "22423")
	bad = false // a moment later
	_, err := kept()
	fmt.Printf("keeping what came back     %v\n", err)
	cents, err := shared.Do(context.Background(), "22423")
	fmt.Printf("sharing what is under way  %d cents, error %v\n", cents, err)
}

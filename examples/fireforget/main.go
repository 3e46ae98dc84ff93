// Command fireforget shows a message surviving a receiver that is down.
//
// A shop sends 30 notices as signed webhooks. For its first two seconds the
// receiver answers 503; later it drops some answers after it has done the
// work, which the shop cannot tell from work not done. The relay tries again;
// the receiver's inbox makes each notice take effect once. One notice is
// addressed to nobody and ends among the dead letters.
//
// The store is in memory here, so that the program needs nothing. With
// sqlstore's Outbox and Inbox in its place the same code survives kill -9.
//
//	go run ./examples/fireforget
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/crosstie/crosstie/fireforget"
	"github.com/crosstie/crosstie/inbox"
	"github.com/crosstie/crosstie/retry"
	"github.com/crosstie/crosstie/webhook"
	"golang.org/x/sync/errgroup"
)

const notices = 30

func main() {
	secret, err := webhook.ParseSecret("whsec_" + strings.Repeat("YWJj", 10))
	check(err)
	// The receiving side.
	var mu sync.Mutex
	effects := map[string][]string{} // customer -> what took effect, in order
	done := make(chan struct{})
	receiver := fireforget.NewReceiver(
		webhook.Verifier{Secrets: []webhook.Secret{secret}},
		inbox.New("notices", inbox.NewMem(), nil),
		func(_ context.Context, _ *sql.Tx, m webhook.Message) error {
			mu.Lock()
			defer mu.Unlock()
			customer, notice, _ := strings.Cut(strings.Trim(string(m.Body), `"`), ": ")
			effects[customer] = append(effects[customer], notice)
			if n := len(effects["ann"]) + len(effects["bob"]) + len(effects["eve"]); n == notices {
				close(done)
			}
			return nil
		}, nil)
	var requests atomic.Int64
	up := time.Now().Add(2 * time.Second)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch n := requests.Add(1); {
		case time.Now().Before(up):
			http.Error(w, "down for maintenance", http.StatusServiceUnavailable)
		case n%5 == 0:
			receiver.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler) // the work is done, and the answer is lost
		default:
			receiver.ServeHTTP(w, r)
		}
	}))
	defer server.Close()

	// The sending side.
	store := fireforget.NewMem()
	outbox := fireforget.NewOutbox(store, nil)
	client := webhook.NewClient(&webhook.TransportOptions{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Ports: []int{0}})
	relay := fireforget.NewRelay(store, nil)
	hook := fireforget.Webhook(server.URL, secret, &fireforget.WebhookOptions{Client: client, AllowHTTP: true})
	relay.Handle("notices", hook, &fireforget.RouteOptions{Schedule: slices.Repeat([]time.Duration{300 * time.Millisecond}, 20)})
	relay.Handle("nobody", fireforget.DelivererFunc(func(context.Context, fireforget.Item) error {
		return retry.Permanent(errors.New("no such address"))
	}), nil)
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	var running errgroup.Group
	running.Go(func() error { return relay.Run(ctx) })

	customers := []string{"ann", "bob", "eve"}
	for i := range notices {
		who := customers[i%3]
		_, err = outbox.Send(ctx, fireforget.Message{To: "notices", Key: who, Payload: fmt.Sprintf("%s: %d", who, i/3+1)})
		check(err)
	}
	_, err = outbox.Send(ctx, fireforget.Message{To: "nobody", Payload: "hello?"})
	check(err)
	fmt.Println("sent", notices, "notices to a receiver that is down")
	select {
	case <-done:
	case <-ctx.Done():
		check(errors.New("not all notices took effect within a minute"))
	}
	stop()
	check(running.Wait())
	for _, who := range customers {
		fmt.Printf("%s: %s\n", who, strings.Join(effects[who], " "))
	}
	fmt.Printf("%d requests, %d notices in effect: none lost, none twice, each customer's in order\n", requests.Load(), notices)
	for d, err := range fireforget.NewDeadLetters(store).All(context.Background(), fireforget.Filter{}) {
		check(err)
		fmt.Printf("parked: to %s, %s: %s\n", d.Item.To, d.Reason, d.History[0].Error)
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

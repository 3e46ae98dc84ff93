package fireforget_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/crosstie/crosstie/fireforget"
	"github.com/crosstie/crosstie/inbox"
	"github.com/crosstie/crosstie/retry"
	"github.com/crosstie/crosstie/webhook"
)

// Messages of one key are delivered in order.
func Example() {
	store := fireforget.NewMem() // sqlstore's Outbox keeps them in a database
	outbox := fireforget.NewOutbox(store, nil)
	for _, step := range []string{"ordered", "paid", "shipped"} {
		_, err := outbox.Send(context.Background(), fireforget.Message{To: "mail", Key: "order-1", Payload: step})
		if err != nil {
			fmt.Println("not accepted:", err)
		}
	}

	ctx, stop := context.WithCancel(context.Background())
	relay := fireforget.NewRelay(store, nil)
	relay.Handle("mail", fireforget.JSON(func(_ context.Context, id string, step string) error {
		fmt.Println("order-1 was", step)
		if step == "shipped" {
			stop()
		}
		return nil
	}), nil)
	fmt.Println(relay.Run(ctx))
	// Output:
	// order-1 was ordered
	// order-1 was paid
	// order-1 was shipped
	// <nil>
}

// A message with an ID of its own may be sent again when nobody knows whether
// it was accepted.
func ExampleOutbox_Send() {
	outbox := fireforget.NewOutbox(fireforget.NewMem(), nil)
	m := fireforget.Message{ID: "invoice-17", To: "billing", Payload: map[string]int{"amount": 100}}
	for range 2 {
		id, err := outbox.Send(context.Background(), m)
		fmt.Println(id, err)
	}
	m.Payload = map[string]int{"amount": 999}
	_, err := outbox.Send(context.Background(), m)
	fmt.Println(errors.Is(err, fireforget.ErrReused))
	// Output:
	// invoice-17 <nil>
	// invoice-17 <nil>
	// true
}

// What cannot be delivered is parked, with its history, and can be sent again.
func ExampleDeadLetters() {
	store := fireforget.NewMem()
	outbox := fireforget.NewOutbox(store, nil)
	_, _ = outbox.Send(context.Background(), fireforget.Message{To: "crm", Payload: "hello"})

	down := true
	run := func() {
		ctx, stop := context.WithCancel(context.Background())
		relay := fireforget.NewRelay(store, nil)
		relay.Handle("crm", fireforget.DelivererFunc(func(context.Context, fireforget.Item) error {
			stop()
			if down {
				return retry.Permanent(errors.New("no such account"))
			}
			fmt.Println("delivered")
			return nil
		}), nil)
		_ = relay.Run(ctx)
	}
	run()
	dead := fireforget.NewDeadLetters(store)
	for d, err := range dead.All(context.Background(), fireforget.Filter{To: "crm"}) {
		fmt.Println(d.Reason, d.History[0].Error, err)
	}
	down = false
	fmt.Println(dead.Redrive(context.Background(), fireforget.Filter{To: "crm"}))
	run()
	// Output:
	// permanent no such account <nil>
	// 1 <nil>
	// delivered
}

// A route says how a destination is treated.
func ExampleRelay_Handle() {
	relay := fireforget.NewRelay(fireforget.NewMem(), nil)
	relay.Handle("erp", fireforget.DelivererFunc(func(context.Context, fireforget.Item) error { return nil }), &fireforget.RouteOptions{
		Concurrency: 4,
		Schedule:    []time.Duration{time.Second, time.Minute, time.Hour},
		OnPoison:    fireforget.ParkKey, // nothing of a key overtakes what failed
	})
	defer func() { fmt.Println(recover()) }()
	relay.Handle("erp", fireforget.DelivererFunc(func(context.Context, fireforget.Item) error { return nil }), nil)
	// Output: fireforget: Handle("erp"): the destination has a handler already
}

// A signed webhook from an outbox to a receiver that applies it once, however
// often it comes.
func ExampleNewReceiver() {
	secret, err := webhook.ParseSecret("whsec_" + strings.Repeat("YWJj", 10))
	if err != nil {
		fmt.Println(err)
		return
	}
	receiver := fireforget.NewReceiver(
		webhook.Verifier{Secrets: []webhook.Secret{secret}},
		inbox.New("notices", inbox.NewMem(), nil), // a store of sqlstore passes a transaction
		func(_ context.Context, _ *sql.Tx, m webhook.Message) error {
			fmt.Printf("effect: %s\n", m.Body)
			return nil
		}, nil)
	body := []byte(`"shipped"`)
	for range 2 {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(string(body)))
		r.Header, _ = webhook.Headers("msg-1", time.Now(), body, secret)
		w := httptest.NewRecorder()
		receiver.ServeHTTP(w, r)
		fmt.Println(w.Code)
	}
	// Output:
	// effect: "shipped"
	// 204
	// 204
}

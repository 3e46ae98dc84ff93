package pubsub_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/crosstie/crosstie/inbox"
	"github.com/crosstie/crosstie/pubsub"
	"github.com/crosstie/crosstie/retry"
)

type StockChanged struct {
	SKU  string `json:"sku"`
	Free int    `json:"free"`
}

// Two groups get every event, each key in order. The second begins later and
// finds what was published before it.
func Example() {
	log := pubsub.NewMem() // sqlstore's Log keeps it in a database
	changes := pubsub.NewTopic[StockChanged](log, "stock.changed", nil)
	for free := 3; free > 0; free-- {
		if _, err := changes.Publish(context.Background(), "lamp", StockChanged{"lamp", free}); err != nil {
			fmt.Println("not published:", err)
		}
	}
	for _, group := range []string{"shop-window", "purchasing"} {
		ctx, stop := context.WithCancel(context.Background())
		s := pubsub.Subscribe(changes, group, func(_ context.Context, e pubsub.Event[StockChanged]) error {
			fmt.Printf("%s: %s %d\n", group, e.Key, e.Data.Free)
			if e.Data.Free == 1 {
				stop()
			}
			return nil
		}, nil)
		fmt.Println(s.Run(ctx))
	}
	// Output:
	// shop-window: lamp 3
	// shop-window: lamp 2
	// shop-window: lamp 1
	// <nil>
	// purchasing: lamp 3
	// purchasing: lamp 2
	// purchasing: lamp 1
	// <nil>
}

// What a handler refuses for good is parked with the reason, and handled again
// when somebody has mended the cause.
func ExampleSubscription_DeadLetters() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	changes := pubsub.NewTopic[StockChanged](pubsub.NewMem(), "stock.changed", nil)
	known := make(chan struct{})
	done := make(chan struct{}, 2)
	s := pubsub.Subscribe(changes, "purchasing", func(_ context.Context, e pubsub.Event[StockChanged]) error {
		defer func() { done <- struct{}{} }()
		select {
		case <-known:
			fmt.Println("ordered more of", e.Data.SKU)
			return nil
		default:
			return retry.Permanent(errors.New("no supplier for " + e.Data.SKU))
		}
	}, nil)
	ran := make(chan error)
	go func() { ran <- s.Run(ctx) }()

	_, _ = changes.Publish(ctx, "lamp", StockChanged{"lamp", 1})
	<-done
	for found := false; !found; {
		for d, err := range s.DeadLetters().All(ctx) {
			found = true
			fmt.Println(d.Reason+":", d.Error, err)
		}
	}
	close(known)
	n, err := s.DeadLetters().Redrive(ctx)
	fmt.Println(n, err)
	<-done
	stop()
	fmt.Println(<-ran)
	// Output:
	// permanent: no supplier for lamp <nil>
	// 1 <nil>
	// ordered more of lamp
	// <nil>
}

// With an inbox an event that comes again has no second effect: here the
// group is put back to the start.
func ExampleSubscribeTx() {
	changes := pubsub.NewTopic[StockChanged](pubsub.NewMem(), "stock.changed", nil)
	in := inbox.New("stock", inbox.NewMem(), nil) // sqlstore's Inbox has transactions
	run := func(until int) {
		ctx, stop := context.WithCancel(context.Background())
		s := pubsub.SubscribeTx(changes, "purchasing", in, func(_ context.Context, _ *sql.Tx, e pubsub.Event[StockChanged]) error {
			fmt.Println("lamp", e.Data.Free)
			if e.Data.Free == until {
				stop()
			}
			return nil
		}, nil)
		fmt.Println(s.Seek(ctx, pubsub.Start{}), s.Run(ctx))
	}
	_, _ = changes.Publish(context.Background(), "lamp", StockChanged{"lamp", 2})
	run(2)
	_, _ = changes.Publish(context.Background(), "lamp", StockChanged{"lamp", 1})
	run(1)
	// Output:
	// lamp 2
	// <nil> <nil>
	// lamp 1
	// <nil> <nil>
}

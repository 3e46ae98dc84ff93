// Command pubsub shows one event reach whoever listens, each at its own pace.
//
// Of a shop's changes of stock a window hears at once; purchasing, whose
// supplier is down for two seconds, when it can, and it is stopped once and
// goes on where it was; and an audit that begins when all is over hears of all.
// One event is refused for good, and handled when the cause is mended.
//
// The log is in memory here, so that the program needs nothing. With
// sqlstore's Log and Inbox in its place the same code survives kill -9.
//
//	go run ./examples/pubsub
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"sync"
	"sync/atomic"
	"time"

	"github.com/crosstie/crosstie/inbox"
	"github.com/crosstie/crosstie/pubsub"
	"github.com/crosstie/crosstie/retry"
)

const changes = 60

type stockChanged struct {
	SKU  string `json:"sku"`
	Free int    `json:"free"`
}

// A group is what one group of listeners saw.
type group struct {
	mu   sync.Mutex
	seen map[string][]int // SKU -> what took effect, in order
	n    int
}

func newGroup() *group { return &group{seen: map[string][]int{}} }

func (g *group) handle(_ context.Context, e pubsub.Event[stockChanged]) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.seen[e.Key] = append(g.seen[e.Key], e.Data.Free)
	g.n++
	return nil
}

func (g *group) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.n
}

// run runs s until g has seen n events in all.
func run(s *pubsub.Subscription, g *group, n int) {
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	for g.count() < n {
		check(ctx.Err())
		time.Sleep(10 * time.Millisecond)
	}
	stop()
	check(<-ran)
}

func main() {
	topic := pubsub.NewTopic[stockChanged](pubsub.NewMem(), "stock.changed", &pubsub.TopicOptions{Source: "/examples/shop", Schema: "urn:stock-changed:1"})
	window, purchasing, audit := newGroup(), newGroup(), newGroup()
	up := time.Now().Add(2 * time.Second)
	var attempts atomic.Int64
	var mended atomic.Bool
	in := inbox.New("purchasing", inbox.NewMem(), nil)
	buying := pubsub.SubscribeTx(topic, "purchasing", in, func(ctx context.Context, _ *sql.Tx, e pubsub.Event[stockChanged]) error {
		attempts.Add(1)
		switch {
		case time.Now().Before(up):
			return errors.New("the supplier is down")
		case e.Data.SKU == "mug" && e.Data.Free == 7 && !mended.Load():
			return retry.Permanent(errors.New("no supplier for mugs on Sundays"))
		}
		return purchasing.handle(ctx, e)
	}, nil)

	for i := range changes {
		s := stockChanged{SKU: []string{"lamp", "mug", "chair"}[i%3], Free: changes/3 - i/3}
		_, err := topic.Publish(context.Background(), s.SKU, s)
		check(err)
	}
	run(pubsub.Subscribe(topic, "window", window.handle, nil), window, changes)
	fmt.Println("the window saw", window.count(), "changes while purchasing's supplier is down")
	run(buying, purchasing, changes/2)
	lag, err := buying.Lag(context.Background())
	check(err)
	fmt.Printf("purchasing was stopped after %d, %d events behind\n", purchasing.count(), lag.Events)
	run(buying, purchasing, changes-1)
	for d, err := range buying.DeadLetters().All(context.Background()) {
		check(err)
		fmt.Printf("parked: %s: %s\n", d.Reason, d.Error)
	}
	mended.Store(true)
	_, err = buying.DeadLetters().Redrive(context.Background())
	check(err)
	run(buying, purchasing, changes)
	run(pubsub.Subscribe(topic, "audit", audit.handle, nil), audit, changes)
	fmt.Println("lamps, as purchasing saw them:", purchasing.seen["lamp"])
	fmt.Printf("window %d, purchasing %d in %d attempts, audit %d: none lost, none twice\n",
		window.count(), purchasing.count(), attempts.Load(), audit.count())
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

package main

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"time"

	"github.com/crosstie/crosstie/inbox"
	"github.com/crosstie/crosstie/pubsub"
	"github.com/crosstie/crosstie/retry"
)

// A stockChanged is what the warehouse publishes when a reservation takes stock. It is in the log when the reservation
// is in the warehouse: one commit for both.
type stockChanged struct {
	SKU         string `json:"sku"`
	Reservation string `json:"reservation"`
	Quantity    int64  `json:"quantity"`
	Left        int64  `json:"left"`
	Number      int64  `json:"number"` // among the reservations of this product
}

// stockSchema is the version of stockChanged. A subscriber that meets another one parks the event and does not guess.
const stockSchema = "urn:crosstie:inventory:stock-changed:1"

func newStockTopic(log pubsub.Log) *pubsub.Topic[stockChanged] {
	return pubsub.NewTopic[stockChanged](log, "stock-changed", &pubsub.TopicOptions{
		Source: "urn:crosstie:inventory:warehouse",
		Schema: stockSchema,
	})
}

// The subscribers, each with a cursor of its own.
const (
	subscriberCache = "cache" // forgets what the shop's window shows
	subscriberPage  = "page"  // shows it on the screens
	subscriberOrg   = "org"   // makes a record of it there
)

var subscribers = []string{subscriberCache, subscriberPage, subscriberOrg}

// A subscriber is one who hears of every change of the stock, at its own pace and from its own cursor.
type subscriber struct {
	*runner
	name string
	sub  *pubsub.Subscription

	mu      sync.Mutex // guards handled
	handled map[string]bool
}

// lease is how long others wait for the work of a process that died. In a story it is short, so that a resumed run need
// not wait long for what the killed one held; in a service it is what a busy machine keeps without trouble.
func (c config) lease() time.Duration {
	if c.once {
		return 500 * time.Millisecond
	}
	return 5 * time.Second
}

// subscribe makes a subscriber whose effect is in the warehouse's own database or in memory. The effect, the note of
// it and the memory that the event was handled are one transaction: a repeat changes nothing.
func (s *system) subscribe(name string, effect func(ctx context.Context, tx *sql.Tx, e pubsub.Event[stockChanged]) error) *subscriber {
	in := inbox.New("stock-changed", s.warehouse.store.Inbox(), &inbox.Options{Window: keepKeys})
	return s.newSubscriber(name, func(sb *subscriber) *pubsub.Subscription {
		return pubsub.SubscribeTx(s.warehouse.topic, name, in,
			func(ctx context.Context, tx *sql.Tx, e pubsub.Event[stockChanged]) error {
				if err := effect(ctx, tx, e); err != nil {
					return err
				}
				_, err := tx.ExecContext(ctx, `INSERT INTO seen (subscriber, event, reservation, sku, number) VALUES (?, ?, ?, ?, ?)`,
					name, e.ID, e.Data.Reservation, e.Data.SKU, e.Data.Number)
				sb.did(e.ID)
				return err
			}, s.subscribeOptions())
	})
}

// subscribeOutside makes a subscriber whose effect is in another system, which must be one that a repeat does not
// change: an upsert.
func (s *system) subscribeOutside(name string, effect func(ctx context.Context, e pubsub.Event[stockChanged]) error) *subscriber {
	return s.newSubscriber(name, func(sb *subscriber) *pubsub.Subscription {
		return pubsub.Subscribe(s.warehouse.topic, name, func(ctx context.Context, e pubsub.Event[stockChanged]) error {
			if err := effect(ctx, e); err != nil {
				return err
			}
			sb.did(e.ID)
			return nil
		}, s.subscribeOptions())
	})
}

func (s *system) newSubscriber(name string, subscription func(*subscriber) *pubsub.Subscription) *subscriber {
	sb := &subscriber{name: name}
	if s.c.once {
		sb.handled = map[string]bool{}
	}
	sb.sub = subscription(sb)
	sb.runner = &runner{run: sb.sub.Run, fail: func(err error) { s.subscriberFailed(name, err) }}
	s.onClose(func() error { sb.stop(); return nil })
	return sb
}

func (s *system) subscribeOptions() *pubsub.SubscribeOptions {
	return &pubsub.SubscribeOptions{
		// The other side may be away for a while, and then its events wait: a quarter of an hour of attempts.
		Retry:  retry.Policy{MaxAttempts: 900, Base: 20 * time.Millisecond, Max: time.Second},
		Lease:  s.c.lease(),
		Drain:  time.Second,
		Logger: s.logger(),
	}
}

// did notes that an event was handled in this process.
func (sb *subscriber) did(event string) {
	sb.mu.Lock()
	defer sb.mu.Unlock()
	if sb.handled != nil {
		sb.handled[event] = true
	}
}

// count says how many events were handled in this process, none counted twice.
func (sb *subscriber) count() int64 {
	sb.mu.Lock()
	defer sb.mu.Unlock()
	return int64(len(sb.handled))
}

// subscriberFailed says that a subscriber cannot go on by itself.
func (s *system) subscriberFailed(name string, err error) {
	words := "It stopped: " + err.Error()
	if errors.Is(err, pubsub.ErrGone) {
		words = "Its cursor is gone: the log no longer has what it would have heard next. Start it again, and it goes on with the oldest event there is."
	}
	s.board.subscriber(name, away, words)
	s.board.event(kindTrouble, "The subscriber "+name+" cannot go on. "+words)
	if s.c.once {
		s.fail(err)
	}
}

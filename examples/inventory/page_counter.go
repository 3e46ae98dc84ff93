package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/crosstie/crosstie/outcome"
)

// A counter is where people reserve: it places their orders through the network, and does not give up on one whose
// answer was lost.
type counter struct {
	s       *system
	shop    *shop
	network *cut
	life    context.Context // of the program: orders outlive the requests that bring them
	open    atomic.Int64    // orders that are not settled
	work    sync.WaitGroup

	placed, made, refused, failed atomic.Int64

	mu   sync.Mutex // guards late
	late []string   // what became of orders that a person was told to wait for
}

// What a counter takes on.
const (
	counterPatience = 2 * time.Second // until a person is told that the order is not settled yet
	counterOrders   = 200             // that may be unsettled at once
)

// Reserve implements controls.
func (c *counter) Reserve(ctx context.Context, sku string, qty int) error {
	if c.open.Add(1) > counterOrders {
		c.open.Add(-1)
		return declined("Not reserved: too many orders wait for the network already. Mend it first.")
	}
	c.placed.Add(1)
	o := order{ID: "page-" + rand.Text(), SKU: sku, Quantity: int64(qty)}
	settled := make(chan error, 1)
	c.work.Go(func() {
		defer c.open.Add(-1)
		settled <- c.settle(o)
	})
	patience := time.NewTimer(counterPatience)
	defer patience.Stop()
	select {
	case err := <-settled:
		return err
	case <-patience.C:
	case <-ctx.Done():
	}
	why := "There is no answer yet: whether it is reserved is not known."
	if c.network.broken.Load() {
		why = "The network is broken: whether it is reserved is not known."
	}
	return &stillTrying{why}
}

// settle repeats an order under its key until it is known what became of it.
func (c *counter) settle(o order) error {
	began := time.Now()
	for {
		r, err := c.shop.reserve(c.life, o)
		switch {
		case err == nil:
			c.made.Add(1)
			c.settled(o, began, fmt.Sprintf("reserved after all, once: the order had kept its key. %d left.", r.Left))
			return nil
		case outcome.Of(err) == outcome.Refused && !passes(err):
			c.refused.Add(1)
			_, words := inWords(err)
			c.settled(o, began, "at last an answer. "+words)
			return err
		}
		if wait := pause(c.life, 100*time.Millisecond); wait != nil {
			c.failed.Add(1)
			return err
		}
	}
}

// settled tells of an order that a person was told to wait for. There may be many at once, when a network is mended:
// the board gets one sentence for all.
func (c *counter) settled(o order, began time.Time, words string) {
	if time.Since(began) < counterPatience {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.late = append(c.late, fmt.Sprintf("%s of %s: %s", plural(o.Quantity, "piece"), o.SKU, words))
}

// Network implements controls.
func (c *counter) Network(broken bool) error {
	if c.network.broken.Swap(broken) == broken {
		return nil
	}
	if c.s.receiver != nil {
		c.s.receiver.down.Store(broken)
	}
	c.s.wire.broken.Store(broken)
	if broken {
		c.s.board.flip("network", true, "Mend the network")
		c.s.board.party(partyOrg, away, "") // the network says why
		c.s.board.event(kindTrouble, "Somebody broke the network: the shop cannot reach the warehouse, and nobody reaches the receiver or the org.")
	} else {
		c.s.board.flip("network", false, "Break the network")
		c.s.board.party(partyOrg, well, "")
		c.s.board.event(kindMended, "The network is mended. What waited is on its way.")
	}
	return nil
}

// Forecast implements controls.
func (c *counter) Forecast(ctx context.Context) error { return c.s.Forecast(ctx) }

// CancelForecast implements controls.
func (c *counter) CancelForecast(ctx context.Context) error { return c.s.CancelForecast(ctx) }

// Restart implements controls.
func (c *counter) Restart(ctx context.Context, subscriber string) error {
	return c.s.Restart(ctx, subscriber)
}

// A cut is a place where the network can be broken.
type cut struct {
	broken atomic.Bool
	next   http.Handler
}

func (c *cut) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if c.broken.Load() {
		panic(http.ErrAbortHandler) // closes the connection without a word
	}
	c.next.ServeHTTP(w, r)
}

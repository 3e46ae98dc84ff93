package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// customers are people in the shop who buy this and that, so that there is something to see. They come when a person
// lets them in, and reserve as the button of a row does.
type customers struct {
	board    *board
	controls controls
	stock    *stockView

	mu   sync.Mutex // guards the rest
	stop func()     // nil: the shop is closed
	gone sync.WaitGroup
}

// How busy the shop is.
const (
	customerEvery   = 600 * time.Millisecond // on average
	customersAtOnce = 6
	customersTold   = 10 // one sentence in the log for so many
)

// open opens or closes the shop, and says so. It may be called twice.
func (c *customers) open(on bool) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case on && c.stop == nil:
		ctx, stop := context.WithCancel(context.Background())
		c.stop = stop
		c.gone.Go(func() { c.come(ctx) })
		c.board.flip("customers", true, "Close the shop")
		c.board.event("shop", "The shop is open: customers come in.")
	case !on && c.stop != nil:
		c.stop()
		c.stop = nil
		c.gone.Wait()
		c.board.flip("customers", false, "Let customers in")
		c.board.event("shop", "The shop is closed.")
	}
	if on {
		return "Customers come in, and buy what they like."
	}
	return "The shop is closed."
}

func (c *customers) come(ctx context.Context) {
	var served, waiting, without, n int64
	var mu sync.Mutex // guards them
	var inside sync.WaitGroup
	defer inside.Wait()
	places := make(chan struct{}, customersAtOnce)
	for pause(ctx, customerEvery/2+rand.N(customerEvery)) == nil {
		sku, ok := c.fancies()
		if !ok {
			continue
		}
		select {
		case places <- struct{}{}:
		default:
			continue // the counter is busy, and whoever sees the queue goes elsewhere
		}
		inside.Go(func() {
			defer func() { <-places }()
			err := c.controls.Reserve(ctx, sku, 1+rand.IntN(3))
			mu.Lock()
			defer mu.Unlock()
			switch _, unsettled := errors.AsType[*stillTrying](err); {
			case err == nil:
				served++
			case unsettled:
				waiting++
			default:
				without++
			}
			if n++; n%customersTold == 0 {
				c.board.event("shop", tellOfCustomers(served, without, waiting))
				served, waiting, without = 0, 0, 0
			}
		})
	}
}

func tellOfCustomers(served, without, waiting int64) string {
	words := plural(served, "customer") + " served"
	if without > 0 {
		words += fmt.Sprintf(", %d went without", without)
	}
	if waiting > 0 {
		words += fmt.Sprintf(", %d still without an answer", waiting)
	}
	return words + "."
}

// fancies is what a customer wants: any product that the grid shows as there.
func (c *customers) fancies() (sku string, ok bool) {
	n := int64(0)
	for key, row := range c.stock.All() {
		if row.V.Free == 0 {
			continue
		}
		if n++; rand.Int64N(n) == 0 { // each with the same chance, in one pass
			sku = key
		}
	}
	return sku, n > 0
}

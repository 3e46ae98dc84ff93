package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/retry"
)

// An order is one thing the shop wants reserved. Its id is its idempotency key: made once, the same for every attempt,
// and the same in a later process that goes on where this one was killed.
type order struct {
	ID       string `json:"id"`
	SKU      string `json:"sku"`
	Quantity int64  `json:"quantity"`
}

const popular = 5 // products that a quarter of all orders want, so that some run out

// planOrders makes the orders of a run. They follow from the seed and the catalogue alone.
func planOrders(skus []string, seed uint64, n int) []order {
	dice := rand.New(rand.NewPCG(seed, uint64(len(skus))))
	hot := make([]string, popular)
	for i := range hot {
		hot[i] = skus[dice.IntN(len(skus))]
	}
	orders := make([]order, n)
	for i := range orders {
		o := order{SKU: skus[dice.IntN(len(skus))], Quantity: 1 + dice.Int64N(4)}
		if dice.IntN(4) == 0 {
			o.SKU = hot[dice.IntN(popular)]
		}
		sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", o.SKU, o.Quantity))
		o.ID = fmt.Sprintf("s%d-%05d-%x", seed, i+1, sum[:4])
		orders[i] = o
	}
	return orders
}

// A shop asks the warehouse for stock and reserves it, through a network that cannot be trusted.
type shop struct {
	url      string
	began    time.Time
	patience time.Duration // how long an order may stay unsettled
	client   *http.Client
	asking   *requestreply.Guard
	placing  *requestreply.Guard

	questions, answered, late  atomic.Int64
	reserved, already, refused atomic.Int64
	slowest                    atomic.Int64 // answer about stock, in nanoseconds
}

const (
	stockDeadline = 2 * time.Second // an answer about stock is worthless after it: a person waits
	shopWorkers   = 8
)

func newShop(url string, transport http.RoundTripper, patience time.Duration) *shop {
	// The faults of the proxy come by the dozen and are no sign of a sick warehouse: the breaker would be in the way,
	// and the budget must be larger than for a network that is well.
	breaker := requestreply.Breaker{Disabled: true}
	policy := retry.Policy{MaxAttempts: 20, Base: 2 * time.Millisecond, Max: 50 * time.Millisecond, Budget: retry.NewBudget(2, 100)}
	return &shop{
		url:      url,
		began:    time.Now(),
		patience: patience,
		client:   &http.Client{Transport: transport},
		asking:   requestreply.NewGuard(&requestreply.Options{Timeout: stockDeadline, TryTimeout: stockDeadline / 4, Retry: policy, Breaker: breaker}),
		placing:  requestreply.NewGuard(&requestreply.Options{Timeout: 10 * time.Second, TryTimeout: 2 * time.Second, Retry: policy, Breaker: breaker}),
	}
}

// run places all orders and tells settled after each. It returns when every order is settled, one way or the other.
func (s *shop) run(ctx context.Context, orders []order, settled func(order)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan order)
	var workers sync.WaitGroup
	for range shopWorkers {
		workers.Go(func() {
			for o := range next {
				if err := s.place(ctx, o); err != nil {
					cancel(err)
					return
				}
				settled(o)
			}
		})
	}
	for _, o := range orders {
		select {
		case next <- o:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
	}
	close(next)
	workers.Wait()
	return context.Cause(ctx)
}

// place asks for the stock of one product and reserves what the order wants.
func (s *shop) place(ctx context.Context, o order) error {
	began := time.Now()
	s.questions.Add(1)
	if _, err := s.stock(ctx, o.SKU); err == nil {
		s.answered.Add(1)
		took := int64(time.Since(began))
		for was := s.slowest.Load(); took > was && !s.slowest.CompareAndSwap(was, took); was = s.slowest.Load() {
		}
	} else if ctx.Err() != nil {
		return context.Cause(ctx)
	} else {
		s.late.Add(1)
	}
	for end := time.Now().Add(s.patience); ; {
		r, err := s.reserve(ctx, o)
		switch {
		case err == nil && r.At.Before(s.began): // by a process that was killed, or by an earlier run
			s.already.Add(1)
			return nil
		case err == nil:
			s.reserved.Add(1)
			return nil
		case outOfStock(err):
			s.refused.Add(1)
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !passes(err) || time.Now().After(end):
			return fmt.Errorf("order %s could not be settled: %w", o.ID, err)
		}
		// Not known, or applied without an answer, or refused for now: the same key again is safe in each case, and in
		// the end it brings the answer.
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}

// passes reports whether another attempt may fare better: the warehouse did not refuse the order itself.
func passes(err error) bool {
	transient, _ := outcome.Transient(err)
	return transient || outcome.Of(err) != outcome.Refused
}

func (s *shop) stock(ctx context.Context, sku string) (stockAnswer, error) {
	return requestreply.Endpoint[struct{}, stockAnswer]{
		Method: http.MethodGet, URL: s.url + "/stock/" + url.PathEscape(sku), Idempotent: true,
		Client: s.client, Guard: s.asking,
	}.Call(ctx, struct{}{})
}

func (s *shop) reserve(ctx context.Context, o order) (reservation, error) {
	return requestreply.Endpoint[order, reservation]{
		Method: http.MethodPost, URL: s.url + "/reservations", Keyed: true,
		Client: s.client, Guard: s.placing,
	}.Call(requestreply.WithIdempotencyKey(ctx, o.ID), o)
}

func outOfStock(err error) bool {
	p, ok := errors.AsType[*requestreply.Problem](err)
	return ok && p.Type == problemOutOfStock
}

package main

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"github.com/crosstie/crosstie/fireforget"
	"github.com/crosstie/crosstie/webhook"
)

// A courier delivers the warehouse's messages as signed webhooks and remembers what landed in this process.
type courier struct {
	relay  *fireforget.Relay
	client *http.Client

	mu     sync.Mutex // guards the rest
	landed map[string]int64
	seen   map[string]bool // ids, so that none is counted twice; nil in a service, which has no end
	failed int64
}

// schedule is quick, because the story lasts seconds: a receiver that is back gets what waits for it within a second.
// A receiver that stays away for a quarter of an hour has its messages parked, and with them what waits behind them.
func schedule() []time.Duration {
	waits := []time.Duration{10 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond}
	for range 900 {
		waits = append(waits, time.Second)
	}
	return waits
}

func newCourier(w *warehouse, to string, secret webhook.Secret, cfg config) *courier {
	c := &courier{
		client: hookClient(to),
		relay:  fireforget.NewRelay(w.store.Outbox(), &fireforget.RelayOptions{Lease: cfg.lease(), Drain: time.Second, Logger: w.log}),
		landed: map[string]int64{},
	}
	if cfg.once {
		c.seen = map[string]bool{}
	}
	hook := fireforget.Webhook(to, secret, &fireforget.WebhookOptions{Client: c.client, AllowHTTP: true})
	if cfg.hooks.deliverer != nil {
		hook = cfg.hooks.deliverer(hook)
	}
	for _, name := range []string{audit, notification} {
		c.relay.Handle(name, c.counted(hook), &fireforget.RouteOptions{
			Timeout: 10 * time.Second, Schedule: schedule(), OnPoison: fireforget.ParkKey,
		})
	}
	return c
}

func (c *courier) counted(d fireforget.Deliverer) fireforget.Deliverer {
	return fireforget.DelivererFunc(func(ctx context.Context, it fireforget.Item) error {
		err := d.Deliver(ctx, it)
		c.mu.Lock()
		defer c.mu.Unlock()
		if err != nil {
			c.failed++
			return err
		}
		if c.seen[it.ID] {
			return nil
		}
		if c.seen != nil {
			c.seen[it.ID] = true
		}
		c.landed[it.To]++
		return nil
	})
}

// count says how many messages to a destination landed in this process.
func (c *courier) count(to string) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.landed[to]
}

func (c *courier) failures() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failed
}

// hookClient sends to public addresses, and to the one address that the command line itself names.
func hookClient(to string) *http.Client {
	o := &webhook.TransportOptions{}
	if u, err := url.Parse(to); err == nil {
		host := u.Hostname()
		if host == "localhost" {
			o.Allow = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
		} else if ip, err := netip.ParseAddr(host); err == nil {
			o.Allow = []netip.Prefix{netip.PrefixFrom(ip, ip.BitLen())}
		}
		o.Ports = []int{0}
	}
	return webhook.NewClient(o)
}

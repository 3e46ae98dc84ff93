package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/crosstie/crosstie/salesforce"
	"github.com/crosstie/crosstie/salesforce/sftest"
	"github.com/crosstie/crosstie/uiupdate"
	"github.com/crosstie/crosstie/webhook"
)

// A system is everything that runs: the folder, the warehouse, the courier and, unless one outside was named, the
// receiver. Its parts are closed in the reverse order.
type system struct {
	c         config
	folder    *folder
	warehouse *warehouse
	receiver  *receiver // nil if it is outside
	courier   *courier
	board     *board // nil in a story that nobody watches

	ownOrg      *sftest.Org // nil if it is outside
	org         *salesforce.Org
	wire        *wire      // to the org
	moving      sync.Mutex // one move into the org at a time
	subscribers map[string]*subscriber
	planner     *planner
	view        *stockView
	window      *uiupdate.Fresh[string, stockAnswer]

	forecasts      running
	toldCollisions bool

	orgMu   sync.Mutex // guards orgSaid
	orgSaid string     // what is wrong with the org, in words

	lifetime context.Context // ends when the system is closed
	end      func()
	life     sync.WaitGroup // what runs until then

	fail    func(error) // told of what no request can repair: a full disk, a damaged file
	notes   []string    // what was decided about the input
	closers []func() error
}

// openSystem opens everything. fail is told when the system cannot go on, whoever finds out.
func openSystem(ctx context.Context, c config, say io.Writer, fail func(error)) (*system, error) {
	f, err := openFolder(ctx, c.dir, c.fresh)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(say, "folder: %s\n", f.path)
	lifetime, end := context.WithCancel(context.WithoutCancel(ctx))
	s := &system{c: c, folder: f, fail: fail, lifetime: lifetime, end: end}
	s.onClose(f.close)
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *system) open(ctx context.Context) (err error) {
	if s.warehouse, err = openWarehouse(ctx, s.folder.file("warehouse.db"), s.c.hooks.pragma, s.fail); err != nil {
		return err
	}
	s.warehouse.lease = max(time.Second, s.c.lease())
	s.onClose(s.warehouse.close)
	to, secret := s.c.receiver, s.c.secret
	if to == "" {
		if to, secret, err = s.openReceiver(ctx); err != nil {
			return err
		}
	}
	s.courier = newCourier(s.warehouse, to, secret, s.c)
	if err := s.openOrg(ctx); err != nil {
		return err
	}
	s.view = newStock()
	s.subscribers = map[string]*subscriber{
		subscriberCache: s.subscribe(subscriberCache, s.forgetStock),
		subscriberPage:  s.subscribe(subscriberPage, s.showStock),
		subscriberOrg:   s.subscribeOutside(subscriberOrg, s.tellOrg),
	}
	if s.planner, err = s.openPlanner(ctx); err != nil {
		return err
	}
	s.onClose(func() error { s.end(); s.life.Wait(); return nil })
	return nil
}

// openReceiver starts our own receiver on a free port of the loopback.
func (s *system) openReceiver(ctx context.Context) (to string, secret webhook.Secret, err error) {
	if secret, err = ownSecret(s.folder.file("webhook.secret")); err != nil {
		return "", secret, err
	}
	if s.receiver, err = openReceiver(ctx, s.folder.file("receiver.db"), secret); err != nil {
		return "", secret, err
	}
	s.onClose(s.receiver.close)
	at, err := s.listen(ctx, "127.0.0.1:0", s.receiver)
	return "http://" + at + "/hook", secret, err
}

// ownSecret reads the secret of our own receiver, or makes it: messages signed before a crash are verified after it.
func ownSecret(path string) (secret webhook.Secret, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		secret = webhook.NewSecret()
		return secret, os.WriteFile(path, []byte(secret.Reveal()+"\n"), 0o600)
	}
	if err != nil {
		return secret, err
	}
	if secret, err = webhook.ParseSecret(strings.TrimSpace(string(text))); err != nil {
		err = fmt.Errorf("%s holds no secret: remove it, a new one will be made", path)
	}
	return secret, err
}

// listen serves h at addr until the system is closed, and returns the address.
func (s *system) listen(ctx context.Context, addr string, h http.Handler) (string, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return "", fmt.Errorf("cannot serve on %s: %w; name another address with -addr", addr, err)
	}
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		IdleTimeout:       time.Minute,
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	stopped := make(chan struct{})
	go func() { defer close(stopped); srv.Serve(l) }()
	s.onClose(func() error {
		grace, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		err := srv.Shutdown(grace)
		if err != nil {
			err = srv.Close()
		}
		<-stopped
		return err
	})
	return l.Addr().String(), nil
}

// transport is for a client in this process. Its idle connections are closed before the servers wait for them to end.
func (s *system) transport() *http.Transport {
	t := &http.Transport{MaxIdleConnsPerHost: 2 * shopWorkers}
	s.onClose(func() error { t.CloseIdleConnections(); return nil })
	return t
}

// deliver runs the courier until the system is closed, and returns when it began.
func (s *system) deliver(ctx context.Context) time.Time {
	r := &runner{run: s.courier.relay.Run, fail: s.fail}
	s.onClose(func() error {
		r.stop()
		s.courier.client.CloseIdleConnections()
		return nil
	})
	r.start(ctx)
	return time.Now()
}

func (s *system) onClose(fn func() error) { s.closers = append(s.closers, fn) }

// close ends everything, last opened first. It may be called twice.
func (s *system) close() error {
	var all []error
	for len(s.closers) > 0 {
		last := len(s.closers) - 1
		fn := s.closers[last]
		s.closers = s.closers[:last]
		all = append(all, fn())
	}
	return errors.Join(all...)
}

// This program serves a Salesforce org of [sftest] on an address of this
// machine, for programs that are not Go tests: start it, point a client at the
// URL that it prints, stop it with an interrupt. Nothing is kept.
//
//	go run ./cmd/sforg -schema schema.json -control 127.0.0.1:0
//
// The schema is that of sftest.ReadSchema. What the app logs in with is made
// anew from the seed, unless SFORG_CLIENT_ID and SFORG_CLIENT_SECRET are set;
// there is no flag for a secret, since everyone on a machine can read those.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/crosstie/crosstie/salesforce/sftest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "sforg:", err)
			stop()
			os.Exit(1)
		}
	}
}

// A command is what the flags say.
type command struct {
	options sftest.Options
	schema  string
	control string
	verbose bool
}

func parse(args []string, getenv func(string) string, stderr io.Writer) (*command, error) {
	c := &command{}
	f := flag.NewFlagSet("sforg", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&c.options.Addr, "addr", "127.0.0.1:0", "serve the org on this loopback `address`; port 0 is any free one")
	f.StringVar(&c.control, "control", "", "serve the control surface on this loopback `address`; empty: nowhere")
	f.StringVar(&c.schema, "schema", "", "read objects and fields from this JSON `file`")
	f.Uint64Var(&c.options.Seed, "seed", 1, "make ids, secrets and faults from this `number`")
	f.IntVar(&c.options.DailyCalls, "daily-calls", 100_000, "allow so many API `calls`")
	f.DurationVar(&c.options.BulkDelay, "bulk-delay", 0, "let each bulk job wait so `long` before it runs")
	f.BoolVar(&c.options.BulkHold, "bulk-hold", false, "let bulk jobs move only by the control surface")
	f.BoolVar(&c.verbose, "v", false, "log each call")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("%q is no flag; see -help", f.Arg(0))
	}
	if c.options.BulkHold && c.control == "" {
		return nil, errors.New("-bulk-hold without -control: nothing could move a job")
	}
	c.options.ClientID, c.options.ClientSecret = getenv("SFORG_CLIENT_ID"), getenv("SFORG_CLIENT_SECRET")
	if c.verbose {
		c.options.Logger = slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	if c.schema == "" {
		return c, nil
	}
	text, err := os.ReadFile(c.schema)
	if err != nil {
		return nil, err
	}
	if c.options.Objects, err = sftest.ReadSchema(text); err != nil {
		return nil, fmt.Errorf("%s: %w", c.schema, err)
	}
	return c, nil
}

// run serves until ctx ends.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) error {
	c, err := parse(args, getenv, stderr)
	if err != nil {
		return err
	}
	org, err := sftest.Start(&c.options)
	if err != nil {
		return err
	}
	control, err := serveControl(c.control, org)
	if err != nil {
		return errors.Join(err, org.Close())
	}
	secret := org.ClientSecret()
	if getenv("SFORG_CLIENT_SECRET") != "" {
		secret = "(that of SFORG_CLIENT_SECRET)"
	}
	fmt.Fprintf(stdout, "org            %s\nurl            %s\nclient id      %s\nclient secret  %s\n", org.ID(), org.URL(), org.ClientID(), secret)
	if control != nil {
		fmt.Fprintf(stdout, "control        http://%s  (a page in a browser)\n", control.Addr)
	}
	fmt.Fprintf(stdout, "log in with    curl -d grant_type=client_credentials -d client_id=… -d client_secret=… %s/services/oauth2/token\n", org.URL())
	<-ctx.Done()
	if control != nil {
		err = control.Close()
	}
	return errors.Join(err, org.Close())
}

// serveControl serves the org's other side, or nothing for no address.
func serveControl(addr string, org *sftest.Org) (*http.Server, error) {
	if addr == "" {
		return nil, nil
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("-control %s: %w", addr, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("-control %s: it asks for no password, so give a loopback address, as in 127.0.0.1:0", addr)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	s := &http.Server{Addr: l.Addr().String(), Handler: org.Control(), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.Serve(l) }() // it ends by Close, and says nothing else
	return s, nil
}

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"time"

	"github.com/crosstie/crosstie/fireforget"
	"github.com/crosstie/crosstie/webhook"
)

// secretEnv names the environment variable that holds the secret an outside receiver verifies with. It is no flag,
// because flags show in process lists.
const secretEnv = "INVENTORY_WEBHOOK_SECRET"

// The environment variables that hold what an outside org lets us in with, for the same reason.
const (
	orgIDEnv     = "INVENTORY_ORG_CLIENT_ID"
	orgSecretEnv = "INVENTORY_ORG_CLIENT_SECRET"
)

// productRule is the default of -products: five digits with up to three letters (85123A, 15056BL), or a code of the
// DCG range (DCGS0076, DCGSSBOY). POST, D, M, C2, BANK CHARGES, gift_0001_20 and their like are no products.
const productRule = `(?i)^(\d{5}[a-z]{0,3}|DCG[a-z0-9]+)$`

// config is what the command line asks for.
type config struct {
	once         bool
	dir          string // "" is a new folder under the user's cache directory
	fresh        bool
	input        string // "" is the embedded catalogue
	foldCase     bool
	products     *regexp.Regexp
	receiver     string // "" is our own receiver, in process
	secret       webhook.Secret
	org          string // "" is our own org, in process
	orgID        string
	orgSecret    string
	addr         string
	seed         uint64
	reservations int
	wait         time.Duration

	hooks hooks
}

// hooks let the tests plant a bug or shrink a disk; the command never sets them.
type hooks struct {
	pragma    string                                          // one more PRAGMA for the warehouse's connections
	deliverer func(fireforget.Deliverer) fireforget.Deliverer // around the courier's
	forecast  func(done, total int64)                         // before each page of the forecast
}

const usage = `inventory: a warehouse, a shop, an org and all who must hear of a sale, held together by six patterns of crosstie.

  go run ./examples/inventory -once      runs the story once, checks it and exits
  go run ./examples/inventory            serves a page at http://127.0.0.1:8080 until interrupted

Flags:
`

// parseFlags reads the command line. A combination that makes no sense is refused with what would.
func parseFlags(args []string, getenv func(string) string, help io.Writer) (config, error) {
	var c config
	var products string
	fs := flag.NewFlagSet("inventory", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.BoolVar(&c.once, "once", false, "run the story once, check every invariant, print one table and exit")
	fs.StringVar(&c.dir, "dir", "", "`folder` of the warehouse's files; default a new one under the user's cache directory")
	fs.BoolVar(&c.fresh, "fresh", false, "remove our files from -dir first, and nothing else")
	fs.StringVar(&c.input, "input", "", "CSV `file` with a catalogue or invoice lines; default a small catalogue inside the program")
	fs.BoolVar(&c.foldCase, "fold-case", false, "codes that differ only in case (84997c, 84997C) are one product; default two")
	fs.StringVar(&products, "products", productRule, "invoice lines: `regexp` of the codes that are products")
	fs.StringVar(&c.receiver, "receiver", "", "`URL` of an outside receiver of the webhooks, with its secret in "+secretEnv+"; default one in process")
	fs.StringVar(&c.org, "org", "", "`URL` of a Salesforce org, its login host or My Domain, with "+orgIDEnv+" and "+orgSecretEnv+"; default one in process")
	fs.StringVar(&c.addr, "addr", "127.0.0.1:8080", "`host:port` to serve on")
	fs.Uint64Var(&c.seed, "seed", 1, "seed of the reservations and of the faults, with -once")
	fs.IntVar(&c.reservations, "reservations", 400, "how many reservations the shop makes, with -once")
	fs.DurationVar(&c.wait, "wait", time.Minute, "how long -once waits for webhooks that do not land and for events that are not heard")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(help, usage)
			fs.SetOutput(help)
			fs.PrintDefaults()
			return c, err
		}
		return c, fmt.Errorf("%w; -help lists the flags", err)
	}
	given := map[string]bool{}
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	return c.check(fs.Args(), given, products, getenv)
}

func (c config) check(rest []string, given map[string]bool, products string, getenv func(string) string) (config, error) {
	if len(rest) > 0 {
		return c, fmt.Errorf("%q is no flag; give a file with -input and a folder with -dir", clip(rest[0]))
	}
	for _, f := range []string{"seed", "reservations", "wait"} {
		if given[f] && !c.once {
			return c, fmt.Errorf("-%s belongs to the story: add -once", f)
		}
	}
	if given["addr"] && c.once {
		return c, errors.New("-addr is where to serve, and -once serves nobody: leave one of them out")
	}
	if given["dir"] && c.dir == "" {
		return c, errors.New("-dir is empty: name a folder, or leave -dir out for a new one")
	}
	if given["input"] && c.input == "" {
		return c, errors.New("-input is empty: name a CSV file, or leave -input out for the catalogue inside the program")
	}
	if c.fresh && c.dir == "" {
		return c, errors.New("-fresh empties a folder you name: add -dir FOLDER (without -dir the folder is new anyway)")
	}
	if c.reservations < 1 || c.reservations > 100_000 {
		return c, fmt.Errorf("-reservations %d: give 1 to 100000", c.reservations)
	}
	if c.wait < time.Second || c.wait > time.Hour {
		return c, fmt.Errorf("-wait %s: give 1s to 1h", c.wait)
	}
	var err error
	if c.products, err = regexp.Compile(products); err != nil || products == "" {
		return c, fmt.Errorf("-products is no regular expression that Go reads: give one such as '%s'", productRule)
	}
	if err := checkAddr(c.addr); err != nil {
		return c, err
	}
	if c.input != "" {
		switch info, err := os.Stat(c.input); {
		case err != nil:
			return c, fmt.Errorf("-input: %w", err)
		case info.IsDir():
			return c, fmt.Errorf("-input %s is a folder: name the CSV file in it", c.input)
		}
	}
	if c, err = c.checkOrg(given["org"], getenv); err != nil {
		return c, err
	}
	return c.checkReceiver(given["receiver"], getenv(secretEnv))
}

func checkAddr(addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("-addr %q: give host:port, such as 127.0.0.1:8080", clip(addr))
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("-addr %q: give a port from 1 to 65535, or 0 for any free one", clip(addr))
	}
	return nil
}

func (c config) checkOrg(given bool, getenv func(string) string) (config, error) {
	if !given {
		return c, nil // our own org makes its own credentials
	}
	u, err := url.Parse(c.org)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.RawQuery != "" || u.Fragment != "" {
		return c, errors.New("-org: give a whole address, such as https://example.my.salesforce.com or http://127.0.0.1:8090")
	}
	if u.User != nil {
		return c, fmt.Errorf("-org: leave user and password out of the address; the program logs in with %s and %s", orgIDEnv, orgSecretEnv)
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) {
		return c, errors.New("-org: over plain http everybody on the way reads the secret; give an https address (http is for this machine alone)")
	}
	c.orgID, c.orgSecret = getenv(orgIDEnv), getenv(orgSecretEnv)
	for name, value := range map[string]string{orgIDEnv: c.orgID, orgSecretEnv: c.orgSecret} {
		if value == "" {
			return c, fmt.Errorf("-org needs the consumer key and secret of an app that may use client credentials: put them in %s and %s (%s is empty)", orgIDEnv, orgSecretEnv, name)
		}
	}
	return c, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (c config) checkReceiver(given bool, secret string) (config, error) {
	if !given {
		return c, nil // our own receiver makes its own secret
	}
	u, err := url.Parse(c.receiver)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return c, errors.New("-receiver: give a whole address, such as http://127.0.0.1:9000/hook")
	}
	if u.User != nil {
		return c, errors.New("-receiver: leave user and password out of the address; messages are signed with the secret in " + secretEnv)
	}
	if secret == "" {
		return c, fmt.Errorf("-receiver needs the secret that the receiver verifies with: put it in %s, whsec_ and base64", secretEnv)
	}
	if c.secret, err = webhook.ParseSecret(secret); err != nil {
		return c, fmt.Errorf("%s does not parse: it is whsec_ and 24 to 64 bytes in base64", secretEnv)
	}
	return c, nil
}

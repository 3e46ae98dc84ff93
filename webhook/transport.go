package webhook

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/crosstie/crosstie/internal/redirect"
)

// TransportOptions say where webhooks may be sent to. Nil and the zero value
// mean the public internet, at ports 443 and 80.
type TransportOptions struct {
	// Allow are ranges of addresses that may be connected to although they
	// are not public, such as 127.0.0.0/8 in a test. An address of IPv4
	// that is mapped into IPv6 counts as the IPv4 one, in Allow too; one with
	// a zone is in no range. Defaults to none.
	Allow []netip.Prefix
	// Ports are the ports that may be connected to, for every address.
	// Defaults to 443 and 80. A port of 0 among them allows all.
	Ports []int
}

// guard is TransportOptions with its defaults, for ever.
type guard struct {
	allow []netip.Prefix
	ports []int
}

func newGuard(o *TransportOptions) guard {
	var g guard
	if o != nil {
		g.ports = slices.Clone(o.Ports)
		for _, p := range o.Allow {
			if p.Addr().Is4In6() && p.Bits() >= 96 {
				p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
			}
			g.allow = append(g.allow, p)
		}
	}
	if len(g.ports) == 0 {
		g.ports = []int{443, 80}
	}
	return g
}

// addr returns why a may not be connected to.
func (g guard) addr(a netip.Addr) error {
	// Unmap would drop the zone of a mapped address.
	in := func(p netip.Prefix) bool { return a.Zone() == "" && p.Contains(a.Unmap()) }
	if public(a) || slices.ContainsFunc(g.allow, in) {
		return nil
	}
	return fmt.Errorf("%w: %s is not a public address", ErrBlocked, a)
}

func (g guard) port(p int) error {
	if p > 0 && p <= 65535 && (slices.Contains(g.ports, p) || slices.Contains(g.ports, 0)) {
		return nil
	}
	return fmt.Errorf("%w: port %d is not among those allowed", ErrBlocked, p)
}

// control looks at the very address that a socket is about to connect to.
func (g guard) control(_ context.Context, network, address string, _ syscall.RawConn) error {
	if network != "tcp4" && network != "tcp6" {
		return wrap("dial", fmt.Errorf("%w: network %s", ErrBlocked, network))
	}
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return wrap("dial", fmt.Errorf("%w: no address and port", ErrBlocked))
	}
	if err := g.addr(ap.Addr()); err != nil {
		return wrap("dial", err)
	}
	if err := g.port(int(ap.Port())); err != nil {
		return wrap("dial", err)
	}
	return nil
}

func (g guard) url(u *url.URL) error {
	switch {
	case u == nil:
		return fmt.Errorf("%w: there is no URL", ErrBlocked)
	case u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("%w: its scheme is neither https nor http", ErrBlocked)
	case u.User != nil:
		return fmt.Errorf("%w: it holds a user name; sign messages instead", ErrBlocked)
	case u.Hostname() == "":
		return fmt.Errorf("%w: it has no host", ErrBlocked)
	}
	port := 443
	if u.Scheme == "http" {
		port = 80
	}
	if p := u.Port(); p != "" {
		n, err := strconv.Atoi(p)
		if err != nil {
			return fmt.Errorf("%w: its port is no number", ErrBlocked)
		}
		port = n
	}
	if err := g.port(port); err != nil {
		return err
	}
	if a, err := netip.ParseAddr(u.Hostname()); err == nil {
		return g.addr(a)
	}
	return nil
}

// Check returns why u cannot be a destination, as far as that can be seen
// without the network: its scheme, user info, port, and its host where that is
// an address. Use it where a URL is registered. A host that is a name may lead
// to an address that is refused later, whenever it is dialled.
func (o *TransportOptions) Check(u *url.URL) error {
	if err := newGuard(o).url(u); err != nil {
		return wrap("check", err)
	}
	return nil
}

// NewTransport returns a transport that connects to what o allows alone. The
// address is checked when a socket connects to it, after all resolving, so
// names that change their address between a check and a connection gain
// nothing. It speaks TLS 1.2 and later and knows no proxy. Redirects and the
// rest of the URL are seen by a client alone: prefer [NewClient].
//
// A refused connection is an [*Error] that wraps [ErrBlocked]; its outcome is
// NotSent.
func NewTransport(o *TransportOptions) *http.Transport {
	d := &net.Dialer{
		Timeout:        10 * time.Second,
		ControlContext: newGuard(o).control,
	}
	return &http.Transport{
		Proxy:                  nil,
		DialContext:            d.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    10 * time.Second,
		ResponseHeaderTimeout:  30 * time.Second,
		IdleConnTimeout:        90 * time.Second,
		MaxIdleConns:           1000,
		MaxResponseHeaderBytes: 64 << 10,
		// Nobody needs what a receiver answers, and it may be a bomb.
		DisableCompression: true,
		ForceAttemptHTTP2:  true,
	}
}

// NewClient returns a client for sending webhooks: a [NewTransport] that also
// refuses URLs as Check does, follows no redirect (it returns the 3xx response
// as it is, which is a failed delivery), has no cookies, and gives a call 30
// seconds, the reading of the response included.
func NewClient(o *TransportOptions) *http.Client {
	c := &http.Client{Transport: checked{newGuard(o), NewTransport(o)}, Timeout: 30 * time.Second}
	redirect.Refuse(c) // a 307 would carry body and signature to whomever it names
	return c
}

type checked struct {
	guard guard
	base  *http.Transport
}

func (c checked) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := c.guard.url(r.URL); err != nil {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, wrap("check", err)
	}
	return c.base.RoundTrip(r)
}

// CloseIdleConnections lets the client's method of that name reach the base.
func (c checked) CloseIdleConnections() { c.base.CloseIdleConnections() }

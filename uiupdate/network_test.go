package uiupdate_test

import (
	"context"
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/crosstie/crosstie/uiupdate/uiupdatetest"
)

// A network is a server without a socket, so that it works in a bubble. What
// its server writes waits until the client reads.
type network struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (n *network) Accept() (net.Conn, error) {
	select {
	case c := <-n.conns:
		return c, nil
	case <-n.done:
		return nil, net.ErrClosed
	}
}

func (n *network) Close() error {
	n.once.Do(func() { close(n.done) })
	return nil
}

func (n *network) Addr() net.Addr { return &net.UnixAddr{Name: "network", Net: "unix"} }

func (n *network) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	mine, theirs := net.Pipe()
	select {
	case n.conns <- theirs:
		return mine, nil
	case <-n.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// serve serves h until the test ends and returns a client.
func serve(t *testing.T, h http.Handler) *http.Client {
	t.Helper()
	n := &network{conns: make(chan net.Conn), done: make(chan struct{})}
	server := &http.Server{Handler: h}
	go func() { _ = server.Serve(n) }()
	transport := &http.Transport{DialContext: n.dial}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = server.Close()
	})
	return &http.Client{Transport: transport}
}

func browser(c *http.Client) *uiupdatetest.Client {
	return &uiupdatetest.Client{URL: "http://stock.example/stock", HTTP: c}
}

func live(c *uiupdatetest.Copy) bool { return c.Live }

package sftest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// A web serves an org on an address of this machine.
type web struct {
	listener net.Listener
	server   *http.Server
	ended    chan struct{} // closed when nothing is accepted any more

	mu    sync.Mutex
	fresh map[net.Conn]bool // connections on which nothing was asked yet
}

func listen(addr string, h http.Handler, log *slog.Logger) (*web, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("sftest: address %q: %w", addr, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("sftest: address %q is not of this machine alone: give a loopback address, as in 127.0.0.1:0", addr)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("sftest: %w", err)
	}
	w := &web{listener: l, ended: make(chan struct{}), fresh: map[net.Conn]bool{}}
	w.server = &http.Server{
		Handler: h, ReadHeaderTimeout: time.Minute, MaxHeaderBytes: maxHead + 8<<10,
		ConnState: w.state, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	go func() {
		defer close(w.ended)
		if err := w.server.Serve(l); !errors.Is(err, net.ErrClosed) {
			log.Error("sftest: the server ended", "error", err)
		}
	}()
	return w, nil
}

func (w *web) state(c net.Conn, s http.ConnState) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s == http.StateNew {
		w.fresh[c] = true
	} else {
		delete(w.fresh, c)
	}
}

// close lets the calls finish that are being answered. Clients open spare
// connections and never use them; net/http would wait 5 s for those.
func (w *web) close() error {
	_ = w.listener.Close()
	<-w.ended
	w.mu.Lock()
	for c := range w.fresh {
		_ = c.Close()
	}
	w.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := w.server.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("sftest: close: %w", err), w.server.Close())
	}
	return nil
}

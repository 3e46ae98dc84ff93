package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"sync/atomic"
	"time"
)

// serve loads the input and serves the warehouse until ctx ends.
func serve(ctx context.Context, c config, stdout, stderr io.Writer) (err error) {
	interrupted := ctx.Err
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	s, err := openSystem(ctx, c, stderr, fail)
	if err != nil {
		return err
	}
	defer func() {
		if stop := s.close(); err == nil {
			err = stop
		}
	}()
	s.board = newBoard()
	stand, err := s.openCounter(ctx)
	if err != nil {
		return err
	}
	status := &statusPage{s: s, began: time.Now()}
	mux := http.NewServeMux()
	mux.Handle("/", status.counted(s.warehouse.handler()))
	mux.HandleFunc("GET /status", status.serve)
	s.openWindow(stand.shop)
	front := newPage(s.board, s.view, stand)
	h, err := front.handler(status.whenLoaded(mux))
	if err != nil {
		return err
	}
	at, err := s.listen(ctx, c.addr, guarded(c.addr, h)) // before the load: a port in use is said at once
	if err != nil {
		return err
	}
	s.onClose(front.close)
	bar := newProgress(stderr)
	tallies, err := s.load(ctx, bar, stderr)
	if err != nil {
		bar.clear()
		return err
	}
	status.loaded.Store(&tallies)
	s.watch(ctx, stand, front, tallies)
	if err := s.work(ctx); err != nil {
		return err
	}
	warnIfOpen(stderr, at)
	fmt.Fprintf(stdout, "serving http://%s until interrupted: open it in a browser, or\n", at)
	fmt.Fprintf(stdout, "  curl http://%s/stock/SKU\n", at)
	fmt.Fprintf(stdout, "  curl -X POST http://%s/reservations -H 'Idempotency-Key: my-1' -H 'Content-Type: application/json' -d '{\"id\":\"my-1\",\"sku\":\"SKU\",\"quantity\":1}'\n", at)
	fmt.Fprintf(stdout, "  curl http://%s/status\n", at)
	<-ctx.Done()
	if interrupted() == nil {
		return about(s.folder.path, context.Cause(ctx))
	}
	fmt.Fprintln(stderr, "stopping; what waits for delivery stays in the outbox")
	return nil
}

// warnIfOpen: nobody is asked who he is, so other machines should not get here by oversight.
func warnIfOpen(w io.Writer, at string) {
	if a, err := netip.ParseAddrPort(at); err == nil && !a.Addr().IsLoopback() {
		_, port, _ := net.SplitHostPort(at)
		fmt.Fprintf(w, "note: other machines can reach port %s, and nobody is asked for a password\n", port)
	}
}

// A statusPage says in JSON what each pattern did since the process began.
type statusPage struct {
	s      *system
	began  time.Time
	loaded atomic.Pointer[[]tally]

	requests, done, refused, failed atomic.Int64
}

// whenLoaded answers 503 until the catalogue is there.
func (p *statusPage) whenLoaded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.loaded.Load() == nil {
			w.Header().Set("Retry-After", "1")
			http.Error(w, "the catalogue is being loaded", http.StatusServiceUnavailable)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// counted counts the answers of the warehouse.
func (p *statusPage) counted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.requests.Add(1)
		cw := &countedWriter{ResponseWriter: w, status: http.StatusOK}
		defer func() {
			switch {
			case cw.status < 400:
				p.done.Add(1)
			case cw.status < 500:
				p.refused.Add(1)
			default:
				p.failed.Add(1)
			}
		}()
		next.ServeHTTP(cw, r)
	})
}

type countedWriter struct {
	http.ResponseWriter
	status int
}

func (w *countedWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *countedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (p *statusPage) serve(w http.ResponseWriter, r *http.Request) {
	type requests struct {
		Total   int64 `json:"total"`
		Done    int64 `json:"done"`
		Refused int64 `json:"refused"` // 4xx: out of stock, no such product, a bad request
		Failed  int64 `json:"failed"`  // 5xx
	}
	type messages struct {
		Sent    int64 `json:"sent"`
		Pending int64 `json:"pending"`
		Parked  int64 `json:"parked"`
		Landed  int64 `json:"landed_in_this_process"`
	}
	status := struct {
		Up       string              `json:"up"`
		Products int64               `json:"products"`
		Stock    int64               `json:"pieces_in_stock"`
		Load     []tally             `json:"batchsync"`
		Requests requests            `json:"requestreply"`
		Messages map[string]messages `json:"fireforget"`
		Versions map[string]string   `json:"versions"`
	}{
		Up:       time.Since(p.began).Round(time.Second).String(),
		Load:     *p.loaded.Load(),
		Requests: requests{p.requests.Load(), p.done.Load(), p.refused.Load(), p.failed.Load()},
		Messages: map[string]messages{},
		Versions: map[string]string{"go": runtime.Version()},
	}
	queues, err := p.s.waiting(r.Context())
	if err == nil {
		for to, q := range queues {
			status.Messages[to] = messages{q.sent, q.pending, q.parked, p.s.courier.count(to)}
		}
		err = p.numbers(r.Context(), &status.Products, &status.Stock, status.Versions)
	}
	if err != nil {
		http.Error(w, "the status cannot be read", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.Encode(status)
}

func (p *statusPage) numbers(ctx context.Context, products, pieces *int64, versions map[string]string) error {
	var engine string
	err := p.s.warehouse.db.QueryRowContext(ctx,
		`SELECT count(*), coalesce(sum(opening - reserved), 0), sqlite_version() FROM product`).Scan(products, pieces, &engine)
	versions["sqlite"] = engine
	versions["warehouse schema"] = fmt.Sprint(schemaVersion)
	return err
}

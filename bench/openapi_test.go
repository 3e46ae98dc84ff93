//go:build linux

package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/crosstie/crosstie/requestreply/openapi"
	"github.com/crosstie/crosstie/requestreply/server"
)

type quoteLine struct {
	SKU   string `json:"sku"`
	Qty   int32  `json:"qty"`
	Pence int64  `json:"pence"`
}

type quote struct {
	Account string            `json:"account"`
	State   string            `json:"state" enum:"open,done"`
	Lines   []quoteLine       `json:"lines"`
	Notes   map[string]string `json:"notes"`
	Parent  *quote            `json:"parent,omitempty"`
}

// BenchmarkOperation answers a POST of ten lines with the same ten lines:
// described and checked (openapi), checked (server), and by hand with
// encoding/json and a limit. No network: the handlers alone.
func BenchmarkOperation(b *testing.B) {
	q := quote{Account: "A-1", State: "open", Notes: map[string]string{"a": "b"}}
	for range 10 {
		q.Lines = append(q.Lines, quoteLine{"84879", 3, 1299})
	}
	body, err := json.Marshal(q)
	if err != nil {
		b.Fatal(err)
	}
	echo := func(_ context.Context, q quote) (quote, error) { return q, nil }
	api := openapi.New("Quotes", "1", nil)
	if err := openapi.Register(api, "POST /quotes", "quote", echo, nil); err != nil {
		b.Fatal(err)
	}
	checked := http.NewServeMux()
	checked.Handle("POST /quotes", server.Handle(echo, &server.Options{Complete: true}))
	byHand := http.NewServeMux()
	byHand.HandleFunc("POST /quotes", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 30*time.Second)
		defer cancel()
		d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
		d.DisallowUnknownFields()
		var q quote
		if d.Decode(&q) != nil || q.Account == "" || q.State != "open" && q.State != "done" {
			http.Error(w, "bad request", http.StatusBadRequest)
			return
		}
		q, err := echo(ctx, q)
		if err != nil {
			http.Error(w, "failed", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(q)
	})
	ask := func(h http.Handler) func(int) (time.Duration, error) {
		return timed(func(n int) error {
			for range n {
				r := httptest.NewRequest("POST", "/quotes", bytes.NewReader(body))
				r.Header.Set("Content-Type", "application/json")
				w := httptest.NewRecorder()
				if h.ServeHTTP(w, r); w.Code != http.StatusOK {
					return fmt.Errorf("%d %s", w.Code, w.Body)
				}
			}
			return nil
		})
	}
	takeTurns(b, 50, "answers/s", []work{{"ours", ask(api)}, {"server", ask(checked)}, {"hand", ask(byHand)}})
}

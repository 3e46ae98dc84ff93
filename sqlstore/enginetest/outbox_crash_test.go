//go:build linux || darwin

package enginetest

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/fireforget"
	"github.com/crosstie/crosstie/inbox"
	"github.com/crosstie/crosstie/sqlstore"
	"github.com/crosstie/crosstie/webhook"
)

func init() { roles["send and relay"] = sendAndRelay }

// An order is the business side of a message: the n-th of its key.
type order struct {
	Key string
	N   int
}

const orderTable = `CREATE TABLE IF NOT EXISTS orders (key TEXT NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (key, n))`

var crashSecret = func() webhook.Secret {
	s, err := webhook.ParseSecret("whsec_" + strings.Repeat("YWJj", 10))
	if err != nil {
		panic(err)
	}
	return s
}()

func crashRelay(s fireforget.Store, url string) *fireforget.Relay {
	r := fireforget.NewRelay(s, &fireforget.RelayOptions{Lease: 500 * time.Millisecond, Poll: 20 * time.Millisecond})
	schedule := make([]time.Duration, 1000)
	for i := range schedule {
		schedule[i] = 5 * time.Millisecond
	}
	client := webhook.NewClient(&webhook.TransportOptions{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Ports: []int{0}})
	r.Handle("audit", fireforget.Webhook(url, crashSecret, &fireforget.WebhookOptions{Client: client, AllowHTTP: true}),
		&fireforget.RouteOptions{Schedule: schedule})
	return r
}

// place writes one order and its message in one transaction.
func place(ctx context.Context, d *sqlstore.DB, box *fireforget.Outbox, key string) (o order, err error) {
	err = d.Tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		o.Key = key
		err := tx.QueryRowContext(ctx, `INSERT INTO orders (key, n) SELECT ?1, 1 + coalesce(max(n), 0) FROM orders WHERE key = ?1 RETURNING n`, key).Scan(&o.N)
		if err != nil {
			return err
		}
		_, err = box.SendTx(ctx, tx, fireforget.Message{To: "audit", Key: key, Payload: o})
		return err
	})
	return o, err
}

// sendAndRelay places orders, prints each only after it is accepted, and
// relays them, until it is killed.
func sendAndRelay(file string) error {
	url, err := os.ReadFile(file + ".url")
	if err != nil {
		return err
	}
	d, _, err := childOpen(file)
	if err != nil {
		return err
	}
	box := fireforget.NewOutbox(d.Outbox(), nil)
	ctx := context.Background()
	for c := range 8 {
		go func() {
			for {
				o, err := place(ctx, d, box, fmt.Sprint("key", c))
				if err != nil {
					fmt.Println("child:", err)
					os.Exit(1)
				}
				line, _ := json.Marshal(o)
				_, _ = os.Stdout.WriteString(string(line) + "\n")
			}
		}()
	}
	return crashRelay(d.Outbox(), string(url)).Run(ctx)
}

// A judge is the receiver of the crash test. It lives in the parent, which
// nobody kills, and answers badly now and then, before and after the effect.
type judge struct {
	mu       sync.Mutex
	effects  map[string][]int
	requests int
}

func (j *judge) handler() http.Handler {
	in := inbox.New("audit", inbox.NewMem(), nil)
	take := fireforget.NewReceiver(webhook.Verifier{Secrets: []webhook.Secret{crashSecret}}, in,
		func(_ context.Context, _ *sql.Tx, m webhook.Message) error {
			var o order
			if err := json.Unmarshal(m.Body, &o); err != nil {
				return err
			}
			j.mu.Lock()
			defer j.mu.Unlock()
			j.effects[o.Key] = append(j.effects[o.Key], o.N)
			return nil
		}, nil)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		j.mu.Lock()
		j.requests++
		j.mu.Unlock()
		switch rand.IntN(20) {
		case 0:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 1:
			take.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler) // done, and the answer is lost
		default:
			take.ServeHTTP(w, r)
		}
	})
}

// live runs a child until it is killed at a random moment, and reports what it
// acknowledged.
func live(t *testing.T, role, file string, acked func(order)) {
	cmd := child(t, role, file)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Error(err)
		return
	}
	lines := bufio.NewReader(out)
	mercy, moment := 1+rand.IntN(150), rand.IntN(30_000)
	if rand.IntN(3) == 0 {
		moment = rand.IntN(700_000) // long enough to take over what the last one held
	}
	for n := 0; ; n++ {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			break // a half line is no acknowledgement
		}
		var o order
		if err := json.Unmarshal(line, &o); err != nil {
			t.Errorf("%v: %s", err, line)
			_ = cmd.Process.Kill()
			break
		}
		acked(o)
		if n == mercy {
			time.AfterFunc(time.Duration(moment)*time.Microsecond, func() { _ = cmd.Process.Kill() })
		}
	}
	if cmd.Wait() == nil {
		t.Error("the child ended by itself")
	}
}

// TestOutboxKill kills processes that send and relay at random moments. The
// parent is the judge: every order whose acceptance was printed is in the
// database, every order in the database took effect, once, and in order.
func TestOutboxKill(t *testing.T) {
	kills := 20
	if os.Getenv("CROSSTIE_SOAK") != "" {
		kills = 1000
	} else if testing.Short() {
		kills = 3
	}
	j := &judge{effects: map[string][]int{}}
	server := httptest.NewServer(j.handler())
	defer server.Close()
	file := filepath.Join(t.TempDir(), "store.db")
	require.NoError(t, os.WriteFile(file+".url", []byte(server.URL), 0o600))
	d, db, err := childOpen(file)
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), orderTable)
	require.NoError(t, err)

	var mu sync.Mutex
	acked := map[string]int{} // key -> the largest n whose acceptance was seen
	for range kills / 2 {
		var pair sync.WaitGroup // two processes share the keys and the work
		for range 2 {
			pair.Go(func() {
				live(t, "send and relay", file, func(o order) {
					mu.Lock()
					defer mu.Unlock()
					acked[o.Key] = max(acked[o.Key], o.N)
				})
			})
		}
		pair.Wait()
	}

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	ran := make(chan error, 1)
	go func() { ran <- crashRelay(d.Outbox(), server.URL).Run(ctx) }()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for left := 1; left > 0; {
		require.NoError(t, db.QueryRowContext(ctx, `SELECT count(*) FROM crosstie_outbox`).Scan(&left))
		<-tick.C
	}
	cancel()
	require.NoError(t, <-ran)

	var dead int
	require.NoError(t, db.QueryRowContext(t.Context(), `SELECT count(*) FROM crosstie_outbox_dead`).Scan(&dead))
	require.Zero(t, dead)
	total := 0
	for key, n := range acked {
		var placed int
		require.NoError(t, db.QueryRowContext(t.Context(), `SELECT count(*) FROM orders WHERE key = ?`, key).Scan(&placed))
		require.GreaterOrEqual(t, placed, n, "accepted and lost: %s", key)
		want := make([]int, placed)
		for i := range want {
			want[i] = i + 1
		}
		require.Equal(t, want, j.effects[key], "none lost, none twice, in order: %s", key)
		total += placed
	}
	t.Logf("%d kills, %d messages, %d requests, none lost, none twice, each key in order", kills, total, j.requests)
}

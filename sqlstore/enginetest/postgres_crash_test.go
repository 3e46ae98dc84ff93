//go:build linux || darwin

package enginetest

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/fireforget"
	"github.com/crosstie/crosstie/inbox"
	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/sqlstore"
)

func init() { roles["send and relay on PostgreSQL"] = pgSendAndRelay }

// pgPlace writes one order and its message in one transaction. Of two that
// would be the n-th of a key one fails, and is placed again.
func pgPlace(ctx context.Context, d *sqlstore.Postgres, box *fireforget.Outbox, key string) (o order, err error) {
	for {
		err = d.Tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
			o.Key = key
			err := tx.QueryRowContext(ctx, `INSERT INTO orders (key, n) SELECT $1, 1 + coalesce(max(n), 0) FROM orders WHERE key = $1 RETURNING n`, key).Scan(&o.N)
			if err != nil {
				return err
			}
			_, err = box.SendTx(ctx, tx, fireforget.Message{To: "audit", Key: key, Payload: o})
			return err
		})
		if err == nil || outcome.Of(err) != outcome.Refused || !strings.Contains(err.Error(), "23505") {
			return o, err
		}
	}
}

// pgSendAndRelay places orders, prints each only after it is accepted, and
// relays them, until it is killed.
func pgSendAndRelay(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	dsn, url, _ := strings.Cut(string(text), "\n")
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		return err
	}
	ctx := context.Background()
	d, err := sqlstore.OpenPostgres(ctx, db, nil)
	if err != nil {
		return err
	}
	box := fireforget.NewOutbox(d.Outbox(), nil)
	for c := range 8 {
		go func() {
			for {
				o, err := pgPlace(ctx, d, box, fmt.Sprint("key", c))
				if err != nil {
					fmt.Println("child:", err)
					os.Exit(1)
				}
				line, _ := json.Marshal(o)
				_, _ = os.Stdout.WriteString(string(line) + "\n")
			}
		}()
	}
	return crashRelay(d.Outbox(), url).Run(ctx)
}

// Three processes share keys and work on one server and are killed at random
// moments. The parent is the judge: every order whose acceptance was printed is
// in the database, every order in the database took effect, once, and in order.
func TestPostgresOutboxKill(t *testing.T) {
	dsn := pgSchema(t)
	kills := 18
	if os.Getenv("CROSSTIE_SOAK") != "" {
		kills = 999
	}
	j := &judge{effects: map[string][]int{}}
	server := httptest.NewServer(j.handler())
	defer server.Close()
	file := filepath.Join(t.TempDir(), "addresses")
	require.NoError(t, os.WriteFile(file, []byte(dsn+"\n"+server.URL), 0o600))
	db := pgPool(t, dsn, 8)
	d, err := sqlstore.OpenPostgres(t.Context(), db, nil)
	require.NoError(t, err)
	_, err = db.Exec(orderTable)
	require.NoError(t, err)

	var mu sync.Mutex
	acked := map[string]int{} // key -> the largest n whose acceptance was seen
	for range kills / 3 {
		var three sync.WaitGroup
		for range 3 {
			three.Go(func() {
				live(t, "send and relay on PostgreSQL", file, func(o order) {
					mu.Lock()
					defer mu.Unlock()
					acked[o.Key] = max(acked[o.Key], o.N)
				})
			})
		}
		three.Wait()
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
	require.NoError(t, db.QueryRow(`SELECT count(*) FROM crosstie_outbox_dead`).Scan(&dead))
	require.Zero(t, dead)
	total := 0
	for key, n := range acked {
		var placed int
		require.NoError(t, db.QueryRow(`SELECT count(*) FROM orders WHERE key = $1`, key).Scan(&placed))
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

// The server fails under load and comes back: what was accepted is there, what
// was refused is not, and what is unknown is settled by sending it again under
// its ID.
func TestPostgresServerCrash(t *testing.T) {
	server := newServer(t)
	db := pgPool(t, server.url(), 12)
	d, err := sqlstore.OpenPostgres(t.Context(), db, nil)
	require.NoError(t, err)
	_, err = db.Exec(`CREATE TABLE told (id TEXT PRIMARY KEY)`)
	require.NoError(t, err)
	box := fireforget.NewOutbox(d.Outbox(), nil)

	seen := inbox.New("seen", inbox.NewMem(), nil)
	var mu sync.Mutex // guards all below
	effects, accepted := map[string]int{}, map[string]bool{}
	refused, outcomes := map[string]bool{}, map[outcome.Outcome]int{}
	relay := fireforget.NewRelay(d.Outbox(), &fireforget.RelayOptions{Lease: time.Second, Poll: 20 * time.Millisecond})
	relay.Handle("dest", fireforget.DelivererFunc(func(ctx context.Context, it fireforget.Item) error {
		return seen.Do(ctx, it.ID, it.AcceptedAt, func(context.Context, *sql.Tx) error {
			mu.Lock()
			defer mu.Unlock()
			effects[it.ID]++
			return nil
		})
	}), nil)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	relayed := make(chan error, 1)
	go func() { relayed <- relay.Run(ctx) }()

	sending, enough := context.WithCancel(t.Context())
	var senders sync.WaitGroup
	for c := range 8 {
		senders.Go(func() {
			for n := 0; sending.Err() == nil; n++ {
				id := fmt.Sprintf("id-%d-%d", c, n)
				m := fireforget.Message{ID: id, To: "dest", Key: fmt.Sprint(n % 3), Payload: []byte(id)}
				for try := 0; ; try++ {
					attempt := fmt.Sprint(id, "-", try)
					err := d.Tx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
						if _, err := tx.ExecContext(ctx, `INSERT INTO told VALUES ($1)`, attempt); err != nil {
							return err
						}
						_, err := box.SendTx(ctx, tx, m)
						return err
					})
					mu.Lock()
					outcomes[outcome.Of(err)]++
					if err == nil {
						accepted[id] = true
						accepted[attempt] = true
					} else if outcome.NotApplied(err) {
						refused[attempt] = true
					}
					mu.Unlock()
					if err == nil {
						break
					}
					if temporary, known := outcome.Transient(err); known && !temporary && outcome.NotApplied(err) {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return outcomes[outcome.Applied]
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range 4 {
		for want := count() + 150; count() < want && !t.Failed(); {
			<-tick.C
		}
		server.run("pg_ctl", "stop", "--wait", "--mode=immediate", "--pgdata="+server.data())
		server.start()
	}
	enough()
	senders.Wait()
	for left := 1; left > 0; {
		require.NoError(t, db.QueryRow(`SELECT count(*) FROM crosstie_outbox`).Scan(&left))
		<-tick.C
	}
	stop()
	require.NoError(t, <-relayed)

	told := map[string]bool{}
	rows, err := db.Query(`SELECT id FROM told`)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var id string
		require.NoError(t, rows.Scan(&id))
		told[id] = true
	}
	require.NoError(t, rows.Err())
	for id := range refused {
		require.False(t, told[id], "said to be refused, and it is there: %s", id)
	}
	for id := range accepted {
		if strings.Count(id, "-") == 3 {
			require.True(t, told[id], "accepted and lost: %s", id)
			continue
		}
		require.Equal(t, 1, effects[id], id)
	}
	t.Logf("%d messages, outcomes of attempts: %v", len(effects), outcomes)
	require.Positive(t, outcomes[outcome.Unknown]+outcomes[outcome.Refused]+outcomes[outcome.NotSent])
}

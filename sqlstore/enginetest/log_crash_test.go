//go:build linux || darwin

package enginetest

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/inbox"
	"github.com/crosstie/crosstie/pubsub"
	"github.com/crosstie/crosstie/retry"
	"github.com/crosstie/crosstie/sqlstore"
)

func init() {
	roles["publish and subscribe"] = func(file string) error { return publishAndSubscribe(file, false) }
	roles["publish and subscribe without an inbox"] = func(file string) error { return publishAndSubscribe(file, true) }
}

// What two groups made of the orders: a row for each effect, in order.
const effectTable = `CREATE TABLE IF NOT EXISTS effects (seq INTEGER PRIMARY KEY AUTOINCREMENT, grp TEXT NOT NULL, key TEXT NOT NULL, n INTEGER NOT NULL)`

var crashGroups = []string{"billing", "shipping"}

func crashTopic(d *sqlstore.DB) *pubsub.Topic[order] {
	return pubsub.NewTopic[order](d.Log(), "orders", &pubsub.TopicOptions{Schema: "urn:order:1"})
}

// crashSubscription handles orders for a group, now and then badly. planted
// leaves the inbox out, which is the bug that the test must find.
func crashSubscription(d *sqlstore.DB, group string, planted bool) *pubsub.Subscription {
	effect := func(ctx context.Context, tx *sql.Tx, e pubsub.Event[order]) error {
		if rand.IntN(20) == 0 {
			return errors.New("bad luck")
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO effects (grp, key, n) VALUES (?, ?, ?)`, group, e.Data.Key, e.Data.N)
		return err
	}
	o := &pubsub.SubscribeOptions{
		Shards: 2, MaxShards: 2, Window: 64, Lease: 500 * time.Millisecond, Poll: 20 * time.Millisecond,
		Retry: retry.Policy{MaxAttempts: 1000, Base: time.Millisecond, Max: 5 * time.Millisecond},
	}
	if planted {
		return pubsub.Subscribe(crashTopic(d), group, func(ctx context.Context, e pubsub.Event[order]) error {
			return d.Tx(ctx, func(ctx context.Context, tx *sql.Tx) error { return effect(ctx, tx, e) })
		}, o)
	}
	return pubsub.SubscribeTx(crashTopic(d), group, inbox.New("orders", d.Inbox(), nil), effect, o)
}

// publishAndSubscribe places orders, prints each only after it is accepted,
// and handles them for two groups, until it is killed.
func publishAndSubscribe(file string, planted bool) error {
	d, _, err := childOpen(file)
	if err != nil {
		return err
	}
	topic := crashTopic(d)
	ctx := context.Background()
	for c := range 8 {
		go func() {
			for {
				o := order{Key: fmt.Sprint("key", c)}
				err := d.Tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
					err := tx.QueryRowContext(ctx, `INSERT INTO orders (key, n) SELECT ?1, 1 + coalesce(max(n), 0) FROM orders WHERE key = ?1 RETURNING n`, o.Key).Scan(&o.N)
					if err != nil {
						return err
					}
					_, err = topic.PublishTx(ctx, tx, o.Key, o)
					return err
				})
				if err != nil {
					fmt.Println("child:", err)
					os.Exit(1)
				}
				line, _ := json.Marshal(o)
				_, _ = os.Stdout.WriteString(string(line) + "\n")
			}
		}()
	}
	ended := make(chan error)
	for _, group := range crashGroups {
		go func() { ended <- crashSubscription(d, group, planted).Run(ctx) }()
	}
	return <-ended
}

// logKilled kills pairs of processes at random moments, lets the rest be
// handled, and returns what each group made of each key, and what was placed.
func logKilled(t *testing.T, role string, kills int) (effects map[string][]int, placed, acked map[string]int) {
	file := filepath.Join(t.TempDir(), "store.db")
	d, db, err := childOpen(file)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	_, err = db.ExecContext(t.Context(), orderTable+";"+effectTable)
	require.NoError(t, err)
	var mu sync.Mutex
	acked = map[string]int{}
	for range kills / 2 {
		var pair sync.WaitGroup // two processes share the keys and the work
		for range 2 {
			pair.Go(func() {
				live(t, role, file, func(o order) {
					mu.Lock()
					defer mu.Unlock()
					acked[o.Key] = max(acked[o.Key], o.N)
				})
			})
		}
		pair.Wait()
	}
	planted := strings.Contains(role, "without")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var running sync.WaitGroup
	for _, group := range crashGroups {
		s := crashSubscription(d, group, planted)
		running.Go(func() {
			if err := s.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		tick := time.NewTicker(20 * time.Millisecond)
		for lag := (pubsub.Lag{Events: 1}); lag.Events > 0; {
			<-tick.C
			lag, err = s.Lag(ctx)
			require.NoError(t, err)
		}
		tick.Stop()
		for l, err := range s.DeadLetters().All(ctx) {
			require.NoError(t, err)
			t.Error("parked:", l.Error)
		}
	}
	cancel()
	running.Wait()

	effects, placed = map[string][]int{}, map[string]int{}
	rows, err := db.QueryContext(t.Context(), `SELECT grp, key, n FROM effects ORDER BY seq`)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var group string
		var o order
		require.NoError(t, rows.Scan(&group, &o.Key, &o.N))
		effects[group+" "+o.Key] = append(effects[group+" "+o.Key], o.N)
	}
	require.NoError(t, rows.Err())
	keys, err := db.QueryContext(t.Context(), `SELECT key, max(n) FROM orders GROUP BY key`)
	require.NoError(t, err)
	defer keys.Close()
	for keys.Next() {
		var o order
		require.NoError(t, keys.Scan(&o.Key, &o.N))
		placed[o.Key] = o.N
	}
	require.NoError(t, keys.Err())
	return effects, placed, acked
}

// TestLogKill kills processes that publish and subscribe at random moments.
// The database is the judge: every order whose acceptance was printed is
// there, and every order took effect in each group, once, and in the order of
// its key.
func TestLogKill(t *testing.T) {
	kills := 10
	if _, soak := os.LookupEnv("CROSSTIE_SOAK"); soak {
		kills = 1000
	} else if testing.Short() {
		kills = 4
	}
	effects, placed, acked := logKilled(t, "publish and subscribe", kills)
	total := 0
	for key, n := range placed {
		require.GreaterOrEqual(t, n, acked[key], "accepted and lost: %s", key)
		want := make([]int, n)
		for i := range want {
			want[i] = i + 1
		}
		for _, group := range crashGroups {
			require.Equal(t, want, effects[group+" "+key], "none lost, none twice, in order: %s %s", group, key)
		}
		total += n
	}
	require.NotZero(t, total)
	for key := range acked {
		require.Contains(t, placed, key)
	}
	t.Logf("%d kills, %d events, %d groups: none lost, none twice, each key in order", kills, total, len(crashGroups))
}

// TestLogKillFindsABug plants one: without an inbox what was in work at a kill
// takes effect twice. A judge that never says so is none.
func TestLogKillFindsABug(t *testing.T) {
	if testing.Short() {
		t.Skip("not in short mode: it runs until chance has its way")
	}
	for range 10 {
		effects, placed, _ := logKilled(t, "publish and subscribe without an inbox", 6)
		for key, n := range placed {
			for _, group := range crashGroups {
				if len(effects[group+" "+key]) > n {
					return
				}
			}
		}
	}
	t.Error("60 kills, and the planted bug was not found")
}

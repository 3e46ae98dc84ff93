package enginetest

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/requestreply/server"
	"github.com/crosstie/crosstie/requestreply/server/servertest"
	"github.com/crosstie/crosstie/sqlstore"
)

func TestKeys(t *testing.T) {
	for name, conns := range pools {
		t.Run(name, func(t *testing.T) {
			servertest.TestTxKeys(t, func(t *testing.T) server.TxKeys {
				d, _ := open(t, conns, nil)
				return d.Keys()
			})
		})
	}
}

// Processes that take few keys each do not let the table grow for ever.
func TestKeysOfShortLives(t *testing.T) {
	d, db := open(t, 2, nil)
	for life := range 3 {
		keys := d.Keys()
		for i := range 10 {
			_, err := keys.Claim(t.Context(), fmt.Sprint(life, ".", i), [32]byte{}, time.Minute, time.Hour)
			require.NoError(t, err)
		}
		_, err := db.ExecContext(t.Context(), `UPDATE crosstie_keys SET keep_us = 1, lease_us = 0`) // as time does
		require.NoError(t, err)
	}
	var n int
	require.NoError(t, db.QueryRowContext(t.Context(), `SELECT count(*) FROM crosstie_keys`).Scan(&n))
	require.Equal(t, 10, n, "those of the last life")
}

type reservation struct {
	SKU string `json:"sku"`
	Qty int    `json:"qty"`
}

type reserved struct {
	Left int `json:"left"`
}

// reserve takes stock in tx and tells what is left.
func reserve(ctx context.Context, tx *sql.Tx, r reservation) (reserved, error) {
	var v reserved
	err := tx.QueryRowContext(ctx, `UPDATE stock SET free = free - ? WHERE sku = ? AND free >= ? RETURNING free`, r.Qty, r.SKU, r.Qty).Scan(&v.Left)
	if err == sql.ErrNoRows {
		return v, &requestreply.Problem{Status: http.StatusConflict, Title: "Out of stock"}
	}
	return v, err
}

func stock(t testing.TB, db *sql.DB) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), `CREATE TABLE stock (sku TEXT PRIMARY KEY, free INTEGER NOT NULL); INSERT INTO stock VALUES ('84879', 100)`)
	require.NoError(t, err)
}

func free(t testing.TB, db *sql.DB) (n int) {
	t.Helper()
	require.NoError(t, db.QueryRowContext(t.Context(), `SELECT free FROM stock`).Scan(&n))
	return n
}

// Many callers repeat under the same keys at once: each key has its effect
// once, and all its callers that got an answer got the same.
func TestHandleTxOnceInEffect(t *testing.T) {
	d, db := open(t, 4, nil)
	stock(t, db)
	s := httptest.NewServer(server.HandleTx(d.Keys(), reserve, nil))
	defer s.Close()
	call := requestreply.Endpoint[reservation, reserved]{URL: s.URL, Keyed: true, Guard: requestreply.NewGuard(nil)}

	const keys, callers = 10, 5
	var wg sync.WaitGroup
	var mu sync.Mutex
	answers := map[int]map[int]bool{}
	for k := range keys {
		answers[k] = map[int]bool{}
		for range callers {
			wg.Go(func() {
				ctx := requestreply.WithIdempotencyKey(t.Context(), fmt.Sprint("order-", k))
				for {
					v, err := call.Call(ctx, reservation{"84879", 2})
					if err != nil { // in flight for longer than the attempts: go on
						if outcome.Of(err) != outcome.Unknown {
							t.Error(err)
							return
						}
						continue
					}
					mu.Lock()
					answers[k][v.Left] = true
					mu.Unlock()
					return
				}
			})
		}
	}
	wg.Wait()
	require.Equal(t, 100-2*keys, free(t, db))
	for k, a := range answers {
		require.Len(t, a, 1, "key %d", k)
	}
}

// An error, a panic and a refusal roll back what the function wrote, and
// leave the key free for another attempt.
func TestHandleTxRollsBack(t *testing.T) {
	d, db := open(t, 4, nil)
	stock(t, db)
	fail := func() error { return nil }
	h := server.HandleTx(d.Keys(), func(ctx context.Context, tx *sql.Tx, r reservation) (reserved, error) {
		v, err := reserve(ctx, tx, r)
		if err == nil {
			err = fail()
		}
		return v, err
	}, nil)
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = nil
	s.Start()
	defer s.Close()
	once := requestreply.NewGuard(&requestreply.Options{})
	call := requestreply.Endpoint[reservation, reserved]{URL: s.URL, Header: http.Header{"Idempotency-Key": {"k"}}, Guard: once}

	fail = func() error { return os.ErrPermission }
	_, err := call.Call(t.Context(), reservation{"84879", 1})
	require.Equal(t, outcome.Refused, outcome.Of(err), err)
	require.Equal(t, 100, free(t, db))

	fail = func() error { panic(http.ErrAbortHandler) }
	_, err = call.Call(t.Context(), reservation{"84879", 1})
	require.Equal(t, outcome.Unknown, outcome.Of(err), err)
	require.Equal(t, 100, free(t, db))

	fail = func() error { return nil }
	v, err := call.Call(t.Context(), reservation{"84879", 1})
	require.NoError(t, err)
	require.Equal(t, 99, v.Left)
}

func ExampleDB_Keys() {
	dir, err := os.MkdirTemp("", "keys")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "warehouse.db"))
	if err != nil {
		panic(err)
	}
	defer db.Close()
	ctx := context.Background()
	store, err := sqlstore.Open(ctx, db, sqlstore.SQLite, nil)
	if err != nil {
		panic(err)
	}
	_, err = db.ExecContext(ctx, `CREATE TABLE stock (sku TEXT PRIMARY KEY, free INTEGER NOT NULL); INSERT INTO stock VALUES ('84879', 10)`)
	if err != nil {
		panic(err)
	}

	// The stock taken and the stored answer are one commit.
	s := httptest.NewServer(server.HandleTx(store.Keys(), reserve, nil))
	defer s.Close()

	take := requestreply.Endpoint[reservation, reserved]{URL: s.URL, Keyed: true}
	ctx = requestreply.WithIdempotencyKey(ctx, "order-1001")
	for range 2 { // the second is a repeat
		v, err := take.Call(ctx, reservation{SKU: "84879", Qty: 3})
		fmt.Println("left:", v.Left, err)
	}
	// Output:
	// left: 7 <nil>
	// left: 7 <nil>
}

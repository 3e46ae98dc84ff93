package enginetest

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/requestreply/server"
	"github.com/crosstie/crosstie/sqlstore"
)

// keyLease is how long the key of a process that was killed stays taken.
const keyLease = 3 * time.Second

// keyed serves reservations under a key at /tx and, where the handler knows
// nothing of transactions, at /any. within is called when the effect is there
// and the answer is not.
func keyed(d *sqlstore.DB, within func()) http.Handler {
	o := &server.Options{Lease: keyLease}
	mux := http.NewServeMux()
	mux.Handle("POST /tx", server.HandleTx(d.Keys(), func(ctx context.Context, tx *sql.Tx, r reservation) (reserved, error) {
		v, err := reserve(ctx, tx, r)
		within()
		return v, err
	}, o))
	mux.Handle("POST /any", server.Idempotent(d.Keys(), func(*http.Request) string { return "one caller" }, o)(
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			err := d.Tx(r.Context(), func(ctx context.Context, tx *sql.Tx) error {
				_, err := reserve(ctx, tx, reservation{"84879", 2})
				return err
			})
			if err != nil {
				w.WriteHeader(http.StatusInternalServerError)
				return
			}
			within()
		})))
	return mux
}

func reserveAt(h http.Handler, path string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", path, strings.NewReader(`{"sku":"84879","qty":2}`))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Idempotency-Key", "order-1")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// dieAnswering makes the request of a path and stays in the middle of it.
func dieAnswering(path string) func(file string) error {
	return func(file string) error {
		d, _, err := childOpen(file)
		if err != nil {
			return err
		}
		reserveAt(keyed(d, func() { fmt.Println("within"); select {} }), path)
		return nil
	}
}

func init() {
	roles["die within HandleTx"] = dieAnswering("/tx")
	roles["die within Idempotent"] = dieAnswering("/any")
}

// A process is killed in the middle of a request. Its key stays taken as long
// as its lease, so that nobody runs beside it. Then HandleTx, whose effect went
// with it, has it once; Idempotent, whose effect is there, does not know that,
// says so, and does nothing more.
func TestKeyOfAKilledProcess(t *testing.T) {
	for _, c := range []struct {
		role, path string
		code       int
		known      string
	}{
		{"die within HandleTx", "/tx", 200, `"left":98`},
		{"die within Idempotent", "/any", 500, `"outcome":"unknown"`},
	} {
		t.Run(c.role, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "keys.db")
			db := pool(t, file, 2)
			d, err := sqlstore.Open(t.Context(), db, sqlstore.SQLite, nil)
			require.NoError(t, err)
			stock(t, db)
			cmd := child(t, c.role, file)
			out, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			line, err := bufio.NewReader(out).ReadString('\n')
			require.NoError(t, err)
			require.Equal(t, "within\n", line)
			require.NoError(t, cmd.Process.Kill())
			_ = cmd.Wait()

			h := keyed(d, func() {})
			w := reserveAt(h, c.path)
			require.Equal(t, 409, w.Code, "%s", w.Body)
			require.NotEmpty(t, w.Header().Get("Retry-After"))
			require.Eventually(t, func() bool { w = reserveAt(h, c.path); return w.Code != 409 }, 20*time.Second, 20*time.Millisecond)
			require.Equal(t, c.code, w.Code, "%s", w.Body)
			require.Contains(t, w.Body.String(), c.known)
			again := reserveAt(h, c.path)
			require.Equal(t, c.code, again.Code)
			require.Equal(t, "true", again.Header().Get("Idempotent-Replayed"))
			require.Equal(t, 98, free(t, db), "the effect is there once")
		})
	}
}

package enginetest

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/retry"
)

// What requestreply says of the errors of a real server and a real driver, of
// which it imports neither.
func TestPostgresOutcomes(t *testing.T) {
	needPostgres(t)
	dsn := pgSchema(t)
	db := pgPool(t, dsn, 4)
	_, err := db.ExecContext(t.Context(), `CREATE TABLE stock (sku TEXT PRIMARY KEY, free INT NOT NULL CHECK (free >= 0))`)
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), `INSERT INTO stock VALUES ('a', 10), ('b', 10)`)
	require.NoError(t, err)
	once := requestreply.NewGuard(&requestreply.Options{Retry: retry.Policy{MaxAttempts: 1}})
	run := func(db *sql.DB, q string) error {
		_, err := requestreply.Run(t.Context(), once, requestreply.Op{}, func(ctx context.Context) (sql.Result, error) { return db.ExecContext(ctx, q) })
		return err
	}
	says := func(t *testing.T, err error, known outcome.Outcome, passes bool) {
		t.Helper()
		require.Error(t, err)
		require.Equal(t, known, outcome.Of(err), "%v", err)
		transient, _ := outcome.Transient(err)
		require.Equal(t, passes, transient, "%v", err)
	}
	t.Run("statements", func(t *testing.T) {
		says(t, run(db, `INSERT INTO stock VALUES ('a', 1)`), outcome.Refused, false)
		says(t, run(db, `UPDATE stock SET free = free - 100`), outcome.Refused, false)
		says(t, run(db, `UPDATE nowhere SET free = 1`), outcome.Refused, false)
		says(t, run(db, `SET lock_timeout = '10ms'; SELECT 1/0`), outcome.Refused, false)
		says(t, run(pgPool(t, "postgres://127.0.0.1:1/none", 1), `SELECT 1`), outcome.NotSent, true)
	})
	t.Run("no row", func(t *testing.T) {
		_, err := requestreply.Run(t.Context(), once, requestreply.Op{}, func(ctx context.Context) (n int, err error) {
			return n, db.QueryRowContext(ctx, `SELECT free FROM stock WHERE sku = 'z'`).Scan(&n)
		})
		says(t, err, outcome.Refused, false)
	})
	t.Run("the session is ended in the middle", func(t *testing.T) {
		killed := func(sleep func(ctx context.Context, conn *sql.Conn) error) error {
			conn, err := db.Conn(t.Context())
			require.NoError(t, err)
			defer conn.Close()
			var pid int
			require.NoError(t, conn.QueryRowContext(t.Context(), `SELECT pg_backend_pid()`).Scan(&pid))
			done := make(chan error, 1)
			go func() {
				_, err := requestreply.Run(t.Context(), once, requestreply.Op{}, func(ctx context.Context) (int, error) { return 0, sleep(ctx, conn) })
				done <- err
			}()
			require.Eventually(t, func() bool {
				var n int
				return db.QueryRowContext(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'`, pid).Scan(&n) == nil && n == 1
			}, 20*time.Second, 5*time.Millisecond)
			_, err = db.ExecContext(t.Context(), `SELECT pg_terminate_backend($1)`, pid)
			require.NoError(t, err)
			return <-done
		}
		says(t, killed(func(ctx context.Context, conn *sql.Conn) error {
			_, err := conn.ExecContext(ctx, `UPDATE stock SET free = free - 1 WHERE pg_sleep(60) IS NOT NULL`)
			return err
		}), outcome.Unknown, true)
	})
	t.Run("a conflict is repeated whole", func(t *testing.T) {
		guard := requestreply.NewGuard(&requestreply.Options{Retry: retry.Policy{Base: -1}})
		runs := 0
		left, err := requestreply.Run(t.Context(), guard, requestreply.Op{}, func(ctx context.Context) (int, error) {
			return requestreply.Tx(ctx, db, func(ctx context.Context, tx *sql.Tx) (n int, err error) {
				runs++
				if err := tx.QueryRowContext(ctx, `SELECT free FROM stock WHERE sku = 'a'`).Scan(&n); err != nil {
					return 0, err
				}
				if runs == 1 { // somebody else is faster
					_, err := db.ExecContext(ctx, `UPDATE stock SET free = free - 1 WHERE sku = 'a'`)
					require.NoError(t, err)
				}
				err = tx.QueryRowContext(ctx, `UPDATE stock SET free = $1 WHERE sku = 'a' RETURNING free`, n-1).Scan(&n)
				return n, err
			}, &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
		})
		require.NoError(t, err)
		require.Equal(t, 2, runs)
		require.Equal(t, 8, left, "both were taken")
	})
	t.Run("the answer to COMMIT is lost", func(t *testing.T) {
		u, err := url.Parse(dsn)
		require.NoError(t, err)
		u.Host = deafAfterCommit(t, u.Host)
		behind := pgPool(t, with(t, u.String(), "sslmode", "disable"), 1)
		runs := 0
		_, err = requestreply.Run(t.Context(), requestreply.NewGuard(&requestreply.Options{Retry: retry.Policy{Base: -1}}), requestreply.Op{}, func(ctx context.Context) (int, error) {
			return requestreply.Tx(ctx, behind, func(ctx context.Context, tx *sql.Tx) (int, error) {
				runs++
				_, err := tx.ExecContext(ctx, `UPDATE stock SET free = free - 1 WHERE sku = 'b'`)
				return 0, err
			}, nil)
		})
		says(t, err, outcome.Unknown, true)
		require.Equal(t, 1, runs, "it is not repeated without a key")
		require.Eventually(t, func() bool {
			var free int
			return db.QueryRowContext(t.Context(), `SELECT free FROM stock WHERE sku = 'b'`).Scan(&free) == nil && free == 9
		}, 20*time.Second, 5*time.Millisecond, "it took effect")
	})
}

// deafAfterCommit passes bytes to a server and back, until a COMMIT goes by:
// that still arrives, and then the client hears nothing more.
func deafAfterCommit(t *testing.T, server string) (addr string) {
	if _, _, err := net.SplitHostPort(server); err != nil {
		server = net.JoinHostPort(server, "5432")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				s, err := net.Dial("tcp", server)
				if err != nil {
					return
				}
				defer s.Close()
				heard := make(chan struct{})
				go func() {
					defer close(heard)
					_, _ = io.Copy(c, s)
				}()
				buf := make([]byte, 64<<10)
				for {
					n, err := c.Read(buf)
					if bytes.Contains(bytes.ToLower(buf[:n]), []byte("commit")) {
						_ = c.(*net.TCPConn).SetLinger(0)
						_ = c.Close() // the client's side is gone before the server can answer
						err = errors.Join(err, io.EOF)
					}
					_, _ = s.Write(buf[:n])
					if err != nil {
						_ = s.(*net.TCPConn).CloseWrite()
						<-heard
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return l.Addr().String()
}

//go:build linux || darwin

package enginetest

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/fireforget"
	"github.com/crosstie/crosstie/fireforget/fireforgettest"
	"github.com/crosstie/crosstie/inbox"
	"github.com/crosstie/crosstie/inbox/inboxtest"
	"github.com/crosstie/crosstie/requestreply/server"
	"github.com/crosstie/crosstie/requestreply/server/servertest"
	"github.com/crosstie/crosstie/sqlstore"
)

// Some tests start servers of their own, break and stop them.

// program finds a program of PostgreSQL or PgBouncer, or skips; it fails if
// CROSSTIE_POSTGRES_PROGRAMS=required.
func program(t testing.TB, name string) string {
	t.Helper()
	needPostgres(t)
	if p, err := exec.LookPath(name); err == nil {
		return p
	}
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin/", "/usr/sbin/"} {
		if ps, _ := filepath.Glob(pattern + name); len(ps) > 0 {
			return ps[len(ps)-1]
		}
	}
	if os.Getenv("CROSSTIE_POSTGRES_PROGRAMS") == "required" {
		t.Fatalf("CROSSTIE_POSTGRES_PROGRAMS=required, and %s is not installed", name)
	}
	t.Skipf("NOT TESTED: %s is not installed", name)
	return ""
}

// unprivileged has cmd run as the user postgres if we are root, as whom these
// programs refuse to run.
func unprivileged(t testing.TB, cmd *exec.Cmd, dirs ...string) *exec.Cmd {
	t.Helper()
	cmd.Dir = "/"
	if os.Getuid() != 0 {
		return cmd
	}
	u, err := user.Lookup("postgres")
	require.NoError(t, err)
	uid, err := strconv.Atoi(u.Uid)
	require.NoError(t, err)
	gid, err := strconv.Atoi(u.Gid)
	require.NoError(t, err)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	for _, d := range dirs {
		require.NoError(t, os.Chown(d, uid, gid))
	}
	return cmd
}

// freePort is a port for a server to come: below those that systems hand out to
// who asks for any, lest another test has it before the server does.
func freePort(t testing.TB) int {
	t.Helper()
	for {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10000+rand.IntN(20000)))
		if err != nil {
			continue // taken
		}
		require.NoError(t, l.Close())
		return l.Addr().(*net.TCPAddr).Port
	}
}

// A pgServer is a server of a test's own.
type pgServer struct {
	t    testing.TB
	dir  string
	port int
}

// ownDir is a directory that the user postgres can reach.
func ownDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "crosstie")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

func newServer(t testing.TB) *pgServer {
	t.Helper()
	s := &pgServer{t: t, dir: ownDir(t), port: freePort(t)}
	s.run("initdb", "--pgdata="+s.data(), "--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-sync", "--no-instructions")
	s.start()
	return s
}

func (s *pgServer) data() string { return filepath.Join(s.dir, "data") }

func (s *pgServer) url() string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?connect_timeout=5", s.port)
}

func (s *pgServer) run(name string, args ...string) {
	s.t.Helper()
	out, err := unprivileged(s.t, exec.Command(program(s.t, name), args...), s.dir).CombinedOutput()
	require.NoError(s.t, err, "%s: %s", name, out)
}

func (s *pgServer) start() {
	s.t.Helper()
	s.run("pg_ctl", "start", "--wait", "--pgdata="+s.data(), "--log="+filepath.Join(s.dir, "log"),
		"--options=-p "+strconv.Itoa(s.port)+" -c listen_addresses=127.0.0.1 -c unix_socket_directories="+s.dir)
	s.t.Cleanup(func() {
		cmd := exec.Command(program(s.t, "pg_ctl"), "stop", "--wait", "--mode=immediate", "--pgdata="+s.data())
		_ = unprivileged(s.t, cmd).Run()
	})
}

func TestPostgresRefusesAReplica(t *testing.T) {
	primary := newServer(t)
	_, err := sqlstore.OpenPostgres(t.Context(), pgPool(t, primary.url(), 1), nil)
	require.NoError(t, err)
	standby := &pgServer{t: t, dir: ownDir(t), port: freePort(t)}
	standby.run("pg_basebackup", "--pgdata="+standby.data(), "--write-recovery-conf", "--checkpoint=fast",
		"--host=127.0.0.1", "--port="+strconv.Itoa(primary.port), "--username=postgres", "--no-sync")
	standby.start()
	db := pgPool(t, standby.url(), 2)
	_, err = sqlstore.OpenPostgres(t.Context(), db, nil)
	require.ErrorIs(t, err, sqlstore.ErrReplica)
	require.ErrorContains(t, err, "primary")

	// One that was opened as the primary, and fell behind.
	standby.run("pg_ctl", "promote", "--wait", "--pgdata="+standby.data())
	s, err := sqlstore.OpenPostgres(t.Context(), db, nil)
	require.NoError(t, err)
	_, err = db.Exec(`ALTER SYSTEM SET default_transaction_read_only = on; `)
	require.NoError(t, err)
	_, err = db.Exec(`SELECT pg_reload_conf()`)
	require.NoError(t, err)
	for err == nil {
		_, err = s.Inbox().Do(t.Context(), "box", fmt.Sprint(time.Now().UnixNano()), noon, func(context.Context, *sql.Tx) error { return nil })
	}
	require.ErrorIs(t, err, sqlstore.ErrReadOnly)
}

// bouncer starts PgBouncer before a schema of the server under test, and
// returns a URL that leads through it. Each transaction may get another session.
func bouncer(t testing.TB) string {
	t.Helper()
	exe := program(t, "pgbouncer")
	u, err := url.Parse(pgSchema(t))
	require.NoError(t, err)
	dir, port := ownDir(t), freePort(t)
	host, serverPort := u.Hostname(), u.Port()
	if serverPort == "" {
		serverPort = "5432"
	}
	login := "user=" + u.User.Username()
	if password, ok := u.User.Password(); ok {
		login += " password='" + password + "'"
	}
	ini := fmt.Sprintf(`[databases]
shop = host=%s port=%s dbname=%s %s pool_size=3 connect_query='SET search_path = %s'
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = transaction
logfile = %s/log
`, host, serverPort, u.Path[1:], login, u.Query().Get("search_path"), port, dir)
	file := filepath.Join(dir, "pgbouncer.ini")
	require.NoError(t, os.WriteFile(file, []byte(ini), 0o644))
	cmd := unprivileged(t, exec.Command(exe, "--quiet", file), dir)
	require.NoError(t, cmd.Start())
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-exited
	})
	dsn := fmt.Sprintf("postgres://any@127.0.0.1:%d/shop?sslmode=disable&default_query_exec_mode=exec", port)
	ping := pgPool(t, dsn, 1)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for ping.Ping() != nil {
		select {
		case err := <-exited:
			exited <- err
			t.Fatalf("pgbouncer ended: %v", err)
		case <-tick.C:
		}
	}
	return dsn
}

// More connections than PgBouncer has sessions.
func TestPostgresBehindPgBouncer(t *testing.T) {
	program(t, "pgbouncer")
	t.Run("inbox", func(t *testing.T) {
		t.Parallel()
		open := emptied(t, bouncer(t), 8)
		inboxtest.TestStore(t, func(t *testing.T) inbox.Store { return open(t).Inbox() })
	})
	t.Run("outbox", func(t *testing.T) {
		t.Parallel()
		open := emptied(t, bouncer(t), 8)
		fireforgettest.TestStore(t, func(t *testing.T) fireforget.Store { return open(t).Outbox() })
	})
	t.Run("keys", func(t *testing.T) {
		t.Parallel()
		open := emptied(t, bouncer(t), 8)
		servertest.TestTxKeys(t, func(t *testing.T) server.TxKeys { return open(t).Keys() })
	})
}

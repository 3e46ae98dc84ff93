//go:build linux || darwin

package enginetest

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/sqlstore"
)

// Tests that need a process to lose start this binary again, in a role.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "child" {
		if err := roles[os.Args[2]](os.Args[3]); err != nil {
			fmt.Println("child:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

var roles = map[string]func(file string) error{"write": writeForever, "full disk quota": failToWrite}

func child(t *testing.T, role, file string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), exe, "child", role, file)
	cmd.Stderr = os.Stderr
	return cmd
}

func childOpen(file string) (*sqlstore.DB, *sql.DB, error) {
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(5000)")
	if err != nil {
		return nil, nil, err
	}
	s, err := sqlstore.Open(context.Background(), db, sqlstore.SQLite, nil)
	return s, db, err
}

// writeForever prints an id only after the call that wrote it has returned.
func writeForever(file string) error {
	s, _, err := childOpen(file)
	if err != nil {
		return err
	}
	life := strconv.FormatInt(time.Now().UnixNano(), 36)
	var wg sync.WaitGroup
	for c := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%s-%d-%d", life, c, i)
				var err error
				switch {
				case i%3 == 1:
					err = s.Outbox().Add(context.Background(), entry(id, 0), 0)
				case i%3 == 2:
					_, err = s.Inbox().Do(context.Background(), "box", id, noon, add(id))
				default:
					err = s.Tx(context.Background(), add(id))
				}
				if err != nil {
					fmt.Println("child:", err)
					os.Exit(1)
				}
				_, _ = os.Stdout.WriteString(id + "\n") // one write: lines stay whole
			}
		})
	}
	wg.Wait()
	return nil
}

// TestKill kills a writing process at random moments and looks for what it
// had acknowledged.
func TestKill(t *testing.T) {
	kills := 30
	if _, soak := os.LookupEnv("CROSSTIE_SOAK"); soak {
		kills = 2000
	}
	file := filepath.Join(t.TempDir(), "store.db")
	_, db, err := childOpen(file)
	require.NoError(t, err)
	table(t, db)
	require.NoError(t, db.Close())
	acked := make(map[string]bool)
	rnd := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	for range kills {
		cmd := child(t, "write", file)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		lines := bufio.NewReader(out)
		mercy := 1 + rnd.IntN(200) // acks until the kill, plus a moment
		for n := 0; ; n++ {
			line, err := lines.ReadString('\n')
			if err == io.EOF {
				break // a half line was not an acknowledgement
			}
			require.NoError(t, err)
			require.False(t, strings.HasPrefix(line, "child:"), line)
			acked[strings.TrimSpace(line)] = true
			if n == mercy {
				time.AfterFunc(time.Duration(rnd.IntN(2000))*time.Microsecond, func() { _ = cmd.Process.Kill() })
			}
		}
		require.Error(t, cmd.Wait(), "killed")
	}
	s, db, err := childOpen(file)
	require.NoError(t, err)
	defer db.Close()
	has, messages := notes(t, db), sent(t, db)
	for id := range acked {
		require.True(t, has[id] || messages[id], "%s was acknowledged and is lost", id)
	}
	// The id and the effect stand or fall together.
	var torn int
	require.NoError(t, db.QueryRow(`SELECT count(*) FROM crosstie_inbox WHERE id NOT IN (SELECT id FROM note)`).Scan(&torn))
	require.Zero(t, torn)
	var check string
	require.NoError(t, db.QueryRow(`PRAGMA integrity_check`).Scan(&check))
	require.Equal(t, "ok", check)
	require.NoError(t, s.Tx(t.Context(), add("after")))
	t.Logf("%d kills, %d acknowledged, %d there", kills, len(acked), len(has)+len(messages))
}

// failToWrite meets a disk that fails in the middle of a commit: a limit on
// the size of files, which gives EFBIG, which the engine calls an I/O error.
func failToWrite(file string) error {
	signal.Ignore(syscall.SIGXFSZ)
	s, db, err := childOpen(file)
	if err != nil {
		return err
	}
	ctx := context.Background()
	big := func(id string) error {
		return s.Tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, `INSERT INTO note (id, body) VALUES (?, zeroblob(500000))`, id)
			return err
		})
	}
	if err := s.Tx(ctx, add("good")); err != nil {
		return err
	}
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		return err
	}
	limit := was
	limit.Cur = 200_000
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	err = big("bad")
	fmt.Println(outcome.Of(err), "|", err)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		return err
	}
	// The disk is well again; this handle still does not trust it.
	err = s.Tx(ctx, add("too soon"))
	fmt.Println(outcome.Of(err), "|", err)
	if err := db.Close(); err != nil {
		return err
	}
	s, db, err = childOpen(file)
	if err != nil {
		return err
	}
	if err := s.Tx(ctx, add("reopened")); err != nil {
		return err
	}
	return db.Close()
}

func TestDiskFailure(t *testing.T) {
	file := filepath.Join(t.TempDir(), "store.db")
	_, db, err := childOpen(file)
	require.NoError(t, err)
	table(t, db)
	out, err := child(t, "full disk quota", file).Output()
	require.NoError(t, err, string(out))
	t.Log(string(out))
	lines := strings.Split(string(out), "\n")
	require.True(t, strings.HasPrefix(lines[0], "unknown | sqlstore: tx: "+sqlstore.ErrIO.Error()), lines[0])
	require.True(t, strings.HasPrefix(lines[1], "not sent | sqlstore: tx: "+sqlstore.ErrStopped.Error()), lines[1])
	has := notes(t, db)
	require.True(t, has["good"] && has["reopened"] && !has["too soon"], "%v", has)
	require.NoError(t, db.Close())
}

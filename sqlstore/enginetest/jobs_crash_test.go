//go:build linux || darwin

package enginetest

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
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

	"github.com/crosstie/crosstie/inbox"
	"github.com/crosstie/crosstie/remoteinvoke"
	"github.com/crosstie/crosstie/retry"
	"github.com/crosstie/crosstie/sqlstore"
	"github.com/crosstie/crosstie/webhook"
)

func init() { roles["start and run"] = startAndRun }

const (
	crashSteps = 6
	journal    = `CREATE TABLE IF NOT EXISTS journal (job TEXT NOT NULL, step INTEGER NOT NULL)`
)

// stepper returns a service whose jobs write one row of the journal a step,
// together with the state that knows of it, and one at the end under an inbox.
func stepper(d *sqlstore.DB, store remoteinvoke.Store, callback string) *remoteinvoke.Service {
	in := inbox.New("ends", d.Inbox(), nil)
	write := func(ctx context.Context, tx *sql.Tx, job string, step int) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO journal (job, step) VALUES (?, ?)`, job, step)
		return err
	}
	fn := func(ctx context.Context, job *remoteinvoke.Job, in0 string) (int, error) {
		var step int
		if _, err := job.Saved(&step); err != nil {
			return 0, err
		}
		if in0 != job.ID() {
			return 0, retry.Permanent(errors.New("the input of another job"))
		}
		for step < crashSteps {
			time.Sleep(time.Duration(rand.IntN(120)) * time.Millisecond)
			if rand.IntN(40) == 0 {
				return 0, errors.New("oh")
			}
			// It heeds no context either.
			err := d.Tx(context.WithoutCancel(ctx), func(ctx context.Context, tx *sql.Tx) error {
				if err := write(ctx, tx, job.ID(), step+1); err != nil {
					return err
				}
				job.Report(int64(step+1), crashSteps, "")
				return job.SaveTx(ctx, tx, step+1)
			})
			if err != nil {
				return 0, err
			}
			step++
		}
		return step, in.Do(context.WithoutCancel(ctx), job.ID(), time.Time{}, func(ctx context.Context, tx *sql.Tx) error {
			return write(ctx, tx, job.ID(), crashSteps+1)
		})
	}
	client := webhook.NewClient(&webhook.TransportOptions{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Ports: []int{0}})
	schedule := make([]time.Duration, 1000)
	for i := range schedule {
		schedule[i] = 10 * time.Millisecond
	}
	return remoteinvoke.NewService("steps", store, fn, &remoteinvoke.ServiceOptions{
		Lease: 300 * time.Millisecond, Poll: 20 * time.Millisecond, Workers: 8,
		Retry:            retry.Policy{MaxAttempts: 1000, Base: time.Millisecond, Max: time.Millisecond},
		CallbackSchedule: schedule, CallbackTimeout: 300 * time.Millisecond, CallbackClient: client,
		Callbacks: func(string) (remoteinvoke.Target, error) {
			return remoteinvoke.Target{Allow: []string{callback}, Sign: crashSecret}, nil
		},
	})
}

// deaf is the store of a process that believes to hold what it lost: its
// heartbeats do nothing, and nobody tells it. Its jobs are claimed by others
// while it goes on, and only their epoch keeps it from writing.
type deaf struct{ remoteinvoke.TxStore }

func (d deaf) Update(ctx context.Context, k remoteinvoke.Key, epoch int64, u remoteinvoke.Update) (remoteinvoke.State, error) {
	if u.Verdict == remoteinvoke.Extend && u.Saved == nil {
		return remoteinvoke.Running, nil
	}
	return d.TxStore.Update(ctx, k, epoch, u)
}

func (d deaf) UpdateTx(ctx context.Context, tx *sql.Tx, k remoteinvoke.Key, epoch int64, u remoteinvoke.Update) (remoteinvoke.State, error) {
	u.Lease = 0
	return d.TxStore.UpdateTx(ctx, tx, k, epoch, u)
}

// startAndRun starts jobs, prints the id of each only after it is accepted,
// and runs them, until it is killed.
func startAndRun(file string) error {
	url, err := os.ReadFile(file + ".url")
	if err != nil {
		return err
	}
	d, _, err := childOpen(file)
	if err != nil {
		return err
	}
	var store remoteinvoke.Store = d.Jobs()
	if rand.IntN(2) == 0 {
		store = deaf{d.Jobs()}
	}
	s := stepper(d, store, string(url))
	ctx := context.Background()
	go func() {
		for i := 0; ; i++ {
			id := fmt.Sprintf("j%d-%d", os.Getpid(), i)
			if _, err := s.Start(ctx, "", id, &remoteinvoke.StartOptions{ID: id, Callback: string(url)}); err != nil {
				fmt.Println("child:", err)
				os.Exit(1)
			}
			_, _ = os.Stdout.WriteString(id + "\n")
			time.Sleep(time.Duration(rand.IntN(80)) * time.Millisecond)
		}
	}()
	return s.Run(ctx)
}

// A watcher looks at jobs all the time and holds what it sees against what it
// has seen.
type watcher struct {
	s *remoteinvoke.Service

	mu   sync.Mutex // guards seen
	seen map[string]remoteinvoke.Status
}

var rank = map[remoteinvoke.State]int{
	remoteinvoke.Queued: 0, remoteinvoke.Running: 1, remoteinvoke.Canceling: 2,
	remoteinvoke.Done: 3, remoteinvoke.Failed: 3, remoteinvoke.Canceled: 3,
}

func (w *watcher) acked(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.seen[id]; !ok {
		w.seen[id] = remoteinvoke.Status{}
	}
}

// look looks at every job that has not been seen to end, and returns how many
// have not.
func (w *watcher) look(t *testing.T) (left int) {
	w.mu.Lock()
	jobs := map[string]remoteinvoke.Status{}
	for id, st := range w.seen {
		if !st.State.Terminal() || rand.IntN(50) == 0 {
			jobs[id] = st
		}
	}
	w.mu.Unlock()
	for id, was := range jobs {
		st, err := w.s.Status(context.Background(), "", id)
		if err != nil {
			t.Errorf("accepted and lost: %s: %v", id, err)
			return 0
		}
		switch {
		case st.Version < was.Version, st.Progress.Done < was.Progress.Done, rank[st.State] < rank[was.State],
			was.State.Terminal() && st.State != was.State, st.Version == was.Version && st != was:
			t.Errorf("went backwards: %+v after %+v", st, was)
		}
		w.mu.Lock()
		w.seen[id] = st
		w.mu.Unlock()
		if !st.State.Terminal() {
			left++
		}
	}
	return left
}

// TestJobsKill kills processes that start and run jobs at random moments; half
// of them are deaf, and lose jobs without knowing it. The parent watches: every job whose
// acceptance was printed ends as done, none goes backwards, each of its effects
// is there once, and its end is called back.
func TestJobsKill(t *testing.T) {
	kills := 10
	if os.Getenv("CROSSTIE_SOAK") != "" {
		kills = 600
	} else if testing.Short() {
		kills = 4
	}
	file := filepath.Join(t.TempDir(), "store.db")
	d, db, err := childOpen(file)
	require.NoError(t, err)
	defer db.Close()
	_, err = db.Exec(journal)
	require.NoError(t, err)
	var callbacks *remoteinvoke.Callbacks
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { callbacks.ServeHTTP(w, r) }))
	defer server.Close()
	callbacks = remoteinvoke.NewCallbacks("steps", server.URL, webhook.Verifier{Secrets: []webhook.Secret{crashSecret}}, d.Callbacks(), nil)
	require.NoError(t, os.WriteFile(file+".url", []byte(server.URL), 0o600))

	w := &watcher{s: stepper(d, d.Jobs(), server.URL), seen: map[string]remoteinvoke.Status{}}
	ctx, stop := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	watching.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil && !t.Failed() {
			w.look(t)
			<-tick.C
		}
	})
	for range kills / 2 {
		var pair sync.WaitGroup // two processes share the work
		for range 2 {
			pair.Go(func() { liveJobs(t, file, w) })
		}
		pair.Wait()
	}
	ran := make(chan error, 1)
	rctx, end := context.WithTimeout(ctx, 2*time.Minute)
	defer end()
	go func() { ran <- w.s.Run(rctx) }()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for w.look(t) > 0 && rctx.Err() == nil && !t.Failed() {
		<-tick.C
	}
	due := 1
	for due > 0 && rctx.Err() == nil {
		require.NoError(t, db.QueryRow(`SELECT count(*) FROM crosstie_jobs WHERE state < 3 OR call_us > 0`).Scan(&due))
		<-tick.C
	}
	require.Zero(t, due)
	end()
	require.NoError(t, <-ran)
	stop()
	watching.Wait()

	attempts := 0
	for id := range w.seen {
		st, err := w.s.Status(t.Context(), "", id)
		require.NoError(t, err)
		require.Equal(t, remoteinvoke.Done, st.State, id)
		attempts += st.Attempt
		var effects string
		require.NoError(t, db.QueryRow(`SELECT group_concat(step, ' ' ORDER BY step) FROM journal WHERE job = ?`, id).Scan(&effects))
		require.Equal(t, "1 2 3 4 5 6 7", effects, "each effect once: %s", id)
		said, err := d.Callbacks().Load(t.Context(), remoteinvoke.Key{Service: "steps", ID: id})
		require.NoError(t, err, "called back")
		require.Equal(t, st.Version, said.Version)
	}
	require.NotEmpty(t, w.seen)
	t.Logf("%d kills, %d jobs in %d attempts: each ended once, each effect once, none went backwards, each called back", kills, len(w.seen), attempts)
}

// liveJobs runs a child until it is killed at a random moment.
func liveJobs(t *testing.T, file string, w *watcher) {
	cmd := child(t, "start and run", file)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Error(err)
		return
	}
	moment := time.Duration(rand.IntN(600)) * time.Millisecond
	if rand.IntN(2) == 0 {
		moment += time.Second // long enough to take over what the last ones had
	}
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		if strings.HasPrefix(lines.Text(), "child:") {
			t.Error(lines.Text())
			_ = cmd.Process.Kill()
			break
		}
		w.acked(lines.Text())
		if n == 0 {
			time.AfterFunc(moment, func() { _ = cmd.Process.Kill() })
		}
	}
	if cmd.Wait() == nil {
		t.Error("the child ended by itself")
	}
}

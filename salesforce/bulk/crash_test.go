//go:build linux || darwin

package bulk_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/batchsync"
	"github.com/crosstie/crosstie/salesforce"
	"github.com/crosstie/crosstie/salesforce/bulk"
	"github.com/crosstie/crosstie/salesforce/sftest"
)

// Tests that need a process to lose start this binary again, with the folder
// of its life.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "child" {
		if err := live(os.Args[2]); err != nil {
			fmt.Println("child:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// A life is what a child is to do, and at which of its calls it dies.
type life struct {
	URL, ID, Secret string
	Rows, Page      int
	Die             int  // at this call, from 1; 0 is a whole life
	Answered        bool // when the org has answered, and not before it is asked
	Planted         bool // no memory: the bug that the judge must find
	Repeat          int  // so many external ids, again and again, with other values
}

func live(dir string) error {
	var l life
	b, err := os.ReadFile(filepath.Join(dir, "life.json"))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, &l); err != nil {
		return err
	}
	org, err := salesforce.New(l.URL, salesforce.ClientCredentials(l.ID, l.Secret), &salesforce.Options{
		Client: &http.Client{Transport: &dying{at: l.Die, answered: l.Answered}},
	})
	if err != nil {
		return err
	}
	sink, err := bulk.NewSink[product](org, "Product2", "SKU__c", quick())
	if err != nil {
		return err
	}
	var dst batchsync.Sink[product] = sink
	if l.Planted {
		dst = batchsync.To(sink.Write)
	}
	rows := items(l.Rows)
	for i := range rows {
		if l.Repeat > 0 {
			rows[i].ID = fmt.Sprintf("R-%d", i%l.Repeat)
			rows[i].Value.SKU = rows[i].ID
		}
	}
	o := &batchsync.Options{Checkpoints: &fileStore{name: filepath.Join(dir, "store.json")}, BatchRows: -1}
	rep, err := batchsync.New("products", source(l.Page, rows...), dst, o).Run(context.Background())
	if err != nil {
		return err
	}
	text, err := json.Marshal(rep)
	fmt.Println("report", string(text))
	return err
}

// dying kills its own process, as kill -9 does, around one of its calls.
type dying struct {
	at, n    int
	answered bool
}

func (d *dying) RoundTrip(r *http.Request) (*http.Response, error) {
	d.n++
	if d.n == d.at && !d.answered {
		die()
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if d.n == d.at {
		die()
	}
	return resp, err
}

func die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// A fileStore keeps one checkpoint in a file. It grants every claim at once,
// since its test never runs two children; a store with leases is tested
// elsewhere.
type fileStore struct {
	batchsync.Store // dead rows: there are none
	name            string
}

func (s *fileStore) Load(_ context.Context, sync, part string) (batchsync.Checkpoint, error) {
	c := batchsync.Checkpoint{Sync: sync, Partition: part}
	b, err := os.ReadFile(s.name)
	if os.IsNotExist(err) {
		return c, nil
	}
	if err != nil {
		return c, err
	}
	return c, json.Unmarshal(b, &c)
}

func (s *fileStore) Claim(ctx context.Context, sync, part, _ string, _ time.Duration) (batchsync.Checkpoint, error) {
	c, err := s.Load(ctx, sync, part)
	c.Epoch++
	return c, err
}

func (s *fileStore) Save(_ context.Context, c batchsync.Checkpoint, dead []batchsync.DeadRow, _ time.Duration) error {
	b, err := json.Marshal(c)
	if err != nil || len(dead) > 0 {
		return fmt.Errorf("dead rows %v: %w", dead, err)
	}
	if err := os.WriteFile(s.name+".new", b, 0o600); err != nil {
		return err
	}
	return os.Rename(s.name+".new", s.name)
}

func (s *fileStore) Renew(context.Context, batchsync.Checkpoint, time.Duration) error { return nil }
func (s *fileStore) Release(context.Context, batchsync.Checkpoint) error              { return nil }

// begin starts a child and returns its report, or nil if it died.
func (l life) begin(t *testing.T, dir string) *batchsync.Report {
	t.Helper()
	b, err := json.Marshal(l)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "life.json"), b, 0o600))
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), exe, "child", dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var rep *batchsync.Report
	for lines := bufio.NewScanner(out); lines.Scan(); {
		text, ok := strings.CutPrefix(lines.Text(), "report ")
		require.True(t, ok, lines.Text())
		require.NoError(t, json.Unmarshal([]byte(text), &rep))
	}
	if err := cmd.Wait(); rep == nil {
		require.ErrorContains(t, err, "killed")
	} else {
		require.NoError(t, err)
	}
	return rep
}

// killed runs children that die at call l.Die, or at random ones if it is 0, and then one that lives, and
// returns its report and how often rows were written.
func killed(t *testing.T, l life, kills int, change ...func(*sftest.Options)) (rep *batchsync.Report, b *bench, written int) {
	t.Helper()
	b = newBench(t, change...)
	l.URL, l.ID, l.Secret = b.fake.URL(), b.fake.ClientID(), b.fake.ClientSecret()
	dir := t.TempDir()
	rnd := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	random := l.Die == 0
	for range kills {
		if random {
			l.Die, l.Answered = 1+rnd.IntN(16), rnd.IntN(2) == 0
		}
		if rep = l.begin(t, dir); rep != nil {
			t.Fatal("killed: there must be rows left to move")
		}
	}
	l.Die = 0
	rep = l.begin(t, dir)
	return rep, b, len(b.fake.Changes("Product2"))
}

// Processes that die at any step of a job lose nothing, write nothing twice,
// leave no job at work, and the last one's report is that of one long run.
func TestKill(t *testing.T) {
	kills := 12
	if _, soak := os.LookupEnv("CROSSTIE_SOAK"); soak {
		kills = 500
	}
	l := life{Rows: 10 * 2 * kills, Page: 10}
	for _, polls := range []int{0, 2} { // done at once; seen at work for a while
		rep, b, written := killed(t, l, kills, func(o *sftest.Options) { o.BulkPolls = polls })
		require.Equal(t, batchsync.Counts{In: int64(l.Rows), Inserted: int64(l.Rows)}, rep.Counts)
		require.Len(t, b.fake.Rows("Product2"), l.Rows, "rows were lost")
		require.Equal(t, l.Rows, written, "rows were written twice")
		for _, j := range b.open() {
			require.True(t, strings.HasSuffix(j, " Open"), "%s is still at work", j)
		}
		b.fake.RunBulk()
		require.Len(t, b.fake.Changes("Product2"), l.Rows, "a job that was left behind wrote after the end")
		t.Logf("%d kills, %s, %d jobs", kills, rep, b.calls(sftest.OpJobCreate))
	}
}

// Rows with the same id take effect in source order, also when a job that a
// dead process left behind brought an earlier one of them.
func TestKillKeepsTheOrderOfAnID(t *testing.T) {
	const ids = 7 // in pages of 10: some twice in a page, in two jobs
	l := life{Rows: 250, Page: 10, Repeat: ids}
	rep, b, _ := killed(t, l, 8)
	require.EqualValues(t, l.Rows, rep.Done())
	for i := l.Rows - ids; i < l.Rows; i++ {
		require.EqualValues(t, i, b.row(fmt.Sprintf("R-%d", i%ids))["Stock__c"])
	}
	require.Len(t, b.fake.Rows("Product2"), ids)
}

// The judge of TestKill finds a sink that remembers nothing.
func TestKillFindsAPlantedBug(t *testing.T) {
	// Login, describe, create, upload, close: the job is started, and the
	// process is gone.
	l := life{Rows: 100, Page: 10, Planted: true, Die: 5, Answered: true}
	_, _, written := killed(t, l, 2)
	require.Equal(t, 120, written)
}

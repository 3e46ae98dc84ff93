package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/fireforget"
	"github.com/crosstie/crosstie/salesforce/sftest"
	"github.com/crosstie/crosstie/webhook"
)

// The crash test runs the example as a child process and kills it. The receiver and the org live in this process, with
// journals of their own that no kill touches; they and the warehouse's file are the judge.

const (
	childArg   = "child=" // the first argument of a child: it is the example, and no test
	testSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="

	whole  = "main" // main itself, with its signals
	honest = "honest"
	buggy  = "acknowledges before the commit"
	mortal = "dies when its forecast is all but done"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch kind, ok := strings.CutPrefix(os.Args[1], childArg); {
		case ok && kind == whole:
			os.Args = append(os.Args[:1], os.Args[2:]...)
			main()
		case ok && kind == honest:
			os.Exit(run(context.Background(), os.Args[2:], os.Getenv, os.Stdout, os.Stderr, hooks{}))
		case ok && kind == mortal:
			me, err := os.FindProcess(os.Getpid())
			if err != nil {
				panic(err)
			}
			os.Exit(run(context.Background(), os.Args[2:], os.Getenv, os.Stdout, os.Stderr, hooks{forecast: func(done, total int64) {
				if done >= total*95/100 {
					me.Kill()
					select {} // not one statement more
				}
			}}))
		case ok && kind == buggy:
			var h hasty
			code := run(context.Background(), os.Args[2:], os.Getenv, os.Stdout, os.Stderr, hooks{deliverer: h.plant})
			h.sent.Wait() // who is not killed gets away with it
			os.Exit(code)
		}
	}
	os.Exit(m.Run())
}

// hasty is the planted bug: it acknowledges a message when it has it in memory, so that the outbox forgets the message
// before the receiver has committed it. It keeps the order, and nothing but a crash shows it.
type hasty struct{ sent sync.WaitGroup }

func (h *hasty) plant(receiver fireforget.Deliverer) fireforget.Deliverer {
	memory := make(chan fireforget.Item, 10*crashOrders)
	go func() {
		for it := range memory {
			pause(context.Background(), 2*time.Millisecond) // a memory that has something in it at any moment
			for receiver.Deliver(context.Background(), it) != nil {
			}
			h.sent.Done()
		}
	}()
	return fireforget.DelivererFunc(func(_ context.Context, it fireforget.Item) error {
		h.sent.Add(1)
		memory <- it
		return nil
	})
}

// An outside is the receiver and the org in this process, at the end of a bad network.
type outside struct {
	*receiver
	url string
	org *sftest.Org
}

// newTestOrg is an org with the fields of the story.
func newTestOrg(t *testing.T) *sftest.Org {
	t.Helper()
	var objects []sftest.Object
	require.NoError(t, json.Unmarshal(orgSchema, &objects))
	return sftest.NewOrg(t, &sftest.Options{Objects: objects, DailyCalls: 10_000_000})
}

func newOutside(t *testing.T) *outside {
	secret, err := webhook.ParseSecret(testSecret)
	require.NoError(t, err)
	r, err := openReceiver(t.Context(), filepath.Join(fastDir(t), "journal.db"), secret)
	require.NoError(t, err)
	var n atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch n := n.Add(1); {
		case n%200 < 40: // down for a part of the run
			panic(http.ErrAbortHandler)
		case n%11 == 0: // in effect, and the answer is lost
			r.ServeHTTP(&nowhere{header: http.Header{}}, req)
			panic(http.ErrAbortHandler)
		}
		r.ServeHTTP(w, req)
	}))
	t.Cleanup(func() { srv.Close(); require.NoError(t, r.close()) })
	org := newTestOrg(t)
	require.NoError(t, org.Fault(
		sftest.Fault{Kind: sftest.FaultDropResponse, Times: -1, Ratio: 0.05},
		sftest.Fault{Kind: sftest.FaultDropRequest, Times: -1, Ratio: 0.05},
		sftest.Fault{Kind: sftest.FaultError, Status: http.StatusServiceUnavailable, Times: -1, Ratio: 0.02},
		sftest.Fault{Kind: sftest.FaultExpire, Times: -1, Ratio: 0.002},
		sftest.Fault{Kind: sftest.FaultLock, On: sftest.OpBulkRow, Times: -1, Ratio: 0.02},
	))
	return &outside{r, srv.URL + "/hook", org}
}

// fastDir is a new directory, in memory where there is such a place: what a killed process wrote stays there too.
func fastDir(t *testing.T) string {
	parent := "/dev/shm"
	if info, err := os.Stat(parent); err != nil || !info.IsDir() {
		parent = ""
	}
	dir, err := os.MkdirTemp(parent, "inventory-test-*")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// A child is one life of the example on a folder.
type child struct {
	cmd  *exec.Cmd
	out  strings.Builder
	done chan error
}

const crashOrders = 60

func (o *outside) start(t *testing.T, kind, dir string, seed int) *child {
	c := &child{done: make(chan error, 1)}
	c.cmd = exec.Command(os.Args[0], childArg+kind, "-once", "-dir", dir, "-receiver", o.url, "-org", o.org.URL(),
		"-seed", strconv.Itoa(seed), "-reservations", strconv.Itoa(crashOrders))
	c.cmd.Env = append(os.Environ(), secretEnv+"="+testSecret, orgIDEnv+"="+o.org.ClientID(), orgSecretEnv+"="+o.org.ClientSecret())
	c.cmd.Stdout, c.cmd.Stderr = &c.out, &c.out
	require.NoError(t, c.cmd.Start())
	go func() { c.done <- c.cmd.Wait() }()
	return c
}

// live lets the child live until the moment, and then kills it. It reports whether the child had ended by itself.
func (c *child) live(t *testing.T, moment <-chan struct{}) (ended bool) {
	select {
	case err := <-c.done:
		if exit, ok := errors.AsType[*exec.ExitError](err); ok && !exit.Exited() {
			return false // it killed itself
		}
		require.NoError(t, err, c.out.String())
		return true
	case <-moment:
	}
	require.NoError(t, c.cmd.Process.Kill())
	err := <-c.done
	if err == nil {
		return true // it was quicker than the kill
	}
	exit, ok := errors.AsType[*exec.ExitError](err)
	require.True(t, ok, "%v", err)
	require.False(t, exit.Exited(), "it was to be killed, and ended with: %s", c.out.String())
	return false
}

// after is a moment by the clock: it may be in the start of the process, in the load, or anywhere later.
func after(t *testing.T, d time.Duration) <-chan struct{} {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx.Done()
}

// arrivals is a moment in the story: the receiver has got n more requests. It is well inside it, however slow the
// machine.
func (o *outside) arrivals(t *testing.T, n int64) <-chan struct{} {
	return reaches(t, o.arrived.Load, n)
}

// calls is another: the org has got n more.
func (o *outside) calls(t *testing.T, n int64) <-chan struct{} {
	return reaches(t, func() int64 { return int64(o.org.CallsUsed()) }, n)
}

// reaches is the moment when a count has grown by n.
func reaches(t *testing.T, count func() int64, n int64) <-chan struct{} {
	reached := make(chan struct{})
	n += count()
	end := after(t, long)
	go func() {
		defer close(reached)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for count() < n {
			select {
			case <-tick.C:
			case <-end:
				return
			}
		}
	}()
	return reached
}

const long = 2 * time.Minute

func TestKilledAtAnyMomentNothingIsLostOrDoneTwice(t *testing.T) {
	kills := 15
	if os.Getenv("CROSSTIE_SOAK") != "" {
		kills = 300
	}
	if raceEnabled || testing.Short() { // a child under the race detector starts slowly; the plain run makes them all
		kills = 4
	}
	o := newOutside(t)
	seed := rand.Uint64()
	t.Logf("kill moments by seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 0))

	began := time.Now()
	dir := fastDir(t)
	require.True(t, o.start(t, honest, dir, 0).live(t, after(t, long)))
	require.NoError(t, o.judge(t.Context(), dir, 0))
	undisturbed := time.Since(began)

	killed, stories := 0, 0
	moment := func() <-chan struct{} {
		switch killed % 3 {
		case 0:
			return o.arrivals(t, dice.Int64N(crashOrders))
		case 1:
			return o.calls(t, dice.Int64N(3*crashOrders/2))
		}
		return after(t, time.Duration(dice.Int64N(int64(undisturbed))))
	}
	for killed < kills {
		stories++
		dir := fastDir(t)
		for killed < kills && !o.start(t, honest, dir, stories).live(t, moment()) {
			killed++
		}
		require.True(t, o.start(t, honest, dir, stories).live(t, after(t, long)), "it ends when it is let")
		require.NoError(t, o.judge(t.Context(), dir, stories))
	}
	t.Logf("%d kills in %d stories of %s each; requests to the receiver: %d, calls of the org: %d", killed, stories, short(undisturbed), o.arrived.Load(), o.org.CallsUsed())
}

func TestTheJudgeFindsThePlantedBug(t *testing.T) {
	o := newOutside(t)
	dir := fastDir(t)
	require.True(t, o.start(t, buggy, dir, 0).live(t, after(t, long)))
	require.NoError(t, o.judge(t.Context(), dir, 0), "nothing but a crash shows the bug")

	dice := rand.New(rand.NewPCG(1, 2))
	for seed := 1; seed <= 20; seed++ {
		dir := fastDir(t)
		for range 3 {
			if o.start(t, buggy, dir, seed).live(t, o.arrivals(t, 1+dice.Int64N(crashOrders))) {
				break
			}
		}
		o.start(t, buggy, dir, seed).live(t, after(t, long))
		if err := o.judge(t.Context(), dir, seed); err != nil {
			require.Regexp(t, "is lost|arrived as number", err.Error())
			t.Logf("found in story %d: %v", seed, err)
			return
		}
	}
	t.Fatal("what acknowledges before the commit was killed again and again, and the judge saw nothing")
}

// A worker that dies when all but the last page is done costs the last page.
func TestAWorkerThatDiesAtTheEndOfItsJobRepeatsNothing(t *testing.T) {
	o := newOutside(t)
	dir := fastDir(t)
	require.False(t, o.start(t, mortal, dir, 0).live(t, after(t, long)), "it dies by itself, of a kill")
	rows := func() map[string]int64 {
		all := map[string]int64{}
		_, err := queryAll(t.Context(), openFile(t, filepath.Join(dir, "warehouse.db")), func(r *sql.Rows) (v struct{}, err error) {
			var sku string
			var n int64
			err = r.Scan(&sku, &n)
			all[sku] = n
			return v, err
		}, `SELECT sku, n FROM forecast`)
		require.NoError(t, err)
		return all
	}
	before := rows()
	require.Len(t, before, 38)
	require.True(t, o.start(t, honest, dir, 0).live(t, after(t, long)))
	require.NoError(t, o.judge(t.Context(), dir, 0))
	done := rows()
	require.Len(t, done, 40)
	for sku, n := range before {
		require.Equal(t, n, done[sku], "%s was computed again", sku)
	}
}

// What a judge never says is not judged: each of its sentences is provoked by hand.
func TestTheJudgeFindsWhatIsBrokenByHand(t *testing.T) {
	o := newOutside(t)
	whole := fastDir(t)
	require.True(t, o.start(t, honest, whole, 0).live(t, after(t, long)))
	require.NoError(t, o.judge(t.Context(), whole, 0))
	for says, statement := range map[string]string{
		"was applied twice":      `INSERT INTO reservation (id, sku, quantity, number, at) SELECT id, sku, quantity, number, at FROM reservation WHERE n = 1`,
		"its reservations make":  `UPDATE product SET reserved = reserved - 1 WHERE sku = (SELECT sku FROM reservation WHERE n = 1)`,
		"took number 1":          `INSERT INTO seen (subscriber, event, reservation, sku, number) SELECT subscriber, event, reservation, sku, 1 FROM seen WHERE n = 1`,
		"events of":              `DELETE FROM seen WHERE n = (SELECT max(n) FROM seen)`,
		"computed 10101 2 times": `INSERT INTO forecast (job, sku, level, safety, reorder, quantity) SELECT job, sku, 1, 1, 1, 1 FROM forecast WHERE sku = '10101'`,
		"ended 2 times":          `INSERT INTO forecast_done (job, at) SELECT job, at FROM forecast_done`,
		"no forecast is whole":   `DELETE FROM forecast WHERE sku = '10101'`,
		"left something behind":  `INSERT INTO forecast (job, sku, level, safety, reorder, quantity) VALUES ('canceled', '10101', 1, 1, 1, 1)`,
		"and the org has not":    `UPDATE product SET description = 'SOMETHING ELSE' WHERE sku = '10101'`,
		"the org never heard of s0-x": `INSERT INTO reservation (id, sku, quantity, number, at) SELECT 's0-x', sku, 1, orders + 1, '' FROM product WHERE sku = '10240';
			UPDATE product SET reserved = reserved + 1, orders = orders + 1 WHERE sku = '10240';
			INSERT INTO seen (subscriber, event, reservation, sku, number) SELECT 'cache', 's0-x', 's0-x', sku, orders FROM product WHERE sku = '10240';
			INSERT INTO seen (subscriber, event, reservation, sku, number) SELECT 'page', 's0-x', 's0-x', sku, orders FROM product WHERE sku = '10240'`,
	} {
		t.Run(says, func(t *testing.T) {
			dir := fastDir(t)
			require.NoError(t, os.CopyFS(dir, os.DirFS(whole)))
			change(t, filepath.Join(dir, "warehouse.db"), statement)
			if says == "the org never heard of s0-x" {
				_, err := o.db.Exec(`INSERT INTO effect (message, kind, reservation, sku, number)
					SELECT 's0-x-' || k.column1, k.column1, 's0-x', '10240', coalesce((SELECT max(number) FROM effect WHERE sku = '10240' AND reservation GLOB 's0-*'), 0) + 1
					FROM (VALUES ('audit'), ('notification')) k`)
				require.NoError(t, err)
				t.Cleanup(func() { o.db.Exec(`DELETE FROM effect WHERE reservation = 's0-x'`) })
			}
			require.ErrorContains(t, o.judge(t.Context(), dir, 0), says)
		})
	}
}

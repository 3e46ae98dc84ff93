package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
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
	"github.com/crosstie/crosstie/webhook"
)

// The crash test runs the example as a child process and kills it. The receiver lives in this process, with a journal
// of its own that no kill touches; it and the warehouse's file are the judge.

const (
	childArg   = "child=" // the first argument of a child: it is the example, and no test
	testSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="

	whole  = "main" // main itself, with its signals
	honest = "honest"
	buggy  = "acknowledges before the commit"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch kind, ok := strings.CutPrefix(os.Args[1], childArg); {
		case ok && kind == whole:
			os.Args = append(os.Args[:1], os.Args[2:]...)
			main()
		case ok && kind == honest:
			os.Exit(run(context.Background(), os.Args[2:], os.Getenv, os.Stdout, os.Stderr, hooks{}))
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

// An outside is the receiver in this process, at the end of a bad network.
type outside struct {
	*receiver
	url string
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
	return &outside{r, srv.URL + "/hook"}
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
	c.cmd = exec.Command(os.Args[0], childArg+kind, "-once", "-dir", dir, "-receiver", o.url, "-seed", strconv.Itoa(seed),
		"-reservations", strconv.Itoa(crashOrders))
	c.cmd.Env = append(os.Environ(), secretEnv+"="+testSecret)
	c.cmd.Stdout, c.cmd.Stderr = &c.out, &c.out
	require.NoError(t, c.cmd.Start())
	go func() { c.done <- c.cmd.Wait() }()
	return c
}

// live lets the child live until the moment, and then kills it. It reports whether the child had ended by itself.
func (c *child) live(t *testing.T, moment <-chan struct{}) (ended bool) {
	select {
	case err := <-c.done:
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
	reached := make(chan struct{})
	n += o.arrived.Load()
	end := after(t, long)
	go func() {
		defer close(reached)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for o.arrived.Load() < n {
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

// judge reads the warehouse's file and the journal, and says what is wrong.
func (o *outside) judge(ctx context.Context, dir string, seed int) error {
	db, err := sql.Open("sqlite", dsn(filepath.Join(dir, "warehouse.db"), "query_only(1)"))
	if err != nil {
		return err
	}
	defer db.Close()
	reserved := map[string]int{}
	quantities := map[string]int64{}
	rows, err := queryAll(ctx, db, func(r *sql.Rows) (v reservation, err error) {
		return v, r.Scan(&v.ID, &v.SKU, &v.Quantity)
	}, `SELECT id, sku, quantity FROM reservation`)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if reserved[r.ID]++; reserved[r.ID] > 1 {
			return fmt.Errorf("reservation %s was applied twice", r.ID)
		}
		quantities[r.SKU] += r.Quantity
	}
	products, err := queryAll(ctx, db, func(r *sql.Rows) (v [2]any, err error) {
		var sku string
		var opening, taken int64
		err = r.Scan(&sku, &opening, &taken)
		if err == nil && (taken > opening || taken != quantities[sku]) {
			err = fmt.Errorf("%s opens with %d, has %d reserved, and its reservations make %d", sku, opening, taken, quantities[sku])
		}
		return v, err
	}, `SELECT sku, opening, reserved FROM product`)
	if err != nil {
		return err
	}
	if len(rows) < crashOrders/2 || len(products) != 40 {
		return fmt.Errorf("only %d reservations of %d products: the story was not told", len(rows), len(products))
	}
	effects := map[string]int{}
	last := map[string]int64{}
	_, err = queryAll(ctx, o.db, func(r *sql.Rows) (v struct{}, err error) {
		var kind, id, sku string
		var number int64
		if err := r.Scan(&kind, &id, &sku, &number); err != nil {
			return v, err
		}
		if effects[kind+id]++; effects[kind+id] > 1 {
			return v, fmt.Errorf("the %s of %s took effect twice", kind, id)
		}
		if number != last[kind+sku]+1 {
			return v, fmt.Errorf("the %s of %s arrived as number %d of its product, after number %d", kind, id, number, last[kind+sku])
		}
		last[kind+sku] = number
		return v, nil
	}, `SELECT kind, reservation, sku, number FROM effect WHERE reservation GLOB ? ORDER BY n`, fmt.Sprintf("s%d-*", seed))
	if err != nil {
		return err
	}
	for id := range reserved {
		for _, kind := range []string{audit, notification} {
			if effects[kind+id] != 1 {
				return fmt.Errorf("the %s of %s is lost", kind, id)
			}
		}
	}
	if len(effects) != 2*len(reserved) {
		return fmt.Errorf("%d effects for %d reservations", len(effects), len(reserved))
	}
	return nil
}

func TestKilledAtAnyMomentNothingIsLostOrDoneTwice(t *testing.T) {
	kills := 50
	if os.Getenv("CROSSTIE_SOAK") != "" {
		kills = 300
	}
	if raceEnabled || testing.Short() { // a child under the race detector starts slowly; the plain run makes them all
		kills = 10
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
		if killed%2 == 0 {
			return o.arrivals(t, dice.Int64N(crashOrders))
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
	t.Logf("%d kills in %d stories of %s each; requests to the receiver: %d", killed, stories, short(undisturbed), o.arrived.Load())
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

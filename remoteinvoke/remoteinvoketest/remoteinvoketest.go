// Package remoteinvoketest is the conformance kit of remoteinvoke's stores:
// what passes it keeps the promises of package remoteinvoke.
package remoteinvoketest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/crosstie/crosstie/internal/id"
	"github.com/crosstie/crosstie/remoteinvoke"
)

// TestStore runs the kit. open returns a new empty store each time; it may
// use t.Cleanup. The kit uses leases of fractions of a second and the real
// clock: it waits for conditions, and checks that nothing came too early, so
// that a slow machine makes it slow but not wrong.
func TestStore(t *testing.T, open func(t *testing.T) remoteinvoke.Store) {
	for _, c := range []struct {
		name string
		fn   func(k *kit)
	}{
		{"what is added is loaded and claimed as it was", fields},
		{"slices are not kept", retention},
		{"an id is a job once", dedupe},
		{"callers and services are apart", apart},
		{"a full store refuses", full},
		{"adding wakes those who listen", added},
		{"a claim has a limit, and takes who waits longest", order},
		{"a job is claimed by one", exclusive},
		{"a lease that ran out passes on, and its zombie is refused", zombie},
		{"an expired lease is its holder's until another claims it", lateHolder},
		{"extending keeps a claim", extend},
		{"what is saved is there for the next attempt", saved},
		{"a progress that comes late takes nothing back", lateProgress},
		{"a failed attempt waits and is counted", again},
		{"handing back counts nothing", handBack},
		{"a job ends once", endsOnce},
		{"versions grow with what can be seen, and with nothing else", versions},
		{"what nobody runs is canceled at once", cancelQueued},
		{"what somebody runs is asked to stop", cancelRunning},
		{"what is canceling and given up is canceled", cancelGivenUp},
		{"what is canceling and abandoned is claimed uncounted", cancelAbandoned},
		{"a queued job past its time is failed", queueTimeout},
		{"a job past its time is failed, but not under its holder", timeout},
		{"a result goes before its job does", sweep},
		{"an end makes the callback due in the same step", callback},
		{"a callback is claimed by one, and its zombie refused", callbackZombie},
		{"a job with an unsettled callback is not forgotten", callbackKeeps},
		{"random concurrency ends each job once", random},
	} {
		t.Run(c.name, func(t *testing.T) { c.fn(&kit{T: t, s: open(t)}) })
	}
}

// long is long enough for a claim and an update on a busy machine, where the
// test needs it to last, and short is to be waited out.
const (
	long  = time.Minute
	short = 80 * time.Millisecond
)

// kit is one test with its store.
type kit struct {
	*testing.T
	s remoteinvoke.Store
}

func (k *kit) must(err error) {
	k.Helper()
	if err != nil {
		k.Fatal(err)
	}
}

func (k *kit) is(err, want error) {
	k.Helper()
	if !errors.Is(err, want) {
		k.Fatalf("got error %v, want %v", err, want)
	}
}

func (k *kit) equal(what string, got, want any) {
	k.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		k.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

// entry returns a job of service "svc" and caller "ann", without limits.
func entry(input string) remoteinvoke.Entry {
	return remoteinvoke.Entry{
		Key:   remoteinvoke.Key{Service: "svc", Caller: "ann", ID: id.New()},
		Input: []byte(input), Sum: sha256.Sum256([]byte(input)),
		KeepResult: time.Hour, Remember: 2 * time.Hour,
	}
}

// add adds e, which is new.
func (k *kit) add(e remoteinvoke.Entry) remoteinvoke.Record {
	k.Helper()
	r, added, err := k.s.Add(k.Context(), e, 0)
	k.must(err)
	if !added {
		k.Fatalf("job %s was there before", e.ID)
	}
	return r
}

func (k *kit) load(key remoteinvoke.Key) remoteinvoke.Record {
	k.Helper()
	r, err := k.s.Load(k.Context(), key)
	k.must(err)
	return r
}

// claim claims from "svc".
func (k *kit) claim(d time.Duration, max int) []remoteinvoke.Task {
	k.Helper()
	ts, err := k.s.Claim(k.Context(), remoteinvoke.Claim{Service: "svc", Owner: "kit", Lease: d, Max: max})
	k.must(err)
	return ts
}

// one claims until one job comes.
func (k *kit) one(d time.Duration) (t remoteinvoke.Task) {
	k.Helper()
	k.until("a job to claim", func() bool {
		ts := k.claim(d, 1)
		if len(ts) > 0 {
			t = ts[0]
		}
		return len(ts) > 0
	})
	return t
}

func (k *kit) update(t remoteinvoke.Task, u remoteinvoke.Update) remoteinvoke.State {
	k.Helper()
	st, err := k.s.Update(k.Context(), t.Key(), t.Epoch, u)
	k.must(err)
	return st
}

// refused fails unless every verdict of t is refused and changes nothing.
func (k *kit) refused(t remoteinvoke.Task) {
	k.Helper()
	was := k.load(t.Key())
	for _, u := range every() {
		_, err := k.s.Update(k.Context(), t.Key(), t.Epoch, u)
		k.is(err, remoteinvoke.ErrLost)
	}
	k.equal("the job after what was refused", k.load(t.Key()), was)
}

// every is every update a zombie might try.
func every() []remoteinvoke.Update {
	p := &remoteinvoke.Progress{Done: 99, Total: 100, Note: "zombie"}
	return []remoteinvoke.Update{
		{Lease: long, Progress: p, Saved: []byte(`"zombie"`)},
		{Verdict: remoteinvoke.Again, Progress: p},
		{Verdict: remoteinvoke.HandBack},
		done("zombie"),
		{Verdict: remoteinvoke.End, State: remoteinvoke.Failed, Failure: &remoteinvoke.Failure{Code: "zombie"}},
		{Verdict: remoteinvoke.End, State: remoteinvoke.Canceled},
	}
}

func done(output string) remoteinvoke.Update {
	return remoteinvoke.Update{Verdict: remoteinvoke.End, State: remoteinvoke.Done, Output: []byte(output)}
}

// calls claims callbacks of "svc".
func (k *kit) calls(d time.Duration, max int) []remoteinvoke.Call {
	k.Helper()
	cs, err := k.s.Calls(k.Context(), remoteinvoke.Claim{Service: "svc", Owner: "kit", Lease: d, Max: max})
	k.must(err)
	return cs
}

func (k *kit) sweep() int {
	k.Helper()
	n, err := k.s.Sweep(k.Context(), "svc", 100)
	k.must(err)
	return n
}

// until tries cond until it holds.
func (k *kit) until(what string, cond func() bool) {
	k.Helper()
	ctx, cancel := context.WithTimeout(k.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-ctx.Done():
			k.Fatalf("never came: %s", what)
		case <-tick.C:
		}
	}
}

// Package fireforgettest is the conformance kit of fireforget's stores: what
// passes it keeps the promises of package fireforget.
package fireforgettest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/crosstie/crosstie/fireforget"
	"github.com/crosstie/crosstie/internal/id"
)

// TestStore runs the kit. open returns a new empty store each time; it may
// use t.Cleanup. The kit uses leases of fractions of a second and the real
// clock: it waits for conditions, and checks that nothing came too early, so
// that a slow machine makes it slow but not wrong.
func TestStore(t *testing.T, open func(t *testing.T) fireforget.Store) {
	for _, c := range []struct {
		name string
		fn   func(k *kit)
	}{
		{"what is added is claimed as it was", fields},
		{"slices are not kept", retention},
		{"other destinations are not touched", others},
		{"a claim has a limit for each destination", limits},
		{"keyed and unkeyed messages share a small claim", share},
		{"an ID sent again is accepted once", dedupe},
		{"a batch with a reused ID is refused whole", dedupeBatch},
		{"an ID is forgotten only after its message", forget},
		{"a full store refuses", full},
		{"adding wakes those who listen", added},
		{"a message with no key is claimed by one", freeExclusive},
		{"a lease that ran out passes on, and its zombie is refused", freeZombie},
		{"a finished message is not rescued", freeFinished},
		{"extending keeps a claim", freeExtend},
		{"handing back counts nothing", freeHandBack},
		{"a failed attempt waits and is counted", again},
		{"not before", notBefore},
		{"messages of a key come in order", keyOrder},
		{"a lane belongs to one", laneExclusive},
		{"a lane that ran out passes on, and its zombie is refused", laneZombie},
		{"a lane is extended", laneExtend},
		{"a held lane is read on without its busy keys", laneHeld},
		{"a waiting head blocks its key and no other", headWaits},
		{"an attempt that is written twice counts once", againTwice},
		{"a delayed head blocks its key", headDelayed},
		{"a batch is settled in order, and the lost are named", batch},
		{"parked messages stay, with their history", parked},
		{"filters and pages of dead letters", filters},
		{"redriven messages come behind the live ones", redrive},
		{"a redrive leaves alone what is parked meanwhile", redriveThrough},
		{"a redrive in pages does not open what stopped anew", redriveStopped},
		{"a stopped key is parked whole until redriven", stop},
		{"discarding keeps the history only", discard},
		{"order per key under random concurrency", random},
	} {
		t.Run(c.name, func(t *testing.T) { c.fn(&kit{T: t, s: open(t)}) })
	}
}

// lease is long enough for a claim and a settle on a busy machine, where the
// test needs it to last, and short is to be waited out.
const (
	lease = time.Minute
	short = 80 * time.Millisecond
)

// kit is one test with its store.
type kit struct {
	*testing.T
	s fireforget.Store
}

func (k *kit) must(err error) {
	k.Helper()
	if err != nil {
		k.Fatal(err)
	}
}

func (k *kit) equal(what string, got, want any) {
	k.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		k.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

// entry returns a message to "dest" with key in lane 1 + the key's length, so
// that tests decide which keys share a lane.
func entry(key, body string) fireforget.Entry {
	e := fireforget.Entry{Item: fireforget.Item{
		ID: id.New(), To: "dest", Key: key, ContentType: "text/plain",
		Body: []byte(body), AcceptedAt: time.Now().UTC().Truncate(time.Microsecond),
	}}
	if key != "" {
		e.Lane = 1 + len(key)
	}
	return e
}

func (k *kit) add(es ...fireforget.Entry) {
	k.Helper()
	k.must(k.s.Add(k.Context(), es, 0))
}

// claim claims for owner from dest.
func (k *kit) claim(owner string, d time.Duration, max int, held ...fireforget.Held) []fireforget.Entry {
	k.Helper()
	es, err := k.s.Claim(k.Context(), fireforget.Claim{
		Owner: owner, Lease: d, Wants: []fireforget.Want{{To: "dest", Max: max, Held: held}},
	})
	k.must(err)
	return es
}

// settle settles and returns the lost.
func (k *kit) settle(rs ...fireforget.Result) []int {
	k.Helper()
	lost, err := k.s.Settle(k.Context(), rs)
	k.must(err)
	return lost
}

// ok settles and fails if anything was lost.
func (k *kit) ok(rs ...fireforget.Result) {
	k.Helper()
	if lost := k.settle(rs...); len(lost) > 0 {
		k.Fatalf("lost %v of %+v", lost, rs)
	}
}

// refused settles each by itself and fails if one was not lost.
func (k *kit) refused(rs ...fireforget.Result) {
	k.Helper()
	for _, r := range rs {
		if lost := k.settle(r); len(lost) != 1 || lost[0] != 0 {
			k.Fatalf("a result under an old epoch was taken: %+v", r)
		}
	}
}

// result makes a result for e.
func result(e fireforget.Entry, v fireforget.Verdict) fireforget.Result {
	return fireforget.Result{To: e.To, Key: e.Key, Lane: e.Lane, Epoch: e.Epoch, Seq: e.Seq, Tried: e.Attempt, Verdict: v, Lease: lease}
}

// laneOf makes a result for the lane of e.
func laneOf(e fireforget.Entry, v fireforget.Verdict) fireforget.Result {
	r := result(e, v)
	r.Seq, r.Key = 0, ""
	return r
}

// every is every verdict a zombie might try.
func every(e fireforget.Entry) (rs []fireforget.Result) {
	for _, v := range []fireforget.Verdict{fireforget.Extend, fireforget.Landed, fireforget.Again, fireforget.Park, fireforget.HandBack} {
		rs = append(rs, result(e, v))
	}
	return rs
}

func failure(text string) fireforget.Attempt {
	return fireforget.Attempt{At: time.Now().UTC().Truncate(time.Microsecond), Took: time.Millisecond, Status: 503, Error: text}
}

func bodies(es []fireforget.Entry) (out []string) {
	for _, e := range es {
		out = append(out, string(e.Body))
	}
	return out
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

// claimed claims until something comes.
func (k *kit) claimed(owner string, d time.Duration, max int) (es []fireforget.Entry) {
	k.Helper()
	k.until("a message to claim", func() bool {
		es = k.claim(owner, d, max)
		return len(es) > 0
	})
	return es
}

func (k *kit) dead(f fireforget.Filter) []fireforget.DeadLetter {
	k.Helper()
	ds, err := k.s.Parked(k.Context(), f, 0, 1000)
	k.must(err)
	return ds
}

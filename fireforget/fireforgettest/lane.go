package fireforgettest

import (
	"fmt"
	"slices"
	"time"

	"github.com/crosstie/crosstie/fireforget"
)

func keyOrder(k *kit) {
	for i := range 3 {
		k.add(entry("a", fmt.Sprint("a", i)), entry("b", fmt.Sprint("b", i)), entry("cc", fmt.Sprint("cc", i)))
	}
	got := map[string][]string{}
	for {
		es := k.claim("o", lease, 4)
		if len(es) == 0 {
			break
		}
		lanes := map[int]fireforget.Entry{}
		for _, e := range es {
			got[e.Key] = append(got[e.Key], string(e.Body))
			k.ok(result(e, fireforget.Landed))
			lanes[e.Lane] = e
		}
		for _, e := range lanes {
			k.ok(laneOf(e, fireforget.HandBack))
		}
	}
	for _, key := range []string{"a", "b", "cc"} {
		k.equal("order of "+key, got[key], []string{key + "0", key + "1", key + "2"})
	}
}

// laneExclusive: keys a and b share a lane, cc has its own.
func laneExclusive(k *kit) {
	k.add(entry("a", "a"), entry("b", "b"), entry("cc", "cc"))
	first := k.claim("one", lease, 1)
	k.equal("claimed", len(first), 1)
	second := k.claim("two", lease, 10)
	for _, e := range second {
		if e.Lane == first[0].Lane {
			k.Fatalf("lane %d was leased twice", e.Lane)
		}
	}
	k.ok(result(first[0], fireforget.Landed), laneOf(first[0], fireforget.HandBack))
	n := 1 + len(second) + len(k.claim("three", lease, 10))
	k.equal("claimed in all", n, 3)
}

func laneZombie(k *kit) {
	k.add(entry("a", "1"), entry("a", "2"))
	start := time.Now()
	old := k.claim("one", short, 10)
	k.equal("claimed", bodies(old), []string{"1", "2"})
	now := k.claimed("two", lease, 10)
	if took := time.Since(start); took < short {
		k.Fatalf("the lease of %v passed on after %v", short, took)
	}
	k.equal("claimed", bodies(now), []string{"1", "2"})
	if now[0].Epoch <= old[0].Epoch {
		k.Fatalf("epochs must grow: %d after %d", now[0].Epoch, old[0].Epoch)
	}
	zombie := append(every(old[0]), every(old[1])...)
	zombie = append(zombie, laneOf(old[0], fireforget.Extend), laneOf(old[0], fireforget.HandBack))
	k.refused(zombie...)
	k.ok(result(now[0], fireforget.Landed), result(now[1], fireforget.Landed), laneOf(now[0], fireforget.HandBack))
	k.refused(zombie...)
	k.equal("left", len(k.claim("three", lease, 10)), 0)
}

func laneExtend(k *kit) {
	k.add(entry("a", "1"))
	e := k.claim("one", short, 10)[0]
	if lost := k.settle(laneOf(e, fireforget.Extend)); len(lost) > 0 {
		k.Skip("the machine is too slow for this test")
	}
	start := time.Now()
	k.until("the first lease to be over", func() bool {
		k.equal("claimed", len(k.claim("two", lease, 10)), 0)
		return time.Since(start) > 2*short
	})
	k.ok(result(e, fireforget.Landed))
}

func laneHeld(k *kit) {
	k.add(entry("a", "a1"), entry("b", "b1"))
	es := k.claim("one", lease, 10)
	k.equal("claimed", len(es), 2)
	held := fireforget.Held{Lane: es[0].Lane, Epoch: es[0].Epoch, Busy: []string{"a", "b"}}
	k.add(entry("a", "a2"), entry("c", "c1"))
	more := k.claim("one", lease, 10, held)
	k.equal("beside busy keys", bodies(more), []string{"c1"})
	k.equal("epoch", more[0].Epoch, es[0].Epoch)

	for _, e := range es {
		if e.Key == "a" {
			k.ok(result(e, fireforget.Landed))
		}
	}
	held.Busy = []string{"b", "c"}
	k.equal("when a is no longer busy", bodies(k.claim("one", lease, 10, held)), []string{"a2"})

	// A head that waited and is due again is not handed out twice either.
	r := result(more[0], fireforget.Again)
	r.Attempt = failure("no")
	k.ok(r)
	held.Busy = []string{"a", "b"}
	k.until("c again", func() bool { return len(k.claim("one", lease, 10, held)) == 1 })
	held.Busy = []string{"a", "b", "c"}
	k.equal("when all are busy", len(k.claim("one", lease, 10, held)), 0)

	stale := held
	stale.Epoch--
	k.add(entry("d", "d1"))
	k.equal("under another epoch", len(k.claim("one", lease, 10, stale)), 0)
}

func headWaits(k *kit) {
	k.add(entry("a", "a1"), entry("a", "a2"), entry("b", "b1"), entry("b", "b2"))
	es := k.claim("one", lease, 10)
	var rs []fireforget.Result
	for _, e := range es {
		switch string(e.Body) {
		case "a1":
			r := result(e, fireforget.Again)
			r.Next, r.Attempt = 3*short, failure("no")
			rs = append(rs, r)
		case "b1":
			rs = append(rs, result(e, fireforget.Landed))
		}
	}
	start := time.Now()
	k.ok(append(rs, laneOf(es[0], fireforget.HandBack))...)
	k.add(entry("a", "a3"), entry("b", "b3"))

	got := k.claim("two", lease, 10)
	early := time.Since(start) < 3*short
	var b []string
	for _, e := range got {
		if early && e.Key == "a" {
			k.Fatalf("%s came while the head of its key waits", e.Body)
		}
		if e.Key == "b" {
			b = append(b, string(e.Body))
			k.ok(result(e, fireforget.Landed))
		}
	}
	k.equal("the other key", b, []string{"b2", "b3"})
	k.ok(laneOf(got[0], fireforget.HandBack))

	var a []string
	k.until("the rest", func() bool {
		es := k.claim("three", lease, 10)
		for _, e := range es {
			a = append(a, string(e.Body))
			k.ok(result(e, fireforget.Landed))
		}
		if len(es) > 0 {
			k.ok(laneOf(es[0], fireforget.HandBack))
		}
		return len(a) == 3
	})
	k.equal("the key that waited", a, []string{"a1", "a2", "a3"})
}

// againTwice: a Settle whose commit was not confirmed is written again.
func againTwice(k *kit) {
	k.add(entry("a", "a1"))
	es := k.claim("one", lease, 10)
	r := result(es[0], fireforget.Again)
	r.Next, r.Attempt = time.Millisecond, failure("no")
	k.ok(r)
	k.ok(r)
	k.ok(laneOf(es[0], fireforget.HandBack))
	next := k.claimed("two", lease, 10)
	k.equal("attempts counted", next[0].Attempt, 1)
	r = result(next[0], fireforget.Park)
	r.Reason = "permanent"
	k.ok(r)
	dead := k.dead(fireforget.Filter{})
	k.equal("attempts in the history", len(dead[0].History), 1)
}

func headDelayed(k *kit) {
	first, second := entry("a", "a1"), entry("a", "a2")
	first.NotBefore = time.Now().Add(2 * short)
	k.add(entry("a", "a0"), first, second)
	var got []string
	k.until("all", func() bool {
		es := k.claim("one", lease, 10)
		for _, e := range es {
			if string(e.Body) != "a0" && time.Now().Before(first.NotBefore) {
				k.Fatalf("%s came too early", e.Body)
			}
			got = append(got, string(e.Body))
			k.ok(result(e, fireforget.Landed))
		}
		if len(es) > 0 {
			k.ok(laneOf(es[0], fireforget.HandBack))
		}
		return len(got) == 3
	})
	k.equal("order", got, []string{"a0", "a1", "a2"})
}

func stop(k *kit) {
	for i := range 3 {
		k.add(entry("a", fmt.Sprint("a", i)), entry("b", fmt.Sprint("b", i)))
	}
	es := k.claim("one", lease, 10)
	i := slices.IndexFunc(es, func(e fireforget.Entry) bool { return string(e.Body) == "a0" })
	r := result(es[i], fireforget.Park)
	r.Reason, r.Stop, r.Attempt = "exhausted", true, failure("no")
	k.ok(r, laneOf(es[0], fireforget.HandBack))
	k.add(entry("a", "a3"))
	var b []string
	k.until("the stopped key to be parked", func() bool {
		es := k.claim("two", lease, 10)
		for _, e := range es {
			b = append(b, string(e.Body))
			k.ok(result(e, fireforget.Landed))
		}
		if len(es) > 0 {
			k.ok(laneOf(es[0], fireforget.HandBack))
		}
		return len(k.dead(fireforget.Filter{Key: "a"})) == 4
	})
	k.equal("the other key", b, []string{"b0", "b1", "b2"})
	var dead []string
	for _, d := range k.dead(fireforget.Filter{}) {
		dead = append(dead, string(d.Item.Body)+" "+d.Reason)
	}
	k.equal("dead", dead, []string{"a0 exhausted", "a1 key stopped", "a2 key stopped", "a3 key stopped"})

	n, _, err := k.s.Redrive(k.Context(), fireforget.Filter{Key: "a"}, 0, 100)
	k.must(err)
	k.equal("redriven", n, 4)
	k.add(entry("a", "a4"))
	k.equal("after the redrive", bodies(k.claim("three", lease, 10)), []string{"a0", "a1", "a2", "a3", "a4"})
}

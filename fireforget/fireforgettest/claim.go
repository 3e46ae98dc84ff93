package fireforgettest

import (
	"slices"
	"time"

	"github.com/crosstie/crosstie/fireforget"
)

func freeExclusive(k *kit) {
	for range 10 {
		k.add(entry("", "x"))
	}
	a, b := k.claim("a", lease, 6), k.claim("b", lease, 10)
	k.equal("claimed", []int{len(a), len(b)}, []int{6, 4})
	seen := map[string]bool{}
	for _, e := range append(a, b...) {
		if seen[e.ID] {
			k.Fatalf("%s was claimed twice", e.ID)
		}
		seen[e.ID] = true
	}
}

func freeZombie(k *kit) {
	k.add(entry("", "x"))
	start := time.Now()
	old := k.claim("a", short, 1)[0]
	now := k.claimed("b", lease, 1)[0]
	if took := time.Since(start); took < short {
		k.Fatalf("the lease of %v passed on after %v", short, took)
	}
	if now.Epoch <= old.Epoch {
		k.Fatalf("epochs must grow: %d after %d", now.Epoch, old.Epoch)
	}
	k.equal("Attempt", now.Attempt, 0)
	k.refused(every(old)...)
	k.ok(result(now, fireforget.Landed))
	k.refused(every(old)...)
	k.refused(every(now)...)
	k.equal("left", len(k.claim("c", lease, 1)), 0)
}

func freeFinished(k *kit) {
	k.add(entry("", "x"))
	e := k.claim("a", short, 1)[0]
	k.ok(result(e, fireforget.Landed))
	// After the lease would have run out there is nothing to rescue.
	start := time.Now()
	k.until("the lease to be over", func() bool {
		k.equal("claimed", len(k.claim("b", lease, 1)), 0)
		return time.Since(start) > 2*short
	})
}

func freeExtend(k *kit) {
	k.add(entry("", "x"))
	e := k.claim("a", short, 1)[0]
	r := result(e, fireforget.Extend)
	if lost := k.settle(r); len(lost) > 0 {
		k.Skip("the machine is too slow for this test")
	}
	start := time.Now()
	k.until("the first lease to be over", func() bool {
		k.equal("claimed", len(k.claim("b", lease, 1)), 0)
		return time.Since(start) > 2*short
	})
	k.ok(result(e, fireforget.Landed))
}

func freeHandBack(k *kit) {
	k.add(entry("", "x"))
	e := k.claim("a", lease, 1)[0]
	k.ok(result(e, fireforget.HandBack))
	f := k.claim("b", lease, 1)
	k.equal("claimed", len(f), 1)
	k.equal("Attempt", f[0].Attempt, 0)
	k.refused(every(e)...)
}

func again(k *kit) {
	for _, key := range []string{"", "key"} {
		k.add(entry(key, "x"))
		for n := range 3 {
			e := k.claimed("a", lease, 1)[0]
			k.equal("Attempt", e.Attempt, n)
			r := result(e, fireforget.Again)
			r.Next, r.Attempt = short, failure("no")
			start := time.Now()
			k.ok(r)
			if key == "" {
				k.refused(every(e)...)
			} else {
				k.ok(laneOf(e, fireforget.HandBack))
			}
			e = k.claimed("b", lease, 1)[0]
			if took := time.Since(start); took < short {
				k.Fatalf("a wait of %v was over after %v", short, took)
			}
			k.equal("Attempt", e.Attempt, n+1)
			if key == "" {
				k.ok(result(e, fireforget.HandBack))
			} else {
				k.ok(laneOf(e, fireforget.HandBack))
			}
		}
		e := k.claimed("a", lease, 1)[0]
		k.ok(result(e, fireforget.Landed))
		if key != "" {
			k.ok(laneOf(e, fireforget.HandBack))
		}
	}
}

func notBefore(k *kit) {
	for _, key := range []string{"", "key"} {
		late, soon := entry(key, "late"), entry("other"+key, "soon")
		late.NotBefore = time.Now().Add(2 * short)
		k.add(late, soon)
		var got []string
		k.until("both", func() bool {
			for _, e := range k.claim("a", lease, 10) {
				if string(e.Body) == "late" && time.Now().Before(late.NotBefore) {
					k.Fatal("claimed before its time")
				}
				got = append(got, string(e.Body))
				k.ok(result(e, fireforget.Landed))
				if e.Lane > 0 {
					k.ok(laneOf(e, fireforget.HandBack))
				}
			}
			return len(got) == 2
		})
		k.equal("order", got, []string{"soon", "late"})
	}
}

func batch(k *kit) {
	k.add(entry("", "1"), entry("", "2"), entry("", "3"), entry("k", "4"), entry("k", "5"))
	es := k.claim("a", lease, 10)
	k.equal("claimed", len(es), 5)
	var rs []fireforget.Result
	for _, e := range es {
		r := result(e, fireforget.Landed)
		if string(e.Body) == "2" {
			r.Epoch++
		}
		rs = append(rs, r)
	}
	i := slices.IndexFunc(es, func(e fireforget.Entry) bool { return e.Lane > 0 })
	rs = append(rs, laneOf(es[i], fireforget.HandBack), laneOf(es[i], fireforget.Extend))
	want := []int{6} // the lane was handed back before
	for i, e := range es {
		if string(e.Body) == "2" {
			want = append([]int{i}, want...)
		}
	}
	k.equal("lost", k.settle(rs...), want)
	k.equal("left", len(k.claim("b", lease, 10)), 0)
}

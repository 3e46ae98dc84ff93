package fireforgettest

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/crosstie/crosstie/fireforget"
)

// random lets owners that stall, fail, hand back and settle late share the
// lanes of many keys while senders add, and checks what settles: every
// message once, each key in the order it was sent.
func random(k *kit) {
	const keys, each, owners = 12, 25, 4
	seed := rand.Uint64()
	k.Logf("seed %d", seed)

	var mu sync.Mutex // guards landed
	landed := map[string][]string{}
	total := 0
	done := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return total == keys*each
	}
	var wg sync.WaitGroup
	for key := range keys {
		wg.Go(func() {
			name := fmt.Sprintf("%c%0*d", 'a'+key, key%4, 0) // four lanes
			for i := range each {
				if err := k.s.Add(k.Context(), []fireforget.Entry{entry(name, fmt.Sprint(i))}, 0); err != nil {
					k.Error(err)
					return
				}
			}
		})
	}
	deadline := time.Now().Add(90 * time.Second)
	for o := range owners {
		rnd := rand.New(rand.NewPCG(seed, uint64(o)))
		wg.Go(func() {
			for !done() && time.Now().Before(deadline) {
				d := lease
				if rnd.IntN(4) == 0 {
					d = time.Duration(1+rnd.IntN(5)) * time.Millisecond // to be lost
				}
				es, err := k.s.Claim(k.Context(), fireforget.Claim{
					Owner: fmt.Sprint(o), Lease: d,
					Wants: []fireforget.Want{{To: "dest", Max: 1 + rnd.IntN(10)}},
				})
				if err != nil {
					k.Error(err)
					return
				}
				if d < lease {
					pause(time.Duration(rnd.IntN(10)) * time.Millisecond)
				}
				var rs []fireforget.Result
				blocked := map[string]bool{}
				lanes := map[int]fireforget.Entry{}
				for _, e := range es {
					lanes[e.Lane] = e
					if blocked[e.Key] {
						continue
					}
					r := result(e, fireforget.Landed)
					if rnd.IntN(8) == 0 {
						r.Verdict, r.Next, r.Attempt = fireforget.Again, time.Duration(rnd.IntN(3))*time.Millisecond, failure("no")
						blocked[e.Key] = true
					}
					rs = append(rs, r)
				}
				for _, e := range lanes {
					rs = append(rs, laneOf(e, fireforget.HandBack))
				}
				// Under the lock, so that what is noted has the order of
				// what was settled.
				mu.Lock()
				lost, err := k.s.Settle(k.Context(), rs)
				if err != nil {
					mu.Unlock()
					k.Error(err)
					return
				}
				gone := map[int]bool{}
				for _, i := range lost {
					gone[i] = true
				}
				for i, r := range rs {
					if r.Verdict == fireforget.Landed && !gone[i] {
						landed[r.Key] = append(landed[r.Key], body(es, r.Seq))
						total++
					}
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if !done() {
		k.Fatalf("%d of %d settled", total, keys*each)
	}
	for key, got := range landed {
		for i := range got {
			if got[i] != fmt.Sprint(i) {
				k.Fatalf("key %s was settled in the order %v", key, got)
			}
		}
	}
}

func body(es []fireforget.Entry, seq int64) string {
	for _, e := range es {
		if e.Seq == seq {
			return string(e.Body)
		}
	}
	return "?"
}

func pause(d time.Duration) {
	t := time.NewTimer(d)
	<-t.C
}

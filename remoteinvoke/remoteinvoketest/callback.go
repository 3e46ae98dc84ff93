package remoteinvoketest

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/crosstie/crosstie/remoteinvoke"
)

func callback(k *kit) {
	add := func() remoteinvoke.Entry {
		e := entry("1")
		e.Callback = "https://me.example/in"
		k.add(e)
		return e
	}
	ends := map[string]func(remoteinvoke.Entry){
		"done": func(remoteinvoke.Entry) { k.update(k.one(long), done("1")) },
		"canceled": func(e remoteinvoke.Entry) {
			_, err := k.s.Cancel(k.Context(), e.Key)
			k.must(err)
		},
		"given up": func(e remoteinvoke.Entry) {
			t := k.one(long)
			_, err := k.s.Cancel(k.Context(), e.Key)
			k.must(err)
			k.update(t, remoteinvoke.Update{Verdict: remoteinvoke.Again})
		},
	}
	for name, end := range ends {
		e := add()
		k.equal("before the end", len(k.calls(long, 10)), 0)
		end(e)
		cs := k.calls(long, 10)
		k.equal(name+": due", len(cs), 1)
		c := cs[0]
		k.equal("job", c.Record, k.load(e.Key))
		k.equal("attempt", c.Attempt, 1)
		waits := time.Now()
		k.must(k.s.Called(k.Context(), c.Key(), c.Epoch, 2*short))
		k.until("the second attempt", func() bool { cs = k.calls(long, 10); return len(cs) > 0 })
		if d := time.Since(waits); d < 2*short {
			k.Fatalf("due again after %v", d)
		}
		k.equal("attempt", cs[0].Attempt, 2)
		k.must(k.s.Called(k.Context(), c.Key(), cs[0].Epoch, 0))
		k.equal("settled", len(k.calls(long, 10)), 0)
		k.equal("the job is as it was", k.load(e.Key), c.Record)
		k.is(k.s.Called(k.Context(), c.Key(), cs[0].Epoch, time.Millisecond), remoteinvoke.ErrLost)
		k.equal("still settled", len(k.calls(long, 10)), 0)
	}

	e := add() // one whose time has passed
	overdue := entry("1")
	overdue.Callback, overdue.Timeout = e.Callback, short
	_, err := k.s.Cancel(k.Context(), e.Key)
	k.must(err)
	k.calls(long, 10)
	k.add(overdue)
	k.until("an overdue job", func() bool { return k.sweep() > 0 })
	cs := k.calls(long, 10)
	k.equal("due", len(cs), 1)
	k.equal("state", cs[0].State, remoteinvoke.Failed)

	k.add(entry("1")) // one without a callback
	k.update(k.one(long), done("1"))
	k.equal("without a callback", len(k.calls(long, 10)), 0)
}

func callbackZombie(k *kit) {
	e := entry("1")
	e.Callback = "https://me.example/in"
	k.add(e)
	k.update(k.one(long), done("1"))
	z := k.calls(short, 10)
	k.equal("first", len(z), 1)
	var cs []remoteinvoke.Call
	k.until("the end of the lease", func() bool { cs = k.calls(long, 10); return len(cs) > 0 })
	k.equal("attempt", cs[0].Attempt, 2)
	k.is(k.s.Called(k.Context(), e.Key, z[0].Epoch, 0), remoteinvoke.ErrLost)
	k.equal("held", len(k.calls(long, 10)), 0)
	k.must(k.s.Called(k.Context(), e.Key, cs[0].Epoch, 0))
}

func callbackKeeps(k *kit) {
	e := entry("1")
	e.Callback, e.KeepResult, e.Remember = "https://me.example/in", time.Millisecond, 2*time.Millisecond
	k.add(e)
	k.update(k.one(long), done("1"))
	k.until("the end of the result", func() bool { k.sweep(); return k.load(e.Key).Gone })
	began := time.Now()
	k.until("some time", func() bool { k.sweep(); return time.Since(began) > short })
	cs := k.calls(long, 10)
	k.equal("due", len(cs), 1)
	k.must(k.s.Called(k.Context(), e.Key, cs[0].Epoch, 0))
	k.until("the end of the job", func() bool {
		k.sweep()
		_, err := k.s.Load(k.Context(), e.Key)
		return err != nil
	})
}

// random lets many claim, pause past their leases, and end the same jobs.
func random(k *kit) {
	const jobs, workers = 60, 8
	for i := range jobs {
		e := entry(fmt.Sprint(i))
		e.Callback = "https://me.example/in"
		k.add(e)
	}
	var mu sync.Mutex
	ends := map[string]int{}
	epochs := map[int64]bool{} // they differ between jobs, too
	var wg sync.WaitGroup
	ctx := k.Context()
	for range workers {
		wg.Go(func() {
			for {
				mu.Lock()
				over := len(ends) == jobs
				mu.Unlock()
				if over || ctx.Err() != nil {
					return
				}
				ts, err := k.s.Claim(ctx, remoteinvoke.Claim{Service: "svc", Owner: "kit", Lease: time.Duration(rand.IntN(4)) * time.Millisecond, Max: 1 + rand.IntN(4)})
				if err != nil {
					k.Error(err)
					return
				}
				for _, t := range ts {
					mu.Lock()
					if epochs[t.Epoch] {
						k.Errorf("epoch %d was granted twice", t.Epoch)
					}
					epochs[t.Epoch] = true
					mu.Unlock()
				}
				for _, t := range ts {
					u := done("1")
					if rand.IntN(3) == 0 {
						u = remoteinvoke.Update{Verdict: remoteinvoke.Again}
					}
					_, err := k.s.Update(ctx, t.Key(), t.Epoch, u)
					if err == nil && u.Verdict == remoteinvoke.End {
						mu.Lock()
						ends[t.ID]++
						mu.Unlock()
					}
				}
			}
		})
	}
	wg.Wait()
	k.equal("jobs that ended", len(ends), jobs)
	for id, n := range ends {
		if n != 1 {
			k.Fatalf("job %s ended %d times", id, n)
		}
	}
	k.equal("callbacks due", len(k.calls(long, 2*jobs)), jobs)
}

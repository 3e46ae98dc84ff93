package uiupdate_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/uiupdate"
)

// rounds is n, and more in a soak.
func rounds(n int) int {
	if _, ok := os.LookupEnv("CROSSTIE_SOAK"); ok {
		return 50 * n
	}
	return n
}

// Any interleaving of sets, deletes, resets, late changes, disconnects and
// slow readers ends with each reader's rows equal to the view's, and no reader
// ever breaks a rule on the way.
func TestAnyInterleaving(t *testing.T) {
	for seed := range uint64(rounds(12)) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { interleave(t, seed) })
		})
	}
}

func interleave(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 0))
	keys := 1 + r.IntN(1500)
	o := uiupdate.ViewOptions{Window: []int{0, 1, 20_000}[r.IntN(3)], Deleted: []int{0, -1, 3, 50}[r.IntN(4)]}
	late := 3
	if o.Deleted != 0 { // a late change brings back a row whose deletion is forgotten, as documented
		late = 1
	}
	v := uiupdate.NewView[int, string](&o)
	client := serve(t, uiupdate.NewHandler(v, &uiupdate.HandlerOptions{Heartbeat: time.Second}))
	pad := strings.Repeat("x", r.IntN(200))
	start, finished := time.Now(), make(chan struct{})
	same := func(have map[string]string) bool {
		want := rows(v)
		if len(have) != len(want) {
			return false
		}
		for k, val := range want {
			if have[fmt.Sprint(k)] != val {
				return false
			}
		}
		return true
	}
	var wg sync.WaitGroup
	for n := range 4 { // over the wire
		wg.Go(func() {
			rr := rand.New(rand.NewPCG(seed, uint64(n)+10))
			c := browser(client)
			defer c.Close()
			for over := false; ; {
				require.NoError(t, c.Connect(t.Context()))
				for left := rr.IntN(60); over || left > 0; left-- {
					_, err := c.Next()
					require.NoError(t, err)
					if rr.IntN(8) == 0 {
						time.Sleep(time.Duration(rr.IntN(200)) * time.Millisecond)
					}
					if over && c.Copy.Live {
						have := map[string]string{}
						for k, row := range c.Copy.Rows {
							var s string
							require.NoError(t, json.Unmarshal(row.Value, &s))
							have[k] = s
						}
						require.True(t, same(have), "live, and not the view")
						return
					}
				}
				select {
				case <-finished:
					over = true
				default:
				}
			}
		})
	}
	for n := range 2 { // in the process
		wg.Go(func() {
			rr := rand.New(rand.NewPCG(seed, uint64(n)+20))
			have, last := map[string]string{}, ""
			versions := map[int]time.Time{}
			for over := false; ; {
				left := rr.IntN(40)
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				for e, err := range v.Watch(ctx, last) {
					if err != nil {
						require.ErrorIs(t, err, context.DeadlineExceeded)
						break
					}
					last = e.ID
					if e.Kind == uiupdate.Reset {
						clear(have)
						clear(versions)
					}
					for _, c := range e.Changes {
						require.False(t, c.AsOf.Before(versions[c.Key]), "goes back")
						versions[c.Key] = c.AsOf
						if have[fmt.Sprint(c.Key)] = c.Value; c.Deleted {
							delete(have, fmt.Sprint(c.Key))
						}
					}
					if over && e.Kind == uiupdate.Live {
						require.True(t, same(have), "live, and not the view")
						cancel()
						return
					}
					if left--; left < 0 && !over {
						break
					}
					time.Sleep(time.Duration(rr.IntN(100)) * time.Millisecond)
				}
				cancel()
				select {
				case <-finished:
					over = true
				default:
				}
			}
		})
	}
	for step := range 300 {
		time.Sleep(time.Millisecond) // each step has an as-of of its own
		asOf := time.Now().Add(-time.Duration(r.IntN(late)) * time.Second)
		if asOf.Before(start) {
			asOf = start
		}
		var err error
		switch r.IntN(12) {
		case 0:
			err = v.Delete(r.IntN(keys), asOf)
		case 1:
			v.Confirm(time.Now())
		case 2:
			all := map[int]string{}
			for k := range keys {
				if r.IntN(10) > 0 {
					all[k] = fmt.Sprint("reset ", step%3, pad)
				}
			}
			if r.IntN(5) == 0 {
				err = v.Reset(all, asOf)
			}
		case 3, 4:
			var cs []uiupdate.Change[int, string]
			for range r.IntN(400) {
				cs = append(cs, uiupdate.Change[int, string]{Key: r.IntN(keys), Value: fmt.Sprint(step, pad), Deleted: r.IntN(5) == 0, AsOf: asOf})
			}
			err = v.Apply(cs)
		default:
			err = v.Set(r.IntN(keys), fmt.Sprint(step, pad), asOf)
		}
		require.NoError(t, err)
		if r.IntN(3) == 0 {
			time.Sleep(time.Duration(r.IntN(100)) * time.Millisecond)
		}
	}
	close(finished)
	require.NoError(t, v.Set(-1, "the end", time.Now())) // wakes who waits for a change
	wg.Wait()
	s := v.Stats()
	require.Equal(t, s.Changes, s.Applied+s.Unchanged+s.Late)
}

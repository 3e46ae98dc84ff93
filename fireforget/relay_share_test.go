package fireforget_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/fireforget"
)

func isolatesDestinations(t *testing.T) {
	s := fireforget.NewMem()
	r := fireforget.NewRelay(s, nil)
	r.Handle("slow", fireforget.DelivererFunc(func(ctx context.Context, _ fireforget.Item) error {
		<-ctx.Done()
		return ctx.Err()
	}), nil)
	var j journal
	r.Handle("fast", &j, nil)
	for i := range 3000 {
		send(t, s, "slow", fmt.Sprint(i%100), "x")
		send(t, s, "slow", "", "x")
	}
	stop := start(t, r)
	time.Sleep(time.Second)
	began := time.Now()
	for i := range 500 {
		send(t, s, "fast", fmt.Sprint(i), "x")
	}
	synctest.Wait()
	require.Len(t, j.all(), 500)
	require.Equal(t, began, time.Now())
	require.NoError(t, stop())
}

// isolatesKeys: with 1000 keys in 64 lanes, the slow key shares its lane.
func isolatesKeys(t *testing.T) {
	s := fireforget.NewMem()
	r := fireforget.NewRelay(s, nil)
	var j journal
	r.Handle("dest", fireforget.DelivererFunc(func(ctx context.Context, it fireforget.Item) error {
		if it.Key == "slow" {
			<-ctx.Done()
			return ctx.Err()
		}
		return j.Deliver(ctx, it)
	}), nil)
	stop := start(t, r)
	for range 10 {
		send(t, s, "dest", "slow", "slow")
	}
	for range 30 {
		time.Sleep(900 * time.Millisecond)
		before := len(j.all())
		for i := range 1000 {
			send(t, s, "dest", fmt.Sprint("key", i), "x")
		}
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		require.Len(t, j.all(), before+1000, "within a tenure of the lane")
	}
	require.NoError(t, stop())
}

func leavesOthers(t *testing.T) {
	s := fireforget.NewMem()
	lacking := fireforget.NewRelay(s, nil)
	var j, k journal
	lacking.Handle("known", &j, nil)
	stop := start(t, lacking)
	send(t, s, "unknown", "", "1")
	send(t, s, "unknown", "key", "2")
	send(t, s, "known", "key", "3")
	time.Sleep(time.Hour)
	synctest.Wait()
	require.Equal(t, []string{"3"}, j.all())
	require.Empty(t, dead(t, s, fireforget.Filter{}))

	lacking.Handle("unknown", &k, nil) // also while it runs
	time.Sleep(time.Second)
	require.NoError(t, stop())
	require.ElementsMatch(t, []string{"1", "2"}, k.all())
}

func releasesLanes(t *testing.T) {
	s := &asleep{Store: fireforget.NewMem()}
	r := fireforget.NewRelay(s, nil)
	var j journal
	r.Handle("dest", &j, nil)
	stop := start(t, r)
	for i := range 10 {
		send(t, s, "dest", "key", fmt.Sprint(i))
	}
	synctest.Wait()
	require.Len(t, j.all(), 10)
	s.set(true)
	send(t, s.Store, "dest", "key", "for another")
	require.Len(t, claim(t, s.Store, "dest"), 1, "well before the lease is over")
	s.set(false)
	require.NoError(t, stop())
}

// joins: the first relay has all lanes while there is little to do. When
// there is more than it can do, the second gets its share.
func joins(t *testing.T) {
	s := fireforget.NewMem()
	var js [2]journal
	var stops []func() error
	join := func(i int) {
		r := fireforget.NewRelay(s, nil)
		r.Handle("dest", fireforget.DelivererFunc(func(ctx context.Context, it fireforget.Item) error {
			time.Sleep(50 * time.Millisecond)
			return js[i].Deliver(ctx, it)
		}), &fireforget.RouteOptions{Concurrency: 4}) // 80 a second
		stops = append(stops, start(t, r))
	}
	join(0)
	key := 0
	load := func(perSecond int, d time.Duration) {
		for range int(d/time.Second) * perSecond {
			send(t, s, "dest", fmt.Sprint("key", key%200), "x")
			key++
			time.Sleep(time.Second / time.Duration(perSecond))
		}
	}
	load(70, 5*time.Second)
	join(1)
	load(130, 30*time.Second)
	for i := range js {
		t.Logf("relay %d: %d", i, len(js[i].all()))
	}
	require.Greater(t, len(js[1].all()), 1000, "of some 3900")
	time.Sleep(time.Minute)
	for _, stop := range stops {
		require.NoError(t, stop())
	}
	require.Equal(t, key, len(js[0].all())+len(js[1].all()))
}

// deaf is a store whose wake-ups are lost.
type deaf struct{ fireforget.Store }

func (deaf) Added() <-chan struct{} { return nil }

func polls(t *testing.T) {
	s := deaf{fireforget.NewMem()}
	r := fireforget.NewRelay(s, nil)
	var j journal
	r.Handle("dest", &j, nil)
	stop := start(t, r)
	time.Sleep(time.Minute)
	for range 10 {
		send(t, s, "dest", "", "x")
		began := len(j.all())
		time.Sleep(250 * time.Millisecond)
		synctest.Wait()
		require.Len(t, j.all(), began+1)
	}
	require.NoError(t, stop())
}

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
		time.Sleep(1500 * time.Millisecond)
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
	require.Equal(t, []string{"3"}, j.all())
	require.Empty(t, dead(t, s, fireforget.Filter{}))

	lacking.Handle("unknown", &k, nil) // also while it runs
	time.Sleep(time.Second)
	require.NoError(t, stop())
	require.ElementsMatch(t, []string{"1", "2"}, k.all())
}

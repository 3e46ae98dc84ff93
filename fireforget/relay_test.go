package fireforget_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/fireforget"
	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/retry"
)

// start runs r until the returned function is called, which waits for the
// drain and returns what Run returned.
func start(t *testing.T, r *fireforget.Relay) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	return sync.OnceValue(func() error {
		cancel()
		return <-done
	})
}

// journal records deliveries.
type journal struct {
	mu  sync.Mutex
	got []string
	at  []time.Time
}

func (j *journal) note(s string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.got = append(j.got, s)
	j.at = append(j.at, time.Now())
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.got)
}

func (j *journal) Deliver(_ context.Context, it fireforget.Item) error {
	j.note(string(it.Body))
	return nil
}

func send(t *testing.T, s fireforget.Store, to, key, body string) string {
	t.Helper()
	id, err := fireforget.NewOutbox(s, nil).Send(t.Context(), fireforget.Message{To: to, Key: key, Payload: []byte(body)})
	require.NoError(t, err)
	return id
}

func dead(t *testing.T, s fireforget.Store, f fireforget.Filter) (out []fireforget.DeadLetter) {
	t.Helper()
	for d, err := range fireforget.NewDeadLetters(s).All(t.Context(), f) {
		require.NoError(t, err)
		out = append(out, d)
	}
	return out
}

func TestRelay(t *testing.T) {
	for name, fn := range map[string]func(t *testing.T){
		"delivers at once what is sent":                    deliversAtOnce,
		"forgets the IDs of a busy day":                    forgetsIDs,
		"attempts by the standard schedule, then parks":    attemptsBySchedule,
		"a Retry-After makes a wait longer, never shorter": honoursRetryAfter,
		"silly waits overflow nothing":                     survivesSillyWaits,
		"refused for good is parked at once":               parksPermanent,
		"a panic and a Goexit are failed attempts":         survivesPanics,
		"an error that is a nil pointer is one too":        survivesNilErrors,
		"expiry parks":                                       parksExpired,
		"keeps the order of a key over failures":             keepsOrder,
		"a poison message is parked and its key goes on":     parksMessage,
		"ParkKey parks what is behind, until redriven":       parksKey,
		"Block lets nothing overtake":                        blocks,
		"a slow destination does not starve another":         isolatesDestinations,
		"a slow key does not hold up its lane":               isolatesKeys,
		"messages without a handler are left alone":          leavesOthers,
		"a drain lets attempts finish":                       drains,
		"a drain hands back what does not finish":            handsBack,
		"a relay that died is followed within two leases":    follows,
		"a zombie is fenced":                                 fencesZombies,
		"a store that fails is tried again":                  ridesOutStore,
		"many relays share the work":                         shares,
		"a lane with nothing to do is given back":            releasesLanes,
		"a relay that joins gets its share":                  joins,
		"a wake-up that is lost costs one poll":              polls,
		"a store that is down is not hammered":               backsOff,
		"long attempts do not keep a dead relay's waiting":   rescuesBesideLong,
		"two relays do not both take what a dead one left":   rescuesOnce,
		"the attempt's limit ends it":                        limitsAttempts,
		"one Run at a time":                                  runsOnce,
		"a backlog larger than memory's window is delivered": backlog,
	} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, fn) })
	}
}

func deliversAtOnce(t *testing.T) {
	s := fireforget.NewMem()
	r := fireforget.NewRelay(s, nil)
	var j journal
	r.Handle("dest", &j, nil)
	stop := start(t, r)
	synctest.Wait()
	began := time.Now()
	send(t, s, "dest", "", "free")
	send(t, s, "dest", "key", "keyed")
	synctest.Wait()
	require.ElementsMatch(t, []string{"free", "keyed"}, j.all())
	require.Equal(t, began, time.Now(), "no time passed: nobody polled")
	require.NoError(t, stop())
}

var standard = []time.Duration{
	5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour,
	10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
}

func attemptsBySchedule(t *testing.T) {
	s := fireforget.NewMem()
	r := fireforget.NewRelay(s, &fireforget.RelayOptions{Poll: time.Second})
	var j journal
	r.Handle("dest", fireforget.DelivererFunc(func(_ context.Context, it fireforget.Item) error {
		j.note(fmt.Sprint(it.Attempt))
		return outcome.Error(outcome.Unknown, errors.New("no answer"))
	}), nil)
	stop := start(t, r)
	id := send(t, s, "dest", "", "x")
	time.Sleep(100 * time.Hour)
	require.NoError(t, stop())
	require.Equal(t, []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}, j.all())
	for i, want := range standard {
		wait := j.at[i+1].Sub(j.at[i])
		require.GreaterOrEqual(t, wait, want, "jitter only adds")
		require.LessOrEqual(t, wait, want+want/10+2*time.Second)
	}
	d := dead(t, s, fireforget.Filter{})
	require.Len(t, d, 1)
	require.Equal(t, id, d[0].Item.ID)
	require.Equal(t, "exhausted", d[0].Reason)
	require.Equal(t, 10, d[0].Item.Attempt)
	require.Len(t, d[0].History, 10)
	require.Equal(t, "no answer", d[0].History[9].Error)
	require.Equal(t, outcome.Unknown, d[0].History[9].Known)
	require.WithinDuration(t, j.at[3], d[0].History[3].At, 0)
}

func honoursRetryAfter(t *testing.T) {
	s := fireforget.NewMem()
	r := fireforget.NewRelay(s, nil)
	var j journal
	r.Handle("dest", fireforget.DelivererFunc(func(_ context.Context, it fireforget.Item) error {
		j.note("")
		return retry.After([]time.Duration{time.Hour, time.Second, time.Second}[it.Attempt], errors.New("busy"))
	}), &fireforget.RouteOptions{Schedule: []time.Duration{time.Minute, time.Minute}})
	stop := start(t, r)
	send(t, s, "dest", "", "x")
	time.Sleep(3 * time.Hour)
	require.NoError(t, stop())
	require.Len(t, j.at, 3)
	for i, want := range []time.Duration{time.Hour, time.Minute} {
		wait := j.at[i+1].Sub(j.at[i])
		require.GreaterOrEqual(t, wait, want)
		require.LessOrEqual(t, wait, want+want/10+time.Second)
	}
}

func survivesSillyWaits(t *testing.T) {
	s := fireforget.NewMem()
	r := fireforget.NewRelay(s, nil)
	var j journal
	r.Handle("dest", fireforget.DelivererFunc(func(_ context.Context, it fireforget.Item) error {
		j.note(fmt.Sprint(it.Attempt))
		if it.Attempt == 2 {
			return retry.After(math.MaxInt64, errors.New("no"))
		}
		return errors.New("no")
	}), &fireforget.RouteOptions{Schedule: []time.Duration{-time.Hour, 0, math.MaxInt64, math.MinInt64}})
	stop := start(t, r)
	send(t, s, "dest", "key", "x")
	time.Sleep(time.Hour)
	require.NoError(t, stop())
	require.Equal(t, []string{"0", "1", "2"}, j.all())
	require.Empty(t, dead(t, s, fireforget.Filter{}), "it waits for ten years")
}

func parksPermanent(t *testing.T) {
	s := fireforget.NewMem()
	r := fireforget.NewRelay(s, nil)
	r.Handle("marked", fireforget.DelivererFunc(func(context.Context, fireforget.Item) error {
		return fmt.Errorf("wrapped: %w", retry.Permanent(errors.New("never")))
	}), nil)
	r.Handle("says so", fireforget.DelivererFunc(func(context.Context, fireforget.Item) error {
		return outcome.TransientError(outcome.Refused, false, errors.New("never"))
	}), nil)
	r.Handle("json", fireforget.JSON(func(context.Context, string, struct{ N int }) error { return nil }), nil)
	stop := start(t, r)
	for _, to := range []string{"marked", "says so", "json"} {
		send(t, s, to, "", `{"N": "no number"}`)
	}
	synctest.Wait()
	ds := dead(t, s, fireforget.Filter{})
	require.Len(t, ds, 3)
	for _, d := range ds {
		require.Equal(t, "permanent", d.Reason)
		require.Len(t, d.History, 1)
		require.NotContains(t, d.History[0].Error, "no number", "a payload is never in an error")
	}
	require.NoError(t, stop())
}

func survivesPanics(t *testing.T) {
	s := fireforget.NewMem()
	var o tally
	r := fireforget.NewRelay(s, &fireforget.RelayOptions{Observer: &o})
	var calls atomic.Int32
	r.Handle("panic", fireforget.DelivererFunc(func(context.Context, fireforget.Item) error {
		if calls.Add(1) == 1 {
			panic("boom")
		}
		return nil
	}), &fireforget.RouteOptions{Concurrency: 1})
	var exits atomic.Int32
	r.Handle("goexit", fireforget.DelivererFunc(func(context.Context, fireforget.Item) error {
		if exits.Add(1) == 1 {
			(&testing.T{}).SkipNow() // calls runtime.Goexit
		}
		return nil
	}), &fireforget.RouteOptions{Concurrency: 1})
	stop := start(t, r)
	send(t, s, "panic", "", "1")
	send(t, s, "panic", "", "2")
	send(t, s, "goexit", "k", "1")
	send(t, s, "goexit", "k", "2")
	time.Sleep(time.Minute)
	synctest.Wait()
	require.Equal(t, int32(3), calls.Load())
	require.Equal(t, int32(3), exits.Load())
	require.Empty(t, dead(t, s, fireforget.Filter{}))
	require.NoError(t, stop())
	require.EqualValues(t, 6, o.starts.Load())
	require.EqualValues(t, 6, o.ends.Load(), "each that began has ended")
}

func parksExpired(t *testing.T) {
	s := fireforget.NewMem()
	r := fireforget.NewRelay(s, nil)
	var j journal
	r.Handle("dest", fireforget.DelivererFunc(func(_ context.Context, it fireforget.Item) error {
		j.note(string(it.Body))
		return errors.New("down")
	}), nil)
	box := fireforget.NewOutbox(s, nil)
	for _, m := range []fireforget.Message{
		{To: "dest", Payload: []byte("unseen"), Expires: time.Now().Add(time.Minute)},
		{To: "dest", Payload: []byte("seen"), Expires: time.Now().Add(2 * time.Hour)},
	} {
		_, err := box.Send(t.Context(), m)
		require.NoError(t, err)
	}
	time.Sleep(time.Hour)
	stop := start(t, r)
	time.Sleep(24 * time.Hour)
	require.NoError(t, stop())
	require.NotContains(t, j.all(), "unseen")
	ds := dead(t, s, fireforget.Filter{})
	require.Len(t, ds, 2)
	for _, d := range ds {
		require.Equal(t, "expired", d.Reason)
	}
	require.Empty(t, ds[0].History)
	require.Len(t, ds[1].History, 4, "after 0, 5 s, 5 min and 30 min the next attempt, after 2 h, would be too late")
}

func keepsOrder(t *testing.T) {
	s := fireforget.NewMem()
	r := fireforget.NewRelay(s, nil)
	var mu sync.Mutex
	got := map[string][]string{}
	tries := 0
	r.Handle("dest", fireforget.DelivererFunc(func(_ context.Context, it fireforget.Item) error {
		mu.Lock()
		defer mu.Unlock()
		if tries++; tries%3 == 0 {
			return errors.New("down")
		}
		got[it.Key] = append(got[it.Key], string(it.Body))
		return nil
	}), &fireforget.RouteOptions{Schedule: slices.Repeat([]time.Duration{time.Second}, 1000)})
	stop := start(t, r)
	want := map[string][]string{}
	for i := range 50 {
		for k := range 20 {
			key, body := fmt.Sprint("key", k), fmt.Sprint(i)
			send(t, s, "dest", key, body)
			want[key] = append(want[key], body)
		}
		if i%10 == 0 {
			time.Sleep(time.Second)
		}
	}
	time.Sleep(10 * time.Minute)
	require.NoError(t, stop())
	require.Equal(t, want, got)
}

// poison delivers all but bodies that are "poison".
func poison(j *journal) fireforget.Deliverer {
	return fireforget.DelivererFunc(func(_ context.Context, it fireforget.Item) error {
		if string(it.Body) == "poison" {
			return errors.New("cannot be digested")
		}
		j.note(string(it.Body))
		return nil
	})
}

func parksMessage(t *testing.T) {
	s := fireforget.NewMem()
	r := fireforget.NewRelay(s, nil)
	var j journal
	r.Handle("dest", poison(&j), &fireforget.RouteOptions{Schedule: []time.Duration{time.Minute}})
	stop := start(t, r)
	for _, body := range []string{"1", "poison", "2", "3"} {
		send(t, s, "dest", "key", body)
	}
	send(t, s, "dest", "other", "other")
	synctest.Wait()
	require.ElementsMatch(t, []string{"1", "other"}, j.all(), "the key waits for its head, and no other does")
	time.Sleep(2 * time.Minute)
	require.NoError(t, stop())
	require.Equal(t, []string{"2", "3"}, j.all()[2:])
	require.Len(t, dead(t, s, fireforget.Filter{Key: "key"}), 1)
}

func parksKey(t *testing.T) {
	s := fireforget.NewMem()
	r := fireforget.NewRelay(s, nil)
	var j journal
	var cured atomic.Bool
	inner := poison(&j)
	r.Handle("dest", fireforget.DelivererFunc(func(ctx context.Context, it fireforget.Item) error {
		if cured.Load() {
			return j.Deliver(ctx, it)
		}
		return inner.Deliver(ctx, it)
	}), &fireforget.RouteOptions{Schedule: []time.Duration{}, OnPoison: fireforget.ParkKey})
	stop := start(t, r)
	for _, body := range []string{"1", "poison", "2", "3"} {
		send(t, s, "dest", "key", body)
	}
	synctest.Wait()
	time.Sleep(time.Second)
	send(t, s, "dest", "key", "4")
	time.Sleep(time.Second)
	synctest.Wait()
	require.Equal(t, []string{"1"}, j.all())
	require.Len(t, dead(t, s, fireforget.Filter{}), 4)
	cured.Store(true)
	n, err := fireforget.NewDeadLetters(s).Redrive(t.Context(), fireforget.Filter{Key: "key"})
	require.NoError(t, err)
	require.Equal(t, 4, n)
	time.Sleep(time.Second)
	require.NoError(t, stop())
	require.Equal(t, []string{"1", "poison", "2", "3", "4"}, j.all())
}

func blocks(t *testing.T) {
	s := fireforget.NewMem()
	r := fireforget.NewRelay(s, &fireforget.RelayOptions{Poll: time.Minute})
	var j journal
	var attempts atomic.Int32
	var cured atomic.Bool
	r.Handle("dest", fireforget.DelivererFunc(func(ctx context.Context, it fireforget.Item) error {
		if string(it.Body) == "poison" && !cured.Load() {
			attempts.Add(1)
			return retry.Permanent(errors.New("no"))
		}
		return j.Deliver(ctx, it)
	}), &fireforget.RouteOptions{Schedule: []time.Duration{time.Second, time.Hour}, OnPoison: fireforget.Block})
	stop := start(t, r)
	send(t, s, "dest", "key", "poison")
	send(t, s, "dest", "key", "after")
	send(t, s, "dest", "", "poison")
	time.Sleep(100 * time.Hour)
	synctest.Wait()
	require.Empty(t, j.all())
	require.Greater(t, attempts.Load(), int32(80))
	ds := dead(t, s, fireforget.Filter{})
	require.Len(t, ds, 1, "only what has no key, and so blocks nobody, is parked")
	require.Empty(t, ds[0].Item.Key)
	cured.Store(true)
	time.Sleep(2 * time.Hour)
	require.NoError(t, stop())
	require.Equal(t, []string{"poison", "after"}, j.all())
}

func drains(t *testing.T) {
	s := fireforget.NewMem()
	r := fireforget.NewRelay(s, nil)
	var j journal
	r.Handle("dest", fireforget.DelivererFunc(func(ctx context.Context, it fireforget.Item) error {
		select {
		case <-time.After(5 * time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
		return j.Deliver(ctx, it)
	}), &fireforget.RouteOptions{Concurrency: 2})
	for i := range 10 {
		send(t, s, "dest", "key", fmt.Sprint("keyed", i))
		send(t, s, "dest", "", fmt.Sprint("free", i))
	}
	stop := start(t, r)
	time.Sleep(time.Second)
	began := time.Now()
	require.NoError(t, stop())
	require.Equal(t, 4*time.Second, time.Since(began))
	require.Len(t, j.all(), 2, "what was under way finished, and nothing began")

	// The rest is free at once, and no failure was counted.
	var rest journal
	r = fireforget.NewRelay(s, nil)
	r.Handle("dest", fireforget.DelivererFunc(func(ctx context.Context, it fireforget.Item) error {
		require.Zero(t, it.Attempt)
		return rest.Deliver(ctx, it)
	}), nil)
	stop = start(t, r)
	synctest.Wait()
	require.Len(t, rest.all(), 18)
	require.NoError(t, stop())
}

func handsBack(t *testing.T) {
	s := fireforget.NewMem()
	r := fireforget.NewRelay(s, &fireforget.RelayOptions{Drain: 3 * time.Second})
	r.Handle("dest", fireforget.DelivererFunc(func(ctx context.Context, it fireforget.Item) error {
		<-ctx.Done()
		return ctx.Err()
	}), nil)
	send(t, s, "dest", "key", "keyed")
	send(t, s, "dest", "", "free")
	stop := start(t, r)
	time.Sleep(time.Second)
	began := time.Now()
	require.NoError(t, stop())
	require.Equal(t, 3*time.Second, time.Since(began))

	es, err := s.Claim(t.Context(), fireforget.Claim{Owner: "next", Lease: time.Minute, Wants: []fireforget.Want{{To: "dest", Max: 10}}})
	require.NoError(t, err)
	require.Len(t, es, 2)
	for _, e := range es {
		require.Zero(t, e.Attempt)
	}
}

func shares(t *testing.T) {
	s := fireforget.NewMem()
	var js [3]journal
	var stops []func() error
	for i := range js {
		r := fireforget.NewRelay(s, nil)
		r.Handle("dest", fireforget.DelivererFunc(func(ctx context.Context, it fireforget.Item) error {
			time.Sleep(100 * time.Millisecond)
			return js[i].Deliver(ctx, it)
		}), nil)
		stops = append(stops, start(t, r))
	}
	for i := range 3000 {
		send(t, s, "dest", fmt.Sprint(i%200), "x")
		send(t, s, "dest", "", "x")
	}
	time.Sleep(30 * time.Second)
	for _, stop := range stops {
		require.NoError(t, stop())
	}
	total := 0
	for i := range js {
		n := len(js[i].all())
		t.Logf("relay %d: %d", i, n)
		require.Greater(t, n, 1000)
		total += n
	}
	require.Equal(t, 6000, total)
}

func limitsAttempts(t *testing.T) {
	s := fireforget.NewMem()
	r := fireforget.NewRelay(s, nil)
	r.Handle("dest", fireforget.DelivererFunc(func(ctx context.Context, it fireforget.Item) error {
		<-ctx.Done()
		return ctx.Err()
	}), &fireforget.RouteOptions{Timeout: 2 * time.Second, Schedule: []time.Duration{}})
	stop := start(t, r)
	send(t, s, "dest", "", "x")
	time.Sleep(3 * time.Second)
	ds := dead(t, s, fireforget.Filter{})
	require.Len(t, ds, 1)
	require.Equal(t, 2*time.Second, ds[0].History[0].Took)
	require.NoError(t, stop())
}

func runsOnce(t *testing.T) {
	r := fireforget.NewRelay(fireforget.NewMem(), nil)
	stop := start(t, r)
	synctest.Wait()
	require.ErrorIs(t, r.Run(t.Context()), fireforget.ErrRunning)
	require.NoError(t, stop())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, r.Run(ctx), "it may run again")
}

func backlog(t *testing.T) {
	s := fireforget.NewMem()
	box := fireforget.NewOutbox(s, nil)
	const n = 20_000
	for i := 0; i < n; i += 1000 {
		ms := make([]fireforget.Message, 1000)
		for k := range ms {
			ms[k] = fireforget.Message{To: "dest", Payload: i + k}
			if k%2 == 0 {
				ms[k].Key = fmt.Sprint(k % 100)
			}
		}
		_, err := box.SendAll(t.Context(), ms)
		require.NoError(t, err)
	}
	r := fireforget.NewRelay(s, nil)
	var j journal
	r.Handle("dest", &j, nil)
	stop := start(t, r)
	time.Sleep(time.Minute)
	require.NoError(t, stop())
	got := j.all()
	require.Len(t, got, n)
	slices.Sort(got)
	require.Len(t, slices.Compact(got), n, "each once")
}

// forgetsIDs: more IDs in an hour than one call forgets must not pile up.
func forgetsIDs(t *testing.T) {
	s := fireforget.NewMem()
	var ms []fireforget.Message
	for i := range 25_000 {
		ms = append(ms, fireforget.Message{ID: fmt.Sprint("order-", i), To: "dest"})
	}
	for part := range slices.Chunk(ms, 5_000) {
		_, err := fireforget.NewOutbox(s, nil).SendAll(t.Context(), part)
		require.NoError(t, err)
	}
	r := fireforget.NewRelay(s, &fireforget.RelayOptions{Remember: 90 * time.Minute})
	r.Handle("dest", fireforget.DelivererFunc(func(context.Context, fireforget.Item) error { return nil }), nil)
	stop := start(t, r)
	time.Sleep(160 * time.Minute)
	require.NoError(t, stop())
	n, err := s.Forget(t.Context(), time.Now(), 1_000_000)
	require.NoError(t, err)
	require.Zero(t, n, "are left")
}

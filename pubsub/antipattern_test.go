package pubsub_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/pubsub"
	"github.com/crosstie/crosstie/retry"
)

// Each test runs the documented anti-pattern as it is usually written, shows
// that it fails, and that the same situation does no harm here.

// A shop is a system of record that answers one question and counts the calls.
type shop struct {
	mu    sync.Mutex
	calls int
	free  int
}

func (s *shop) ask() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	return s.free
}

// Polling instead of subscribing: a day of asking every 30 seconds costs 2,880
// calls for a hundred changes, and shows each half a minute late in the worst
// case. A subscription makes no call and is there at once.
func TestAntiPatternPolling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shop{}
		topic := numbers(pubsub.NewMem())
		changed := map[int]time.Time{} // value -> when
		var mu sync.Mutex
		var naiveWorst, oursWorst time.Duration
		seen := func(v int, worst *time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			if at, ok := changed[v]; ok {
				*worst = max(*worst, time.Since(at))
			}
		}
		day, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() { // naive
			last := 0
			for tick := time.Tick(30 * time.Second); ; {
				select {
				case <-day.Done():
					return
				case <-tick:
				}
				if v := s.ask(); v != last {
					seen(v, &naiveWorst)
					last = v
				}
			}
		})
		ours := 0
		sub := pubsub.Subscribe(topic, "g", func(_ context.Context, e pubsub.Event[int]) error {
			ours++
			seen(e.Data, &oursWorst)
			return nil
		}, nil)
		stop := start(t, sub)
		wg.Go(func() {
			for v := 1; v <= 100; v++ {
				time.Sleep(14*time.Minute + 11*time.Second)
				mu.Lock()
				changed[v] = time.Now()
				mu.Unlock()
				s.mu.Lock()
				s.free = v
				s.mu.Unlock()
				publish(t, topic, "lamp", v)
			}
		})
		wg.Wait()
		require.NoError(t, stop())
		require.GreaterOrEqual(t, s.calls, 2879, "calls a day, for 100 changes")
		require.Greater(t, naiveWorst, 25*time.Second)
		require.Equal(t, 100, ours)
		require.Zero(t, oursWorst, "woken, not polled")
	})
}

// Acknowledging before the effect: what was in work when the process died was
// crossed off already.
func TestAntiPatternAckBeforeEffect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// Naive: the offset is stored, then the work begins.
		offset, naive := 0, []int{}
		consume := func(diesAt int) {
			for offset < 10 {
				v := offset + 1
				offset = v // the ack
				if v == diesAt {
					return // the crash
				}
				naive = append(naive, v)
			}
		}
		consume(4)
		consume(0)
		require.NotContains(t, naive, 4, "acknowledged, and lost")

		// Ours: the process dies in the middle of the fourth; nothing of its
		// subscription runs on.
		log := pubsub.NewMem()
		topic := numbers(log)
		publish(t, topic, "a", upTo(10)...)
		var r record
		crash, die := context.WithCancel(t.Context())
		dead := &crashed{Mem: log, dead: crash}
		first := pubsub.Subscribe(topic, "g", func(_ context.Context, e pubsub.Event[int]) error {
			if e.Data == 4 {
				die()
				return errors.New("the process is gone")
			}
			r.add(e)
			return nil
		}, &pubsub.SubscribeOptions{Groups: dead, Drain: -1, Window: 1})
		stop := start(t, first)
		time.Sleep(time.Second)
		second := pubsub.Subscribe(topic, "g", func(_ context.Context, e pubsub.Event[int]) error {
			r.add(e)
			return nil
		}, nil)
		stop2 := start(t, second)
		time.Sleep(time.Minute) // the lease of the first runs out
		require.NoError(t, stop2())
		require.NoError(t, stop())
		require.Equal(t, upTo(10), r.of("a"), "nothing lost")
	})
}

// crashed is a store that a dead process cannot reach any more.
type crashed struct {
	*pubsub.Mem
	dead context.Context
}

func (c *crashed) Save(ctx context.Context, cl pubsub.Claim, d time.Duration) error {
	if c.dead.Err() != nil {
		return errors.New("dead")
	}
	return c.Mem.Save(ctx, cl, d)
}

func (c *crashed) Release(ctx context.Context, cl pubsub.Claim) error {
	if c.dead.Err() != nil {
		return errors.New("dead")
	}
	return c.Mem.Release(ctx, cl)
}

// Reading by "id greater than the last": ids are given when a transaction
// inserts, and seen when it commits. One that commits late is skipped for ever.
func TestAntiPatternIDGreaterThanLast(t *testing.T) {
	// Naive: a table whose ids come from a sequence, two transactions, a
	// reader in between.
	visible := map[int]string{}
	read := func(last *int) (got []string) {
		for id := *last + 1; id <= 2; id++ {
			if v, ok := visible[id]; ok {
				got = append(got, v)
				*last = id
			}
		}
		return got
	}
	last := 0
	const slow, quick = 1, 2 // ids, given at insert
	visible[quick] = "quick" // commits first
	got := read(&last)
	visible[slow] = "slow" // commits
	got = append(got, read(&last)...)
	require.Equal(t, []string{"quick"}, got, "the slow one is skipped for ever")

	// Ours: a position is given at the commit. The kit has many appenders and
	// a reader at their heels; here is the short form.
	topic := numbers(pubsub.NewMem())
	var r []int
	cursor := pubsub.Start{}
	for v := 1; v <= 100; v++ {
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() { publish(t, topic, "", v) })
		}
		for e, err := range topic.Events(t.Context(), cursor) {
			require.NoError(t, err)
			r, cursor = append(r, e.Data), pubsub.Start{After: e.Cursor}
		}
		wg.Wait()
	}
	for e, err := range topic.Events(t.Context(), cursor) {
		require.NoError(t, err)
		r = append(r, e.Data)
	}
	require.Len(t, r, 200, "none skipped")
}

// A poison message at the head of a queue that is read one by one: everything
// behind it waits, whatever its key.
func TestAntiPatternPoisonBlocksAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handle := func(v int) error {
			if v == 3 {
				return errors.New("division by zero")
			}
			return nil
		}
		naive := 0
		hour, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		attempts := 0
		for next := 1; next <= 10 && hour.Err() == nil; {
			if err := handle(next); err != nil {
				attempts++
				time.Sleep(100 * time.Millisecond)
				continue // again, for ever
			}
			naive++
			next++
		}
		require.Equal(t, 2, naive, "nothing behind the third, in an hour")
		require.Greater(t, attempts, 30_000)

		topic := numbers(pubsub.NewMem())
		for v := 1; v <= 10; v++ {
			publish(t, topic, fmt.Sprint("key", v%2), v)
		}
		var r record
		tries := 0
		s := pubsub.Subscribe(topic, "g", func(_ context.Context, e pubsub.Event[int]) error {
			if e.Data == 3 {
				tries++
			}
			if err := handle(e.Data); err != nil {
				return err
			}
			r.add(e)
			return nil
		}, nil)
		stop := start(t, s)
		synctest.Wait()
		require.Equal(t, []int{2, 4, 6, 8, 10}, r.of("key0"), "the other key at once")
		require.Equal(t, []int{1}, r.of("key1"))
		time.Sleep(10 * time.Minute)
		require.NoError(t, stop())
		require.Equal(t, []int{1, 5, 7, 9}, r.of("key1"))
		require.Equal(t, 12, tries)
		require.Len(t, dead(t, s.DeadLetters()), 1, "and it is not lost")
	})
}

// A buffer that drops when it is full: a slow subscriber misses events, and
// nobody learns of it.
func TestAntiPatternDropWhenFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		buffer := make(chan int, 10)
		var naive []int
		read := make(chan struct{})
		go func() {
			defer close(read)
			for v := range buffer {
				time.Sleep(time.Second)
				naive = append(naive, v)
			}
		}()
		for v := 1; v <= 100; v++ {
			select {
			case buffer <- v:
			default: // full: dropped
			}
		}
		close(buffer)
		<-read
		require.Less(t, len(naive), 20)

		topic := numbers(pubsub.NewMem())
		var slow, quick record
		one := pubsub.Subscribe(topic, "slow", func(_ context.Context, e pubsub.Event[int]) error {
			time.Sleep(time.Second)
			slow.add(e)
			return nil
		}, &pubsub.SubscribeOptions{Window: 10})
		two := pubsub.Subscribe(topic, "quick", func(_ context.Context, e pubsub.Event[int]) error {
			quick.add(e)
			return nil
		}, &pubsub.SubscribeOptions{Window: 10})
		stop1, stop2 := start(t, one), start(t, two)
		publish(t, topic, "a", upTo(100)...)
		time.Sleep(20 * time.Second)
		synctest.Wait()
		require.Equal(t, upTo(100), quick.of("a"), "not held up by the slow one")
		lag, err := one.Lag(t.Context())
		require.NoError(t, err)
		require.Greater(t, lag.Events, int64(70), "it is late, and says so")
		require.Greater(t, lag.Age, 19*time.Second)
		time.Sleep(time.Hour)
		require.NoError(t, errors.Join(stop1(), stop2()))
		require.Equal(t, upTo(100), slow.of("a"))
	})
}

// A nack that is sent again at once: a broken dependency is asked hundreds of
// thousands of times in a second.
func TestAntiPatternNackHotLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		naive := 0
		for range 100_000 { // as fast as the machine can
			naive++
		}
		topic := numbers(pubsub.NewMem())
		publish(t, topic, "a", 1)
		ours := 0
		s := pubsub.Subscribe(topic, "g", func(context.Context, pubsub.Event[int]) error {
			ours++
			return errors.New("down")
		}, &pubsub.SubscribeOptions{Retry: retry.Policy{MaxAttempts: 1 << 30}})
		stop := start(t, s)
		time.Sleep(time.Hour)
		require.NoError(t, stop())
		require.Less(t, ours, 300, "an hour of a dependency that is down")
		require.Greater(t, ours, 60)
		require.Less(t, ours, naive)
	})
}

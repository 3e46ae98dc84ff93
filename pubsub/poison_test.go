package pubsub_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/pubsub"
	"github.com/crosstie/crosstie/retry"
)

// A life is one process: it runs the group until an event kills it, or for
// long, and then stops cleanly. It reports whether it was killed.
func life(t *testing.T, mem *pubsub.Mem, o pubsub.SubscribeOptions, kills func(pubsub.Event[int]) bool, r *record) (killed bool) {
	t.Helper()
	p := &process{Mem: mem}
	died := make(chan struct{}, 100)
	o.Drain = -1
	stop := start(t, pubsub.Subscribe(numbers(p), "g", func(ctx context.Context, e pubsub.Event[int]) error {
		if kills(e) {
			p.cut() // nothing that it says from now on is heard
			died <- struct{}{}
		}
		if p.gone() != nil {
			<-ctx.Done()
			return ctx.Err()
		}
		r.add(e)
		return nil
	}, &o))
	select {
	case <-died:
		killed = true
		time.Sleep(2 * 10 * time.Second) // the lease runs out
	case <-time.After(time.Minute):
	}
	require.NoError(t, stop())
	return killed
}

func TestPoison(t *testing.T) {
	for name, first := range map[string]int{"the first event": 1, "one behind others": 7, "the last": 20} {
		bubble(t, name+" kills every process that handles it", func(t *testing.T) {
			mem := pubsub.NewMem()
			for i := 1; i <= 20; i++ {
				publish(t, numbers(mem), fmt.Sprint("key", i%3), i)
			}
			var r record
			lives := 0
			for life(t, mem, pubsub.SubscribeOptions{}, func(e pubsub.Event[int]) bool { return e.Data == first }, &r) {
				if lives++; lives > 10 {
					t.Fatal("it is handled for ever, and nothing behind it is")
				}
			}
			ds := dead(t, pubsub.NewDeadLetters(mem, "numbers", "g"))
			require.Len(t, ds, 1)
			require.Equal(t, fmt.Sprint(first), string(ds[0].Message.Data))
			require.Equal(t, "crashed", ds[0].Reason)
			require.Equal(t, 3, ds[0].Attempts)
			seen := map[int]bool{}
			for k := range 3 {
				for _, v := range r.of(fmt.Sprint("key", k)) {
					seen[v] = true
				}
			}
			require.Len(t, seen, 19, "all others were handled")
			lag, err := pubsub.Subscribe(numbers(mem), "g", collect(&r), nil).Lag(t.Context())
			require.NoError(t, err)
			require.Zero(t, lag)
		})
	}
	bubble(t, "one attempt is one death alone", func(t *testing.T) {
		mem := pubsub.NewMem()
		publish(t, numbers(mem), "k", 1, 2)
		var r record
		lives := 0
		o := pubsub.SubscribeOptions{Retry: retry.Policy{MaxAttempts: 1}}
		for life(t, mem, o, func(e pubsub.Event[int]) bool { return e.Data == 1 }, &r) {
			if lives++; lives > 10 {
				t.Fatal("it is handled for ever")
			}
		}
		require.Equal(t, 3, lives, "two among others and one alone")
		require.Equal(t, []int{2}, r.of("k"))
	})
	bubble(t, "processes that die of something else park nothing", func(t *testing.T) {
		mem := pubsub.NewMem()
		var r record
		for range 20 { // an idle group is not to blame
			life(t, mem, pubsub.SubscribeOptions{}, func(pubsub.Event[int]) bool { return false }, &r)
			p := &process{Mem: mem}
			stop := start(t, pubsub.Subscribe(numbers(p), "g", collect(&r), &pubsub.SubscribeOptions{Drain: -1}))
			time.Sleep(time.Second)
			p.cut()
			time.Sleep(20 * time.Second)
			require.NoError(t, stop())
		}
		publish(t, numbers(mem), "k", 1, 2, 3)
		require.False(t, life(t, mem, pubsub.SubscribeOptions{}, func(pubsub.Event[int]) bool { return false }, &r))
		require.Equal(t, []int{1, 2, 3}, r.of("k"))
		require.Empty(t, dead(t, pubsub.NewDeadLetters(mem, "numbers", "g")))
	})
	bubble(t, "a redriven one is redriven once", func(t *testing.T) {
		mem := pubsub.NewMem()
		publish(t, numbers(mem), "k", 1)
		s := pubsub.Subscribe(numbers(mem), "g", func(context.Context, pubsub.Event[int]) error {
			return retry.Permanent(errors.New("broken"))
		}, nil)
		stop := start(t, s)
		time.Sleep(time.Second)
		require.NoError(t, stop())
		_, err := s.DeadLetters().Redrive(t.Context())
		require.NoError(t, err)
		var r record
		lives := 0
		for life(t, mem, pubsub.SubscribeOptions{}, func(e pubsub.Event[int]) bool { return e.Data == 1 }, &r) {
			// Others come, so that the cursor moves in each life.
			publish(t, numbers(mem), "k", 2+lives)
			if lives++; lives > 10 {
				t.Fatal("it is redriven for ever")
			}
		}
		require.LessOrEqual(t, lives, 2)
		ds := dead(t, s.DeadLetters())
		require.Len(t, ds, 1)
		require.Equal(t, "crashed", ds[0].Reason)
		require.Equal(t, 2, ds[0].Attempts, "one before, and one that is known to have been cut short")
		require.False(t, ds[0].Redriven)
	})
}

// behindWaiting is a group that was stopped while its first event waits for a
// retry; the second was parked, and the third handled.
func behindWaiting(t *testing.T, handled *[]int, fails *bool) (*pubsub.Mem, *pubsub.Subscription) {
	mem := pubsub.NewMem()
	topic := numbers(mem)
	publish(t, topic, "waits", 1)
	publish(t, topic, "other", 2, 3)
	s := pubsub.Subscribe(topic, "g", func(_ context.Context, e pubsub.Event[int]) error {
		if e.Data == 1 && *fails {
			return retry.After(time.Minute, errors.New("busy"))
		}
		*handled = append(*handled, e.Data)
		if e.Data == 2 && *fails {
			return retry.Permanent(errors.New("broken"))
		}
		return nil
	}, &pubsub.SubscribeOptions{InFlight: 1})
	stop := start(t, s)
	time.Sleep(time.Second)
	require.NoError(t, stop())
	require.Equal(t, []int{2, 3}, *handled)
	require.Len(t, dead(t, s.DeadLetters()), 1)
	return mem, s
}

// After a stop behind an event that waits, what came after it is read again.
func TestReadAgain(t *testing.T) {
	bubble(t, "a parked one stays parked until it is redriven", func(t *testing.T) {
		var handled []int
		fails := true
		_, s := behindWaiting(t, &handled, &fails)
		fails = false
		stop := start(t, s)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Len(t, dead(t, s.DeadLetters()), 1)
		require.NotContains(t, handled[2:], 2, "nobody has decided yet")
		require.ElementsMatch(t, []int{1, 3}, handled[2:])
		_, err := s.DeadLetters().Redrive(t.Context())
		require.NoError(t, err)
		time.Sleep(time.Second)
		require.NoError(t, stop())
		require.Equal(t, 2, handled[len(handled)-1])
		require.Empty(t, dead(t, s.DeadLetters()))
	})
	bubble(t, "a discarded one stays discarded", func(t *testing.T) {
		var handled []int
		fails := true
		_, s := behindWaiting(t, &handled, &fails)
		require.NoError(t, s.DeadLetters().Discard(t.Context(), dead(t, s.DeadLetters())[0].Message.ID, "sold out"))
		stop := start(t, s)
		time.Sleep(time.Second)
		require.NoError(t, stop())
		require.NotContains(t, handled[2:], 2)
		require.Empty(t, dead(t, s.DeadLetters()))
	})
	bubble(t, "also when a replay meets it", func(t *testing.T) {
		var handled []int
		fails := true
		_, s := behindWaiting(t, &handled, &fails)
		fails = false
		require.NoError(t, s.Seek(t.Context(), pubsub.Start{}))
		stop := start(t, s)
		time.Sleep(time.Minute)
		require.NoError(t, stop())
		require.ElementsMatch(t, []int{1, 3}, handled[2:])
		require.Len(t, dead(t, s.DeadLetters()), 1)
	})
	bubble(t, "a store that cannot tell is asked again", func(t *testing.T) {
		var handled []int
		fails := true
		mem, s := behindWaiting(t, &handled, &fails)
		fails = false
		until := time.Now().Add(time.Hour)
		var r record
		blind := pubsub.Subscribe(numbers(mem), "g", collect(&r), &pubsub.SubscribeOptions{Groups: &noParkedAt{mem, until}, InFlight: 1})
		stop := start(t, blind)
		time.Sleep(59 * time.Minute)
		synctest.Wait()
		require.Zero(t, r.count(), "nothing on a guess")
		time.Sleep(time.Hour)
		require.NoError(t, stop())
		require.Equal(t, []int{1}, r.of("waits"))
		require.Equal(t, []int{3}, r.of("other"))
		require.Len(t, dead(t, s.DeadLetters()), 1)
	})
}

type noParkedAt struct {
	*pubsub.Mem
	until time.Time
}

func (n *noParkedAt) ParkedAt(ctx context.Context, topic, group string, cs []pubsub.Cursor) ([]pubsub.Cursor, error) {
	if time.Now().Before(n.until) {
		return nil, errors.New("the dead letters cannot be read")
	}
	return n.Mem.ParkedAt(ctx, topic, group, cs)
}

// A trim between the moment a new group finds its place and the moment it has
// one.
func TestTrimmedBeforeItWasMade(t *testing.T) {
	trims := func(t *testing.T) (*trimming, *pubsub.Topic[int]) {
		mem := pubsub.NewMem()
		publish(t, numbers(mem), "k", 1, 2, 3)
		return &trimming{Mem: mem, left: 2}, numbers(mem)
	}
	bubble(t, "Run begins with what is kept", func(t *testing.T) {
		store, _ := trims(t)
		var r record
		stop := start(t, pubsub.Subscribe(numbers(store), "g", collect(&r), nil))
		time.Sleep(time.Second)
		require.NoError(t, stop())
		require.Equal(t, []int{3}, r.of("k"))
	})
	bubble(t, "so does Seek", func(t *testing.T) {
		store, _ := trims(t)
		var r record
		s := pubsub.Subscribe(numbers(store), "g", collect(&r), nil)
		require.NoError(t, s.Seek(t.Context(), pubsub.Start{}))
		stop := start(t, s)
		time.Sleep(time.Second)
		require.NoError(t, stop())
		require.Equal(t, []int{3}, r.of("k"))
	})
	bubble(t, "a start that was asked for and is gone is an error", func(t *testing.T) {
		store, topic := trims(t)
		var first pubsub.Cursor
		for e, err := range topic.Events(t.Context(), pubsub.Start{}) {
			require.NoError(t, err)
			first = e.Cursor
			break
		}
		o := &pubsub.SubscribeOptions{Start: pubsub.Start{After: first}}
		require.ErrorIs(t, pubsub.Subscribe(numbers(store), "g", collect(&record{}), o).Run(t.Context()), pubsub.ErrGone)
		states, err := store.States(t.Context(), "numbers", "g")
		require.NoError(t, err)
		require.Empty(t, states, "and no group is left behind that could never run")
	})
}

// trimming prunes one event after each answer to where a group begins.
type trimming struct {
	*pubsub.Mem
	left int
}

func (s *trimming) Find(ctx context.Context, topic string, from pubsub.Start) (pubsub.Cursor, error) {
	c, err := s.Mem.Find(ctx, topic, from)
	if s.left > 0 {
		s.left--
		n := 2 // for a start after the first, that one and the next
		if from.After == "" {
			n = 1
		}
		_, _ = s.Mem.Trim(ctx, topic, pubsub.Retention{Count: 1}, n)
	}
	return c, err
}

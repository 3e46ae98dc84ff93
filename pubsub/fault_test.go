package pubsub_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/pubsub"
	"github.com/crosstie/crosstie/retry"
)

// A dead letter that cannot be stored holds its key, and is not lost.
func TestParkFails(t *testing.T) {
	bubble(t, "until it can", func(t *testing.T) {
		store := &noPark{Mem: pubsub.NewMem(), until: time.Now().Add(time.Hour)}
		topic := numbers(store)
		publish(t, topic, "bad", 1, 2)
		publish(t, topic, "good", 1, 2)
		var r record
		s := pubsub.Subscribe(topic, "g", func(_ context.Context, e pubsub.Event[int]) error {
			if e.Key == "bad" && e.Data == 1 {
				return retry.Permanent(errors.New("broken"))
			}
			r.add(e)
			return nil
		}, nil)
		stop := start(t, s)
		time.Sleep(time.Minute)
		require.Equal(t, []int{1, 2}, r.of("good"))
		require.Empty(t, r.of("bad"))
		lag, err := s.Lag(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, 4, lag.Events, "the cursor does not pass it")
		time.Sleep(time.Hour)
		require.NoError(t, stop())
		require.Equal(t, []int{2}, r.of("bad"))
		require.Len(t, dead(t, s.DeadLetters()), 1)
	})
}

type noPark struct {
	*pubsub.Mem
	until time.Time
}

func (n *noPark) Park(ctx context.Context, c pubsub.Claim, ds []pubsub.DeadLetter) error {
	if time.Now().Before(n.until) {
		return errors.New("the dead letters' disk is full")
	}
	return n.Mem.Park(ctx, c, ds)
}

// A store that fails before and after its work, at random, costs time and
// repeats, and no event.
func TestFlakyStore(t *testing.T) {
	for seed := range uint64(5) {
		bubble(t, fmt.Sprint("seed", seed), func(t *testing.T) {
			mem := pubsub.NewMem()
			f := &flaky{Mem: mem, rnd: rand.New(rand.NewPCG(seed, 1))}
			topic := numbers(f)
			for i := range 500 {
				publish(t, numbers(mem), fmt.Sprint("key", i%7), 1+i/7)
			}
			var r record
			s := pubsub.Subscribe(topic, "g", func(_ context.Context, e pubsub.Event[int]) error {
				if e.Data%10 == 0 {
					return retry.Permanent(errors.New("no tens"))
				}
				r.add(e)
				return nil
			}, &pubsub.SubscribeOptions{Window: 32, Shards: 2})
			stop := start(t, s)
			time.Sleep(time.Hour)
			f.calm()
			time.Sleep(time.Minute)
			lag, err := s.Lag(t.Context())
			require.NoError(t, err)
			require.Zero(t, lag)
			require.NoError(t, stop())
			parked := map[string]bool{}
			for _, d := range dead(t, s.DeadLetters()) {
				require.False(t, parked[d.Message.ID], "one dead letter for an event")
				parked[d.Message.ID] = true
			}
			tens := 0
			for e, err := range topic.Events(t.Context(), pubsub.Start{}) {
				require.NoError(t, err)
				if e.Data%10 == 0 {
					tens++
					require.True(t, parked[e.ID])
				} else {
					require.Contains(t, r.of(e.Key), e.Data)
				}
			}
			require.Len(t, parked, tens)
			for key, got := range r.got {
				// Repeats begin again somewhere before and go on in order.
				for i := 1; i < len(got); i++ {
					require.LessOrEqual(t, got[i], got[i-1]+2, "%s: %v", key, got)
				}
			}
		})
	}
}

// flaky fails one call in four, half of them after it took effect.
type flaky struct {
	*pubsub.Mem
	mu   sync.Mutex
	rnd  *rand.Rand
	well bool
}

var errFlaky = errors.New("the store is flaky")

func (f *flaky) calm() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.well = true
}

func (f *flaky) around(do func() error) error {
	f.mu.Lock()
	n := f.rnd.IntN(8)
	if f.well {
		n = 9
	}
	f.mu.Unlock()
	if n == 0 {
		return errFlaky
	}
	err := do()
	if n == 1 {
		return errFlaky
	}
	return err
}

func (f *flaky) Read(ctx context.Context, topic string, r pubsub.Read) (b pubsub.Batch, err error) {
	err = f.around(func() error { b, err = f.Mem.Read(ctx, topic, r); return err })
	return b, err
}

func (f *flaky) Find(ctx context.Context, topic string, s pubsub.Start) (c pubsub.Cursor, err error) {
	err = f.around(func() error { c, err = f.Mem.Find(ctx, topic, s); return err })
	return c, err
}

func (f *flaky) Create(ctx context.Context, g pubsub.Group, c pubsub.Cursor) error {
	return f.around(func() error { return f.Mem.Create(ctx, g, c) })
}

func (f *flaky) States(ctx context.Context, topic, group string) (s []pubsub.State, err error) {
	err = f.around(func() error { s, err = f.Mem.States(ctx, topic, group); return err })
	return s, err
}

func (f *flaky) Claim(ctx context.Context, g pubsub.Group, n int, owner string, d time.Duration) (c pubsub.Claim, err error) {
	err = f.around(func() error { c, err = f.Mem.Claim(ctx, g, n, owner, d); return err })
	return c, err
}

func (f *flaky) Save(ctx context.Context, c pubsub.Claim, d time.Duration) error {
	return f.around(func() error { return f.Mem.Save(ctx, c, d) })
}

func (f *flaky) Release(ctx context.Context, c pubsub.Claim) error {
	return f.around(func() error { return f.Mem.Release(ctx, c) })
}

func (f *flaky) Park(ctx context.Context, c pubsub.Claim, ds []pubsub.DeadLetter) error {
	return f.around(func() error { return f.Mem.Park(ctx, c, ds) })
}

func (f *flaky) Parked(ctx context.Context, fl pubsub.Filter, after int64, max int) (ds []pubsub.DeadLetter, err error) {
	err = f.around(func() error { ds, err = f.Mem.Parked(ctx, fl, after, max); return err })
	return ds, err
}

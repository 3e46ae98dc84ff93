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

// A process is a store as one process sees it: it can be cut off, as by a
// kill -9 or a long pause, without a word to anybody.
type process struct {
	*pubsub.Mem
	mu  sync.Mutex
	off bool
}

func (p *process) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.off = true
}

func (p *process) gone() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.off {
		return errors.New("no connection")
	}
	return nil
}

func (p *process) Read(ctx context.Context, topic string, r pubsub.Read) (pubsub.Batch, error) {
	if err := p.gone(); err != nil {
		return pubsub.Batch{}, err
	}
	return p.Mem.Read(ctx, topic, r)
}

func (p *process) Claim(ctx context.Context, g pubsub.Group, n int, owner string, d time.Duration) (pubsub.Claim, error) {
	if err := p.gone(); err != nil {
		return pubsub.Claim{}, err
	}
	return p.Mem.Claim(ctx, g, n, owner, d)
}

func (p *process) Save(ctx context.Context, c pubsub.Claim, d time.Duration) error {
	return errors.Join(p.gone(), p.saved(ctx, c, d))
}

func (p *process) saved(ctx context.Context, c pubsub.Claim, d time.Duration) error {
	if p.gone() != nil {
		return nil
	}
	return p.Mem.Save(ctx, c, d)
}

func (p *process) Release(ctx context.Context, c pubsub.Claim) error {
	if err := p.gone(); err != nil {
		return err
	}
	return p.Mem.Release(ctx, c)
}

func (p *process) Park(ctx context.Context, c pubsub.Claim, ds []pubsub.DeadLetter) error {
	if err := p.gone(); err != nil {
		return err
	}
	return p.Mem.Park(ctx, c, ds)
}

func collect(r *record) func(context.Context, pubsub.Event[int]) error {
	return func(_ context.Context, e pubsub.Event[int]) error {
		r.add(e)
		return nil
	}
}

func TestSharing(t *testing.T) {
	bubble(t, "one works, the other stands by and takes over after a clean stop", func(t *testing.T) {
		topic := numbers(pubsub.NewMem())
		var a, b record
		stopA := start(t, pubsub.Subscribe(topic, "g", collect(&a), nil))
		synctest.Wait()
		stopB := start(t, pubsub.Subscribe(topic, "g", collect(&b), nil))
		publish(t, topic, "k", 1, 2)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, []int{1, 2}, a.of("k"))
		require.NoError(t, stopA())
		publish(t, topic, "k", 3)
		time.Sleep(1100 * time.Millisecond)
		synctest.Wait()
		require.Equal(t, []int{3}, b.of("k"))
		require.NoError(t, stopB())
	})
	bubble(t, "after a kill within two leases, at most a window twice", func(t *testing.T) {
		mem := pubsub.NewMem()
		dying := &process{Mem: mem}
		for i := 1; i <= 1000; i++ {
			publish(t, numbers(mem), fmt.Sprint("key", i%10), i)
		}
		var a, b record
		o := &pubsub.SubscribeOptions{Window: 50}
		stopA := start(t, pubsub.Subscribe(numbers(dying), "g", func(ctx context.Context, e pubsub.Event[int]) error {
			time.Sleep(50 * time.Millisecond)
			a.add(e)
			return nil
		}, &pubsub.SubscribeOptions{Window: 50, Drain: -1}))
		time.Sleep(1234 * time.Millisecond)
		dying.cut()
		killed := time.Now()
		before := a.count()
		var first time.Duration
		stopB := start(t, pubsub.Subscribe(numbers(mem), "g", func(_ context.Context, e pubsub.Event[int]) error {
			if b.count() == 0 {
				first = time.Since(killed)
			}
			b.add(e)
			return nil
		}, o))
		time.Sleep(time.Minute)
		require.NoError(t, stopB())
		require.NoError(t, stopA())
		require.NotZero(t, before)
		require.LessOrEqual(t, first, 20*time.Second)
		require.Greater(t, first, 5*time.Second, "not while the lease lasts")
		require.LessOrEqual(t, a.count()+b.count()-1000, 50, "no more than a window twice")
		for k := range 10 {
			key := fmt.Sprint("key", k)
			seen := map[int]bool{}
			for _, r := range []*record{&a, &b} {
				last := 0
				for _, v := range r.of(key) {
					require.Greater(t, v, last, "in order")
					last, seen[v] = v, true
				}
			}
			require.Len(t, seen, 100, "none lost")
		}
	})
	bubble(t, "a holder that was away ends its handlers and cannot move the cursor", func(t *testing.T) {
		mem := pubsub.NewMem()
		away := &process{Mem: mem}
		publish(t, numbers(mem), "k", 1)
		ended := make(chan error, 1)
		stopA := start(t, pubsub.Subscribe(numbers(away), "g", func(ctx context.Context, e pubsub.Event[int]) error {
			<-ctx.Done()
			ended <- context.Cause(ctx)
			return nil // "done", but it has no say any more
		}, &pubsub.SubscribeOptions{Timeout: -1}))
		time.Sleep(time.Second)
		away.cut()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.Error(t, <-ended, "its context ended when the lease did")
		var b record
		stopB := start(t, pubsub.Subscribe(numbers(mem), "g", collect(&b), nil))
		time.Sleep(30 * time.Second)
		synctest.Wait()
		require.Equal(t, []int{1}, b.of("k"))
		require.NoError(t, errors.Join(stopA(), stopB()))
	})
	bubble(t, "shards are shared, keys keep their order", func(t *testing.T) {
		topic := numbers(pubsub.NewMem())
		var rs [2]record
		var stops []func() error
		for i := range rs {
			stops = append(stops, start(t, pubsub.Subscribe(topic, "g", collect(&rs[i]), &pubsub.SubscribeOptions{Shards: 8, MaxShards: 4})))
		}
		for i := 1; i <= 1000; i++ {
			for k := range 20 {
				publish(t, topic, fmt.Sprint("key", k), i)
			}
		}
		time.Sleep(time.Minute)
		require.NoError(t, errors.Join(stops[0](), stops[1]()))
		require.NotZero(t, rs[0].count())
		require.NotZero(t, rs[1].count())
		require.Equal(t, 20_000, rs[0].count()+rs[1].count())
		for k := range 20 {
			key := fmt.Sprint("key", k)
			require.Equal(t, upTo(1000), append(rs[0].of(key), rs[1].of(key)...), "one of them has it whole")
		}
	})
	bubble(t, "another number of shards is refused until the group is moved", func(t *testing.T) {
		topic := numbers(pubsub.NewMem())
		var r record
		stop := start(t, pubsub.Subscribe(topic, "g", collect(&r), &pubsub.SubscribeOptions{Shards: 2}))
		publish(t, topic, "k", 1)
		time.Sleep(time.Second)
		other := pubsub.Subscribe(topic, "g", collect(&r), &pubsub.SubscribeOptions{Shards: 3})
		require.ErrorIs(t, other.Run(t.Context()), pubsub.ErrShards)
		require.ErrorIs(t, other.Seek(t.Context(), pubsub.Start{}), pubsub.ErrHeld)
		require.ErrorIs(t, other.Drop(t.Context()), pubsub.ErrHeld)
		require.NoError(t, stop())
		require.NoError(t, other.Seek(t.Context(), pubsub.Start{Latest: true}))
		stop = start(t, other)
		publish(t, topic, "k", 2)
		time.Sleep(time.Second)
		require.NoError(t, stop())
		require.Equal(t, []int{1, 2}, r.of("k"))
		states, err := topic.Groups(t.Context())
		require.NoError(t, err)
		require.Len(t, states, 3)
		require.NoError(t, other.Drop(t.Context()))
		states, err = topic.Groups(t.Context())
		require.NoError(t, err)
		require.Empty(t, states)
	})
	bubble(t, "Run twice at once", func(t *testing.T) {
		s := pubsub.Subscribe(numbers(pubsub.NewMem()), "g", collect(&record{}), nil)
		stop := start(t, s)
		synctest.Wait()
		require.ErrorIs(t, s.Run(t.Context()), pubsub.ErrRunning)
		require.NoError(t, stop())
	})
}

// A lease lasts as long as its holder works, however long a handler takes.
func TestLongHandler(t *testing.T) {
	bubble(t, "is not handled by another meanwhile", func(t *testing.T) {
		topic := numbers(pubsub.NewMem())
		publish(t, topic, "k", 1)
		n := 0
		handler := func(context.Context, pubsub.Event[int]) error {
			n++
			time.Sleep(10 * time.Minute)
			return nil
		}
		stopA := start(t, pubsub.Subscribe(topic, "g", handler, &pubsub.SubscribeOptions{Timeout: -1}))
		stopB := start(t, pubsub.Subscribe(topic, "g", handler, &pubsub.SubscribeOptions{Timeout: -1}))
		time.Sleep(time.Hour)
		require.NoError(t, errors.Join(stopA(), stopB()))
		require.Equal(t, 1, n)
	})
}

func TestDrain(t *testing.T) {
	bubble(t, "handlers finish, and what they did is not done again", func(t *testing.T) {
		topic := numbers(pubsub.NewMem())
		publish(t, topic, "a", 1, 2)
		var r record
		s := pubsub.Subscribe(topic, "g", func(ctx context.Context, e pubsub.Event[int]) error {
			time.Sleep(5 * time.Second)
			r.add(e)
			return ctx.Err()
		}, nil)
		stop := start(t, s)
		time.Sleep(time.Second)
		require.NoError(t, stop())
		require.Equal(t, []int{1}, r.of("a"), "the one under way, and no other")
		stop = start(t, s)
		time.Sleep(time.Minute)
		require.NoError(t, stop())
		require.Equal(t, []int{1, 2}, r.of("a"))
	})
	bubble(t, "a drain that takes too long ends the context, and the event stays", func(t *testing.T) {
		topic := numbers(pubsub.NewMem())
		publish(t, topic, "a", 1)
		n := 0
		s := pubsub.Subscribe(topic, "g", func(ctx context.Context, e pubsub.Event[int]) error {
			if n++; n > 1 {
				return nil
			}
			<-ctx.Done()
			return retry.Permanent(ctx.Err())
		}, &pubsub.SubscribeOptions{Drain: 3 * time.Second})
		stop := start(t, s)
		time.Sleep(time.Second)
		begin := time.Now()
		require.NoError(t, stop())
		require.Equal(t, 3*time.Second, time.Since(begin))
		require.Empty(t, dead(t, s.DeadLetters()), "we ended it: that says nothing of the event")
		stop = start(t, s)
		time.Sleep(time.Second)
		require.NoError(t, stop())
		require.Equal(t, 2, n)
	})
}

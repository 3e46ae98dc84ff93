package pubsub_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/inbox"
	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/pubsub"
	"github.com/crosstie/crosstie/retry"
)

func numbers(log pubsub.Log) *pubsub.Topic[int] { return pubsub.NewTopic[int](log, "numbers", nil) }

func TestDelivery(t *testing.T) {
	bubble(t, "every group gets every event, in order", func(t *testing.T) {
		topic := numbers(pubsub.NewMem())
		publish(t, topic, "a", 1, 2)
		var rs [3]record
		for i := range rs {
			defer func() { synctest.Wait() }()
			s := pubsub.Subscribe(topic, fmt.Sprint("group", i), func(_ context.Context, e pubsub.Event[int]) error {
				rs[i].add(e)
				return nil
			}, nil)
			defer start(t, s)()
		}
		synctest.Wait()
		publish(t, topic, "a", 3, 4)
		publish(t, topic, "b", 1)
		synctest.Wait() // no time passes: they are woken
		for i := range rs {
			require.Equal(t, upTo(4), rs[i].of("a"))
			require.Equal(t, upTo(1), rs[i].of("b"))
		}
	})
	bubble(t, "a group goes on where it was", func(t *testing.T) {
		topic := numbers(pubsub.NewMem())
		var r record
		for i := range 5 {
			s := pubsub.Subscribe(topic, "g", func(_ context.Context, e pubsub.Event[int]) error {
				r.add(e)
				return nil
			}, nil)
			stop := start(t, s)
			publish(t, topic, "a", 2*i+1, 2*i+2)
			synctest.Wait()
			require.NoError(t, stop())
		}
		require.Equal(t, upTo(10), r.of("a"), "nothing twice after a clean stop, nothing missing")
	})
	bubble(t, "what an event is when it is read", func(t *testing.T) {
		topic := pubsub.NewTopic[string](pubsub.NewMem(), "t", &pubsub.TopicOptions{Source: "/shop", Type: "said", Schema: "urn:said:1"})
		at := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
		es := []pubsub.Event[string]{{ID: "mine", Key: "k", Subject: "s", Time: at, Header: map[string]string{"traceparent": "00"}, Data: "hello"}, {Data: "second"}}
		n, err := topic.PublishAll(t.Context(), es)
		require.NoError(t, err)
		require.Equal(t, 2, n)
		require.NotEmpty(t, es[1].ID)
		require.False(t, es[1].Time.IsZero())
		var got []pubsub.Event[string]
		s := pubsub.Subscribe(topic, "g", func(_ context.Context, e pubsub.Event[string]) error {
			got = append(got, e)
			return nil
		}, &pubsub.SubscribeOptions{InFlight: 1})
		stop := start(t, s)
		synctest.Wait()
		require.NoError(t, stop())
		require.Len(t, got, 2)
		want := es[0]
		want.Type, want.Schema, want.Attempt, want.Cursor = "said", "urn:said:1", 1, got[0].Cursor
		require.Equal(t, want, got[0])
		require.NotEmpty(t, got[0].Cursor)
	})
	bubble(t, "a handler may publish to its own topic", func(t *testing.T) {
		topic := numbers(pubsub.NewMem())
		var r record
		s := pubsub.Subscribe(topic, "g", func(ctx context.Context, e pubsub.Event[int]) error {
			r.add(e)
			if e.Data < 20 {
				_, err := topic.Publish(ctx, e.Key, e.Data+1)
				return err
			}
			return nil
		}, &pubsub.SubscribeOptions{InFlight: 1, Window: 1})
		stop := start(t, s)
		publish(t, topic, "a", 1)
		time.Sleep(time.Minute)
		require.NoError(t, stop())
		require.Equal(t, upTo(20), r.of("a"))
	})
	bubble(t, "in-flight and window are bounded", func(t *testing.T) {
		topic := numbers(pubsub.NewMem())
		for i := range 100 {
			publish(t, topic, fmt.Sprint(i), i)
		}
		var r record
		s := pubsub.Subscribe(topic, "g", func(ctx context.Context, e pubsub.Event[int]) error {
			r.mu.Lock()
			r.now++
			r.most = max(r.most, r.now)
			r.mu.Unlock()
			r.add(e)
			if e.Data == 0 {
				<-ctx.Done()
			} else {
				time.Sleep(time.Second)
			}
			r.mu.Lock()
			r.now--
			r.mu.Unlock()
			return ctx.Err()
		}, &pubsub.SubscribeOptions{InFlight: 4, Window: 10, Timeout: -1, Drain: -1})
		stop := start(t, s)
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Equal(t, 4, r.most)
		require.Equal(t, 10, r.count(), "the first holds the cursor, so nine more are read and no tenth")
		require.NoError(t, stop())
	})
	bubble(t, "no room is lost while a save is slow", func(t *testing.T) {
		topic := numbers(slow{pubsub.NewMem()})
		for i := range 2000 {
			publish(t, topic, fmt.Sprint(i%50), i)
		}
		var r record
		s := pubsub.Subscribe(topic, "g", func(_ context.Context, e pubsub.Event[int]) error {
			time.Sleep(rand.N(10 * time.Millisecond))
			r.add(e)
			return nil
		}, &pubsub.SubscribeOptions{Window: 20})
		stop := start(t, s)
		time.Sleep(time.Hour)
		require.NoError(t, stop())
		require.Equal(t, 2000, r.count())
	})
	bubble(t, "events without a key do not wait for each other", func(t *testing.T) {
		topic := numbers(pubsub.NewMem())
		publish(t, topic, "", 1, 2, 3)
		var r record
		s := pubsub.Subscribe(topic, "g", func(_ context.Context, e pubsub.Event[int]) error {
			if e.Data == 1 && e.Attempt < 3 {
				return errors.New("not yet")
			}
			r.add(e)
			return nil
		}, nil)
		stop := start(t, s)
		synctest.Wait()
		require.ElementsMatch(t, []int{2, 3}, r.of(""))
		time.Sleep(time.Minute)
		require.NoError(t, stop())
		require.ElementsMatch(t, []int{1, 2, 3}, r.of(""))
	})
	bubble(t, "types and filters pass events over", func(t *testing.T) {
		log := pubsub.NewMem()
		red := pubsub.NewTopic[int](log, "t", &pubsub.TopicOptions{Type: "red"})
		blue := pubsub.NewTopic[int](log, "t", &pubsub.TopicOptions{Type: "blue"})
		publish(t, red, "a", 1, 2, 3)
		publish(t, blue, "a", 4)
		var r record
		s := pubsub.Subscribe(red, "g", func(_ context.Context, e pubsub.Event[int]) error {
			r.add(e)
			return nil
		}, &pubsub.SubscribeOptions{Types: []string{"red"}, Filter: func(m pubsub.Message) bool { return string(m.Data) != "2" }})
		stop := start(t, s)
		time.Sleep(time.Second)
		lag, err := s.Lag(t.Context())
		require.NoError(t, err)
		require.Zero(t, lag)
		require.NoError(t, stop())
		require.Equal(t, []int{1, 3}, r.of("a"))
		require.Empty(t, dead(t, s.DeadLetters()))
	})
}

// A nack keeps the order of its key and holds up no other.
func TestOrderAcrossRetry(t *testing.T) {
	bubble(t, "one key waits, others go on", func(t *testing.T) {
		topic := numbers(pubsub.NewMem())
		for i := 1; i <= 5; i++ {
			publish(t, topic, "bad", i)
			publish(t, topic, "good", i)
		}
		mended := time.Now().Add(20 * time.Second)
		var r record
		s := pubsub.Subscribe(topic, "g", func(_ context.Context, e pubsub.Event[int]) error {
			if e.Key == "bad" && e.Data == 2 && time.Now().Before(mended) {
				return errors.New("down")
			}
			r.add(e)
			return nil
		}, nil)
		stop := start(t, s)
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, upTo(5), r.of("good"))
		require.Equal(t, upTo(1), r.of("bad"))
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		require.Equal(t, upTo(5), r.of("bad"))
		require.NoError(t, stop())
	})
	bubble(t, "at random", func(t *testing.T) {
		topic := numbers(pubsub.NewMem())
		next := map[string]int{}
		var r record
		s := pubsub.Subscribe(topic, "g", func(_ context.Context, e pubsub.Event[int]) error {
			time.Sleep(rand.N(50 * time.Millisecond))
			switch rand.IntN(5) {
			case 0:
				return errors.New("bad luck")
			case 1:
				panic("worse luck")
			}
			r.add(e)
			return nil
		}, &pubsub.SubscribeOptions{Window: 64, Retry: retry.Policy{MaxAttempts: 1000, Max: time.Second}})
		stop := start(t, s)
		for range 2000 {
			key := fmt.Sprint("key", rand.IntN(20))
			next[key]++
			publish(t, topic, key, next[key])
		}
		time.Sleep(time.Hour)
		require.NoError(t, stop())
		for key, n := range next {
			require.Equal(t, upTo(n), r.of(key), key)
		}
	})
}

// broken is an inbox whose disk fails a few times, as it says for good.
type broken struct {
	inbox.Store
	left int
}

func (b *broken) Do(ctx context.Context, box, id string, at time.Time, fn func(context.Context, *sql.Tx) error) (bool, error) {
	if b.left > 0 {
		b.left--
		return false, outcome.TransientError(outcome.Refused, false, errors.New("the disk failed"))
	}
	return b.Store.Do(ctx, box, id, at, fn)
}

// slow is a store that takes its time to save.
type slow struct{ *pubsub.Mem }

func (s slow) Save(ctx context.Context, c pubsub.Claim, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(30 * time.Millisecond):
		return s.Mem.Save(ctx, c, d)
	}
}

func TestSubscribeTx(t *testing.T) {
	bubble(t, "an event that comes again has no second effect", func(t *testing.T) {
		topic := numbers(pubsub.NewMem())
		in := inbox.New("box", inbox.NewMem(), nil)
		publish(t, topic, "a", 1, 2, 3)
		var rs [2]record
		for i := range rs {
			s := pubsub.SubscribeTx(topic, fmt.Sprint("g", i), in, func(_ context.Context, _ *sql.Tx, e pubsub.Event[int]) error {
				rs[i].add(e)
				return nil
			}, nil)
			for range 2 {
				stop := start(t, s)
				time.Sleep(time.Second)
				require.NoError(t, stop())
				require.NoError(t, s.Seek(t.Context(), pubsub.Start{}))
			}
			require.Equal(t, upTo(3), rs[i].of("a"), "groups may share an inbox")
		}
	})
	bubble(t, "a store that fails is no fault of the event", func(t *testing.T) {
		topic := numbers(pubsub.NewMem())
		publish(t, topic, "a", 1)
		store := &broken{Store: inbox.NewMem(), left: 3}
		var r record
		s := pubsub.SubscribeTx(topic, "g", inbox.New("box", store, nil), func(_ context.Context, _ *sql.Tx, e pubsub.Event[int]) error {
			r.add(e)
			return nil
		}, nil)
		stop := start(t, s)
		time.Sleep(time.Minute)
		require.NoError(t, stop())
		require.Equal(t, []int{1}, r.of("a"))
		require.Zero(t, store.left)
		require.Empty(t, dead(t, s.DeadLetters()))
	})
	bubble(t, "an event that tells of long ago is not old", func(t *testing.T) {
		topic := numbers(pubsub.NewMem())
		_, err := topic.PublishAll(t.Context(), []pubsub.Event[int]{{ID: "mine", Key: "a", Data: 1, Time: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)}})
		require.NoError(t, err)
		var r record
		s := pubsub.SubscribeTx(topic, "g", inbox.New("box", inbox.NewMem(), nil), func(_ context.Context, _ *sql.Tx, e pubsub.Event[int]) error {
			r.add(e)
			return nil
		}, nil)
		stop := start(t, s)
		time.Sleep(time.Second)
		require.NoError(t, stop())
		require.Equal(t, []int{1}, r.of("a"))
	})
	bubble(t, "what is older than the window is parked", func(t *testing.T) {
		topic := numbers(pubsub.NewMem())
		in := inbox.New("box", inbox.NewMem(), nil)
		publish(t, topic, "a", 1)
		time.Sleep(9 * 24 * time.Hour)
		publish(t, topic, "a", 2)
		var r record
		s := pubsub.SubscribeTx(topic, "g", in, func(_ context.Context, _ *sql.Tx, e pubsub.Event[int]) error {
			r.add(e)
			return nil
		}, nil)
		stop := start(t, s)
		time.Sleep(time.Second)
		require.NoError(t, stop())
		require.Equal(t, []int{2}, r.of("a"))
		ds := dead(t, s.DeadLetters())
		require.Len(t, ds, 1)
		require.Equal(t, "permanent", ds[0].Reason)
		require.Contains(t, ds[0].Error, "older than the inbox remembers")
	})
}

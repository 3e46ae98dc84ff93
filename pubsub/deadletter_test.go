package pubsub_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/pubsub"
	"github.com/crosstie/crosstie/retry"
)

func TestDeadLetters(t *testing.T) {
	bubble(t, "attempts end, the key goes on, the text says why", func(t *testing.T) {
		topic := numbers(pubsub.NewMem())
		ids := publish(t, topic, "a", 1, 2)
		var r record
		attempts := 0
		s := pubsub.Subscribe(topic, "g", func(_ context.Context, e pubsub.Event[int]) error {
			if e.Data == 1 {
				attempts++
				require.Equal(t, attempts, e.Attempt)
				return errors.New("the shelf is full")
			}
			r.add(e)
			return nil
		}, &pubsub.SubscribeOptions{Retry: retry.Policy{MaxAttempts: 3}})
		stop := start(t, s)
		time.Sleep(time.Minute)
		require.NoError(t, stop())
		require.Equal(t, 3, attempts)
		require.Equal(t, []int{2}, r.of("a"))
		ds := dead(t, s.DeadLetters())
		require.Len(t, ds, 1)
		require.Equal(t, ids[0], ds[0].Message.ID)
		require.Equal(t, "1", string(ds[0].Message.Data))
		require.Equal(t, "exhausted", ds[0].Reason)
		require.Equal(t, "the shelf is full", ds[0].Error)
		require.Equal(t, 3, ds[0].Attempts)
	})
	for name, c := range map[string]struct {
		err    error
		reason string
	}{
		"permanent":   {retry.Permanent(errors.New("x")), "permanent"},
		"not passing": {fmt.Errorf("x: %w", lasting{}), "permanent"},
		"later":       {retry.After(time.Hour, errors.New("x")), "later"},
	} {
		bubble(t, name, func(t *testing.T) {
			topic := numbers(pubsub.NewMem())
			publish(t, topic, "a", 1)
			n := 0
			s := pubsub.Subscribe(topic, "g", func(context.Context, pubsub.Event[int]) error {
				n++
				return c.err
			}, nil)
			stop := start(t, s)
			time.Sleep(time.Minute)
			require.NoError(t, stop())
			require.Equal(t, 1, n)
			require.Equal(t, c.reason, dead(t, s.DeadLetters())[0].Reason)
		})
	}
	bubble(t, "retry.After is obeyed", func(t *testing.T) {
		topic := numbers(pubsub.NewMem())
		publish(t, topic, "a", 1)
		var at []time.Time
		s := pubsub.Subscribe(topic, "g", func(_ context.Context, e pubsub.Event[int]) error {
			at = append(at, time.Now())
			if e.Attempt == 1 {
				return retry.After(time.Minute, errors.New("busy"))
			}
			return nil
		}, nil)
		stop := start(t, s)
		time.Sleep(2 * time.Minute)
		require.NoError(t, stop())
		require.Len(t, at, 2)
		require.GreaterOrEqual(t, at[1].Sub(at[0]), time.Minute)
	})
	bubble(t, "redriven ones are handled, behind what is under way", func(t *testing.T) {
		store := pubsub.NewMem()
		topic := numbers(store)
		publish(t, topic, "a", 1, 2)
		mended := false
		var r record
		s := pubsub.Subscribe(topic, "g", func(_ context.Context, e pubsub.Event[int]) error {
			if e.Data == 1 && !mended {
				return retry.Permanent(errors.New("broken"))
			}
			r.add(e)
			return nil
		}, nil)
		stop := start(t, s)
		time.Sleep(time.Second)
		n, err := s.DeadLetters().Redrive(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, n)
		time.Sleep(time.Second)
		ds := dead(t, s.DeadLetters())
		require.Len(t, ds, 1, "parked anew")
		require.Equal(t, 2, ds[0].Attempts)
		require.False(t, ds[0].Redriven)
		mended = true
		n, err = pubsub.NewDeadLetters(store, "numbers", "g").Redrive(t.Context(), ds[0].Message.ID)
		require.NoError(t, err)
		require.Equal(t, 1, n)
		time.Sleep(time.Second)
		require.Empty(t, dead(t, s.DeadLetters()))
		require.Equal(t, []int{2, 1}, r.of("a"))
		require.NoError(t, stop())
	})
	bubble(t, "redriven while nobody runs", func(t *testing.T) {
		topic := numbers(pubsub.NewMem())
		for i := range 300 { // more than are taken up at once
			publish(t, topic, fmt.Sprint(i%7), i)
		}
		var r record
		mended := false
		s := pubsub.Subscribe(topic, "g", func(_ context.Context, e pubsub.Event[int]) error {
			if !mended {
				return retry.Permanent(errors.New("broken"))
			}
			r.add(e)
			return nil
		}, nil)
		stop := start(t, s)
		time.Sleep(time.Minute)
		require.NoError(t, stop())
		mended = true
		n, err := s.DeadLetters().Redrive(t.Context())
		require.NoError(t, err)
		require.Equal(t, 300, n)
		stop = start(t, s)
		time.Sleep(time.Minute)
		require.NoError(t, stop())
		require.Equal(t, 300, r.count())
		require.Empty(t, dead(t, s.DeadLetters()))
	})
	bubble(t, "a redriven one that takes long is handled once", func(t *testing.T) {
		topic := numbers(pubsub.NewMem())
		publish(t, topic, "a", 1)
		n := 0
		s := pubsub.Subscribe(topic, "g", func(context.Context, pubsub.Event[int]) error {
			if n++; n == 1 {
				return retry.Permanent(errors.New("broken"))
			}
			time.Sleep(30 * time.Second)
			return nil
		}, nil)
		stop := start(t, s)
		time.Sleep(time.Second)
		_, err := s.DeadLetters().Redrive(t.Context())
		require.NoError(t, err)
		time.Sleep(5 * time.Minute)
		require.NoError(t, stop())
		require.Equal(t, 2, n)
	})
	bubble(t, "discarded for a reason", func(t *testing.T) {
		topic := numbers(pubsub.NewMem())
		id := publish(t, topic, "a", 1)[0]
		s := pubsub.Subscribe(topic, "g", func(context.Context, pubsub.Event[int]) error {
			return retry.Permanent(errors.New("broken"))
		}, nil)
		stop := start(t, s)
		time.Sleep(time.Second)
		require.NoError(t, stop())
		d := s.DeadLetters()
		require.ErrorIs(t, d.Discard(t.Context(), id, ""), pubsub.ErrInvalid)
		require.NoError(t, d.Discard(t.Context(), id, "sold out"))
		require.NoError(t, d.Discard(t.Context(), "unknown", "sold out"))
		require.Empty(t, dead(t, d))
		n := 0
		for l, err := range d.Discarded(t.Context()) {
			require.NoError(t, err)
			require.Equal(t, "sold out", l.Discarded)
			n++
		}
		require.Equal(t, 1, n)
		_, err := d.Redrive(t.Context(), "")
		require.ErrorIs(t, err, pubsub.ErrInvalid)
		require.ErrorIs(t, d.Discard(t.Context(), "", "which?"), pubsub.ErrInvalid)
	})
	bubble(t, "a handler that panics or leaves is a failed attempt", func(t *testing.T) {
		topic := numbers(pubsub.NewMem())
		publish(t, topic, "a", 1, 2, 3)
		var r record
		s := pubsub.Subscribe(topic, "g", func(_ context.Context, e pubsub.Event[int]) error {
			switch e.Data {
			case 1:
				panic("oops")
			case 2:
				runtime.Goexit()
			}
			r.add(e)
			return nil
		}, &pubsub.SubscribeOptions{Retry: retry.Policy{MaxAttempts: 2}, InFlight: 1})
		stop := start(t, s)
		time.Sleep(time.Minute)
		require.NoError(t, stop())
		require.Equal(t, []int{3}, r.of("a"))
		ds := dead(t, s.DeadLetters())
		require.Len(t, ds, 2)
		require.Equal(t, "the handler panicked: oops", ds[0].Error)
		require.Equal(t, "the handler ended its goroutine", ds[1].Error)
	})
}

type lasting struct{}

func (lasting) Error() string   { return "for good" }
func (lasting) Transient() bool { return false }

// A nilError is what many return by mistake: an error that is a nil pointer.
type nilError struct{ text string }

func (e *nilError) Error() string { return e.text }

func TestNilError(t *testing.T) {
	bubble(t, "an error that cannot be read is parked like any other", func(t *testing.T) {
		topic := numbers(pubsub.NewMem())
		publish(t, topic, "a", 1)
		s := pubsub.Subscribe(topic, "g", func(context.Context, pubsub.Event[int]) error {
			var e *nilError
			return e
		}, &pubsub.SubscribeOptions{Retry: retry.Policy{MaxAttempts: 2}})
		stop := start(t, s)
		time.Sleep(time.Minute)
		require.NoError(t, stop())
		ds := dead(t, s.DeadLetters())
		require.Len(t, ds, 1)
		require.Equal(t, "exhausted", ds[0].Reason)
		require.Contains(t, ds[0].Error, "nil")
	})
}

// What was parked when other types were asked for is not decoded as what it is
// not.
func TestRedriveOfAnotherType(t *testing.T) {
	bubble(t, "is parked anew", func(t *testing.T) {
		log := pubsub.NewMem()
		other := pubsub.NewTopic[int](log, "numbers", &pubsub.TopicOptions{Type: "other"})
		publish(t, other, "a", 1)
		topic := numbers(log)
		stop := start(t, pubsub.Subscribe(topic, "g", collect(&record{}), nil))
		time.Sleep(time.Second)
		require.NoError(t, stop())
		var r record
		s := pubsub.Subscribe(topic, "g", collect(&r), &pubsub.SubscribeOptions{Types: []string{"numbers"}})
		_, err := s.DeadLetters().Redrive(t.Context())
		require.NoError(t, err)
		stop = start(t, s)
		time.Sleep(time.Second)
		require.NoError(t, stop())
		require.Zero(t, r.count())
		ds := dead(t, s.DeadLetters())
		require.Len(t, ds, 1)
		require.Equal(t, 2, ds[0].Attempts)
	})
}

// A tally counts what began and what ended.
type tally struct{ starts, ends atomic.Int64 }

func (c *tally) Start(ctx context.Context, op string, _ ...slog.Attr) context.Context {
	if op == "handle" {
		c.starts.Add(1)
	}
	return ctx
}

func (c *tally) End(_ context.Context, op string, err error, _ ...slog.Attr) {
	if op == "handle" && err != nil {
		c.ends.Add(1)
	}
}

func TestGoexitIsObserved(t *testing.T) {
	bubble(t, "each attempt that began has ended", func(t *testing.T) {
		topic := numbers(pubsub.NewMem())
		publish(t, topic, "a", 1)
		var o tally
		s := pubsub.Subscribe(topic, "g", func(context.Context, pubsub.Event[int]) error {
			runtime.Goexit()
			return nil
		}, &pubsub.SubscribeOptions{Retry: retry.Policy{MaxAttempts: 3}, Observer: &o})
		stop := start(t, s)
		time.Sleep(time.Minute)
		require.NoError(t, stop())
		require.EqualValues(t, 3, o.starts.Load())
		require.EqualValues(t, 3, o.ends.Load())
	})
}

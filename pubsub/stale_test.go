package pubsub_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/pubsub"
	"github.com/crosstie/crosstie/retry"
)

// A slowList answers a question for dead letters late: with what was true when
// it was asked.
type slowList struct {
	*pubsub.Mem
	late time.Duration
}

func (s *slowList) Parked(ctx context.Context, f pubsub.Filter, after int64, most int) ([]pubsub.DeadLetter, error) {
	ds, err := s.Mem.Parked(ctx, f, after, most)
	if f.Redriven {
		time.Sleep(s.late)
	}
	return ds, err
}

func TestStaleList(t *testing.T) {
	bubble(t, "a redriven event that ends during the look is not taken up again", func(t *testing.T) {
		store := &slowList{Mem: pubsub.NewMem(), late: time.Second}
		topic := numbers(store)
		publish(t, topic, "a", 1)
		handled := 0
		var mended atomic.Bool
		s := pubsub.Subscribe(topic, "g", func(context.Context, pubsub.Event[int]) error {
			if !mended.Load() {
				return retry.Permanent(errors.New("broken"))
			}
			handled++
			time.Sleep(1750 * time.Millisecond) // it ends while the next list is on its way
			return nil
		}, nil)
		stop := start(t, s)
		time.Sleep(10 * time.Second)
		mended.Store(true)
		_, err := s.DeadLetters().Redrive(t.Context())
		require.NoError(t, err)
		time.Sleep(time.Minute)
		require.NoError(t, stop())
		require.Empty(t, dead(t, s.DeadLetters()))
		require.Equal(t, 1, handled)
	})
}

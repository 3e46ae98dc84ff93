package remoteinvoke_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/remoteinvoke"
)

// A brokenAfterClaim takes a while to claim, and then writes nothing more.
type brokenAfterClaim struct {
	remoteinvoke.Store
	claimed atomic.Bool
}

func (s *brokenAfterClaim) Claim(ctx context.Context, c remoteinvoke.Claim) ([]remoteinvoke.Task, error) {
	ts, err := s.Store.Claim(ctx, c)
	if len(ts) > 0 {
		s.claimed.Store(true)
		time.Sleep(100 * time.Millisecond)
	}
	return ts, err
}

func (s *brokenAfterClaim) Update(ctx context.Context, k remoteinvoke.Key, epoch int64, u remoteinvoke.Update) (remoteinvoke.State, error) {
	if s.claimed.Load() {
		return "", errors.New("the disk is full")
	}
	return s.Store.Update(ctx, k, epoch, u)
}

func TestStopWithoutStore(t *testing.T) {
	bubble(t, "takes no longer for many jobs than for one", func(t *testing.T) {
		store := &brokenAfterClaim{Store: remoteinvoke.NewMem()}
		s := remoteinvoke.NewService("f", store, echo, &remoteinvoke.ServiceOptions{Lease: 10 * time.Second})
		for range 16 {
			begin(t, s, "x", nil)
		}
		stop := start(t, s)
		time.Sleep(50 * time.Millisecond) // the claim is on its way
		began := time.Now()
		stop()
		require.Less(t, time.Since(began), 30*time.Second)
	})
}

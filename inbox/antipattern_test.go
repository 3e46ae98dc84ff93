package inbox_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/inbox"
)

// Anti-pattern: no error handling. A receiver that marks an id before the
// effect loses the message when the effect fails; one that marks it after, as
// a second step, makes the effect twice for two copies at once; one that
// forgets ids after minutes makes it again for a repeat that comes later.

// seen is what naive receivers keep.
type seen struct {
	mu  sync.Mutex
	ids map[string]time.Time
}

func (s *seen) has(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.ids[id]
	return ok
}

func (s *seen) mark(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ids[id] = time.Now()
}

func (s *seen) forget(age time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, at := range s.ids {
		if time.Since(at) > age {
			delete(s.ids, id)
		}
	}
}

func markFirst(s *seen, id string, fn func() error) error {
	if s.has(id) {
		return nil
	}
	s.mark(id)
	return fn()
}

func markAfter(s *seen, id string, fn func() error) error {
	if s.has(id) {
		return nil
	}
	if err := fn(); err != nil {
		return err
	}
	s.mark(id)
	return nil
}

func TestMarkingFirstLosesTheEffect(t *testing.T) {
	// Each of 10 messages is delivered until it is acknowledged; the database
	// is down for the first attempt.
	deliver := func(receive func(id string, fn func() error) error) (effects int) {
		for i := range 10 {
			attempt := 0
			for attempt < 5 {
				attempt++
				err := receive(fmt.Sprint("msg_", i), func() error {
					if attempt == 1 {
						return errors.New("database is down")
					}
					effects++
					return nil
				})
				if err == nil {
					break
				}
			}
		}
		return effects
	}
	s := &seen{ids: map[string]time.Time{}}
	naive := deliver(func(id string, fn func() error) error { return markFirst(s, id, fn) })
	require.Zero(t, naive, "every message was acknowledged, and none took effect")

	b := inbox.New("orders", inbox.NewMem(), nil)
	ours := deliver(func(id string, fn func() error) error {
		return b.Do(t.Context(), id, time.Now(), func(context.Context, *sql.Tx) error { return fn() })
	})
	require.Equal(t, 10, ours)
}

func TestMarkingAfterRepeatsTheEffect(t *testing.T) {
	copies := func(receive func(fn func() error) error) (effects int) {
		var mu sync.Mutex
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				_ = receive(func() error {
					time.Sleep(time.Second) // an effect takes time
					mu.Lock()
					defer mu.Unlock()
					effects++
					return nil
				})
			})
		}
		wg.Wait()
		return effects
	}
	synctest.Test(t, func(t *testing.T) {
		s := &seen{ids: map[string]time.Time{}}
		require.Equal(t, 5, copies(func(fn func() error) error { return markAfter(s, "msg_1", fn) }))

		b := inbox.New("orders", inbox.NewMem(), nil)
		require.Equal(t, 1, copies(func(fn func() error) error {
			return b.Do(t.Context(), "msg_1", time.Now(), func(context.Context, *sql.Tx) error { return fn() })
		}))
	})
}

func TestForgettingAfterMinutesRepeatsTheEffect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &seen{ids: map[string]time.Time{}}
		b := inbox.New("orders", inbox.NewMem(), nil)
		naive, ours := 0, 0
		made := time.Now()
		// A schedule of three days whose answers are all lost.
		for range 10 {
			_ = markAfter(s, "msg_1", func() error { naive++; return nil })
			require.NoError(t, b.Do(t.Context(), "msg_1", made, func(context.Context, *sql.Tx) error { ours++; return nil }))
			time.Sleep(8 * time.Hour)
			s.forget(5 * time.Minute)
			_, err := b.Forget(t.Context())
			require.NoError(t, err)
		}
		require.Equal(t, 10, naive)
		require.Equal(t, 1, ours)
	})
}

package pubsub_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/pubsub"
)

// start runs s until the function it returns is called.
func start(t *testing.T, s *pubsub.Subscription) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	return func() error {
		cancel()
		return <-ran
	}
}

// bubble runs fn as a test in a bubble.
func bubble(t *testing.T, name string, fn func(t *testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, fn) })
}

func publish[T any](t *testing.T, topic *pubsub.Topic[T], key string, vs ...T) (ids []string) {
	t.Helper()
	for _, v := range vs {
		id, err := topic.Publish(t.Context(), key, v)
		require.NoError(t, err)
		ids = append(ids, id)
	}
	return ids
}

// A record is what handlers saw, by key.
type record struct {
	mu   sync.Mutex
	got  map[string][]int
	all  []string
	most int // at once
	now  int
}

func (r *record) add(e pubsub.Event[int]) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.got == nil {
		r.got = map[string][]int{}
	}
	r.got[e.Key] = append(r.got[e.Key], e.Data)
	r.all = append(r.all, fmt.Sprintf("%s%d", e.Key, e.Data))
}

func (r *record) of(key string) []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got[key]
}

func (r *record) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.all)
}

func upTo(n int) (s []int) {
	for i := 1; i <= n; i++ {
		s = append(s, i)
	}
	return s
}

func dead(t *testing.T, d *pubsub.DeadLetters) (ds []pubsub.DeadLetter) {
	t.Helper()
	for l, err := range d.All(t.Context()) {
		require.NoError(t, err)
		ds = append(ds, l)
	}
	return ds
}

package fireforget_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/fireforget"
	"github.com/crosstie/crosstie/outcome"
)

// flaky fails often: before it did what it was asked, or after, when the
// caller cannot know.
type flaky struct {
	fireforget.Store
	mu  sync.Mutex
	rnd *rand.Rand
}

var errFlaky = errors.New("no answer")

func (f *flaky) call(do func() error) error {
	f.mu.Lock()
	dice, wait := f.rnd.IntN(10), time.Duration(f.rnd.IntN(300))*time.Millisecond
	f.mu.Unlock()
	if dice < 2 {
		return outcome.Error(outcome.NotSent, errFlaky)
	}
	err := do()
	if dice < 4 {
		time.Sleep(wait)
		return outcome.Error(outcome.Unknown, errFlaky)
	}
	return err
}

func (f *flaky) Claim(ctx context.Context, c fireforget.Claim) (es []fireforget.Entry, err error) {
	err = f.call(func() error {
		es, err = f.Store.Claim(ctx, c)
		return err
	})
	if err != nil {
		return nil, err
	}
	return es, nil
}

func (f *flaky) Settle(ctx context.Context, rs []fireforget.Result) (lost []int, err error) {
	err = f.call(func() error {
		lost, err = f.Store.Settle(ctx, rs)
		return err
	})
	if err != nil {
		return nil, err
	}
	return lost, nil
}

func (f *flaky) Forget(ctx context.Context, before time.Time, max int) (n int, err error) {
	err = f.call(func() error {
		n, err = f.Store.Forget(ctx, before, max)
		return err
	})
	return n, err
}

// A store that fails in two calls of five, in half of those after it did what
// was asked: relays on it lose nothing and keep the order of each key.
func TestStoreOfDoubtfulAnswers(t *testing.T) {
	for seed := range uint64(8) {
		synctest.Test(t, func(t *testing.T) { doubtful(t, seed) })
	}
}

func doubtful(t *testing.T, seed uint64) {
	s := fireforget.NewMem()
	const keys, each = 10, 12
	for n := range each {
		for k := range keys + 1 {
			key := fmt.Sprint(k)
			if k == keys {
				key = ""
			}
			send(t, s, "dest", key, fmt.Sprint(n))
		}
	}
	var mu sync.Mutex
	rnd := rand.New(rand.NewPCG(seed, 1))
	landed := map[string][]string{}
	deliverer := fireforget.DelivererFunc(func(ctx context.Context, it fireforget.Item) error {
		mu.Lock()
		defer mu.Unlock()
		n := len(landed[it.Key])
		was := slices.Contains(landed[it.Key], string(it.Body))
		if it.Key != "" && !was && string(it.Body) != fmt.Sprint(n) {
			t.Errorf("%s of key %s is attempted after %d landed", it.Body, it.Key, n)
		}
		if rnd.IntN(4) == 0 {
			return errors.New("not now")
		}
		if !was {
			landed[it.Key] = append(landed[it.Key], string(it.Body))
		}
		return nil
	})
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	for i := range uint64(3) {
		r := fireforget.NewRelay(&flaky{Store: s, rnd: rand.New(rand.NewPCG(seed, i))}, &fireforget.RelayOptions{Lease: time.Second})
		r.Handle("dest", deliverer, &fireforget.RouteOptions{Schedule: slices.Repeat([]time.Duration{time.Second}, 100)})
		wg.Go(func() {
			for ctx.Err() == nil { // it comes and goes
				rctx, stop := context.WithTimeout(ctx, time.Duration(1+rand.IntN(10))*time.Second)
				_ = r.Run(rctx)
				stop()
			}
		})
	}
	time.Sleep(10 * time.Minute)
	cancel()
	wg.Wait()
	for k := range keys + 1 {
		key := fmt.Sprint(k)
		if k == keys {
			key = ""
		}
		require.Len(t, landed[key], each, "key %q", key)
	}
	require.Empty(t, dead(t, s, fireforget.Filter{}))
	es, err := s.Claim(t.Context(), fireforget.Claim{Owner: "last", Lease: time.Second, Wants: []fireforget.Want{{To: "dest", Max: 1000}}})
	require.NoError(t, err)
	require.Empty(t, es, "all are settled")
}

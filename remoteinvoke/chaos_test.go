package remoteinvoke_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/remoteinvoke"
	"github.com/crosstie/crosstie/retry"
	"github.com/crosstie/crosstie/webhook"
)

// A fate decides by its seed what goes wrong.
type fate struct {
	mu sync.Mutex
	r  *rand.Rand
}

func (f *fate) n(n int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.r.IntN(n)
}

// lose loses one request in four, and one answer in four.
func (f *fate) lose(*http.Request, int64) (before, after error) {
	switch f.n(8) {
	case 0, 1:
		return errNet, nil
	case 2, 3:
		return nil, errNet
	}
	return nil, nil
}

// TestAnythingGoes runs jobs whose requests, answers and callbacks are lost in
// both directions, whose functions fail and panic, whose processes die, and
// some of which are canceled at a random moment. Every caller learns the truth,
// by whatever came first, and nothing it sees goes backwards.
func TestAnythingGoes(t *testing.T) {
	for range 12 {
		seed := rand.Uint64()
		bubble(t, fmt.Sprint("seed ", seed), func(t *testing.T) { anything(t, &fate{r: rand.New(rand.NewPCG(seed, 1))}) })
	}
}

func anything(t *testing.T, f *fate) {
	errOh := errors.New("oh")
	fn := func(ctx context.Context, j *remoteinvoke.Job, in string) (string, error) {
		var step int
		if _, err := j.Saved(&step); err != nil {
			return "", err
		}
		for ; step < 5; step++ {
			if _, err := work(time.Duration(f.n(60_000))*time.Millisecond)(ctx, j, in); err != nil {
				return "", err
			}
			switch f.n(20) {
			case 0:
				return "", errOh
			case 1:
				panic(errOh)
			}
			j.Report(int64(step+1), 5, "")
			if err := j.Save(ctx, step+1); err != nil {
				return "", err
			}
		}
		if strings.HasPrefix(in, "fails") {
			return "", &remoteinvoke.Failure{Code: "no", Message: in}
		}
		return "out of " + in, nil
	}
	secret, store, said := webhook.NewSecret(), remoteinvoke.NewMem(), remoteinvoke.NewMemCallbacks()
	v := webhook.Verifier{Secrets: []webhook.Secret{secret}}
	// Callbacks are taken by one process, and waited for in another.
	there := remoteinvoke.NewCallbacks("f", hookURL, v, said, nil)
	here := remoteinvoke.NewCallbacks("f", hookURL, v, said, nil)
	o := &remoteinvoke.ServiceOptions{
		Workers: 4, Retry: retry.Policy{MaxAttempts: 1000},
		Callbacks: func(string) (remoteinvoke.Target, error) {
			return remoteinvoke.Target{Allow: []string{"https://me.example"}, Sign: secret}, nil
		},
	}
	var hooks *network
	o.CallbackClient, hooks = over(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f.n(2) == 0 {
			there.ServeHTTP(w, r)
			return
		}
		here.ServeHTTP(w, r)
	}))
	hooks.fault = f.lose
	api := remoteinvoke.NewService("f", store, fn, o)
	c, n := client[string, string](api)
	n.fault = f.lose
	c.Callbacks = here

	ctx, stop := context.WithCancel(t.Context())
	var processes sync.WaitGroup
	for range 2 {
		processes.Go(func() {
			for ctx.Err() == nil {
				dying := &dies{Store: store}
				life, end := context.WithTimeout(ctx, time.Duration(f.n(600))*time.Second)
				context.AfterFunc(life, func() { dying.dead.Store(f.n(2) == 0) }) // or it drains
				err := remoteinvoke.NewService("f", dying, fn, o).Run(life)
				end()
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	var callers sync.WaitGroup
	for i := range 20 {
		callers.Go(func() {
			in := fmt.Sprint("job ", i)
			if i%5 == 0 {
				in = "fails " + in
			}
			so := &remoteinvoke.StartOptions{ID: fmt.Sprint("id-", i)}
			p, err := c.Start(ctx, in, so)
			for ; err != nil && ctx.Err() == nil; p, err = c.Start(ctx, in, so) {
				time.Sleep(time.Second)
			}
			canceled := i%4 == 0
			if canceled {
				time.AfterFunc(time.Duration(f.n(300))*time.Second, func() { _, _ = p.Cancel(ctx) })
			}
			var last remoteinvoke.Status
			out, err := p.Watch(ctx, func(st remoteinvoke.Status) {
				if st.Version <= last.Version || st.Progress.Done < last.Progress.Done || last.State.Terminal() {
					t.Errorf("went backwards: %+v after %+v", st, last)
				}
				last = st
			})
			failure, _ := errors.AsType[*remoteinvoke.Failure](err)
			switch {
			case err == nil && out == "out of "+in && i%5 > 0 && last.State == remoteinvoke.Done:
			case failure != nil && failure.Message == in && i%5 == 0 && last.State == remoteinvoke.Failed:
			case errors.Is(err, remoteinvoke.ErrCanceled) && canceled && last.State == remoteinvoke.Canceled:
			default:
				t.Errorf("job %d: %q, %v, %+v", i, out, err, last)
			}
		})
	}
	callers.Wait()
	stop()
	processes.Wait()
	synctest.Wait()
	for i := range 20 {
		r, err := store.Load(t.Context(), remoteinvoke.Key{Service: "f", ID: fmt.Sprint("id-", i)})
		require.NoError(t, err)
		require.True(t, r.State.Terminal())
	}
}

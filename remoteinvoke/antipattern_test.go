package remoteinvoke_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/remoteinvoke"
	"github.com/crosstie/crosstie/webhook"
)

// Each test runs the documented anti-pattern as it is usually written, shows
// that it fails, and that the same situation does no harm here.

// Polling in a tight loop: a thousand callers of a job of ten minutes keep the
// service busy with saying "not yet".
func TestAntiPatternTightPolling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := remoteinvoke.NewService("f", remoteinvoke.NewMem(), work(10*time.Minute), nil)
		start(t, s)
		c, n := client[string, string](s)
		p, err := c.Start(t.Context(), "x", nil)
		require.NoError(t, err)
		n.calls.Store(0)
		for { // "while status != done"
			st, err := p.Status(t.Context())
			require.NoError(t, err)
			if st.State.Terminal() {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		naive := n.calls.Load()
		require.Greater(t, naive, int64(5000), "for one caller")

		p, err = c.Start(t.Context(), "x", nil)
		require.NoError(t, err)
		n.calls.Store(0)
		var asked time.Time // the service is never asked sooner than it said
		var after time.Duration
		n.fault = func(*http.Request, int64) (error, error) {
			if !asked.IsZero() {
				require.GreaterOrEqual(t, time.Since(asked), after)
			}
			asked = time.Now()
			st, err := s.Status(t.Context(), "", p.ID())
			require.NoError(t, err)
			if after = min(max(asked.Sub(st.Created)/10, time.Second), 30*time.Second).Truncate(time.Second); st.State.Terminal() {
				after = 0
			}
			return nil, nil
		}
		began := time.Now()
		_, err = p.Wait(t.Context())
		require.NoError(t, err)
		require.Less(t, n.calls.Load(), int64(60), "in ten minutes, its result included")
		require.Less(t, time.Since(began), 11*time.Minute, "and it is not late by more than a tenth")
		t.Logf("naive %d calls, ours %d", naive, n.calls.Load())
	})
}

// A job in a goroutine behind a 202: when the process ends so does the job,
// and its id leads nowhere.
func TestAntiPatternJobInAGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		crash, cancel := context.WithCancel(t.Context()) // of the process
		var mu sync.Mutex
		naive := map[string]string{}
		for i := range 10 {
			go func() {
				_, err := work(time.Hour)(crash, nil, "x")
				if err == nil {
					mu.Lock()
					defer mu.Unlock()
					naive[fmt.Sprint(i)] = "x"
				}
			}()
		}
		time.Sleep(50 * time.Minute)
		cancel()
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		require.Empty(t, naive, "ten were accepted; all are lost, and nobody knows")

		// The store outlives the process, which stops without a word: what it
		// had claimed runs out.
		store := remoteinvoke.NewMem()
		var steps atomic.Int64
		fn := func(ctx context.Context, j *remoteinvoke.Job, in string) (string, error) {
			var minute int
			if _, err := j.Saved(&minute); err != nil {
				return "", err
			}
			for ; minute < 60; minute++ {
				if _, err := work(time.Minute)(ctx, j, in); err != nil {
					return "", err
				}
				steps.Add(1)
				if err := j.Save(ctx, minute+1); err != nil {
					return "", err
				}
			}
			return in, nil
		}
		dying := &dies{Store: store}
		first := remoteinvoke.NewService("f", dying, fn, &remoteinvoke.ServiceOptions{Drain: -1})
		stop := start(t, first)
		c, _ := client[string, string](first)
		var ps []*remoteinvoke.Pending[string]
		for range 10 {
			p, err := c.Start(t.Context(), "x", nil)
			require.NoError(t, err)
			ps = append(ps, p)
		}
		time.Sleep(50*time.Minute + time.Second)
		dying.dead.Store(true)
		stop()
		before := steps.Load()
		start(t, remoteinvoke.NewService("f", store, fn, nil))
		began := time.Now()
		for _, p := range ps {
			q, err := c.Resume(p.Token())
			require.NoError(t, err)
			_, err = q.Wait(t.Context())
			require.Error(t, err, "that process is dead")
		}
		second := remoteinvoke.NewService("f", store, fn, nil)
		c, _ = client[string, string](second)
		for _, p := range ps {
			q, err := c.Resume(p.Token())
			require.NoError(t, err)
			out, err := q.Wait(t.Context())
			require.NoError(t, err)
			require.Equal(t, "x", out)
		}
		require.Less(t, time.Since(began), 12*time.Minute, "a job that saved its state does not begin anew")
		require.LessOrEqual(t, steps.Load()-before, int64(110))
	})
}

// dies is the store of a process that is killed: from a moment on it does
// nothing any more.
type dies struct {
	remoteinvoke.Store
	dead atomic.Bool
}

var errDead = errors.New("the process is dead")

func (d *dies) Update(ctx context.Context, k remoteinvoke.Key, epoch int64, u remoteinvoke.Update) (remoteinvoke.State, error) {
	if d.dead.Load() {
		return "", remoteinvoke.ErrLost
	}
	return d.Store.Update(ctx, k, epoch, u)
}

func (d *dies) Claim(ctx context.Context, c remoteinvoke.Claim) ([]remoteinvoke.Task, error) {
	if d.dead.Load() {
		return nil, errDead
	}
	return d.Store.Claim(ctx, c)
}

func (d *dies) Load(ctx context.Context, k remoteinvoke.Key) (remoteinvoke.Record, error) {
	if d.dead.Load() {
		return remoteinvoke.Record{}, remoteinvoke.ErrNotFound
	}
	return d.Store.Load(ctx, k)
}

// A callback that is believed without a signature, and applied each time it
// comes: anybody ends a job, and the state goes back when an old one comes
// late.
func TestAntiPatternTrustedCallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type body struct {
			Service, Caller string
			Job             remoteinvoke.Status
		}
		said := func(state remoteinvoke.State, version int64) []byte {
			b, err := json.Marshal(body{"f", "", remoteinvoke.Status{ID: "id", State: state, Version: version}})
			require.NoError(t, err)
			return b
		}
		state, paid := remoteinvoke.Queued, 0
		naive := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var b body
			require.NoError(t, json.NewDecoder(r.Body).Decode(&b))
			if state = b.Job.State; state == remoteinvoke.Done {
				paid++
			}
			w.WriteHeader(http.StatusNoContent)
		})
		secret := webhook.NewSecret()
		store := remoteinvoke.NewMemCallbacks()
		notified := 0
		ours := remoteinvoke.NewCallbacks("f", "https://me.example/", webhook.Verifier{Secrets: []webhook.Secret{secret}}, store,
			&remoteinvoke.CallbackOptions{Notify: func(_ context.Context, st remoteinvoke.Status) error {
				notified++
				return nil
			}})
		deliver := func(h http.Handler, b []byte, by webhook.Signer) int {
			return post(t, h, "id", b, by).StatusCode
		}
		forger := webhook.NewSecret()
		for _, h := range []http.Handler{naive, ours} {
			deliver(h, said(remoteinvoke.Done, 9), forger)
		}
		require.Equal(t, 1, paid, "for a job that never ran")
		_, err := store.Load(t.Context(), remoteinvoke.Key{Service: "f", ID: "id"})
		require.ErrorIs(t, err, remoteinvoke.ErrNotFound)

		for range 3 { // the sender did not hear the answer
			deliver(naive, said(remoteinvoke.Done, 4), secret)
			require.Equal(t, http.StatusNoContent, deliver(ours, said(remoteinvoke.Done, 4), secret))
		}
		deliver(naive, said(remoteinvoke.Running, 3), secret) // was on its way for long
		deliver(ours, said(remoteinvoke.Running, 3), secret)
		deliver(ours, said(remoteinvoke.Canceled, 3), secret)
		require.Equal(t, 4, paid)
		require.Equal(t, remoteinvoke.Running, state, "went backwards")

		require.Equal(t, 1, notified)
		st, err := store.Load(t.Context(), remoteinvoke.Key{Service: "f", ID: "id"})
		require.NoError(t, err)
		require.Equal(t, remoteinvoke.Done, st.State)
	})
}

// A cancel that claims to have stopped what it only asked to stop: the caller
// believes it, and the money leaves all the same.
func TestAntiPatternCancelThatClaims(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var paid atomic.Int64
		pay := func(_ context.Context, _ *remoteinvoke.Job, in string) (string, error) {
			time.Sleep(time.Minute) // past the point where it could stop
			paid.Add(1)
			return in, nil
		}
		var status atomic.Value
		status.Store("running")
		go func() {
			_, _ = pay(t.Context(), nil, "x")
			status.CompareAndSwap("running", "done")
		}()
		time.Sleep(time.Second)
		status.Store("canceled") // DELETE /jobs/1
		time.Sleep(time.Hour)
		synctest.Wait()
		require.EqualValues(t, 1, paid.Load())
		require.Equal(t, "canceled", status.Load(), "a lie")

		s := remoteinvoke.NewService("pay", remoteinvoke.NewMem(), pay, nil)
		start(t, s)
		c, _ := client[string, string](s)
		p, err := c.Start(t.Context(), "x", nil)
		require.NoError(t, err)
		time.Sleep(time.Second)
		st, err := p.Cancel(t.Context())
		require.NoError(t, err)
		require.Equal(t, remoteinvoke.Canceling, st.State, "asked, and no more")
		_, err = p.Wait(t.Context())
		require.NoError(t, err)
		st, err = p.Status(t.Context())
		require.NoError(t, err)
		require.Equal(t, remoteinvoke.Done, st.State, "what became of it")
		require.EqualValues(t, 2, paid.Load())
	})
}

// Starting again after a lost answer begins a second job.
func TestAntiPatternStartWithoutID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var begun atomic.Int64
		s := remoteinvoke.NewService("f", remoteinvoke.NewMem(), func(context.Context, *remoteinvoke.Job, string) (int, error) {
			begun.Add(1)
			return 0, nil
		}, nil)
		start(t, s)
		c, n := client[string, int](s)
		lose := func(_ *http.Request, k int64) (error, error) {
			if k < 3 {
				return nil, errNet // the service has it, the answer is lost
			}
			return nil, nil
		}
		n.fault = lose
		h, _ := over(s)
		h.Transport.(*network).fault = lose
		for range 3 { // "retry the POST until it works"
			resp, err := h.Post("https://jobs.example/", "application/json", jsonText(`"x"`))
			if err == nil {
				require.NoError(t, resp.Body.Close())
				break
			}
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		require.EqualValues(t, 3, begun.Load(), "one was wanted")

		begun.Store(0)
		p, err := c.Start(t.Context(), "x", nil)
		require.NoError(t, err)
		_, err = p.Wait(t.Context())
		require.NoError(t, err)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.EqualValues(t, 1, begun.Load())
	})
}

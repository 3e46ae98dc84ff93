package remoteinvoke_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/remoteinvoke"
	"github.com/crosstie/crosstie/retry"
	"github.com/crosstie/crosstie/webhook"
)

func TestIDUsedAgain(t *testing.T) {
	bubble(t, "has callbacks of its own", func(t *testing.T) {
		var mended atomic.Bool
		var told []remoteinvoke.State
		p := newPair(func(_ context.Context, job *remoteinvoke.Job, in string) (string, error) {
			time.Sleep(time.Minute)
			if !mended.Load() {
				return "", errors.New("not today")
			}
			return in, nil
		}, remoteinvoke.ServiceOptions{Retry: retry.Policy{MaxAttempts: 3}, KeepResult: time.Hour, Remember: time.Hour}, &remoteinvoke.CallbackOptions{
			Notify: func(_ context.Context, st remoteinvoke.Status) error {
				told = append(told, st.State)
				return nil
			},
		})
		start(t, p.s)
		o := &remoteinvoke.StartOptions{ID: "march"}
		job, err := p.c.Start(t.Context(), "x", o)
		require.NoError(t, err)
		_, err = job.Wait(t.Context())
		require.Error(t, err)
		time.Sleep(2 * time.Hour) // the id is known no more
		mended.Store(true)
		job, err = p.c.Start(t.Context(), "x", o)
		require.NoError(t, err)
		out, err := job.Wait(t.Context())
		require.NoError(t, err)
		require.Equal(t, "x", out)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, []remoteinvoke.State{remoteinvoke.Failed, remoteinvoke.Done}, told)
	})
}

func TestIDUsedAgainMeanwhile(t *testing.T) {
	bubble(t, "the job that was waited for is not known any more", func(t *testing.T) {
		p := newPair(work(time.Minute), remoteinvoke.ServiceOptions{KeepResult: time.Hour, Remember: time.Hour}, nil)
		start(t, p.s)
		o := &remoteinvoke.StartOptions{ID: "march"}
		job, err := p.c.Start(t.Context(), "x", o) // seen as queued, and not looked at for hours
		require.NoError(t, err)
		time.Sleep(2 * time.Hour)
		_, err = p.c.Start(t.Context(), "y", o)
		require.NoError(t, err)
		time.Sleep(2 * time.Minute) // and it has ended, and called back
		p.jobs.calls.Store(0)
		_, err = job.Wait(t.Context())
		require.ErrorIs(t, err, remoteinvoke.ErrNotFound)
		_, err = job.Status(t.Context())
		require.ErrorIs(t, err, remoteinvoke.ErrNotFound)
		_, err = job.Cancel(t.Context())
		require.ErrorIs(t, err, remoteinvoke.ErrNotFound)
		require.LessOrEqual(t, p.jobs.calls.Load(), int64(4))
	})
}

func TestCallbacksForgotten(t *testing.T) {
	bubble(t, "by processes that take few", func(t *testing.T) {
		store, secret := remoteinvoke.NewMemCallbacks(), webhook.NewSecret()
		for range 3 {
			c := remoteinvoke.NewCallbacks("f", hookURL, webhook.Verifier{Secrets: []webhook.Secret{secret}}, store, nil)
			for range 10 {
				id := rand.Text()
				body := fmt.Sprintf(`{"service":"f","caller":"","job":{"id":%q,"state":"done","version":3}}`, id)
				require.Equal(t, http.StatusNoContent, post(t, c, id, []byte(body), secret).StatusCode)
			}
			time.Sleep(30 * 24 * time.Hour)
		}
		n, err := store.Forget(t.Context(), time.Now(), 1000)
		require.NoError(t, err)
		require.Equal(t, 10, n, "those of the last process")
	})
}

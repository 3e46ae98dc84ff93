package requestreply_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/retry"
)

func TestConfirm(t *testing.T) {
	// run makes a call that fails with errs in turn, under a key.
	run := func(t *testing.T, o outcome.Outcome, fails error, errs ...error) (*requestreply.Error, []string) {
		var asked []string
		fn, _ := op(errs...)
		_, err := requestreply.Run(requestreply.WithIdempotencyKey(t.Context(), "k"), nil, requestreply.Op{
			Confirm: func(_ context.Context, key string) (outcome.Outcome, error) {
				asked = append(asked, key)
				return o, fails
			},
		}, fn)
		return asError(t, err), asked
	}
	inBubble(t, "what is unknown is settled", func(t *testing.T) {
		for _, o := range []outcome.Outcome{outcome.Applied, outcome.Refused} {
			e, asked := run(t, o, nil, errLost)
			require.Equal(t, o, outcome.Of(e))
			require.Equal(t, []string{"k"}, asked)
			require.ErrorIs(t, e, errLost, "why it failed is still told")
			require.NoError(t, e.Confirm)
		}
	})
	inBubble(t, "after the last attempt, once", func(t *testing.T) {
		e, asked := run(t, outcome.Applied, nil, errUnsent, errUnsent, errLost)
		require.Equal(t, 3, e.Attempts)
		require.Len(t, asked, 1)
	})
	inBubble(t, "what is known is not asked for", func(t *testing.T) {
		_, asked := run(t, outcome.Applied, nil, errRefused)
		require.Empty(t, asked)
		_, asked = run(t, outcome.Applied, nil, errUnsent, errUnsent, errUnsent, errUnsent)
		require.Empty(t, asked)
	})
	inBubble(t, "what cannot be settled stays unknown, and says why", func(t *testing.T) {
		e, _ := run(t, outcome.Applied, errBoom, errLost)
		require.Equal(t, outcome.Unknown, outcome.Of(e))
		require.ErrorIs(t, e.Confirm, errBoom)
		require.NotErrorIs(t, e, errBoom, "it is not why the call failed")
		require.ErrorContains(t, e, "boom")
		e, _ = run(t, outcome.Unknown, nil, errLost)
		require.Equal(t, outcome.Unknown, outcome.Of(e))
		require.Error(t, e.Confirm)
	})
	inBubble(t, "no key, no question", func(t *testing.T) {
		_, err := requestreply.Run(t.Context(), nil, requestreply.Op{Confirm: func(context.Context, string) (outcome.Outcome, error) {
			t.Error("asked")
			return outcome.Applied, nil
		}}, func(context.Context) (int, error) { return 0, errLost })
		require.Equal(t, outcome.Unknown, outcome.Of(err))
	})
	for name, limit := range map[string]func(context.Context) (context.Context, context.CancelFunc, *requestreply.Options){
		"the call's limit": func(ctx context.Context) (context.Context, context.CancelFunc, *requestreply.Options) {
			return ctx, func() {}, &requestreply.Options{Timeout: 10 * time.Second}
		},
		"the caller's deadline": func(ctx context.Context) (context.Context, context.CancelFunc, *requestreply.Options) {
			ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
			return ctx, cancel, nil
		},
	} {
		inBubble(t, "time is kept for it: "+name, func(t *testing.T) {
			ctx, cancel, o := limit(requestreply.WithIdempotencyKey(t.Context(), "k"))
			defer cancel()
			start := time.Now()
			_, err := requestreply.Run(ctx, requestreply.NewGuard(o), requestreply.Op{Confirm: func(ctx context.Context, _ string) (outcome.Outcome, error) {
				require.Equal(t, 8*time.Second, time.Since(start))
				end, _ := ctx.Deadline()
				require.Equal(t, 10*time.Second, end.Sub(start))
				<-ctx.Done()
				return outcome.Unknown, ctx.Err()
			}}, hang)
			require.Equal(t, 10*time.Second, time.Since(start), "and the whole ends in its time")
			require.Equal(t, outcome.Unknown, outcome.Of(err))
		})
	}
	inBubble(t, "who has gone is not kept waiting", func(t *testing.T) {
		ctx, cancel := context.WithCancel(requestreply.WithIdempotencyKey(t.Context(), "k"))
		time.AfterFunc(time.Second, cancel)
		_, err := requestreply.Run(ctx, nil, requestreply.Op{Confirm: func(context.Context, string) (outcome.Outcome, error) {
			t.Error("asked")
			return outcome.Applied, nil
		}}, hang)
		require.ErrorIs(t, err, context.Canceled)
	})
	t.Run("an endpoint asks for the key it sent", func(t *testing.T) {
		var done sync.Map
		url := serving(t, func(w http.ResponseWriter, r *http.Request) {
			done.Store(r.Header.Get("Idempotency-Key"), true)
			panic(http.ErrAbortHandler) // and the answer is lost
		})
		place := requestreply.Endpoint[Order, Receipt]{
			URL: url, Keyed: true, Guard: requestreply.NewGuard(&requestreply.Options{Retry: retry.Policy{MaxAttempts: 1}}),
			Confirm: func(_ context.Context, key string) (outcome.Outcome, error) {
				if _, ok := done.Load(`"` + key + `"`); ok {
					return outcome.Applied, nil
				}
				return outcome.Unknown, errors.New("no such key")
			},
		}
		_, err := place.Call(t.Context(), Order{"84879", 1})
		require.Equal(t, outcome.Applied, outcome.Of(err), "%v", err)
		place.Keyed = false // the key travels in the request, the context has it
		_, err = place.Call(requestreply.WithIdempotencyKey(t.Context(), "other"), Order{"84879", 1})
		require.Equal(t, outcome.Unknown, outcome.Of(err))
		require.ErrorContains(t, err, "no such key")
	})
}

package server_test

import (
	"context"
	"database/sql"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/requestreply/server"
)

// A busy store lets a claim run out before the work's turn comes. Nothing was
// done, and that is no refusal: the caller is told to repeat it.
func TestAClaimThatRanOutIsNoRefusal(t *testing.T) {
	const body = `{"sku":"a","qty":1}`
	untilLost := func(ctx context.Context) error {
		<-ctx.Done()
		return fmt.Errorf("the query was interrupted: %w", ctx.Err())
	}
	for _, c := range []struct {
		name string
		tx   func(context.Context) error // of the store, before the function's turn
		fn   func(context.Context) error
		code int
		says string
	}{
		{"in the queue", func(ctx context.Context) error {
			<-ctx.Done()
			return outcome.TransientError(outcome.NotSent, false, context.Cause(ctx))
		}, nil, 503, "unknown"},
		{"in the function", nil, untilLost, 503, "unknown"},
		{"in doubt", func(ctx context.Context) error {
			<-ctx.Done()
			return outcome.Error(outcome.Unknown, errBoom)
		}, nil, 500, "unknown"},
		{"decided by the function", nil, func(ctx context.Context) error {
			<-ctx.Done()
			return &requestreply.Problem{Status: 409, Title: "Out of stock"}
		}, 409, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				keys := &unreachable{TxKeys: server.NewMemKeys(), tx: c.tx}
				keys.down.Store(true)
				fn := c.fn
				h := server.HandleTx(keys, func(ctx context.Context, _ *sql.Tx, _ Order) (Receipt, error) {
					if fn != nil {
						return Receipt{}, fn(ctx)
					}
					return Receipt{Reserved: 1}, nil
				}, nil)
				began := time.Now()
				w := ask(h, "POST", "/", "k", body)
				require.Less(t, time.Since(began), 10*time.Second, "it stops before another may claim the key")
				require.Equal(t, c.code, w.Code, w.Body)
				require.Equal(t, c.says, problem(t, w).Known)
				require.Equal(t, c.code == 503, w.Header().Get("Retry-After") == "1")
				fn, keys.tx = nil, nil
				require.Equal(t, 200, ask(h, "POST", "/", "k", body).Code, "the key was given back")
			})
		})
	}
}

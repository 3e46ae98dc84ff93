package servertest

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/crosstie/crosstie/requestreply/server"
)

// TestTxKeys is [TestKeys], and tests that answers share the fate of the
// transaction they were stored in. What else a transaction holds is not seen
// here: a store on a database tests that beside the kit.
func TestTxKeys(t *testing.T, open func(t *testing.T) server.TxKeys) {
	TestKeys(t, func(t *testing.T) server.Keys { return open(t) })

	run := func(name string, fn func(t *testing.T, k server.TxKeys)) {
		t.Run(name, func(t *testing.T) { fn(t, open(t)) })
	}
	broken := errors.New("broken")

	run("an answer is stored by the commit", func(t *testing.T, k server.TxKeys) {
		c := claim(t, k, "k", first, long)
		must(t, k.Tx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			return k.FinishTx(ctx, tx, c, answer)
		}))
		replays(t, k, "k", first, answer)
	})
	run("an answer is rolled back with an error", func(t *testing.T, k server.TxKeys) {
		c := claim(t, k, "k", first, long)
		err := k.Tx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			must(t, k.FinishTx(ctx, tx, c, answer))
			return broken
		})
		if !errors.Is(err, broken) {
			t.Fatalf("got %v", err)
		}
		refuse(t, k, "k", first, server.ErrInFlight)
		must(t, k.Release(t.Context(), c))
		claim(t, k, "k", first, long)
	})
	run("an answer is rolled back with a panic", func(t *testing.T, k server.TxKeys) {
		c := claim(t, k, "k", first, long)
		func() {
			defer func() {
				if p := recover(); p != "boom" {
					t.Fatalf("recovered %v", p)
				}
			}()
			_ = k.Tx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
				must(t, k.FinishTx(ctx, tx, c, answer))
				panic("boom")
			})
		}()
		refuse(t, k, "k", first, server.ErrInFlight)
		must(t, k.Finish(t.Context(), c, answer))
		replays(t, k, "k", first, answer)
	})
	run("a transaction of a lost claim commits nothing", func(t *testing.T, k server.TxKeys) {
		old := claim(t, k, "k", first, time.Millisecond)
		now := eventually(t, k, "k", first)
		err := k.Tx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			return k.FinishTx(ctx, tx, old, answer)
		})
		lost(t, err)
		must(t, k.Finish(t.Context(), now, answer))
		replays(t, k, "k", first, answer)
	})
	run("two answers in one transaction", func(t *testing.T, k server.TxKeys) {
		a, b := claim(t, k, "a", first, long), claim(t, k, "b", first, long)
		must(t, k.Tx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			return errors.Join(k.FinishTx(ctx, tx, a, answer), k.FinishTx(ctx, tx, b, answer))
		}))
		replays(t, k, "a", first, answer)
		replays(t, k, "b", first, answer)
	})
}

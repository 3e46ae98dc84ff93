package enginetest

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/fireforget"
	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/sqlstore"
)

func TestPostgresSendTx(t *testing.T) {
	d, db := openPG(t, 4, nil)
	s := d.Outbox()
	box := fireforget.NewOutbox(s, nil)
	named := func(id, body string) fireforget.Message {
		m := message(body)
		m.ID = id
		return m
	}

	t.Run("is undone with Tx", func(t *testing.T) {
		err := d.Tx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			_, err := box.SendTx(ctx, tx, message("never"))
			require.NoError(t, err)
			_, err = box.SendTx(ctx, tx, named("named", "never"))
			require.NoError(t, err)
			return errOurs
		})
		require.ErrorIs(t, err, errOurs)
		require.Empty(t, claimAll(t, s))
		_, err = box.Send(t.Context(), named("named", "after the rollback"))
		require.NoError(t, err, "the ID is free again")
		require.Equal(t, []string{"after the rollback"}, claimAll(t, s))
	})

	t.Run("is undone, and done, with a transaction of the caller", func(t *testing.T) {
		for _, commit := range []bool{false, true} {
			tx, err := db.BeginTx(t.Context(), nil)
			require.NoError(t, err)
			_, err = box.SendTx(t.Context(), tx, message("yes"))
			require.NoError(t, err)
			if commit {
				require.NoError(t, tx.Commit())
				require.Equal(t, []string{"yes"}, claimAll(t, s))
			} else {
				require.NoError(t, tx.Rollback())
				require.Empty(t, claimAll(t, s))
			}
		}
	})

	t.Run("asks for durability", func(t *testing.T) {
		tx, err := db.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		_, err = tx.Exec(`SET LOCAL synchronous_commit = off`)
		require.NoError(t, err)
		_, err = box.SendTx(t.Context(), tx, message("yes"))
		require.NoError(t, err)
		var level string
		require.NoError(t, tx.QueryRow(`SHOW synchronous_commit`).Scan(&level))
		require.Equal(t, "on", level)
		require.NoError(t, tx.Rollback())
	})

	t.Run("an error leaves nothing in the transaction", func(t *testing.T) {
		_, err := box.Send(t.Context(), named("used", "first"))
		require.NoError(t, err)
		claimAll(t, s)
		err = d.Tx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			_, err := box.SendTx(ctx, tx, named("used", "second"))
			require.ErrorIs(t, err, fireforget.ErrReused)
			require.Equal(t, outcome.Refused, outcome.Of(err))
			es := []fireforget.Entry{
				{Item: fireforget.Item{ID: "new", To: "dest"}, Sum: "sum"},
				{Item: fireforget.Item{ID: "used", To: "dest"}, Sum: "other"},
			}
			require.ErrorIs(t, s.AddTx(ctx, tx, es, 0), fireforget.ErrReused)
			return nil // and goes on
		})
		require.NoError(t, err)
		require.Empty(t, claimAll(t, s))
		_, err = box.Send(t.Context(), named("new", "second"))
		require.NoError(t, err, "no trace of it was committed")
		require.Equal(t, []string{"second"}, claimAll(t, s))
	})

	t.Run("Send inside Tx fails at once and names its twin", func(t *testing.T) {
		err := d.Tx(t.Context(), func(ctx context.Context, _ *sql.Tx) error {
			_, err := box.Send(ctx, message("x"))
			return err
		})
		require.ErrorIs(t, err, sqlstore.ErrInTx)
		require.ErrorContains(t, err, "SendTx")
		require.Equal(t, outcome.NotSent, outcome.Of(err))
	})

	t.Run("a full outbox refuses and leaves nothing", func(t *testing.T) {
		small := fireforget.NewOutbox(s, &fireforget.OutboxOptions{MaxPending: 1})
		err := d.Tx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			_, err := small.SendTx(ctx, tx, message("too much"))
			require.ErrorIs(t, err, fireforget.ErrFull)
			return nil
		})
		require.NoError(t, err)
		require.Empty(t, claimAll(t, s))
	})
}

// A transaction that sent first and commits last does not get lost behind one
// that sent later: a cursor over sequence numbers would pass it by.
func TestPostgresLateCommit(t *testing.T) {
	d, db := openPG(t, 4, nil)
	s := d.Outbox()
	box := fireforget.NewOutbox(s, nil)
	keyed := func(body string) fireforget.Message {
		m := message(body)
		m.Key = "key"
		return m
	}
	late, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = box.SendTx(t.Context(), late, keyed("late"))
	require.NoError(t, err)
	_, err = box.Send(t.Context(), keyed("early"))
	require.NoError(t, err)

	claim := func(held ...fireforget.Held) []fireforget.Entry {
		es, err := s.Claim(t.Context(), fireforget.Claim{Owner: "test", Lease: time.Minute, Wants: []fireforget.Want{{To: "dest", Max: 10, Held: held}}})
		require.NoError(t, err)
		return es
	}
	es := claim()
	require.Len(t, es, 1)
	require.Equal(t, "early", string(es[0].Body))
	require.NoError(t, late.Commit())
	held := fireforget.Held{Lane: es[0].Lane, Epoch: es[0].Epoch, Busy: []string{"key"}}
	require.Empty(t, claim(held), "the key has a message under way")
	lost, err := s.Settle(t.Context(), []fireforget.Result{{To: "dest", Key: "key", Lane: es[0].Lane, Epoch: es[0].Epoch, Seq: es[0].Seq, Verdict: fireforget.Landed}})
	require.NoError(t, err)
	require.Empty(t, lost)
	held.Busy = nil
	es = claim(held)
	require.Len(t, es, 1)
	require.Equal(t, "late", string(es[0].Body))
}

// A plan that was made while the outbox was empty, and is cached, does not read
// through all of a full one.
func TestPostgresPlansOfAnEmptyOutbox(t *testing.T) {
	d, db := openPG(t, 1, nil)
	s := d.Outbox()
	box := fireforget.NewOutbox(s, nil)
	keyed := message("x")
	keyed.Key = "key"
	round := func() {
		_, err := box.SendAll(t.Context(), []fireforget.Message{message("x"), keyed})
		require.NoError(t, err)
		es, err := s.Claim(t.Context(), fireforget.Claim{Owner: "test", Lease: time.Minute, Wants: []fireforget.Want{{To: "dest", Max: 10}}})
		require.NoError(t, err)
		require.Len(t, es, 2)
		var rs []fireforget.Result
		for _, e := range es {
			r := fireforget.Result{To: e.To, Key: e.Key, Lane: e.Lane, Epoch: e.Epoch, Seq: e.Seq, Verdict: fireforget.Landed}
			rs = append(rs, r)
			if e.Lane > 0 {
				r.Seq, r.Verdict = 0, fireforget.HandBack
				rs = append(rs, r)
			}
		}
		lost, err := s.Settle(t.Context(), rs)
		require.NoError(t, err)
		require.Empty(t, lost)
	}
	scans := func() (n int) {
		_, err := db.Exec(`SELECT pg_stat_force_next_flush()`)
		require.NoError(t, err)
		require.NoError(t, db.QueryRow(`SELECT seq_scan FROM pg_stat_user_tables WHERE schemaname = current_schema() AND relname = 'crosstie_outbox'`).Scan(&n))
		return n
	}
	round()
	before := scans()
	for range 20 {
		round()
	}
	require.Equal(t, before, scans())
}

// Of many that claim at the same moment one gets a lane, also when it was never
// leased before, and one gets a message with no key.
func TestPostgresClaimsAtOnce(t *testing.T) {
	const relays, rounds = 8, 60
	d, _ := openPG(t, relays, nil)
	s := d.Outbox()
	box := fireforget.NewOutbox(s, nil)
	for i := range rounds {
		keyed := message("keyed")
		keyed.Key = fmt.Sprint("key", i)
		_, err := box.SendAll(t.Context(), []fireforget.Message{message("free"), keyed})
		require.NoError(t, err)
		var wg sync.WaitGroup
		begin := make(chan struct{})
		got := make(chan []fireforget.Entry, relays)
		for r := range relays {
			wg.Go(func() {
				<-begin
				es, err := s.Claim(t.Context(), fireforget.Claim{Owner: fmt.Sprint(r), Lease: time.Minute, Wants: []fireforget.Want{{To: "dest", Max: 10}}})
				if err != nil {
					t.Error(err)
				}
				got <- es
			})
		}
		close(begin)
		wg.Wait()
		close(got)
		var rs []fireforget.Result
		for es := range got {
			for _, e := range es {
				rs = append(rs, fireforget.Result{To: e.To, Key: e.Key, Lane: e.Lane, Epoch: e.Epoch, Seq: e.Seq, Verdict: fireforget.Landed})
			}
		}
		require.Len(t, rs, 2, "round %d", i)
		for _, r := range rs {
			if r.Lane > 0 {
				r.Seq, r.Verdict = 0, fireforget.HandBack
				rs = append(rs, r)
			}
		}
		lost, err := s.Settle(t.Context(), rs)
		require.NoError(t, err)
		require.Empty(t, lost)
	}
}

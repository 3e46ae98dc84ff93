package enginetest

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/fireforget"
	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/sqlstore"
)

var errOurs = errors.New("the business says no")

func claimAll(t *testing.T, s fireforget.Store) (bodies []string) {
	t.Helper()
	es, err := s.Claim(t.Context(), fireforget.Claim{Owner: "test", Lease: time.Minute, Wants: []fireforget.Want{{To: "dest", Max: 100}}})
	require.NoError(t, err)
	for _, e := range es {
		bodies = append(bodies, string(e.Body))
	}
	return bodies
}

func message(body string) fireforget.Message {
	return fireforget.Message{To: "dest", Payload: []byte(body)}
}

func TestSendTx(t *testing.T) {
	for name, conns := range pools {
		t.Run(name, func(t *testing.T) {
			d, db := open(t, conns, nil)
			s := d.Outbox()
			box := fireforget.NewOutbox(s, nil)

			t.Run("is undone with DB.Tx", func(t *testing.T) {
				err := d.Tx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
					_, err := box.SendTx(ctx, tx, message("never"))
					require.NoError(t, err)
					m := message("never named")
					m.ID = "named"
					_, err = box.SendTx(ctx, tx, m)
					require.NoError(t, err)
					return errOurs
				})
				require.ErrorIs(t, err, errOurs)
				require.Empty(t, claimAll(t, s))
				m := message("named after the rollback")
				m.ID = "named"
				_, err = box.Send(t.Context(), m)
				require.NoError(t, err, "the ID is free again")
				require.Equal(t, []string{"named after the rollback"}, claimAll(t, s))
			})

			t.Run("is undone with a transaction of the caller", func(t *testing.T) {
				tx, err := db.BeginTx(t.Context(), nil)
				require.NoError(t, err)
				_, err = box.SendTx(t.Context(), tx, message("never"))
				require.NoError(t, err)
				require.NoError(t, tx.Rollback())
				require.Empty(t, claimAll(t, s))
			})

			t.Run("commits with a transaction of the caller", func(t *testing.T) {
				tx, err := db.BeginTx(t.Context(), nil)
				require.NoError(t, err)
				_, err = box.SendTx(t.Context(), tx, message("yes"))
				require.NoError(t, err)
				require.NoError(t, tx.Commit())
				require.Equal(t, []string{"yes"}, claimAll(t, s))
			})

			t.Run("an error leaves nothing in the transaction", func(t *testing.T) {
				m := message("first")
				m.ID = "used"
				_, err := box.Send(t.Context(), m)
				require.NoError(t, err)
				claimAll(t, s)
				err = d.Tx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
					m.Payload = []byte("second")
					_, err := box.SendTx(ctx, tx, m)
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
				m.ID = "new"
				_, err = box.Send(t.Context(), m)
				require.NoError(t, err, "no trace of it was committed")
				require.Equal(t, []string{"second"}, claimAll(t, s))
			})

			t.Run("Send inside DB.Tx fails at once and names its twin", func(t *testing.T) {
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
		})
	}
}

// Outboxes with different bounds share one count: the smaller bound must not
// hide from the larger one how many there are.
func TestBoundsOfTwoOutboxes(t *testing.T) {
	d, _ := open(t, 8, nil)
	bounded := func(n int64) *fireforget.Outbox {
		return fireforget.NewOutbox(d.Outbox(), &fireforget.OutboxOptions{MaxPending: n})
	}
	for range 5 {
		_, err := bounded(-1).Send(t.Context(), message("x"))
		require.NoError(t, err)
	}
	for range 3 {
		_, err := bounded(2).Send(t.Context(), message("x"))
		require.ErrorIs(t, err, fireforget.ErrFull)
		_, err = bounded(5).Send(t.Context(), message("x"))
		require.ErrorIs(t, err, fireforget.ErrFull)
	}
	_, err := bounded(6).Send(t.Context(), message("x"))
	require.NoError(t, err)
}

// TestSendTxWakes: polling once an hour, a relay still hears of commits.
func TestSendTxWakes(t *testing.T) {
	d, db := open(t, 8, nil)
	box := fireforget.NewOutbox(d.Outbox(), nil)
	r := fireforget.NewRelay(d.Outbox(), &fireforget.RelayOptions{Poll: time.Hour})
	got := make(chan string, 10)
	r.Handle("dest", fireforget.DelivererFunc(func(_ context.Context, it fireforget.Item) error {
		got <- string(it.Body)
		return nil
	}), nil)
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- r.Run(ctx) }()
	arrives := func(want string) {
		t.Helper()
		limit := time.NewTimer(30 * time.Second)
		defer limit.Stop()
		select {
		case body := <-got:
			require.Equal(t, want, body)
		case <-limit.C:
			t.Fatal("nobody woke the relay")
		}
	}
	_, err := box.Send(t.Context(), message("sent"))
	require.NoError(t, err)
	arrives("sent")

	err = d.Tx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
		_, err := box.SendTx(ctx, tx, message("in DB.Tx"))
		return err
	})
	require.NoError(t, err)
	arrives("in DB.Tx")

	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = box.SendTx(t.Context(), tx, message("in a transaction of the caller"))
	require.NoError(t, err)
	require.NoError(t, tx.Commit())
	arrives("in a transaction of the caller") // looked for often, for a second

	cancel()
	require.NoError(t, <-ran)
}

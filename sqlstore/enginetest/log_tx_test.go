package enginetest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/inbox"
	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/pubsub"
	"github.com/crosstie/crosstie/retry"
	"github.com/crosstie/crosstie/sqlstore"
)

// texts are the data of the topic, oldest first.
func texts(t *testing.T, topic *pubsub.Topic[string]) (vs []string) {
	t.Helper()
	for e, err := range topic.Events(t.Context(), pubsub.Start{}) {
		require.NoError(t, err)
		vs = append(vs, e.Data)
	}
	return vs
}

func TestPublishTx(t *testing.T) {
	for name, conns := range pools {
		t.Run(name, func(t *testing.T) {
			d, db := open(t, conns, nil)
			topic := pubsub.NewTopic[string](d.Log(), "t", nil)

			t.Run("is undone with DB.Tx, and leaves no hole", func(t *testing.T) {
				err := d.Tx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
					_, err := topic.PublishTx(ctx, tx, "k", "never")
					require.NoError(t, err)
					return errOurs
				})
				require.ErrorIs(t, err, errOurs)
				_, err = topic.Publish(t.Context(), "k", "1")
				require.NoError(t, err)
				require.Equal(t, []string{"1"}, texts(t, topic))
			})

			t.Run("is undone with a transaction of the caller", func(t *testing.T) {
				tx, err := db.BeginTx(t.Context(), nil)
				require.NoError(t, err)
				_, err = topic.PublishTx(t.Context(), tx, "k", "never")
				require.NoError(t, err)
				_, err = pubsub.NewTopic[string](d.Log(), "another", nil).PublishTx(t.Context(), tx, "k", "never")
				require.NoError(t, err)
				require.NoError(t, tx.Rollback())
				require.Equal(t, []string{"1"}, texts(t, topic))
			})

			t.Run("commits with a transaction of the caller", func(t *testing.T) {
				tx, err := db.BeginTx(t.Context(), nil)
				require.NoError(t, err)
				require.NoError(t, topic.PublishAllTx(t.Context(), tx, []pubsub.Event[string]{{Data: "2"}, {Data: "3"}}))
				require.NoError(t, tx.Commit())
				require.Equal(t, []string{"1", "2", "3"}, texts(t, topic))
			})

			t.Run("Publish inside DB.Tx fails at once and names its twin", func(t *testing.T) {
				err := d.Tx(t.Context(), func(ctx context.Context, _ *sql.Tx) error {
					_, err := topic.Publish(ctx, "k", "x")
					return err
				})
				require.ErrorIs(t, err, sqlstore.ErrInTx)
				require.ErrorContains(t, err, "PublishTx")
				require.Equal(t, outcome.NotSent, outcome.Of(err))
			})

			t.Run("a topic that was rolled back is made again", func(t *testing.T) {
				fresh := pubsub.NewTopic[string](d.Log(), "fresh", nil)
				err := d.Tx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
					_, err := fresh.PublishTx(ctx, tx, "k", "never")
					require.NoError(t, err)
					for e, err := range fresh.Events(ctx, pubsub.Start{}) {
						require.NoError(t, err)
						require.Equal(t, "never", e.Data, "inside it is seen")
					}
					return errOurs
				})
				require.ErrorIs(t, err, errOurs)
				_, err = pubsub.NewTopic[string](d.Log(), "other", nil).Publish(t.Context(), "k", "o")
				require.NoError(t, err)
				require.Empty(t, texts(t, fresh))
				_, err = fresh.Publish(t.Context(), "k", "f")
				require.NoError(t, err)
				require.Equal(t, []string{"f"}, texts(t, fresh))
			})

			t.Run("no transaction", func(t *testing.T) {
				_, err := topic.PublishTx(t.Context(), nil, "k", "x")
				require.ErrorIs(t, err, pubsub.ErrNoTx)
				require.Equal(t, outcome.NotSent, outcome.Of(err))
			})
		})
	}
}

// A subscription hears of a commit at once, of DB.Tx and of one that nobody
// reports alike.
func TestPublishTxWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, db := open(t, 4, nil)
		topic := pubsub.NewTopic[string](d.Log(), "t", nil)
		got := make(chan string, 1)
		s := pubsub.Subscribe(topic, "g", func(_ context.Context, e pubsub.Event[string]) error {
			got <- e.Data
			return nil
		}, &pubsub.SubscribeOptions{Poll: time.Hour})
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- s.Run(ctx) }()
		synctest.Wait()
		begin := time.Now()
		require.NoError(t, d.Tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
			_, err := topic.PublishTx(ctx, tx, "k", "ours")
			return err
		}))
		require.Equal(t, "ours", <-got)
		require.Zero(t, time.Since(begin))
		tx, err := db.BeginTx(ctx, nil)
		require.NoError(t, err)
		_, err = topic.PublishTx(ctx, tx, "k", "theirs")
		require.NoError(t, err)
		time.Sleep(100 * time.Millisecond)
		require.NoError(t, tx.Commit())
		require.Equal(t, "theirs", <-got)
		require.Less(t, time.Since(begin), time.Second)
		cancel()
		require.NoError(t, <-ran)
	})
}

// The effect of an event and the record of its ID are one transaction.
func TestSubscribeTxOnSQLite(t *testing.T) {
	for name, conns := range pools {
		t.Run(name, func(t *testing.T) {
			d, db := open(t, conns, nil)
			table(t, db)
			topic := pubsub.NewTopic[string](d.Log(), "t", nil)
			for i := range 200 {
				_, err := topic.Publish(t.Context(), fmt.Sprint(i%10), fmt.Sprint("note", i))
				require.NoError(t, err)
			}
			in := inbox.New("box", d.Inbox(), nil)
			var mu sync.Mutex
			failed, effects := map[string]bool{}, 0
			run := func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				s := pubsub.SubscribeTx(topic, "g", in, func(ctx context.Context, tx *sql.Tx, e pubsub.Event[string]) error {
					if err := add(e.Data)(ctx, tx); err != nil {
						return err
					}
					mu.Lock()
					defer mu.Unlock()
					if effects++; rand.IntN(4) == 0 && !failed[e.ID] {
						failed[e.ID] = true
						return errors.New("after the write, before the commit")
					}
					return nil
				}, &pubsub.SubscribeOptions{Retry: retry.Policy{Base: time.Millisecond}})
				require.NoError(t, s.Seek(ctx, pubsub.Start{}))
				ran := make(chan error, 1)
				go func() { ran <- s.Run(ctx) }()
				tick := time.NewTicker(10 * time.Millisecond)
				defer tick.Stop()
				for lag := (pubsub.Lag{Events: 1}); lag.Events > 0; {
					<-tick.C
					var err error
					lag, err = s.Lag(ctx)
					require.NoError(t, err)
				}
				cancel()
				require.NoError(t, <-ran)
				for d, err := range s.DeadLetters().All(t.Context()) {
					require.NoError(t, err)
					t.Error("parked:", d.Error)
				}
			}
			run()
			require.Len(t, notes(t, db), 200)
			require.NotEmpty(t, failed)
			require.Equal(t, 200+len(failed), effects)
			run() // once more from the start: the inbox knows them all
			require.Equal(t, 200+len(failed), effects)
		})
	}
}

// Publishers whose contexts end at random moments are told the truth, and
// leave no hole.
func TestPublishStorm(t *testing.T) {
	for name, conns := range pools {
		t.Run(name, func(t *testing.T) {
			d, _ := open(t, conns, nil)
			topic := pubsub.NewTopic[string](d.Log(), "t", nil)
			var mu sync.Mutex
			known := map[string]outcome.Outcome{}
			var wg sync.WaitGroup
			for c := range 32 {
				wg.Go(func() {
					rnd := rand.New(rand.NewPCG(11, uint64(c)))
					for i := range 30 {
						ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rnd.IntN(3000))*time.Microsecond)
						v := fmt.Sprint(c, "-", i)
						_, err := topic.Publish(ctx, fmt.Sprint(c), v)
						cancel()
						mu.Lock()
						known[v] = outcome.Of(err)
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			has := map[string]bool{}
			for _, v := range texts(t, topic) {
				require.False(t, has[v], "twice: %s", v)
				has[v] = true
			}
			told(t, known, has)
		})
	}
}

// A log whose rows were tampered with says so and passes nothing over.
func TestLogHole(t *testing.T) {
	d, db := open(t, 2, nil)
	topic := pubsub.NewTopic[string](d.Log(), "t", nil)
	for i := range 5 {
		_, err := topic.Publish(t.Context(), "k", fmt.Sprint(i))
		require.NoError(t, err)
	}
	_, err := db.ExecContext(t.Context(), `DELETE FROM crosstie_log WHERE seq & 0xff = 3`)
	require.NoError(t, err)
	for _, err = range topic.Events(t.Context(), pubsub.Start{}) {
		if err != nil {
			break
		}
	}
	require.ErrorIs(t, err, sqlstore.ErrCorrupt)
	require.ErrorContains(t, err, "events are missing")
}

// After a restore from a backup the log ends before cursors kept elsewhere.
func TestLogCursorAhead(t *testing.T) {
	d, _ := open(t, 2, nil)
	log := d.Log()
	c, err := log.Find(t.Context(), "t", pubsub.Start{})
	require.NoError(t, err)
	ahead := c[:len(c)-1] + "9"
	_, err = log.Read(t.Context(), "t", pubsub.Read{After: ahead, Max: 1, MaxBytes: 1})
	require.ErrorIs(t, err, pubsub.ErrGone)
	require.ErrorContains(t, err, "backup")
	other, _ := open(t, 2, nil)
	_, err = other.Log().Read(t.Context(), "t", pubsub.Read{After: c, Max: 1, MaxBytes: 1})
	require.ErrorIs(t, err, pubsub.ErrGone)
	require.ErrorContains(t, err, "another log")
}

// A clock that was far ahead for a moment does not date what comes after it; a
// small step back does not turn log time around.
func TestLogClock(t *testing.T) {
	d, db := open(t, 2, nil)
	topic := pubsub.NewTopic[string](d.Log(), "t", nil)
	publish := func() time.Time {
		_, err := topic.Publish(t.Context(), "k", "v")
		require.NoError(t, err)
		c, err := d.Log().Find(t.Context(), "t", pubsub.Start{})
		require.NoError(t, err)
		b, err := d.Log().Read(t.Context(), "t", pubsub.Read{After: c, Max: 100, MaxBytes: 1 << 20})
		require.NoError(t, err)
		return b.Messages[len(b.Messages)-1].Appended
	}
	set := func(at time.Time) {
		_, err := db.ExecContext(t.Context(), `UPDATE crosstie_log_topic SET last_us = ?`, at.UnixMicro())
		require.NoError(t, err)
	}
	publish()
	ahead := time.Now().Add(10 * time.Minute).Truncate(time.Microsecond)
	set(ahead)
	require.True(t, publish().Equal(ahead))
	set(time.Now().Add(10 * 365 * 24 * time.Hour))
	require.WithinDuration(t, time.Now(), publish(), time.Minute)
	// Trimming by age stops at the first young one, whatever comes after it.
	_, err := db.ExecContext(t.Context(), `UPDATE crosstie_log SET appended_us = 1 WHERE seq & 0xff IN (1, 3)`)
	require.NoError(t, err)
	n, err := topic.Prune(t.Context(), pubsub.Retention{Age: time.Hour})
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
}

package enginetest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/fireforget"
	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/pubsub"
	"github.com/crosstie/crosstie/sqlstore"
)

// Every port at once, with contexts that end at any moment, functions that
// fail, panic and overrun their limit: nobody waits for ever, and what was
// acknowledged is there.
func TestEverythingAtOnce(t *testing.T) {
	for name, conns := range pools {
		t.Run(name, func(t *testing.T) { everything(t, conns) })
	}
}

func everything(t *testing.T, conns int) {
	s, db := open(t, conns, &sqlstore.Options{TxLimit: 20 * time.Millisecond, Batch: 16})
	table(t, db)
	box := fireforget.NewOutbox(s.Outbox(), nil)
	var delivered atomic.Int64
	r := fireforget.NewRelay(s.Outbox(), &fireforget.RelayOptions{Poll: 5 * time.Millisecond})
	r.Handle("dest", fireforget.DelivererFunc(func(context.Context, fireforget.Item) error {
		delivered.Add(1)
		return nil
	}), nil)
	topic := pubsub.NewTopic[string](s.Log(), "notes", nil)
	var heard sync.Map
	sub := pubsub.Subscribe(topic, "g", func(_ context.Context, e pubsub.Event[string]) error {
		if _, twice := heard.LoadOrStore(e.ID, e.Data); twice {
			t.Errorf("%s was handled twice, and nobody died", e.Data)
		}
		return nil
	}, &pubsub.SubscribeOptions{Poll: 5 * time.Millisecond, Lease: time.Minute, Shards: 2})
	rctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 2)
	go func() { ran <- r.Run(rctx) }()
	go func() { ran <- sub.Run(rctx) }()

	errOurs := errors.New("ours")
	var mu sync.Mutex
	known := map[string]outcome.Outcome{}
	sentOK, sentUnknown := 0, 0
	write := func(ctx context.Context, id string, way int) (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = outcome.Error(outcome.Refused, errOurs)
			}
		}()
		fn := func(ctx context.Context, tx *sql.Tx) error {
			if err := add(id)(ctx, tx); err != nil {
				return err
			}
			if _, err := box.SendTx(ctx, tx, message(id)); err != nil {
				return err
			}
			if _, err := topic.PublishTx(ctx, tx, id, id); err != nil {
				return err
			}
			switch way {
			case 0:
				return errOurs
			case 1:
				panic("ours")
			case 2:
				<-ctx.Done()
				return context.Cause(ctx)
			}
			return nil
		}
		if way%2 == 0 {
			return s.Tx(ctx, fn)
		}
		first, err := s.Inbox().Do(ctx, "box", id, time.Now(), fn)
		if err == nil && !first {
			t.Errorf("%s was never seen before", id)
		}
		return err
	}
	var wg sync.WaitGroup
	for c := range 24 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(3, uint64(c)))
			for i := range 25 {
				id := fmt.Sprint(c, "-", i)
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+rnd.IntN(100))*time.Millisecond)
				switch way := rnd.IntN(40); {
				case way < 20:
					err := write(ctx, id, way)
					mu.Lock()
					known[id] = outcome.Of(err)
					mu.Unlock()
				case way < 25:
					_, _ = s.Keys().Claim(ctx, "k"+id, [32]byte{1}, time.Second, time.Second)
				case way < 30:
					if cp, err := s.Syncs().Claim(ctx, "sync", id, "me", time.Second); err == nil {
						_ = s.Syncs().Release(ctx, cp)
					}
				case way < 35:
					_, err := box.Send(ctx, message(id))
					mu.Lock()
					switch outcome.Of(err) {
					case outcome.Applied:
						sentOK++
					case outcome.Unknown:
						sentUnknown++
					}
					mu.Unlock()
				default:
					_, _ = s.Outbox().Parked(ctx, fireforget.Filter{}, 0, 10)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	there := notes(t, db)
	committed := sentOK
	for id, o := range known {
		switch {
		case o == outcome.Applied && !there[id]:
			t.Errorf("%s was acknowledged and is not there", id)
		case (o == outcome.Refused || o == outcome.NotSent) && there[id]:
			t.Errorf("%s was refused and is there", id)
		}
		if there[id] {
			committed++
		}
	}
	limit := time.NewTimer(30 * time.Second)
	defer limit.Stop()
	for tick := time.NewTicker(5 * time.Millisecond); delivered.Load() < int64(committed); {
		select {
		case <-tick.C:
		case <-limit.C:
			t.Fatalf("%d of %d were delivered", delivered.Load(), committed)
		}
	}
	for tick, lag := time.NewTicker(5*time.Millisecond), (pubsub.Lag{Events: 1}); lag.Events > 0; {
		select {
		case <-tick.C:
			var err error
			lag, err = sub.Lag(t.Context())
			require.NoError(t, err)
		case <-limit.C:
			t.Fatal("the subscription does not come to the end")
		}
	}
	stop()
	require.NoError(t, errors.Join(<-ran, <-ran))
	events := map[string]bool{}
	for _, v := range texts(t, topic) {
		require.True(t, there[v], "%s has an event and no row", v)
		events[v] = true
	}
	require.Len(t, events, len(there), "a row, an event")
	heard.Range(func(_, v any) bool { delete(events, v.(string)); return true })
	require.Empty(t, events, "never handled")
	require.LessOrEqual(t, delivered.Load(), int64(committed+sentUnknown))
	require.NotZero(t, committed)
	t.Logf("%d committed, %d unknown", committed, sentUnknown)
}

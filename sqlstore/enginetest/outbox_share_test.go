package enginetest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/fireforget"
	"github.com/crosstie/crosstie/retry"
	"github.com/crosstie/crosstie/sqlstore"
)

// A ledger knows what was sent and sees every attempt at it.
type ledger struct {
	t  *testing.T
	mu sync.Mutex // guards all below

	rnd     *rand.Rand
	sent    map[string][]int // key -> numbers, in the order of their commits
	settled map[string]bool  // "key/n" landed, or failed for the last time
	landed  map[string]int   // how often
	never   map[string]bool  // rolled back
	calm    bool             // no more faults
	paused  int
}

func (l *ledger) Deliver(ctx context.Context, it fireforget.Item) error {
	name := string(it.Body)
	key, _, _ := strings.Cut(name, "/")
	l.mu.Lock()
	if l.never[name] {
		l.t.Errorf("%s was rolled back, and is delivered", name)
	}
	for _, n := range l.sent[key] {
		before := fmt.Sprint(key, "/", n)
		if before == name {
			break
		}
		if it.Key != "" && !l.settled[before] {
			l.t.Errorf("%s is attempted before %s is settled", name, before)
		}
	}
	dice, calm := l.rnd.IntN(100), l.calm
	pause := time.Duration(l.rnd.IntN(600)) * time.Millisecond
	work := time.Duration(l.rnd.IntN(20)) * time.Millisecond
	last := it.Attempt >= 2
	l.mu.Unlock()
	var err error
	switch {
	case calm || dice < 60:
		time.Sleep(work)
	case dice < 75:
		err = errors.New("not now")
	case dice < 80:
		err = retry.Permanent(errors.New("never"))
	case dice < 85:
		time.Sleep(pause) // deaf to its context: its lease may be over
		l.mu.Lock()
		l.paused++
		l.mu.Unlock()
	case dice < 90:
		time.Sleep(pause)
		err = errors.New("late, and not now")
	default:
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.landed[name]++
		l.settled[name] = true
	} else if it.To == "gap" && (last || retry.IsPermanent(err)) {
		l.settled[name] = true
	}
	return err
}

// Two handles on one file, each with relays that come and go, attempts that
// fail, time out and outlive their leases, senders that commit late or roll
// back: nothing is lost, nothing is made up, and no message of a key is
// attempted before the one before it is settled.
func TestSharedOutbox(t *testing.T) {
	for name, conns := range pools {
		bubble(t, name, func(t *testing.T) { sharedOutbox(t, conns) })
	}
}

func sharedOutbox(t *testing.T, conns int) {
	file := filepath.Join(t.TempDir(), "store.db")
	l := &ledger{
		t: t, rnd: rand.New(rand.NewPCG(1, 2)), sent: map[string][]int{}, settled: map[string]bool{},
		landed: map[string]int{}, never: map[string]bool{},
	}
	roll := func(n int) int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.rnd.IntN(n)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var relays, senders sync.WaitGroup
	var stores []*sqlstore.DB
	for range 2 {
		// No waiting inside the engine: it would be real time, in which the
		// bubble's stands still, and with it whoever holds the lock.
		db, err := sql.Open("sqlite", "file:"+file)
		require.NoError(t, err)
		defer db.Close()
		db.SetMaxOpenConns(conns)
		s, err := sqlstore.Open(t.Context(), db, sqlstore.SQLite, nil)
		require.NoError(t, err)
		stores = append(stores, s)
		for range 2 {
			relays.Go(func() {
				for ctx.Err() == nil {
					r := fireforget.NewRelay(s.Outbox(), &fireforget.RelayOptions{Lease: 200 * time.Millisecond, Poll: 20 * time.Millisecond, Drain: time.Duration(roll(100)+1) * time.Millisecond})
					quick := []time.Duration{5 * time.Millisecond, 20 * time.Millisecond}
					r.Handle("gap", l, &fireforget.RouteOptions{Concurrency: 4, Schedule: quick})
					r.Handle("block", l, &fireforget.RouteOptions{Concurrency: 4, Schedule: quick, OnPoison: fireforget.Block})
					rctx, cancel := context.WithTimeout(ctx, time.Duration(50+roll(1500))*time.Millisecond)
					if err := r.Run(rctx); err != nil {
						t.Error(err)
					}
					cancel()
				}
			})
		}
		box := fireforget.NewOutbox(s.Outbox(), nil)
		for c := range 8 {
			key := fmt.Sprintf("key%d%p", c, db)
			m := fireforget.Message{To: []string{"gap", "block"}[c%2], Key: key}
			if c == 7 {
				m.Key = ""
			}
			senders.Go(func() {
				for n := range 25 {
					name := fmt.Sprint(key, "/", n)
					m.Payload = []byte(name)
					way := roll(5)
					note := func() {
						l.mu.Lock()
						l.sent[key] = append(l.sent[key], n)
						l.mu.Unlock()
					}
					never := func() {
						l.mu.Lock()
						l.never[name] = true
						l.mu.Unlock()
					}
					errOut := errors.New("thought better of it")
					var err error
					switch way {
					case 0:
						note()
						_, err = box.Send(t.Context(), m)
					case 1, 2:
						if way == 1 {
							note()
						} else {
							never()
						}
						err = s.Tx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
							if _, err := box.SendTx(ctx, tx, m); err != nil || way == 1 {
								return err
							}
							return errOut
						})
					default:
						tx, berr := db.BeginTx(t.Context(), nil)
						if berr != nil {
							t.Error(berr)
							return
						}
						if way == 3 {
							note()
						} else {
							never()
						}
						for _, err = box.SendTx(t.Context(), tx, m); errors.Is(err, sqlstore.ErrBusy); _, err = box.SendTx(t.Context(), tx, m) {
							time.Sleep(time.Millisecond)
						}
						time.Sleep(time.Duration(roll(30)) * time.Millisecond)
						if way == 3 && err == nil {
							err = tx.Commit()
						} else {
							_ = tx.Rollback()
						}
					}
					if err != nil && !errors.Is(err, errOut) {
						t.Errorf("%s by way %d: %v", name, way, err)
					}
					time.Sleep(time.Duration(roll(20)) * time.Millisecond)
				}
			})
		}
	}
	senders.Wait()
	l.mu.Lock()
	l.calm = true
	l.mu.Unlock()
	dead := fireforget.NewDeadLetters(stores[0].Outbox())
	time.Sleep(time.Minute)
	parked := map[string]bool{}
	for d, err := range dead.All(t.Context(), fireforget.Filter{}) {
		require.NoError(t, err)
		parked[string(d.Item.Body)] = true
	}
	n, err := dead.Redrive(t.Context(), fireforget.Filter{})
	require.NoError(t, err)
	require.Equal(t, len(parked), n)
	require.NotZero(t, n)
	time.Sleep(time.Minute)
	stop()
	relays.Wait()
	sent, twice := 0, 0
	for key, ns := range l.sent {
		for _, n := range ns {
			name := fmt.Sprint(key, "/", n)
			sent++
			switch {
			case l.landed[name] == 0:
				t.Errorf("%s is lost (parked once: %v)", name, parked[name])
			case l.landed[name] > 1:
				twice++
			}
		}
	}
	left := 0
	require.NoError(t, pool(t, file, 1).QueryRow(`SELECT (SELECT count(*) FROM crosstie_outbox) + (SELECT count(*) FROM crosstie_outbox_dead)`).Scan(&left))
	require.Zero(t, left)
	t.Logf("%d sent, %d rolled back, %d parked, %d delivered more than once, %d pauses", sent, len(l.never), len(parked), twice, l.paused)
}

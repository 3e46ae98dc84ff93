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

	"github.com/crosstie/crosstie/fireforget"
	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/sqlstore"
)

func entry(id string, lane int) []fireforget.Entry {
	e := fireforget.Entry{Lane: lane}
	e.ID, e.To, e.ContentType, e.AcceptedAt = id, "erp", "text/plain", noon
	if lane > 0 {
		e.Key = "k"
	}
	return []fireforget.Entry{e}
}

func sent(t *testing.T, db *sql.DB) map[string]bool {
	t.Helper()
	rows, err := db.Query(`SELECT id FROM crosstie_outbox`)
	require.NoError(t, err)
	defer rows.Close()
	has := make(map[string]bool)
	for rows.Next() {
		var id string
		require.NoError(t, rows.Scan(&id))
		has[id] = true
	}
	require.NoError(t, rows.Err())
	return has
}

// Appends of the same kind are written together; a bad one among them harms
// itself only.
func TestMergedAppends(t *testing.T) { synctest.Test(t, mergedAppends) }

func mergedAppends(t *testing.T) {
	s, db := open(t, 1, nil)
	table(t, db)
	send := func(id string, lane int) func() error {
		return func() error {
			return s.Outbox().Add(t.Context(), entry(id, lane), 0)
		}
	}
	tx := func(id string) func() error { return func() error { return s.Tx(t.Context(), add(id)) } }
	fns := []func() error{tx("a"), send("bad", 1_000_000)}
	for i := range 99 {
		fns = append(fns, send(fmt.Sprint("good ", i), 1+i%4))
	}
	fns = append(fns, tx("b"), tx("a"))
	errs := behind(t, s, fns...)
	require.Equal(t, outcome.Refused, outcome.Of(errs[1]))
	for i, err := range errs[2:101] {
		require.NoError(t, err, "%d", i)
	}
	require.NoError(t, errs[0])
	require.NoError(t, errs[101])
	require.Equal(t, outcome.Refused, outcome.Of(errs[102]), "the second of one key")
	require.Len(t, sent(t, db), 99)
	require.Equal(t, map[string]bool{"a": true, "b": true}, notes(t, db))
}

// A disk that fills up in the middle of a merged write: who was told that it
// is durable is there, who was told that it was refused is not.
func TestMergedAppendsOnAFullDisk(t *testing.T) { synctest.Test(t, mergedAppendsOnAFullDisk) }

func mergedAppendsOnAFullDisk(t *testing.T) {
	s, db := open(t, 1, nil)
	var pages int
	require.NoError(t, db.QueryRow(`PRAGMA page_count`).Scan(&pages))
	_, err := db.Exec(fmt.Sprintf(`PRAGMA max_page_count=%d`, pages+20))
	require.NoError(t, err)
	out := fireforget.NewOutbox(s.Outbox(), nil)
	var fns []func() error
	ids := make([]string, 100)
	for i := range ids {
		fns = append(fns, func() (err error) {
			ids[i], err = out.Send(t.Context(), fireforget.Message{To: "erp", Payload: make([]byte, 2000)})
			return err
		})
	}
	ok := 0
	errs := behind(t, s, fns...)
	has := sent(t, db)
	for i, err := range errs {
		if err == nil {
			ok++
			require.True(t, has[ids[i]])
			continue
		}
		require.ErrorIs(t, err, sqlstore.ErrDiskFull)
		require.Equal(t, outcome.Refused, outcome.Of(err))
	}
	require.Len(t, has, ok)
	require.NotZero(t, ok, "small ones still fit")
	require.NotEqual(t, len(ids), ok)
}

// Senders whose contexts end at random moments, beside transactions.
func TestMergedStorm(t *testing.T) {
	s, db := open(t, 2, nil)
	table(t, db)
	var mu sync.Mutex
	known := make(map[string]outcome.Outcome)
	var wg sync.WaitGroup
	for c := range 64 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(3, uint64(c)))
			for i := range 30 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rnd.IntN(3000))*time.Microsecond)
				id := fmt.Sprint(c, "-", i)
				var err error
				if i%5 == 0 {
					err = s.Tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
						err := s.Outbox().AddTx(ctx, tx, entry(id, 0), 0)
						if i%10 == 0 {
							return errors.Join(err, errBoom)
						}
						return err
					})
				} else {
					err = s.Outbox().Add(ctx, entry(id, 0), 0)
				}
				cancel()
				mu.Lock()
				known[id] = outcome.Of(err)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	told(t, known, sent(t, db))
}

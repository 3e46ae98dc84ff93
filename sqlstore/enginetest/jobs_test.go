package enginetest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/remoteinvoke"
	"github.com/crosstie/crosstie/remoteinvoke/remoteinvoketest"
	"github.com/crosstie/crosstie/retry"
	"github.com/crosstie/crosstie/sqlstore"
)

func TestJobs(t *testing.T) {
	for name, conns := range pools {
		t.Run(name, func(t *testing.T) {
			remoteinvoketest.TestStore(t, func(t *testing.T) remoteinvoke.Store {
				d, _ := open(t, conns, nil)
				return d.Jobs()
			})
			remoteinvoketest.TestCallbackStore(t, func(t *testing.T) remoteinvoke.CallbackStore {
				d, _ := open(t, conns, nil)
				return d.Callbacks()
			})
		})
	}
}

func TestJobsInTx(t *testing.T) {
	d, db := open(t, 4, nil)
	table(t, db)
	s := remoteinvoke.NewService("f", d.Jobs(), func(context.Context, *remoteinvoke.Job, string) (string, error) { return "", nil },
		&remoteinvoke.ServiceOptions{MaxPending: 3})
	ctx := t.Context()
	var st remoteinvoke.Status
	orders := 0
	errNo := errors.New("no")
	place := func(end error, id string) error {
		return d.Tx(ctx, func(ctx context.Context, tx *sql.Tx) (err error) {
			if st, err = s.StartTx(ctx, tx, "ann", "x", &remoteinvoke.StartOptions{ID: id}); err != nil {
				return err
			}
			orders++
			if err := add(fmt.Sprint(orders))(ctx, tx); err != nil {
				return err
			}
			return end
		})
	}
	require.ErrorIs(t, place(errNo, "a"), errNo)
	_, err := s.Status(ctx, "ann", "a")
	require.ErrorIs(t, err, remoteinvoke.ErrNotFound, "rolled back with the order")
	require.NoError(t, place(nil, "a"))
	require.Equal(t, remoteinvoke.Queued, st.State)
	got, err := s.Status(ctx, "ann", "a")
	require.NoError(t, err)
	require.Equal(t, st, got)
	require.NoError(t, place(nil, "a"), "the same job")
	require.Len(t, notes(t, db), 2)

	// What would wait for itself says so.
	err = d.Tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := s.Start(ctx, "ann", "x", nil)
		return err
	})
	require.ErrorIs(t, err, sqlstore.ErrInTx)
	require.ErrorContains(t, err, "StartTx")
	_, err = s.StartTx(ctx, nil, "ann", "x", nil)
	require.ErrorIs(t, err, remoteinvoke.ErrNoTx)

	// Another input under the id, and one too many.
	err = d.Tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := s.StartTx(ctx, tx, "ann", "y", &remoteinvoke.StartOptions{ID: "a"})
		return err
	})
	require.ErrorIs(t, err, remoteinvoke.ErrReused)
	require.NoError(t, place(nil, "b"))
	require.NoError(t, place(nil, "c"))
	require.Eventually(t, func() bool { return errors.Is(place(nil, "d"), remoteinvoke.ErrFull) }, 10*time.Second, time.Millisecond)
	require.NoError(t, place(nil, "a"), "one that is there takes no room")
}

// TestJobsForgottenID shows that the holder of a job of long ago cannot write
// to one that has its id now.
func TestJobsForgottenID(t *testing.T) {
	d, _ := open(t, 1, nil)
	for name, s := range map[string]remoteinvoke.Store{"sqlite": d.Jobs(), "memory": remoteinvoke.NewMem()} {
		t.Run(name, func(t *testing.T) {
			e := remoteinvoke.Entry{Key: remoteinvoke.Key{Service: "f", ID: "a"}, Input: []byte("1"), Timeout: 100 * time.Millisecond}
			claim := remoteinvoke.Claim{Service: "f", Lease: time.Microsecond, Max: 1}
			var zombie remoteinvoke.Task
			require.Eventually(t, func() bool {
				_, _, err := s.Add(t.Context(), e, 0)
				require.NoError(t, err)
				ts, err := s.Claim(t.Context(), claim)
				require.NoError(t, err)
				if len(ts) > 0 {
					zombie = ts[0]
				} else {
					_, err := s.Sweep(t.Context(), "f", 10)
					require.NoError(t, err)
				}
				return len(ts) > 0
			}, 10*time.Second, time.Millisecond)
			require.Eventually(t, func() bool {
				_, err := s.Sweep(t.Context(), "f", 10)
				require.NoError(t, err)
				_, err = s.Load(t.Context(), e.Key)
				return errors.Is(err, remoteinvoke.ErrNotFound)
			}, 10*time.Second, time.Millisecond)
			e.Timeout = 0
			_, added, err := s.Add(t.Context(), e, 0)
			require.NoError(t, err)
			require.True(t, added)
			claim.Lease = time.Hour
			ts, err := s.Claim(t.Context(), claim)
			require.NoError(t, err)
			require.Len(t, ts, 1)
			_, err = s.Update(t.Context(), e.Key, zombie.Epoch, remoteinvoke.Update{Verdict: remoteinvoke.End, State: remoteinvoke.Done})
			require.ErrorIs(t, err, remoteinvoke.ErrLost)
		})
	}
}

// TestJobsForHours runs a service on a file through attempts that take long,
// and through the end of what is kept.
func TestJobsForHours(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	synctest.Test(t, func(t *testing.T) {
		db, err := sql.Open("sqlite", "file:"+path)
		require.NoError(t, err)
		defer db.Close()
		d, err := sqlstore.Open(t.Context(), db, sqlstore.SQLite, nil)
		require.NoError(t, err)
		s := remoteinvoke.NewService("f", d.Jobs(), func(_ context.Context, j *remoteinvoke.Job, in int) (int, error) {
			time.Sleep(time.Hour / 2)
			if j.Attempt() == 1 {
				return 0, errors.New("oh")
			}
			return in * 2, j.Save(context.Background(), "late")
		}, &remoteinvoke.ServiceOptions{Poll: 10 * time.Second, KeepResult: time.Hour, Remember: 3 * time.Hour})
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- s.Run(ctx) }()
		st, err := s.Start(t.Context(), "", 21, &remoteinvoke.StartOptions{ID: "a"})
		require.NoError(t, err)
		require.Equal(t, remoteinvoke.Queued, st.State)
		time.Sleep(time.Hour + time.Minute)
		st, err = s.Status(t.Context(), "", "a")
		require.NoError(t, err)
		require.Equal(t, remoteinvoke.Done, st.State)
		require.Equal(t, 2, st.Attempt)
		time.Sleep(time.Hour)
		st, err = s.Status(t.Context(), "", "a")
		require.NoError(t, err)
		require.True(t, st.Gone)
		time.Sleep(2 * time.Hour)
		_, err = s.Status(t.Context(), "", "a")
		require.ErrorIs(t, err, remoteinvoke.ErrNotFound)
		cancel()
		require.NoError(t, <-ran)
		var left int
		require.NoError(t, db.QueryRow(`SELECT (SELECT count(*) FROM crosstie_jobs) + (SELECT count(*) FROM crosstie_job_data)`).Scan(&left))
		require.Zero(t, left)
	})
}

func TestSaveTxRolledBack(t *testing.T) {
	d, _ := open(t, 4, nil)
	errNo := errors.New("no")
	s := remoteinvoke.NewService("f", d.Jobs(), func(ctx context.Context, j *remoteinvoke.Job, in string) (string, error) {
		return in, d.Tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
			j.Report(7, 10, "seven")
			if err := j.SaveTx(ctx, tx, 7); err != nil {
				return err
			}
			return errNo
		})
	}, &remoteinvoke.ServiceOptions{Retry: retry.Policy{MaxAttempts: 1}})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Run(ctx) })
	defer wg.Wait()
	defer cancel()
	st, err := s.Start(ctx, "", "x", nil)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		st, err = s.Status(ctx, "", st.ID)
		return err == nil && st.State.Terminal()
	}, time.Minute, 10*time.Millisecond)
	require.Equal(t, remoteinvoke.Progress{Done: 7, Total: 10, Note: "seven"}, st.Progress, "what was reported outlives the transaction")
}

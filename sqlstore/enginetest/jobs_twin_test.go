package enginetest

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/remoteinvoke"
	"github.com/crosstie/crosstie/sqlstore"
)

// TestJobsTwins gives the same random calls, late ones of lost claims among
// them, to the store in memory and to the one on SQLite, in a time that only
// the test moves: each answers as the other does, to the microsecond.
func TestJobsTwins(t *testing.T) {
	rounds := 15
	if os.Getenv("CROSSTIE_SOAK") != "" {
		rounds = 1000
	}
	dir := t.TempDir()
	for round := range rounds {
		seed := rand.Uint64()
		path := filepath.Join(dir, fmt.Sprint(round, ".db"))
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				db, err := sql.Open("sqlite", "file:"+path)
				require.NoError(t, err)
				defer db.Close()
				d, err := sqlstore.Open(t.Context(), db, sqlstore.SQLite, nil)
				require.NoError(t, err)
				tw := twins{
					T: t, r: rand.New(rand.NewPCG(seed, 1)),
					stores: [2]remoteinvoke.Store{remoteinvoke.NewMem(), d.Jobs()},
					epochs: map[remoteinvoke.Key][][2]int64{}, calls: map[remoteinvoke.Key][][2]int64{},
				}
				for range 120 {
					tw.step()
					time.Sleep(time.Duration(tw.r.IntN(3000)) * time.Millisecond)
				}
			})
		})
	}
}

type twins struct {
	*testing.T
	r      *rand.Rand
	stores [2]remoteinvoke.Store
	// The epochs of all claims so far, of jobs and of callbacks: those of the
	// twins differ, what they may do does not.
	epochs, calls map[remoteinvoke.Key][][2]int64
}

// both asks both stores and compares the answers.
func (w *twins) both(what string, ask func(i int, s remoteinvoke.Store) (any, error)) {
	w.Helper()
	a, aerr := ask(0, w.stores[0])
	b, berr := ask(1, w.stores[1])
	for _, known := range []error{remoteinvoke.ErrLost, remoteinvoke.ErrNotFound, remoteinvoke.ErrReused, remoteinvoke.ErrFull} {
		require.Equal(w, errors.Is(aerr, known), errors.Is(berr, known), "%s: %v, %v", what, aerr, berr)
	}
	require.Equal(w, aerr == nil, berr == nil, "%s: %v, %v", what, aerr, berr)
	if aerr == nil {
		require.Equal(w, a, b, what)
	}
}

func (w *twins) key() remoteinvoke.Key {
	return remoteinvoke.Key{Service: "svc", Caller: []string{"ann", "bob"}[w.r.IntN(2)], ID: fmt.Sprint("id", w.r.IntN(3))}
}

// span is nothing, or some seconds.
func (w *twins) span() time.Duration { return time.Duration(w.r.IntN(6)*1500) * time.Millisecond }

func (w *twins) step() {
	ctx := context.Background()
	k := w.key()
	// All at once: those that became due at one instant have no order.
	claim := remoteinvoke.Claim{Service: "svc", Owner: "w", Lease: w.span() + time.Second, Max: 100}
	switch n := w.r.IntN(10); n {
	case 0, 1:
		input := fmt.Append(nil, w.r.IntN(2))
		e := remoteinvoke.Entry{Key: k, Input: input, Sum: sha256.Sum256(input), StartBy: w.span(), Timeout: 3 * w.span(), KeepResult: w.span()}
		e.Remember = e.KeepResult + w.span()
		if w.r.IntN(2) == 0 {
			e.Callback = "https://me.example/"
		}
		w.both("add", func(_ int, s remoteinvoke.Store) (any, error) {
			r, added, err := s.Add(ctx, e, 0)
			return fmt.Sprint(r, r.Failure, added), err
		})
	case 2, 3:
		w.claim(ctx, claim)
	case 4, 5, 6:
		if es := w.epochs[k]; len(es) > 0 {
			// Mostly the last claim, sometimes one before.
			e, u := es[max(0, len(es)-1-w.r.IntN(5)/4)], w.update()
			w.both(fmt.Sprintf("update %v %+v", k, u), func(i int, s remoteinvoke.Store) (any, error) { return s.Update(ctx, k, e[i], u) })
		}
	case 7:
		w.both("cancel", func(_ int, s remoteinvoke.Store) (any, error) {
			r, err := s.Cancel(ctx, k)
			return fmt.Sprint(r, r.Failure), err
		})
	case 8:
		w.both("sweep", func(_ int, s remoteinvoke.Store) (any, error) { return s.Sweep(ctx, "svc", 100) })
	case 9:
		if es := w.calls[k]; len(es) > 0 && w.r.IntN(2) == 0 {
			e, again := es[len(es)-1], w.span()
			w.both("called", func(i int, s remoteinvoke.Store) (any, error) { return nil, s.Called(ctx, k, e[i], again) })
			break
		}
		var epochs [2]map[remoteinvoke.Key]int64
		w.both("calls", func(i int, s remoteinvoke.Store) (any, error) {
			cs, err := s.Calls(ctx, claim)
			epochs[i] = map[remoteinvoke.Key]int64{}
			var text []string
			for _, c := range cs {
				epochs[i][c.Key()] = c.Epoch
				text = append(text, fmt.Sprint(c.Record, c.Failure, c.Attempt))
			}
			slices.Sort(text)
			return strings.Join(text, "\n"), err
		})
		for k, e := range epochs[0] {
			w.calls[k] = append(w.calls[k], [2]int64{e, epochs[1][k]})
		}
	}
	for _, caller := range []string{"ann", "bob"} {
		for id := range 3 {
			k := remoteinvoke.Key{Service: "svc", Caller: caller, ID: fmt.Sprint("id", id)}
			w.both("result", func(_ int, s remoteinvoke.Store) (any, error) {
				r, out, err := s.Result(ctx, k)
				return fmt.Sprint(r, r.Failure, string(out), out == nil), err
			})
		}
	}
}

func (w *twins) claim(ctx context.Context, c remoteinvoke.Claim) {
	var epochs [2]map[remoteinvoke.Key]int64
	w.both("claim", func(i int, s remoteinvoke.Store) (any, error) {
		ts, err := s.Claim(ctx, c)
		epochs[i] = map[remoteinvoke.Key]int64{}
		var text []string
		for _, t := range ts {
			epochs[i][t.Key()] = t.Epoch
			text = append(text, fmt.Sprint(t.Record, t.Failure, string(t.Input), string(t.Saved), t.Saved == nil, t.Died))
		}
		slices.Sort(text)
		return strings.Join(text, "\n"), err
	})
	for k, e := range epochs[0] {
		w.epochs[k] = append(w.epochs[k], [2]int64{e, epochs[1][k]})
	}
}

func (w *twins) update() remoteinvoke.Update {
	u := remoteinvoke.Update{Verdict: remoteinvoke.Verdict(w.r.IntN(4)), Lease: w.span(), After: w.span()}
	if w.r.IntN(2) == 0 {
		u.Progress = &remoteinvoke.Progress{Done: int64(w.r.IntN(3)), Total: 3, Note: "n"}
	}
	if w.r.IntN(2) == 0 {
		u.Saved = fmt.Append(nil, w.r.IntN(100))
	}
	if u.Verdict == remoteinvoke.End {
		switch w.r.IntN(3) {
		case 0:
			u.State, u.Output = remoteinvoke.Done, []byte(`"out"`)
		case 1:
			u.State, u.Failure = remoteinvoke.Failed, &remoteinvoke.Failure{Code: "c", Message: "m"}
		default:
			u.State = remoteinvoke.Canceled
		}
	}
	return u
}

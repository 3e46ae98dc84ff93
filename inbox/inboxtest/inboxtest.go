// Package inboxtest is the kit that every [inbox.Store] passes.
//
//	func TestStore(t *testing.T) {
//		inboxtest.TestStore(t, func(t *testing.T) inbox.Store { return mystore.Open(t) })
//	}
package inboxtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crosstie/crosstie/inbox"
	"github.com/crosstie/crosstie/outcome"
)

// at is the time of the messages here: inside no window of today, because
// windows are the business of the inbox and not of its store.
var at = time.Date(2026, 3, 1, 12, 0, 0, 123_000_000, time.UTC)

var errBoom = errors.New("boom")

// TestStore runs every test of the kit, each on an empty store of its own from
// open.
func TestStore(t *testing.T, open func(t *testing.T) inbox.Store) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, s inbox.Store)
	}{
		{"a first id runs and a second does not", firstAndSecond},
		{"fn gets the values of the caller's context", callersContext},
		{"ids are kept apart", apart},
		{"an error rolls back", failure},
		{"a panic rolls back and goes on", panics},
		{"of concurrent duplicates one runs", concurrent},
		{"of concurrent duplicates another runs if one failed", concurrentFailure},
		{"an ended context records nothing", ended},
		{"forget deletes what is older and refuses it after", forget},
		{"forget never lowers the mark", mark},
		{"forget keeps to its inbox", forgetApart},
		{"once joins the transaction", once},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

// do runs s.Do with a function that counts its runs.
func do(t *testing.T, s inbox.Store, box, id string, at time.Time, fail error) (first bool, runs int, err error) {
	t.Helper()
	first, err = s.Do(t.Context(), box, id, at, func(context.Context, *sql.Tx) error {
		runs++
		return fail
	})
	return first, runs, err
}

func want(t *testing.T, s inbox.Store, box, id string, at time.Time, first bool) {
	t.Helper()
	got, runs, err := do(t, s, box, id, at, nil)
	if err != nil {
		t.Fatalf("Do(%s, %s): %v", box, id, err)
	}
	if got != first || (runs > 0) != first {
		t.Fatalf("Do(%s, %s) = first %v with %d runs of fn, want first %v", box, id, got, runs, first)
	}
}

func wantTooOld(t *testing.T, s inbox.Store, box, id string, at time.Time) {
	t.Helper()
	first, runs, err := do(t, s, box, id, at, nil)
	if !errors.Is(err, inbox.ErrTooOld) || first || runs != 0 {
		t.Fatalf("Do(%s, %s) = first %v, %v with %d runs of fn, want ErrTooOld and none", box, id, first, err, runs)
	}
}

func firstAndSecond(t *testing.T, s inbox.Store) {
	want(t, s, "box", "id", at, true)
	for range 3 {
		want(t, s, "box", "id", at, false)
	}
	want(t, s, "box", "id", at.Add(time.Hour), false)
	want(t, s, "box", "id", at.Add(-time.Hour), false)
}

func callersContext(t *testing.T, s inbox.Store) {
	type key struct{}
	_, err := s.Do(context.WithValue(t.Context(), key{}, "value"), "box", "id", at, func(ctx context.Context, _ *sql.Tx) error {
		if ctx.Value(key{}) != "value" {
			t.Error("fn does not see the values of the caller's context")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func apart(t *testing.T, s inbox.Store) {
	long := fmt.Sprintf("%0256d", 1)
	for _, id := range []string{"a", "A", "a%", "a_", "a'", `a\`, "ab", "!~", "1", "01", "1.0", long, long[1:]} {
		for _, box := range []string{"box", "Box", "box2", "o'box"} {
			want(t, s, box, id, at, true)
			want(t, s, box, id, at, false)
		}
	}
	// Names and ids must not run together.
	want(t, s, "x", "yz", at, true)
	want(t, s, "xy", "z", at, true)
}

func failure(t *testing.T, s inbox.Store) {
	for range 2 {
		first, _, err := do(t, s, "box", "id", at, fmt.Errorf("wrapped: %w", errBoom))
		if !errors.Is(err, errBoom) || first {
			t.Fatalf("Do = first %v, %v, want fn's error", first, err)
		}
	}
	want(t, s, "box", "id", at, true)
}

func panics(t *testing.T, s inbox.Store) {
	func() {
		defer func() {
			if recover() == nil {
				t.Fatal("the panic of fn was swallowed")
			}
		}()
		_, _ = s.Do(t.Context(), "box", "id", at, func(context.Context, *sql.Tx) error { panic(errBoom) })
	}()
	want(t, s, "box", "id", at, true)
	want(t, s, "box", "other", at, true)
}

func concurrent(t *testing.T, s inbox.Store) {
	const ids, copies = 8, 8
	var (
		runs, firsts [ids]atomic.Int32
		wg           sync.WaitGroup
		begin        = make(chan struct{})
	)
	for i := range ids {
		for range copies {
			wg.Go(func() {
				<-begin
				first, err := s.Do(t.Context(), "box", fmt.Sprint("id", i), at, func(context.Context, *sql.Tx) error {
					runs[i].Add(1)
					return nil
				})
				if err != nil {
					t.Errorf("Do of a duplicate: %v, want success", err)
				}
				if first {
					firsts[i].Add(1)
				}
			})
		}
	}
	close(begin)
	wg.Wait()
	for i := range ids {
		if runs[i].Load() != 1 || firsts[i].Load() != 1 {
			t.Errorf("id%d ran %d times and was first %d times, want once", i, runs[i].Load(), firsts[i].Load())
		}
	}
}

func concurrentFailure(t *testing.T, s inbox.Store) {
	const copies = 8
	var (
		runs, failed, firsts atomic.Int32
		wg                   sync.WaitGroup
		begin                = make(chan struct{})
	)
	for range copies {
		wg.Go(func() {
			<-begin
			first, err := s.Do(t.Context(), "box", "id", at, func(context.Context, *sql.Tx) error {
				if runs.Add(1) <= 2 {
					return errBoom
				}
				return nil
			})
			switch {
			case errors.Is(err, errBoom):
				failed.Add(1)
			case err != nil:
				t.Errorf("Do: %v", err)
			case first:
				firsts.Add(1)
			}
		})
	}
	close(begin)
	wg.Wait()
	if failed.Load() != 2 || runs.Load() != 3 || firsts.Load() != 1 {
		t.Errorf("%d failed, %d runs, %d first; want 2, 3 and 1", failed.Load(), runs.Load(), firsts.Load())
	}
}

func ended(t *testing.T, s inbox.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ran := false
	_, err := s.Do(ctx, "box", "id", at, func(ctx context.Context, _ *sql.Tx) error {
		ran = true
		return ctx.Err()
	})
	if !errors.Is(err, context.Canceled) || ran {
		t.Fatalf("Do on an ended context = %v and ran %v, want the context's error and no run", err, ran)
	}
	if o := outcome.Of(err); o != outcome.NotSent && o != outcome.Refused {
		t.Errorf("the outcome is %v although nothing was done", o)
	}
	want(t, s, "box", "id", at, true)
}

func forget(t *testing.T, s inbox.Store) {
	old, edge, young := at.Add(-time.Millisecond), at, at.Add(time.Millisecond)
	want(t, s, "box", "old", old, true)
	want(t, s, "box", "edge", edge, true)
	want(t, s, "box", "young", young, true)
	n, err := s.Forget(t.Context(), "box", at)
	if err != nil || n != 1 {
		t.Fatalf("Forget = %d, %v, want 1", n, err)
	}
	wantTooOld(t, s, "box", "old", old)
	wantTooOld(t, s, "box", "never seen", old)
	want(t, s, "box", "edge", edge, false)
	want(t, s, "box", "young", young, false)
	want(t, s, "box", "new", edge, true)
	// The id is free again, for a message of a time that is remembered.
	want(t, s, "box", "old", young, true)
	if n, err := s.Forget(t.Context(), "box", at); err != nil || n != 0 {
		t.Fatalf("a second Forget = %d, %v, want 0", n, err)
	}
}

func mark(t *testing.T, s inbox.Store) {
	for _, before := range []time.Time{at, at.Add(-time.Hour)} {
		if n, err := s.Forget(t.Context(), "box", before); err != nil || n != 0 {
			t.Fatalf("Forget of an empty inbox = %d, %v", n, err)
		}
	}
	wantTooOld(t, s, "box", "id", at.Add(-time.Minute))
	want(t, s, "box", "id", at, true)
}

func forgetApart(t *testing.T, s inbox.Store) {
	want(t, s, "box", "id", at, true)
	want(t, s, "other", "id", at, true)
	if n, err := s.Forget(t.Context(), "box", at.Add(time.Hour)); err != nil || n != 1 {
		t.Fatalf("Forget = %d, %v, want 1", n, err)
	}
	want(t, s, "other", "id", at, false)
	want(t, s, "other", "new", at, true)
}

func once(t *testing.T, s inbox.Store) {
	ctx := t.Context()
	noTx := false
	join := func(id string, want bool, then error) error {
		_, err := s.Do(ctx, "outer", "run of "+id+fmt.Sprint(want, then), at, func(ctx context.Context, tx *sql.Tx) error {
			if tx == nil {
				noTx = true
				_, err := s.Once(ctx, tx, "box", id, at)
				if !errors.Is(err, inbox.ErrNoTx) {
					t.Errorf("Once on a store without transactions = %v, want ErrNoTx", err)
				}
				return nil
			}
			first, err := s.Once(ctx, tx, "box", id, at)
			if err != nil {
				return err
			}
			if first != want {
				t.Errorf("Once(%s) = first %v, want %v", id, first, want)
			}
			if again, err := s.Once(ctx, tx, "box", id, at); err != nil || again {
				t.Errorf("Once(%s) again in the same transaction = first %v, %v", id, again, err)
			}
			return then
		})
		return err
	}
	if err := join("id", true, errBoom); noTx {
		return // there is nothing to join, and the store says so
	} else if !errors.Is(err, errBoom) {
		t.Fatalf("Do = %v, want fn's error", err)
	}
	for _, first := range []bool{true, false} { // the rollback made it new again
		if err := join("id", first, nil); err != nil {
			t.Fatal(err)
		}
	}
	want(t, s, "box", "id", at, false)
	if _, err := s.Forget(ctx, "box", at.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := join("too old", true, nil); !errors.Is(err, inbox.ErrTooOld) {
		t.Fatalf("Once below the mark = %v, want ErrTooOld", err)
	}
}

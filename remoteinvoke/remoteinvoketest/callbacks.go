package remoteinvoketest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/crosstie/crosstie/remoteinvoke"
)

// TestCallbackStore runs the kit of stores of callbacks. open returns a new
// empty store.
func TestCallbackStore(t *testing.T, open func(t *testing.T) remoteinvoke.CallbackStore) {
	key := remoteinvoke.Key{Service: "svc", Caller: "ann", ID: "id"}
	status := func(v int64, s remoteinvoke.State) remoteinvoke.Status {
		at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
		return remoteinvoke.Status{
			ID: "id", State: s, Version: v, Attempt: 2, Progress: remoteinvoke.Progress{Done: 1, Total: 2, Note: "n"},
			Failure: &remoteinvoke.Failure{Code: "c", Message: "m"}, Created: at, Updated: at.Add(time.Second), Deadline: at.Add(time.Hour),
		}
	}
	text := func(st remoteinvoke.Status) string { f := st.Failure; st.Failure = nil; return fmt.Sprint(st, *f) }
	must := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Run("the newest is kept", func(t *testing.T) {
		s := open(t)
		_, err := s.Load(t.Context(), key)
		if !errors.Is(err, remoteinvoke.ErrNotFound) {
			t.Fatalf("got %v, want ErrNotFound", err)
		}
		for _, c := range []struct {
			v       int64
			changed bool
		}{{3, true}, {3, false}, {2, false}, {5, true}, {4, false}} {
			changed, err := s.Put(t.Context(), key, status(c.v, remoteinvoke.Failed))
			must(t, err)
			if changed != c.changed {
				t.Fatalf("version %d: changed is %v", c.v, changed)
			}
		}
		st, err := s.Load(t.Context(), key)
		must(t, err)
		if text(st) != text(status(5, remoteinvoke.Failed)) {
			t.Fatalf("got %+v", st)
		}
	})
	t.Run("an id that is used again begins anew", func(t *testing.T) {
		s := open(t)
		first, second := status(5, remoteinvoke.Failed), status(3, remoteinvoke.Done)
		second.Created = first.Created.Add(time.Hour)
		for _, st := range []remoteinvoke.Status{first, second, first} {
			changed, err := s.Put(t.Context(), key, st)
			must(t, err)
			kept, err := s.Load(t.Context(), key)
			must(t, err)
			if late := !kept.Created.Equal(st.Created); late == changed {
				t.Fatalf("created %v: changed is %v, kept is %v", st.Created, changed, kept.Created)
			}
		}
	})
	t.Run("callers, services and ids are apart", func(t *testing.T) {
		s := open(t)
		for i, k := range []remoteinvoke.Key{key, {Service: "other", Caller: "ann", ID: "id"}, {Service: "svc", Caller: "bob", ID: "id"}, {Service: "svc", Caller: "ann", ID: "di"}} {
			changed, err := s.Put(t.Context(), k, status(int64(9-i), remoteinvoke.Done))
			must(t, err)
			if !changed {
				t.Fatalf("%v was there before", k)
			}
		}
	})
	t.Run("old ones are forgotten", func(t *testing.T) {
		s := open(t)
		_, err := s.Put(t.Context(), key, status(3, remoteinvoke.Done))
		must(t, err)
		n, err := s.Forget(t.Context(), time.Now().Add(-time.Hour), 10)
		must(t, err)
		if n != 0 {
			t.Fatalf("%d forgotten too early", n)
		}
		n, err = s.Forget(t.Context(), time.Now().Add(time.Hour), 10)
		must(t, err)
		if n != 1 {
			t.Fatalf("%d forgotten", n)
		}
		_, err = s.Load(t.Context(), key)
		if !errors.Is(err, remoteinvoke.ErrNotFound) {
			t.Fatalf("got %v, want ErrNotFound", err)
		}
	})
	t.Run("a context that has ended", func(t *testing.T) {
		s := open(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.Put(ctx, key, status(1, remoteinvoke.Done)); err == nil {
			t.Fatal("kept")
		}
	})
}

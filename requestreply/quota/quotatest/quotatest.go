// Package quotatest tests implementations of quota.Store:
//
//	func TestQuotas(t *testing.T) {
//		quotatest.TestStore(t, func(t *testing.T) quota.Store { return open(t).Quotas() })
//	}
//
// # Concurrency
//
// Tests run one after another; some call the store from many goroutines.
package quotatest

import (
	"sync"
	"testing"
	"time"

	"github.com/crosstie/crosstie/requestreply/quota"
)

// TestStore tests the store that open returns, a new and empty one for each
// test.
func TestStore(t *testing.T, open func(t *testing.T) quota.Store) {
	at := time.Date(2026, 11, 24, 12, 0, 0, 123_456_000, time.UTC)
	full := quota.State{Used: 1 << 40, Limit: 5000, Until: at, Shut: at.Add(time.Hour)}

	t.Run("a new name is empty", func(t *testing.T) {
		s := open(t)
		got, version := load(t, s, "a")
		if got != (quota.State{}) || version != 0 {
			t.Fatalf("got %+v, version %d", got, version)
		}
	})
	t.Run("what is saved is loaded", func(t *testing.T) {
		s := open(t)
		for _, want := range []quota.State{full, {Until: at}, {}, {Used: 3, Shut: at}} {
			_, version := load(t, s, "a")
			save(t, s, "a", version, want, true)
			got, next := load(t, s, "a")
			same(t, want, got)
			if next <= version {
				t.Fatalf("version %d after %d", next, version)
			}
		}
	})
	t.Run("who comes late saves nothing", func(t *testing.T) {
		s := open(t)
		save(t, s, "a", 0, full, true)
		save(t, s, "a", 0, quota.State{Used: 1}, false)
		_, version := load(t, s, "a")
		save(t, s, "a", version, quota.State{Used: 2}, true)
		save(t, s, "a", version, quota.State{Used: 3}, false)
		save(t, s, "a", version+7, quota.State{Used: 4}, false)
		save(t, s, "never saved", 1, quota.State{Used: 5}, false)
		got, _ := load(t, s, "a")
		same(t, quota.State{Used: 2}, got)
	})
	t.Run("names are apart", func(t *testing.T) {
		s := open(t)
		for _, name := range []string{"", "a", "A", "a ", "ü", "x'; DROP TABLE"} {
			_, version := load(t, s, name)
			if version != 0 {
				t.Fatalf("%q is there already", name)
			}
			save(t, s, name, 0, quota.State{Used: int64(len(name))}, true)
		}
		got, _ := load(t, s, "ü")
		same(t, quota.State{Used: 2}, got)
	})
	t.Run("nothing is lost among many", func(t *testing.T) {
		s := open(t)
		const workers, each = 8, 25
		var wg sync.WaitGroup
		for range workers {
			wg.Go(func() {
				for range each {
					for {
						st, version, err := s.Load(t.Context(), "a")
						if err != nil {
							t.Error(err)
							return
						}
						st.Used++
						ok, err := s.Save(t.Context(), "a", version, st)
						if err != nil {
							t.Error(err)
							return
						}
						if ok {
							break
						}
					}
				}
			})
		}
		wg.Wait()
		got, _ := load(t, s, "a")
		if got.Used != workers*each {
			t.Fatalf("%d of %d", got.Used, workers*each)
		}
	})
}

func load(t *testing.T, s quota.Store, name string) (quota.State, int64) {
	t.Helper()
	st, version, err := s.Load(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return st, version
}

func save(t *testing.T, s quota.Store, name string, version int64, st quota.State, want bool) {
	t.Helper()
	ok, err := s.Save(t.Context(), name, version, st)
	if err != nil || ok != want {
		t.Fatalf("saved %v, want %v (%v)", ok, want, err)
	}
}

func same(t *testing.T, want, got quota.State) {
	t.Helper()
	if got.Used != want.Used || got.Limit != want.Limit || !got.Until.Equal(want.Until) || !got.Shut.Equal(want.Shut) {
		t.Fatalf("got %+v, want %+v", got, want)
	}
}

// Package servertest tests implementations of server.Keys and server.TxKeys.
//
// A store passes when it keeps what the port promises, under concurrency and
// with owners that were paused past their lease:
//
//	func TestKeys(t *testing.T) {
//		servertest.TestTxKeys(t, func(t *testing.T) server.TxKeys { return open(t).Keys() })
//	}
//
// # Concurrency
//
// Tests run one after another; several of them call the store from many
// goroutines.
package servertest

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/crosstie/crosstie/requestreply/server"
)

const (
	long  = time.Hour
	short = 30 * time.Millisecond
	// patience is how long a test waits for what must come.
	patience = 20 * time.Second
)

var (
	first  = [32]byte{1}
	second = [32]byte{2}
	answer = server.Reply{
		Status: 201,
		Header: http.Header{"Content-Type": {"application/json"}, "Link": {"<a>", "<b>"}},
		Body:   []byte("{\"n\": \"\x00\xff\"}"),
	}
)

// TestKeys tests the store that open returns, a new and empty one for each
// test.
func TestKeys(t *testing.T, open func(t *testing.T) server.Keys) {
	run := func(name string, fn func(t *testing.T, k server.Keys)) {
		t.Run(name, func(t *testing.T) { fn(t, open(t)) })
	}

	run("a new key is claimed", func(t *testing.T, k server.Keys) {
		c := claim(t, k, "k", first, long)
		if c.Key != "k" || c.Reply != nil || c.Abandoned {
			t.Fatalf("got %+v", c)
		}
	})
	run("a claimed key is in flight", func(t *testing.T, k server.Keys) {
		claim(t, k, "k", first, long)
		refuse(t, k, "k", first, server.ErrInFlight)
		refuse(t, k, "k", second, server.ErrReused)
		claim(t, k, "another", first, long)
	})
	run("a finished key has its answer", func(t *testing.T, k server.Keys) {
		c := claim(t, k, "k", first, long)
		must(t, k.Finish(t.Context(), c, answer))
		replays(t, k, "k", first, answer)
		refuse(t, k, "k", second, server.ErrReused)
		lost(t, k.Finish(t.Context(), c, server.Reply{Status: 500}))
		lost(t, k.Renew(t.Context(), c, long))
		must(t, k.Release(t.Context(), c))
		replays(t, k, "k", first, answer)
	})
	run("answers without a body", func(t *testing.T, k server.Keys) {
		for _, r := range []server.Reply{
			{Status: 204},
			{Status: 200, Missing: server.TooLarge},
			{Status: 500, Missing: server.Unsettled},
		} {
			key := "k" + r.Missing
			must(t, k.Finish(t.Context(), claim(t, k, key, first, long), r))
			replays(t, k, key, first, r)
		}
	})
	run("a large answer", func(t *testing.T, k server.Keys) {
		r := server.Reply{Status: 200, Body: bytes.Repeat([]byte("x"), 1<<20)}
		must(t, k.Finish(t.Context(), claim(t, k, "k", first, long), r))
		replays(t, k, "k", first, r)
	})
	run("an answer is copied", func(t *testing.T, k server.Keys) {
		r := server.Reply{Status: 200, Header: http.Header{"A": {"1"}}, Body: []byte("kept")}
		must(t, k.Finish(t.Context(), claim(t, k, "k", first, long), r))
		r.Body[0], r.Header["A"][0] = 'X', "X"
		got := replays(t, k, "k", first, server.Reply{Status: 200, Header: http.Header{"A": {"1"}}, Body: []byte("kept")})
		got.Body[0], got.Header["A"][0] = 'X', "X"
		replays(t, k, "k", first, server.Reply{Status: 200, Header: http.Header{"A": {"1"}}, Body: []byte("kept")})
	})
	run("a released key begins anew", func(t *testing.T, k server.Keys) {
		old := claim(t, k, "k", first, long)
		must(t, k.Release(t.Context(), old))
		c := claim(t, k, "k", second, long)
		if c.Abandoned {
			t.Fatal("a released key is not abandoned")
		}
		fenced(t, k, old, c)
		refuse(t, k, "k", first, server.ErrReused)
		refuse(t, k, "k", second, server.ErrInFlight)
	})
	run("an abandoned key is claimed again", func(t *testing.T, k server.Keys) {
		old := claim(t, k, "k", first, short)
		refuse(t, k, "k", second, server.ErrReused)
		c := eventually(t, k, "k", first)
		if !c.Abandoned || c.Reply != nil {
			t.Fatalf("got %+v", c)
		}
		refuse(t, k, "k", second, server.ErrReused)
		fenced(t, k, old, c)
		must(t, k.Finish(t.Context(), c, answer))
		replays(t, k, "k", first, answer)
	})
	run("a late owner nobody replaced may go on", func(t *testing.T, k server.Keys) {
		c := claim(t, k, "k", first, time.Millisecond)
		pause(t, 5*time.Millisecond)
		must(t, k.Renew(t.Context(), c, long))
		refuse(t, k, "k", first, server.ErrInFlight)
		must(t, k.Finish(t.Context(), c, answer))
		replays(t, k, "k", first, answer)
	})
	run("a renewed lease lasts", func(t *testing.T, k server.Keys) {
		c := claim(t, k, "k", first, short)
		must(t, k.Renew(t.Context(), c, long))
		must(t, k.Renew(t.Context(), c, time.Millisecond)) // shortens nothing
		pause(t, 3*short)
		refuse(t, k, "k", first, server.ErrInFlight)
	})
	run("a key older than it is kept is new", func(t *testing.T, k server.Keys) {
		old, err := k.Claim(t.Context(), "k", first, long, short)
		must(t, err)
		must(t, k.Finish(t.Context(), old, answer))
		c := eventually(t, k, "k", second)
		if c.Reply != nil || c.Abandoned {
			t.Fatalf("got %+v", c)
		}
		fenced(t, k, old, c)
	})
	run("forgetting", func(t *testing.T, k server.Keys) {
		for _, key := range []string{"a", "b", "c"} {
			c, err := k.Claim(t.Context(), key, first, long, time.Millisecond)
			must(t, err)
			must(t, k.Finish(t.Context(), c, answer))
		}
		held, err := k.Claim(t.Context(), "held", first, long, time.Millisecond)
		must(t, err)
		kept := claim(t, k, "kept", first, long)
		must(t, k.Finish(t.Context(), kept, answer))
		pause(t, 5*time.Millisecond)
		if n, err := k.Forget(t.Context(), 1); n > 1 || err != nil {
			t.Fatalf("forgot %d: %v", n, err)
		}
		for {
			n, err := k.Forget(t.Context(), 100)
			must(t, err)
			if n == 0 {
				break
			}
		}
		replays(t, k, "kept", first, answer)
		refuse(t, k, "held", first, server.ErrInFlight)
		again := claim(t, k, "a", second, long)
		must(t, k.Finish(t.Context(), held, answer))
		must(t, k.Finish(t.Context(), again, answer))
	})
	run("a forgotten owner stays fenced", func(t *testing.T, k server.Keys) {
		old, err := k.Claim(t.Context(), "k", first, time.Millisecond, time.Millisecond)
		must(t, err)
		pause(t, 5*time.Millisecond)
		_, err = k.Forget(t.Context(), 100)
		must(t, err)
		fenced(t, k, old, claim(t, k, "k", first, long))
	})
	run("of many that claim one gets it", func(t *testing.T, k server.Keys) {
		var wg sync.WaitGroup
		var mu sync.Mutex
		got := 0
		for range 16 {
			wg.Go(func() {
				c, err := k.Claim(t.Context(), "k", first, long, long)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil && c.Reply == nil:
					got++
				case !errors.Is(err, server.ErrInFlight):
					t.Errorf("got %+v, %v", c, err)
				}
			})
		}
		wg.Wait()
		if got != 1 {
			t.Fatalf("%d claims", got)
		}
	})
	run("a context that has ended claims nothing", func(t *testing.T, k server.Keys) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := k.Claim(ctx, "k", first, long, long); !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
		claim(t, k, "k", first, long)
	})
}

func claim(t *testing.T, k server.Keys, key string, request [32]byte, lease time.Duration) server.Claim {
	t.Helper()
	c, err := k.Claim(t.Context(), key, request, lease, long)
	must(t, err)
	if c.Reply != nil {
		t.Fatalf("%s is finished", key)
	}
	return c
}

func refuse(t *testing.T, k server.Keys, key string, request [32]byte, want error) {
	t.Helper()
	if c, err := k.Claim(t.Context(), key, request, long, long); !errors.Is(err, want) {
		t.Fatalf("claiming %s: got %+v, %v; want %v", key, c, err, want)
	}
}

func replays(t *testing.T, k server.Keys, key string, request [32]byte, want server.Reply) *server.Reply {
	t.Helper()
	c, err := k.Claim(t.Context(), key, request, long, long)
	must(t, err)
	if c.Reply == nil {
		t.Fatalf("%s was claimed; want its answer", key)
	}
	got := *c.Reply
	if got.Status != want.Status || got.Missing != want.Missing || !bytes.Equal(got.Body, want.Body) ||
		len(got.Header)+len(want.Header) > 0 && !reflect.DeepEqual(got.Header, want.Header) {
		t.Fatalf("answer of %s: got %+v, want %+v", key, got, want)
	}
	return c.Reply
}

// fenced checks that the owner of old can no longer write, and that this does
// not disturb the owner of now.
func fenced(t *testing.T, k server.Keys, old, now server.Claim) {
	t.Helper()
	if now.Epoch <= old.Epoch {
		t.Fatalf("epoch %d after %d", now.Epoch, old.Epoch)
	}
	lost(t, k.Finish(t.Context(), old, answer))
	lost(t, k.Renew(t.Context(), old, long))
	must(t, k.Release(t.Context(), old))
	must(t, k.Renew(t.Context(), now, long))
}

// eventually claims key once it can be.
func eventually(t *testing.T, k server.Keys, key string, request [32]byte) server.Claim {
	t.Helper()
	for end := time.Now().Add(patience); ; pause(t, short/10) {
		c, err := k.Claim(t.Context(), key, request, long, long)
		if err == nil {
			return c
		}
		if !errors.Is(err, server.ErrInFlight) && !errors.Is(err, server.ErrReused) || time.Now().After(end) {
			t.Fatalf("claiming %s: %v", key, err)
		}
	}
}

func pause(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func lost(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, server.ErrLost) {
		t.Fatalf("got %v, want server.ErrLost", err)
	}
}

package uiupdate_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/uiupdate"
	"github.com/crosstie/crosstie/uiupdate/uiupdatetest"
)

// leanly serves a view on real sockets with the connections taken over.
func leanly(t *testing.T, v *uiupdate.View[string, string], o uiupdate.HandlerOptions) (*uiupdate.Handler, *httptest.Server) {
	t.Helper()
	o.Lean = true
	h := uiupdate.NewHandler(v, &o)
	server := httptest.NewServer(h)
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // ends all at once
		_ = h.Shutdown(ctx)
		server.Close()
	})
	return h, server
}

// within waits for a condition that other goroutines bring about.
func within(t *testing.T, done func() bool) {
	t.Helper()
	for limit := time.Now().Add(30 * time.Second); !done(); runtime.Gosched() {
		require.True(t, time.Now().Before(limit), "it does not come")
	}
}

// Lean streams keep the contract of the others, readers that do not read
// among them.
func TestStreamLean(t *testing.T) {
	for name, window := range map[string]int{"window": 0, "small window": 1} {
		t.Run(name, func(t *testing.T) {
			uiupdatetest.TestStream(t, func(t *testing.T) uiupdatetest.Subject {
				view := uiupdate.NewView[string, string](&uiupdate.ViewOptions{Window: window})
				_, server := leanly(t, view, uiupdate.HandlerOptions{})
				return uiupdatetest.Subject{
					URL: server.URL, Client: server.Client(),
					Set:    func(key, value string) { require.NoError(t, view.Set(key, value, time.Now())) },
					Delete: func(key string) { require.NoError(t, view.Delete(key, time.Now())) },
				}
			})
		})
	}
}

func TestLeanEnds(t *testing.T) {
	open := func(t *testing.T, server *httptest.Server) *uiupdatetest.Client {
		c := &uiupdatetest.Client{URL: server.URL, HTTP: server.Client()}
		require.NoError(t, c.Connect(t.Context()))
		t.Cleanup(c.Close)
		require.NoError(t, c.Until(live))
		return c
	}
	t.Run("the client goes", func(t *testing.T) {
		v := uiupdate.NewView[string, string](nil)
		h, server := leanly(t, v, uiupdate.HandlerOptions{Heartbeat: time.Second})
		stays := open(t, server)
		open(t, server).Close()
		within(t, func() bool { return h.Stats().Open == 1 && v.Stats().Readers == 1 })
		require.Zero(t, h.Stats().Dropped)
		_, err := stays.Next()
		require.NoError(t, err, "a heartbeat")
	})
	t.Run("the client takes nothing", func(t *testing.T) {
		v := uiupdate.NewView[string, string](nil)
		h, server := leanly(t, v, uiupdate.HandlerOptions{WriteTimeout: 100 * time.Millisecond})
		reader := open(t, server)
		open(t, server) // does not read
		big := strings.Repeat("x", 32<<10)
		last := ""
		for i := 0; h.Stats().Dropped == 0; i++ {
			last = strings.Repeat("y", i%7) + big
			require.NoError(t, v.Set("a", last, time.Now()))
			require.NoError(t, reader.Until(func(c *uiupdatetest.Copy) bool { return len(c.Rows["a"].Value) == len(last)+2 }))
			require.Less(t, i, 100_000)
		}
		require.Equal(t, 1, h.Stats().Open)
	})
	t.Run("its authorization ends", func(t *testing.T) {
		v := uiupdate.NewView[string, string](nil)
		h, server := leanly(t, v, uiupdate.HandlerOptions{Authorize: func(*http.Request) (time.Time, error) {
			return time.Now().Add(200 * time.Millisecond), nil
		}})
		c := open(t, server)
		require.ErrorIs(t, c.Until(func(*uiupdatetest.Copy) bool { return false }), io.EOF)
		require.EqualValues(t, 1, h.Stats().Expired)
	})
	t.Run("the handler shuts down", func(t *testing.T) {
		v := uiupdate.NewView[string, string](nil)
		h, server := leanly(t, v, uiupdate.HandlerOptions{Drain: 50 * time.Millisecond})
		for range 20 {
			open(t, server)
		}
		require.NoError(t, h.Shutdown(t.Context()))
		require.Zero(t, h.Stats().Open)
		require.Zero(t, v.Stats().Readers)
	})
	t.Run("in a hurry, with one that takes nothing", func(t *testing.T) {
		v := uiupdate.NewView[string, string](nil)
		h, server := leanly(t, v, uiupdate.HandlerOptions{WriteTimeout: -1, Drain: time.Hour})
		open(t, server)
		big := strings.Repeat("x", 60<<10)
		for range 300 { // more than a connection holds
			require.NoError(t, v.Set("a", big, time.Now()))
			big = "y" + big[1:]
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, h.Shutdown(ctx), context.Canceled)
		require.Zero(t, h.Stats().Open)
	})
}

// What is no connection of the system is served as it is.
func TestLeanWithoutSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := uiupdate.NewView[string, int](nil)
		h := uiupdate.NewHandler(v, &uiupdate.HandlerOptions{Lean: true})
		c := browser(serve(t, h))
		require.NoError(t, c.Connect(t.Context()))
		require.NoError(t, c.Until(live))
		require.NoError(t, v.Set("a", 1, time.Now()))
		require.NoError(t, c.Until(func(c *uiupdatetest.Copy) bool { return len(c.Rows) == 1 }))
		go func() { _ = c.Until(func(*uiupdatetest.Copy) bool { return false }) }()
		require.NoError(t, h.Shutdown(t.Context()))
		require.Zero(t, h.Stats().Open)
		synctest.Wait()
		c.Close()
	})
}

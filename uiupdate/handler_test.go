package uiupdate_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/uiupdate"
	"github.com/crosstie/crosstie/uiupdate/uiupdatetest"
)

// A stream is connected before anything happens, and a quiet one says every
// so often that it is alive, and how old the view is.
func TestHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := uiupdate.NewView[string, int](nil)
		c := browser(serve(t, uiupdate.NewHandler(v, nil)))
		defer c.Close()
		begun := time.Now()
		require.NoError(t, c.Connect(t.Context()))
		require.NoError(t, c.Until(live))
		require.Zero(t, time.Since(begun), "headers and live come at once")
		e, err := c.Next()
		require.NoError(t, err)
		require.Equal(t, "live", e.Type)
		require.Equal(t, 15*time.Second, time.Since(begun))
		var data struct{ HeartbeatMs int }
		require.NoError(t, json.Unmarshal([]byte(e.Data), &data))
		require.Equal(t, 15000, data.HeartbeatMs)

		time.Sleep(10 * time.Second)
		require.NoError(t, v.Set("a", 1, time.Now()))
		_, err = c.Next()
		require.NoError(t, err)
		require.Equal(t, 25*time.Second, time.Since(begun))
		_, err = c.Next()
		require.NoError(t, err)
		require.Equal(t, 40*time.Second, time.Since(begun), "a heartbeat is due after quiet, not by the clock")
	})
}

// An authorization ends while a stream is open, and the next is refused.
func TestAuthorize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := uiupdate.NewView[string, int](nil)
		until := time.Now().Add(time.Minute)
		h := uiupdate.NewHandler(v, &uiupdate.HandlerOptions{Authorize: func(r *http.Request) (time.Time, error) {
			switch {
			case r.Header.Get("Cookie") == "":
				return time.Time{}, fmt.Errorf("no cookie: %w", uiupdate.ErrUnauthorized)
			case r.Header.Get("Cookie") == "guest":
				return time.Time{}, errors.New("guests may not, said the secret rule")
			}
			return until, nil
		}})
		client := serve(t, h)
		status := func(cookie string) int {
			c := browser(client)
			c.Header = http.Header{}
			if cookie != "" {
				c.Header.Set("Cookie", cookie)
			}
			err := c.Connect(t.Context())
			if err == nil {
				c.Close()
				return 200
			}
			refused, ok := errors.AsType[*uiupdatetest.StatusError](err)
			require.True(t, ok, err)
			return refused.Status
		}
		require.Equal(t, 401, status(""))
		require.Equal(t, 403, status("guest"))
		require.Equal(t, 200, status("member"))

		c := browser(client)
		c.Header = http.Header{"Cookie": {"member"}}
		defer c.Close()
		require.NoError(t, c.Connect(t.Context()))
		require.ErrorIs(t, c.Until(func(*uiupdatetest.Copy) bool { return false }), io.EOF)
		require.False(t, time.Now().Before(until))
		require.False(t, time.Now().After(until))
		require.EqualValues(t, 1, h.Stats().Expired)
		require.Equal(t, 401, status("member"), "its time is over")
		require.EqualValues(t, 3, h.Stats().Refused)
		r := httptest.NewRecorder()
		h.ServeHTTP(r, httptest.NewRequest("GET", "/", nil))
		require.Equal(t, "Bearer", r.Header().Get("WWW-Authenticate"), "RFC 9110, section 15.5.2")
	})
}

// Who takes nothing is dropped and counted, and the others do not notice.
func TestWriteTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := uiupdate.NewView[string, int](nil)
		h := uiupdate.NewHandler(v, nil)
		client := serve(t, h)
		stuck, reader := browser(client), browser(client)
		defer stuck.Close()
		defer reader.Close()
		require.NoError(t, stuck.Connect(t.Context()))
		require.NoError(t, reader.Connect(t.Context()))
		require.NoError(t, stuck.Until(live))
		require.NoError(t, reader.Until(live))
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			for ctx.Err() == nil {
				if _, err := reader.Next(); err != nil {
					return
				}
			}
		})
		for i := range 100 {
			require.NoError(t, v.Set("a", i, time.Now()))
			time.Sleep(time.Second)
		}
		require.EqualValues(t, 1, h.Stats().Dropped)
		require.Equal(t, 1, h.Stats().Open)
		stop()
		reader.Close()
		wg.Wait()
		require.JSONEq(t, "99", string(reader.Copy.Rows["a"].Value))
		synctest.Wait()
		require.EqualValues(t, 1, h.Stats().Dropped, "who leaves is not dropped")
		require.Zero(t, v.Stats().Readers)
		require.NoError(t, stuck.Connect(t.Context()), "and may come back")
		require.NoError(t, stuck.Until(live))
		require.Equal(t, 1, stuck.Copy.Resets)
	})
}

// Shutdown ends all streams, spread over its time, and lets nobody in.
func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := uiupdate.NewView[string, int](nil)
		h := uiupdate.NewHandler(v, nil)
		client := serve(t, h)
		var wg sync.WaitGroup
		var mu sync.Mutex
		ends := map[time.Duration]int{} // whole seconds
		retries := map[time.Duration]bool{}
		begun := time.Now()
		for range 100 {
			c := browser(client)
			require.NoError(t, c.Connect(t.Context()))
			hello, err := c.Next()
			require.NoError(t, err)
			retries[hello.Retry] = true
			require.GreaterOrEqual(t, hello.Retry, 2*time.Second)
			require.LessOrEqual(t, hello.Retry, 4*time.Second)
			wg.Go(func() {
				defer c.Close()
				_ = c.Until(func(*uiupdatetest.Copy) bool { return false })
				mu.Lock()
				defer mu.Unlock()
				ends[time.Since(begun).Truncate(time.Second)]++
			})
		}
		require.Greater(t, len(retries), 50, "they come back at times of their own")
		synctest.Wait()
		require.Equal(t, 100, h.Stats().Open)
		require.NoError(t, h.Shutdown(t.Context()))
		wg.Wait()
		require.Less(t, time.Since(begun), 5*time.Second+time.Millisecond)
		require.Len(t, ends, 5, "some in each second")
		c := browser(client)
		err := c.Connect(t.Context())
		refused, ok := errors.AsType[*uiupdatetest.StatusError](err)
		require.True(t, ok, err)
		require.Equal(t, 503, refused.Status)
		again, err := strconv.Atoi(refused.Header.Get("Retry-After"))
		require.NoError(t, err)
		require.Positive(t, again)
		require.NoError(t, h.Shutdown(t.Context()), "twice is once")
	})
}

// A Shutdown whose context ends does not wait for a client that takes nothing.
func TestShutdownInAHurry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := uiupdate.NewView[string, string](nil)
		h := uiupdate.NewHandler(v, &uiupdate.HandlerOptions{WriteTimeout: -1, Drain: time.Hour})
		client := serve(t, h)
		stuck, idle := browser(client), browser(client)
		for _, c := range []*uiupdatetest.Client{stuck, idle} {
			defer c.Close()
			require.NoError(t, c.Connect(t.Context()))
			require.NoError(t, c.Until(live))
		}
		require.NoError(t, v.Set("a", strings.Repeat("x", 10_000), time.Now()))
		require.NoError(t, idle.Until(func(c *uiupdatetest.Copy) bool { return len(c.Rows) == 1 }))
		synctest.Wait()
		cause := errors.New("the process must end")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Minute, func() { cancel(cause) })
		begun := time.Now()
		require.ErrorIs(t, h.Shutdown(ctx), cause)
		require.Equal(t, time.Minute, time.Since(begun))
		require.Zero(t, h.Stats().Dropped)
		require.Zero(t, h.Stats().Open)
	})
}

// A view that has as many readers as it may says so, and when to come back.
func TestMaxReadersIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := uiupdate.NewView[string, int](&uiupdate.ViewOptions{MaxReaders: 2})
		h := uiupdate.NewHandler(v, nil)
		client := serve(t, h)
		var open []*uiupdatetest.Client
		for range 2 {
			c := browser(client)
			defer c.Close()
			require.NoError(t, c.Connect(t.Context()))
			open = append(open, c)
		}
		c := browser(client)
		refused, ok := errors.AsType[*uiupdatetest.StatusError](c.Connect(t.Context()))
		require.True(t, ok)
		require.Equal(t, 503, refused.Status)
		require.NotEmpty(t, refused.Header.Get("Retry-After"))
		require.Empty(t, refused.Header.Get("X-Accel-Buffering"))
		open[0].Close()
		synctest.Wait()
		require.NoError(t, c.Connect(t.Context()))
		c.Close()
	})
}

// An observer, which is the same in every room, sees each stream and how it
// ended.
type observed struct {
	mu  sync.Mutex
	got []string
}

func (o *observed) Start(ctx context.Context, op string, _ ...slog.Attr) context.Context {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.got = append(o.got, "start "+op)
	return ctx
}

func (o *observed) End(_ context.Context, op string, err error, _ ...slog.Attr) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.got = append(o.got, fmt.Sprintf("end %s: %v", op, err))
}

func TestObserver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o observed
		v := uiupdate.NewView[string, int](nil)
		c := browser(serve(t, uiupdate.NewHandler(v, &uiupdate.HandlerOptions{Observer: &o})))
		require.NoError(t, c.Connect(t.Context()))
		require.NoError(t, c.Until(live))
		c.Close()
		synctest.Wait()
		f := uiupdate.NewFresh(func(context.Context, int) (int, error) { return 1, nil }, &uiupdate.FreshOptions{Observer: &o})
		_, err := f.Load(t.Context(), 1)
		require.NoError(t, err)
		synctest.Wait()
		require.Equal(t, []string{"start stream", "end stream: <nil>", "start load", "end load: <nil>"}, o.got)
	})
}

// A writer that cannot flush cannot stream: that is told, and nothing hangs.
func TestNoFlush(t *testing.T) {
	v := uiupdate.NewView[string, int](nil)
	var o observed
	h := uiupdate.NewHandler(v, &uiupdate.HandlerOptions{Observer: &o})
	w := struct{ http.ResponseWriter }{httptest.NewRecorder()}
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	require.Len(t, o.got, 2)
	require.Contains(t, o.got[1], http.ErrNotSupported.Error())
	require.Zero(t, v.Stats().Readers)
}

// A mine is middleware's writer that panics, as one does to end a connection.
type mine struct{ *httptest.ResponseRecorder }

func (mine) Write([]byte) (int, error) { panic(http.ErrAbortHandler) }

// A reader whose writer panics leaves its place, and nobody waits for it.
func TestAPanicOfAWriterLeavesNoReader(t *testing.T) {
	v := uiupdate.NewView[string, int](&uiupdate.ViewOptions{MaxReaders: 1})
	var o observed
	h := uiupdate.NewHandler(v, &uiupdate.HandlerOptions{Observer: &o})
	for _, accept := range []string{"text/event-stream", "application/json"} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Accept", accept)
		require.PanicsWithValue(t, http.ErrAbortHandler, func() { h.ServeHTTP(mine{httptest.NewRecorder()}, r) })
		require.Zero(t, v.Stats().Readers, accept)
		require.Zero(t, h.Stats().Open, accept)
		require.Contains(t, o.got[len(o.got)-1], "panicked")
	}
	require.NoError(t, h.Shutdown(t.Context()))
}

// The deadline of a write is over when the write is: HTTP/2 ends a stream
// whose deadline passes while it is quiet.
func TestQuietHTTP2(t *testing.T) {
	v := uiupdate.NewView[string, string](nil)
	server := httptest.NewUnstartedServer(uiupdate.NewHandler(v, &uiupdate.HandlerOptions{WriteTimeout: 100 * time.Millisecond, Heartbeat: time.Second}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	c := &uiupdatetest.Client{URL: server.URL, HTTP: server.Client()}
	defer c.Close()
	require.NoError(t, c.Connect(t.Context()))
	require.NoError(t, c.Until(func(c *uiupdatetest.Copy) bool { return c.Lives == 2 }))
}

// Over HTTP/2 the contract is the same.
func TestStreamHTTP2(t *testing.T) {
	uiupdatetest.TestStream(t, func(t *testing.T) uiupdatetest.Subject {
		view := uiupdate.NewView[string, string](nil)
		server := httptest.NewUnstartedServer(uiupdate.NewHandler(view, nil))
		server.EnableHTTP2 = true
		server.StartTLS()
		t.Cleanup(server.Close)
		return uiupdatetest.Subject{
			URL: server.URL, Client: server.Client(),
			Set:    func(key, value string) { require.NoError(t, view.Set(key, value, time.Now())) },
			Delete: func(key string) { require.NoError(t, view.Delete(key, time.Now())) },
		}
	})
}

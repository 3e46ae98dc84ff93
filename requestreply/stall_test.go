package requestreply_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/retry"
)

// stuck answers on a connection until it is told to hang; the streams of one
// that hangs are never answered, and its close is told.
type stuck struct {
	hangs  atomic.Int64 // the connections up to this one
	dials  atomic.Int64
	late   chan struct{} // a body that began is ended by its close
	url    string
	client *http.Client
	rt     *requestreply.Transport
}

func newStuck(t *testing.T, o *requestreply.Options, tune func(*http.Transport)) *stuck {
	s := &stuck{late: make(chan struct{})}
	url, trust := h2(t, func(c *h2Conn, n int, stream uint32) {
		if int64(n) <= s.hangs.Load() {
			return
		}
		c.ok(stream, "ok")
	})
	base := overH2(t, trust)
	d := &net.Dialer{}
	base.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		s.dials.Add(1)
		return d.DialContext(ctx, network, addr)
	}
	if tune != nil {
		tune(base)
	}
	s.url = url
	s.rt = &requestreply.Transport{Base: base, Guard: requestreply.NewGuard(o)}
	s.client = &http.Client{Transport: s.rt}
	t.Cleanup(s.client.CloseIdleConnections)
	return s
}

func get(ctx context.Context, c *http.Client, url string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		return "", err
	}
	resp, err := c.Do(r)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(resp.Body)
	return string(body), errors.Join(err, resp.Body.Close())
}

// A connection that hangs is met by every repeat of net/http, which takes it
// for as long as it is open. Ours takes a new one, and only for that host.
func TestStalledHTTP2Connection(t *testing.T) {
	limits := &requestreply.Options{TryTimeout: 200 * time.Millisecond, Retry: retry.Policy{Base: -1}}
	t.Run("bare net/http meets it again and again", func(t *testing.T) {
		s := newStuck(t, limits, nil)
		bare := &http.Client{Transport: s.rt.Base}
		_, err := get(t.Context(), bare, s.url)
		require.NoError(t, err)
		s.hangs.Store(1)
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			_, err := get(ctx, bare, s.url)
			cancel()
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
		require.EqualValues(t, 1, s.dials.Load())
	})
	t.Run("ours takes a new one", func(t *testing.T) {
		s := newStuck(t, limits, nil)
		_, err := get(t.Context(), s.client, s.url)
		require.NoError(t, err)
		s.hangs.Store(1)
		body, err := get(t.Context(), s.client, s.url)
		require.NoError(t, err)
		require.Equal(t, "ok", body)
		require.EqualValues(t, 2, s.dials.Load())
		for range 10 {
			_, err := get(t.Context(), s.client, s.url)
			require.NoError(t, err)
		}
		require.EqualValues(t, 2, s.dials.Load(), "and stays with it")
		s.hangs.Store(2)
		_, err = get(t.Context(), s.client, s.url)
		require.NoError(t, err)
		require.EqualValues(t, 3, s.dials.Load(), "until it stalls too")
	})
	t.Run("an unkeyed POST is not repeated, and the next call fares well", func(t *testing.T) {
		s := newStuck(t, limits, nil)
		s.hangs.Store(1)
		place := requestreply.Endpoint[Order, string]{URL: s.url, Client: s.client}
		_, err := place.Call(t.Context(), Order{})
		require.Equal(t, outcome.Unknown, outcome.Of(err))
		_, err = get(t.Context(), s.client, s.url)
		require.NoError(t, err)
		require.EqualValues(t, 2, s.dials.Load())
	})
	t.Run("an endpoint without a client of its own", func(t *testing.T) {
		s := newStuck(t, limits, nil)
		theirs := http.DefaultTransport
		http.DefaultTransport = s.rt.Base
		t.Cleanup(func() { http.DefaultTransport = theirs })
		stock := requestreply.Endpoint[struct{}, struct{}]{Method: "HEAD", URL: s.url, Guard: requestreply.NewGuard(limits)}
		_, err := stock.Call(t.Context(), struct{}{})
		require.NoError(t, err)
		s.hangs.Store(1)
		_, err = stock.Call(t.Context(), struct{}{})
		require.NoError(t, err)
		require.EqualValues(t, 2, s.dials.Load())
	})
	t.Run("a caller in a hurry proves nothing", func(t *testing.T) {
		s := newStuck(t, &requestreply.Options{TryTimeout: 20 * time.Second}, nil)
		_, err := get(t.Context(), s.client, s.url)
		require.NoError(t, err)
		s.hangs.Store(1)
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			_, err := get(ctx, s.client, s.url)
			cancel()
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
		require.EqualValues(t, 1, s.dials.Load())
	})
}

// The call that finds the stall harms no other: what is in flight on the old
// connection comes to its end, and then the old connection is closed.
func TestStallHarmsNoOther(t *testing.T) {
	began, ended, closed := make(chan struct{}), make(chan struct{}), make(chan struct{})
	url, trust := h2(t, func(c *h2Conn, n int, stream uint32) {
		switch {
		case n == 1:
			return // the Base's connection: it hangs
		case n == 2 && stream == 1:
			c.frame(frameHeaders, flagEndHeader, stream, []byte{0x88})
			c.frame(frameData, 0, stream, []byte("be"))
			go func() {
				<-ended
				c.frame(frameData, flagEndStream, stream, []byte("gun"))
			}()
			close(began)
		case n == 2:
			return // the rest of the copy's connection hangs
		default:
			c.ok(stream, "ok")
		}
	})
	base := overH2(t, trust)
	d := &net.Dialer{}
	var dials atomic.Int64
	base.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := d.DialContext(ctx, network, addr)
		if dials.Add(1) == 2 {
			c = &toldOf{Conn: c, closed: closed}
		}
		return c, err
	}
	client := &http.Client{Transport: &requestreply.Transport{Base: base, Guard: requestreply.NewGuard(&requestreply.Options{
		TryTimeout: 4 * time.Second, Retry: retry.Policy{MaxAttempts: 1},
	})}}
	t.Cleanup(client.CloseIdleConnections)
	impatient := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		_, err := get(ctx, client, url)
		return err
	}
	require.ErrorIs(t, impatient(), context.DeadlineExceeded)

	resp, err := client.Get(url)
	require.NoError(t, err)
	<-began
	head := make([]byte, 2)
	_, err = io.ReadFull(resp.Body, head)
	require.NoError(t, err)
	require.ErrorIs(t, impatient(), context.DeadlineExceeded, "on the same connection")

	body, err := get(t.Context(), client, url)
	require.NoError(t, err)
	require.Equal(t, "ok", body)
	require.EqualValues(t, 3, dials.Load())
	select {
	case <-closed:
		t.Fatal("the connection was closed under a call")
	default:
	}
	close(ended)
	rest, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, "begun", string(head)+string(rest))
	require.NoError(t, resp.Body.Close())
	select {
	case <-closed:
	case <-time.After(20 * time.Second):
		t.Fatal("the old connection stays open")
	}
}

// toldOf tells of its close.
type toldOf struct {
	net.Conn
	closed chan struct{}
	once   atomic.Bool
}

func (c *toldOf) Close() error {
	if c.once.CompareAndSwap(false, true) {
		close(c.closed)
	}
	return c.Conn.Close()
}

// A slow answer beside lively ones is not a stall: the connection is kept.
func TestSlowAnswerIsNoStall(t *testing.T) {
	stop := make(chan struct{})
	url, trust := h2(t, func(c *h2Conn, _ int, stream uint32) {
		switch stream {
		case 1:
			c.frame(frameHeaders, flagEndHeader, stream, []byte{0x88})
			go func() {
				tick := time.NewTicker(20 * time.Millisecond)
				defer tick.Stop()
				for {
					select {
					case <-tick.C:
						c.frame(frameData, 0, stream, []byte("."))
					case <-stop:
						return
					}
				}
			}()
		case 3: // never answered
		default:
			c.ok(stream, "ok")
		}
	})
	t.Cleanup(func() { close(stop) })
	base := overH2(t, trust)
	d := &net.Dialer{}
	var dials atomic.Int64
	base.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		dials.Add(1)
		return d.DialContext(ctx, network, addr)
	}
	client := &http.Client{Transport: &requestreply.Transport{Base: base, Guard: requestreply.NewGuard(&requestreply.Options{
		TryTimeout: 20 * time.Second, Timeout: -1, Retry: retry.Policy{MaxAttempts: 1},
	})}}
	lively, err := client.Get(url)
	require.NoError(t, err)
	read := make(chan error)
	go func() {
		_, err := io.Copy(io.Discard, lively.Body)
		read <- err
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond) // more than a tenth of TryTimeout
	defer cancel()
	_, err = get(ctx, client, url)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = get(t.Context(), client, url)
	require.NoError(t, err)
	require.EqualValues(t, 1, dials.Load())
	require.NoError(t, lively.Body.Close())
	require.Error(t, <-read)
}

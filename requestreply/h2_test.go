package requestreply_test

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/retry"
)

// The frames of RFC 9113 §6 that the tests need.
const (
	frameData     = 0
	frameHeaders  = 1
	frameReset    = 3
	frameSettings = 4
	framePing     = 6
	frameGoAway   = 7

	flagAck       = 1
	flagEndStream = 1
	flagEndHeader = 4
)

// An h2Conn is the server's side of an HTTP/2 connection, frame by frame, so
// that it can fail at any of them.
type h2Conn struct {
	net.Conn
	mu sync.Mutex // guards writing
}

func (c *h2Conn) frame(kind, flags byte, stream uint32, payload []byte) {
	h := make([]byte, 9, 9+len(payload))
	h[0], h[1], h[2] = byte(len(payload)>>16), byte(len(payload)>>8), byte(len(payload))
	h[3], h[4] = kind, flags
	binary.BigEndian.PutUint32(h[5:], stream)
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = c.Write(append(h, payload...))
}

func u32(vs ...uint32) []byte {
	var b []byte
	for _, v := range vs {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

// reset and goAway end streams with an error code.
func (c *h2Conn) reset(stream, code uint32) { c.frame(frameReset, 0, stream, u32(code)) }
func (c *h2Conn) goAway(last, code uint32)  { c.frame(frameGoAway, 0, 0, u32(last, code)) }

// ok answers 200 with a body. 0x88 is ":status: 200" (RFC 7541 Appendix A).
func (c *h2Conn) ok(stream uint32, body string) {
	c.frame(frameHeaders, flagEndHeader, stream, []byte{0x88})
	c.frame(frameData, flagEndStream, stream, []byte(body))
}

// h2 serves HTTP/2 over TLS: on is called, in order, for each stream whose
// request has come whole; n counts the connections, from 1. It returns the URL
// and a configuration that trusts it.
func h2(t *testing.T, on func(c *h2Conn, n int, stream uint32)) (string, *tls.Config) {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	s.EnableHTTP2 = true
	s.StartTLS() // for its certificate only
	cert, trust := s.TLS.Certificates, s.Client().Transport.(*http.Transport).TLSClientConfig
	s.Close()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: cert, NextProtos: []string{"h2"}})
	require.NoError(t, err)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	wg.Go(func() {
		for n := 1; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			wg.Go(func() {
				defer c.Close()
				serveH2(&h2Conn{Conn: c}, n, on)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, c := range conns {
			_ = c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return "https://" + l.Addr().String(), trust
}

func serveH2(c *h2Conn, n int, on func(*h2Conn, int, uint32)) {
	if _, err := io.CopyN(io.Discard, c, int64(len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))); err != nil {
		return
	}
	c.frame(frameSettings, 0, 0, nil)
	for {
		h := make([]byte, 9)
		if _, err := io.ReadFull(c, h); err != nil {
			return
		}
		payload := make([]byte, int(h[0])<<16|int(h[1])<<8|int(h[2]))
		if _, err := io.ReadFull(c, payload); err != nil {
			return
		}
		kind, flags, stream := h[3], h[4], binary.BigEndian.Uint32(h[5:])
		switch {
		case kind == frameSettings && flags&flagAck == 0:
			c.frame(frameSettings, flagAck, 0, nil)
		case kind == framePing && flags&flagAck == 0:
			c.frame(framePing, flagAck, 0, payload)
		case (kind == frameHeaders || kind == frameData) && flags&flagEndStream != 0:
			on(c, n, stream)
		}
	}
}

// overH2 is an HTTP/2 transport that trusts what h2 returned.
func overH2(t *testing.T, trust *tls.Config) *http.Transport {
	tr := &http.Transport{TLSClientConfig: trust.Clone(), ForceAttemptHTTP2: true}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// What is known when HTTP/2 itself says that it will not, or did not, work on
// a request. Only a refused stream and a GOAWAY below it are proof that nothing
// was done (RFC 9113 §6.8, §8.7).
func TestHTTP2WhatIsKnown(t *testing.T) {
	const (
		protocolError = 1
		internalError = 2
		refusedStream = 7
		calmDown      = 11
	)
	for name, c := range map[string]struct {
		on    func(c *h2Conn, stream uint32)
		known outcome.Outcome
	}{
		"REFUSED_STREAM":                       {func(c *h2Conn, s uint32) { c.reset(s, refusedStream) }, outcome.NotSent},
		"PROTOCOL_ERROR":                       {func(c *h2Conn, s uint32) { c.reset(s, protocolError) }, outcome.Unknown},
		"INTERNAL_ERROR":                       {func(c *h2Conn, s uint32) { c.reset(s, internalError) }, outcome.Unknown},
		"GOAWAY below the stream":              {func(c *h2Conn, s uint32) { c.goAway(0, 0) }, outcome.NotSent},
		"GOAWAY below the stream, in anger":    {func(c *h2Conn, s uint32) { c.goAway(0, calmDown) }, outcome.NotSent},
		"GOAWAY that covers it, and the close": {func(c *h2Conn, s uint32) { c.goAway(s, 0); _ = c.Close() }, outcome.Unknown},
		"GOAWAY in anger, and the close":       {func(c *h2Conn, s uint32) { c.goAway(s, internalError); _ = c.Close() }, outcome.Unknown},
		"the close alone":                      {func(c *h2Conn, s uint32) { _ = c.Close() }, outcome.Unknown},
		"REFUSED_STREAM after the head": {func(c *h2Conn, s uint32) {
			c.frame(frameHeaders, flagEndHeader, s, []byte{0x88})
			c.reset(s, refusedStream)
		}, outcome.Applied},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, trust := h2(t, func(hc *h2Conn, _ int, stream uint32) { c.on(hc, stream) })
			e := requestreply.Endpoint[string, int]{
				URL: url, Keyed: true, Client: &http.Client{Transport: overH2(t, trust)},
				Guard: requestreply.NewGuard(&requestreply.Options{Retry: retry.Policy{MaxAttempts: 1}}),
			}
			_, err := e.Call(t.Context(), "hello")
			require.Equal(t, c.known, outcome.Of(err), "%v", err)
			transient, _ := outcome.Transient(err)
			require.True(t, transient)
		})
	}
	t.Run("a refused stream is sent again, by us, without a key", func(t *testing.T) {
		var sent int
		url, trust := h2(t, func(c *h2Conn, _ int, stream uint32) {
			if sent++; sent == 1 {
				c.reset(stream, refusedStream)
				return
			}
			c.ok(stream, "done")
		})
		client := &http.Client{Transport: &requestreply.Transport{Base: overH2(t, trust), Guard: requestreply.NewGuard(&requestreply.Options{Retry: quick})}}
		r, err := http.NewRequestWithContext(t.Context(), "POST", url, strings.NewReader("hello"))
		require.NoError(t, err)
		resp, err := client.Do(r)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, "done", string(body))
		require.Equal(t, 2, sent)
	})
	t.Run("an error of net/http that only its type tells", func(t *testing.T) {
		answered := make(chan struct{})
		url, trust := h2(t, func(c *h2Conn, _ int, stream uint32) {
			c.frame(frameHeaders, flagEndHeader, stream, []byte{0x88})
			<-answered
			c.reset(stream, refusedStream)
		})
		client := &http.Client{Transport: overH2(t, trust)}
		_, err := requestreply.Run(t.Context(), nil, requestreply.Op{}, func(ctx context.Context) (int64, error) {
			r, err := http.NewRequestWithContext(ctx, "GET", url, nil)
			if err != nil {
				return 0, retry.Permanent(err)
			}
			resp, err := client.Do(r)
			if err != nil {
				return 0, retry.Permanent(err)
			}
			defer resp.Body.Close()
			close(answered)
			n, err := io.Copy(io.Discard, resp.Body)
			return n, retry.Permanent(err)
		})
		require.Equal(t, outcome.NotSent, outcome.Of(err), "%v", err)
	})
}

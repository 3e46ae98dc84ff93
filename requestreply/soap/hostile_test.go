package soap_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/requestreply/soap"
)

// An answer is bounded, whatever it is made of.
func TestHostileAnswers(t *testing.T) {
	many := func(n int, s string) string { return strings.Repeat(s, n) }
	bomb := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", textXML)
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		for range 64 {
			_, _ = z.Write(bytes.Repeat([]byte(" "), 1<<20))
		}
		_ = z.Close()
	}
	endless := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", textXML)
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, many(1000, "<a>")); err != nil {
				return
			}
		}
	}
	limits := soap.Limits{Bytes: 8 << 20}
	for _, c := range []struct {
		name string
		h    http.HandlerFunc
		want error
	}{
		{"a gzip bomb", bomb, requestreply.ErrTooLarge},
		{"endless", endless, requestreply.ErrTooLarge},
		{"a huge text", answering(200, textXML, envelope(`<reserveResponse xmlns="urn:warehouse"><left>`+many(9<<20, "7"))), requestreply.ErrTooLarge},
		{"deep", answering(200, textXML, envelope(many(1e6, "<a>"))), soap.ErrLimit},
		{"a million attributes", answering(200, textXML, envelope(`<a `+many(5e5, `a="" `)+`/>`)), soap.ErrLimit},
		{"a million namespaces", answering(200, textXML, envelope(`<a `+many(2e5, `xmlns:a="b" `)+`/>`)), soap.ErrLimit},
		{"a million elements", answering(200, textXML, envelope(many(1e6, "<a/>"))), soap.ErrLimit},
		{"a million comments", answering(200, textXML, many(1e6, "<!---->")), soap.ErrLimit},
		{"billion laughs", answering(200, textXML, `<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>`+envelope("<l>&b;</l>")), soap.ErrForbidden},
		{"an entity", answering(200, textXML, envelope("<l>&nbsp;</l>")), soap.ErrForbidden},
		{"a style sheet", answering(200, textXML, `<?xml version="1.0"?><?xml-stylesheet href="x"?>`+envelope("")), soap.ErrForbidden},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := call{URL: serving(t, c.h), Limits: limits}.Call(t.Context(), Reserve{})
			require.ErrorIs(t, err, c.want)
			require.Equal(t, outcome.Applied, outcome.Of(err))
			require.Less(t, len(err.Error()), 500)
		})
	}
}

// A server that hangs after its header has done its work, for all that is
// known, and is waited for no longer than an attempt may take.
func TestHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := call{
			URL:   "http://warehouse.example/",
			Guard: requestreply.NewGuard(&requestreply.Options{TryTimeout: time.Minute, Timeout: time.Hour}),
			Client: &http.Client{Transport: tripper(func(r *http.Request) (*http.Response, error) {
				return &http.Response{
					StatusCode: 200, Request: r, Header: http.Header{"Content-Type": {textXML}},
					Body: io.NopCloser(io.MultiReader(strings.NewReader(envelope(reserved)[:99]), hanging{r.Context()})),
				}, nil
			})},
		}
		began := time.Now()
		_, err := e.Call(t.Context(), Reserve{})
		require.Equal(t, time.Minute, time.Since(began))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, outcome.Applied, outcome.Of(err))
		require.ErrorContains(t, err, "do not repeat it")
	})
}

type hanging struct{ ctx context.Context }

func (h hanging) Read([]byte) (int, error) {
	<-h.ctx.Done()
	return 0, h.ctx.Err()
}

// A guard sees a Fault for what it is: a refusal is a sign of life, and a
// server's fault is not.
func TestGuardSeesFaults(t *testing.T) {
	for code, opens := range map[string]bool{"Client": false, "Server": true} {
		t.Run(code, func(t *testing.T) {
			var calls atomic.Int32
			url := serving(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				calls.Add(1)
				answering(500, textXML, envelope(`<s:Fault><faultcode>s:`+code+`</faultcode><faultstring>x</faultstring></s:Fault>`))(w, r)
			}))
			// By the client's Transport or by itself, it is the same guard.
			for _, through := range []bool{false, true} {
				guard := requestreply.NewGuard(&requestreply.Options{Breaker: requestreply.Breaker{MinCalls: 3}})
				e := call{URL: url, Guard: guard}
				if through {
					e = call{URL: url, Client: &http.Client{Transport: &requestreply.Transport{Guard: guard}}}
				}
				calls.Store(0)
				var err error
				for range 11 {
					_, err = e.Call(t.Context(), Reserve{})
					require.Error(t, err)
				}
				require.Equal(t, opens, errors.Is(err, requestreply.ErrOpen))
				require.EqualValues(t, map[bool]int{false: 11, true: 3}[opens], calls.Load())
			}
		})
	}
}

// The connection is used again after every kind of answer.
func TestConnectionsAreKept(t *testing.T) {
	var dials, calls atomic.Int32
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := []http.HandlerFunc{
			answering(200, textXML, envelope(reserved)),
			answering(500, textXML, envelope(`<s:Fault><faultcode>s:Client</faultcode><faultstring>x</faultstring></s:Fault>`)),
			answering(502, "text/html", strings.Repeat("x", 10000)),
			answering(200, textXML, "<a>"),
		}
		h[calls.Add(1)%4](w, r)
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			dials.Add(1)
		}
	}
	s.Start()
	defer s.Close()
	e := call{URL: s.URL, Client: s.Client()}
	for range 12 {
		_, _ = e.Call(t.Context(), Reserve{})
	}
	require.EqualValues(t, 12, calls.Load())
	require.EqualValues(t, 1, dials.Load())
}

package main

import (
	"hash/fnv"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// A faultProxy stands between the shop and the warehouse and does what networks do: it is slow, it loses requests, and
// it loses answers after the request took effect. What it does to the n-th attempt of a request follows from the seed
// alone, in whatever order requests come.
type faultProxy struct {
	seed    uint64
	forward *httputil.ReverseProxy

	passed, lostRequests, lostAnswers atomic.Int64
	lostAfterEffect                   atomic.Int64 // the answers among them that told of an effect

	mu       sync.Mutex // guards attempts
	attempts map[string]uint64
}

// What happens to a hundred requests, on average.
const (
	lostRequestsIn100 = 10
	lostAnswersIn100  = 25
	slowIn100         = 20
	longestDelay      = 20 * time.Millisecond
)

func newFaultProxy(warehouse *url.URL, seed uint64, transport http.RoundTripper) *faultProxy {
	return &faultProxy{
		seed:     seed,
		attempts: map[string]uint64{},
		forward: &httputil.ReverseProxy{
			Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(warehouse) },
			Transport: transport,
			ErrorLog:  log.New(io.Discard, "", 0),
		},
	}
}

func (p *faultProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	dice := p.dice(r.Method + r.URL.Path + r.Header.Get("Idempotency-Key"))
	fate := dice.IntN(100)
	if dice.IntN(100) < slowIn100 {
		delay := time.NewTimer(time.Duration(dice.Int64N(int64(longestDelay))))
		defer delay.Stop()
		select {
		case <-delay.C:
		case <-r.Context().Done():
		}
	}
	switch {
	case fate < lostRequestsIn100:
		p.lostRequests.Add(1)
		panic(http.ErrAbortHandler) // closes the connection: the warehouse never saw it
	case fate < lostRequestsIn100+lostAnswersIn100:
		lost := &nowhere{header: http.Header{}}
		p.forward.ServeHTTP(lost, r)
		p.lostAnswers.Add(1)
		if r.Method == http.MethodPost && lost.status < 300 {
			p.lostAfterEffect.Add(1)
		}
		panic(http.ErrAbortHandler) // the warehouse did it, and the shop will not hear of it
	}
	p.passed.Add(1)
	p.forward.ServeHTTP(w, r)
}

// dice are the throws for the next attempt of this request.
func (p *faultProxy) dice(request string) *rand.Rand {
	p.mu.Lock()
	p.attempts[request]++
	n := p.attempts[request]
	p.mu.Unlock()
	h := fnv.New64a()
	io.WriteString(h, strconv.FormatUint(n, 10)+request)
	return rand.New(rand.NewPCG(p.seed, h.Sum64()))
}

// nowhere is where a lost answer goes.
type nowhere struct {
	header http.Header
	status int
}

func (n *nowhere) Header() http.Header         { return n.header }
func (n *nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (n *nowhere) WriteHeader(status int)      { n.status = status }

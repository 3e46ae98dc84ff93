package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/failsafehttp"
	"github.com/failsafe-go/failsafe-go/timeout"
	"github.com/hashicorp/go-retryablehttp"

	"github.com/crosstie/crosstie/requestreply"
)

// The cost of a Transport around an http.RoundTripper, with default settings,
// beside what bounds a call by hand, a context.WithTimeout, and two rivals.

// TestMain serves when it is the other process of BenchmarkLoopback.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "serve" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(l.Addr())
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin) // who started us has gone
			os.Exit(0)
		}()
		log.Fatal(http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"free":7}`) })))
	}
	os.Exit(m.Run())
}

// A client is one way to make calls through base.
type client struct {
	name string
	get  func(ctx context.Context, url string) error
}

const limit = 10 * time.Second

func clients(base func(name string) http.RoundTripper) []client {
	plain := &http.Client{Transport: base("bare")}
	timed := &http.Client{Transport: base("timeout")}
	ours := &http.Client{Transport: &requestreply.Transport{Base: base("ours"), Guard: requestreply.NewGuard(nil)}}
	failsafe := &http.Client{Transport: failsafehttp.NewRoundTripper(base("failsafe"),
		failsafehttp.NewRetryPolicyBuilder().Build(),
		circuitbreaker.NewBuilder[*http.Response]().WithFailureRateThreshold(0.5, 10, limit).Build(),
		timeout.New[*http.Response](limit),
	)}
	retryable := retryablehttp.NewClient()
	retryable.Logger = nil
	retryable.HTTPClient = &http.Client{Transport: base("retryable"), Timeout: limit}
	hashicorp := retryable.StandardClient()
	return []client{
		{"bare", func(ctx context.Context, url string) error { return fetch(ctx, plain, url) }},
		{"timeout", func(ctx context.Context, url string) error {
			ctx, cancel := context.WithTimeout(ctx, limit)
			defer cancel()
			return fetch(ctx, timed, url)
		}},
		{"ours", func(ctx context.Context, url string) error { return fetch(ctx, ours, url) }},
		{"failsafe", func(ctx context.Context, url string) error { return fetch(ctx, failsafe, url) }},
		{"retryable", func(ctx context.Context, url string) error { return fetch(ctx, hashicorp, url) }},
	}
}

func fetch(ctx context.Context, c *http.Client, url string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := c.Do(r)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return err
}

// BenchmarkTransport is over a RoundTripper that answers at once, so that only
// what stands around it is left.
func BenchmarkTransport(b *testing.B) {
	for _, c := range clients(func(string) http.RoundTripper { return at{} }) {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := c.get(context.Background(), "http://stock.example/"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkTransportRatio has them take turns, 200 calls each, and reports the
// median of the rounds' ratios.
func BenchmarkTransportRatio(b *testing.B) {
	takeTurnsAt(b, clients(func(string) http.RoundTripper { return at{} }), "http://stock.example/", 200)
}

// BenchmarkLoopbackRatio is the same over a connection to another process; run
// it for 40 rounds at least (-benchtime 41x). Each makes one connection.
func BenchmarkLoopbackRatio(b *testing.B) {
	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	server := exec.CommandContext(b.Context(), exe, "serve")
	server.Stderr = os.Stderr
	if _, err := server.StdinPipe(); err != nil {
		b.Fatal(err)
	}
	out, err := server.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := server.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = server.Process.Kill(); _ = server.Wait() }()
	addr, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	dials := map[string]*atomic.Int64{}
	cs := clients(func(name string) http.RoundTripper {
		n := new(atomic.Int64)
		dials[name] = n
		tr := http.DefaultTransport.(*http.Transport).Clone()
		dial := tr.DialContext
		tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			n.Add(1)
			return dial(ctx, network, addr)
		}
		b.Cleanup(tr.CloseIdleConnections)
		return tr
	})
	takeTurnsAt(b, cs, "http://"+strings.TrimSpace(addr)+"/", 500)
	for name, n := range dials {
		if n.Load() != 1 {
			b.Errorf("%s made %d connections, want 1", name, n.Load())
		}
	}
}

func takeTurnsAt(b *testing.B, cs []client, url string, calls int) {
	over := map[string][]float64{} // "ours/timeout" and the like
	for b.Loop() {
		took := map[string]float64{}
		for _, c := range cs {
			start := time.Now()
			for range calls {
				if err := c.get(context.Background(), url); err != nil {
					b.Fatal(err)
				}
			}
			took[c.name] = float64(time.Since(start))
		}
		for _, pair := range [][2]string{{"ours", "bare"}, {"ours", "timeout"}, {"failsafe", "timeout"}, {"retryable", "timeout"}} {
			name := pair[0] + "/" + pair[1]
			over[name] = append(over[name], took[pair[0]]/took[pair[1]])
		}
		cs = append(cs[1:], cs[0]) // who comes first is slower
	}
	for name, r := range over {
		slices.Sort(r)
		b.ReportMetric(r[len(r)/2], name)
	}
}

// at answers at once.
type at struct{}

func (at) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: 200, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{"free":7}`)), ContentLength: 10,
	}, nil
}

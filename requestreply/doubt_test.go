package requestreply_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/requestreply/server"
	"github.com/crosstie/crosstie/retry"
)

// TestMain is the other process of TestLostAnswers, when it is told so.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "ledger" {
		if err := serveLedger(os.Stdin, os.Stdout); err != nil {
			log.Fatal(err)
		}
		return
	}
	os.Exit(m.Run())
}

// A booking is what the callers of the ledger want.
type booking struct {
	ID string `json:"id"`
}

// serveLedger books, in a process of its own, and loses one answer in four
// after the booking and one request in eight before it, as the key's hash and
// the number of the attempt have it: one run is like the other. /plain books
// whatever comes, /keyed once for each key. /booked tells the effects.
func serveLedger(stop io.Reader, out io.Writer) error {
	var mu sync.Mutex
	effects, tries := map[string]int{}, map[string]int{}
	book := func(_ context.Context, b booking) (booking, error) {
		mu.Lock()
		defer mu.Unlock()
		effects[b.ID]++
		return b, nil
	}
	trouble := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			id := r.Header.Get("Booking")
			mu.Lock()
			tries[id]++
			h := fnv.New32a()
			fmt.Fprint(h, id, tries[id])
			mu.Unlock()
			switch n := h.Sum32() % 8; n {
			case 0:
				panic(http.ErrAbortHandler) // before the effect
			case 1, 2:
				next.ServeHTTP(httptest.NewRecorder(), r)
				panic(http.ErrAbortHandler) // after it
			}
			next.ServeHTTP(w, r)
		})
	}
	mux := http.NewServeMux()
	mux.Handle("POST /plain", trouble(server.Handle(book, nil)))
	mux.Handle("POST /keyed", trouble(server.Idempotent(server.NewMemKeys(), func(*http.Request) string { return "" }, nil)(server.Handle(book, nil))))
	mux.HandleFunc("GET /booked/{id}", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(effects[r.PathValue("id")])
	})
	mux.HandleFunc("GET /booked", func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(effects)
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := &http.Server{Handler: mux, ErrorLog: quiet}
	go func() {
		_, _ = io.Copy(io.Discard, stop) // who started us has gone
		_ = s.Close()
	}()
	fmt.Fprintln(out, l.Addr())
	if err := s.Serve(l); err != http.ErrServerClosed {
		return err
	}
	return nil
}

func ledger(t *testing.T) string {
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), exe, "ledger")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	addr, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	return "http://" + strings.TrimSpace(addr)
}

// Ten thousand bookings in another process, whose answers are lost now and
// then after they took effect. What each call says is held against what was
// booked: nothing is booked twice, nothing that is said to be refused is there,
// nothing said to be applied is missing, and what is unknown is settled rightly
// by asking for its key.
func TestLostAnswers(t *testing.T) {
	const callers, each = 32, 160 // of either kind: 10,240 in all
	url := ledger(t)
	tr, _ := dials(t, func(tr *http.Transport) { tr.MaxIdleConnsPerHost = callers })
	client := &http.Client{Transport: tr}
	guard := requestreply.NewGuard(&requestreply.Options{
		Retry: retry.Policy{Base: -1, MaxAttempts: 3}, Breaker: requestreply.Breaker{Disabled: true}, TryTimeout: time.Minute, Timeout: -1,
	})
	var said sync.Map // id -> outcome.Outcome
	var asked atomic.Int64
	isBooked := func(ctx context.Context, id string) (outcome.Outcome, error) {
		asked.Add(1)
		n, err := requestreply.Endpoint[struct{}, int]{Method: "GET", URL: url + "/booked/" + id, Client: client}.Call(ctx, struct{}{})
		switch {
		case err != nil:
			return outcome.Unknown, err
		case n == 0:
			return outcome.Refused, nil // its connection is gone: it cannot come any more
		}
		return outcome.Applied, nil
	}
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				for _, kind := range []string{"plain", "keyed"} {
					id := fmt.Sprint(kind, "-", c, "-", i)
					ctx := requestreply.WithIdempotencyKey(t.Context(), id)
					_, err := requestreply.Endpoint[booking, booking]{
						URL: url + "/" + kind, Keyed: kind == "keyed", Client: client, Guard: guard, Confirm: isBooked,
						Header: http.Header{"Booking": {id}},
					}.Call(ctx, booking{id})
					said.Store(id, outcome.Of(err)) // of nil it is Applied
				}
			}
		})
	}
	wg.Wait()
	booked, err := requestreply.Endpoint[struct{}, map[string]int]{Method: "GET", URL: url + "/booked", Client: client, MaxBody: -1}.Call(t.Context(), struct{}{})
	require.NoError(t, err)
	var n, doubles, wrong int
	said.Range(func(id, o any) bool {
		n++
		times := booked[id.(string)]
		if times > 1 {
			doubles++
		}
		if o == outcome.Unknown || (o == outcome.Applied) != (times == 1) {
			wrong++
			t.Logf("%s: said to be %s, booked %d times", id, o, times)
		}
		return true
	})
	t.Logf("%d calls, %d booked; %d were in doubt, and settled", n, len(booked), asked.Load())
	require.Equal(t, callers*each*2, n)
	require.Zero(t, doubles)
	require.Zero(t, wrong)
	require.Greater(t, asked.Load(), int64(500), "a test without doubt tests nothing")
}

// Traces of the caller and of the base run beside ours, which tells that
// nothing was sent where the error itself does not.
func TestTransportTracesBesideOthers(t *testing.T) {
	base := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no") }}
	var above, below atomic.Int64
	count := func(r *http.Request, n *atomic.Int64) *http.Request {
		return r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{GetConn: func(string) { n.Add(1) }}))
	}
	tr := &requestreply.Transport{
		Base:  roundTrip(func(r *http.Request) (*http.Response, error) { return base.RoundTrip(count(r, &below)) }),
		Guard: requestreply.NewGuard(&requestreply.Options{Retry: quick}),
	}
	r, err := http.NewRequestWithContext(t.Context(), "POST", "http://stock.example/", nil)
	require.NoError(t, err)
	_, err = tr.RoundTrip(count(r, &above))
	require.Equal(t, outcome.NotSent, outcome.Of(err))
	require.Equal(t, 4, asError(t, err).Attempts)
	require.EqualValues(t, 4, above.Load())
	require.EqualValues(t, 4, below.Load())

	// A base that reports to no trace is judged by the types of its errors.
	silent := roundTrip(func(*http.Request) (*http.Response, error) { return nil, errors.New("no") })
	_, err = (&requestreply.Transport{Base: silent}).RoundTrip(count(r, &above))
	require.Equal(t, outcome.Unknown, outcome.Of(err))
	require.EqualValues(t, 4, above.Load())
}

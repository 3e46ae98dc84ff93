//go:build linux || darwin

package enginetest

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
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

func init() { roles["answer and forget"] = answerAndForget }

// A wish is what shall take effect once, and a grant its answer.
type wish struct {
	ID string `json:"id"`
}

type grant struct {
	Number int64 `json:"number"` // of the effect, among all effects
}

// Effects have no unique index: a double would show. A void key is one that
// Confirm found without an effect; it can have none any more.
const wishTables = `CREATE TABLE IF NOT EXISTS effects (number INTEGER PRIMARY KEY, id TEXT NOT NULL);
	CREATE TABLE IF NOT EXISTS voids (id TEXT PRIMARY KEY)`

var errVoid = &requestreply.Problem{Status: http.StatusGone, Title: "The key was settled as having no effect"}

func grantWish(ctx context.Context, tx *sql.Tx, w wish) (g grant, err error) {
	var void bool
	if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM voids WHERE id = ?)`, w.ID).Scan(&void); err != nil {
		return g, err
	}
	if void {
		return g, errVoid
	}
	r, err := tx.ExecContext(ctx, `INSERT INTO effects (id) VALUES (?)`, w.ID)
	if err != nil {
		return g, err
	}
	g.Number, err = r.LastInsertId()
	return g, err
}

// voided says that a wish was settled as having no effect: by a Confirm whose
// answer was lost in turn.
func voided(err error) bool {
	p, ok := errors.AsType[*requestreply.Problem](err)
	return ok && p.Status == errVoid.Status
}

// A settled answer says whether the wish took effect. If it did not, it cannot
// any more.
type settled struct {
	Applied bool `json:"applied"`
}

func settleWish(ctx context.Context, tx *sql.Tx, w wish) (s settled, err error) {
	err = tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM effects WHERE id = ?)`, w.ID).Scan(&s.Applied)
	if err == nil && !s.Applied {
		_, err = tx.ExecContext(ctx, `INSERT OR IGNORE INTO voids (id) VALUES (?)`, w.ID)
	}
	return s, err
}

// answerAndForget serves wishes over a line that loses answers, most of them
// after the effect, until it is killed.
func answerAndForget(file string) error {
	d, _, err := childOpen(file)
	if err != nil {
		return err
	}
	o := &server.Options{Lease: 300 * time.Millisecond}
	mux := http.NewServeMux()
	mux.Handle("POST /keyed", server.HandleTx(d.Keys(), grantWish, o))
	mux.Handle("POST /plain", server.Handle(func(ctx context.Context, w wish) (g grant, err error) {
		err = d.Tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
			g, err = grantWish(ctx, tx, w)
			return err
		})
		return g, err
	}, nil))
	mux.Handle("PUT /settle", server.Handle(func(ctx context.Context, w wish) (s settled, err error) {
		err = d.Tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
			s, err = settleWish(ctx, tx, w)
			return err
		})
		return s, err
	}, nil))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	return http.Serve(l, lossy(mux))
}

// lossy loses a fifth of the answers of h, each in another way.
func lossy(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch rand.IntN(40) {
		case 0, 1, 2: // done, and no answer
			h.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		case 3: // done, and half an answer
			done := httptest.NewRecorder()
			h.ServeHTTP(done, r)
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", fmt.Sprint(done.Body.Len()+1))
			w.WriteHeader(done.Code)
			_, _ = w.Write(done.Body.Bytes())
			panic(http.ErrAbortHandler)
		case 4: // done, and a proxy says that it does not know
			h.ServeHTTP(httptest.NewRecorder(), r)
			w.WriteHeader(http.StatusBadGateway)
		case 5: // done, sent again by the network, and no answer
			if r.Header.Get("Idempotency-Key") == "" {
				h.ServeHTTP(w, r)
				return
			}
			body, err := io.ReadAll(r.Body)
			if err != nil {
				panic(http.ErrAbortHandler)
			}
			for range 2 {
				r.Body = io.NopCloser(bytes.NewReader(body))
				h.ServeHTTP(httptest.NewRecorder(), r)
			}
			panic(http.ErrAbortHandler)
		case 6: // not done
			panic(http.ErrAbortHandler)
		case 7: // not done, and it is said
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusTooManyRequests)
		default:
			h.ServeHTTP(w, r)
		}
	})
}

// A wisher is one way to ask, and reports holds what it was told.
type wisher struct {
	call    requestreply.Endpoint[wish, grant]
	reports sync.Map // id -> report
}

type report struct {
	known   outcome.Outcome
	number  int64 // zero without an answer
	asked   bool  // a Confirm was asked
	settled bool  // and it said
}

// A server in another process loses answers after their effect, and is killed
// now and then. What the client reports is what happened: no effect is missing,
// none is there twice, and what is unknown is settled rightly.
func TestReportsAreTrueWhenAnswersAreLost(t *testing.T) {
	calls, kills := 600, 4
	if os.Getenv("CROSSTIE_SOAK") != "" {
		calls, kills = 10_000, 60
	} else if testing.Short() {
		calls, kills = 150, 1
	}
	file := filepath.Join(t.TempDir(), "store.db")
	_, db, err := childOpen(file)
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), wishTables)
	require.NoError(t, err)

	var at atomic.Value // where the server of the day listens
	dialer := &net.Dialer{}
	tr := &http.Transport{MaxIdleConnsPerHost: 32, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, network, at.Load().(string))
	}}
	defer tr.CloseIdleConnections()
	client := &http.Client{Transport: tr}
	guard := func(attempts int) *requestreply.Guard {
		return requestreply.NewGuard(&requestreply.Options{
			TryTimeout: 3 * time.Second,
			Retry:      retry.Policy{MaxAttempts: attempts, Base: 5 * time.Millisecond, Max: 50 * time.Millisecond, Budget: retry.NewBudget(10, 1000)},
			Breaker:    requestreply.Breaker{MinCalls: 50, FailRatio: 0.9, OpenFor: 10 * time.Millisecond},
		})
	}
	settle := requestreply.Endpoint[wish, settled]{Method: "PUT", URL: "http://wishes.test/settle", Client: client, Guard: guard(4)}
	confirm := func(ctx context.Context, id string) (outcome.Outcome, error) {
		s, err := settle.Call(ctx, wish{id})
		switch {
		case err != nil:
			return outcome.Unknown, err
		case s.Applied:
			return outcome.Applied, nil
		}
		return outcome.Refused, nil
	}
	endpoint := func(path string, attempts int) requestreply.Endpoint[wish, grant] {
		return requestreply.Endpoint[wish, grant]{URL: "http://wishes.test" + path, Client: client, Guard: guard(attempts)}
	}
	keyed, once, plain := endpoint("/keyed", 6), endpoint("/keyed", 1), endpoint("/plain", 4)
	keyed.Keyed, once.Keyed = true, true
	once.Confirm, plain.Confirm = confirm, confirm
	bare := endpoint("/plain", 4)
	wishers := map[string]*wisher{
		"a key, repeated":             {call: keyed},
		"a key, one attempt, Confirm": {call: once},
		"no key, Confirm":             {call: plain},
		"no key":                      {call: bare},
	}

	// The server lives and dies; who is to be killed is so at a random moment
	// among the calls.
	var made atomic.Int64
	up := make(chan struct{})
	stop := make(chan struct{})
	var servers sync.WaitGroup
	servers.Go(func() {
		for life := 0; ; life++ {
			cmd := child(t, "answer and forget", file)
			out, err := cmd.StdoutPipe()
			if err == nil {
				err = cmd.Start()
			}
			if err != nil {
				t.Error(err)
				return
			}
			line, err := bufio.NewReader(out).ReadString('\n')
			if err != nil || strings.HasPrefix(line, "child:") {
				t.Error("the server did not start:", line, err)
			}
			at.Store(strings.TrimSpace(line))
			if life == 0 {
				close(up)
			}
			end := make(chan struct{})
			if life < kills {
				due := int64((life + 1) * calls / (kills + 1))
				go func() {
					defer close(end)
					tick := time.NewTicker(time.Millisecond)
					defer tick.Stop()
					for made.Load() < due {
						<-tick.C
					}
				}()
				<-end
			} else {
				<-stop
			}
			_ = cmd.Process.Kill()
			if cmd.Wait() == nil {
				t.Error("the server ended by itself")
			}
			if life >= kills {
				return
			}
		}
	})
	<-up

	var wg sync.WaitGroup
	names := []string{"a key, repeated", "a key, one attempt, Confirm", "no key, Confirm", "no key"}
	next := make(chan int)
	for range 16 {
		wg.Go(func() {
			for i := range next {
				w := wishers[names[i%len(names)]]
				id := fmt.Sprint("wish-", i)
				g, err := w.call.Call(requestreply.WithIdempotencyKey(t.Context(), id), wish{id})
				v := report{known: outcome.Applied, number: g.Number}
				if err != nil {
					e, _ := errors.AsType[*requestreply.Error](err)
					v = report{known: outcome.Of(err), asked: w.call.Confirm != nil && e.Attempts > 0, settled: e.Confirm == nil}
				}
				w.reports.Store(id, v)
				made.Add(1)
			}
		})
	}
	for i := range calls {
		next <- i
	}
	close(next)
	wg.Wait()

	// What nobody could settle then is settled now: by the same key, or by
	// asking for it.
	for name, w := range wishers {
		w.reports.Range(func(k, v any) bool {
			id, r := k.(string), v.(report)
			if r.known != outcome.Unknown || w.call.Confirm == nil && !w.call.Keyed {
				return true
			}
			require.False(t, r.asked && r.settled, "%s: %s is unknown, and Confirm had no fault", name, id)
			for tries := 1; r.known == outcome.Unknown; tries++ {
				var err error
				if w.call.Keyed {
					var g grant
					if g, err = keyed.Call(requestreply.WithIdempotencyKey(t.Context(), id), wish{id}); err == nil {
						r.known, r.number = outcome.Applied, g.Number
					} else if voided(err) {
						r.known = outcome.Refused
					}
				} else {
					r.known, err = confirm(t.Context(), id)
				}
				require.Less(t, tries, 100, "%s: %s cannot be settled: %v", name, id, err)
			}
			w.reports.Store(id, r)
			return true
		})
	}
	close(stop)
	servers.Wait()

	effects := map[string][]int64{}
	rows, err := db.QueryContext(t.Context(), `SELECT id, number FROM effects`)
	require.NoError(t, err)
	for rows.Next() {
		var id string
		var n int64
		require.NoError(t, rows.Scan(&id, &n))
		effects[id] = append(effects[id], n)
	}
	require.NoError(t, rows.Err())
	require.NoError(t, rows.Close())
	seen := 0
	for _, name := range names {
		count := map[outcome.Outcome]int{}
		asked := 0
		wishers[name].reports.Range(func(k, v any) bool {
			id, r := k.(string), v.(report)
			seen++
			count[r.known]++
			if r.asked {
				asked++
			}
			require.LessOrEqual(t, len(effects[id]), 1, "%s: %s happened twice", name, id)
			switch r.known {
			case outcome.Applied:
				require.Len(t, effects[id], 1, "%s: %s is said to have happened", name, id)
			case outcome.Refused, outcome.NotSent:
				require.Empty(t, effects[id], "%s: %s is said not to have happened", name, id)
			default:
				require.Equal(t, "no key", name, "%s is unknown still", id)
			}
			if r.number != 0 {
				require.Equal(t, []int64{r.number}, effects[id], "%s: %s was answered with another's number", name, id)
			}
			return true
		})
		t.Logf("%-27s applied %d, refused %d, not sent %d, unknown %d; failed and asked %d", name, count[outcome.Applied], count[outcome.Refused], count[outcome.NotSent], count[outcome.Unknown], asked)
	}
	require.Equal(t, calls, seen)
	t.Logf("%d calls, %d effects, %d kills", calls, len(effects), kills)
}

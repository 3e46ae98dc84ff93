package fireforget_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/fireforget"
	"github.com/crosstie/crosstie/inbox"
	"github.com/crosstie/crosstie/webhook"
)

// Each test runs the documented anti-pattern as it is usually written, shows
// that it fails, and that the same situation does no harm here.

// network is a handler behind an http.Client without a socket, so that it
// works in a bubble.
type network struct{ http.Handler }

func (n network) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Context().Err() != nil {
		return nil, r.Context().Err()
	}
	rec := httptest.NewRecorder()
	n.ServeHTTP(rec, r)
	return rec.Result(), nil
}

func over(t *testing.T, h http.Handler) fireforget.Deliverer {
	return fireforget.Webhook("https://receiver.example/", secret(t, "a"), &fireforget.WebhookOptions{Client: &http.Client{Transport: network{h}}})
}

// A receiver that is down until a moment, and what it took.
type downUntil struct {
	mu    sync.Mutex
	up    time.Time
	calls int
	got   []string
}

func (d *downUntil) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls++
	if time.Now().Before(d.up) {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	body, _ := io.ReadAll(r.Body)
	d.got = append(d.got, string(body))
}

// seen is how often it was called, and what it took.
func (d *downUntil) seen() (calls int, got []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.calls, slices.Clone(d.got)
}

// No retry, no error handling: what is sent while the receiver is down is
// gone, and the sender does not know.
func TestAntiPatternNoRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		naive := &downUntil{up: time.Now().Add(10 * time.Minute)}
		post := func(body string) {
			resp, err := (&http.Client{Transport: network{naive}}).Post("https://receiver.example/", "text/plain", strings.NewReader(body))
			if err == nil {
				_ = resp.Body.Close()
			}
		}
		for i := range 100 {
			post(fmt.Sprint(i))
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		_, got := naive.seen()
		require.Empty(t, got, "all lost, and nobody was told")

		ours := &downUntil{up: time.Now().Add(10 * time.Minute)}
		s := fireforget.NewMem()
		r := fireforget.NewRelay(s, nil)
		r.Handle("dest", over(t, ours), nil)
		stop := start(t, r)
		for i := range 100 {
			send(t, s, "dest", "", fmt.Sprint(i))
		}
		time.Sleep(time.Hour)
		require.NoError(t, stop())
		_, got = ours.seen()
		require.Len(t, got, 100)
	})
}

// Publish, then crash: the work is in a goroutine, or in a channel, of a
// process that ends.
func TestAntiPatternPublishThenCrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		crash, cancel := context.WithCancel(t.Context()) // of the process
		var mu sync.Mutex
		var naive []string
		accepted := 0
		for i := range 10 {
			go func() { // "fire and forget"
				select {
				case <-time.After(time.Second): // the network
					mu.Lock()
					defer mu.Unlock()
					naive = append(naive, fmt.Sprint(i))
				case <-crash.Done():
				}
			}()
			accepted++
		}
		cancel()
		synctest.Wait()
		require.Equal(t, 10, accepted)
		require.Empty(t, naive, "accepted and lost")

		// The store outlives the process; the claims it left run out.
		s := fireforget.NewMem()
		for i := range 10 {
			send(t, s, "dest", "", fmt.Sprint(i))
		}
		require.Len(t, claim(t, s, "dest"), 10) // by a relay that crashes here
		var j journal
		r := fireforget.NewRelay(s, nil)
		r.Handle("dest", &j, nil)
		stop := start(t, r)
		time.Sleep(2 * time.Minute)
		require.NoError(t, stop())
		require.Len(t, j.all(), 10)
	})
}

// Acknowledge before commit: the receiver says 2xx, and then cannot keep what
// it took.
func TestAntiPatternAcknowledgeBeforeCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := secret(t, "a")
		errDisk := errors.New("disk full")
		deliver := func(h http.Handler) (parked int) {
			s := fireforget.NewMem()
			r := fireforget.NewRelay(s, nil)
			r.Handle("dest", over(t, h), nil)
			stop := start(t, r)
			for i := range 10 {
				send(t, s, "dest", "", fmt.Sprint(i))
			}
			time.Sleep(time.Hour)
			require.NoError(t, stop())
			return len(dead(t, s, fireforget.Filter{}))
		}
		// The database of both fails for its first seven writes.
		var mu sync.Mutex
		var naive []string
		writes := 0
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			w.WriteHeader(http.StatusNoContent)
			mu.Lock()
			defer mu.Unlock()
			if writes++; writes > 7 {
				naive = append(naive, string(body))
			}
		})
		require.Zero(t, deliver(h))
		require.Len(t, naive, 3, "seven were acknowledged and lost")

		var ours []string
		writes = 0
		take := fireforget.NewReceiver(webhook.Verifier{Secrets: []webhook.Secret{key}}, inbox.New("in", inbox.NewMem(), nil),
			func(_ context.Context, _ *sql.Tx, m webhook.Message) error {
				mu.Lock()
				defer mu.Unlock()
				if writes++; writes <= 7 {
					return errDisk
				}
				ours = append(ours, string(m.Body))
				return nil
			}, nil)
		require.Zero(t, deliver(take))
		slices.Sort(ours)
		require.Len(t, slices.Compact(ours), 10)
		require.Equal(t, 17, writes)
	})
}

// Retry without limit: the loop of one sender keeps a struggling receiver down.
func TestAntiPatternRetryWithoutLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		naive := &downUntil{up: time.Now().Add(time.Hour)}
		for deadline := time.Now().Add(time.Hour); time.Now().Before(deadline); {
			resp, err := (&http.Client{Transport: network{naive}}).Post("https://receiver.example/", "text/plain", strings.NewReader("x"))
			require.NoError(t, err)
			_ = resp.Body.Close()
			if resp.StatusCode < 300 {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		calls, _ := naive.seen()
		require.Greater(t, calls, 30_000, "for one message, in one hour")

		ours := &downUntil{up: time.Now().Add(1000 * time.Hour)}
		s := fireforget.NewMem()
		r := fireforget.NewRelay(s, &fireforget.RelayOptions{Poll: time.Second})
		r.Handle("dest", over(t, ours), nil)
		stop := start(t, r)
		send(t, s, "dest", "", "x")
		time.Sleep(time.Hour)
		synctest.Wait()
		calls, _ = ours.seen()
		require.LessOrEqual(t, calls, 4, "in one hour")
		time.Sleep(200 * time.Hour)
		require.NoError(t, stop())
		calls, _ = ours.seen()
		require.Equal(t, 10, calls, "in all")
		require.Len(t, dead(t, s, fireforget.Filter{}), 1, "and parked in plain sight")
	})
}

// A channel that is full drops in silence.
func TestAntiPatternSilentDrop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := make(chan string, 10)
		for i := range 100 {
			select {
			case queue <- fmt.Sprint(i):
			default: // "cannot happen"
			}
		}
		require.Len(t, queue, 10, "90 of 100 dropped, and no caller knows")

		s := fireforget.NewMem()
		box := fireforget.NewOutbox(s, &fireforget.OutboxOptions{MaxPending: 10})
		var j journal
		r := fireforget.NewRelay(s, nil)
		r.Handle("dest", &j, nil)
		accepted, refused := 0, 0
		for i := range 100 {
			switch _, err := box.Send(t.Context(), fireforget.Message{To: "dest", Payload: i}); {
			case err == nil:
				accepted++
			case errors.Is(err, fireforget.ErrFull):
				refused++
			}
		}
		require.Equal(t, []int{10, 90}, []int{accepted, refused}, "every caller knows")

		// Or they wait their turn.
		stop := start(t, r)
		patient := fireforget.NewOutbox(s, &fireforget.OutboxOptions{MaxPending: 10, Wait: true})
		for i := range 100 {
			_, err := patient.Send(t.Context(), fireforget.Message{To: "dest", Payload: i})
			require.NoError(t, err)
		}
		synctest.Wait()
		require.NoError(t, stop())
		require.Len(t, j.all(), 110)
	})
}

// A poison message that is tried again until it works blocks the rest for ever.
func TestAntiPatternPoisonBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		digest := func(body string) error {
			if body == "poison" {
				return errors.New("cannot be digested")
			}
			return nil
		}
		queue := []string{"1", "poison", "2", "3"}
		var naive []string
		for deadline := time.Now().Add(24 * time.Hour); len(queue) > 0 && time.Now().Before(deadline); {
			if digest(queue[0]) != nil {
				time.Sleep(time.Second)
				continue
			}
			naive, queue = append(naive, queue[0]), queue[1:]
		}
		require.Equal(t, []string{"1"}, naive, "after a day")

		s := fireforget.NewMem()
		var j journal
		r := fireforget.NewRelay(s, nil)
		r.Handle("dest", fireforget.DelivererFunc(func(ctx context.Context, it fireforget.Item) error {
			if err := digest(string(it.Body)); err != nil {
				return err
			}
			return j.Deliver(ctx, it)
		}), &fireforget.RouteOptions{Schedule: []time.Duration{time.Minute, time.Hour}})
		stop := start(t, r)
		for _, body := range []string{"1", "poison", "2", "3"} {
			send(t, s, "dest", "key", body)
		}
		send(t, s, "dest", "other", "4")
		synctest.Wait()
		require.ElementsMatch(t, []string{"1", "4"}, j.all(), "other keys at once")
		time.Sleep(2 * time.Hour)
		require.NoError(t, stop())
		require.Equal(t, []string{"2", "3"}, j.all()[2:], "its own key when it is parked")
		require.Len(t, dead(t, s, fireforget.Filter{}), 1)
	})
}

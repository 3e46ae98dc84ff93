package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/pubsub"
	"github.com/crosstie/crosstie/uiupdate"
)

// opened is a system on a folder, closed with the test.
func opened(t *testing.T, args ...string) *system {
	t.Helper()
	s, err := openSystem(t.Context(), mustParse(t, args...), &bytes.Buffer{}, func(err error) { t.Error(err) })
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.close()) })
	return s
}

// until waits for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	end := time.Now().Add(long)
	for !ok() {
		require.True(t, time.Now().Before(end), "never: %s", what)
		require.NoError(t, pause(t.Context(), 5*time.Millisecond))
	}
}

// A newer warehouse publishes a version that this program does not know. Nobody guesses and nobody skips it: it is
// parked, with a reason for people, and what comes after it goes on.
func TestAnEventOfAnUnknownVersionIsParkedInWords(t *testing.T) {
	dir := fastDir(t)
	told(t, "-dir", dir, "-reservations", "5")
	s := opened(t, "-dir", dir)
	s.board = newBoard()
	newer := pubsub.NewTopic[map[string]string](s.warehouse.store.Log(), "stock-changed", &pubsub.TopicOptions{
		Source: "urn:crosstie:inventory:warehouse", Schema: "urn:crosstie:inventory:stock-changed:2",
	})
	_, err := newer.Publish(t.Context(), "10101", map[string]string{"sku": "10101", "left": "many"})
	require.NoError(t, err)
	s.openWindow(nil)
	require.NoError(t, s.renewOrg(t.Context()))
	for _, name := range subscribers {
		s.subscribers[name].start(t.Context())
	}
	for _, name := range subscribers {
		until(t, name+" has passed it", func() bool {
			lag, err := s.subscribers[name].sub.Lag(t.Context())
			return err == nil && lag.Events == 0
		})
		var found []pubsub.DeadLetter
		for d, err := range s.subscribers[name].sub.DeadLetters().All(t.Context()) {
			require.NoError(t, err)
			found = append(found, d)
		}
		require.Len(t, found, 1, name)
		require.Contains(t, whyParked(found[0]), "does not know, so nothing was guessed")
		require.Contains(t, whyParked(found[0]), "stock-changed:2")
	}
	s.showEvents(t.Context(), nil)
	says(t, s.board, "Start a program that knows it, and restart the subscriber.")
	c := cardOf(t, s.board, "pubsub")
	require.EqualValues(t, len(subscribers), c.Parked)
	require.Equal(t, c.Done+c.Parked, c.In)
}

func TestASubscriberWhoseCursorIsGoneSaysSo(t *testing.T) {
	dir := fastDir(t)
	told(t, "-dir", dir, "-reservations", "20")
	s := opened(t, "-dir", dir)
	s.board = newBoard()
	s.openWindow(nil)
	sb := s.subscribers[subscriberPage]
	require.NoError(t, sb.sub.Seek(t.Context(), pubsub.Start{}))
	_, err := s.warehouse.topic.Prune(t.Context(), pubsub.Retention{Count: 1, DropUnread: true})
	require.NoError(t, err)
	sb.start(t.Context())
	until(t, "it stops", func() bool { return !sb.running() })
	says(t, s.board, "Its cursor is gone: the log no longer has what it would have heard next")

	require.NoError(t, s.Restart(t.Context(), subscriberPage))
	until(t, "it has heard what there is", func() bool {
		lag, err := sb.sub.Lag(t.Context())
		return err == nil && lag.Events == 0 && sb.running()
	})
	require.ErrorContains(t, s.Restart(t.Context(), "nobody"), "no such subscriber")
}

// The stream is cut at every event, and what the screen has is still what the view has.
func TestAScreenThatIsCutMissesNothing(t *testing.T) {
	view := uiupdate.NewView[string, stockRow](nil)
	begin := time.Now()
	rows := map[string]stockRow{}
	for i := range 500 {
		rows[fmt.Sprint(10_000+i)] = stockRow{Description: "MUG", Free: int64(i)}
	}
	require.NoError(t, view.Reset(rows, begin))
	srv := httptest.NewServer(uiupdate.NewHandler(view, nil))
	defer srv.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := newScreen(srv.URL, &http.Client{})
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx) }()
	for i := range 200 {
		sku := fmt.Sprint(10_000 + i*7%500)
		rows[sku] = stockRow{Description: "MUG", Free: int64(-i)}
		require.NoError(t, view.Set(sku, rows[sku], time.Now()))
		if i%10 == 0 {
			s.cutNow()
		}
	}
	until(t, "all rows are right", func() bool {
		same, shown, _ := s.compare(rows)
		return same == 500 && shown == 500
	})
	_, resets, _ := s.story()
	require.EqualValues(t, 1, resets)
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
}

func TestStreamsThatAreNoneAreRefused(t *testing.T) {
	var got []sent
	err := readEvents(strings.NewReader(": hello\n\nid: 1\nevent: live\ndata: {}\n\nretry: 5\n\nid: 2\nevent: delta\ndata: {\"rows\":[]}\n\nid: 3\nevent: delta\ndata: {\"ro"),
		func(e sent) error { got = append(got, e); return nil })
	require.Error(t, err, "it was cut")
	require.Equal(t, []sent{{"1", "live", "{}"}, {"2", "delta", `{"rows":[]}`}}, got, "and what was not whole is not taken")
	require.Error(t, newScreen("", nil).apply(sent{"1", "delta", "<html>"}))
	require.Error(t, readEvents(strings.NewReader("data: "+strings.Repeat("x", maxLine+1)+"\n\n"), func(sent) error { return nil }))

	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }))
	defer page.Close()
	require.ErrorContains(t, newScreen(page.URL, &http.Client{}).watch(t.Context()), "status 502")
}

// A forecast that was running when the program ended goes on in the next one.
func TestAForecastOutlivesTheProgram(t *testing.T) {
	dir := fastDir(t)
	told(t, "-dir", dir, "-reservations", "5")
	s := opened(t, "-dir", dir)
	halt := make(chan int64, 1)
	s.planner.before = func(ctx context.Context, _ string, done, total int64) error {
		if done < total/2 {
			return nil
		}
		select {
		case halt <- done:
		default:
		}
		<-ctx.Done()
		return context.Cause(ctx)
	}
	s.planner.worker.start(t.Context())
	require.NoError(t, s.Forecast(t.Context()))
	require.ErrorContains(t, s.Forecast(t.Context()), "running already")
	was := <-halt
	require.GreaterOrEqual(t, was, int64(20))
	require.NoError(t, s.close())

	again := opened(t, "-dir", dir)
	again.board = newBoard()
	again.serveForecasts(t.Context())
	until(t, "it is done", func() bool {
		again.forecasts.mu.Lock()
		defer again.forecasts.mu.Unlock()
		return again.forecasts.done == 1
	})
	require.NoFileExists(t, filepath.Join(dir, forecastToken))
	var products int
	require.NoError(t, again.warehouse.db.QueryRow(`SELECT count(*) FROM forecast_now`).Scan(&products))
	require.Equal(t, 40, products, "each product once")
}

// Whatever a stream holds, reading it ends, and nothing is taken that was not whole.
func FuzzReadEvents(f *testing.F) {
	for _, s := range []string{"", "data: x\n\n", "id: 1\nevent: delta\ndata: {}\n\n", "data: x", ":\n\n\n", "data\n\n", "id\r\ndata: y\r\n\r\n", "data: \x00\n\n", "data:0\n\r"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n := 0
		require.Error(t, readEvents(strings.NewReader(s), func(e sent) error {
			require.NotEmpty(t, e.data)
			n++
			return nil
		}), "a stream does not end by itself")
		empty := strings.Count(s, "\n\n") + strings.Count(s, "\n\r\n")
		if strings.HasSuffix(s, "\n\r") {
			empty++ // cut behind the CR, which ends a line by itself
		}
		require.LessOrEqual(t, n, empty, "an event ends with an empty line")
	})
}

package main

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/remoteinvoke"
	"github.com/crosstie/crosstie/salesforce/sftest"
	"github.com/crosstie/crosstie/uiupdate"
	"github.com/crosstie/crosstie/webhook"
)

// cardOf is the card of a pattern as the board has it now. It must add up.
func cardOf(t *testing.T, b *board, pattern string) card {
	c := boardRows(b)["card/"+pattern].(card)
	require.Equal(t, c.In, c.Done+c.Unchanged+c.Failed+c.Parked+c.Waiting, "%+v", c)
	return c
}

// loaded is a system behind a board, with the catalogue in its warehouse and so many reservations made.
func loaded(t *testing.T, reservations int) *system {
	s := opened(t, "-dir", fastDir(t))
	s.board = newBoard()
	_, err := s.load(t.Context(), newProgress(io.Discard), io.Discard)
	require.NoError(t, err)
	for i := range reservations {
		require.NoError(t, s.warehouse.store.Tx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			_, err := s.warehouse.reserve(ctx, tx, order{ID: fmt.Sprint("order-", i), SKU: "10101", Quantity: 1})
			return err
		}))
	}
	return s
}

// working is such a system at work, with its own org prepared before.
func working(t *testing.T, reservations int, faults ...sftest.Fault) *system {
	s := loaded(t, reservations)
	require.NoError(t, s.ownOrg.Fault(faults...))
	s.openWindow(nil)
	require.NoError(t, s.work(t.Context()))
	return s
}

// Whatever is wrong with the org is said on the page with what to do, and the events and products it did not take
// wait: when it is well again it has each of them, once.
func TestWhatIsWrongWithTheOrgIsSaidOnThePageAndCostsNothing(t *testing.T) {
	for name, c := range map[string]struct {
		fault sftest.Fault
		says  string
	}{
		"HTML":            {sftest.Fault{Kind: sftest.FaultHTML}, "What answers is a page for people and not its API"},
		"exhausted limit": {sftest.Fault{Kind: sftest.FaultLimit}, "Its API calls of the last 24 hours are used up"},
		"unreachable":     {sftest.Fault{Kind: sftest.FaultDropRequest}, "What it should hear waits"},
		"stumbling":       {sftest.Fault{Kind: sftest.FaultError}, "It stumbles, and is tried again"},
	} {
		t.Run(name, func(t *testing.T) {
			c.fault.Times = -1
			s := working(t, 3, c.fault)
			says(t, s.board, "The Salesforce org is away. ")
			says(t, s.board, c.says)
			require.Empty(t, s.ownOrg.Rows("Stock_Change__c"))
			s.ownOrg.ClearFaults()
			says(t, s.board, "The Salesforce org is back.")
			until(t, "it has all", func() bool {
				return len(s.ownOrg.Rows("Product2")) == 40 && (&story{system: s}).checkOrgEvents(t.Context()) == nil
			})
			until(t, "the card says so", func() bool { return cardOf(t, s.board, "pubsub").Waiting == 0 })
			got := cardOf(t, s.board, "pubsub")
			require.Equal(t, got.In, got.Done)
		})
	}
}

// An org that refuses one event is not away. The event is parked, the card counts it once, and a person who mended what
// was wrong has it tried again.
func TestAnEventThatTheOrgRefusesIsParkedAndTriedAgain(t *testing.T) {
	const reservations = 3
	s := working(t, reservations, sftest.Fault{
		Kind: sftest.FaultError, On: sftest.OpUpsert, Object: "Stock_Change__c", Status: 400, Code: "FIELD_CUSTOM_VALIDATION_EXCEPTION", Message: "not on Sundays",
	})
	says(t, s.board, "Mend what is wrong, and restart the subscriber.")
	says(t, s.board, "not on Sundays")
	until(t, "the rest is heard", func() bool { return cardOf(t, s.board, "pubsub").Waiting == 0 })
	c := cardOf(t, s.board, "pubsub")
	require.EqualValues(t, 1, c.Parked)
	require.EqualValues(t, reservations*len(subscribers), c.In, "it is counted once")
	require.Equal(t, well, boardRows(s.board)["party/"+partyOrg].(partyRow).Condition)

	require.NoError(t, s.Restart(t.Context(), subscriberOrg))
	says(t, s.board, "and tries again 1 event that was parked")
	until(t, "it is settled", func() bool { return cardOf(t, s.board, "pubsub").Parked == 0 })
	require.Len(t, s.ownOrg.Rows("Stock_Change__c"), reservations, "each once")
	for key := range boardRows(s.board) {
		require.NotContains(t, key, "parked/")
	}
}

// The worker of a forecast dies when all but its last pages are saved. Another takes them over, the page says so, and
// the callback that comes twice, late or again changes nothing.
func TestAWorkerThatDiesNearTheEndIsSaidOnThePage(t *testing.T) {
	s := loaded(t, 0)
	var pages int
	reached := make(chan struct{})
	s.planner.before = func(ctx context.Context, _ string, done, total int64) error {
		if pages++; done < total-2 {
			return nil
		}
		close(reached)
		<-ctx.Done()
		return context.Cause(ctx)
	}
	s.planner.worker.start(t.Context())
	require.NoError(t, s.Forecast(t.Context()))
	<-reached
	s.planner.worker.stop()
	var dead []remoteinvoke.Task
	until(t, "another claims it, and dies", func() (ok bool) {
		var err error
		dead, err = s.warehouse.store.Jobs().Claim(t.Context(), remoteinvoke.Claim{Service: forecastService, Owner: "dead", Lease: 50 * time.Millisecond, Max: 1})
		require.NoError(t, err)
		return len(dead) == 1
	})
	first := pages
	s.planner.before = func(context.Context, string, int64, int64) error { pages++; return nil }
	s.planner.worker.start(t.Context())
	says(t, s.board, "The worker of the forecast died. Another goes on with what it had saved.")
	says(t, s.board, "The forecast is done")
	says(t, s.board, "The callback came twice")
	until(t, "the job is settled", func() bool { s.showForecasts(); return cardOf(t, s.board, "remoteinvoke").Done == 1 })
	require.Less(t, pages-first, 4, "what was saved is not computed again")
	var rows, products int
	require.NoError(t, s.warehouse.db.QueryRow(`SELECT count(*), count(DISTINCT sku) FROM forecast_now`).Scan(&rows, &products))
	require.Equal(t, [2]int{40, 40}, [2]int{rows, products}, "each product once")

	id := dead[0].ID
	body := fmt.Appendf(nil, `{"service":"forecast","job":{"id":%q,"state":"failed","version":1}}`, id)
	h, err := webhook.Headers(id, time.Now(), body, s.planner.secret)
	require.NoError(t, err)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.planner.ear, bytes.NewReader(body))
	require.NoError(t, err)
	r.Header = h
	resp, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Less(t, resp.StatusCode, 300, "a late one of long ago is taken, so that nobody sends it again")
	s.showForecasts()
	require.Zero(t, cardOf(t, s.board, "remoteinvoke").Failed, "and what is done stays done")
}

// A browser that goes away costs nobody anything, and one that takes nothing is let go; the page says both.
func TestABrowserThatVanishes(t *testing.T) {
	_, _, p := anyPage(t)
	require.NoError(t, p.stock.Reset(map[string]stockRow{"10101": {Description: "MUG", Free: 3}}, time.Now()))
	now := func() string { p.gauge(); return boardRows(p.board)["card/uiupdate"].(card).Now }
	ctx, vanish := context.WithCancel(t.Context())
	r := httptest.NewRequestWithContext(ctx, "GET", "/", nil)
	gone := make(chan struct{})
	go func() { defer close(gone); p.streams[0].ServeHTTP(httptest.NewRecorder(), r) }()
	until(t, "it looks", func() bool { return now() == "1 product shown live in 1 browser." })
	vanish()
	<-gone
	require.Equal(t, "No browser looks.", now())

	p.streams[0] = uiupdate.NewHandler(p.stock, nil)
	p.streams[0].ServeHTTP(deafBrowser{httptest.NewRecorder()}, httptest.NewRequestWithContext(t.Context(), "GET", "/", nil))
	p.gauge()
	says(t, p.board, "A browser took nothing for so long that its stream was ended.")
	require.Equal(t, "No browser looks.", now())
}

// A deafBrowser takes nothing in time.
type deafBrowser struct{ *httptest.ResponseRecorder }

func (deafBrowser) Write([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }

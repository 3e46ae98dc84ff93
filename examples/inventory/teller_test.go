package main

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/salesforce"
	"github.com/crosstie/crosstie/webhook"
)

// says waits until the board says so.
func says(t *testing.T, b *board, words string) {
	t.Helper()
	until(t, words, func() bool {
		for _, row := range boardRows(b) {
			if strings.Contains(fmt.Sprintf("%+v", row), words) {
				return true
			}
		}
		return false
	})
}

func TestCallbacksThatNobodyBelievesAreSaidOnTheBoard(t *testing.T) {
	dir := fastDir(t)
	told(t, "-dir", dir, "-reservations", "5")
	s := opened(t, "-dir", dir)
	s.board = newBoard()
	post := func(at time.Time, by webhook.Secret) int {
		body := []byte(`{"service":"forecast","job":{"id":"j1","state":"done","version":9}}`)
		h, err := webhook.Headers("j1", at, body, by)
		require.NoError(t, err)
		for range 2 { // the answer to the first is lost
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.planner.ear, bytes.NewReader(body))
			require.NoError(t, err)
			r.Header = h.Clone()
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				continue
			}
			resp.Body.Close()
			return resp.StatusCode
		}
		t.Fatal("no answer")
		return 0
	}
	require.Equal(t, http.StatusUnauthorized, post(time.Now(), webhook.NewSecret()))
	says(t, s.board, "Somebody called back who is not the forecast service")
	require.Equal(t, http.StatusUnauthorized, post(time.Now().Add(-24*time.Hour), s.planner.secret))
	says(t, s.board, "whose time is not now")
	require.Less(t, post(time.Now(), s.planner.secret), 300, "one that is early, of a job that nobody has started, is kept")
	_, err := s.planner.service.Status(t.Context(), "", "j1")
	require.Error(t, err, "and makes no job")
}

func TestAnOrgThatIsAwayHearsOfEverythingLater(t *testing.T) {
	dir := fastDir(t)
	told(t, "-dir", dir, "-reservations", "20")
	s := opened(t, "-dir", dir)
	s.board = newBoard()
	s.openWindow(nil)
	s.wire.broken.Store(true)
	require.NoError(t, s.work(t.Context()))
	says(t, s.board, "It cannot be reached. What it should hear waits")
	lag, err := s.subscribers[subscriberOrg].sub.Lag(t.Context())
	require.NoError(t, err)
	require.Positive(t, lag.Events)

	s.wire.broken.Store(false)
	until(t, "it has heard all", func() bool {
		lag, err := s.subscribers[subscriberOrg].sub.Lag(t.Context())
		return err == nil && lag.Events == 0
	})
	until(t, "it has the products", func() bool { return len(s.ownOrg.Rows("Product2")) == 40 })
	says(t, s.board, "It answers.")
	require.NoError(t, (&story{system: s}).checkOrgEvents(t.Context()))
	for err, words := range map[error]string{
		salesforce.ErrCredentials:   "It refuses the key or the secret in " + orgIDEnv,
		salesforce.ErrLimit:         "Its API calls of the last 24 hours are used up",
		salesforce.ErrNotSalesforce: "a login page, or a proxy",
	} {
		s.orgIs(err)
		says(t, s.board, words)
	}
}

package outbound_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/inbox"
	"github.com/crosstie/crosstie/salesforce/outbound"
	"github.com/crosstie/crosstie/salesforce/sftest"
)

// direct is a way to a handler without a network.
type direct struct{ http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w.Result(), nil
}

// An org whose messages are lost, and their answers too, and a listener that fails
// now and then: each notification takes effect, and once.
func TestOrgAndListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const records = 230
		org := sftest.NewOrg(t, &sftest.Options{InMemory: true})
		var mu sync.Mutex // guards what follows
		effects, calls := map[string]int{}, 0
		l, err := outbound.New("Account", outbound.Sender{OrganizationID: org.ID(), Secret: secret}, inbox.New("accounts", inbox.NewMem(), nil),
			func(_ context.Context, _ *sql.Tx, n outbound.Notification[account]) error {
				mu.Lock()
				defer mu.Unlock()
				if calls++; calls%7 == 0 {
					return errors.New("the database is away")
				}
				effects[n.ID+" "+n.SObject.Name]++
				return nil
			}, nil)
		require.NoError(t, err)
		require.NoError(t, org.Fault(
			sftest.Fault{Kind: sftest.FaultDropResponse, On: sftest.OpOutbound, Times: 4},
			sftest.Fault{Kind: sftest.FaultDropRequest, On: sftest.OpOutbound, Times: 3},
		))
		_, err = org.AddOutboundMessage(sftest.OutboundMessage{
			Object: "Account", Fields: []string{"Name", "LastModifiedDate"}, SessionID: true,
			URL: "https://listener.example" + path, Transport: direct{l},
		})
		require.NoError(t, err)
		for i := range records {
			_, err := org.Insert("Account", sftest.Row{"Name": fmt.Sprint("account ", i)})
			require.NoError(t, err)
		}
		time.Sleep(25 * time.Hour)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		require.Len(t, effects, records)
		for what, n := range effects {
			require.Equal(t, 1, n, what)
		}
		for _, n := range org.Notifications() {
			require.Equal(t, "acknowledged", n.State, n.Failure)
		}
	})
}

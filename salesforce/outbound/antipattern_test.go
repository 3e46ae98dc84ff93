package outbound_test

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"net/http"
	"regexp"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/inbox"
	"github.com/crosstie/crosstie/salesforce/outbound"
	"github.com/crosstie/crosstie/salesforce/sftest"
)

// The naive listeners: one answers Ack true and works afterwards, one works and then
// answers, without a memory. The first loses what fails, the second does twice what
// it is told twice. Ours does neither under the same faults.
func TestAcknowledgeFirstLosesAndForgettingDoubles(t *testing.T) {
	nameOf := regexp.MustCompile(`<sf:Name>(.*?)</sf:Name>`)
	const ok = `<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>` + acked + `</e:Body></e:Envelope>`
	// what becomes of one save, when the first effect fails and the second answer is lost
	story := func(t *testing.T, listener func(org *sftest.Org, work func(name string) error) http.Handler) (effects int) {
		synctest.Test(t, func(t *testing.T) {
			org := sftest.NewOrg(t, &sftest.Options{InMemory: true})
			failed := false
			h := listener(org, func(string) error {
				if !failed {
					failed = true
					return errors.New("the database is away")
				}
				effects++
				return nil
			})
			require.NoError(t, org.Fault(sftest.Fault{Kind: sftest.FaultDropResponse, On: sftest.OpOutbound, Skip: 1}))
			_, err := org.AddOutboundMessage(sftest.OutboundMessage{
				Object: "Account", Fields: []string{"Name"}, URL: "https://listener.example" + path, Transport: direct{h},
			})
			require.NoError(t, err)
			_, err = org.Insert("Account", sftest.Row{"Name": "a"})
			require.NoError(t, err)
			time.Sleep(25 * time.Hour)
			synctest.Wait()
		})
		return effects
	}

	require.Equal(t, 0, story(t, func(_ *sftest.Org, work func(string) error) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			_, _ = io.WriteString(w, ok)
			_ = work(nameOf.FindStringSubmatch(string(body))[1]) // whose error nobody can be told
		})
	}), "acknowledged first, and lost")

	require.Equal(t, 2, story(t, func(_ *sftest.Org, work func(string) error) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if err := work(nameOf.FindStringSubmatch(string(body))[1]); err != nil {
				w.WriteHeader(http.StatusInternalServerError)
				return
			}
			_, _ = io.WriteString(w, ok)
		})
	}), "without a memory, done twice")

	require.Equal(t, 1, story(t, func(org *sftest.Org, work func(string) error) http.Handler {
		l, err := outbound.New("Account", outbound.Sender{OrganizationID: org.ID(), Secret: secret}, inbox.New("accounts", inbox.NewMem(), nil),
			func(_ context.Context, _ *sql.Tx, n outbound.Notification[account]) error {
				return work(n.SObject.Name)
			}, nil)
		require.NoError(t, err)
		return l
	}))
}

package outbound_test

import (
	"context"
	"database/sql"
	"strings"
	"testing"

	"github.com/crosstie/crosstie/salesforce/outbound"
)

// Whatever comes, a listener answers, never gives its function a record of
// another form than an org's, and never says true before the function ran.
func FuzzMessage(f *testing.F) {
	f.Add(envelope(note(1, "a")))
	f.Add(envelope(note(1, "a"), note(1, "a"), note(2, "&#x1F600;")))
	f.Add(strings.Replace(envelope(note(1, "a")), "<sf:Name>", `<sf:Stock__c>1e400</sf:Stock__c><sf:Rate__c xsi:nil="1"/><sf:Active__c>0</sf:Active__c><sf:Name>`, 1))
	f.Add("<soapenv:Envelope")
	f.Fuzz(func(t *testing.T, body string) {
		ran := 0
		l := listen(t, func(_ context.Context, _ *sql.Tx, n outbound.Notification[account]) error {
			if ran++; len(n.ID) < 15 || len(n.SObject.ID) < 15 || n.OrganizationID[:15] != org[:15] {
				t.Errorf("a notification with an id that is none: %q, %q", n.ID, n.SObject.ID)
			}
			return nil
		}, nil)
		status, text := answer(l, post(body))
		if status != 200 && status != 500 {
			t.Errorf("answered %d", status)
		}
		if strings.Contains(text, acked) && ran == 0 {
			t.Error("acknowledged, and nothing took effect")
		}
	})
}

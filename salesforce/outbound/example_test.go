package outbound_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/http/httptest"

	"github.com/crosstie/crosstie/inbox"
	"github.com/crosstie/crosstie/salesforce/outbound"
	"github.com/crosstie/crosstie/salesforce/sftest"
)

// An org tells a listener that an account was saved.
func Example() {
	type Account struct {
		ID   string `json:"Id"`
		Name string `json:"Name"`
	}
	org, err := sftest.Start(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer org.Close()

	const secret = "a-secret-of-this-test_0"               // crypto/rand.Text makes one
	seen := inbox.New("accounts", inbox.NewMem(), nil)     // sqlstore keeps one in a database
	saved := make(chan outbound.Notification[Account], 10) // your tables, by the transaction
	accounts, err := outbound.New("Account", outbound.Sender{OrganizationID: org.ID(), Secret: secret}, seen,
		func(_ context.Context, _ *sql.Tx, n outbound.Notification[Account]) error {
			saved <- n
			return nil
		}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	server := httptest.NewServer(accounts)
	defer server.Close()

	_, err = org.AddOutboundMessage(sftest.OutboundMessage{Object: "Account", Fields: []string{"Name"}, URL: server.URL + "/accounts/" + secret})
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := org.Insert("Account", sftest.Row{"Name": "Lamps"}); err != nil {
		fmt.Println(err)
	}
	n := <-saved
	fmt.Println(n.SObject.Name, n.ID == org.Notifications()[0].ID)
	// Output:
	// Lamps true
}

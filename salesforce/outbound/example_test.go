package outbound_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/http/httptest"
	"strings"

	"github.com/crosstie/crosstie/inbox"
	"github.com/crosstie/crosstie/salesforce/outbound"
)

// An org tells of an account, and tells it again since it heard no answer.
func Example() {
	type Account struct {
		ID   string `json:"Id"`
		Name string `json:"Name"`
	}
	seen := inbox.New("accounts", inbox.NewMem(), nil) // sqlstore keeps one in a database
	from := outbound.Sender{OrganizationID: "00D000000000001EAA", Secret: "a-secret-of-this-test_0"}
	accounts, err := outbound.New("Account", from, seen,
		func(_ context.Context, _ *sql.Tx, n outbound.Notification[Account]) error {
			fmt.Println("renamed to", n.SObject.Name)
			return nil
		}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}

	for range 2 {
		w := httptest.NewRecorder()
		accounts.ServeHTTP(w, post(envelope(note(1, "Lamps"))))
		fmt.Println(w.Code, "Ack:", strings.Contains(w.Body.String(), "<Ack>true</Ack>"))
	}
	// Output:
	// renamed to Lamps
	// 200 Ack: true
	// 200 Ack: true
}

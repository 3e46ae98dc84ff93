package sftest_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/crosstie/crosstie/salesforce/sftest"
)

// An org that has one object of its own; the call is one that any client sends.
func Example() {
	org, err := sftest.Start(&sftest.Options{Objects: []sftest.Object{{
		Name:   "Stock__c",
		Fields: []sftest.Field{{Name: "SKU__c", ExternalID: true, Unique: true}, {Name: "Quantity__c", Type: sftest.Double}},
	}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer org.Close()

	upsert := func(sku, body string) {
		req, _ := http.NewRequest("PATCH", org.URL()+"/services/data/v60.0/sobjects/Stock__c/SKU__c/"+sku, strings.NewReader(body))
		req.Header.Set("Authorization", "Bearer "+org.Token())
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			fmt.Println("no answer")
			return
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		fmt.Println(resp.StatusCode, strings.Contains(string(text), `"created":true`))
	}
	upsert("L-1", `{"Quantity__c": 12}`)
	upsert("l-1", `{"Quantity__c": 11}`) // not case-sensitive: the same row

	// The answer is lost, the row is not.
	if err := org.Fault(sftest.Fault{Kind: sftest.FaultDropResponse, On: sftest.OpUpsert}); err != nil {
		fmt.Println(err)
	}
	upsert("L-2", `{"Quantity__c": 3}`)
	for _, r := range org.Rows("Stock__c") {
		fmt.Println(r["SKU__c"], r["Quantity__c"])
	}
	// Output:
	// 201 true
	// 200 false
	// no answer
	// L-1 11
	// L-2 3
}

// The save of a record is told to an endpoint of this machine.
func ExampleOrg_AddOutboundMessage() {
	org, err := sftest.Start(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer org.Close()

	told := make(chan bool)
	listener := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		told <- strings.Contains(string(body), "<sf:Name>Acme</sf:Name>")
	}))
	defer listener.Close()
	if _, err := org.AddOutboundMessage(sftest.OutboundMessage{Object: "Account", Fields: []string{"Name"}, URL: listener.URL}); err != nil {
		fmt.Println(err)
		return
	}
	if _, err := org.Insert("Account", sftest.Row{"Name": "Acme"}); err != nil {
		fmt.Println(err)
	}
	fmt.Println("told:", <-told)
	fmt.Println(org.Notifications()[0].State, "until the listener acknowledges")
	// Output:
	// told: true
	// queued until the listener acknowledges
}

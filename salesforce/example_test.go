package salesforce_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/salesforce"
	"github.com/crosstie/crosstie/salesforce/sftest"
)

func Example() {
	ctx := context.Background()
	fake, err := sftest.Start(&sftest.Options{Objects: []sftest.Object{{ // in a test: sftest.NewOrg(t, ...)
		Name:   "Product2",
		Fields: []sftest.Field{{Name: "SKU__c", ExternalID: true, Unique: true}, {Name: "Stock__c", Type: sftest.Double}},
	}}})
	if err != nil {
		log.Fatal(err)
	}
	defer fake.Close()
	org, err := salesforce.New(fake.URL(), salesforce.ClientCredentials(fake.ClientID(), fake.ClientSecret()), nil)
	if err != nil {
		log.Fatal(err)
	}

	type Product struct {
		Name  string         `json:"Name"`
		SKU   string         `json:"SKU__c"`
		Stock salesforce.Int `json:"Stock__c"`
	}
	for range 2 { // it may happen twice: there is one record
		_, err = org.UpsertBy(ctx, "Product2", "SKU__c", "85123A", Product{Name: "T-light holder", Stock: 12})
		if err != nil {
			log.Fatal(err)
		}
	}
	for p, err := range salesforce.Query[Product](ctx, org, salesforce.Select[Product]()+" FROM Product2 WHERE SKU__c IN ?", []string{"85123A", "x'y"}) {
		fmt.Println(p, err)
	}
	// Output:
	// {T-light holder 85123A 12} <nil>
}

// What a failed create means for the caller.
func ExampleOrg_Create() {
	fake, err := sftest.Start(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer fake.Close()
	org, err := salesforce.New(fake.URL(), salesforce.ClientCredentials(fake.ClientID(), fake.ClientSecret()), nil)
	if err != nil {
		log.Fatal(err)
	}
	_, err = org.Create(context.Background(), "Account", map[string]any{"Industry": "Retail"})
	if e, ok := errors.AsType[*salesforce.Error](err); ok {
		fmt.Println(e.Code, e.Fields)
	}
	switch outcome.Of(err) {
	case outcome.Refused, outcome.NotSent:
		fmt.Println("nothing happened")
	case outcome.Unknown:
		fmt.Println("it may be there: look before you repeat it")
	}
	// Output:
	// REQUIRED_FIELD_MISSING [Name]
	// nothing happened
}

// The test that README.md shows.
func TestAgainstAnOrgInAProcess(t *testing.T) {
	fake := sftest.NewOrg(t, nil)
	org, err := salesforce.New(fake.URL(), salesforce.ClientCredentials(fake.ClientID(), fake.ClientSecret()), nil)
	require.NoError(t, err)

	require.NoError(t, fake.Fault(sftest.Fault{Kind: sftest.FaultDropResponse, On: sftest.OpCreate}))
	_, err = org.Create(t.Context(), "Account", map[string]any{"Name": "Acme"})
	require.Equal(t, outcome.Unknown, outcome.Of(err))
	require.Len(t, fake.Rows("Account"), 1) // it is there: only the answer was lost
}

package bulk_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/crosstie/crosstie/batchsync"
	"github.com/crosstie/crosstie/salesforce"
	"github.com/crosstie/crosstie/salesforce/bulk"
	"github.com/crosstie/crosstie/salesforce/sftest"
)

// A catalogue goes into an org twice. The second run sends what changed. Two
// rows whose external ids the org takes for one are parked.
func Example() {
	ctx := context.Background()
	fake, err := sftest.Start(&sftest.Options{Objects: []sftest.Object{{
		Name:   "Product2",
		Fields: []sftest.Field{{Name: "SKU__c", ExternalID: true, Unique: true}},
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
		SKU  string `csv:"SKU__c"`
		Name string `csv:"Name"`
	}
	row := func(sku, name string) batchsync.Row[Product] {
		return batchsync.Row[Product]{ID: sku, Pos: name, Value: Product{sku, name}}
	}
	sink, err := bulk.NewSink[Product](org, "Product2", "SKU__c", &bulk.Options{Compare: true, PollFirst: time.Millisecond})
	if err != nil {
		log.Fatal(err)
	}
	key, err := sink.Key(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for _, name := range []string{"lamp", "desk lamp"} {
		src := source(100, row("L-1", name), row("C-1", "chair"), row("t-1", "table"), row("T-1", "tray"))
		products := batchsync.New("products", bulk.ParkCollisions(src, key.Same), sink, nil)
		report, err := products.Run(ctx)
		fmt.Println(report, err)
	}
	// Output:
	// in 4 = done 2 (2 inserted, 0 updated, 0 deleted) + unchanged 0 + failed 0 + parked 2 + unprocessed 0 <nil>
	// in 4 = done 1 (0 inserted, 1 updated, 0 deleted) + unchanged 1 + failed 0 + parked 2 + unprocessed 0 <nil>
}

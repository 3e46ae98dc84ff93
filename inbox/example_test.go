package inbox_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/crosstie/crosstie/inbox"
)

// The same message arrives three times, and the stock is counted down once.
// With a store in a database, the function writes through tx.
func Example() {
	ctx := context.Background()
	orders := inbox.New("orders", inbox.NewMem(), nil)
	stock := 10
	for range 3 {
		err := orders.Do(ctx, "msg_1", time.Now(), func(ctx context.Context, tx *sql.Tx) error {
			stock -= 2
			return nil
		})
		fmt.Println("acknowledge:", err == nil)
	}
	fmt.Println("stock:", stock)
	// Output:
	// acknowledge: true
	// acknowledge: true
	// acknowledge: true
	// stock: 8
}

// A message that failed is not acknowledged, and runs when it comes again.
func ExampleInbox_Do() {
	ctx := context.Background()
	orders := inbox.New("orders", inbox.NewMem(), nil)
	attempt := 0
	receive := func(context.Context, *sql.Tx) error {
		if attempt++; attempt == 1 {
			return errors.New("the database is down")
		}
		fmt.Println("the order is booked")
		return nil
	}
	for range 3 {
		if err := orders.Do(ctx, "msg_1", time.Now(), receive); err != nil {
			fmt.Println("send it again:", err)
		}
	}
	// Output:
	// send it again: the database is down
	// the order is booked
}

// What is older than the inbox remembers is not processed.
func ExampleNew() {
	orders := inbox.New("orders", inbox.NewMem(), &inbox.Options{Window: 14 * 24 * time.Hour})
	made := time.Now().AddDate(0, 0, -15)
	err := orders.Do(context.Background(), "msg_1", made, func(context.Context, *sql.Tx) error {
		fmt.Println("processed")
		return nil
	})
	if errors.Is(err, inbox.ErrTooOld) {
		fmt.Println("park it")
	}
	// Output: park it
}

// Once records the id in a transaction of the caller's, for which the store
// must be in a database.
func ExampleInbox_Once() {
	orders := inbox.New("orders", inbox.NewMem(), nil)
	_, err := orders.Once(context.Background(), nil, "msg_1", time.Now())
	fmt.Println(errors.Is(err, inbox.ErrNoTx))
	// Output: true
}

func ExampleInbox_Forget() {
	orders := inbox.New("orders", inbox.NewMem(), nil)
	n, err := orders.Forget(context.Background())
	fmt.Println(n, err)
	// Output: 0 <nil>
}

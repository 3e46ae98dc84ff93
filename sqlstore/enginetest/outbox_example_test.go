package enginetest_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/crosstie/crosstie/fireforget"
)

// A reservation and the notice of it are one transaction: a customer who gets
// no lamp gets no notice either.
func ExampleOutbox_SendTx() {
	store, _, done, err := shop()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer done()
	outbox := fireforget.NewOutbox(store.Outbox(), nil)
	reserve := func(customer string) error {
		return store.Tx(context.Background(), func(ctx context.Context, tx *sql.Tx) error {
			notice := fireforget.Message{To: "notices", Key: customer, Payload: "reserved for " + customer}
			if _, err := outbox.SendTx(ctx, tx, notice); err != nil {
				return err
			}
			r, err := tx.ExecContext(ctx, `UPDATE stock SET free = free - 1 WHERE item = 'lamp' AND free > 0`)
			if err != nil {
				return err
			}
			if n, err := r.RowsAffected(); err != nil || n == 0 {
				return errors.Join(err, errors.New("sold out"))
			}
			return nil
		})
	}
	fmt.Println("Ada:", reserve("Ada"))
	fmt.Println("Bob:", reserve("Bob"))

	ctx, cancel := context.WithCancel(context.Background())
	relay := fireforget.NewRelay(store.Outbox(), nil)
	relay.Handle("notices", fireforget.JSON(func(_ context.Context, _ string, notice string) error {
		fmt.Println("delivered:", notice)
		cancel()
		return nil
	}), nil)
	fmt.Println(relay.Run(ctx))
	// Output:
	// Ada: <nil>
	// Bob: sold out
	// delivered: reserved for Ada
	// <nil>
}

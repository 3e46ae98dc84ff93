package enginetest_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/crosstie/crosstie/inbox"
	"github.com/crosstie/crosstie/pubsub"
)

type reserved struct {
	Item, Customer string
}

// A reservation and the event that tells of it are one transaction; what a
// listener makes of it is one with the record that it did.
func ExampleTopic_PublishTx() {
	store, db, done, err := shop()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer done()
	topic := pubsub.NewTopic[reserved](store.Log(), "reserved", &pubsub.TopicOptions{Schema: "urn:reserved:1"})
	reserve := func(customer string) error {
		return store.Tx(context.Background(), func(ctx context.Context, tx *sql.Tx) error {
			if _, err := topic.PublishTx(ctx, tx, "lamp", reserved{"lamp", customer}); err != nil {
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

	_, err = db.Exec(`CREATE TABLE parcel (customer TEXT)`)
	fmt.Println(err)
	ctx, cancel := context.WithCancel(context.Background())
	in := inbox.New("parcels", store.Inbox(), nil)
	s := pubsub.SubscribeTx(topic, "shipping", in, func(ctx context.Context, tx *sql.Tx, e pubsub.Event[reserved]) error {
		defer cancel()
		fmt.Println("a parcel for", e.Data.Customer)
		_, err := tx.ExecContext(ctx, `INSERT INTO parcel VALUES (?)`, e.Data.Customer)
		return err
	}, nil)
	fmt.Println(s.Run(ctx))
	var parcels int
	fmt.Println(db.QueryRow(`SELECT count(*) FROM parcel`).Scan(&parcels), parcels)
	// Output:
	// Ada: <nil>
	// Bob: sold out
	// <nil>
	// a parcel for Ada
	// <nil>
	// <nil> 1
}

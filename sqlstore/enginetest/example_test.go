package enginetest_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite"

	"github.com/crosstie/crosstie/inbox"
	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/sqlstore"
)

// shop opens a store on a file of its own, with a table of the shop's.
func shop() (*sqlstore.DB, *sql.DB, func(), error) {
	dir, err := os.MkdirTemp("", "shop")
	if err != nil {
		return nil, nil, nil, err
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "shop.db"))
	if err != nil {
		return nil, nil, nil, err
	}
	done := func() { _ = db.Close(); _ = os.RemoveAll(dir) }
	store, err := sqlstore.Open(context.Background(), db, sqlstore.SQLite, nil)
	if err == nil {
		_, err = db.Exec(`CREATE TABLE stock (item TEXT PRIMARY KEY, free INTEGER NOT NULL CHECK (free >= 0)); INSERT INTO stock VALUES ('lamp', 1)`)
	}
	return store, db, done, err
}

// Two customers want the last lamp at the same time. Their transactions may
// share a commit; the one that fails does not disturb the other.
func ExampleDB_Tx() {
	store, _, done, err := shop()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer done()
	errSold := errors.New("sold out")
	for _, customer := range []string{"Ada", "Bob"} {
		err := store.Tx(context.Background(), func(ctx context.Context, tx *sql.Tx) error {
			r, err := tx.ExecContext(ctx, `UPDATE stock SET free = free - 1 WHERE item = 'lamp' AND free > 0`)
			if err != nil {
				return err
			}
			if n, err := r.RowsAffected(); err != nil || n == 0 {
				return errors.Join(err, errSold)
			}
			return nil
		})
		if err != nil {
			fmt.Printf("%s: %v (%v)\n", customer, err, outcome.Of(err))
			continue
		}
		fmt.Printf("%s: yours, and on disk\n", customer)
	}
	// Output:
	// Ada: yours, and on disk
	// Bob: sold out (refused)
}

// A message arrives twice and takes effect once: its id is recorded in the
// transaction of its effect.
func ExampleDB_Inbox() {
	store, db, done, err := shop()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer done()
	in := inbox.New("orders", store.Inbox(), nil)
	for delivery := range 2 {
		err := in.Do(context.Background(), "order-17", time.Now(), func(ctx context.Context, tx *sql.Tx) error {
			fmt.Println("delivery", delivery+1, "takes effect")
			_, err := tx.ExecContext(ctx, `UPDATE stock SET free = free - 1 WHERE item = 'lamp'`)
			return err
		})
		fmt.Println("delivery", delivery+1, "may be acknowledged:", err == nil)
	}
	var free int
	_ = db.QueryRow(`SELECT free FROM stock`).Scan(&free)
	fmt.Println("free:", free)
	// Output:
	// delivery 1 takes effect
	// delivery 1 may be acknowledged: true
	// delivery 2 may be acknowledged: true
	// free: 0
}

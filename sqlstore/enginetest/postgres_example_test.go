package enginetest

import (
	"context"
	"database/sql"
	"log"

	"github.com/crosstie/crosstie/fireforget"
	"github.com/crosstie/crosstie/sqlstore"
)

// The outbox of a service of many processes. Only what opens it differs from
// SQLite, and the parameters in your own SQL.
func ExampleOpenPostgres() {
	ctx := context.Background()
	db, err := sql.Open("pgx", "postgres://shop@db.example/shop") // of github.com/jackc/pgx/v5/stdlib
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	store, err := sqlstore.OpenPostgres(ctx, db, nil)
	if err != nil {
		log.Fatal(err)
	}
	outbox := fireforget.NewOutbox(store.Outbox(), nil)
	err = store.Tx(ctx, func(ctx context.Context, tx *sql.Tx) error { // or a transaction you begin yourself
		if _, err := tx.ExecContext(ctx, "UPDATE stock SET free = free - 2 WHERE sku = $1", "85123A"); err != nil {
			return err
		}
		_, err := outbox.SendTx(ctx, tx, fireforget.Message{To: "billing", Key: "85123A", Payload: map[string]int{"reserved": 2}})
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
}

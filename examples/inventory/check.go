package main

import (
	"context"
	"database/sql"
)

// The invariants, read from the databases after the story. Each function returns an error that names the first that
// does not hold.

// checkWarehouse judges the warehouse's file, and the orders of this run by it.
func checkWarehouse(ctx context.Context, db *sql.DB, orders []order) error {
	for _, q := range []struct{ invariant, query string }{
		{"stock is never below zero",
			`SELECT sku || ' has ' || (opening - reserved) FROM product WHERE opening < reserved LIMIT 1`},
		{"stock = opening - reserved",
			`SELECT p.sku || ' counts ' || p.reserved || ' as reserved, its reservations make ' || coalesce(sum(r.quantity), 0)
			 FROM product p LEFT JOIN reservation r USING (sku)
			 GROUP BY p.sku HAVING p.reserved <> coalesce(sum(r.quantity), 0) LIMIT 1`},
		{"each reservation is applied once",
			`SELECT id || ' was applied ' || count(*) || ' times' FROM reservation GROUP BY id HAVING count(*) > 1 LIMIT 1`},
		{"a product's reservations are numbered without a gap",
			`SELECT p.sku || ' has ' || count(r.n) || ' reservations, the last is number ' || coalesce(max(r.number), 0)
			 FROM product p LEFT JOIN reservation r USING (sku)
			 GROUP BY p.sku HAVING p.orders <> count(r.n) OR p.orders <> coalesce(max(r.number), 0) LIMIT 1`},
	} {
		found, err := queryAll(ctx, db, scanText, q.query)
		if err != nil {
			return err
		}
		if len(found) > 0 {
			return broken(q.invariant, "%s", found[0])
		}
	}
	return checkOrders(ctx, db, orders)
}

// checkOrders: an order was either reserved as it was placed, or there is not enough left for it. Stock only falls, so
// a refusal that was true then is true now.
func checkOrders(ctx context.Context, db *sql.DB, orders []order) error {
	reserved, err := allReservations(ctx, db)
	if err != nil {
		return err
	}
	made := make(map[string]reservation, len(reserved))
	for _, r := range reserved {
		made[r.ID] = r
	}
	for _, o := range orders {
		if r, ok := made[o.ID]; ok {
			if r.SKU != o.SKU || r.Quantity != o.Quantity {
				return broken("an order is reserved as it was placed", "%s is for %d of %s, reserved are %d of %s",
					o.ID, o.Quantity, o.SKU, r.Quantity, r.SKU)
			}
			continue
		}
		var left int64
		if err := db.QueryRowContext(ctx, `SELECT opening - reserved FROM product WHERE sku = ?`, o.SKU).Scan(&left); err != nil {
			return err
		}
		if left >= o.Quantity {
			return broken("an order is lost only when stock is out", "%s wants %d of %s, %d are left, and it has no reservation",
				o.ID, o.Quantity, o.SKU, left)
		}
	}
	return nil
}

// checkJournal judges a receiver's journal by the warehouse's reservations: none lost, none twice, in order.
func checkJournal(ctx context.Context, journal *sql.DB, reservations []reservation) error {
	want := map[string]bool{}
	for _, r := range reservations {
		want[r.ID+"-"+audit], want[r.ID+"-"+notification] = true, true
	}
	type effect struct {
		message, kind, sku string
		number             int64
	}
	effects, err := queryAll(ctx, journal, func(rows *sql.Rows) (e effect, err error) {
		return e, rows.Scan(&e.message, &e.kind, &e.sku, &e.number)
	}, `SELECT message, kind, sku, number FROM effect ORDER BY n`)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	last := map[[2]string]int64{}
	for _, e := range effects {
		if seen[e.message] {
			return broken("each message takes effect once", "%s took effect twice", e.message)
		}
		seen[e.message] = true
		if !want[e.message] {
			return broken("a message tells of a reservation", "%s tells of one that does not exist", e.message)
		}
		stream := [2]string{e.kind, e.sku}
		if e.number != last[stream]+1 {
			return broken("a product's messages arrive in order", "%s is number %d of %s, after number %d", e.message, e.number, e.sku, last[stream])
		}
		last[stream] = e.number
	}
	for message := range want {
		if !seen[message] {
			return broken("no message is lost", "%s never took effect", message)
		}
	}
	return nil
}

func allReservations(ctx context.Context, db *sql.DB) ([]reservation, error) {
	return queryAll(ctx, db, func(rows *sql.Rows) (r reservation, err error) {
		return r, rows.Scan(&r.ID, &r.SKU, &r.Quantity, &r.Number)
	}, `SELECT id, sku, quantity, number FROM reservation ORDER BY n`)
}

func scanText(rows *sql.Rows) (s string, err error) { return s, rows.Scan(&s) }

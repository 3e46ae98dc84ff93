package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// judge reads the warehouse's file and the journal, and says what is wrong.
func (o *outside) judge(ctx context.Context, dir string, seed int) error {
	db, err := sql.Open("sqlite", dsn(filepath.Join(dir, "warehouse.db"), "query_only(1)"))
	if err != nil {
		return err
	}
	defer db.Close()
	reserved := map[string]int{}
	quantities := map[string]int64{}
	rows, err := queryAll(ctx, db, func(r *sql.Rows) (v reservation, err error) {
		return v, r.Scan(&v.ID, &v.SKU, &v.Quantity)
	}, `SELECT id, sku, quantity FROM reservation`)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if reserved[r.ID]++; reserved[r.ID] > 1 {
			return fmt.Errorf("reservation %s was applied twice", r.ID)
		}
		quantities[r.SKU] += r.Quantity
	}
	products, err := queryAll(ctx, db, func(r *sql.Rows) (v [2]any, err error) {
		var sku string
		var opening, taken int64
		err = r.Scan(&sku, &opening, &taken)
		if err == nil && (taken > opening || taken != quantities[sku]) {
			err = fmt.Errorf("%s opens with %d, has %d reserved, and its reservations make %d", sku, opening, taken, quantities[sku])
		}
		return v, err
	}, `SELECT sku, opening, reserved FROM product`)
	if err != nil {
		return err
	}
	if len(rows) < crashOrders/2 || len(products) != 40 {
		return fmt.Errorf("only %d reservations of %d products: the story was not told", len(rows), len(products))
	}
	effects := map[string]int{}
	last := map[string]int64{}
	_, err = queryAll(ctx, o.db, func(r *sql.Rows) (v struct{}, err error) {
		var kind, id, sku string
		var number int64
		if err := r.Scan(&kind, &id, &sku, &number); err != nil {
			return v, err
		}
		if effects[kind+id]++; effects[kind+id] > 1 {
			return v, fmt.Errorf("the %s of %s took effect twice", kind, id)
		}
		if number != last[kind+sku]+1 {
			return v, fmt.Errorf("the %s of %s arrived as number %d of its product, after number %d", kind, id, number, last[kind+sku])
		}
		last[kind+sku] = number
		return v, nil
	}, `SELECT kind, reservation, sku, number FROM effect WHERE reservation GLOB ? ORDER BY n`, fmt.Sprintf("s%d-*", seed))
	if err != nil {
		return err
	}
	for id := range reserved {
		for _, kind := range []string{audit, notification} {
			if effects[kind+id] != 1 {
				return fmt.Errorf("the %s of %s is lost", kind, id)
			}
		}
	}
	if len(effects) != 2*len(reserved) {
		return fmt.Errorf("%d effects for %d reservations", len(effects), len(reserved))
	}
	if err := judgeEvents(ctx, db, len(reserved)); err != nil {
		return err
	}
	if err := judgeJobs(ctx, db); err != nil {
		return err
	}
	return o.judgeOrg(ctx, db, seed, reserved)
}

// judgeEvents: each subscriber in the program took each event once, in the order of its product.
func judgeEvents(ctx context.Context, db *sql.DB, reservations int) error {
	took := map[string]int{}
	last := map[string]int64{}
	_, err := queryAll(ctx, db, func(r *sql.Rows) (v struct{}, err error) {
		var subscriber, sku string
		var number int64
		if err := r.Scan(&subscriber, &sku, &number); err != nil {
			return v, err
		}
		if number != last[subscriber+sku]+1 {
			return v, fmt.Errorf("%s took number %d of %s after number %d", subscriber, number, sku, last[subscriber+sku])
		}
		last[subscriber+sku] = number
		took[subscriber]++
		return v, nil
	}, `SELECT subscriber, sku, number FROM seen ORDER BY n`)
	if err != nil {
		return err
	}
	for _, name := range []string{subscriberCache, subscriberPage} {
		if took[name] != reservations {
			return fmt.Errorf("%s took %d events of %d reservations", name, took[name], reservations)
		}
	}
	return nil
}

// judgeJobs: one forecast is whole, each of its products was computed once, and the one that was canceled left nothing.
func judgeJobs(ctx context.Context, db *sql.DB) error {
	found, err := queryAll(ctx, db, scanText, `
		SELECT 'the job ' || job || ' computed ' || sku || ' ' || count(*) || ' times' FROM forecast GROUP BY job, sku HAVING count(*) > 1
		UNION ALL SELECT 'the job ' || job || ' ended ' || count(*) || ' times' FROM forecast_done GROUP BY job HAVING count(*) > 1
		UNION ALL SELECT 'no forecast is whole' WHERE (SELECT count(*) FROM forecast_now) <> (SELECT count(*) FROM product)
		UNION ALL SELECT 'the job ' || job || ' left something behind' FROM forecast WHERE job NOT IN (SELECT job FROM forecast_done)`)
	if err == nil && len(found) > 0 {
		err = errors.New(found[0])
	}
	return err
}

// judgeOrg: the org has a record of each reservation, made once and in the order of its product, and of each product
// what the warehouse has.
func (o *outside) judgeOrg(ctx context.Context, db *sql.DB, seed int, reserved map[string]int) error {
	told := map[string]bool{}
	last := map[string]float64{}
	for _, c := range o.org.Changes("Stock_Change__c") {
		id, _ := c.Row["Reservation__c"].(string)
		if c.Op != "create" || !strings.HasPrefix(id, fmt.Sprintf("s%d-", seed)) {
			continue // an upsert that is repeated changes nothing
		}
		if told[id] {
			return fmt.Errorf("the org was told twice of %s", id)
		}
		told[id] = true
		sku, _ := c.Row["SKU__c"].(string)
		number, _ := c.Row["Number__c"].(float64)
		if number != last[sku]+1 {
			return fmt.Errorf("the org was told of number %v of %s after number %v", number, sku, last[sku])
		}
		last[sku] = number
	}
	for id := range reserved {
		if !told[id] {
			return fmt.Errorf("the org never heard of %s", id)
		}
	}
	if len(told) != len(reserved) {
		return fmt.Errorf("the org was told of %d reservations, there are %d", len(told), len(reserved))
	}
	want, err := queryAll(ctx, db, func(r *sql.Rows) (s string, err error) {
		var p orgProduct
		err = r.Scan(&p.SKU, &p.Name, &p.Price.Money, &p.Stock, &p.ToOrder)
		return asJSON(p), err
	}, `SELECT sku, description, unit_price, stock, to_order FROM product_for_org ORDER BY sku`)
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, row := range o.org.Rows("Product2") {
		var p orgProduct
		b, err := json.Marshal(row)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(b, &p); err != nil {
			return err
		}
		there[asJSON(p)] = true
	}
	for _, p := range want {
		if !there[p] {
			return fmt.Errorf("the warehouse has %s, and the org has not", p)
		}
	}
	if len(there) != len(want) {
		return fmt.Errorf("the org has %d products, the warehouse %d", len(there), len(want))
	}
	return nil
}

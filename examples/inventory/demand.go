package main

import (
	"context"
	"crypto/sha256"
	"database/sql"
	_ "embed"
	"encoding/binary"
	"encoding/hex"
	"time"
)

// What the built-in catalogue sold in half a year, as invoice lines: the history that its forecast is made of.
//
//go:embed history.csv
var embeddedHistory []byte

// A moment says of when a forecast is: reservations after it do not count. The same moment of the same history gives
// the same forecast, whenever and wherever it is computed.
type moment struct {
	Reservations int64  `json:"reservations"` // the last one that counts
	History      string `json:"history"`      // what is known of all products until then, as a hash
}

// now is the moment at which a forecast that begins now is made.
func (w *warehouse) now(ctx context.Context) (moment, error) {
	var last int64
	if err := w.db.QueryRowContext(ctx, `SELECT coalesce(max(n), 0) FROM reservation`).Scan(&last); err != nil {
		return moment{}, err
	}
	return w.at(ctx, last)
}

// at is the moment after a reservation, as it is known now: it differs from what it was if other lines were loaded.
func (w *warehouse) at(ctx context.Context, reservation int64) (moment, error) {
	h := sha256.New()
	err := w.eachDemand(ctx, reservation, func(ds []demand) error {
		for _, d := range ds {
			h.Write([]byte(d.SKU))
			binary.Write(h, binary.BigEndian, append([]int64{int64(len(d.Weeks)), d.Free}, d.Weeks...))
		}
		return nil
	})
	return moment{reservation, hex.EncodeToString(h.Sum(nil)[:8])}, err
}

// demandPage is how many products are read at a time.
const demandPage = 200

// eachDemand gives the demand of all products, a page at a time.
func (w *warehouse) eachDemand(ctx context.Context, until int64, fn func([]demand) error) error {
	for after := ""; ; {
		ds, err := w.demand(ctx, until, after, demandPage)
		if err != nil || len(ds) == 0 {
			return err
		}
		if err := fn(ds); err != nil {
			return err
		}
		after = ds[len(ds)-1].SKU
	}
}

// demand reads the demand of the products that come after one, in the order of their codes.
//
// Weeks are counted back from the last day of the invoice lines; days before the first whole week do not count. A
// return counts against the week in which it came back, and no week takes less than nothing. The reservations made
// here are the week after those.
func (w *warehouse) demand(ctx context.Context, until int64, after string, most int) ([]demand, error) {
	last, weeks, err := w.calendar(ctx)
	if err != nil {
		return nil, err
	}
	ds, err := queryAll(ctx, w.db, func(rows *sql.Rows) (d demand, err error) {
		var reserved int64
		d.Weeks = make([]int64, weeks, weeks+1)
		err = rows.Scan(&d.SKU, &d.Free, &reserved)
		d.Weeks = append(d.Weeks, reserved)
		d.Free -= reserved
		return d, err
	}, `SELECT sku, opening, (SELECT coalesce(sum(quantity), 0) FROM reservation r WHERE r.sku = product.sku AND r.n <= ?1)
		FROM product WHERE sku > ?2 ORDER BY sku LIMIT ?3`, until, after, most)
	if err != nil || len(ds) == 0 || weeks == 0 {
		return ds, err
	}
	at := make(map[string]int, len(ds))
	for i, d := range ds {
		at[d.SKU] = i
	}
	_, err = queryAll(ctx, w.db, func(rows *sql.Rows) (v struct{}, err error) {
		var sku string
		var ago int
		var pieces int64
		if err := rows.Scan(&sku, &ago, &pieces); err != nil {
			return v, err
		}
		if i, ok := at[sku]; ok && ago < weeks {
			ds[i].Weeks[weeks-1-ago] = max(0, pieces)
		}
		return v, nil
	}, `SELECT sku, CAST(julianday(?1) - julianday(date(at)) AS INTEGER) / 7 AS ago, sum(quantity) FROM invoice_line
		WHERE class IN ('sale', 'return') AND sku > ?2 AND sku <= ?3 GROUP BY sku, ago`, last, after, ds[len(ds)-1].SKU)
	return ds, err
}

// calendar says on which day the history ends and how many whole weeks of it count.
func (w *warehouse) calendar(ctx context.Context) (last string, weeks int, err error) {
	var first string
	err = w.db.QueryRowContext(ctx, `SELECT coalesce(date(min(at)), ''), coalesce(date(max(at)), '') FROM invoice_line
		WHERE class IN ('sale', 'return')`).Scan(&first, &last)
	if err != nil || last == "" {
		return "", 0, err
	}
	from, err := time.Parse(time.DateOnly, first)
	if err != nil {
		return "", 0, err
	}
	to, err := time.Parse(time.DateOnly, last)
	if err != nil {
		return "", 0, err
	}
	days := int(to.Sub(from).Hours()/24) + 1
	return last, min(maxWeeks, max(1, days/7)), nil
}

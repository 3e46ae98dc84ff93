package main

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/crosstie/crosstie/remoteinvoke"
)

// A forecaster computes what has to be ordered, as a job that is started here and learned of later. It saves how far
// it has come together with what it found, page by page, so that a process that dies repeats nothing and misses
// nothing.
type forecaster struct {
	w *warehouse

	// before is asked before each page; it may wait, and its error ends the attempt. Nil lets the job run.
	before func(ctx context.Context, job string, done, total int64) error
}

// A plan is the result of a forecast, in short. What it says of each product is in the warehouse.
type plan struct {
	Products int64 `json:"products"`
	Orders   int64 `json:"orders"` // products that have to be ordered
	Pieces   int64 `json:"pieces"` // of all of them
}

// A place is where a forecast goes on.
type forecastPlace struct {
	After string `json:"after"` // the last product that is done
	Plan  plan   `json:"plan"`
}

// forecastPages is how many pages a forecast has, at most: each is a durable write, and at each it can be stopped.
const forecastPages = 20

// run is the job.
func (f *forecaster) run(ctx context.Context, job *remoteinvoke.Job, m moment) (plan, error) {
	var at forecastPlace
	if _, err := job.Saved(&at); err != nil {
		return plan{}, err
	}
	now, err := f.w.at(ctx, m.Reservations)
	if err != nil {
		return plan{}, err
	}
	if now != m {
		return plan{}, &remoteinvoke.Failure{Code: "history_changed", Message: "other invoice lines were loaded since the job was started: start another one"}
	}
	var total int64
	if err := f.w.db.QueryRowContext(ctx, `SELECT count(*) FROM product`).Scan(&total); err != nil {
		return plan{}, err
	}
	for {
		if f.before != nil {
			if err := f.before(ctx, job.ID(), at.Plan.Products, total); err != nil {
				return plan{}, err
			}
		}
		ds, err := f.w.demand(ctx, m.Reservations, at.After, int(max(1, (total+forecastPages-1)/forecastPages)))
		if err != nil {
			return plan{}, err
		}
		if len(ds) == 0 {
			return at.Plan, f.finish(ctx, job, at)
		}
		if at, err = f.page(ctx, job, at, ds, total); err != nil {
			return plan{}, err
		}
	}
}

// page computes the forecasts of a page, and commits them together with the place behind it.
func (f *forecaster) page(ctx context.Context, job *remoteinvoke.Job, at forecastPlace, ds []demand, total int64) (forecastPlace, error) {
	fs := make([]forecast, len(ds))
	for i, d := range ds {
		fs[i] = forecastOf(d)
		at.After = d.SKU
		at.Plan.Products++
		if fs[i].Order > 0 {
			at.Plan.Orders++
			at.Plan.Pieces += fs[i].Order
		}
	}
	job.Report(at.Plan.Products, total, fmt.Sprintf("%s have to be ordered so far", plural(at.Plan.Orders, "product")))
	return at, f.w.store.Tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		for _, p := range fs {
			if _, err := tx.ExecContext(ctx, `INSERT INTO forecast (job, sku, level, safety, reorder, quantity) VALUES (?, ?, ?, ?, ?, ?)`,
				job.ID(), p.SKU, p.Level, p.Safety, p.Reorder, p.Order); err != nil {
				return err
			}
		}
		return job.SaveTx(ctx, tx, at)
	})
}

// finish makes the forecast the one that counts, and forgets those before it.
func (f *forecaster) finish(ctx context.Context, job *remoteinvoke.Job, at forecastPlace) error {
	return f.w.store.Tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM forecast WHERE job IN (SELECT job FROM forecast_done) AND job <> ?`, job.ID()); err != nil {
			return err
		}
		// The last attempt may have come to here and died before its end was noted.
		if _, err := tx.ExecContext(ctx, `INSERT INTO forecast_done (job, at) SELECT ?1, ?2 WHERE NOT EXISTS (SELECT 1 FROM forecast_done WHERE job = ?1)`,
			job.ID(), time.Now().UTC().Format(time.RFC3339Nano)); err != nil {
			return err
		}
		return job.SaveTx(ctx, tx, at)
	})
}

// forgetForecast removes what a job that was canceled left behind.
func (w *warehouse) forgetForecast(ctx context.Context, job string) error {
	_, err := w.db.ExecContext(ctx, `DELETE FROM forecast WHERE job = ? AND job NOT IN (SELECT job FROM forecast_done)`, job)
	return err
}

// checkForecast holds a forecast against one that is computed here and now, all in one go.
func checkForecast(ctx context.Context, w *warehouse, job string, m moment, p plan) error {
	made, err := queryAll(ctx, w.db, func(rows *sql.Rows) (f forecast, err error) {
		return f, rows.Scan(&f.SKU, &f.Level, &f.Safety, &f.Reorder, &f.Order)
	}, `SELECT sku, level, safety, reorder, quantity FROM forecast WHERE job = ? ORDER BY sku, n`, job)
	if err != nil {
		return err
	}
	const invariant = "the job computes what a direct computation does"
	var want plan
	i := 0
	err = w.eachDemand(ctx, m.Reservations, func(ds []demand) error {
		for _, d := range ds {
			f := forecastOf(d)
			want.Products++
			if f.Order > 0 {
				want.Orders++
				want.Pieces += f.Order
			}
			switch {
			case i >= len(made):
				return broken(invariant, "%s is missing from %s", d.SKU, job)
			case made[i].SKU != d.SKU && i > 0 && made[i].SKU == made[i-1].SKU:
				return broken("each job takes effect once", "%s computed %s twice", job, made[i].SKU)
			case made[i] != f:
				return broken(invariant, "%s says of %s: %+v; directly it is %+v", job, d.SKU, made[i], f)
			}
			i++
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case i < len(made):
		return broken("each job takes effect once", "%s computed %s twice", job, made[i].SKU)
	case p != want:
		return broken(invariant, "the result of %s is %+v, directly it is %+v", job, p, want)
	}
	return nil
}

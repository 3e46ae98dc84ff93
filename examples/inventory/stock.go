package main

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/crosstie/crosstie/pubsub"
	"github.com/crosstie/crosstie/uiupdate"
)

// A stockRow is a row of the grid that people watch.
type stockRow struct {
	Description string `json:"description"`
	Free        int64  `json:"free"`
	Reserved    int64  `json:"reserved"`
	Reorder     *int64 `json:"reorder,omitempty"` // the reorder point; nil until a forecast found it
}

// A stockView is the grid, as all who watch it get it.
type stockView = uiupdate.View[string, stockRow]

func newStock() *stockView { return uiupdate.NewView[string, stockRow](nil) }

const stockRows = `SELECT sku, description, opening - reserved, reserved,
	(SELECT reorder FROM forecast_now f WHERE f.sku = product.sku) FROM product`

func scanStock(rows *sql.Rows) (r struct {
	sku string
	stockRow
}, err error) {
	return r, rows.Scan(&r.sku, &r.Description, &r.Free, &r.Reserved, &r.Reorder)
}

// allStock is the whole grid as the warehouse has it.
func (w *warehouse) allStock(ctx context.Context) (map[string]stockRow, error) {
	rows, err := queryAll(ctx, w.db, scanStock, stockRows)
	if err != nil {
		return nil, err
	}
	all := make(map[string]stockRow, len(rows))
	for _, r := range rows {
		all[r.sku] = r.stockRow
	}
	return all, nil
}

// refill brings the whole grid into the view: at the start, and when a forecast has found new reorder points. The
// as-of is taken before the reading: what changes during it comes as an event that is later.
func (s *system) refill(ctx context.Context) error {
	asOf := time.Now()
	rows, err := s.warehouse.allStock(ctx)
	if err != nil {
		return err
	}
	return s.view.Reset(rows, asOf)
}

// showStock is the effect of an event on the page: the row as it is now. Two events may read the same row; the as-of
// keeps the older reading from winning.
func (s *system) showStock(ctx context.Context, tx *sql.Tx, e pubsub.Event[stockChanged]) error {
	asOf := time.Now()
	var r stockRow
	var sku string
	err := tx.QueryRowContext(ctx, stockRows+` WHERE sku = ?`, e.Data.SKU).Scan(&sku, &r.Description, &r.Free, &r.Reserved, &r.Reorder)
	if errors.Is(err, sql.ErrNoRows) {
		return s.view.Delete(e.Data.SKU, asOf)
	}
	if err != nil {
		return err
	}
	return s.view.Set(sku, r, asOf)
}

// confirm says to the view, as long as ctx lasts, up to when it is complete: as long as its subscriber has nothing
// left to read. A view whose subscriber stands still is seen to grow old.
func (s *system) confirm(ctx context.Context) error {
	for {
		asOf := time.Now()
		if lag, err := s.subscribers[subscriberPage].sub.Lag(ctx); err == nil && lag.Events == 0 && s.subscribers[subscriberPage].running() {
			s.view.Confirm(asOf)
		}
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
	}
}

// How old the stock in the shop's window may be. An event makes it younger at once; these are for when none comes.
const (
	windowAge   = 500 * time.Millisecond // then it is asked anew
	windowStale = 2 * time.Second        // then it is not shown any more
)

// openWindow makes the shop's window: stock that is shown to people who only look. It is kept in memory and asked of
// the warehouse over the same bad network as everything else.
func (s *system) openWindow(shop *shop) {
	s.window = uiupdate.NewFresh(func(ctx context.Context, sku string) (stockAnswer, error) {
		return shop.stock(ctx, sku)
	}, &uiupdate.FreshOptions{MaxAge: windowAge, MaxStale: windowStale})
}

// forgetStock is the effect of an event on the shop's window.
func (s *system) forgetStock(_ context.Context, _ *sql.Tx, e pubsub.Event[stockChanged]) error {
	s.window.Invalidate(e.Data.SKU, e.Time)
	return nil
}

// same reports whether two rows show the same.
func (r stockRow) same(o stockRow) bool {
	if (r.Reorder == nil) != (o.Reorder == nil) || r.Reorder != nil && *r.Reorder != *o.Reorder {
		return false
	}
	r.Reorder, o.Reorder = nil, nil
	return r == o
}

package main

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/crosstie/crosstie/fireforget"
	"github.com/crosstie/crosstie/pubsub"
	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/requestreply/server"
	"github.com/crosstie/crosstie/sqlstore"
)

// A warehouse knows what is in stock and reserves it. Everything it promises is in one SQLite file.
type warehouse struct {
	db     *sql.DB
	store  *sqlstore.DB
	outbox *fireforget.Outbox
	topic  *pubsub.Topic[stockChanged]
	log    *slog.Logger
	lease  time.Duration // of the key of an order that is being taken
}

//go:embed schema.sql
var schema string

// schemaVersion is that of schema.sql. A file of a later one was written by a later program, and is left alone.
const schemaVersion = 2

func openWarehouse(ctx context.Context, path, pragma string, fail func(error)) (*warehouse, error) {
	db, store, err := openStore(ctx, path, pragma)
	if err != nil {
		return nil, err
	}
	w := &warehouse{
		db: db, store: store,
		outbox: fireforget.NewOutbox(store.Outbox(), nil), topic: newStockTopic(store.Log()),
		log: slog.New(alarm{slog.DiscardHandler, fail}),
	}
	if err := w.migrate(ctx, path); err != nil {
		db.Close()
		return nil, err
	}
	return w, nil
}

func (w *warehouse) migrate(ctx context.Context, path string) error {
	tx, err := w.db.BeginTx(ctx, nil)
	if err != nil {
		return about(path, err)
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, schema); err != nil {
		return about(path, err)
	}
	var version int
	switch err := tx.QueryRowContext(ctx, `SELECT schema FROM warehouse`).Scan(&version); {
	case errors.Is(err, sql.ErrNoRows):
		if _, err := tx.ExecContext(ctx, `INSERT INTO warehouse (schema) VALUES (?)`, schemaVersion); err != nil {
			return about(path, err)
		}
	case err != nil:
		return about(path, err)
	case version > schemaVersion:
		return fmt.Errorf("%s was written by a newer program (schema %d, this one knows %d): use that one, or another folder with -dir",
			path, version, schemaVersion)
	case version < schemaVersion: // each version has only added tables so far
		if _, err := tx.ExecContext(ctx, `UPDATE warehouse SET schema = ?`, schemaVersion); err != nil {
			return about(path, err)
		}
	}
	return tx.Commit()
}

// takes notes by which rules this warehouse is loaded, and refuses others: products read by the old and by the new
// ones would contradict each other.
func (w *warehouse) takes(ctx context.Context, rules string) error {
	if _, err := w.db.ExecContext(ctx, `UPDATE warehouse SET rules = ? WHERE rules = ''`, rules); err != nil {
		return err
	}
	var was string
	if err := w.db.QueryRowContext(ctx, `SELECT rules FROM warehouse`).Scan(&was); err != nil {
		return err
	}
	if was != rules {
		return fmt.Errorf("it was loaded from %s, and this is %s: start anew with -fresh, or name another folder with -dir", was, rules)
	}
	return nil
}

func (w *warehouse) close() error { return w.db.Close() }

// skus lists the catalogue.
func (w *warehouse) skus(ctx context.Context) ([]string, error) {
	return queryAll(ctx, w.db, func(rows *sql.Rows) (sku string, err error) { return sku, rows.Scan(&sku) },
		`SELECT sku FROM product ORDER BY sku`)
}

// stockAnswer is what the warehouse says about one product.
type stockAnswer struct {
	SKU         string    `json:"sku"`
	Description string    `json:"description"`
	UnitPrice   Money     `json:"unit_price"`
	Stock       int64     `json:"stock"`
	At          time.Time `json:"at"` // when that was so
}

// reservation is what the warehouse says about an order it took.
type reservation struct {
	ID       string `json:"id"`
	SKU      string `json:"sku"`
	Quantity int64  `json:"quantity"`
	Left     int64  `json:"left"`   // in stock, after it
	Number   int64  `json:"number"` // among the reservations of this product

	At time.Time `json:"at"` // when it was made; a repeated answer has the first one's
}

// notice is what other systems are told about a reservation.
type notice struct {
	Kind        string `json:"kind"` // audit or notification
	Reservation string `json:"reservation"`
	SKU         string `json:"sku"`
	Quantity    int64  `json:"quantity"`
	Left        int64  `json:"left"`
	Number      int64  `json:"number"`
}

// Where notices go. Each reservation sends one to both.
const (
	audit        = "audit"
	notification = "notification"
)

// The refusals a caller may want to tell apart, as RFC 9457 names them.
const (
	problemOutOfStock = "urn:crosstie:inventory:out-of-stock"
	problemNoProduct  = "urn:crosstie:inventory:no-such-product"
	problemBadOrder   = "urn:crosstie:inventory:bad-order"
	problemUsedID     = "urn:crosstie:inventory:used-id"
)

func problem(status int, kind, title string) error {
	return &requestreply.Problem{Status: status, Type: kind, Title: title}
}

// keepKeys is how long a key is remembered: an order repeated later would be a new one.
const keepKeys = 30 * 24 * time.Hour

// handler serves the warehouse.
func (w *warehouse) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /stock/{sku}", server.Handle(w.stock, nil))
	mux.Handle("POST /reservations", server.HandleTx(w.store.Keys(), w.reserve, &server.Options{
		Keep:   keepKeys,
		Lease:  w.lease,
		Logger: w.log,
	}))
	return mux
}

// stock answers what is in stock now: it reads what is committed, and keeps no copy.
func (w *warehouse) stock(ctx context.Context, _ struct{}) (stockAnswer, error) {
	a := stockAnswer{SKU: server.Request(ctx).PathValue("sku"), At: time.Now().UTC()}
	err := w.db.QueryRowContext(ctx, `SELECT description, unit_price, opening - reserved FROM product WHERE sku = ?`, a.SKU).
		Scan(&a.Description, &a.UnitPrice, &a.Stock)
	if errors.Is(err, sql.ErrNoRows) {
		return a, problem(http.StatusNotFound, problemNoProduct, "no product has this code")
	}
	return a, err
}

// reserve takes stock for an order and tells the others. All it does is in tx, which also stores the answer under the
// order's key: either the stock is taken, both messages are on their way, the event is in the log and a repeat gets
// this answer, or nothing is.
func (w *warehouse) reserve(ctx context.Context, tx *sql.Tx, o order) (reservation, error) {
	r := reservation{ID: o.ID, SKU: o.SKU, Quantity: o.Quantity, At: time.Now().UTC()}
	if o.Quantity < 1 || o.Quantity > maxPieces || !goodID(o.ID) {
		return r, problem(http.StatusUnprocessableEntity, problemBadOrder,
			"an order has an id of 1 to 100 letters, digits, - and _, a sku, and a quantity above zero")
	}
	err := tx.QueryRowContext(ctx, `UPDATE product SET reserved = reserved + ?1, orders = orders + 1
		WHERE sku = ?2 AND opening - reserved >= ?1 RETURNING opening - reserved, orders`, o.Quantity, o.SKU).
		Scan(&r.Left, &r.Number)
	if errors.Is(err, sql.ErrNoRows) {
		return r, w.refuse(ctx, tx, o.SKU)
	}
	if err != nil {
		return r, err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO reservation (id, sku, quantity, number, at) VALUES (?, ?, ?, ?, ?)`,
		r.ID, r.SKU, r.Quantity, r.Number, r.At.Format(time.RFC3339Nano)); err != nil {
		return r, err
	}
	for _, to := range []string{audit, notification} {
		_, err := w.outbox.SendTx(ctx, tx, fireforget.Message{
			ID: r.ID + "-" + to, To: to, Key: r.SKU, // one product's messages arrive in the order of its reservations
			Payload: notice{to, r.ID, r.SKU, r.Quantity, r.Left, r.Number},
		})
		if errors.Is(err, fireforget.ErrReused) {
			return r, problem(http.StatusConflict, problemUsedID, "a reservation has this id: repeat it under its first key, or choose another id")
		}
		if err != nil {
			return r, err
		}
	}
	_, err = w.topic.PublishTx(ctx, tx, r.SKU, stockChanged{r.SKU, r.ID, r.Quantity, r.Left, r.Number})
	return r, err
}

func (w *warehouse) refuse(ctx context.Context, tx *sql.Tx, sku string) error {
	var left int64
	err := tx.QueryRowContext(ctx, `SELECT opening - reserved FROM product WHERE sku = ?`, sku).Scan(&left)
	if errors.Is(err, sql.ErrNoRows) {
		return problem(http.StatusNotFound, problemNoProduct, "no product has this code")
	}
	if err != nil {
		return err
	}
	return problem(http.StatusConflict, problemOutOfStock, fmt.Sprintf("out of stock: %s left", plural(left, "piece")))
}

func goodID(s string) bool {
	return s != "" && len(s) <= 100 && !strings.ContainsFunc(s, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_')
	})
}

// queryAll reads all rows of a query whose answer is known to be small.
func queryAll[T any](ctx context.Context, db *sql.DB, scan func(*sql.Rows) (T, error), query string, args ...any) ([]T, error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, rows.Err()
}

// held says how many messages to a destination wait in the outbox, and how many are parked.
func (w *warehouse) held(ctx context.Context, to string) (pending, parked int64, err error) {
	err = w.db.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM crosstie_outbox WHERE dest = ?1),
		(SELECT count(*) FROM crosstie_outbox_dead WHERE dest = ?1 AND discarded = '')`, to).Scan(&pending, &parked)
	return pending, parked, err
}

package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/crosstie/crosstie/fireforget"
	"github.com/crosstie/crosstie/inbox"
	"github.com/crosstie/crosstie/sqlstore"
	"github.com/crosstie/crosstie/webhook"
)

// A receiver takes the webhooks and keeps a journal of their effects, in a database of its own. It stands for two
// other systems: the auditor's and the one that tells customers.
type receiver struct {
	db   *sql.DB
	hook http.Handler

	down    atomic.Bool  // every connection is cut
	arrived atomic.Int64 // requests, those cut included
}

// No unique index on message, on purpose: that a message takes effect once is the promise of the inbox, and the check
// at the end must be able to see it broken.
const journalSchema = `CREATE TABLE IF NOT EXISTS effect (
	n           INTEGER PRIMARY KEY,
	message     TEXT    NOT NULL,
	kind        TEXT    NOT NULL,
	reservation TEXT    NOT NULL,
	sku         TEXT    NOT NULL,
	number      INTEGER NOT NULL
) STRICT`

func openReceiver(ctx context.Context, path string, secret webhook.Secret) (*receiver, error) {
	db, store, err := openStore(ctx, path, "")
	if err != nil {
		return nil, err
	}
	if _, err := db.ExecContext(ctx, journalSchema); err != nil {
		db.Close()
		return nil, about(path, err)
	}
	r := &receiver{db: db}
	r.hook = fireforget.NewReceiver(
		webhook.Verifier{Secrets: []webhook.Secret{secret}},
		inbox.New("inventory", store.Inbox(), nil),
		record, nil)
	return r, nil
}

// record is the effect of a message. It commits together with the message's id, or not at all.
func record(ctx context.Context, tx *sql.Tx, m webhook.Message) error {
	var n notice
	if err := json.Unmarshal(m.Body, &n); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO effect (message, kind, reservation, sku, number) VALUES (?, ?, ?, ?, ?)`,
		m.ID, n.Kind, n.Reservation, n.SKU, n.Number)
	return err
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.arrived.Add(1)
	if r.down.Load() {
		panic(http.ErrAbortHandler) // closes the connection without a word
	}
	r.hook.ServeHTTP(w, req)
}

func (r *receiver) close() error { return r.db.Close() }

// openStore opens a SQLite file and crosstie's tables in it.
func openStore(ctx context.Context, path, pragma string) (*sql.DB, *sqlstore.DB, error) {
	db, err := sql.Open("sqlite", dsn(path, "busy_timeout(5000)", "synchronous(FULL)", "foreign_keys(1)", pragma))
	if err != nil {
		return nil, nil, err
	}
	db.SetMaxOpenConns(8)
	db.SetConnMaxIdleTime(time.Minute)
	store, err := sqlstore.Open(ctx, db, sqlstore.SQLite, nil)
	if err != nil {
		db.Close()
		return nil, nil, about(path, err)
	}
	return db, store, nil
}

package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"sync/atomic"
	"time"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply/server"
)

// Keys returns the port of package requestreply/server. Its Tx is [DB.Tx], so
// that an effect, messages sent with it and the stored answer are one commit.
func (d *DB) Keys() server.TxKeys { return &keyStore{d: d} }

type keyStore struct {
	d      *DB
	claims atomic.Uint64
}

// Every so many claims delete some keys that need not be kept, so that a table
// nobody tends does not grow for ever.
const (
	sweepEvery = 64
	sweepPage  = 4 * sweepEvery
)

// keyOwned is true of the row whose claim still holds.
const keyOwned = ` WHERE key = ? AND epoch = ? AND status IS NULL AND lease_us <> 0`

// Claim implements [server.Keys].
func (s *keyStore) Claim(ctx context.Context, key string, request [32]byte, lease, keep time.Duration) (c server.Claim, err error) {
	sweep := s.claims.Add(1)%sweepEvery == 1 // the first too: a process may not live for many
	err = s.d.write(ctx, "keys claim", func(w *writer) (err error) {
		now := w.now()
		if c, err = claimKey(w, now, key, request, lease, keep); err == nil && sweep && c.Reply == nil {
			_, err = forgetKeys(w, now, sweepPage)
		}
		return err
	})
	if err != nil {
		return server.Claim{}, err
	}
	return c, nil
}

func claimKey(w *writer, now time.Time, key string, request [32]byte, lease, keep time.Duration) (server.Claim, error) {
	refuse := func(err error) (server.Claim, error) {
		return server.Claim{}, &Error{Op: "keys claim", Known: outcome.Refused, Temporary: err == server.ErrInFlight, Err: err}
	}
	c := server.Claim{Key: key}
	var (
		has             []byte
		leased, kept    int64
		status          sql.NullInt64
		header, missing sql.NullString
		body            []byte
	)
	err := w.row(`SELECT request, epoch, lease_us, keep_us, status, header, body, missing FROM crosstie_keys WHERE key = ? /*pg FOR UPDATE*/`, key).
		Scan(&has, &c.Epoch, &leased, &kept, &status, &header, &body, &missing)
	fresh := errors.Is(err, sql.ErrNoRows) || err == nil && kept <= micros(now) && leased <= micros(now)
	switch {
	case err != nil && !errors.Is(err, sql.ErrNoRows):
		return c, err
	case fresh:
	case string(has) != string(request[:]) && (leased != 0 || status.Valid):
		return refuse(server.ErrReused)
	case status.Valid:
		r := server.Reply{Status: int(status.Int64), Body: body, Missing: missing.String}
		if header.String != "" {
			err = json.Unmarshal([]byte(header.String), &r.Header)
		}
		c.Reply = &r
		return c, err
	case leased > micros(now):
		return refuse(server.ErrInFlight)
	}
	had := c.Epoch
	next := `UPDATE crosstie_keys_epoch SET last = last + 1 RETURNING last`
	if w.d.dialect == PostgreSQL { // where all who claim would wait for that row
		next = `SELECT nextval('crosstie_keys_epoch')`
	}
	if err := w.row(next).Scan(&c.Epoch); err != nil {
		return c, err
	}
	n, err := w.changed(`INSERT INTO crosstie_keys (key, request, epoch, lease_us, keep_us) VALUES (?1, ?2, ?3, ?4, ?5)
		ON CONFLICT (key) DO UPDATE SET request = excluded.request, epoch = excluded.epoch, lease_us = excluded.lease_us,
		keep_us = excluded.keep_us, status = NULL, header = NULL, body = NULL, missing = '' WHERE crosstie_keys.epoch = ?6`,
		key, request[:], c.Epoch, micros(now.Add(lease)), micros(now.Add(keep)), had)
	if err == nil && n == 0 { // another process claimed it first, just now
		return refuse(server.ErrInFlight)
	}
	c.Abandoned = !fresh && leased != 0
	return c, err
}

// Renew implements [server.Keys].
func (s *keyStore) Renew(ctx context.Context, c server.Claim, lease time.Duration) error {
	return s.d.write(ctx, "keys renew", func(w *writer) error {
		return owned("keys renew", w, `UPDATE crosstie_keys SET lease_us = max(lease_us, ?)`+keyOwned, micros(w.now().Add(lease)), c.Key, c.Epoch)
	})
}

// Finish implements [server.Keys].
func (s *keyStore) Finish(ctx context.Context, c server.Claim, r server.Reply) error {
	return s.d.write(ctx, "keys finish", func(w *writer) error { return finishKey(w, c, r) })
}

// FinishTx implements [server.TxKeys].
func (s *keyStore) FinishTx(ctx context.Context, tx *sql.Tx, c server.Claim, r server.Reply) error {
	w, err := s.d.join(ctx, "keys finish", tx)
	if err != nil {
		return err
	}
	return joined("keys finish", finishKey(w, c, r))
}

func finishKey(w *writer, c server.Claim, r server.Reply) error {
	header := ""
	if len(r.Header) > 0 {
		b, err := json.Marshal(r.Header)
		if err != nil {
			return err
		}
		header = string(b)
	}
	return owned("keys finish", w, `UPDATE crosstie_keys SET status = ?, header = ?, body = ?, missing = ?, lease_us = 0`+keyOwned+durably,
		r.Status, header, r.Body, r.Missing, c.Key, c.Epoch)
}

// owned runs an update that ends in keyOwned.
func owned(op string, w *writer, q string, args ...any) error {
	n, err := w.changed(q, args...)
	if err == nil && n == 0 {
		err = &Error{Op: op, Known: outcome.Refused, Err: server.ErrLost}
	}
	return err
}

// Release implements [server.Keys].
func (s *keyStore) Release(ctx context.Context, c server.Claim) error {
	return s.d.write(ctx, "keys release", func(w *writer) error {
		_, err := w.exec(`UPDATE crosstie_keys SET lease_us = 0`+keyOwned, c.Key, c.Epoch)
		return err
	})
}

// Forget implements [server.Keys].
func (s *keyStore) Forget(ctx context.Context, max int) (n int, err error) {
	err = s.d.write(ctx, "keys forget", func(w *writer) (err error) {
		n, err = forgetKeys(w, w.now(), min(max, forgetPage))
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

func forgetKeys(w *writer, now time.Time, max int) (int, error) {
	n, err := w.changed(`DELETE FROM crosstie_keys WHERE key IN
		(SELECT key FROM crosstie_keys WHERE keep_us <= ?1 AND lease_us <= ?1 LIMIT ?2)`, micros(now), max)
	return int(n), err
}

// Tx implements [server.TxKeys].
func (s *keyStore) Tx(ctx context.Context, fn func(context.Context, *sql.Tx) error) error {
	return s.d.Tx(ctx, fn)
}

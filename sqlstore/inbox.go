package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/crosstie/crosstie/inbox"
	"github.com/crosstie/crosstie/outcome"
)

// Inbox returns the port of package inbox. Its Do runs the function as [DB.Tx]
// does, with the id recorded under the same savepoint.
func (d *DB) Inbox() inbox.Store { return inboxStore{d} }

type inboxStore struct{ d *DB }

// Do implements [inbox.Store].
func (s inboxStore) Do(ctx context.Context, box, id string, at time.Time, fn func(context.Context, *sql.Tx) error) (first bool, err error) {
	err = s.d.writeUser(ctx, "inbox do", func(ctx context.Context, w *writer) error {
		var err error
		first, err = record(w, "inbox do", box, id, at)
		if err != nil || !first {
			return err
		}
		return fn(ctx, w.tx)
	})
	if errors.Is(err, ErrInTx) {
		err = &Error{Op: "inbox do", Known: outcome.NotSent, Err: fmt.Errorf("%w: call Once", ErrInTx)}
	}
	return first && err == nil, err
}

// Once implements [inbox.Store].
func (s inboxStore) Once(ctx context.Context, tx *sql.Tx, box, id string, at time.Time) (bool, error) {
	if tx == nil {
		return false, &Error{Op: "inbox once", Known: outcome.NotSent, Err: inbox.ErrNoTx}
	}
	w, err := s.d.join(ctx, "inbox once", tx)
	if err != nil {
		return false, err
	}
	return record(w, "inbox once", box, id, at)
}

// record reports whether id is new in w. It begins by writing, so that a
// transaction of the caller that begins with it takes the write lock at once.
func record(w *writer, op, box, id string, at time.Time) (first bool, err error) {
	n, err := w.changed(`INSERT INTO crosstie_inbox (inbox, id, at_us)
		SELECT ?1, ?2, ?3 WHERE ?3 >= coalesce((SELECT before_us FROM crosstie_inbox_mark WHERE inbox = ?1), ?3)
		ON CONFLICT DO NOTHING`+durably, box, id, micros(at))
	if err != nil {
		return false, joined(op, err)
	}
	// On PostgreSQL a Forget may have raised the mark, and deleted this very id,
	// since the statement began to look: look again.
	if n == 1 && w.d.dialect != PostgreSQL {
		return true, nil
	}
	// Known already, or below the mark?
	var before int64
	switch err := w.row(`SELECT before_us FROM crosstie_inbox_mark WHERE inbox = ?`, box).Scan(&before); {
	case errors.Is(err, sql.ErrNoRows):
	case err != nil:
		return false, joined(op, err)
	case micros(at) < before:
		return false, &Error{Op: op, Known: outcome.Refused, Err: inbox.ErrTooOld}
	}
	return n == 1, nil
}

// forgetPage bounds how long one delete keeps the others waiting.
const forgetPage = 1000

// Forget implements [inbox.Store].
func (s inboxStore) Forget(ctx context.Context, box string, before time.Time) (int64, error) {
	// A commit of its own: record relies on the mark being there before the
	// first id is deleted.
	err := s.d.write(ctx, "inbox forget", func(w *writer) error {
		_, err := w.exec(`INSERT INTO crosstie_inbox_mark (inbox, before_us) VALUES (?1, ?2)
			ON CONFLICT (inbox) DO UPDATE SET before_us = excluded.before_us WHERE excluded.before_us > crosstie_inbox_mark.before_us`, box, micros(before))
		return err
	})
	if err != nil {
		return 0, err
	}
	var all int64
	for {
		var n int64
		err := s.d.write(ctx, "inbox forget", func(w *writer) (err error) {
			n, err = w.changed(`DELETE FROM crosstie_inbox WHERE inbox = ?1 AND id IN
				(SELECT id FROM crosstie_inbox WHERE inbox = ?1 AND at_us < ?2 LIMIT ?3)`, box, micros(before), forgetPage)
			return err
		})
		all += n
		if err != nil || n < forgetPage {
			return all, err
		}
	}
}

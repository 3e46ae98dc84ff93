package sqlstore

import (
	"context"
	"database/sql"
	"strings"

	"github.com/crosstie/crosstie/fireforget"
)

// deadColumns are in the order of entryColumns, which scanEntry reads.
const deadColumns = `o.pos, o.part, o.dest, o.key, o.id, o.sum, o.content_type, o.body, o.header,
	o.accepted_us, o.not_before_us, o.expires_us, o.attempt, 0`

// deadWhere returns the conditions of f and their values. There are few
// different texts, because only the fields that are set make a condition.
func deadWhere(f fireforget.Filter) (string, []any) {
	var q strings.Builder
	var args []any
	and := func(set bool, cond string, v any) {
		if set {
			q.WriteString(" AND " + cond)
			args = append(args, v)
		}
	}
	and(f.To != "", "o.dest = ?", f.To)
	and(f.Key != "", "o.key = ?", f.Key)
	and(f.ID != "", "o.id = ?", f.ID)
	and(!f.Since.IsZero(), "o.parked_us >= ?", micros(f.Since))
	and(!f.Before.IsZero(), "o.parked_us < ?", micros(f.Before))
	if f.Discarded {
		q.WriteString(" AND o.discarded <> ''")
	} else {
		q.WriteString(" AND o.discarded = ''")
	}
	return q.String(), args
}

// Parked implements [fireforget.Store].
func (s outboxStore) Parked(ctx context.Context, f fireforget.Filter, after int64, max int) (out []fireforget.DeadLetter, err error) {
	where, args := deadWhere(f)
	err = s.d.read(ctx, "outbox parked", func(rows *sql.Rows) error {
		var d fireforget.DeadLetter
		var parked int64
		var history sql.NullString
		e, err := scanEntry(rows, &history, &parked, &d.Reason, &d.Discarded)
		if err != nil {
			return err
		}
		d.Item, d.Pos, d.ParkedAt = e.Item, e.Seq, fromMicros(parked)
		d.History = readHistory(history)
		out = append(out, d)
		return nil
	}, `SELECT `+deadColumns+`, o.history, o.parked_us, o.reason, o.discarded FROM crosstie_outbox_dead o
		WHERE o.pos > ?`+where+` ORDER BY o.pos LIMIT ?`, append(append([]any{after}, args...), max)...)
	return out, err
}

// Redrive implements [fireforget.Store].
func (s outboxStore) Redrive(ctx context.Context, f fireforget.Filter, through int64, max int) (n int, upTo int64, err error) {
	f.Discarded = false
	where, args := deadWhere(f)
	err = s.d.write(ctx, "outbox redrive", func(w *writer) error {
		n, upTo = 0, through
		if upTo == 0 {
			if err := w.row(`SELECT coalesce(max(pos), 0) FROM crosstie_outbox_dead`).Scan(&upTo); err != nil {
				return err
			}
		}
		type letter struct {
			pos       int64
			dest, key string
		}
		var ls []letter
		err := w.query(func(rows *sql.Rows) error {
			var l letter
			err := rows.Scan(&l.pos, &l.dest, &l.key)
			ls = append(ls, l)
			return err
		}, `SELECT o.pos, o.dest, o.key FROM crosstie_outbox_dead o WHERE o.pos <= ?`+where+` ORDER BY o.pos LIMIT ? /*pg FOR UPDATE*/`,
			append(append([]any{upTo}, args...), max)...)
		if err != nil {
			return err
		}
		for _, l := range ls {
			for _, q := range []string{
				`INSERT INTO crosstie_outbox (part, due_us, dest, key, id, sum, content_type, body, header,
					accepted_us, not_before_us, expires_us, attempt, epoch, history)
					SELECT part, 0, dest, key, id, sum, content_type, body, header,
					accepted_us, not_before_us, 0, 0, 0, history FROM crosstie_outbox_dead WHERE pos = ?`,
				`DELETE FROM crosstie_outbox_dead WHERE pos = ?`,
			} {
				if _, err := w.exec(q, l.pos); err != nil {
					return err
				}
			}
			if l.key == "" {
				continue
			}
			// What was parked since the redrive began has stopped the key anew.
			if err := lockStop(w, l.dest, l.key); err != nil {
				return err
			}
			_, err := w.exec(`DELETE FROM crosstie_outbox_stop WHERE dest = ?1 AND key = ?2 AND NOT EXISTS
				(SELECT 1 FROM crosstie_outbox_dead WHERE dest = ?1 AND key = ?2 AND pos > ?3 AND discarded = '')`, l.dest, l.key, upTo)
			if err != nil {
				return err
			}
		}
		n = len(ls)
		w.onCommit(s.d.outbox.bell.Ring)
		return nil
	})
	return n, upTo, err
}

// Discard implements [fireforget.Store].
func (s outboxStore) Discard(ctx context.Context, id, reason string) (found bool, err error) {
	if reason == "" {
		reason = "no reason given"
	}
	err = s.d.write(ctx, "outbox discard", func(w *writer) error {
		found = false
		var pos int64
		var dest, key string
		var named bool
		err := w.row(`SELECT pos, dest, key, sum IS NOT NULL FROM crosstie_outbox_dead WHERE id = ? AND discarded = '' ORDER BY pos LIMIT 1 /*pg FOR UPDATE*/`, id).
			Scan(&pos, &dest, &key, &named)
		if err == sql.ErrNoRows {
			return nil
		}
		if err != nil {
			return err
		}
		_, err = w.exec(`UPDATE crosstie_outbox_dead SET discarded = ?, body = ?, header = NULL WHERE pos = ?`, reason, []byte{}, pos)
		if err != nil {
			return err
		}
		found = true
		if named {
			if err := gone(w, id); err != nil {
				return err
			}
		}
		if key == "" {
			return nil
		}
		if err := lockStop(w, dest, key); err != nil {
			return err
		}
		_, err = w.exec(`DELETE FROM crosstie_outbox_stop WHERE dest = ?1 AND key = ?2 AND NOT EXISTS
			(SELECT 1 FROM crosstie_outbox_dead WHERE dest = ?1 AND key = ?2 AND discarded = '')`, dest, key)
		return err
	})
	return found, err
}

// lockStop waits for whoever is stopping the key, so that the next statement
// sees what he parked.
func lockStop(w *writer, dest, key string) error {
	if w.d.dialect != PostgreSQL {
		return nil
	}
	_, err := w.exec(`SELECT 1 FROM crosstie_outbox_stop WHERE dest = ? AND key = ? FOR UPDATE`, dest, key)
	return err
}

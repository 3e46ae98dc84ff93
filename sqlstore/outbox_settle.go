package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/crosstie/crosstie/fireforget"
	"github.com/crosstie/crosstie/internal/lease"
)

// Settle implements [fireforget.Store].
func (s outboxStore) Settle(ctx context.Context, rs []fireforget.Result) (lost []int, err error) {
	if len(rs) == 0 {
		return nil, nil
	}
	err = s.d.write(ctx, "outbox settle", func(w *writer) error {
		st := settling{w: w, now: w.now(), rows: map[int64]*outboxRow{}, extend: map[time.Duration][]int64{}}
		if err := st.load(rs); err != nil {
			return err
		}
		lost = nil
		for i := range rs {
			ok, err := st.settle(&rs[i])
			if err != nil {
				return err
			}
			if !ok {
				lost = append(lost, i)
			}
		}
		return st.finish()
	})
	return lost, err
}

// A settling is one Settle in its transaction. It loads what the results are
// about with few statements, decides, and writes the frequent verdicts with
// few statements at the end.
type settling struct {
	w      *writer
	now    time.Time
	rows   map[int64]*outboxRow
	lanes  map[laneKey]*lease.Lease
	landed []int64
	named  []string // IDs that are in the store no more
	extend map[time.Duration][]int64
}

type outboxRow struct {
	part    int64
	epoch   int64
	attempt int
	id      string
	named   bool
}

func (s *settling) load(rs []fireforget.Result) error {
	var free, keyed []int64
	var lanes []laneKey
	for i := range rs {
		r := &rs[i]
		if r.Lane > 0 {
			lanes = append(lanes, laneKey{partOf(r.To, r.Lane), r.To})
		}
		switch {
		case r.Seq > 0 && r.Lane > 0:
			keyed = append(keyed, r.Seq)
		case r.Seq > 0:
			free = append(free, r.Seq)
		}
	}
	var err error
	if s.lanes, err = leases(s.w, lanes); err != nil {
		return err
	}
	// Nobody touches the messages of a lane but who has locked its lease.
	const q = `SELECT seq, part, epoch, attempt, id, sum IS NOT NULL FROM crosstie_outbox WHERE seq IN (%s)`
	if err := s.loadRows(q, keyed); err != nil {
		return err
	}
	return s.loadRows(q+` ORDER BY seq /*pg FOR UPDATE*/`, free)
}

func (s *settling) loadRows(q string, seqs []int64) error {
	slices.Sort(seqs)
	return s.w.d.inChunks(q, seqs, func(q string, args []any) error {
		return s.w.query(func(rows *sql.Rows) error {
			var seq int64
			var row outboxRow
			if err := rows.Scan(&seq, &row.part, &row.epoch, &row.attempt, &row.id, &row.named); err != nil {
				return err
			}
			s.rows[seq] = &row
			return nil
		}, q, args...)
	})
}

// settle applies one result and reports whether it counts.
func (s *settling) settle(r *fireforget.Result) (ok bool, err error) {
	part := partOf(r.To, r.Lane)
	if r.Lane > 0 {
		k := laneKey{part, r.To}
		l := s.lanes[k]
		if !l.Owns(r.Epoch) {
			return false, nil
		}
		switch {
		case r.Verdict == fireforget.Extend:
			*l, _ = l.Renew(r.Epoch, s.now, r.Lease)
			return true, s.writeLane(k, l)
		case r.Seq == 0:
			*l, _ = l.Release(r.Epoch)
			return true, s.writeLane(k, l)
		}
	}
	row := s.rows[r.Seq]
	if row == nil || row.part != part || r.Lane == 0 && row.epoch != r.Epoch {
		return false, nil
	}
	switch r.Verdict {
	case fireforget.Landed:
		delete(s.rows, r.Seq)
		s.landed = append(s.landed, r.Seq)
		if row.named {
			s.named = append(s.named, row.id)
		}
		return true, nil
	case fireforget.Extend:
		s.extend[r.Lease] = append(s.extend[r.Lease], r.Seq)
		return true, nil
	case fireforget.HandBack:
		if r.Lane > 0 {
			return true, nil
		}
		row.epoch++
		_, err = s.w.exec(`UPDATE crosstie_outbox SET due_us = 0, epoch = epoch + 1 WHERE seq = ?`, r.Seq)
		return true, err
	case fireforget.Again:
		if r.Lane > 0 && row.attempt > r.Tried {
			return true, nil
		}
		row.epoch++
		row.attempt++
		return true, s.again(r)
	case fireforget.Park:
		delete(s.rows, r.Seq)
		return true, s.park(r)
	}
	return false, fmt.Errorf("verdict %d is not known", r.Verdict)
}

func (s *settling) writeLane(k laneKey, l *lease.Lease) error {
	_, err := s.w.exec(`UPDATE crosstie_outbox_lane SET owner = ?, until_us = ? WHERE part = ? AND dest = ?`,
		l.Owner, microsUp(l.Until), k.part, k.dest)
	return err
}

func (s *settling) again(r *fireforget.Result) error {
	history, err := s.history(r)
	if err != nil {
		return err
	}
	due := max(microsUp(s.now.Add(r.Next)), 1) // above zero: the key waits for it
	_, err = s.w.exec(`UPDATE crosstie_outbox SET due_us = ?, attempt = attempt + 1, epoch = epoch + 1, history = ? WHERE seq = ?`,
		due, history, r.Seq)
	return err
}

func (s *settling) park(r *fireforget.Result) error {
	if !r.Attempt.At.IsZero() {
		history, err := s.history(r)
		if err != nil {
			return err
		}
		if _, err := s.w.exec(`UPDATE crosstie_outbox SET attempt = attempt + 1, history = ? WHERE seq = ?`, history, r.Seq); err != nil {
			return err
		}
	}
	if err := parkRow(s.w, r.Seq, r.Reason, s.now); err != nil {
		return err
	}
	if !r.Stop {
		return nil
	}
	// An update, not nothing: a Redrive that is about to open the key must wait
	// until it sees why not.
	_, err := s.w.exec(`INSERT INTO crosstie_outbox_stop (dest, key) VALUES (?, ?) ON CONFLICT (dest, key) DO UPDATE SET key = excluded.key`, r.To, r.Key)
	return err
}

// history returns the history of r's message with r's attempt, as it is
// stored.
func (s *settling) history(r *fireforget.Result) (any, error) {
	var text sql.NullString
	if err := s.w.row(`SELECT history FROM crosstie_outbox WHERE seq = ?`, r.Seq).Scan(&text); err != nil {
		return nil, err
	}
	b, err := json.Marshal(fireforget.AddAttempt(readHistory(text), r.Attempt))
	return string(b), err
}

// readHistory reads a history as far as it decodes: an error would hold up the
// settling of all others.
func readHistory(text sql.NullString) (as []fireforget.Attempt) {
	if text.Valid {
		_ = json.Unmarshal([]byte(text.String), &as)
	}
	return as
}

// parkRow moves a message to the dead letters.
func parkRow(w *writer, seq int64, reason string, now time.Time) error {
	_, err := w.exec(`INSERT INTO crosstie_outbox_dead (part, dest, key, id, sum, content_type, body, header,
		accepted_us, not_before_us, expires_us, attempt, history, parked_us, reason, discarded)
		SELECT part, dest, key, id, sum, content_type, body, header,
		accepted_us, not_before_us, expires_us, attempt, history, ?, ?, '' FROM crosstie_outbox WHERE seq = ?`,
		micros(now), reason, seq)
	if err != nil {
		return err
	}
	_, err = w.exec(`DELETE FROM crosstie_outbox WHERE seq = ?`, seq)
	return err
}

// finish writes what was put off.
func (s *settling) finish() error {
	exec := func(q string, args []any) error {
		_, err := s.w.exec(q, args...)
		return err
	}
	if err := s.w.d.inChunks(`DELETE FROM crosstie_outbox WHERE seq IN (%s)`, s.landed, exec); err != nil {
		return err
	}
	for _, id := range s.named {
		if err := gone(s.w, id); err != nil {
			return err
		}
	}
	for d, seqs := range s.extend {
		ends := microsUp(s.now.Add(d))
		err := s.w.d.inChunks(`UPDATE crosstie_outbox SET due_us = max(due_us, ?) WHERE seq IN (%s)`, seqs, func(q string, args []any) error {
			return exec(q, append([]any{ends}, args...))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// gone notes that the message of an ID on record is in the store no more.
func gone(w *writer, id string) error {
	_, err := w.exec(`UPDATE crosstie_outbox_id SET live = 0 WHERE id = ?`, id)
	return err
}

// Forget implements [fireforget.Store].
func (s outboxStore) Forget(ctx context.Context, before time.Time, max int) (int, error) {
	const op = "outbox forget"
	var one int
	err := s.d.readRow(ctx, op, []any{&one}, `SELECT 1 FROM crosstie_outbox_id WHERE live = 0 AND at_us < ? LIMIT 1`, micros(before))
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	var all int64
	for left := int64(max); left > 0; {
		page := min(left, forgetPage)
		var n int64
		err := s.d.write(ctx, op, func(w *writer) (err error) {
			n, err = w.changed(`DELETE FROM crosstie_outbox_id WHERE id IN
				(SELECT id FROM crosstie_outbox_id WHERE live = 0 AND at_us < ? LIMIT ?)`, micros(before), page)
			return err
		})
		all += n
		if err != nil || n < page {
			return int(all), err
		}
		left -= n
	}
	return int(all), nil
}

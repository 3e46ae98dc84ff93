package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"slices"
	"time"

	"github.com/crosstie/crosstie/pubsub"
)

// Park implements [pubsub.Groups].
func (s logStore) Park(ctx context.Context, c pubsub.Claim, ds []pubsub.DeadLetter) error {
	own := slices.Clone(ds)
	headers := make([]any, len(ds))
	for i := range own {
		own[i].Message.Data = append([]byte{}, own[i].Message.Data...)
		if len(own[i].Message.Header) == 0 {
			continue
		}
		h, err := json.Marshal(own[i].Message.Header)
		if err != nil {
			return refused("log park", err)
		}
		headers[i] = string(h)
	}
	return s.d.write(ctx, "log park", func(w *writer) error {
		if err := fenceShard(w, c); err != nil {
			return err
		}
		for i := range own {
			if err := parkLog(w, c, &own[i], headers[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

func parkLog(w *writer, c pubsub.Claim, d *pubsub.DeadLetter, header any) error {
	if d.Pos > 0 {
		_, err := w.exec(`UPDATE crosstie_log_dead SET reason = ?, error = ?, attempts = ?, at_us = ?, redriven = 0
			WHERE pos = ? AND topic = ? AND grp = ? AND discarded = ''`,
			d.Reason, d.Error, d.Attempts, micros(d.At), d.Pos, c.Topic, c.Name)
		return err
	}
	m := &d.Message
	_, err := w.exec(`INSERT INTO crosstie_log_dead (topic, grp, position, hash, id, source, type, subject, schema, content_type, key,
		time_us, header, data, appended_us, reason, error, attempts, at_us, redriven, discarded)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, '')
		ON CONFLICT (topic, grp, position) DO UPDATE SET header = excluded.header, data = excluded.data, reason = excluded.reason,
			error = excluded.error, attempts = excluded.attempts, at_us = excluded.at_us, redriven = 0, discarded = ''`,
		c.Topic, c.Name, string(m.Cursor), int64(pubsub.KeyHash(*m)), m.ID, m.Source, m.Type, m.Subject, m.Schema, m.ContentType, m.Key,
		m.Time.UnixMicro(), header, blob(m.Data), micros(m.Appended), d.Reason, d.Error, d.Attempts, micros(d.At))
	return err
}

// Unpark implements [pubsub.Groups].
func (s logStore) Unpark(ctx context.Context, c pubsub.Claim, pos []int64) error {
	pos = slices.Clone(pos)
	return s.d.write(ctx, "log unpark", func(w *writer) error {
		if err := fenceShard(w, c); err != nil {
			return err
		}
		for _, p := range pos {
			if _, err := w.exec(`DELETE FROM crosstie_log_dead WHERE pos = ? AND topic = ? AND grp = ?`, p, c.Topic, c.Name); err != nil {
				return err
			}
		}
		return nil
	})
}

const (
	deadLogColumns = `pos, position, id, source, type, subject, schema, content_type, key, time_us, header, data, appended_us,
		reason, error, attempts, at_us, redriven, discarded`

	// ofLogFilter takes topic, group, key, ID, discarded, shards and shard.
	ofLogFilter = `topic = ?1 AND grp = ?2 AND (?3 = '' OR key = ?3) AND (?4 = '' OR id = ?4) AND (discarded <> '') = ?5
		AND (?6 < 2 OR hash % ?6 = ?7)`
)

func filterArgs(f pubsub.Filter) []any {
	return []any{f.Topic, f.Group, f.Key, f.ID, f.Discarded, f.Shards, f.Shard}
}

// Parked implements [pubsub.Groups].
func (s logStore) Parked(ctx context.Context, f pubsub.Filter, after int64, most int) (ds []pubsub.DeadLetter, err error) {
	q := `SELECT ` + deadLogColumns + ` FROM crosstie_log_dead WHERE ` + ofLogFilter + ` AND pos > ?8 ORDER BY pos LIMIT ?9`
	if f.Redriven { // asked at every poll
		q = `SELECT ` + deadLogColumns + ` FROM crosstie_log_dead INDEXED BY crosstie_log_dead_redriven WHERE redriven = 1 AND ` + ofLogFilter + ` AND pos > ?8 ORDER BY pos LIMIT ?9`
	}
	err = s.d.read(ctx, "log parked", func(rows *sql.Rows) error {
		d := pubsub.DeadLetter{Topic: f.Topic, Group: f.Group}
		m := &d.Message
		var happened, appended, at int64
		var header sql.NullString
		err := rows.Scan(&d.Pos, &m.Cursor, &m.ID, &m.Source, &m.Type, &m.Subject, &m.Schema, &m.ContentType, &m.Key, &happened, &header, &m.Data, &appended,
			&d.Reason, &d.Error, &d.Attempts, &at, &d.Redriven, &d.Discarded)
		m.Time, m.Appended, d.At = time.UnixMicro(happened).UTC(), fromMicros(appended), fromMicros(at)
		m.Header = headerOf(header)
		ds = append(ds, d)
		return err
	}, q, append(filterArgs(f), after, max(most, 0))...)
	return ds, err
}

// ParkedAt implements [pubsub.Groups].
func (s logStore) ParkedAt(ctx context.Context, topic, group string, cs []pubsub.Cursor) (at []pubsub.Cursor, err error) {
	list, err := json.Marshal(cs)
	if err != nil {
		return nil, refused("log parked", err)
	}
	err = s.d.read(ctx, "log parked", func(rows *sql.Rows) error {
		var c pubsub.Cursor
		err := rows.Scan(&c)
		at = append(at, c)
		return err
	}, `SELECT position FROM crosstie_log_dead WHERE topic = ? AND grp = ? AND position IN (SELECT value FROM json_each(?)) LIMIT ?`,
		topic, group, string(list), len(cs))
	return at, err
}

// Redrive implements [pubsub.Groups].
func (s logStore) Redrive(ctx context.Context, f pubsub.Filter) (int, error) {
	f.Discarded = false
	var n int64
	err := s.d.write(ctx, "log redrive", func(w *writer) (err error) {
		n, err = w.changed(`UPDATE crosstie_log_dead SET redriven = 1 WHERE redriven = 0 AND `+ofLogFilter, filterArgs(f)...)
		return err
	})
	if err != nil {
		return 0, err
	}
	return int(n), nil
}

// Discard implements [pubsub.Groups].
func (s logStore) Discard(ctx context.Context, topic, group, id, reason string) (bool, error) {
	var n int64
	err := s.d.write(ctx, "log discard", func(w *writer) (err error) {
		n, err = w.changed(`UPDATE crosstie_log_dead SET discarded = ?, redriven = 0, data = x'', header = NULL
			WHERE topic = ? AND grp = ? AND id = ? AND discarded = ''`, reason, topic, group, id)
		return err
	})
	return err == nil && n > 0, err
}

package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/crosstie/crosstie/internal/cursor"
	"github.com/crosstie/crosstie/pubsub"
)

// A span is a topic as it stands.
type span struct {
	life             string
	topic            int64
	head, gone, last int64
}

func (p *span) at(pos int64) pubsub.Cursor {
	return pubsub.Cursor(cursor.Place{Life: p.life, Topic: p.topic, Pos: pos}.String())
}

const selectSpan = `SELECT head, gone, last_us FROM crosstie_log_topic WHERE id = ?`

// span reads how a topic stands.
func (s logStore) span(ctx context.Context, topic string) (p span, err error) {
	if p.life, err = s.d.logLife(ctx); err != nil {
		return p, err
	}
	if p.topic, err = s.d.logTopic(ctx, topic); err != nil {
		return p, err
	}
	return p, s.d.readRow(ctx, "log read", []any{&p.head, &p.gone, &p.last}, selectSpan, p.topic)
}

// pos returns the position of a cursor of the topic.
func (p *span) pos(c pubsub.Cursor) (int64, error) {
	at, ok := cursor.Parse(string(c))
	if !ok {
		return 0, pubsub.BadCursor("is not one of a log")
	}
	gone := &pubsub.GoneError{After: c, Oldest: p.at(p.gone), Missing: -1}
	switch {
	case at.Life != p.life:
		gone.Why = "the cursor is of another log, or of one that was made anew"
	case at.Topic != p.topic:
		return 0, pubsub.BadCursor("is of another topic")
	case at.Pos < p.gone:
		gone.Why, gone.Missing = "they were trimmed", p.gone-at.Pos
	case at.Pos > p.head:
		gone.Why = "the log ends before the cursor, as after a restore from a backup"
	default:
		return at.Pos, nil
	}
	return 0, gone
}

const logColumns = `seq, id, source, type, subject, schema, content_type, key, time_us, header, data, appended_us`

// logScan bounds how far one page looks for the events of a shard.
const logScan = 16384

// Read implements [pubsub.Log].
func (s logStore) Read(ctx context.Context, topic string, r pubsub.Read) (pubsub.Batch, error) {
	const op = "log read"
	p, err := s.span(ctx, topic)
	if err != nil {
		return pubsub.Batch{}, err
	}
	pos, err := p.pos(r.After)
	if err != nil {
		return pubsub.Batch{}, err
	}
	b := pubsub.Batch{Through: r.After}
	if pos == p.head || r.Max <= 0 {
		return b, nil
	}
	begin := cursor.Place{Topic: p.topic, Pos: pos}.Row()
	upTo := cursor.Place{Topic: p.topic, Pos: p.head}.Row()
	q, args := `SELECT `+logColumns+` FROM crosstie_log WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?`, []any{begin, upTo, r.Max}
	if r.Shards > 1 {
		upTo = min(upTo, begin+logScan)
		q = `SELECT ` + logColumns + ` FROM crosstie_log WHERE seq > ? AND seq <= ? AND hash % ? = ? ORDER BY seq LIMIT ?`
		args = []any{begin, upTo, r.Shards, r.Shard, r.Max}
	}
	through, bytes, first := begin, 0, int64(0)
	err = s.d.read(ctx, op, func(rows *sql.Rows) error {
		seq, m, err := scanLog(rows)
		if err != nil {
			return err
		}
		if bytes += len(m.Data); bytes > r.MaxBytes && len(b.Messages) > 0 {
			return errEnough
		}
		if len(b.Messages) == 0 {
			first = seq
		}
		m.Cursor = pubsub.Cursor(cursor.At(p.life, seq).String())
		b.Messages = append(b.Messages, m)
		through = seq
		return nil
	}, q, args...)
	if err != nil && !errors.Is(err, errEnough) {
		return pubsub.Batch{}, err
	}
	if err == nil && len(b.Messages) < r.Max {
		through = upTo
	}
	// The two reads were two views: what was trimmed between them would be
	// passed over in silence.
	now := p
	if err := s.d.readRow(ctx, op, []any{&now.head, &now.gone, &now.last}, selectSpan, p.topic); err != nil {
		return pubsub.Batch{}, err
	}
	if _, err := now.pos(r.After); err != nil {
		return pubsub.Batch{}, err
	}
	if r.Shards < 2 && (first != begin+1 || through-begin != int64(len(b.Messages))) {
		return pubsub.Batch{}, refused(op, fmt.Errorf("%w: events are missing behind position %d of topic %q", ErrCorrupt, pos, topic))
	}
	b.Through = pubsub.Cursor(cursor.At(p.life, through).String())
	return b, nil
}

// scanLog reads logColumns.
func scanLog(rows *sql.Rows) (seq int64, m pubsub.Message, err error) {
	var happened, appended int64
	var header sql.NullString
	err = rows.Scan(&seq, &m.ID, &m.Source, &m.Type, &m.Subject, &m.Schema, &m.ContentType, &m.Key, &happened, &header, &m.Data, &appended)
	if err != nil {
		return 0, m, err
	}
	m.Time, m.Appended = time.UnixMicro(happened).UTC(), fromMicros(appended)
	m.Header = headerOf(header)
	return seq, m, nil
}

func headerOf(text sql.NullString) (h map[string]string) {
	if text.Valid {
		// What does not decode was not written by us. The event matters more,
		// and an error here would hold up all others.
		_ = json.Unmarshal([]byte(text.String), &h)
	}
	return h
}

// Find implements [pubsub.Log].
func (s logStore) Find(ctx context.Context, topic string, from pubsub.Start) (pubsub.Cursor, error) {
	p, err := s.span(ctx, topic)
	if err != nil {
		return "", err
	}
	switch {
	case from.After != "":
		_, err := p.pos(from.After)
		return from.After, err
	case from.Latest:
		return p.at(p.head), nil
	case !from.Since.IsZero():
		pos, err := s.before(ctx, p, microsUp(from.Since))
		if err != nil {
			return "", err
		}
		return p.at(pos), nil
	}
	return p.at(p.gone), nil
}

const selectAppended = `SELECT appended_us FROM crosstie_log WHERE seq = ?`

// before returns the last position appended before an instant, or gone if
// there is none. Log time does not go back, so halving finds it.
func (s logStore) before(ctx context.Context, p span, us int64) (int64, error) {
	low, high := p.gone, p.head
	for low < high {
		mid := low + (high-low+1)/2
		var at int64
		err := s.d.readRow(ctx, "log read", []any{&at}, selectAppended, cursor.Place{Topic: p.topic, Pos: mid}.Row())
		switch {
		case errors.Is(err, sql.ErrNoRows): // trimmed meanwhile, so it is old
			low = mid
		case err != nil:
			return 0, err
		case at < us:
			low = mid
		default:
			high = mid - 1
		}
	}
	return low, nil
}

// Behind implements [pubsub.Log].
func (s logStore) Behind(ctx context.Context, topic string, c pubsub.Cursor) (int64, time.Time, error) {
	p, err := s.span(ctx, topic)
	if err != nil {
		return 0, time.Time{}, err
	}
	pos, err := p.pos(c)
	if err != nil || pos == p.head {
		return 0, time.Time{}, err
	}
	var at int64
	err = s.d.readRow(ctx, "log read", []any{&at}, selectAppended, cursor.Place{Topic: p.topic, Pos: pos + 1}.Row())
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, time.Time{}, err
	}
	return p.head - pos, fromMicros(at), nil
}

// Trim implements [pubsub.Log].
func (s logStore) Trim(ctx context.Context, topic string, r pubsub.Retention, most int) (n int, err error) {
	const op = "log trim"
	p, err := s.span(ctx, topic)
	if err != nil || r.Age <= 0 && r.Count <= 0 {
		return 0, err
	}
	err = s.d.write(ctx, op, func(w *writer) error {
		n = 0
		if err := w.row(selectSpan, p.topic).Scan(&p.head, &p.gone, &p.last); err != nil {
			return err
		}
		upTo := p.gone
		if r.Count > 0 {
			upTo = max(upTo, p.head-r.Count)
		}
		if r.Age > 0 {
			// To the first young one, without trust in the clock's past.
			all := min(p.head, p.gone+int64(most))
			begin := cursor.Place{Topic: p.topic}.Row()
			var young sql.NullInt64
			err := w.row(`SELECT min(seq) FROM crosstie_log WHERE seq > ? AND seq <= ? AND appended_us >= ?`,
				begin+p.gone, begin+all, micros(w.now().Add(-r.Age))).Scan(&young)
			if err != nil {
				return err
			}
			if young.Valid {
				all = young.Int64 - begin - 1
			}
			upTo = max(upTo, all)
		}
		if !r.DropUnread {
			// Texts of one topic sort as their positions.
			var slowest sql.NullString
			err := w.row(`SELECT min(position) FROM crosstie_log_group WHERE topic = ? AND position BETWEEN ? AND ?`,
				topic, string(p.at(0)), string(p.at(cursor.MaxPos))).Scan(&slowest)
			if err != nil {
				return err
			}
			if at, ok := cursor.Parse(slowest.String); ok {
				upTo = min(upTo, at.Pos)
			}
		}
		upTo = min(upTo, p.gone+int64(most))
		if upTo <= p.gone {
			return nil
		}
		begin := cursor.Place{Topic: p.topic}.Row()
		if _, err := w.exec(`DELETE FROM crosstie_log WHERE seq > ? AND seq <= ?`, begin+p.gone, begin+upTo); err != nil {
			return err
		}
		n = int(upTo - p.gone)
		_, err := w.exec(`UPDATE crosstie_log_topic SET gone = ? WHERE id = ?`, upTo, p.topic)
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

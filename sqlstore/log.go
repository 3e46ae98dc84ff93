package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/crosstie/crosstie/internal/cursor"
	"github.com/crosstie/crosstie/internal/wake"
	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/pubsub"
)

// Log returns the port of package pubsub: a log with its groups. Events
// published inside [DB.Tx] by PublishTx are part of its commit, and
// subscriptions in this process hear of them at once. Instants are kept to the
// microsecond.
//
// SQLite has one writer at a time, so the order of a topic is the order of its
// commits, and a position is given inside the transaction that commits it: a
// reader passes over nothing.
func (d *DB) Log() pubsub.Store {
	d.log.once.Do(func() {
		d.log.topics = make(map[string]int64)
		d.log.add = newAppender(d, "log append", d.log.appendAll)
	})
	return logStore{d}
}

type logStore struct{ d *DB }

// logState is what all logs of a DB share.
type logState struct {
	once  sync.Once
	bells wake.Bells
	add   *appender[logRows]

	mu     sync.Mutex // guards what follows, of which nothing ever changes in the database
	life   string
	topics map[string]int64 // name -> id
}

// logRows are the messages of one call.
type logRows struct {
	topic string
	ms    []pubsub.Message
}

// Appended implements [pubsub.Log].
func (s logStore) Appended(topic string) <-chan struct{} { return s.d.log.bells.Of(topic).Listen() }

// Wake implements [pubsub.TxLog].
func (s logStore) Wake(topic string) { s.d.log.bells.Of(topic).Ring() }

// Append implements [pubsub.Log].
func (s logStore) Append(ctx context.Context, topic string, ms []pubsub.Message) (int, error) {
	if s.d.inside(ctx) != nil {
		return 0, &Error{Op: "log append", Known: outcome.NotSent, Err: fmt.Errorf("%w: call PublishTx", ErrInTx)}
	}
	own := make([]pubsub.Message, len(ms)) // a caller who leaves early may change his
	for i, m := range ms {
		m.Data, m.Header = append([]byte{}, m.Data...), maps.Clone(m.Header)
		own[i] = m
	}
	if err := s.d.log.add.do(ctx, logRows{topic, own}); err != nil {
		return 0, err
	}
	return len(ms), nil
}

// AppendTx implements [pubsub.TxLog].
func (s logStore) AppendTx(ctx context.Context, tx *sql.Tx, topic string, ms []pubsub.Message) error {
	const op = "log append"
	if tx == nil {
		return &Error{Op: op, Known: outcome.NotSent, Err: pubsub.ErrNoTx}
	}
	w, err := s.d.join(ctx, op, tx)
	if err != nil {
		return err
	}
	// All or nothing, also for a caller who goes on after an error: positions
	// that were given and have no event would be a hole.
	if _, err := w.exec(`SAVEPOINT crosstie_publish`); err != nil {
		return joined(op, err)
	}
	err = s.d.log.appendAll(w, []logRows{{topic, ms}})
	if err != nil {
		if _, rerr := w.exec(`ROLLBACK TO crosstie_publish`); rerr != nil {
			return joined(op, errors.Join(err, rerr))
		}
	}
	if _, rerr := w.exec(`RELEASE crosstie_publish`); rerr != nil && err == nil {
		err = rerr
	}
	return joined(op, err)
}

// logHold is how far the clock may be set back before log time follows it
// down. Without a limit one moment of a clock far ahead would date all that
// comes after it, and inboxes would refuse it.
const logHold = time.Hour

const insertLog = `INSERT INTO crosstie_log (seq, hash, id, source, type, subject, schema, content_type, key,
	time_us, header, data, appended_us)`

// appendAll appends what several callers brought, topic by topic.
func (l *logState) appendAll(w *writer, rows []logRows) error {
	var topics []string
	all := make(map[string][]pubsub.Message, 1)
	for _, r := range rows {
		ms, ok := all[r.topic]
		if !ok {
			topics = append(topics, r.topic)
			ms = r.ms[:len(r.ms):len(r.ms)] // what follows must not be written into a caller's array
		} else {
			ms = append(ms, r.ms...)
		}
		all[r.topic] = ms
	}
	for _, topic := range topics {
		if ms := all[topic]; len(ms) > 0 {
			if err := appendTopic(w, topic, ms); err != nil {
				return err
			}
		}
	}
	ring := func() {
		for _, topic := range topics {
			l.bells.Of(topic).Ring()
		}
	}
	if !w.onCommit(ring) {
		for _, topic := range topics {
			l.bells.Of(topic).RingFor(time.Second)
		}
	}
	return nil
}

// appendTopic gives positions and writes the rows.
func appendTopic(w *writer, topic string, ms []pubsub.Message) error {
	headers := make([]any, len(ms))
	for i := range ms {
		if len(ms[i].Header) == 0 {
			continue
		}
		h, err := json.Marshal(ms[i].Header)
		if err != nil {
			return refused("log append", err)
		}
		headers[i] = string(h)
	}
	n := int64(len(ms))
	now := micros(w.now())
	var id, head, last int64
	err := w.row(`UPDATE crosstie_log_topic SET head = head + ?1, last_us = iif(last_us BETWEEN ?2 AND ?2 + ?3, last_us, ?2)
		WHERE name = ?4 RETURNING id, head, last_us`, n, now, logHold.Microseconds(), topic).Scan(&id, &head, &last)
	if errors.Is(err, sql.ErrNoRows) {
		err = w.row(`INSERT INTO crosstie_log_topic (name, head, gone, last_us) VALUES (?, ?, 0, ?)
			RETURNING id, head, last_us`, topic, n, now).Scan(&id, &head, &last)
	}
	if err != nil {
		return err
	}
	if id > cursor.MaxTopic || head > cursor.MaxPos {
		return refused("log append", fmt.Errorf("topic %q: the log has no positions left", topic))
	}
	at := cursor.Place{Topic: id, Pos: head - n + 1}.Row()
	return w.insert(insertLog, "", 13, len(ms), func(i int, to []any) []any {
		m := &ms[i]
		return append(to, at+int64(i), int64(pubsub.KeyHash(*m)), m.ID, m.Source, m.Type, m.Subject, m.Schema, m.ContentType, m.Key,
			m.Time.UnixMicro(), headers[i], blob(m.Data), last)
	})
}

// logLife returns the name of the log.
func (d *DB) logLife(ctx context.Context) (string, error) {
	d.log.mu.Lock()
	life := d.log.life
	d.log.mu.Unlock()
	if life != "" {
		return life, nil
	}
	if err := d.readRow(ctx, "log read", []any{&life}, `SELECT life FROM crosstie_log_life WHERE one = 1`); err != nil {
		return "", err
	}
	d.log.mu.Lock()
	defer d.log.mu.Unlock()
	d.log.life = life
	return life, nil
}

// logTopic returns the id of a topic, which it makes if need be.
func (d *DB) logTopic(ctx context.Context, topic string) (id int64, err error) {
	const op = "log read"
	d.log.mu.Lock()
	id, ok := d.log.topics[topic]
	d.log.mu.Unlock()
	if ok {
		return id, nil
	}
	const find = `SELECT id FROM crosstie_log_topic WHERE name = ?`
	err = d.readRow(ctx, op, []any{&id}, find, topic)
	if errors.Is(err, sql.ErrNoRows) {
		err = d.write(ctx, op, func(w *writer) error {
			if _, err := w.exec(`INSERT INTO crosstie_log_topic (name, head, gone, last_us) VALUES (?, 0, 0, 0)
				ON CONFLICT DO NOTHING`, topic); err != nil {
				return err
			}
			return w.row(find, topic).Scan(&id)
		})
	}
	if err != nil {
		return 0, err
	}
	if d.inside(ctx) == nil { // else it may be rolled back
		d.log.mu.Lock()
		d.log.topics[topic] = id
		d.log.mu.Unlock()
	}
	return id, nil
}

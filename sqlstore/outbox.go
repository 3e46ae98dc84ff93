package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/crosstie/crosstie/fireforget"
	"github.com/crosstie/crosstie/internal/wake"
	"github.com/crosstie/crosstie/outcome"
)

// Outbox returns the port of package fireforget. Messages sent inside [DB.Tx]
// by SendTx are part of its commit, and relays in this process hear of them at
// once.
func (d *DB) Outbox() fireforget.TxStore {
	d.outbox.once.Do(func() {
		d.outbox.lanes = make(map[laneKey]string)
		d.outbox.add = newAppender(d, "outbox add", func(w *writer, rows [][]fireforget.Entry) error {
			if len(rows) == 1 {
				return d.outbox.insert(w, rows[0])
			}
			n := 0
			for _, r := range rows {
				n += len(r)
			}
			all := make([]fireforget.Entry, 0, n)
			for _, r := range rows {
				all = append(all, r...)
			}
			return d.outbox.insert(w, all)
		})
	})
	return outboxStore{d}
}

type outboxStore struct{ d *DB }

// outboxState is what all outboxes of a DB share.
type outboxState struct {
	once  sync.Once
	bell  wake.Bell
	add   *appender[[]fireforget.Entry]
	gauge gauge

	mu    sync.Mutex // guards lanes
	lanes map[laneKey]string
}

// A laneKey names a lane; the map has the key to begin its next reading with,
// so that no key is always last.
type laneKey struct {
	part int64
	dest string
}

// A gauge is a count of messages, or jobs, that is at most a second old.
type gauge struct {
	mu       sync.Mutex // guards what follows
	count    int64      // as counted, and what was added here since
	most     int64      // how far it was counted: another outbox may allow more
	at       time.Time
	counting bool // by one sender, while the others trust the old count
}

const (
	gaugeAge  = time.Second
	gaugeFull = 50 * time.Millisecond // the age at which a count that says full is taken anew
)

// room returns full unless there is room for one more.
func (g *gauge) room(limit int64, full error, count func(max int64) (int64, error)) error {
	if limit <= 0 {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	age := time.Since(g.at)
	if !g.counting && (g.at.IsZero() || age > gaugeAge || g.count >= limit && age > gaugeFull || g.count >= g.most && g.most < limit) {
		// Not under the lock: it may wait for a connection, and who waits for
		// a lock cannot leave when his context ends. In the caller's own
		// transaction it may wait for the database, and whoever has that for us.
		g.counting = true
		g.mu.Unlock()
		n, err := count(limit)
		g.mu.Lock()
		g.counting = false
		if err != nil {
			return err
		}
		g.count, g.most, g.at = n, limit, time.Now()
	}
	if g.count >= limit {
		return full
	}
	return nil
}

func (g *gauge) added(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.count += int64(n)
}

const countOutbox = `SELECT count(*) FROM (SELECT 1 FROM crosstie_outbox LIMIT ?) AS n`

// partOf returns the part of a lane, 0 for messages with no key. Lanes of one
// destination are neighbours. Two destinations may share a part: whoever reads
// one also compares dest.
func partOf(dest string, lane int) int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(dest))
	return int64(h.Sum64()&^maxLane) | int64(lane&maxLane)
}

const maxLane = 0xff

// Added implements [fireforget.Store].
func (s outboxStore) Added() <-chan struct{} { return s.d.outbox.bell.Listen() }

// Wake implements [fireforget.TxStore].
func (s outboxStore) Wake() { s.d.outbox.bell.Ring() }

// Add implements [fireforget.Store].
func (s outboxStore) Add(ctx context.Context, es []fireforget.Entry, limit int64) error {
	const op = "outbox add"
	if s.d.inside(ctx) != nil {
		return &Error{Op: op, Known: outcome.NotSent, Err: fmt.Errorf("%w: call SendTx", ErrInTx)}
	}
	err := s.d.outbox.gauge.room(limit, fireforget.ErrFull, func(max int64) (n int64, err error) {
		err = s.d.readRow(ctx, op, []any{&n}, countOutbox, max)
		return n, err
	})
	if err != nil {
		return err
	}
	own, named := cloneEntries(es)
	if named {
		return s.d.write(ctx, op, func(w *writer) error { return s.d.outbox.insertNamed(w, own) })
	}
	return s.d.outbox.add.do(ctx, own)
}

// AddTx implements [fireforget.TxStore].
func (s outboxStore) AddTx(ctx context.Context, tx *sql.Tx, es []fireforget.Entry, limit int64) error {
	const op = "outbox add"
	if tx == nil {
		return &Error{Op: op, Known: outcome.NotSent, Err: fireforget.ErrNoTx}
	}
	w, err := s.d.join(ctx, op, tx)
	if err != nil {
		return err
	}
	err = s.d.outbox.gauge.room(limit, fireforget.ErrFull, func(max int64) (n int64, err error) {
		if s.d.dialect == SQLite {
			// A deferred transaction that reads before it writes may find that
			// it cannot write any more.
			if _, err := w.exec(lock); err != nil {
				return 0, joined(op, err)
			}
		}
		if err := w.row(countOutbox, max).Scan(&n); err != nil {
			return 0, joined(op, err)
		}
		return n, nil
	})
	if err != nil {
		return err
	}
	if len(es) == 1 && es[0].Sum == "" {
		return joined(op, s.d.outbox.insert(w, es))
	}
	// All or nothing, also for a caller who goes on after an error: an ID on
	// record whose message is not there would be a message lost.
	if _, err := w.exec(`SAVEPOINT crosstie_send`); err != nil {
		return joined(op, err)
	}
	err = s.d.outbox.insertNamed(w, es)
	if err != nil {
		if _, rerr := w.exec(`ROLLBACK TO crosstie_send`); rerr != nil {
			return joined(op, errors.Join(err, rerr))
		}
	}
	if _, rerr := w.exec(`RELEASE crosstie_send`); rerr != nil && err == nil {
		err = rerr
	}
	if errors.Is(err, fireforget.ErrReused) {
		return err
	}
	return joined(op, err)
}

// cloneEntries copies what a caller who leaves early may change.
func cloneEntries(es []fireforget.Entry) (own []fireforget.Entry, named bool) {
	own = append(own, es...)
	for i := range own {
		own[i].Body, own[i].Header = append([]byte{}, own[i].Body...), maps.Clone(own[i].Header)
		named = named || own[i].Sum != ""
	}
	return own, named
}

// insertNamed adds entries of which some may have been sent before.
func (o *outboxState) insertNamed(w *writer, es []fireforget.Entry) error {
	first := slices.IndexFunc(es, func(e fireforget.Entry) bool { return e.Sum != "" })
	if first < 0 {
		return o.insert(w, es)
	}
	fresh := append([]fireforget.Entry{}, es[:first]...)
	for i := first; i < len(es); i++ {
		e := &es[i]
		if e.Sum != "" {
			isNew, err := o.name(w, e)
			if err != nil {
				return err
			}
			if !isNew {
				continue
			}
		}
		fresh = append(fresh, *e)
	}
	return o.insert(w, fresh)
}

// name records e's ID and reports whether it is new.
func (o *outboxState) name(w *writer, e *fireforget.Entry) (bool, error) {
	n, err := w.changed(`INSERT INTO crosstie_outbox_id (id, sum, at_us, live) VALUES (?, ?, ?, 1)
		ON CONFLICT DO NOTHING`, e.ID, []byte(e.Sum), micros(w.now()))
	if err != nil || n == 1 {
		return err == nil, err
	}
	var sum []byte
	if err := w.row(`SELECT sum FROM crosstie_outbox_id WHERE id = ?`, e.ID).Scan(&sum); err != nil {
		return false, err
	}
	if string(sum) != e.Sum {
		return false, &fireforget.Error{Op: "send", ID: e.ID, Known: outcome.Refused, Err: fireforget.ErrReused}
	}
	return false, nil
}

const insertOutbox = `INSERT INTO crosstie_outbox (part, due_us, dest, key, id, sum, content_type, body, header,
	accepted_us, not_before_us, expires_us, attempt`

// insert appends es.
func (o *outboxState) insert(w *writer, es []fireforget.Entry) error {
	headers := make([]any, len(es))
	for i := range es {
		if es[i].Lane < 0 || es[i].Lane > maxLane {
			return refused("outbox add", fmt.Errorf("lane %d of message %q: want 0 to %d", es[i].Lane, es[i].ID, maxLane))
		}
		if len(es[i].Header) == 0 {
			continue
		}
		h, err := json.Marshal(es[i].Header)
		if err != nil {
			return refused("outbox add", err)
		}
		headers[i] = string(h)
	}
	head, columns := insertOutbox+`, epoch)`, 14
	if w.d.dialect == PostgreSQL {
		head, columns = insertOutbox+`)`, 13 // its default asks for durability
	}
	err := w.insert(head, "", columns, len(es), func(i int, to []any) []any {
		e := &es[i]
		due := int64(0)
		if e.Lane == 0 {
			due = microsUp(e.NotBefore)
		}
		to = append(to, partOf(e.To, e.Lane), due, e.To, e.Key, e.ID, sumOf(e.Sum), e.ContentType, blob(e.Body), headers[i],
			micros(e.AcceptedAt), micros(e.NotBefore), micros(e.Expires), e.Attempt)
		if columns == 14 {
			to = append(to, 0)
		}
		return to
	})
	if err != nil {
		return err
	}
	n := len(es)
	if !w.onCommit(func() { o.gauge.added(n); o.bell.Ring() }) {
		o.gauge.added(n)
		o.bell.RingFor(time.Second)
	}
	return nil
}

// microsUp is micros rounded up: what is due at t is not due before.
func microsUp(t time.Time) int64 {
	us := micros(t)
	if us != 0 && time.UnixMicro(us).Before(t) {
		us++
	}
	return us
}

func sumOf(s string) any {
	if s == "" {
		return nil
	}
	return []byte(s)
}

// arrayOf is an array of PostgreSQL as text, which every driver passes on.
func arrayOf(ids []int64) string {
	b := []byte{'{'}
	for i, id := range ids {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, id, 10)
	}
	return string(append(b, '}'))
}

// blob keeps an empty body from being NULL.
func blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// entryColumns are what scanEntry reads.
const entryColumns = `o.seq, o.part, o.dest, o.key, o.id, o.sum, o.content_type, o.body, o.header,
	o.accepted_us, o.not_before_us, o.expires_us, o.attempt, o.epoch`

// scanEntry reads entryColumns, and more.
func scanEntry(rows *sql.Rows, more ...any) (e fireforget.Entry, err error) {
	var part, accepted, notBefore, expires int64
	var sum []byte
	var header sql.NullString
	to := append([]any{&e.Seq, &part, &e.To, &e.Key, &e.ID, &sum, &e.ContentType, &e.Body, &header,
		&accepted, &notBefore, &expires, &e.Attempt, &e.Epoch}, more...)
	if err := rows.Scan(to...); err != nil {
		return e, err
	}
	e.Lane, e.Sum = int(part&maxLane), string(sum)
	e.AcceptedAt, e.NotBefore, e.Expires = fromMicros(accepted), fromMicros(notBefore), fromMicros(expires)
	if header.Valid {
		// What does not decode was not written by us. The message matters
		// more, and an error here would hold up all others.
		_ = json.Unmarshal([]byte(header.String), &e.Header)
	}
	return e, nil
}

// errEnough ends a scan early.
var errEnough = errors.New("enough")

// inChunks calls run with lists of ids whose lengths are few, so that their
// statements are prepared: text must have one IN (%s), for "?,?". PostgreSQL gets
// all of them as one array.
func (d *DB) inChunks(text string, ids []int64, run func(q string, args []any) error) error {
	if d.dialect == PostgreSQL && len(ids) > 0 {
		return run(strings.Replace(text, "IN (%s)", "= ANY (?::text::bigint[])", 1), []any{arrayOf(ids)})
	}
	for len(ids) > 0 {
		size := 1
		for _, s := range insertSizes {
			if s <= len(ids) {
				size = s
				break
			}
		}
		args := make([]any, size)
		for i := range args {
			args[i] = ids[i]
		}
		ids = ids[size:]
		k := listKey{head: text, columns: -1, size: size}
		q, ok := d.lists.Load(k)
		if !ok {
			list := make([]byte, 0, 2*size)
			for range size {
				list = append(list, '?', ',')
			}
			q = fmt.Sprintf(text, list[:len(list)-1])
			d.lists.Store(k, q)
		}
		if err := run(q.(string), args); err != nil {
			return err
		}
	}
	return nil
}

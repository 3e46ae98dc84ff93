package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/crosstie/crosstie/fireforget"
	"github.com/crosstie/crosstie/internal/lease"
)

const (
	// claimBytes bounds the bodies of one claim, but for the last one.
	claimBytes = 16 << 20
	// claimRun is how many messages of one key one claim returns.
	claimRun = 32
)

// dueParts finds the parts of one destination that may have something due. It
// leaps from part to part in the index, so it costs what there are lanes and
// not what there are messages.
const dueParts = `WITH RECURSIVE p(part) AS (
	SELECT min(part) FROM crosstie_outbox WHERE part >= ?1 AND part <= ?1 + 255
	UNION ALL
	SELECT (SELECT min(part) FROM crosstie_outbox WHERE part > p.part AND part <= ?1 + 255) FROM p WHERE p.part IS NOT NULL)
	SELECT part FROM p WHERE part IS NOT NULL AND (SELECT min(due_us) FROM crosstie_outbox WHERE part = p.part) <= ?2 LIMIT 256`

// duePartsOfMany is dueParts where many processes write: it leaves out lanes that
// others hold, by the server's clock, and says which lanes have no row yet.
const duePartsOfMany = `WITH RECURSIVE p(part) AS (
	SELECT min(part) FROM crosstie_outbox WHERE part >= ?1 AND part <= ?1 + 255
	UNION ALL
	SELECT (SELECT min(part) FROM crosstie_outbox WHERE part > p.part AND part <= ?1 + 255) FROM p WHERE p.part IS NOT NULL)
	SELECT p.part, l.part IS NULL AND p.part <> ?1 FROM p LEFT JOIN crosstie_outbox_lane l ON l.part = p.part AND l.dest = ?2
	WHERE p.part IS NOT NULL AND (SELECT min(due_us) FROM crosstie_outbox WHERE part = p.part) <= ` + clock + `
	AND (coalesce(l.until_us, 0) <= ` + clock + ` OR p.part = ANY (?3::text::bigint[])) LIMIT 256`

// look finds the parts of w that may have something due, without a lock: most
// polls find nothing.
func (s outboxStore) look(ctx context.Context, op string, w *fireforget.Want) (parts []int64, err error) {
	q, args := dueParts, []any{partOf(w.To, 0), micros(time.Now())}
	var absent bool
	var part int64
	dest := []any{&part}
	if s.d.dialect == PostgreSQL {
		held := make([]int64, len(w.Held))
		for i, h := range w.Held {
			held[i] = partOf(w.To, h.Lane)
		}
		q, args, dest = duePartsOfMany, []any{partOf(w.To, 0), w.To, arrayOf(held)}, append(dest, &absent)
	}
	var unmade []int64
	err = s.d.read(ctx, op, func(rows *sql.Rows) error {
		err := rows.Scan(dest...)
		parts = append(parts, part)
		if absent {
			unmade = append(unmade, part)
		}
		return err
	}, q, args...)
	if err != nil || len(unmade) == 0 {
		return parts, err
	}
	// A lane that has no row cannot be locked. In one order, so that two who do
	// this do not wait for each other.
	slices.Sort(unmade)
	return parts, s.d.write(ctx, op, func(wr *writer) error {
		_, err := wr.exec(`INSERT INTO crosstie_outbox_lane (part, dest, owner, epoch, until_us)
			SELECT part, ?, '', 0, 0 FROM unnest(?::text::bigint[]) AS part ON CONFLICT DO NOTHING`, w.To, arrayOf(unmade))
		return err
	})
}

// Claim implements [fireforget.Store].
func (s outboxStore) Claim(ctx context.Context, c fireforget.Claim) (out []fireforget.Entry, err error) {
	const op = "outbox claim"
	wants := make([]want, 0, len(c.Wants))
	var held []laneKey
	for _, w := range c.Wants {
		if w.Max <= 0 {
			continue
		}
		parts, err := s.look(ctx, op, &w)
		if err != nil {
			return nil, err
		}
		for _, h := range w.Held {
			if k := (laneKey{partOf(w.To, h.Lane), w.To}); slices.Contains(parts, k.part) {
				held = append(held, k)
			}
		}
		if len(parts) > 0 {
			wants = append(wants, want{Want: w, parts: parts})
		}
	}
	if len(wants) == 0 {
		return nil, nil
	}
	err = s.d.write(ctx, op, func(w *writer) error {
		cl := claiming{w: w, o: &s.d.outbox, owner: c.Owner, lease: c.Lease, now: w.now()}
		// All of them before anything else is locked: who locks what nobody
		// waits for need not fear to wait in a circle.
		var err error
		if cl.held, err = leases(w, held); err != nil {
			return err
		}
		for i := range wants {
			if err := cl.want(&wants[i]); err != nil {
				return err
			}
		}
		out = cl.out
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

type want struct {
	fireforget.Want
	parts []int64 // that may have something due
}

// A claiming is one Claim in its transaction.
type claiming struct {
	w     *writer
	o     *outboxState
	owner string
	lease time.Duration
	now   time.Time
	held  map[laneKey]*lease.Lease
	out   []fireforget.Entry
	bytes int
}

// take appends e and returns errEnough when the answer is full.
func (c *claiming) take(e fireforget.Entry, until int) error {
	c.out = append(c.out, e)
	if c.bytes += len(e.Body); c.bytes >= claimBytes || len(c.out) >= until {
		return errEnough
	}
	return nil
}

func (c *claiming) want(w *want) error {
	if c.bytes >= claimBytes {
		return nil
	}
	all := len(c.out) + w.Max
	// Neither kind may starve the other, in a claim of one either.
	half := len(c.out) + (w.Max+rand.IntN(2))/2
	if err := c.free(w, half); err != nil {
		return err
	}
	if err := c.lanes(w, all); err != nil {
		return err
	}
	return c.free(w, all)
}

// free claims messages with no key until the answer has until.
func (c *claiming) free(w *want, until int) error {
	part := partOf(w.To, 0)
	from := len(c.out)
	if from >= until || c.bytes >= claimBytes || !slices.Contains(w.parts, part) {
		return nil
	}
	var seqs []int64
	err := c.w.query(func(rows *sql.Rows) error {
		e, err := scanEntry(rows)
		if err != nil {
			return err
		}
		e.Epoch++
		seqs = append(seqs, e.Seq)
		return c.take(e, until)
	}, `SELECT `+entryColumns+` FROM crosstie_outbox o WHERE part = ? AND due_us <= ? AND dest = ? ORDER BY due_us, key, seq LIMIT ?
		/*pg FOR UPDATE SKIP LOCKED*/`,
		part, micros(c.now), w.To, until-from)
	if err != nil && !errors.Is(err, errEnough) {
		return err
	}
	ends := microsUp(c.now.Add(c.lease))
	return c.w.d.inChunks(`UPDATE crosstie_outbox SET due_us = ?, epoch = epoch + 1 WHERE seq IN (%s)`, seqs, func(q string, args []any) error {
		_, err := c.w.exec(q, append([]any{ends}, args...)...)
		return err
	})
}

// lanes reads on in held lanes, and then leases others.
func (c *claiming) lanes(w *want, until int) error {
	for _, h := range w.Held {
		part := partOf(w.To, h.Lane)
		if len(c.out) >= until || !slices.Contains(w.parts, part) {
			continue
		}
		l := c.held[laneKey{part, w.To}]
		if l.Owns(h.Epoch) && l.Held(c.now) {
			if err := c.lane(part, w.To, l.Epoch, h.Busy, until); err != nil {
				return err
			}
		}
	}
	if len(w.parts) == 0 {
		return nil
	}
	from := rand.IntN(len(w.parts))
	for i := range w.parts {
		part := w.parts[(from+i)%len(w.parts)]
		if len(c.out) >= until || c.bytes >= claimBytes {
			return nil
		}
		if part&maxLane == 0 {
			continue
		}
		if c.held[laneKey{part, w.To}] != nil {
			continue // seen above
		}
		l, err := freeLane(c.w, part, w.To)
		if err != nil {
			return err
		}
		l, ok := l.Claim(c.owner, c.now, c.lease)
		if !ok {
			continue
		}
		was := len(c.out)
		if err := c.lane(part, w.To, l.Epoch, nil, until); err != nil {
			return err
		}
		if len(c.out) == was {
			continue // nothing is due: leave it to nobody
		}
		_, err = c.w.exec(`INSERT INTO crosstie_outbox_lane (part, dest, owner, epoch, until_us) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (part, dest) DO UPDATE SET owner = excluded.owner, epoch = excluded.epoch, until_us = excluded.until_us`,
			part, w.To, l.Owner, l.Epoch, microsUp(l.Until))
		if err != nil {
			return err
		}
	}
	return nil
}

// freeLane returns the lease of a lane that may be free. One that another
// process is looking at is not.
func freeLane(w *writer, part int64, dest string) (l lease.Lease, err error) {
	var until int64
	err = w.row(`SELECT owner, epoch, until_us FROM crosstie_outbox_lane WHERE part = ? AND dest = ? /*pg FOR UPDATE SKIP LOCKED*/`, part, dest).
		Scan(&l.Owner, &l.Epoch, &until)
	if errors.Is(err, sql.ErrNoRows) {
		if w.d.dialect == PostgreSQL {
			l.Until = time.Unix(1<<40, 0)
		}
		return l, nil
	}
	l.Until = fromMicros(until)
	return l, err
}

// leases returns the leases of lanes, and holds on to them until the end of the
// transaction. Lanes that were never leased have the zero lease.
func leases(w *writer, keys []laneKey) (map[laneKey]*lease.Lease, error) {
	all := make(map[laneKey]*lease.Lease, len(keys))
	parts := make([]int64, 0, len(keys))
	for _, k := range keys {
		if all[k] == nil {
			all[k] = &lease.Lease{}
			parts = append(parts, k.part)
		}
	}
	slices.Sort(parts) // chunk by chunk in one order
	return all, w.d.inChunks(`SELECT part, dest, owner, epoch, until_us FROM crosstie_outbox_lane WHERE part IN (%s)
		ORDER BY part, dest /*pg FOR UPDATE*/`, parts, func(q string, args []any) error {
		return w.query(func(rows *sql.Rows) error {
			var k laneKey
			var l lease.Lease
			var until int64
			if err := rows.Scan(&k.part, &k.dest, &l.Owner, &l.Epoch, &until); err != nil {
				return err
			}
			if l.Until = fromMicros(until); all[k] != nil {
				*all[k] = l
			}
			return nil
		}, q, args...)
	})
}

const stopped = `EXISTS (SELECT 1 FROM crosstie_outbox_stop s WHERE s.dest = o.dest AND s.key = o.key)`

// dueHeads are the heads of keys that waited, and need wait no longer.
const dueHeads = `SELECT ` + entryColumns + `, ` + stopped + ` FROM crosstie_outbox o
	WHERE o.part = ?1 AND o.due_us > 0 AND o.due_us <= ?2 AND o.dest = ?3
	AND o.key NOT IN (SELECT value FROM json_each(?4))
	ORDER BY o.due_us LIMIT ?5`

// freshKeys leaps from key to key in the index and reads the first messages of
// each that does not wait for its head, from ?2 on: it costs what there are
// keys, and not what is queued behind those that wait. Left to itself the
// planner looks for the head among all that wait.
const freshKeys = `WITH RECURSIVE k(key) AS (
	SELECT min(key) FROM crosstie_outbox WHERE part = ?1 AND due_us = 0 AND key >= ?2
	UNION ALL
	SELECT (SELECT min(key) FROM crosstie_outbox WHERE part = ?1 AND due_us = 0 AND key > k.key) FROM k WHERE k.key IS NOT NULL)
	SELECT ` + entryColumns + `, ` + stopped + ` FROM k JOIN crosstie_outbox o
	ON o.seq IN (SELECT seq FROM crosstie_outbox WHERE part = ?1 AND due_us = 0 AND key = k.key AND dest = ?3 ORDER BY seq LIMIT ?6)
	WHERE k.key IS NOT NULL
	AND k.key NOT IN (SELECT value FROM json_each(?4))
	AND NOT EXISTS (SELECT 1 FROM crosstie_outbox x INDEXED BY crosstie_outbox_waits WHERE x.part = ?1 AND x.key = k.key AND x.key <> '' AND x.due_us > 0 AND x.dest = ?3)
	LIMIT ?5`

// freshKeysLateral is freshKeys in PostgreSQL, where a subquery on the right of IN
// would be run for each message. The join can only be a loop over k in the
// order in which it is made, and so keeps the order of keys.
const freshKeysLateral = `WITH RECURSIVE k(key) AS (
	SELECT min(key) FROM crosstie_outbox WHERE part = ?1 AND due_us = 0 AND key >= ?2
	UNION ALL
	SELECT (SELECT min(key) FROM crosstie_outbox WHERE part = ?1 AND due_us = 0 AND key > k.key) FROM k WHERE k.key IS NOT NULL)
	SELECT ` + entryColumns + `, ` + stopped + ` FROM k CROSS JOIN LATERAL
	(SELECT * FROM crosstie_outbox WHERE part = ?1 AND due_us = 0 AND key = k.key AND dest = ?3 ORDER BY seq LIMIT ?6) o
	WHERE k.key IS NOT NULL
	AND k.key NOT IN (SELECT value FROM json_each(?4))
	AND NOT EXISTS (SELECT 1 FROM crosstie_outbox x WHERE x.part = ?1 AND x.key = k.key AND x.key <> '' AND x.due_us > 0 AND x.dest = ?3)
	LIMIT ?5`

// lane reads what is due in a lane, each key's messages in order.
func (c *claiming) lane(part int64, dest string, epoch int64, busy []string, until int) error {
	if busy == nil {
		busy = []string{}
	}
	list, err := json.Marshal(busy)
	if err != nil {
		return err
	}
	r := laneRead{c: c, epoch: epoch, until: until, seen: map[string]int64{}}
	// Keys that waited take no more than half, so that they starve nobody.
	room := until - len(c.out)
	err = r.query(dueHeads, part, micros(c.now), dest, string(list), (room+1)/2)
	if err != nil || r.full {
		return errors.Join(err, r.after())
	}
	k := laneKey{part, dest}
	fresh := freshKeys
	if c.w.d.dialect == PostgreSQL {
		fresh = freshKeysLateral
	}
	c.o.mu.Lock()
	begin := c.o.lanes[k]
	c.o.mu.Unlock()
	if err := r.query(fresh, part, begin, dest, string(list), until-len(c.out), claimRun); err != nil {
		return err
	}
	if !r.full && begin != "" && len(c.out) < until { // the keys before it
		if err := r.query(fresh, part, "", dest, string(list), until-len(c.out), claimRun); err != nil {
			return err
		}
	}
	c.o.mu.Lock()
	delete(c.o.lanes, k)
	if r.full || len(c.out) >= until {
		c.o.lanes[k] = r.last
	}
	c.o.mu.Unlock()
	return r.after()
}

// A laneRead is the reading of one lane.
type laneRead struct {
	c     *claiming
	epoch int64
	until int
	full  bool
	last  string           // the key read last
	seen  map[string]int64 // key -> the last Seq taken, or skipKey
	late  []int64          // heads whose NotBefore has not come
	ends  []int64          // and when it comes
	park  []int64          // of stopped keys
}

// skipKey marks a key of which nothing more may be taken.
const skipKey = 1<<63 - 1

func (r *laneRead) query(q string, args ...any) error {
	err := r.c.w.query(func(rows *sql.Rows) error {
		var stopped bool
		e, err := scanEntry(rows, &stopped)
		if err != nil {
			return err
		}
		last, seen := r.seen[e.Key]
		if e.Seq <= last {
			return nil
		}
		r.last = e.Key
		switch {
		case stopped:
			r.seen[e.Key] = e.Seq
			r.park = append(r.park, e.Seq)
			return nil
		case e.NotBefore.After(r.c.now):
			if !seen { // it is the head: let it wait where heads wait
				r.late, r.ends = append(r.late, e.Seq), append(r.ends, microsUp(e.NotBefore))
			}
			r.seen[e.Key] = skipKey
			return nil
		}
		r.seen[e.Key] = e.Seq
		e.Epoch = r.epoch
		return r.c.take(e, r.until)
	}, q, args...)
	if errors.Is(err, errEnough) {
		r.full = true
		err = nil
	}
	return err
}

// after writes what the reading found out, when no rows are open any more.
func (r *laneRead) after() error {
	for i, seq := range r.late {
		if _, err := r.c.w.exec(`UPDATE crosstie_outbox SET due_us = ? WHERE seq = ?`, r.ends[i], seq); err != nil {
			return err
		}
	}
	for _, seq := range r.park {
		if err := parkRow(r.c.w, seq, "key stopped", r.c.now); err != nil {
			return err
		}
	}
	return nil
}

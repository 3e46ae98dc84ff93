package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/crosstie/crosstie/internal/cursor"
	"github.com/crosstie/crosstie/internal/lease"
	"github.com/crosstie/crosstie/pubsub"
)

// Create implements [pubsub.Groups].
func (s logStore) Create(ctx context.Context, g pubsub.Group, c pubsub.Cursor) error {
	return s.d.write(ctx, "group create", func(w *writer) error {
		var shards int
		err := w.row(`SELECT shards FROM crosstie_log_group WHERE topic = ? AND grp = ? LIMIT 1`, g.Topic, g.Name).Scan(&shards)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			if err := logKeeps(w, g.Topic, c); err != nil {
				return err
			}
			return insertGroup(w, g, c)
		case err == nil && shards != g.Shards:
			return pubsub.ErrShards
		}
		return err
	})
}

// logKeeps reports whether a group may begin at c: a cursor of this log has
// what follows it.
func logKeeps(w *writer, topic string, c pubsub.Cursor) error {
	at, ok := cursor.Parse(string(c))
	if !ok {
		return nil // of another log, which knows
	}
	var p span
	err := w.row(`SELECT life, id, head, gone FROM crosstie_log_life, crosstie_log_topic WHERE one = 1 AND name = ?`, topic).
		Scan(&p.life, &p.topic, &p.head, &p.gone)
	if errors.Is(err, sql.ErrNoRows) || err == nil && at.Life != p.life {
		return nil
	}
	if err == nil {
		_, err = p.pos(c)
	}
	return err
}

// insertGroup makes all shards of g, under an epoch above those of any group
// that was dropped: a claim of that one must not fit this one.
func insertGroup(w *writer, g pubsub.Group, c pubsub.Cursor) error {
	var epoch int64
	if err := w.row(`SELECT epoch FROM crosstie_log_life WHERE one = 1`).Scan(&epoch); err != nil {
		return err
	}
	now := micros(w.now())
	return w.insert(`INSERT INTO crosstie_log_group (topic, grp, shard, shards, position, epoch, owner, until_us, saved_us)`, "", 9, g.Shards,
		func(i int, to []any) []any {
			return append(to, g.Topic, g.Name, i, g.Shards, string(c), epoch, "", 0, now)
		})
}

// dropGroup removes a group that nobody reads.
func dropGroup(w *writer, topic, group string) error {
	var held int64
	err := w.row(`SELECT coalesce(max(until_us), 0) FROM crosstie_log_group WHERE topic = ? AND grp = ?`, topic, group).Scan(&held)
	if err != nil {
		return err
	}
	if w.now().Before(fromMicros(held)) {
		return pubsub.ErrHeld
	}
	_, err = w.exec(`UPDATE crosstie_log_life SET epoch = max(epoch, 1 +
		(SELECT coalesce(max(epoch), 0) FROM crosstie_log_group WHERE topic = ? AND grp = ?)) WHERE one = 1`, topic, group)
	if err != nil {
		return err
	}
	_, err = w.exec(`DELETE FROM crosstie_log_group WHERE topic = ? AND grp = ?`, topic, group)
	return err
}

// Seek implements [pubsub.Groups].
func (s logStore) Seek(ctx context.Context, g pubsub.Group, c pubsub.Cursor) error {
	return s.d.write(ctx, "group seek", func(w *writer) error {
		if err := logKeeps(w, g.Topic, c); err != nil {
			return err
		}
		if err := dropGroup(w, g.Topic, g.Name); err != nil {
			return err
		}
		return insertGroup(w, g, c)
	})
}

// Drop implements [pubsub.Groups].
func (s logStore) Drop(ctx context.Context, topic, group string) error {
	return s.d.write(ctx, "group drop", func(w *writer) error { return dropGroup(w, topic, group) })
}

// States implements [pubsub.Groups].
func (s logStore) States(ctx context.Context, topic, group string) (states []pubsub.State, err error) {
	err = s.d.read(ctx, "group states", func(rows *sql.Rows) error {
		st := pubsub.State{Claim: pubsub.Claim{Group: pubsub.Group{Topic: topic}}}
		var until, saved int64
		err := rows.Scan(&st.Name, &st.Shard, &st.Shards, &st.Cursor, &st.Epoch, &st.Owner, &until, &saved, &st.Died, &st.Tries)
		st.Until, st.Saved = fromMicros(until), fromMicros(saved)
		states = append(states, st)
		return err
	}, `SELECT grp, shard, shards, position, epoch, owner, until_us, saved_us, died, tries FROM crosstie_log_group
		WHERE topic = ?1 AND (?2 = '' OR grp = ?2) ORDER BY grp, shard LIMIT 1000000`, topic, group)
	return states, err
}

const selectShard = `SELECT shards, position, epoch, until_us, died, tries FROM crosstie_log_group WHERE topic = ? AND grp = ? AND shard = ?`

// Claim implements [pubsub.Groups].
func (s logStore) Claim(ctx context.Context, g pubsub.Group, n int, owner string, d time.Duration) (c pubsub.Claim, err error) {
	const op = "group claim"
	var shards int
	var l lease.Lease
	// First without the write lock: those who stand by ask often.
	var until int64
	dest := []any{&shards, &c.Cursor, &l.Epoch, &until, &c.Died, &c.Tries}
	err = s.d.readRow(ctx, op, dest, selectShard, g.Topic, g.Name, n)
	if err == nil && time.Now().Before(fromMicros(until)) && shards == g.Shards {
		return pubsub.Claim{}, refused(op, pubsub.ErrHeld)
	}
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return pubsub.Claim{}, err
	}
	err = s.d.write(ctx, op, func(w *writer) error {
		err := w.row(selectShard, g.Topic, g.Name, n).Scan(dest...)
		if errors.Is(err, sql.ErrNoRows) || err == nil && shards != g.Shards {
			return pubsub.ErrShards
		}
		if err != nil {
			return err
		}
		l.Until = fromMicros(until)
		next, ok := l.Claim(owner, w.now(), d)
		if !ok {
			return pubsub.ErrHeld
		}
		if until > 0 {
			c.Died++
		}
		c.Group, c.Shard, c.Epoch = g, n, next.Epoch
		_, err = w.exec(`UPDATE crosstie_log_group SET epoch = ?, owner = ?, until_us = ?, died = ? WHERE topic = ? AND grp = ? AND shard = ?`,
			next.Epoch, owner, micros(next.Until), c.Died, g.Topic, g.Name, n)
		return err
	})
	if err != nil {
		return pubsub.Claim{}, err
	}
	return c, nil
}

// Save implements [pubsub.Groups].
func (s logStore) Save(ctx context.Context, c pubsub.Claim, d time.Duration) error {
	return s.d.write(ctx, "group save", func(w *writer) error {
		now := w.now()
		return ownedShard(w.changed(`UPDATE crosstie_log_group SET died = CASE position WHEN ? THEN died ELSE 0 END, position = ?, tries = ?,
			saved_us = ?, until_us = max(until_us, ?) `+ofClaim,
			string(c.Cursor), string(c.Cursor), c.Tries, micros(now), micros(now.Add(d)), c.Topic, c.Name, c.Shard, c.Epoch))
	})
}

// Release implements [pubsub.Groups].
func (s logStore) Release(ctx context.Context, c pubsub.Claim) error {
	return s.d.write(ctx, "group release", func(w *writer) error {
		return ownedShard(w.changed(`UPDATE crosstie_log_group SET owner = '', until_us = 0, died = 0, tries = 0 `+ofClaim, c.Topic, c.Name, c.Shard, c.Epoch))
	})
}

// ofClaim is the fence.
const ofClaim = `WHERE topic = ? AND grp = ? AND shard = ? AND epoch = ? AND until_us > 0`

// ownedShard turns "no row had this epoch" into ErrLost.
func ownedShard(changed int64, err error) error {
	if err == nil && changed == 0 {
		return pubsub.ErrLost
	}
	return err
}

// fenceShard is asked by what writes elsewhere.
func fenceShard(w *writer, c pubsub.Claim) error {
	return ownedShard(w.changed(`UPDATE crosstie_log_group SET epoch = epoch `+ofClaim, c.Topic, c.Name, c.Shard, c.Epoch))
}

package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/crosstie/crosstie/batchsync"
	"github.com/crosstie/crosstie/internal/lease"
)

// Syncs returns the port of package batchsync. Its Tx is [DB.Tx]: with a
// table.Table on the same *sql.DB as sink, a page of rows and its checkpoint
// are one savepoint in the shared commit. A page must be written within
// Options.TxLimit.
func (d *DB) Syncs() batchsync.TxStore { return syncStore{d} }

type syncStore struct{ d *DB }

// Database implements [batchsync.TxStore].
func (s syncStore) Database() *sql.DB { return s.d.db }

// Tx implements [batchsync.TxStore].
func (s syncStore) Tx(ctx context.Context, fn func(context.Context, *sql.Tx) error) error {
	return s.d.Tx(ctx, fn)
}

const selectSync = `SELECT run, position, done, full_run, counts, token, epoch, owner, until_us
	FROM crosstie_syncs WHERE sync = ? AND part = ?`

// A syncRow is a row of crosstie_syncs.
type syncRow struct {
	batchsync.Checkpoint
	counts []byte
	owner  string
	until  int64
}

// scan fills r with what scan finds; where there is no row it stays as it is.
func (r *syncRow) scan(scan func(dest ...any) error) error {
	err := scan(&r.Run, &r.Cursor, &r.Done, &r.Full, &r.counts, &r.Token, &r.Epoch, &r.owner, &r.until)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(r.counts, &r.Counts)
}

// Load implements [batchsync.Store].
func (s syncStore) Load(ctx context.Context, sync, part string) (batchsync.Checkpoint, error) {
	r := syncRow{Checkpoint: batchsync.Checkpoint{Sync: sync, Partition: part}}
	err := r.scan(func(dest ...any) error { return s.d.readRow(ctx, "sync load", dest, selectSync, sync, part) })
	return r.Checkpoint, err
}

// Claim implements [batchsync.Store].
func (s syncStore) Claim(ctx context.Context, sync, part, owner string, d time.Duration) (c batchsync.Checkpoint, err error) {
	err = s.d.write(ctx, "sync claim", func(w *writer) error {
		r := syncRow{Checkpoint: batchsync.Checkpoint{Sync: sync, Partition: part}}
		if err := r.scan(w.row(selectSync+` /*pg FOR UPDATE*/`, sync, part).Scan); err != nil {
			return err
		}
		c = r.Checkpoint
		l := lease.Lease{Owner: r.owner, Epoch: c.Epoch, Until: fromMicros(r.until)}
		l, ok := l.Claim(owner, w.now(), d)
		if !ok {
			return batchsync.ErrHeld
		}
		had := c.Epoch
		c.Epoch = l.Epoch
		n, err := w.changed(`INSERT INTO crosstie_syncs (sync, part, run, position, done, full_run, counts, epoch, owner, until_us)
			VALUES (?1, ?2, 0, '', ?3, ?3, '{}', ?4, ?5, ?6)
			ON CONFLICT (sync, part) DO UPDATE SET epoch = excluded.epoch, owner = excluded.owner, until_us = excluded.until_us
			WHERE crosstie_syncs.epoch = ?7`,
			sync, part, false, l.Epoch, l.Owner, micros(l.Until), had)
		if err == nil && n == 0 { // another process made the row, just now
			return batchsync.ErrHeld
		}
		return err
	})
	if err != nil {
		return batchsync.Checkpoint{}, err
	}
	return c, nil
}

// Renew implements [batchsync.Store].
func (s syncStore) Renew(ctx context.Context, c batchsync.Checkpoint, d time.Duration) error {
	return s.d.write(ctx, "sync renew", func(w *writer) error {
		return fenced(w.changed(`UPDATE crosstie_syncs SET until_us = max(until_us, ?)
			WHERE sync = ? AND part = ? AND epoch = ? AND until_us > 0`,
			micros(w.now().Add(d)), c.Sync, c.Partition, c.Epoch))
	})
}

// Save implements [batchsync.Store].
func (s syncStore) Save(ctx context.Context, c batchsync.Checkpoint, dead []batchsync.DeadRow, d time.Duration) error {
	return s.d.write(ctx, "sync save", func(w *writer) error { return saveSync(w, c, dead, d) })
}

// SaveTx implements [batchsync.TxStore].
func (s syncStore) SaveTx(ctx context.Context, tx *sql.Tx, c batchsync.Checkpoint, dead []batchsync.DeadRow, d time.Duration) error {
	w, err := s.d.join(ctx, "sync save", tx)
	if err != nil {
		return err
	}
	return joined("sync save", saveSync(w, c, dead, d))
}

func saveSync(w *writer, c batchsync.Checkpoint, dead []batchsync.DeadRow, d time.Duration) error {
	counts, err := json.Marshal(c.Counts)
	if err != nil {
		return err
	}
	err = fenced(w.changed(`UPDATE crosstie_syncs SET run = ?, position = ?, done = ?, full_run = ?, counts = ?, token = ?, until_us = max(until_us, ?)
		WHERE sync = ? AND part = ? AND epoch = ? AND until_us > 0`,
		c.Run, c.Cursor, c.Done, c.Full, string(counts), c.Token, micros(w.now().Add(d)), c.Sync, c.Partition, c.Epoch))
	if err != nil {
		return err
	}
	err = w.insert(`INSERT INTO crosstie_sync_dead (sync, run, part, n, id, pos, value, cut, why, transient, at_us)`,
		`ON CONFLICT (sync, run, part, n) DO UPDATE SET id = excluded.id, pos = excluded.pos, value = excluded.value, cut = excluded.cut,
			why = excluded.why, transient = excluded.transient, at_us = excluded.at_us`,
		11, len(dead), func(i int, to []any) []any {
			r := dead[i]
			return append(to, c.Sync, r.Run, c.Partition, r.N, r.ID, r.Pos, r.Value, r.Cut, r.Why, r.Transient, micros(r.At))
		})
	if err != nil || !c.Done || !c.Full {
		return err
	}
	_, err = w.exec(`DELETE FROM crosstie_sync_dead WHERE sync = ? AND run < ? AND part = ?`, c.Sync, c.Run, c.Partition)
	return err
}

// Release implements [batchsync.Store].
func (s syncStore) Release(ctx context.Context, c batchsync.Checkpoint) error {
	return s.d.write(ctx, "sync release", func(w *writer) error {
		return fenced(w.changed(`UPDATE crosstie_syncs SET owner = '', until_us = 0
			WHERE sync = ? AND part = ? AND epoch = ? AND until_us > 0`, c.Sync, c.Partition, c.Epoch))
	})
}

// fenced turns "no row had this epoch" into ErrLost.
func fenced(changed int64, err error) error {
	if err == nil && changed == 0 {
		return batchsync.ErrLost
	}
	return err
}

// Dead implements [batchsync.Store].
func (s syncStore) Dead(ctx context.Context, sync string, after batchsync.DeadRow, limit int) (dead []batchsync.DeadRow, err error) {
	err = s.d.read(ctx, "sync dead", func(rows *sql.Rows) error {
		r := batchsync.DeadRow{Sync: sync}
		var at int64
		err := rows.Scan(&r.Run, &r.Partition, &r.N, &r.ID, &r.Pos, &r.Value, &r.Cut, &r.Why, &r.Transient, &at)
		r.At = fromMicros(at)
		dead = append(dead, r)
		return err
	}, `SELECT run, part, n, id, pos, value, cut, why, transient, at_us FROM crosstie_sync_dead
		WHERE sync = ? AND (run, part, n) > (?, ?, ?) ORDER BY run, part, n LIMIT ?`,
		sync, after.Run, after.Partition, after.N, max(limit, 0))
	return dead, err
}

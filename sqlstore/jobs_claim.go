package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/crosstie/crosstie/remoteinvoke"
)

// dueJob is true of a job that can be claimed at ?2: past its limits of time
// it is left to the sweep.
const dueJob = ` WHERE service = ?1 AND state < 3 AND due_us <= ?2 AND (deadline_us = 0 OR deadline_us > ?2)
	AND (state > 0 OR start_by_us = 0 OR start_by_us > ?2)`

const selectDueJobs = `SELECT seq, service, caller, id, sum, state, version, attempt, done, total, note, code, message,
	deadline_us, created_us, updated_us, gone, callback, epoch, held,
	(SELECT data FROM crosstie_job_data WHERE pos = seq * 4), (SELECT data FROM crosstie_job_data WHERE pos = seq * 4 + 1)
	FROM crosstie_jobs` + dueJob + ` ORDER BY due_us, seq LIMIT ?3`

// Claim implements [remoteinvoke.Store].
func (s jobStore) Claim(ctx context.Context, c remoteinvoke.Claim) (out []remoteinvoke.Task, err error) {
	const op = "job claim"
	if c.Max <= 0 {
		return nil, nil
	}
	// First look without the write lock, for most polls find nothing.
	var due int
	err = s.d.readRow(ctx, op, []any{&due}, `SELECT EXISTS (SELECT 1 FROM crosstie_jobs`+dueJob+`)`, c.Service, micros(time.Now()))
	if err != nil || due == 0 {
		return nil, err
	}
	err = s.d.write(ctx, op, func(w *writer) error {
		out = nil
		return claimJobs(w, c, &out)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func claimJobs(w *writer, c remoteinvoke.Claim, out *[]remoteinvoke.Task) error {
	now := w.now()
	us := micros(now)
	var seqs []int64
	size := 0
	err := w.query(func(rows *sql.Rows) error {
		var t remoteinvoke.Task
		var n, seq int64
		var err error
		t.Record, seq, err = scanJob(rows.Scan, &n, &t.Died, &t.Input, &t.Saved)
		if err != nil {
			return err
		}
		t.Epoch = jobEpoch(seq, n+1)
		if t.State != remoteinvoke.Canceling {
			t.State = remoteinvoke.Running
			t.Attempt++
			t.Version++
			t.Updated = fromMicros(us)
		}
		*out = append(*out, t)
		seqs = append(seqs, seq)
		if size += len(t.Input) + len(t.Saved); size >= claimBytes {
			return errEnough
		}
		return nil
	}, selectDueJobs, c.Service, us, c.Max)
	if err != nil && !errors.Is(err, errEnough) {
		return err
	}
	return w.d.inChunks(`UPDATE crosstie_jobs SET epoch = epoch + 1, held = 1, owner = ?, due_us = ?, look_us = deadline_us,
		attempt = attempt + (state <> 2), version = version + (state <> 2),
		updated_us = CASE state WHEN 2 THEN updated_us ELSE ? END, state = max(state, 1) WHERE seq IN (%s)`,
		seqs, func(q string, args []any) error {
			_, err := w.exec(q, append([]any{c.Owner, microsUp(now.Add(c.Lease)), us}, args...)...)
			return err
		})
}

// Calls implements [remoteinvoke.Store].
func (s jobStore) Calls(ctx context.Context, c remoteinvoke.Claim) (out []remoteinvoke.Call, err error) {
	const op = "job calls"
	if c.Max <= 0 {
		return nil, nil
	}
	var due int
	err = s.d.readRow(ctx, op, []any{&due},
		`SELECT EXISTS (SELECT 1 FROM crosstie_jobs WHERE service = ? AND call_us > 0 AND call_us <= ?)`, c.Service, micros(time.Now()))
	if err != nil || due == 0 {
		return nil, err
	}
	err = s.d.write(ctx, op, func(w *writer) error {
		out = nil
		now := w.now()
		var seqs []int64
		err := w.query(func(rows *sql.Rows) error {
			var call remoteinvoke.Call
			var n, seq int64
			var err error
			call.Record, seq, err = scanJob(rows.Scan, &n, &call.Attempt)
			call.Attempt++
			call.Epoch = jobEpoch(seq, n+1)
			out, seqs = append(out, call), append(seqs, seq)
			return err
		}, selectDueCalls, c.Service, micros(now), c.Max)
		if err != nil {
			return err
		}
		return w.d.inChunks(`UPDATE crosstie_jobs SET call_epoch = call_epoch + 1, call_attempt = call_attempt + 1, call_held = 1,
			call_us = ? WHERE seq IN (%s)`, seqs, func(q string, args []any) error {
			_, err := w.exec(q, append([]any{microsUp(now.Add(c.Lease))}, args...)...)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

const selectDueCalls = `SELECT seq, service, caller, id, sum, state, version, attempt, done, total, note, code, message,
	deadline_us, created_us, updated_us, gone, callback, call_epoch, call_attempt
	FROM crosstie_jobs WHERE service = ? AND call_us > 0 AND call_us <= ? ORDER BY call_us, seq LIMIT ?`

// Called implements [remoteinvoke.Store].
func (s jobStore) Called(ctx context.Context, _ remoteinvoke.Key, epoch int64, again time.Duration) error {
	seq, n := seqOf(epoch)
	return s.d.write(ctx, "job called", func(w *writer) error {
		due := int64(0)
		if again > 0 {
			due = microsUp(w.now().Add(again))
		}
		return heldJob(w.changed(`UPDATE crosstie_jobs SET call_us = ?, call_held = 0 WHERE seq = ? AND call_epoch = ? AND call_held = 1`, due, seq, n))
	})
}

// heldJob turns "no row had this epoch" into ErrLost.
func heldJob(changed int64, err error) error {
	if err == nil && changed == 0 {
		return refused("job update", remoteinvoke.ErrLost)
	}
	return err
}

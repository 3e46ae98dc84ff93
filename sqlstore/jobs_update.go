package sqlstore

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/crosstie/crosstie/remoteinvoke"
)

// A jobUpdate is one update on its way, and what became of it.
type jobUpdate struct {
	epoch int64
	remoteinvoke.Update
	state remoteinvoke.State
	err   error
}

// Update implements [remoteinvoke.Store].
func (s jobStore) Update(ctx context.Context, _ remoteinvoke.Key, epoch int64, u remoteinvoke.Update) (remoteinvoke.State, error) {
	own := &jobUpdate{epoch: epoch, Update: u}
	own.Saved, own.Output = bytes.Clone(u.Saved), bytes.Clone(u.Output) // a caller who leaves early may change them
	if u.Progress != nil {
		p := *u.Progress
		own.Progress = &p
	}
	if err := s.d.jobs.update.do(ctx, own); err != nil {
		return "", err
	}
	return own.state, own.err
}

// UpdateTx implements [remoteinvoke.TxStore].
func (s jobStore) UpdateTx(ctx context.Context, tx *sql.Tx, _ remoteinvoke.Key, epoch int64, u remoteinvoke.Update) (remoteinvoke.State, error) {
	const op = "job update"
	w, err := s.d.join(ctx, op, tx)
	if err != nil {
		return "", err
	}
	own := &jobUpdate{epoch: epoch, Update: u}
	if err := s.d.jobs.updateAll(w, []*jobUpdate{own}); err != nil {
		return "", joined(op, err)
	}
	return own.state, own.err
}

func (s *jobState) updateAll(w *writer, us []*jobUpdate) error {
	for _, u := range us {
		u.state, u.err = "", nil
		if err := s.updateOne(w, u); err != nil {
			return err
		}
	}
	return nil
}

// ownedJob is true of the row whose claim still holds.
const ownedJob = ` WHERE seq = ? AND epoch = ? AND held = 1 AND state < 3`

func (s *jobState) updateOne(w *writer, u *jobUpdate) error {
	seq, n := seqOf(u.epoch)
	now := w.now()
	us := micros(now)
	if u.Verdict == remoteinvoke.End {
		return s.end(w, u, now)
	}
	q, args := `UPDATE crosstie_jobs SET due_us = max(due_us, ?1)`, []any{microsUp(now.Add(u.Lease))}
	bump := `0`
	switch u.Verdict {
	case remoteinvoke.Again:
		q, args = `UPDATE crosstie_jobs SET held = 0, owner = '', due_us = ?1`, []any{microsUp(now.Add(u.After))}
	case remoteinvoke.HandBack:
		q, args = `UPDATE crosstie_jobs SET held = 0, owner = '', attempt = attempt - 1, due_us = ?1`, []any{us}
		bump = `1`
	}
	args = append(args, us)
	if p := u.Progress; p != nil {
		// The old values stand on the right of each SET.
		bump += ` OR ?3 > done OR ?4 > total OR ?3 = done AND ?5 <> note`
		q += `, done = max(done, ?3), total = max(total, ?4), note = CASE WHEN ?3 < done THEN note ELSE ?5 END`
		args = append(args, p.Done, p.Total, p.Note)
	}
	q += `, version = version + (` + bump + `), updated_us = CASE WHEN ` + bump + ` THEN ?2 ELSE updated_us END`
	var state int
	err := w.row(q+ownedJob+` RETURNING state`, append(args, seq, n)...).Scan(&state)
	if errors.Is(err, sql.ErrNoRows) {
		u.err = refused("job update", remoteinvoke.ErrLost)
		return nil
	}
	if err != nil {
		return err
	}
	u.state = states[state]
	if err := saveJob(w, seq, u.Saved); err != nil {
		return err
	}
	switch {
	case u.Verdict == remoteinvoke.Extend:
	case state == jobCanceling:
		u.state = remoteinvoke.Canceled
		return s.endJob(w, seq, now, jobCanceled, nil)
	case u.Verdict == remoteinvoke.HandBack:
		s.ringBy(w)
	}
	return nil
}

func saveJob(w *writer, seq int64, saved []byte) error {
	if saved == nil {
		return nil
	}
	_, err := w.exec(`INSERT OR REPLACE INTO crosstie_job_data (pos, data) VALUES (?, ?)`, seq*4+jobSaved, saved)
	return err
}

// end ends a job for its holder.
func (s *jobState) end(w *writer, u *jobUpdate, now time.Time) error {
	seq, n := seqOf(u.epoch)
	state := jobDone
	for i, st := range states {
		if st == u.State {
			state = i
		}
	}
	p := u.Progress
	var done, total, note any // NULL leaves the column as it is
	if p != nil {
		done, total, note = p.Done, p.Total, p.Note
	}
	code, message := failureColumns(u.Failure)
	us := micros(now)
	var called bool
	err := w.row(`UPDATE crosstie_jobs SET state = ?, version = version + 1, held = 0, owner = '', updated_us = ?, ended_us = ?, look_us = max(? + keep, 1),
		call_us = CASE callback WHEN '' THEN 0 ELSE ? END, code = ?, message = ?,
		done = max(done, coalesce(?, done)), total = max(total, coalesce(?, total)),
		note = CASE WHEN ? < done THEN note ELSE coalesce(?, note) END`+ownedJob+` RETURNING callback <> ''`,
		state, us, us, us, us, code, message, done, total, done, note, seq, n).Scan(&called)
	if errors.Is(err, sql.ErrNoRows) {
		u.err = refused("job update", remoteinvoke.ErrLost)
		return nil
	}
	if err != nil {
		return err
	}
	if called {
		s.ringBy(w)
	}
	u.state = states[state]
	if u.Output == nil {
		return nil
	}
	_, err = w.exec(`INSERT OR REPLACE INTO crosstie_job_data (pos, data) VALUES (?, ?)`, seq*4+jobOutput, u.Output)
	return err
}

func failureColumns(f *remoteinvoke.Failure) (code, message any) {
	if f == nil {
		return nil, nil
	}
	return f.Code, f.Message
}

// endJob ends a job that nobody holds.
func (s *jobState) endJob(w *writer, seq int64, now time.Time, state int, f *remoteinvoke.Failure) error {
	code, message := failureColumns(f)
	us := micros(now)
	_, err := w.exec(`UPDATE crosstie_jobs SET state = ?, version = version + 1, held = 0, owner = '', updated_us = ?, ended_us = ?, look_us = max(? + keep, 1),
		call_us = CASE callback WHEN '' THEN 0 ELSE ? END, code = ?, message = ? WHERE seq = ?`,
		state, us, us, us, us, code, message, seq)
	if err == nil {
		s.ringBy(w)
	}
	return err
}

// Cancel implements [remoteinvoke.Store].
func (s jobStore) Cancel(ctx context.Context, k remoteinvoke.Key) (r remoteinvoke.Record, err error) {
	const byKey = ` WHERE service = ? AND caller = ? AND id = ?`
	err = s.d.write(ctx, "job cancel", func(w *writer) error {
		var seq int64
		var held bool
		err := w.row(`SELECT seq, held FROM crosstie_jobs`+byKey+` AND state < 2`, k.Service, k.Caller, k.ID).Scan(&seq, &held)
		switch {
		case errors.Is(err, sql.ErrNoRows):
		case err != nil:
			return err
		case held:
			_, err = w.exec(`UPDATE crosstie_jobs SET state = 2, version = version + 1, updated_us = ? WHERE seq = ?`, micros(w.now()), seq)
		default:
			err = s.d.jobs.endJob(w, seq, w.now(), jobCanceled, nil)
		}
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		r, _, err = scanJob(w.row(selectJob+byKey, k.Service, k.Caller, k.ID).Scan)
		if errors.Is(err, sql.ErrNoRows) {
			return refused("job cancel", remoteinvoke.ErrNotFound)
		}
		return err
	})
	return r, err
}

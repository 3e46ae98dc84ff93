package sqlstore

import (
	"context"
	"database/sql"
	"time"

	"github.com/crosstie/crosstie/remoteinvoke"
)

// lookJob is true of a job whose time has come at ?2. One that is held is its
// holder's to end, and one whose callback is not settled is not forgotten.
const lookJob = ` WHERE service = ?1 AND look_us > 0 AND look_us <= ?2
	AND (CASE WHEN state < 3 THEN held = 0 OR due_us <= ?2 ELSE gone = 0 OR call_us = 0 END)`

// Sweep implements [remoteinvoke.Store].
func (s jobStore) Sweep(ctx context.Context, service string, most int) (n int, err error) {
	const op = "job sweep"
	if most <= 0 {
		return 0, nil
	}
	var due int
	err = s.d.readRow(ctx, op, []any{&due}, `SELECT EXISTS (SELECT 1 FROM crosstie_jobs`+lookJob+`)`, service, micros(time.Now()))
	if err != nil || due == 0 {
		return 0, err
	}
	err = s.d.write(ctx, op, func(w *writer) error {
		n, err = s.d.jobs.sweep(w, service, most)
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// An aged is a job whose time has come.
type aged struct {
	seq             int64
	state           int
	gone            bool
	startBy, limit  int64
	ended, remember int64
}

func (s *jobState) sweep(w *writer, service string, most int) (int, error) {
	now := w.now()
	us := micros(now)
	var jobs []aged
	err := w.query(func(rows *sql.Rows) error {
		var a aged
		err := rows.Scan(&a.seq, &a.state, &a.gone, &a.startBy, &a.limit, &a.ended, &a.remember)
		jobs = append(jobs, a)
		return err
	}, `SELECT seq, state, gone, start_by_us, deadline_us, ended_us, remember FROM crosstie_jobs`+lookJob+` ORDER BY look_us LIMIT ?3`,
		service, us, min(most, forgetPage))
	if err != nil {
		return 0, err
	}
	for _, a := range jobs {
		switch {
		case a.state == jobCanceling:
			err = s.endJob(w, a.seq, now, jobCanceled, nil)
		case a.state < jobDone && a.limit > 0 && a.limit <= us:
			err = s.endJob(w, a.seq, now, jobFailed, remoteinvoke.Overdue(remoteinvoke.CodeTimeout))
		case a.state < jobDone:
			err = s.endJob(w, a.seq, now, jobFailed, remoteinvoke.Overdue(remoteinvoke.CodeQueueTimeout))
		case !a.gone:
			if _, err = w.exec(`DELETE FROM crosstie_job_data WHERE pos >= ? AND pos < ?`, a.seq*4, a.seq*4+4); err == nil {
				_, err = w.exec(`UPDATE crosstie_jobs SET gone = 1, look_us = ? WHERE seq = ?`, max(a.ended+a.remember, 1), a.seq)
			}
		default:
			_, err = w.exec(`DELETE FROM crosstie_jobs WHERE seq = ?`, a.seq)
		}
		if err != nil {
			return 0, err
		}
	}
	return len(jobs), nil
}

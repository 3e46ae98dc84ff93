//go:build linux

package bench

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crosstie/crosstie/remoteinvoke"
	"github.com/crosstie/crosstie/sqlstore"
)

// BenchmarkJobAccept is remoteinvoke.Service.Start on SQLite from so many
// callers at once, beside a floor written by hand: two inserts a job, as many
// jobs a commit as there are callers.
func BenchmarkJobAccept(b *testing.B) {
	for _, callers := range []int{1, 8, 64, 256} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			dir := b.TempDir()
			s := service(store(b, pool(b, filepath.Join(dir, "ours.db"))), 1, new(atomic.Int64))
			floor := newJobsByHand(b, filepath.Join(dir, "floor.db"))
			takeTurns(b, max(callers*40, 400), "accepts/s", []work{
				{"ours", timed(func(n int) error { return start(s, callers, n) })},
				{"floor", timed(func(n int) error { floor.accept(n, callers); return nil })},
			})
			b.ReportMetric(syncs(b, dir), "fdatasync/s")
		})
	}
}

// BenchmarkJobFinish is remoteinvoke.Service.Run from a backlog to the ends of
// all: a claim, a function that does nothing, and its result durable, by how
// many run at once. The floor claims as many in one statement and ends them by
// an update and an insert each, in two commits a batch: it knows beforehand
// what shares a commit, renews no lease and looks for no cancel.
func BenchmarkJobFinish(b *testing.B) {
	for _, workers := range []int{16, 256, 1024} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			dir := b.TempDir()
			db := pool(b, filepath.Join(dir, "ours.db"))
			var returned atomic.Int64
			s := service(store(b, db), workers, &returned)
			floor := newJobsByHand(b, filepath.Join(dir, "floor.db"))
			takeTurns(b, max(workers*4, 1000), "finished/s", []work{
				{"ours", func(n int) (time.Duration, error) {
					if err := start(s, 256, n); err != nil {
						return 0, err
					}
					return finish(b, s, db, &returned, n)
				}},
				{"floor", func(n int) (time.Duration, error) {
					floor.accept(n, 1000)
					began := time.Now()
					floor.finish(n, workers)
					return time.Since(began), nil
				}},
			})
			b.ReportMetric(syncs(b, dir), "fdatasync/s")
		})
	}
}

// input is about 215 bytes of JSON.
var input = map[string]string{"from": strings.Repeat("a", 90), "to": strings.Repeat("b", 100)}

func service(d *sqlstore.DB, workers int, returned *atomic.Int64) *remoteinvoke.Service {
	return remoteinvoke.NewService("bench", d.Jobs(), func(context.Context, *remoteinvoke.Job, map[string]string) (string, error) {
		returned.Add(1)
		return "a short result", nil
	}, &remoteinvoke.ServiceOptions{Workers: workers, MaxPending: -1})
}

func start(s *remoteinvoke.Service, callers, n int) error {
	return atOnce(callers, n, func(int) error {
		_, err := s.Start(context.Background(), "", input, nil)
		return err
	})
}

// finish runs the service until n jobs have ended: that many functions have
// returned, and then the last results are written.
func finish(b *testing.B, s *remoteinvoke.Service, db *sql.DB, returned *atomic.Int64, n int) (time.Duration, error) {
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	ran := make(chan error, 1)
	returned.Store(0)
	began := time.Now()
	go func() { ran <- s.Run(ctx) }()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for left := 1; left > 0; <-tick.C {
		if returned.Load() < int64(n) {
			continue
		}
		if err := db.QueryRow(`SELECT count(*) FROM (SELECT 1 FROM crosstie_jobs WHERE service = 'bench' AND state < 3 LIMIT 1)`).Scan(&left); err != nil {
			return 0, err
		}
	}
	took := time.Since(began)
	cancel()
	return took, <-ran
}

type jobsByHand struct {
	*hand
	add, data, claim, end *sql.Stmt
	made                  int
	input, output, sum    []byte
}

func newJobsByHand(b *testing.B, path string) *jobsByHand {
	h := newHand(b, pool(b, path))
	sum := sha256.Sum256(nil)
	return &jobsByHand{
		hand: h,
		add: h.prepare(`INSERT INTO crosstie_jobs (service, caller, id, sum, state, version, attempt, done, total, note, epoch, owner, held, due_us, look_us,
			start_by_us, deadline_us, keep, remember, created_us, updated_us, ended_us, gone, callback, call_us, call_epoch, call_held, call_attempt)
			VALUES ('bench', '', ?, ?, 0, 1, 0, 0, 0, '', 0, '', 0, ?, ?, 0, ?, 1, 1, ?, ?, 0, 0, '', 0, 0, 0, 0)`),
		data: h.prepare(`INSERT INTO crosstie_job_data (pos, data) VALUES (?, ?)`),
		claim: h.prepare(`UPDATE crosstie_jobs SET state = 1, epoch = epoch + 1, held = 1, attempt = attempt + 1, version = version + 1, due_us = ?
			WHERE seq IN (SELECT seq FROM crosstie_jobs WHERE service = 'bench' AND state < 3 AND due_us <= ? ORDER BY due_us LIMIT ?) RETURNING seq`),
		end:    h.prepare(`UPDATE crosstie_jobs SET state = 3, held = 0, version = version + 1, look_us = ?, ended_us = ? WHERE seq = ? AND epoch = 1 AND held = 1`),
		input:  []byte(strings.Repeat("x", 215)),
		output: []byte(`"a short result"`),
		sum:    sum[:],
	}
}

func (j *jobsByHand) accept(n, batch int) {
	for n > 0 {
		j.exec(j.begin)
		for range min(batch, n) {
			j.made++
			id, err := j.exec(j.add, fmt.Sprintf("01234567-89ab-7def-8123-%012d", j.made), j.sum, 1000, 2000, 2000, 1000, 1000).LastInsertId()
			if err != nil {
				j.b.Fatal(err)
			}
			j.exec(j.data, id*4, j.input)
			n--
		}
		j.exec(j.commit)
	}
}

func (j *jobsByHand) finish(n, batch int) {
	for n > 0 {
		j.exec(j.begin)
		rows, err := j.claim.QueryContext(context.Background(), 5000, 1000, batch)
		if err != nil {
			j.b.Fatal(err)
		}
		var seqs []int64
		for rows.Next() {
			var seq int64
			if err := rows.Scan(&seq); err != nil {
				j.b.Fatal(err)
			}
			seqs = append(seqs, seq)
		}
		if err := rows.Close(); err != nil {
			j.b.Fatal(err)
		}
		j.exec(j.commit)
		if len(seqs) == 0 {
			j.b.Fatal("the floor found no job")
		}
		j.exec(j.begin)
		for _, seq := range seqs {
			j.exec(j.end, 9000, 3000, seq)
			j.exec(j.data, seq*4+2, j.output)
		}
		j.exec(j.commit)
		n -= len(seqs)
	}
}

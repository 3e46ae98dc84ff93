package sqlstore

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/crosstie/crosstie/internal/wake"
	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/remoteinvoke"
)

// Jobs returns the port of package remoteinvoke. Jobs started inside [DB.Tx]
// by StartTx, and state saved there by SaveTx, are part of its commit; services
// in this process hear of them at once.
func (d *DB) Jobs() remoteinvoke.TxStore {
	d.jobs.once.Do(func() {
		d.jobs.gauges = make(map[string]*gauge)
		d.jobs.add = newAppender(d, "job add", d.jobs.addAll)
		d.jobs.update = newAppender(d, "job update", d.jobs.updateAll)
	})
	return jobStore{d}
}

type jobStore struct{ d *DB }

// jobState is what all job stores of a DB share.
type jobState struct {
	once   sync.Once
	bell   wake.Bell
	add    *appender[*jobAdd]
	update *appender[*jobUpdate]

	mu     sync.Mutex // guards gauges
	gauges map[string]*gauge
}

// ringBy rings the bell when w's transaction is durable, as far as anybody
// tells us.
func (s *jobState) ringBy(w *writer) {
	if !w.onCommit(s.bell.Ring) {
		s.bell.RingFor(time.Second)
	}
}

// states are the values of the column state.
var states = [...]remoteinvoke.State{
	remoteinvoke.Queued, remoteinvoke.Running, remoteinvoke.Canceling,
	remoteinvoke.Done, remoteinvoke.Failed, remoteinvoke.Canceled,
}

const (
	jobQueued = iota
	jobRunning
	jobCanceling
	jobDone
	jobFailed
	jobCanceled
)

// What a job's rows of crosstie_job_data hold, added to four times its seq.
const (
	jobInput = iota
	jobSaved
	jobOutput
)

// An epoch, as holders know it, has the job's seq above these bits and the
// claim's number below: it finds its row, and is no other job's.
const epochBits = 24

func jobEpoch(seq, n int64) int64 { return seq<<epochBits | n }

func seqOf(epoch int64) (seq, n int64) { return epoch >> epochBits, epoch & (1<<epochBits - 1) }

// Added implements [remoteinvoke.Store].
func (s jobStore) Added() <-chan struct{} { return s.d.jobs.bell.Listen() }

// Wake implements [remoteinvoke.TxStore].
func (s jobStore) Wake() { s.d.jobs.bell.Ring() }

// A jobAdd is one job on its way in, and what became of it.
type jobAdd struct {
	remoteinvoke.Entry
	record remoteinvoke.Record
	added  bool
	err    error
}

const countJobs = `SELECT count(*) FROM (SELECT 1 FROM crosstie_jobs WHERE service = ? AND state < 3 LIMIT ?)`

func (s *jobState) gauge(service string) *gauge {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.gauges[service]
	if g == nil {
		g = &gauge{}
		s.gauges[service] = g
	}
	return g
}

// Add implements [remoteinvoke.Store].
func (s jobStore) Add(ctx context.Context, e remoteinvoke.Entry, limit int64) (remoteinvoke.Record, bool, error) {
	const op = "job add"
	if s.d.inside(ctx) != nil {
		return remoteinvoke.Record{}, false, &Error{Op: op, Known: outcome.NotSent, Err: fmt.Errorf("%w: call StartTx", ErrInTx)}
	}
	err := s.d.jobs.gauge(e.Service).room(limit, remoteinvoke.ErrFull, func(most int64) (n int64, err error) {
		err = s.d.readRow(ctx, op, []any{&n}, countJobs, e.Service, most)
		return n, err
	})
	if errors.Is(err, remoteinvoke.ErrFull) {
		// One that is there already takes no room.
		r, lerr := s.Load(ctx, e.Key)
		if errors.Is(lerr, remoteinvoke.ErrNotFound) {
			return r, false, err
		}
		if lerr == nil && r.Sum != e.Sum {
			lerr = remoteinvoke.ErrReused
		}
		return r, false, lerr
	}
	if err != nil {
		return remoteinvoke.Record{}, false, err
	}
	a := &jobAdd{Entry: e}
	a.Input = bytes.Clone(e.Input) // a caller who leaves early may change it
	if err := s.d.jobs.add.do(ctx, a); err != nil {
		return remoteinvoke.Record{}, false, err
	}
	return a.record, a.added, a.err
}

// AddTx implements [remoteinvoke.TxStore].
func (s jobStore) AddTx(ctx context.Context, tx *sql.Tx, e remoteinvoke.Entry, limit int64) (remoteinvoke.Record, bool, error) {
	const op = "job add"
	if tx == nil {
		return remoteinvoke.Record{}, false, &Error{Op: op, Known: outcome.NotSent, Err: remoteinvoke.ErrNoTx}
	}
	w, err := s.d.join(ctx, op, tx)
	if err != nil {
		return remoteinvoke.Record{}, false, err
	}
	// A deferred transaction that reads before it writes may find that it
	// cannot write any more.
	if _, err := w.exec(lock); err != nil {
		return remoteinvoke.Record{}, false, joined(op, err)
	}
	if a := (&jobAdd{Entry: e}); s.d.jobs.known(w, a) {
		return a.record, false, a.err
	}
	err = s.d.jobs.gauge(e.Service).room(limit, remoteinvoke.ErrFull, func(most int64) (n int64, err error) {
		return n, joined(op, w.row(countJobs, e.Service, most).Scan(&n))
	})
	if err != nil {
		return remoteinvoke.Record{}, false, err
	}
	// All or nothing, also for a caller who goes on after an error: a job
	// without its input could not run.
	if _, err := w.exec(`SAVEPOINT crosstie_start`); err != nil {
		return remoteinvoke.Record{}, false, joined(op, err)
	}
	a := &jobAdd{Entry: e}
	err = s.d.jobs.addAll(w, []*jobAdd{a})
	if err != nil {
		if _, rerr := w.exec(`ROLLBACK TO crosstie_start`); rerr != nil {
			return remoteinvoke.Record{}, false, joined(op, errors.Join(err, rerr))
		}
	}
	if _, rerr := w.exec(`RELEASE crosstie_start`); rerr != nil && err == nil {
		err = rerr
	}
	if err != nil {
		return remoteinvoke.Record{}, false, joined(op, err)
	}
	return a.record, a.added, a.err
}

// known fills a from the job of its key, if there is one.
func (s *jobState) known(w *writer, a *jobAdd) bool {
	r, _, err := scanJob(w.row(selectJob+` WHERE service = ? AND caller = ? AND id = ?`, a.Service, a.Caller, a.ID).Scan)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return false
	case err == nil && r.Sum != a.Sum:
		err = remoteinvoke.ErrReused
	}
	a.record, a.added, a.err = r, false, err
	return true
}

const insertJob = `INSERT INTO crosstie_jobs (service, caller, id, sum, state, version, attempt, done, total, note, epoch, owner, held,
	due_us, look_us, start_by_us, deadline_us, keep, remember, created_us, updated_us, ended_us, gone, callback, call_us, call_epoch, call_held, call_attempt)
	VALUES (?, ?, ?, ?, 0, 1, 0, 0, 0, '', 0, '', 0, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, ?, 0, 0, 0, 0) ON CONFLICT DO NOTHING`

// addAll adds jobs that are not there.
func (s *jobState) addAll(w *writer, as []*jobAdd) error {
	now := w.now()
	us := micros(now)
	type input struct {
		seq  int64
		data []byte
	}
	inputs := make([]input, 0, len(as))
	counts := map[string]int{}
	for _, a := range as {
		a.record, a.added, a.err = remoteinvoke.Record{}, false, nil
		startBy, deadline := after(now, a.StartBy), after(now, a.Timeout)
		look := deadline
		if startBy > 0 && (look == 0 || startBy < look) {
			look = startBy
		}
		res, err := w.exec(insertJob, a.Service, a.Caller, a.ID, a.Sum[:], us, look, startBy, deadline,
			a.KeepResult.Microseconds(), a.Remember.Microseconds(), us, us, a.Callback)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if err != nil {
			return err
		}
		if n == 0 {
			if !s.known(w, a) {
				return errors.New("a job is neither there nor can be added")
			}
			if a.err != nil && !errors.Is(a.err, remoteinvoke.ErrReused) {
				return a.err
			}
			continue
		}
		seq, err := res.LastInsertId()
		if err != nil {
			return err
		}
		inputs = append(inputs, input{seq, a.Input})
		counts[a.Service]++
		a.added = true
		at := fromMicros(us)
		a.record = remoteinvoke.Record{
			Service: a.Service, Caller: a.Caller, Callback: a.Callback, Sum: a.Sum,
			Status: remoteinvoke.Status{
				ID: a.ID, State: remoteinvoke.Queued, Version: 1, Created: at, Updated: at, Deadline: fromMicros(deadline),
			},
		}
	}
	if len(inputs) == 0 {
		return nil
	}
	err := w.insert(`INSERT INTO crosstie_job_data (pos, data)`, "", 2, len(inputs), func(i int, to []any) []any {
		return append(to, inputs[i].seq*4+jobInput, blob(inputs[i].data))
	})
	if err != nil {
		return err
	}
	count := func() {
		for service, n := range counts {
			s.gauge(service).added(n)
		}
	}
	if !w.onCommit(func() { count(); s.bell.Ring() }) {
		count()
		s.bell.RingFor(time.Second)
	}
	return nil
}

// after is the column for d from now on, 0 where there is no limit.
func after(now time.Time, d time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	return micros(now) + d.Microseconds()
}

const selectJob = `SELECT seq, service, caller, id, sum, state, version, attempt, done, total, note, code, message,
	deadline_us, created_us, updated_us, gone, callback FROM crosstie_jobs`

// scanJob reads the columns of selectJob, and more.
func scanJob(scan func(...any) error, more ...any) (r remoteinvoke.Record, seq int64, err error) {
	var sum []byte
	var state int
	var code, message sql.NullString
	var deadline, created, updated int64
	to := append([]any{&seq, &r.Service, &r.Caller, &r.ID, &sum, &state, &r.Version, &r.Attempt, &r.Progress.Done, &r.Progress.Total, &r.Progress.Note,
		&code, &message, &deadline, &created, &updated, &r.Gone, &r.Callback}, more...)
	if err := scan(to...); err != nil {
		return remoteinvoke.Record{}, 0, err
	}
	if state < 0 || state >= len(states) || len(sum) != len(r.Sum) {
		return r, 0, fmt.Errorf("%w: a row of jobs that no version of this library writes", ErrSchema)
	}
	r.State, r.Sum = states[state], [32]byte(sum)
	if code.Valid {
		r.Failure = &remoteinvoke.Failure{Code: code.String, Message: message.String}
	}
	r.Deadline, r.Created, r.Updated = fromMicros(deadline), fromMicros(created), fromMicros(updated)
	return r, seq, nil
}

// Load implements [remoteinvoke.Store].
func (s jobStore) Load(ctx context.Context, k remoteinvoke.Key) (r remoteinvoke.Record, err error) {
	found := false
	err = s.d.read(ctx, "job load", func(rows *sql.Rows) error {
		found = true
		r, _, err = scanJob(rows.Scan)
		return err
	}, selectJob+` WHERE service = ? AND caller = ? AND id = ? LIMIT 1`, k.Service, k.Caller, k.ID)
	if err == nil && !found {
		err = remoteinvoke.ErrNotFound
	}
	return r, err
}

// Result implements [remoteinvoke.Store].
func (s jobStore) Result(ctx context.Context, k remoteinvoke.Key) (r remoteinvoke.Record, output []byte, err error) {
	found := false
	err = s.d.read(ctx, "job result", func(rows *sql.Rows) error {
		found = true
		r, _, err = scanJob(rows.Scan, &output)
		return err
	}, selectJobOutput+` WHERE service = ? AND caller = ? AND id = ? LIMIT 1`, k.Service, k.Caller, k.ID)
	if err == nil && !found {
		err = remoteinvoke.ErrNotFound
	}
	return r, output, err
}

const selectJobOutput = `SELECT seq, service, caller, id, sum, state, version, attempt, done, total, note, code, message,
	deadline_us, created_us, updated_us, gone, callback,
	(SELECT data FROM crosstie_job_data WHERE pos = seq * 4 + 2) FROM crosstie_jobs`

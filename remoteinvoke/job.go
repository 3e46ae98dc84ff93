package remoteinvoke

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/crosstie/crosstie/internal/lease"
)

// A Job is one attempt at a job, as its function sees it. Its methods are safe
// for concurrent use, and refuse to write when the function has returned.
type Job struct {
	s    *Service
	t    Task
	stop context.CancelCauseFunc // ends the function's context

	dirty   chan struct{} // tells the writer that there is a progress to write
	write   sync.Once     // starts the writer
	held    context.Context
	writers sync.WaitGroup

	mu       sync.Mutex // guards what follows
	progress Progress
	pending  bool // progress is not written
	saved    []byte
	asked    bool // to cancel
	over     bool // the function has returned
}

// ID returns the job's id.
func (j *Job) ID() string { return j.t.ID }

// Caller returns the name of who started the job.
func (j *Job) Caller() string { return j.t.Caller }

// Attempt returns how often the job was begun, this time included.
func (j *Job) Attempt() int { return j.t.Attempt }

// Saved decodes into v what the job saved last, in this attempt or an earlier
// one, and reports whether there was anything. v stays as it is if there was
// not.
func (j *Job) Saved(v any) (bool, error) {
	j.mu.Lock()
	saved := j.saved
	j.mu.Unlock()
	if saved == nil {
		return false, nil
	}
	if err := json.Unmarshal(saved, v); err != nil {
		return true, failed("save", j.t.ID, fmt.Errorf("what an earlier attempt saved does not decode: %w", err))
	}
	return true, nil
}

// Save keeps v, as JSON, in place of what was saved before, together with the
// progress reported last. When it returns nil both are durable, and an attempt
// after a crash begins with them. It returns an error that wraps [ErrLost] when
// the job has passed to another process: return then. Save costs a durable
// write; save when repeating the work since costs more.
func (j *Job) Save(ctx context.Context, v any) error {
	return j.save(v, true, func(u Update) (State, error) { return j.s.store.Update(ctx, j.t.Key(), j.t.Epoch, u) })
}

// SaveTx is [Job.Save] inside tx, so that effects of the job and the state
// that knows of them are committed together: when an attempt dies, the next
// one neither repeats nor misses them. If it returns an error tx must be
// rolled back. Until tx has committed, Saved has already the new state: after
// a rollback, save again or return an error. The store must be in the database
// of tx; else the error is [ErrNoTx].
func (j *Job) SaveTx(ctx context.Context, tx *sql.Tx, v any) error {
	return j.save(v, false, func(u Update) (State, error) {
		store, ok := j.s.store.(TxStore)
		if !ok || tx == nil {
			return "", ErrNoTx
		}
		return store.UpdateTx(ctx, tx, j.t.Key(), j.t.Epoch, u)
	})
}

func (j *Job) save(v any, durable bool, update func(Update) (State, error)) error {
	b, err := json.Marshal(v)
	if err != nil {
		return failed("save", j.t.ID, invalid("the state is no JSON: %v", err))
	}
	if len(b) > j.s.o.MaxSaved {
		return failed("save", j.t.ID, tooLarge("the state", len(b), j.s.o.MaxSaved))
	}
	j.mu.Lock()
	p, over := j.progress, j.over
	j.mu.Unlock()
	if over {
		return failed("save", j.t.ID, ErrLost)
	}
	st, err := update(Update{Lease: j.s.o.Lease, Progress: &p, Saved: b})
	if err != nil {
		if errors.Is(err, ErrLost) {
			j.stop(ErrLost)
		}
		return failed("save", j.t.ID, err)
	}
	j.mu.Lock()
	j.saved = b
	// A transaction that is rolled back takes the progress with it.
	j.pending = j.pending && !(durable && p == j.progress)
	j.mu.Unlock()
	j.seen(st)
	return nil
}

// Report says how far the job has come: done of total, zero if that is not
// known, and a note for people, which is cut at 256 bytes. It does not wait:
// callers see it within a second, and the latest of several. A done that is
// smaller than one reported before, also by an earlier attempt, shows as that
// one.
func (j *Job) Report(done, total int64, note string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	p := Progress{Done: done, Total: total, Note: note}.ahead(j.progress)
	if p == j.progress || j.over {
		return
	}
	j.progress, j.pending = p, true
	j.write.Do(func() { j.writers.Go(j.writeReports) })
	select {
	case j.dirty <- struct{}{}:
	default:
	}
}

// reportEvery is how often the store is told of progress.
const reportEvery = time.Second

// writeReports writes what was reported, until the job is not held any more.
func (j *Job) writeReports() {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-j.held.Done():
			return
		case <-j.dirty:
		}
		select {
		case <-j.held.Done():
			return
		case <-t.C:
		}
		_ = j.renew(j.held) // the next beat, or the end, tells it again
		t.Reset(reportEvery)
	}
}

// renew extends the lease and writes the progress.
func (j *Job) renew(ctx context.Context) error {
	j.mu.Lock()
	u := Update{Lease: j.s.o.Lease}
	p, pending := j.progress, j.pending
	if pending {
		u.Progress = &p
	}
	j.mu.Unlock()
	st, err := j.s.store.Update(ctx, j.t.Key(), j.t.Epoch, u)
	switch {
	case errors.Is(err, ErrLost):
		j.stop(ErrLost)
		return fmt.Errorf("%w: %w", lease.ErrLost, err)
	case err != nil:
		j.s.o.Logger.Warn("job_extend_failed", "service", j.s.name, "id", j.t.ID, "error", err)
		return err
	}
	j.mu.Lock()
	if pending { // a save may have overtaken us, and then our note is kept
		j.pending = p != j.progress
	}
	j.mu.Unlock()
	j.seen(st)
	return nil
}

// seen takes notice of the state the store has.
func (j *Job) seen(st State) {
	if st == Canceling {
		j.cancel(ErrCanceled)
	}
}

// cancel asks the function to stop.
func (j *Job) cancel(cause error) {
	j.mu.Lock()
	j.asked = j.asked || cause == ErrCanceled
	j.mu.Unlock()
	j.stop(cause)
}

// end closes the job for its function, and returns the last progress and
// whether it was asked to cancel.
func (j *Job) end() (p *Progress, asked bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.over = true
	if j.pending {
		c := j.progress
		p = &c
	}
	return p, j.asked
}

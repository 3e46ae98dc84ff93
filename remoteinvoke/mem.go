package remoteinvoke

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/crosstie/crosstie/internal/lease"
	"github.com/crosstie/crosstie/internal/wake"
)

// NewMem returns a store in memory, for tests and for jobs that need not
// survive the process. It has no transactions: StartTx and SaveTx answer
// [ErrNoTx].
func NewMem() Store { return &mem{jobs: map[Key]*memJob{}, live: map[string]map[*memJob]struct{}{}} }

// mem is the twin of the SQL stores: one mutex stands for their transaction.
type mem struct {
	bell wake.Bell

	mu   sync.Mutex // guards all below
	seq  int64
	jobs map[Key]*memJob
	live map[string]map[*memJob]struct{} // by service: those that have not ended
}

type memJob struct {
	Record
	seq          int64
	input, saved []byte
	output       []byte
	lease        lease.Lease
	due          time.Time // for the next attempt, while nobody holds it
	startBy      time.Time
	keep, forget time.Duration
	ended        time.Time
	callDue      time.Time // zero: there is none, or it is settled
	callLease    lease.Lease
	callAttempt  int
}

// now is a store's clock, in the precision that databases keep.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// Added implements Store.
func (m *mem) Added() <-chan struct{} { return m.bell.Listen() }

// Wake makes the services of this process look now.
func (m *mem) Wake() { m.bell.Ring() }

// Add implements Store.
func (m *mem) Add(ctx context.Context, e Entry, limit int64) (Record, bool, error) {
	if err := context.Cause(ctx); err != nil {
		return Record{}, false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if j := m.jobs[e.Key]; j != nil {
		if j.Sum != e.Sum {
			return Record{}, false, ErrReused
		}
		return j.record(), false, nil
	}
	live := m.live[e.Service]
	if limit > 0 && int64(len(live)) >= limit {
		return Record{}, false, ErrFull
	}
	if live == nil {
		live = map[*memJob]struct{}{}
		m.live[e.Service] = live
	}
	m.seq++
	at := now()
	j := &memJob{
		Record: Record{
			Service: e.Service, Caller: e.Caller, Callback: e.Callback, Sum: e.Sum,
			Status: Status{ID: e.ID, State: Queued, Version: 1, Created: at, Updated: at},
		},
		seq: m.seq, input: bytes.Clone(e.Input), due: at, keep: e.KeepResult, forget: e.Remember,
	}
	// An id may be used again when it is forgotten, but no epoch.
	j.lease.Epoch, j.callLease.Epoch = m.seq<<24, m.seq<<24
	if e.Timeout > 0 {
		j.Deadline = at.Add(e.Timeout)
	}
	if e.StartBy > 0 {
		j.startBy = at.Add(e.StartBy)
	}
	m.jobs[e.Key] = j
	live[j] = struct{}{}
	m.bell.Ring()
	return j.record(), true, nil
}

func (j *memJob) record() Record {
	r := j.Record
	if r.Failure != nil {
		f := *r.Failure
		r.Failure = &f
	}
	return r
}

// changed notes a change that callers can see.
func (j *memJob) changed(at time.Time) {
	j.Version++
	j.Updated = at
}

// Load implements Store.
func (m *mem) Load(ctx context.Context, k Key) (Record, error) {
	r, _, err := m.Result(ctx, k)
	return r, err
}

// Result implements Store.
func (m *mem) Result(ctx context.Context, k Key) (Record, []byte, error) {
	if err := context.Cause(ctx); err != nil {
		return Record{}, nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	j := m.jobs[k]
	if j == nil {
		return Record{}, nil, ErrNotFound
	}
	return j.record(), bytes.Clone(j.output), nil
}

// overdue says why a job must not begin or go on, or nothing.
func (j *memJob) overdue(at time.Time) string {
	switch {
	case !j.Deadline.IsZero() && !at.Before(j.Deadline):
		return CodeTimeout
	case j.State == Queued && !j.startBy.IsZero() && !at.Before(j.startBy):
		return CodeQueueTimeout
	}
	return ""
}

// Claim implements Store.
func (m *mem) Claim(ctx context.Context, c Claim) ([]Task, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	at := now()
	var due []*memJob
	for j := range m.live[c.Service] {
		if !j.lease.Held(at) && !j.due.After(at) && j.overdue(at) == "" {
			due = append(due, j)
		}
	}
	slices.SortFunc(due, func(a, b *memJob) int {
		return cmp.Or(a.since().Compare(b.since()), cmp.Compare(a.seq, b.seq))
	})
	var out []Task
	for _, j := range due[:min(len(due), max(c.Max, 0))] {
		t := Task{Died: !j.lease.Until.IsZero()}
		j.lease, _ = j.lease.Claim(c.Owner, at, c.Lease)
		if j.State != Canceling {
			j.State = Running
			j.Attempt++
			j.changed(at)
		}
		t.Record, t.Epoch = j.record(), j.lease.Epoch
		t.Input, t.Saved = bytes.Clone(j.input), bytes.Clone(j.saved)
		out = append(out, t)
	}
	return out, nil
}

// since is when the job became due.
func (j *memJob) since() time.Time {
	if !j.lease.Until.IsZero() {
		return j.lease.Until
	}
	return j.due
}

// callSince is when the job's callback became due.
func (j *memJob) callSince() time.Time {
	if !j.callLease.Until.IsZero() {
		return j.callLease.Until
	}
	return j.callDue
}

// Update implements Store.
func (m *mem) Update(ctx context.Context, k Key, epoch int64, u Update) (State, error) {
	if err := context.Cause(ctx); err != nil {
		return "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	j := m.jobs[k]
	if j == nil || j.State.Terminal() || !j.lease.Owns(epoch) {
		return "", ErrLost
	}
	at := now()
	was := j.Record.Status
	if u.Progress != nil {
		p := *u.Progress
		if p.Done < j.Progress.Done {
			p.Note = j.Progress.Note
		}
		p.Done, p.Total = max(p.Done, j.Progress.Done), max(p.Total, j.Progress.Total)
		j.Progress = p
	}
	if u.Saved != nil {
		j.saved = bytes.Clone(u.Saved)
	}
	if u.Verdict == HandBack {
		j.Attempt--
	}
	if u.Verdict != End && (was.Progress != j.Progress || was.Attempt != j.Attempt) {
		j.changed(at)
	}
	switch u.Verdict {
	case Extend:
		j.lease, _ = j.lease.Renew(epoch, at, u.Lease)
	case Again, HandBack:
		j.lease, _ = j.lease.Release(epoch)
		j.due = at
		if u.Verdict == Again {
			j.due = at.Add(u.After)
		}
		if j.State == Canceling {
			m.end(j, at, Canceled, nil, nil)
		} else if u.Verdict == HandBack {
			m.bell.Ring()
		}
	case End:
		m.end(j, at, u.State, u.Output, u.Failure)
	}
	return j.State, nil
}

// end ends j and makes its callback due. m.mu is held.
func (m *mem) end(j *memJob, at time.Time, s State, output []byte, f *Failure) {
	j.State, j.output, j.ended = s, bytes.Clone(output), at
	if f != nil {
		c := *f
		j.Failure = &c
	}
	j.changed(at)
	j.lease.Until = time.Time{}
	delete(m.live[j.Service], j)
	if j.Callback != "" {
		j.callDue = at
		m.bell.Ring()
	}
}

// Cancel implements Store.
func (m *mem) Cancel(ctx context.Context, k Key) (Record, error) {
	if err := context.Cause(ctx); err != nil {
		return Record{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	j := m.jobs[k]
	if j == nil {
		return Record{}, ErrNotFound
	}
	switch {
	case j.State.Terminal(), j.State == Canceling:
	case j.lease.Until.IsZero():
		m.end(j, now(), Canceled, nil, nil)
	default:
		j.State = Canceling
		j.changed(now())
	}
	return j.record(), nil
}

// Calls implements Store.
func (m *mem) Calls(ctx context.Context, c Claim) ([]Call, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	at := now()
	var due []*memJob
	for _, j := range m.jobs {
		if j.Service == c.Service && !j.callDue.IsZero() && !j.callDue.After(at) && !j.callLease.Held(at) {
			due = append(due, j)
		}
	}
	slices.SortFunc(due, func(a, b *memJob) int {
		return cmp.Or(a.callSince().Compare(b.callSince()), cmp.Compare(a.seq, b.seq))
	})
	var out []Call
	for _, j := range due[:min(len(due), max(c.Max, 0))] {
		j.callLease, _ = j.callLease.Claim(c.Owner, at, c.Lease)
		j.callAttempt++
		out = append(out, Call{Record: j.record(), Attempt: j.callAttempt, Epoch: j.callLease.Epoch})
	}
	return out, nil
}

// Called implements Store.
func (m *mem) Called(ctx context.Context, k Key, epoch int64, again time.Duration) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	j := m.jobs[k]
	if j == nil || !j.callLease.Owns(epoch) {
		return ErrLost
	}
	j.callLease, _ = j.callLease.Release(epoch)
	j.callDue = time.Time{}
	if again > 0 {
		j.callDue = now().Add(again)
	}
	return nil
}

// Sweep implements Store.
func (m *mem) Sweep(ctx context.Context, service string, most int) (n int, err error) {
	if err := context.Cause(ctx); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	at := now()
	for k, j := range m.jobs {
		if n >= most {
			break
		}
		if k.Service == service && m.sweep(k, j, at) {
			n++
		}
	}
	return n, nil
}

// sweep does what is due about j, and reports whether there was anything.
// m.mu is held.
func (m *mem) sweep(k Key, j *memJob, at time.Time) bool {
	switch why := j.overdue(at); {
	case !j.State.Terminal():
		if why == "" || j.lease.Held(at) {
			return false
		}
		if j.State == Canceling {
			m.end(j, at, Canceled, nil, nil)
		} else {
			m.end(j, at, Failed, nil, Overdue(why))
		}
	case !j.Gone && !at.Before(j.ended.Add(j.keep)):
		j.Gone = true
		j.input, j.saved, j.output = nil, nil, nil
	case j.Gone && j.callDue.IsZero() && !at.Before(j.ended.Add(j.forget)):
		delete(m.jobs, k)
	default:
		return false
	}
	return true
}

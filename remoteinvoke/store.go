package remoteinvoke

import (
	"context"
	"database/sql"
	"time"
)

// A Store keeps jobs from the moment they are accepted until their ids need
// not be known any more. It is the port behind [Service]; most programs only
// pass one on.
//
// Everything below is safe for concurrent use, in one process and in many.
// Methods return raw errors and do not retry; callers do. No method keeps a
// slice it was given or later changes one it returned. Each call is one
// transaction: all of it or nothing. What is written is durable on return.
// The store's clock, not the caller's, decides what is due and which lease has
// run out.
//
// A job's version grows with every change of its state, attempt, progress or
// failure, and with nothing else. Whatever ends a job (Update, Cancel, Sweep)
// makes its callback due in the same step, if it has one.
type Store interface {
	// Add accepts a job. If one of its Key is there, that one is returned
	// when its Sum is the same, and else the error wraps [ErrReused]; added
	// says whether the job is new. If limit jobs of the service or more have
	// not ended the error wraps [ErrFull]; the count may be up to a second
	// old. A limit of zero is none.
	Add(ctx context.Context, e Entry, limit int64) (r Record, added bool, err error)
	// Load returns a job, or an error that wraps [ErrNotFound].
	Load(ctx context.Context, k Key) (Record, error)
	// Result is Load with the output, which is nil unless the job is done
	// and its result is kept.
	Result(ctx context.Context, k Key) (Record, []byte, error)
	// Claim leases up to c.Max jobs of c.Service for c.Lease, those due
	// longest first. A job is due when it has not ended, nobody holds it, and
	// what it waits for has come. A claim counts an attempt and makes a
	// queued job running; of one that is canceling it changes the epoch
	// alone. Jobs past their limits of time are left to Sweep.
	Claim(ctx context.Context, c Claim) ([]Task, error)
	// Update changes a job under the epoch of its claim, and returns its
	// state after. If the epoch is not the last one granted, or its claim was
	// given up or has ended the job, the error wraps [ErrLost] and nothing
	// changes. A lease that ran out is still its holder's until another
	// claims it.
	Update(ctx context.Context, k Key, epoch int64, u Update) (State, error)
	// Cancel asks a job to stop. One that nobody holds is canceled at once;
	// another becomes canceling; one that has ended stays as it is. It
	// returns the job as it is then, or an error that wraps [ErrNotFound].
	Cancel(ctx context.Context, k Key) (Record, error)
	// Calls leases up to c.Max callbacks that are due, for c.Lease. Each
	// claim counts an attempt of the callback.
	Calls(ctx context.Context, c Claim) ([]Call, error)
	// Called ends the claim of a callback: it is due again after again, or
	// settled if again is zero. Under an epoch that is not the last one the
	// error wraps [ErrLost]. The job's version does not grow.
	Called(ctx context.Context, k Key, epoch int64, again time.Duration) error
	// Sweep looks after up to max jobs of service whose time has come, and
	// returns how many there were. One that nobody holds and that is past
	// StartBy or Timeout is failed, with [CodeQueueTimeout] or [CodeTimeout].
	// One that has ended loses input, saved state and output after
	// KeepResult, when its Gone is set, and everything after Remember, but
	// not while its callback is unsettled.
	Sweep(ctx context.Context, service string, max int) (int, error)
	// Added returns a channel that is closed when jobs or callbacks may have
	// become due by what this process did. Take it before Claim and Calls,
	// and wait on it after.
	Added() <-chan struct{}
}

// A TxStore is a Store in a database that the caller's transactions reach.
type TxStore interface {
	Store
	// AddTx is Add inside tx: the job is accepted when tx commits.
	AddTx(ctx context.Context, tx *sql.Tx, e Entry, limit int64) (r Record, added bool, err error)
	// UpdateTx is Update inside tx.
	UpdateTx(ctx context.Context, tx *sql.Tx, k Key, epoch int64, u Update) (State, error)
	// Wake closes the channels of Added.
	Wake()
}

// A Key names a job: two callers may use one id.
type Key struct {
	Service, Caller, ID string
}

// An Entry is a job to accept. Durations count from the acceptance.
type Entry struct {
	Key
	Input []byte
	// Sum is a fingerprint of the input.
	Sum [32]byte
	// Callback is the URL to tell of the end; empty is none.
	Callback string
	// StartBy is how long the job may wait to begin, and Timeout how long it
	// may take in all. Zero is no limit.
	StartBy, Timeout time.Duration
	// KeepResult and Remember count from the job's end. Remember is not
	// shorter than KeepResult.
	KeepResult, Remember time.Duration
}

// A Record is a job as stores return it.
type Record struct {
	Service, Caller string
	Status
	Callback string
	// Sum is the fingerprint of the input.
	Sum [32]byte
}

// Key returns the name of the job.
func (r Record) Key() Key { return Key{r.Service, r.Caller, r.ID} }

// A Claim asks for work.
type Claim struct {
	Service string
	// Owner names the claimer, for people.
	Owner string
	// Lease is how long the claim lasts unless it is extended.
	Lease time.Duration
	// Max is how many to return.
	Max int
}

// A Task is a job that was claimed.
type Task struct {
	Record
	Input []byte
	// Saved is what the last Update that had a Saved saved, nil if none had.
	Saved []byte
	// Epoch is that of the claim: larger than that of each claim of the job
	// before, and no other job's.
	Epoch int64
	// Died says that the claim before this one ran out.
	Died bool
}

// A Call is a callback that was claimed.
type Call struct {
	Record
	// Attempt counts the claims of the callback, this one included.
	Attempt int
	Epoch   int64
}

// An Update is a change to a claimed job. Progress and Saved are kept as well,
// whatever the verdict, where they are not nil. Updates of one holder may
// overtake each other, and a progress never goes back: Done and Total become
// the larger of what is kept and what comes, and the Note of a smaller Done is
// not kept.
type Update struct {
	Verdict Verdict
	// Lease is the new length of the lease from now on, for Extend. A lease
	// is never shortened.
	Lease    time.Duration
	Progress *Progress
	Saved    []byte
	// After is how long the job waits for its next attempt, for Again.
	After time.Duration
	// State is how the job has ended, for End; Output and Failure belong to
	// Done and Failed.
	State   State
	Output  []byte
	Failure *Failure
}

// A Verdict says what becomes of a claimed job.
type Verdict int

const (
	// Extend goes on with the job.
	Extend Verdict = iota
	// Again ends the claim; the job is due again after Update.After. A job
	// that is canceling is canceled instead.
	Again
	// HandBack ends the claim as if it had not been: the attempt is not
	// counted, and the job due at once. A job that is canceling is canceled
	// instead.
	HandBack
	// End ends the job, in Update.State.
	End
)

// A CallbackStore keeps what callbacks said, for those who wait in this
// process or in others. It is the port behind [Callbacks]. It is safe for
// concurrent use, and what Put was told is durable when it returns.
type CallbackStore interface {
	// Put keeps st under k, unless what is kept is the same or newer, as
	// Status.Newer says; changed says whether it did.
	Put(ctx context.Context, k Key, st Status) (changed bool, err error)
	// Load returns what is kept under k, or an error that wraps
	// [ErrNotFound].
	Load(ctx context.Context, k Key) (Status, error)
	// Forget removes up to max statuses that were put before before, and
	// returns how many.
	Forget(ctx context.Context, before time.Time, max int) (int, error)
}

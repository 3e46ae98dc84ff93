package batchsync

import (
	"context"
	"errors"

	"github.com/crosstie/crosstie/retry"
)

// A JobSink is a Sink whose write is a job on the other side, which goes on
// when this process has died. What such a job does late must never overwrite
// what a later write brought, so the sink remembers each job in the checkpoint
// before it sends any data, and meets it there again.
//
// Run calls WriteJob instead of Write. If sink and checkpoint store share a
// database (see [TxSink]) it calls neither.
type JobSink[T any] interface {
	Sink[T]
	// WriteJob is Write with a memory.
	//
	// If job.Token is not empty, jobs that it names may still be at work: of
	// an earlier call that failed, or of a process that died. Before anything
	// of rows is sent, WriteJob brings each of them to an end, by waiting for
	// it or by aborting it. It may take what such a job says of a row as the
	// row's result if it knows that the job brought the same row.
	//
	// Before a job of this call can have an effect, WriteJob calls
	// job.Remember with a token that names it, and stops if that fails. When
	// WriteJob returns without an error no job that it knows of is at work; the
	// token is then forgotten with the next checkpoint. When it returns an
	// error the token stays, and comes back with the next call.
	WriteJob(ctx context.Context, job *Job, rows []Row[T]) ([]Result, error)
}

// A Job is the memory of a [JobSink]: one token in the checkpoint, under its
// lease. It belongs to one call of WriteJob. A nil Job remembers nothing.
type Job struct {
	token    string
	remember func(ctx context.Context, token string) error
}

// NewJob returns a Job with a token and a function that remembers, for tests
// of a JobSink and for calling one without a [Sync].
func NewJob(token string, remember func(ctx context.Context, token string) error) *Job {
	return &Job{token, remember}
}

// Token returns what was last remembered and not yet forgotten, or "".
func (j *Job) Token() string {
	if j == nil {
		return ""
	}
	return j.token
}

// Remember stores token durably in place of the one before. An error that
// wraps [ErrLost] says that another runner has taken over: what it will do
// with the token it found is its to decide, so this one must send nothing.
func (j *Job) Remember(ctx context.Context, token string) error {
	if j == nil {
		return nil
	}
	if j.remember != nil {
		if err := j.remember(ctx, token); err != nil {
			return err
		}
	}
	j.token = token
	return nil
}

// job returns the memory of one call of WriteJob.
func (r *run) job() *Job {
	return NewJob(r.saved.Token, func(ctx context.Context, token string) error {
		next := r.saved
		next.Token = token
		err := r.save(ctx, next, func(ctx context.Context) error {
			return r.sync.o.Checkpoints.Save(ctx, next, nil, r.sync.o.Lease)
		})
		if e, ok := errors.AsType[*Error](err); ok {
			// The write fails for it, and the write's attempts are no use.
			return retry.Permanent(e.Err)
		}
		return err
	})
}

// writer is how rows are written when they share no transaction with the
// checkpoint.
func writer[T any](r *run, dst Sink[T], jobs JobSink[T]) func(context.Context, []Row[T]) ([]Result, error) {
	if jobs == nil {
		return dst.Write
	}
	return func(ctx context.Context, rows []Row[T]) ([]Result, error) {
		results, err := jobs.WriteJob(ctx, r.job(), rows)
		if err == nil {
			r.saved.Token = "" // in the store with the next checkpoint
		}
		return results, err
	}
}

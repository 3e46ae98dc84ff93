package remoteinvoke

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/crosstie/crosstie/internal/lease"
	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/retry"
)

// work does one attempt at a claimed job.
func (sh *shift) work(t Task) {
	s := sh.s
	if t.Died {
		s.o.Logger.Warn("job_taken_over", "service", s.name, "id", t.ID, "attempt", t.Attempt)
	}
	if u, ok := sh.pay(t); ok {
		sh.settle(t, u)
		return
	}
	switch {
	case t.State == Canceling: // and whoever ran it is gone
		sh.settle(t, Update{Verdict: End, State: Canceled})
		return
	case t.Attempt > s.o.attempts():
		sh.settle(t, Update{Verdict: End, State: Failed, Failure: exhausted(t.Died)})
		return
	}
	fctx, stop := context.WithCancelCause(sh.base)
	defer stop(nil)
	j := &Job{s: s, t: t, stop: stop, dirty: make(chan struct{}, 1), progress: t.Progress, saved: t.Saved}
	// Not under fctx: a function that was told to stop still holds the job.
	held, release := lease.Keep(sh.base, s.o.Lease, j.renew)
	j.held = held
	context.AfterFunc(held, func() { stop(ErrLost) }) // the first cause counts
	sh.enter(j, stop)
	s.enter(j)

	attrs := []slog.Attr{slog.String("service", s.name), slog.String("id", t.ID), slog.Int("attempt", t.Attempt)}
	octx := s.o.Observer.Start(fctx, "run", attrs...)
	output, err := sh.attempt(octx, j)
	s.o.Observer.End(octx, "run", err, attrs...)

	s.leave(j)
	stopping := sh.leave(j)
	cause := context.Cause(fctx)
	progress, asked := j.end()
	_ = release()
	stop(nil)
	j.writers.Wait()
	if errors.Is(cause, ErrLost) && err != nil {
		s.o.Logger.Warn("job_lost", "service", s.name, "id", t.ID, "attempt", t.Attempt)
		return
	}
	u := s.judge(t, output, err, asked, stopping && errors.Is(cause, ErrStopping))
	u.Progress = progress
	sh.settle(t, u)
}

// attempt calls the function under its limits of time.
func (sh *shift) attempt(ctx context.Context, j *Job) (output []byte, err error) {
	o := sh.s.o
	if !j.t.Deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadlineCause(ctx, j.t.Deadline, ErrTimeout)
		defer cancel()
	}
	if o.RunTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, o.RunTimeout, ErrTimeout)
		defer cancel()
	}
	// In a goroutine of its own, so that runtime.Goexit ends nothing of ours.
	done := make(chan struct{})
	err = errGoexit
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				o.Logger.Error("job_panicked", "service", sh.s.name, "id", j.t.ID, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
				output, err = nil, fmt.Errorf("the function panicked: %v", p)
			}
		}()
		if output, err = sh.s.call(ctx, j, j.t.Input); err != nil {
			// An error that is a nil pointer panics when it is asked; it shall
			// do so here.
			_, _ = outcome.Transient(err)
			_ = err.Error()
		}
	}()
	<-done
	return output, err
}

var errGoexit = errors.New("the function ended its goroutine")

// judge says what follows from an attempt.
func (s *Service) judge(t Task, output []byte, err error, asked, stopping bool) Update {
	if err == nil && len(output) > s.o.MaxResult {
		err = &Failure{Code: CodeResult, Message: tooLarge("the result", len(output), s.o.MaxResult).Error()}
	}
	if _, ok := errors.AsType[*unencodable](err); ok {
		s.logged(t, err)
		err = &Failure{Code: CodeResult, Message: "the result is no JSON"}
	}
	if err == nil {
		return Update{Verdict: End, State: Done, Output: output}
	}
	chosen, ok := errors.AsType[*Failure](err)
	if ok && chosen != nil {
		return Update{Verdict: End, State: Failed, Failure: chosen.bounded()}
	}
	s.logged(t, err)
	transient, said := outcome.Transient(err)
	late := !t.Deadline.IsZero() && !time.Now().Before(t.Deadline)
	switch {
	case asked:
		return Update{Verdict: End, State: Canceled}
	case stopping:
		return Update{Verdict: HandBack}
	case late:
		return Update{Verdict: End, State: Failed, Failure: Overdue(CodeTimeout)}
	case said && !transient || retry.IsPermanent(err):
		return Update{Verdict: End, State: Failed, Failure: &Failure{Code: CodeFailed, Message: "the job failed for good"}}
	case t.Attempt >= s.o.attempts():
		return Update{Verdict: End, State: Failed, Failure: exhausted(false)}
	}
	wait, later := s.o.Retry.Delay(t.Attempt, err)
	if later != nil {
		return Update{Verdict: End, State: Failed, Failure: &Failure{
			Code: CodeAttempts, Message: "the job failed, and what it needs asks to wait longer than the service does",
		}}
	}
	if !t.Deadline.IsZero() && !time.Now().Add(wait).Before(t.Deadline) {
		return Update{Verdict: End, State: Failed, Failure: Overdue(CodeTimeout)} // to wait would be for nothing
	}
	return Update{Verdict: Again, After: wait}
}

// logged tells the log what no caller is told.
func (s *Service) logged(t Task, err error) {
	s.o.Logger.Warn("job_attempt_failed", "service", s.name, "id", t.ID, "attempt", t.Attempt, "error", err)
}

func exhausted(died bool) *Failure {
	if died {
		return &Failure{Code: CodeCrashed, Message: "the process that ran the job died each time"}
	}
	return &Failure{Code: CodeAttempts, Message: "the job failed as often as it may be attempted"}
}

// owed is the end of a job that the store could not yet be told.
type owed struct {
	attempt int
	epoch   int64
	u       Update
}

// owe keeps the end that u is, for when the job is claimed before it is told.
// It returns false if that has happened: then who claimed it tells it.
func (sh *shift) owe(t Task, u Update) bool {
	if u.Verdict != End {
		return true
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.owed[t.Key()].epoch > t.Epoch {
		return false
	}
	sh.owed[t.Key()] = owed{t.Attempt, t.Epoch, u}
	return true
}

// paid forgets what was kept under the epoch of t.
func (sh *shift) paid(t Task) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.owed[t.Key()].epoch == t.Epoch {
		delete(sh.owed, t.Key())
	}
}

// pay returns the end of the attempt before that of t, if this process has it
// and nobody else began one in between. To do the job again would be a waste.
func (sh *shift) pay(t Task) (Update, bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	o, ok := sh.owed[t.Key()]
	if !ok || t.Epoch < o.epoch || t.Attempt > o.attempt+1 {
		delete(sh.owed, t.Key())
		return Update{}, false
	}
	sh.owed[t.Key()] = owed{t.Attempt, t.Epoch, o.u}
	return o.u, true
}

// settle writes what became of a job. A store that fails is tried again for as
// long as Run goes on, and until the lease has run out: what is told first is
// told, unless another process has begun the job anew.
func (sh *shift) settle(t Task, u Update) {
	s := sh.s
	giveUp := time.Now().Add(s.o.Lease)
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		// On a context of its own: a result is worth as much after Run's ends.
		ctx, cancel := context.WithTimeout(sh.base, max(s.o.Lease, time.Second))
		_, err := s.store.Update(ctx, t.Key(), t.Epoch, u)
		cancel()
		switch {
		case err == nil:
			sh.paid(t)
			return
		case errors.Is(err, ErrLost):
			// Also when the store had it written and could not say so. If it
			// was claimed here, whoever has it looks for what is owed.
			time.AfterFunc(s.o.Lease, func() { sh.paid(t) })
			s.o.Logger.Warn("job_end_refused", "service", s.name, "id", t.ID, "attempt", t.Attempt)
			return
		case time.Now().After(giveUp) && sh.ctx.Err() != nil:
			s.o.Logger.Error("job_end_not_written", "service", s.name, "id", t.ID, "attempt", t.Attempt, "error", err)
			return
		}
		if !sh.owe(t, u) {
			return
		}
		time.Sleep(pause)
	}
}

// enter makes j known to those who cancel.
func (s *Service) enter(j *Job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.jobs[j.t.Key()] = j
}

func (s *Service) leave(j *Job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := j.t.Key(); s.jobs[k] == j {
		delete(s.jobs, k)
	}
}

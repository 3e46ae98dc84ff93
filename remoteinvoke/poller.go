package remoteinvoke

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/crosstie/crosstie/internal/hook"
	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/retry"
)

// PollOptions configure how often something is looked at. Nil, and the zero
// value of each field, mean the default.
type PollOptions struct {
	// First is the wait after the first look, where the other side does not
	// say how long to wait; each wait is half again as long as the one
	// before. Defaults to 1 s, and is at least 1 ms.
	First time.Duration
	// Max is where the waits stop growing. Defaults to 30 s. What the other
	// side asks for is waited in full, also above Max.
	Max time.Duration
	// MaxErrors is how many looks in a row may fail before Wait gives up.
	// Defaults to 10; negative leaves it to the context. A [Client] leaves it
	// to the context by default.
	MaxErrors int
	// Logger is told of a panic of the Observer. Nil is silent.
	Logger *slog.Logger
	// Observer sees each look ("poll"). Nil is none.
	Observer Observer
}

func (o *PollOptions) withDefaults(errors int) PollOptions {
	var d PollOptions
	if o != nil {
		d = *o
	}
	d.First = max(orDefault(d.First, time.Second), time.Millisecond)
	d.Max = max(orDefault(d.Max, 30*time.Second), d.First)
	if d.MaxErrors == 0 {
		d.MaxErrors = errors
	}
	d.Logger = orSilent(d.Logger)
	d.Observer = hook.Guard(d.Observer, d.Logger)
	return d
}

// A Poll is what one look at a foreign job has shown.
type Poll[T any] struct {
	// Done says that the job has ended, with Result or Err.
	Done   bool
	Result T
	// Err is why the job has failed. An error of the look itself is returned
	// beside the Poll instead.
	Err error
	// After is how long the other side asks to wait before the next look;
	// zero if it does not.
	After time.Duration
}

// A Poller waits for the end of a job behind any foreign interface, given a
// function that looks at it once. It belongs to one goroutine.
//
//	p := remoteinvoke.NewPoller(func(ctx context.Context) (remoteinvoke.Poll[Report], error) {
//		job, err := api.Export(ctx, id)
//		return remoteinvoke.Poll[Report]{Done: job.State == "JobComplete", Result: job.Report, After: job.PollAfter}, err
//	}, nil)
//	report, err := p.Wait(ctx)
type Poller[T any] struct {
	look   func(context.Context) (Poll[T], error)
	o      PollOptions
	last   Poll[T]
	step   time.Duration // the next wait of our own
	wait   time.Duration // before the next look
	errors int           // in a row
}

// NewPoller returns a poller that looks with poll. It panics if poll is nil.
func NewPoller[T any](poll func(context.Context) (Poll[T], error), o *PollOptions) *Poller[T] {
	if poll == nil {
		panic("remoteinvoke: NewPoller needs a function")
	}
	return &Poller[T]{look: poll, o: o.withDefaults(10)}
}

// Poll looks once, unless the job is known to have ended. Its error is that of
// the look.
func (p *Poller[T]) Poll(ctx context.Context) error {
	if p.last.Done {
		return nil
	}
	ctx = p.o.Observer.Start(ctx, "poll")
	v, err := p.look(ctx)
	p.o.Observer.End(ctx, "poll", err, slog.Bool("done", v.Done))
	if err != nil {
		p.errors++
		after, _ := retry.AfterOf(err)
		p.rest(after)
		return failed("poll", "", err)
	}
	p.errors = 0
	p.last = v
	p.rest(v.After)
	return nil
}

// rest computes the wait before the next look. Jitter only adds: nobody is
// asked sooner than he said.
func (p *Poller[T]) rest(after time.Duration) {
	if p.step == 0 {
		p.step = p.o.First
	}
	d := p.step
	p.step = min(p.step+p.step/2, p.o.Max)
	if after > 0 {
		d = min(after, maxWait)
	}
	p.wait = d + rand.N(d/10+1)
}

// Done reports whether the job is known to have ended.
func (p *Poller[T]) Done() bool { return p.last.Done }

// Result returns what the job ended with. Before that its error wraps
// [ErrInvalid].
func (p *Poller[T]) Result() (T, error) {
	if !p.last.Done {
		var zero T
		return zero, failed("poll", "", invalid("the job is not known to have ended: Wait for it"))
	}
	return p.last.Result, p.last.Err
}

// Wait looks until the job has ended, and returns its result, or its failure
// as it is. It returns an [*Error] when ctx ends, with the context's cause;
// when a look fails for good (retry.Permanent, or an error with Transient()
// false); and when PollOptions.MaxErrors looks have failed in a row. Waiting
// may go on with another Wait.
func (p *Poller[T]) Wait(ctx context.Context) (T, error) { return p.until(ctx, sleep, nil) }

// until waits with nap, which may return before its time, and calls seen after
// each look.
func (p *Poller[T]) until(ctx context.Context, nap func(context.Context, time.Duration), seen func(Poll[T])) (T, error) {
	var zero T
	for first := p.wait == 0; !p.last.Done; first = false {
		if !first {
			nap(ctx, p.wait)
		}
		if ctx.Err() != nil {
			return zero, failed("wait", "", outcome.Error(outcome.Unknown, context.Cause(ctx)))
		}
		err := p.Poll(ctx)
		switch {
		case err == nil:
			if seen != nil {
				seen(p.last)
			}
		case ctx.Err() != nil:
			return zero, failed("wait", "", outcome.Error(outcome.Unknown, context.Cause(ctx)))
		case forGood(err) || p.o.MaxErrors > 0 && p.errors >= p.o.MaxErrors:
			return zero, failed("wait", "", err)
		}
	}
	return p.Result()
}

// forGood reports whether a look that failed with err need not be repeated.
func forGood(err error) bool {
	if retry.IsPermanent(err) || errors.Is(err, ErrInvalid) {
		return true
	}
	transient, said := outcome.Transient(err)
	return said && !transient
}

// sleep waits for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

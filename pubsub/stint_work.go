package pubsub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/retry"
)

// enter puts t at the end of its key's lane. st.mu is held.
func (st *stint) enter(t *task) {
	if t.m.Key == "" {
		st.ready = append(st.ready, &lane{tasks: []*task{t}})
		return
	}
	l := st.lanes[t.m.Key]
	if l == nil {
		l = &lane{key: t.m.Key}
		st.lanes[l.key] = l
		st.ready = append(st.ready, l)
	}
	l.tasks = append(l.tasks, t)
}

// dispatch starts workers for what is ready. st.mu is held.
func (st *stint) dispatch() {
	for range len(st.ready) {
		if st.running >= st.o.InFlight || st.stopping {
			return
		}
		st.running++
		st.workers.Go(st.work)
	}
}

// next returns a lane that is ready, or nil when the worker may go.
func (st *stint) next() *lane {
	st.mu.Lock()
	defer st.mu.Unlock()
	if len(st.ready) == 0 || st.stopping {
		st.running--
		return nil
	}
	l := st.ready[0]
	st.ready[0] = nil // the array lives on
	if st.ready = st.ready[1:]; len(st.ready) == 0 {
		st.ready = nil
	}
	return l
}

// work handles the first event of a lane, and of another, until none is
// ready.
func (st *stint) work() {
	var l *lane
	defer func() {
		if l == nil {
			return
		}
		// A handler called runtime.Goexit, which ends this goroutine with its
		// deferred calls: another one takes its place.
		st.finish(l, errGoexit)
		st.workers.Go(st.work)
	}()
	for l = st.next(); l != nil; l = st.next() {
		t := st.first(l)
		if st.redriveOnce(t) {
			st.finish(l, st.attempt(t))
		}
	}
}

var errGoexit = errors.New("the handler ended its goroutine")

func (st *stint) first(l *lane) *task {
	st.mu.Lock()
	defer st.mu.Unlock()
	return l.tasks[0]
}

func (st *stint) attempt(t *task) (err error) {
	attrs := []slog.Attr{
		slog.String("topic", st.claim.Topic), slog.String("group", st.claim.Name),
		slog.String("id", t.m.ID), slog.Int("attempt", t.attempts+1),
	}
	ctx := st.held
	if st.o.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, st.o.Timeout)
		defer cancel()
	}
	ctx = st.o.Observer.Start(ctx, "handle", attrs...)
	err = errGoexit // unless it returns
	defer func() { st.o.Observer.End(ctx, "handle", err, attrs...) }()
	return st.call(ctx, t)
}

func (st *stint) call(ctx context.Context, t *task) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the handler panicked: %v", p)
		}
	}()
	if err := st.s.handle(ctx, t.m, t.attempts+1); err != nil {
		// An error that is a nil pointer panics when it is asked; it shall do
		// so here.
		_, _ = outcome.Transient(err)
		_ = err.Error()
		return err
	}
	return nil
}

// finish follows an attempt at the first task of l that ended with err.
func (st *stint) finish(l *lane, err error) {
	t := st.first(l)
	if err == nil {
		if t.dead == nil || st.write(func(ctx context.Context) error { return st.s.groups.Unpark(ctx, st.claimed(), []int64{t.dead.Pos}) }) {
			st.over(l)
		}
		return
	}
	if st.held.Err() != nil {
		return // we ended it, so it says nothing; the event stays unread
	}
	t.attempts++
	wait, reason := st.o.judge(t.attempts, err)
	if reason == "" {
		st.wait(l, wait)
		return
	}
	d := DeadLetter{Message: t.m, Topic: st.claim.Topic, Group: st.claim.Name, Reason: reason, Error: textOf(err), Attempts: t.attempts, At: time.Now()}
	if t.dead != nil {
		d.Pos = t.dead.Pos
		d.Attempts += t.dead.Attempts
	}
	if st.write(func(ctx context.Context) error { return st.s.groups.Park(ctx, st.claimed(), []DeadLetter{d}) }) {
		st.o.Logger.Warn("event_parked", "topic", st.claim.Topic, "group", st.claim.Name, "id", t.m.ID, "reason", reason)
		st.over(l)
	}
}

func (st *stint) claimed() Claim {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.claim
}

// judge says how long to wait after the n-th failed attempt, or why there is
// no other.
func (o *SubscribeOptions) judge(n int, err error) (wait time.Duration, reason string) {
	if errors.Is(err, ErrUnreadable) {
		return 0, reasonUnreadable
	}
	transient, said := outcome.Transient(err)
	if retry.IsPermanent(err) || said && !transient {
		return 0, reasonPermanent
	}
	if n >= o.Retry.MaxAttempts {
		return 0, reasonExhausted
	}
	wait, later := o.Retry.Delay(n, err)
	if later != nil {
		return 0, reasonLater
	}
	return wait, ""
}

// write repeats a write of the store until it succeeds, for the mark must not
// pass an event whose dead letter is not durable. It returns false if the
// shard was lost or the drain is over first.
func (st *stint) write(fn func(context.Context) error) bool {
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		ctx, cancel := context.WithTimeout(st.held, st.o.Lease)
		err := fn(ctx)
		cancel()
		switch {
		case err == nil:
			return true
		case errors.Is(err, ErrLost):
			st.lose(err)
		case st.held.Err() == nil:
			st.o.Logger.Warn("park_failed", "topic", st.claim.Topic, "group", st.claim.Name, "shard", st.claim.Shard, "error", err)
			sleep(st.held, pause)
		}
		if st.held.Err() != nil {
			return false
		}
	}
}

// wait makes l ready again after d.
func (st *stint) wait(l *lane, d time.Duration) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.stopping {
		return
	}
	st.waits[l] = time.AfterFunc(d, func() {
		st.mu.Lock()
		defer st.mu.Unlock()
		delete(st.waits, l)
		if !st.stopping {
			st.ready = append(st.ready, l)
			st.dispatch()
		}
	})
}

// over takes the first task off l: it was handled or parked.
func (st *stint) over(l *lane) {
	st.mu.Lock()
	defer st.mu.Unlock()
	t := l.tasks[0]
	l.tasks[0] = nil // the array lives on
	l.tasks = l.tasks[1:]
	st.bytes -= len(t.m.Data)
	t.done, t.m.Data = true, nil
	switch {
	case len(l.tasks) > 0 && !st.stopping:
		st.ready = append(st.ready, l) // behind the others: keys take turns
	case len(l.tasks) == 0 && l.key != "":
		delete(st.lanes, l.key)
	}
	if t.dead != nil {
		delete(st.redriven, t.dead.Pos)
		st.settled[t.dead.Pos] = true
	} else {
		st.pass()
	}
	if st.full && st.bytes <= windowBytes/2 {
		wakeUp(st.kick)
	}
}

package pubsub

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/crosstie/crosstie/inbox"
	"github.com/crosstie/crosstie/internal/id"
	"github.com/crosstie/crosstie/outcome"
)

// A Subscription hands the events of a topic to a handler, for a group. Any
// number of subscriptions of one group, in any number of processes, share its
// events; each group gets all of them. Run does the work; all methods are safe
// for concurrent use.
type Subscription struct {
	log    Log
	groups Groups
	group  Group
	o      SubscribeOptions
	handle func(ctx context.Context, m Message, attempt int) error
	owner  string

	mu      sync.Mutex // guards running
	running bool
}

// Subscribe returns a subscription of group to the topic t, handled by fn. An
// event counts as handled when fn returns nil. An error is retried as
// SubscribeOptions.Retry says, while later events of its key wait and other
// keys go on; then the event is parked as a dead letter and its key goes on.
// retry.Permanent, and an error whose Transient method says false, park at
// once; retry.After asks for a wait.
//
// fn is called again with an event whose handling was cut short by a crash, or
// whose lease was lost, so it must be able to meet one twice: see
// [SubscribeTx]. The ctx of fn ends when the attempt takes too long, the lease
// is lost or a drain is over. Events of different keys are handled at the same
// time.
//
// Subscribe panics if the group's name breaks the rule for names, something is
// nil, or no Groups is known: those are mistakes of the program.
func Subscribe[T any](t *Topic[T], group string, fn func(context.Context, Event[T]) error, o *SubscribeOptions) *Subscription {
	if fn == nil {
		panic("pubsub: Subscribe needs a handler")
	}
	return newSubscription(t, group, o, func(ctx context.Context, _ Message, e Event[T]) error { return fn(ctx, e) })
}

// SubscribeTx is [Subscribe] for handlers whose effect is in the database of
// in: fn runs in a transaction that also records the event's ID, so that an
// event that comes again, for whatever reason, has its effect once, inside the
// inbox's window. The cursor follows after that commit: a crash between the
// two makes the event come again, and the inbox knows it.
//
// IDs are recorded for the topic, the group and the event's source, so topics
// and groups may share an inbox. The age of an event is counted from when the
// log took it: what is older than the inbox's window is parked, since nobody
// knows whether it had its effect. So a group that begins with old events needs
// an inbox with a window as long as the log reaches back.
//
// fn writes through tx alone; the rules for it are those of inbox.Inbox.Do.
// With inbox.Mem tx is nil.
func SubscribeTx[T any](t *Topic[T], group string, in *inbox.Inbox, fn func(context.Context, *sql.Tx, Event[T]) error, o *SubscribeOptions) *Subscription {
	if fn == nil || in == nil {
		panic("pubsub: SubscribeTx needs an inbox and a handler")
	}
	return newSubscription(t, group, o, func(ctx context.Context, m Message, e Event[T]) error {
		at := m.Appended
		if at.IsZero() {
			at = m.Time
		}
		return passing(in.Do(ctx, inboxID(t.name, group, m), at, func(ctx context.Context, tx *sql.Tx) error { return fn(ctx, tx, e) }))
	})
}

// passing makes a failure of the inbox's store worth a retry, whatever the
// store says of it: it is no fault of the event. What the inbox itself refuses
// it refuses for good.
func passing(err error) error {
	e, ok := err.(*inbox.Error) // fn's own errors are not wrapped
	if !ok || errors.Is(e, inbox.ErrTooOld) || errors.Is(e, inbox.ErrTooNew) || errors.Is(e, inbox.ErrID) || errors.Is(e, inbox.ErrNoTx) {
		return err
	}
	return outcome.TransientError(outcome.Of(err), true, err)
}

// inboxID names an event in an inbox. Publishers choose IDs, which are good for
// one source alone (CloudEvents 1.0, "id"). The rest is a hash, since all of it
// is longer than an inbox takes; no name has a space in it.
func inboxID(topic, group string, m Message) string {
	sum := sha256.Sum256([]byte(topic + " " + group + " " + m.Source))
	return hex.EncodeToString(sum[:16]) + "/" + m.ID
}

func newSubscription[T any](t *Topic[T], group string, o *SubscribeOptions, fn func(context.Context, Message, Event[T]) error) *Subscription {
	if t == nil {
		panic("pubsub: Subscribe needs a topic")
	}
	if err := checkName(group); err != nil {
		panic(fmt.Sprintf("pubsub: Subscribe: group %q: %v", group, err))
	}
	s := &Subscription{log: t.log, o: o.withDefaults(), owner: id.New()}
	s.group = Group{Topic: t.name, Name: group, Shards: s.o.Shards}
	s.groups = s.o.Groups
	if s.groups == nil {
		g, ok := t.log.(Groups)
		if !ok {
			panic("pubsub: Subscribe needs SubscribeOptions.Groups: the topic's log keeps no cursors")
		}
		s.groups = g
	}
	types := s.o.Types
	s.handle = func(ctx context.Context, m Message, attempt int) error {
		if s.o.Filter != nil && !s.o.Filter(m) {
			return nil
		}
		e, err := t.event(m, types)
		if err != nil {
			return err
		}
		e.Attempt = attempt
		return fn(ctx, m, e)
	}
	return s
}

// Run handles events until ctx ends, and then drains: handlers that run may
// finish, within SubscribeOptions.Drain; the cursors are saved and the shards
// freed, so that others have them at once. It returns nil after a drain, also
// when ctx was cancelled. A store that fails is tried again for as long as ctx
// lasts.
//
// It makes the group if it does not exist, at SubscribeOptions.Start; the
// position is stored before the first event is read.
//
// Errors, in an [*Error]: [ErrGone] as SubscribeOptions.Gone says, [ErrShards],
// [ErrInvalid], and [ErrRunning] for a second Run at the same time. Run waits
// for every handler it called; one that ignores its context holds it up.
func (s *Subscription) Run(ctx context.Context) error {
	s.mu.Lock()
	if s.running {
		s.mu.Unlock()
		return s.failed("run", ErrRunning)
	}
	s.running = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.running = false
		s.mu.Unlock()
	}()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if err := s.create(ctx); err != nil {
		return s.failed("run", err)
	}
	slots := make(chan struct{}, s.o.MaxShards)
	var wg sync.WaitGroup
	var once sync.Once
	var fatal error
	for n := range s.o.Shards {
		wg.Go(func() {
			if err := s.tend(ctx, n, slots); err != nil {
				once.Do(func() { fatal = err })
				cancel(err)
			}
		})
	}
	wg.Wait()
	if fatal != nil {
		return s.failed("run", fatal)
	}
	return nil
}

// create makes the group, unless it exists.
func (s *Subscription) create(ctx context.Context) error {
	for pause := s.o.Poll; ctx.Err() == nil; pause = min(2*pause, max(5*time.Second, s.o.Poll)) {
		err := s.createOnce(ctx)
		if err == nil || ctx.Err() != nil {
			return nil
		}
		if lasting(err) {
			return err
		}
		s.o.Logger.Warn("group_not_created", "topic", s.group.Topic, "group", s.group.Name, "error", err)
		sleep(ctx, pause)
	}
	return nil
}

func (s *Subscription) createOnce(ctx context.Context) error {
	states, err := s.groups.States(ctx, s.group.Topic, s.group.Name)
	if err != nil {
		return err
	}
	if len(states) > 0 && states[0].Shards == s.group.Shards {
		return nil
	}
	return settled(func() (Cursor, error) {
		c, err := find(ctx, s.log, s.group.Topic, s.o.Start)
		if errors.Is(err, ErrGone) && s.o.Gone != GoneFail {
			c, err = find(ctx, s.log, s.group.Topic, Start{Latest: s.o.Gone == GoneLatest})
		}
		return c, err
	}, func(c Cursor) error { return s.groups.Create(ctx, s.group, c) })
}

// settled puts a group where find says. What was found may be trimmed before
// the group is there to keep it: then it looks again, and find says whether
// that is an error.
func settled(find func() (Cursor, error), put func(Cursor) error) error {
	for tries := 1; ; tries++ {
		c, err := find()
		if err != nil {
			return err
		}
		if err = put(c); !errors.Is(err, ErrGone) || tries == 10 {
			return err
		}
	}
}

// lasting reports whether trying again cannot help.
func lasting(err error) bool {
	if errors.Is(err, ErrShards) || errors.Is(err, ErrGone) || errors.Is(err, ErrInvalid) || errors.Is(err, errors.ErrUnsupported) {
		return true
	}
	transient, said := outcome.Transient(err)
	return said && !transient
}

// tend holds one shard whenever it can.
func (s *Subscription) tend(ctx context.Context, n int, slots chan struct{}) error {
	pause := s.o.Poll
	for {
		select {
		case <-ctx.Done():
			return nil
		case slots <- struct{}{}:
		}
		// Not on ctx: a claim that was granted to a call cut short would
		// keep others waiting for its lease.
		cctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.o.Lease)
		asked := time.Now()
		c, err := s.groups.Claim(cctx, s.group, n, s.owner, s.o.Lease)
		cancel()
		switch {
		case err == nil:
			pause = s.o.Poll
			err = newStint(s, ctx, c).run(ctx, asked)
			<-slots
			if err != nil {
				return err
			}
			continue
		case errors.Is(err, ErrHeld):
			pause = min(s.o.Lease/4, time.Second)
		case errors.Is(err, ErrShards):
			<-slots
			return err
		default:
			s.o.Logger.Warn("claim_failed", "topic", s.group.Topic, "group", s.group.Name, "shard", n, "error", err)
			pause = min(2*pause, max(5*time.Second, s.o.Poll))
		}
		<-slots
		sleep(ctx, pause)
	}
}

// A Lag is how far a group is behind.
type Lag struct {
	// Events is how many events of the topic its slowest shard has not
	// passed; -1 when the log cannot tell.
	Events int64
	// Age is how long ago the oldest of them was appended; zero when there is
	// none, or the log cannot tell.
	Age time.Duration
}

// Lag returns how far the group is behind its topic, by the cursors that are
// saved, which is every tenth of a second while the group works. It needs no
// running subscription. A group that does not exist lags behind its Start.
func (s *Subscription) Lag(ctx context.Context) (Lag, error) {
	var cs []Cursor
	states, err := s.groups.States(ctx, s.group.Topic, s.group.Name)
	if err == nil && len(states) == 0 {
		var c Cursor
		c, err = find(ctx, s.log, s.group.Topic, s.o.Start)
		cs = append(cs, c)
	}
	if err != nil {
		return Lag{}, s.failed("lag", err)
	}
	for _, st := range states {
		cs = append(cs, st.Cursor)
	}
	var lag Lag
	now := time.Now()
	for _, c := range cs {
		n, since, err := s.log.Behind(ctx, s.group.Topic, c)
		if err != nil {
			return Lag{}, s.failed("lag", err)
		}
		if lag.Events >= 0 {
			lag.Events = max(lag.Events, n)
		}
		if n < 0 {
			lag.Events = -1
		}
		if !since.IsZero() {
			lag.Age = max(lag.Age, now.Sub(since))
		}
	}
	return lag, nil
}

// Seek puts the group at a start, forwards or backwards, making it if need
// be, with SubscribeOptions.Shards. What follows the start is handled, again
// if it was before; an inbox knows what had its effect. What is passed over is
// not handled, and neither are dead letters of the group: they wait for
// [DeadLetters.Redrive]. While a subscription of the group runs the error is
// [ErrHeld].
//
// Seek to Latest before the first Run makes a group that gets what is
// published from now on, even while nobody runs it.
func (s *Subscription) Seek(ctx context.Context, to Start) error {
	err := settled(func() (Cursor, error) { return find(ctx, s.log, s.group.Topic, to) },
		func(c Cursor) error { return s.groups.Seek(ctx, s.group, c) })
	if err != nil {
		return s.failed("seek", err)
	}
	return nil
}

// Drop forgets the group's cursors, so that the log need not keep anything for
// it any more. Its dead letters stay. While a subscription of the group runs
// the error is [ErrHeld].
func (s *Subscription) Drop(ctx context.Context) error {
	if err := s.groups.Drop(ctx, s.group.Topic, s.group.Name); err != nil {
		return s.failed("drop", err)
	}
	return nil
}

// DeadLetters returns those of the group.
func (s *Subscription) DeadLetters() *DeadLetters {
	return NewDeadLetters(s.groups, s.group.Topic, s.group.Name)
}

func (s *Subscription) failed(op string, err error) error {
	return failed(op, s.group.Topic, s.group.Name, "", err)
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

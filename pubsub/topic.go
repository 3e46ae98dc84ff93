package pubsub

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"time"
)

// A Topic is a named stream of events with data of one type, in a log. Any
// number of publishers and subscriptions, in any number of processes, use the
// same topic by naming it. It has no goroutine and needs no closing. It is
// safe for concurrent use.
type Topic[T any] struct {
	log  Log
	name string
	o    TopicOptions
}

// NewTopic returns the topic called name of log. The name is 1 to 100 visible
// ASCII characters. NewTopic panics if the name or an option breaks its rule,
// or log is nil: those are mistakes of the program.
func NewTopic[T any](log Log, name string, o *TopicOptions) *Topic[T] {
	if log == nil {
		panic("pubsub: NewTopic needs a log: use NewMem or one of sqlstore")
	}
	if err := checkName(name); err != nil {
		panic(fmt.Sprintf("pubsub: NewTopic(%q): %v", name, err))
	}
	return &Topic[T]{log: log, name: name, o: o.withDefaults(name)}
}

// Publish appends an event with data v and returns its ID when it is durable.
// The ID is returned with an error too, whenever it is known. After an error
// whose outcome is Unknown the event may be in the log: publish it again with
// PublishAll under that ID, and subscribers with an inbox see a repeat.
//
// Publish commits by itself. Inside a transaction of yours use PublishTx.
//
// Errors: [ErrInvalid] and [ErrTooLarge] with a [*FieldError], and those of
// the log, in an [*Error].
func (t *Topic[T]) Publish(ctx context.Context, key string, v T) (id string, err error) {
	e := Event[T]{Key: key, Data: v}
	m, err := message(t, &e, time.Now())
	if err == nil {
		_, err = t.append(ctx, []Message{m})
	}
	if err != nil {
		return e.ID, failed("publish", t.name, "", e.ID, err)
	}
	return e.ID, nil
}

// Bounds of one PublishAll: it is one commit, and other publishers wait for it.
const (
	maxAll      = 10_000   // events
	maxAllBytes = 64 << 20 // of data
)

// PublishAll appends events in their order and returns how many of them, from
// the first on, are durable; the logs of this module take all or none. It sets
// the ID and the Time of each element of es that has none, so that after an
// error es can be published again under the same IDs. It takes at most 10,000
// events, else [ErrInvalid], of at most 64 MiB in all, else [ErrTooLarge].
func (t *Topic[T]) PublishAll(ctx context.Context, es []Event[T]) (n int, err error) {
	if len(es) == 0 {
		return 0, nil
	}
	ms, err := t.messages(es)
	if err != nil {
		return 0, failed("publish", t.name, "", "", err)
	}
	if n, err = t.append(ctx, ms); err != nil {
		return n, failed("publish", t.name, "", "", err)
	}
	return len(es), nil
}

func (t *Topic[T]) messages(es []Event[T]) ([]Message, error) {
	if len(es) > maxAll {
		return nil, &FieldError{Field: "events", Size: int64(len(es)), Limit: maxAll, Reason: "are too many for one call: publish them in parts", err: ErrInvalid}
	}
	now := time.Now()
	bytes := int64(0)
	ms := make([]Message, len(es))
	for i := range es {
		m, err := message(t, &es[i], now)
		if err != nil {
			return nil, &Error{ID: es[i].ID, Err: fmt.Errorf("event %d of %d: %w", i+1, len(es), err)}
		}
		if bytes += int64(len(m.Data)); bytes > maxAllBytes {
			return nil, &FieldError{Field: "events", Size: bytes, Limit: maxAllBytes, Reason: "are too large for one call: publish them in parts", err: ErrTooLarge}
		}
		ms[i] = m
	}
	return ms, nil
}

func (t *Topic[T]) append(ctx context.Context, ms []Message) (n int, err error) {
	attrs := []slog.Attr{slog.String("topic", t.name), slog.Int("events", len(ms))}
	ctx = t.o.Observer.Start(ctx, "publish", attrs...)
	defer func() { t.o.Observer.End(ctx, "publish", err, attrs...) }()
	return t.log.Append(ctx, t.name, ms)
}

// PublishTx appends an event inside tx: it is in the log when tx commits,
// together with everything else tx did, and never existed if tx does not. The
// log must be in the database of tx; else the error is [ErrNoTx].
//
// Inside sqlstore's DB.Tx subscriptions hear of the commit at once. Nobody
// reports the commit of another transaction; for a second this process looks
// for it often, other processes see it at their next poll, and the caller may
// call Wake after the commit.
func (t *Topic[T]) PublishTx(ctx context.Context, tx *sql.Tx, key string, v T) (id string, err error) {
	es := []Event[T]{{Key: key, Data: v}}
	err = t.publishTx(ctx, tx, es)
	return es[0].ID, err
}

// PublishAllTx is PublishTx for several events, with the bounds of PublishAll.
func (t *Topic[T]) PublishAllTx(ctx context.Context, tx *sql.Tx, es []Event[T]) error {
	if len(es) == 0 {
		return nil
	}
	return t.publishTx(ctx, tx, es)
}

func (t *Topic[T]) publishTx(ctx context.Context, tx *sql.Tx, es []Event[T]) (err error) {
	ms, err := t.messages(es)
	if err != nil {
		return failed("publish", t.name, "", "", err)
	}
	log, ok := t.log.(TxLog)
	if !ok || tx == nil {
		return failed("publish", t.name, "", es[0].ID, ErrNoTx)
	}
	attrs := []slog.Attr{slog.String("topic", t.name), slog.Int("events", len(ms))}
	ctx = t.o.Observer.Start(ctx, "publish", attrs...)
	err = log.AppendTx(ctx, tx, t.name, ms)
	t.o.Observer.End(ctx, "publish", err, attrs...)
	if err != nil {
		return failed("publish", t.name, "", es[0].ID, err)
	}
	return nil
}

// Wake makes the subscriptions of this process look for events now. It is for
// the moment after the commit of a transaction that PublishTx joined.
func (t *Topic[T]) Wake() {
	if log, ok := t.log.(interface{ Wake(topic string) }); ok {
		log.Wake(t.name)
	}
}

// Events returns the events from a start on, in the order of the log, and
// ends where the log ends at that moment. It is for tools: it moves no cursor
// and shares with nobody. It reads page by page and holds nothing open in
// between. An event that cannot be read comes with its ID, its Cursor and an
// error that wraps [ErrUnreadable], and the loop may go on; any other error is
// the last.
func (t *Topic[T]) Events(ctx context.Context, from Start) iter.Seq2[Event[T], error] {
	return func(yield func(Event[T], error) bool) {
		c, err := find(ctx, t.log, t.name, from)
		for err == nil {
			var b Batch
			if b, err = t.log.Read(ctx, t.name, Read{After: c, Max: page, MaxBytes: pageBytes}); err != nil {
				break
			}
			for _, m := range b.Messages {
				e, err := t.event(m, nil)
				if err != nil {
					err = failed("read", t.name, "", m.ID, err)
				}
				if !yield(e, err) {
					return
				}
			}
			if len(b.Messages) == 0 && b.Through == c {
				return
			}
			c = b.Through
		}
		yield(Event[T]{}, failed("read", t.name, "", "", err))
	}
}

// event decodes m, if it is one of types, or of the topic's own type when
// there are none.
func (t *Topic[T]) event(m Message, types []string) (Event[T], error) {
	e := Event[T]{
		ID: m.ID, Key: m.Key, Subject: m.Subject, Time: m.Time, Header: m.Header,
		Type: m.Type, Schema: m.Schema, Cursor: m.Cursor,
	}
	bad := &UnreadableError{ID: m.ID, Type: m.Type, Schema: m.Schema, ContentType: m.ContentType}
	if len(types) == 0 {
		types = []string{t.o.Type}
	}
	if !slices.Contains(types, m.Type) { // with SubscribeOptions.Types that can only be a redriven one
		bad.Reason, bad.Want = reasonType, types
		return e, bad
	}
	if m.Schema != t.o.Schema && !slices.Contains(t.o.Accept, m.Schema) {
		bad.Reason, bad.Want = reasonSchema, append([]string{t.o.Schema}, t.o.Accept...)
		return e, bad
	}
	if err := t.decode(m, &e.Data); err != nil {
		bad.Reason, bad.Err = reasonDecode, err
		return e, bad
	}
	return e, nil
}

// decode takes a panic of the codec for what it is: foreign bytes that the
// program was not ready for.
func (t *Topic[T]) decode(m Message, v *T) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the codec panicked: %v", p)
		}
	}()
	return t.o.Codec.Decode(m, v)
}

// Prune removes the oldest events that r does not keep and returns how many,
// in transactions of 1,000. What a group of the log's own store has not passed
// is kept, unless r says otherwise: see [Retention]. Call it now and then, for
// instance every hour; nothing else ever removes an event.
func (t *Topic[T]) Prune(ctx context.Context, r Retention) (n int64, err error) {
	if r.Age < 0 || r.Count < 0 {
		return 0, failed("prune", t.name, "", "", &FieldError{Field: "Retention", Reason: "is negative", err: ErrInvalid})
	}
	for {
		k, err := t.log.Trim(ctx, t.name, r, trimPage)
		n += int64(k)
		if err != nil {
			return n, failed("prune", t.name, "", "", err)
		}
		if k < trimPage {
			return n, nil
		}
	}
}

// Groups returns how the groups of the topic stand, shard by shard. It needs a
// log that is a [Groups] too, else errors.ErrUnsupported.
func (t *Topic[T]) Groups(ctx context.Context) ([]State, error) {
	g, ok := t.log.(Groups)
	if !ok {
		return nil, failed("list", t.name, "", "", errors.ErrUnsupported)
	}
	states, err := g.States(ctx, t.name, "")
	if err != nil {
		return nil, failed("list", t.name, "", "", err)
	}
	return states, nil
}

// Pages of a log.
const (
	page      = 256
	pageBytes = 4 << 20
	trimPage  = 1000
)

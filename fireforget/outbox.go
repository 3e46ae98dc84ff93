package fireforget

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// An Outbox accepts messages. When Send returns without an error the message
// is durable: it will be delivered, or parked where [DeadLetters] shows it.
// An Outbox has no goroutine and needs no closing. It is safe for concurrent
// use.
type Outbox struct {
	store Store
	o     OutboxOptions
}

// NewOutbox returns an outbox that keeps its messages in store. It panics if
// store is nil.
func NewOutbox(store Store, o *OutboxOptions) *Outbox {
	if store == nil {
		panic("fireforget: NewOutbox needs a store: use NewMem or one of sqlstore")
	}
	return &Outbox{store: store, o: o.withDefaults()}
}

// Send accepts m and returns its ID. The ID is returned with an error too,
// whenever it is known: after an error whose outcome is Unknown the message
// may have been accepted. If m had an ID of its own, sending it again cannot
// accept it twice. An ID that Send made is not on record; sent again with it
// the message may be delivered once more, under the same ID, so that the
// receiver's inbox sees a repeat.
//
// Send commits by itself. Inside a transaction of yours use SendTx.
//
// Errors: [ErrInvalid] and [ErrTooLarge] with a [*FieldError], [ErrReused],
// [ErrFull], and those of the store, in an [*Error].
func (b *Outbox) Send(ctx context.Context, m Message) (id string, err error) {
	e, err := m.entry(time.Now(), b.o.MaxBody)
	if err != nil {
		return e.ID, failed("send", e.ID, err)
	}
	if err := b.add(ctx, []Entry{e}); err != nil {
		return e.ID, failed("send", e.ID, err)
	}
	return e.ID, nil
}

// Bounds of one SendAll: it is one commit, and every other sender waits for it.
const (
	maxAll      = 10_000   // messages
	maxAllBytes = 64 << 20 // of payload
)

// SendAll accepts all of ms in one commit, or none, and returns their IDs.
// Messages of one key keep the order of ms. It takes at most 10,000 messages,
// else [ErrInvalid], of at most 64 MiB in all, else [ErrTooLarge]. Everything
// else is as for Send.
func (b *Outbox) SendAll(ctx context.Context, ms []Message) (ids []string, err error) {
	if len(ms) == 0 {
		return nil, nil
	}
	es, ids, err := b.entries(ms)
	if err != nil {
		return ids, err
	}
	if err := b.add(ctx, es); err != nil {
		return ids, failed("send", "", err)
	}
	return ids, nil
}

func (b *Outbox) entries(ms []Message) ([]Entry, []string, error) {
	if len(ms) > maxAll {
		return nil, nil, failed("send", "", &FieldError{
			Field: "messages", Size: int64(len(ms)), Limit: maxAll, Reason: "are too many for one call: send them in parts", err: ErrInvalid,
		})
	}
	now := time.Now()
	var bytes int64
	es := make([]Entry, len(ms))
	ids := make([]string, len(ms))
	for i := range ms {
		e, err := ms[i].entry(now, b.o.MaxBody)
		ids[i] = e.ID
		if err != nil {
			return nil, ids[:i], failed("send", e.ID, fmt.Errorf("message %d of %d: %w", i+1, len(ms), err))
		}
		es[i] = e
		if bytes += int64(len(e.Body)); bytes > maxAllBytes {
			return nil, ids[:i+1], failed("send", "", &FieldError{
				Field: "messages", Size: bytes, Limit: maxAllBytes, Reason: "are too large for one call: send them in parts", err: ErrTooLarge,
			})
		}
	}
	return es, ids, nil
}

func (b *Outbox) add(ctx context.Context, es []Entry) (err error) {
	n := slog.Int("messages", len(es))
	ctx = b.o.Observer.Start(ctx, "send", n)
	defer func() { b.o.Observer.End(ctx, "send", err, n) }()
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		err = b.store.Add(ctx, es, b.o.MaxPending)
		if !b.o.Wait || !errors.Is(err, ErrFull) {
			return err
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return fmt.Errorf("%w: %w", err, context.Cause(ctx))
		case <-t.C:
		}
	}
}

// SendTx accepts m inside tx: it is accepted when tx commits, together with
// everything else tx did, and never existed if tx does not. The store must
// be in the database of tx; else the error is [ErrNoTx].
//
// Inside sqlstore's DB.Tx relays hear of the commit at once. Nobody reports
// the commit of another transaction; for a second this process looks for it
// often, other processes see it at their next poll, and the caller may call
// Wake after the commit.
func (b *Outbox) SendTx(ctx context.Context, tx *sql.Tx, m Message) (id string, err error) {
	e, err := m.entry(time.Now(), b.o.MaxBody)
	if err != nil {
		return e.ID, failed("send", e.ID, err)
	}
	s, ok := b.store.(TxStore)
	if !ok || tx == nil {
		return e.ID, failed("send", e.ID, ErrNoTx)
	}
	n := slog.Int("messages", 1)
	ctx = b.o.Observer.Start(ctx, "send", n)
	err = s.AddTx(ctx, tx, []Entry{e}, b.o.MaxPending)
	b.o.Observer.End(ctx, "send", err, n)
	if err != nil {
		return e.ID, failed("send", e.ID, err)
	}
	return e.ID, nil
}

// Wake makes the relays of this process look for messages now. It is for the
// moment after the commit of a transaction that SendTx joined.
func (b *Outbox) Wake() {
	if s, ok := b.store.(interface{ Wake() }); ok {
		s.Wake()
	}
}

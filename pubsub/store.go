package pubsub

import (
	"context"
	"database/sql"
	"hash/fnv"
	"time"
)

// A Log keeps the events of topics in order. It is the port behind [Topic].
//
// Everything below is safe for concurrent use, in one process and in many.
// Methods return raw errors and do not retry; callers do. No method keeps a
// slice it was given or later changes one it returned. A topic exists from
// its first use on.
//
// # The order
//
// A topic has one order, which never changes. An event that is visible to a
// reader has every earlier one visible too, or gone: a reader that goes from
// cursor to cursor passes over nothing that is committed later. If one Append
// returned before another began, its messages come first.
type Log interface {
	// Append puts ms at the end of topic, in their order, and returns how
	// many of them, from the first on, are durable. A log in a database takes
	// all or none. Cursor and Appended of ms are ignored. When the error has
	// outcome Unknown, more than n may be in the log.
	Append(ctx context.Context, topic string, ms []Message) (n int, err error)
	// Read returns what follows r.After. It does not wait for more, or not
	// for long: nothing new is an empty batch whose Through is r.After. An
	// error wraps [ErrGone] when anything after r.After is no longer kept, or
	// the cursor is of another log, and [ErrInvalid] when it is none of this
	// topic. An empty r.After is not valid: ask Find.
	Read(ctx context.Context, topic string, r Read) (Batch, error)
	// Find returns the cursor at which to begin for s. A Since or After that
	// lies before what is kept is answered with the oldest cursor for Since,
	// and with an error that wraps [ErrGone] for After.
	Find(ctx context.Context, topic string, s Start) (Cursor, error)
	// Behind returns how many events follow c, and when the first of them was
	// appended; -1 and the zero time as far as the log cannot tell.
	Behind(ctx context.Context, topic string, c Cursor) (events int64, since time.Time, err error)
	// Trim removes up to max of the oldest events that r does not keep and
	// returns how many. A log that trims by its own rules answers
	// errors.ErrUnsupported.
	Trim(ctx context.Context, topic string, r Retention, max int) (n int, err error)
	// Appended returns a channel that is closed when events may have been
	// appended to topic by this process. Take it before Read and wait on it
	// after. A nil channel means: poll.
	Appended(topic string) <-chan struct{}
}

// A TxLog is a Log in a database that the caller's transactions reach.
type TxLog interface {
	Log
	// AppendTx appends ms inside tx: they are in the log when tx commits.
	AppendTx(ctx context.Context, tx *sql.Tx, topic string, ms []Message) error
	// Wake closes the channels of Appended of topic.
	Wake(topic string)
}

// A Read asks for a page of a log.
type Read struct {
	// After is where to go on.
	After Cursor
	// Max is how many messages to return at most, and MaxBytes how many bytes
	// of data; one message is returned whatever its size.
	Max, MaxBytes int
	// Shard and Shards select the messages m with ShardOf(m, Shards) ==
	// Shard. Shards below 2 selects all.
	Shard, Shards int
}

// A Batch is a page of a log, in order.
type Batch struct {
	Messages []Message
	// Through is where to go on: at or behind the last message, where what
	// lies between is of other shards.
	Through Cursor
}

// ShardOf returns the shard of a message, from 0 to shards-1: by its Key, or
// by its ID if it has none. The function never changes, since two programs
// that disagreed would break the order of a key.
func ShardOf(m Message, shards int) int {
	if shards < 2 {
		return 0
	}
	return int(KeyHash(m) % uint32(shards))
}

// KeyHash returns the number that ShardOf divides, for stores that keep it.
func KeyHash(m Message) uint32 {
	h := fnv.New32a()
	if m.Key != "" {
		_, _ = h.Write([]byte(m.Key))
	} else {
		_, _ = h.Write([]byte(m.ID))
	}
	return h.Sum32()
}

// Retention says what a log keeps.
type Retention struct {
	// Age is how long events are kept. Zero is for ever.
	Age time.Duration
	// Count is how many events of a topic are kept, the newest. Zero is any
	// number.
	Count int64
	// DropUnread removes what Age and Count do not keep even if a group of
	// the log's own store has not passed it; that group then meets
	// [ErrGone]. By default such events are kept.
	DropUnread bool
}

// Groups keeps, for each group of readers of a topic, how far it has come and
// what it could not handle. It is the port behind [Subscription] and
// [DeadLetters]. The general remarks of [Log] apply. Each call is one
// transaction, durable on return. Time is the store's.
//
// A group has a fixed number of shards, each with a cursor of its own. A shard
// is leased under an epoch that grows with every grant; Save, Park, Unpark and
// Release of an epoch that is not the last granted, or was released, change
// nothing and return an error that wraps [ErrLost].
type Groups interface {
	// Create makes the group with all its shards at c, unless it exists. It
	// returns an error that wraps [ErrShards] if it exists with another
	// number of shards, and one that wraps [ErrGone] if this store is the log
	// of c and no longer keeps what follows it.
	Create(ctx context.Context, g Group, c Cursor) error
	// Seek puts all shards of g at c, making the group, or changing its
	// number of shards, if need be. Every epoch granted before is over. While
	// a shard is held it returns an error that wraps [ErrHeld]. What Create
	// says of ErrGone holds here too.
	Seek(ctx context.Context, g Group, c Cursor) error
	// Drop forgets the group and its cursors, but not its dead letters. While
	// a shard is held it returns an error that wraps [ErrHeld]. A group that
	// does not exist is no error.
	Drop(ctx context.Context, topic, group string) error
	// States returns the shards of one group in order, or of all groups of
	// topic if group is empty.
	States(ctx context.Context, topic, group string) ([]State, error)
	// Claim leases shard n of g. It returns an error that wraps [ErrHeld] if
	// somebody holds it, or [ErrShards] if g has no such shard.
	Claim(ctx context.Context, g Group, n int, owner string, lease time.Duration) (Claim, error)
	// Save stores c.Cursor and c.Tries and extends the lease to now+lease. One
	// that moves the cursor begins Died anew.
	Save(ctx context.Context, c Claim, lease time.Duration) error
	// Release frees the shard for the next claim, which finds Died and Tries
	// at zero.
	Release(ctx context.Context, c Claim) error
	// Park stores dead letters of the claimed shard, none of them Redriven.
	// One with a Pos was redriven and replaces what is there, unless that was
	// discarded meanwhile or is gone. One with none gets a Pos, unless a dead
	// letter of the group has the same Message.Cursor, which it then replaces.
	Park(ctx context.Context, c Claim, ds []DeadLetter) error
	// Unpark removes the dead letters at pos: they were handled.
	Unpark(ctx context.Context, c Claim, pos []int64) error
	// Parked returns up to max dead letters that match f with a Pos above
	// after, in the order of Pos.
	Parked(ctx context.Context, f Filter, after int64, max int) ([]DeadLetter, error)
	// ParkedAt returns those of cs at which the group has a dead letter,
	// discarded ones too.
	ParkedAt(ctx context.Context, topic, group string, cs []Cursor) ([]Cursor, error)
	// Redrive marks the dead letters that match f as Redriven and returns how
	// many it marked anew. Discarded ones are passed over.
	Redrive(ctx context.Context, f Filter) (int, error)
	// Discard marks the dead letters of an ID as discarded for reason,
	// removes their data and header, and reports whether there was one.
	Discard(ctx context.Context, topic, group, id, reason string) (bool, error)
}

// A Store is a log that callers' transactions reach and that keeps its groups
// too, as sqlstore's does.
type Store interface {
	TxLog
	Groups
}

// A Group names the readers of a topic that share its events.
type Group struct {
	Topic, Name string
	// Shards is how many parts it has.
	Shards int
}

// A Claim is a shard in its holder's hands.
type Claim struct {
	Group
	// Shard is which, from 0 to Shards-1.
	Shard int
	// Epoch is that of the grant.
	Epoch int64
	// Cursor is how far the group has come: everything up to it was handled
	// or parked.
	Cursor Cursor
	// Died is how many leases of the shard in a row have run out in their
	// holders' hands without the cursor having moved.
	Died int
	// Tries is how often the event that follows Cursor was begun with no
	// other beside it; see Save.
	Tries int
}

// A State is how a shard stands.
type State struct {
	Claim
	// Owner names who holds it, for people; empty when it is free.
	Owner string
	// Until is when the lease runs out, Saved when the cursor was last saved.
	Until, Saved time.Time
}

// A Filter selects dead letters: those that match every field that is set.
type Filter struct {
	// Topic and Group are always set.
	Topic, Group string
	Key, ID      string
	// Redriven selects those that wait to be handled again, and only those.
	Redriven bool
	// Discarded selects the discarded ones, which are passed over otherwise.
	Discarded bool
	// Shard and Shards select as those of [Read] do.
	Shard, Shards int
}

// A DeadLetter is an event that a group could not handle. It stays until it
// is redriven and then handled.
type DeadLetter struct {
	// Message is the event, as it was.
	Message      Message
	Topic, Group string
	// Pos orders dead letters by when they were first parked, above zero.
	Pos int64
	// Reason is why: "exhausted" (its attempts were used up), "permanent"
	// (the handler's error says that repeating does not help), "later" (it
	// asks for a longer wait than allowed), "unreadable", or "crashed" (the
	// process that handled it died).
	Reason string
	// Error is the text of the last error, cut at 1 KiB.
	Error string
	// Attempts counts them, over all redrives.
	Attempts int
	// At is when it was parked last.
	At time.Time
	// Redriven says that it is to be handled again as soon as the group runs.
	Redriven bool
	// Discarded is the reason it was discarded for, if it was; data and
	// header are gone then.
	Discarded string
}

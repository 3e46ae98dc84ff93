package fireforget

import (
	"context"
	"database/sql"
	"time"

	"github.com/crosstie/crosstie/outcome"
)

// A Store keeps messages from the moment they are accepted until they have
// landed, and after that those that were parked. It is the port behind
// [Outbox], [Relay] and [DeadLetters]; most programs only pass one on.
//
// Everything below is safe for concurrent use, in one process and in many.
// Methods return raw errors and do not retry; callers do. No method keeps a
// slice it was given or later changes one it returned. Each call is one
// transaction: all of it or nothing. What is written is durable on return. The store's clock, not the caller's, decides what
// is due and which lease has run out.
//
// # Two kinds of claims
//
// A message with no key (Lane 0) is claimed by itself, under an epoch of its
// own that grows with every claim. Messages with a key are claimed through
// lanes: (To, Lane) is leased, under an epoch of the lane that grows with
// every grant, and only its holder sees and settles the lane's messages. A
// message with a key is never handed out while an earlier one of its key is
// in the store, unless both are in the same answer, in order.
type Store interface {
	// Add accepts all entries or none. An entry whose Sum is not empty was
	// named by its sender: if an entry of that ID was accepted before, it is
	// skipped when the Sum is the same, and else the error wraps
	// [ErrReused], in an [*Error] with the ID. Among entries of one key the
	// order is the order of the slice. If the store holds max messages or
	// more that are neither landed nor parked the error wraps [ErrFull]; the
	// count may be up to a second old. A max of zero is no limit.
	Add(ctx context.Context, es []Entry, max int64) error
	// Claim leases due messages for c.Lease and returns them, at most Max of
	// each destination. None due is an empty answer. Messages to other
	// destinations are not touched. What is returned stays with the claimer
	// until it is settled, handed back or its lease has run out.
	Claim(ctx context.Context, c Claim) ([]Entry, error)
	// Settle applies rs in order. A result whose epoch is no longer the last
	// one granted, or whose message is gone, changes nothing and its index is
	// in lost; the others hold.
	Settle(ctx context.Context, rs []Result) (lost []int, err error)
	// Added returns a channel that is closed when messages may have been
	// added by this process. Take it before Claim, and wait on it after.
	Added() <-chan struct{}
	// Parked returns up to max dead letters that match f with a Pos above
	// after, in the order of Pos. No more is an empty answer.
	Parked(ctx context.Context, f Filter, after int64, max int) ([]DeadLetter, error)
	// Redrive puts up to max dead letters that match f back, the oldest
	// first: each enters as if sent now, behind the messages of its key, with
	// no attempts counted, no Expires, and its history kept. Their keys are
	// no longer stopped, but for those of which there is a dead letter above
	// through: they stopped anew. Discarded ones are passed over. It returns
	// how many, and in upTo the largest Pos there was: the next call passes it
	// as through, so that what is parked anew meanwhile is not redriven again.
	// A through of zero is no limit.
	Redrive(ctx context.Context, f Filter, through int64, max int) (n int, upTo int64, err error)
	// Discard marks the dead letter of id as discarded for reason and removes
	// its body and header. If no other dead letter of its key is left, the
	// key is no longer stopped. It returns false if there is no such dead
	// letter, or it was discarded before.
	Discard(ctx context.Context, id, reason string) (bool, error)
	// Forget removes the record, used by Add to recognise an ID sent again,
	// of up to max messages accepted before before that are not in the store
	// any more, and returns how many.
	Forget(ctx context.Context, before time.Time, max int) (int, error)
}

// A TxStore is a Store in a database that the caller's transactions reach.
type TxStore interface {
	Store
	// AddTx is Add inside tx: the entries are accepted when tx commits.
	AddTx(ctx context.Context, tx *sql.Tx, es []Entry, max int64) error
	// Wake closes the channels of Added.
	Wake()
}

// An Entry is an item as stores keep it.
type Entry struct {
	Item
	// Lane is 0 for an item with no key, else its lane in its destination,
	// from 1 on. The sender decides it.
	Lane int
	// Sum is a fingerprint of the content, 32 bytes, when the sender chose
	// the ID; else empty.
	Sum string
	// Seq is the store's position of the item, above zero, set by Claim.
	Seq int64
	// Epoch is the epoch of the claim, set by Claim: the lane's, or the
	// item's own.
	Epoch int64
}

// A Claim asks for work.
type Claim struct {
	// Owner names the claimer, for people.
	Owner string
	// Lease is how long the claim lasts unless it is extended.
	Lease time.Duration
	// Wants has one element for each destination.
	Wants []Want
}

// A Want asks for work of one destination.
type Want struct {
	To string
	// Max is how many items to return, lanes and others together.
	Max int
	// Held are the lanes of To that the claimer holds and wants to read on.
	Held []Held
}

// A Held is a lane that its claimer reads on.
type Held struct {
	Lane  int
	Epoch int64
	// Busy are the keys of which the claimer has unsettled items: no items of
	// them are returned.
	Busy []string
}

// A Result is what became of one claimed item or lane.
type Result struct {
	To string
	// Key is the item's, empty when Lane is 0.
	Key string
	// Lane and Epoch are those of the claim.
	Lane  int
	Epoch int64
	// Seq is the item's; zero means the lane itself, which can only be
	// extended or handed back.
	Seq int64
	// Tried is the item's Attempt as it was claimed: see [Again].
	Tried   int
	Verdict Verdict
	// Lease is the new length of the lease from now on, for Extend.
	Lease time.Duration
	// Next is how long the item waits for its next attempt, for Again.
	Next time.Duration
	// Attempt is added to the history by Again and Park, unless its At is
	// zero.
	Attempt Attempt
	// Reason says why, for Park.
	Reason string
	// Stop stops the key as well, for Park: messages of the key that are in
	// the store or come later are parked too when they would be claimed,
	// until the key is redriven.
	Stop bool
}

// A Verdict is what to do with a claimed item or lane.
type Verdict int

const (
	// Extend renews the lease.
	Extend Verdict = iota
	// Landed removes the item: it was delivered.
	Landed
	// Again counts an attempt and makes the item due after Next. Later
	// messages of its key wait behind it. If more than Tried attempts of an
	// item in a lane were counted already, it changes nothing and is not
	// lost: it was written before, by a Settle whose commit was not
	// confirmed.
	Again
	// Park moves the item to the dead letters.
	Park
	// HandBack ends the claim of an item or of a lane; the item is due at
	// once and no attempt is counted. It does nothing for an item in a lane.
	HandBack
)

// A Filter selects dead letters: those that match every field that is set.
type Filter struct {
	To, Key, ID string
	// Since and Before bound the instant of parking: from Since on, before
	// Before.
	Since, Before time.Time
	// Discarded selects the discarded ones, and only those.
	Discarded bool
}

// A DeadLetter is a message that was parked. It stays until it is redriven.
type DeadLetter struct {
	// Item is the message; Attempt in it counts the attempts since it was
	// sent or last redriven.
	Item Item
	// Pos orders dead letters by when they were parked.
	Pos      int64
	ParkedAt time.Time
	// Reason is why: "exhausted", "permanent", "expired" or "key stopped".
	Reason string
	// Discarded is the reason it was discarded for, if it was; its body and
	// header are gone then.
	Discarded string
	// History has the attempts, the oldest first, across redrives: at most
	// the first and the last 31.
	History []Attempt
}

// An Attempt is the record of one delivery that failed.
type Attempt struct {
	At   time.Time     `json:"at"`
	Took time.Duration `json:"took"` // nanoseconds in JSON
	// Status is the HTTP status, if there was one.
	Status int `json:"status,omitempty"`
	// Known says whether it took effect there.
	Known outcome.Outcome `json:"known"`
	// Error is the text of the error, cut at 1 KiB.
	Error string `json:"error"`
}

// keptAttempts is how long a history may be: the first attempt says how it
// began, the last ones how it is.
const keptAttempts = 32

// AddAttempt returns history with a appended, cut as [DeadLetter] says. It
// returns history as it is when a is zero. It is for stores.
func AddAttempt(history []Attempt, a Attempt) []Attempt {
	if a.At.IsZero() {
		return history
	}
	if len(history) < keptAttempts {
		return append(history[:len(history):len(history)], a)
	}
	cut := make([]Attempt, 0, keptAttempts)
	cut = append(cut, history[0])
	cut = append(cut, history[len(history)-keptAttempts+2:]...)
	return append(cut, a)
}

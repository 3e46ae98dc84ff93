package pubsub

import (
	"context"
	"iter"
	"strings"
)

// DeadLetters shows the events that a group could not handle and lets them be
// handled again. They stay until they are redriven and then handled; nothing
// removes them by itself. It is safe for concurrent use, also while the group
// runs.
type DeadLetters struct {
	groups       Groups
	topic, group string
}

// NewDeadLetters returns the dead letters of a group of a topic, for tools
// that have no handler. It panics if groups is nil.
func NewDeadLetters(groups Groups, topic, group string) *DeadLetters {
	if groups == nil {
		panic("pubsub: NewDeadLetters needs a store: use NewMem or one of sqlstore")
	}
	return &DeadLetters{groups: groups, topic: topic, group: group}
}

const deadPage = 100

// All returns the dead letters in the order they were parked, without those
// that were discarded, and ends with an error if reading fails. It reads page
// by page and holds nothing open in between, so the loop may redrive and
// discard.
func (d *DeadLetters) All(ctx context.Context) iter.Seq2[DeadLetter, error] {
	return d.list(ctx, false)
}

// Discarded returns those that were discarded.
func (d *DeadLetters) Discarded(ctx context.Context) iter.Seq2[DeadLetter, error] {
	return d.list(ctx, true)
}

func (d *DeadLetters) list(ctx context.Context, discarded bool) iter.Seq2[DeadLetter, error] {
	return func(yield func(DeadLetter, error) bool) {
		var after int64
		for {
			ls, err := d.groups.Parked(ctx, Filter{Topic: d.topic, Group: d.group, Discarded: discarded}, after, deadPage)
			if err != nil {
				yield(DeadLetter{}, failed("list", d.topic, d.group, "", err))
				return
			}
			for _, l := range ls {
				if !yield(l, nil) {
					return
				}
				after = l.Pos
			}
			if len(ls) == 0 {
				return
			}
		}
	}
}

// Redrive has the dead letters of ids handled again, or all of them if there
// are no ids, and returns how many were marked for it. A running subscription
// of the group takes them at its next poll; each is a dead letter until its handler has returned nil, and is
// parked anew if its attempts are used up again, or if the process that
// handles it dies.
//
// A redriven event comes late: it is handled behind the events of its key that
// are being handled at that moment, and after all that were handled since it
// was parked. A handler for which that matters looks at Event.Time.
func (d *DeadLetters) Redrive(ctx context.Context, ids ...string) (n int, err error) {
	f := Filter{Topic: d.topic, Group: d.group}
	if len(ids) == 0 {
		n, err = d.groups.Redrive(ctx, f)
		if err != nil {
			return n, failed("redrive", d.topic, d.group, "", err)
		}
		return n, nil
	}
	for _, id := range ids {
		if f.ID = id; id == "" {
			return n, failed("redrive", d.topic, d.group, "", &FieldError{Field: "ID", Reason: "is empty: it would mean all of them", err: ErrInvalid})
		}
		k, err := d.groups.Redrive(ctx, f)
		n += k
		if err != nil {
			return n, failed("redrive", d.topic, d.group, id, err)
		}
	}
	return n, nil
}

// Discard gives up the dead letter of id for good: its data and header are
// removed; the rest and the reason stay, and [DeadLetters.Discarded] shows
// them. One that does not exist, or was discarded before, is no error.
func (d *DeadLetters) Discard(ctx context.Context, id, reason string) error {
	if id == "" {
		return failed("discard", d.topic, d.group, "", &FieldError{Field: "ID", Reason: "is empty", err: ErrInvalid})
	}
	if reason == "" {
		return failed("discard", d.topic, d.group, id, &FieldError{Field: "reason", Reason: "is empty: say why, for those who find it", err: ErrInvalid})
	}
	if _, err := d.groups.Discard(ctx, d.topic, d.group, id, reason); err != nil {
		return failed("discard", d.topic, d.group, id, err)
	}
	return nil
}

// Reasons of a dead letter.
const (
	reasonExhausted  = "exhausted"
	reasonPermanent  = "permanent"
	reasonLater      = "later"
	reasonUnreadable = "unreadable"
	reasonCrashed    = "crashed"
)

// maxError is how much of an error's text a dead letter keeps.
const maxError = 1 << 10

// textOf is the text of err for a dead letter, in valid UTF-8.
func textOf(err error) string {
	s := err.Error()
	if len(s) > maxError {
		s = s[:maxError]
	}
	return strings.ToValidUTF8(s, "")
}

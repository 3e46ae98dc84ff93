package fireforget

import (
	"context"
	"iter"
)

// DeadLetters shows the messages that were parked and lets them go again.
// They stay until they are redriven; nothing removes them by itself.
// It is safe for concurrent use, also while relays run.
type DeadLetters struct{ store Store }

// NewDeadLetters returns the dead letters of store. It panics if store is
// nil.
func NewDeadLetters(store Store) *DeadLetters {
	if store == nil {
		panic("fireforget: NewDeadLetters needs a store: use NewMem or one of sqlstore")
	}
	return &DeadLetters{store: store}
}

// page is how many dead letters are read or redriven in one transaction.
const page = 100

// All returns the dead letters that match f, in the order they were parked,
// and ends with an error if reading fails. It reads page by page and holds
// nothing open in between, so the loop may redrive and discard.
func (d *DeadLetters) All(ctx context.Context, f Filter) iter.Seq2[DeadLetter, error] {
	return func(yield func(DeadLetter, error) bool) {
		var after int64
		for {
			ls, err := d.store.Parked(ctx, f, after, page)
			if err != nil {
				yield(DeadLetter{}, failed("list", "", err))
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

// Redrive sends the dead letters that match f again, each with the ID and the
// history it had and a new schedule, behind the live messages of its key. It
// returns how many; after an error, how many before it. The zero Filter
// redrives all of them; what is parked anew while it works is left alone.
//
// A receiver refuses what is older than its inbox window, 8 days by default,
// because it cannot know any more whether it saw it.
func (d *DeadLetters) Redrive(ctx context.Context, f Filter) (n int, err error) {
	var through int64
	for {
		k, upTo, err := d.store.Redrive(ctx, f, through, page)
		if err != nil {
			return n, failed("redrive", f.ID, err)
		}
		n += k
		if k == 0 {
			return n, nil
		}
		through = upTo
	}
}

// Discard gives up the dead letter of id for good: its body and header are
// removed, its history and the reason stay and are found with
// Filter.Discarded. A dead letter that does not exist, or was discarded
// before, is no error.
func (d *DeadLetters) Discard(ctx context.Context, id, reason string) error {
	if _, err := d.store.Discard(ctx, id, reason); err != nil {
		return failed("discard", id, err)
	}
	return nil
}

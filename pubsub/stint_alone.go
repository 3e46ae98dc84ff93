package pubsub

import (
	"context"
	"errors"
	"time"
)

// An event that kills the process that handles it would kill the next one
// too, since no attempt is counted that nobody comes back from. To count
// durably before each handler would cost a commit an event. So a shard notes
// how often its holders died without the cursor having moved, and once that
// cannot be chance any more its next holder handles the events that were in the
// window one by one, each counted before it begins.

const (
	// chance is how many deaths in a row may have nothing to do with the
	// events.
	chance = 2
	// maxTries is how often an event is begun alone, if its attempts are not
	// fewer.
	maxTries = 3

	crashedText = "the process that handled the event died, or lost its lease"
)

// alone is how many events a new holder handles one by one.
func alone(o SubscribeOptions, c Claim) int {
	if c.Died < chance && c.Tries == 0 {
		return 0
	}
	return o.Window
}

// try counts an attempt at the event that is to be handled alone, or parks it
// if it had all of them, and returns what is to be passed over.
func (st *stint) try(ctx context.Context, ms []Message, over []Cursor) ([]Cursor, error) {
	st.mu.Lock()
	tries, careful := st.tries, st.alone > 0
	st.mu.Unlock()
	if !careful || len(ms) == 0 || len(over) > 0 || st.passesOver(ms[0]) {
		return over, nil
	}
	if tries >= min(st.o.Retry.MaxAttempts, maxTries) {
		d := DeadLetter{
			Message: ms[0], Topic: st.claim.Topic, Group: st.claim.Name,
			Reason: reasonCrashed, Error: crashedText, Attempts: tries, At: time.Now(),
		}
		if !st.write(func(ctx context.Context) error { return st.s.groups.Park(ctx, st.claimed(), []DeadLetter{d}) }) {
			return nil, context.Cause(st.held)
		}
		st.o.Logger.Error("event_parked", "topic", st.claim.Topic, "group", st.claim.Name, "id", ms[0].ID, "reason", reasonCrashed)
		return []Cursor{ms[0].Cursor}, nil
	}
	st.mu.Lock()
	st.tries = tries + 1
	st.mu.Unlock()
	err := st.save(ctx, true)
	if err != nil {
		st.mu.Lock()
		st.tries = tries
		st.mu.Unlock()
	}
	if errors.Is(err, ErrLost) {
		st.lose(err)
	}
	return over, err
}

// redriveOnce parks a redriven dead letter anew before it is handled, if the
// holder before died: that may have been its doing. It returns false if the
// shard was lost.
func (st *stint) redriveOnce(t *task) bool {
	if t.dead == nil || t.attempts > 0 || st.claimed().Died == 0 {
		return true
	}
	d := *t.dead
	d.Reason, d.Error, d.At = reasonCrashed, crashedText, time.Now()
	d.Attempts++
	return st.write(func(ctx context.Context) error { return st.s.groups.Park(ctx, st.claimed(), []DeadLetter{d}) })
}

package pubsub

import (
	"context"
	"errors"
	"slices"
	"time"
)

// windowBytes bounds the data of a shard in memory, but for one event.
const windowBytes = 16 << 20

// read reads until ctx ends, or the log does not have what follows.
func (st *stint) read(ctx context.Context) error {
	pause := st.o.Poll
	var looked time.Time // for redriven dead letters
	for ctx.Err() == nil {
		if looked.IsZero() || time.Since(looked) >= st.o.Poll {
			st.redrive(ctx)
			looked = time.Now()
		}
		appended := st.s.log.Appended(st.claim.Topic)
		events, bytes := st.room()
		if events <= 0 || bytes <= 0 {
			appended = nil // not until there is room
		} else {
			moved, err := st.readPage(ctx, events, bytes)
			switch {
			case ctx.Err() != nil:
				return nil
			case errors.Is(err, ErrGone):
				if err := st.gone(ctx, err); err != nil {
					return err
				}
				continue
			case err != nil:
				st.o.Logger.Warn("read_failed", "topic", st.claim.Topic, "group", st.claim.Name, "shard", st.claim.Shard, "error", err)
				sleep(ctx, pause)
				pause = min(2*pause, max(5*time.Second, st.o.Poll))
				continue
			}
			pause = st.o.Poll
			if moved {
				continue
			}
		}
		t := time.NewTimer(st.o.Poll)
		select {
		case <-ctx.Done():
		case <-appended:
		case <-st.kick:
		case <-t.C:
		}
		t.Stop()
	}
	return nil
}

// room says how much more may be read.
func (st *stint) room() (events, bytes int) {
	st.mu.Lock()
	defer st.mu.Unlock()
	events, bytes = min(st.o.Window-st.window, page), min(windowBytes-st.bytes, pageBytes)
	if st.alone > 0 {
		events = 1 - st.window
	}
	st.full = events <= 0 || bytes <= 0
	return events, bytes
}

// readPage reads on, and reports whether there was anything.
func (st *stint) readPage(ctx context.Context, events, bytes int) (moved bool, err error) {
	b, err := st.s.log.Read(ctx, st.claim.Topic, Read{
		After: st.after, Max: events, MaxBytes: bytes, Shard: st.claim.Shard, Shards: st.claim.Shards,
	})
	if err != nil {
		return false, err
	}
	if b.Through == st.after {
		st.caughtUp()
		return false, nil
	}
	over, err := st.parked(ctx, b.Messages)
	if err == nil {
		over, err = st.try(ctx, b.Messages, over)
	}
	if err != nil {
		return false, err
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, m := range b.Messages {
		t := &task{m: m, event: true}
		st.window++
		st.slots = append(st.slots, t)
		if slices.Contains(over, m.Cursor) || st.passesOver(m) {
			t.done, t.m.Data = true, nil
			continue
		}
		st.bytes += len(m.Data)
		st.enter(t)
	}
	st.through(b.Through)
	st.pass()
	st.dispatch()
	return true, nil
}

// passesOver reports whether events of m's type are not for the handler.
func (st *stint) passesOver(m Message) bool {
	return len(st.o.Types) > 0 && !slices.Contains(st.o.Types, m.Type)
}

// parked returns the cursors of those of ms that are dead letters: they are
// read again after a stop behind an event that waited, and they wait for
// somebody's decision, or have it.
func (st *stint) parked(ctx context.Context, ms []Message) ([]Cursor, error) {
	if !st.old || len(ms) == 0 {
		return nil, nil
	}
	cs := make([]Cursor, len(ms))
	for i, m := range ms {
		cs[i] = m.Cursor
	}
	return st.s.groups.ParkedAt(ctx, st.claim.Topic, st.claim.Name, cs)
}

// caughtUp notes that all was read that was there before the claim.
func (st *stint) caughtUp() {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.window == 0 {
		st.alone = 0
	}
	st.old = false
}

// through notes that there is nothing to do up to c. st.mu is held.
func (st *stint) through(c Cursor) {
	st.after = c
	if n := len(st.slots); n > 0 {
		last := st.slots[n-1]
		if last.m.Cursor == c {
			return
		}
		if !last.event {
			last.m.Cursor = c
			return
		}
	}
	st.slots = append(st.slots, &task{m: Message{Cursor: c}, done: true})
}

// pass moves the mark over what is done. st.mu is held.
func (st *stint) pass() {
	n := 0
	for n < len(st.slots) && st.slots[n].done {
		if st.slots[n].event {
			st.passed++
			st.alone = max(st.alone-1, 0)
			st.tries = 0
		}
		st.mark = st.slots[n].m.Cursor
		n++
	}
	if n == 0 {
		return
	}
	clear(st.slots[:n]) // the array lives on
	st.slots = st.slots[n:]
	if len(st.slots) == 0 {
		st.slots = nil
	}
	if st.passed >= max(st.o.Window/4, 1) || st.alone > 0 {
		wakeUp(st.urgent)
	}
	wakeUp(st.dirty)
}

// gone goes on behind what is missing, if the options say so.
func (st *stint) gone(ctx context.Context, err error) error {
	if st.o.Gone == GoneFail {
		return err
	}
	c, ferr := find(ctx, st.s.log, st.claim.Topic, Start{Latest: st.o.Gone == GoneLatest})
	if ferr != nil {
		if lasting(ferr) {
			return errors.Join(err, ferr)
		}
		sleep(ctx, st.o.Poll)
		return nil
	}
	st.o.Logger.Warn("history_gone", "topic", st.claim.Topic, "group", st.claim.Name, "shard", st.claim.Shard, "error", err)
	st.mu.Lock()
	defer st.mu.Unlock()
	st.tries = 0
	st.through(c)
	st.pass()
	return nil
}

// redrive takes up dead letters that somebody wants handled again.
func (st *stint) redrive(ctx context.Context) {
	f := Filter{Topic: st.claim.Topic, Group: st.claim.Name, Redriven: true, Shard: st.claim.Shard, Shards: st.claim.Shards}
	st.mu.Lock()
	clear(st.settled)
	alone := st.alone > 0
	st.mu.Unlock()
	if alone {
		return
	}
	var after int64
	for ctx.Err() == nil {
		ds, err := st.s.groups.Parked(ctx, f, after, deadPage)
		if err != nil {
			if ctx.Err() == nil {
				st.o.Logger.Warn("redrive_failed", "topic", st.claim.Topic, "group", st.claim.Name, "shard", st.claim.Shard, "error", err)
			}
			return
		}
		if len(ds) == 0 || !st.takeUp(ds) {
			return
		}
		after = ds[len(ds)-1].Pos
	}
}

// takeUp puts dead letters in their lanes, and reports whether there is room
// for more. The list is as old as the question: what has ended meanwhile is
// still in it.
func (st *stint) takeUp(ds []DeadLetter) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	for i := range ds {
		if len(st.redriven) >= deadPage {
			break
		}
		if d := &ds[i]; !st.redriven[d.Pos] && !st.settled[d.Pos] {
			st.redriven[d.Pos] = true
			st.bytes += len(d.Message.Data)
			st.enter(&task{m: d.Message, dead: d})
		}
	}
	st.dispatch()
	return len(st.redriven) < deadPage
}

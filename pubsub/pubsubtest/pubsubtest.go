// Package pubsubtest is the conformance kit of pubsub's stores: what passes it
// keeps the promises of package pubsub.
package pubsubtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/crosstie/crosstie/internal/id"
	"github.com/crosstie/crosstie/pubsub"
)

// A Store is a log that keeps its groups too.
type Store interface {
	pubsub.Log
	pubsub.Groups
}

// TestLog runs the kit of logs. open returns a new empty log each time; it may
// use t.Cleanup.
func TestLog(t *testing.T, open func(t *testing.T) pubsub.Log) {
	for _, c := range []struct {
		name string
		fn   func(k *kit)
	}{
		{"what is appended is read as it was", fields},
		{"slices are not kept", retention},
		{"pages pass over nothing", pages},
		{"a page is bounded in bytes, but for one message", pageBytes},
		{"topics do not see each other", topics},
		{"the end is an empty batch that stays", end},
		{"shards split a topic, keys stay together", shards},
		{"find the start, the end, and an instant", find},
		{"log time does not go back", logTime},
		{"a start that was trimmed", findTrimmed},
		{"what was trimmed is gone, loudly", gone},
		{"trim by count and by age", trim},
		{"trim in pages", trimPages},
		{"positions are not used twice", trimAll},
		{"foreign cursors are refused", foreign},
		{"behind", behind},
		{"appending wakes those who listen", appended},
		{"an ended context appends nothing", canceled},
		{"concurrent appends are whole and in order for each appender", concurrent},
		{"a reader that follows appenders passes over nothing", follow},
	} {
		t.Run(c.name, func(t *testing.T) { c.fn(&kit{T: t, log: open(t)}) })
	}
}

// TestGroups runs the kit of groups. open returns a new empty store each time,
// whose log is only used to get cursors. The kit uses leases of fractions of a
// second and the real clock: it waits for conditions, so that a slow machine
// makes it slow but not wrong.
func TestGroups(t *testing.T, open func(t *testing.T) Store) {
	for _, c := range []struct {
		name string
		fn   func(k *kit)
	}{
		{"a group is made once", create},
		{"a shard belongs to one", exclusive},
		{"shards are claimed one by one", claimShards},
		{"a saved cursor is there for the next", save},
		{"a lease that ran out passes on, and its zombie is refused", zombie},
		{"saving extends the lease", extend},
		{"a released shard is free at once", release},
		{"a claim tells how often holders died with the cursor where it is", died},
		{"no group begins where the log has nothing any more", createGone},
		{"seeking moves a group that nobody reads", seek},
		{"seeking changes the number of shards", seekShards},
		{"a dropped group begins anew", drop},
		{"states of all groups", states},
		{"dead letters stay, with what they were", park},
		{"parking again replaces", parkAgain},
		{"parking needs the shard", parkLost},
		{"dead letters by filter and page", filters},
		{"which events have dead letters", parkedAt},
		{"redrive marks, unpark removes", redrive},
		{"redriven dead letters by shard", redriveShards},
		{"a redriven one that fails is parked anew", redriveFails},
		{"discarding keeps the reason only", discard},
		{"groups and topics do not see each other", apart},
		{"trim keeps what a group has not passed", keepUnread},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := open(t)
			c.fn(&kit{T: t, log: s, g: s})
		})
	}
}

// kit is one test with its store.
type kit struct {
	*testing.T
	log pubsub.Log
	g   pubsub.Groups
}

func (k *kit) must(err error) {
	k.Helper()
	if err != nil {
		k.Fatal(err)
	}
}

func (k *kit) equal(what string, got, want any) {
	k.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		k.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

func (k *kit) is(what string, err, want error) {
	k.Helper()
	if !errors.Is(err, want) {
		k.Fatalf("%s: got %v, want %v", what, err, want)
	}
}

// until waits for a condition.
func (k *kit) until(what string, ok func() bool) {
	k.Helper()
	ctx, cancel := context.WithTimeout(k.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			k.Fatalf("never: %s", what)
		case <-tick.C:
		}
	}
}

func message(key, data string) pubsub.Message {
	return pubsub.Message{
		ID: id.New(), Source: "/kit", Type: "kit.tested", ContentType: "text/plain", Key: key,
		Time: time.Now().UTC().Truncate(time.Microsecond), Data: []byte(data),
	}
}

// append appends messages with the data given and no key.
func (k *kit) append(topic string, data ...string) {
	k.Helper()
	ms := make([]pubsub.Message, len(data))
	for i, d := range data {
		ms[i] = message("", d)
	}
	k.add(topic, ms...)
}

func (k *kit) add(topic string, ms ...pubsub.Message) {
	k.Helper()
	n, err := k.log.Append(k.Context(), topic, ms)
	k.must(err)
	k.equal("appended", n, len(ms))
}

func (k *kit) find(topic string, s pubsub.Start) pubsub.Cursor {
	k.Helper()
	c, err := k.log.Find(k.Context(), topic, s)
	k.must(err)
	if c == "" {
		k.Fatal("an empty cursor")
	}
	return c
}

func (k *kit) read(topic string, r pubsub.Read) pubsub.Batch {
	k.Helper()
	if r.MaxBytes == 0 {
		r.MaxBytes = 1 << 20
	}
	b, err := k.log.Read(k.Context(), topic, r)
	k.must(err)
	return b
}

// rest reads everything after c.
func (k *kit) rest(topic string, c pubsub.Cursor) (ms []pubsub.Message) {
	k.Helper()
	for {
		b := k.read(topic, pubsub.Read{After: c, Max: 7})
		ms = append(ms, b.Messages...)
		if b.Through == c {
			return ms
		}
		c = b.Through
	}
}

func data(ms []pubsub.Message) (ds []string) {
	for _, m := range ms {
		ds = append(ds, string(m.Data))
	}
	return ds
}

func same(a, b pubsub.Message) bool {
	return a.ID == b.ID && a.Source == b.Source && a.Type == b.Type && a.Subject == b.Subject && a.Schema == b.Schema &&
		a.ContentType == b.ContentType && a.Key == b.Key && a.Time.Equal(b.Time) && maps.Equal(a.Header, b.Header) &&
		string(a.Data) == string(b.Data)
}

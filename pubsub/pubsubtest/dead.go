package pubsubtest

import (
	"fmt"
	"slices"
	"time"

	"github.com/crosstie/crosstie/pubsub"
)

// dead appends messages and returns dead letters of them.
func (k *kit) dead(topic, name string, ms ...pubsub.Message) (ds []pubsub.DeadLetter) {
	k.Helper()
	c := k.find(topic, pubsub.Start{Latest: true})
	k.add(topic, ms...)
	for _, m := range k.rest(topic, c) {
		ds = append(ds, pubsub.DeadLetter{
			Message: m, Topic: topic, Group: name, Reason: "exhausted", Error: "no such thing", Attempts: 12,
			At: time.Now().UTC().Truncate(time.Microsecond),
		})
	}
	return ds
}

func (k *kit) parked(f pubsub.Filter) []pubsub.DeadLetter {
	k.Helper()
	f.Topic, f.Group = "t", "g"
	ds, err := k.g.Parked(k.Context(), f, 0, 1000)
	k.must(err)
	return ds
}

func ids(ds []pubsub.DeadLetter) (s []string) {
	for _, d := range ds {
		s = append(s, d.Message.ID)
	}
	return s
}

func park(k *kit) {
	k.made(group(1))
	c := k.claim(group(1), 0, lease)
	m := message("key", "data")
	m.Header, m.Subject, m.Schema = map[string]string{"a": "b"}, "s", "urn:x"
	ds := k.dead("t", "g", m, message("", "2"))
	k.must(k.g.Park(k.Context(), c, ds[:1]))
	k.must(k.g.Park(k.Context(), c, ds[1:]))
	got := k.parked(pubsub.Filter{})
	k.equal("parked", ids(got), ids(ds))
	for i, d := range got {
		w := ds[i]
		if !same(d.Message, w.Message) || d.Message.Cursor != w.Message.Cursor || !d.Message.Appended.Equal(w.Message.Appended) ||
			d.Topic != "t" || d.Group != "g" || d.Reason != w.Reason || d.Error != w.Error || d.Attempts != w.Attempts ||
			!d.At.Equal(w.At) || d.Redriven || d.Discarded != "" || d.Pos <= 0 {
			k.Fatalf("got %+v, want %+v", d, w)
		}
	}
	// They outlive the claim, the group and the log's own copy.
	k.must(k.g.Release(k.Context(), c))
	k.must(k.g.Drop(k.Context(), "t", "g"))
	k.equal("after the group", len(k.parked(pubsub.Filter{})), 2)
}

func parkAgain(k *kit) {
	k.made(group(1))
	c := k.claim(group(1), 0, lease)
	ds := k.dead("t", "g", message("key", "1"), message("key", "2"))
	k.must(k.g.Park(k.Context(), c, ds))
	ds[0].Error, ds[0].Attempts = "another", 13
	k.must(k.g.Park(k.Context(), c, ds[:1])) // after a crash the event came again
	got := k.parked(pubsub.Filter{})
	k.equal("parked", ids(got), ids(ds))
	k.equal("replaced", fmt.Sprint(got[0].Error, got[0].Attempts), "another13")
}

func parkLost(k *kit) {
	k.made(group(1))
	c := k.claim(group(1), 0, lease)
	ds := k.dead("t", "g", message("key", "1"))
	k.must(k.g.Release(k.Context(), c))
	k.is("park", k.g.Park(k.Context(), c, ds), pubsub.ErrLost)
	k.is("unpark", k.g.Unpark(k.Context(), c, []int64{1}), pubsub.ErrLost)
	k.equal("parked", len(k.parked(pubsub.Filter{})), 0)
}

func filters(k *kit) {
	k.made(group(1))
	c := k.claim(group(1), 0, lease)
	var ms []pubsub.Message
	for i := range 10 {
		ms = append(ms, message(fmt.Sprint("key", i%2), fmt.Sprint(i)))
	}
	ds := k.dead("t", "g", ms...)
	k.must(k.g.Park(k.Context(), c, ds))
	k.equal("by key", len(k.parked(pubsub.Filter{Key: "key1"})), 5)
	k.equal("by ID", ids(k.parked(pubsub.Filter{ID: ms[3].ID})), []string{ms[3].ID})
	var after int64
	var got []string
	for {
		page, err := k.g.Parked(k.Context(), pubsub.Filter{Topic: "t", Group: "g"}, after, 3)
		k.must(err)
		if len(page) == 0 {
			break
		}
		got = append(got, ids(page)...)
		after = page[len(page)-1].Pos
	}
	k.equal("in pages", got, ids(ds))
}

func parkedAt(k *kit) {
	k.made(group(1))
	c := k.claim(group(1), 0, lease)
	ds := k.dead("t", "g", message("a", "1"), message("b", "2"), message("b", "3"))
	k.must(k.g.Park(k.Context(), c, ds[:2]))
	_, err := k.g.Discard(k.Context(), "t", "g", ds[0].Message.ID, "sold out")
	k.must(err)
	var cs []pubsub.Cursor
	for _, d := range ds {
		cs = append(cs, d.Message.Cursor)
	}
	at := func(name string, cs []pubsub.Cursor) []pubsub.Cursor {
		got, err := k.g.ParkedAt(k.Context(), "t", name, cs)
		k.must(err)
		slices.Sort(got)
		return got
	}
	k.equal("parked", at("g", cs), cs[:2])
	k.equal("of the rest", at("g", cs[2:]), []pubsub.Cursor{})
	k.equal("of none", at("g", nil), []pubsub.Cursor{})
	k.equal("of another group", at("h", cs), []pubsub.Cursor{})
}

func redrive(k *kit) {
	k.made(group(1))
	c := k.claim(group(1), 0, lease)
	ds := k.dead("t", "g", message("a", "1"), message("b", "2"), message("b", "3"))
	k.must(k.g.Park(k.Context(), c, ds))
	k.equal("none wait", len(k.parked(pubsub.Filter{Redriven: true})), 0)
	for _, want := range []int{1, 0} {
		n, err := k.g.Redrive(k.Context(), pubsub.Filter{Topic: "t", Group: "g", ID: ds[1].Message.ID})
		k.must(err)
		k.equal("marked", n, want)
	}
	waiting := k.parked(pubsub.Filter{Redriven: true})
	k.equal("waiting", ids(waiting), ids(ds[1:2]))
	k.equal("marked in the list", k.parked(pubsub.Filter{})[1].Redriven, true)
	n, err := k.g.Redrive(k.Context(), pubsub.Filter{Topic: "t", Group: "g", Key: "b"})
	k.must(err)
	k.equal("marked by key", n, 1)
	k.must(k.g.Unpark(k.Context(), c, []int64{waiting[0].Pos}))
	k.equal("left", ids(k.parked(pubsub.Filter{})), []string{ds[0].Message.ID, ds[2].Message.ID})
}

func redriveShards(k *kit) {
	const n = 4
	k.made(group(n))
	var ms []pubsub.Message
	for i := range 40 {
		ms = append(ms, message(fmt.Sprint("key", i), ""), message("", ""))
	}
	all := k.dead("t", "g", ms...)
	for shard := range n {
		c := k.claim(group(n), shard, lease)
		for _, d := range all {
			if pubsub.ShardOf(d.Message, n) == shard {
				k.must(k.g.Park(k.Context(), c, []pubsub.DeadLetter{d}))
			}
		}
	}
	marked, err := k.g.Redrive(k.Context(), pubsub.Filter{Topic: "t", Group: "g"})
	k.must(err)
	k.equal("marked", marked, len(all))
	total := 0
	for shard := range n {
		for _, d := range k.parked(pubsub.Filter{Redriven: true, Shard: shard, Shards: n}) {
			k.equal("shard", pubsub.ShardOf(d.Message, n), shard)
			total++
		}
	}
	k.equal("all", total, len(all))
}

func redriveFails(k *kit) {
	k.made(group(1))
	c := k.claim(group(1), 0, lease)
	k.must(k.g.Park(k.Context(), c, k.dead("t", "g", message("a", "1"))))
	_, err := k.g.Redrive(k.Context(), pubsub.Filter{Topic: "t", Group: "g"})
	k.must(err)
	d := k.parked(pubsub.Filter{Redriven: true})[0]
	d.Attempts, d.Error = 24, "still"
	k.must(k.g.Park(k.Context(), c, []pubsub.DeadLetter{d}))
	got := k.parked(pubsub.Filter{})
	k.equal("one", len(got), 1)
	k.equal("as it is now", fmt.Sprint(got[0].Pos, got[0].Attempts, got[0].Error, got[0].Redriven), fmt.Sprint(d.Pos, 24, "still", false))
	// Somebody decided meanwhile.
	_, err = k.g.Discard(k.Context(), "t", "g", d.Message.ID, "sold out")
	k.must(err)
	k.must(k.g.Park(k.Context(), c, []pubsub.DeadLetter{d}))
	k.equal("still discarded", len(k.parked(pubsub.Filter{})), 0)
	k.must(k.g.Unpark(k.Context(), c, []int64{d.Pos}))
	k.must(k.g.Park(k.Context(), c, []pubsub.DeadLetter{d}))
	k.equal("gone stays gone", len(k.parked(pubsub.Filter{}))+len(k.parked(pubsub.Filter{Discarded: true})), 0)
}

func discard(k *kit) {
	k.made(group(1))
	c := k.claim(group(1), 0, lease)
	m := message("a", "1")
	m.Header = map[string]string{"a": "b"}
	ds := k.dead("t", "g", m, message("a", "2"))
	k.must(k.g.Park(k.Context(), c, ds))
	for _, want := range []bool{true, false} {
		found, err := k.g.Discard(k.Context(), "t", "g", m.ID, "sold out")
		k.must(err)
		k.equal("found", found, want)
	}
	k.equal("left", ids(k.parked(pubsub.Filter{})), ids(ds[1:]))
	gone := k.parked(pubsub.Filter{Discarded: true})
	k.equal("discarded", ids(gone), ids(ds[:1]))
	k.equal("reason", gone[0].Discarded, "sold out")
	k.equal("nothing of what it held", len(gone[0].Message.Data)+len(gone[0].Message.Header), 0)
	n, err := k.g.Redrive(k.Context(), pubsub.Filter{Topic: "t", Group: "g"})
	k.must(err)
	k.equal("redriven", n, 1)
}

func apart(k *kit) {
	k.made(group(1))
	other := pubsub.Group{Topic: "t", Name: "h", Shards: 1}
	k.made(other)
	far := pubsub.Group{Topic: "u", Name: "g", Shards: 1}
	k.made(far)
	for _, g := range []pubsub.Group{group(1), other, far} {
		c := k.claim(g, 0, lease)
		k.must(k.g.Park(k.Context(), c, k.dead(g.Topic, g.Name, message("a", "1"))))
	}
	k.equal("one", len(k.parked(pubsub.Filter{})), 1)
	n, err := k.g.Redrive(k.Context(), pubsub.Filter{Topic: "t", Group: "g"})
	k.must(err)
	k.equal("marked", n, 1)
	ds, err := k.g.Parked(k.Context(), pubsub.Filter{Topic: "t", Group: "h", Redriven: true}, 0, 10)
	k.must(err)
	k.equal("of the other", len(ds), 0)
	// The same event may be dead in two groups.
	m := message("a", "same")
	for _, g := range []pubsub.Group{group(1), other} {
		ss, err := k.g.States(k.Context(), g.Topic, g.Name)
		k.must(err)
		k.must(k.g.Park(k.Context(), ss[0].Claim, k.dead(g.Topic, g.Name, m)))
	}
	k.equal("two", len(k.parked(pubsub.Filter{})), 2)
}

package pubsubtest

import (
	"errors"
	"fmt"
	"time"

	"github.com/crosstie/crosstie/pubsub"
)

// lease is long enough where a test needs it to last, and short is to be
// waited out.
const (
	lease = time.Minute
	short = 50 * time.Millisecond
)

func group(shards int) pubsub.Group { return pubsub.Group{Topic: "t", Name: "g", Shards: shards} }

// made makes the group at the start of the topic.
func (k *kit) made(g pubsub.Group) pubsub.Cursor {
	k.Helper()
	c := k.find(g.Topic, pubsub.Start{})
	k.must(k.g.Create(k.Context(), g, c))
	return c
}

func (k *kit) claim(g pubsub.Group, n int, d time.Duration) pubsub.Claim {
	k.Helper()
	c, err := k.g.Claim(k.Context(), g, n, "owner", d)
	k.must(err)
	return c
}

func create(k *kit) {
	first := k.find("t", pubsub.Start{})
	k.must(k.g.Create(k.Context(), group(2), first))
	k.append("t", "1")
	k.must(k.g.Create(k.Context(), group(2), k.find("t", pubsub.Start{Latest: true})))
	k.is("other shards", k.g.Create(k.Context(), group(3), first), pubsub.ErrShards)
	c := k.claim(group(2), 1, lease)
	k.equal("cursor", c.Cursor, first)
	k.equal("claim", fmt.Sprint(c.Topic, c.Name, c.Shards, c.Shard), "tg2 1")
	if c.Epoch < 1 {
		k.Fatalf("epoch %d", c.Epoch)
	}
}

func exclusive(k *kit) {
	k.made(group(1))
	k.claim(group(1), 0, lease)
	_, err := k.g.Claim(k.Context(), group(1), 0, "other", lease)
	k.is("second claim", err, pubsub.ErrHeld)
}

func claimShards(k *kit) {
	k.made(group(2))
	k.claim(group(2), 0, lease)
	k.claim(group(2), 1, lease)
	for _, g := range []pubsub.Group{group(3), {Topic: "t", Name: "none", Shards: 2}} {
		_, err := k.g.Claim(k.Context(), g, 0, "owner", lease)
		k.is("no such shard", err, pubsub.ErrShards)
	}
	_, err := k.g.Claim(k.Context(), group(2), 2, "owner", lease)
	k.is("no such shard", err, pubsub.ErrShards)
}

func save(k *kit) {
	k.append("t", "1", "2")
	at := k.made(group(2))
	c := k.claim(group(2), 0, lease)
	c.Cursor = k.find("t", pubsub.Start{Latest: true})
	k.must(k.g.Save(k.Context(), c, lease))
	k.must(k.g.Release(k.Context(), c))
	k.equal("cursor", k.claim(group(2), 0, lease).Cursor, c.Cursor)
	k.equal("the other shard's", k.claim(group(2), 1, lease).Cursor, at)
}

func zombie(k *kit) {
	k.append("t", "1")
	at := k.made(group(1))
	old := k.claim(group(1), 0, short)
	old.Cursor = k.find("t", pubsub.Start{Latest: true})
	var now pubsub.Claim
	k.until("the lease runs out", func() bool {
		c, err := k.g.Claim(k.Context(), group(1), 0, "other", lease)
		now = c
		return err == nil
	})
	if now.Epoch <= old.Epoch {
		k.Fatalf("epoch %d after %d", now.Epoch, old.Epoch)
	}
	k.equal("cursor", now.Cursor, at)
	k.is("save", k.g.Save(k.Context(), old, lease), pubsub.ErrLost)
	k.is("release", k.g.Release(k.Context(), old), pubsub.ErrLost)
	_, err := k.g.Claim(k.Context(), group(1), 0, "third", lease)
	k.is("still held", err, pubsub.ErrHeld)
	k.must(k.g.Save(k.Context(), now, lease))
}

func extend(k *kit) {
	k.made(group(1))
	c := k.claim(group(1), 0, short)
	k.must(k.g.Save(k.Context(), c, lease))
	begin := time.Now()
	k.until("the first lease would have run out", func() bool { return time.Since(begin) > 2*short })
	_, err := k.g.Claim(k.Context(), group(1), 0, "other", lease)
	k.is("extended", err, pubsub.ErrHeld)
	// A lease is never shortened.
	k.must(k.g.Save(k.Context(), c, time.Millisecond))
	begin = time.Now()
	k.until("some time", func() bool { return time.Since(begin) > 5*time.Millisecond })
	_, err = k.g.Claim(k.Context(), group(1), 0, "other", lease)
	k.is("not shortened", err, pubsub.ErrHeld)
}

func release(k *kit) {
	k.made(group(1))
	c := k.claim(group(1), 0, lease)
	k.must(k.g.Release(k.Context(), c))
	k.is("release again", k.g.Release(k.Context(), c), pubsub.ErrLost)
	k.is("save after", k.g.Save(k.Context(), c, lease), pubsub.ErrLost)
	next := k.claim(group(1), 0, lease)
	if next.Epoch <= c.Epoch {
		k.Fatalf("epoch %d after %d", next.Epoch, c.Epoch)
	}
}

func died(k *kit) {
	k.append("t", "1", "2")
	k.made(group(1))
	again := func() (c pubsub.Claim) {
		k.until("the lease runs out", func() bool {
			var err error
			c, err = k.g.Claim(k.Context(), group(1), 0, "owner", short)
			return err == nil
		})
		return c
	}
	is := func(what string, c pubsub.Claim, died, tries int) {
		k.Helper()
		k.equal(what, fmt.Sprint(c.Died, c.Tries), fmt.Sprint(died, tries))
	}
	is("the first", again(), 0, 0)
	is("the second", again(), 1, 0)
	c := again()
	is("the third", c, 2, 0)
	c.Tries = 1
	k.must(k.g.Save(k.Context(), c, short))
	c = again()
	is("after a save that does not move the cursor", c, 3, 1)
	c.Cursor, c.Tries = k.find("t", pubsub.Start{Latest: true}), 0
	k.must(k.g.Save(k.Context(), c, short))
	c = again()
	is("after one that does", c, 1, 0)
	c.Tries = 2
	k.must(k.g.Save(k.Context(), c, lease))
	k.must(k.g.Release(k.Context(), c))
	is("after a release", again(), 0, 0)
	ss, err := k.g.States(k.Context(), "t", "g")
	k.must(err)
	is("the state", ss[0].Claim, 0, 0)
}

func createGone(k *kit) {
	k.append("t", "1", "2", "3")
	c := k.find("t", pubsub.Start{})
	k.equal("trimmed", k.trim("t", pubsub.Retention{Count: 1}), 2)
	k.is("create", k.g.Create(k.Context(), group(1), c), pubsub.ErrGone)
	k.made(group(1))
	k.must(k.g.Create(k.Context(), group(1), c)) // it is there already
	now := k.claim(group(1), 0, lease)
	k.must(k.g.Release(k.Context(), now))
	k.is("seek", k.g.Seek(k.Context(), group(1), c), pubsub.ErrGone)
	k.equal("where it was", k.claim(group(1), 0, lease).Cursor, now.Cursor)
}

func seek(k *kit) {
	k.append("t", "1", "2")
	start := k.find("t", pubsub.Start{})
	latest := k.find("t", pubsub.Start{Latest: true})
	k.must(k.g.Seek(k.Context(), group(2), latest)) // makes it
	k.equal("made", k.claim(group(2), 0, short).Cursor, latest)
	one := k.claim(group(2), 1, lease)
	k.is("while it is read", k.g.Seek(k.Context(), group(2), start), pubsub.ErrHeld)
	k.must(k.g.Release(k.Context(), one))
	k.until("the other lease runs out", func() bool { return k.g.Seek(k.Context(), group(2), start) == nil })
	k.is("what was granted before is over", k.g.Save(k.Context(), one, lease), pubsub.ErrLost)
	for n := range 2 {
		c := k.claim(group(2), n, lease)
		k.equal("moved", c.Cursor, start)
		if c.Epoch <= one.Epoch {
			k.Fatalf("epoch %d after %d", c.Epoch, one.Epoch)
		}
	}
}

func seekShards(k *kit) {
	start := k.made(group(4))
	c := k.claim(group(4), 3, lease)
	k.must(k.g.Release(k.Context(), c))
	k.must(k.g.Seek(k.Context(), group(2), start))
	_, err := k.g.Claim(k.Context(), group(4), 3, "owner", lease)
	k.is("the old number", err, pubsub.ErrShards)
	if now := k.claim(group(2), 0, lease); now.Epoch <= c.Epoch {
		k.Fatalf("epoch %d after %d", now.Epoch, c.Epoch)
	}
	k.claim(group(2), 1, lease)
}

func drop(k *kit) {
	k.made(group(1))
	c := k.claim(group(1), 0, lease)
	k.is("while it is read", k.g.Drop(k.Context(), "t", "g"), pubsub.ErrHeld)
	k.must(k.g.Release(k.Context(), c))
	k.must(k.g.Drop(k.Context(), "t", "g"))
	k.must(k.g.Drop(k.Context(), "t", "g"))
	_, err := k.g.Claim(k.Context(), group(1), 0, "owner", lease)
	k.is("dropped", err, pubsub.ErrShards)
	k.made(group(1))
	k.claim(group(1), 0, lease)
	k.is("a claim of the one before", k.g.Save(k.Context(), c, lease), pubsub.ErrLost)
}

func states(k *kit) {
	c := k.made(group(2))
	k.made(pubsub.Group{Topic: "t", Name: "h", Shards: 1})
	k.made(pubsub.Group{Topic: "u", Name: "g", Shards: 1})
	k.claim(group(2), 1, lease)
	all, err := k.g.States(k.Context(), "t", "")
	k.must(err)
	k.equal("all", len(all), 3)
	mine, err := k.g.States(k.Context(), "t", "g")
	k.must(err)
	k.equal("mine", len(mine), 2)
	for n, s := range mine {
		k.equal("state", fmt.Sprint(s.Topic, s.Name, s.Shards, s.Shard, s.Cursor), fmt.Sprint("t", "g", 2, n, c))
		if time.Since(s.Saved) > time.Hour || s.Saved.IsZero() {
			k.Fatalf("saved %v", s.Saved)
		}
	}
	k.equal("owners", mine[0].Owner+"|"+mine[1].Owner, "|owner")
	if !mine[0].Until.IsZero() || time.Until(mine[1].Until) < lease/2 {
		k.Fatalf("until %v, %v", mine[0].Until, mine[1].Until)
	}
}

func keepUnread(k *kit) {
	k.append("t", numbers(1, 6)...)
	k.made(group(2))
	c := k.claim(group(2), 0, lease)
	c.Cursor = k.find("t", pubsub.Start{Latest: true})
	k.must(k.g.Save(k.Context(), c, lease))
	if n, err := k.log.Trim(k.Context(), "t", pubsub.Retention{Count: 1}, 100); !errors.Is(err, errors.ErrUnsupported) {
		k.must(err)
		k.equal("the other shard has read nothing", n, 0)
	}
	d := k.claim(group(2), 1, lease)
	d.Cursor = k.read("t", pubsub.Read{After: d.Cursor, Max: 2}).Through
	k.must(k.g.Save(k.Context(), d, lease))
	k.equal("what both have passed", k.trim("t", pubsub.Retention{Count: 1}), 2)
	k.equal("if it must be", k.trim("t", pubsub.Retention{Count: 1, DropUnread: true}), 3)
	k.equal("left", data(k.rest("t", k.find("t", pubsub.Start{}))), []string{"6"})
}

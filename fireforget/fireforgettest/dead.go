package fireforgettest

import (
	"fmt"
	"slices"
	"time"

	"github.com/crosstie/crosstie/fireforget"
)

// park parks what is added and returns it as it was claimed.
func (k *kit) park(es ...fireforget.Entry) {
	k.Helper()
	k.add(es...)
	got := k.claim("parker", lease, 1000)
	k.equal("claimed to park", len(got), len(es))
	for _, e := range got {
		r := result(e, fireforget.Park)
		r.Reason, r.Attempt = "permanent", failure("refused "+string(e.Body))
		k.ok(r)
		if e.Lane > 0 {
			k.settle(laneOf(e, fireforget.HandBack))
		}
	}
}

func parked(k *kit) {
	e := entry("", "body")
	e.Header = map[string]string{"A": "1"}
	k.add(e)
	for n := range 40 {
		c := k.claimed("a", lease, 1)[0]
		r := result(c, fireforget.Again)
		r.Attempt = failure(fmt.Sprint("failure ", n))
		k.ok(r)
	}
	c := k.claimed("a", lease, 1)[0]
	r := result(c, fireforget.Park)
	r.Reason, r.Attempt = "exhausted", failure("the last")
	before := time.Now().Add(-time.Second)
	k.ok(r)
	k.refused(every(c)...)
	k.equal("left", len(k.claim("b", lease, 10)), 0)

	ds := k.dead(fireforget.Filter{})
	k.equal("dead letters", len(ds), 1)
	d := ds[0]
	k.equal("ID", d.Item.ID, e.ID)
	k.equal("Body", string(d.Item.Body), "body")
	k.equal("Header", d.Item.Header, e.Header)
	k.equal("ContentType", d.Item.ContentType, e.ContentType)
	k.equal("Attempt", d.Item.Attempt, 41)
	k.equal("Reason", d.Reason, "exhausted")
	if d.ParkedAt.Before(before) || d.ParkedAt.After(time.Now().Add(time.Second)) {
		k.Fatalf("parked at %v", d.ParkedAt)
	}
	h := d.History
	k.equal("history", len(h), 32)
	k.equal("the first attempt", h[0].Error, "failure 0")
	k.equal("the next kept", h[1].Error, "failure 10")
	k.equal("the last attempt", h[31].Error, "the last")
	last := r.Attempt
	if !h[31].At.Equal(last.At) || h[31].Took != last.Took || h[31].Status != last.Status || h[31].Known != last.Known {
		k.Fatalf("got %+v, want %+v", h[31], last)
	}
}

func filters(k *kit) {
	other := entry("", "other")
	other.To = "other"
	k.add(other)
	es, err := k.s.Claim(k.Context(), fireforget.Claim{Owner: "a", Lease: lease, Wants: []fireforget.Want{{To: "other", Max: 1}}})
	k.must(err)
	r := result(es[0], fireforget.Park)
	r.Reason = "exhausted"
	k.ok(r)
	var ids []string
	for i := range 5 {
		e := entry("", fmt.Sprint(i))
		if i == 3 {
			e = entry("key", "3")
		}
		ids = append(ids, e.ID)
		k.park(e)
	}
	all := k.dead(fireforget.Filter{})
	k.equal("all", len(all), 6)
	if len(all[0].History) != 0 {
		k.Fatalf("parked without an attempt, but there is a history: %+v", all[0].History)
	}
	for what, c := range map[string]struct {
		f    fireforget.Filter
		want int
	}{
		"by destination": {fireforget.Filter{To: "dest"}, 5},
		"by key":         {fireforget.Filter{Key: "key"}, 1},
		"by ID":          {fireforget.Filter{ID: ids[2]}, 1},
		"by all":         {fireforget.Filter{ID: ids[3], Key: "key", To: "dest"}, 1},
		"by another key": {fireforget.Filter{ID: ids[2], Key: "key"}, 0},
		"since":          {fireforget.Filter{Since: all[4].ParkedAt}, len(since(all, all[4].ParkedAt))},
		"before":         {fireforget.Filter{Before: all[4].ParkedAt}, 6 - len(since(all, all[4].ParkedAt))},
		"discarded":      {fireforget.Filter{Discarded: true}, 0},
	} {
		k.equal(what, len(k.dead(c.f)), c.want)
	}
	var paged []string
	var after int64
	for {
		ds, err := k.s.Parked(k.Context(), fireforget.Filter{To: "dest"}, after, 2)
		k.must(err)
		if len(ds) == 0 {
			break
		}
		if len(ds) > 2 {
			k.Fatalf("a page of 2 has %d", len(ds))
		}
		for _, d := range ds {
			if d.Pos <= after {
				k.Fatalf("position %d after %d", d.Pos, after)
			}
			after = d.Pos
			paged = append(paged, d.Item.ID)
		}
	}
	k.equal("pages", paged, ids)
}

func since(ds []fireforget.DeadLetter, at time.Time) (out []fireforget.DeadLetter) {
	for _, d := range ds {
		if !d.ParkedAt.Before(at) {
			out = append(out, d)
		}
	}
	return out
}

func redrive(k *kit) {
	gone := entry("a", "a0")
	gone.Expires = time.Now().Add(time.Hour)
	k.park(gone)
	k.park(entry("", "free"))
	k.add(entry("a", "a1"))
	n, _, err := k.s.Redrive(k.Context(), fireforget.Filter{}, 0, 1)
	k.must(err)
	k.equal("redriven, at most one", n, 1)
	k.equal("left parked", len(k.dead(fireforget.Filter{})), 1)
	k.add(entry("a", "a2"))
	es := k.claim("a", lease, 10)
	k.equal("order", bodies(es), []string{"a1", "a0", "a2"})
	e := es[1]
	k.equal("ID", e.ID, gone.ID)
	k.equal("Attempt", e.Attempt, 0)
	if !e.Expires.IsZero() {
		k.Fatal("a redriven message must not expire at once")
	}
	r := result(e, fireforget.Park)
	r.Reason, r.Attempt = "permanent", failure("again")
	k.ok(result(es[0], fireforget.Landed), r)
	d := k.dead(fireforget.Filter{Key: "a"})[0]
	k.equal("history across a redrive", []string{d.History[0].Error, d.History[1].Error}, []string{"refused a0", "again"})
	n, _, err = k.s.Redrive(k.Context(), fireforget.Filter{Key: "none"}, 0, 10)
	k.must(err)
	k.equal("redriven of another key", n, 0)
}

func redriveThrough(k *kit) {
	k.park(entry("", "1"))
	k.park(entry("", "2"))
	n, upTo, err := k.s.Redrive(k.Context(), fireforget.Filter{}, 0, 1)
	k.must(err)
	k.equal("redriven", n, 1)
	e := k.claim("a", lease, 1)[0]
	r := result(e, fireforget.Park)
	r.Reason = "permanent"
	k.ok(r)
	n, again, err := k.s.Redrive(k.Context(), fireforget.Filter{}, upTo, 10)
	k.must(err)
	k.equal("redriven of those before", []any{n, again}, []any{1, upTo})
	k.equal("left", len(k.dead(fireforget.Filter{})), 1)
}

// redriveStopped: the first of a redrive fails again before the second page.
func redriveStopped(k *kit) {
	stopped := func(want string) {
		k.Helper()
		es := k.claim("a", lease, 1)
		k.equal("claimed", bodies(es), []string{want})
		r := result(es[0], fireforget.Park)
		r.Reason, r.Stop = "exhausted", true
		k.ok(r, laneOf(es[0], fireforget.HandBack))
	}
	k.add(entry("key", "1"), entry("key", "2"))
	stopped("1")
	k.equal("claimed behind it", len(k.claim("a", lease, 10)), 0)
	k.equal("parked", len(k.dead(fireforget.Filter{})), 2)
	n, upTo, err := k.s.Redrive(k.Context(), fireforget.Filter{}, 0, 1)
	k.must(err)
	k.equal("redriven", n, 1)
	stopped("1")
	n, _, err = k.s.Redrive(k.Context(), fireforget.Filter{}, upTo, 1)
	k.must(err)
	k.equal("redriven", n, 1)
	k.equal("claimed although the key stopped anew", len(k.claim("a", lease, 10)), 0)
	n, _, err = k.s.Redrive(k.Context(), fireforget.Filter{}, 0, 10)
	k.must(err)
	k.equal("redriven", n, 2)
	k.equal("in order", bodies(k.claim("a", lease, 10)), []string{"1", "2"})
}

func discard(k *kit) {
	e := entry("key", "secret")
	e.Header = map[string]string{"A": "1"}
	k.park(e)
	found, err := k.s.Discard(k.Context(), e.ID, "by ann: obsolete")
	k.must(err)
	k.equal("found", found, true)
	found, err = k.s.Discard(k.Context(), e.ID, "again")
	k.must(err)
	k.equal("found again", found, false)
	found, err = k.s.Discard(k.Context(), "unknown", "x")
	k.must(err)
	k.equal("unknown", found, false)
	k.equal("dead letters", len(k.dead(fireforget.Filter{})), 0)
	ds := k.dead(fireforget.Filter{Discarded: true})
	k.equal("discarded", len(ds), 1)
	k.equal("reason", ds[0].Discarded, "by ann: obsolete")
	if len(ds[0].Item.Body) != 0 || len(ds[0].Item.Header) != 0 || len(ds[0].History) != 1 {
		k.Fatalf("the history stays and the content goes: %+v", ds[0])
	}
	n, _, err := k.s.Redrive(k.Context(), fireforget.Filter{Discarded: true}, 0, 10)
	k.must(err)
	k.equal("redriven", n, 0)

	// A key stopped by a message that is discarded goes on.
	k.add(entry("s", "s0"))
	c := k.claim("a", lease, 1)[0]
	r := result(c, fireforget.Park)
	r.Reason, r.Stop = "exhausted", true
	k.ok(r, laneOf(c, fireforget.HandBack))
	_, err = k.s.Discard(k.Context(), c.ID, "x")
	k.must(err)
	k.add(entry("s", "s1"))
	got := k.claim("b", lease, 10)
	k.equal("after the discard", bodies(got), []string{"s1"})
	if slices.ContainsFunc(got, func(e fireforget.Entry) bool { return e.ID == c.ID }) {
		k.Fatal("a discarded message came back")
	}
}

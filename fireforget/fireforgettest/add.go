package fireforgettest

import (
	"errors"
	"strings"
	"time"

	"github.com/crosstie/crosstie/fireforget"
)

func fields(k *kit) {
	want := entry("", "body")
	want.Header = map[string]string{"A": "1", "B": "ü"}
	want.Expires = time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond)
	want.NotBefore = time.Now().Add(-time.Hour).UTC().Truncate(time.Microsecond)
	want.Body = []byte{0, 0xff, 'x'}
	k.add(want)
	es := k.claim("a", lease, 10)
	k.equal("messages", len(es), 1)
	got := es[0]
	if got.Seq <= 0 || got.Epoch <= 0 {
		k.Fatalf("Seq %d and Epoch %d must be above zero", got.Seq, got.Epoch)
	}
	k.equal("ID", got.ID, want.ID)
	k.equal("To", got.To, want.To)
	k.equal("Key", got.Key, want.Key)
	k.equal("ContentType", got.ContentType, want.ContentType)
	k.equal("Body", got.Body, want.Body)
	k.equal("Header", got.Header, want.Header)
	k.equal("Attempt", got.Attempt, 0)
	for name, at := range map[string][2]time.Time{
		"AcceptedAt": {got.AcceptedAt, want.AcceptedAt},
		"NotBefore":  {got.NotBefore, want.NotBefore},
		"Expires":    {got.Expires, want.Expires},
	} {
		if !at[0].Equal(at[1]) {
			k.Fatalf("%s: got %v, want %v", name, at[0], at[1])
		}
	}
	k.ok(result(got, fireforget.Landed))
	k.equal("left", len(k.claim("a", lease, 10)), 0)

	plain := entry("key", "")
	k.add(plain)
	got = k.claim("a", lease, 10)[0]
	if !got.NotBefore.IsZero() || !got.Expires.IsZero() {
		k.Fatalf("zero times must stay zero: %v, %v", got.NotBefore, got.Expires)
	}
	k.equal("Key", got.Key, "key")
	k.equal("Lane", got.Lane, plain.Lane)
}

func retention(k *kit) {
	e := entry("", "before")
	e.Header = map[string]string{"H": "before"}
	es := []fireforget.Entry{e}
	k.add(es...)
	copy(e.Body, "XXXXXX")
	e.Header["H"] = "X"
	es[0] = fireforget.Entry{}
	got := k.claim("a", lease, 1)[0]
	k.equal("Body", string(got.Body), "before")
	k.equal("Header", got.Header["H"], "before")
}

func others(k *kit) {
	e, f := entry("", "free"), entry("key", "keyed")
	e.To, f.To = "elsewhere", "elsewhere"
	k.add(e, f)
	k.equal("claimed", len(k.claim("a", lease, 10)), 0)
	es, err := k.s.Claim(k.Context(), fireforget.Claim{
		Owner: "b", Lease: lease, Wants: []fireforget.Want{{To: "elsewhere", Max: 10}},
	})
	k.must(err)
	k.equal("claimed by its own relay", len(es), 2)
}

func limits(k *kit) {
	for range 5 {
		e, f := entry("", "dest"), entry("", "other")
		f.To = "other"
		g, h := entry("k", "dest"), entry("k", "other")
		h.To = "other"
		k.add(e, f, g, h)
	}
	es, err := k.s.Claim(k.Context(), fireforget.Claim{Owner: "a", Lease: lease, Wants: []fireforget.Want{
		{To: "dest", Max: 3}, {To: "other", Max: 2}, {To: "unknown", Max: 9}, {To: "dest2", Max: 0},
	}})
	k.must(err)
	n := map[string]int{}
	for _, e := range es {
		n[e.To]++
		k.equal("body", string(e.Body), e.To)
	}
	k.equal("dest", n["dest"], 3)
	k.equal("other", n["other"], 2)
}

// share: a relay with room for one must not starve either kind.
func share(k *kit) {
	for range 40 {
		k.add(entry("", "free"), entry("key", "keyed"))
	}
	n := map[string]int{}
	for range 20 {
		es := k.claim("a", lease, 1)
		k.equal("claimed", len(es), 1)
		n[string(es[0].Body)]++
		k.ok(result(es[0], fireforget.Landed))
		if es[0].Lane > 0 {
			k.ok(laneOf(es[0], fireforget.HandBack))
		}
	}
	if n["free"] == 0 || n["keyed"] == 0 {
		k.Fatalf("in 20 claims of one: %v", n)
	}
}

func named(id, body string) fireforget.Entry {
	e := entry("", body)
	e.ID, e.Sum = id, strings.Repeat(body[:1], 32)
	return e
}

func dedupe(k *kit) {
	k.add(named("one", "a"))
	k.add(named("one", "a"))
	k.add(named("two", "b"), named("two", "b"))
	es := k.claim("a", lease, 10)
	k.equal("claimed", len(es), 2)
	err := k.s.Add(k.Context(), []fireforget.Entry{named("one", "x")}, 0)
	if !errors.Is(err, fireforget.ErrReused) {
		k.Fatalf("want ErrReused, got %v", err)
	}
	if e, ok := errors.AsType[*fireforget.Error](err); !ok || e.ID != "one" {
		k.Fatalf("the error must name the ID: %v", err)
	}
	for _, e := range es {
		k.ok(result(e, fireforget.Landed))
	}
	k.add(named("one", "a"))
	k.equal("claimed after it landed", len(k.claim("a", lease, 10)), 0)
}

func dedupeBatch(k *kit) {
	k.add(named("one", "a"))
	err := k.s.Add(k.Context(), []fireforget.Entry{named("new", "n"), entry("", "plain"), named("one", "x")}, 0)
	if !errors.Is(err, fireforget.ErrReused) {
		k.Fatalf("want ErrReused, got %v", err)
	}
	err = k.s.Add(k.Context(), []fireforget.Entry{named("new", "n"), named("new", "m")}, 0)
	if !errors.Is(err, fireforget.ErrReused) {
		k.Fatalf("want ErrReused within one batch, got %v", err)
	}
	k.equal("claimed", bodies(k.claim("a", lease, 10)), []string{"a"})
	k.add(named("new", "m"))
	k.equal("claimed", bodies(k.claim("a", lease, 10)), []string{"m"})
}

func forget(k *kit) {
	forgotten := func(want int) {
		k.Helper()
		n, err := k.s.Forget(k.Context(), time.Now().Add(time.Hour), 100)
		k.must(err)
		k.equal("forgotten", n, want)
	}
	k.add(named("one", "a"), named("two", "b"))
	forgotten(0) // both wait
	n, err := k.s.Forget(k.Context(), time.Now().Add(-time.Hour), 100)
	k.must(err)
	k.equal("forgotten", n, 0)
	for _, e := range k.claim("a", lease, 10) {
		if e.ID == "one" {
			k.ok(result(e, fireforget.Landed))
			continue
		}
		r := result(e, fireforget.Park)
		r.Reason = "exhausted"
		k.ok(r)
	}
	forgotten(1) // two is parked, and may be redriven
	k.add(named("one", "a"), named("two", "b"))
	k.equal("claimed", bodies(k.claim("a", lease, 10)), []string{"a"})
}

func full(k *kit) {
	for range 3 {
		k.must(k.s.Add(k.Context(), []fireforget.Entry{entry("", "x")}, 3))
	}
	// The count may be old, but not for long.
	k.until("ErrFull", func() bool {
		err := k.s.Add(k.Context(), []fireforget.Entry{entry("", "x")}, 3)
		if err != nil && !errors.Is(err, fireforget.ErrFull) {
			k.Fatal(err)
		}
		return err != nil
	})
	for _, e := range k.claim("a", lease, 100) {
		k.ok(result(e, fireforget.Landed))
	}
	k.until("room", func() bool { return k.s.Add(k.Context(), []fireforget.Entry{entry("", "x")}, 3) == nil })
}

func added(k *kit) {
	ch := k.s.Added()
	select {
	case <-ch:
		k.Fatal("the channel was closed before anything was added")
	default:
	}
	k.add(entry("", "x"))
	timeout := time.NewTimer(30 * time.Second)
	defer timeout.Stop()
	select {
	case <-ch:
	case <-timeout.C:
		k.Fatal("the channel was not closed")
	}
}

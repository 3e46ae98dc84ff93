package pubsubtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/crosstie/crosstie/pubsub"
)

func fields(k *kit) {
	full := pubsub.Message{
		ID: "id-1", Source: "https://example.com/shop", Type: "com.example.changed", Subject: "lamp ü", Schema: "urn:x:2",
		ContentType: "application/json", Key: "key ü", Time: time.Date(2024, 2, 29, 23, 59, 59, 123456000, time.UTC),
		Header: map[string]string{"traceparent": "00-ab", "empty": ""}, Data: []byte("{\"a\":\"ü\x00\"}"),
	}
	bare := pubsub.Message{ID: "id-2", Source: "/", Type: "t", Time: time.Date(1, 1, 1, 0, 0, 0, 1000, time.UTC)}
	before := time.Now().Add(-time.Second)
	k.add("t", full, bare)
	ms := k.rest("t", k.find("t", pubsub.Start{}))
	k.equal("messages", len(ms), 2)
	for i, want := range []pubsub.Message{full, bare} {
		if !same(ms[i], want) {
			k.Fatalf("got %+v, want %+v", ms[i], want)
		}
		if ms[i].Cursor == "" || ms[i].Appended.Before(before) || ms[i].Appended.After(time.Now().Add(time.Second)) {
			k.Fatalf("cursor %q, appended %v", ms[i].Cursor, ms[i].Appended)
		}
	}
	// An ID may come twice: that is for an inbox to know.
	k.add("t", full)
	k.equal("messages", len(k.rest("t", k.find("t", pubsub.Start{}))), 3)
}

func retention(k *kit) {
	m := message("k", "data")
	m.Header = map[string]string{"h": "1"}
	k.add("t", m)
	m.Data[0], m.Header["h"] = 'X', "2"
	c := k.find("t", pubsub.Start{})
	got := k.read("t", pubsub.Read{After: c, Max: 1}).Messages[0]
	k.equal("data", string(got.Data)+got.Header["h"], "data1")
	got.Data[0], got.Header["h"] = 'Y', "3"
	got = k.read("t", pubsub.Read{After: c, Max: 1}).Messages[0]
	k.equal("data", string(got.Data)+got.Header["h"], "data1")
}

func numbers(from, to int) (s []string) {
	for i := from; i <= to; i++ {
		s = append(s, fmt.Sprint(i))
	}
	return s
}

func pages(k *kit) {
	k.append("t", numbers(1, 23)...)
	c := k.find("t", pubsub.Start{})
	var got []string
	for {
		b := k.read("t", pubsub.Read{After: c, Max: 5})
		if len(b.Messages) > 5 {
			k.Fatalf("%d messages in a page of 5", len(b.Messages))
		}
		for _, m := range b.Messages {
			// Each message's own cursor continues behind it.
			next := k.read("t", pubsub.Read{After: m.Cursor, Max: 1}).Messages
			got = append(got, string(m.Data))
			if len(got) < 23 {
				k.equal("next", data(next), numbers(len(got)+1, len(got)+1))
			}
		}
		if b.Through == c {
			break
		}
		c = b.Through
	}
	k.equal("all", got, numbers(1, 23))
	k.equal("the last cursor", c, k.find("t", pubsub.Start{Latest: true}))
}

func pageBytes(k *kit) {
	k.append("t", strings.Repeat("a", 60), strings.Repeat("b", 30), strings.Repeat("c", 30))
	c := k.find("t", pubsub.Start{})
	b := k.read("t", pubsub.Read{After: c, Max: 10, MaxBytes: 50})
	k.equal("one, whatever its size", len(b.Messages), 1)
	b = k.read("t", pubsub.Read{After: b.Through, Max: 10, MaxBytes: 50})
	k.equal("one fits", data(b.Messages), []string{strings.Repeat("b", 30)})
	b = k.read("t", pubsub.Read{After: b.Through, Max: 10, MaxBytes: 50})
	k.equal("the rest", data(b.Messages), []string{strings.Repeat("c", 30)})
	k.equal("both fit", len(k.read("t", pubsub.Read{After: k.find("t", pubsub.Start{}), Max: 10, MaxBytes: 90}).Messages), 2)
}

func topics(k *kit) {
	k.append("a", "1")
	k.append("b", "2")
	k.append("a", "3")
	k.equal("a", data(k.rest("a", k.find("a", pubsub.Start{}))), []string{"1", "3"})
	k.equal("b", data(k.rest("b", k.find("b", pubsub.Start{}))), []string{"2"})
	k.equal("c", data(k.rest("c", k.find("c", pubsub.Start{}))), []string{})
}

func end(k *kit) {
	c := k.find("t", pubsub.Start{})
	for range 2 {
		b := k.read("t", pubsub.Read{After: c, Max: 10})
		k.equal("messages", len(b.Messages), 0)
		k.equal("through", b.Through, c)
	}
	k.append("t", "1")
	b := k.read("t", pubsub.Read{After: c, Max: 10})
	k.equal("appended meanwhile", data(b.Messages), []string{"1"})
	b = k.read("t", pubsub.Read{After: b.Through, Max: 10})
	k.equal("messages", len(b.Messages), 0)
}

func shards(k *kit) {
	const n = 4
	var ms []pubsub.Message
	for i := range 200 {
		key := fmt.Sprint("key", i%17)
		if i%5 == 0 {
			key = ""
		}
		ms = append(ms, message(key, fmt.Sprint(i)))
	}
	k.add("t", ms...)
	seen := map[string]int{}
	for shard := range n {
		c := k.find("t", pubsub.Start{})
		last := map[string]int{}
		for {
			b := k.read("t", pubsub.Read{After: c, Max: 9, Shard: shard, Shards: n})
			for _, m := range b.Messages {
				k.equal("shard", pubsub.ShardOf(m, n), shard)
				seen[string(m.Data)]++
				var i int
				_, _ = fmt.Sscan(string(m.Data), &i)
				if m.Key != "" && i < last[m.Key] {
					k.Fatalf("%d of %s after %d", i, m.Key, last[m.Key])
				}
				last[m.Key] = i
			}
			if b.Through == c {
				break
			}
			c = b.Through
		}
		k.equal("through the end", c, k.find("t", pubsub.Start{Latest: true}))
	}
	k.equal("seen", len(seen), len(ms))
	for d, times := range seen {
		k.equal(d, times, 1)
	}
}

// tick waits until the log's clock has moved.
func (k *kit) tick() {
	begin := time.Now()
	k.until("the clock moves", func() bool { return time.Since(begin) > 2*time.Millisecond })
}

func find(k *kit) {
	k.append("t", "1", "2")
	k.tick()
	mid := time.Now()
	k.tick()
	k.append("t", "3")
	latest := k.find("t", pubsub.Start{Latest: true})
	k.equal("from an instant", data(k.rest("t", k.find("t", pubsub.Start{Since: mid}))), []string{"3"})
	k.equal("from before all", data(k.rest("t", k.find("t", pubsub.Start{Since: mid.Add(-time.Hour)}))), []string{"1", "2", "3"})
	k.equal("from the future", len(k.rest("t", k.find("t", pubsub.Start{Since: mid.Add(time.Hour)}))), 0)
	k.equal("latest", len(k.rest("t", latest)), 0)
	first := k.read("t", pubsub.Read{After: k.find("t", pubsub.Start{}), Max: 1}).Through
	k.equal("after", data(k.rest("t", k.find("t", pubsub.Start{After: first}))), []string{"2", "3"})
	k.append("t", "4")
	k.equal("after latest", data(k.rest("t", latest)), []string{"4"})
}

func logTime(k *kit) {
	for i := range 20 {
		k.append("t", fmt.Sprint(i))
	}
	var last time.Time
	for _, m := range k.rest("t", k.find("t", pubsub.Start{})) {
		if m.Appended.Before(last) {
			k.Fatalf("%v after %v", m.Appended, last)
		}
		last = m.Appended
		k.equal("since its own instant it is found", k.contains(m), true)
	}
}

func (k *kit) contains(m pubsub.Message) bool {
	return slices.ContainsFunc(k.rest("t", k.find("t", pubsub.Start{Since: m.Appended})), func(o pubsub.Message) bool { return o.ID == m.ID })
}

func (k *kit) trim(topic string, r pubsub.Retention) int {
	k.Helper()
	n, err := k.log.Trim(k.Context(), topic, r, 1000)
	if errors.Is(err, errors.ErrUnsupported) {
		k.Skip("this log trims by its own rules")
	}
	k.must(err)
	return n
}

func findTrimmed(k *kit) {
	k.append("t", numbers(1, 5)...)
	old := k.find("t", pubsub.Start{})
	k.equal("trimmed", k.trim("t", pubsub.Retention{Count: 2}), 3)
	k.equal("oldest", data(k.rest("t", k.find("t", pubsub.Start{}))), []string{"4", "5"})
	k.equal("since", data(k.rest("t", k.find("t", pubsub.Start{Since: time.Unix(0, 0)}))), []string{"4", "5"})
	_, err := k.log.Find(k.Context(), "t", pubsub.Start{After: old})
	k.is("after", err, pubsub.ErrGone)
}

func gone(k *kit) {
	k.append("t", numbers(1, 5)...)
	c := k.find("t", pubsub.Start{})
	second := k.read("t", pubsub.Read{After: c, Max: 2}).Through
	k.equal("trimmed", k.trim("t", pubsub.Retention{Count: 3}), 2)
	k.equal("nothing is missing behind the second", data(k.rest("t", second)), []string{"3", "4", "5"})
	_, err := k.log.Read(k.Context(), "t", pubsub.Read{After: c, Max: 1, MaxBytes: 1})
	k.is("read", err, pubsub.ErrGone)
	var g *pubsub.GoneError
	if !errors.As(err, &g) {
		k.Fatalf("no *GoneError: %v", err)
	}
	k.equal("after", g.After, c)
	k.equal("oldest", data(k.rest("t", g.Oldest)), []string{"3", "4", "5"})
	if g.Missing != 2 && g.Missing != -1 || g.Why == "" {
		k.Fatalf("%+v", g)
	}
	_, _, err = k.log.Behind(k.Context(), "t", c)
	k.is("behind", err, pubsub.ErrGone)
}

func trim(k *kit) {
	k.append("t", numbers(1, 4)...)
	k.equal("nothing asked", k.trim("t", pubsub.Retention{}), 0)
	k.equal("all are young", k.trim("t", pubsub.Retention{Age: time.Hour}), 0)
	k.equal("all are few", k.trim("t", pubsub.Retention{Count: 4}), 0)
	k.equal("one too many", k.trim("t", pubsub.Retention{Count: 3, Age: time.Hour}), 1)
	k.tick()
	mid := time.Now()
	k.tick()
	k.append("t", "5")
	k.until("old enough", func() bool { return time.Since(mid) > 3*time.Millisecond })
	k.equal("the old ones", k.trim("t", pubsub.Retention{Age: time.Since(mid), Count: 100}), 3)
	k.equal("left", data(k.rest("t", k.find("t", pubsub.Start{}))), []string{"5"})
	k.append("u", "1")
	k.equal("another topic", k.trim("t", pubsub.Retention{Count: 1}), 0)
}

func trimPages(k *kit) {
	k.append("t", numbers(1, 10)...)
	for _, want := range []int{4, 3, 0} {
		n, err := k.log.Trim(k.Context(), "t", pubsub.Retention{Count: 3}, 4)
		if errors.Is(err, errors.ErrUnsupported) {
			k.Skip("this log trims by its own rules")
		}
		k.must(err)
		k.equal("page", n, want)
	}
	k.equal("left", data(k.rest("t", k.find("t", pubsub.Start{}))), []string{"8", "9", "10"})
}

func trimAll(k *kit) {
	k.append("t", "1", "2")
	latest := k.find("t", pubsub.Start{Latest: true})
	k.until("all are old", func() bool { return k.trim("t", pubsub.Retention{Age: time.Nanosecond}) == 2 })
	k.equal("latest stays", k.find("t", pubsub.Start{Latest: true}), latest)
	k.equal("so does the start", k.find("t", pubsub.Start{}), latest)
	k.append("t", "3")
	k.equal("rest", data(k.rest("t", latest)), []string{"3"})
}

func foreign(k *kit) {
	k.append("t", "1")
	k.append("u", "1")
	c := string(k.find("t", pubsub.Start{}))
	for _, bad := range []string{"", "x", c + "0", c[:len(c)-1], "\x00", strings.Repeat("9", 1000)} {
		_, err := k.log.Read(k.Context(), "t", pubsub.Read{After: pubsub.Cursor(bad), Max: 1, MaxBytes: 1})
		if !errors.Is(err, pubsub.ErrInvalid) && !errors.Is(err, pubsub.ErrGone) {
			k.Fatalf("cursor %q: %v", bad, err)
		}
	}
	_, err := k.log.Read(k.Context(), "t", pubsub.Read{After: k.find("u", pubsub.Start{}), Max: 1, MaxBytes: 1})
	k.is("of another topic", err, pubsub.ErrInvalid)
}

func behind(k *kit) {
	k.append("t", numbers(1, 5)...)
	c := k.find("t", pubsub.Start{})
	for left := 5; left > 0; left-- {
		b := k.read("t", pubsub.Read{After: c, Max: 1})
		n, since, err := k.log.Behind(k.Context(), "t", c)
		k.must(err)
		if n != int64(left) && n != -1 || !since.IsZero() && !since.Equal(b.Messages[0].Appended) {
			k.Fatalf("%d behind since %v, want %d since %v", n, since, left, b.Messages[0].Appended)
		}
		c = b.Through
	}
	n, since, err := k.log.Behind(k.Context(), "t", c)
	k.must(err)
	if n > 0 || !since.IsZero() {
		k.Fatalf("%d behind since %v", n, since)
	}
}

func appended(k *kit) {
	ch := k.log.Appended("t")
	if ch == nil {
		k.Skip("this log is polled")
	}
	select {
	case <-ch:
		k.Fatal("rung before anything was appended")
	default:
	}
	k.append("t", "1")
	ctx, cancel := context.WithTimeout(k.Context(), time.Minute)
	defer cancel()
	select {
	case <-ch:
	case <-ctx.Done():
		k.Fatal("not rung")
	}
	ch = k.log.Appended("t")
	k.append("u", "1")
	select {
	case <-ch:
		k.Fatal("rung for another topic")
	default:
	}
}

func canceled(k *kit) {
	ctx, cancel := context.WithCancel(k.Context())
	cancel()
	n, err := k.log.Append(ctx, "t", []pubsub.Message{message("", "1")})
	if err == nil || n != 0 {
		k.Fatalf("%d, %v", n, err)
	}
	k.equal("messages", len(k.rest("t", k.find("t", pubsub.Start{}))), 0)
}

// appendAll has several appenders append batches of their own.
func (k *kit) appendAll(appenders, batches int) *sync.WaitGroup {
	var wg sync.WaitGroup
	for a := range appenders {
		wg.Go(func() {
			for b := range batches {
				key := fmt.Sprint(a)
				ms := []pubsub.Message{message(key, fmt.Sprint(2*b)), message(key, fmt.Sprint(2*b+1))}
				if n, err := k.log.Append(k.Context(), "t", ms); err != nil || n != 2 {
					k.Errorf("%d, %v", n, err)
				}
			}
		})
	}
	return &wg
}

func concurrent(k *kit) {
	k.appendAll(8, 25).Wait()
	got := map[string][]string{}
	for _, m := range k.rest("t", k.find("t", pubsub.Start{})) {
		got[m.Key] = append(got[m.Key], string(m.Data))
	}
	for a := range 8 {
		k.equal("appender", got[fmt.Sprint(a)], numbers(0, 49))
	}
}

func follow(k *kit) {
	c := k.find("t", pubsub.Start{})
	wg := k.appendAll(8, 25)
	got := map[string][]string{}
	total := 0
	k.until("all are read", func() bool {
		b := k.read("t", pubsub.Read{After: c, Max: 50})
		for _, m := range b.Messages {
			got[m.Key] = append(got[m.Key], string(m.Data))
			total++
		}
		c = b.Through
		return total >= 400
	})
	wg.Wait()
	for a := range 8 {
		k.equal("appender", got[fmt.Sprint(a)], numbers(0, 49))
	}
}

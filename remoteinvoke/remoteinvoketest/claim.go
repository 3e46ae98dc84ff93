package remoteinvoketest

import (
	"time"

	"github.com/crosstie/crosstie/remoteinvoke"
)

func fields(k *kit) {
	e := entry(`{"a":1}`)
	e.Callback, e.Timeout, e.StartBy = "https://me.example/in", time.Hour, time.Minute
	before := time.Now().Add(-time.Second)
	r := k.add(e)
	if r.Created.Before(before) || r.Created.After(time.Now().Add(time.Second)) || !r.Updated.Equal(r.Created) {
		k.Fatalf("created %v, updated %v", r.Created, r.Updated)
	}
	k.equal("deadline", r.Deadline, r.Created.Add(time.Hour))
	k.equal("location", r.Created.Location(), time.UTC)
	want := remoteinvoke.Record{
		Service: "svc", Caller: "ann", Callback: e.Callback, Sum: e.Sum,
		Status: remoteinvoke.Status{ID: e.ID, State: remoteinvoke.Queued, Version: 1, Created: r.Created, Updated: r.Created, Deadline: r.Deadline},
	}
	k.equal("added", r, want)
	k.equal("loaded", k.load(e.Key), want)
	ts := k.claim(long, 10)
	k.equal("claimed", len(ts), 1)
	t := ts[0]
	k.equal("input", string(t.Input), `{"a":1}`)
	k.equal("saved", t.Saved == nil, true)
	k.equal("died", t.Died, false)
	want.State, want.Attempt, want.Version, want.Updated = remoteinvoke.Running, 1, 2, t.Updated
	k.equal("record", t.Record, want)
	k.equal("loaded after", k.load(e.Key), want)
	if t.Epoch < 1 {
		k.Fatalf("epoch %d", t.Epoch)
	}
	none := e.Key
	none.ID = "none"
	_, err := k.s.Load(k.Context(), none)
	k.is(err, remoteinvoke.ErrNotFound)
	_, _, err = k.s.Result(k.Context(), none)
	k.is(err, remoteinvoke.ErrNotFound)
	_, err = k.s.Cancel(k.Context(), none)
	k.is(err, remoteinvoke.ErrNotFound)
}

func retention(k *kit) {
	e := entry(`"abc"`)
	k.add(e)
	copy(e.Input, "XXXXX")
	t := k.one(long)
	k.equal("input", string(t.Input), `"abc"`)
	saved, output := []byte(`"def"`), []byte(`"ghi"`)
	k.update(t, remoteinvoke.Update{Saved: saved, Lease: long})
	copy(saved, "XXXXX")
	k.update(t, remoteinvoke.Update{Verdict: remoteinvoke.Again})
	t = k.one(long)
	k.equal("saved", string(t.Saved), `"def"`)
	copy(t.Saved, "YYYYY")
	copy(t.Input, "YYYYY")
	u := done("")
	u.Output = output
	k.update(t, u)
	copy(output, "XXXXX")
	_, got, err := k.s.Result(k.Context(), e.Key)
	k.must(err)
	k.equal("output", string(got), `"ghi"`)
	copy(got, "YYYYY")
	_, got, err = k.s.Result(k.Context(), e.Key)
	k.must(err)
	k.equal("output again", string(got), `"ghi"`)
}

func dedupe(k *kit) {
	e := entry("1")
	first := k.add(e)
	r, added, err := k.s.Add(k.Context(), e, 0)
	k.must(err)
	k.equal("added twice", added, false)
	k.equal("the same job", r, first)
	other := e
	other.Input, other.Sum[0] = []byte("2"), other.Sum[0]+1
	_, _, err = k.s.Add(k.Context(), other, 0)
	k.is(err, remoteinvoke.ErrReused)
	t := k.one(long)
	k.equal("its input", string(t.Input), "1")
	k.update(t, done("3"))
	r, added, err = k.s.Add(k.Context(), e, 0)
	k.must(err)
	k.equal("added after its end", added, false)
	k.equal("state", r.State, remoteinvoke.Done)
	_, _, err = k.s.Add(k.Context(), other, 0)
	k.is(err, remoteinvoke.ErrReused)
	k.equal("claims", len(k.claim(long, 10)), 0)
}

func apart(k *kit) {
	e := entry("1")
	k.add(e)
	bob, other := e, e
	bob.Caller, bob.Sum[0] = "bob", e.Sum[0]+1
	other.Service, other.Sum[0] = "other", e.Sum[0]+2
	k.add(bob)
	k.add(other)
	ts := k.claim(long, 10)
	k.equal("claimed of one service", len(ts), 2)
	for _, t := range ts {
		k.update(t, done(`"`+t.Caller+`"`))
		_, out, err := k.s.Result(k.Context(), t.Key())
		k.must(err)
		k.equal("result", string(out), `"`+t.Caller+`"`)
	}
	k.equal("the other service", k.load(other.Key).State, remoteinvoke.Queued)
}

func full(k *kit) {
	e := entry("1")
	for range 3 {
		_, _, err := k.s.Add(k.Context(), entry("0"), 4)
		k.must(err)
	}
	_, added, err := k.s.Add(k.Context(), e, 4)
	k.must(err)
	k.equal("the last there is room for", added, true)
	k.until("a full store", func() bool {
		_, _, err := k.s.Add(k.Context(), entry("2"), 4)
		if err != nil {
			k.is(err, remoteinvoke.ErrFull)
		}
		return err != nil
	})
	for _, t := range k.claim(long, 100) {
		k.update(t, done("1"))
	}
	k.until("room", func() bool {
		_, _, err := k.s.Add(k.Context(), entry("2"), 4)
		return err == nil
	})
}

func added(k *kit) {
	ch := k.s.Added()
	select {
	case <-ch:
		k.Fatal("nothing was added")
	default:
	}
	e := entry("1")
	e.Callback = "https://me.example/"
	k.add(e)
	<-ch
	t := k.one(long)
	ch = k.s.Added()
	k.update(t, done("1"))
	<-ch // for its callback
}

func order(k *kit) {
	var ids []string
	for range 5 {
		e := entry("1")
		k.add(e)
		ids = append(ids, e.ID)
	}
	var got []string
	for _, n := range []int{2, 0, 3, 1} {
		ts := k.claim(long, n)
		k.equal("limit", len(ts), min(n, 5-len(got)))
		for _, t := range ts {
			got = append(got, t.ID)
		}
	}
	k.equal("order", got, ids)
}

func exclusive(k *kit) {
	k.add(entry("1"))
	k.equal("first", len(k.claim(long, 10)), 1)
	k.equal("second", len(k.claim(long, 10)), 0)
}

func zombie(k *kit) {
	k.add(entry("1"))
	z := k.one(short)
	t := k.one(long)
	k.equal("died", t.Died, true)
	k.equal("attempt", t.Attempt, 2)
	if t.Epoch <= z.Epoch {
		k.Fatalf("epoch %d after %d", t.Epoch, z.Epoch)
	}
	k.refused(z)
	k.update(t, done("1"))
	k.refused(z)
	k.refused(t)
}

func lateHolder(k *kit) {
	k.add(entry("1"))
	t := k.one(time.Millisecond)
	k.until("the end of the lease", func() bool { return time.Since(t.Updated) > 10*time.Millisecond })
	k.update(t, remoteinvoke.Update{Lease: long})
	k.equal("claims", len(k.claim(long, 1)), 0)
	k.update(t, done("1"))
}

func extend(k *kit) {
	k.add(entry("1"))
	t := k.one(short)
	k.equal("state", k.update(t, remoteinvoke.Update{Lease: long}), remoteinvoke.Running)
	k.update(t, remoteinvoke.Update{Lease: time.Millisecond}) // is never shortened
	k.until("the time of the first lease", func() bool { return time.Since(t.Updated) > 3*short })
	k.equal("claims", len(k.claim(long, 1)), 0)
}

func saved(k *kit) {
	k.add(entry("1"))
	t := k.one(long)
	p := &remoteinvoke.Progress{Done: 3, Total: 10, Note: "three"}
	k.update(t, remoteinvoke.Update{Lease: short, Saved: []byte(`{"at":3}`), Progress: p})
	k.update(t, remoteinvoke.Update{Lease: short}) // keeps both
	k.update(t, remoteinvoke.Update{Verdict: remoteinvoke.Again})
	t = k.one(short)
	k.equal("saved", string(t.Saved), `{"at":3}`)
	k.equal("progress", t.Progress, *p)
	k.update(t, remoteinvoke.Update{Lease: short, Saved: []byte(`{"at":4}`)})
	t = k.one(long)
	k.equal("died", t.Died, true)
	k.equal("saved after a death", string(t.Saved), `{"at":4}`)
	k.equal("progress after a death", t.Progress, *p)
	k.update(t, done("1"))
	k.equal("progress after the end", k.load(t.Key()).Progress, *p)
}

func again(k *kit) {
	k.add(entry("1"))
	t := k.one(long)
	waits := time.Now()
	k.equal("state", k.update(t, remoteinvoke.Update{Verdict: remoteinvoke.Again, After: 3 * short}), remoteinvoke.Running)
	k.refused(t)
	next := k.one(long)
	if d := time.Since(waits); d < 3*short {
		k.Fatalf("claimed after %v", d)
	}
	k.equal("attempt", next.Attempt, 2)
	k.equal("died", next.Died, false)
}

func handBack(k *kit) {
	k.add(entry("1"))
	t := k.one(long)
	ch := k.s.Added()
	k.equal("state", k.update(t, remoteinvoke.Update{Verdict: remoteinvoke.HandBack}), remoteinvoke.Running)
	<-ch
	k.refused(t)
	k.equal("attempt between", k.load(t.Key()).Attempt, 0)
	next := k.one(long)
	k.equal("attempt", next.Attempt, 1)
	k.equal("died", next.Died, false)
}

func lateProgress(k *kit) {
	k.add(entry("1"))
	t := k.one(long)
	newer, older := remoteinvoke.Progress{Done: 5, Total: 10, Note: "five"}, remoteinvoke.Progress{Done: 3, Total: 7, Note: "three"}
	k.update(t, remoteinvoke.Update{Lease: long, Progress: &newer})
	was := k.load(t.Key())
	k.update(t, remoteinvoke.Update{Lease: long, Progress: &older, Saved: []byte("1")})
	k.equal("after a late one", k.load(t.Key()), was)
	newer.Note = "five and a half"
	k.update(t, remoteinvoke.Update{Lease: long, Progress: &newer})
	k.equal("a note alone", k.load(t.Key()).Progress, newer)
	k.equal("version", k.load(t.Key()).Version, was.Version+1)
	k.update(t, remoteinvoke.Update{Verdict: remoteinvoke.Again, Progress: &older})
	k.equal("given up", k.load(t.Key()).Progress, newer)
	t = k.one(long)
	k.equal("what it saved is there", string(t.Saved), "1")
	u := done("1")
	u.Progress = &older
	k.update(t, u)
	k.equal("ended", k.load(t.Key()).Progress, newer)
}

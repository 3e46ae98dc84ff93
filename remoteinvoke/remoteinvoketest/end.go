package remoteinvoketest

import (
	"time"

	"github.com/crosstie/crosstie/remoteinvoke"
)

func endsOnce(k *kit) {
	for _, u := range every()[3:] {
		k.add(entry("1"))
		t := k.one(long)
		p := &remoteinvoke.Progress{Done: 10, Total: 10}
		u.Progress = p
		k.equal("state", k.update(t, u), u.State)
		r, out, err := k.s.Result(k.Context(), t.Key())
		k.must(err)
		k.equal("record's state", r.State, u.State)
		k.equal("progress", r.Progress, *p)
		k.equal("output", string(out), string(u.Output))
		k.equal("failure", r.Failure != nil, u.Failure != nil)
		if u.Failure != nil {
			k.equal("code", *r.Failure, *u.Failure)
		}
		k.refused(t)
		after, err := k.s.Cancel(k.Context(), t.Key())
		k.must(err)
		k.equal("after a cancel that comes late", after, r)
		k.equal("claims", len(k.claim(long, 10)), 0)
	}
}

func versions(k *kit) {
	e := entry("1")
	r := k.add(e)
	v := r.Version
	grew := func(what string, by int64) {
		k.Helper()
		now := k.load(e.Key)
		k.equal(what+": version", now.Version, v+by)
		if now.Updated.Before(r.Updated) {
			k.Fatalf("%s: updated %v after %v", what, now.Updated, r.Updated)
		}
		v, r = now.Version, now
	}
	t := k.one(long)
	grew("a claim", 1)
	k.update(t, remoteinvoke.Update{Lease: long})
	grew("a heartbeat", 0)
	p := remoteinvoke.Progress{Done: 1, Total: 2}
	k.update(t, remoteinvoke.Update{Lease: long, Progress: &p, Saved: []byte("1")})
	grew("progress", 1)
	k.update(t, remoteinvoke.Update{Lease: long, Progress: &p, Saved: []byte("2")})
	grew("the same progress", 0)
	k.update(t, remoteinvoke.Update{Verdict: remoteinvoke.Again})
	grew("a wait", 0)
	t = k.one(long)
	grew("another attempt", 1)
	k.update(t, remoteinvoke.Update{Verdict: remoteinvoke.HandBack})
	grew("a hand back", 1)
	t = k.one(long)
	grew("a claim after it", 1)
	_, err := k.s.Cancel(k.Context(), e.Key)
	k.must(err)
	grew("a cancel", 1)
	_, err = k.s.Cancel(k.Context(), e.Key)
	k.must(err)
	grew("another cancel", 0)
	k.update(t, done("1"))
	grew("the end", 1)
}

func cancelQueued(k *kit) {
	e := entry("1")
	k.add(e)
	r, err := k.s.Cancel(k.Context(), e.Key)
	k.must(err)
	k.equal("state", r.State, remoteinvoke.Canceled)
	k.equal("loaded", k.load(e.Key), r)
	k.equal("claims", len(k.claim(long, 10)), 0)

	e = entry("1") // one that waits for its next attempt
	k.add(e)
	t := k.one(long)
	k.update(t, remoteinvoke.Update{Verdict: remoteinvoke.Again, After: long})
	r, err = k.s.Cancel(k.Context(), e.Key)
	k.must(err)
	k.equal("state", r.State, remoteinvoke.Canceled)
	k.refused(t)
}

func cancelRunning(k *kit) {
	e := entry("1")
	k.add(e)
	t := k.one(long)
	r, err := k.s.Cancel(k.Context(), e.Key)
	k.must(err)
	k.equal("state", r.State, remoteinvoke.Canceling)
	k.equal("heartbeat", k.update(t, remoteinvoke.Update{Lease: long}), remoteinvoke.Canceling)
	k.equal("end", k.update(t, done("1")), remoteinvoke.Done)
	k.equal("it was done all the same", k.load(e.Key).State, remoteinvoke.Done)
}

func cancelGivenUp(k *kit) {
	for _, v := range []remoteinvoke.Verdict{remoteinvoke.Again, remoteinvoke.HandBack} {
		e := entry("1")
		k.add(e)
		t := k.one(long)
		_, err := k.s.Cancel(k.Context(), e.Key)
		k.must(err)
		k.equal("state", k.update(t, remoteinvoke.Update{Verdict: v, After: time.Millisecond}), remoteinvoke.Canceled)
		k.refused(t)
		k.equal("claims", len(k.claim(long, 10)), 0)
	}
}

func cancelAbandoned(k *kit) {
	e := entry("1")
	k.add(e)
	z := k.one(short)
	r, err := k.s.Cancel(k.Context(), e.Key)
	k.must(err)
	k.equal("state", r.State, remoteinvoke.Canceling)
	t := k.one(long)
	k.equal("claimed", t.Record, r)
	k.equal("died", t.Died, true)
	k.refused(z)
	k.update(t, remoteinvoke.Update{Verdict: remoteinvoke.End, State: remoteinvoke.Canceled})
}

func queueTimeout(k *kit) {
	e := entry("1")
	e.StartBy, e.Timeout = short, long
	k.add(e)
	begun := entry("2")
	begun.StartBy = short
	k.add(begun)
	t := k.one(long)
	if t.ID == e.ID { // they are as old as each other
		e, begun = begun, e
	}
	k.until("an overdue job", func() bool { return k.sweep() > 0 })
	r := k.load(e.Key)
	k.equal("state", r.State, remoteinvoke.Failed)
	k.equal("code", r.Failure.Code, remoteinvoke.CodeQueueTimeout)
	if d := r.Updated.Sub(r.Created); d < short {
		k.Fatalf("failed after %v", d)
	}
	k.equal("claims", len(k.claim(long, 10)), 0)
	k.equal("one that was begun in time", k.load(begun.Key).State, remoteinvoke.Running)
	k.equal("another sweep", k.sweep(), 0)
}

func timeout(k *kit) {
	e := entry("1")
	e.Timeout = short
	k.add(e)
	t := k.one(long)
	k.until("the deadline", func() bool { return time.Since(t.Created) > 2*short })
	k.equal("its holder ends it", k.sweep(), 0)
	k.update(t, remoteinvoke.Update{Verdict: remoteinvoke.Again})
	k.equal("claims", len(k.claim(long, 10)), 0)
	k.equal("nobody holds it", k.sweep(), 1)
	r := k.load(e.Key)
	k.equal("state", r.State, remoteinvoke.Failed)
	k.equal("code", r.Failure.Code, remoteinvoke.CodeTimeout)
	k.refused(t)

	e = entry("1") // whose holder died, asked to stop
	e.Timeout = 2 * short
	k.add(e)
	t = k.one(short)
	_, err := k.s.Cancel(k.Context(), e.Key)
	k.must(err)
	k.until("the end of the lease", func() bool { return k.sweep() > 0 })
	k.equal("state", k.load(e.Key).State, remoteinvoke.Canceled)
	k.refused(t)
}

func sweep(k *kit) {
	e := entry("1")
	e.KeepResult, e.Remember = short, 4*short
	k.add(e)
	k.update(k.one(long), done("1"))
	ended := k.load(e.Key).Updated
	k.until("the end of the result", func() bool { return k.sweep() > 0 })
	if d := time.Since(ended); d < short {
		k.Fatalf("the result was gone after %v", d)
	}
	r, out, err := k.s.Result(k.Context(), e.Key)
	k.must(err)
	k.equal("output", out == nil, true)
	k.equal("gone", r.Gone, true)
	k.equal("state", r.State, remoteinvoke.Done)
	_, added, err := k.s.Add(k.Context(), e, 0)
	k.must(err)
	k.equal("its id is known", added, false)
	k.until("the end of the job", func() bool { return k.sweep() > 0 })
	if d := time.Since(ended); d < 4*short {
		k.Fatalf("forgotten after %v", d)
	}
	_, err = k.s.Load(k.Context(), e.Key)
	k.is(err, remoteinvoke.ErrNotFound)
	k.add(e)
}

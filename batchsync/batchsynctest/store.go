// Package batchsynctest tests implementations of batchsync.Store.
//
//	func TestStore(t *testing.T) {
//		batchsynctest.TestStore(t, func(t *testing.T) batchsync.Store { return newStore(t) })
//	}
package batchsynctest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/crosstie/crosstie/batchsync"
)

const (
	long  = time.Minute
	short = 20 * time.Millisecond
)

// TestStore checks that the stores that open returns keep the contract of
// batchsync.Store, and of batchsync.TxStore if they have its methods. Each
// subtest opens a store of its own, which must be empty.
func TestStore(t *testing.T, open func(t *testing.T) batchsync.Store) {
	for _, c := range []struct {
		name string
		test func(k *kit)
	}{
		{"a claim is exclusive", (*kit).exclusive},
		{"of many claims one is granted", (*kit).contended},
		{"what is saved comes back", (*kit).roundTrip},
		{"a token stays until it is replaced", (*kit).token},
		{"a lease runs out and fences its holder", (*kit).fenced},
		{"a renewed lease holds", (*kit).renewed},
		{"a released lease cannot write", (*kit).released},
		{"dead rows are listed in order, in pages", (*kit).dead},
		{"saving again changes nothing", (*kit).again},
		{"a full run drops the dead rows before it", (*kit).dropped},
		{"slices are not shared", (*kit).slices},
		{"a context that ended changes nothing", (*kit).ended},
		{"rows and checkpoint commit together", (*kit).together},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(&kit{t, open(t)}) })
	}
}

type kit struct {
	*testing.T
	batchsync.Store
}

func (k *kit) must(err error) {
	k.Helper()
	if err != nil {
		k.Fatalf("unexpected error: %v", err)
	}
}

func (k *kit) want(err, want error) {
	k.Helper()
	if !errors.Is(err, want) {
		k.Fatalf("error is %v, want one that wraps %v", err, want)
	}
}

func (k *kit) equal(got, want any) {
	k.Helper()
	if !reflect.DeepEqual(got, want) {
		k.Fatalf("got  %+v\nwant %+v", got, want)
	}
}

func (k *kit) claim(sync, part string, d time.Duration) batchsync.Checkpoint {
	k.Helper()
	c, err := k.Claim(k.Context(), sync, part, "kit", d)
	k.must(err)
	return c
}

// expired claims as soon as the lease before it has run out.
func (k *kit) expired(sync, part string) batchsync.Checkpoint {
	k.Helper()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(short / 4)
	defer tick.Stop()
	for {
		c, err := k.Claim(k.Context(), sync, part, "next", long)
		if err == nil {
			return c
		}
		k.want(err, batchsync.ErrHeld)
		select {
		case <-tick.C:
		case <-deadline.C:
			k.Fatalf("a lease of %v had not run out after 10 s", short)
		}
	}
}

func (k *kit) deadRows(sync string) []batchsync.DeadRow {
	k.Helper()
	rows, err := k.Dead(k.Context(), sync, batchsync.DeadRow{}, 1000)
	k.must(err)
	return rows
}

func (k *kit) exclusive() {
	c := k.claim("a", "", long)
	if c.Run != 0 || c.Cursor != "" || c.Done || c.Epoch < 1 || c.Sync != "a" || c.Partition != "" {
		k.Fatalf("a first claim is %+v: want run 0 under a positive epoch", c)
	}
	_, err := k.Claim(k.Context(), "a", "", "other", long)
	k.want(err, batchsync.ErrHeld)
	k.claim("a", "p", long)
	k.claim("b", "", long)
	k.must(k.Release(k.Context(), c))
	if next := k.claim("a", "", long); next.Epoch <= c.Epoch {
		k.Fatalf("the epoch went from %d to %d: it must grow", c.Epoch, next.Epoch)
	}
}

func (k *kit) contended() {
	const n = 16
	var wg sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		wg.Go(func() { _, errs[i] = k.Claim(k.Context(), "a", "", fmt.Sprint(i), long) })
	}
	wg.Wait()
	granted := 0
	for _, err := range errs {
		if err == nil {
			granted++
			continue
		}
		k.want(err, batchsync.ErrHeld)
	}
	k.equal(granted, 1)
}

func sample(c batchsync.Checkpoint) batchsync.Checkpoint {
	c.Run, c.Cursor, c.Full, c.Token = 3, "1;ünï 'q' \"d\"\n;%", true, "7501 'x'\n7502"
	c.Counts = batchsync.Counts{In: 1 << 40, Inserted: 2, Updated: 3, Unchanged: 4, Deleted: 5, Failed: 6, Parked: 7, Filtered: 8, Repeated: 9}
	return c
}

func (k *kit) loads(want batchsync.Checkpoint) {
	k.Helper()
	got, err := k.Load(k.Context(), want.Sync, want.Partition)
	k.must(err)
	k.equal(got, want)
}

func (k *kit) roundTrip() {
	k.loads(batchsync.Checkpoint{Sync: "a", Partition: ""})
	c := sample(k.claim("a", "", long))
	k.must(k.Save(k.Context(), c, nil, long))
	k.loads(c)
	k.must(k.Release(k.Context(), c))
	got := k.claim("a", "", long)
	c.Epoch = got.Epoch
	k.equal(got, c)
	k.loads(c)

	c.Done, c.Full, c.Cursor = true, false, ""
	k.must(k.Save(k.Context(), c, nil, long))
	k.must(k.Release(k.Context(), c))
	got = k.claim("a", "", long)
	c.Epoch = got.Epoch
	k.equal(got, c)
}

func (k *kit) token() {
	c := k.claim("a", "", long)
	for _, token := range []string{"first", "second", ""} {
		c.Token = token
		k.must(k.Save(k.Context(), c, nil, long))
		k.must(k.Renew(k.Context(), c, long))
		k.loads(c)
	}
	c.Token = "left behind"
	k.must(k.Save(k.Context(), c, nil, long))
	k.must(k.Release(k.Context(), c))
	k.equal(k.claim("a", "", long).Token, "left behind")
}

func (k *kit) fenced() {
	old := k.claim("a", "", short)
	now := k.expired("a", "")
	if now.Epoch <= old.Epoch {
		k.Fatalf("the epoch went from %d to %d: it must grow", old.Epoch, now.Epoch)
	}
	k.want(k.Renew(k.Context(), old, long), batchsync.ErrLost)
	k.want(k.Save(k.Context(), sample(old), []batchsync.DeadRow{{Run: 3, N: 1}}, long), batchsync.ErrLost)
	k.want(k.Release(k.Context(), old), batchsync.ErrLost)
	k.equal(len(k.deadRows("a")), 0)
	k.must(k.Renew(k.Context(), now, long))
	k.must(k.Release(k.Context(), now))
	k.equal(k.claim("a", "", long).Run, int64(0))

	none := batchsync.Checkpoint{Sync: "never claimed", Epoch: 1}
	k.want(k.Renew(k.Context(), none, long), batchsync.ErrLost)
	k.want(k.Save(k.Context(), none, nil, long), batchsync.ErrLost)
	k.want(k.Release(k.Context(), none), batchsync.ErrLost)
}

func (k *kit) renewed() {
	renewed := k.claim("renewed", "", short)
	k.must(k.Renew(k.Context(), renewed, long))
	saved := k.claim("saved", "", short)
	k.must(k.Save(k.Context(), saved, nil, long))
	never := k.claim("never shortened", "", long)
	k.must(k.Renew(k.Context(), never, time.Nanosecond))
	k.claim("witness", "", short)
	k.expired("witness", "") // by now the first leases would have run out
	for _, name := range []string{"renewed", "saved", "never shortened"} {
		_, err := k.Claim(k.Context(), name, "", "other", long)
		k.want(err, batchsync.ErrHeld)
	}
}

func (k *kit) released() {
	c := k.claim("a", "", long)
	k.must(k.Release(k.Context(), c))
	k.want(k.Save(k.Context(), sample(c), nil, long), batchsync.ErrLost)
	k.want(k.Renew(k.Context(), c, long), batchsync.ErrLost)
	k.want(k.Release(k.Context(), c), batchsync.ErrLost)
	k.equal(k.claim("a", "", long).Run, int64(0))
}

func (k *kit) dead() {
	at := time.Date(2026, 3, 4, 5, 6, 7, 8000, time.UTC)
	a, p := k.claim("a", "", long), k.claim("a", "p", long)
	a.Run, p.Run = 1, 1
	full := batchsync.DeadRow{
		Run: 1, N: 2, ID: "id 'x'", Pos: "line 2", Value: []byte("\x00\xff\"raw\""),
		Cut: true, Why: "because", Transient: true, At: at,
	}
	k.must(k.Save(k.Context(), a, []batchsync.DeadRow{{Run: 1, N: 10, At: at}, full}, long))
	k.must(k.Save(k.Context(), p, []batchsync.DeadRow{{Run: 1, N: 1, At: at}}, long))
	a.Run = 2
	k.must(k.Save(k.Context(), a, []batchsync.DeadRow{{Run: 2, N: 1, At: at}}, long))
	other := k.claim("b", "", long)
	k.must(k.Save(k.Context(), other, []batchsync.DeadRow{{Run: 1, N: 1, At: at}}, long))

	rows := k.deadRows("a")
	var order []string
	for _, r := range rows {
		order = append(order, fmt.Sprintf("%s %d %q %d", r.Sync, r.Run, r.Partition, r.N))
	}
	k.equal(order, []string{`a 1 "" 2`, `a 1 "" 10`, `a 1 "p" 1`, `a 2 "" 1`})
	full.Sync = "a"
	k.equal(rows[0], full)

	var paged []batchsync.DeadRow
	for after := (batchsync.DeadRow{}); ; {
		page, err := k.Dead(k.Context(), "a", after, 1)
		k.must(err)
		if len(page) == 0 {
			break
		}
		k.equal(len(page), 1)
		paged, after = append(paged, page[0]), page[0]
		if len(paged) > len(rows) {
			k.Fatal("paging does not end")
		}
	}
	k.equal(paged, rows)
	none, err := k.Dead(k.Context(), "a", batchsync.DeadRow{}, 0)
	k.must(err)
	k.equal(len(none), 0)
}

func (k *kit) again() {
	c := sample(k.claim("a", "", long))
	rows := []batchsync.DeadRow{{Run: 3, N: 1, Why: "one"}, {Run: 3, N: 2, Why: "two"}}
	for range 3 {
		k.must(k.Save(k.Context(), c, rows, long))
	}
	k.equal(len(k.deadRows("a")), 2)
	k.must(k.Release(k.Context(), c))
	k.equal(k.claim("a", "", long).Counts, c.Counts)
}

func (k *kit) dropped() {
	c, p := k.claim("a", "", long), k.claim("a", "p", long)
	b := k.claim("b", "", long)
	save := func(c batchsync.Checkpoint, rows ...batchsync.DeadRow) {
		k.Helper()
		k.must(k.Save(k.Context(), c, rows, long))
	}
	c.Run, p.Run, b.Run = 1, 1, 1
	save(c, batchsync.DeadRow{Run: 1, N: 1})
	save(p, batchsync.DeadRow{Run: 1, N: 1})
	save(b, batchsync.DeadRow{Run: 1, N: 1})
	c.Run = 2
	save(c, batchsync.DeadRow{Run: 2, N: 1})
	c.Full = true
	save(c)
	k.equal(len(k.deadRows("a")), 3) // not ended
	c.Done, c.Full = true, false
	save(c)
	k.equal(len(k.deadRows("a")), 3) // ended, but did not see every row
	c.Full = true
	save(c, batchsync.DeadRow{Run: 2, N: 2})
	var left []string
	for _, r := range k.deadRows("a") {
		left = append(left, fmt.Sprintf("%d %q %d", r.Run, r.Partition, r.N))
	}
	k.equal(left, []string{`1 "p" 1`, `2 "" 1`, `2 "" 2`})
	k.equal(len(k.deadRows("b")), 1)
}

func (k *kit) slices() {
	c := k.claim("a", "", long)
	rows := []batchsync.DeadRow{{Run: 1, N: 1, Value: []byte("before")}}
	k.must(k.Save(k.Context(), c, rows, long))
	copy(rows[0].Value, "AFTER!")
	got := k.deadRows("a")
	k.equal(string(got[0].Value), "before")
	copy(got[0].Value, "AFTER!")
	k.equal(string(k.deadRows("a")[0].Value), "before")
}

func (k *kit) ended() {
	c := k.claim("a", "", long)
	ctx, cancel := context.WithCancel(k.Context())
	cancel()
	if _, err := k.Claim(ctx, "b", "", "kit", long); err == nil {
		k.Fatal("Claim with a context that ended succeeded")
	}
	if err := k.Save(ctx, sample(c), nil, long); err == nil {
		k.Fatal("Save with a context that ended succeeded")
	}
	k.must(k.Release(k.Context(), c))
	k.equal(k.claim("a", "", long).Run, int64(0))
	k.claim("b", "", long)
}

func (k *kit) together() {
	s, ok := k.Store.(batchsync.TxStore)
	if !ok {
		k.Skip("the store is no batchsync.TxStore")
	}
	if s.Database() == nil {
		k.Fatal("Database is nil")
	}
	c := sample(k.claim("a", "", long))
	boom := errors.New("boom")
	dead := []batchsync.DeadRow{{Run: 3, N: 1}}
	err := s.Tx(k.Context(), func(ctx context.Context, tx *sql.Tx) error {
		k.must(s.SaveTx(ctx, tx, c, dead, long))
		return boom
	})
	k.want(err, boom)
	k.equal(len(k.deadRows("a")), 0)
	k.loads(batchsync.Checkpoint{Sync: "a", Epoch: c.Epoch})

	stale := c
	stale.Epoch--
	err = s.Tx(k.Context(), func(ctx context.Context, tx *sql.Tx) error { return s.SaveTx(ctx, tx, stale, dead, long) })
	k.want(err, batchsync.ErrLost)

	k.must(s.Tx(k.Context(), func(ctx context.Context, tx *sql.Tx) error { return s.SaveTx(ctx, tx, c, dead, long) }))
	k.equal(len(k.deadRows("a")), 1)
	k.must(k.Release(k.Context(), c))
	got := k.claim("a", "", long)
	k.equal(got.Counts, c.Counts)
}

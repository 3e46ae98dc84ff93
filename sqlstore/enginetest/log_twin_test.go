package enginetest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/pubsub"
	"github.com/crosstie/crosstie/sqlstore"
)

// TestLogTwins gives the same random calls, late ones of lost claims among
// them, to the log in memory and to the one on SQLite, in a time that only the
// test moves: each answers as the other does.
func TestLogTwins(t *testing.T) {
	rounds := 15
	if os.Getenv("CROSSTIE_SOAK") != "" {
		rounds = 1000
	}
	dir := t.TempDir()
	for round := range rounds {
		seed := rand.Uint64()
		path := filepath.Join(dir, fmt.Sprint(round, ".db"))
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				db, err := sql.Open("sqlite", "file:"+path)
				require.NoError(t, err)
				defer db.Close()
				d, err := sqlstore.Open(t.Context(), db, sqlstore.SQLite, nil)
				require.NoError(t, err)
				tw := logTwins{T: t, r: rand.New(rand.NewPCG(seed, 1)), stores: [2]logAndGroups{pubsub.NewMem(), d.Log()}}
				for _, topic := range twinTopics { // in one order
					tw.find(topic, pubsub.Start{})
				}
				for range 150 {
					tw.step()
					time.Sleep(time.Duration(tw.r.IntN(2000)) * time.Millisecond)
				}
			})
		})
	}
}

var twinTopics = []string{"one", "two"}

type logAndGroups interface {
	pubsub.Log
	pubsub.Groups
}

// Each place and claim is kept as the two have it.
type logTwins struct {
	*testing.T
	r       *rand.Rand
	stores  [2]logAndGroups
	cursors [][2]pubsub.Cursor
	claims  [][2]pubsub.Claim
	dead    [][2]pubsub.DeadLetter
	n       int
}

// both asks both stores and compares the answers.
func (w *logTwins) both(what string, ask func(i int, s logAndGroups) (string, error)) bool {
	w.Helper()
	a, aerr := ask(0, w.stores[0])
	b, berr := ask(1, w.stores[1])
	for _, known := range []error{pubsub.ErrGone, pubsub.ErrHeld, pubsub.ErrLost, pubsub.ErrShards, pubsub.ErrInvalid} {
		require.Equal(w, errors.Is(aerr, known), errors.Is(berr, known), "%s: %v, %v", what, aerr, berr)
	}
	require.Equal(w, aerr == nil, berr == nil, "%s: %v, %v", what, aerr, berr)
	if aerr == nil {
		require.Equal(w, a, b, what)
		return true
	}
	var ga, gb *pubsub.GoneError
	if errors.As(aerr, &ga) && errors.As(berr, &gb) {
		require.Equal(w, fmt.Sprint(ga.Missing, ga.Why, spot(ga.After), spot(ga.Oldest)), fmt.Sprint(gb.Missing, gb.Why, spot(gb.After), spot(gb.Oldest)), what)
	}
	return false
}

// spot is a cursor without the name of its log.
func spot(c pubsub.Cursor) string { _, p, _ := strings.Cut(string(c), "-"); return p }

// of reports whether a place is one of topic.
func (w *logTwins) of(topic string, at [2]pubsub.Cursor) bool {
	_, err := w.stores[0].Find(context.Background(), topic, pubsub.Start{After: at[0]})
	return !errors.Is(err, pubsub.ErrInvalid)
}

func text(m pubsub.Message) string {
	m.Cursor = pubsub.Cursor(spot(m.Cursor))
	return fmt.Sprintf("%v %q", m, m.Data)
}

func letter(d pubsub.DeadLetter) string {
	m := text(d.Message)
	d.Message, d.Pos, d.At = pubsub.Message{}, 0, d.At.UTC()
	return fmt.Sprint(m, d)
}

func (w *logTwins) topic() string { return twinTopics[w.r.IntN(len(twinTopics))] }

func (w *logTwins) group() pubsub.Group {
	return pubsub.Group{Topic: w.topic(), Name: []string{"g", "h"}[w.r.IntN(2)], Shards: 1 + w.r.IntN(10)/8}
}

func (w *logTwins) find(topic string, from pubsub.Start) {
	var cs [2]pubsub.Cursor
	ok := w.both(fmt.Sprintf("find %s %+v", topic, from), func(i int, s logAndGroups) (_ string, err error) {
		f := from
		if f.After != "" {
			f.After = w.cursors[w.n][i]
		}
		cs[i], err = s.Find(context.Background(), topic, f)
		return spot(cs[i]), err
	})
	if ok {
		w.cursors = append(w.cursors, cs)
	}
}

// any returns some place, mostly a late one.
func (w *logTwins) any(n int) int { return max(0, n-1-w.r.IntN(6)) }

func (w *logTwins) step() {
	ctx := context.Background()
	topic := w.topic()
	w.n = w.any(len(w.cursors))
	at := w.cursors[w.n]
	switch w.r.IntN(14) {
	case 0, 1:
		var ms []pubsub.Message
		for range w.r.IntN(4) {
			m := pubsub.Message{ID: fmt.Sprint("id", w.r.IntN(9)), Source: "/s", Type: "t", Key: []string{"", "a", "b"}[w.r.IntN(3)], Time: time.Now().UTC(), Data: fmt.Append(nil, w.r.IntN(1000))}
			if w.r.IntN(2) == 0 {
				m.Header = map[string]string{"h": "v"}
			}
			ms = append(ms, m)
		}
		w.both("append", func(_ int, s logAndGroups) (string, error) {
			n, err := s.Append(ctx, topic, ms)
			return fmt.Sprint(n), err
		})
	case 2:
		w.find(topic, []pubsub.Start{{}, {Latest: true}, {Since: time.Now().Add(-time.Duration(w.r.IntN(60)) * time.Second)}, {After: "x"}}[w.r.IntN(4)])
	case 3, 4:
		r := pubsub.Read{Max: 1 + w.r.IntN(5), MaxBytes: 1 + w.r.IntN(10), Shards: w.r.IntN(4)}
		r.Shard = w.r.IntN(max(r.Shards, 1))
		var through [2]pubsub.Cursor
		ok := w.both(fmt.Sprintf("read %s %+v", topic, r), func(i int, s logAndGroups) (string, error) {
			r := r
			r.After = at[i]
			b, err := s.Read(ctx, topic, r)
			through[i] = b.Through
			var out []string
			for _, m := range b.Messages {
				out = append(out, text(m))
			}
			if r.Shards < 2 { // else it may be anywhere before the next of the shard
				out = append(out, spot(b.Through))
			}
			return strings.Join(out, "\n"), err
		})
		if ok && r.Shards < 2 {
			w.cursors = append(w.cursors, through)
		}
	case 5:
		w.both("behind", func(i int, s logAndGroups) (string, error) {
			n, since, err := s.Behind(ctx, topic, at[i])
			return fmt.Sprint(n, since), err
		})
	case 6:
		r := pubsub.Retention{Age: time.Duration(w.r.IntN(60)) * time.Second, Count: int64(w.r.IntN(10)), DropUnread: w.r.IntN(2) == 0}
		w.both(fmt.Sprintf("trim %+v", r), func(_ int, s logAndGroups) (string, error) {
			n, err := s.Trim(ctx, topic, r, 1+w.n%5)
			return fmt.Sprint(n), err
		})
	case 7:
		g := w.group()
		if !w.of(g.Topic, at) {
			break
		}
		what := w.r.IntN(4)
		w.both(fmt.Sprint("create, seek, drop ", what), func(i int, s logAndGroups) (string, error) {
			switch what {
			case 0:
				return "", s.Seek(ctx, g, at[i])
			case 1:
				return "", s.Drop(ctx, g.Topic, g.Name)
			}
			return "", s.Create(ctx, g, at[i])
		})
	case 8, 9:
		g := w.group()
		n := w.r.IntN(g.Shards)
		var cs [2]pubsub.Claim
		ok := w.both("claim", func(i int, s logAndGroups) (_ string, err error) {
			cs[i], err = s.Claim(ctx, g, n, "me", 3*time.Second)
			return fmt.Sprint(cs[i].Group, cs[i].Shard, spot(cs[i].Cursor), cs[i].Died, cs[i].Tries), err
		})
		if ok {
			w.claims = append(w.claims, cs)
		}
	case 10, 11, 12:
		if len(w.claims) > 0 {
			w.held(ctx, at, w.claims[w.any(len(w.claims))])
		}
	case 13:
		g := w.group()
		f := pubsub.Filter{Topic: g.Topic, Group: g.Name}
		if w.r.IntN(2) == 0 {
			f.ID = fmt.Sprint("id", w.r.IntN(9))
		}
		if w.r.IntN(3) == 0 {
			w.both("discard", func(_ int, s logAndGroups) (string, error) {
				ok, err := s.Discard(ctx, f.Topic, f.Group, f.ID, "why")
				return fmt.Sprint(ok), err
			})
			break
		}
		w.both("redrive", func(_ int, s logAndGroups) (string, error) {
			n, err := s.Redrive(ctx, f)
			return fmt.Sprint(n), err
		})
	}
	w.look(ctx)
}

// held does what the holder of a claim does.
func (w *logTwins) held(ctx context.Context, at [2]pubsub.Cursor, c [2]pubsub.Claim) {
	if !w.of(c[0].Topic, at) {
		return
	}
	what, tries := w.r.IntN(6), w.r.IntN(3)
	ds := [2][]pubsub.DeadLetter{}
	if what > 2 {
		n := w.r.IntN(5)
		for i := range ds {
			ds[i] = []pubsub.DeadLetter{{
				Message: pubsub.Message{ID: "id" + spot(at[i])[15:], Source: "/s", Type: "t", Key: "a", Time: time.Unix(1e9, 0).UTC(), Data: []byte("d"), Cursor: at[i], Appended: time.Unix(1e9, 0).UTC()},
				Reason:  "exhausted", Error: fmt.Sprint("e", n), Attempts: n, At: time.Now().UTC(),
			}}
		}
		if len(w.dead) > 0 && what > 3 {
			d := w.dead[w.r.IntN(len(w.dead))]
			for i := range ds {
				ds[i][0].Message, ds[i][0].Pos = d[i].Message, d[i].Pos
			}
		}
	}
	w.both(fmt.Sprint("held ", what), func(i int, s logAndGroups) (string, error) {
		switch what {
		case 0:
			return "", s.Release(ctx, c[i])
		case 1, 2:
			claim := c[i]
			claim.Cursor, claim.Tries = at[i], tries
			return "", s.Save(ctx, claim, 3*time.Second)
		case 5:
			return "", s.Unpark(ctx, c[i], []int64{ds[i][0].Pos})
		}
		return "", s.Park(ctx, c[i], ds[i])
	})
}

// look compares all that can be seen.
func (w *logTwins) look(ctx context.Context) {
	w.dead = nil
	for _, topic := range twinTopics {
		w.both("states", func(_ int, s logAndGroups) (string, error) {
			states, err := s.States(ctx, topic, "")
			var out []string
			for _, st := range states {
				st.Cursor, st.Epoch = pubsub.Cursor(spot(st.Cursor)), 0 // epochs only grow
				out = append(out, fmt.Sprint(st))
			}
			return strings.Join(out, "\n"), err
		})
		for _, group := range []string{"g", "h"} {
			w.both("parked at", func(i int, s logAndGroups) (string, error) {
				var cs []pubsub.Cursor
				for _, c := range w.cursors {
					cs = append(cs, c[i])
				}
				at, err := s.ParkedAt(ctx, topic, group, cs)
				var out []string
				for _, c := range at {
					out = append(out, spot(c))
				}
				slices.Sort(out)
				return strings.Join(out, "\n"), err
			})
			for _, f := range []pubsub.Filter{{}, {Discarded: true}, {Redriven: true, Shard: 1, Shards: 2}} {
				f.Topic, f.Group = topic, group
				var ds [2][]pubsub.DeadLetter
				w.both(fmt.Sprintf("parked %+v", f), func(i int, s logAndGroups) (_ string, err error) {
					ds[i], err = s.Parked(ctx, f, 0, 1000)
					var out []string
					for _, d := range ds[i] {
						out = append(out, letter(d))
					}
					return strings.Join(out, "\n"), err
				})
				for i := range ds[0] {
					w.dead = append(w.dead, [2]pubsub.DeadLetter{ds[0][i], ds[1][i]})
				}
			}
		}
	}
}

package trips

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// An Under is what a context knows of the work that calls are made for. Nil is
// no work that anybody counts.
type Under struct {
	tally *Tally      // of one piece of work,
	outer *Under      // which is a part of another
	group *Group      // or of all that wait for the same call
	own   atomic.Bool // inside an attempt of a call: its own trip is still to come
}

type key struct{}

// With returns a context whose calls t counts. What counted them before goes
// on counting them.
func With(ctx context.Context, t *Tally) context.Context {
	return context.WithValue(ctx, key{}, &Under{tally: t, outer: Of(ctx)})
}

// Of returns what ctx knows.
func Of(ctx context.Context) *Under {
	u, _ := ctx.Value(key{}).(*Under)
	return u
}

// Attempt returns the context for an attempt of a call that was charged: the
// first call made under it is that call itself, as when a transport counts
// what an endpoint has counted already. u is not nil.
func (u *Under) Attempt(ctx context.Context) context.Context {
	in := &Under{outer: u}
	in.own.Store(true)
	return context.WithValue(ctx, key{}, in)
}

// Charge counts a call to target. Its error is that of the tally that refuses
// the call.
func (u *Under) Charge(target string) error {
	if u == nil {
		return nil
	}
	mine, shared := u.tallies(true)
	c := Call{Target: target}
	wants := func(t *Tally) bool { return t.Sites }
	if slices.ContainsFunc(mine, wants) || slices.ContainsFunc(shared, wants) {
		c.Site = site()
	}
	for i, t := range mine {
		if t.take(c, false) {
			continue
		}
		for j, t := range mine {
			if j < i {
				t.back(c)
			}
			t.refuse(c)
		}
		return t.Why()
	}
	for _, t := range shared {
		t.take(c, true)
	}
	return nil
}

// tallies lists who counts a call: those that may refuse it, from the
// innermost, and those of a group. An attempt whose own trip this is hides
// what is outside of it.
func (u *Under) tallies(charged bool) (mine, shared []*Tally) {
	for ; u != nil; u = u.outer {
		if charged && u.own.CompareAndSwap(true, false) {
			break
		}
		if u.tally != nil {
			mine = append(mine, u.tally)
		}
		if u.group != nil {
			shared = u.group.all()
		}
	}
	return mine, shared
}

// A Group is all the work that waits for the same calls. Each pays for all of
// them, and none can refuse them: the others have done nothing wrong. Nil is a
// group that nobody joined.
type Group struct {
	mu      sync.Mutex // guards members
	members []*Tally
}

// Context returns a context under which each call is charged to all who have
// joined by then.
func (g *Group) Context(ctx context.Context) context.Context {
	return context.WithValue(ctx, key{}, &Under{group: g})
}

// Full returns the error of a tally, if there is one, that refuses any further
// call made for u, and counts the refusal.
func (u *Under) Full() error {
	mine, _ := u.tallies(false)
	if t := full(mine); t != nil {
		return t.Why()
	}
	return nil
}

// Join lets the work of u pay for the calls to come.
func (g *Group) Join(u *Under) {
	if u == nil {
		return
	}
	mine, shared := u.tallies(false)
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, t := range slices.Concat(mine, shared) {
		if !slices.Contains(g.members, t) {
			g.members = append(g.members, t)
		}
	}
}

func (g *Group) all() []*Tally {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.members)
}

// ours are the packages that make calls for somebody, who is the site.
var ours = []string{"github.com/crosstie/crosstie.", "github.com/crosstie/crosstie/", "net/http.", "runtime.", "sync.", "iter."}

// site is the innermost line of the program that is not ours, or is a test.
func site() string {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	for {
		f, more := frames.Next()
		if f.Function != "" && (strings.HasSuffix(f.File, "_test.go") ||
			!slices.ContainsFunc(ours, func(p string) bool { return strings.HasPrefix(f.Function, p) })) {
			return fmt.Sprintf("%s:%d", f.File, f.Line)
		}
		if !more {
			return ""
		}
	}
}

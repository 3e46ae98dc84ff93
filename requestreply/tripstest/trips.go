// Package tripstest fails the test of a page that makes too many calls, and
// names the lines that made them.
//
// Use it to keep a page from becoming chatty: the test that loads it runs under
// a context of [AtMost], and whoever adds a call to each row is told so before
// the users are. In a program, requestreply.WithTrips counts, warns or refuses.
//
//	func TestProductPage(t *testing.T) {
//		ctx := tripstest.AtMost(t, 2) // the products, and all their prices
//		page, err := load(ctx, "tea")
//		...
//	}
package tripstest

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/crosstie/crosstie/requestreply"
)

// AtMost returns t's context, under which calls are counted as
// requestreply.WithTrips says. When the test ends it fails if there were more
// than most, and lists where they were made, the most frequent first. Every
// call is made; with most zero or negative there must be none. It is safe to
// use it for several contexts of one test, each with its own count.
func AtMost(t testing.TB, most int) context.Context {
	t.Helper()
	ctx, trips := requestreply.WithTrips(t.Context(), &requestreply.TripsOptions{Sites: true})
	t.Cleanup(func() {
		t.Helper()
		made := trips.Made()
		if made <= max(0, most) {
			return
		}
		var b strings.Builder
		fmt.Fprintf(&b, "%d calls were made, want at most %d:", made, max(0, most))
		for _, c := range trips.Calls() {
			if c.Made == 0 {
				continue
			}
			if c.Target == "" && c.Site == "" {
				fmt.Fprintf(&b, "\n\t%d others", c.Made)
				continue
			}
			fmt.Fprintf(&b, "\n\t%d to %q from %s", c.Made, c.Target, c.Site)
		}
		b.WriteString("\nask for more at once: an endpoint that takes a list, or coalesce.Batcher")
		t.Error(b.String())
	})
	return ctx
}

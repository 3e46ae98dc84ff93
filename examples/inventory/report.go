package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// A tally is what one pattern did in a run: a line of the table at the end.
type tally struct {
	Pattern string `json:"pattern"`
	What    string `json:"what"`

	In          int64 `json:"in"`
	Done        int64 `json:"done"`
	Unchanged   int64 `json:"unchanged"`
	Failed      int64 `json:"failed"`
	Parked      int64 `json:"parked"`
	Unprocessed int64 `json:"unprocessed"`

	Took time.Duration `json:"-"`
}

// check is the one formula: what came in is done, was so already, failed, is parked, or was not reached.
func (t tally) check() error {
	if sum := t.Done + t.Unchanged + t.Failed + t.Parked + t.Unprocessed; sum != t.In {
		return broken("the report adds up", "%s, %s: in is %d, but its parts make %d", t.Pattern, t.What, t.In, sum)
	}
	return nil
}

// A brokenError names an invariant that does not hold.
type brokenError struct{ Invariant, Detail string }

func (e *brokenError) Error() string {
	return fmt.Sprintf("invariant broken: %s: %s", e.Invariant, e.Detail)
}

func broken(invariant, format string, args ...any) error {
	return &brokenError{invariant, fmt.Sprintf(format, args...)}
}

// printTable writes the table.
func printTable(w io.Writer, tallies []tally) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PATTERN\tWHAT WAS DONE\tIN = DONE + UNCHANGED + FAILED + PARKED + UNPROCESSED\tTIME")
	for _, r := range tallies {
		fmt.Fprintf(t, "%s\t%s\t%d = %d + %d + %d + %d + %d\t%s\n", r.Pattern, r.What,
			r.In, r.Done, r.Unchanged, r.Failed, r.Parked, r.Unprocessed, short(r.Took))
	}
	return t.Flush()
}

// short writes a duration as a person would.
func short(d time.Duration) string {
	switch {
	case d >= time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d >= time.Millisecond:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return "< 1 ms"
}

// plural counts a thing.
func plural(n int64, one string) string {
	if n == 1 {
		return "1 " + one
	}
	if stem, ok := strings.CutSuffix(one, "y"); ok {
		return fmt.Sprintf("%d %sies", n, stem)
	}
	return fmt.Sprintf("%d %ss", n, one)
}

func wasOrWere(n int64) string {
	if n == 1 {
		return "was"
	}
	return "were"
}

package crosstie

import (
	"fmt"
	"strings"
	"time"
)

// Advice is what [Choose] returns. Its String is for a person to read.
type Advice struct {
	// Requirement is the one that was judged, its defaults filled in.
	Requirement Requirement
	// Ranked holds all six patterns, the best first.
	Ranked []Choice
	// Warning says what the second choice would go wrong with.
	Warning Warning
}

// A Choice is one pattern, judged.
type Choice struct {
	// Pattern is which.
	Pattern Pattern
	// Score is the sum of the points of Reasons. Only its order among the
	// six means anything.
	Score int
	// Reasons says which drivers decided, the heaviest first.
	Reasons []Reason
	// Cost is what it takes of the calls a day.
	Cost Cost
	// Tooling names what Salesforce itself offers for this pattern in the
	// requirement's direction: what sits at the other end of the tie, or what
	// may do without us.
	Tooling []string
}

// A Reason is one rule that held.
type Reason struct {
	// Field is the field of Requirement that decided.
	Field string
	// Points is what it counted, for the pattern or against it.
	Points int
	// Text is the reason as a sentence.
	Text string
}

// String returns the reason with its driver and points.
func (r Reason) String() string {
	if r.Field == "" {
		return r.Text
	}
	return fmt.Sprintf("%+d %s: %s", r.Points, r.Field, r.Text)
}

// String renders the advice in lines of plain text: the choice, each of its
// reasons, the tooling, the warning, and then the ranking with the reason that
// weighed most against each of the others.
func (a Advice) String() string {
	if len(a.Ranked) == 0 {
		return "no advice"
	}
	var b strings.Builder
	best := a.Ranked[0]
	fmt.Fprintf(&b, "Use %s: %s.\n", best.Pattern, rooms[best.Pattern].gist)
	for _, why := range best.Reasons {
		fmt.Fprintf(&b, "  %s\n", why)
	}
	fmt.Fprintf(&b, "  calls a day: %s\n", best.Cost)
	for _, t := range best.Tooling {
		fmt.Fprintf(&b, "  Salesforce: %s\n", t)
	}
	fmt.Fprintf(&b, "Not %s, which would be %s: %s\n", a.Warning.RunnerUp, a.Warning.AntiPattern, a.Warning.Text)
	fmt.Fprintf(&b, "Ranked:\n")
	for i, c := range a.Ranked {
		fmt.Fprintf(&b, "  %d. %-12s %+3d  calls a day: %s\n", i+1, c.Pattern, c.Score, c.Cost)
		if i > 0 {
			fmt.Fprintf(&b, "     %s\n", c.against())
		}
	}
	return b.String()
}

// against is the reason that weighed most against c, or, where none did, the
// one that weighed most.
func (c Choice) against() Reason {
	for _, why := range c.Reasons {
		if why.Points < 0 {
			return why
		}
	}
	if len(c.Reasons) > 0 {
		return c.Reasons[0]
	}
	return Reason{Text: "no driver speaks for it or against it"}
}

// String returns the calls, how they came about, and the allowance.
func (c Cost) String() string {
	s := fmt.Sprintf("%s (%s)", group(c.Calls), c.Formula)
	switch {
	case c.Allowed == 0:
		return s
	case c.Fits:
		return s + fmt.Sprintf(", of %s", group(c.Allowed))
	}
	return s + fmt.Sprintf(", MORE than the %s allowed", group(c.Allowed))
}

// group writes n with a comma between thousands.
func group(n int64) string {
	s := fmt.Sprint(n)
	head := len(s) % 3
	if n < 0 {
		head = (len(s)-1)%3 + 1
	}
	var b strings.Builder
	b.WriteString(s[:head])
	for i := head; i < len(s); i += 3 {
		if b.Len() > 0 && s[i-1] != '-' {
			b.WriteByte(',')
		}
		b.WriteString(s[i : i+3])
	}
	return b.String()
}

// plural writes a count and its noun.
func plural(n int64, noun string) string {
	switch {
	case n == 1:
	case strings.HasSuffix(noun, "ch"):
		noun += "es"
	default:
		noun += "s"
	}
	return group(n) + " " + noun
}

// span writes a duration without its empty parts: "8h", "5m", "1m30s".
func span(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

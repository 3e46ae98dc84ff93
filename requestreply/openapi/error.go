package openapi

import (
	"fmt"
	"strings"
)

// An Effect is what an importer would do with something it does not like.
type Effect int

const (
	// Refused: it would not import the document, or not the operation.
	Refused Effect = iota
	// Dropped: it would leave something out, without a word.
	Dropped
	// Changed: it imports all, but something looks otherwise on its side.
	Changed
)

// String returns the effect in a word.
func (e Effect) String() string {
	switch e {
	case Refused:
		return "refused"
	case Dropped:
		return "dropped"
	default:
		return "changed"
	}
}

// A Finding is something that an importer would refuse, drop or change.
type Finding struct {
	// Operation is its id, as registered.
	Operation string
	// Where is the place in it: "pattern", `query "limit"`, "Order.Lines.SKU".
	Where string
	// Effect says what would become of it.
	Effect Effect
	// What says what is wrong and what to do.
	What string
	// Source names the page or section with the rule.
	Source string
}

// String writes the finding on a line.
func (f Finding) String() string {
	return fmt.Sprintf("%s: %s: %s: %s (%s)", f.Operation, f.Where, f.Effect, f.What, f.Source)
}

// An Error says why an operation was not registered: all there is against it.
type Error struct {
	Operation string
	Pattern   string
	Profile   Profile
	Findings  []Finding
}

// Error lists the findings.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "requestreply/openapi: %s (%q) is not registered for %s:", e.Operation, e.Pattern, e.Profile)
	for i, f := range e.Findings {
		if i > 0 {
			b.WriteString(";")
		}
		fmt.Fprintf(&b, " %s: %s: %s (%s)", f.Where, f.Effect, f.What, f.Source)
	}
	return b.String()
}

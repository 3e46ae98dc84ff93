package policy

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"
)

// The rooms, open or planned. A room is a folder at the root and all in it.
var patterns = []string{"requestreply", "fireforget", "batchsync", "remoteinvoke", "uiupdate", "pubsub"}

// nouns are the shared packages that users configure.
var nouns = []string{"outcome", "inbox", "retry", "webhook"}

// layers says what of ours each part may import in code that is not a test.
// The first row that fits decides. A part may always import itself and what
// lies inside it.
var layers = []struct {
	part string   // a folder; "." is the root package alone; "*" is any room
	may  []string // folders; "*" is every room
	why  string
}{
	{"internal/policy", []string{"."}, "it reads the tree, and asks the map which rooms are open"},
	{"internal", []string{"outcome", "internal"}, "hidden mechanics lie under the rooms, so none may know a room; an error of theirs says what is known"},
	{"outcome", []string{"internal"}, "everything imports it, so it imports nothing of ours"},
	{"inbox", []string{"internal", "outcome"}, "a noun that every receiver takes; its errors say what is known"},
	{"webhook", []string{"internal", "outcome"}, "a noun; its errors say what is known"},
	{"retry", []string{"internal", "outcome"}, "to repeat or not is decided by outcome"},
	{"*", append([]string{"internal"}, nouns...), "a room stands alone: who imports one pattern gets one; what two share is a noun or is internal"},
	{"sqlstore/enginetest", append([]string{"sqlstore", "*", "."}, nouns...), "tests of the store on a real engine, as a stranger would write them: no internal"},
	{"sqlstore", append([]string{"*", "internal"}, nouns...), "it implements the ports, so it knows the rooms; it is in the root module, so internal is its own"},
	{"salesforce/sftest", nil, "an org stands alone: it may share no mistake with the client that is tested against it"},
	{"salesforce/cmd", []string{"salesforce/sftest"}, "a program around the org"},
	{"salesforce", append([]string{"*"}, nouns...), "an adapter implements ports of the rooms as a stranger would: no internal"},
	{"examples", append([]string{"*", "sqlstore", "salesforce", "."}, nouns...), "what a user would write: everything exported and nothing internal"},
	{"bench", append([]string{"*", "sqlstore", "salesforce", ".", "internal"}, nouns...), "never released; it may measure what is hidden"},
	{"interop", append([]string{"*", "sqlstore", "salesforce", "."}, nouns...), "never released; what strangers read is what users get, so nothing internal"},
	{"tools", nil, "linters only"},
	{".", []string{"internal"}, "the adviser speaks of the rooms and uses none: importing the map must not import the house"},
}

// foreign says who may import each module that is not ours. What is in no row
// may be imported by nobody.
var foreign = []struct {
	prefix string
	who    []string // folders; nil means test files only, anywhere
	why    string
}{
	{"github.com/stretchr/testify", nil, "assertions; kits are importable and use testing alone"},
	{"github.com/cenkalti/backoff/v4", []string{"retry"}, "the schedule inside retry; no other room waits by itself"},
	{"github.com/sony/gobreaker/v2", []string{"requestreply", "internal", "bench"}, "the state machine of the breaker"},
	{"golang.org/x/sync", []string{"."}, "errgroup, singleflight and semaphore, anywhere"},
	{"github.com/chromedp", []string{"examples/inventory"}, "tests that drive the page in a real browser"},
	{"modernc.org/sqlite", []string{"sqlstore/enginetest", "examples/inventory", "bench"}, "a driver: the library takes *sql.DB and its users choose"},
	{"github.com/jackc/pgx/v5", []string{"sqlstore/enginetest", "examples/inventory", "bench"}, "a driver: the library takes *sql.DB and its users choose"},
}

// testers are the modules of the table that even those named there may import
// in _test.go files only.
var testers = map[string]bool{"github.com/chromedp": true}

// checkImports holds every import against the two tables.
func checkImports(t *tree) (offences []string) {
	bad := func(s source, imp, why string) {
		offences = append(offences, fmt.Sprintf("%s imports %s: %s", s.name, imp, why))
	}
	for _, s := range t.files {
		from, ok := local(s.pkg)
		if !ok {
			offences = append(offences, fmt.Sprintf("%s: package %s is outside %s", s.name, s.pkg, home))
			continue
		}
		for _, imp := range s.imports() {
			if to, ok := local(imp); ok {
				if why := refused(s, from, to); why != "" {
					bad(s, imp, why)
				}
				continue
			}
			first, _, _ := strings.Cut(imp, "/")
			if strings.Contains(first, ".") {
				if why := stranger(s, from, imp); why != "" {
					bad(s, imp, why)
				}
			}
			if imp == "testing" && !s.test && !strings.HasSuffix(from, "test") {
				bad(s, imp, "only tests and kits (packages named <pattern>test) may")
			}
		}
	}
	return offences
}

// refused says why a part may not import another, or nothing.
func refused(s source, from, to string) string {
	// An external test is a stranger to its package: it may use the whole
	// house, as users do. What it drags in, no user gets.
	if s.ext && s.module == "." {
		return ""
	}
	if s.test && strings.HasSuffix(to, "test") {
		return "" // a kit
	}
	row := slices.IndexFunc(layers, func(l struct {
		part string
		may  []string
		why  string
	}) bool {
		switch l.part {
		case "*":
			return room(from) != ""
		case ".":
			return from == "."
		}
		return under(from, l.part)
	})
	if row < 0 {
		return "no layer knows this folder: add it to the table, with a reason"
	}
	l := layers[row]
	own := l.part
	if own == "*" {
		own = room(from)
	}
	if own != "." && under(to, own) && (s.module == "." || !under(to, "internal")) {
		return ""
	}
	for _, m := range l.may {
		switch {
		case m == "*" && room(to) != "", m == "." && to == ".", m != "." && m != "*" && under(to, m) && !(m == "sqlstore" && under(to, "sqlstore/enginetest")):
			return ""
		}
	}
	return l.why
}

// room names the pattern whose folder holds dir, or nothing.
func room(dir string) string {
	first, _, _ := strings.Cut(dir, "/")
	if slices.Contains(patterns, first) {
		return first
	}
	return ""
}

// stranger says why a file may not import a module that is not ours, or
// nothing.
func stranger(s source, from, imp string) string {
	for _, f := range foreign {
		if !under(imp, f.prefix) {
			continue
		}
		if f.who == nil {
			if s.test {
				return ""
			}
			return "in _test.go files only: " + f.why
		}
		for _, w := range f.who {
			if (w == "." || under(from, w)) && (s.test || !testers[f.prefix]) {
				return ""
			}
		}
		return fmt.Sprintf("only %s may: %s", strings.Join(f.who, ", "), f.why)
	}
	if s.module == "bench" || s.module == "interop" || s.module == "tools" {
		return "" // never released: rivals, strangers and linters are what they are for
	}
	return "no row of the table allows it; the direct requires of this module are a decision"
}

func TestImports(t *testing.T) {
	tr := checkout(t)
	report(t, checkImports(tr))
	for _, l := range layers {
		if l.why == "" || path.Clean(l.part) != l.part {
			t.Errorf("layer %q: give a clean path and a reason", l.part)
		}
	}
}

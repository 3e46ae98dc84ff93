package policy

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/printer"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/crosstie/crosstie"
)

// anatomy is what each room has, so that knowing one is knowing all. A
// name ending in a slash is a folder, and <p> stands for the pattern.
var anatomy = []string{
	"doc.go", "options.go", "error.go", "store.go", "mem.go",
	"antipattern_test.go", "example_test.go", "<p>test/",
}

// program is the longest an example of a room may be: what takes more does not
// show, it hides.
const program = 120

// nowhere says in the table elsewhere that a room has no such part.
const nowhere = "nowhere"

// elsewhere excuses a room from a part of the anatomy, with where it is instead
// and why, or that it is nowhere, and why.
var elsewhere = map[string]string{
	"requestreply/store.go":         "requestreply/server/store.go: the caller keeps nothing, the server keeps its answers",
	"requestreply/mem.go":           "requestreply/server/mem.go: it is the twin of that port",
	"requestreply/requestreplytest": "requestreply/server/servertest: it is the kit of that port",
	"uiupdate/store.go":             "nowhere: a view is a picture of what its source keeps, and only the source knows what happened while no process looked",
	"uiupdate/mem.go":               "nowhere: a view is in memory, so it is its own twin",
}

// heads are the headings of a room's package comment, and words what it must
// speak of.
var (
	heads = []string{"Errors", "Concurrency", "Testing"}
	words = []string{"crash", "bound", "default"}
)

// checkAnatomy looks for the parts of each of the rooms.
func checkAnatomy(t *tree, rooms []string) (offences []string) {
	has := func(name string) bool {
		_, err := os.Stat(filepath.Join(t.root, filepath.FromSlash(name)))
		return err == nil
	}
	for _, p := range rooms {
		for _, part := range anatomy {
			name := p + "/" + strings.ReplaceAll(part, "<p>", p)
			if _, ok := elsewhere[strings.TrimSuffix(name, "/")]; !ok && !has(name) {
				offences = append(offences, name+" is missing from the anatomy of a room")
			}
		}
		example := "examples/" + p + "/main.go"
		if !has(example) {
			offences = append(offences, example+" is missing: each room has a program that runs with no service and no flags")
		}
		for _, s := range t.files {
			if s.name == p+"/doc.go" {
				offences = append(offences, checkRoomDoc(p, s)...)
			}
			if n := t.fset.File(s.ast.FileStart).LineCount(); s.name == example && n > program {
				offences = append(offences, fmt.Sprintf("%s: %d lines, want at most %d", s.name, n, program))
			}
		}
	}
	for name, where := range elsewhere {
		there, why, _ := strings.Cut(where, ": ")
		if slices.Contains(rooms, path.Dir(name)) && (has(name) || there != nowhere && !has(there) || why == "") {
			offences = append(offences, fmt.Sprintf("%s: the exception needs a place that is there (%q) and a reason, and nothing in its own place", name, there))
		}
	}
	return offences
}

// checkRoomDoc looks for what a room's package comment must say.
func checkRoomDoc(p string, s source) (offences []string) {
	text := s.ast.Doc.Text()
	for _, h := range heads {
		if !regexp.MustCompile(`(?m)^# ` + h + `$`).MatchString(text) {
			offences = append(offences, fmt.Sprintf("%s: no heading %q", s.name, "# "+h))
		}
	}
	for _, w := range words {
		if !strings.Contains(strings.ToLower(text), w) {
			offences = append(offences, fmt.Sprintf("%s: says nothing of %q", s.name, w))
		}
	}
	sibling := false
	for _, other := range patterns {
		sibling = sibling || other != p && strings.Contains(text, other)
	}
	if !sibling {
		offences = append(offences, s.name+": does not name the sibling to use instead")
	}
	return offences
}

// shape prints a type without its comments.
func (t *tree) shape(e ast.Expr) string {
	var b bytes.Buffer
	if i, ok := e.(*ast.InterfaceType); ok {
		bare := &ast.InterfaceType{Methods: &ast.FieldList{}}
		for _, f := range i.Methods.List {
			bare.Methods.List = append(bare.Methods.List, &ast.Field{Names: f.Names, Type: f.Type})
		}
		e = bare
	}
	if err := printer.Fprint(&b, t.fset, e); err != nil {
		return err.Error()
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

func TestAnatomy(t *testing.T) { report(t, checkAnatomy(checkout(t), patterns)) }

// The adviser, the map in the root's package comment and that in README.md have
// the same rooms.
func TestMap(t *testing.T) {
	tr := checkout(t)
	for _, name := range []string{"doc.go", "README.md"} {
		text, err := os.ReadFile(filepath.Join(tr.root, name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for i, p := range patterns {
			if got := crosstie.Pattern(i + 1).String(); got != p {
				t.Errorf("the adviser calls pattern %d %s, want %s", i+1, got, p)
			}
			report(t, checkMapRow(name, string(text), p))
		}
	}
}

// checkMapRow finds the row of a table that has a room and its example.
func checkMapRow(name, text, p string) []string {
	if regexp.MustCompile(`(?m)^.*[^/\w]` + p + `\b.*\bexamples/` + p + `\b`).MatchString(text) {
		return nil
	}
	return []string{fmt.Sprintf("%s: no row has %s and examples/%s", name, p, p)}
}

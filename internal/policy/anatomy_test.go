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
	"strings"
	"testing"

	"github.com/crosstie/crosstie"
)

// anatomy is what each open room has, so that knowing one is knowing all. A
// name ending in a slash is a folder, and <p> stands for the pattern.
var anatomy = []string{
	"doc.go", "options.go", "error.go", "store.go", "mem.go",
	"antipattern_test.go", "example_test.go", "<p>test/",
}

// program is the longest an example of a room may be: what takes more does not
// show, it hides.
const program = 120

// elsewhere excuses a room from a part of the anatomy, with where it is instead
// and why.
var elsewhere = map[string]string{
	"requestreply/store.go":         "requestreply/server/store.go: the caller keeps nothing, the server keeps its answers",
	"requestreply/mem.go":           "requestreply/server/mem.go: it is the twin of that port",
	"requestreply/requestreplytest": "requestreply/server/servertest: it is the kit of that port",
}

// heads are the headings of a room's package comment, and words what it must
// speak of.
var (
	heads = []string{"Errors", "Concurrency", "Testing"}
	words = []string{"crash", "bound", "default"}
)

// checkAnatomy looks for the parts of each open room, and for rooms that are
// planned and yet there.
func checkAnatomy(t *tree, open func(room string) bool) (offences []string) {
	has := func(name string) bool {
		_, err := os.Stat(filepath.Join(t.root, filepath.FromSlash(name)))
		return err == nil
	}
	for _, p := range patterns {
		if !open(p) {
			if has(p) {
				offences = append(offences, fmt.Sprintf("%s is planned, but has a folder: open it in pattern.go, doc.go and README.md", p))
			}
			continue
		}
		if !has(p) {
			offences = append(offences, fmt.Sprintf("%s is open, but has no folder", p))
			continue
		}
		for _, part := range anatomy {
			name := p + "/" + strings.ReplaceAll(part, "<p>", p)
			if _, ok := elsewhere[strings.TrimSuffix(name, "/")]; !ok && !has(name) {
				offences = append(offences, name+" is missing from the anatomy of a room")
			}
		}
		example := "examples/" + p + "/main.go"
		if !has(example) {
			offences = append(offences, example+" is missing: each open room has a program that runs with no service and no flags")
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
		if open(path.Dir(name)) && (has(name) || !has(there) || why == "") {
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

// isOpen asks the map.
func isOpen(room string) bool {
	for p := crosstie.RequestReply; p <= crosstie.PubSub; p++ {
		if p.String() == room {
			return p.Open()
		}
	}
	return false
}

func TestAnatomy(t *testing.T) { report(t, checkAnatomy(checkout(t), isOpen)) }

// The map in the root's package comment and in README.md says of each room
// what the code says.
func TestMap(t *testing.T) {
	tr := checkout(t)
	for _, name := range []string{"doc.go", "README.md"} {
		text, err := os.ReadFile(filepath.Join(tr.root, name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, p := range patterns {
			report(t, checkMapRow(name, string(text), p, isOpen(p)))
		}
	}
}

// checkMapRow finds the row of a table that ends with a room's state.
func checkMapRow(name, text, p string, open bool) []string {
	want := map[bool]string{true: "open", false: "planned"}[open]
	row := regexp.MustCompile(`(?m)^.*\b` + p + `\b.*\b(open|planned)\b[^\n]*$`)
	m := row.FindAllStringSubmatch(text, -1)
	for _, r := range m {
		if r[1] == want {
			return nil
		}
	}
	return []string{fmt.Sprintf("%s: no row says that %s is %s", name, p, want)}
}

package policy

import (
	"bytes"
	"fmt"
	"go/ast"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// wall is the longest a file may be; one that is longer holds two ideas.
const wall = 600

// emptyNames are package names that say nothing of what is inside.
var emptyNames = []string{"util", "utils", "common", "helper", "helpers", "misc", "shared", "base", "core", "types"}

// sleepers are test files that may sleep for real, each with the other
// process it watches.
var sleepers = map[string]string{}

// unsaid are words that may stand nowhere, each with its reason. The
// expressions are written so that they do not find themselves.
var unsaid = []struct {
	expr *regexp.Regexp
	why  string
}{
	{regexp.MustCompile(`/(?:w[o]rk|f[a]rm|r[o]ot)/`), "a path of one machine"},
	{regexp.MustCompile(`\b(?:TO[D]O|FI[X]ME|XX[X])\b`), "unfinished: what is not built is absent"},
	{regexp.MustCompile(`(?i)\bnot (?:yet )?implemente[d]\b|\bunimplemente[d]\b`), "unfinished: what is not built is absent"},
	{regexp.MustCompile(`(?i)exactly[- ]once deliver[y]`), "nobody has it: at least once, once in effect inside the window"},
}

// checkWords holds names, lengths and words of the tree.
func checkWords(t *tree) (offences []string) {
	bad := func(format string, args ...any) { offences = append(offences, fmt.Sprintf(format, args...)) }
	for _, s := range t.files {
		if slices.Contains(emptyNames, s.ast.Name.Name) || slices.Contains(emptyNames, path.Base(path.Dir(s.name))) {
			bad("%s: package %s says nothing of what is inside", s.name, s.ast.Name.Name)
		}
		if n := t.fset.File(s.ast.FileStart).LineCount(); n > wall {
			bad("%s: %d lines, want at most %d: it holds two ideas", s.name, n, wall)
		}
		if s.test {
			if _, ok := sleepers[s.name]; !ok {
				offences = append(offences, t.sleeps(s)...)
			}
		}
	}
	names := slices.Clone(t.texts)
	for _, s := range t.files {
		names = append(names, s.name)
	}
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(t.root, filepath.FromSlash(name)))
		if err != nil {
			bad("%v", err)
			continue
		}
		for i, line := range bytes.Split(text, []byte("\n")) {
			for _, u := range unsaid {
				if found := u.expr.Find(line); found != nil {
					bad("%s:%d: %q is %s", name, i+1, found, u.why)
				}
			}
		}
	}
	return offences
}

// bubbles names the functions of a file's folder that run their argument in a
// synctest bubble.
func (t *tree) bubbles(s source) map[string]bool {
	names := map[string]bool{"synctest.Test": true}
	for _, f := range t.files {
		if !f.test || f.pkg != s.pkg {
			continue
		}
		for _, decl := range f.ast.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && !strings.HasPrefix(fn.Name.Name, "Test") {
				ast.Inspect(fn, func(n ast.Node) bool {
					if call, ok := n.(*ast.CallExpr); ok && callee(call) == "synctest.Test" {
						names[fn.Name.Name] = true
					}
					return true
				})
			}
		}
	}
	return names
}

// sleeps lists the calls of time.Sleep in a test file that are not inside
// a function that a synctest bubble runs.
func (t *tree) sleeps(s source) (offences []string) {
	bubbles := t.bubbles(s)
	var in func(n ast.Node, bubble bool)
	in = func(n ast.Node, bubble bool) {
		ast.Inspect(n, func(m ast.Node) bool {
			call, ok := m.(*ast.CallExpr)
			if !ok || m == n {
				return true
			}
			switch name := callee(call); {
			case bubbles[name]:
				for _, a := range call.Args {
					in(a, true)
				}
				return false
			case name == "time.Sleep" && !bubble:
				offences = append(offences, fmt.Sprintf("%s: a real sleep in a test; use a channel, or testing/synctest", t.at(s, call)))
			}
			return true
		})
	}
	in(s.ast, false)
	return offences
}

// callee names a called function as it is written: Function, or
// package.Function.
func callee(call *ast.CallExpr) string {
	switch fn := call.Fun.(type) {
	case *ast.Ident:
		return fn.Name
	case *ast.SelectorExpr:
		if x, ok := fn.X.(*ast.Ident); ok {
			return x.Name + "." + fn.Sel.Name
		}
	}
	return ""
}

func TestWords(t *testing.T) {
	tr := checkout(t)
	report(t, checkWords(tr))
	for name, why := range sleepers {
		if why == "" || !slices.ContainsFunc(tr.files, func(s source) bool { return s.name == name }) {
			t.Errorf("%s: an exception without a reason, or for a file that is gone", name)
		}
	}
}

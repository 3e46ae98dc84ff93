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
var sleepers = map[string]string{
	"sqlstore/enginetest/jobs_crash_test.go": "its children work for a while, so that a kill meets them at work",
}

// knobs are the variables of the environment that tests may read.
var knobs = map[string]string{
	"CROSSTIE_SOAK":              "its presence makes the same tests run with larger counts: make soak",
	"CROSSTIE_POSTGRES":          "where the server of the tests on PostgreSQL is; without it they skip",
	"CROSSTIE_POSTGRES_PROGRAMS": "required makes it a failure, not a skip, that initdb or pgbouncer is missing: CI has them",
	"CROSSTIE_BROWSER":           "required makes it a failure, not a skip, that there is no browser: CI has one",
}

// unsaid are words that may stand nowhere, each with its reason. The
// expressions are written so that they do not find themselves.
var unsaid = []struct {
	expr *regexp.Regexp
	why  string
}{
	{regexp.MustCompile(`/(?:w[o]rk|f[a]rm|r[o]ot)/`), "a path of one machine"},
	{regexp.MustCompile(`\b(?:TO[D]O|FI[X]ME|XX[X])\b`), "unfinished: what is not built is absent"},
	{regexp.MustCompile(`(?i)\bnot (?:yet )?implemente[d]\b|\bunimplemente[d]\b`), "unfinished: what is not built is absent"},
	{regexp.MustCompile(`"resolve[d]":`), "a registry's address: package-lock.json needs none (omit-lockfile-registry-resolved in .npmrc)"},
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
			ast.Inspect(s.ast, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok && (callee(call) == "os.Getenv" || callee(call) == "os.LookupEnv") {
					lit, ok := call.Args[0].(*ast.BasicLit)
					if !ok || knobs[strings.Trim(lit.Value, `"`)] == "" {
						bad("%s: a test reads a variable of the environment that no row of the table explains", t.at(s, call))
					}
				}
				return true
			})
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

// A bubbled is what the test functions of one folder do about synctest.
type bubbled struct {
	runners map[string]bool // functions that run their argument in a bubble
	inside  map[string]bool // functions that only a bubble runs
}

// bubbles reads the tests of s's folder. Methods count under the name of their
// type, since an interface may stand between them and who calls them.
func (t *tree) bubbles(s source) bubbled {
	b := bubbled{runners: map[string]bool{"synctest.Test": true}, inside: map[string]bool{}}
	users := map[string][]string{} // who names it
	calls := map[string][]string{} // what it calls
	for _, f := range t.files {
		if !f.test || f.pkg != s.pkg {
			continue
		}
		for _, decl := range f.ast.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			name := owner(fn)
			b.inside[name] = !entry(name)
			ast.Inspect(fn, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.CallExpr:
					calls[name] = append(calls[name], callee(n))
					if callee(n) == "synctest.Test" && !entry(name) {
						b.runners[name] = true
					}
				case *ast.AssignStmt: // bubble := func(...) { ... synctest.Test ... }
					if x, ok := n.Lhs[0].(*ast.Ident); ok && opensBubble(n.Rhs[0]) {
						b.runners[x.Name] = true
					}
				case *ast.Ident:
					if n.Name != name {
						users[n.Name] = append(users[n.Name], name)
					}
				}
				return true
			})
		}
	}
	opens := func(name string) bool {
		return slices.ContainsFunc(calls[name], func(c string) bool { return b.runners[c] })
	}
	for changed := true; changed; {
		changed = false
		for name, in := range b.inside {
			out := slices.ContainsFunc(users[name], func(user string) bool { return !b.inside[user] && !opens(user) })
			if in && (out || opens(name) || len(users[name]) == 0) {
				b.inside[name], changed = false, true
			}
		}
	}
	return b
}

// owner is the name a function goes by: a method's is that of its type.
func owner(fn *ast.FuncDecl) string {
	if fn.Recv != nil {
		return receiver(fn.Recv.List[0].Type)
	}
	return fn.Name.Name
}

// opensBubble says whether e is a function literal that opens a bubble.
func opensBubble(e ast.Expr) bool {
	fn, ok := e.(*ast.FuncLit)
	if !ok {
		return false
	}
	opens := false
	ast.Inspect(fn, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		opens = opens || ok && callee(call) == "synctest.Test"
		return !opens
	})
	return opens
}

// entry says whether the testing package calls a function by its name.
func entry(name string) bool {
	return slices.ContainsFunc([]string{"Test", "Benchmark", "Fuzz", "Example"}, func(p string) bool { return strings.HasPrefix(name, p) })
}

// sleeps lists the calls of time.Sleep in a test file that may happen outside
// a synctest bubble. A function that is named where a bubble is opened, and
// elsewhere only by its like, counts as run by that bubble; so does a literal
// that is given a name there.
func (t *tree) sleeps(s source) (offences []string) {
	b := t.bubbles(s)
	opens := false // whether the function at hand opens a bubble
	var in func(n ast.Node, bubble bool)
	in = func(n ast.Node, bubble bool) {
		ast.Inspect(n, func(m ast.Node) bool {
			if as, ok := m.(*ast.AssignStmt); ok && opens && !bubble {
				if _, ok := as.Rhs[0].(*ast.FuncLit); ok {
					in(as.Rhs[0], true)
					return false
				}
			}
			call, ok := m.(*ast.CallExpr)
			if !ok || m == n {
				return true
			}
			switch name := callee(call); {
			case b.runners[name]:
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
	for _, decl := range s.ast.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		opens = ok && opensBubble(&ast.FuncLit{Type: fn.Type, Body: fn.Body})
		in(decl, ok && b.inside[owner(fn)])
	}
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

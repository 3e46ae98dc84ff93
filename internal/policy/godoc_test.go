package policy

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// obvious are methods whose doc would only repeat the interface they satisfy.
var obvious = map[string]bool{"Error": true, "Unwrap": true}

// configs are struct types that users fill in although their name does not
// end in Options: each of their fields says unit, default and what disables.
var configs = map[string]bool{
	"Requirement": true, "Policy": true, "Op": true, "Breaker": true, "Endpoint": true,
	"Transport": true, "Verifier": true, "Full": true, "Limits": true, "Block": true, "Target": true, "Paged": true,
}

// checkDocs lists every exported identifier that nothing documents: types,
// functions, methods, constants, variables, the fields of what users fill in,
// and the methods of an interface that has several, unless its comment names
// them.
func checkDocs(t *tree) (offences []string) {
	packages := map[string]string{} // dir -> its package comment
	firsts := map[string]source{}
	for _, s := range t.files {
		if s.test {
			continue
		}
		dir := path.Dir(s.name)
		if _, ok := firsts[dir]; !ok {
			firsts[dir] = s
		}
		packages[dir] += s.ast.Doc.Text()
		if s.ast.Name.Name == "main" {
			continue // nobody imports it
		}
		d := docs{tree: t, source: s}
		for _, decl := range s.ast.Decls {
			d.decl(decl)
		}
		offences = append(offences, d.offences...)
	}
	for dir, text := range packages {
		name := firsts[dir].ast.Name.Name
		want := "Package " + name + " "
		if name == "main" {
			want = "" // any comment that says what it shows
		}
		if text == "" || !strings.HasPrefix(text, want) {
			offences = append(offences, fmt.Sprintf("%s: no package comment that begins with %q", firsts[dir].name, strings.TrimSpace(want)))
		}
	}
	return offences
}

// docs looks through one file.
type docs struct {
	tree     *tree
	source   source
	offences []string
}

func (d *docs) bad(n ast.Node, what string) {
	d.offences = append(d.offences, fmt.Sprintf("%s: %s has no doc comment", d.tree.at(d.source, n), what))
}

func (d *docs) decl(decl ast.Decl) {
	switch decl := decl.(type) {
	case *ast.FuncDecl:
		name := decl.Name.Name
		if decl.Recv != nil {
			on := receiver(decl.Recv.List[0].Type)
			if !ast.IsExported(on) || obvious[name] {
				return
			}
			name = on + "." + name
		}
		if decl.Name.IsExported() && decl.Doc.Text() == "" {
			d.bad(decl, name)
		}
	case *ast.GenDecl:
		for _, spec := range decl.Specs {
			switch spec := spec.(type) {
			case *ast.ValueSpec:
				for _, n := range spec.Names {
					if n.IsExported() && spec.Doc.Text()+spec.Comment.Text()+group(decl) == "" {
						d.bad(n, n.Name)
					}
				}
			case *ast.TypeSpec:
				if spec.Name.IsExported() {
					d.typ(decl, spec)
				}
			}
		}
	}
}

// group is the comment over a parenthesised const or var block, which may
// speak for all of it; over a single declaration it is that one's own.
func group(decl *ast.GenDecl) string { return decl.Doc.Text() }

func (d *docs) typ(decl *ast.GenDecl, spec *ast.TypeSpec) {
	text := spec.Doc.Text()
	if text == "" && (decl.Lparen == token.NoPos || len(decl.Specs) == 1) {
		text = decl.Doc.Text()
	}
	if text == "" {
		d.bad(spec, spec.Name.Name)
	}
	switch tt := spec.Type.(type) {
	case *ast.StructType:
		if !strings.HasSuffix(spec.Name.Name, "Options") && !configs[spec.Name.Name] {
			return // plain data: the type's comment and the names speak
		}
		for _, f := range tt.Fields.List {
			d.member(spec, f, "")
		}
	case *ast.InterfaceType:
		if len(tt.Methods.List) == 1 {
			return // what its one method does is what the type is
		}
		for _, f := range tt.Methods.List {
			d.member(spec, f, text)
		}
	}
}

// member looks at one line of fields, or at one method, of a type whose
// comment is text.
func (d *docs) member(spec *ast.TypeSpec, f *ast.Field, text string) {
	for _, n := range f.Names {
		if n.IsExported() && f.Doc.Text()+f.Comment.Text() == "" && !mentions(text, n.Name) {
			d.bad(n, spec.Name.Name+"."+n.Name)
		}
	}
}

// mentions says whether text names the identifier as a word.
func mentions(text, name string) bool {
	return regexp.MustCompile(`\b` + regexp.QuoteMeta(name) + `\b`).MatchString(text)
}

// receiver names the type a method is on.
func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.IndexListExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}

// checkObservers lists the rooms whose Observer is another than the first's:
// one value must serve all of them.
func checkObservers(t *tree) (offences []string) {
	var first, where string
	for _, s := range t.files {
		dir, _ := local(s.pkg)
		if s.test || !slices.Contains(patterns, dir) {
			continue
		}
		for _, decl := range s.ast.Decls {
			gen, ok := decl.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, spec := range gen.Specs {
				ts, ok := spec.(*ast.TypeSpec)
				if !ok || ts.Name.Name != "Observer" {
					continue
				}
				shape := t.shape(ts.Type)
				switch {
				case first == "":
					first, where = shape, s.name
				case shape != first:
					offences = append(offences, fmt.Sprintf("%s: Observer is %s, but in %s it is %s", t.at(s, ts), shape, where, first))
				}
			}
		}
	}
	return offences
}

func TestDocs(t *testing.T)      { report(t, checkDocs(checkout(t))) }
func TestObservers(t *testing.T) { report(t, checkObservers(checkout(t))) }

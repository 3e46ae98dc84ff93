package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The ```go blocks of README.md are compiled, in one of three forms:
//
//   - a block that begins with a package clause is a whole program or file;
//   - a block of declarations gets a package clause;
//   - any other block is the body of a function that returns an error and has
//     ctx, db, tx, w and r as parameters.
//
// The last two may leave out their imports: packages of this module are known
// by their names, and so are those of the standard library in stdNames.
// Variables that are not used any more are no offence in a fragment.

// stdNames are the standard packages a fragment may use without importing.
var stdNames = map[string]string{
	"context": "context", "errors": "errors", "fmt": "fmt", "http": "net/http", "io": "io", "json": "encoding/json",
	"log": "log", "os": "os", "slog": "log/slog", "sql": "database/sql", "strings": "strings", "testing": "testing", "time": "time", "url": "net/url",
}

// A block is one fenced piece of Go in a page.
type block struct {
	page string
	line int // of its first line of code
	code string
}

// goBlocks cuts the fenced Go out of a page.
func goBlocks(page, text string) (blocks []block) {
	var b *block
	for i, line := range strings.Split(text, "\n") {
		fence := strings.TrimSpace(line)
		switch {
		case b == nil && (fence == "```go" || strings.HasPrefix(fence, "```go ")):
			b = &block{page: page, line: i + 2}
		case b != nil && fence == "```":
			blocks = append(blocks, *b)
			b = nil
		case b != nil:
			b.code += line + "\n"
		}
	}
	return blocks
}

// file wraps a block as one of the three forms.
func (b block) file(known map[string]string) string {
	at := fmt.Sprintf("//line %s:%d\n", b.page, b.line)
	if regexp.MustCompile(`(?m)^package \w+$`).MatchString(b.code) {
		return at + b.code
	}
	fset := token.NewFileSet()
	if f, err := parser.ParseFile(fset, "", "package p\n"+b.code, 0); err == nil {
		return "package readme\n" + needed(f, known) + at + b.code
	}
	const head = "func _(ctx context.Context, db *sql.DB, tx *sql.Tx, w http.ResponseWriter, r *http.Request) error {\n"
	body := head + at + b.code + "\nreturn nil\n}\n"
	f, err := parser.ParseFile(fset, "", "package readme\n"+body, 0)
	if err != nil {
		return "package readme\n" + body // the type check will say where it is wrong
	}
	return "package readme\n" + needed(f, known) + body
}

// needed is the import declaration for the packages a file uses by name and
// does not import.
func needed(f *ast.File, known map[string]string) string {
	has := map[string]bool{}
	for _, i := range f.Imports {
		has[path.Base(strings.Trim(i.Path.Value, `"`))] = true
	}
	names := map[string]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok && known[x.Name] != "" && !has[x.Name] {
				names[x.Name] = true
			}
		}
		return true
	})
	var b strings.Builder
	for n := range names {
		fmt.Fprintf(&b, "import %s %q; ", n, known[n])
	}
	if b.Len() > 0 && len(f.Imports) > 0 {
		return strings.TrimSuffix(b.String(), " ") // the block's own imports follow on their line
	}
	return b.String() + "\n"
}

// exports maps import paths to files of export data, which the go command
// builds or finds in its cache.
func exports(root string, paths []string) (map[string]string, error) {
	cmd := exec.Command("go", append([]string{"list", "-e", "-export", "-deps", "-json=ImportPath,Export"}, paths...)...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOWORK="+filepath.Join(root, "go.work"), "GOFLAGS=")
	out, err := cmd.Output()
	if err != nil {
		if e, ok := errors.AsType[*exec.ExitError](err); ok {
			return nil, fmt.Errorf("go list -export: %w\n%s", err, e.Stderr)
		}
		return nil, err
	}
	files := map[string]string{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct{ ImportPath, Export string }
		if err := dec.Decode(&p); err == io.EOF {
			return files, nil
		} else if err != nil {
			return nil, err
		}
		files[p.ImportPath] = p.Export
	}
}

// checkPage type-checks every Go block of a page against the packages of the
// workspace.
func checkPage(root, page, text string, known map[string]string) (offences []string) {
	fset := token.NewFileSet()
	var files []*ast.File
	paths := map[string]bool{}
	for _, b := range goBlocks(page, text) {
		f, err := parser.ParseFile(fset, fmt.Sprintf("%s:%d", page, b.line), b.file(known), parser.SkipObjectResolution)
		if err != nil {
			offences = append(offences, err.Error())
			continue
		}
		files = append(files, f)
		for _, i := range f.Imports {
			paths[strings.Trim(i.Path.Value, `"`)] = true
		}
	}
	if len(files) == 0 {
		return offences
	}
	var want []string
	for p := range paths {
		want = append(want, p)
	}
	slices.Sort(want)
	built, err := exports(root, want)
	if err != nil {
		return append(offences, err.Error())
	}
	imp := importer.ForCompiler(fset, "gc", func(p string) (io.ReadCloser, error) {
		if built[p] == "" {
			return nil, fmt.Errorf("no package %s builds here", p)
		}
		return os.Open(built[p])
	})
	for _, f := range files {
		conf := types.Config{Importer: imp, Error: func(err error) {
			e, ok := errors.AsType[types.Error](err)
			if ok && e.Soft && f.Name.Name == "readme" {
				return
			}
			offences = append(offences, err.Error())
		}}
		_, _ = conf.Check(f.Name.Name, fset, []*ast.File{f}, nil) // errors went to conf.Error
	}
	return offences
}

// knownNames are the packages a fragment may use without importing them.
func (t *tree) knownNames() map[string]string {
	known := map[string]string{}
	for _, s := range t.files {
		dir, ok := local(s.pkg)
		if ok && !s.test && (s.module == "." || s.module == "salesforce") && s.ast.Name.Name != "main" && !under(dir, "internal") {
			known[s.ast.Name.Name] = s.pkg
		}
	}
	maps.Copy(known, stdNames)
	return known
}

func TestReadme(t *testing.T) {
	tr := checkout(t)
	text, err := os.ReadFile(filepath.Join(tr.root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	if len(goBlocks("README.md", string(text))) == 0 {
		t.Error("README.md shows no Go")
	}
	report(t, checkPage(tr.root, "README.md", string(text), tr.knownNames()))
	for _, command := range []string{
		"go run ./examples/inventory -once", "go test work",
		// TestConsumer does these.
		"go mod edit -require=" + home + "@v0.0.0 -replace=" + home + "=../crosstie", "go mod tidy",
	} {
		if !strings.Contains(string(text), command) {
			t.Errorf("README.md does not show %q", command)
		}
	}
}

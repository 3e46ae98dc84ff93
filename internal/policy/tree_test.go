package policy

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"
)

// home is the path of the root module.
const home = "github.com/crosstie/crosstie"

// A tree is a checkout, read once.
type tree struct {
	root    string
	fset    *token.FileSet
	modules []module
	files   []source
	texts   []string // every other text file that is ours, by path
}

// A module is one go.mod of the tree.
type module struct {
	dir  string // "." for the root
	file modFile
}

// modFile is the part of `go mod edit -json` that the rules look at.
type modFile struct {
	Module    struct{ Path string }
	Go        string
	Toolchain string
	Require   []struct {
		Path, Version string
		Indirect      bool
	}
	Replace []struct {
		Old, New struct{ Path, Version string }
	}
}

// A source is one Go file.
type source struct {
	name   string // slash-separated, from the root
	module string // directory of its module
	pkg    string // import path of its directory
	test   bool   // a _test.go file
	ext    bool   // of a _test package
	ast    *ast.File
}

// imports lists the paths that a file imports.
func (s source) imports() []string {
	var paths []string
	for _, i := range s.ast.Imports {
		paths = append(paths, strings.Trim(i.Path.Value, `"`))
	}
	return paths
}

// checkout reads the tree this test runs in, once for all rules.
func checkout(t *testing.T) *tree {
	t.Helper()
	tr, err := readCheckout()
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

var readCheckout = sync.OnceValues(func() (*tree, error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	return read(filepath.Join(dir, "..", ".."))
})

// read reads the tree under root.
func read(root string) (*tree, error) {
	t := &tree{root: root, fset: token.NewFileSet()}
	var goFiles []string
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		switch base := path.Base(rel); {
		case d.IsDir() && (rel == "bin" || base == "testdata" || base == ".git" || base == "node_modules"):
			return filepath.SkipDir
		case d.IsDir():
		case base == "go.mod":
			var m modFile
			if err := goEdit("mod", name, &m); err != nil {
				return err
			}
			t.modules = append(t.modules, module{dir: path.Dir(rel), file: m})
		case path.Ext(base) == ".go":
			goFiles = append(goFiles, rel)
		case slices.Contains([]string{".md", ".txt", ".yml", ".yaml", ".sql", ".html", ".js", ".css"}, path.Ext(base)),
			base == "Makefile", base == "run", base == "package-lock.json", base == "go.work", base == ".gitignore":
			t.texts = append(t.texts, rel)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	t.files = make([]source, len(goFiles))
	var g errgroup.Group // parsing is most of the time these tests take
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, name := range goFiles {
		g.Go(func() (err error) {
			t.files[i], err = t.parse(name)
			return err
		})
	}
	return t, g.Wait()
}

// parse reads one Go file.
func (t *tree) parse(name string) (source, error) {
	f, err := parser.ParseFile(t.fset, filepath.Join(t.root, filepath.FromSlash(name)), nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return source{}, err
	}
	m := t.moduleOf(name)
	s := source{name: name, module: m.dir, ast: f, test: strings.HasSuffix(name, "_test.go")}
	s.ext = s.test && strings.HasSuffix(f.Name.Name, "_test")
	s.pkg = path.Join(m.file.Module.Path, strings.TrimPrefix(strings.TrimPrefix(path.Dir(name), m.dir), "/"))
	if m.dir == "." {
		s.pkg = path.Join(m.file.Module.Path, path.Dir(name))
	}
	return s, nil
}

// moduleOf finds the innermost module that holds a file.
func (t *tree) moduleOf(name string) module {
	best := module{dir: "."}
	for _, m := range t.modules {
		if m.dir == "." && best.file.Module.Path == "" ||
			strings.HasPrefix(name, m.dir+"/") && len(m.dir) >= len(best.dir) {
			best = m
		}
	}
	return best
}

// goEdit has the go command parse a go.mod or go.work. Files that hold the same
// are parsed once: the broken trees are many and differ in little.
func goEdit(kind, name string, into any) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	out, ok := edited.Load(kind + string(text))
	if !ok {
		cmd := exec.Command("go", kind, "edit", "-json", name)
		cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
		b, err := cmd.Output()
		if err != nil {
			return fmt.Errorf("go %s edit -json %s: %w", kind, name, err)
		}
		out, _ = edited.LoadOrStore(kind+string(text), b)
	}
	return json.Unmarshal(out.([]byte), into)
}

var edited sync.Map // kind and text to JSON

// uses lists the directories that go.work names, and its go line.
func (t *tree) uses() ([]string, string, error) {
	var w struct {
		Go  string
		Use []struct{ DiskPath string }
	}
	if err := goEdit("work", filepath.Join(t.root, "go.work"), &w); err != nil {
		return nil, "", err
	}
	var dirs []string
	for _, u := range w.Use {
		dirs = append(dirs, path.Clean(filepath.ToSlash(u.DiskPath)))
	}
	return dirs, w.Go, nil
}

// at says where a node is, from the root.
func (t *tree) at(s source, n ast.Node) string {
	return fmt.Sprintf("%s:%d", s.name, t.fset.Position(n.Pos()).Line)
}

// local turns an import path into a path from the root of the tree, when it
// is ours: "." for the root package.
func local(importPath string) (string, bool) {
	if importPath == home {
		return ".", true
	}
	return strings.CutPrefix(importPath, home+"/")
}

// under says whether name is dir or lies in it.
func under(name, dir string) bool { return name == dir || strings.HasPrefix(name, dir+"/") }

// report fails with every offence, one a line.
func report(t *testing.T, offences []string) {
	t.Helper()
	slices.Sort(offences)
	for _, o := range slices.Compact(offences) {
		t.Error(o)
	}
}

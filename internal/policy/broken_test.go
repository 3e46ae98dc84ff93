package policy

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// sound is a small tree that keeps every rule. Each test below breaks one.
var sound = map[string]string{
	"go.work":               "go 1.26.0\n\nuse (\n\t.\n\t./sqlstore/enginetest\n)\n",
	"go.mod":                "module github.com/crosstie/crosstie\n\ngo 1.26.0\n\nrequire (\n\tgithub.com/cenkalti/backoff/v4 v4.3.0\n\tgithub.com/sony/gobreaker/v2 v2.4.0\n\tgithub.com/stretchr/testify v1.12.1\n\tgolang.org/x/sync v0.24.0\n)\n",
	"doc.go":                "// Package crosstie is the map.\npackage crosstie\n",
	"outcome/outcome.go":    "// Package outcome says.\npackage outcome\n\n// Of tells.\nfunc Of() int { return 0 }\n",
	"retry/retry.go":        "// Package retry repeats.\npackage retry\n\nimport (\n\t_ \"github.com/cenkalti/backoff/v4\"\n\t_ \"github.com/crosstie/crosstie/outcome\"\n)\n",
	"internal/id/id.go":     "// Package id makes ids.\npackage id\n",
	"sqlstore/db.go":        "// Package sqlstore stores.\npackage sqlstore\n\nimport _ \"github.com/crosstie/crosstie/fireforget\"\n",
	"fireforget/outbox.go":  "package fireforget\n\nimport (\n\t\"context\"\n\n\t_ \"github.com/crosstie/crosstie/internal/id\"\n\t_ \"github.com/crosstie/crosstie/retry\"\n)\n\n// An Observer looks on: it sees Start.\ntype Observer interface {\n\tStart(ctx context.Context)\n}\n\n// Options are few.\ntype Options struct {\n\t// Wait says whether.\n\tWait bool\n}\n\n// Of is a var.\nvar Of int\n",
	"fireforget/doc.go":     "// Package fireforget hands over. Use requestreply to wait; nothing is lost in a crash; every bound has a default.\n//\n// # Errors\n//\n// # Concurrency\n//\n// # Testing\npackage fireforget\n",
	"fireforget/options.go": "package fireforget\n", "fireforget/error.go": "package fireforget\n", "fireforget/store.go": "package fireforget\n", "fireforget/mem.go": "package fireforget\n",
	"fireforget/antipattern_test.go":     "package fireforget_test\n\nimport (\n\t_ \"github.com/stretchr/testify/require\"\n\n\t_ \"github.com/crosstie/crosstie/fireforget/fireforgettest\"\n\t_ \"github.com/crosstie/crosstie/sqlstore\"\n)\n",
	"fireforget/example_test.go":         "package fireforget_test\n\nimport (\n\t\"testing\"\n\t\"testing/synctest\"\n\t\"time\"\n)\n\nfunc TestX(t *testing.T) { synctest.Test(t, func(t *testing.T) { time.Sleep(1) }) }\n",
	"fireforget/fireforgettest/store.go": "// Package fireforgettest is a kit.\npackage fireforgettest\n\nimport (\n\t_ \"testing\"\n\n\t_ \"github.com/crosstie/crosstie/fireforget\"\n)\n",
	"sqlstore/enginetest/go.mod":         "module github.com/crosstie/crosstie/sqlstore/enginetest\n\ngo 1.26.0\n\nrequire github.com/crosstie/crosstie v0.0.0\n\nreplace github.com/crosstie/crosstie => ../../\n",
	"sqlstore/enginetest/x_test.go":      "package enginetest\n\nimport (\n\t_ \"github.com/crosstie/crosstie/sqlstore\"\n\t_ \"modernc.org/sqlite\"\n)\n",
	"examples/fireforget/main.go":        "// This program shows.\npackage main\n\nimport _ \"github.com/crosstie/crosstie/fireforget\"\n\nfunc main() {}\n",
	"tools/go.mod":                       "module github.com/crosstie/crosstie/tools\n\ngo 1.26.0\n",
	"README.md":                          "| fireforget |\n",
}

// all runs every rule that reads a tree.
func all(t *tree) (offences []string) {
	for _, check := range []func(*tree) []string{checkImports, checkModules, checkDocs, checkObservers, checkWords, checkLinks} {
		offences = append(offences, check(t)...)
	}
	return append(offences, checkAnatomy(t, []string{"fireforget"})...)
}

// TestEachRuleCanFail breaks the sound tree in one place at a time. A file
// that begins with "+" is added to the end of the one that is there.
func TestEachRuleCanFail(t *testing.T) {
	for _, c := range []struct {
		name, file, text, want string // want "" is for what is allowed
	}{
		{"sound", "LICENSE", "", ""},
		{"a room imports another", "batchsync/x.go", "// Package batchsync syncs.\npackage batchsync\n\nimport _ \"github.com/crosstie/crosstie/fireforget\"\n", "batchsync/x.go imports .*/fireforget: a room stands alone"},
		{"a room imports sqlstore", "fireforget/mem.go", "package fireforget\n\nimport _ \"github.com/crosstie/crosstie/sqlstore\"\n", "fireforget/mem.go imports .*/sqlstore: a room"},
		{"a room's own test imports sqlstore", "fireforget/internal_test.go", "package fireforget\n\nimport _ \"github.com/crosstie/crosstie/sqlstore\"\n", "internal_test.go imports"},
		{"a noun imports a room", "retry/x.go", "package retry\n\nimport _ \"github.com/crosstie/crosstie/fireforget\"\n", "retry/x.go imports"},
		{"outcome imports retry", "outcome/x.go", "package outcome\n\nimport _ \"github.com/crosstie/crosstie/retry\"\n", "outcome/x.go imports .*imports nothing of ours"},
		{"internal imports a room", "internal/id/x.go", "package id\n\nimport _ \"github.com/crosstie/crosstie/fireforget\"\n", "internal/id/x.go imports"},
		{"the root imports a room", "x.go", "package crosstie\n\nimport _ \"github.com/crosstie/crosstie/fireforget\"\n", "x.go imports .*the map must not import the house"},
		{"an example imports internal", "examples/fireforget/x.go", "package main\n\nimport _ \"github.com/crosstie/crosstie/internal/id\"\n", "examples/fireforget/x.go imports"},
		{"a nested module imports internal", "sqlstore/enginetest/y_test.go", "package enginetest\n\nimport _ \"github.com/crosstie/crosstie/internal/id\"\n", "y_test.go imports .*no internal"},
		{"a folder no row knows", "stray/x.go", "// Package stray is.\npackage stray\n\nimport _ \"github.com/crosstie/crosstie/outcome\"\n", "no layer knows this folder"},
		{"a driver in the root module", "sqlstore/x.go", "package sqlstore\n\nimport _ \"modernc.org/sqlite\"\n", "sqlstore/x.go imports modernc.org/sqlite: only"},
		{"a driver in a room's test", "fireforget/x_test.go", "package fireforget_test\n\nimport _ \"modernc.org/sqlite\"\n", "fireforget/x_test.go imports modernc.org/sqlite"},
		{"testify outside tests", "fireforget/fireforgettest/x.go", "package fireforgettest\n\nimport _ \"github.com/stretchr/testify/require\"\n", "_test.go files only"},
		{"backoff outside retry", "fireforget/x.go", "package fireforget\n\nimport _ \"github.com/cenkalti/backoff/v4\"\n", "only retry may"},
		{"a stranger", "fireforget/x.go", "package fireforget\n\nimport _ \"github.com/google/uuid\"\n", "no row of the table allows it"},
		{"testing outside tests and kits", "fireforget/x.go", "package fireforget\n\nimport _ \"testing\"\n", "only tests and kits"},

		{"a fifth require", "go.mod", "+require github.com/google/uuid v1.6.0\n", "github.com/google/uuid is a direct require"},
		{"a heavy indirect", "go.mod", "+require google.golang.org/grpc v1.70.0 // indirect\n", "grpc is an indirect require"},
		{"a missing require", "go.mod", "module github.com/crosstie/crosstie\n\ngo 1.26.0\n", "is not required any more"},
		{"a short go line", "tools/go.mod", "module github.com/crosstie/crosstie/tools\n\ngo 1.26\n", "tools/go.mod: go 1.26, want 1.26.0"},
		{"a toolchain line", "tools/go.mod", "+toolchain go1.26.8\n", "a toolchain line"},
		{"a module nobody lists", "lonely/go.mod", "module github.com/crosstie/crosstie/lonely\n\ngo 1.26.0\n", "lonely/go.mod is a module that go.work does not use"},
		{"tools in the workspace", "go.work", "go 1.26.0\n\nuse (\n\t.\n\t./sqlstore/enginetest\n\t./tools\n)\n", "go.work uses tools"},
		{"a workspace of another version", "go.work", "go 1.26.8\n\nuse (\n\t.\n\t./sqlstore/enginetest\n)\n", "go.work: go 1.26.8"},
		{"no replace before the first tag", "sqlstore/enginetest/go.mod", "module github.com/crosstie/crosstie/sqlstore/enginetest\n\ngo 1.26.0\n\nrequire github.com/crosstie/crosstie v0.0.0\n", "has no tag yet"},
		{"a replace by a fork", "sqlstore/enginetest/go.mod", "+replace modernc.org/sqlite => ../fork\n", "only modules of ours are replaced"},
		{"a module path that is not its folder", "tools/go.mod", "module example.com/tools\n\ngo 1.26.0\n", "module example.com/tools, want"},

		{"a type", "fireforget/x.go", "package fireforget\n\ntype Thing int\n", "Thing has no doc comment"},
		{"a function", "fireforget/x.go", "package fireforget\n\nfunc Do() {}\n", "Do has no doc comment"},
		{"a method", "fireforget/x.go", "package fireforget\n\n// A Thing is.\ntype Thing[T any] struct{}\n\nfunc (t *Thing[T]) Do() {}\n", "Thing.Do has no doc comment"},
		{"an obvious method", "fireforget/x.go", "package fireforget\n\n// An E is.\ntype E struct{}\n\nfunc (e *E) Unwrap() error { return nil }\n", ""},
		{"a constant", "fireforget/x.go", "package fireforget\n\nconst A = 1\n", "A has no doc comment"},
		{"constants under one comment", "fireforget/x.go", "package fireforget\n\n// The two.\nconst (\n\tA = 1\n\tB = 2\n)\n", ""},
		{"a variable", "fireforget/x.go", "package fireforget\n\nvar ErrX error\n", "ErrX has no doc comment"},
		{"a field of options", "fireforget/x.go", "package fireforget\n\n// XOptions are, as Limit says.\ntype XOptions struct{ Limit int }\n", "XOptions.Limit has no doc comment"},
		{"a field of plain data", "fireforget/x.go", "package fireforget\n\n// An Item is.\ntype Item struct{ ID string }\n", ""},
		{"a method of an interface", "fireforget/x.go", "package fireforget\n\n// A Store is.\ntype Store interface {\n\tAdd()\n\t// Take takes.\n\tTake()\n}\n", "Store.Add has no doc comment"},
		{"the one method of an interface", "fireforget/x.go", "package fireforget\n\n// A Store is.\ntype Store interface{ Add() }\n", ""},
		{"no package comment", "webhook/x.go", "package webhook\n", "no package comment that begins with \"Package webhook\""},
		{"another Observer", "batchsync/x.go", "// Package batchsync syncs.\npackage batchsync\n\nimport \"context\"\n\n// An Observer looks on: Start.\ntype Observer interface{ Start(ctx context.Context, op string) }\n", "Observer is .* but in"},
		{"the same Observer", "batchsync/x.go", "// Package batchsync syncs.\npackage batchsync\n\nimport \"context\"\n\n// An Observer sees each Start.\ntype Observer interface{ Start(ctx context.Context) }\n", ""},

		{"no heading", "fireforget/doc.go", "// Package fireforget hands over: requestreply, crash, bound, default.\n//\n// # Errors\n//\n// # Testing\npackage fireforget\n", `no heading "# Concurrency"`},
		{"no sibling", "fireforget/doc.go", "// Package fireforget hands over: crash, bound, default.\n//\n// # Errors\n//\n// # Concurrency\n//\n// # Testing\npackage fireforget\n", "does not name the sibling"},
		{"no word of a crash", "fireforget/doc.go", "// Package fireforget hands over: requestreply, bound, default.\n//\n// # Errors\n//\n// # Concurrency\n//\n// # Testing\npackage fireforget\n", `says nothing of "crash"`},
		{"a part is missing", "fireforget/mem.go", "-", "fireforget/mem.go is missing from the anatomy"},
		{"no example", "examples/fireforget/main.go", "-", "examples/fireforget/main.go is missing"},
		{"a long example", "examples/fireforget/main.go", "// This program shows.\npackage main\n\nfunc main() {\n" + strings.Repeat("\n", 120) + "}\n", "want at most 120"},

		{"a package named common", "internal/common/x.go", "// Package common is.\npackage common\n", "says nothing of what is inside"},
		{"a browser outside tests", "examples/inventory/x.go", "package main\n\nimport _ \"github.com/chromedp/chromedp\"\n", "examples/inventory/x.go imports github.com/chromedp/chromedp: only"},
		{"a browser in the story's tests", "examples/inventory/x_test.go", "package main\n\nimport _ \"github.com/chromedp/chromedp\"\n", ""},
		{"a browser in another room's tests", "fireforget/x_test.go", "package fireforget_test\n\nimport _ \"github.com/chromedp/chromedp\"\n", "fireforget/x_test.go imports github.com/chromedp/chromedp: only"},
		{"a long file", "fireforget/x.go", "package fireforget\n" + strings.Repeat("\n", 601), "602 lines"},
		{"a real sleep", "fireforget/x_test.go", "package fireforget_test\n\nimport \"time\"\n\nfunc f() { time.Sleep(1) }\n", "fireforget/x_test.go:5: a real sleep"},
		{"a sleep in a helper's bubble", "fireforget/x_test.go", "package fireforget_test\n\nimport (\n\t\"testing\"\n\t\"testing/synctest\"\n\t\"time\"\n)\n\nfunc bubble(t *testing.T, fn func(*testing.T)) { synctest.Test(t, fn) }\n\nfunc TestY(t *testing.T) { bubble(t, func(*testing.T) { time.Sleep(1) }) }\n", ""},
		{"a sleep in what a bubble runs", "fireforget/x_test.go", "package fireforget_test\n\nimport (\n\t\"testing\"\n\t\"testing/synctest\"\n\t\"time\"\n)\n\nfunc nap() { time.Sleep(1) }\n\nfunc day(t *testing.T) { nap() }\n\nfunc TestY(t *testing.T) {\n\tfor _, fn := range []func(*testing.T){day} {\n\t\tsynctest.Test(t, fn)\n\t}\n}\n", ""},
		{"a sleep in a named literal beside a bubble", "fireforget/x_test.go", "package fireforget_test\n\nimport (\n\t\"testing\"\n\t\"testing/synctest\"\n\t\"time\"\n)\n\nfunc TestY(t *testing.T) {\n\tnap := func() { time.Sleep(1) }\n\tbubble := func(fn func(*testing.T)) { synctest.Test(t, fn) }\n\tbubble(func(*testing.T) { nap(); time.Sleep(1) })\n}\n", ""},
		{"a sleep beside a bubble", "fireforget/x_test.go", "package fireforget_test\n\nimport (\n\t\"testing\"\n\t\"testing/synctest\"\n\t\"time\"\n)\n\nfunc TestY(t *testing.T) {\n\tsynctest.Test(t, func(*testing.T) {})\n\tt.Run(\"x\", func(*testing.T) { time.Sleep(1) })\n}\n", "fireforget/x_test.go:11: a real sleep"},
		{"a sleep in a method that a bubble runs", "fireforget/x_test.go", "package fireforget_test\n\nimport (\n\t\"testing\"\n\t\"testing/synctest\"\n\t\"time\"\n)\n\ntype slow struct{}\n\nfunc (*slow) Do() { time.Sleep(1) }\n\nfunc bubble(t *testing.T, fn func(*testing.T)) { synctest.Test(t, fn) }\n\nfunc TestY(t *testing.T) { bubble(t, body) }\n\nfunc body(*testing.T) { var d interface{ Do() } = &slow{}; d.Do() }\n", ""},
		{"a sleep in a method that a test runs", "fireforget/x_test.go", "package fireforget_test\n\nimport (\n\t\"testing\"\n\t\"time\"\n)\n\ntype slow struct{}\n\nfunc (*slow) Do() { time.Sleep(1) }\n\nfunc TestY(t *testing.T) { var d interface{ Do() } = &slow{}; d.Do() }\n", "fireforget/x_test.go:10: a real sleep"},
		{"a sleep in what a bubble and a test run", "fireforget/x_test.go", "package fireforget_test\n\nimport (\n\t\"testing\"\n\t\"testing/synctest\"\n\t\"time\"\n)\n\nfunc nap() { time.Sleep(1) }\n\nfunc TestY(t *testing.T) {\n\tsynctest.Test(t, func(t *testing.T) { nap() })\n}\n\nfunc TestZ(t *testing.T) { nap() }\n", "fireforget/x_test.go:9: a real sleep"},
		{"a path of one machine", "README.md", "see /wo" + "rk/main\n", "README.md:1: .* is a path of one machine"},
		{"a knob of its own", "fireforget/x_test.go", "package fireforget_test\n\nimport \"os\"\n\nvar _ = os.Getenv(\"ROUNDS\")\n", "fireforget/x_test.go:5: .* no row of the table explains"},
		{"the one knob", "fireforget/x_test.go", "package fireforget_test\n\nimport \"os\"\n\nvar _ = os.Getenv(\"CROSSTIE_SOAK\")\n", ""},
		{"a link that leads nowhere", "docs/x.md", "# X\n\nsee [the map](../doc.go#l1) and [more](gone.md)\n", "docs/x.md:3: the link to gone.md leads nowhere"},
		{"links that lead somewhere", "docs/x.md", "[a](../README.md) [b](https://example.com) [c](#here)\n", ""},
		{"a registry in a lock file", "interop/node/package-lock.json", "{\"resolve" + "d\": \"https://npm.example/x\"}\n", "package-lock.json:1: .* a registry's address"},
		{"what npm installs is nobody's word", "interop/node/node_modules/x/README.md", "TO" + "DO\n", ""},
		{"unfinished", "retry/x.go", "package retry\n\n// TO" + "DO: later\n", "retry/x.go:3: .* unfinished"},
		{"a promise nobody keeps", "retry/x.go", "package retry\n\n// Exactly-once deliver" + "y.\n", "nobody has it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			for name, text := range sound {
				if name == c.file {
					continue
				}
				put(t, root, name, text)
			}
			switch more, ok := strings.CutPrefix(c.text, "+"); {
			case ok:
				put(t, root, c.file, sound[c.file]+"\n"+more)
			case c.text != "-":
				put(t, root, c.file, c.text)
			}
			tr, err := read(root)
			if err != nil {
				t.Fatal(err)
			}
			offences := strings.Join(all(tr), "\n")
			switch {
			case c.want == "" && offences != "":
				t.Errorf("want no offence, got\n%s", offences)
			case c.want != "" && !regexp.MustCompile("(?m)"+c.want).MatchString(offences):
				t.Errorf("want an offence like %q, got\n%s", c.want, offences)
			}
		})
	}
}

func put(t *testing.T, root, name, text string) {
	t.Helper()
	name = filepath.Join(root, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestPageCanFail holds the compiler of README.md against blocks of each form.
func TestPageCanFail(t *testing.T) {
	tr := checkout(t)
	known := tr.knownNames()
	fence := func(code string) string { return "# Page\n\n```go\n" + code + "\n```\n" }
	for _, c := range []struct {
		name, page, want string
	}{
		{"a program", fence("package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println() }"), ""},
		{"a program that does not compile", fence("package main\n\nfunc main() { fmt.Println() }"), "page.md:6: undefined: fmt"},
		{"a program with an unused variable", fence("package main\n\nfunc main() { x := 1 }"), "declared and not used"},
		{"declarations", fence("type Stock struct{ At time.Time }"), ""},
		{"declarations with imports", fence("import \"time\"\n\ntype Stock struct{ At time.Time }\n\nvar _ = outcome.Unknown"), ""},
		{"statements", fence("advice, err := crosstie.Choose(crosstie.Requirement{})\nif err != nil {\n\treturn err\n}\n_, x := outcome.Of(ctx.Err()), db.PingContext(ctx)"), ""},
		{"a name of ours that is gone", fence("_ = crosstie.Gone"), "page.md:4: undefined: crosstie.Gone"},
		{"a package of ours that is gone", fence("import \"github.com/crosstie/crosstie/gone\"\n\nvar _ = gone.X"), "no package .*/gone builds here"},
		{"not Go at all", fence("advice :="), "page.md:6: expected operand"},
		{"not ours to judge", "```sh\nnot go\n```\n\n    indented\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			offences := strings.Join(checkPage(tr.root, "page.md", c.page, known), "\n")
			if c.want == "" && offences != "" || !regexp.MustCompile(c.want).MatchString(offences) {
				t.Errorf("want %q, got\n%s", c.want, offences)
			}
		})
	}
}

func TestMapCanFail(t *testing.T) {
	for _, c := range []struct {
		text string
		bad  bool
	}{
		{"| show | [uiupdate](uiupdate) | [run](examples/uiupdate) |", false},
		{"| show | [run](examples/uiupdate) |", true},
		{"//	show  uiupdate  examples/uiupdate", false},
		{"//	show  uiupdate  examples/pubsub", true},
		{"use uiupdate for it", true},
	} {
		if got := checkMapRow("x", c.text, "uiupdate"); (len(got) > 0) != c.bad {
			t.Errorf("%q: %v", c.text, got)
		}
	}
}

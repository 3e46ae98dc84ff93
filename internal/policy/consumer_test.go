package policy

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// consumer is a stranger's program: all rooms that are open, and one Observer
// for all of them.
const consumer = `package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/crosstie/crosstie"
	"github.com/crosstie/crosstie/batchsync"
	"github.com/crosstie/crosstie/fireforget"
	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/remoteinvoke"
	"github.com/crosstie/crosstie/pubsub"
	"github.com/crosstie/crosstie/requestreply"
)

type observer struct{}

func (observer) Start(ctx context.Context, op string, attrs ...slog.Attr) context.Context { return ctx }
func (observer) End(ctx context.Context, op string, err error, attrs ...slog.Attr)        {}

var (
	_ requestreply.Observer = observer{}
	_ fireforget.Observer   = observer{}
	_ batchsync.Observer    = observer{}
	_ remoteinvoke.Observer = observer{}
	_ pubsub.Observer       = observer{}
)

func main() {
	advice, err := crosstie.Choose(crosstie.Requirement{PersonWaits: true, Starts: crosstie.AskingSide})
	if err != nil {
		panic(err)
	}
	fmt.Println(advice.Ranked[0].Pattern, outcome.Of(nil))
}
`

// mostModules is what a consumer's module graph may hold: its own, ours, our
// four requires, and four more that tests of those name, which are listed but
// never downloaded.
const mostModules = 10

// TestConsumer uses this checkout as the README says before the first tag: by
// a replace, outside any workspace.
func TestConsumer(t *testing.T) {
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return strings.TrimSpace(string(out))
	}
	write := func(name string, text []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", []byte("module example.com/consumer\n\ngo "+goLine+"\n"))
	write("main.go", []byte(consumer))
	// Our sums are already known to be right; with them a warm cache needs
	// no network.
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	write("go.sum", sums)
	run("mod", "edit", "-require="+home+"@v0.0.0", "-replace="+home+"="+root)
	run("mod", "tidy")

	if got := run("run", "."); got != "requestreply applied" {
		t.Errorf("the consumer printed %q", got)
	}
	list := strings.Fields(run("list", "-m", "-f", "{{.Path}}", "all"))
	if len(list) > mostModules || !slices.Contains(list, home) {
		t.Errorf("the consumer's module graph holds %d modules, want at most %d, ours among them: %s", len(list), mostModules, strings.Join(list, " "))
	}
	for p := range strings.FieldsSeq(run("list", "-deps", ".")) {
		if strings.Contains(p, "testify") || strings.Contains(p, "sqlite") || p == "testing" {
			t.Errorf("the consumer links %s", p)
		}
	}
}

package policy

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"
)

// goLine is the language version of every module: written in full, since a
// workspace refuses a module whose line is newer than its own.
const goLine = "1.26.0"

// direct are the requires of the root module, each with its reason.
var direct = map[string]string{
	"github.com/cenkalti/backoff/v4": "retry's schedule",
	"github.com/sony/gobreaker/v2":   "requestreply's breaker; v2, since v1 counts a cancelled call",
	"golang.org/x/sync":              "errgroup, singleflight, semaphore",
	"github.com/stretchr/testify":    "assertions in tests",
}

// indirect is what those bring along. Each costs every user a line in go.sum.
var indirect = map[string]string{
	"go.yaml.in/yaml/v3": "testify's YAML assertions",
}

// outside are the modules that go.work leaves out, each with its reason.
var outside = map[string]string{
	"bench":   "rivals beside us: their versions must not decide what we build with",
	"interop": "strangers who read what we write: their versions must not decide what we build with",
	"tools":   "linters: their versions must not decide what we build with",
}

// checkModules holds every go.mod and go.work against the tables.
func checkModules(t *tree) (offences []string) {
	bad := func(format string, args ...any) { offences = append(offences, fmt.Sprintf(format, args...)) }
	uses, line, err := t.uses()
	if err != nil {
		return []string{err.Error()}
	}
	if line != goLine {
		bad("go.work: go %s, want %s", line, goLine)
	}
	for _, u := range uses {
		if !slices.ContainsFunc(t.modules, func(m module) bool { return m.dir == u }) {
			bad("go.work uses %s, which is no module", u)
		}
		if _, ok := outside[u]; ok {
			bad("go.work uses %s: %s", u, outside[u])
		}
	}
	for _, m := range t.modules {
		name := path.Join(m.dir, "go.mod")
		if _, ok := outside[m.dir]; !ok && !slices.Contains(uses, m.dir) {
			bad("%s is a module that go.work does not use; what we ship is listed, what we do not is in the table", name)
		}
		if m.file.Go != goLine {
			bad("%s: go %s, want %s", name, m.file.Go, goLine)
		}
		if m.file.Toolchain != "" {
			bad("%s: a toolchain line makes users download %s", name, m.file.Toolchain)
		}
		if want := path.Join(home, m.dir); m.file.Module.Path != want {
			bad("%s: module %s, want %s", name, m.file.Module.Path, want)
		}
		if m.dir == "." {
			offences = append(offences, checkRoot(m)...)
			continue
		}
		up := strings.Repeat("../", strings.Count(m.dir, "/")+1)
		replaced := false
		for _, r := range m.file.Replace {
			rest, ours := strings.CutPrefix(r.Old.Path, home)
			if !ours || path.Clean(r.New.Path) != path.Join(up, rest) {
				bad("%s: replaces %s by %s; only modules of ours are replaced, by where they are, until the first tag", name, r.Old.Path, r.New.Path)
			}
			replaced = replaced || r.Old.Path == home
		}
		needs := false
		for _, r := range m.file.Require {
			needs = needs || r.Path == home
		}
		if needs && !replaced {
			bad("%s: requires %s, which has no tag yet: replace it by %s", name, home, up)
		}
	}
	return offences
}

// checkRoot holds the root module's requires against the two lists.
func checkRoot(m module) (offences []string) {
	have := map[string]bool{}
	for _, r := range m.file.Require {
		list, kind := direct, "a direct require"
		if r.Indirect {
			list, kind = indirect, "an indirect require"
		} else {
			have[r.Path] = true
		}
		if _, ok := list[r.Path]; !ok {
			offences = append(offences, fmt.Sprintf("go.mod: %s is %s that no row of the table allows", r.Path, kind))
		}
	}
	for p, why := range direct {
		if !have[p] {
			offences = append(offences, fmt.Sprintf("go.mod: %s is not required any more (it was for %s): take it out of the table", p, why))
		}
	}
	if len(m.file.Replace) > 0 {
		offences = append(offences, "go.mod: a replace in the root is ignored by whoever requires it")
	}
	return offences
}

func TestModules(t *testing.T) { report(t, checkModules(checkout(t))) }

package policy

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// checkLinks lists the links of pages that lead to no file of the tree. What
// lies outside it is not looked at: a test needs no network.
func checkLinks(t *tree) (offences []string) {
	for _, name := range t.texts {
		if path.Ext(name) != ".md" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(t.root, filepath.FromSlash(name)))
		if err != nil {
			offences = append(offences, err.Error())
			continue
		}
		code := false // Go's Name[T](x) is no link
		for i, line := range bytes.Split(text, []byte("\n")) {
			if bytes.HasPrefix(line, []byte("```")) {
				code = !code
			}
			if code {
				continue
			}
			for _, m := range link.FindAllSubmatch(line, -1) {
				to, _, _ := strings.Cut(string(m[1]), "#")
				if to == "" || strings.Contains(to, ":") {
					continue
				}
				if _, err := os.Stat(filepath.Join(t.root, filepath.FromSlash(path.Join(path.Dir(name), to)))); err != nil {
					offences = append(offences, fmt.Sprintf("%s:%d: the link to %s leads nowhere", name, i+1, to))
				}
			}
		}
	}
	return offences
}

func TestLinks(t *testing.T) { report(t, checkLinks(checkout(t))) }

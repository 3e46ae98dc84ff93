package sqlstore

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// A Dialect names an engine.
type Dialect struct{ name string }

// String returns the engine's name.
func (d Dialect) String() string { return d.name }

var (
	// SQLite is SQLite 3.51.3 or newer: older engines can damage a file that two
	// connections write and checkpoint at the same moment (sqlite.org/wal.html,
	// "the WAL-reset bug"). [Open] opens it.
	SQLite = Dialect{"sqlite"}
	// PostgreSQL is PostgreSQL 14 or newer. [OpenPostgres] opens it.
	PostgreSQL = Dialect{"postgresql"}
)

func (d Dialect) known() error {
	if d == SQLite || d == PostgreSQL {
		return nil
	}
	return fmt.Errorf("%w: dialect %q is not known: use sqlstore.SQLite or sqlstore.PostgreSQL", ErrEngine, d.name)
}

// folder is where the dialect's migrations are.
func (d Dialect) folder() string {
	if d == PostgreSQL {
		return "migrations/postgres"
	}
	return "migrations/sqlite"
}

// Statements are written once, in SQLite's words. What PostgreSQL wants besides
// stands in a comment that SQLite passes over: /*pg FOR UPDATE*/. Where both
// want something else, the code asks for d.dialect.
var (
	greatest = regexp.MustCompile(`\bmax\((\w+), `)
	jsonEach = regexp.MustCompile(`SELECT value FROM json_each\((\$\d+)\)`)
)

// toPostgres turns a statement into PostgreSQL's words: parameters are $n, what
// /*pg comments hold counts, max of two is greatest, and a JSON array is
// unfolded by a function of another name.
func toPostgres(q string) string {
	var b strings.Builder
	last := 0 // as in SQLite, a bare ? is one more than the largest so far
	comment := false
	for i := 0; i < len(q); i++ {
		switch c := q[i]; {
		case c == '\'':
			n := strings.IndexByte(q[i+1:], '\'')
			if n < 0 {
				b.WriteString(q[i:])
				i = len(q)
				break
			}
			b.WriteString(q[i : i+n+2])
			i += n + 1
		case strings.HasPrefix(q[i:], "/*pg "):
			comment = true
			i += len("/*pg ") - 1
		case comment && strings.HasPrefix(q[i:], "*/"):
			comment = false
			i++
		case c == '?':
			end := i + 1
			for end < len(q) && q[end] >= '0' && q[end] <= '9' {
				end++
			}
			n, err := strconv.Atoi(q[i+1 : end])
			if err != nil {
				n = last + 1
			}
			last = max(last, n)
			b.WriteString("$" + strconv.Itoa(n))
			i = end - 1
		default:
			b.WriteByte(c)
		}
	}
	s := greatest.ReplaceAllString(b.String(), "greatest($1, ")
	return jsonEach.ReplaceAllString(s, "SELECT jsonb_array_elements_text($1::text::jsonb)")
}

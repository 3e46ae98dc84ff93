package table

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"strings"

	"github.com/crosstie/crosstie/batchsync"
)

// A Table is a table of a database whose rows are values of T. It is a
// batchsync.Source, batchsync.Counted, batchsync.Sink and batchsync.TxSink. It
// is made by [New] and is safe for concurrent use.
type Table[T any] struct {
	db   *sql.DB
	name string // for people
	plan *plan
	text texts
	page int
}

// Options are the choices of a [Table]. The zero value, and nil, are ready.
type Options struct {
	// PageRows is the most rows read in one query. Defaults to 1000.
	PageRows int
}

// texts are the statements of a table. Columns are qualified wherever SQLite
// would take a name in quotes that it does not know for a string.
type texts struct {
	first, next, nulls, count string
	insert, upsert, delete    string
}

var identifier = regexp.MustCompile(`^[\pL_][\pL\pN_$ -]{0,127}$`)

// New returns the table called name ("items", or "main.items") in db. Its
// column key must be unique and never NULL; as a sink that needs a UNIQUE or
// PRIMARY KEY constraint. T is a struct; see the package comment for its
// fields. New does no I/O. It returns an error that wraps batchsync.ErrSchema
// if T cannot be mapped, has no column key, or a name is not one; db must not
// be nil. A nil o means the defaults.
func New[T any](db *sql.DB, name, key string, o *Options) (*Table[T], error) {
	if db == nil {
		return nil, fmt.Errorf("table: New needs a *sql.DB")
	}
	p, err := planOf[T](key)
	if err != nil {
		return nil, err
	}
	var quoted []string
	for part := range strings.SplitSeq(name, ".") {
		if !identifier.MatchString(part) || len(quoted) == 2 {
			return nil, fmt.Errorf("table: %w: %q is no name of a table", batchsync.ErrSchema, name)
		}
		quoted = append(quoted, quote(part))
	}
	t := &Table[T]{db: db, name: name, plan: p, page: 1000}
	if o != nil && o.PageRows > 0 {
		t.page = o.PageRows
	}
	t.text = textsOf(strings.Join(quoted, "."), p)
	return t, nil
}

func textsOf(table string, p *plan) texts {
	key := quote(p.columns[p.key].name)
	var read, names, marks, set, differs []string
	for i, c := range p.columns {
		q := quote(c.name)
		read = append(read, "t."+q)
		names = append(names, q)
		marks = append(marks, "?")
		if i != p.key {
			set = append(set, q+" = excluded."+q)
			differs = append(differs, "t."+q+" IS DISTINCT FROM excluded."+q)
		}
	}
	from := " FROM " + table + " AS t"
	sel := "SELECT t." + key + ", " + strings.Join(read, ", ") + from
	order := " ORDER BY t." + key + " LIMIT ?"
	insert := "INSERT INTO " + table + " AS t (" + strings.Join(names, ", ") + ") VALUES (" + strings.Join(marks, ", ") + ") ON CONFLICT (" + key + ") DO "
	x := texts{
		first:  sel + order,
		next:   sel + " WHERE t." + key + " > ?" + order,
		nulls:  "SELECT EXISTS (SELECT 1" + from + " WHERE t." + key + " IS NULL)",
		count:  "SELECT count(*)" + from,
		insert: insert + "NOTHING",
		delete: "DELETE FROM " + table + " AS t WHERE t." + key + " = ?",
	}
	if len(set) > 0 {
		x.upsert = insert + "UPDATE SET " + strings.Join(set, ", ") + " WHERE " + strings.Join(differs, " OR ")
	}
	return x
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// Count returns the number of rows.
func (t *Table[T]) Count(ctx context.Context) (n int64, err error) {
	err = t.db.QueryRowContext(ctx, t.text.count).Scan(&n)
	return n, t.explain("count", err)
}

// Database returns the pool given to [New].
func (t *Table[T]) Database() *sql.DB { return t.db }

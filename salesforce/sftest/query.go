package sftest

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/crosstie/crosstie/salesforce/sftest/internal/soql"
)

const (
	maxQuery   = 100_000 // characters of SOQL
	maxOffset  = 2_000
	maxPage    = 2_000
	minPage    = 200
	maxCursors = 1_000 // kept per org; the oldest is forgotten
	cursorLife = 48 * time.Hour
)

// A cursor holds what is left of a query's rows: as they were when it was
// asked, which no later write changes.
type cursor struct {
	rows []members
	page int
	base string
	made time.Time
}

// query answers GET …/query?q= and …/queryAll?q=.
func (o *Org) query(r *request) answer {
	text := r.URL.Query().Get("q")
	switch {
	case text == "":
		return refuse(wrong("MALFORMED_QUERY", "SOQL statements cannot be empty or null"))
	case len(text) > maxQuery:
		return refuse(wrong("QUERY_TOO_LONG", "SOQL statements cannot be longer than %d characters", maxQuery))
	}
	q, err := soql.Parse(text)
	if err != nil {
		return refuse(o.malformed(text, err))
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	rows, err := o.run(r, q)
	if err != nil {
		return refuse(o.malformed(text, err))
	}
	if q.Count {
		return jsonAnswer(200, members{{"totalSize", len(rows)}, {"done", true}, {"records", []any{}}})
	}
	c := &cursor{rows: rows, page: pageSize(r.Header), base: r.base(), made: time.Now()}
	locator := ""
	if len(rows) > c.page {
		locator = o.data.ids.make("01g")
		if len(o.cursorOrder) == maxCursors {
			delete(o.cursors, o.cursorOrder[0])
			o.cursorOrder = o.cursorOrder[1:]
		}
		o.cursors[locator] = c
		o.cursorOrder = append(o.cursorOrder, locator)
	}
	return c.answer(locator, 0)
}

// queryMore answers GET …/query/<locator>.
func (o *Org) queryMore(r *request) answer {
	locator, offset, _ := strings.Cut(r.path[1], "-")
	o.mu.Lock()
	defer o.mu.Unlock()
	c := o.cursors[locator]
	from, err := strconv.Atoi(offset)
	if c == nil || time.Since(c.made) > cursorLife || err != nil || from < 0 || from > len(c.rows) {
		return refuse(wrong("INVALID_QUERY_LOCATOR", "invalid query locator"))
	}
	return c.answer(locator, from)
}

func (c *cursor) answer(locator string, from int) answer {
	to := min(from+c.page, len(c.rows))
	page := c.rows[from:to]
	if page == nil {
		page = []members{}
	}
	m := members{{"totalSize", len(c.rows)}, {"done", to == len(c.rows)}}
	if to < len(c.rows) {
		m = append(m, member{"nextRecordsUrl", fmt.Sprintf("%s/query/%s-%d", c.base, locator, to)})
	}
	return jsonAnswer(200, append(m, member{"records", page}))
}

// pageSize is what the client asked for, inside the platform's bounds; the
// header is advice, so nonsense in it is no error.
func pageSize(h http.Header) int {
	for option := range strings.SplitSeq(h.Get("Sforce-Query-Options"), ",") {
		k, v, _ := strings.Cut(option, "=")
		if n, err := strconv.Atoi(strings.TrimSpace(v)); err == nil && strings.EqualFold(strings.TrimSpace(k), "batchSize") {
			return min(max(n, minPage), maxPage)
		}
	}
	return maxPage
}

// run finds the rows of a query and shows them; the lock is held.
func (o *Org) run(r *request, q *soql.Query) ([]members, error) {
	obj := o.schema.object(q.From.Text)
	if obj == nil || obj.event {
		return nil, &queryError{"INVALID_TYPE", q.From.At, fmt.Sprintf("sObject type '%s' is not supported. If you are attempting to use a custom object, be sure to append the '__c' after the entity name. Please reference your WSDL or the describe call for the appropriate names.", q.From.Text)}
	}
	show, err := o.shown(obj, q.Fields)
	if err != nil {
		return nil, err
	}
	keep, err := o.data.filter(obj, q.Where)
	if err != nil {
		return nil, err
	}
	if q.Offset > maxOffset {
		return nil, &queryError{"NUMBER_OUTSIDE_VALID_RANGE", 0, fmt.Sprintf("Maximum SOQL offset allowed is %d", maxOffset)}
	}
	all := strings.EqualFold(r.path[0], "queryAll")
	var found [][]any
	for _, row := range o.data.tables[obj].order {
		if (all || !row.deleted()) && keep(row.values) {
			found = append(found, row.values)
		}
	}
	if err := o.sort(obj, found, q.Order); err != nil {
		return nil, err
	}
	found = found[min(q.Offset, len(found)):]
	if q.Limit >= 0 {
		found = found[:min(q.Limit, len(found))]
	}
	rows := make([]members, len(found))
	if q.Count {
		return rows, nil
	}
	for i, values := range found {
		rows[i] = o.data.project(r.base(), obj, values, show)
	}
	return rows, nil
}

// A column is a field that a query shows, or a parent with columns of its own.
type column struct {
	field   *field
	columns []*column // of the object that field refers to
}

// shown reads the list of fields of a query.
func (o *Org) shown(obj *object, names []soql.Name) ([]*column, error) {
	var top []*column
	seen := map[string]bool{}
	for _, n := range names {
		p, err := o.data.resolve(obj, n)
		if err != nil {
			return nil, err
		}
		if k := strings.ToLower(n.Text); seen[k] {
			return nil, &queryError{"INVALID_FIELD", n.At, fmt.Sprintf("duplicate field selected: %s", n.Text)}
		} else {
			seen[k] = true
		}
		into := &top
		for _, f := range p.through {
			at := slices.IndexFunc(*into, func(c *column) bool { return c.field == f && c.columns != nil })
			if at < 0 {
				at = len(*into)
				*into = append(*into, &column{field: f, columns: []*column{}})
			}
			into = &(*into)[at].columns
		}
		*into = append(*into, &column{field: p.last})
	}
	return top, nil
}

// project gives a row the form that a query shows it in.
func (d *data) project(base string, obj *object, values []any, columns []*column) members {
	m := obj.record(base, values, nil)
	for _, c := range columns {
		switch {
		case c.columns == nil:
			m = append(m, member{c.field.Name, c.field.json(values[c.field.at])})
		case d.parent(c.field, values) == nil:
			m = append(m, member{c.field.relation(), nil})
		default:
			up := d.schema.object(c.field.ReferenceTo)
			m = append(m, member{c.field.relation(), d.project(base, up, d.parent(c.field, values), c.columns)})
		}
	}
	return m
}

func (o *Org) sort(obj *object, rows [][]any, by []soql.Order) error {
	paths := make([]path, len(by))
	for i, k := range by {
		p, err := o.data.resolve(obj, k.By)
		if err != nil {
			return err
		}
		if p.last.Type == TextArea && p.last.Length > 255 {
			return &queryError{"INVALID_FIELD", k.By.At, fmt.Sprintf("field '%s' can not be sorted in a query call", p.last.Name)}
		}
		paths[i] = p
	}
	slices.SortStableFunc(rows, func(a, b []any) int {
		for i, p := range paths {
			x, y := p.last.comparable(p.of(o.data, a)), p.last.comparable(p.of(o.data, b))
			c := compare(x, y)
			switch {
			case c == 0:
				continue
			case x == nil || y == nil: // first, unless NULLS LAST, whatever the direction
				if by[i].NullsLast {
					return -c
				}
				return c
			case by[i].Desc:
				return -c
			}
			return c
		}
		return 0
	})
	return nil
}

// malformed gives the error of a query the platform's form: the row it is in,
// a caret under the place, and the words.
func (o *Org) malformed(query string, err error) *problem {
	code, at := "MALFORMED_QUERY", 0
	var syntax *soql.Error
	var sense *queryError
	switch {
	case errors.As(err, &syntax):
		at = syntax.At
	case errors.As(err, &sense):
		code, at = sense.code, sense.at
	}
	row, column, line := soql.Place(query, at)
	return wrong(code, "\n%s\n%s^\nERROR at Row:%d:Column:%d\n%s", line, strings.Repeat(" ", column-1), row, column, err.Error())
}

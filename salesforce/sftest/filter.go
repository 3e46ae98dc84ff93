package sftest

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/crosstie/crosstie/salesforce/sftest/internal/soql"
)

// A path leads from a row to a field of it, or of a row it refers to.
type path struct {
	through []*field // references, outermost first
	last    *field
}

// of gives the value at the end of a path; nil where a reference is null.
func (p path) of(d *data, values []any) any {
	for _, f := range p.through {
		if values = d.parent(f, values); values == nil {
			return nil
		}
	}
	return values[p.last.at]
}

// parent gives the values of the row that a field refers to, or nil.
func (d *data) parent(f *field, values []any) []any {
	id, ok := values[f.at].(string)
	if !ok {
		return nil
	}
	r := d.tables[d.schema.object(f.ReferenceTo)].rows[id[:15]]
	if r == nil || r.deleted() {
		return nil
	}
	return r.values
}

// relation is the name that a reference goes by in a path.
func (f *field) relation() string {
	if base, ok := strings.CutSuffix(f.Name, "__c"); ok {
		return base + "__r"
	}
	return strings.TrimSuffix(f.Name, "Id")
}

// deepest is how many references a path may follow.
const deepest = 5

// resolve finds the field that a query names.
func (d *data) resolve(obj *object, n soql.Name) (path, error) {
	var p path
	parts := strings.Split(n.Text, ".")
	if strings.EqualFold(parts[0], obj.Name) && len(parts) > 1 {
		parts = parts[1:] // the object's own name may stand in front
	}
	for _, part := range parts[:len(parts)-1] {
		step := obj.reference(part)
		if step == nil || len(p.through) == deepest {
			return path{}, &queryError{"INVALID_FIELD", n.At, fmt.Sprintf("Didn't understand relationship '%s' in field path. If you are attempting to use a custom relationship, be sure to append the '__r' after the custom relationship name. Please reference your WSDL or the describe call for the appropriate names.", part)}
		}
		p.through = append(p.through, step)
		obj = d.schema.object(step.ReferenceTo)
	}
	name := parts[len(parts)-1]
	if p.last = obj.field(name); p.last == nil {
		return path{}, &queryError{"INVALID_FIELD", n.At, fmt.Sprintf("No such column '%s' on entity '%s'. If you are attempting to use a custom field, be sure to append the '__c' after the custom field name. Please reference your WSDL or the describe call for the appropriate names.", name, obj.Name)}
	}
	return p, nil
}

// A queryError is a query that reads well and makes no sense.
type queryError struct {
	code string
	at   int
	text string
}

func (e *queryError) Error() string { return e.text }

// A filter decides about a row.
type filter func(values []any) bool

// filter makes one of a condition.
func (d *data) filter(obj *object, e soql.Expr) (filter, error) {
	switch e := e.(type) {
	case *soql.Logic:
		var terms []filter
		for _, t := range e.Terms {
			f, err := d.filter(obj, t)
			if err != nil {
				return nil, err
			}
			terms = append(terms, f)
		}
		return func(values []any) bool {
			for _, t := range terms {
				if t(values) == e.Or {
					return e.Or
				}
			}
			return !e.Or
		}, nil
	case *soql.Not:
		f, err := d.filter(obj, e.Term)
		if err != nil {
			return nil, err
		}
		return func(values []any) bool { return !f(values) }, nil
	case *soql.Test:
		return d.test(obj, e)
	}
	return func([]any) bool { return true }, nil
}

func (d *data) test(obj *object, t *soql.Test) (filter, error) {
	p, err := d.resolve(obj, t.Field)
	if err != nil {
		return nil, err
	}
	f := p.last
	if f.Type == TextArea && f.Length > 255 {
		return nil, &queryError{"INVALID_FIELD", t.Field.At, fmt.Sprintf("field '%s' can not be filtered in a query call", f.Name)}
	}
	if t.Op == "LIKE" {
		if !f.text() || t.Values[0].Kind != soql.String {
			return nil, &queryError{"INVALID_FIELD", t.Field.At, fmt.Sprintf("invalid operator on %s field", f.kind())}
		}
		pattern := []rune(strings.ToLower(t.Values[0].Text))
		return func(values []any) bool {
			s, ok := p.of(d, values).(string)
			return ok && like([]rune(strings.ToLower(s)), pattern)
		}, nil
	}
	wanted := make([]any, len(t.Values))
	for i, l := range t.Values {
		if wanted[i], err = f.literal(l); err != nil {
			return nil, err
		}
	}
	if t.Op == "IN" || t.Op == "NOT IN" {
		set := make(map[any]bool, len(wanted))
		for _, w := range wanted {
			set[f.comparable(w)] = true
		}
		return func(values []any) bool { return set[f.comparable(p.of(d, values))] == (t.Op == "IN") }, nil
	}
	ordered := t.Op != "=" && t.Op != "!="
	if ordered && (f.Type == Boolean || wanted[0] == nil) {
		return nil, &queryError{"INVALID_FIELD", t.Field.At, fmt.Sprintf("invalid operator on %s field", f.kind())}
	}
	want := f.comparable(wanted[0])
	return func(values []any) bool {
		have := f.comparable(p.of(d, values))
		if !ordered {
			return (have == want) == (t.Op == "=")
		}
		if have == nil {
			return false
		}
		c := compare(have, want)
		switch t.Op {
		case "<":
			return c < 0
		case "<=":
			return c <= 0
		case ">":
			return c > 0
		}
		return c >= 0
	}, nil
}

// literal reads a value of a query as the field would keep it.
func (f *field) literal(l soql.Literal) (any, error) {
	quoted := func(should string) error {
		return &queryError{"INVALID_FIELD", l.At, fmt.Sprintf("value of filter criterion for field '%s' must be of type %s and should %sbe enclosed in quotes", f.Name, f.kind(), should)}
	}
	if l.Kind == soql.Null {
		return nil, nil
	}
	switch {
	case f.text():
		if l.Kind != soql.String {
			return nil, quoted("")
		}
		s := strings.NewReplacer(`\_`, `_`, `\%`, `%`).Replace(l.Text)
		if s == "" {
			return nil, nil // the platform keeps no empty text
		}
		return s, nil
	case f.Type == Reference || f.Type == idType:
		if l.Kind != soql.String {
			return nil, quoted("")
		}
		id, ok := shortID(l.Text)
		if !ok {
			return nil, &queryError{"INVALID_QUERY_FILTER_OPERATOR", l.At, fmt.Sprintf("invalid ID field: %s", l.Text)}
		}
		return longID(id), nil
	case f.number() && l.Kind == soql.Number:
		n, err := strconv.ParseFloat(l.Text, 64)
		if err != nil || math.IsInf(n, 0) {
			return nil, quoted("not ")
		}
		return n, nil
	case f.Type == Boolean && l.Kind == soql.Bool:
		return l.Text == "TRUE", nil
	case f.Type == Date && l.Kind == soql.Date:
		if d, ok := parseDate(l.Text); ok {
			return d, nil
		}
	case f.Type == DateTime && l.Kind == soql.DateTime:
		if t, ok := parseMoment(strings.Replace(l.Text, " ", "+", 1)); ok {
			return t, nil
		}
	case l.Kind == soql.DateWord && (f.Type == Date || f.Type == DateTime):
		day := now().Truncate(24*time.Hour).AddDate(0, 0, map[string]int{"YESTERDAY": -1, "TOMORROW": 1}[l.Text])
		if f.Type == Date {
			return day.Format(dateForm), nil
		}
		return nil, &queryError{"MALFORMED_QUERY", l.At, fmt.Sprintf("unexpected token: '%s' (this org offers it for dates, not for datetimes)", l.Text)}
	}
	return nil, quoted("not ")
}

// comparable turns a value into one that == and compare understand: text in
// lower case, unless the field tells case apart.
func (f *field) comparable(v any) any {
	switch v := v.(type) {
	case string:
		if f.text() && !f.CaseSensitive {
			return strings.ToLower(v)
		}
	case time.Time:
		return v.Unix()
	}
	return v
}

// compare orders two comparable values of one field; nothing comes before
// everything.
func compare(a, b any) int {
	switch a := a.(type) {
	case nil:
		if b == nil {
			return 0
		}
		return -1
	case string:
		if b, ok := b.(string); ok {
			return cmp.Compare(a, b)
		}
	case float64:
		if b, ok := b.(float64); ok {
			return cmp.Compare(a, b)
		}
	case int64:
		if b, ok := b.(int64); ok {
			return cmp.Compare(a, b)
		}
	case bool:
		if b, ok := b.(bool); ok {
			switch {
			case a == b:
				return 0
			case b:
				return -1
			}
			return 1
		}
	}
	return 1
}

// like matches text against a pattern in which % stands for anything and _ for
// one character, in time that grows with both and not beyond.
func like(s, pattern []rune) bool {
	at, star, mark := 0, -1, 0
	for i := 0; i < len(s); {
		switch {
		case at < len(pattern) && pattern[at] == '%':
			star, mark = at, i
			at++
			continue
		case at+1 < len(pattern) && pattern[at] == '\\' && (pattern[at+1] == '_' || pattern[at+1] == '%'):
			if s[i] == pattern[at+1] {
				at += 2
				i++
				continue
			}
		case at < len(pattern) && (pattern[at] == '_' || pattern[at] == s[i]):
			at++
			i++
			continue
		}
		if star < 0 {
			return false
		}
		mark++
		at, i = star+1, mark
	}
	for at < len(pattern) && pattern[at] == '%' {
		at++
	}
	return at == len(pattern)
}

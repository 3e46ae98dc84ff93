package salesforce

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/crosstie/crosstie/outcome"
)

// Query yields the rows that a SOQL query finds, as Ts, and reads the org's
// pages as it goes. It holds nothing open between them. An error is the last
// thing it yields, and is an [*Error].
//
// Each ? outside quotes stands for the next of args, which is written as a
// literal: texts are quoted and escaped, a nil is null, a [time.Time] or [Time]
// a dateTime in UTC, a [Date] a date, a slice a list in parentheses for IN.
// Names of objects and fields cannot be arguments. Never build a query from
// values by hand: a quote in one ends the literal, and what follows it is SOQL.
//
// The sequence may be read once more: it then asks again.
func Query[T any](ctx context.Context, o *Org, soql string, args ...any) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		path, err := queryPath(soql, args)
		n, idle := 0, 0
		for err == nil && path != "" {
			var p page
			if err = o.Do(ctx, Call{Op: "query", Path: path}, &p); err != nil {
				break
			}
			if idle++; len(p.Records) > 0 {
				idle = 0
			}
			if idle > maxIdle {
				err = &Error{Op: "query", Known: outcome.Refused, Err: fmt.Errorf("%w: %d pages in a row have no rows, and each names a next one", ErrTooLarge, maxIdle)}
				break
			}
			for _, raw := range p.Records {
				if n++; o.o.MaxRows >= 0 && n > o.o.MaxRows {
					yield(zero, &Error{Op: "query", Known: outcome.Refused, Err: fmt.Errorf("%w: more than %d rows (Options.MaxRows)", ErrTooLarge, o.o.MaxRows)})
					return
				}
				var v T
				if json.Unmarshal(raw, &v) != nil {
					yield(zero, &Error{Op: "query", Known: outcome.Refused, Err: fmt.Errorf("row %d does not fit into %T: compare its fields with the type's json tags", n, v)})
					return
				}
				if !yield(v, nil) {
					return
				}
			}
			path, err = p.next()
		}
		if err != nil {
			yield(zero, err)
		}
	}
}

// maxIdle is how many pages without rows may follow each other: MaxRows would
// never end a list of them.
const maxIdle = 100

// Count returns how many rows a query finds: SELECT COUNT() FROM ... Its
// arguments are those of [Query].
func Count(ctx context.Context, o *Org, soql string, args ...any) (int64, error) {
	path, err := queryPath(soql, args)
	if err != nil {
		return 0, err
	}
	var p page
	if err := o.Do(ctx, Call{Op: "count", Path: path}, &p); err != nil {
		return 0, err
	}
	return p.Total, nil
}

// A page is the org's answer to a query.
type page struct {
	Total   int64             `json:"totalSize"`
	Done    *bool             `json:"done"`
	Next    string            `json:"nextRecordsUrl"`
	Records []json.RawMessage `json:"records"`
}

// next is the path of the page after p, or "" after the last. A page that says
// neither was not answered by an org.
func (p page) next() (string, error) {
	cut := func(why string) error {
		return &Error{Op: "query", Known: outcome.Refused, transient: true, Err: errors.New(why)}
	}
	switch {
	case p.Done == nil:
		return "", cut("the org's answer does not say whether it is the last page")
	case *p.Done:
		return "", nil
	case !strings.HasPrefix(p.Next, "/services/data/"):
		return "", cut("the org's answer is not the last page, and names no next one of its own")
	}
	return p.Next, nil
}

func queryPath(soql string, args []any) (string, error) {
	q, err := bind(soql, args)
	if err != nil {
		return "", err
	}
	return "query?q=" + url.QueryEscape(q), nil
}

// bind puts literals in the places of a query.
func bind(soql string, args []any) (string, error) {
	var b strings.Builder
	used, quoted := 0, false
	for i := 0; i < len(soql); i++ {
		c := soql[i]
		switch {
		case quoted && c == '\\' && i+1 < len(soql):
			b.WriteByte(c)
			i++
			c = soql[i]
		case c == '\'':
			quoted = !quoted
		case c == '?' && !quoted:
			if used == len(args) {
				return "", input("query", "it has more ? than the %d arguments", len(args))
			}
			s, err := literal(args[used], true)
			if err != nil {
				return "", input("query", "argument %d: %v", used+1, err)
			}
			b.WriteString(s)
			used++
			continue
		}
		b.WriteByte(c)
	}
	if quoted {
		return "", input("query", "a quote is not closed")
	}
	if used < len(args) {
		return "", input("query", "it has %d ? for %d arguments", used, len(args))
	}
	return b.String(), nil
}

// literal is a value as SOQL writes it.
func literal(v any, list bool) (string, error) {
	switch v := v.(type) {
	case nil:
		return "null", nil
	case string:
		return quote(v), nil
	case Like:
		return pattern(v), nil
	case json.Number:
		if _, err := strconv.ParseFloat(string(v), 64); err != nil || strings.Trim(string(v), "0123456789+-.eE") != "" {
			return "", errors.New("a json.Number that is no decimal number")
		}
		return string(v), nil
	case time.Time:
		return v.UTC().Format(timeForm), nil
	case Time:
		if v.IsZero() {
			return "null", nil
		}
		return v.UTC().Format(timeForm), nil
	case Date:
		if v.IsZero() {
			return "null", nil
		}
		return v.String(), nil
	}
	r := reflect.ValueOf(v)
	switch r.Kind() {
	case reflect.String:
		return quote(r.String()), nil
	case reflect.Bool:
		return strconv.FormatBool(r.Bool()), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.FormatInt(r.Int(), 10), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return strconv.FormatUint(r.Uint(), 10), nil
	case reflect.Float32, reflect.Float64:
		f := r.Float()
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return "", errors.New("SOQL has no NaN and no infinity")
		}
		return strconv.FormatFloat(f, 'f', -1, 64), nil
	case reflect.Pointer:
		if r.IsNil() {
			return "null", nil
		}
		return literal(r.Elem().Interface(), list)
	case reflect.Slice, reflect.Array:
		if !list {
			return "", errors.New("a list in a list")
		}
		if r.Len() == 0 {
			return "", errors.New("a list is empty, and SOQL has no empty list: leave the query out")
		}
		parts := make([]string, r.Len())
		for i := range parts {
			s, err := literal(r.Index(i).Interface(), false)
			if err != nil {
				return "", err
			}
			parts[i] = s
		}
		return "(" + strings.Join(parts, ",") + ")", nil
	}
	return "", fmt.Errorf("a %T has no form in SOQL", v)
}

// quote makes a text literal; the escapes are those of the SOQL reference,
// "Quoted String Escape Sequences".
func quote(s string) string { return "'" + soqlEscapes.Replace(s) + "'" }

var soqlEscapes = strings.NewReplacer(`\`, `\\`, `'`, `\'`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`, "\b", `\b`, "\f", `\f`)

// A Like is an argument of [Query] for LIKE: in it % stands for any text and _
// for any one character, unless a backslash stands before them. [EscapeLike]
// puts it there:
//
//	salesforce.Query[Item](ctx, org, "SELECT Id FROM Item__c WHERE Name LIKE ?",
//		salesforce.Like("%"+salesforce.EscapeLike(word)+"%"))
type Like string

// EscapeLike returns s with a backslash before each % and _, so that a [Like]
// takes them as they are.
func EscapeLike(s string) string { return likeEscapes.Replace(s) }

var likeEscapes = strings.NewReplacer(`%`, `\%`, `_`, `\_`)

// pattern makes a literal of l. SOQL has the escapes \% and \_ for LIKE; all
// others are those of any text.
func pattern(l Like) string {
	var b strings.Builder
	b.WriteByte('\'')
	for i := 0; i < len(l); i++ {
		if l[i] == '\\' && i+1 < len(l) && (l[i+1] == '%' || l[i+1] == '_') {
			b.WriteString(string(l[i : i+2]))
			i++
			continue
		}
		_, _ = soqlEscapes.WriteString(&b, string(l[i:i+1]))
	}
	b.WriteByte('\'')
	return b.String()
}

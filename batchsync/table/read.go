package table

import (
	"context"
	"fmt"
	"iter"
	"reflect"
	"strconv"
	"strings"

	"github.com/crosstie/crosstie/batchsync"
)

// Pages yields the rows in the order of their keys, those after the position
// first. Each page is one query by key range, so that a position costs the
// same at the end of the table as at its start, and nothing is open between
// pages. Rows that change or come while pages are read are seen as they are
// when their page is.
//
// A row that does not fit T is a row with an error.
func (t *Table[T]) Pages(ctx context.Context, after string) iter.Seq2[batchsync.Page[T], error] {
	return func(yield func(batchsync.Page[T], error) bool) {
		if after == "" {
			var nulls bool
			err := t.db.QueryRowContext(ctx, t.text.nulls).Scan(&nulls)
			if err == nil && nulls {
				err = fmt.Errorf("%w: the key is NULL in some rows, which have no identity", batchsync.ErrSchema)
			}
			if err != nil {
				yield(batchsync.Page[T]{}, t.explain("read", err))
				return
			}
		}
		for {
			p, err := t.read(ctx, after)
			if err != nil {
				yield(batchsync.Page[T]{}, t.explain("read", err))
				return
			}
			if !yield(p, nil) || p.Done {
				return
			}
			after = p.Next
		}
	}
}

func (t *Table[T]) read(ctx context.Context, after string) (p batchsync.Page[T], err error) {
	q, args := t.text.first, []any{t.page + 1}
	if after != "" {
		from, err := t.position(after)
		if err != nil {
			return p, err
		}
		q, args = t.text.next, []any{from, t.page + 1}
	}
	rows, err := t.db.QueryContext(ctx, q, args...)
	if err != nil {
		return p, err
	}
	defer rows.Close()
	dests := make([]any, len(t.plan.columns)+1)
	var key, last any
	p.Done = true
	for rows.Next() {
		var row batchsync.Row[T]
		v := reflect.ValueOf(&row.Value).Elem()
		dests[0] = &key
		for i, c := range t.plan.columns {
			dests[i+1] = c.dest(v.Field(c.field))
		}
		err := rows.Scan(dests...)
		if key == nil { // the scan failed before the key
			return p, err
		}
		text := keyText(key)
		if last != nil && text == keyText(last) {
			return p, fmt.Errorf("%w: the key is not unique: rows would be lost between pages", batchsync.ErrSchema)
		}
		if len(p.Rows) == t.page {
			p.Done, p.Next = false, encode(last)
			break
		}
		row.ID, row.Pos = text, t.name+" "+text
		if err != nil {
			var zero T
			row.Value, row.Err = zero, fmt.Errorf("table: the row does not fit: %w", scanError(err))
			row.Raw = fmt.Appendf(nil, "%s where %s = %q", t.name, t.plan.columns[t.plan.key].name, text)
		}
		p.Rows, last = append(p.Rows, row), key
		key = nil
	}
	return p, rows.Err()
}

// scanError drops what database/sql says about the value.
func scanError(err error) error {
	text := err.Error()
	if i := strings.Index(text, `: converting `); i >= 0 {
		text = text[:i]
	}
	return fmt.Errorf("%s", strings.TrimPrefix(text, "sql: "))
}

func keyText(key any) string {
	switch k := key.(type) {
	case []byte:
		return string(k)
	case string:
		return k
	case int64:
		return strconv.FormatInt(k, 10)
	}
	return fmt.Sprint(key)
}

// encode makes a position of a key, with its type: in SQLite 7 and '7' are
// different and far apart in the order.
func encode(key any) string {
	switch k := key.(type) {
	case int64:
		return "i" + strconv.FormatInt(k, 10)
	case float64:
		return "f" + strconv.FormatFloat(k, 'g', -1, 64)
	case []byte:
		return "b" + string(k)
	}
	return "s" + keyText(key)
}

func (t *Table[T]) position(after string) (any, error) {
	kind, rest := after[0], after[1:]
	var key any
	var err error
	switch kind {
	case 's':
		key = rest
	case 'b':
		key = []byte(rest)
	case 'i':
		key, err = strconv.ParseInt(rest, 10, 64)
	case 'f':
		key, err = strconv.ParseFloat(rest, 64)
	default:
		err = strconv.ErrSyntax
	}
	if err != nil {
		return nil, fmt.Errorf("%w: it is no position of this package", batchsync.ErrCursor)
	}
	return key, nil
}

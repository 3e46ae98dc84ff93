package bulk

import (
	"context"
	"encoding/json"
	"fmt"
	"math/big"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/crosstie/crosstie/batchsync"
	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/salesforce"
)

// A record is what the org has, by field name. The names are the org's.
type record map[string]json.RawMessage

// get finds a value; name may lead to a parent: "Rel__r.Code__c".
func (r record) get(name string) json.RawMessage {
	first, rest, deeper := strings.Cut(name, ".")
	for k, v := range r {
		if !strings.EqualFold(k, first) {
			continue
		}
		if !deeper {
			return v
		}
		var parent record
		if json.Unmarshal(v, &parent) != nil || parent == nil {
			return json.RawMessage("null")
		}
		return parent.get(rest)
	}
	return json.RawMessage("null")
}

func (r record) text(name string) string {
	s, _ := textOf(r.get(name))
	return s
}

// look asks for the records of the lines that are to be deleted, for their ids,
// and with Options.Compare for those of all others, and settles what needs no
// job.
func (w *write) look(ctx context.Context) error {
	var ask []int
	for i, l := range w.lines {
		if w.open(i) && (l.deleted || w.o.Compare) {
			ask = append(ask, i)
		}
	}
	found := make(map[int][]record, len(ask))
	for len(ask) > 0 {
		n, err := w.ask(ctx, ask, found)
		if err != nil {
			return &Error{Op: "compare", Known: outcome.NotSent, Err: err}
		}
		ask = ask[n:]
	}
	for i := range w.lines {
		l := &w.lines[i]
		switch records := found[i]; {
		case !w.open(i):
		case l.deleted && len(records) == 0:
			w.results[i].Verdict = batchsync.Unchanged
		case l.deleted && len(records) > 1:
			w.results[i] = batchsync.Result{Verdict: batchsync.Failed, Known: outcome.NotSent,
				Err: outcome.TransientError(outcome.NotSent, false, salesforce.ErrAmbiguous)}
		case l.deleted:
			l.record = records[0].text("Id")
		case len(records) == 1 && w.same(l, records[0]):
			w.results[i].Verdict = batchsync.Unchanged
		}
	}
	return nil
}

// longest is how long the query of one call may be in its URL. The org
// takes 16,384 bytes of URL and headers.
const longest = 13_500

// ask makes one query for the first of places, as many as have room.
func (w *write) ask(ctx context.Context, places []int, found map[int][]record) (n int, err error) {
	q := "SELECT " + strings.Join(w.selected(), ", ") + " FROM " + w.object + " WHERE " + w.key + " IN ?"
	size := len(url.QueryEscape(q))
	var ids []any
	for _, i := range places {
		cell := w.lines[i].id
		size += len(url.QueryEscape(cell)) + len("%27%27%2C")
		for _, c := range cell {
			if strings.ContainsRune(`'"\\`, c) {
				size += len("%5C")
			}
		}
		if n > 0 && (size > longest || n == 2000) { // 2000 fit on one page
			break
		}
		var id any = cell
		if w.layout.key.Numeric() {
			id = json.Number(cell)
		}
		ids = append(ids, id)
		n++
	}
	for r, err := range salesforce.Query[record](ctx, w.org, q, ids) {
		if err != nil {
			return 0, err
		}
		id, _ := textOf(r.get(w.key))
		if at, ok := w.at[w.layout.key.Same(id)]; ok {
			found[at] = append(found[at], r)
		}
	}
	return n, nil
}

// selected are the fields to ask for.
func (w *write) selected() []string {
	fields := []string{"Id"}
	if !w.o.Compare {
		return append(fields, w.key)
	}
	for _, c := range w.columns {
		if !strings.EqualFold(c, "Id") {
			fields = append(fields, c)
		}
	}
	return fields
}

// same says whether the record already has what the line says.
func (w *write) same(l *line, r record) bool {
	cells, _ := split(nil, strings.TrimSuffix(l.text, "\n"))
	for i, cell := range cells {
		if cell == "" { // says nothing
			continue
		}
		if !equal(w.layout.fields[i], cell, r.get(w.columns[i])) {
			return false
		}
	}
	return true
}

// equal compares a cell with the org's JSON of a field.
func equal(f salesforce.Field, cell string, raw json.RawMessage) bool {
	has, ok := textOf(raw)
	if !ok {
		return false
	}
	if cell == null {
		return has == "" || f.Type == "boolean" && has == "false"
	}
	cell = strings.TrimSpace(cell)
	switch {
	case f.Numeric():
		return number(cell, f.Scale) == number(has, f.Scale) && has != ""
	case f.Type == "boolean":
		return strings.EqualFold(cell, has)
	case f.Type == "datetime":
		a, oka := moment(cell)
		b, okb := moment(has)
		return oka && okb && a.Equal(b)
	case f.Type == "reference" || f.Type == "id":
		return len(has) >= 15 && len(cell) >= 15 && has[:15] == cell[:15]
	}
	return cell == strings.TrimSpace(has)
}

// textOf is a JSON value as a text: null is "", and what is neither a text, a
// number nor a bool is not ok.
func textOf(raw json.RawMessage) (string, bool) {
	switch {
	case len(raw) == 0 || string(raw) == "null":
		return "", true
	case raw[0] == '"':
		var s string
		err := json.Unmarshal(raw, &s)
		return s, err == nil
	case raw[0] == '{' || raw[0] == '[':
		return "", false
	}
	return string(raw), true
}

// number is a decimal number with the digits that the field keeps.
func number(s string, scale int) string {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || len(s) > 60 || strings.ContainsAny(s, "_xXpPiInN") {
		return fmt.Sprintf("not a number: %q", s)
	}
	r := new(big.Rat)
	if f != 0 { // and so the exponent is small
		r.SetString(s)
	}
	s = r.FloatString(max(0, min(scale, 18)))
	if strings.Trim(s, "-0.") == "" {
		return "0" // and not -0.00
	}
	return s
}

func moment(s string) (time.Time, bool) {
	var t salesforce.Time
	if t.UnmarshalText([]byte(s)) != nil {
		return time.Time{}, false
	}
	return t.Truncate(time.Second), true
}

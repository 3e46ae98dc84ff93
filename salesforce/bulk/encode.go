package bulk

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/crosstie/crosstie/batchsync"
	"github.com/crosstie/crosstie/batchsync/csvrow"
	"github.com/crosstie/crosstie/outcome"
)

// A line is one row on its way.
type line struct {
	id      string // the external id
	form    string // of its external id, as the org sees it
	text    string // its CSV, with the line ending; empty if it is to be deleted
	deleted bool
	record  string // the record's id, of one to be deleted
}

// canon is what the line's job would say that it brought.
func (l *line) canon() string {
	cells, _ := split(nil, strings.TrimSuffix(l.text, "\n"))
	return canon(cells)
}

// encode makes lines of rows. What cannot be sent has its result at once.
func encode[T any](w *write, rows []batchsync.Row[T]) error {
	var b bytes.Buffer
	csv, err := csvrow.NewWriter[T](&b, dialect())
	if err == nil {
		err = csv.Flush() // the header
	}
	if err != nil {
		return &Error{Op: "encode", Known: outcome.NotSent, Err: err, lasts: true}
	}
	w.header = b.String()
	w.lines, w.results = make([]line, len(rows)), make([]batchsync.Result, len(rows))
	at := make(map[string]int, len(rows)) // by form
	park := func(i int, err error) {
		w.results[i] = batchsync.Result{Verdict: batchsync.Failed, Err: err, Known: outcome.NotSent}
	}
	var cells []string
	for i, r := range rows {
		l := &w.lines[i]
		l.id, l.form, l.deleted = r.ID, w.layout.key.Same(r.ID), r.Deleted
		switch {
		case l.form == "":
			park(i, refused("the external id is blank"))
		case strings.ContainsAny(r.ID, "\r\n\x00"):
			park(i, refused("the external id has a line break or a NUL in it, which a text field of the org cannot hold"))
		case w.layout.key.Numeric() && strings.HasPrefix(number(r.ID, 0), "not"):
			park(i, refused("the external id is no number, and the field %s holds numbers", w.key))
		case !r.Deleted:
			b.Reset()
			if err := csv.Write(r.Value); err != nil {
				park(i, outcome.TransientError(outcome.NotSent, false, errors.New(strings.TrimPrefix(err.Error(), "csvrow: "))))
				continue
			}
			if err := csv.Flush(); err != nil {
				return &Error{Op: "encode", Known: outcome.NotSent, Err: err, lasts: true}
			}
			l.text = b.String()
			cells, _ = split(cells, strings.TrimSuffix(l.text, "\n"))
			switch {
			case cells[w.keyAt] != r.ID:
				park(i, refused("the row's identity is not its external id: the column %s must hold what identifies the row", w.columns[w.keyAt]))
			case len(l.text)+len(w.header) > w.o.MaxJobBytes:
				park(i, refused("the row alone is %d bytes, more than a job may have", len(l.text)))
			}
		}
		if w.results[i].Verdict == batchsync.Failed {
			continue
		}
		// Two rows of one job that are one record would be refused by the org,
		// or one would win that nobody chose.
		if j, ok := at[l.form]; ok {
			c := Collision{[]CollidingRow{{rows[j].ID, rows[j].Pos}, {r.ID, r.Pos}}}
			park(j, c.reason())
			park(i, c.reason())
			continue
		}
		at[l.form] = i
	}
	w.at = at
	return nil
}

// split takes one line of CSV, without its ending, into cells: the CSV that
// csvrow writes.
func split(cells []string, text string) ([]string, error) {
	cells = cells[:0]
	for {
		if !strings.HasPrefix(text, `"`) {
			cell, rest, more := strings.Cut(text, ",")
			cells = append(cells, cell)
			if !more {
				return cells, nil
			}
			text = rest
			continue
		}
		end := 1
		for {
			i := strings.IndexByte(text[end:], '"')
			if i < 0 {
				return nil, fmt.Errorf("a quote is not closed")
			}
			end += i + 1
			if end == len(text) || text[end] != '"' {
				break
			}
			end++
		}
		cells = append(cells, strings.ReplaceAll(text[1:end-1], `""`, `"`))
		if end == len(text) {
			return cells, nil
		}
		if text[end] != ',' {
			return nil, fmt.Errorf("there is text after a closing quote")
		}
		text = text[end+1:]
	}
}

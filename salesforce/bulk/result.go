package bulk

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/crosstie/crosstie/batchsync"
	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/salesforce"
)

// A listed is one row of a result list that is about a line of ours.
type listed struct {
	at  int    // the line
	row string // what the job brought, as canon writes it, if that matters
	id  string // of the record, if there is one
	res batchsync.Result
}

// A finder tells the line that a row of a result list is about, or -1. cells
// are those of the columns that were sent.
type finder func(cells []string) int

func (w *write) byKey(cells []string) int {
	if at, ok := w.at[w.layout.key.Same(cells[w.keyAt])]; ok {
		return at
	}
	return -1
}

// outcomes returns what the org says of the lines that a job at its end was to
// bring, in no order. sent is how many rows the job had, or -1.
func (w *write) outcomes(ctx context.Context, job info, sent int64, columns []string, find finder) ([]listed, error) {
	var all []listed
	for _, list := range []struct {
		path string
		want int64 // at least
		skip bool  // a call that would bring nothing
	}{
		{"/successfulResults", job.Processed - job.Failed, job.Processed == job.Failed},
		{"/failedResults", job.Failed, job.Failed == 0},
		{"/unprocessedrecords", 0, sent >= 0 && job.Processed >= sent},
	} {
		if list.skip {
			continue
		}
		rows, err := w.list(ctx, job.ID, list.path, list.want, columns, find)
		if err != nil {
			return nil, err
		}
		all = append(all, rows...)
	}
	return all, nil
}

// list reads one list of results. One with fewer rows than the job counted was
// cut, however well-formed it is, and is read again.
func (w *write) list(ctx context.Context, job, path string, want int64, columns []string, find finder) ([]listed, error) {
	var rows []listed
	var found []bool // by line: a list that repeats itself takes no more room than one that does not
	twice := func(at int) bool {
		was := found[at]
		found[at] = true
		return was
	}
	err := w.org.Do(ctx, salesforce.Call{Op: "results", Path: jobPath(job, path)}, func(body io.Reader) error {
		rows, found = rows[:0], make([]bool, len(w.lines))
		n := int64(0)
		err := readResults(body, job, columns, func(id string, cells []string, res batchsync.Result) {
			n++
			if at := find(cells); at >= 0 && !twice(at) {
				row := ""
				if w.adopting {
					row = canon(cells)
				}
				rows = append(rows, listed{at, row, id, res})
			}
		})
		if err == nil && n < want {
			err = outcome.TransientError(outcome.Applied, true, fmt.Errorf("the list has %d rows where the job counted %d: it was cut", n, want))
		}
		return err
	})
	if err != nil {
		return nil, &Error{Op: "results", Job: job, Known: outcome.Unknown, Err: err}
	}
	return rows, nil
}

// canon is cells as one text, equal if and only if all cells are.
func canon(cells []string) string {
	var b strings.Builder
	for _, c := range cells {
		fmt.Fprintf(&b, "%d:%s", len(c), c)
	}
	return b.String()
}

var errList = errors.New("the list of results is not the CSV that was expected")

// maxRow is the most bytes of one row of a list: a record has up to 800 fields,
// and the longest text field holds 131,072 characters, of which few records have
// many.
const maxRow = 32 << 20

// A bounded reader ends a row that has no end: what answers may be anything.
type bounded struct {
	r    io.Reader
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("%w: one of its rows is longer than %d bytes", errList, maxRow)
	}
	n, err := b.r.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// readResults reads a list of results: sf__ columns, then those that were
// sent. id is the record's; cells are valid during the call only.
func readResults(body io.Reader, job string, columns []string, fn func(id string, cells []string, res batchsync.Result)) error {
	one := &bounded{r: body, left: maxRow}
	r := csv.NewReader(one)
	r.ReuseRecord = true
	bad := func(err error) error {
		if _, ok := errors.AsType[*csv.ParseError](err); ok {
			err = errList
		}
		return outcome.TransientError(outcome.Applied, true, err)
	}
	head, err := r.Read()
	if err == io.EOF {
		return nil // nothing at all: the count says whether that is right
	}
	if err != nil {
		return bad(err)
	}
	head = slices.Clone(head)
	head[0] = strings.TrimPrefix(head[0], "\ufeff")
	places := make([]int, len(columns)) // of our columns in the list
	for i, c := range columns {
		places[i] = slices.IndexFunc(head, func(h string) bool { return strings.EqualFold(h, c) })
		if places[i] < 0 {
			return outcome.TransientError(outcome.Applied, false, fmt.Errorf("%w: it lacks the column %s", errList, c))
		}
	}
	created, failed, record := slices.Index(head, "sf__Created"), slices.Index(head, "sf__Error"), slices.Index(head, "sf__Id")
	cells := make([]string, len(columns))
	for {
		one.left = maxRow
		row, err := r.Read()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return bad(err)
		}
		for i, at := range places {
			cells[i] = row[at]
		}
		res := batchsync.Result{Verdict: batchsync.Unprocessed}
		switch {
		case failed >= 0:
			e := parseRowError(job, strings.Clone(row[failed]))
			res = batchsync.Result{Verdict: batchsync.Failed, Err: e, Known: e.Outcome()}
		case created >= 0 && row[created] == "true":
			res.Verdict = batchsync.Inserted
		case created >= 0:
			res.Verdict = batchsync.Updated
		}
		id := ""
		if record >= 0 {
			id = strings.Clone(row[record])
		}
		fn(id, cells, res)
	}
}

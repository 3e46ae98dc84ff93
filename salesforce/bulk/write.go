package bulk

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/crosstie/crosstie/batchsync"
	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/retry"
	"github.com/crosstie/crosstie/salesforce"
)

// A write is one call of WriteJob, without the row type.
type write struct {
	org         *salesforce.Org
	object, key string
	o           *Options
	job         *batchsync.Job
	orgID       string
	jobs        []string        // that the token names
	older       map[string]info // those of them that are of an earlier call, and over

	layout  *layout
	columns []string
	keyAt   int
	header  string
	lines   []line
	results []batchsync.Result // by line; Verdict 0 is open
	at      map[string]int     // lines by form

	adopting bool // results are those of an older job
}

// maxJobs is how many jobs a token names at most. Older ones are at their end
// long before; what is lost with them is only how truthful the counts are.
const maxJobs = 50

// begin brings the jobs of the token to their end, before anything else.
func (w *write) begin(ctx context.Context) (err error) {
	token := w.job.Token()
	if w.job != nil {
		if w.orgID, err = w.org.ID(ctx); err != nil {
			return &Error{Op: "login", Known: outcome.NotSent, Err: err}
		}
	}
	if token == "" {
		return nil
	}
	org, ids, _ := strings.Cut(token, ":")
	if org != w.orgID {
		return &Error{Op: "poll", Known: outcome.NotSent, Err: ErrOtherOrg, lasts: true}
	}
	w.jobs = strings.Split(ids, ",")
	w.older = make(map[string]info, len(w.jobs))
	for _, id := range w.jobs {
		job, err := w.settle(ctx, id)
		if errors.Is(err, salesforce.ErrNotFound) {
			continue // deleted, or older than a week: nobody knows any more
		}
		if err != nil {
			return err
		}
		w.older[id] = job
	}
	return nil
}

// remember puts one more job into the checkpoint.
func (w *write) remember(ctx context.Context, id string) error {
	jobs := append(slices.Clone(w.jobs), id)
	if len(jobs) > maxJobs {
		jobs = jobs[len(jobs)-maxJobs:]
	}
	if err := w.job.Remember(ctx, w.orgID+":"+strings.Join(jobs, ",")); err != nil {
		return &Error{Op: "remember", Job: id, Known: outcome.NotSent, Err: err}
	}
	w.jobs = jobs
	return nil
}

// open says whether a line has no result yet.
func (w *write) open(i int) bool { return w.results[i].Verdict == batchsync.Unprocessed }

// run finds a result for every line.
func (w *write) run(ctx context.Context) ([]batchsync.Result, error) {
	if err := w.adopt(ctx); err != nil {
		return nil, err
	}
	if err := w.look(ctx); err != nil {
		return nil, err
	}
	var upserts, deletes []int
	for i := range w.lines {
		switch {
		case !w.open(i):
		case w.lines[i].deleted:
			deletes = append(deletes, i)
		default:
			upserts = append(upserts, i)
		}
	}
	if err := w.send(ctx, "upsert", w.header, upserts); err != nil {
		return nil, err
	}
	if err := w.send(ctx, "delete", "Id\n", deletes); err != nil {
		return nil, err
	}
	return w.results, nil
}

// send brings lines into the org, in as many jobs as their bytes need.
func (w *write) send(ctx context.Context, operation, header string, places []int) error {
	for len(places) > 0 {
		body := []byte(header)
		n := 0
		for _, i := range places {
			text := w.lines[i].text
			if operation == "delete" {
				text = w.lines[i].record + "\n"
			}
			if n > 0 && len(body)+len(text) > w.o.MaxJobBytes {
				break
			}
			body = append(body, text...)
			n++
		}
		if err := w.do(ctx, operation, body, places[:n]); err != nil {
			return err
		}
		places = places[n:]
	}
	return nil
}

// adopt takes the results of the token's jobs for rows that one of them brought
// as they are now. The newest job in which a row appears has the last word: an
// older one may have been overwritten by it, and so has one that deleted the
// record.
func (w *write) adopt(ctx context.Context) error {
	if len(w.jobs) == 0 {
		return nil
	}
	w.adopting = true
	defer func() { w.adopting = false }()
	seen := map[int]bool{}
	gone := map[string]bool{} // records that a newer job was to delete
	for _, id := range slices.Backward(w.jobs) {
		info, ok := w.older[id]
		if !ok {
			return nil
		}
		if info.aborted() && info.Processed == 0 {
			continue
		}
		columns, find := w.columns, w.byKey
		if info.Operation != "upsert" {
			columns, find = []string{"Id"}, func(cells []string) int {
				gone[shortID(cells[0])] = true
				return -1
			}
		}
		rows, err := w.outcomes(ctx, info, -1, columns, find)
		if errors.Is(err, salesforce.ErrNotFound) || errors.Is(err, errList) {
			return nil // nobody knows any more, or it brought other columns than we do
		}
		if err != nil {
			return err
		}
		for _, r := range rows {
			done := (r.res.Verdict == batchsync.Inserted || r.res.Verdict == batchsync.Updated) && !gone[shortID(r.id)]
			if !seen[r.at] && done && w.open(r.at) && r.row == w.lines[r.at].canon() {
				w.results[r.at] = r.res
			}
		}
		for _, r := range rows {
			seen[r.at] = true
		}
	}
	return nil
}

// shortID is the part of a record's id that names it; the rest is a checksum,
// which not every list has.
func shortID(id string) string { return id[:min(len(id), 15)] }

// do makes one job of body and files the results of its lines.
func (w *write) do(ctx context.Context, operation string, body []byte, places []int) error {
	info, err := w.submit(ctx, operation, body)
	if err != nil {
		return err
	}
	if info, err = w.wait(ctx, info.ID); err != nil {
		return err
	}
	columns, find := w.columns, w.byKey
	if operation == "delete" {
		byRecord := map[string]int{}
		for _, i := range places {
			byRecord[w.lines[i].record] = i
		}
		columns, find = []string{"Id"}, func(cells []string) int {
			if at, ok := byRecord[cells[0]]; ok {
				return at
			}
			return -1
		}
	}
	rows, err := w.outcomes(ctx, info, int64(len(places)), columns, find)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if operation == "delete" {
			r.res = deleted(r.res)
		}
		w.results[r.at] = r.res
	}
	return w.judge(info)
}

// deleted is the result of a delete job's row.
func deleted(r batchsync.Result) batchsync.Result {
	if e, ok := errors.AsType[*RowError](r.Err); ok && e.Code == "ENTITY_IS_DELETED" {
		return batchsync.Result{Verdict: batchsync.Unchanged}
	}
	if r.Verdict == batchsync.Updated || r.Verdict == batchsync.Inserted {
		r.Verdict = batchsync.Deleted
	}
	return r
}

// judge says what the end of a job means for the write. Rows without a result
// stay Unprocessed, and are sent again by the sync.
func (w *write) judge(info info) error {
	switch {
	case info.State == jobAborted:
		return &Error{Op: "poll", Job: info.ID, Known: outcome.Unknown, Err: retry.Permanent(ErrAborted)}
	case info.State == jobFailed && info.hopeless():
		known := outcome.Unknown
		if info.Processed == 0 {
			known = outcome.Refused
		}
		return &Error{Op: "poll", Job: info.ID, Known: known, Err: info.failure(), lasts: true}
	}
	var why error
	if info.State == jobFailed {
		why = info.failure()
	}
	for i := range w.results {
		if w.open(i) && w.results[i].Err == nil {
			w.results[i].Err = why
		}
	}
	return nil
}

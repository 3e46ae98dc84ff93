package sftest

import (
	"slices"
	"strings"
	"time"
)

// A Call is one HTTP request that reached the org, as the journal keeps it.
// It holds no header and no body, so no token and no secret.
type Call struct {
	// Seq counts from 1. When the first call kept has another number, older
	// ones were forgotten.
	Seq int `json:"seq"`
	// Time is when it came.
	Time time.Time `json:"time"`
	// Op says what it asked for; empty for what the org does not know.
	Op Op `json:"op"`
	// Method, Path and Query are those of the request.
	Method string `json:"method"`
	Path   string `json:"path"`
	Query  string `json:"query,omitempty"`
	// Status is what was answered, or would have been: see Fault. 0 when the
	// call was dropped before it had an effect.
	Status int `json:"status"`
	// Applied says that the call changed something: a row, an event, a job.
	Applied bool `json:"applied"`
	// Fault is the kind of the fault that hit the call, if one did.
	Fault FaultKind `json:"fault,omitempty"`
}

// A Change is one write of one row.
type Change struct {
	// Seq counts from 1 over all objects, in the order of the commits.
	Seq int `json:"seq"`
	// Time is when it was written.
	Time time.Time `json:"time"`
	// Call is the Seq of the call that wrote it; 0 for a bulk job, see Job.
	Call int `json:"call,omitempty"`
	// Job is the id of the bulk job that wrote it, if one did.
	Job string `json:"job,omitempty"`
	// Object and ID say which row.
	Object string `json:"object"`
	ID     string `json:"id"`
	// Op is create, update or delete.
	Op string `json:"op"`
	// Row is the row as it was after it.
	Row Row `json:"row"`
}

// change is a Change whose row is not spelled out yet: most are never read.
type change struct {
	Change
	object *object
	values []any
}

// A Row is a record by field name. Values are string, float64, bool and
// time.Time; dates and ids are strings; a field that is null is absent.
type Row map[string]any

// A Job is a bulk job as the org sees it, whatever its clients were told.
type Job struct {
	ID        string    `json:"id"`
	Object    string    `json:"object"`
	Operation string    `json:"operation"`
	Created   time.Time `json:"created"`
	// State is that of the platform: Open, UploadComplete, InProgress,
	// JobComplete, Failed or Aborted.
	State string `json:"state"`
	// Message says why a job failed.
	Message string `json:"message,omitempty"`
	// Rows is how many its data has, once it began; Processed of them were
	// tried, and Failed of those failed.
	Rows      int `json:"rows"`
	Processed int `json:"processed"`
	Failed    int `json:"failed"`
}

// Jobs lists the bulk jobs that are not deleted, in the order of their creation.
func (o *Org) Jobs() []Job {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.forgetJobs()
	var list []Job
	for _, j := range o.jobOrder {
		v := Job{ID: j.id, Object: j.object.Name, Operation: j.operation, Created: j.created, State: j.state, Message: j.message}
		if j.batch != nil {
			v.Rows = len(j.batch.rows)
			v.Processed, v.Failed = j.batch.counts()
		}
		list = append(list, v)
	}
	return list
}

// bounded keeps the newest entries of a journal.
type bounded[T any] struct {
	most    int
	count   int // ever added
	entries []T // an eighth more than most at most, so that forgetting is cheap
}

func (b *bounded[T]) add(e T) {
	b.count++
	b.entries = append(b.entries, e)
	if len(b.entries) >= b.most+b.most/8+1 {
		b.entries = slices.Clone(b.entries[len(b.entries)-b.most:])
	}
}

func (b *bounded[T]) list() []T {
	return slices.Clone(b.entries[max(0, len(b.entries)-b.most):])
}

// Calls lists the calls that reached the org, in the order they came.
func (o *Org) Calls() []Call {
	o.mu.Lock()
	defer o.mu.Unlock()
	calls := o.calls.list()
	// They are noted when they are answered.
	slices.SortFunc(calls, func(a, b Call) int { return a.Seq - b.Seq })
	return calls
}

// Changes lists the writes of an object's rows, in the order of their commits;
// of all objects for "".
func (o *Org) Changes(object string) []Change {
	o.mu.Lock()
	defer o.mu.Unlock()
	var list []Change
	for _, c := range o.changes.list() {
		if object == "" || strings.EqualFold(c.Object, object) {
			c.Row = c.object.plain(c.values)
			list = append(list, c.Change)
		}
	}
	return list
}

// Rows lists the rows of an object that are not deleted, in the order of their
// creation. It is nil for an object that the org does not have.
func (o *Org) Rows(object string) []Row {
	o.mu.Lock()
	defer o.mu.Unlock()
	obj := o.schema.object(object)
	if obj == nil {
		return nil
	}
	var rows []Row
	for _, r := range o.data.tables[obj].order {
		if !r.deleted() {
			rows = append(rows, obj.plain(r.values))
		}
	}
	return rows
}

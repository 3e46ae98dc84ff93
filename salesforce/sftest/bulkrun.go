package sftest

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// chunk is how many rows of a job are written in one transaction, in which no
// record may be met twice.
const chunk = 200

// A batch is the data of a job, and what became of it.
type batch struct {
	header    []string
	columns   []*bulkColumn // what each is; nil when the header makes no sense
	rows      []csvRow
	next      int // the first that is not processed
	succeeded []verdict
	failed    []verdict
}

// A verdict is what became of a row.
type verdict struct {
	row     int // its place
	edit    edit
	id      string
	created bool
	event   *Event // of a publication
	problem *problem
}

// A bulkColumn is a field that a column is for: one of the object, or through a
// reference one that finds the row to refer to.
type bulkColumn struct {
	field   *field
	foreign *field // of the object that field refers to, or nil
}

func (b *batch) counts() (processed, failed int) {
	if b == nil {
		return 0, 0
	}
	return len(b.succeeded) + len(b.failed), len(b.failed)
}

// finishUpload hands a job over to be run; the lock is held.
func (o *Org) finishUpload(j *job) {
	j.state, j.stamp = jobUploaded, now()
	if o.opts.BulkHold || o.closed() {
		return
	}
	o.queue = append(o.queue, j)
	if len(o.queue) == 1 {
		o.workers.Go(o.work)
	}
}

// work runs the jobs of the queue, one after another, until it is empty.
func (o *Org) work() {
	for {
		o.mu.Lock()
		if len(o.queue) == 0 {
			o.mu.Unlock()
			return
		}
		j := o.queue[0]
		o.mu.Unlock()
		o.pause(o.opts.BulkDelay)
		for more := true; more; { // the lock is free between the chunks
			o.mu.Lock()
			more = o.step(j)
			o.mu.Unlock()
		}
		o.mu.Lock()
		o.queue = o.queue[1:]
		if len(o.queue) == 0 {
			o.mu.Unlock()
			return // under the lock, so that who appends next starts another
		}
		o.mu.Unlock()
	}
}

// StepBulk moves the oldest job that can move by one step, and says whether
// there was one: an uploaded job begins, one that runs writes its next 200
// rows, and ends after the last. It is for [Options.BulkHold]; without it jobs
// move by themselves.
func (o *Org) StepBulk() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, j := range o.jobOrder {
		if j.state == jobUploaded || j.state == jobRunning {
			o.step(j)
			return true
		}
	}
	return false
}

// RunBulk moves jobs until none can move.
func (o *Org) RunBulk() {
	for o.StepBulk() {
	}
}

// step moves a job, and says whether it can move further; the lock is held.
func (o *Org) step(j *job) bool {
	switch j.state {
	case jobUploaded:
		j.state, j.stamp = jobRunning, now()
		if p := o.data.begin(j); p != nil {
			j.end(jobFailed, p.code+" : "+p.text)
		}
	case jobRunning:
		if _, f := o.hitLocked(OpBulkRun, j.object.Name); f != nil {
			j.end(jobFailed, f.Code+" : "+f.Message)
			break
		}
		o.writer = writer{job: j.id}
		o.chunk(j)
		if b := j.batch; b.next == len(b.rows) {
			// The platform promises no order of its results, so nobody may
			// find out here that it is that of the rows.
			rand.New(rand.NewPCG(o.opts.Seed, uint64(len(b.rows)))).Shuffle(len(b.succeeded), func(i, k int) {
				b.succeeded[i], b.succeeded[k] = b.succeeded[k], b.succeeded[i]
			})
			j.end(jobComplete, "")
		}
	}
	return !over(j.state)
}

// end settles a job's last state.
func (j *job) end(state, message string) {
	j.state, j.message, j.stamp, j.data = state, message, now(), nil
}

// begin reads a job's data.
func (d *data) begin(j *job) *problem {
	b := &batch{}
	j.batch = b
	if !j.uploaded {
		return wrong("ClientInputError", "No data was uploaded")
	}
	header, rows, p := j.table.read(j.data)
	j.data = nil
	if p != nil {
		return p
	}
	b.header, b.rows = header, rows
	columns, p := d.columns(j, header)
	b.columns = columns
	return p
}

// columns finds the fields of a header.
func (d *data) columns(j *job, header []string) ([]*bulkColumn, *problem) {
	unknown := func(name string) *problem { return wrong("InvalidBatch", "Field name not found : %s", name) }
	need := map[string]*field{"update": j.object.fields[atID], "delete": j.object.fields[atID], "upsert": j.key}[j.operation]
	if j.operation == "delete" && len(header) > 1 {
		return nil, wrong("InvalidBatch", "The 'delete' batch must contain only ids")
	}
	var columns []*bulkColumn
	seen := map[*field]bool{}
	for _, name := range header {
		c := &bulkColumn{}
		if relation, foreign, dotted := strings.Cut(name, "."); dotted {
			if c.field = j.object.reference(relation); c.field != nil {
				c.foreign = d.schema.object(c.field.ReferenceTo).field(foreign)
			}
			if c.foreign == nil || !c.foreign.ExternalID {
				return nil, unknown(name)
			}
		} else if c.field = j.object.field(name); c.field == nil {
			return nil, unknown(name)
		}
		if seen[c.field] {
			return nil, wrong("InvalidBatch", "Duplicate field name : %s", name)
		}
		seen[c.field] = true
		columns = append(columns, c)
	}
	if need != nil && !seen[need] {
		return nil, unknown(need.Name)
	}
	return columns, nil
}

// reference finds the field that a relation goes through.
func (o *object) reference(relation string) *field {
	for _, f := range o.fields {
		if f.Type == Reference && strings.EqualFold(f.relation(), relation) {
			return f
		}
	}
	return nil
}

// chunk writes the next rows of a job.
func (o *Org) chunk(j *job) {
	b := j.batch
	to := min(b.next+chunk, len(b.rows))
	verdicts := make([]verdict, to-b.next)
	for i, row := range b.rows[b.next:to] {
		verdicts[i].row = b.next + i
		verdicts[i].edit, verdicts[i].problem = o.data.bulkEdit(j, row)
	}
	o.writeAll(j.task, verdicts)
	for _, v := range verdicts {
		v.edit = nil
		if v.problem == nil {
			b.succeeded = append(b.succeeded, v)
		} else {
			b.failed = append(b.failed, v)
		}
	}
	b.next = to
}

// bulkEdit reads a row of a job.
func (d *data) bulkEdit(j *job, row csvRow) (edit, *problem) {
	if row.bad != "" {
		return nil, wrong("InvalidBatch", "%s", row.bad)
	}
	e := edit{}
	for i, c := range j.batch.columns {
		text := row.cells[i]
		switch {
		case text == "" && c.field != j.key && c.field.at != atID:
			continue // says nothing of the field
		case text == "#N/A":
			e[c.field] = nil
			continue
		case c.field.at == atID:
			e[c.field] = text // read when the row is looked for
			continue
		}
		v, p := d.bulkValue(j.object, c, text)
		if p != nil {
			return nil, p
		}
		e[c.field] = v
	}
	return e, nil
}

func (d *data) bulkValue(o *object, c *bulkColumn, text string) (any, *problem) {
	if c.foreign == nil {
		return c.field.fromText(o.Name, text)
	}
	v, p := c.foreign.fromText(c.field.ReferenceTo, text)
	if p != nil {
		return nil, p
	}
	return d.foreign(c.field, c.foreign, v)
}

// foreign finds the row that a reference is to, by an external id of its.
func (d *data) foreign(ref, key *field, v any) (any, *problem) {
	up := d.schema.object(ref.ReferenceTo)
	switch found := d.match(up, key, v); len(found) {
	case 0:
		return nil, wrong("INVALID_FIELD", "Foreign key external ID: %v not found for field %s in entity %s", v, key.Name, up.Name)
	case 1:
		return found[0].id(), nil
	}
	return nil, wrong("INVALID_FIELD", "More than one record found for external id field %s in entity %s", key.Name, up.Name)
}

// sfError spells a problem as sf__Error does.
func sfError(p *problem) string {
	fields := ""
	if len(p.fields) > 0 {
		fields = strings.Join(p.fields, " ") + " "
	}
	return fmt.Sprintf("%s:%s:%s--", p.code, p.text, fields)
}

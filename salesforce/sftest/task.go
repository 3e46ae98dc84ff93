package sftest

import "strings"

// A task is what a bulk job, or a call with many records, does to each of them.
type task struct {
	object    *object
	operation string // insert, update, upsert or delete
	key       *field // of an upsert
}

// writeAll does a task to the records of one transaction, in which no record
// may be met twice; the lock is held. What has a problem already is left out.
func (o *Org) writeAll(t task, verdicts []verdict) {
	keys := make([]string, len(verdicts))
	times := map[string]int{}
	for i, v := range verdicts {
		if v.problem == nil {
			keys[i] = t.keyOf(v.edit)
			times[keys[i]]++
		}
	}
	for i := range verdicts {
		v := &verdicts[i]
		if v.problem != nil {
			continue
		}
		if keys[i] != "" && times[keys[i]] > 1 {
			v.problem = t.twice(v.edit)
			continue
		}
		if _, f := o.hitLocked(OpBulkRow, t.object.Name); f != nil {
			v.problem = f.problem()
			continue
		}
		if t.object.event {
			v.created = true
			v.event, v.id, v.problem = o.accept(t.object, v.edit)
			continue
		}
		v.id, v.created, v.problem = o.write(t, v.edit)
	}
}

// keyOf is what a row may share with no other row of its chunk.
func (t task) keyOf(e edit) string {
	f := t.key
	if f == nil {
		f = t.object.fields[atID]
	}
	v, ok := e[f].(string)
	if !ok {
		return f.key(e[f])
	}
	if f.at == atID {
		short, _ := shortID(v)
		return short
	}
	return f.key(v)
}

// twice is the error of each row that shares its key with another of its chunk.
func (t task) twice(e edit) *problem {
	if t.key == nil || t.key.at == atID {
		return wrong("DUPLICATE_VALUE", "Duplicate id specified: %v", e[t.object.fields[atID]])
	}
	v := e[t.key]
	if n, ok := v.(float64); ok {
		v = number(n)
	}
	return wrong("DUPLICATE_VALUE", "Duplicate external id specified: %v", v).of(t.key.Name)
}

// write does to the rows of the org what a row of a job says.
func (o *Org) write(t task, e edit) (id string, created bool, p *problem) {
	idField := t.object.fields[atID]
	given := e[idField]
	delete(e, idField)
	var r *row
	switch {
	case t.operation == "insert" && given != nil && given != "":
		return "", false, wrong("INVALID_FIELD_FOR_INSERT_UPDATE", "cannot specify Id in an insert call").of("Id")
	case t.operation == "insert", t.key == idField && (given == nil || given == ""):
		r, p = o.data.insert(t.object, e)
		if p != nil {
			return "", false, p
		}
		return r.id(), true, nil
	case t.operation == "upsert" && t.key != idField:
		return o.bulkUpsert(t, e)
	case given == nil || given == "":
		return "", false, wrong("MISSING_ARGUMENT", "Id not specified in %s call", map[string]string{"update": "an update", "delete": "a delete"}[t.operation])
	}
	r, p = o.data.find(t.object, given.(string))
	if r != nil {
		id = r.id()
	}
	if p != nil {
		return id, false, p
	}
	if t.operation == "delete" {
		o.data.remove(t.object, r)
		return id, false, nil
	}
	return id, false, o.data.update(t.object, r, e)
}

func (o *Org) bulkUpsert(t task, e edit) (id string, created bool, p *problem) {
	v := e[t.key]
	if v == nil {
		return "", false, wrong("MISSING_ARGUMENT", "%s not specified", t.key.Name).of(t.key.Name)
	}
	found := o.data.match(t.object, t.key, v)
	switch len(found) {
	case 0:
		r, p := o.data.insert(t.object, e)
		if p != nil {
			return "", false, p
		}
		return r.id(), true, nil
	case 1:
		delete(e, t.key) // the record keeps its own spelling
		return found[0].id(), false, o.data.update(t.object, found[0], e)
	}
	var ids []string
	for _, r := range found {
		ids = append(ids, r.id())
	}
	return "", false, wrong("DUPLICATE_EXTERNAL_ID", "%s: more than one record found for external id field: [%s]", t.key.Name, strings.Join(ids, ", ")).of()
}

package sftest

import (
	"slices"
	"strings"
	"time"
)

// A row is one record. Its values stand in the order of its object's fields;
// they are replaced as a whole and never changed, so that a reader may keep
// them.
type row struct {
	values []any
}

func (r *row) id() string    { return r.values[atID].(string) }
func (r *row) deleted() bool { return r.values[atDeleted].(bool) }

// A table holds the rows of one object.
type table struct {
	object *object
	rows   map[string]*row // by id of 15 characters
	order  []*row          // as created
	lookup map[int]map[string][]*row
}

// data is everything an org keeps of its rows. Its methods are called under the
// lock of the org: one write after another, each seen whole or not at all.
type data struct {
	schema *schema
	tables map[*object]*table
	ids    *ids
	log    func(op string, o *object, values []any)
	open   bool     // a transaction that may be rolled back
	undo   []func() // what its writes need for that, in their order
	held   []func() // what it logs at its end
}

func newData(s *schema, ids *ids, log func(string, *object, []any)) *data {
	d := &data{schema: s, tables: map[*object]*table{}, ids: ids, log: log}
	for _, o := range s.objects {
		t := &table{object: o, rows: map[string]*row{}, lookup: map[int]map[string][]*row{}}
		for _, f := range o.fields {
			if f.lookup() {
				t.lookup[f.at] = map[string][]*row{}
			}
		}
		d.tables[o] = t
	}
	return d
}

// atomically does what do writes, or nothing of it when do says so.
func (d *data) atomically(do func() (keep bool)) {
	d.open = true
	keep := do()
	undo, held := d.undo, d.held
	d.open, d.undo, d.held = false, nil, nil
	if keep {
		for _, log := range held {
			log()
		}
		return
	}
	for _, u := range slices.Backward(undo) {
		u()
	}
}

// wrote notes a write, and how it is undone.
func (d *data) wrote(op string, o *object, values []any, undo func()) {
	if !d.open {
		d.log(op, o, values)
		return
	}
	d.undo = append(d.undo, undo)
	d.held = append(d.held, func() { d.log(op, o, values) })
}

// now is the time that rows are stamped with, in whole seconds.
func now() time.Time { return time.Now().UTC().Truncate(time.Second) }

// find gives the row of an id, deleted or not.
func (d *data) find(o *object, id string) (*row, *problem) {
	short, ok := shortID(id)
	if !ok || d.schema.prefix[short[:3]] != o {
		return nil, wrong("MALFORMED_ID", "%s ID: id value of incorrect type: %s", o.Label, id).of("Id")
	}
	r := d.tables[o].rows[short]
	switch {
	case r == nil:
		return nil, wrong("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id").of().with(404)
	case r.deleted():
		return r, wrong("ENTITY_IS_DELETED", "entity is deleted").of().with(404)
	}
	return r, nil
}

// match lists the rows whose field has a value.
func (d *data) match(o *object, f *field, v any) []*row {
	if v == nil {
		return nil
	}
	return d.tables[o].lookup[f.at][f.key(v)]
}

// A change of a row, on its way in: the values of the fields that the client
// names.
type edit map[*field]any

// insert creates a row.
func (d *data) insert(o *object, e edit) (*row, *problem) {
	values := make([]any, len(o.fields))
	for _, f := range o.fields {
		if f.Type == Boolean {
			values[f.at] = false
		}
	}
	if p := d.apply(o, nil, values, e); p != nil {
		return nil, p
	}
	id := d.ids.make(o.Prefix)
	at := now()
	values[atID], values[atDeleted] = id, false
	values[atCreated], values[atModified], values[atStamp] = at, at, at
	if f := o.field("Name"); f != nil && o.custom && values[f.at] == nil {
		values[f.at] = id // what the platform names a record that has no name
	}
	r := &row{values: values}
	t := d.tables[o]
	t.rows[id[:15]] = r
	t.order = append(t.order, r)
	t.index(r)
	d.wrote("create", o, values, func() {
		t.unindex(r)
		delete(t.rows, id[:15])
		t.order = t.order[:len(t.order)-1] // the last, as all after it are undone
	})
	return r, nil
}

// update changes a row.
func (d *data) update(o *object, r *row, e edit) *problem {
	values := slices.Clone(r.values)
	if p := d.apply(o, r, values, e); p != nil {
		return p
	}
	at := now()
	values[atModified], values[atStamp] = at, at
	t, old := d.tables[o], r.values
	t.unindex(r)
	r.values = values
	t.index(r)
	d.wrote("update", o, values, func() {
		t.unindex(r)
		r.values = old
		t.index(r)
	})
	return nil
}

// remove puts a row into the recycle bin.
func (d *data) remove(o *object, r *row) {
	t, old := d.tables[o], r.values
	t.unindex(r)
	values := slices.Clone(r.values)
	values[atDeleted], values[atStamp] = true, now()
	values[atModified] = values[atStamp]
	r.values = values
	d.wrote("delete", o, values, func() {
		r.values = old
		t.index(r)
	})
}

// apply writes an edit into values, checked; r is the row they are of, nil for
// a new one.
func (d *data) apply(o *object, r *row, values []any, e edit) *problem {
	for _, f := range o.fields {
		v, ok := e[f]
		if !ok {
			continue
		}
		if f.system {
			return wrong("INVALID_FIELD_FOR_INSERT_UPDATE", "Unable to create/update fields: %s. Please check the security settings of this field and verify that it is read/write for your profile or permission set.", f.Name).of(f.Name)
		}
		v = f.round(v)
		if p := f.check(v); p != nil {
			return p
		}
		if v == nil && f.Type == Boolean {
			v = false
		}
		if f.Type == Reference && v != nil {
			if _, p := d.find(d.schema.object(f.ReferenceTo), v.(string)); p != nil {
				return &problem{status: 400, code: p.code, text: p.text, fields: []string{f.Name}}
			}
		}
		values[f.at] = v
	}
	if p := missing(o, values); p != nil {
		return p
	}
	for _, f := range o.fields {
		if !f.Unique || values[f.at] == nil {
			continue
		}
		for _, other := range d.match(o, f, values[f.at]) {
			if other != r {
				return wrong("DUPLICATE_VALUE", "duplicate value found: %s duplicates value on record with id: %s", f.Name, other.id()).of()
			}
		}
	}
	return nil
}

// missing names the required fields that have no value.
func missing(o *object, values []any) *problem {
	var names []string
	for _, f := range o.fields {
		if f.Required && values[f.at] == nil {
			names = append(names, f.Name)
		}
	}
	if names == nil {
		return nil
	}
	return wrong("REQUIRED_FIELD_MISSING", "Required fields are missing: [%s]", strings.Join(names, ", ")).of(names...)
}

func (t *table) index(r *row) {
	for at, keys := range t.lookup {
		if v := r.values[at]; v != nil {
			k := t.object.fields[at].key(v)
			keys[k] = append(keys[k], r)
		}
	}
}

func (t *table) unindex(r *row) {
	for at, keys := range t.lookup {
		v := r.values[at]
		if v == nil {
			continue
		}
		k := t.object.fields[at].key(v)
		rest := slices.DeleteFunc(slices.Clone(keys[k]), func(other *row) bool { return other == r })
		if len(rest) == 0 {
			delete(keys, k)
		} else {
			keys[k] = rest
		}
	}
}

// plain is a row as tests read it: the fields that have a value, as Go values.
func (o *object) plain(values []any) Row {
	m := make(Row, len(values))
	for _, f := range o.fields {
		if v := values[f.at]; v != nil {
			m[f.Name] = v
		}
	}
	return m
}

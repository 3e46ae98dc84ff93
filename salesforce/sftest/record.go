package sftest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// routeObjects finds the resource below …/sobjects.
func (o *Org) routeObjects(r *request) *problem {
	path := r.path[1:]
	if len(path) == 0 {
		return r.only(OpDescribeGlobal, http.MethodGet, o.describeGlobal)
	}
	r.object = o.schema.object(path[0])
	switch {
	case r.object == nil:
		return notFound()
	case len(path) == 2 && strings.EqualFold(path[1], "describe"):
		return r.only(OpDescribe, http.MethodGet, o.describe)
	case r.object.event && len(path) == 1:
		return r.among(methods{{http.MethodGet, OpDescribe, o.basic}, {http.MethodPost, OpPublish, o.publish}})
	case r.object.event:
		return notFound()
	case len(path) == 1:
		return r.among(methods{{http.MethodGet, OpDescribe, o.basic}, {http.MethodPost, OpCreate, o.create}})
	case len(path) == 2 && strings.EqualFold(path[1], "Id"):
		return r.only(OpCreate, http.MethodPost, o.create) // an upsert without a key
	case len(path) == 2:
		r.field, r.key = r.object.fields[atID], path[1]
		return r.among(methods{{http.MethodGet, OpRead, o.read}, {http.MethodPatch, OpUpdate, o.update}, {http.MethodDelete, OpDelete, o.remove}})
	case len(path) == 3:
		r.field, r.key = r.object.field(path[1]), path[2]
		if r.field == nil || !r.field.ExternalID && r.field.at != atID {
			return wrong("NOT_FOUND", "Provided external ID field does not exist or is not accessible: %s", path[1]).with(404)
		}
		return r.among(methods{{http.MethodGet, OpRead, o.read}, {http.MethodPatch, OpUpsert, o.upsert}, {http.MethodDelete, OpDelete, o.remove}})
	}
	return notFound()
}

// create answers POST …/sobjects/X.
func (o *Org) create(r *request) answer {
	e, p := o.edit(r, r.object)
	if p != nil {
		return refuse(p)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.writer = writer{call: r.seq}
	row, p := o.data.insert(r.object, e)
	if p != nil {
		return refuse(p)
	}
	return o.saved(r, http.StatusCreated, row, nil)
}

// saved answers a write that gave a row its id.
func (o *Org) saved(r *request, status int, row *row, created *bool) answer {
	m := members{{"id", row.id()}, {"success", true}, {"errors", []any{}}}
	if created != nil {
		m = append(m, member{"created", *created})
	}
	a := jsonAnswer(status, m)
	a.applied = true
	if status == http.StatusCreated {
		a.header = map[string]string{"Location": r.base() + "/sobjects/" + r.object.Name + "/" + row.id()}
	}
	return a
}

// one finds the row that a path names, or answers why there is none; the lock
// is held.
func (o *Org) one(r *request) (*row, *answer) {
	refused := func(p *problem) (*row, *answer) {
		a := refuse(p)
		return nil, &a
	}
	if r.field.at == atID {
		row, p := o.data.find(r.object, r.key)
		if p == nil {
			return row, nil
		}
		if r.verb() == http.MethodGet || r.verb() == http.MethodHead {
			switch p.code { // a read knows no ids that are wrong, but fields that are not there
			case "MALFORMED_ID":
				p = wrong("NOT_FOUND", "Provided external ID field does not exist or is not accessible: %s", r.key).with(404)
			case "INVALID_CROSS_REFERENCE_KEY":
				p = notFound()
			}
		}
		return refused(p)
	}
	v, p := r.field.fromText(r.object.Name, r.key)
	if p == nil {
		p = r.field.check(v)
	}
	if p != nil {
		return refused(p)
	}
	found := o.data.match(r.object, r.field, v)
	switch len(found) {
	case 0:
		return refused(notFound())
	case 1:
		return found[0], nil
	}
	urls := make([]string, len(found))
	for i, f := range found {
		urls[i] = r.base() + "/sobjects/" + r.object.Name + "/" + f.id()
	}
	a := jsonAnswer(http.StatusMultipleChoices, urls)
	return nil, &a
}

// read answers GET of one record, by its id or by an external id.
func (o *Org) read(r *request) answer {
	o.mu.Lock()
	defer o.mu.Unlock()
	row, no := o.one(r)
	if no != nil {
		return *no
	}
	return o.show(r, row)
}

// update answers PATCH …/sobjects/X/<id>.
func (o *Org) update(r *request) answer {
	e, p := o.edit(r, r.object)
	if p != nil {
		return refuse(p)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.writer = writer{call: r.seq}
	row, no := o.one(r)
	if no != nil {
		return *no
	}
	if p := o.data.update(r.object, row, e); p != nil {
		return refuse(p)
	}
	return answer{status: http.StatusNoContent, applied: true}
}

// remove answers DELETE of one record, by its id or by an external id.
func (o *Org) remove(r *request) answer {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.writer = writer{call: r.seq}
	row, no := o.one(r)
	if no != nil {
		return *no
	}
	o.data.remove(r.object, row)
	return answer{status: http.StatusNoContent, applied: true}
}

// upsert answers PATCH …/sobjects/X/<field>/<value>: it creates the record, or
// updates the one that has the value. Since v46.0 an update says so in a body.
func (o *Org) upsert(r *request) answer {
	if r.field.at == atID {
		return o.update(r)
	}
	e, p := o.edit(r, r.object)
	if p != nil {
		return refuse(p)
	}
	if _, there := e[r.field]; there {
		return refuse(wrong("INVALID_FIELD", "The %s field should not be specified in the sobject data.", r.field.Name).of(r.field.Name))
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.writer = writer{call: r.seq}
	row, no := o.one(r)
	created := no != nil && no.status == http.StatusNotFound
	switch {
	case created && !strings.EqualFold(r.URL.Query().Get("updateOnly"), "true"):
		if e[r.field], p = r.field.fromText(r.object.Name, r.key); p == nil {
			row, p = o.data.insert(r.object, e)
		}
		if p != nil {
			return refuse(p)
		}
		return o.saved(r, http.StatusCreated, row, &created)
	case no != nil:
		return *no
	}
	if p := o.data.update(r.object, row, e); p != nil {
		return refuse(p)
	}
	if r.version < 46 {
		return answer{status: http.StatusNoContent, applied: true}
	}
	return o.saved(r, http.StatusOK, row, &created)
}

// show answers with a record: all of it, or the fields that are asked for.
func (o *Org) show(r *request, row *row) answer {
	fields := r.object.fields
	if ask := r.URL.Query().Get("fields"); ask != "" {
		fields = nil
		for name := range strings.SplitSeq(ask, ",") {
			f := r.object.field(strings.TrimSpace(name))
			if f == nil {
				return refuse(noColumn(r.object.Name, strings.TrimSpace(name)))
			}
			fields = append(fields, f)
		}
	}
	return jsonAnswer(200, r.object.record(r.base(), row.values, fields))
}

// record gives a row the form that REST shows it in.
func (o *object) record(base string, values []any, fields []*field) members {
	id := values[atID].(string)
	m := members{{"attributes", members{{"type", o.Name}, {"url", base + "/sobjects/" + o.Name + "/" + id}}}}
	for _, f := range fields {
		m = append(m, member{f.Name, f.json(values[f.at])})
	}
	return m
}

// edit reads the body of a write: a JSON object whose members are fields.
func (o *Org) edit(r *request, obj *object) (edit, *problem) {
	raw, p := decodeObject(r.body)
	if p != nil {
		return nil, p
	}
	return o.editOf(obj, raw)
}

func (o *Org) editOf(obj *object, raw map[string]any) (edit, *problem) {
	e := edit{}
	for _, name := range slices.Sorted(maps.Keys(raw)) { // one error of several, but always the same
		v := raw[name]
		if strings.EqualFold(name, "attributes") {
			continue // some clients send their records back as they came
		}
		if ref := obj.reference(name); ref != nil && obj.field(name) == nil {
			id, p := o.nested(ref, v)
			if p != nil {
				return nil, p
			}
			e[ref] = id
			continue
		}
		f := obj.field(name)
		switch {
		case f == nil:
			return nil, noColumn(obj.Name, name)
		case f.at == atID:
			return nil, wrong("INVALID_FIELD", "The Id field should not be specified in the sobject data.").of("Id")
		}
		val, p := f.fromJSON(obj.Name, v)
		if p != nil {
			return nil, p
		}
		if _, twice := e[f]; twice {
			return nil, wrong("INVALID_FIELD", "Duplicate field name specified: %s", f.Name).of(f.Name)
		}
		e[f] = val
	}
	return e, nil
}

// nested reads a reference by an external id of what it refers to, as in
// "Maker__r": {"Code__c": "x"}.
func (o *Org) nested(ref *field, v any) (any, *problem) {
	if v == nil {
		return nil, nil
	}
	up := o.schema.object(ref.ReferenceTo)
	by, _ := v.(map[string]any)
	maps.DeleteFunc(by, func(name string, _ any) bool { return strings.EqualFold(name, "attributes") })
	if len(by) != 1 {
		return nil, wrong("INVALID_FIELD", "The relationship of %s needs one external id field of %s", ref.Name, up.Name).of(ref.Name)
	}
	name, value := "", any(nil)
	for name, value = range by {
	}
	key := up.field(name)
	if key == nil || !key.ExternalID {
		return nil, noColumn(up.Name, name)
	}
	wanted, p := key.fromJSON(up.Name, value)
	if p != nil {
		return nil, p
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.data.foreign(ref, key, wanted)
}

// decodeObject reads one JSON object, its numbers as they are written.
func decodeObject(body []byte) (map[string]any, *problem) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	err := d.Decode(&v)
	if err == nil {
		if _, err = d.Token(); errors.Is(err, io.EOF) {
			err = nil
		} else {
			err = errors.New("unexpected text after the value")
		}
	}
	if err != nil {
		at := int(d.InputOffset())
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			at = int(syntax.Offset) - 1
		}
		line, column := place(body, at)
		return nil, wrong("JSON_PARSER_ERROR", "%v at [line:%d, column:%d]", err, line, column)
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, wrong("JSON_PARSER_ERROR", "The HTTP entity body is required, but this request has no entity body.")
	}
	return m, nil
}

// place says where an offset is.
func place(body []byte, at int) (line, column int) {
	before := body[:min(max(at, 0), len(body))]
	return 1 + bytes.Count(before, []byte("\n")), len(before) - bytes.LastIndexByte(before, '\n')
}

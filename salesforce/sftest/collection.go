package sftest

import (
	"net/http"
	"strings"
)

const (
	maxWrites = 200   // records in a call that writes
	maxReads  = 2_000 // ids in a call that reads
	maxChunks = 10    // runs of one object in a call that writes
)

// routeCollections finds the resource below …/composite, of which this org has
// the collections of records.
func (o *Org) routeCollections(r *request) *problem {
	path := r.path[1:]
	if len(path) == 0 || !strings.EqualFold(path[0], "sobjects") || len(path) > 3 {
		return notFound()
	}
	if len(path) == 1 {
		return r.among(methods{
			{http.MethodPost, OpCollection, o.createMany},
			{http.MethodPatch, OpCollection, o.updateMany},
			{http.MethodDelete, OpCollection, o.deleteMany},
		})
	}
	if r.object = o.schema.object(path[1]); r.object == nil || r.object.event {
		return notFound()
	}
	if len(path) == 2 {
		return r.among(methods{{http.MethodGet, OpCollection, o.readMany}, {http.MethodPost, OpCollection, o.readMany}})
	}
	if r.field = r.object.field(path[2]); r.field == nil || !r.field.ExternalID && r.field.at != atID || r.version < 46 {
		return wrong("NOT_FOUND", "Provided external ID field does not exist or is not accessible: %s", path[2]).with(404)
	}
	return r.only(OpCollection, http.MethodPatch, o.upsertMany)
}

// A record of a collection that is to be written.
type piece struct {
	task
	verdict
}

// pieces reads the records of a body; ids says whether they must have one.
func (o *Org) pieces(r *request, operation string, ids bool) (list []piece, whole bool, p *problem) {
	body, p := decodeObject(r.body)
	if p != nil {
		return nil, false, p
	}
	records, ok := body["records"].([]any)
	if !ok {
		return nil, false, wrong("JSON_PARSER_ERROR", "The request has no array of records")
	}
	whole, _ = body["allOrNone"].(bool)
	for _, v := range records {
		raw, ok := v.(map[string]any)
		if !ok {
			return nil, false, wrong("JSON_PARSER_ERROR", "A record is no JSON object")
		}
		attributes, _ := raw["attributes"].(map[string]any)
		name, _ := attributes["type"].(string)
		n := piece{task: task{object: o.schema.object(name), operation: operation, key: r.field}}
		switch {
		case n.object == nil || n.object.event && operation != "insert":
			return nil, false, wrong("INVALID_TYPE", "sObject type '%s' is not supported.", name)
		case r.object != nil && n.object != r.object:
			return nil, false, wrong("INVALID_TYPE", "The records are of %s, not of %s", r.object.Name, n.object.Name)
		}
		id := takeID(raw, ids)
		n.edit, n.problem = o.editOf(n.object, raw)
		if n.problem != nil && unreadable[n.problem.code] {
			return nil, false, n.problem
		}
		if n.problem == nil && id != "" {
			n.edit[n.object.fields[atID]] = id
		}
		list = append(list, n)
	}
	return list, whole, nil
}

// unreadable are the problems of a record that keep the whole request from being
// read.
var unreadable = map[string]bool{"JSON_PARSER_ERROR": true, "INVALID_FIELD": true}

// takeID takes the id out of a record, under any spelling that clients use.
func takeID(raw map[string]any, ids bool) string {
	if !ids {
		return ""
	}
	for name, v := range raw {
		if strings.EqualFold(name, "Id") {
			delete(raw, name)
			id, _ := v.(string)
			return id
		}
	}
	return ""
}

func (o *Org) createMany(r *request) answer { return o.writeMany(r, "insert", false) }
func (o *Org) updateMany(r *request) answer { return o.writeMany(r, "update", true) }

// upsertMany answers PATCH …/composite/sobjects/X/<field>.
func (o *Org) upsertMany(r *request) answer {
	return o.writeMany(r, "upsert", r.field.at == atID)
}

func (o *Org) writeMany(r *request, operation string, ids bool) answer {
	list, whole, p := o.pieces(r, operation, ids)
	if p != nil {
		return refuse(p)
	}
	return o.commit(r, list, whole)
}

// deleteMany answers DELETE …/composite/sobjects?ids=.
func (o *Org) deleteMany(r *request) answer {
	q := r.URL.Query()
	var list []piece
	for id := range strings.SplitSeq(q.Get("ids"), ",") {
		n := piece{task: task{operation: "delete"}}
		id = strings.TrimSpace(id)
		short, ok := shortID(id)
		if ok {
			n.object = o.schema.prefix[short[:3]]
		}
		if n.object == nil || n.object.event {
			n.problem = wrong("MALFORMED_ID", "malformed id %s", id)
		} else {
			n.edit = edit{n.object.fields[atID]: id}
		}
		list = append(list, n)
	}
	return o.commit(r, list, strings.EqualFold(q.Get("allOrNone"), "true"))
}

// commit writes the records of a collection: each by itself, or all or none.
func (o *Org) commit(r *request, list []piece, whole bool) answer {
	if len(list) > maxWrites {
		return refuse(wrong("EXCEEDED_ID_LIMIT", "record limit reached. cannot submit more than %d records into this call", maxWrites))
	}
	runs := chunks(list)
	if len(runs) > maxChunks {
		return refuse(wrong("LIMIT_EXCEEDED", "Cannot have more than %d chunks in a single operation. Please rearrange the data to reduce chunking.", maxChunks))
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.writer = writer{call: r.seq}
	applied := false
	do := func() bool {
		failed := false
		for _, run := range runs {
			verdicts := make([]verdict, len(run))
			for i := range run {
				verdicts[i] = run[i].verdict
			}
			if run[0].object != nil {
				o.writeAll(run[0].task, verdicts)
			}
			for i, v := range verdicts {
				run[i].verdict = v
				failed = failed || v.problem != nil
				applied = applied || v.problem == nil
			}
		}
		return !failed
	}
	if !whole {
		do()
	} else {
		o.data.atomically(func() bool {
			kept := do()
			applied = applied && kept
			return kept
		})
	}
	a := jsonAnswer(http.StatusOK, outcomes(list, whole && !applied))
	a.applied = applied
	return a
}

// chunks are the runs of one object in a list.
func chunks(list []piece) (runs [][]piece) {
	begin := 0
	for i := 1; i <= len(list); i++ {
		if i == len(list) || list[i].object != list[begin].object {
			runs = append(runs, list[begin:i])
			begin = i
		}
	}
	return runs
}

// outcomes is what became of each record, in their order.
func outcomes(list []piece, undone bool) []members {
	out := make([]members, len(list))
	for i, n := range list {
		p := n.problem
		if p == nil && undone {
			p = wrong("ALL_OR_NONE_OPERATION_ROLLED_BACK", "Record rolled back because not all records were valid and the request was using AllOrNone header")
		}
		var m members
		if n.id != "" && (p == nil || !n.created) {
			m = append(m, member{"id", n.id})
		}
		errs := []members{}
		switch {
		case p != nil:
			errs = append(errs, members{{"statusCode", p.code}, {"message", p.text}, {"fields", append([]string{}, p.fields...)}})
		case n.event != nil:
			errs = append(errs, members{{"statusCode", "OPERATION_ENQUEUED"}, {"message", n.event.UUID}, {"fields", []string{}}})
		}
		m = append(m, member{"success", p == nil}, member{"errors", errs})
		if n.operation == "upsert" {
			m = append(m, member{"created", p == nil && n.created})
		}
		out[i] = m
	}
	return out
}

// readMany answers …/composite/sobjects/X, asked by GET or by POST.
func (o *Org) readMany(r *request) answer {
	var ids, names []string
	if r.Method == http.MethodPost {
		body, p := decodeObject(r.body)
		if p != nil {
			return refuse(p)
		}
		ids, names = texts(body["ids"]), texts(body["fields"])
	} else {
		ids, names = strings.Split(r.URL.Query().Get("ids"), ","), strings.Split(r.URL.Query().Get("fields"), ",")
	}
	if len(ids) > maxReads {
		return refuse(wrong("EXCEEDED_ID_LIMIT", "record limit reached. cannot submit more than %d records into this call", maxReads))
	}
	var fields []*field
	for _, name := range names {
		f := r.object.field(strings.TrimSpace(name))
		if f == nil {
			return refuse(noColumn(r.object.Name, strings.TrimSpace(name)))
		}
		fields = append(fields, f)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	list := make([]any, len(ids))
	for i, id := range ids {
		if row, p := o.data.find(r.object, strings.TrimSpace(id)); p == nil {
			list[i] = r.object.record(r.base(), row.values, fields)
		}
	}
	return jsonAnswer(http.StatusOK, list)
}

// texts are the strings of a JSON array.
func texts(v any) []string {
	var list []string
	array, _ := v.([]any)
	for _, e := range array {
		s, _ := e.(string)
		list = append(list, s)
	}
	return list
}

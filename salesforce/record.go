package salesforce

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"reflect"
	"strings"

	"github.com/crosstie/crosstie/outcome"
)

// A saved is the org's answer to a write of one record.
type saved struct {
	ID      string `json:"id"`
	Success bool   `json:"success"`
	Created *bool  `json:"created"`
	Errors  []struct {
		Code    string   `json:"statusCode"`
		Message string   `json:"message"`
		Fields  []string `json:"fields"`
	} `json:"errors"`
}

// err is what a success with success=false means: the org refused it after
// all. Published events carry an errors entry although they succeeded.
func (s saved) err(op string, status int) error {
	if s.Success && s.ID != "" {
		return nil
	}
	e := &Error{Op: op, Status: status, Known: outcome.Unknown, Attempts: 1, Err: errors.New("the org says neither that it worked nor why not")}
	if len(s.Errors) > 0 {
		first := s.Errors[0]
		e.Code, e.Message, e.Err = said(first.Code, 100), said(first.Message, maxMessage), nil
		e.name(first.Fields)
		e.Known, e.transient = Code(e.Code)
	}
	return e
}

// Create makes a new record and returns its id. It is not repeated once it may
// have been sent: when the answer is lost, the error's outcome is Unknown, and
// a repeat may make a second record. Prefer [Org.UpsertBy].
func (o *Org) Create(ctx context.Context, object string, record any) (id string, err error) {
	op := "create " + clip(object, 80)
	path, err := objectPath(op, object)
	if err != nil {
		return "", err
	}
	var s saved
	if err := o.Do(ctx, Call{Op: op, Method: http.MethodPost, Path: path, Body: record}, &s); err != nil {
		return "", err
	}
	return s.ID, s.err(op, http.StatusCreated)
}

// Update changes the fields of record in the record with that id; what record
// does not name stays. It is repeated as Options.Retry allows: setting the same
// values twice is the same, but what the org does on each save (flows, triggers,
// field history) may then happen twice.
func (o *Org) Update(ctx context.Context, object, id string, record any) error {
	op := "update " + clip(object, 80)
	path, err := objectPath(op, object, id)
	if err != nil {
		return err
	}
	return o.Do(ctx, Call{Op: op, Method: http.MethodPatch, Path: path, Body: record, Idempotent: true}, nil)
}

// Delete moves a record into the recycle bin. It is repeated as Options.Retry
// allows; that a repeat finds it deleted is success. A record that was not
// there at the first attempt is ErrNotFound.
func (o *Org) Delete(ctx context.Context, object, id string) error {
	op := "delete " + clip(object, 80)
	path, err := objectPath(op, object, id)
	if err != nil {
		return err
	}
	err = o.Do(ctx, Call{Op: op, Method: http.MethodDelete, Path: path, Idempotent: true}, nil)
	if e, ok := errors.AsType[*Error](err); ok && e.Code == "ENTITY_IS_DELETED" && e.Attempts > 1 {
		return nil
	}
	return err
}

// Upserted is what an upsert did.
type Upserted struct {
	// ID is the record's id, 18 characters.
	ID string
	// Created says that there was no such record before. After a repeat it is
	// what the last attempt saw: false if an attempt whose answer was lost had
	// created it.
	Created bool
}

// UpsertBy creates or updates the one record whose external id field has that
// value. It may be repeated without harm, and is, as Options.Retry allows: this
// is how to write to Salesforce. Id, attributes and the field itself are left
// out of record, since the org refuses them there. Several records with that
// value are ErrAmbiguous, and nothing is written.
func (o *Org) UpsertBy(ctx context.Context, object, field, value string, record any) (Upserted, error) {
	op := "upsert " + clip(object, 80)
	path, err := objectPath(op, object, field, value)
	if err != nil {
		return Upserted{}, err
	}
	body, err := without(op, record, "Id", "attributes", field)
	if err != nil {
		return Upserted{}, err
	}
	var s saved
	if err := o.Do(ctx, Call{Op: op, Method: http.MethodPatch, Path: path, Body: body, Idempotent: true}, &s); err != nil {
		return Upserted{}, err
	}
	return Upserted{s.ID, s.Created != nil && *s.Created}, s.err(op, http.StatusOK)
}

// without is a record as JSON that lacks some fields.
func without(op string, record any, names ...string) (map[string]json.RawMessage, error) {
	b, err := json.Marshal(record)
	var m map[string]json.RawMessage
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	if err != nil || m == nil {
		return nil, input(op, "the record is no JSON object: use a struct or a map")
	}
	for k := range m {
		for _, n := range names {
			if strings.EqualFold(k, n) {
				delete(m, k)
			}
		}
	}
	return m, nil
}

// Read returns the record with that id. fields are the API names to read; none
// means those of T's `json` tags ([Fields]). ErrNotFound says that there is
// none, or that this user may not see it.
func Read[T any](ctx context.Context, o *Org, object, id string, fields ...string) (T, error) {
	return readPath[T](ctx, o, object, []string{object, id}, fields)
}

// ReadBy is [Read] by the value of an external id field. Several records are
// ErrAmbiguous.
func ReadBy[T any](ctx context.Context, o *Org, object, field, value string, fields ...string) (T, error) {
	return readPath[T](ctx, o, object, []string{object, field, value}, fields)
}

func readPath[T any](ctx context.Context, o *Org, object string, parts, fields []string) (T, error) {
	var v T
	op := "read " + clip(object, 80)
	path, err := objectPath(op, parts...)
	if err != nil {
		return v, err
	}
	if len(fields) == 0 {
		fields = Fields[T]()
	}
	if len(fields) > 0 {
		path += "?fields=" + url.QueryEscape(strings.Join(fields, ","))
	}
	err = o.Do(ctx, Call{Op: op, Path: path}, &v)
	return v, err
}

// Fields returns the API names that T's `json` tags name, in order, those of
// embedded structs included: what to SELECT to fill a T. It is empty for what
// is no struct.
func Fields[T any]() []string { return fieldsOf(reflect.TypeFor[T]()) }

// Select returns the beginning of a query that fills a T, "SELECT Id, Name",
// from [Fields].
func Select[T any]() string { return "SELECT " + strings.Join(Fields[T](), ", ") }

func fieldsOf(t reflect.Type) (names []string) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported() && !f.Anonymous:
		case f.Anonymous && name == "":
			names = append(names, fieldsOf(f.Type)...)
		case name == "attributes":
		case name == "":
			names = append(names, f.Name)
		default:
			names = append(names, name)
		}
	}
	return names
}

// Published is a platform event that the org took.
type Published struct {
	// ID is the id of the event record, which cannot be read.
	ID string
	// UUID is what subscribers see as EventUuid; empty if the org gave none.
	UUID string
}

// Publish hands a platform event to the org's event bus. Taken is not yet
// delivered: the org publishes it soon after. It is not repeated once it may
// have been sent: when the answer is lost, the error's outcome is Unknown, and
// a repeat may publish it twice; give the event a field with an id of yours, so
// that subscribers can tell.
func (o *Org) Publish(ctx context.Context, event string, v any) (Published, error) {
	op := "publish " + clip(event, 80)
	if !strings.HasSuffix(event, "__e") {
		return Published{}, input(op, "the name of a platform event ends in __e")
	}
	path, err := objectPath(op, event)
	if err != nil {
		return Published{}, err
	}
	var s saved
	if err := o.Do(ctx, Call{Op: op, Method: http.MethodPost, Path: path, Body: v}, &s); err != nil {
		return Published{}, err
	}
	p := Published{ID: s.ID}
	for _, e := range s.Errors {
		if e.Code == "OPERATION_ENQUEUED" {
			p.UUID = e.Message
		}
	}
	return p, s.err(op, http.StatusCreated)
}

// objectPath is sobjects/ and the parts, each escaped. The first, and the
// second of three, are names.
func objectPath(op string, parts ...string) (string, error) {
	var path strings.Builder
	path.WriteString("sobjects")
	for i, p := range parts {
		named := i == 0 || i == 1 && len(parts) == 3
		switch {
		case named && !apiName(p):
			return "", input(op, "%q is no API name", clip(p, 80))
		case p == "" || p == "." || p == "..":
			return "", input(op, "an id or external id value of %q cannot be in a path", p)
		}
		path.WriteString("/" + url.PathEscape(p))
	}
	return path.String(), nil
}

func apiName(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c != '_' && (c < '0' || c > '9')) {
			return false
		}
	}
	return s != "" && len(s) <= 120
}

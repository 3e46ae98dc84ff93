package openapi

import (
	"context"
	"database/sql"
	"encoding/json"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/crosstie/crosstie/internal/shape"
	"github.com/crosstie/crosstie/requestreply/server"
)

// Register serves fn as [server.Handle] does, and describes it. The pattern is
// one of http.ServeMux with a method, "GET /stock/{sku}", and id the name that
// callers know the operation by, "getStock": an Apex method, a Flow action, a
// function of a generated client.
//
// When the importer would refuse or drop something of it, or when pattern, id
// or types clash with what is registered, nothing is registered and the error
// is an [*Error] with all that was found. Its findings are faults of the
// program: join the errors, and do not serve.
func Register[Req, Resp any](a *API, pattern, id string, fn func(context.Context, Req) (Resp, error), o *Operation) error {
	p := proposal{pattern: pattern, id: id, req: reflect.TypeFor[Req](), resp: reflect.TypeFor[Resp](), missing: fn == nil}
	if o != nil {
		p.Operation = *o
	}
	p.keyed = p.Keys != nil
	return a.register(p, func(so *server.Options) http.Handler {
		h := server.Handle(func(ctx context.Context, req Req) (answer[Resp], error) {
			resp, err := fn(ctx, req)
			return answer[Resp]{resp, a.types}, err
		}, so)
		if p.resp == emptyType { // which server answers 204
			h = server.Handle(func(ctx context.Context, req Req) (struct{}, error) {
				_, err := fn(ctx, req)
				return struct{}{}, err
			}, so)
		}
		if p.keyed {
			return server.Idempotent(p.Keys, so.Scope, so)(h)
		}
		return h
	})
}

// RegisterTx is [Register] for a function with an effect in the database of
// keys, served as [server.HandleTx] does: for each Idempotency-Key, which the
// document asks for, the effect happens once.
func RegisterTx[Req, Resp any](a *API, keys server.TxKeys, pattern, id string, fn func(context.Context, *sql.Tx, Req) (Resp, error), o *Operation) error {
	p := proposal{pattern: pattern, id: id, req: reflect.TypeFor[Req](), resp: reflect.TypeFor[Resp](), missing: fn == nil || keys == nil, keyed: true, tx: true}
	if o != nil {
		p.Operation = *o
	}
	return a.register(p, func(so *server.Options) http.Handler {
		if p.resp == emptyType {
			return server.HandleTx(keys, func(ctx context.Context, tx *sql.Tx, req Req) (struct{}, error) {
				_, err := fn(ctx, tx, req)
				return struct{}{}, err
			}, so)
		}
		return server.HandleTx(keys, func(ctx context.Context, tx *sql.Tx, req Req) (answer[Resp], error) {
			resp, err := fn(ctx, tx, req)
			return answer[Resp]{resp, a.types}, err
		}, so)
	})
}

// A proposal is an operation that is not registered yet.
type proposal struct {
	Operation
	pattern, id string
	req, resp   reflect.Type
	keyed, tx   bool
	missing     bool // a function or keys
}

// options are those the operation is served with.
func (p proposal) options(a *API) *server.Options {
	var so server.Options
	if from := p.Server; from != nil {
		so = *from
	} else if a.o.Server != nil {
		so = *a.o.Server
	}
	so.Complete = true
	so.Status = p.Status
	return &so
}

// A draft is what a proposal would add to an API.
type draft struct {
	a       *API
	profile Profile
	f       findings
	names   map[reflect.Type]string
	taken   map[string]bool
	schemas map[string]*schema
	order   []string // of names
	open    map[reflect.Type]bool
}

func (a *API) register(p proposal, handler func(*server.Options) http.Handler) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	b := &draft{
		a: a, profile: a.o.Profile, f: findings{id: p.id},
		names: map[reflect.Type]string{}, taken: map[string]bool{}, schemas: map[string]*schema{}, open: map[reflect.Type]bool{},
	}
	so := p.options(a)
	r := b.parse(p.pattern)
	b.identify(p.id)
	op := b.describe(p, r, so)
	b.clashes(r)
	size := b.measure(r, op)
	stop, notes := b.f.split()
	if len(stop) == 0 && !serve(a.serving, p.pattern, handler(so)) {
		b.f.add("pattern", Refused, srcServeMux, "a request could match it and %s as well: change one", a.rival(p.pattern))
		stop, _ = b.f.split()
	}
	if len(stop) > 0 {
		return &Error{Operation: p.id, Pattern: p.pattern, Profile: b.profile, Findings: stop}
	}
	b.commit(r, op, p, notes)
	a.size += size
	return nil
}

// commit makes the draft part of the API.
func (b *draft) commit(r route, op *operation, p proposal, notes []Finding) {
	a := b.a
	a.ids.clash(p.id)
	a.shapes[r.shape()] = r.path
	a.patterns = append(a.patterns, p.pattern)
	a.notes = append(a.notes, notes...)
	a.count++
	for t, name := range b.names {
		a.names[t] = name
		a.taken[strings.ToLower(name)] = true
	}
	maps.Copy(a.doc.Components.Schemas, b.schemas)
	if a.doc.Paths[r.path] == nil {
		a.doc.Paths[r.path] = pathItem{}
	}
	a.doc.Paths[r.path][r.method] = op
	a.rendered = nil
}

// serve adds a handler, unless its pattern conflicts with another.
func serve(mux *http.ServeMux, pattern string, h http.Handler) (ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	mux.Handle(pattern, h)
	return true
}

// rival names the pattern that another one conflicts with.
func (a *API) rival(pattern string) string {
	for _, other := range append([]string{"GET " + a.o.Path}, a.patterns...) {
		mux := http.NewServeMux()
		if serve(mux, other, http.NotFoundHandler()) && !serve(mux, pattern, http.NotFoundHandler()) {
			return strconv.Quote(other)
		}
	}
	return "another pattern"
}

// identify checks the id.
func (b *draft) identify(id string) {
	bad := strings.ContainsFunc(id, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("_-.", r)
	})
	if id == "" || bad {
		b.f.add("id", Refused, srcOperation, "callers name their functions by it: use letters, digits, and _ - or . between")
		return
	}
	b.named("id", id)
	other, ok := b.a.ids[strings.ToLower(id)]
	switch {
	case ok && other == id:
		b.f.add("id", Refused, srcOperation, "another operation has it")
	case ok && b.profile == ExternalServices:
		b.f.add("id", Refused, srcNaming, "it differs from %q in case alone, which is one name in Apex: rename one", other)
	}
}

// clashes looks for what the operation takes away from another.
func (b *draft) clashes(r route) {
	if other, ok := b.a.shapes[r.shape()]; ok && other != r.path {
		b.f.add("pattern", Refused, srcPaths, "%s and %s differ in the names of templates alone, and are one path: name them alike", r.path, other)
	}
	if b.profile != ExternalServices {
		return
	}
	if b.a.count+1 > maxOperations {
		b.f.add("document", Refused, srcLimits, "more than %d operations: make a second API", maxOperations)
	}
	if n := len(b.a.doc.Components.Schemas) + len(b.schemas); n > maxSchemas {
		b.f.add("document", Refused, srcLimits, "%d schemas, more than %d: make a second API", n, maxSchemas)
	}
}

// measure returns how long the document gets by the draft, in characters.
func (b *draft) measure(r route, op *operation) int {
	n := chars(r.path, op, "      ")
	for name, s := range b.schemas {
		n += chars(name, s, "      ")
	}
	if total := b.a.size + n; b.profile == ExternalServices && total > maxDocument {
		b.f.add("document", Refused, srcLimits, "%d characters, more than %d: make a second API, or shorten descriptions", total, maxDocument)
	}
	return n
}

// chars counts a member of an object with what is around it, an estimate that
// is never too low.
func chars(name string, v any, indent string) int {
	data, err := json.MarshalIndent(v, indent, "  ")
	if err != nil {
		return 0 // render would say so
	}
	return utf8.RuneCount(data) + utf8.RuneCountInString(name) + 64
}

// describe makes the operation's part of the document.
func (b *draft) describe(p proposal, r route, so *server.Options) *operation {
	op := &operation{Summary: p.Summary, Description: p.Description, OperationID: p.id, Responses: map[string]response{}}
	b.described("description", p.Description)
	b.described("summary", p.Summary)
	parts, err := shape.PartsOf(p.req)
	if err != nil {
		b.f.add("request "+typeName(p.req), Refused, srcServer, "%v", err)
	}
	b.parameters(op, p, parts, r, so)
	b.request(op, p, parts, r)
	b.responses(op, p)
	op.Callbacks = b.callbacks(p.Callbacks, parts, p.req)
	switch {
	case p.missing:
		b.f.add("function", Refused, srcServer, "there is none, or no keys: nothing could be served")
	case p.tx && p.Keys != nil:
		b.f.add("Operation.Keys", Refused, srcServer, "RegisterTx has keys of its own: leave these out")
	case p.keyed && (r.method == "get" || r.method == "head"):
		b.f.add("pattern", Refused, srcIdempotent, "a %s changes nothing and needs no key", strings.ToUpper(r.method))
	case p.keyed && !p.tx && so.Scope == nil:
		b.f.add("Server.Scope", Refused, srcIdempotent, "keys need a scope, which tells one caller's from another's")
	}
	return op
}

func (b *draft) parameters(op *operation, p proposal, parts shape.Parts, r route, so *server.Options) {
	inCase, known := apart{}, []string{}
	add := func(where string, q parameter) {
		if other, ok := inCase.clash(q.Name); ok && (b.profile == ExternalServices || q.In == shape.Header) {
			b.f.add(where, Refused, srcNaming, "the request has a parameter %q already, and case tells no names apart: rename one", other)
		}
		b.named(where, q.Name)
		b.described(where, q.Description)
		op.Parameters = append(op.Parameters, q)
	}
	for _, q := range parts.Params {
		where := at(q)
		if q.In == shape.Path {
			known = append(known, q.Name)
			if !slices.Contains(r.params, q.Name) {
				b.f.add(where, Refused, srcPaths, "the pattern has no {%s}", q.Name)
			}
		}
		if q.In == shape.Header && slices.Contains([]string{"accept", "content-type", "authorization"}, strings.ToLower(q.Name)) {
			b.f.add(where, Dropped, srcParameter, "a parameter for this header is ignored: read it from server.Request")
		}
		add(where, parameter{q.Name, q.In, q.Field.Tag.Get("doc"), !q.Optional, b.parameterOf(q, where)})
	}
	for _, name := range r.params {
		if !slices.Contains(known, name) {
			b.f.add("pattern", Refused, srcPaths, "{%s} needs a field of %s with the tag path:%q", name, typeName(p.req), name)
		}
	}
	if p.keyed {
		add(`header "Idempotency-Key"`, parameter{
			"Idempotency-Key", shape.Header, "A text of your own, 1 to 255 printable ASCII characters, one for each thing that shall happen once: a repeat with the same key is answered as the first was.",
			!so.KeyOptional, &schema{Type: "string"},
		})
	}
}

// request describes the body.
func (b *draft) request(op *operation, p proposal, parts shape.Parts, r route) {
	t, optional := p.req, false
	if !parts.Whole {
		if t = emptyType; parts.Body != nil {
			t, optional = parts.Body.Type, parts.Body.Type.Kind() == reflect.Pointer
		}
	}
	if t == emptyType {
		return
	}
	where := "request " + typeName(t)
	if r.method == "get" || r.method == "head" || r.method == "delete" || r.method == "trace" {
		b.f.add(where, Refused, srcOperation, "a request of %s has no body: tag its fields path, query or header, or use POST", strings.ToUpper(r.method))
		return
	}
	op.RequestBody = &body{Required: !optional, Content: map[string]media{jsonType: {b.of(t, where, capital(p.id)+"Request")}}}
}

// responses describes the answer, and the problem that comes instead.
func (b *draft) responses(op *operation, p proposal) {
	none := p.resp == emptyType
	status := p.Status
	switch {
	case status == 0 && none:
		status = http.StatusNoContent
	case status == 0:
		status = http.StatusOK
	}
	if status < 200 || status > 299 || none != (status == http.StatusNoContent) || status == http.StatusResetContent {
		b.f.add("Operation.Status", Refused, srcServer, "%d: want 200 to 299, 204 for struct{} and for nothing else, and not 205", status)
	}
	answer := response{Description: http.StatusText(status)}
	if answer.Description == "" {
		answer.Description = "Success"
	}
	if !none {
		answer.Content = map[string]media{jsonType: {b.of(p.resp, "answer "+typeName(p.resp), capital(p.id)+"Response")}}
	}
	op.Responses[strconv.Itoa(status)] = answer
	problem := response{Description: "A problem (RFC 9457)", Content: map[string]media{jsonType: {ref("Problem")}}}
	if b.profile == Standard {
		problem.Content[problemType] = media{ref("Problem")}
	}
	op.Responses["default"] = problem
}

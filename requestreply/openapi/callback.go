package openapi

import (
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/crosstie/crosstie/internal/shape"
)

// A Callback describes a call that an operation makes later, to an address
// that its request names. Make one with [NewCallback]. It describes only:
// making the call is up to you, and webhook or remoteinvoke do it well.
//
// External Services hands callbacks to Apex, not to Flow, waits at most 24
// hours, and answers 200, 404, 408 or 500 whatever a document says.
type Callback struct {
	// Name tells the callbacks of an operation apart.
	Name string
	// URL is the runtime expression for the address, in braces:
	// {$request.query.callbackUrl} or {$request.body#/callbackUrl}.
	URL string
	// Method defaults to POST.
	Method string
	// Description says when it comes.
	Description string

	payload reflect.Type
}

// NewCallback returns a callback that carries a T as JSON.
func NewCallback[T any](name, url string) Callback {
	return Callback{Name: name, URL: url, payload: reflect.TypeFor[T]()}
}

// callbacks describes the callbacks of an operation.
func (b *draft) callbacks(all []Callback, parts shape.Parts, req reflect.Type) map[string]callback {
	out := map[string]callback{}
	for _, c := range all {
		where := "callback " + strconv.Quote(c.Name)
		if c.payload == nil {
			b.f.add(where, Refused, srcCallback, "it says nothing of what it carries: make it with NewCallback")
			continue
		}
		if _, ok := out[c.Name]; ok || c.Name == "" {
			b.f.add(where, Refused, srcCallback, "a callback needs a name of its own")
		}
		b.named(where, c.Name)
		method := strings.ToLower(c.Method)
		if method == "" {
			method = "post"
		}
		switch {
		case !slices.Contains(methods, method):
			b.f.add(where, Refused, srcItem, "the method %q has no place in a document", c.Method)
		case b.profile == ExternalServices && method != "post" && method != "put":
			b.f.add(where, Dropped, srcCallbacks, "a callback by %s is ignored: use POST or PUT", c.Method)
		case method == "get" || method == "head" || method == "delete" || method == "trace":
			b.f.add(where, Refused, srcOperation, "a request of %s has no body: use POST or PUT", c.Method)
		}
		b.address(where, c.URL, parts, req)
		b.described(where, c.Description)
		if b.profile == ExternalServices {
			b.f.add(where, Changed, srcCallbacks, "callbacks are for Apex: a flow does not see them")
		}
		out[c.Name] = callback{c.URL: pathItem{method: &operation{
			Description: c.Description,
			RequestBody: &body{Required: true, Content: map[string]media{"application/json": {b.of(c.payload, where, capital(b.f.id)+capital(c.Name))}}},
			Responses:   map[string]response{strconv.Itoa(http.StatusOK): {Description: "taken"}},
		}}}
	}
	return out
}

// address looks whether an expression names a text of the request.
func (b *draft) address(where, url string, parts shape.Parts, req reflect.Type) {
	source := srcCallback
	if b.profile == ExternalServices {
		source = srcCallbacks
	}
	if name, ok := inBraces(url, "{$request.query."); ok {
		for _, q := range parts.Params {
			if q.In == shape.Query && q.Name == name {
				return
			}
		}
		b.f.add(where, Refused, source, "the request has no query parameter %q", name)
		return
	}
	pointer, ok := inBraces(url, "{$request.body#")
	if !ok {
		b.f.add(where, Refused, source, "the address must be {$request.query.name} or {$request.body#/name}, not %q", url)
		return
	}
	t := req
	if !parts.Whole {
		if t = emptyType; parts.Body != nil {
			t = parts.Body.Type
		}
	}
	for _, name := range strings.Split(pointer, "/")[1:] {
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		_, index := strconv.Atoi(name)
		switch {
		case t.Kind() == reflect.Struct:
			m, ok := shape.ObjectOf(t).Named(strings.NewReplacer("~1", "/", "~0", "~").Replace(name))
			if !ok {
				b.f.add(where, Refused, source, "the body has no member at %q", pointer)
				return
			}
			t = m.Type
		case index == nil && (t.Kind() == reflect.Slice || t.Kind() == reflect.Array):
			t = t.Elem()
		default:
			b.f.add(where, Refused, source, "the body has no member at %q", pointer)
			return
		}
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.String || !strings.HasPrefix(pointer, "/") {
		b.f.add(where, Refused, source, "what is at %q in the body is no string", pointer)
	}
}

func inBraces(s, prefix string) (string, bool) {
	s, ok := strings.CutPrefix(s, prefix)
	if !ok {
		return "", false
	}
	return strings.CutSuffix(s, "}")
}

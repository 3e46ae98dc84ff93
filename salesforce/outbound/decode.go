package outbound

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// A misfit says which field of a notification does not fit its Go type. It holds
// nothing that was sent.
type misfit struct{ place, what string }

func (m *misfit) Error() string { return m.place + ": " + m.what }

// A column is a field of T.
type column struct {
	name string
	typ  reflect.Type
}

// columns lists what encoding/json reads into a type, in its order, under the
// names of the org.
func columns(t reflect.Type) (list []column) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || name == "attributes" || !f.IsExported() && !f.Anonymous:
		case f.Anonymous && name == "":
			list = append(list, columns(f.Type)...)
		case name == "":
			list = append(list, column{f.Name, f.Type})
		default:
			list = append(list, column{name, f.Type})
		}
	}
	return list
}

// decode reads a record into v, a pointer to a struct of those columns. Fields
// that v lacks are passed over: the administrator may add some.
func (s *sobject) decode(v any, object string, cols map[string]column) error {
	switch {
	case s.typ != "" && !strings.EqualFold(s.typ, object):
		return &misfit{"sObject", "this listener takes " + object + ", and the record is another object's"}
	case s.wrong != "":
		return &misfit{"sObject", s.wrong}
	case !isID(s.id()):
		return &misfit{"sObject/Id", "want an id of 15 or 18 characters"}
	}
	seen := map[string]bool{}
	for _, f := range s.fields {
		c, ok := cols[strings.ToLower(f.name)]
		if !ok {
			continue
		}
		place := "sObject/" + c.name
		switch {
		case seen[c.name]:
			return &misfit{place, "the field comes twice"}
		case f.nested:
			return &misfit{place, "want a text, not elements"}
		}
		seen[c.name] = true
		if !f.into(v, c) {
			return &misfit{place, fmt.Sprintf("does not fit its Go type, %s", c.typ)}
		}
	}
	return nil
}

// into sets one field, by the rules of encoding/json.
func (f field) into(v any, c column) bool {
	set := func(value []byte) bool {
		name, _ := json.Marshal(c.name)
		return json.Unmarshal(append(append(append([]byte{'{'}, name...), ':'), append(value, '}')...), v) == nil
	}
	if f.null {
		return set([]byte("null"))
	}
	bare, ok := f.bare(c.typ)
	if ok && isBare(c.typ) {
		return set(bare)
	}
	text, _ := json.Marshal(f.text)
	return !isBare(c.typ) && (set(text) || ok && set(bare))
}

// bare is the text as JSON writes a number, or true and false; XML writes those
// also 1 and 0.
func (f field) bare(t reflect.Type) ([]byte, bool) {
	s := strings.TrimSpace(f.text)
	if base(t).Kind() == reflect.Bool && (s == "1" || s == "0") {
		s = map[string]string{"1": "true", "0": "false"}[s]
	}
	return []byte(s), s != "" && strings.IndexByte("-0123456789tf", s[0]) >= 0 && json.Valid([]byte(s))
}

func base(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

var textType = reflect.TypeFor[encoding.TextUnmarshaler]()

// isBare says whether JSON writes values of t without quotes.
func isBare(t reflect.Type) bool {
	t = base(t)
	if reflect.PointerTo(t).Implements(textType) {
		return false
	}
	k := t.Kind()
	return k >= reflect.Bool && k <= reflect.Float64
}

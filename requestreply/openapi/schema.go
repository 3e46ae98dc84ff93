package openapi

import (
	"encoding"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"time"

	"github.com/crosstie/crosstie/internal/shape"
)

var (
	timeType   = reflect.TypeFor[time.Time]()
	numberType = reflect.TypeFor[json.Number]()
	rawType    = reflect.TypeFor[json.RawMessage]()
	emptyType  = reflect.TypeFor[struct{}]()
)

// own says how a type encodes that does not encode by its kind; ok is false
// for one that does.
func own(t reflect.Type, types map[reflect.Type]Type) (s *schema, ok bool) {
	if as, ok := types[t]; ok {
		return &schema{Type: as.Type, Format: as.Format}, true
	}
	switch t {
	case timeType:
		return &schema{Type: "string", Format: "date-time"}, true
	case numberType:
		return &schema{Type: "number"}, true
	case rawType:
		return &schema{}, true
	}
	switch {
	case has[json.Marshaler](t), has[json.Unmarshaler](t):
		return nil, true
	case has[encoding.TextMarshaler](t), has[encoding.TextUnmarshaler](t):
		return &schema{Type: "string"}, true
	}
	return nil, false
}

// has says whether a type, or a pointer to it, has the methods of I.
func has[I any](t reflect.Type) bool {
	i := reflect.TypeFor[I]()
	return t.Kind() != reflect.Interface && (t.Implements(i) || reflect.PointerTo(t).Implements(i))
}

// of returns the schema of a type. at is where it was met, for findings; hint
// is the name for a struct that has none.
func (b *draft) of(t reflect.Type, at, hint string) *schema {
	pointer := t.Kind() == reflect.Pointer
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if s, ok := own(t, b.a.types); ok {
		return b.owned(s, t, pointer, at)
	}
	switch t.Kind() {
	case reflect.Struct:
		return b.object(t, at, hint)
	case reflect.Slice, reflect.Array, reflect.Map:
		// A struct breaks the circle, since it has a schema of its own.
		if b.open[t] {
			b.f.add(at, Refused, srcSchema, "%s contains itself and nothing has a name: put a struct between", t)
			return &schema{}
		}
		b.open[t] = true
		defer delete(b.open, t)
		if t.Kind() == reflect.Map {
			return b.mapOf(t, at, hint)
		}
		return b.list(t, at, hint)
	case reflect.Interface:
		if t.NumMethod() > 0 {
			b.f.add(at, Refused, srcJSON, "%s says nothing of what is in it: use a struct, or any", t)
		}
		return &schema{}
	}
	return b.scalar(t, at)
}

// owned looks whether a type that encodes itself always does so, and is read
// as it is written.
func (b *draft) owned(s *schema, t reflect.Type, pointer bool, at string) *schema {
	_, said := b.a.types[t]
	text := reflect.TypeFor[encoding.TextMarshaler]()
	switch {
	case said, t == timeType, t == numberType, t == rawType:
	case s == nil:
		b.f.add(at, Refused, srcJSON, "%s has its own JSON, and what that is cannot be seen: say it in Options.Types, or give it MarshalText", t)
		return &schema{}
	case !has[encoding.TextMarshaler](t):
		b.f.add(at, Refused, srcJSON, "%s has UnmarshalText and no MarshalText: it reads otherwise than it writes", t)
	case !t.Implements(text) && !pointer:
		b.f.add(at, Refused, srcJSON, "%s has MarshalText on its pointer, which encoding/json calls in some places only: use a pointer, or give it to the value", t)
	}
	return s
}

func (b *draft) scalar(t reflect.Type, at string) *schema {
	switch t.Kind() {
	case reflect.Bool:
		return &schema{Type: "boolean"}
	case reflect.String:
		return &schema{Type: "string"}
	case reflect.Int, reflect.Int64:
		return &schema{Type: "integer", Format: "int64"}
	case reflect.Int32:
		return &schema{Type: "integer", Format: "int32"}
	case reflect.Int16:
		return between("int32", math.MinInt16, math.MaxInt16)
	case reflect.Int8:
		return between("int32", math.MinInt8, math.MaxInt8)
	case reflect.Uint8:
		return between("int32", 0, math.MaxUint8)
	case reflect.Uint16:
		return between("int32", 0, math.MaxUint16)
	case reflect.Uint32:
		return between("int64", 0, math.MaxUint32)
	case reflect.Uint, reflect.Uint64, reflect.Uintptr:
		if b.profile == ExternalServices {
			b.f.add(at, Refused, srcDefinitions, "there is no unsigned integer of 64 bits: use int64 or uint32")
		}
		return &schema{Type: "integer", Minimum: new(int64)}
	case reflect.Float32:
		return &schema{Type: "number", Format: "float"}
	case reflect.Float64:
		return &schema{Type: "number", Format: "double"}
	}
	b.f.add(at, Refused, srcJSON, "a %s has no JSON", t)
	return &schema{}
}

func between(format string, least, most int64) *schema {
	return &schema{Type: "integer", Format: format, Minimum: &least, Maximum: &most}
}

func (b *draft) list(t reflect.Type, at, hint string) *schema {
	if isBytes(t) {
		return &schema{Type: "string", Format: "byte"}
	}
	s := &schema{Type: "array", Items: b.of(t.Elem(), at+"[]", hint)}
	if t.Kind() == reflect.Array {
		s.MinItems, s.MaxItems = new(t.Len()), new(t.Len())
	}
	if b.profile == ExternalServices && s.Items.Type == "array" {
		b.f.add(at, Changed, srcDefinitions, "a list of lists is List<List<T>> in Apex, and no field for Flow: put a struct between for Flow")
	}
	return s
}

// isBytes says whether encoding/json writes base64.
func isBytes(t reflect.Type) bool {
	if t.Kind() != reflect.Slice || t.Elem().Kind() != reflect.Uint8 {
		return false
	}
	return !has[json.Marshaler](t.Elem()) && !has[encoding.TextMarshaler](t.Elem())
}

func (b *draft) mapOf(t reflect.Type, at, hint string) *schema {
	switch k := t.Key(); {
	case k.Kind() == reflect.String, has[encoding.TextMarshaler](k),
		k.Kind() >= reflect.Int && k.Kind() <= reflect.Uintptr:
	default:
		b.f.add(at, Refused, srcJSON, "keys of %s have no text", t)
	}
	return &schema{Type: "object", AdditionalProperties: b.of(t.Elem(), at+"{}", hint)}
}

// object returns a reference to the schema of a struct, which it makes when
// there is none.
func (b *draft) object(t reflect.Type, at, hint string) *schema {
	name, ok := b.a.names[t]
	if !ok {
		name, ok = b.names[t]
	}
	if ok {
		return ref(name)
	}
	if hint = capital(hint); t.Name() != "" {
		hint = schemaName(t)
	}
	name = b.free(t, hint)
	if len(name) > maxClassName && b.profile == ExternalServices {
		b.f.add(at, Refused, srcClassNames, "the name of the schema has %d characters, and that of an Apex class at most %d, with the service's before it: give the type a shorter name", len(name), maxClassName)
	}
	s := &schema{Type: "object"}
	b.names[t], b.schemas[name] = name, s // before its fields, which may lead back
	b.order = append(b.order, name)
	around := b.open
	b.open = map[reflect.Type]bool{} // a list that is met again in here is met behind a name
	defer func() { b.open = around }()
	inCase := apart{}
	for _, m := range shape.ObjectOf(t).Members {
		where := name + "." + m.Name
		if other, ok := inCase.clash(m.Name); ok && b.profile == ExternalServices {
			b.f.add(where, Refused, srcNaming, "differs from %q in case alone, which is one name in Apex: rename one", other)
		}
		b.named(where, m.Name)
		s.Properties = append(s.Properties, property{m.Name, b.member(m, where, name)})
		if !m.Optional {
			s.Required = append(s.Required, m.Name)
		}
	}
	return ref(name)
}

func ref(name string) *schema { return &schema{Ref: "#/components/schemas/" + name} }

func (b *draft) member(m shape.Member, where, parent string) *schema {
	s := b.of(m.Type, where, parent+capital(m.Name))
	if m.Quoted && s.Ref == "" {
		s = &schema{Type: "string"}
	}
	b.enum(s, m.Type, m.Enum, m.Quoted, where)
	doc := m.Field.Tag.Get("doc")
	switch {
	case doc == "":
	case s.Ref == "":
		s.Description = doc
	case b.profile == ExternalServices:
		b.f.add(where, Changed, srcReference, "its description is left out, since beside a reference it is ignored: describe the fields of the type instead")
	default:
		s = &schema{Description: doc, AllOf: []*schema{s}}
	}
	return s
}

// enum adds the values of a tag to the schema of a field, or to that of its
// items.
func (b *draft) enum(s *schema, t reflect.Type, values []string, quoted bool, where string) {
	if values == nil {
		return
	}
	plain := true // what is met on the way to the value encodes by its kind
	for inside := true; inside && s != nil; {
		_, self := own(t, b.a.types)
		switch plain = !self; {
		case self, isBytes(t):
			inside = false
		case t.Kind() == reflect.Pointer:
			t = t.Elem()
		case t.Kind() == reflect.Slice, t.Kind() == reflect.Array:
			s, t = s.Items, t.Elem()
		case t.Kind() == reflect.Map:
			s, t = s.AdditionalProperties, t.Elem()
		default:
			inside = false
		}
	}
	text := t.Kind() == reflect.String || quoted
	integer := t.Kind() >= reflect.Int && t.Kind() <= reflect.Uint64
	if !plain || s == nil || s.Ref != "" || !text && !integer {
		b.f.add(where, Refused, srcEnum, "the tag enum is for strings and integers, and for lists and maps of them")
		return
	}
	seen := map[string]bool{}
	for _, v := range values {
		if v == "" || seen[v] {
			b.f.add(where, Refused, srcEnum, "the tag enum has %q twice, or an empty value", v)
			return
		}
		seen[v] = true
		if text {
			s.Enum = append(s.Enum, v)
			continue
		}
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || strconv.FormatInt(n, 10) != v {
			b.f.add(where, Refused, srcEnum, "the value %q of the tag enum is no integer", v)
			return
		}
		s.Enum = append(s.Enum, n)
	}
}

// parameter returns the schema of a parameter, which is a text that is read.
func (b *draft) parameterOf(q shape.Param, where string) *schema {
	t := q.Field.Type
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	var s *schema
	as, named := b.a.types[t]
	switch {
	case named:
		s = &schema{Type: as.Type, Format: as.Format}
	case t == timeType:
		s = &schema{Type: "string", Format: "date-time"}
	case has[encoding.TextUnmarshaler](t):
		s = &schema{Type: "string"}
	case t.Kind() == reflect.Slice:
		q.Field.Type = t.Elem()
		s = &schema{Type: "array", Items: b.parameterOf(q, where)}
		return s
	default:
		s = b.scalar(t, where)
	}
	b.enum(s, t, q.Enum, false, where)
	return s
}

// at names a place in a request for findings.
func at(q shape.Param) string { return fmt.Sprintf("%s %q", q.In, q.Name) }

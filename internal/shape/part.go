package shape

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Where a parameter travels, in the words of OpenAPI.
const (
	Path   = "path"
	Query  = "query"
	Header = "header"
)

// A Param is a field of a request type that is read from path, query or
// headers.
type Param struct {
	In, Name string
	Field    reflect.StructField // its Index leads from the request type
	Optional bool
	Enum     []string // as Member.Enum
}

// Parts says where the fields of a request type come from.
type Parts struct {
	Params []Param
	// Body is the field that holds the body; nil means that there is none.
	Body *reflect.StructField
	// Whole says that no field is tagged: the type itself is the body.
	Whole bool
}

// PartsOf reads the tags path, query, header and body of a request type.
// Either none of its fields has one, or all that are exported have one.
func PartsOf(t reflect.Type) (Parts, error) {
	if t.Kind() != reflect.Struct || !tagged(t) {
		return Parts{Whole: true}, nil
	}
	var p Parts
	if err := p.add(t, nil); err != nil {
		return Parts{}, err
	}
	seen := map[string]string{}
	for _, q := range p.Params {
		key := q.In + " " + q.Name
		if q.In == Header {
			key = q.In + " " + http.CanonicalHeaderKey(q.Name)
		}
		if other, ok := seen[key]; ok {
			return Parts{}, fmt.Errorf("the fields %s and %s are the same %s parameter %q", other, q.Field.Name, q.In, q.Name)
		}
		seen[key] = q.Field.Name
	}
	return p, nil
}

// embedded says whether the fields of f count as the outer struct's own.
func embedded(f reflect.StructField) bool {
	return f.Anonymous && f.Type.Kind() == reflect.Struct && place(f) == ""
}

func tagged(t reflect.Type) bool {
	for f := range t.Fields() {
		if place(f) != "" || embedded(f) && tagged(f.Type) {
			return true
		}
	}
	return false
}

// place is the tag that says where a field comes from.
func place(f reflect.StructField) string {
	for _, in := range []string{Path, Query, Header, "body"} {
		if _, ok := f.Tag.Lookup(in); ok {
			return in
		}
	}
	return ""
}

func (p *Parts) add(t reflect.Type, index []int) error {
	for i := range t.NumField() {
		f := t.Field(i)
		f.Index = append(slices.Clone(index), i)
		in := place(f)
		switch {
		case embedded(f):
			if err := p.add(f.Type, f.Index); err != nil {
				return err
			}
		case in == "" && !f.IsExported():
		case in == "":
			return fmt.Errorf("the field %s has no place, others have: tag it path, query, header or body", f.Name)
		case !f.IsExported():
			return fmt.Errorf("the field %s is not exported, so nothing can be read into it", f.Name)
		case in == "body":
			if tag := f.Tag.Get("body"); tag != "json" {
				return fmt.Errorf(`the field %s: the tag body must say how: body:"json"`, f.Name)
			}
			if p.Body != nil {
				return fmt.Errorf("the fields %s and %s are both the body", p.Body.Name, f.Name)
			}
			p.Body = &f
		default:
			if err := p.param(f, in); err != nil {
				return fmt.Errorf("the field %s: %w", f.Name, err)
			}
		}
	}
	return nil
}

func (p *Parts) param(f reflect.StructField, in string) error {
	name, options, _ := strings.Cut(f.Tag.Get(in), ",")
	q := Param{In: in, Name: name, Field: f, Optional: f.Type.Kind() == reflect.Pointer || options == "omitempty", Enum: enumOf(f)}
	t := f.Type
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if in == Query && t.Kind() == reflect.Slice && !settable(t) {
		t = t.Elem()
	}
	switch {
	case name == "":
		return fmt.Errorf("the tag %s names no parameter", in)
	case options != "" && options != "omitempty":
		return fmt.Errorf("the tag %s has the option %q: the only one is omitempty", in, options)
	case in == Path && q.Optional:
		return errors.New("a part of the path is always there: take omitempty and pointer away")
	case in == Header && !token(name):
		return fmt.Errorf("%q is not the name of a header (RFC 9110 §5.1)", name)
	case !settable(t):
		return fmt.Errorf("a %s parameter is a text, a number, a bool, or has UnmarshalText; in the query also a list of these", in)
	}
	p.Params = append(p.Params, q)
	return nil
}

// token is the grammar of names of headers (RFC 9110 §5.6.2).
func token(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

var textType = reflect.TypeFor[encoding.TextUnmarshaler]()

func settable(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(textType) || t.Kind() != reflect.Uintptr && t.Kind() != reflect.Pointer && quotable(t)
}

// Set reads the texts of a parameter into the field of v, a request value.
// Its error says what is wanted and repeats nothing.
func (q Param) Set(v reflect.Value, texts []string) error {
	f := v.FieldByIndex(q.Field.Index)
	if f.Kind() == reflect.Pointer {
		f.Set(reflect.New(f.Type().Elem()))
		f = f.Elem()
	}
	if f.Kind() == reflect.Slice && !settable(f.Type()) {
		f.Set(reflect.MakeSlice(f.Type(), len(texts), len(texts)))
		for i, s := range texts {
			if err := q.set(f.Index(i), s); err != nil {
				return err
			}
		}
		return nil
	}
	if len(texts) != 1 {
		return errors.New("appears more than once")
	}
	return q.set(f, texts[0])
}

func (q Param) set(v reflect.Value, s string) error {
	if q.Enum != nil && !slices.Contains(q.Enum, s) {
		return errors.New("want one of " + strings.Join(q.Enum, ", "))
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if u.UnmarshalText([]byte(s)) != nil { // its text may repeat what was sent
			if v.Type() == reflect.TypeFor[time.Time]() {
				return errors.New("want a date and time as RFC 3339 has them")
			}
			return errors.New("has not the form it needs")
		}
		return nil
	}
	var err error
	switch v.Kind() {
	case reflect.String:
		v.SetString(s)
	case reflect.Bool:
		if s != "true" && s != "false" {
			err = strconv.ErrSyntax
		}
		v.SetBool(s == "true")
	case reflect.Float32, reflect.Float64:
		var x float64
		x, err = strconv.ParseFloat(s, v.Type().Bits())
		if math.IsNaN(x) || math.IsInf(x, 0) {
			err = strconv.ErrRange
		}
		v.SetFloat(x)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		var x uint64
		x, err = strconv.ParseUint(s, 10, v.Type().Bits())
		v.SetUint(x)
	default:
		var x int64
		x, err = strconv.ParseInt(s, 10, v.Type().Bits())
		v.SetInt(x)
	}
	if err != nil {
		return errors.New("want " + Kind(v.Type()))
	}
	return nil
}

// Kind says in words what values of a type look like in JSON.
func Kind(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a string"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Map, reflect.Struct:
		return "an object"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return fmt.Sprintf("an integer of %d bits", t.Bits())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return fmt.Sprintf("an integer of %d bits, not negative", t.Bits())
	case reflect.Float32, reflect.Float64:
		return "a number"
	}
	return "another type"
}

package server

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/crosstie/crosstie/requestreply"
)

// maxDepth is how deep a request's JSON may nest.
const maxDepth = 64

// decode reads data into v, which points to a zero value. encoding/json alone
// takes the last of several equal names, takes names that differ in case, and
// nests 10000 deep: two readers of one request could see two requests.
func decode(data []byte, v any, allowUnknown bool) *requestreply.Problem {
	s := scanner{d: json.NewDecoder(bytes.NewReader(data)), allowUnknown: allowUnknown}
	s.d.UseNumber()
	if !utf8.Valid(data) { // encoding/json would replace what is not
		return invalid(errNotUTF8)
	}
	if err := s.value(reflect.TypeOf(v).Elem(), "", 0); err != nil {
		return invalid(err)
	}
	if _, err := s.d.Token(); !errors.Is(err, io.EOF) {
		return invalid(errGoesOn)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return invalid(place(data, reflect.TypeOf(v).Elem(), err))
	}
	return nil
}

var (
	errNotUTF8 = errors.New("the body is not UTF-8")
	errGoesOn  = errors.New("the body goes on after its JSON value")
)

// place finds where in data a type did not fit: encoding/json names Go's
// fields on the way there, and no index.
func place(data []byte, t reflect.Type, err error) error {
	typ, ok := errors.AsType[*json.UnmarshalTypeError](err)
	if !ok {
		return err
	}
	s := scanner{d: json.NewDecoder(bytes.NewReader(data)), allowUnknown: true, upTo: typ.Offset, want: kind(typ.Type)}
	s.d.UseNumber()
	if at := s.value(t, "", 0); at != nil {
		return at
	}
	return err
}

// invalid is the answer to a body that does not decode. It names the place
// and what is wanted there, and repeats nothing of what was sent but names.
func invalid(err error) *requestreply.Problem {
	p := &requestreply.Problem{Status: 400, Title: "Bad Request", Detail: "the body does not decode"}
	var at *placed
	var syn *json.SyntaxError
	switch {
	case err == errNotUTF8, err == errGoesOn:
		p.Detail = err.Error()
	case errors.As(err, &at):
		p.Fields = map[string]string{at.pointer: at.what}
	case errors.As(err, &syn):
		p.Detail = fmt.Sprintf("the body is not JSON at byte %d", syn.Offset)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		p.Detail = "the body ends before its JSON does"
	}
	return p
}

// placed is a fault at a JSON pointer.
type placed struct{ pointer, what string }

func (e *placed) Error() string { return e.pointer + ": " + e.what }

func kind(t reflect.Type) string {
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

// A scanner walks a JSON text beside the type it will be decoded into.
type scanner struct {
	d            *json.Decoder
	allowUnknown bool

	upTo int64  // where the value at fault was read, zero when none is sought
	want string // there
}

// value checks one value, to be decoded into t; t is nil where the type says
// nothing.
func (s *scanner) value(t reflect.Type, at string, depth int) error {
	if depth > maxDepth {
		return &placed{cut(at), fmt.Sprintf("nested more than %d deep", maxDepth)}
	}
	tok, err := s.d.Token()
	if err != nil {
		return err
	}
	// A value ends at least two bytes after the one before it; of a list or
	// object the offset may be the byte after its first.
	if s.upTo > 0 && s.d.InputOffset() >= s.upTo-1 {
		return &placed{cut(at), "want " + s.want}
	}
	t = transparent(t)
	switch tok {
	case json.Delim('{'):
		return s.object(t, at, depth)
	case json.Delim('['):
		return s.array(t, at, depth)
	}
	return nil
}

func (s *scanner) object(t reflect.Type, at string, depth int) error {
	var fields map[string]field
	if t != nil && t.Kind() == reflect.Struct {
		fields = fieldsOf(t)
	}
	seen := map[string]bool{}
	for s.d.More() {
		tok, err := s.d.Token()
		if err != nil {
			return err
		}
		name, _ := tok.(string)
		here := at + "/" + escape(name)
		var in reflect.Type
		switch {
		case seen[name]:
			return &placed{cut(here), "the name appears twice"}
		case fields != nil:
			f, ok := fields[name]
			if !ok {
				f, ok = fields[fold(name)]
			}
			if ok && f.name != name {
				return &placed{cut(here), "the name differs in case from " + strconv.Quote(f.name)}
			}
			if !ok && !s.allowUnknown {
				return &placed{cut(here), "the name is not known"}
			}
			in = f.typ
		case t != nil && t.Kind() == reflect.Map:
			in = t.Elem()
		}
		seen[name] = true
		if err := s.value(in, here, depth+1); err != nil {
			return err
		}
	}
	_, err := s.d.Token()
	return err
}

func (s *scanner) array(t reflect.Type, at string, depth int) error {
	var in reflect.Type
	if t != nil && (t.Kind() == reflect.Slice || t.Kind() == reflect.Array) {
		in = t.Elem()
	}
	for i := 0; s.d.More(); i++ {
		if err := s.value(in, at+"/"+strconv.Itoa(i), depth+1); err != nil {
			return err
		}
	}
	_, err := s.d.Token()
	return err
}

var (
	jsonType = reflect.TypeFor[json.Unmarshaler]()
	textType = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// transparent follows pointers, and returns nil for a type that decodes
// itself or could be anything.
func transparent(t reflect.Type) reflect.Type {
	for t != nil {
		if p := reflect.PointerTo(t); p.Implements(jsonType) || p.Implements(textType) || t.Kind() == reflect.Interface {
			return nil
		}
		if t.Kind() != reflect.Pointer {
			return t
		}
		t = t.Elem()
	}
	return nil
}

type field struct {
	name string
	typ  reflect.Type
}

var structs sync.Map // reflect.Type -> map[string]field by name, and by folded name

func fieldsOf(t reflect.Type) map[string]field {
	if m, ok := structs.Load(t); ok {
		return m.(map[string]field)
	}
	m, exact := map[string]field{}, map[string]field{}
	for _, f := range reflect.VisibleFields(t) {
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		under := f.Type
		if under.Kind() == reflect.Pointer {
			under = under.Elem()
		}
		if f.Tag.Get("json") == "-" || !f.IsExported() || f.Anonymous && tag == "" && under.Kind() == reflect.Struct {
			continue
		}
		if tag == "" {
			tag = f.Name
		}
		exact[tag] = field{tag, f.Type}
		m[fold(tag)] = exact[tag]
	}
	maps.Copy(m, exact) // two fields may differ in case alone
	structs.Store(t, m)
	return m
}

// fold makes names equal that encoding/json takes for each other.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
		return least
	}, s)
}

// escape writes a name as a part of a JSON pointer (RFC 6901 §3).
func escape(name string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}

// cut keeps a pointer short enough to answer with.
func cut(at string) string {
	if len(at) <= 256 {
		return at
	}
	return strings.ToValidUTF8(at[:256], "") + "..."
}

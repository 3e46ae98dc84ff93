// Package strictjson looks at a JSON text beside the type it will be decoded
// into, for what encoding/json takes in silence: it takes the last of several
// equal names, takes names that differ in case, and nests 10000 deep, so that
// two readers of one text can see two texts.
package strictjson

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/crosstie/crosstie/internal/shape"
)

// MaxDepth is how deep a text may nest.
const MaxDepth = 64

// What is wrong with a text as a whole.
var (
	ErrNotUTF8 = errors.New("is not UTF-8")
	ErrGoesOn  = errors.New("goes on after its JSON value")
)

// A Fault is one at a JSON pointer (RFC 6901), without the "#". It repeats
// nothing of the text but names.
type Fault struct{ Pointer, What string }

func (e *Fault) Error() string { return e.Pointer + ": " + e.What }

// Rules say what is refused beyond what two readers could see differently.
type Rules struct {
	// AllowUnknown takes names that the type does not have.
	AllowUnknown bool
	// Enums refuses what a tag enum does not list.
	Enums bool
	// Complete refuses null, a member that is missing and not optional, an
	// array of another length, numbers for bytes and a text for a number.
	Complete bool
}

// Check looks through data, which will be decoded into a t. Its error is a
// *Fault, ErrNotUTF8, ErrGoesOn, or one of encoding/json.
func Check(data []byte, t reflect.Type, r Rules) error {
	if !utf8.Valid(data) { // encoding/json would replace what is not
		return ErrNotUTF8
	}
	s := scanner{d: json.NewDecoder(bytes.NewReader(data)), Rules: r}
	s.d.UseNumber()
	if err := s.value(t, nil); err != nil {
		return err
	}
	if _, err := s.d.Token(); !errors.Is(err, io.EOF) {
		return ErrGoesOn
	}
	if r.Complete && s.null && transparent(t) != nil {
		return &Fault{"", "must not be null"}
	}
	return nil
}

// Place finds where in data a type did not fit, as a *Fault: err is what
// encoding/json said, which names Go's fields on the way there, and no index,
// and for UnmarshalText nothing. An error that has no place comes back as it
// is.
func Place(data []byte, t reflect.Type, err error) error {
	s := scanner{d: json.NewDecoder(bytes.NewReader(data)), Rules: Rules{AllowUnknown: true}}
	if typ, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		s.upTo, s.want = typ.Offset, shape.Kind(typ.Type)
	} else {
		s.texts = true
	}
	s.d.UseNumber()
	if at := s.value(t, nil); at != nil {
		return at
	}
	return err
}

// A scanner walks a JSON text beside the type it will be decoded into.
type scanner struct {
	d *json.Decoder
	Rules

	texts bool // reads what has UnmarshalText, to find the one that fails

	path []step // to the latest value
	null bool   // whether it was null
	upTo int64  // where the value at fault was read, zero when none is sought
	want string // there
}

// A step leads from an object or array to a value in it. The pointer that the
// steps are is written for a fault only: most texts have none.
type step struct {
	name  string
	index int // of an array, -1 for a name
}

// fault is one at the latest value.
func (s *scanner) fault(what string) error {
	var at []byte
	for _, p := range s.path {
		if at = append(at, '/'); p.index >= 0 {
			at = strconv.AppendInt(at, int64(p.index), 10)
		} else {
			at = append(at, escaper.Replace(p.name)...)
		}
	}
	return &Fault{cut(string(at)), what}
}

// enter goes to a value inside the latest one, and leave back.
func (s *scanner) enter(p step) { s.path = append(s.path, p) }
func (s *scanner) leave()       { s.path = s.path[:len(s.path)-1] }

// value checks one value, to be decoded into t; t is nil where the type says
// nothing. enum are the texts it may have, nil allows all.
func (s *scanner) value(t reflect.Type, enum []string) error {
	if len(s.path) > MaxDepth {
		return s.fault(fmt.Sprintf("nested more than %d deep", MaxDepth))
	}
	tok, err := s.d.Token()
	if err != nil {
		return err
	}
	// A value ends at least two bytes after the one before it; of a list or
	// object the offset may be the byte after its first.
	if s.upTo > 0 && s.d.InputOffset() >= s.upTo-1 {
		return s.fault("want " + s.want)
	}
	if text, ok := tok.(string); ok && s.texts && !reads(t, text) {
		return s.fault("has not the form it needs")
	}
	t = transparent(t)
	if s.Complete && t != nil {
		if want := asWritten(t, tok); want != "" {
			return s.fault("want " + want)
		}
	}
	switch tok {
	case json.Delim('{'):
		if t != nil && t.Kind() == reflect.Struct {
			err = s.structure(t)
		} else {
			err = s.object(t, enum)
		}
		s.null = false
		return err
	case json.Delim('['):
		err := s.array(t, enum)
		s.null = false
		return err
	}
	s.null = tok == nil
	if s.Enums && enum != nil && !s.null && !slices.Contains(enum, fmt.Sprint(tok)) {
		return s.fault("want one of " + strings.Join(enum, ", "))
	}
	return nil
}

// asWritten says what is wanted where encoding/json reads what it never
// writes: numbers for bytes, which it writes as a text, and a text for a
// number.
func asWritten(t reflect.Type, tok json.Token) string {
	if t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8 && tok == json.Delim('[') {
		return "a string in base64"
	}
	if _, text := tok.(string); text && t == numberType {
		return "a number"
	}
	return ""
}

// reads says whether a text suits a type, as far as that has UnmarshalText.
func reads(t reflect.Type, text string) bool {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || !reflect.PointerTo(t).Implements(textType) {
		return true
	}
	u, ok := reflect.New(t).Interface().(encoding.TextUnmarshaler)
	return !ok || u.UnmarshalText([]byte(text)) == nil
}

// structure checks an object that a struct is read from.
func (s *scanner) structure(t reflect.Type) error {
	o := shape.ObjectOf(t)
	seen, given := make([]bool, len(o.Members)), make([]bool, len(o.Members))
	var unknown map[string]bool
	for s.d.More() {
		name, err := s.name()
		if err != nil {
			return err
		}
		s.enter(step{name, -1})
		var m shape.Member
		i, known := o.Index(name)
		switch {
		case known && seen[i], unknown[name]:
			return s.fault("the name appears twice")
		case known:
			m, seen[i] = o.Members[i], true
		default:
			if near, ok := nearly(t, name); ok {
				return s.fault("the name differs in case from " + strconv.Quote(near))
			}
			if !s.AllowUnknown {
				return s.fault("the name is not known")
			}
			if unknown == nil {
				unknown = map[string]bool{}
			}
			unknown[name] = true
		}
		if err := s.value(m.Type, m.Enum); err != nil {
			return err
		}
		if known {
			given[i] = !s.null || m.Type == rawType
		}
		s.leave()
	}
	if _, err := s.d.Token(); err != nil || !s.Complete {
		return err
	}
	for i, m := range o.Members {
		if !m.Optional && !given[i] {
			s.enter(step{m.Name, -1})
			return s.fault("is required")
		}
	}
	return nil
}

// name reads the next name of an object.
func (s *scanner) name() (string, error) {
	tok, err := s.d.Token()
	name, _ := tok.(string)
	return name, err
}

// object checks one that a map, or anything, is read from.
func (s *scanner) object(t reflect.Type, enum []string) error {
	var in reflect.Type
	if t != nil && t.Kind() == reflect.Map {
		in = t.Elem()
	}
	seen := map[string]bool{}
	for s.d.More() {
		name, err := s.name()
		if err != nil {
			return err
		}
		s.enter(step{name, -1})
		if seen[name] {
			return s.fault("the name appears twice")
		}
		seen[name] = true
		if err := s.value(in, enum); err != nil {
			return err
		}
		if s.null && s.Complete && transparent(in) != nil {
			return s.fault("must not be null")
		}
		s.leave()
	}
	_, err := s.d.Token()
	return err
}

func (s *scanner) array(t reflect.Type, enum []string) error {
	var in reflect.Type
	if t != nil && (t.Kind() == reflect.Slice || t.Kind() == reflect.Array) {
		in = t.Elem()
	}
	n := 0
	for ; s.d.More(); n++ {
		s.enter(step{index: n})
		if err := s.value(in, enum); err != nil {
			return err
		}
		if s.null && s.Complete && transparent(in) != nil {
			return s.fault("must not be null")
		}
		s.leave()
	}
	if _, err := s.d.Token(); err != nil {
		return err
	}
	// encoding/json drops what a Go array has no room for.
	if s.Complete && t != nil && t.Kind() == reflect.Array && n != t.Len() {
		return s.fault(fmt.Sprintf("want %d items", t.Len()))
	}
	return nil
}

var (
	jsonType   = reflect.TypeFor[json.Unmarshaler]()
	textType   = reflect.TypeFor[encoding.TextUnmarshaler]()
	numberType = reflect.TypeFor[json.Number]()
	rawType    = reflect.TypeFor[json.RawMessage]() // null is a value to it
)

var transparents sync.Map // reflect.Type -> reflect.Type, which may be nil

// transparent follows pointers, and returns nil for a type that decodes
// itself or could be anything.
func transparent(t reflect.Type) reflect.Type {
	if t == nil {
		return nil
	}
	if under, ok := transparents.Load(t); ok {
		u, _ := under.(reflect.Type)
		return u
	}
	under := t
	for under != nil {
		if p := reflect.PointerTo(under); p.Implements(jsonType) || p.Implements(textType) || under.Kind() == reflect.Interface {
			under = nil
		} else if under.Kind() == reflect.Pointer {
			under = under.Elem()
		} else {
			break
		}
	}
	transparents.Store(t, under)
	return under
}

var folds sync.Map // reflect.Type -> map[string]string, from folded names to the names

// nearly returns the name of a member that encoding/json takes name for.
func nearly(t reflect.Type, name string) (string, bool) {
	m, ok := folds.Load(t)
	if !ok {
		byFold := map[string]string{}
		for _, f := range shape.ObjectOf(t).Members {
			byFold[fold(f.Name)] = f.Name
		}
		m, _ = folds.LoadOrStore(t, byFold)
	}
	near, ok := m.(map[string]string)[fold(name)]
	return near, ok
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

// escaper writes a name as a part of a JSON pointer (RFC 6901 §3).
var escaper = strings.NewReplacer("~", "~0", "/", "~1")

// cut keeps a pointer short enough to answer with.
func cut(at string) string {
	if len(at) <= 256 {
		return at
	}
	return strings.ToValidUTF8(at[:256], "") + "..."
}

package openapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"

	"github.com/crosstie/crosstie/internal/shape"
)

// answer encodes as its value does, but without null, for which the document
// has no word: clients that were generated from it fail on one.
type answer[T any] struct {
	value T
	types map[reflect.Type]Type
}

// MarshalJSON writes the value.
func (a answer[T]) MarshalJSON() ([]byte, error) {
	return encode(a.value, reflect.TypeFor[T](), a.types)
}

func encode(v any, t reflect.Type, types map[reflect.Type]Type) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil || !bytes.Contains(data, []byte("null")) {
		return data, err
	}
	p := plain{in: data, types: types}
	p.out.Grow(len(data))
	err = p.value(t, "")
	return p.out.Bytes(), err
}

// plain copies a JSON text of encoding/json, which has no spaces and is valid,
// beside the type it was made of.
type plain struct {
	in    []byte
	i     int
	out   bytes.Buffer
	types map[reflect.Type]Type
}

// null says whether the next value is one.
func (p *plain) null() bool { return p.in[p.i] == 'n' }

func (p *plain) value(t reflect.Type, at string) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if _, ok := own(t, p.types); ok || t.Kind() == reflect.Interface {
		if p.null() && t.Kind() != reflect.Interface && t != rawType {
			return fmt.Errorf("%q is nil, and the document has no null: set it", at)
		}
		p.copy()
		return nil
	}
	switch c := p.in[p.i]; {
	case c == '{':
		return p.object(t, at)
	case c == '[':
		return p.array(t, at)
	case c != 'n':
		p.copy()
		return nil
	}
	p.i += len("null")
	switch {
	case isBytes(t):
		p.out.WriteString(`""`)
	case t.Kind() == reflect.Slice:
		p.out.WriteString(`[]`)
	case t.Kind() == reflect.Map:
		p.out.WriteString(`{}`)
	default:
		return fmt.Errorf("%q is nil, and the document has no null: set it", at)
	}
	return nil
}

func (p *plain) object(t reflect.Type, at string) error {
	p.out.WriteByte('{')
	p.i++
	first := true
	for p.in[p.i] != '}' {
		if p.in[p.i] == ',' {
			p.i++
		}
		begin := p.i
		p.skip()
		name := p.in[begin:p.i]
		p.i++ // the colon
		in, optional := t, false
		if t.Kind() == reflect.Map {
			in = t.Elem()
		} else {
			var text string
			if err := json.Unmarshal(name, &text); err != nil {
				return err
			}
			m, _ := shape.ObjectOf(t).Named(text)
			in, optional = m.Type, m.Optional
		}
		if optional && p.null() {
			p.i += len("null")
			continue
		}
		if !first {
			p.out.WriteByte(',')
		}
		first = false
		p.out.Write(name)
		p.out.WriteByte(':')
		if err := p.value(in, at+"/"+string(bytes.Trim(name, `"`))); err != nil {
			return err
		}
	}
	p.i++
	p.out.WriteByte('}')
	return nil
}

func (p *plain) array(t reflect.Type, at string) error {
	p.out.WriteByte('[')
	p.i++
	for n := 0; p.in[p.i] != ']'; n++ {
		if p.in[p.i] == ',' {
			p.i++
			p.out.WriteByte(',')
		}
		if err := p.value(t.Elem(), at+"/"+strconv.Itoa(n)); err != nil {
			return err
		}
	}
	p.i++
	p.out.WriteByte(']')
	return nil
}

// copy copies the next value.
func (p *plain) copy() {
	begin := p.i
	p.skip()
	p.out.Write(p.in[begin:p.i])
}

// skip passes the next value.
func (p *plain) skip() {
	depth := 0
	for ; p.i < len(p.in); p.i++ {
		switch p.in[p.i] {
		case '"':
			for p.i++; p.in[p.i] != '"'; p.i++ {
				if p.in[p.i] == '\\' {
					p.i++
				}
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return // of what it is in
			}
			depth--
		case ',', ':':
			if depth == 0 {
				return
			}
			continue
		default:
			continue
		}
		if depth == 0 {
			p.i++
			return
		}
	}
}

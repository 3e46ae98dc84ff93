package soap

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// A decoding feeds one element to encoding/xml, which takes a field without a
// namespace for one of any, the last of several for the one, an empty text
// for zero, and an element that says it is nil for an empty one. A decoding
// leaves out what is not the field, and strictly refuses it.
type decoding struct {
	next   func() (xml.Token, error)
	strict bool
	at     string // the path to the element's parent
	offset func() int64

	first *xml.StartElement // of the element, until it is read
	open  []frame
	seen  []int // for each open frame, how often each child came
	ended bool  // the last frame has ended: what is wrong now is wrong there
	err   error // of ours, which encoding/xml may wrap
}

type frame struct {
	name  xml.Name
	node  *node
	index int  // among its like, from 1; 0 if it is no list
	seen  int  // where in decoding.seen its children are counted
	text  bool // there was some, or need not be
}

// targetOf returns the element name that v, a pointer to a struct, asks for.
func targetOf(v any) (xml.Name, error) {
	t := reflect.TypeOf(v)
	if t == nil || t.Kind() != reflect.Pointer {
		return xml.Name{}, errors.New("want a pointer to a struct")
	}
	s := shapeOf(t.Elem())
	if s.err == nil && s.name.Local == "" {
		s.err = errNoName
	}
	return s.name, s.err
}

// into decodes the element that start begins into v.
func (d *decoding) into(v any, start xml.StartElement) error {
	s := shapeOf(reflect.TypeOf(v).Elem())
	if s.err != nil {
		return s.err
	}
	d.push(frame{name: start.Name, node: s.node})
	d.first = &start
	err := xml.NewTokenDecoder(d).Decode(v)
	if err == nil {
		return nil
	}
	if d.err != nil {
		return d.err
	}
	return d.fail(d.wanted())
}

func (d *decoding) wanted() string {
	if f := d.top(); d.ended && f.node != nil && f.node.leaf {
		return "want " + f.node.want
	}
	return "a value or an attribute does not fit"
}

func (d *decoding) top() *frame { return &d.open[len(d.open)-1] }

func (d *decoding) fail(what string) error {
	e := &MessageError{Place: d.place(), What: what}
	if d.offset != nil {
		e.Offset = d.offset()
	}
	d.err = e
	return e
}

func (d *decoding) place() string {
	var b strings.Builder
	b.WriteString(d.at)
	for _, f := range d.open {
		b.WriteString("/" + f.name.Local)
		if f.index > 0 {
			b.WriteString("[" + strconv.Itoa(f.index) + "]")
		}
	}
	return clip(b.String())
}

// Token implements xml.TokenReader.
func (d *decoding) Token() (xml.Token, error) {
	if d.first != nil {
		t := *d.first
		d.first, t.Attr = nil, d.top().node.own(t.Attr)
		return t, nil
	}
	for {
		tok, err := d.next()
		if err != nil {
			d.err = err
			return nil, err
		}
		d.pop()
		switch t := tok.(type) {
		case xml.StartElement:
			take, err := d.begin(t)
			if err != nil {
				return nil, err
			}
			if attrs := d.top().node.own(t.Attr); take && len(attrs) < len(t.Attr) {
				t.Attr = attrs
				return t, nil
			}
			if take {
				return tok, nil // t would be put into an interface anew
			}
			if err := d.skip(); err != nil {
				return nil, err
			}
		case xml.EndElement:
			if err := d.end(); err != nil {
				return nil, err
			}
			d.ended = true
			return tok, nil
		case xml.CharData:
			if err := d.chars(t); err != nil {
				return nil, err
			}
			return tok, nil
		}
	}
}

func (d *decoding) pop() {
	if d.ended {
		d.drop()
		d.ended = false
	}
}

// begin says whether the element is one of its parent's.
func (d *decoding) begin(t xml.StartElement) (bool, error) {
	in := d.top()
	if in.node != nil && in.node.leaf && d.strict {
		return false, d.fail("want " + in.node.want + ", not elements")
	}
	f := frame{name: t.Name}
	c, ok := in.node.find(t.Name, in.name)
	n := 0
	if ok {
		n = d.count(in, c)
		if f.node = c.node; c.list {
			f.index, f.text = n, isNil(t)
		}
	}
	d.push(f)
	switch {
	case !ok && d.strict:
		return false, d.fail("the element is not known here, or not in this namespace")
	case !ok:
		return false, nil
	case !c.list && n > 1 && d.strict:
		return false, d.fail("the element comes twice")
	}
	return c.list || !isNil(t), nil
}

// count counts the elements of a frame that are c.
func (d *decoding) count(in *frame, c *child) int {
	if c == anything {
		return 0
	}
	d.seen[in.seen+c.index]++
	return d.seen[in.seen+c.index]
}

func (d *decoding) push(f frame) {
	f.seen = len(d.seen)
	if f.node != nil {
		for range f.node.children {
			d.seen = append(d.seen, 0)
		}
	}
	d.open = append(d.open, f)
}

func (d *decoding) drop() {
	d.seen = d.seen[:d.top().seen]
	d.open = d.open[:len(d.open)-1]
}

// skip passes the element that begin has refused, and closes its frame.
func (d *decoding) skip() error {
	for depth := 1; depth > 0; {
		tok, err := d.next()
		if err != nil {
			d.err = err
			return err
		}
		switch tok.(type) {
		case xml.StartElement:
			depth++
		case xml.EndElement:
			depth--
		}
	}
	d.drop()
	return nil
}

func (d *decoding) chars(t xml.CharData) error {
	f := d.top()
	if len(bytes.TrimSpace(t)) == 0 {
		return nil
	}
	f.text = true
	if d.strict && f.node != nil && !f.node.leaf && !f.node.text {
		return d.fail("text between the elements")
	}
	return nil
}

func (d *decoding) end() error {
	if f := d.top(); d.strict && f.node != nil && f.node.leaf && !f.node.empty && !f.text {
		d.ended = true
		return d.fail("want " + f.node.want + ", not nothing")
	}
	return nil
}

// isNil reads xsi:nil (XML Schema Part 1 §2.6.2).
func isNil(t xml.StartElement) bool {
	for _, a := range t.Attr {
		if a.Name.Space == schemaSpace && a.Name.Local == "nil" {
			v := strings.TrimSpace(a.Value)
			return v == "true" || v == "1"
		}
	}
	return false
}

// writeName is {space}local, as error texts have it.
func writeName(n xml.Name) string {
	if n.Space == "" {
		return n.Local
	}
	return fmt.Sprintf("{%s}%s", n.Space, n.Local)
}

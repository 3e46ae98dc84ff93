package soap

import (
	"encoding"
	"encoding/xml"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
)

// A node is what a type says of an element that is decoded into it, by the
// rules of encoding/xml, which checks of them only that values fit. A nil node
// takes anything.
type node struct {
	leaf  bool   // holds text and no elements
	empty bool   // a leaf whose text may be empty
	want  string // what a leaf holds
	text  bool   // may have text between its elements
	rest  *child // takes the elements no other does
	kids  map[string][]*child
	attrs map[xml.Name]bool // those with a namespace
	any   bool              // takes attributes of any

	children int // rest included
}

// adopt adds a child and gives it its number.
func (n *node) adopt(c *child) {
	c.index = n.children
	n.children++
	n.kids[c.name.Local] = append(n.kids[c.name.Local], c)
}

// A child is an element that a node knows.
type child struct {
	name xml.Name // a Space that is empty stands for the parent's, or none
	list bool     // may come more than once
	node *node

	index int // among the children of its node
}

// own returns the attributes that may be fields: encoding/xml takes one
// of any namespace for a field without.
func (n *node) own(attrs []xml.Attr) []xml.Attr {
	if n == nil || n.any {
		return attrs
	}
	foreign := func(a xml.Attr) bool { return a.Name.Space != "" && !n.attrs[a.Name] }
	if !slices.ContainsFunc(attrs, foreign) {
		return attrs
	}
	return slices.DeleteFunc(slices.Clone(attrs), foreign)
}

// anything is the child of a node that takes anything.
var anything = &child{list: true}

// find returns the child that an element of an in-element is. A name without
// a namespace in its tag is one in the namespace of its parent (elements
// qualified, in the words of XML Schema) or in none (unqualified), and never
// in a third.
func (n *node) find(name, in xml.Name) (*child, bool) {
	if n == nil {
		return anything, true
	}
	for _, c := range n.kids[name.Local] {
		if c.name.Space == name.Space || c.name.Space == "" && name.Space == in.Space {
			return c, true
		}
	}
	return n.rest, n.rest != nil
}

// A shape is what is known of a message type.
type shape struct {
	name xml.Name // of its element; Local is empty if it has none
	node *node
	err  error // why it cannot be a message
}

var shapes sync.Map // reflect.Type -> shape

func shapeOf(t reflect.Type) shape {
	if s, ok := shapes.Load(t); ok {
		return s.(shape)
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	var s shape
	s.name, _ = nameOf(t)
	b := builder{made: map[reflect.Type]*node{}}
	s.node = b.node(t)
	if s.err = b.err; s.err == nil && s.name.Local == "" && t != reflect.TypeFor[struct{}]() {
		s.err = fmt.Errorf("%s has no element name: give it a field XMLName xml.Name with a tag such as `xml:\"urn:example order\"`", t)
	}
	shapes.Store(t, s)
	return s
}

// nameOf reads the tag of the XMLName field of a struct.
func nameOf(t reflect.Type) (xml.Name, bool) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return xml.Name{}, false
	}
	for f := range t.Fields() {
		if f.Name == "XMLName" {
			name, _ := readTag(f)
			return name, name.Local != ""
		}
		if f.Anonymous {
			if name, ok := nameOf(f.Type); ok {
				return name, true
			}
		}
	}
	return xml.Name{}, false
}

// readTag splits `xml:"space local,flags"`.
func readTag(f reflect.StructField) (name xml.Name, flags string) {
	tag, flags, _ := strings.Cut(f.Tag.Get("xml"), ",")
	if space, local, ok := strings.Cut(tag, " "); ok {
		return xml.Name{Space: space, Local: local}, flags
	}
	return xml.Name{Local: tag}, flags
}

type builder struct {
	made map[reflect.Type]*node // a type may hold itself
	err  error
}

var (
	elementType = reflect.TypeFor[xml.Unmarshaler]()
	textType    = reflect.TypeFor[encoding.TextUnmarshaler]()
)

func (b *builder) node(t reflect.Type) *node {
	for t.Kind() == reflect.Pointer {
		if t.Implements(elementType) {
			return nil
		}
		t = t.Elem()
	}
	if n, ok := b.made[t]; ok {
		return n
	}
	p := reflect.PointerTo(t)
	switch {
	case p.Implements(elementType):
		return nil
	case p.Implements(textType):
		return &node{leaf: true, empty: true, want: "a value of its form"}
	}
	switch t.Kind() {
	case reflect.Struct:
		n := &node{kids: map[string][]*child{}}
		b.made[t] = n
		b.fields(t, n)
		if n.text && len(n.kids) == 0 && n.rest == nil {
			n.leaf, n.empty = true, true
		}
		return n
	case reflect.Interface:
		return nil
	case reflect.Slice, reflect.String:
		return &node{leaf: true, empty: true, want: "a text"}
	case reflect.Bool:
		return &node{leaf: true, want: "true or false"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return &node{leaf: true, want: fmt.Sprintf("an integer of %d bits", t.Bits())}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return &node{leaf: true, want: fmt.Sprintf("an integer of %d bits, not negative", t.Bits())}
	case reflect.Float32, reflect.Float64:
		return &node{leaf: true, want: "a number"}
	}
	b.fail("%s cannot be read from XML", t)
	return nil
}

func (b *builder) fail(format string, args ...any) {
	if b.err == nil {
		b.err = fmt.Errorf(format, args...)
	}
}

var errInner = errors.New(`a field tagged ",innerxml" stays empty when it is read: use ",any" or an xml.Unmarshaler`)

func (b *builder) fields(t reflect.Type, n *node) {
	for f := range t.Fields() {
		under := f.Type
		if under.Kind() == reflect.Pointer {
			under = under.Elem()
		}
		tag := f.Tag.Get("xml")
		switch {
		case tag == "-" || f.Name == "XMLName" || !f.IsExported() && !f.Anonymous:
			continue
		case f.Anonymous && under.Kind() == reflect.Struct:
			b.fields(under, n)
			continue
		}
		name, flags := readTag(f)
		switch has := func(flag string) bool { return strings.Contains(","+flags+",", ","+flag+",") }; {
		case has("attr") && has("any"):
			n.any = true
		case has("attr"):
			if n.attrs == nil {
				n.attrs = map[xml.Name]bool{}
			}
			n.attrs[name] = true
		case has("comment"):
		case has("chardata"), has("cdata"):
			n.text = true
		case has("innerxml"):
			b.fail("%s.%s: %w", t, f.Name, errInner)
		case has("any"):
			list, elem := listOf(f.Type)
			n.rest = &child{list: list, node: b.node(elem), index: n.children}
			n.children++
		default:
			b.element(f, name, n)
		}
	}
}

// element adds the field to n, under its parents if it has some (a>b>c).
func (b *builder) element(f reflect.StructField, name xml.Name, n *node) {
	list, elem := listOf(f.Type)
	own, _ := nameOf(elem)
	if name.Local == "" {
		name.Local = own.Local
	}
	if name.Local == "" {
		name.Local = f.Name
	}
	if name.Space == "" {
		name.Space = own.Space
	}
	path := strings.Split(name.Local, ">")
	for _, p := range path[:len(path)-1] {
		n = n.parent(xml.Name{Space: name.Space, Local: p})
	}
	name.Local = path[len(path)-1]
	if name.Local == "" { // encoding/xml takes "a>" for a itself
		b.fail("%s: the tag of %s ends with >", f.Type, f.Name)
		return
	}
	n.adopt(&child{name: name, list: list, node: b.node(elem)})
}

// parent returns the node of the element that stands around some of n's.
func (n *node) parent(name xml.Name) *node {
	for _, c := range n.kids[name.Local] {
		if c.name == name && c.node != nil && c.node.kids != nil {
			return c.node
		}
	}
	in := &node{kids: map[string][]*child{}}
	n.adopt(&child{name: name, node: in})
	return in
}

// listOf says whether a field of type t takes several elements, and of what
// type.
func listOf(t reflect.Type) (bool, reflect.Type) {
	for p := t; ; p = p.Elem() {
		if reflect.PointerTo(p).Implements(elementType) || reflect.PointerTo(p).Implements(textType) {
			return false, t
		}
		if p.Kind() == reflect.Slice && p.Elem().Kind() != reflect.Uint8 {
			return true, p.Elem()
		}
		if p.Kind() != reflect.Pointer {
			return false, t
		}
	}
}

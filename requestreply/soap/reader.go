package soap

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
)

const (
	envelopeSpace = "http://schemas.xmlsoap.org/soap/envelope/"
	nextActor     = "http://schemas.xmlsoap.org/soap/actor/next" // SOAP 1.1 §4.2.2
	schemaSpace   = "http://www.w3.org/2001/XMLSchema-instance"
	xmlSpace      = "http://www.w3.org/XML/1998/namespace"
	ourSpace      = "https://github.com/crosstie/crosstie"
)

// A reader takes a message apart into tokens. encoding/xml cuts it; the reader
// resolves the namespaces, since encoding/xml takes a prefix that nobody
// declared for a namespace, and an attribute that comes twice for two.
type reader struct {
	raw  *xml.Decoder
	ns   map[string]string // prefix -> namespace, "" for the default one
	undo []binding
	open []opened
	cs   bool // the XML declaration names another charset
}

type binding struct {
	prefix, space string
	was           bool
}

type opened struct {
	raw, name xml.Name
	undo      int // len(reader.undo) before it
}

func newReader(data []byte) *reader {
	r := &reader{ns: map[string]string{"xml": xmlSpace}}
	r.raw = xml.NewDecoder(bytes.NewReader(data))
	r.raw.CharsetReader = func(charset string, in io.Reader) (io.Reader, error) {
		if isASCII(charset) {
			return in, nil
		}
		r.cs = true
		return nil, ErrCharset
	}
	return r
}

func isASCII(charset string) bool { return strings.EqualFold(charset, "us-ascii") }

// next returns the next token: a StartElement without namespace declarations,
// an EndElement or CharData, with names resolved. It ends with io.EOF.
func (r *reader) next() (xml.Token, error) {
	for {
		tok, err := r.raw.RawToken()
		if err != nil {
			return nil, r.broken(err)
		}
		switch t := tok.(type) {
		case xml.StartElement:
			return r.begin(t)
		case xml.EndElement:
			return r.end(t)
		case xml.CharData:
			if len(r.open) == 0 && len(bytes.TrimSpace(t)) > 0 {
				return nil, r.fail("text outside of the Envelope")
			}
			return tok, nil // t would be put into an interface anew
		case xml.Directive:
			return nil, &MessageError{Offset: r.raw.InputOffset(), Err: ErrForbidden}
		}
	}
}

func (r *reader) broken(err error) error {
	switch {
	case err == io.EOF && len(r.open) > 0:
		return r.fail("the message ends before its Envelope does")
	case err == io.EOF:
		return err
	case r.cs:
		return &MessageError{Offset: r.raw.InputOffset(), What: "the XML declaration names another charset", Err: ErrCharset}
	}
	// Its text names the prefix or the entity that is wrong.
	return r.fail("not well-formed XML")
}

func (r *reader) fail(what string) error {
	return &MessageError{Offset: r.raw.InputOffset(), What: what}
}

func (r *reader) begin(t xml.StartElement) (xml.Token, error) {
	o := opened{raw: t.Name, undo: len(r.undo)}
	for _, a := range t.Attr {
		switch {
		case a.Name.Space == "xmlns" && (a.Value == "" || a.Name.Local == "xmlns"),
			a.Name.Space == "xmlns" && (a.Name.Local == "xml") != (a.Value == xmlSpace):
			return nil, r.fail("a namespace declaration that XML forbids")
		case a.Name.Space == "xmlns":
			r.bind(a.Name.Local, a.Value)
		case a.Name.Space == "" && a.Name.Local == "xmlns":
			r.bind("", a.Value)
		}
	}
	var ok bool
	if o.name, ok = r.resolve(t.Name, true); !ok {
		return nil, r.fail("a prefix that is not declared")
	}
	var attrs []xml.Attr
	for _, a := range t.Attr {
		if a.Name.Space == "xmlns" || a.Name.Space == "" && a.Name.Local == "xmlns" {
			continue
		}
		if a.Name, ok = r.resolve(a.Name, false); !ok {
			return nil, r.fail("a prefix that is not declared")
		}
		if slices.ContainsFunc(attrs, func(b xml.Attr) bool { return a.Name == b.Name }) {
			return nil, r.fail("an attribute that comes twice")
		}
		attrs = append(attrs, a)
	}
	r.open = append(r.open, o)
	return xml.StartElement{Name: o.name, Attr: attrs}, nil
}

func (r *reader) end(t xml.EndElement) (xml.Token, error) {
	if len(r.open) == 0 || r.open[len(r.open)-1].raw != t.Name {
		return nil, r.fail("an end tag that does not match")
	}
	o := r.open[len(r.open)-1]
	r.open = r.open[:len(r.open)-1]
	for _, b := range slices.Backward(r.undo[o.undo:]) {
		if r.ns[b.prefix] = b.space; !b.was {
			delete(r.ns, b.prefix)
		}
	}
	r.undo = r.undo[:o.undo]
	return xml.EndElement{Name: o.name}, nil
}

func (r *reader) bind(prefix, space string) {
	old, was := r.ns[prefix]
	r.undo = append(r.undo, binding{prefix, old, was})
	r.ns[prefix] = space
}

func (r *reader) resolve(n xml.Name, element bool) (xml.Name, bool) {
	if n.Space == "" && !element {
		return n, true // the default namespace is one of elements
	}
	space, ok := r.ns[n.Space]
	ok = ok || n.Space == ""
	return xml.Name{Space: space, Local: n.Local}, ok
}

// qname resolves a qualified name in a text. One without a prefix, or with an
// unknown one, has no namespace: that is what old servers mean by it.
func qname(s string, ns map[string]string) xml.Name {
	prefix, local, ok := strings.Cut(strings.TrimSpace(s), ":")
	if !ok {
		return xml.Name{Local: prefix}
	}
	return xml.Name{Space: ns[prefix], Local: local}
}

// skip passes the rest of the element that began last.
func (r *reader) skip() error {
	for depth := len(r.open); ; {
		if _, err := r.next(); err != nil {
			return err
		}
		if len(r.open) < depth {
			return nil
		}
	}
}

// place is the path to where the reader is.
func (r *reader) place() string {
	var b strings.Builder
	for _, o := range r.open {
		b.WriteString("/" + o.name.Local)
	}
	return clip(b.String())
}

// clip keeps a place short enough to answer with.
func clip(place string) string {
	if len(place) <= 256 {
		return place
	}
	return strings.ToValidUTF8(place[:256], "") + "..."
}

// An element is a part of a message that is kept for somebody who knows its
// type.
type element struct {
	name   xml.Name
	tokens []xml.Token
}

// keep reads the element that t began.
func (r *reader) keep(t xml.StartElement) (element, error) {
	e := element{name: t.Name, tokens: []xml.Token{t}}
	for depth := len(r.open); ; {
		tok, err := r.next()
		if err != nil {
			return e, err
		}
		e.tokens = append(e.tokens, xml.CopyToken(tok))
		if len(r.open) < depth {
			return e, nil
		}
	}
}

// text is what stands in an element, without that of elements inside it.
func (e element) text() string {
	var b strings.Builder
	depth := 0
	for _, t := range e.tokens {
		switch t := t.(type) {
		case xml.StartElement:
			depth++
		case xml.EndElement:
			depth--
		case xml.CharData:
			if depth == 1 {
				b.Write(t)
			}
		}
	}
	return strings.TrimSpace(b.String())
}

// into decodes the element into v, whose XMLName is that of the element.
func (e element) into(v any, strict bool) error {
	rest := e.tokens[1:]
	d := decoding{strict: strict, next: func() (xml.Token, error) {
		if len(rest) == 0 {
			return nil, io.EOF
		}
		t := rest[0]
		rest = rest[1:]
		return t, nil
	}}
	return d.into(v, e.tokens[0].(xml.StartElement))
}

var errNoName = errors.New("the value has no element name: give its struct a field XMLName xml.Name with a tag")

// find decodes the first of the elements that has v's name.
func find(elements []element, v any, strict bool) (bool, error) {
	name, s := targetOf(v)
	if s != nil {
		return false, s
	}
	for _, e := range elements {
		if e.name == name {
			return true, e.into(v, strict)
		}
	}
	return false, nil
}

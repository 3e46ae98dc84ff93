package soap

import (
	"bytes"
	"cmp"
	"encoding"
	"encoding/xml"
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode"
)

// A schema is that of one namespace.
type schema struct {
	space, prefix string
	text          bytes.Buffer
	types         map[reflect.Type]string
	names         map[string]bool         // of types
	elements      map[string]reflect.Type // by name
}

var (
	timeType   = reflect.TypeFor[time.Time]()
	marshaller = reflect.TypeFor[xml.Marshaler]()
	textWriter = reflect.TypeFor[encoding.TextMarshaler]()
)

var simple = map[reflect.Kind]string{
	reflect.String: "string", reflect.Bool: "boolean", reflect.Float32: "float", reflect.Float64: "double",
	reflect.Int8: "byte", reflect.Int16: "short", reflect.Int32: "int", reflect.Int64: "long", reflect.Int: "long",
	reflect.Uint8: "unsignedByte", reflect.Uint16: "unsignedShort", reflect.Uint32: "unsignedInt", reflect.Uint64: "unsignedLong", reflect.Uint: "unsignedLong",
}

// typ names the type of an element or attribute, and adds it to the schema.
func (s *schema) typ(t reflect.Type, at string) (string, error) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	p := reflect.PointerTo(t)
	switch {
	case t == timeType:
		return "xsd:dateTime", nil
	case p.Implements(marshaller) || p.Implements(elementType):
		return "", fmt.Errorf("WSDL: %s: %s writes its own XML", at, t)
	case p.Implements(textWriter) || p.Implements(textType):
		return "xsd:string", nil
	case simple[t.Kind()] != "":
		return "xsd:" + simple[t.Kind()], nil
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		return "xsd:string", nil
	case t.Kind() != reflect.Struct:
		return "", fmt.Errorf("WSDL: %s: XML Schema has no words for %s", at, t)
	}
	if name, ok := s.types[t]; ok {
		return s.prefix + ":" + name, nil
	}
	name := typeName(t.Name())
	if name == "" {
		name = typeName(at)
	}
	for s.names[name] {
		name += "2"
	}
	s.types[t], s.names[name] = name, true
	inside, err := s.complex(t)
	if err == nil {
		fmt.Fprintf(&s.text, "<xsd:complexType name=%q>%s\n", name, strings.TrimPrefix(inside, "<xsd:complexType>"))
	}
	return s.prefix + ":" + name, err
}

// typeName keeps of a name what an identifier may have.
func typeName(s string) string {
	return strings.Map(func(r rune) rune {
		if r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r)) {
			return r
		}
		return -1
	}, s)
}

// A part is an element of a sequence: of a type, or around others.
type part struct {
	name   string
	attrs  string
	inside *parts
}

type parts struct{ list []*part }

// complex makes the type of a struct.
func (s *schema) complex(t reflect.Type) (string, error) {
	var all parts
	var attrs bytes.Buffer
	text := false
	if err := s.fields(t, &all, &attrs, &text); err != nil {
		return "", err
	}
	if text && len(all.list) == 0 {
		return `<xsd:complexType><xsd:simpleContent><xsd:extension base="xsd:string">` + attrs.String() + `</xsd:extension></xsd:simpleContent></xsd:complexType>`, nil
	}
	return "<xsd:complexType>" + all.sequence() + attrs.String() + "</xsd:complexType>", nil
}

func (p *parts) sequence() string {
	var b strings.Builder
	b.WriteString("<xsd:sequence>")
	for _, e := range p.list {
		if e.inside == nil {
			b.WriteString(e.attrs)
			continue
		}
		fmt.Fprintf(&b, `<xsd:element name="%s" minOccurs="0"><xsd:complexType>%s</xsd:complexType></xsd:element>`, escape(e.name), e.inside.sequence())
	}
	b.WriteString("</xsd:sequence>")
	return b.String()
}

func (s *schema) fields(t reflect.Type, to *parts, attrs *bytes.Buffer, text *bool) error {
	for f := range t.Fields() {
		under := f.Type
		if under.Kind() == reflect.Pointer {
			under = under.Elem()
		}
		switch {
		case f.Tag.Get("xml") == "-" || f.Name == "XMLName" || !f.IsExported() && !f.Anonymous:
			continue
		case f.Anonymous && under.Kind() == reflect.Struct:
			if err := s.fields(under, to, attrs, text); err != nil {
				return err
			}
			continue
		}
		at := t.String() + "." + f.Name
		name, flags := readTag(f)
		list, elem := listOf(f.Type)
		own, _ := nameOf(elem)
		local := cmp.Or(name.Local, own.Local, f.Name)
		if space := cmp.Or(name.Space, own.Space); space != "" && space != s.space {
			return fmt.Errorf("WSDL: %s is in another namespace than its element", at)
		}
		has := func(flag string) bool { return strings.Contains(","+flags+",", ","+flag+",") }
		switch {
		case has("chardata"), has("cdata"):
			*text = true
			continue
		case has("comment"):
			continue
		case has("any"), has("innerxml"):
			return fmt.Errorf("WSDL: %s may be anything", at)
		}
		typ, err := s.typ(elem, at)
		if err != nil {
			return err
		}
		if has("attr") {
			fmt.Fprintf(attrs, `<xsd:attribute name="%s" type="%s"/>`, escape(local), typ)
			continue
		}
		occurs := ""
		switch {
		case list:
			occurs = ` minOccurs="0" maxOccurs="unbounded"`
		case f.Type.Kind() == reflect.Pointer || has("omitempty"):
			occurs = ` minOccurs="0"`
		}
		path := strings.Split(local, ">")
		in := to
		for _, p := range path[:len(path)-1] {
			in = in.around(p)
		}
		in.list = append(in.list, &part{attrs: fmt.Sprintf(`<xsd:element name="%s" type="%s"%s/>`, escape(path[len(path)-1]), typ, occurs)})
	}
	return nil
}

// around returns what is inside of the element of that name (a>b).
func (p *parts) around(name string) *parts {
	for _, e := range p.list {
		if e.inside != nil && e.name == name {
			return e.inside
		}
	}
	e := &part{name: name, inside: new(parts)}
	p.list = append(p.list, e)
	return e.inside
}

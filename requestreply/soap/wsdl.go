package soap

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
)

// WSDLOptions configure [Mux.WSDL]. A nil *WSDLOptions is legal.
type WSDLOptions struct {
	// Blocks are values, zero ones will do, of the types of header blocks that
	// every operation may be sent. Defaults to none.
	Blocks []any
	// Details are values of the types of the details that every operation may
	// answer a fault with. Defaults to none.
	Details []any
}

// WSDL describes the operations of m in WSDL 1.1, document/literal, as a
// service of that name at that URL: what tools make clients from, WSDL2Apex of
// Salesforce among them. o may be nil.
//
// Elements are named by their tags and types by Go's. The elements of pointers
// and lists, and those tagged omitempty, may be missing. The text is the same
// each time. An error names the type or field that XML Schema has no words for
// (an interface, an xml.Unmarshaler, a field in another namespace than its
// element), two messages of one name, or the operation for the empty Body,
// which has no name.
func (m *Mux) WSDL(service, location string, o *WSDLOptions) ([]byte, error) {
	if o == nil {
		o = &WSDLOptions{}
	}
	if u, err := url.Parse(location); err != nil || u.Host == "" {
		return nil, fmt.Errorf("WSDL needs the URL that callers use")
	}
	if service == "" || typeName(service) != service {
		return nil, fmt.Errorf("WSDL needs a name of letters and digits for the service")
	}
	names := slices.SortedFunc(maps.Keys(m.ops), func(a, b xml.Name) int {
		return cmp.Or(cmp.Compare(a.Space, b.Space), cmp.Compare(a.Local, b.Local))
	})
	if len(names) == 0 {
		return nil, fmt.Errorf("WSDL: there are no operations")
	}
	w := wsdl{form: "qualified", schemas: map[string]*schema{}, messages: map[string]string{}}
	if m.o.Unqualified {
		w.form = "unqualified"
	}
	var messages, port, binding bytes.Buffer
	var faults, boundFaults, headers string
	for _, v := range o.Details {
		name, err := w.extra(v, "Fault")
		if err != nil {
			return nil, err
		}
		faults += fmt.Sprintf(`<fault name=%q message="tns:%sFault"/>`, name, name)
		boundFaults += fmt.Sprintf(`<fault name=%q><soap:fault name=%q use="literal"/></fault>`, name, name)
	}
	for _, v := range o.Blocks {
		name, err := w.extra(v, "Header")
		if err != nil {
			return nil, err
		}
		headers += fmt.Sprintf(`<soap:header message="tns:%sHeader" part="parameters" use="literal"/>`, name)
	}
	for _, name := range names {
		op := m.ops[name]
		if name.Local == "" {
			return nil, fmt.Errorf("WSDL: the operation for the empty Body has no name")
		}
		out := fmt.Sprintf(`<output message="tns:%sOut"/>`, name.Local)
		bound := `<output><soap:body use="literal"/></output>` + boundFaults
		out += faults
		if op.oneWay {
			out, bound = "", ""
		}
		if err := w.message(name.Local+"In", op.in); err != nil {
			return nil, err
		}
		if err := w.message(name.Local+"Out", op.out); err != nil && !op.oneWay {
			return nil, err
		}
		fmt.Fprintf(&port, "<operation name=%q><input message=\"tns:%sIn\"/>%s</operation>\n", name.Local, name.Local, out)
		fmt.Fprintf(&binding, "<operation name=%q><soap:operation soapAction=\"%s\"/><input>%s<soap:body use=\"literal\"/></input>%s</operation>\n",
			name.Local, escape(op.action), headers, bound)
	}
	for _, k := range slices.Sorted(maps.Keys(w.messages)) {
		fmt.Fprintf(&messages, "<message name=%q><part name=\"parameters\" element=%q/></message>\n", k, w.messages[k])
	}
	var b bytes.Buffer
	tns := escape(names[0].Space)
	fmt.Fprintf(&b, xml.Header+`<definitions name="%s" targetNamespace="%s" xmlns:tns="%s"`, service, tns, tns)
	for _, s := range w.order {
		fmt.Fprintf(&b, ` xmlns:%s="%s"`, s.prefix, escape(s.space))
	}
	b.WriteString(` xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/" xmlns="http://schemas.xmlsoap.org/wsdl/">` + "\n<types>\n")
	for _, s := range w.order {
		fmt.Fprintf(&b, "<xsd:schema targetNamespace=\"%s\" elementFormDefault=%q>\n%s</xsd:schema>\n", escape(s.space), w.form, s.text.String())
	}
	fmt.Fprintf(&b, "</types>\n%s<portType name=\"%sPort\">\n%s</portType>\n", messages.String(), service, port.String())
	fmt.Fprintf(&b, "<binding name=\"%sBinding\" type=\"tns:%sPort\"><soap:binding style=\"document\" transport=\"http://schemas.xmlsoap.org/soap/http\"/>\n%s</binding>\n", service, service, binding.String())
	fmt.Fprintf(&b, "<service name=\"%s\"><port name=\"%s\" binding=\"tns:%sBinding\"><soap:address location=\"%s\"/></port></service>\n</definitions>\n", service, service, service, escape(location))
	return b.Bytes(), nil
}

func escape(s string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(s))
	return b.String()
}

type wsdl struct {
	form     string
	schemas  map[string]*schema
	order    []*schema
	messages map[string]string // name -> element
}

// extra describes a header block or a detail, by a value of its type.
func (w *wsdl) extra(v any, suffix string) (string, error) {
	t := reflect.TypeOf(v)
	if t == nil {
		return "", fmt.Errorf("WSDL: a %s of no type", suffix)
	}
	s := shapeOf(t)
	if s.err != nil {
		return "", fmt.Errorf("WSDL: %w", s.err)
	}
	return s.name.Local, w.message(s.name.Local+suffix, t)
}

func (w *wsdl) message(name string, t reflect.Type) error {
	if w.messages[name] != "" {
		return fmt.Errorf("WSDL: two messages are named %s", name)
	}
	element := shapeOf(t).name
	prefix, err := w.element(element, t)
	if err == nil {
		w.messages[name] = prefix + ":" + element.Local
	}
	return err
}

func (w *wsdl) element(name xml.Name, t reflect.Type) (prefix string, err error) {
	if name.Space == "" {
		return "", fmt.Errorf("WSDL: the element %s has no namespace", name.Local)
	}
	s := w.schemas[name.Space]
	if s == nil {
		s = &schema{
			space: name.Space, prefix: fmt.Sprintf("n%d", len(w.order)),
			types: map[reflect.Type]string{}, names: map[string]bool{}, elements: map[string]reflect.Type{},
		}
		w.schemas[name.Space] = s
		w.order = append(w.order, s)
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch old, ok := s.elements[name.Local]; {
	case ok && old != t:
		return "", fmt.Errorf("WSDL: the element %s has two types, %s and %s", writeName(name), old, t)
	case ok:
		return s.prefix, nil
	}
	s.elements[name.Local] = t
	inside, err := s.complex(t)
	if err == nil {
		fmt.Fprintf(&s.text, "<xsd:element name=%q>%s</xsd:element>\n", name.Local, inside)
	}
	return s.prefix, err
}

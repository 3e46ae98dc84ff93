package soap

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"reflect"
	"slices"
)

// A Block is an entry of an envelope's Header: what is said beside the message,
// such as who sends it.
type Block struct {
	// Value is what encoding/xml makes the entry of: a struct whose XMLName
	// has a namespace.
	Value any
	// MustUnderstand says that who does not know the block must refuse the
	// message (SOAP 1.1 §4.2.3).
	MustUnderstand bool
	// Actor is the URI of whom the block is for; empty means whoever is called.
	Actor string
}

const (
	envelopeHead = xml.Header + `<soapenv:Envelope xmlns:soapenv="` + envelopeSpace + `">`
	bodyHead     = `<soapenv:Body>`
	envelopeTail = `</soapenv:Body></soapenv:Envelope>`
)

// writeEnvelope makes an envelope of blocks and what stands in its Body. The
// Envelope's own elements have a prefix and no default namespace, as the
// clients of Salesforce that read with expressions expect.
func writeEnvelope(blocks []Block, body []byte, unqualified bool) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(envelopeHead)
	if len(blocks) > 0 {
		b.WriteString(`<soapenv:Header>`)
		for _, k := range blocks {
			if err := k.write(&b, unqualified); err != nil {
				return nil, err
			}
		}
		b.WriteString(`</soapenv:Header>`)
	}
	b.WriteString(bodyHead)
	b.Write(body)
	b.WriteString(envelopeTail)
	return b.Bytes(), nil
}

func (k Block) write(b *bytes.Buffer, unqualified bool) error {
	t := reflect.TypeOf(k.Value)
	if t == nil {
		return fmt.Errorf("a Block without a Value")
	}
	if name, _ := nameOf(t); name.Space == "" {
		return fmt.Errorf("the Block %s has no namespace: give it a field XMLName xml.Name with a tag such as `xml:\"urn:example session\"`", t)
	}
	data, err := marshal(k.Value, unqualified)
	if err != nil || len(data) == 0 {
		return fmt.Errorf("the Block %s cannot be written as XML", t)
	}
	var attrs bytes.Buffer
	if k.MustUnderstand {
		attrs.WriteString(` soapenv:mustUnderstand="1"`)
	}
	if k.Actor != "" {
		attrs.WriteString(` soapenv:actor="`)
		_ = xml.EscapeText(&attrs, []byte(k.Actor))
		attrs.WriteString(`"`)
	}
	n := bytes.IndexAny(data, " />") // behind the name
	b.Write(data[:n])
	b.Write(attrs.Bytes())
	b.Write(data[n:])
	return nil
}

// marshal makes the element of a message. Where its parts are unqualified,
// they take themselves out of the namespace that is the default around them:
// encoding/xml lets them inherit it.
func marshal(v any, unqualified bool) ([]byte, error) {
	data, err := xml.Marshal(v)
	if err != nil || !unqualified {
		return data, err
	}
	d := xml.NewDecoder(bytes.NewReader(data))
	var out bytes.Buffer
	var inside []bool // for each open element, whether a default namespace is around its parts
	from := int64(0)
	for {
		at := d.InputOffset()
		tok, err := d.RawToken()
		if err != nil {
			out.Write(data[from:])
			return out.Bytes(), nil
		}
		switch t := tok.(type) {
		case xml.StartElement:
			around := len(inside) > 0 && inside[len(inside)-1]
			i := slices.IndexFunc(t.Attr, func(a xml.Attr) bool { return a.Name.Space == "" && a.Name.Local == "xmlns" })
			switch {
			case i >= 0:
				around = t.Attr[i].Value != ""
			case around && t.Name.Space == "":
				n := at + int64(bytes.IndexAny(data[at:], " />"))
				out.Write(data[from:n])
				out.WriteString(` xmlns=""`)
				from, around = n, false
			}
			inside = append(inside, around)
		case xml.EndElement:
			inside = inside[:len(inside)-1]
		}
	}
}

// An envelope is what a message was, but for the element in its Body.
type envelope struct {
	blocks []element
	must   []xml.Name // of the blocks that must be understood, by us
	fault  *Fault
	name   xml.Name // of the element in the Body; Local is empty if there is none
}

// readEnvelope takes a message apart. It calls body for the element in the
// Body, unless that is a Fault, with a decoding that is ready to read it, and
// none when nobody wants it; all before the Body is known by then.
func readEnvelope(data []byte, l Limits, strict bool, body func(*envelope, *decoding, xml.StartElement) error) (*envelope, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if err := scan(data, l); err != nil {
		return nil, err
	}
	p := parser{reader: newReader(data), strict: strict, body: body}
	root, err := p.element()
	switch {
	case err != nil:
		return nil, err
	case root == nil:
		return nil, p.fail("the message is empty")
	case root.Name.Local != "Envelope":
		return nil, p.fail("want an Envelope")
	case root.Name.Space != envelopeSpace:
		return nil, &MessageError{Place: "/Envelope", Offset: p.raw.InputOffset(), Err: ErrVersion}
	}
	if err := p.envelope(); err != nil {
		return nil, err
	}
	if rest, err := p.element(); rest != nil || err != nil {
		if err == nil {
			err = p.fail("the message goes on after its Envelope")
		}
		return nil, err
	}
	return &p.got, nil
}

type parser struct {
	*reader
	strict bool
	body   func(*envelope, *decoding, xml.StartElement) error
	got    envelope
}

// element returns the start of the next element; nil when the one around it,
// or the message, has ended.
func (p *parser) element() (*xml.StartElement, error) {
	depth := len(p.open)
	for {
		tok, err := p.next()
		if depth == 0 && err == io.EOF {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		switch t := tok.(type) {
		case xml.StartElement:
			return &t, nil
		case xml.EndElement:
			return nil, nil
		case xml.CharData:
			if len(bytes.TrimSpace(t)) > 0 {
				return nil, p.wrong("text between the elements")
			}
		}
	}
}

func (p *parser) wrong(what string) error {
	return &MessageError{Place: p.place(), Offset: p.raw.InputOffset(), What: what}
}

func (p *parser) envelope() error {
	e, err := p.element()
	if err != nil {
		return err
	}
	if e != nil && e.Name == (xml.Name{Space: envelopeSpace, Local: "Header"}) {
		if err := p.header(); err != nil {
			return err
		}
		if e, err = p.element(); err != nil {
			return err
		}
	}
	if e == nil || e.Name != (xml.Name{Space: envelopeSpace, Local: "Body"}) {
		return p.wrong("want a Body")
	}
	if err := p.inBody(); err != nil {
		return err
	}
	if e, err = p.element(); e != nil {
		return p.wrong("nothing may come after the Body")
	}
	return err
}

func (p *parser) header() error {
	for {
		t, err := p.element()
		if t == nil || err != nil {
			return err
		}
		e, err := p.keep(*t)
		if err != nil {
			return err
		}
		p.got.blocks = append(p.got.blocks, e)
		if ours, must := addressed(*t); ours && must {
			p.got.must = append(p.got.must, t.Name)
		}
	}
}

// addressed reads the attributes of a block (SOAP 1.1 §4.2.2, §4.2.3).
func addressed(t xml.StartElement) (ours, must bool) {
	ours = true
	for _, a := range t.Attr {
		switch a.Name {
		case xml.Name{Space: envelopeSpace, Local: "actor"}:
			ours = a.Value == "" || a.Value == nextActor
		case xml.Name{Space: envelopeSpace, Local: "mustUnderstand"}:
			v := string(bytes.TrimSpace([]byte(a.Value)))
			must = v == "1" || v == "true"
		}
	}
	return ours, must
}

func (p *parser) inBody() error {
	t, err := p.element()
	if err != nil || t == nil {
		if err == nil && p.body != nil {
			err = p.body(&p.got, nil, xml.StartElement{})
		}
		return err
	}
	p.got.name = t.Name
	if t.Name == (xml.Name{Space: envelopeSpace, Local: "Fault"}) {
		if p.got.fault, err = p.fault(); err != nil {
			return err
		}
	} else if err := p.message(*t); err != nil {
		return err
	}
	if t, err = p.element(); t != nil {
		return p.wrong("the Body has more than one element")
	}
	return err
}

// message has the element in the Body decoded, or passes it.
func (p *parser) message(t xml.StartElement) error {
	depth := len(p.open)
	d := &decoding{next: p.next, strict: p.strict, at: "/Envelope/Body", offset: p.raw.InputOffset}
	if err := p.body(&p.got, d, t); err != nil {
		return err
	}
	if len(p.open) >= depth {
		return p.skip()
	}
	return nil
}

// understood looks for a block that must be understood and is not among known.
func (e *envelope) understood(known []xml.Name) error {
	for _, name := range e.must {
		if !slices.Contains(known, name) {
			return &MessageError{Place: clip("/Envelope/Header/" + name.Local), Err: ErrMustUnderstand}
		}
	}
	return nil
}

package outbound

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"strings"
)

const (
	space        = "http://soap.sforce.com/2005/09/outbound"
	sobjectSpace = "urn:sobject.enterprise.soap.sforce.com"
	schemaSpace  = "http://www.w3.org/2001/XMLSchema-instance"

	// most is how many notifications a message may have, as the WSDL says.
	most = 100
)

// A message is what stands in the Body.
type message struct {
	XMLName        xml.Name       `xml:"http://soap.sforce.com/2005/09/outbound notifications"`
	OrganizationID string         `xml:"OrganizationId"`
	ActionID       string         `xml:"ActionId"`
	Session        skipped        `xml:"SessionId"`
	EnterpriseURL  skipped        `xml:"EnterpriseUrl"`
	PartnerURL     skipped        `xml:"PartnerUrl"`
	Notifications  []notification `xml:"Notification"`
}

type notification struct {
	ID      string  `xml:"Id"`
	SObject sobject `xml:"sObject"`
}

type reply struct {
	XMLName xml.Name `xml:"http://soap.sforce.com/2005/09/outbound notificationsResponse"`
	Ack     bool     `xml:"Ack"`
}

// skipped is an element whose text is never kept.
type skipped struct{}

// UnmarshalXML implements [xml.Unmarshaler].
func (*skipped) UnmarshalXML(d *xml.Decoder, _ xml.StartElement) error { return d.Skip() }

// An sobject is a record as it was sent. It reads any fields, since the
// administrator chooses them.
type sobject struct {
	typ    string // the local part of xsi:type; empty if there was none
	fields []field
	wrong  string // what is wrong with its form, or nothing
}

type field struct {
	name   string
	text   string
	null   bool
	nested bool // it held elements
}

// UnmarshalXML implements [xml.Unmarshaler]. It notes what is wrong and reads on,
// so that what can be said of it names the notification.
func (s *sobject) UnmarshalXML(d *xml.Decoder, start xml.StartElement) error {
	if t, ok := attribute(start, "type"); ok {
		_, local, prefixed := strings.Cut(t, ":")
		if !prefixed {
			local = t
		}
		s.typ = strings.TrimSpace(local)
	}
	for {
		tok, err := d.Token()
		if err != nil {
			return err
		}
		switch t := tok.(type) {
		case xml.StartElement:
			f, err := readField(d, t)
			if err != nil {
				return err
			}
			if t.Name.Space != sobjectSpace {
				s.wrong = "a field that is not in the namespace of sObjects"
			}
			s.fields = append(s.fields, f)
		case xml.EndElement:
			return nil
		case xml.CharData:
			if len(bytes.TrimSpace(t)) > 0 {
				s.wrong = "text between the fields"
			}
		}
	}
}

func readField(d *xml.Decoder, start xml.StartElement) (field, error) {
	f := field{name: start.Name.Local}
	if v, ok := attribute(start, "nil"); ok {
		v = strings.TrimSpace(v)
		f.null = v == "true" || v == "1"
	}
	var b strings.Builder
	for {
		tok, err := d.Token()
		if err != nil {
			return f, err
		}
		switch t := tok.(type) {
		case xml.StartElement:
			f.nested = true
			if err := d.Skip(); err != nil {
				return f, err
			}
		case xml.EndElement:
			f.text = b.String()
			return f, nil
		case xml.CharData:
			b.Write(t)
		}
	}
}

// attribute returns one of XML Schema's own.
func attribute(e xml.StartElement, name string) (string, bool) {
	for _, a := range e.Attr {
		if a.Name.Space == schemaSpace && a.Name.Local == name {
			return a.Value, true
		}
	}
	return "", false
}

// id returns the value of the field Id.
func (s *sobject) id() string {
	for _, f := range s.fields {
		if strings.EqualFold(f.name, "Id") {
			return f.text
		}
	}
	return ""
}

// raw is the record as a JSON object of texts and nulls.
func (s *sobject) raw() json.RawMessage {
	m := make(map[string]*string, len(s.fields))
	for _, f := range s.fields {
		if m[f.name] = nil; !f.null {
			m[f.name] = &f.text
		}
	}
	b, _ := json.Marshal(m) // texts and nulls can always be written
	return b
}

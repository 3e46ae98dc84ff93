package soap_test

import (
	"context"
	"encoding/xml"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/requestreply/soap"
)

type described struct {
	XMLName xml.Name `xml:"urn:all described"`
	Base
	Text    string          `xml:"text"`
	Flag    bool            `xml:"flag,omitempty"`
	Small   int8            `xml:"small"`
	Count   *int32          `xml:"count"`
	Big     uint64          `xml:"big"`
	Rate    float64         `xml:"rate"`
	At      time.Time       `xml:"at"`
	Raw     []byte          `xml:"raw"`
	Many    []string        `xml:"many"`
	Tree    *tree           `xml:"tree"`
	Inside  []priced        `xml:"box>list>priced"`
	Beside  string          `xml:"box>note"`
	Unnamed struct{ A int } `xml:"unnamed"`
	Skipped io.Reader       `xml:"-"`
}

type Base struct {
	Version int `xml:"version,attr"`
}

type tree struct {
	Kids []tree `xml:"kid"`
}

type priced struct {
	Currency string `xml:"currency,attr"`
	Amount   string `xml:",chardata"`
}

// What Go's types are in XML Schema.
func TestWSDLTypes(t *testing.T) {
	m := soap.NewMux(nil)
	soap.Handle(m, "urn:a?b&c", func(context.Context, described) (struct{}, error) { return struct{}{}, nil })
	w, err := m.WSDL("All", "https://acme.example/soap?a=1&b=2", nil)
	require.NoError(t, err)
	require.Equal(t, `<?xml version="1.0" encoding="UTF-8"?>
<definitions name="All" targetNamespace="urn:all" xmlns:tns="urn:all" xmlns:n0="urn:all" xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/" xmlns="http://schemas.xmlsoap.org/wsdl/">
<types>
<xsd:schema targetNamespace="urn:all" elementFormDefault="qualified">
<xsd:complexType name="tree"><xsd:sequence><xsd:element name="kid" type="n0:tree" minOccurs="0" maxOccurs="unbounded"/></xsd:sequence></xsd:complexType>
<xsd:complexType name="priced"><xsd:simpleContent><xsd:extension base="xsd:string"><xsd:attribute name="currency" type="xsd:string"/></xsd:extension></xsd:simpleContent></xsd:complexType>
<xsd:complexType name="soaptestdescribedUnnamed"><xsd:sequence><xsd:element name="A" type="xsd:long"/></xsd:sequence></xsd:complexType>
<xsd:element name="described"><xsd:complexType><xsd:sequence><xsd:element name="text" type="xsd:string"/><xsd:element name="flag" type="xsd:boolean" minOccurs="0"/><xsd:element name="small" type="xsd:byte"/><xsd:element name="count" type="xsd:int" minOccurs="0"/><xsd:element name="big" type="xsd:unsignedLong"/><xsd:element name="rate" type="xsd:double"/><xsd:element name="at" type="xsd:dateTime"/><xsd:element name="raw" type="xsd:string"/><xsd:element name="many" type="xsd:string" minOccurs="0" maxOccurs="unbounded"/><xsd:element name="tree" type="n0:tree" minOccurs="0"/><xsd:element name="box" minOccurs="0"><xsd:complexType><xsd:sequence><xsd:element name="list" minOccurs="0"><xsd:complexType><xsd:sequence><xsd:element name="priced" type="n0:priced" minOccurs="0" maxOccurs="unbounded"/></xsd:sequence></xsd:complexType></xsd:element><xsd:element name="note" type="xsd:string"/></xsd:sequence></xsd:complexType></xsd:element><xsd:element name="unnamed" type="n0:soaptestdescribedUnnamed"/></xsd:sequence><xsd:attribute name="version" type="xsd:long"/></xsd:complexType></xsd:element>
</xsd:schema>
</types>
<message name="describedIn"><part name="parameters" element="n0:described"/></message>
<portType name="AllPort">
<operation name="described"><input message="tns:describedIn"/></operation>
</portType>
<binding name="AllBinding" type="tns:AllPort"><soap:binding style="document" transport="http://schemas.xmlsoap.org/soap/http"/>
<operation name="described"><soap:operation soapAction="urn:a?b&amp;c"/><input><soap:body use="literal"/></input></operation>
</binding>
<service name="All"><port name="All" binding="tns:AllBinding"><soap:address location="https://acme.example/soap?a=1&amp;b=2"/></port></service>
</definitions>
`, string(w))
}

// Headers, faults, answers and several namespaces; the same text each time.
func TestWSDLService(t *testing.T) {
	m := stock(&soap.Options{Unqualified: true}, take)
	soap.Handle(m, "", func(context.Context, described) (Ack, error) { return Ack{}, nil })
	o := &soap.WSDLOptions{Blocks: []any{Session{}}, Details: []any{&OutOfStock{}}}
	w, err := m.WSDL("Stock", "https://acme.example/soap", o)
	require.NoError(t, err)
	for range 5 {
		again, err := m.WSDL("Stock", "https://acme.example/soap", o)
		require.NoError(t, err)
		require.Equal(t, string(w), string(again))
	}
	for _, want := range []string{
		`elementFormDefault="unqualified"`,
		`<message name="sessionHeader"><part name="parameters" element="n0:session"/></message>`,
		`<soap:header message="tns:sessionHeader" part="parameters" use="literal"/>`,
		`<fault name="outOfStock" message="tns:outOfStockFault"/>`,
		`<fault name="outOfStock"><soap:fault name="outOfStock" use="literal"/></fault>`,
		`<output message="tns:reserveOut"/>`,
		`xmlns:n1="urn:all"`, `xmlns:n2="http://soap.sforce.com/2005/09/outbound"`,
	} {
		require.Contains(t, string(w), want)
	}
	require.NotContains(t, string(w), `"tns:pingOut"`)
	d := xml.NewDecoder(strings.NewReader(string(w)))
	for err == nil {
		_, err = d.Token()
	}
	require.Equal(t, io.EOF, err, "well-formed")
}

type (
	withAny struct {
		XMLName xml.Name `xml:"urn:x op"`
		Any     []struct {
			XMLName xml.Name
		} `xml:",any"`
	}
	withInterface struct {
		XMLName xml.Name `xml:"urn:x op"`
		V       any      `xml:"v"`
	}
	withForeign struct {
		XMLName xml.Name `xml:"urn:x op"`
		V       string   `xml:"urn:y v"`
	}
	withOwn struct {
		XMLName xml.Name `xml:"urn:x op"`
		V       own      `xml:"v"`
	}
	own      struct{}
	unspaced struct {
		XMLName xml.Name `xml:"op"`
	}
	otherPing struct {
		XMLName xml.Name `xml:"urn:other ping"`
	}
)

func (*own) UnmarshalXML(d *xml.Decoder, _ xml.StartElement) error { return d.Skip() }

func TestWSDLRefuses(t *testing.T) {
	of := func(add func(*soap.Mux)) func() ([]byte, error) {
		return func() ([]byte, error) {
			m := stock(nil, take)
			add(m)
			return m.WSDL("Stock", "https://acme.example/", nil)
		}
	}
	good := stock(nil, take)
	for want, try := range map[string]func() ([]byte, error){
		"needs the URL": func() ([]byte, error) { return good.WSDL("Stock", "/soap?SECRET", nil) },
		"needs a name":  func() ([]byte, error) { return good.WSDL("St ock", "https://acme.example/", nil) },
		"no operations": func() ([]byte, error) { return soap.NewMux(nil).WSDL("Stock", "https://acme.example/", nil) },
		"a Fault of no type": func() ([]byte, error) {
			return good.WSDL("Stock", "https://acme.example/", &soap.WSDLOptions{Details: []any{nil}})
		},
		"has no element name": func() ([]byte, error) {
			return good.WSDL("Stock", "https://acme.example/", &soap.WSDLOptions{Blocks: []any{NoName{}}})
		},
		"the empty Body has no name": of(func(m *soap.Mux) {
			soap.Handle(m, "", func(context.Context, struct{}) (struct{}, error) { return struct{}{}, nil })
		}),
		"withAny.Any may be anything": of(func(m *soap.Mux) {
			soap.Handle(m, "", func(context.Context, withAny) (struct{}, error) { return struct{}{}, nil })
		}),
		"withInterface.V: XML Schema": of(func(m *soap.Mux) {
			soap.Handle(m, "", func(context.Context, withInterface) (struct{}, error) { return struct{}{}, nil })
		}),
		"withForeign.V is in another": of(func(m *soap.Mux) {
			soap.Handle(m, "", func(context.Context, withForeign) (struct{}, error) { return struct{}{}, nil })
		}),
		"own writes its own XML": of(func(m *soap.Mux) {
			soap.Handle(m, "", func(context.Context, withOwn) (struct{}, error) { return struct{}{}, nil })
		}),
		"the element op has no names": of(func(m *soap.Mux) {
			soap.Handle(m, "", func(context.Context, unspaced) (struct{}, error) { return struct{}{}, nil })
		}),
		"two messages are named pingIn": of(func(m *soap.Mux) {
			soap.Handle(m, "", func(context.Context, otherPing) (struct{}, error) { return struct{}{}, nil })
		}),
	} {
		t.Run(want, func(t *testing.T) {
			_, err := try()
			require.ErrorContains(t, err, want)
			require.NotContains(t, err.Error(), "SECRET")
		})
	}
}

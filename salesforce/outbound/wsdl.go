package outbound

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/crosstie/crosstie/salesforce"
)

// describe answers with the WSDL.
func (l *Listener) describe(w http.ResponseWriter, r *http.Request) {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	w.Header().Set("Content-Type", "text/xml; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store") // the path may hold a secret
	_, _ = w.Write(l.WSDL(cmp.Or(l.o.URL, scheme+"://"+r.Host+r.URL.EscapedPath())))
}

// WSDL describes the messages that the listener takes, in WSDL 1.1, as the org
// describes those it sends, with the fields of T: for tools that stand in for
// the org. The org needs none. GET with the query wsdl answers with it, to whom
// the [Sender] admits.
func (l *Listener) WSDL(location string) []byte {
	var fields strings.Builder
	for _, c := range l.columns {
		if !strings.EqualFold(c.name, "Id") { // every sObject has it
			fmt.Fprintf(&fields, "\n          <element name=\"%s\" nillable=\"true\" minOccurs=\"0\" type=\"xsd:%s\"/>", escape(c.name), simple(c.typ))
		}
	}
	return []byte(strings.NewReplacer("{object}", escape(l.object), "{fields}", fields.String(), "{location}", escape(location)).Replace(wsdl))
}

var dates = map[reflect.Type]string{
	reflect.TypeFor[time.Time]():       "dateTime",
	reflect.TypeFor[salesforce.Time](): "dateTime",
	reflect.TypeFor[salesforce.Date](): "date",
	reflect.TypeFor[salesforce.Int]():  "double", // the org may print 12 as 12.0
}

// simple names the type of XML Schema that is sent for a Go type.
func simple(t reflect.Type) string {
	t = base(t)
	switch {
	case dates[t] != "":
		return dates[t]
	case !isBare(t):
		return "string"
	case t.Kind() == reflect.Bool:
		return "boolean"
	case t.Kind() == reflect.Float32 || t.Kind() == reflect.Float64:
		return "double"
	case t.Kind() == reflect.Int64 || t.Kind() == reflect.Int || t.Kind() >= reflect.Uint32:
		return "long"
	}
	return "int"
}

func escape(s string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(s))
	return b.String()
}

const wsdl = `<?xml version="1.0" encoding="UTF-8"?>
<definitions targetNamespace="http://soap.sforce.com/2005/09/outbound"
    xmlns="http://schemas.xmlsoap.org/wsdl/"
    xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/"
    xmlns:tns="http://soap.sforce.com/2005/09/outbound"
    xmlns:ent="urn:enterprise.soap.sforce.com"
    xmlns:ens="urn:sobject.enterprise.soap.sforce.com"
    xmlns:xsd="http://www.w3.org/2001/XMLSchema">
  <types>
    <schema elementFormDefault="qualified" xmlns="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:enterprise.soap.sforce.com">
      <simpleType name="ID">
        <restriction base="xsd:string">
          <length value="18"/>
          <pattern value="[a-zA-Z0-9]{18}"/>
        </restriction>
      </simpleType>
    </schema>
    <schema elementFormDefault="qualified" xmlns="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:sobject.enterprise.soap.sforce.com">
      <import namespace="urn:enterprise.soap.sforce.com"/>
      <complexType name="sObject">
        <sequence>
          <element name="fieldsToNull" type="xsd:string" nillable="true" minOccurs="0" maxOccurs="unbounded"/>
          <element name="Id" type="ent:ID" nillable="true"/>
        </sequence>
      </complexType>
      <complexType name="{object}">
        <complexContent><extension base="ens:sObject"><sequence>{fields}
        </sequence></extension></complexContent>
      </complexType>
    </schema>
    <schema elementFormDefault="qualified" xmlns="http://www.w3.org/2001/XMLSchema" targetNamespace="http://soap.sforce.com/2005/09/outbound">
      <import namespace="urn:enterprise.soap.sforce.com"/>
      <import namespace="urn:sobject.enterprise.soap.sforce.com"/>
      <element name="notifications">
        <complexType><sequence>
          <element name="OrganizationId" type="ent:ID"/>
          <element name="ActionId" type="ent:ID"/>
          <element name="SessionId" type="xsd:string" nillable="true"/>
          <element name="EnterpriseUrl" type="xsd:string"/>
          <element name="PartnerUrl" type="xsd:string"/>
          <element name="Notification" type="tns:{object}Notification" maxOccurs="100"/>
        </sequence></complexType>
      </element>
      <complexType name="{object}Notification">
        <sequence>
          <element name="Id" type="ent:ID"/>
          <element name="sObject" type="ens:{object}"/>
        </sequence>
      </complexType>
      <element name="notificationsResponse">
        <complexType><sequence>
          <element name="Ack" type="xsd:boolean"/>
        </sequence></complexType>
      </element>
    </schema>
  </types>
  <message name="notificationsRequest"><part element="tns:notifications" name="request"/></message>
  <message name="notificationsResponse"><part element="tns:notificationsResponse" name="response"/></message>
  <portType name="NotificationPort">
    <operation name="notifications">
      <input message="tns:notificationsRequest"/>
      <output message="tns:notificationsResponse"/>
    </operation>
  </portType>
  <binding name="NotificationBinding" type="tns:NotificationPort">
    <soap:binding style="document" transport="http://schemas.xmlsoap.org/soap/http"/>
    <operation name="notifications">
      <soap:operation soapAction=""/>
      <input><soap:body use="literal"/></input>
      <output><soap:body use="literal"/></output>
    </operation>
  </binding>
  <service name="NotificationService">
    <port binding="tns:NotificationBinding" name="Notification"><soap:address location="{location}"/></port>
  </service>
</definitions>
`

package soap_test

import (
	"context"
	"encoding/xml"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply/soap"
)

type told struct {
	XMLName xml.Name `xml:"urn:warehouse reserveResponse"`
	Left    int      `xml:"left"`
	Who     string   `xml:"who"`
	Lines   int      `xml:"lines"`
	Note    *string  `xml:"note"`
}

// What other implementations send and answer: see testdata/wire.
func TestWire(t *testing.T) {
	files := func(kind string) []string {
		names, err := filepath.Glob("testdata/wire/*-" + kind + ".xml")
		require.NoError(t, err)
		require.GreaterOrEqual(t, len(names), 4, kind)
		return names
	}
	read := func(name string) string {
		data, err := os.ReadFile(name)
		require.NoError(t, err)
		return string(data)
	}
	understands := &soap.Options{Understands: []xml.Name{{Space: warehouse, Local: "session"}}}
	for _, name := range files("request") {
		t.Run(filepath.Base(name), func(t *testing.T) {
			m := soap.NewMux(understands)
			soap.Handle(m, "urn:warehouse#reserve", func(ctx context.Context, r Reserve) (Reserved, error) {
				var s Session
				found, err := soap.ReadBlock(ctx, &s)
				require.NoError(t, err)
				require.True(t, found)
				require.Equal(t, "s1", s.ID)
				require.Equal(t, "ä84", r.SKU)
				require.Equal(t, 3, r.Qty)
				require.Equal(t, "n & <o>", *r.Note)
				require.Equal(t, []Line{{"A", 1}, {"B", 2}}, r.Lines)
				return Reserved{Left: 7}, nil
			})
			w := post(t, m, read(name), `SOAPAction: "urn:warehouse#reserve"`)
			require.Equal(t, 200, w.Code, w.Body.String())
		})
	}
	for _, name := range files("answer") {
		t.Run(filepath.Base(name), func(t *testing.T) {
			r, err := soap.Endpoint[Reserve, told]{URL: serving(t, answering(200, textXML, read(name)))}.Call(t.Context(), Reserve{})
			require.NoError(t, err)
			require.Equal(t, 7, r.Left)
			require.Equal(t, "s1/ä84", r.Who)
			require.Equal(t, 2, r.Lines)
			require.Equal(t, "n & <o>", *r.Note)
		})
	}
	for _, name := range files("fault") {
		t.Run(filepath.Base(name), func(t *testing.T) {
			_, err := soap.Endpoint[Reserve, told]{URL: serving(t, answering(500, textXML, read(name)))}.Call(t.Context(), Reserve{})
			require.Equal(t, outcome.Refused, outcome.Of(err))
			f, ok := errors.AsType[*soap.Fault](err)
			require.True(t, ok)
			require.Equal(t, "Client", f.Code)
			require.Equal(t, "only 10 <left>", f.Text)
			var d OutOfStock
			found, err := f.In(&d)
			require.NoError(t, err)
			require.True(t, found)
			require.Equal(t, 10, d.Left)
		})
	}
}

const outboundSpace = "http://soap.sforce.com/2005/09/outbound"

type Notifications struct {
	XMLName        xml.Name       `xml:"http://soap.sforce.com/2005/09/outbound notifications"`
	OrganizationID string         `xml:"OrganizationId"`
	ActionID       string         `xml:"ActionId"`
	SessionID      *string        `xml:"SessionId"`
	EnterpriseURL  string         `xml:"EnterpriseUrl"`
	PartnerURL     string         `xml:"PartnerUrl"`
	Notification   []Notification `xml:"Notification"`
}

type Notification struct {
	ID      string `xml:"Id"`
	SObject struct {
		Type string `xml:"http://www.w3.org/2001/XMLSchema-instance type,attr"`
		ID   string `xml:"urn:sobject.enterprise.soap.sforce.com Id"`
		Name string `xml:"urn:sobject.enterprise.soap.sforce.com Name"`
	} `xml:"sObject"`
}

type Ack struct {
	XMLName xml.Name `xml:"http://soap.sforce.com/2005/09/outbound notificationsResponse"`
	Ack     bool     `xml:"Ack"`
}

// A message in the form that Salesforce's outbound messages have: a default
// namespace around, another inside, a session that is nil.
func TestOutboundMessage(t *testing.T) {
	m := soap.NewMux(nil)
	soap.Handle(m, "", func(_ context.Context, n Notifications) (Ack, error) {
		require.Nil(t, n.SessionID)
		require.Len(t, n.Notification, 2)
		require.Equal(t, "04l000000000001AAA", n.Notification[0].ID)
		require.Equal(t, "001000000000001AAA", n.Notification[0].SObject.ID)
		require.Equal(t, "Acme & Sons", n.Notification[0].SObject.Name)
		require.Equal(t, "sf:Account", n.Notification[0].SObject.Type)
		return Ack{Ack: n.OrganizationID == "00D000000000001AAA"}, nil
	})
	w := post(t, m, `<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
 <soapenv:Body>
  <notifications xmlns="http://soap.sforce.com/2005/09/outbound">
   <OrganizationId>00D000000000001AAA</OrganizationId>
   <ActionId>04k000000000001AAA</ActionId>
   <SessionId xsi:nil="true"/>
   <EnterpriseUrl>https://acme.my.salesforce.com/services/Soap/c/64.0/00D000000000001</EnterpriseUrl>
   <PartnerUrl>https://acme.my.salesforce.com/services/Soap/u/64.0/00D000000000001</PartnerUrl>
   <Notification>
    <Id>04l000000000001AAA</Id>
    <sObject xsi:type="sf:Account" xmlns:sf="urn:sobject.enterprise.soap.sforce.com">
     <sf:Id>001000000000001AAA</sf:Id>
     <sf:Name>Acme &amp; Sons</sf:Name>
    </sObject>
   </Notification>
   <Notification>
    <Id>04l000000000002AAA</Id>
    <sObject xsi:type="sf:Account" xmlns:sf="urn:sobject.enterprise.soap.sforce.com"><sf:Id>001000000000002AAA</sf:Id></sObject>
   </Notification>
  </notifications>
 </soapenv:Body>
</soapenv:Envelope>`, `SOAPAction: ""`)
	require.Contains(t, w.Body.String(), `<notificationsResponse xmlns="`+outboundSpace+`"><Ack>true</Ack></notificationsResponse>`)
}

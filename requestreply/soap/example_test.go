package soap_test

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/requestreply/soap"
)

type Order struct {
	XMLName xml.Name `xml:"https://acme.example/stock order"`
	SKU     string   `xml:"sku"`
	Qty     int      `xml:"qty"`
}

type Receipt struct {
	XMLName xml.Name `xml:"https://acme.example/stock orderResponse"`
	Left    int      `xml:"left"`
}

type TooFew struct {
	XMLName xml.Name `xml:"https://acme.example/stock tooFew"`
	Left    int      `xml:"left"`
}

// An operation for a callout that Apex generated from a WSDL, and the same
// types to call it from Go.
func ExampleHandle() {
	free := 10
	mux := soap.NewMux(nil)
	soap.Handle(mux, "", func(ctx context.Context, o Order) (Receipt, error) {
		if o.Qty > free {
			return Receipt{}, &soap.Fault{Code: "Client", Text: "out of stock", Detail: TooFew{Left: free}}
		}
		free -= o.Qty
		return Receipt{Left: free}, nil
	})
	s := httptest.NewServer(mux)
	defer s.Close()

	order := soap.Endpoint[Order, Receipt]{URL: s.URL}
	receipt, err := order.Call(context.Background(), Order{SKU: "84879", Qty: 4})
	fmt.Println(receipt.Left, err)

	_, err = order.Call(context.Background(), Order{SKU: "84879", Qty: 400})
	var few TooFew
	if f, ok := errors.AsType[*soap.Fault](err); ok {
		if found, _ := f.In(&few); found {
			fmt.Println(f.Text, "- left:", few.Left, "-", outcome.Of(err))
		}
	}

	// What the function never sees.
	resp, _ := http.Post(s.URL, "text/xml", strings.NewReader(`<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>`+
		`<order xmlns="https://acme.example/stock"><sku>84879</sku><qty>four</qty></order></e:Body></e:Envelope>`))
	body, _ := io.ReadAll(resp.Body)
	fmt.Println(resp.StatusCode, strings.Contains(string(body), "/Envelope/Body/order/qty: want an integer of 64 bits"))
	// Output:
	// 6 <nil>
	// out of stock - left: 6 - refused
	// 500 true
}

// The file to give to those who make clients from it.
func ExampleMux_WSDL() {
	mux := soap.NewMux(nil)
	soap.Handle(mux, "", func(context.Context, Order) (Receipt, error) { return Receipt{}, nil })

	wsdl, err := mux.WSDL("Stock", "https://acme.example/soap/stock", &soap.WSDLOptions{Details: []any{TooFew{}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	for line := range strings.Lines(string(wsdl)) {
		if strings.HasPrefix(line, "<xsd:element") || strings.HasPrefix(line, "<operation") {
			fmt.Println(strings.TrimSpace(line[:strings.IndexByte(line, '>')+1]))
		}
	}
	// Output:
	// <xsd:element name="tooFew">
	// <xsd:element name="order">
	// <xsd:element name="orderResponse">
	// <operation name="order">
	// <operation name="order">
}

type Query struct {
	XMLName xml.Name `xml:"urn:partner.soap.sforce.com query"`
	Query   string   `xml:"queryString"`
}

type QueryResponse struct {
	XMLName xml.Name `xml:"urn:partner.soap.sforce.com queryResponse"`
	Size    int      `xml:"result>size"`
}

type SessionHeader struct {
	XMLName   xml.Name `xml:"urn:partner.soap.sforce.com SessionHeader"`
	SessionID string   `xml:"sessionId"`
}

// A session travels in a block of the Header, and a session that has ended is
// a Fault with a code of the service's own: Judge says what such a code means.
func ExampleEndpoint() {
	org := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/xml; charset=utf-8")
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprint(w, `<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:sf="urn:fault.partner.soap.sforce.com"><soapenv:Body><soapenv:Fault>`+
			`<faultcode>sf:INVALID_SESSION_ID</faultcode><faultstring>Invalid Session ID found in SessionHeader</faultstring></soapenv:Fault></soapenv:Body></soapenv:Envelope>`)
	}))
	defer org.Close()

	guard := requestreply.NewGuard(nil) // one for the program
	query := soap.Endpoint[Query, QueryResponse]{
		URL: org.URL + "/services/Soap/u/64.0", Idempotent: true, Guard: guard,
		Blocks: []soap.Block{{Value: SessionHeader{SessionID: "00D...!AQ"}}},
		Judge: func(f *soap.Fault) (outcome.Outcome, bool) {
			return outcome.Refused, f.Code == "SERVER_UNAVAILABLE"
		},
	}
	_, err := query.Call(context.Background(), Query{Query: "select Id from Account"})
	if f, ok := errors.AsType[*soap.Fault](err); ok && f.Code == "INVALID_SESSION_ID" {
		fmt.Println("log in again:", f.Text)
	}
	fmt.Println(outcome.Of(err))
	// Output:
	// log in again: Invalid Session ID found in SessionHeader
	// refused
}

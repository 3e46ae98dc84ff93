package node

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply/soap"
)

type Reserve struct {
	XMLName xml.Name `xml:"urn:warehouse reserve"`
	SKU     string   `xml:"sku"`
	Qty     int      `xml:"qty"`
	Lines   []Line   `xml:"line"`
}

type Line struct {
	Bin  string `xml:"bin" json:"bin"`
	Take int    `xml:"take" json:"take"`
}

type Reserved struct {
	XMLName xml.Name `xml:"urn:warehouse reserveResponse"`
	Left    int      `xml:"left"`
	Note    string   `xml:"note"`
}

type OutOfStock struct {
	XMLName xml.Name `xml:"urn:warehouse outOfStock"`
	Left    int      `xml:"left"`
}

type Session struct {
	XMLName xml.Name `xml:"urn:warehouse session"`
	ID      string   `xml:"id"`
}

// describe returns the WSDL, which is all that node-soap knows of us.
func describe(t *testing.T, m *soap.Mux, url string) string {
	t.Helper()
	wsdl, err := m.WSDL("Stock", url, &soap.WSDLOptions{Blocks: []any{Session{}}, Details: []any{OutOfStock{}}})
	require.NoError(t, err)
	return string(wsdl)
}

// forms are the two ways in which a WSDL has elements in namespaces.
var forms = map[string]bool{"qualified": false, "unqualified": true}

// A client that node-soap makes of our WSDL calls our Mux.
func TestSOAPClient(t *testing.T) {
	for form, unqualified := range forms {
		t.Run(form, func(t *testing.T) {
			type asked struct {
				SKU     string
				Qty     int
				Lines   []Line
				Session string
			}
			var heard []asked
			mux := soap.NewMux(&soap.Options{Unqualified: unqualified, Understands: []xml.Name{{Space: "urn:warehouse", Local: "session"}}})
			soap.Handle(mux, "urn:warehouse#reserve", func(ctx context.Context, r Reserve) (Reserved, error) {
				var s Session
				if _, err := soap.ReadBlock(ctx, &s); err != nil {
					return Reserved{}, err
				}
				heard = append(heard, asked{r.SKU, r.Qty, r.Lines, s.ID})
				if r.Qty > 10 {
					return Reserved{}, &soap.Fault{Code: "Client", Text: "only 10 <left>", Detail: OutOfStock{Left: 10}}
				}
				return Reserved{Left: 10 - r.Qty, Note: r.SKU + " & co"}, nil
			})
			var wire []string
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				wire = append(wire, string(body))
				r.Body = io.NopCloser(bytes.NewReader(body))
				mux.ServeHTTP(w, r)
			}))
			defer s.Close()
			type answer struct {
				Left       any // of a fault's detail it makes a text
				Note       string
				Code, Text string
			}
			var got []answer
			run(t, "soap_client.js", map[string]any{"wsdl": describe(t, mux, s.URL), "calls": []map[string]any{
				{"sku": "ä<84>", "qty": 3, "line": []Line{{"A", 1}, {"B", 2}}},
				{"sku": "1", "qty": 40},
				{"sku": "1", "qty": "many"},
			}}, &got)
			require.Len(t, got, 3)
			require.Equal(t, unqualified, strings.Contains(wire[0], "<qty>3</qty>"), "the WSDL says which form: %s", wire[0])
			require.Equal(t, answer{Left: 7.0, Note: "ä<84> & co"}, got[0])
			require.Equal(t, "10", got[1].Left)
			require.Contains(t, got[1].Code, "Client")
			require.Equal(t, "only 10 <left>", got[1].Text)
			require.Contains(t, got[2].Code, "Client")
			require.Contains(t, got[2].Text, "/Envelope/Body/reserve/qty: want an integer")
			require.Equal(t, []asked{{"ä<84>", 3, []Line{{"A", 1}, {"B", 2}}, "s&1"}, {"1", 40, nil, "s&1"}}, heard)
		})
	}
}

// Our Endpoint calls a server that node-soap makes of our WSDL.
func TestSOAPServer(t *testing.T) {
	for form, unqualified := range forms {
		t.Run(form, func(t *testing.T) {

			mux := soap.NewMux(&soap.Options{Unqualified: unqualified})
			soap.Handle(mux, "urn:warehouse#reserve", func(context.Context, Reserve) (r Reserved, err error) { return r, nil })
			s := begin(t, "soap_server.js", map[string]any{"free": 10, "wsdl": describe(t, mux, "http://localhost")})
			var at struct{ URL string }
			s.says(&at)
			reserve := soap.Endpoint[Reserve, Reserved]{
				URL: at.URL, Action: "urn:warehouse#reserve", Blocks: []soap.Block{{Value: Session{ID: "s&1"}}}, Unqualified: unqualified,
			}
			got, err := reserve.Call(t.Context(), Reserve{SKU: "ä<84>", Qty: 3, Lines: []Line{{"A", 1}, {"B", 2}}})
			require.NoError(t, err)
			require.Equal(t, 7, got.Left)
			require.Equal(t, "ä<84> & co", got.Note)

			_, err = reserve.Call(t.Context(), Reserve{SKU: "1", Qty: 40})
			require.Equal(t, outcome.Refused, outcome.Of(err))
			f, ok := errors.AsType[*soap.Fault](err)
			require.True(t, ok, "%v", err)
			require.Equal(t, "Client", f.Code)
			require.Equal(t, "only 10 <left>", f.Text)
			var few OutOfStock
			found, err := f.In(&few)
			require.NoError(t, err)
			require.True(t, found)
			require.Equal(t, 10, few.Left)

			type asked struct {
				Session, SKU string
				Qty          int
				Lines        []Line
			}
			var heard []asked
			s.end(&heard)
			require.Equal(t, []asked{{"s&1", "ä<84>", 3, []Line{{"A", 1}, {"B", 2}}}, {"s&1", "1", 40, []Line{}}}, heard)
		})
	}
}

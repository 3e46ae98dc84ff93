//go:build linux

package bench

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/requestreply/soap"
)

type soapLine struct {
	SKU   string `xml:"sku"`
	Qty   int    `xml:"qty"`
	Price string `xml:"price"`
}

type soapOrder struct {
	XMLName xml.Name   `xml:"urn:bench order"`
	ID      string     `xml:"id"`
	Lines   []soapLine `xml:"lines>line"`
}

type soapReceipt struct {
	XMLName xml.Name   `xml:"urn:bench orderResponse"`
	ID      string     `xml:"id"`
	Lines   []soapLine `xml:"lines>line"`
}

// What encoding/xml alone is given: the envelope as a struct.
type bareEnvelope[T any] struct {
	XMLName xml.Name `xml:"http://schemas.xmlsoap.org/soap/envelope/ Envelope"`
	Body    struct {
		Fault *struct {
			Code string `xml:"faultcode"`
			Text string `xml:"faultstring"`
		} `xml:"http://schemas.xmlsoap.org/soap/envelope/ Fault"`
		Message T `xml:",any"`
	} `xml:"http://schemas.xmlsoap.org/soap/envelope/ Body"`
}

func bareRead[T any](from io.Reader) (T, error) {
	var e bareEnvelope[T]
	data, err := io.ReadAll(io.LimitReader(from, 1<<20))
	if err == nil {
		err = xml.Unmarshal(data, &e)
	}
	if err == nil && e.Body.Fault != nil {
		err = fmt.Errorf("fault %s", e.Body.Fault.Code)
	}
	return e.Body.Message, err
}

func bareWrite(v any) ([]byte, error) {
	body, err := xml.Marshal(v)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.WriteString(xml.Header + `<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>`)
	b.Write(body)
	b.WriteString(`</soapenv:Body></soapenv:Envelope>`)
	return b.Bytes(), nil
}

func bareCall(ctx context.Context, c *http.Client, url string, o soapOrder) (r soapReceipt, err error) {
	data, err := bareWrite(o)
	if err != nil {
		return r, err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, "POST", url, bytes.NewReader(data))
	if err != nil {
		return r, err
	}
	q.Header.Set("Content-Type", "text/xml; charset=utf-8")
	q.Header.Set("SOAPAction", `""`)
	resp, err := c.Do(q)
	if err != nil {
		return r, err
	}
	defer resp.Body.Close()
	return bareRead[soapReceipt](resp.Body)
}

const requestTimeout = 10e9

// canned answers without a network.
type canned []byte

func (c canned) RoundTrip(r *http.Request) (*http.Response, error) {
	_, _ = io.Copy(io.Discard, r.Body)
	return &http.Response{
		StatusCode: 200, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {"text/xml; charset=utf-8"}},
		Body:   io.NopCloser(bytes.NewReader(c)),
	}, nil
}

// BenchmarkSOAP is a call and its answer, beside encoding/xml over net/http
// with a time limit and no more: no limits on what is parsed, no namespaces, no
// guard.
func BenchmarkSOAP(b *testing.B) {
	for _, lines := range []int{1, 200} {
		order := soapOrder{ID: "4711"}
		for i := range lines {
			order.Lines = append(order.Lines, soapLine{fmt.Sprint(84879 + i), i, "12.50"})
		}
		answer, err := bareWrite(soapReceipt{ID: order.ID, Lines: order.Lines})
		if err != nil {
			b.Fatal(err)
		}
		request, err := bareWrite(order)
		if err != nil {
			b.Fatal(err)
		}
		n := 2000 / (lines + 9)
		check := func(r soapReceipt, err error) error {
			if err == nil && len(r.Lines) != lines {
				err = fmt.Errorf("%d lines, want %d", len(r.Lines), lines)
			}
			return err
		}
		calls := func(base http.RoundTripper, url string) []work {
			client := &http.Client{Transport: base}
			e := soap.Endpoint[soapOrder, soapReceipt]{URL: url, Client: client, Guard: requestreply.NewGuard(nil)}
			repeat := func(call func() (soapReceipt, error)) func(int) error {
				return func(n int) error {
					for range n {
						if err := check(call()); err != nil {
							return err
						}
					}
					return nil
				}
			}
			return []work{
				{"ours", timed(repeat(func() (soapReceipt, error) { return e.Call(context.Background(), order) }))},
				{"floor", timed(repeat(func() (soapReceipt, error) { return bareCall(context.Background(), client, url, order) }))},
			}
		}
		b.Run(fmt.Sprintf("call/lines=%d", lines), func(b *testing.B) {
			takeTurns(b, n, "calls/s", calls(canned(answer), "http://warehouse.example/"))
		})
		b.Run(fmt.Sprintf("loopback/lines=%d", lines), func(b *testing.B) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				w.Header().Set("Content-Type", "text/xml; charset=utf-8")
				_, _ = w.Write(answer)
			}))
			defer s.Close()
			takeTurns(b, n, "calls/s", calls(http.DefaultTransport, s.URL))
		})
		b.Run(fmt.Sprintf("serve/lines=%d", lines), func(b *testing.B) {
			mux := soap.NewMux(nil)
			soap.Handle(mux, "", func(_ context.Context, o soapOrder) (soapReceipt, error) {
				return soapReceipt{ID: o.ID, Lines: o.Lines}, nil
			})
			bare := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				o, err := bareRead[soapOrder](r.Body)
				if err != nil {
					http.Error(w, "no", 500)
					return
				}
				data, err := bareWrite(soapReceipt{ID: o.ID, Lines: o.Lines})
				if err != nil {
					http.Error(w, "no", 500)
					return
				}
				w.Header().Set("Content-Type", "text/xml; charset=utf-8")
				_, _ = w.Write(data)
			})
			serve := func(h http.Handler) func(int) error {
				return func(n int) error {
					for range n {
						r := httptest.NewRequest("POST", "/", bytes.NewReader(request))
						r.Header.Set("Content-Type", "text/xml")
						w := httptest.NewRecorder()
						if h.ServeHTTP(w, r); w.Code != 200 {
							return fmt.Errorf("status %d: %s", w.Code, w.Body)
						}
					}
					return nil
				}
			}
			takeTurns(b, n, "requests/s", []work{{"ours", timed(serve(mux))}, {"floor", timed(serve(bare))}})
		})
	}
}

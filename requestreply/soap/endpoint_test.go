package soap_test

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/requestreply/soap"
	"github.com/crosstie/crosstie/retry"
)

const warehouse = "urn:warehouse"

type Reserve struct {
	XMLName xml.Name `xml:"urn:warehouse reserve"`
	SKU     string   `xml:"sku"`
	Qty     int      `xml:"qty"`
	Note    *string  `xml:"note"`
	Lines   []Line   `xml:"lines>line"`
}

type Line struct {
	Bin  string `xml:"bin"`
	Take int    `xml:"take"`
}

type Reserved struct {
	XMLName xml.Name `xml:"urn:warehouse reserveResponse"`
	Left    int      `xml:"left"`
	Note    *string  `xml:"note"`
}

type Session struct {
	XMLName xml.Name `xml:"urn:warehouse session"`
	ID      string   `xml:"id"`
}

type OutOfStock struct {
	XMLName xml.Name `xml:"urn:warehouse outOfStock"`
	Left    int      `xml:"left"`
}

type call = soap.Endpoint[Reserve, Reserved]

var quiet = log.New(io.Discard, "", 0)

func serving(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = quiet
	s.Start()
	t.Cleanup(s.Close)
	return s.URL
}

func answering(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = nil
		if contentType != "" {
			w.Header().Set("Content-Type", contentType)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

const textXML = "text/xml; charset=utf-8"

func envelope(body string) string {
	return `<?xml version="1.0" encoding="UTF-8"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>` + body + `</s:Body></s:Envelope>`
}

const reserved = `<reserveResponse xmlns="urn:warehouse"><left>7</left></reserveResponse>`

// What goes over the wire.
func TestRequest(t *testing.T) {
	var got *http.Request
	var body []byte
	url := serving(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		answering(200, textXML, envelope(reserved))(w, r)
	}))
	e := call{
		URL: url + "/stock?token=hidden", Action: "urn:warehouse#reserve", Header: http.Header{"X-Trace": {"7"}},
		Blocks: []soap.Block{
			{Value: Session{ID: "s&1"}, MustUnderstand: true},
			{Value: &OutOfStock{}, Actor: `http://a/"b"`},
		},
	}
	r, err := e.Call(t.Context(), Reserve{SKU: "<84879>", Qty: 2, Lines: []Line{{"A", 1}}})
	require.NoError(t, err)
	require.Equal(t, 7, r.Left)
	require.Equal(t, "POST", got.Method)
	require.Equal(t, "text/xml; charset=utf-8", got.Header.Get("Content-Type"))
	require.Equal(t, `"urn:warehouse#reserve"`, got.Header.Get("SOAPAction"))
	require.Equal(t, "7", got.Header.Get("X-Trace"))
	require.Empty(t, got.Header.Get("Idempotency-Key"))
	require.EqualValues(t, len(body), got.ContentLength, "old servers take no chunks")
	require.Equal(t, `<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Header>`+
		`<session soapenv:mustUnderstand="1" xmlns="urn:warehouse"><id>s&amp;1</id></session>`+
		`<outOfStock soapenv:actor="http://a/&#34;b&#34;" xmlns="urn:warehouse"><left>0</left></outOfStock>`+
		`</soapenv:Header><soapenv:Body>`+
		`<reserve xmlns="urn:warehouse"><sku>&lt;84879&gt;</sku><qty>2</qty><lines><line><bin>A</bin><take>1</take></line></lines></reserve>`+
		`</soapenv:Body></soapenv:Envelope>`, string(body))

	e.Unqualified, e.Blocks, e.Action = true, nil, ""
	_, err = e.Call(t.Context(), Reserve{SKU: "1", Lines: []Line{{"A", 1}}})
	require.NoError(t, err)
	require.Equal(t, []string{`""`}, got.Header["Soapaction"])
	require.Contains(t, string(body), `<reserve xmlns="urn:warehouse"><sku xmlns="">1</sku><qty xmlns="">0</qty>`+
		`<lines xmlns=""><line><bin>A</bin><take>1</take></line></lines></reserve>`)
}

// SOAPAction keeps the case that SOAP 1.1 gives it.
func TestActionCase(t *testing.T) {
	var names []string
	e := call{URL: "http://warehouse.example/", Client: &http.Client{Transport: tripper(func(r *http.Request) (*http.Response, error) {
		for name := range r.Header {
			names = append(names, name)
		}
		return nil, errors.New("enough")
	})}, Header: http.Header{"Soapaction": {"another"}}, Guard: requestreply.NewGuard(&requestreply.Options{Retry: retry.Policy{MaxAttempts: 1}})}
	_, err := e.Call(t.Context(), Reserve{})
	require.ErrorContains(t, err, "enough")
	require.Contains(t, names, "SOAPAction")
	require.NotContains(t, names, "Soapaction")
}

type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// hasty repeats at once.
var hasty = requestreply.NewGuard(&requestreply.Options{Retry: retry.Policy{Base: 1, Budget: retry.NewBudget(1, 1000)}, Breaker: requestreply.Breaker{Disabled: true}})

func TestAnswers(t *testing.T) {
	fault := func(inside string) string { return envelope(`<s:Fault>` + inside + `</s:Fault>`) }
	client := fault(`<faultcode>s:Client</faultcode><faultstring>no</faultstring>`)
	for _, c := range []struct {
		name, contentType, body string
		status                  int
		known                   outcome.Outcome
		fails                   string // a part of the error; empty for none
	}{
		{"plain", textXML, envelope(reserved), 200, outcome.Applied, ""},
		{"no charset", "text/xml", envelope(reserved), 200, outcome.Applied, ""},
		{"ascii", "text/xml; charset=us-ascii", envelope(reserved), 200, outcome.Applied, ""},
		{"application/xml", "application/xml", envelope(reserved), 201, outcome.Applied, ""},
		{"a byte order mark", textXML, "\xef\xbb\xbf" + envelope(reserved), 200, outcome.Applied, ""},
		{"unqualified parts", textXML, envelope(`<w:reserveResponse xmlns:w="urn:warehouse"><left>7</left></w:reserveResponse>`), 200, outcome.Applied, ""},
		{"qualified parts", textXML, envelope(`<w:reserveResponse xmlns:w="urn:warehouse"><w:left>7</w:left></w:reserveResponse>`), 200, outcome.Applied, ""},
		{"new parts", textXML, envelope(`<reserveResponse xmlns="urn:warehouse"><left>7</left><since><v>2</v></since></reserveResponse>`), 200, outcome.Applied, ""},
		{"a foreign part of the same name", textXML, envelope(`<reserveResponse xmlns="urn:warehouse"><left>7</left><left xmlns="urn:evil">9</left></reserveResponse>`), 200, outcome.Applied, ""},
		{"nil", textXML, envelope(`<reserveResponse xmlns="urn:warehouse"><left>7</left><note xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:nil="true"/></reserveResponse>`), 200, outcome.Applied, ""},
		{"a header and comments", textXML, `<!-- a --><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Header><x xmlns="urn:x">1</x></s:Header><!-- b --><s:Body>` + reserved + "</s:Body></s:Envelope>\n", 200, outcome.Applied, ""},

		{"another element", textXML, envelope(`<reserve xmlns="urn:warehouse"/>`), 200, outcome.Applied, "/Envelope/Body: want {urn:warehouse}reserveResponse"},
		{"another namespace", textXML, envelope(`<reserveResponse xmlns="urn:other"><left>7</left></reserveResponse>`), 200, outcome.Applied, "/Envelope/Body: want {urn:warehouse}reserveResponse"},
		{"a value that does not fit", textXML, envelope(`<reserveResponse xmlns="urn:warehouse"><left>SECRET</left></reserveResponse>`), 200, outcome.Applied, "/Envelope/Body/reserveResponse/left: want an integer of 64 bits"},
		{"no element", textXML, envelope(""), 200, outcome.Applied, "the answer is empty"},
		{"no body", textXML, "", 200, outcome.Applied, "the answer is empty"},
		{"accepted", "", "", 202, outcome.Applied, "the answer is empty"},
		{"a login page", "text/html", "<html>SECRET</html>", 200, outcome.Applied, "the answer is text/html; want text/xml"},
		{"no type", "", envelope(reserved), 200, outcome.Applied, "no content type"},
		{"another charset", "text/xml; charset=iso-8859-1", envelope(reserved), 200, outcome.Applied, "want UTF-8"},
		{"another charset inside", textXML, strings.Replace(envelope(reserved), "UTF-8", "ISO-8859-1", 1), 200, outcome.Applied, "want UTF-8"},
		{"SOAP 1.2", "application/soap+xml", strings.Replace(envelope(reserved), "http://schemas.xmlsoap.org/soap/envelope/", "http://www.w3.org/2003/05/soap-envelope", 1), 200, outcome.Applied, "want an envelope of SOAP 1.1"},
		{"two elements", textXML, envelope(reserved + reserved), 200, outcome.Applied, "more than one element"},
		{"cut off", textXML, envelope(reserved)[:150], 200, outcome.Applied, "the message ends inside of a tag"},
		{"cut off between tags", textXML, strings.TrimSuffix(envelope(reserved), "</s:Envelope>"), 200, outcome.Applied, "the message ends before its Envelope does"},
		{"more behind it", textXML, envelope(reserved) + "<a/>", 200, outcome.Applied, "goes on after"},
		{"a document type", textXML, `<!DOCTYPE s:Envelope SYSTEM "http://evil/x">` + envelope(reserved), 200, outcome.Applied, "SOAP allows no document type"},

		{"a client's fault", textXML, client, 500, outcome.Refused, "fault Client: no: it was not applied"},
		{"with status 200", textXML, client, 200, outcome.Refused, "fault Client: no"},
		{"a server's fault", textXML, fault(`<faultcode>s:Server</faultcode><faultstring>down</faultstring>`), 500, outcome.Unknown, "fault Server: down"},
		{"a server's fault with status 200", textXML, fault(`<faultcode>s:Server</faultcode><faultstring>down</faultstring>`), 200, outcome.Unknown, "fault Server: down"},
		{"a server's fault and not allowed in", textXML, fault(`<faultcode>s:Server</faultcode><faultstring>who?</faultstring>`), 401, outcome.Refused, "fault Server: who?"},
		{"more than the code", textXML, fault(`<faultcode>s:Client.Quantity</faultcode><faultstring/>`), 500, outcome.Refused, "fault Client.Quantity"},
		{"a code of its own", textXML, fault(`<faultcode xmlns:sf="urn:sf">sf:INVALID_SESSION_ID</faultcode><faultstring>x</faultstring>`), 500, outcome.Unknown, "fault INVALID_SESSION_ID: x"},
		{"a code without namespace", textXML, fault(`<faultcode>Client</faultcode><faultstring>x</faultstring>`), 500, outcome.Refused, "fault Client: x"},
		{"two codes", textXML, fault(`<faultcode>s:Server</faultcode><faultcode>s:Client</faultcode>`), 500, outcome.Unknown, "not twice"},
		{"a stranger in it", textXML, fault(`<faultcode>s:Client</faultcode><x/>`), 500, outcome.Unknown, "no such element"},
		{"a long text", textXML, fault(`<faultcode>s:Client</faultcode><faultstring>b` + strings.Repeat("ä", 9999) + `</faultstring>`), 500, outcome.Refused, "b" + strings.Repeat("ä", 511) + ": it was"},
		{"qualified children", textXML, fault(`<s:faultcode>s:Client</s:faultcode><s:faultstring>x</s:faultstring>`), 500, outcome.Refused, "fault Client: x"},
		{"it says that nothing was done", textXML, fault(`<faultcode>s:Server</faultcode><faultstring>later</faultstring><detail><o:outcome xmlns:o="https://github.com/crosstie/crosstie">refused</o:outcome></detail>`), 500, outcome.Refused, "fault Server: later"},
		{"line ends in the text", textXML, fault(`<faultcode>s:Client</faultcode><faultstring>a&#10;b</faultstring>`), 500, outcome.Refused, `a\nb`},

		{"a proxy's page", "text/html", "<html>SECRET</html>", 502, outcome.Unknown, "status 502 Bad Gateway"},
		{"not there", "text/html", "<html/>", 404, outcome.Refused, "status 404 Not Found: it was not applied"},
		{"an envelope that is no fault", textXML, envelope(reserved), 500, outcome.Unknown, "status 500"},
		{"half a fault", textXML, client[:200], 500, outcome.Unknown, "status 500 Internal Server Error: "},
		{"a redirect", "", "", 307, outcome.Refused, "status 307"},
		{"nothing", "", "", 304, outcome.Unknown, "status 304"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := call{URL: serving(t, answering(c.status, c.contentType, c.body)), Guard: hasty}
			r, err := e.Reply(t.Context(), Reserve{SKU: "1"})
			require.Equal(t, c.status, r.Status)
			require.NotNil(t, r.Header)
			if c.fails == "" {
				require.NoError(t, err)
				require.Equal(t, 7, r.Value.Left)
				require.Nil(t, r.Value.Note)
				return
			}
			require.ErrorContains(t, err, c.fails)
			require.NotContains(t, err.Error(), "SECRET")
			require.Equal(t, c.known, outcome.Of(err))
			failed, ok := errors.AsType[*requestreply.Error](err)
			require.True(t, ok)
			require.Equal(t, c.status, failed.Status)
			attempts := 1
			if c.name == "it says that nothing was done" {
				attempts = 4
			}
			require.Equal(t, attempts, failed.Attempts)
			require.Equal(t, "POST "+e.URL, failed.Op)
		})
	}
}

// An empty struct wants no answer.
func TestOneWay(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"accepted":       answering(202, "", ""),
		"no content":     answering(204, "", ""),
		"an empty 200":   answering(200, textXML, ""),
		"an empty Body":  answering(200, textXML, envelope("")),
		"some answer":    answering(200, textXML, envelope(reserved)),
		"fault":          answering(500, textXML, envelope(`<s:Fault><faultcode>s:Client</faultcode><faultstring>no</faultstring></s:Fault>`)),
		"accepted, html": answering(202, "text/html", "<p>thanks"),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := soap.Endpoint[Reserve, struct{}]{URL: serving(t, h)}.Call(t.Context(), Reserve{})
			switch name {
			case "fault":
				require.ErrorContains(t, err, "fault Client")
			case "accepted, html":
				require.ErrorContains(t, err, "want text/xml")
			default:
				require.NoError(t, err)
			}
		})
	}
}

func TestEmptyRequest(t *testing.T) {
	var body []byte
	url := serving(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ = io.ReadAll(r.Body)
		w.WriteHeader(202)
	}))
	_, err := soap.Endpoint[struct{}, struct{}]{URL: url}.Call(t.Context(), struct{}{})
	require.NoError(t, err)
	require.Contains(t, string(body), "<soapenv:Body></soapenv:Body>")
}

// A Fault with everything a Fault can have, and the types of its detail.
func TestFaultTyped(t *testing.T) {
	url := serving(t, answering(500, textXML, envelope(`<s:Fault>
		<faultcode xmlns:sf="urn:sf">sf:NO</faultcode>
		<faultstring xml:lang="en"> not <!-- ever --> here </faultstring>
		<faultactor>http://warehouse.example/</faultactor>
		<detail>see below
			<w:outOfStock xmlns:w="urn:warehouse"><left>3</left></w:outOfStock>
			<w:session xmlns:w="urn:warehouse"><w:id>x</w:id></w:session>
		</detail></s:Fault>`)))
	_, err := call{URL: url}.Call(t.Context(), Reserve{})
	f, ok := errors.AsType[*soap.Fault](err)
	require.True(t, ok)
	require.Equal(t, "NO", f.Code)
	require.Equal(t, "urn:sf", f.Space)
	require.Equal(t, "not  here", f.Text)
	require.Equal(t, "http://warehouse.example/", f.Actor)
	var out OutOfStock
	found, err := f.In(&out)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, 3, out.Left)
	var s Session
	found, err = f.In(&s)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, "x", s.ID)
	var no Reserved
	found, err = f.In(&no)
	require.NoError(t, err)
	require.False(t, found)
	_, err = f.In(new(string))
	require.ErrorContains(t, err, "no element name")
	_, err = f.In(nil)
	require.ErrorContains(t, err, "pointer")
	_, err = f.In(OutOfStock{})
	require.ErrorContains(t, err, "pointer")
}

// A value that does not fit a detail is not repeated either.
func TestFaultMistyped(t *testing.T) {
	url := serving(t, answering(500, textXML, envelope(`<s:Fault><faultcode>s:Client</faultcode><faultstring>no</faultstring>
		<detail><outOfStock xmlns="urn:warehouse"><left>SECRET</left></outOfStock></detail></s:Fault>`)))
	_, err := call{URL: url}.Call(t.Context(), Reserve{})
	f, _ := errors.AsType[*soap.Fault](err)
	found, err := f.In(&OutOfStock{})
	require.True(t, found)
	require.EqualError(t, err, "/outOfStock/left: want an integer of 64 bits")
}

// Whose word counts: the caller's before the Fault's.
func TestJudge(t *testing.T) {
	var calls atomic.Int32
	url := serving(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) == 1 {
			answering(500, textXML, envelope(`<s:Fault><faultcode>s:Server</faultcode><faultstring>BUSY</faultstring></s:Fault>`))(w, r)
			return
		}
		answering(500, textXML, envelope(`<s:Fault><faultcode>s:Server</faultcode><faultstring>out of stock</faultstring></s:Fault>`))(w, r)
	}))
	e := call{URL: url, Judge: func(f *soap.Fault) (outcome.Outcome, bool) {
		return outcome.Refused, f.Text == "BUSY"
	}}
	_, err := e.Call(t.Context(), Reserve{})
	require.ErrorContains(t, err, "out of stock: it was not applied")
	require.Equal(t, outcome.Refused, outcome.Of(err))
	require.EqualValues(t, 2, calls.Load(), "refused and passing: repeated without a key")
}

// A redirect would take the message, and the session in it, elsewhere.
func TestRedirect(t *testing.T) {
	var there atomic.Int32
	elsewhere := serving(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { there.Add(1) }))
	url := serving(t, http.RedirectHandler(elsewhere, http.StatusTemporaryRedirect))
	_, err := call{URL: url}.Call(t.Context(), Reserve{})
	require.ErrorContains(t, err, "status 307")
	require.Equal(t, outcome.Refused, outcome.Of(err))
	require.Zero(t, there.Load())
}

// What is repeated, how often, and under what key.
func TestRepeats(t *testing.T) {
	server := envelope(`<s:Fault><faultcode>s:Server</faultcode><faultstring>x</faultstring></s:Fault>`)
	client := envelope(`<s:Fault><faultcode>s:Client</faultcode><faultstring>x</faultstring></s:Fault>`)
	own := envelope(`<s:Fault><faultcode xmlns:o="urn:o">o:X</faultcode><faultstring>x</faultstring></s:Fault>`)
	for _, c := range []struct {
		name, first string
		idempotent  bool
		keyed       bool
		calls       int
	}{
		{"plain, server", server, false, false, 1},
		{"idempotent, server", server, true, false, 2},
		{"keyed, server", server, false, true, 2},
		{"keyed, client", client, false, true, 1},
		{"keyed, its own", own, false, true, 1},
		{"plain, lost", "", false, false, 1},
		{"keyed, lost", "", false, true, 2},
		{"idempotent, lost", "", true, false, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			var mu sync.Mutex
			var keys, bodies []string
			url := serving(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				b, _ := io.ReadAll(r.Body)
				mu.Lock()
				defer mu.Unlock()
				keys = append(keys, r.Header.Get("Idempotency-Key"))
				bodies = append(bodies, string(b))
				switch {
				case len(keys) > 1:
					answering(200, textXML, envelope(reserved))(w, r)
				case c.first == "":
					panic(http.ErrAbortHandler)
				default:
					answering(500, textXML, c.first)(w, r)
				}
			}))
			e := call{URL: url, Idempotent: c.idempotent, Keyed: c.keyed}
			_, err := e.Call(t.Context(), Reserve{SKU: "1"})
			mu.Lock()
			defer mu.Unlock()
			require.Len(t, keys, c.calls)
			if c.calls == 2 {
				require.NoError(t, err)
				require.Equal(t, bodies[0], bodies[1])
				require.Equal(t, keys[0], keys[1])
			} else {
				require.Error(t, err)
			}
			require.Equal(t, c.keyed, keys[0] != "")
			if failed, ok := errors.AsType[*requestreply.Error](err); ok && c.keyed {
				require.Equal(t, keys[0], `"`+failed.Key+`"`)
			}
		})
	}
}

func TestOwnKey(t *testing.T) {
	var key atomic.Value
	url := serving(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key.Store(r.Header.Get("Idempotency-Key"))
		panic(http.ErrAbortHandler)
	}))
	e := call{URL: url, Keyed: true, Guard: requestreply.NewGuard(&requestreply.Options{Retry: retry.Policy{MaxAttempts: 1}})}
	_, err := e.Call(requestreply.WithIdempotencyKey(t.Context(), "order-1"), Reserve{})
	require.Equal(t, `"order-1"`, key.Load())
	failed, _ := errors.AsType[*requestreply.Error](err)
	require.Equal(t, "order-1", failed.Key)
	require.Equal(t, outcome.Unknown, failed.Known)
	require.ErrorContains(t, err, "repeat it under the same key")

	_, err = e.Call(requestreply.WithIdempotencyKey(t.Context(), "ünfit"), Reserve{})
	require.Equal(t, outcome.NotSent, outcome.Of(err))
	require.ErrorContains(t, err, "printable ASCII")
}

// An attempt that never reached anybody is known not to have been sent.
func TestNotSent(t *testing.T) {
	const url = "http://127.0.0.1:1" // nobody is there
	once := requestreply.NewGuard(&requestreply.Options{Retry: retry.Policy{MaxAttempts: 2, Base: 1}})
	_, err := call{URL: url + "/x?token=SECRET", Guard: once}.Call(t.Context(), Reserve{})
	require.Equal(t, outcome.NotSent, outcome.Of(err))
	failed, _ := errors.AsType[*requestreply.Error](err)
	require.Equal(t, 2, failed.Attempts, "what was not sent may be repeated")
	require.NotContains(t, err.Error(), "SECRET")
	require.Equal(t, 1, strings.Count(err.Error(), "requestreply:"), "said once")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = call{URL: url}.Call(ctx, Reserve{})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, outcome.NotSent, outcome.Of(err))
}

type NoName struct{ SKU string }

type Inner struct {
	XMLName xml.Name `xml:"urn:warehouse inner"`
	Raw     string   `xml:",innerxml"`
}

type Odd struct {
	XMLName xml.Name `xml:"urn:warehouse odd"`
	F       chan int `xml:"f"`
}

// What cannot be a call is refused before anything is sent.
func TestMisuse(t *testing.T) {
	good := call{URL: "http://warehouse.example/"}
	for name, try := range map[string]func() error{
		"no absolute http": func() error { _, err := call{URL: "/x?SECRET"}.Call(t.Context(), Reserve{}); return err },
		"no URI":           func() error { e := good; e.Action = `a"SECRET`; return second(e.Call(t.Context(), Reserve{})) },
		"control character": func() error {
			e := good
			e.Header = http.Header{"Authorization": {"Bearer SECRET\n"}}
			return second(e.Call(t.Context(), Reserve{}))
		},
		"no element name": func() error {
			return second(soap.Endpoint[NoName, Reserved]{URL: good.URL}.Call(t.Context(), NoName{"SECRET"}))
		},
		"has no element name": func() error {
			return second(soap.Endpoint[Reserve, NoName]{URL: good.URL}.Call(t.Context(), Reserve{}))
		},
		"innerxml": func() error {
			return second(soap.Endpoint[Reserve, Inner]{URL: good.URL}.Call(t.Context(), Reserve{}))
		},
		"cannot be read": func() error {
			return second(soap.Endpoint[Reserve, Odd]{URL: good.URL}.Call(t.Context(), Reserve{}))
		},
		"cannot be written": func() error { return second(soap.Endpoint[Odd, Reserved]{URL: good.URL}.Call(t.Context(), Odd{})) },
		"without a Value": func() error {
			e := good
			e.Blocks = []soap.Block{{}}
			return second(e.Call(t.Context(), Reserve{}))
		},
		"has no namespace": func() error {
			e := good
			e.Blocks = []soap.Block{{Value: NoName{"SECRET"}}}
			return second(e.Call(t.Context(), Reserve{}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := try()
			require.ErrorContains(t, err, name)
			require.NotContains(t, err.Error(), "SECRET")
			require.Equal(t, outcome.NotSent, outcome.Of(err))
			_, ok := errors.AsType[*requestreply.Error](err)
			require.True(t, ok)
		})
	}
}

func second[T any](_ T, err error) error { return err }

// Blocks of an answer: read by name, and refused when they must be understood
// by us and are not.
func TestAnswerBlocks(t *testing.T) {
	head := func(attrs string) string {
		return `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Header><w:session xmlns:w="urn:warehouse" ` + attrs +
			`><w:id>new</w:id></w:session></s:Header><s:Body>` + reserved + `</s:Body></s:Envelope>`
	}
	for _, c := range []struct {
		attrs      string
		understood bool
		fails      bool
	}{
		{"", false, false},
		{`s:mustUnderstand="0"`, false, false},
		{`s:mustUnderstand="1"`, false, true},
		{`s:mustUnderstand="1"`, true, false},
		{`s:mustUnderstand="1" s:actor="http://elsewhere.example/"`, false, false},
		{`s:mustUnderstand="1" s:actor="http://schemas.xmlsoap.org/soap/actor/next"`, false, true},
		{`mustUnderstand="1"`, false, false},
	} {
		e := call{URL: serving(t, answering(200, textXML, head(c.attrs)))}
		if c.understood {
			e.Understands = []xml.Name{{Space: warehouse, Local: "session"}}
		}
		r, err := e.Reply(t.Context(), Reserve{})
		require.Equal(t, c.fails, err != nil, c.attrs)
		if c.fails {
			require.ErrorIs(t, err, soap.ErrMustUnderstand)
			require.ErrorContains(t, err, "/Envelope/Header/session")
			require.Equal(t, outcome.Applied, outcome.Of(err), "it was done, whatever we understand of the answer")
		}
		var s Session
		found, err := r.Block(&s)
		require.NoError(t, err)
		require.True(t, found)
		require.Equal(t, "new", s.ID)
	}
}

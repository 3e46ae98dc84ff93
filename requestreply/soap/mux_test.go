package soap_test

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/requestreply/server"
	"github.com/crosstie/crosstie/requestreply/soap"
	"github.com/crosstie/crosstie/retry"
)

type Ping struct {
	XMLName xml.Name `xml:"urn:warehouse ping"`
}

// stock is a service with each kind of operation.
func stock(o *soap.Options, reserve func(context.Context, Reserve) (Reserved, error)) *soap.Mux {
	m := soap.NewMux(o)
	soap.Handle(m, "urn:warehouse#reserve", reserve)
	soap.Handle(m, "", func(context.Context, Ping) (struct{}, error) { return struct{}{}, nil })
	return m
}

func take(_ context.Context, r Reserve) (Reserved, error) { return Reserved{Left: 10 - r.Qty}, nil }

// post sends a message by hand, with headers "Name: value".
func post(t *testing.T, h http.Handler, message string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/stock", strings.NewReader(message))
	r.Header.Set("Content-Type", textXML)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

const reserveTwo = `<reserve xmlns="urn:warehouse"><sku>1</sku><qty>2</qty></reserve>`

func TestMuxAnswers(t *testing.T) {
	m := stock(nil, take)
	w := post(t, m, envelope(reserveTwo), `SOAPAction: "urn:warehouse#reserve"`)
	require.Equal(t, 200, w.Code)
	require.Equal(t, "text/xml; charset=utf-8", w.Header().Get("Content-Type"))
	require.Equal(t, `<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>`+
		`<reserveResponse xmlns="urn:warehouse"><left>8</left></reserveResponse></soapenv:Body></soapenv:Envelope>`, w.Body.String())

	w = post(t, stock(&soap.Options{Unqualified: true}, take), envelope(reserveTwo))
	require.Contains(t, w.Body.String(), `<reserveResponse xmlns="urn:warehouse"><left xmlns="">8</left></reserveResponse>`)

	w = post(t, m, envelope(`<ping xmlns="urn:warehouse"/>`), `SOAPAction: "anything"`)
	require.Equal(t, 202, w.Code)
	require.Empty(t, w.Body.String())

	soap.Handle(m, "", func(context.Context, struct{}) (Reserved, error) { return Reserved{Left: 1}, nil })
	w = post(t, m, envelope(""))
	require.Contains(t, w.Body.String(), "<left>1</left>")
}

// What the mux refuses, by what code, and where it says the fault is.
func TestMuxRefuses(t *testing.T) {
	never := func(context.Context, Reserve) (Reserved, error) {
		t.Error("the function was called")
		return Reserved{}, nil
	}
	in := func(inside string) string { return envelope(`<reserve xmlns="urn:warehouse">` + inside + `</reserve>`) }
	head := func(block string) string {
		return strings.Replace(envelope(reserveTwo), "<s:Body>", "<s:Header>"+block+"</s:Header><s:Body>", 1)
	}
	many := func(n int, s string) string { return strings.Repeat(s, n) }
	for _, c := range []struct{ name, message, code, text string }{
		{"nothing", "", "Client", "the message is empty"},
		{"no XML", "SECRET", "Client", "byte 6: text outside of the Envelope"},
		{"not well-formed", "<a b=c>", "Client", "not well-formed XML"},
		{"not an envelope", "<reserve/>", "Client", "want an Envelope"},
		{"SOAP 1.2", strings.Replace(envelope(reserveTwo), "http://schemas.xmlsoap.org/soap/envelope/", "http://www.w3.org/2003/05/soap-envelope", 1), "VersionMismatch", "/Envelope: want an envelope of SOAP 1.1"},
		{"no Body", `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"/>`, "Client", "want a Body"},
		{"an empty Body", envelope(""), "Client", "/Envelope/Body: no operation has this element"},
		{"text in the Body", envelope("SECRET"), "Client", "/Envelope/Body: text between the elements"},
		{"another element", envelope(`<SECRET/>`), "Client", "/Envelope/Body: no operation"},
		{"another namespace", envelope(`<reserve xmlns="urn:other"/>`), "Client", "/Envelope/Body: no operation"},
		{"a fault", envelope(`<s:Fault><faultcode>s:Client</faultcode></s:Fault>`), "Client", "a request is no fault"},
		{"two elements", envelope(`<ping xmlns="urn:warehouse"/>` + reserveTwo), "Client", "more than one element"},
		{"after the Body", strings.Replace(envelope(reserveTwo), "</s:Body>", "</s:Body><x/>", 1), "Client", "nothing may come after the Body"},
		{"after the Envelope", envelope(reserveTwo) + "<x/>", "Client", "goes on after"},
		{"cut off", envelope(reserveTwo)[:190], "Client", "ends inside of markup"},

		{"a letter for a number", in(`<qty>SECRET</qty>`), "Client", "/Envelope/Body/reserve/qty: want an integer of 64 bits"},
		{"a number too large", in(`<qty>99999999999999999999</qty>`), "Client", "/Envelope/Body/reserve/qty: want an integer of 64 bits"},
		{"nothing for a number", in(`<qty/>`), "Client", "/Envelope/Body/reserve/qty: want an integer of 64 bits, not nothing"},
		{"an element in a number", in(`<qty><a/>7</qty>`), "Client", "/Envelope/Body/reserve/qty: want an integer of 64 bits, not elements"},
		{"in a list", in(`<lines><line><bin>A</bin><take>1</take></line><line><take>SECRET</take></line></lines>`), "Client", "/Envelope/Body/reserve/lines/line[2]/take: want an integer"},
		{"unknown", in(`<color>SECRET</color>`), "Client", "/Envelope/Body/reserve/color: the element is not known here, or not in this namespace"},
		{"a foreign namespace", in(`<qty xmlns="urn:other">7</qty>`), "Client", "/Envelope/Body/reserve/qty: the element is not known here, or not in this namespace"},
		{"twice", in(`<qty>1</qty><qty>2</qty>`), "Client", "/Envelope/Body/reserve/qty: the element comes twice"},
		{"a list twice", in(`<lines><line/></lines><lines><line/></lines>`), "Client", "/Envelope/Body/reserve/lines: the element comes twice"},
		{"text between", in(`SECRET<qty>1</qty>`), "Client", "/Envelope/Body/reserve: text between the elements"},
		{"an undeclared prefix", in(`<w:qty>1</w:qty>`), "Client", "a prefix that is not declared"},
		{"an attribute twice", in(`<qty a="1" a="2">1</qty>`), "Client", "an attribute that comes twice"},

		{"a block that must be understood", head(`<x:y xmlns:x="urn:x" s:mustUnderstand="1"/>`), "MustUnderstand", "/Envelope/Header/y"},
		{"a block for the next", head(`<x:y xmlns:x="urn:x" s:mustUnderstand="1" s:actor="http://schemas.xmlsoap.org/soap/actor/next"/>`), "MustUnderstand", "/Envelope/Header/y"},

		{"too long", in(`<sku>` + many(1<<20, "7")), "Client", "longer than 1048576 bytes: over the limit"},
		{"deep", envelope(many(1000, "<a>")), "Client", "nested more than 64 deep: over the limit"},
		{"a million attributes", in(`<qty ` + many(1e5, `a="" `) + `>1</qty>`), "Client", "an element with more than 64 attributes: over the limit"},
		{"a million elements", in(many(250_000, "<a/>")), "Client", "more than 100000 elements, comments and CDATA sections: over the limit"},
		{"billion laughs", `<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>` + in(`&b;`), "Client", "SOAP allows no document type, entity or processing instruction"},
		{"an external entity", `<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a SYSTEM "file:///etc/passwd">]>` + in(`<sku>&a;</sku>`), "Client", "SOAP allows no document type"},
		{"an entity", in(`<sku>&nbsp;</sku>`), "Client", "SOAP allows no document type"},
		{"a declaration inside", in(`<?xml version="1.0"?>`), "Client", "SOAP allows no document type, entity or processing instruction"},
		{"a prefix after its scope", in(`<sku xmlns:w="urn:warehouse"/><w:qty>1</w:qty>`), "Client", "a prefix that is not declared"},
		{"a processing instruction", in(`<?php SECRET?>`), "Client", "SOAP allows no document type"},
		{"another charset", strings.Replace(envelope(reserveTwo), "UTF-8", "latin1", 1), "Client", "want UTF-8"},
		{"not UTF-8", in("<sku>\xff</sku>"), "Client", "not well-formed XML"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := post(t, stock(nil, never), c.message)
			require.Equal(t, 500, w.Code, "SOAP 1.1 §6.2")
			require.Equal(t, "text/xml; charset=utf-8", w.Header().Get("Content-Type"))
			require.Contains(t, w.Body.String(), "<faultcode>soapenv:"+c.code+"</faultcode>")
			require.NotContains(t, strings.ReplaceAll(w.Body.String(), "/SECRET", ""), "SECRET")
			require.Equal(t, c.code != "MustUnderstand", strings.Contains(w.Body.String(), "<detail>"), "§4.4")

			// What our client makes of it.
			_, err := call{URL: serving(t, answering(w.Code, textXML, w.Body.String()))}.Call(t.Context(), Reserve{})
			f, ok := errors.AsType[*soap.Fault](err)
			require.True(t, ok)
			require.Equal(t, c.code, f.Code)
			require.Contains(t, f.Text, c.text)
			require.Equal(t, outcome.Refused, outcome.Of(err))
		})
	}
}

// What is let through although it is not the plainest form.
func TestMuxTakes(t *testing.T) {
	for name, message := range map[string]string{
		"prefixes":        `<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" xmlns:w="urn:warehouse"><e:Body><w:reserve><w:sku>1</w:sku><w:qty> 2 </w:qty></w:reserve></e:Body></e:Envelope>`,
		"unqualified":     envelope(`<w:reserve xmlns:w="urn:warehouse"><sku>1</sku><qty>2</qty></w:reserve>`),
		"nil":             envelope(`<reserve xmlns="urn:warehouse" xmlns:i="http://www.w3.org/2001/XMLSchema-instance"><note i:nil="true"/><qty>2</qty></reserve>`),
		"attributes":      envelope(`<reserve xmlns="urn:warehouse" xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:type="reserve" a="b"><qty i:type="int">2</qty></reserve>`),
		"CDATA, comments": envelope(`<reserve xmlns="urn:warehouse"><!-- <qty>9</qty> --><qty><![CDATA[2]]></qty></reserve>`),
		"a block for us":  strings.Replace(envelope(reserveTwo), "<s:Body>", `<s:Header><x:y xmlns:x="urn:x"/></s:Header><s:Body>`, 1),
		"one for another": strings.Replace(envelope(reserveTwo), "<s:Body>", `<s:Header><x:y xmlns:x="urn:x" s:actor="urn:z" s:mustUnderstand="1"/></s:Header><s:Body>`, 1),
		"many namespaces": strings.Replace(envelope(reserveTwo), "<s:Envelope", `<s:Envelope xmlns:a="urn:a" xmlns:b="urn:b" xmlns:c="urn:c"`, 1),
		"as text/xml":     "\n  " + strings.TrimPrefix(envelope(reserveTwo), `<?xml version="1.0" encoding="UTF-8"?>`) + "\n",
		"a mark of order": "\xef\xbb\xbf" + envelope(reserveTwo),
	} {
		t.Run(name, func(t *testing.T) {
			w := post(t, stock(nil, func(_ context.Context, r Reserve) (Reserved, error) {
				require.Equal(t, 2, r.Qty)
				require.Nil(t, r.Note)
				return take(t.Context(), r)
			}), message)
			require.Equal(t, 200, w.Code, w.Body.String())
		})
	}
	w := post(t, stock(&soap.Options{AllowUnknown: true}, take), envelope(`<reserve xmlns="urn:warehouse"><qty>2</qty><qty xmlns="urn:other">9</qty><color/></reserve>`))
	require.Contains(t, w.Body.String(), "<left>8</left>")
}

// What is no SOAP message is answered with none.
func TestMuxHTTP(t *testing.T) {
	for _, c := range []struct {
		method, contentType, encoding string
		status                        int
	}{
		{"GET", textXML, "", 405},
		{"PUT", textXML, "", 405},
		{"POST", "", "", 415},
		{"POST", "application/json", "", 415},
		{"POST", "application/soap+xml", "", 415},
		{"POST", "text/xml; charset=utf-16", "", 415},
		{"POST", textXML, "gzip", 415},
		{"POST", "text/xml", "", 200},
		{"POST", `text/xml; charset="UTF-8"; action="x"`, "", 200},
		{"POST", "text/xml; charset=us-ascii", "", 200},
	} {
		r := httptest.NewRequestWithContext(t.Context(), c.method, "/", strings.NewReader(envelope(reserveTwo)))
		r.Header.Set("Content-Type", c.contentType)
		r.Header.Set("Content-Encoding", c.encoding)
		w := httptest.NewRecorder()
		stock(nil, take).ServeHTTP(w, r)
		require.Equal(t, c.status, w.Code, "%v", c)
		require.Equal(t, c.status == 405, w.Header().Get("Allow") == "POST")
	}
}

// A SOAPAction that says another thing than the Body is somebody's trick.
func TestSOAPAction(t *testing.T) {
	for action, good := range map[string]bool{
		"": true, `""`: true, `"urn:warehouse#reserve"`: true, `urn:warehouse#reserve`: true,
		`"urn:warehouse#ping"`: false, "SECRET": false,
	} {
		w := post(t, stock(nil, take), envelope(reserveTwo), "SOAPAction: "+action)
		require.Equal(t, good, w.Code == 200, action)
		require.NotContains(t, w.Body.String(), "SECRET")
		if !good {
			require.Contains(t, w.Body.String(), "another operation")
		}
	}
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/", strings.NewReader(envelope(reserveTwo)))
	r.Header = http.Header{"Content-Type": {textXML}, "Soapaction": {`"urn:warehouse#reserve"`, `"urn:warehouse#ping"`}}
	w := httptest.NewRecorder()
	stock(nil, take).ServeHTTP(w, r)
	require.Contains(t, w.Body.String(), "want one SOAPAction")
}

// What a function's error is to its caller.
func TestMuxFaults(t *testing.T) {
	foreign := requestFault(t)
	for _, c := range []struct {
		name  string
		err   error
		code  string
		text  string
		known outcome.Outcome
		after string
	}{
		{"a fault", &soap.Fault{Code: "Client.Stock", Text: "only <3> left", Detail: OutOfStock{Left: 3}}, "Client.Stock", "only <3> left", outcome.Refused, ""},
		{"wrapped", fmt.Errorf("x: %w", &soap.Fault{Text: "y"}), "Server", "y", outcome.Unknown, ""},
		{"its own code", &soap.Fault{Code: "NO", Space: "urn:<no>", Text: "y", Actor: "urn:a"}, "NO", "y", outcome.Unknown, ""},
		{"what is known", outcome.Error(outcome.Refused, &soap.Fault{Text: "rolled back"}), "Server", "rolled back", outcome.Refused, ""},
		{"what it says is known", &soap.Fault{Text: "half", Known: "applied"}, "Server", "half", outcome.Applied, ""},
		{"later", retry.After(90*time.Second, &soap.Fault{Text: "later", Known: "refused"}), "Server", "later", outcome.Refused, "90"},
		{"an error", errors.New("SECRET"), "Server", "the server failed to answer", outcome.Unknown, ""},
		{"a refusal", outcome.Error(outcome.Refused, errors.New("SECRET")), "Server", "the server failed to answer", outcome.Refused, ""},
		{"a refusal that passes", outcome.TransientError(outcome.NotSent, true, errors.New("SECRET")), "Server", "nothing was done: repeat it later", outcome.Refused, "1"},
		{"too late", fmt.Errorf("SECRET: %w", context.DeadlineExceeded), "Server", "the answer took too long", outcome.Unknown, ""},
		{"another's fault", foreign, "Server", "the server failed to answer", outcome.Refused, ""},
		{"a detail without a name", &soap.Fault{Code: "Client", Text: "x", Detail: 7}, "Client", "x", outcome.Refused, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := stock(nil, func(context.Context, Reserve) (Reserved, error) { return Reserved{}, c.err })
			e := call{URL: serving(t, m), Guard: requestreply.NewGuard(&requestreply.Options{Retry: retry.Policy{MaxAttempts: 1}})}
			r, err := e.Reply(t.Context(), Reserve{})
			f, ok := errors.AsType[*soap.Fault](err)
			require.True(t, ok, err)
			require.Equal(t, c.code, f.Code)
			require.Equal(t, c.text, f.Text)
			require.Equal(t, c.known, outcome.Of(err))
			require.Equal(t, c.after, r.Header.Get("Retry-After"))
			require.Equal(t, "no-store", r.Header.Get("Cache-Control"))
			require.Equal(t, 500, r.Status)
			var d OutOfStock
			found, err := f.In(&d)
			require.NoError(t, err)
			require.Equal(t, c.name == "a fault", found)
			if found {
				require.Equal(t, 3, d.Left)
			}
			if c.name == "its own code" {
				require.Equal(t, "urn:<no>", f.Space)
				require.Equal(t, "urn:a", f.Actor)
			}
		})
	}
}

// A fault about the Body has a detail (SOAP 1.1 §4.4), which is the caller's own
// where it gave one.
func TestFaultDetail(t *testing.T) {
	for f, want := range map[*soap.Fault]string{
		{Code: "Client", Text: "x"}: `<detail><outcome xmlns="https://github.com/crosstie/crosstie">refused</outcome></detail>`,
		{Text: "x"}:                 `<detail><outcome xmlns="https://github.com/crosstie/crosstie">unknown</outcome></detail>`,
		{Text: "x", Detail: []OutOfStock{{Left: 1}, {Left: 2}}}:     `<detail><outOfStock xmlns="urn:warehouse"><left>1</left></outOfStock><outOfStock xmlns="urn:warehouse"><left>2</left></outOfStock></detail>`,
		{Text: "x", Detail: &OutOfStock{Left: 1}, Known: "refused"}: `<detail><outOfStock xmlns="urn:warehouse"><left>1</left></outOfStock><outcome xmlns="https://github.com/crosstie/crosstie">refused</outcome></detail>`,
	} {
		w := post(t, stock(nil, func(context.Context, Reserve) (Reserved, error) { return Reserved{}, f }), envelope(reserveTwo))
		require.Contains(t, w.Body.String(), want)
	}
}

// requestFault is the error of a call that another service answered.
func requestFault(t *testing.T) error {
	_, err := call{URL: serving(t, answering(500, textXML, envelope(`<s:Fault><faultcode>s:Client</faultcode><faultstring>SECRET</faultstring></s:Fault>`)))}.Call(t.Context(), Reserve{})
	return err
}

// Blocks of a request, and the HTTP request around it.
func TestReadBlock(t *testing.T) {
	var asked error
	m := stock(&soap.Options{Understands: []xml.Name{{Space: warehouse, Local: "session"}}}, func(ctx context.Context, r Reserve) (Reserved, error) {
		var s Session
		found, err := soap.ReadBlock(ctx, &s)
		if asked = err; err != nil || !found {
			return Reserved{}, errors.Join(err, errors.New("no session"))
		}
		require.Equal(t, "s1", s.ID)
		require.Equal(t, "/stock", soap.Request(ctx).URL.Path)
		found, err = soap.ReadBlock(ctx, &OutOfStock{})
		require.NoError(t, err)
		require.False(t, found)
		_, err = soap.ReadBlock(ctx, new(int))
		require.Error(t, err)
		return take(ctx, r)
	})
	e := call{URL: serving(t, m) + "/stock", Guard: hasty, Blocks: []soap.Block{{Value: Session{ID: "s1"}, MustUnderstand: true}}}
	r, err := e.Call(t.Context(), Reserve{Qty: 3})
	require.NoError(t, err)
	require.Equal(t, 7, r.Left)

	e.Blocks = nil
	_, err = e.Call(t.Context(), Reserve{})
	require.ErrorContains(t, err, "the server failed to answer")

	type session struct {
		XMLName xml.Name `xml:"urn:warehouse session"`
		Number  int      `xml:"number"`
	}
	e.Blocks = []soap.Block{{Value: session{}}}
	_, err = e.Call(t.Context(), Reserve{})
	require.ErrorContains(t, err, "fault Client: /Envelope/Header/session/number: the element is not known here")
	require.Error(t, asked)

	found, err := soap.ReadBlock(t.Context(), &Session{})
	require.NoError(t, err)
	require.False(t, found)
	require.Nil(t, soap.Request(t.Context()))
}

// A function past its time is answered for, when it obeys its context.
func TestMuxDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := stock(&soap.Options{Timeout: time.Minute}, func(ctx context.Context, _ Reserve) (Reserved, error) {
			<-ctx.Done()
			return Reserved{}, ctx.Err()
		})
		began := time.Now()
		w := post(t, m, envelope(reserveTwo))
		require.Equal(t, time.Minute, time.Since(began))
		require.Contains(t, w.Body.String(), "the answer took too long")
		require.Contains(t, w.Body.String(), ">unknown</outcome>")
	})
}

// A panic is an answer and a line in the log, or goes on where there is none.
func TestMuxPanics(t *testing.T) {
	panics := func(v any) func(context.Context, Reserve) (Reserved, error) {
		return func(context.Context, Reserve) (Reserved, error) { panic(v) }
	}
	var log bytes.Buffer
	o := &soap.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}
	w := post(t, stock(o, panics("SECRET")), envelope(reserveTwo))
	require.Equal(t, 500, w.Code)
	require.Contains(t, w.Body.String(), "the server failed to answer")
	require.Contains(t, w.Body.String(), ">unknown</outcome>")
	require.NotContains(t, w.Body.String(), "SECRET")
	require.Contains(t, log.String(), "SECRET")
	require.Contains(t, log.String(), "mux_test.go")

	require.PanicsWithValue(t, "SECRET", func() { post(t, stock(nil, panics("SECRET")), envelope(reserveTwo)) })
	require.PanicsWithValue(t, http.ErrAbortHandler, func() { post(t, stock(o, panics(http.ErrAbortHandler)), envelope(reserveTwo)) })
}

// The cause of a Server fault is logged; what is the client's is not.
func TestMuxLogs(t *testing.T) {
	var log bytes.Buffer
	var err error
	m := stock(&soap.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}, func(context.Context, Reserve) (Reserved, error) { return Reserved{}, err })
	err = &soap.Fault{Code: "Client", Text: "no"}
	post(t, m, envelope(reserveTwo))
	post(t, m, "<")
	require.Empty(t, log.String())
	err = errors.New("disk full")
	post(t, m, envelope(reserveTwo))
	require.Contains(t, log.String(), "disk full")
}

type watcher struct{ seen []string }

func (w *watcher) Start(ctx context.Context, op string, _ ...slog.Attr) context.Context {
	w.seen = append(w.seen, op)
	return ctx
}
func (w *watcher) End(_ context.Context, op string, err error, _ ...slog.Attr) {
	w.seen = append(w.seen, fmt.Sprint(op, " ", err))
}

func TestMuxObserver(t *testing.T) {
	w := &watcher{}
	m := stock(&soap.Options{Observer: w}, func(_ context.Context, r Reserve) (Reserved, error) {
		if r.Qty == 0 {
			panic("x")
		}
		return take(t.Context(), r)
	})
	post(t, m, envelope(reserveTwo))
	post(t, m, envelope(`<no/>`))
	require.Panics(t, func() { post(t, m, envelope(`<reserve xmlns="urn:warehouse"/>`)) })
	const op = "requestreply/soap.request"
	require.Equal(t, []string{op, op + " <nil>", op, op + " /Envelope/Body: no operation has this element", op, op + " panicked"}, w.seen)
}

// An Observer that panics takes no answer from a caller.
func TestMuxObserverPanics(t *testing.T) {
	var log bytes.Buffer
	m := stock(&soap.Options{Observer: clumsy{}, Logger: slog.New(slog.NewTextHandler(&log, nil))}, take)
	require.Equal(t, 200, post(t, m, envelope(reserveTwo)).Code)
	require.Contains(t, log.String(), "observer_panicked")
}

type clumsy struct{}

func (clumsy) Start(context.Context, string, ...slog.Attr) context.Context { panic("start") }
func (clumsy) End(context.Context, string, error, ...slog.Attr)            { panic("end") }

func TestHandleMisuse(t *testing.T) {
	m := soap.NewMux(nil)
	for name, try := range map[string]func(){
		"needs a function":    func() { soap.Handle[Reserve, Reserved](m, "", nil) },
		"has no element name": func() { soap.Handle(m, "", func(context.Context, NoName) (Reserved, error) { return Reserved{}, nil }) },
		"innerxml":            func() { soap.Handle(m, "", func(context.Context, Inner) (Reserved, error) { return Reserved{}, nil }) },
		"two operations":      func() { soap.Handle(m, "", take); soap.Handle(m, "", take) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() { require.Contains(t, fmt.Sprint(recover()), name) }()
			try()
		})
	}
}

// The server side of a key is package server's.
func TestMuxIdempotent(t *testing.T) {
	effects := 0
	m := stock(nil, func(ctx context.Context, r Reserve) (Reserved, error) {
		effects++
		return Reserved{Left: effects}, nil
	})
	h := server.Idempotent(server.NewMemKeys(), func(*http.Request) string { return "me" }, nil)(m)
	lost := false
	url := serving(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !lost {
			lost = true
			h.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		}
		h.ServeHTTP(w, r)
	}))
	r, err := call{URL: url, Keyed: true}.Call(t.Context(), Reserve{Qty: 1})
	require.NoError(t, err)
	require.Equal(t, 1, r.Left)
	require.Equal(t, 1, effects)
}

// An answer that breaks off, and one whose body never comes, are bounded and
// known to follow an effect.
func TestBrokenRequest(t *testing.T) {
	m := stock(nil, take)
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/", io.MultiReader(strings.NewReader(envelope(reserveTwo)[:50]), broken{}))
	r.Header.Set("Content-Type", "text/xml")
	w := httptest.NewRecorder()
	m.ServeHTTP(w, r)
	require.Contains(t, w.Body.String(), "byte 50: the message broke off")
	require.NotContains(t, w.Body.String(), "SECRET")
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("SECRET") }

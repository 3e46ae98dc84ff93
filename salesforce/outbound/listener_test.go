package outbound_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/inbox"
	"github.com/crosstie/crosstie/retry"
	"github.com/crosstie/crosstie/salesforce"
	"github.com/crosstie/crosstie/salesforce/outbound"
)

const (
	org    = "00D000000000001EAA"
	secret = "a-secret-of-this-test_0"
	path   = "/accounts/" + secret
)

var sender = outbound.Sender{OrganizationID: org, Secret: secret}

type account struct {
	ID       string          `json:"Id"`
	Name     string          `json:"Name"`
	Stock    salesforce.Int  `json:"Stock__c"`
	Rate     *float64        `json:"Rate__c"`
	Active   bool            `json:"Active__c"`
	Day      salesforce.Date `json:"Day__c"`
	Modified salesforce.Time `json:"LastModifiedDate"`
	Note     json.RawMessage `json:"Note__c"`
}

// told are the notifications that a listener's function was given.
type told []outbound.Notification[account]

func (k *told) take(_ context.Context, _ *sql.Tx, n outbound.Notification[account]) error {
	*k = append(*k, n)
	return nil
}

func (k told) names() (names []string) {
	for _, n := range k {
		names = append(names, n.SObject.Name)
	}
	return names
}

func listen(t *testing.T, fn func(context.Context, *sql.Tx, outbound.Notification[account]) error, o *outbound.Options) *outbound.Listener {
	t.Helper()
	l, err := outbound.New("Account", sender, inbox.New("accounts", inbox.NewMem(), nil), fn, o)
	require.NoError(t, err)
	return l
}

// id makes one of 18 characters. What it ends with does not count.
func id(prefix string, n int) string { return fmt.Sprintf("%s%012dAAA", prefix, n) }

// note is a notification of an account of that name.
func note(n int, name string) string {
	return fmt.Sprintf(`<Notification><Id>%s</Id><sObject xsi:type="sf:Account" xmlns:sf="urn:sobject.enterprise.soap.sforce.com"><sf:Id>%s</sf:Id><sf:Name>%s</sf:Name></sObject></Notification>`, id("04l", n), id("001", n), name)
}

// envelope is a message as an org sends it.
func envelope(notes ...string) string {
	return `<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
 <soapenv:Body>
  <notifications xmlns="http://soap.sforce.com/2005/09/outbound">
   <OrganizationId>` + org + `</OrganizationId>
   <ActionId>` + id("04k", 1) + `</ActionId>
   <SessionId>00D!SESSION</SessionId>
   <EnterpriseUrl>https://acme.my.salesforce.com/services/Soap/c/66.0/x</EnterpriseUrl>
   <PartnerUrl>https://acme.my.salesforce.com/services/Soap/u/66.0/x</PartnerUrl>
   ` + strings.Join(notes, "\n") + `
  </notifications>
 </soapenv:Body>
</soapenv:Envelope>`
}

func post(body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "text/xml; charset=utf-8")
	r.Header.Set("SOAPAction", `""`)
	return r
}

func answer(h http.Handler, r *http.Request) (int, string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

const acked = `<notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>true</Ack></notificationsResponse>`

func requireAck(t *testing.T, h http.Handler, ack bool, body string) {
	t.Helper()
	status, text := answer(h, post(body))
	require.Equal(t, 200, status, text)
	require.Contains(t, text, strings.Replace(acked, "true", fmt.Sprint(ack), 1))
}

func TestNotificationIsTyped(t *testing.T) {
	var got told
	l := listen(t, got.take, nil)
	fields := `<sf:Id>` + id("001", 1) + `</sf:Id><sf:Name>L &amp; &lt;ä&gt;</sf:Name><sf:Stock__c>12.0</sf:Stock__c><sf:Rate__c>3.5E8</sf:Rate__c>
		<sf:Active__c>true</sf:Active__c><sf:Day__c>2026-02-28</sf:Day__c><sf:LastModifiedDate>2026-01-02T15:04:05.000Z</sf:LastModifiedDate>
		<sf:Added__c>by an administrator</sf:Added__c><sf:Note__c xsi:nil="true"/>`
	one := `<Notification><Id>` + id("04l", 1) + `</Id><sObject xsi:type="sf:Account" xmlns:sf="urn:sobject.enterprise.soap.sforce.com">` + fields + `</sObject></Notification>`
	requireAck(t, l, true, envelope(one, note(2, "bare")))
	rate := 3.5e8
	require.Equal(t, told{
		{ID: id("04l", 1), OrganizationID: org, ActionID: id("04k", 1), SObject: account{
			ID: id("001", 1), Name: "L & <ä>", Stock: 12, Rate: &rate, Active: true, Day: salesforce.Date{Year: 2026, Month: 2, Day: 28},
			Modified: salesforce.Time{Time: time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)}, Note: json.RawMessage("null"),
		}},
		{ID: id("04l", 2), OrganizationID: org, ActionID: id("04k", 1), SObject: account{ID: id("001", 2), Name: "bare"}},
	}, got)
}

// What is told again, in the same message or in another, happens once.
func TestRepeatIsOneEffect(t *testing.T) {
	var got told
	l := listen(t, got.take, nil)
	requireAck(t, l, true, envelope(note(1, "a"), note(1, "a"), note(2, "b")))
	requireAck(t, l, true, envelope(note(2, "b"), note(3, "c"), note(1, "a")))
	short := strings.ReplaceAll(envelope(note(1, "a")), id("04l", 1), id("04l", 1)[:15])
	requireAck(t, l, true, short)
	require.Equal(t, []string{"a", "b", "c"}, got.names())
}

// A store commits, and the process is gone before it can say so.
type crashing struct {
	*inbox.Mem
	crash bool
}

func (s *crashing) Do(ctx context.Context, box, id string, at time.Time, fn func(context.Context, *sql.Tx) error) (bool, error) {
	first, err := s.Mem.Do(ctx, box, id, at, fn)
	if s.crash && first {
		s.crash = false
		return false, errors.New("the connection is gone: nobody knows whether it was committed")
	}
	return first, err
}

func TestCrashBetweenEffectAndAck(t *testing.T) {
	var got told
	l, err := outbound.New("Account", sender, inbox.New("accounts", &crashing{inbox.NewMem(), true}, nil), got.take, nil)
	require.NoError(t, err)
	requireAck(t, l, false, envelope(note(1, "a"), note(2, "b")))
	requireAck(t, l, true, envelope(note(1, "a"), note(2, "b")))
	require.Equal(t, []string{"a", "b"}, got.names())
}

// One that fails holds up the Ack and none of the others.
func TestFailureIsRepeatedAlone(t *testing.T) {
	var got told
	var log bytes.Buffer
	fails := true
	l := listen(t, func(ctx context.Context, tx *sql.Tx, n outbound.Notification[account]) error {
		if n.SObject.Name == "b" && fails {
			return retry.Permanent(errors.New("no such customer"))
		}
		return got.take(ctx, tx, n)
	}, &outbound.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	message := envelope(note(1, "a"), note(2, "b"), note(3, "c"))
	requireAck(t, l, false, message)
	require.Equal(t, []string{"a", "c"}, got.names())
	require.Contains(t, log.String(), "no such customer")
	require.NotContains(t, log.String(), "SESSION")
	require.NotContains(t, log.String(), "salesforce.com")
	fails = false
	requireAck(t, l, true, message)
	require.Equal(t, []string{"a", "c", "b"}, got.names())
}

func TestPark(t *testing.T) {
	var got told
	var parked []outbound.Parked
	full := true
	l := listen(t, func(ctx context.Context, tx *sql.Tx, n outbound.Notification[account]) error {
		switch n.SObject.Name {
		case "never":
			return retry.Permanent(errors.New("no such customer"))
		case "later":
			return errors.New("the database is away")
		}
		return got.take(ctx, tx, n)
	}, &outbound.Options{Park: func(_ context.Context, _ *sql.Tx, p outbound.Parked) error {
		if full {
			return errors.New("full")
		}
		parked = append(parked, p)
		return nil
	}})
	misfit := strings.Replace(note(2, "odd"), "</sf:Name>", "</sf:Name><sf:Stock__c>many</sf:Stock__c><sf:More__c>x</sf:More__c>", 1)
	message := envelope(note(1, "never"), misfit, note(3, "good"))

	status, text := answer(l, post(message))
	require.Equal(t, 500, status, "a misfit that could not be parked: %s", text)
	require.Contains(t, text, "/Envelope/Body/notifications/Notification[2]/sObject/Stock__c: does not fit its Go type, salesforce.Int")
	require.NotContains(t, text, "many")
	require.Equal(t, []string{"good"}, got.names())

	full = false
	requireAck(t, l, true, message)
	requireAck(t, l, true, message)
	require.Len(t, parked, 2)
	require.Equal(t, id("04l", 1), parked[0].ID)
	require.Equal(t, org, parked[0].OrganizationID)
	require.Equal(t, id("04k", 1), parked[0].ActionID)
	require.True(t, retry.IsPermanent(parked[0].Err))
	require.Equal(t, "Account", parked[1].Object)
	require.JSONEq(t, `{"Id":"`+id("001", 2)+`","Name":"odd","Stock__c":"many","More__c":"x"}`, string(parked[1].Fields))

	requireAck(t, l, false, envelope(note(4, "later")))
	require.Len(t, parked, 2, "what passes by itself is repeated")
}

func TestPanicHoldsNobodyUp(t *testing.T) {
	var got told
	l := listen(t, func(ctx context.Context, tx *sql.Tx, n outbound.Notification[account]) error {
		if n.SObject.Name == "b" {
			panic("a mistake")
		}
		return got.take(ctx, tx, n)
	}, &outbound.Options{Logger: slog.New(slog.DiscardHandler)})
	status, text := answer(l, post(envelope(note(1, "a"), note(2, "b"), note(3, "c"))))
	require.Equal(t, 500, status)
	require.NotContains(t, text, "a mistake")
	require.Equal(t, []string{"a", "c"}, got.names())
}

// What is no message of the org's has no effect at all.
func TestRefused(t *testing.T) {
	many := make([]string, 101)
	for i := range many {
		many[i] = note(i, "x")
	}
	replace := func(old, to string) string {
		m := envelope(note(1, "a"))
		require.Contains(t, m, old)
		return strings.Replace(m, old, to, 1)
	}
	for name, c := range map[string]struct{ body, want string }{
		"101 notifications":     {envelope(many...), "notifications: more than 100 Notifications"},
		"no notification":       {envelope(), "notifications: want at least one Notification"},
		"another organisation":  {replace(org, id("00D", 2)), "/OrganizationId: this listener is another organisation"},
		"organisation twice":    {replace("<ActionId>", "<OrganizationId>"+org+"</OrganizationId><ActionId>"), "comes twice"},
		"another namespace":     {replace("2005/09/outbound", "2005/09/inbound"), "no operation has this element"},
		"no id":                 {replace(id("04l", 1), ""), "/Notification[1]/Id: want an id"},
		"an id with a space":    {replace(id("04l", 1), "04l00000000000 "), "/Notification[1]/Id: want an id"},
		"another object":        {replace("sf:Account", "sf:Contact"), "sObject: this listener takes Account"},
		"fields of nobody":      {replace("urn:sobject.enterprise", "urn:sobject.partner"), "not in the namespace of sObjects"},
		"a record without id":   {replace("<sf:Id>"+id("001", 1)+"</sf:Id>", ""), "sObject/Id: want an id"},
		"a field twice":         {replace("<sf:Name>", "<sf:name>b</sf:name><sf:Name>"), "sObject/Name: the field comes twice"},
		"elements in a field":   {replace("<sf:Name>", "<sf:Name><sf:x/>"), "sObject/Name: want a text"},
		"an unknown element":    {replace("<ActionId>", "<More/><ActionId>"), "not known here"},
		"a document type":       {replace("<soapenv:Envelope", `<!DOCTYPE x [<!ENTITY a "b">]><soapenv:Envelope`), "SOAP allows no document type"},
		"a bomb of entities":    {replace(">a<", ">&a;<"), "SOAP allows no document type, entity"},
		"a bomb of depth":       {replace(">a<", ">"+strings.Repeat("<sf:x>", 100_000)+"<"), "nested more than 16 deep"},
		"a bomb of attributes":  {replace("<Notification>", "<Notification "+strings.Repeat(`a="1" `, 100)+">"), "more than 64 attributes"},
		"a bomb of elements":    {replace("<sf:Name>", strings.Repeat("<sf:x/>", 100_001)+"<sf:Name>"), "more than 100000 elements"},
		"too long":              {replace(">a<", ">"+strings.Repeat("a", 2<<20)+"<"), "longer than 1048576 bytes"},
		"SOAP 1.2":              {replace("http://schemas.xmlsoap.org/soap/envelope/", "http://www.w3.org/2003/05/soap-envelope"), "SOAP 1.1"},
		"half a message":        {envelope(note(1, "a"))[:700], "ends"},
		"nothing":               {"", "empty"},
		"an unknown must-block": {replace("<soapenv:Body>", `<soapenv:Header><x:a xmlns:x="urn:x" soapenv:mustUnderstand="1"/></soapenv:Header><soapenv:Body>`), "must be understood"},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			l := listen(t, func(context.Context, *sql.Tx, outbound.Notification[account]) error {
				t.Error("it took effect")
				return nil
			}, &outbound.Options{MaxBytes: 1 << 20, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			status, text := answer(l, post(c.body))
			require.Equal(t, 500, status)
			require.Contains(t, strings.NewReplacer("&#39;", "'", "&#34;", `"`).Replace(text), c.want)
			require.NotContains(t, text, "<Ack>")
			require.NotContains(t, text+log.String(), "SESSION")
			require.Contains(t, log.String(), c.want[1:], "who runs it hears of it too")
		})
	}
}

func TestSOAPActionMayBeMissing(t *testing.T) {
	var got told
	l := listen(t, got.take, nil)
	r := post(envelope(note(1, "a")))
	r.Header.Del("SOAPAction")
	status, text := answer(l, r)
	require.Equal(t, 200, status)
	require.Contains(t, text, acked)
}

// Who sends half a message and waits holds nothing for longer than Timeout.
func TestSlowBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := listen(t, func(context.Context, *sql.Tx, outbound.Notification[account]) error { return nil }, nil)
		near, far := net.Pipe()
		s := &http.Server{Handler: l, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
		conns := &one{conn: far, done: make(chan struct{})}
		ended := make(chan struct{})
		go func() { defer close(ended); _ = s.Serve(conns) }()
		began := time.Now()
		_, err := fmt.Fprintf(near, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: text/xml\r\nContent-Length: 5000\r\n\r\n<soapenv:", path)
		require.NoError(t, err)
		resp, err := http.ReadResponse(bufio.NewReader(near), nil)
		require.NoError(t, err)
		require.Equal(t, 500, resp.StatusCode)
		require.Equal(t, 30*time.Second, time.Since(began))
		_, _ = io.Copy(io.Discard, resp.Body)
		require.NoError(t, near.Close())
		require.NoError(t, s.Close())
		<-ended
	})
}

// one is a listener with one connection.
type one struct {
	conn net.Conn
	done chan struct{}
}

func (o *one) Accept() (net.Conn, error) {
	if c := o.conn; c != nil {
		o.conn = nil
		return c, nil
	}
	<-o.done
	return nil, net.ErrClosed
}
func (o *one) Close() error   { close(o.done); return nil }
func (o *one) Addr() net.Addr { return &net.TCPAddr{} }

// What there is no time for is left to the next attempt.
func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got told
		slow := 20 * time.Second
		l := listen(t, func(ctx context.Context, tx *sql.Tx, n outbound.Notification[account]) error {
			time.Sleep(slow)
			return got.take(ctx, tx, n)
		}, nil)
		message := envelope(note(1, "a"), note(2, "b"), note(3, "c"))
		requireAck(t, l, false, message)
		require.NotContains(t, got.names(), "c")
		requireAck(t, l, true, message)
		require.Equal(t, []string{"a", "b", "c"}, got.names())
	})
}

func TestSender(t *testing.T) {
	named := func(s tls.ConnectionState) error {
		return s.PeerCertificates[0].VerifyHostname("acme.my.salesforce.com")
	}
	with := func(name string, verified bool) func(*http.Request) {
		return func(r *http.Request) {
			c := &x509.Certificate{DNSNames: []string{name}}
			r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{c}}
			if verified {
				r.TLS.VerifiedChains = [][]*x509.Certificate{{c}}
			}
		}
	}
	from := func(addr string) func(*http.Request) { return func(r *http.Request) { r.RemoteAddr = addr } }
	nets := []netip.Prefix{netip.MustParsePrefix("13.108.0.0/14"), netip.MustParsePrefix("2001:db8::/32")}
	for name, c := range map[string]struct {
		sender  outbound.Sender
		request func(*http.Request)
		want    int
	}{
		"the secret":                 {outbound.Sender{Secret: secret}, nil, 200},
		"another secret":             {outbound.Sender{Secret: secret}, func(r *http.Request) { r.URL.Path = "/accounts/" + secret + "0" }, 404},
		"the secret elsewhere":       {outbound.Sender{Secret: secret}, func(r *http.Request) { r.URL.Path = path + "/" }, 404},
		"a source":                   {outbound.Sender{Prefixes: nets}, from("13.110.2.3:4711"), 200},
		"a source in IPv6":           {outbound.Sender{Prefixes: nets}, from("[2001:db8::7]:4711"), 200},
		"a source mapped":            {outbound.Sender{Prefixes: nets}, from("[::ffff:13.110.2.3]:4711"), 200},
		"another source":             {outbound.Sender{Prefixes: nets}, from("13.112.0.1:4711"), 403},
		"no source":                  {outbound.Sender{Prefixes: nets}, from("@"), 403},
		"a forged header":            {outbound.Sender{Prefixes: nets}, func(r *http.Request) { r.Header.Set("X-Forwarded-For", "13.110.2.3") }, 403},
		"a source by a proxy":        {outbound.Sender{Prefixes: nets, Source: func(*http.Request) (netip.Addr, error) { return netip.ParseAddr("13.110.2.3") }}, nil, 200},
		"a proxy that does not know": {outbound.Sender{Prefixes: nets, Source: func(*http.Request) (netip.Addr, error) { return netip.ParseAddr("") }}, nil, 403},
		"the certificate":            {outbound.Sender{Certificate: named}, with("acme.my.salesforce.com", true), 200},
		"another certificate":        {outbound.Sender{Certificate: named}, with("evil.example", true), 403},
		"one that nobody verified":   {outbound.Sender{Certificate: named}, with("acme.my.salesforce.com", false), 403},
		"no certificate":             {outbound.Sender{Certificate: named}, nil, 403},
		"one of two":                 {outbound.Sender{Secret: secret, Prefixes: nets}, nil, 403},
	} {
		t.Run(name, func(t *testing.T) {
			var got told
			c.sender.OrganizationID = org[:15] // of either length
			l, err := outbound.New("Account", c.sender, inbox.New("accounts", inbox.NewMem(), nil), got.take, nil)
			require.NoError(t, err)
			r := post(envelope(note(1, "a")))
			if c.request != nil {
				c.request(r)
			}
			status, text := answer(l, r)
			require.Equal(t, c.want, status, text)
			require.Equal(t, c.want == 200, len(got) == 1)
		})
	}
}

func TestNewRefuses(t *testing.T) {
	in := inbox.New("accounts", inbox.NewMem(), nil)
	var got told
	for name, c := range map[string]struct {
		object string
		sender outbound.Sender
		o      *outbound.Options
		want   string
	}{
		"nobody to know":       {"Account", outbound.Sender{OrganizationID: org}, nil, "give a Certificate, Prefixes or a Secret"},
		"a short secret":       {"Account", outbound.Sender{OrganizationID: org, Secret: "hunter2"}, nil, "Sender.Secret can be guessed"},
		"a secret of segments": {"Account", outbound.Sender{OrganizationID: org, Secret: secret + "/" + secret}, nil, "no segment of a path"},
		"everybody":            {"Account", outbound.Sender{OrganizationID: org, Prefixes: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}}, nil, "Sender.Prefixes[0]"},
		"no organisation":      {"Account", outbound.Sender{Secret: secret}, nil, "Sender.OrganizationID"},
		"an id of another":     {"Account", outbound.Sender{OrganizationID: id("001", 1), Secret: secret}, nil, "Sender.OrganizationID"},
		"no object":            {"", sender, nil, "API name"},
		"no URL":               {"Account", sender, &outbound.Options{URL: "/x"}, "Options.URL"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := outbound.New(c.object, c.sender, in, got.take, c.o)
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
	_, err := outbound.New("Account", sender, in, func(context.Context, *sql.Tx, outbound.Notification[string]) error { return nil }, nil)
	require.ErrorContains(t, err, "string is no struct with fields")
	_, err = outbound.New[account]("Account", sender, nil, got.take, nil)
	require.ErrorContains(t, err, "an inbox and a function")
}

func TestWSDL(t *testing.T) {
	var got told
	l := listen(t, got.take, nil)
	status, text := answer(l, httptest.NewRequest(http.MethodGet, "https://example.com"+path+"?wsdl", nil))
	require.Equal(t, 200, status)
	require.Contains(t, text, `<soap:address location="https://example.com`+path+`"/>`)
	require.Contains(t, text, `<complexType name="Account">`)
	for field, typ := range map[string]string{"Name": "string", "Stock__c": "double", "Rate__c": "double", "Active__c": "boolean", "Day__c": "date", "LastModifiedDate": "dateTime", "Note__c": "string"} {
		require.Contains(t, text, `<element name="`+field+`" nillable="true" minOccurs="0" type="xsd:`+typ+`"/>`)
	}
	require.Equal(t, text, string(l.WSDL("https://example.com"+path)))

	status, _ = answer(l, httptest.NewRequest(http.MethodGet, "/accounts/?wsdl", nil))
	require.Equal(t, 404, status, "without the secret")
	status, _ = answer(l, httptest.NewRequest(http.MethodGet, path, nil))
	require.Equal(t, 405, status)
}

// A full store refuses for good once, before anything happened.
type full struct {
	*inbox.Mem
	once bool
}

func (s *full) Do(ctx context.Context, box, id string, at time.Time, fn func(context.Context, *sql.Tx) error) (bool, error) {
	if !s.once {
		s.once = true
		return false, retry.Permanent(errors.New("the disk is full"))
	}
	return s.Mem.Do(ctx, box, id, at, fn)
}

// The store's trouble is not the notification's: it is repeated, not parked.
func TestStoreFailureParksNothing(t *testing.T) {
	var got told
	l, err := outbound.New("Account", sender, inbox.New("accounts", &full{Mem: inbox.NewMem()}, nil), got.take, &outbound.Options{
		Park: func(context.Context, *sql.Tx, outbound.Parked) error { t.Error("parked"); return nil },
	})
	require.NoError(t, err)
	requireAck(t, l, false, envelope(note(1, "a")))
	requireAck(t, l, true, envelope(note(1, "a")))
	require.Equal(t, []string{"a"}, got.names())
}

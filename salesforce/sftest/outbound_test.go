package sftest_test

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/salesforce/sftest"
)

// An endpoint keeps the messages that it is sent, and answers with what answer
// says of the nth, from 0.
type endpoint struct {
	mu     sync.Mutex // guards what follows
	bodies []string
	times  []time.Time
	answer func(n int) (int, string)
}

const (
	ack  = `<?xml version="1.0"?><e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body><notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>true</Ack></notificationsResponse></e:Body></e:Envelope>`
	nack = `<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body><x:notificationsResponse xmlns:x="http://soap.sforce.com/2005/09/outbound"><x:Ack>false</x:Ack></x:notificationsResponse></e:Body></e:Envelope>`
)

func (e *endpoint) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if r.Header.Get("SOAPAction") != `""` || r.Header.Get("Content-Type") != "text/xml; charset=utf-8" {
		return nil, errors.New("not the headers of SOAP 1.1")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	n := len(e.bodies)
	e.bodies, e.times = append(e.bodies, string(body)), append(e.times, time.Now())
	status, text := 200, ack
	if e.answer != nil {
		status, text = e.answer(n)
	}
	if status == 0 {
		return nil, errors.New("the connection broke")
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(text)), Request: r}, nil
}

// A sent is a message as a listener reads it.
type sent struct {
	Organization string   `xml:"Body>notifications>OrganizationId"`
	Session      string   `xml:"Body>notifications>SessionId"`
	IDs          []string `xml:"Body>notifications>Notification>Id"`
	Names        []string `xml:"Body>notifications>Notification>sObject>Name"`
}

func (e *endpoint) got(t *testing.T) (list []sent) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, b := range e.bodies {
		var s sent
		require.NoError(t, xml.Unmarshal([]byte(b), &s))
		list = append(list, s)
	}
	return list
}

// sender is an org in a bubble that tells an endpoint of its accounts.
func sender(t *testing.T, e *endpoint, change func(*sftest.OutboundMessage)) *sftest.Org {
	t.Helper()
	org := sftest.NewOrg(t, &sftest.Options{InMemory: true})
	m := sftest.OutboundMessage{Object: "Account", Fields: []string{"Name"}, URL: "https://listener.example/x", Transport: e}
	if change != nil {
		change(&m)
	}
	_, err := org.AddOutboundMessage(m)
	require.NoError(t, err)
	return org
}

func insert(t *testing.T, org *sftest.Org, names ...string) []string {
	t.Helper()
	var rows []sftest.Row
	for _, n := range names {
		rows = append(rows, sftest.Row{"Name": n})
	}
	ids, err := org.Insert("Account", rows...)
	require.NoError(t, err)
	return ids
}

// pass lets time pass and what is due then happen.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestOutboundMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{}
		org := sender(t, e, nil)
		ids := insert(t, org, "L & <1>")
		synctest.Wait()
		got := e.got(t)
		require.Len(t, got, 1)
		notes := org.Notifications()
		require.Len(t, notes, 1)
		require.Equal(t, sent{Organization: org.ID(), IDs: []string{notes[0].ID}, Names: []string{"L & <1>"}}, got[0])
		require.Contains(t, e.bodies[0], `<SessionId xsi:nil="true"/>`)
		require.Contains(t, e.bodies[0], `<sObject xsi:type="sf:Account" xmlns:sf="urn:sobject.enterprise.soap.sforce.com">`+"\n<sf:Id>"+ids[0]+"</sf:Id>")
		require.Equal(t, "acknowledged", notes[0].State)
		require.Equal(t, 1, notes[0].Attempts)
		require.Regexp(t, "^04l.{15}$", notes[0].ID)
		require.Regexp(t, "^04k.{15}$", notes[0].ActionID)

		require.NoError(t, org.Delete("Account", ids[0]))
		pass(time.Hour)
		require.Len(t, e.got(t), 1, "a delete sends nothing")
	})
}

// Whatever is no Ack of true is repeated, with the same id and larger pauses, for
// 24 hours.
func TestOutboundRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers := []struct {
			status int
			text   string
			why    string
		}{
			{200, nack, "the Ack is false"},
			{500, strings.Replace(nack, "</e:Body>", "<e:Fault><faultcode>e:Client</faultcode><faultstring>no</faultstring></e:Fault></e:Body>", 1), "status 500, a fault: no"},
			{200, strings.ReplaceAll(ack, "notificationsResponse", "notifications"), "no notificationsResponse"},
			{200, strings.ReplaceAll(ack, "2005/09/outbound", "2005/09/inbound"), "no notificationsResponse"},
			{302, ack, "status 302"},
			{500, ack, "status 500"},
			{200, "<html>", "no notificationsResponse"},
			{0, "", "no answer"},
		}
		e := &endpoint{answer: func(n int) (int, string) { a := answers[n%len(answers)]; return a.status, a.text }}
		org := sender(t, e, nil)
		insert(t, org, "a")
		synctest.Wait()
		for i, a := range answers {
			n := org.Notifications()[0]
			require.Equal(t, "queued", n.State)
			require.Equal(t, i+1, n.Attempts)
			require.Contains(t, n.Failure, a.why)
			wait := 15 * time.Second << i
			require.Equal(t, wait, time.Until(n.Next))
			if i < len(answers)-1 {
				pass(wait)
			}
		}
		pass(24 * time.Hour)
		n := org.Notifications()[0]
		require.Equal(t, "dropped", n.State)
		for _, m := range e.got(t) {
			require.Equal(t, []string{n.ID}, m.IDs)
		}
		last := e.times[len(e.times)-1]
		require.Equal(t, 2*time.Hour, last.Sub(e.times[len(e.times)-2]), "the longest pause")
		require.Less(t, last.Sub(n.Created), 24*time.Hour)
		require.Greater(t, last.Sub(n.Created), 21*time.Hour)
	})
}

func TestOutboundRetryByHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{answer: func(n int) (int, string) { return 200, map[bool]string{true: nack, false: ack}[n == 0] }}
		org := sender(t, e, nil)
		insert(t, org, "a")
		synctest.Wait()
		require.Equal(t, "queued", org.Notifications()[0].State)
		org.RetryNotifications()
		synctest.Wait()
		require.Equal(t, "acknowledged", org.Notifications()[0].State)
		require.Empty(t, org.Notifications()[0].Failure)
	})
}

// What is sent late is what the record has become meanwhile.
func TestOutboundSendsWhatIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var away atomic.Bool
		away.Store(true)
		e := &endpoint{answer: func(int) (int, string) { return 200, map[bool]string{true: nack, false: ack}[away.Load()] }}
		org := sender(t, e, func(m *sftest.OutboundMessage) {
			m.SessionID = true
			m.When = func(c sftest.Change) bool { return c.Row["Name"] != "hidden" }
		})
		ids := insert(t, org, "a", "b", "hidden")
		synctest.Wait()
		require.NoError(t, org.Update("Account", ids[0], sftest.Row{"Name": "a2"}))
		require.NoError(t, org.Delete("Account", ids[1]))
		synctest.Wait()
		away.Store(false)
		pass(time.Minute)
		var names []string
		for _, m := range e.got(t) {
			if len(m.Names) > 0 {
				names = append(names, m.Names...)
			}
			require.True(t, strings.HasPrefix(m.Session, org.ID()[:15]+"!"))
		}
		require.Equal(t, []string{"a2", "a2"}, names[len(names)-2:])
		var states []string
		for _, n := range org.Notifications() {
			states = append(states, n.State)
		}
		require.Equal(t, []string{"acknowledged", "void", "acknowledged"}, states)
	})
}

// A hundred fit into a message, in any order.
func TestOutboundBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var away atomic.Bool
		away.Store(true)
		e := &endpoint{answer: func(int) (int, string) { return 200, map[bool]string{true: nack, false: ack}[away.Load()] }}
		org := sender(t, e, nil)
		var names []string
		for i := range 250 {
			names = append(names, fmt.Sprint(i))
		}
		insert(t, org, names...)
		synctest.Wait()
		before := len(e.got(t))
		away.Store(false)
		org.RetryNotifications()
		synctest.Wait()
		var sizes []int
		var order []string
		for _, m := range e.got(t)[before:] {
			sizes = append(sizes, len(m.IDs))
			order = append(order, m.Names...)
		}
		require.Equal(t, 250, len(order))
		require.LessOrEqual(t, slices.Max(sizes), 100)
		require.ElementsMatch(t, names, order)
		require.NotEqual(t, names, order, "who relies on the order finds out")
	})
}

func TestOutboundFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{}
		org := sender(t, e, nil)
		require.NoError(t, org.Fault(
			sftest.Fault{Kind: sftest.FaultDropRequest, On: sftest.OpOutbound},
			sftest.Fault{Kind: sftest.FaultDropResponse, On: sftest.OpOutbound},
		))
		insert(t, org, "a")
		synctest.Wait()
		require.Empty(t, e.got(t))
		pass(15 * time.Second)
		require.Len(t, e.got(t), 1, "it arrived, and the answer was lost")
		require.Equal(t, "queued", org.Notifications()[0].State)
		pass(30 * time.Second)
		require.Len(t, e.got(t), 2)
		require.Equal(t, e.got(t)[0], e.got(t)[1])
		require.Equal(t, "acknowledged", org.Notifications()[0].State)

		require.NoError(t, org.Fault(sftest.Fault{Kind: sftest.FaultDelay, On: sftest.OpOutbound, Delay: time.Minute}))
		insert(t, org, "b")
		pass(59 * time.Second)
		require.Len(t, e.got(t), 2)
		pass(time.Second)
		require.Len(t, e.got(t), 3)
		require.ErrorContains(t, org.Fault(sftest.Fault{Kind: sftest.FaultHTML, On: sftest.OpOutbound}), "cannot hit what the org sends")
	})
}

func TestOutboundMessageIsRefused(t *testing.T) {
	org := sftest.NewOrg(t, &sftest.Options{InMemory: true})
	const here = "http://127.0.0.1:1/x"
	for want, m := range map[string]sftest.OutboundMessage{
		"is no object":        {Object: "Nothing__c", URL: here},
		"has no field":        {Object: "Account", Fields: []string{"Nothing__c"}, URL: here},
		"Id comes by itself":  {Object: "Account", Fields: []string{"Id"}, URL: here},
		"not of this machine": {Object: "Account", URL: "https://listener.example/x"},
		"no absolute":         {Object: "Account", URL: "/x"},
		"a negative MaxDelay": {Object: "Account", URL: here, MaxDelay: -1},
	} {
		_, err := org.AddOutboundMessage(m)
		require.ErrorContains(t, err, want)
	}
}

func TestOutboundByControl(t *testing.T) {
	org := sftest.NewOrg(t, nil)
	call := func(method, path, body string) (int, string) {
		r := httptest.NewRequest(method, "http://127.0.0.1"+path, strings.NewReader(body))
		w := httptest.NewRecorder()
		org.Control().ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	status, text := call("POST", "/outbound", `{"object":"Account","url":"https://listener.example/x"}`)
	require.Equal(t, 400, status)
	require.Contains(t, text, "not of this machine")
	status, text = call("POST", "/outbound", `{"object":"Account","fields":["Name"],"url":"http://127.0.0.1:1/x"}`)
	require.Equal(t, 200, status, text)
	require.Contains(t, text, `"actionId":"04k`)
	ids := insert(t, org, "a")
	status, text = call("GET", "/notifications", "")
	require.Equal(t, 200, status)
	require.Contains(t, text, `"recordId":"`+ids[0]+`"`)
	require.Contains(t, text, `"state":"queued"`)
	status, _ = call("POST", "/notifications/retry", "")
	require.Equal(t, 200, status)
}

// A tripper is one by a function.
type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Who does not answer for a minute has not acknowledged.
func TestOutboundTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		org := sender(t, nil, func(m *sftest.OutboundMessage) {
			m.MaxDelay = 20 * time.Second
			m.Transport = tripper(func(r *http.Request) (*http.Response, error) {
				<-r.Context().Done()
				return nil, r.Context().Err()
			})
		})
		insert(t, org, "a")
		for i, wait := range []time.Duration{15 * time.Second, 20 * time.Second, 20 * time.Second} {
			pass(time.Minute)
			n := org.Notifications()[0]
			require.Equal(t, i+1, n.Attempts)
			require.Contains(t, n.Failure, "deadline exceeded")
			require.Equal(t, wait, time.Until(n.Next))
			pass(wait)
		}
	})
}

func TestOutboundJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		org := sftest.NewOrg(t, &sftest.Options{InMemory: true, Journal: 8})
		_, err := org.AddOutboundMessage(sftest.OutboundMessage{Object: "Account", URL: "https://listener.example/x", Transport: &endpoint{}})
		require.NoError(t, err)
		for range 30 {
			insert(t, org, "a")
			synctest.Wait()
		}
		notes := org.Notifications()
		require.LessOrEqual(t, len(notes), 9)
		require.Equal(t, org.Rows("Account")[29]["Id"], notes[len(notes)-1].RecordID, "the oldest are forgotten")
	})
}

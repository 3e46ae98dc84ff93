package node

import (
	"bytes"
	"context"
	"database/sql"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/inbox"
	"github.com/crosstie/crosstie/salesforce"
	"github.com/crosstie/crosstie/salesforce/outbound"
	"github.com/crosstie/crosstie/salesforce/sftest"
)

const outboundSecret = "a-secret-of-this-test_0"

type Account struct {
	ID        string          `json:"Id"`
	Name      string          `json:"Name"`
	Employees *salesforce.Int `json:"NumberOfEmployees"`
}

func accounts(t *testing.T, organization string, fn func(context.Context, *sql.Tx, outbound.Notification[Account]) error) *outbound.Listener {
	t.Helper()
	sender := outbound.Sender{OrganizationID: organization, Secret: outboundSecret}
	l, err := outbound.New("Account", sender, inbox.New("accounts", inbox.NewMem(), nil), fn, nil)
	require.NoError(t, err)
	return l
}

// A client that node-soap makes of the WSDL we serve sends to our listener.
func TestOutboundListener(t *testing.T) {
	const org, other = "00D000000000001EAA", "00D000000000002EAA"
	var got []outbound.Notification[Account]
	l := accounts(t, org, func(_ context.Context, _ *sql.Tx, n outbound.Notification[Account]) error {
		got = append(got, n)
		return nil
	})
	var wire []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		wire = append(wire, string(body))
		r.Body = io.NopCloser(bytes.NewReader(body))
		l.ServeHTTP(w, r)
	}))
	defer s.Close()

	type sobject struct {
		ID        string `json:"ens:Id"` // node-soap forgets the namespace of what a type inherits
		Name      string
		Employees any `json:"NumberOfEmployees,omitempty"`
	}
	type notification struct {
		ID      string  `json:"Id"`
		SObject sobject `json:"sObject"`
	}
	type message struct {
		Organization  string         `json:"OrganizationId"`
		Action        string         `json:"ActionId"`
		Session       string         `json:"SessionId"`
		EnterpriseURL string         `json:"EnterpriseUrl"`
		PartnerURL    string         `json:"PartnerUrl"`
		Notifications []notification `json:"Notification"`
	}
	of := func(org string, n ...notification) message {
		return message{org, "04k000000000001AAA", "s", "https://e", "https://p", n}
	}
	one := notification{"04l000000000001AAA", sobject{"001000000000001AAA", "L & <ä>", 12}}
	two := notification{"04l000000000002AAA", sobject{"001000000000002AAA", "two", nil}}
	odd := notification{"04l000000000003AAA", sobject{"001000000000003AAA", "odd", "many"}}
	var answers []struct {
		Ack        *bool
		Code, Text string
	}
	run(t, "outbound_client.js", map[string]any{
		"url":      s.URL + "/accounts/" + outboundSecret,
		"messages": []message{of(org, one, two), of(org, two, one), of(other, one), of(org, odd)},
	}, &answers)
	require.Len(t, answers, 4)
	for _, a := range answers[:2] {
		require.NotNil(t, a.Ack, "%s\n%v", a.Text, wire)
		require.True(t, *a.Ack)
	}
	require.Contains(t, answers[2].Text, "/OrganizationId: this listener is another organisation's")
	require.Contains(t, answers[3].Text, "Notification[1]/sObject/NumberOfEmployees: does not fit")
	employees := salesforce.Int(12)
	require.Equal(t, []outbound.Notification[Account]{
		{ID: one.ID, OrganizationID: org, ActionID: "04k000000000001AAA", SObject: Account{one.SObject.ID, one.SObject.Name, &employees}},
		{ID: two.ID, OrganizationID: org, ActionID: "04k000000000001AAA", SObject: Account{two.SObject.ID, two.SObject.Name, nil}},
	}, got)
}

// The org of sftest sends to a server that node-soap makes of our WSDL, and repeats
// what that does not acknowledge.
func TestOutboundOrg(t *testing.T) {
	org := sftest.NewOrg(t, nil)
	l := accounts(t, org.ID(), func(context.Context, *sql.Tx, outbound.Notification[Account]) error { return nil })
	s := begin(t, "outbound_server.js", map[string]any{"nacks": 1, "wsdl": string(l.WSDL("http://localhost/accounts"))})
	var at struct{ URL string }
	s.says(&at)

	action, err := org.AddOutboundMessage(sftest.OutboundMessage{Object: "Account", Fields: []string{"Name", "NumberOfEmployees"}, URL: at.URL})
	require.NoError(t, err)
	ids, err := org.Insert("Account", sftest.Row{"Name": "L & <ä>", "NumberOfEmployees": 12})
	require.NoError(t, err)
	settled := func(attempts int) (n sftest.Notification) {
		t.Helper()
		require.Eventually(t, func() bool { n = org.Notifications()[0]; return n.Attempts == attempts }, time.Minute, 10*time.Millisecond)
		return n
	}
	n := settled(1)
	require.Equal(t, "queued", n.State)
	require.Equal(t, "the Ack is false", n.Failure)
	org.RetryNotifications()
	require.Equal(t, "acknowledged", settled(2).State)

	type record struct {
		ID, Type, Record, Name string
		Employees              int
	}
	type heard struct {
		Organization, Action string
		Records              []record
	}
	var got []heard
	s.end(&got)
	want := heard{org.ID(), action, []record{{n.ID, "sf:Account", ids[0], "L & <ä>", 12}}}
	require.Equal(t, []heard{want, want}, got)
}

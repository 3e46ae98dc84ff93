package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/pubsub"
	"github.com/crosstie/crosstie/salesforce"
	"github.com/crosstie/crosstie/salesforce/sftest"
)

// The org's fields that the story needs, beside what every org has. An outside org must have them, under these names;
// sforg -schema takes this file.
//
//go:embed org.json
var orgSchema []byte

// An orgProduct is a product as the org keeps it. SKU__c is its external id, and in an org two that differ only in case
// are the same.
type orgProduct struct {
	SKU     string   `json:"SKU__c" csv:"SKU__c"`
	Name    string   `json:"Name" csv:"Name"`
	Price   orgPrice `json:"Price__c" csv:"Price__c"`
	Stock   orgCount `json:"Stock__c" csv:"Stock__c"`
	ToOrder orgCount `json:"To_Order__c" csv:"To_Order__c"`
}

// A stockChange is an event as the org keeps it: a record of its own, whose external id is the event's. An event that
// is told twice makes one record.
type stockChange struct {
	Event       string          `json:"Event__c"`
	Name        string          `json:"Name"`
	Reservation string          `json:"Reservation__c"`
	SKU         string          `json:"SKU__c"`
	Quantity    orgCount        `json:"Quantity__c"`
	Left        orgCount        `json:"Left__c"`
	Number      orgCount        `json:"Number__c"`
	At          salesforce.Time `json:"At__c"`
}

// openOrg logs in to the org on the command line, or starts one in this process.
func (s *system) openOrg(ctx context.Context) error {
	url, id, secret := s.c.org, s.c.orgID, s.c.orgSecret
	if url == "" {
		var objects []sftest.Object
		if err := json.Unmarshal(orgSchema, &objects); err != nil {
			return fmt.Errorf("org.json: %w", err)
		}
		own, err := sftest.Start(&sftest.Options{Objects: objects, Seed: s.c.seed})
		if err != nil {
			return err
		}
		s.onClose(own.Close)
		s.ownOrg = own
		if s.c.once {
			if err := own.Fault(stumbles...); err != nil {
				return err
			}
		}
		url, id, secret = own.URL(), own.ClientID(), own.ClientSecret()
	}
	s.wire = &wire{next: s.transport()}
	org, err := salesforce.New(url, salesforce.ClientCredentials(id, secret), &salesforce.Options{
		Client: &http.Client{Transport: s.wire},
		Retry:  patient,
	})
	if err != nil {
		return err
	}
	s.org = org
	if !s.c.once {
		return nil // the page says how the org is, and goes on without it
	}
	_, err = org.ID(ctx) // logs in: a wrong secret is said at once
	return orgTrouble(err)
}

// stumbles are what our own org does in a story, as a real one does now and then: answers are lost, before and after the
// effect, a server is busy, a session ends, and rows are locked by somebody else.
var stumbles = []sftest.Fault{
	{Kind: sftest.FaultDropResponse, On: sftest.OpUpsert, Times: -1, Ratio: 0.05},
	{Kind: sftest.FaultDropRequest, On: sftest.OpUpsert, Times: -1, Ratio: 0.02},
	{Kind: sftest.FaultError, On: sftest.OpUpsert, Times: -1, Ratio: 0.02},
	{Kind: sftest.FaultExpire, On: sftest.OpUpsert, Skip: 9},
	{Kind: sftest.FaultDropResponse, On: sftest.OpJobUpload},
	{Kind: sftest.FaultLock, On: sftest.OpBulkRow, Times: 5, Ratio: 0.2},
}

// stumbled says how many calls of our own org went wrong.
func (s *system) stumbled() (n int64) {
	for _, c := range s.ownOrg.Calls() {
		if c.Fault != "" {
			n++
		}
	}
	return n
}

// orgTrouble says what is wrong with the org, and what to do about it.
func orgTrouble(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, salesforce.ErrCredentials):
		return fmt.Errorf("the org refuses the key or the secret in %s and %s: %w", orgIDEnv, orgSecretEnv, err)
	case errors.Is(err, salesforce.ErrUnreachable), errors.Is(err, salesforce.ErrNotSalesforce):
		return fmt.Errorf("-org: %w", err)
	}
	return err
}

// tellOrg makes the record of an event in the org.
func (s *system) tellOrg(ctx context.Context, e pubsub.Event[stockChanged]) error {
	d := e.Data
	_, err := s.org.UpsertBy(ctx, "Stock_Change__c", "Event__c", e.ID, stockChange{
		Name: fmt.Sprintf("%s, reservation %d", d.SKU, d.Number), Reservation: d.Reservation, SKU: d.SKU,
		Quantity: orgCount(d.Quantity), Left: orgCount(d.Left), Number: orgCount(d.Number), At: salesforce.Time{Time: e.Time},
	})
	err = notItsFault(err)
	if err != nil && !passes(err) {
		s.orgIs(nil) // it refuses this event, which is parked, and answers
	} else {
		s.orgIs(err)
	}
	return err
}

// notItsFault has an event wait when it is the org that cannot be told of anything now, whatever else is wrong with
// it: only an event that the org refuses for its own sake is parked.
func notItsFault(err error) error {
	for _, e := range []error{salesforce.ErrCredentials, salesforce.ErrUnreachable, salesforce.ErrNotSalesforce, salesforce.ErrLimit, salesforce.ErrReserve} {
		if errors.Is(err, e) {
			return outcome.TransientError(outcome.Of(err), true, err)
		}
	}
	return err
}

// fieldList is what to SELECT for a T.
func fieldList[T any]() string { return strings.Join(salesforce.Fields[T](), ", ") }

package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"

	"github.com/crosstie/crosstie/pubsub"
	"github.com/crosstie/crosstie/salesforce"
)

// An orgPrice is money as the org writes it: a JSON number.
type orgPrice struct{ Money }

// UnmarshalJSON reads the number from its text, so that no float comes in between.
func (p *orgPrice) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*p = orgPrice{}
		return nil
	}
	r, ok := new(big.Rat).SetString(string(b))
	if !ok || len(b) > 40 {
		return errors.New("the price is no number")
	}
	if r.Mul(r, big.NewRat(moneyUnit, 1)); !r.IsInt() || !r.Num().IsInt64() {
		return fmt.Errorf("the price %s has more than %d decimals", b, moneyDigits)
	}
	p.Money = Money(r.Num().Int64())
	return nil
}

// MarshalJSON writes the number.
func (p orgPrice) MarshalJSON() ([]byte, error) { return []byte(p.String()), nil }

// An orgCount is a number of pieces as the org writes it: 12 is 12.0 in JSON there.
type orgCount int64

// UnmarshalJSON reads a number without a fraction.
func (n *orgCount) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*n = 0
		return nil
	}
	r, ok := new(big.Rat).SetString(string(b))
	if !ok || len(b) > 40 || !r.IsInt() || !r.Num().IsInt64() {
		return errors.New("not a whole number")
	}
	*n = orgCount(r.Num().Int64())
	return nil
}

// checkOrg proves that the org has of each product what the warehouse has, and a record of each event.
func (s *story) checkOrg(ctx context.Context) error {
	want, err := s.forOrg(ctx)
	if err != nil {
		return err
	}
	for p, err := range salesforce.Query[orgProduct](ctx, s.org, "SELECT "+fieldList[orgProduct]()+" FROM Product2 WHERE SKU__c != null") {
		if err != nil {
			return err
		}
		w, ours := want[p.SKU]
		switch {
		case !ours && s.ownOrg != nil:
			return broken("the org has the warehouse's products", "it has %s, which the warehouse would not send", p.SKU)
		case !ours: // somebody else's
		case p != w:
			return broken("the org has the warehouse's products", "of %s it has %s, the warehouse %s", p.SKU, asJSON(p), asJSON(w))
		}
		delete(want, p.SKU)
	}
	for _, sku := range slices.Sorted(maps.Keys(want)) {
		return broken("the org has the warehouse's products", "%s is missing there", sku)
	}
	return s.checkOrgEvents(ctx)
}

// forOrg is what the org should have: every product but those that meet in one external id.
func (s *story) forOrg(ctx context.Context) (map[string]orgProduct, error) {
	field, err := s.skuField(ctx)
	if err != nil {
		return nil, err
	}
	all, err := queryAll(ctx, s.warehouse.db, func(rows *sql.Rows) (p orgProduct, err error) {
		return p, rows.Scan(&p.SKU, &p.Name, &p.Price.Money, &p.Stock, &p.ToOrder)
	}, `SELECT sku, description, unit_price, stock, to_order FROM product_for_org`)
	if err != nil {
		return nil, err
	}
	meet := map[string]int{}
	for _, p := range all {
		meet[field.Same(p.SKU)]++
	}
	want := map[string]orgProduct{}
	for _, p := range all {
		if meet[field.Same(p.SKU)] == 1 {
			want[p.SKU] = p
		}
	}
	return want, nil
}

// skuField is what the org says of the external id of its products.
func (s *system) skuField(ctx context.Context) (salesforce.Field, error) {
	object, err := s.org.Describe(ctx, "Product2")
	if err != nil {
		return salesforce.Field{}, err
	}
	field, ok := object.Field("SKU__c")
	if !ok || !field.ExternalID {
		return field, errors.New("the org's Product2 has no external id SKU__c: make the fields that org.json lists, or hand it to sforg -schema")
	}
	return field, nil
}

// checkOrgEvents: each event is one record in the org.
func (s *story) checkOrgEvents(ctx context.Context) error {
	there := map[string]stockChange{}
	for c, err := range salesforce.Query[stockChange](ctx, s.org, "SELECT "+fieldList[stockChange]()+" FROM Stock_Change__c") {
		if err != nil {
			return err
		}
		if _, twice := there[c.Event]; twice {
			return broken("each event takes effect once", "the org has two records of %s", c.Event)
		}
		there[c.Event] = c
	}
	events := 0
	for e, err := range s.warehouse.topic.Events(ctx, pubsub.Start{}) {
		if err != nil {
			return err
		}
		events++
		c, ok := there[e.ID]
		switch {
		case !ok:
			return broken("each subscriber hears each event", "the org has no record of %s", e.ID)
		case c.Reservation != e.Data.Reservation || c.SKU != e.Data.SKU || int64(c.Number) != e.Data.Number || int64(c.Left) != e.Data.Left:
			return broken("an event arrives as it was published", "of %s the org has %s", e.ID, asJSON(c))
		}
	}
	if s.ownOrg == nil {
		return nil // others may have told it of other things
	}
	if len(there) != events {
		return broken("an event tells of a reservation", "the org has %d records of %d events", len(there), events)
	}
	last := map[string]orgCount{}
	first := map[string]bool{}
	for _, change := range s.ownOrg.Changes("Stock_Change__c") {
		id, _ := change.Row["Event__c"].(string)
		c := there[id]
		if first[id] {
			continue // a repeat, which changes nothing
		}
		first[id] = true
		if c.Number != last[c.SKU]+1 {
			return broken("a product's events are taken in order", "the org took number %d of %s after number %d", c.Number, c.SKU, last[c.SKU])
		}
		last[c.SKU] = c.Number
	}
	return nil
}

func asJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("%+v", v)
	}
	return string(b)
}

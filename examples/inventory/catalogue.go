package main

import (
	_ "embed"
	"strings"
	"time"
)

// The catalogue of an invented gift shop, for the bare command.
//
//go:embed catalogue.csv
var embeddedCatalogue []byte

// A product is a row of the warehouse's catalogue, as far as a sync writes it.
type product struct {
	SKU         string `db:"sku"`
	Description string `db:"description"`
	UnitPrice   Money  `db:"unit_price"`
	Opening     int64  `db:"opening"`
}

// An invoiceLine is a line of an invoice, as the warehouse keeps it.
type invoiceLine struct {
	Line        string `db:"line"` // its place in the file, which is what it is known by
	Invoice     string `db:"invoice"`
	Code        string `db:"code"`
	SKU         string `db:"sku"`
	Description string `db:"description"`
	Quantity    int64  `db:"quantity"`
	At          string `db:"at"`
	UnitPrice   Money  `db:"unit_price"`
	Customer    string `db:"customer"`
	Country     string `db:"country"`
	Class       string `db:"class"`
}

// What a line is. Only sales and returns move stock.
const (
	classSale      = "sale"
	classReturn    = "return"
	classNoProduct = "no product" // the code is none of a product: postage, fees, vouchers, manual entries
	classNoPrice   = "no price"   // the price is zero or below: write-offs, found pieces, corrections
)

// rules says by what an input is read.
func (c config) rules(kind inputKind) string {
	rules := string(kind)
	if c.foldCase {
		rules += " with -fold-case"
	}
	if kind == lineInput && c.products.String() != productRule {
		rules += " with -products " + c.products.String()
	}
	return "a file of " + rules
}

// product makes a product of a catalogue's row.
func (c config) product(r catalogueRecord) product {
	return product{
		SKU:         c.sku(r.SKU),
		Description: prose(r.Description),
		UnitPrice:   r.UnitPrice.Money,
		Opening:     int64(r.Stock.pieces),
	}
}

// line makes an invoice line of a row.
func (c config) line(r lineRecord) invoiceLine {
	return invoiceLine{
		Invoice:     string(r.InvoiceNo),
		Code:        string(r.StockCode),
		SKU:         c.sku(r.StockCode),
		Description: prose(r.Description),
		Quantity:    int64(r.Quantity),
		At:          r.InvoiceDate.UTC().Format(time.DateTime),
		UnitPrice:   r.UnitPrice,
		Customer:    strings.TrimSuffix(prose(r.CustomerID), ".0"), // 17850.0 is what a spreadsheet makes of 17850
		Country:     prose(r.Country),
		Class:       c.classify(r),
	}
}

// sku is a product's code as the warehouse knows it.
func (c config) sku(code code) string {
	if c.foldCase {
		return strings.ToUpper(string(code))
	}
	return string(code)
}

// classify says what a line is. The code is asked first: postage stays postage at any price.
func (c config) classify(r lineRecord) string {
	switch {
	case !c.products.MatchString(string(r.StockCode)):
		return classNoProduct
	case r.UnitPrice <= 0:
		return classNoPrice
	case r.Quantity < 0:
		return classReturn
	}
	return classSale
}

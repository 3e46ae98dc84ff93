package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/crosstie/crosstie/batchsync/csvrow"
)

// The two inputs, told apart by the header.
type inputKind string

const (
	catalogueInput inputKind = "products"
	lineInput      inputKind = "invoice lines"
)

var headers = map[inputKind]string{
	catalogueInput: "sku,description,unit_price,stock",
	lineInput:      "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country",
}

// A catalogueRecord is a row of a catalogue.
type catalogueRecord struct {
	SKU         code   `csv:"sku"`
	Description string `csv:"description"`
	UnitPrice   price  `csv:"unit_price"`
	Stock       stock  `csv:"stock"`
}

// A lineRecord is an invoice line.
type lineRecord struct {
	InvoiceNo   code
	StockCode   code
	Description string
	Quantity    pieces
	InvoiceDate time.Time
	UnitPrice   Money
	CustomerID  string
	Country     string
}

// readOptions are how both are read. Dates have the year first: a day-first and a month-first date cannot be told
// apart, so neither is taken.
var readOptions = &csvrow.Options{
	Layouts: []string{time.DateTime, "2006-01-02T15:04:05", time.RFC3339, "2006-01-02 15:04", time.DateOnly},
}

const builtIn = "the built-in catalogue"

// An input is a file of one of the two kinds.
type input struct {
	name string // for people
	kind inputKind
	open func() (io.ReadSeekCloser, error)

	history func() (io.ReadSeekCloser, error) // invoice lines that go with a catalogue; nil for none
}

// openInput looks at the header of the file at path, or takes the catalogue inside the program.
func openInput(path string) (input, error) {
	in := input{name: builtIn, open: inside(embeddedCatalogue), history: inside(embeddedHistory)}
	if path != "" {
		in = input{name: path, open: func() (io.ReadSeekCloser, error) { return os.Open(path) }}
	}
	f, err := in.open()
	if err != nil {
		return in, err
	}
	defer f.Close()
	if in.kind, err = kindOf(f); err != nil {
		return in, fmt.Errorf("%s: %w", in.name, err)
	}
	return in, nil
}

func inside(b []byte) func() (io.ReadSeekCloser, error) {
	return func() (io.ReadSeekCloser, error) { return embedded{bytes.NewReader(b)}, nil }
}

type embedded struct{ *bytes.Reader }

func (embedded) Close() error { return nil }

// kindOf reads the header and says which input this is. The order of the columns is free, their names are not.
func kindOf(r io.Reader) (inputKind, error) {
	header, err := csvrow.Header(r, readOptions)
	switch {
	case errors.Is(err, csvrow.ErrEmpty):
		return "", errors.New("the file is empty: it needs a header line")
	case err != nil:
		return "", err
	}
	for kind, want := range headers {
		if slices.Equal(slices.Sorted(slices.Values(header)), slices.Sorted(strings.SplitSeq(want, ","))) {
			return kind, nil
		}
	}
	return "", fmt.Errorf("the header %q is none of ours: a catalogue has %s; invoice lines have %s",
		clip(strings.Join(header, ",")), headers[catalogueInput], headers[lineInput])
}

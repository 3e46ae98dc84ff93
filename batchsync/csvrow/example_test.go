package csvrow_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/crosstie/crosstie/batchsync/csvrow"
)

type product struct {
	SKU   string             `csv:"sku"`
	Price float64            `csv:"price"`
	Name  csvrow.Opt[string] `csv:"name,optional"`
	Since *time.Time         `csv:"since,optional" layout:"02.01.2006"`
}

// Bad rows are named, and the rest is read.
func ExampleSource() {
	src := source[product]("sku,price,since\nA,1.50,31.12.2026\nB,1e,\nC,3,12/31/2026\n", &csvrow.Options{ID: []string{"sku"}})
	for page, err := range src.Pages(context.Background(), "") {
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, row := range page.Rows {
			if row.Err != nil {
				fmt.Println(row.ID, row.Err)
				continue
			}
			fmt.Println(row.ID, row.Value.Price, row.Value.Since.Format(time.DateOnly))
		}
	}
	// Output:
	// A 1.5 2026-12-31
	// B line 3, char 3, column "price": not a decimal number
	// C line 4, char 5, column "since": not a time in a declared layout: 02.01.2006 or 2006-01-02T15:04:05.999999999Z07:00 or 2006-01-02 15:04:05 or 2006-01-02
}

// A header that does not fit ends the read, and says what was expected.
func ExampleHeaderError() {
	for _, err := range source[product]("SKU,price\nA,1\n", nil).Pages(context.Background(), "") {
		if e, ok := errors.AsType[*csvrow.HeaderError](err); ok {
			fmt.Println("missing", e.Missing, "unknown", e.Unknown)
		}
	}
	// Output: missing [sku] unknown [SKU]
}

// Files are told apart by their header.
func ExampleHeader() {
	names, err := csvrow.Header(strings.NewReader("InvoiceNo,StockCode\n536365,85123A\n"), nil)
	fmt.Println(names, err)
	// Output: [InvoiceNo StockCode] <nil>
}

// Absent, null and empty are three things where Options.Null names null.
func ExampleOpt() {
	type contact struct {
		Name  string             `csv:"name"`
		Phone csvrow.Opt[string] `csv:"phone"`
	}
	w, err := csvrow.NewWriter[contact](os.Stdout, &csvrow.Options{Null: "#N/A"})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, c := range []contact{
		{"leave it", csvrow.Opt[string]{}},
		{"clear it", csvrow.Null[string]()},
		{"empty it", csvrow.Some("")},
		{"set it", csvrow.Some("112")},
	} {
		if err := w.Write(c); err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println(w.Flush())
	// Output:
	// name,phone
	// leave it,
	// clear it,#N/A
	// empty it,""
	// set it,112
	// <nil>
}

// A cell that a spreadsheet would run is disarmed in files for people only.
func ExampleWriter() {
	type note struct {
		Text string `csv:"text"`
	}
	w, err := csvrow.NewWriter[note](os.Stdout, &csvrow.Options{SpreadsheetSafe: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(w.Write(note{`=HYPERLINK("http://example.com")`}), w.Flush())
	// Output:
	// text
	// "'=HYPERLINK(""http://example.com"")"
	// <nil> <nil>
}

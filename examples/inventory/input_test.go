package main

import (
	"context"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/batchsync/csvrow"
)

func testConfig() config {
	return config{products: regexp.MustCompile(productRule)}
}

const (
	catalogueHeader = "sku,description,unit_price,stock\n"
	linesHeader     = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
	goodLine        = "536365,85123A,HEART,6,2010-12-01 08:26:00,2.55,17850.0,United Kingdom\n"
)

func TestTheHeaderTellsTheInputsApart(t *testing.T) {
	for _, c := range []struct {
		name, file string
		want       inputKind
		says       string
	}{
		{"catalogue", catalogueHeader, catalogueInput, ""},
		{"lines", linesHeader + "x", lineInput, ""},
		{"no line end", strings.TrimSpace(linesHeader), lineInput, ""},
		{"byte-order mark and CRLF", "\xef\xbb\xbfsku,description,unit_price,stock\r\n1,a,1,1\r\n", catalogueInput, ""},
		{"quoted", "\"sku\",\"description\",\"unit_price\",\"stock\"\n", catalogueInput, ""},
		{"another order", "stock,sku,description,unit_price\n", catalogueInput, ""},
		{"empty", "", "", "is empty"},
		{"only a byte-order mark", "\xef\xbb\xbf", "", "is empty"},
		{"unknown", "id;name;price\n", "", "none of ours"},
		{"one column short", "sku,description,stock\n", "", "none of ours"},
		{"one column more", "sku,description,unit_price,stock,colour\n", "", "none of ours"},
		{"a column twice", "sku,sku,unit_price,stock\n", "", "none of ours"},
		{"an open quote", "\"sku,description\n", "", "the header"},
		{"bytes of anything", "\x00\x01\x02\xff", "", "UTF-8"},
		{"UTF-16", "\xff\xfes\x00k\x00u\x00", "", "UTF-8"},
		{"one endless line", strings.Repeat("x", 8<<20), "", "the header"},
	} {
		t.Run(c.name, func(t *testing.T) {
			kind, err := kindOf(strings.NewReader(c.file))
			require.Equal(t, c.want, kind)
			if c.says == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.says)
			}
		})
	}
}

// read reads a file as T and returns its values, and its bad rows as they are reported.
func read[T any](t *testing.T, file string) (values []T, bad []string) {
	t.Helper()
	source := csvrow.NewSource[T](func() (io.ReadSeekCloser, error) { return nopCloser{strings.NewReader(file)}, nil }, readOptions)
	for page, err := range source.Pages(context.Background(), "") {
		require.NoError(t, err)
		for _, r := range page.Rows {
			if r.Err != nil {
				bad = append(bad, r.Err.Error())
			} else {
				values = append(values, r.Value)
			}
		}
	}
	return values, bad
}

type nopCloser struct{ *strings.Reader }

func (nopCloser) Close() error { return nil }

func TestALineIsRead(t *testing.T) {
	got, bad := read[lineRecord](t, linesHeader+"\" 536365 \",85123A,\" WHITE  \"\"HANGING\"\",\nHEART \",6,2010-12-01 08:26:00,2.55,17850.0,United Kingdom\n")
	require.Empty(t, bad)
	require.Equal(t, invoiceLine{
		Invoice: "536365", Code: "85123A", SKU: "85123A", Description: `WHITE "HANGING", HEART`, Quantity: 6,
		At: "2010-12-01 08:26:00", UnitPrice: 25_500, Customer: "17850", Country: "United Kingdom", Class: classSale,
	}, testConfig().line(got[0]))
}

func TestABadRowIsReportedAndTheRestIsRead(t *testing.T) {
	for _, c := range []struct {
		name, row  string
		line       string
		column     string
		reason     string
		keepsAfter int // good rows that follow and are read
	}{
		{"blank invoice", " ,85123A,d,6,2010-12-01,2.55,,", "line 3", "InvoiceNo", "blank", 1},
		{"empty code", "1,,d,6,2010-12-01,2.55,,", "line 3", "StockCode", "blank", 1},
		{"broken UTF-8 in a code", "1,85\xff,d,6,2010-12-01,2.55,,", "line 3", "StockCode", "broken UTF-8", 1},
		{"broken UTF-8 in a text", "1,85123A,d\xff,6,2010-12-01,2.55,,", "line 3", "Description", "UTF-8", 1},
		{"no number", "1,85123A,d,six,2010-12-01,2.55,,", "line 3", "Quantity", "not a whole number", 1},
		{"no quantity", "1,85123A,d,,2010-12-01,2.55,,", "line 3", "Quantity", "not a whole number", 1},
		{"half a piece", "1,85123A,d,1.5,2010-12-01,2.55,,", "line 3", "Quantity", "not a whole number", 1},
		{"day first", "1,85123A,d,6,01/12/2010 8:26,2.55,,", "line 3", "InvoiceDate", "not a time", 1},
		{"no such day", "1,85123A,d,6,2010-02-30 08:26:00,2.55,,", "line 3", "InvoiceDate", "not a time", 1},
		{"decimal comma", `1,85123A,d,6,2010-12-01,"2,55",,`, "line 3", "UnitPrice", "not a decimal number", 1},
		{"the second line of a record", "1,85123A,\"a\nb\",x,2010-12-01,2.55,,", "line 4", "Quantity", "not a whole number", 1},
		{"a cell too many", "1,85123A,d,6,2010-12-01,2.55,,,", "line 3", "", "9 cells and the header 8", 1},
		{"a cell too few", "1,85123A,d,6", "line 3", "", "4 cells and the header 8", 1},
		{"a quote in a cell", `1,85123A,3" RIBBON,6,2010-12-01,2.55,,`, "line 3", "Description", "quote", 1},
		{"a quote never closed", `1,85123A,"RIBBON,6,2010-12-01,2.55,,`, "line 3", "Description", "never closed", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, end := range []string{"\n", "\r\n"} {
				file := strings.ReplaceAll("\xef\xbb\xbf"+linesHeader+goodLine+c.row+"\n"+goodLine, "\n", end)
				good, bad := read[lineRecord](t, file)
				require.Len(t, bad, 1)
				require.Contains(t, bad[0], c.line)
				require.Contains(t, bad[0], c.reason)
				if c.column != "" {
					require.Contains(t, bad[0], `column "`+c.column+`"`)
				}
				require.Len(t, good, 1+c.keepsAfter)
			}
		})
	}
	for column, row := range map[string]string{
		"sku":        ",d,1,1",
		"unit_price": "1,d,-1,1",
		"stock":      "1,d,1,-1",
	} {
		good, bad := read[catalogueRecord](t, catalogueHeader+row+"\n1,d,1,1\n")
		require.Len(t, good, 1)
		require.Len(t, bad, 1)
		require.Contains(t, bad[0], `line 2`)
		require.Contains(t, bad[0], `column "`+column+`"`)
	}
}

func TestWhatALineIs(t *testing.T) {
	for _, c := range []struct {
		code     code
		price    Money
		quantity pieces
		want     string
	}{
		{"85123A", 25_500, 6, classSale},
		{"85123a", 25_500, -6, classReturn},
		{"15056BL", 59_500, 1, classSale},
		{"DCGS0076", 161_300, 1, classSale},
		{"DCGSSBOY", 32_900, 1, classSale},
		{"85123A", 0, 6, classNoPrice},
		{"85123A", -10_000, 6, classNoPrice},
		{"85123A", 0, -9600, classNoPrice},
		{"POST", 180_000, 3, classNoProduct},
		{"POST", 0, 3, classNoProduct},
		{"M", 1, 1, classNoProduct}, {"m", 1, 1, classNoProduct}, {"D", 1, -1, classNoProduct},
		{"C2", 1, 1, classNoProduct}, {"DOT", 1, 1, classNoProduct}, {"S", 1, 1, classNoProduct},
		{"B", 1, 1, classNoProduct}, {"BANK CHARGES", 1, 1, classNoProduct}, {"AMAZONFEE", 1, 1, classNoProduct},
		{"CRUK", 1, 1, classNoProduct}, {"PADS", 10, 1, classNoProduct}, {"gift_0001_20", 1, 1, classNoProduct},
	} {
		require.Equal(t, c.want, testConfig().classify(lineRecord{StockCode: c.code, UnitPrice: c.price, Quantity: c.quantity}), c.code)
	}
}

func TestFoldCaseMakesOneProductOfTwoCodes(t *testing.T) {
	r := lineRecord{InvoiceNo: "1", StockCode: "84997c", Quantity: 6, InvoiceDate: time.Now(), UnitPrice: 1}
	c := testConfig()
	require.Equal(t, "84997c", c.line(r).SKU)
	c.foldCase = true
	require.Equal(t, "84997C", c.line(r).SKU)
	require.Equal(t, "84997c", c.line(r).Code, "what the file says is kept")
}

func FuzzInput(f *testing.F) {
	f.Add([]byte(catalogueHeader + "1,\"a\nb\",2.50,3\n"))
	f.Add([]byte("\xef\xbb\xbf" + linesHeader + goodLine))
	f.Add([]byte("\"a\nb\",\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		kind, err := kindOf(strings.NewReader(string(b)))
		require.Equal(t, err == nil, kind != "")
		switch kind {
		case catalogueInput:
			values, _ := read[catalogueRecord](t, string(b))
			for _, v := range values {
				require.NotEmpty(t, testConfig().product(v).SKU)
				require.GreaterOrEqual(t, testConfig().product(v).Opening, int64(0))
			}
		case lineInput:
			values, _ := read[lineRecord](t, string(b))
			for _, v := range values {
				require.NotEmpty(t, testConfig().line(v).Class)
			}
		}
	})
}

package csvrow_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"testing"

	"github.com/crosstie/crosstie/batchsync/csvrow"
)

// wide is a row of ten columns and about 225 bytes, with quotes and newlines.
type wide struct {
	ID     string  `csv:"id"`
	Name   string  `csv:"name"`
	Street string  `csv:"street"`
	City   string  `csv:"city"`
	Note   string  `csv:"note"`
	Price  float64 `csv:"price"`
	Stock  int64   `csv:"stock"`
	Active bool    `csv:"active"`
	Code   string  `csv:"code"`
	Date   string  `csv:"date"`
}

const benchRows = 5000

func wideRows() []wide {
	out := make([]wide, benchRows)
	for i := range out {
		out[i] = wide{
			ID: fmt.Sprintf("0015g00000%08d", i), Name: "Contact number " + strconv.Itoa(i), Street: "Long Street 12, Back House",
			City: "Springfield", Note: "He said \"yes\"\nand then went on to say quite a lot more about the price of lamps",
			Price: float64(i) + 0.25, Stock: int64(i), Active: i%2 == 0, Code: "A-" + strconv.Itoa(i), Date: "2026-02-03T04:05:06Z",
		}
	}
	return out
}

func wideText(b testing.TB) []byte {
	var out bytes.Buffer
	w, err := csvrow.NewWriter[wide](&out, nil)
	if err != nil {
		b.Fatal(err)
	}
	for _, v := range wideRows() {
		if err := w.Write(v); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	return out.Bytes()
}

func byHand(r []string) (v wide, err error) {
	v = wide{ID: r[0], Name: r[1], Street: r[2], City: r[3], Note: r[4], Code: r[8], Date: r[9]}
	if v.Price, err = strconv.ParseFloat(r[5], 64); err != nil {
		return v, err
	}
	if v.Stock, err = strconv.ParseInt(r[6], 10, 64); err != nil {
		return v, err
	}
	v.Active, err = strconv.ParseBool(r[7])
	return v, err
}

func BenchmarkDecode(b *testing.B) {
	text := wideText(b)
	b.Run("csvrow", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		b.ReportAllocs()
		src := source[wide](string(text), nil)
		for b.Loop() {
			n := 0
			for p, err := range src.Pages(context.Background(), "") {
				if err != nil {
					b.Fatal(err)
				}
				n += len(p.Rows)
			}
			if n != benchRows {
				b.Fatal(n)
			}
		}
	})
	b.Run("encoding csv by hand", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		b.ReportAllocs()
		for b.Loop() {
			r := csv.NewReader(bytes.NewReader(text))
			r.ReuseRecord = true
			if _, err := r.Read(); err != nil {
				b.Fatal(err)
			}
			var page []wide
			for {
				rec, err := r.Read()
				if err == io.EOF {
					break
				}
				if err != nil {
					b.Fatal(err)
				}
				v, err := byHand(rec)
				if err != nil {
					b.Fatal(err)
				}
				if page = append(page, v); len(page) == 1000 {
					page = nil
				}
			}
		}
	})
	b.Run("maps", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		b.ReportAllocs()
		for b.Loop() {
			all, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
			if err != nil {
				b.Fatal(err)
			}
			var out []map[string]any
			for _, rec := range all[1:] {
				m := map[string]any{}
				for i, name := range all[0] {
					m[name] = rec[i]
				}
				out = append(out, m)
			}
			_ = out
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	rows, size := wideRows(), int64(len(wideText(b)))
	b.Run("csvrow", func(b *testing.B) {
		b.SetBytes(size)
		b.ReportAllocs()
		for b.Loop() {
			w, err := csvrow.NewWriter[wide](io.Discard, nil)
			if err != nil {
				b.Fatal(err)
			}
			for i := range rows {
				if err := w.Write(rows[i]); err != nil {
					b.Fatal(err)
				}
			}
			if err := w.Flush(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encoding csv by hand", func(b *testing.B) {
		b.SetBytes(size)
		b.ReportAllocs()
		for b.Loop() {
			w := csv.NewWriter(io.Discard)
			rec := make([]string, 10)
			for _, v := range rows {
				rec[0], rec[1], rec[2], rec[3], rec[4], rec[8], rec[9] = v.ID, v.Name, v.Street, v.City, v.Note, v.Code, v.Date
				rec[5] = strconv.FormatFloat(v.Price, 'f', -1, 64)
				rec[6] = strconv.FormatInt(v.Stock, 10)
				rec[7] = strconv.FormatBool(v.Active)
				if err := w.Write(rec); err != nil {
					b.Fatal(err)
				}
			}
			w.Flush()
		}
	})
}

package batchsync_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/crosstie/crosstie/batchsync"
	"github.com/crosstie/crosstie/batchsync/csvrow"
)

type price struct {
	SKU   string  `csv:"sku"`
	Price float64 `csv:"price"`
}

// prices reads a CSV text.
func prices(text string) batchsync.Source[price] {
	return csvrow.NewSource[price](func() (io.ReadSeekCloser, error) {
		return file{bytes.NewReader([]byte(text))}, nil
	}, &csvrow.Options{ID: []string{"sku"}})
}

// catalogue is a sink in memory that compares before it writes.
type catalogue map[string]price

func (c catalogue) Write(ctx context.Context, rows []batchsync.Row[price]) ([]batchsync.Result, error) {
	out := make([]batchsync.Result, len(rows))
	for i, r := range rows {
		was, found := c[r.ID]
		switch {
		case !found:
			out[i].Verdict = batchsync.Inserted
		case was == r.Value:
			out[i].Verdict = batchsync.Unchanged
		default:
			out[i].Verdict = batchsync.Updated
		}
		c[r.ID] = r.Value
	}
	return out, nil
}

// A load with a bad line, and a second one that moves only what changed.
func Example() {
	ctx := context.Background()
	dst := catalogue{}
	store := &batchsync.Options{Checkpoints: batchsync.NewMem()}

	first := batchsync.New("prices", prices("sku,price\nA,1.50\nB,two\nC,3\n"), dst, store)
	report, err := first.Run(ctx)
	fmt.Println(report, err)
	for row, err := range first.DeadRows(ctx) {
		fmt.Printf("%s: %s (%s) %v\n", row.ID, row.Why, row.Value, err)
	}

	second := batchsync.New("prices", prices("sku,price\nA,1.50\nB,2\nC,3.10\n"), dst, store)
	report, err = second.Run(ctx)
	fmt.Println(report, err)
	// Output:
	// in 3 = done 2 (2 inserted, 0 updated, 0 deleted) + unchanged 0 + failed 0 + parked 1 + unprocessed 0 <nil>
	// B: line 3, char 3, column "price": not a decimal number (B,two) <nil>
	// in 3 = done 2 (1 inserted, 1 updated, 0 deleted) + unchanged 1 + failed 0 + parked 0 + unprocessed 0 <nil>
}

// A run that stops half-way goes on where it was, and its report covers both
// parts.
func ExampleSync_Run_resume() {
	ctx := context.Background()
	dst := catalogue{}
	down := true
	sink := batchsync.To(func(ctx context.Context, rows []batchsync.Row[price]) ([]batchsync.Result, error) {
		if down && rows[0].ID == "C" {
			return nil, errors.New("the catalogue is down")
		}
		return dst.Write(ctx, rows)
	})
	text := "sku,price\nA,1\nB,2\nC,3\n"
	src := csvrow.NewSource[price](func() (io.ReadSeekCloser, error) {
		return file{bytes.NewReader([]byte(text))}, nil
	}, &csvrow.Options{ID: []string{"sku"}, PageRows: 2})
	options := &batchsync.Options{}
	options.Retry.MaxAttempts = -1
	s := batchsync.New("prices", src, sink, options)

	report, err := s.Run(ctx)
	fmt.Println(report)
	fmt.Println(err)
	down = false
	report, err = s.Run(ctx)
	fmt.Println(report, err)
	// Output:
	// in 3 = done 2 (2 inserted, 0 updated, 0 deleted) + unchanged 0 + failed 0 + parked 0 + unprocessed 1
	// batchsync: prices: write: retry: attempt 1: no attempt is left: the policy allows no more: the catalogue is down
	// in 3 = done 3 (3 inserted, 0 updated, 0 deleted) + unchanged 0 + failed 0 + parked 0 + unprocessed 0 <nil>
}

// Map changes the type of the rows; what it refuses is parked.
func ExampleMap() {
	gross := batchsync.Map(prices("sku,price\nA,1\nB,-2\n"), func(p price) (price, error) {
		if p.Price <= 0 {
			return p, errors.New("no price")
		}
		p.Price *= 1.2
		return p, nil
	})
	dst := catalogue{}
	report, err := batchsync.New("gross", gross, dst, nil).Run(context.Background())
	fmt.Println(dst["A"], report.Parked, err)
	// Output: {A 1.2} 1 <nil>
}

// Filter leaves rows out; they are counted beside the report's sum.
func ExampleFilter() {
	goods := batchsync.Filter(prices("sku,price\nA,1\nPOST,5\nB,2\n"), func(p price) bool { return p.SKU != "POST" })
	report, err := batchsync.New("goods", goods, catalogue{}, nil).Run(context.Background())
	fmt.Println(report.In, report.Filtered, err)
	// Output: 2 1 <nil>
}

// From makes a source of anything that can be read from a position on: here a
// slice, whose positions are indexes.
func ExampleFrom() {
	all := []string{"A", "B", "C"}
	src := batchsync.From(func(ctx context.Context, after string) iter.Seq2[batchsync.Page[price], error] {
		return func(yield func(batchsync.Page[price], error) bool) {
			at := slices.Index(all, after) + 1
			for ; at < len(all); at++ {
				page := batchsync.Page[price]{
					Rows: []batchsync.Row[price]{{ID: all[at], Value: price{SKU: all[at]}}},
					Next: all[at],
				}
				if !yield(page, nil) {
					return
				}
			}
			yield(batchsync.Page[price]{Done: true}, nil) // the end is said
		}
	})
	report, err := batchsync.New("slice", src, catalogue{}, nil).Run(context.Background())
	fmt.Println(report.Inserted, err)
	// Output: 3 <nil>
}

// To makes a sink of a function: one result for each row, in their order.
func ExampleTo() {
	printer := batchsync.To(func(ctx context.Context, rows []batchsync.Row[price]) ([]batchsync.Result, error) {
		out := make([]batchsync.Result, len(rows))
		for i, r := range rows {
			fmt.Println(r.Pos, r.Value.SKU)
			out[i].Verdict = batchsync.Inserted
		}
		return out, nil
	})
	_, err := batchsync.New("print", prices("sku,price\nA,1\nB,2\n"), printer, nil).Run(context.Background())
	fmt.Println(err)
	// Output:
	// line 2 A
	// line 3 B
	// <nil>
}

// Progress is told after each checkpoint.
func ExampleOptions_progress() {
	options := &batchsync.Options{Progress: func(p batchsync.Progress) {
		fmt.Println(strings.Repeat("#", int(10*p.Done/p.Total)), p.Done, "of", p.Total)
	}}
	src := csvrow.NewSource[price](func() (io.ReadSeekCloser, error) {
		return file{bytes.NewReader([]byte("sku,price\nA,1\nB,2\nC,3\nD,4\n"))}, nil
	}, &csvrow.Options{ID: []string{"sku"}, PageRows: 2})
	_, err := batchsync.New("prices", src, catalogue{}, options).Run(context.Background())
	fmt.Println(err)
	// Output:
	// ##### 2 of 4
	// ########## 4 of 4
	// <nil>
}

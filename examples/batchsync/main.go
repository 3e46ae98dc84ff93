// Batchsync shows a load that tells the truth: a price list with bad lines is
// read into a warehouse, every line is accounted for, and the next night's load
// moves only what changed. Run it with
//
//	go run ./examples/batchsync
//
// It needs no service and no file, and ends by itself.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/crosstie/crosstie/batchsync"
	"github.com/crosstie/crosstie/batchsync/csvrow"
)

// An Item is a line of the price list and a row of the warehouse.
type Item struct {
	SKU         string  `csv:"sku"`
	Description string  `csv:"description"`
	Price       float64 `csv:"unit_price"`
	Stock       int64   `csv:"stock"`
}

const monday = `sku,description,unit_price,stock
85123A,"HEART T-LIGHT HOLDER, WHITE",2.55,6
71053,WHITE METAL LANTERN,3.39,6
84406B,CREAM COAT HANGER,"2,75",8
84029G,"KNITTED ""UNION FLAG""
HOT WATER BOTTLE",3.39,-1
,NO CODE AT ALL,1.00,5
22752,SET 7 BABUSHKA NESTING BOXES,7.65,a dozen
POST,POSTAGE,18.00,0
21730,GLASS STAR FROSTED T-LIGHT HOLDER,4.25
22633,HAND WARMER UNION JACK,1.85,6
`

// On Tuesday the file was mended, and one price is new.
const tuesday = `sku,description,unit_price,stock
85123A,"HEART T-LIGHT HOLDER, WHITE",2.55,6
71053,WHITE METAL LANTERN,3.49,6
84406B,CREAM COAT HANGER,2.75,8
22752,SET 7 BABUSHKA NESTING BOXES,7.65,12
21730,GLASS STAR FROSTED T-LIGHT HOLDER,4.25,6
22633,HAND WARMER UNION JACK,1.85,6
`

// A Warehouse is the other system: it compares before it writes, and refuses
// what cannot be.
type Warehouse map[string]Item

// Write implements batchsync.Sink.
func (w Warehouse) Write(ctx context.Context, rows []batchsync.Row[Item]) ([]batchsync.Result, error) {
	results := make([]batchsync.Result, len(rows))
	for i, row := range rows {
		was, found := w[row.ID]
		switch {
		case found && was == row.Value:
			results[i].Verdict = batchsync.Unchanged
			continue
		case found:
			results[i].Verdict = batchsync.Updated
		default:
			results[i].Verdict = batchsync.Inserted
		}
		w[row.ID] = row.Value
	}
	return results, nil
}

func list(text string) batchsync.Source[Item] {
	items := csvrow.NewSource[Item](func() (io.ReadSeekCloser, error) {
		return struct {
			io.ReadSeeker
			io.Closer
		}{strings.NewReader(text), io.NopCloser(nil)}, nil
	}, &csvrow.Options{ID: []string{"sku"}})
	goods := batchsync.Filter(items, func(it Item) bool { return it.SKU != "POST" })
	return batchsync.Map(goods, func(it Item) (Item, error) {
		if it.Stock < 0 {
			return it, fmt.Errorf("stock cannot be %d", it.Stock)
		}
		return it, nil
	})
}

func load(ctx context.Context, text string, dst Warehouse, o *batchsync.Options) error {
	s := batchsync.New("price list", list(text), dst, o)
	report, err := s.Run(ctx)
	fmt.Println(report)
	if err != nil {
		return err
	}
	for row, err := range s.DeadRows(ctx) {
		if err != nil {
			return err
		}
		fmt.Printf("  %s, %q: %s\n", row.Pos, row.ID, row.Why)
	}
	return nil
}

func main() {
	warehouse := Warehouse{}
	options := &batchsync.Options{Checkpoints: batchsync.NewMem()}
	for _, text := range []string{monday, tuesday} {
		if err := load(context.Background(), text, warehouse, options); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	fmt.Println(len(warehouse), "items; the lantern costs", warehouse["71053"].Price)
}

package enginetest_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/crosstie/crosstie/batchsync"
	"github.com/crosstie/crosstie/batchsync/csvrow"
	"github.com/crosstie/crosstie/batchsync/table"
)

// A file is loaded into a table of the shop's own database. Each page of rows
// and its checkpoint are one commit; the table refuses one row, which is kept
// with its reason.
func ExampleDB_Syncs() {
	store, db, done, err := shop()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer done()
	dir, err := os.MkdirTemp("", "lists")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	list := filepath.Join(dir, "stock.csv")
	if err := os.WriteFile(list, []byte("item,free\nlamp,4\nchair,-2\ntable,7\n"), 0o600); err != nil {
		fmt.Println(err)
		return
	}

	type item struct {
		Name string `csv:"item" db:"item"`
		Free int64  `csv:"free" db:"free"`
	}
	stock, err := table.New[item](db, "stock", "item", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	src := csvrow.File[item](list, &csvrow.Options{ID: []string{"item"}})
	load := batchsync.New("stock", src, stock, &batchsync.Options{Checkpoints: store.Syncs()})
	for range 2 {
		report, err := load.Run(context.Background())
		fmt.Println(report, report.Atomic, err)
	}
	for row, err := range load.DeadRows(context.Background()) {
		fmt.Println(row.Pos, string(row.Value), row.Why, err)
	}
	// Output:
	// in 3 = done 2 (1 inserted, 1 updated, 0 deleted) + unchanged 0 + failed 0 + parked 1 + unprocessed 0 true <nil>
	// in 3 = done 0 (0 inserted, 0 updated, 0 deleted) + unchanged 2 + failed 0 + parked 1 + unprocessed 0 true <nil>
	// line 3 {"Name":"chair","Free":-2} constraint failed: CHECK constraint failed: free >= 0 (275) <nil>
}

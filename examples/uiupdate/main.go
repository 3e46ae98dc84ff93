// Command uiupdate shows a screen that follows stock, through a disconnect.
//
// A shop's stock changes all the time. A client reads it as a browser would:
// all rows, then each change. Its connection is cut; meanwhile stock goes on
// changing, and a late message tries to write an old value back. When the
// client comes back it is told what it missed, and no more. Then the feed
// breaks, and the screen can say how old it is.
//
//	go run ./examples/uiupdate          # ends by itself
//
// A page needs no more than this, and no build step:
//
//	<script type="module">
//	  import { View } from "/uiupdate.js";
//	  const stock = new View("/stock", { maxAge: 60000 });
//	  stock.onchange = (rows) => { for (const [part, row] of rows) show(part, row); };
//	</script>
package main

import (
	"context"
	"fmt"
	"log"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"time"

	"github.com/crosstie/crosstie/uiupdate"
	"github.com/crosstie/crosstie/uiupdate/uiupdatetest"
)

func main() {
	stock := uiupdate.NewView[string, int](nil)
	handler := uiupdate.NewHandler(stock, &uiupdate.HandlerOptions{Heartbeat: time.Second, Drain: 100 * time.Millisecond})
	mux := http.NewServeMux()
	mux.Handle("/stock", handler)
	mux.Handle("/uiupdate.js", uiupdate.Script())
	server := httptest.NewServer(mux)
	defer server.Close()
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()

	// The first reading of the warehouse.
	all := map[string]int{}
	for i := range 2000 {
		all[part(i)] = rand.IntN(100)
	}
	check(stock.Reset(all, time.Now()))

	screen := &uiupdatetest.Client{URL: server.URL + "/stock"}
	live := func(c *uiupdatetest.Copy) bool { return c.Live }
	check(screen.Connect(ctx))
	check(screen.Until(live))
	fmt.Printf("connected: %d rows in %d events, then live\n", len(screen.Copy.Rows), screen.Copy.Snapshots)

	check(stock.Set(part(7), 41, time.Now()))
	check(screen.Until(func(c *uiupdatetest.Copy) bool { return string(c.Rows[part(7)].Value) == "41" }))
	fmt.Printf("a change: %s is %s\n", part(7), screen.Copy.Rows[part(7)].Value)

	screen.Close()
	id, before := screen.Copy.LastID, maps.Clone(screen.Copy.Rows)
	fmt.Println("cut off after event", id[len(id)-4:])
	old := time.Now()
	for i := range 5000 { // of 50 parts, each a hundred times
		check(stock.Set(part(i%50), i, time.Now()))
	}
	check(stock.Delete(part(8), time.Now()))
	check(stock.Set(part(8), 12, old)) // late: it was true before the part was deleted
	check(screen.Connect(ctx))
	check(screen.Until(live))
	changed := 0
	for _, key := range slices.Sorted(maps.Keys(before)) {
		if string(before[key].Value) != string(screen.Copy.Rows[key].Value) {
			changed++
		}
	}
	_, back := screen.Copy.Rows[part(8)]
	fmt.Printf("back: %d rows differ after 5,000 changes, told in %d event, with %d reset since the beginning; the deleted part came back: %v\n",
		changed, screen.Copy.Deltas-1, screen.Copy.Resets, back)
	same := 0
	for key, v := range stock.All() {
		if string(screen.Copy.Rows[key].Value) == fmt.Sprint(v.V) {
			same++
		}
	}
	fmt.Printf("%d of %d rows on the screen are the view's; late changes left out: %d\n", same, stock.Stats().Rows, stock.Stats().Late)

	// The feed says that it lives, and then no more.
	stock.Confirm(time.Now())
	heard := screen.Copy.Lives
	check(screen.Until(func(c *uiupdatetest.Copy) bool { return c.Lives >= heard+3 }))
	fmt.Println("the feed is silent, the stream is not, and says so: complete up to",
		time.Since(screen.Copy.AsOf).Round(time.Second), "ago")

	check(handler.Shutdown(ctx))
	fmt.Println("shut down with", handler.Stats().Open, "streams open")
}

func part(i int) string { return fmt.Sprintf("M-%04d", i) }

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

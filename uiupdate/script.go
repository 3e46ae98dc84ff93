package uiupdate

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"fmt"
	"net/http"
	"time"
)

//go:embed uiupdate.js
var script []byte

// scriptTag changes with the script, so that a browser keeps it as long as it
// is the same.
var scriptTag = fmt.Sprintf("%q", fmt.Sprintf("%x", sha256.Sum256(script))[:16])

// Script serves the browser's side: an ES module that keeps a view in a Map,
// says how old it is, and goes on where it was after a disconnect. It needs
// no build step and nothing else.
//
//	import { View } from "/uiupdate.js";
//	const stock = new View("/stock");
//	stock.onchange = (rows) => { for (const [key, row] of rows) draw(key, row); };
//	stock.onstate = (state) => { badge.textContent = state + ", as of " + stock.asOf; };
//
// The script says in its head what it offers. Serve it from the host of your
// pages; a browser asks again each time whether it has changed.
func Script() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
			return
		}
		h := w.Header()
		h.Set("Content-Type", "text/javascript; charset=utf-8")
		h.Set("Cache-Control", "no-cache")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("ETag", scriptTag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(script))
	})
}

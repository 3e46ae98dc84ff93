package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/uiupdate"
)

// plainPage has no script of ours: what a page does that reads a stream by the HTML standard alone.
const plainPage = `<!doctype html><title>plain</title><script>
	const rows = {}, told = [], resets = []
	let opens = 0, lives = 0
	const stream = new EventSource("/stock")
	stream.onopen = () => opens++
	stream.addEventListener("reset", e => {
		for (const key in rows) delete rows[key]
		resets.push(JSON.parse(e.data).why)
	})
	for (const kind of ["snapshot", "delta"]) stream.addEventListener(kind, e => {
		for (const row of JSON.parse(e.data).rows) {
			told.push(kind + " " + row.key)
			if (row.deleted) delete rows[row.key]
			else rows[row.key] = row.value
		}
	})
	stream.addEventListener("live", () => lives++)
</script>`

// A plain EventSource of a real browser is the judge of the stream: it parses it, comes back by itself, and says where
// it was.
func TestAPlainEventSource(t *testing.T) {
	browser := openBrowser(t)
	for name, lean := range map[string]bool{"served by net/http": false, "with its connection taken over": true} {
		t.Run(name, func(t *testing.T) {
			options := &uiupdate.HandlerOptions{Retry: 20 * time.Millisecond, Lean: lean}
			view := uiupdate.NewView[string, string](nil)
			var stock atomic.Pointer[uiupdate.Handler]
			stock.Store(uiupdate.NewHandler(view, options))
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/":
					w.Header().Set("Content-Type", "text/html")
					fmt.Fprint(w, plainPage)
				case "/stock":
					stock.Load().ServeHTTP(w, r)
				default:
					w.WriteHeader(http.StatusNoContent)
				}
			}))
			t.Cleanup(func() { // those that a handler took over the server does not know
				require.NoError(t, stock.Load().Shutdown(context.Background()))
				server.CloseClientConnections()
				server.Close()
			})
			is := func(v *tab, want map[string]string) {
				v.Helper()
				text, err := json.Marshal(want)
				require.NoError(t, err)
				v.until(fmt.Sprintf(`(want => Object.keys(rows).length === Object.keys(want).length &&
					Object.entries(want).every(([key, value]) => rows[key] === value))(%s)`, text))
			}
			cut := func() {
				if old := stock.Load(); lean {
					next := uiupdate.NewHandler(view, options)
					stock.Store(next)
					require.NoError(t, old.Shutdown(t.Context()))
				}
				server.CloseClientConnections()
			}

			v := openTab(t, browser, server.URL, 1280, 800)
			v.until(`opens === 1 && stream.readyState === EventSource.OPEN`) // though there is nothing to say yet
			want := map[string]string{
				"lines":   "a\r\nb\rc\nid: x\n\nevent: reset\ndata: {}\n\n",
				"marks":   "\uFEFFbom \u2028 \u2029 \u0085 \u0000 </script>",
				"letters": "日本語 🙂 é",
				"\n\r:":   "a key like no other",
				"":        "",
			}
			for key, value := range want {
				require.NoError(t, view.Set(key, value, time.Now()))
			}
			is(v, want)
			require.Equal(t, len(want), look[int](v, `told.length`), "each once")

			// The network breaks, and what happens meanwhile is told after.
			look[chromedp.Void](v, `told.length = 0`)
			before := look[int](v, `opens`)
			cut()
			want["lines"] = "after"
			delete(want, "letters")
			require.NoError(t, view.Set("lines", "after", time.Now()))
			require.NoError(t, view.Delete("letters", time.Now()))
			v.until(fmt.Sprintf(`opens > %d`, before))
			is(v, want)
			require.ElementsMatch(t, []string{"delta lines", "delta letters"}, look[[]string](v, `told`), "what changed, and nothing else")
			require.Equal(t, []string{"new"}, look[[]string](v, `resets`))

			// A server that knows nothing of before says so, once.
			view = uiupdate.NewView[string, string](nil)
			require.NoError(t, view.Set("other", "world", time.Now()))
			old := stock.Swap(uiupdate.NewHandler(view, options))
			require.NoError(t, old.Shutdown(t.Context()))
			is(v, map[string]string{"other": "world"})
			require.Len(t, look[[]string](v, `resets`), 2)
		})
	}
}

package main

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"
)

const (
	filled  = `inventory.stock.size === 40 && document.querySelectorAll("#scroller .row").length > 4` // it is drawn with the next frame
	skusJS  = `[...inventory.stock.keys()]`
	stockJS = `Object.fromEntries([...inventory.stock].map(([sku, row]) => [sku, row.value.free]))`
)

func TestThePageInABrowser(t *testing.T) {
	browser := openBrowser(t)
	base := serving(t)

	t.Run("a reservation changes its cell without a reload", func(t *testing.T) {
		v := openTab(t, browser, base, 1280, 800)
		v.until(filled)
		v.until(`document.getElementById("link").dataset.state === "live"`)
		look[int](v, `window.marker = 7`)
		v.search("train station")
		v.until(`document.querySelectorAll("#scroller .row").length === 1`)
		require.Equal(t, "4", look[string](v, `document.querySelector("#scroller .c-free").textContent`))
		v.press(kb.ArrowDown) // from the search to the row, whose button gets the focus
		v.until(`document.activeElement.matches(".reserve")`)
		v.press(kb.Enter)
		v.until(`document.querySelector("#scroller .c-free").textContent === "3"`)
		v.until(`document.querySelector("#scroller .c-free").classList.contains("flash")`)
		v.learns("Reserved 1 piece of 10131.", "1 piece of 10131: reserved after all, once")
		v.until(`document.querySelector("#card-requestreply .figures b").textContent === "1"`)
		require.Equal(t, 7, look[int](v, `window.marker`), "it was never loaded anew")

		v.click("#scroller .reserve")
		v.until(`document.querySelector("#scroller .c-free").textContent === "2"`)
		look[chromedp.Void](v, `document.getElementById("quantity").value = "5"`)
		v.click("#scroller .reserve")
		v.learns("Not reserved: out of stock: 2 pieces left.", "5 pieces of 10131: at last an answer. Not reserved: out of stock: 2 pieces left.")
		require.Empty(t, v.console(), "no error, and nothing that the policy of the page stopped")
	})

	t.Run("a broken network is shown, and its end", func(t *testing.T) {
		v := openTab(t, browser, base, 1280, 800)
		v.until(filled)
		sku := look[string](v, `document.querySelector("#scroller .row:has(.reserve[aria-disabled=false])").dataset.sku`)
		free := look[int](v, fmt.Sprintf(`inventory.stock.get(%q).value.free`, sku))
		v.click("#network")
		v.until(`document.getElementById("network").getAttribute("aria-pressed") === "true"`)
		v.until(`document.querySelectorAll(".party[data-how=away]").length === 3`)
		v.until(`document.getElementById("troubles").innerText.includes("Nothing gets through")`)
		v.until(`[...document.querySelectorAll("#log [data-kind=trouble]")].some((e) => e.textContent.includes("broke the network"))`)
		v.click(fmt.Sprintf(`[data-sku=%q] .reserve`, sku))
		v.until(`document.getElementById("said-words").textContent.includes("The network is broken: whether it is reserved is not known.")`)
		require.Equal(t, free, look[int](v, fmt.Sprintf(`inventory.stock.get(%q).value.free`, sku)))

		v.click("#network")
		v.until(`document.getElementById("network").getAttribute("aria-pressed") === "false"`)
		v.until(fmt.Sprintf(`inventory.stock.get(%q).value.free === %d`, sku, free-1))
		v.until(`[...document.querySelectorAll("#log [data-kind=mended]")].some((e) => e.textContent.includes("reserved after all, once"))`)
		v.until(`document.querySelectorAll(".party[data-how=away]").length === 0`)
		require.Empty(t, v.console())
	})

	t.Run("a stream that was cut resumes, and misses nothing", func(t *testing.T) {
		l := newLine(t, base)
		v := openTab(t, browser, l.url(), 1280, 800)
		v.until(filled)
		skus := look[[]string](v, skusJS)
		for i := range 30 {
			reserveAt(t, base, fmt.Sprintf("cut-%d", i), skus[i%len(skus)], 1)
			if i%3 == 0 {
				l.drop()
			}
		}
		l.cut.Store(true)
		l.drop()
		v.until(`document.getElementById("link").dataset.state === "reconnecting"`)
		v.until(`!document.getElementById("stale").hidden && document.getElementById("grid").hasAttribute("data-stale")`)
		for i := range 30 {
			reserveAt(t, base, fmt.Sprintf("away-%d", i), skus[(7*i)%len(skus)], 1)
		}
		require.NotEqual(t, warehouseStock(t, base, skus), look[map[string]int64](v, stockJS), "what it cannot know yet")

		l.cut.Store(false)
		v.until(`document.getElementById("link-words").textContent === "Resumed, nothing missed"`)
		want, err := json.Marshal(warehouseStock(t, base, skus))
		require.NoError(t, err)
		v.until(fmt.Sprintf(`(() => { const want = %s, has = %s; return Object.keys(want).every((sku) => want[sku] === has[sku]) && Object.keys(has).length === Object.keys(want).length })()`, want, stockJS))
		require.True(t, look[bool](v, `document.getElementById("stale").hidden`))

		// Another program behind the same address knows nothing of what this page has: it says so, and all is loaded anew.
		u, err := url.Parse(serving(t))
		require.NoError(t, err)
		l.to.Store(&u.Host)
		l.drop()
		v.until(`document.getElementById("link-words").textContent === "Back, all loaded anew"`)
		want, err = json.Marshal(warehouseStock(t, "http://"+u.Host, skus))
		require.NoError(t, err)
		v.until(fmt.Sprintf(`(() => { const want = %s, has = %s; return Object.keys(want).every((sku) => want[sku] === has[sku]) })()`, want, stockJS))
	})

	t.Run("a forecast is cancelled, and another runs to its end", func(t *testing.T) {
		v := openTab(t, browser, base, 1280, 800)
		v.click("#forecast")
		v.until(`!document.getElementById("bar").hidden`)
		v.click("#cancel")
		v.until(`document.getElementById("log").innerText.includes("The forecast was canceled")`)
		v.click("#forecast")
		v.until(`document.getElementById("log").innerText.includes("The forecast is done")`)
		v.until(`[...inventory.stock.values()].every((row) => row.value.reorder != null)`)
		v.until(`document.getElementById("bar").hidden && document.getElementById("cancel").disabled`)
		require.Empty(t, v.console())
	})

	t.Run("a subscriber is restarted, and goes on", func(t *testing.T) {
		v := openTab(t, browser, base, 1280, 800)
		v.until(`document.querySelectorAll("#subscribers button").length === 3`)
		for i, name := range subscribers {
			v.click(fmt.Sprintf("#subscribers button[aria-label^='Restart the subscriber %s,']", name))
			v.until(fmt.Sprintf(`document.getElementById("log").innerText.includes("The subscriber %s was restarted")`, name))
			sku := look[string](v, `[...inventory.stock].find(([sku, row]) => row.value.free > 1)[0]`)
			free := look[int](v, fmt.Sprintf(`inventory.stock.get(%q).value.free`, sku))
			reserveAt(t, base, fmt.Sprintf("restart-%d", i), sku, 1)
			v.until(fmt.Sprintf(`inventory.stock.get(%q).value.free === %d`, sku, free-1))
		}
		v.until(`[...document.querySelectorAll("#subscribers small")].every((e) => e.textContent === "has heard all")`)
		require.Empty(t, v.console())
	})

	t.Run("on a phone", func(t *testing.T) {
		v := openTab(t, browser, base, 390, 844)
		v.until(filled)
		for _, section := range []string{"patterns", "stock", "side"} {
			v.click(fmt.Sprintf(".tabs [data-to=%s]", section))
			v.until(fmt.Sprintf(`document.getElementById(%q).checkVisibility()`, section))
			require.Equal(t, 1, look[int](v, `[...document.querySelectorAll("main > section")].filter((e) => e.checkVisibility()).length`))
			require.LessOrEqual(t, look[int](v, `document.documentElement.scrollWidth`), 390, "nothing is wider than the phone")
			require.Zero(t, look[int](v, `[...document.querySelectorAll("button")].filter((b) => b.checkVisibility() && b.getBoundingClientRect().height < 36 && b.id !== "said-close").length`), "each button can be hit with a finger")
		}
		v.click(".tabs [data-to=stock]")
		v.until(`document.querySelectorAll("#scroller .row").length > 5`)
		require.Empty(t, v.console())
	})

	t.Run("for everybody", func(t *testing.T) {
		v := openTab(t, browser, base, 1280, 800)
		v.until(filled)
		v.press(kb.Tab)
		require.Equal(t, "Skip to the stock", look[string](v, `document.activeElement.textContent`))
		v.press(kb.Enter)
		v.until(`document.activeElement.id === "search"`)
		require.Zero(t, look[int](v, `[...document.querySelectorAll("button, input, select, [role=progressbar]")].filter((e) => !(e.getAttribute("aria-label") || e.textContent.trim() || e.closest("label")?.textContent.trim())).length`), "everything has a name")
		require.Equal(t, 1, look[int](v, `[...document.querySelectorAll(".reserve")].filter((b) => b.tabIndex === 0).length`), "the grid is one stop of the Tab key")
		for _, scheme := range []string{"light", "dark"} {
			v.scheme(scheme)
			require.Empty(t, look[[]string](v, faintJS), scheme)
		}
	})
}

// The board is shown as it is told, and no text of it is taken for markup.
func TestTheBoardInABrowser(t *testing.T) {
	browser := openBrowser(t)
	h, buttons, p := anyPage(t)
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	t.Cleanup(func() { p.close() }) // before the server waits for the streams
	v := openTab(t, browser, srv.URL, 1280, 800)
	v.until(`document.getElementById("link").dataset.state === "loading"`)
	const evil = `<img src=x onerror="window.evil = 1"><script>window.evil = 1</script>`
	require.NoError(t, p.stock.Reset(map[string]stockRow{`10"1<b>`: {Description: evil, Free: 3}}, time.Now()))
	p.stock.Confirm(time.Now())
	p.board.now("pubsub", evil)
	p.board.counts("pubsub", 1234567, 7, 6, 5, 4)
	p.board.park("batchsync", "line 17 "+evil, "the price is no number")
	p.board.park("pubsub", "event 9", "nobody here knows its schema")
	p.board.event(kindTrouble, evil)
	p.board.party(partyOrg, away, "It answers with a page for people where data is expected: is the address right? "+evil)
	v.until(`document.querySelector("#card-pubsub .now").textContent.startsWith("<img")`)
	v.until(`document.getElementById("parked-count").textContent === "2"`)
	v.until(`document.getElementById("parked").innerText.includes("nobody here knows its schema")`)
	v.until(`document.getElementById("log").innerText.includes("<script>")`)
	v.until(`document.getElementById("troubles").innerText.includes("Salesforce org: It answers with a page for people")`)
	v.until(`document.querySelector("#scroller .c-description").textContent.startsWith("<img")`)
	require.Equal(t, "1.2M", look[string](v, `document.querySelector("#card-pubsub .figures b").textContent`))
	v.click("#scroller .reserve")
	v.until(`document.getElementById("said-words").textContent.startsWith("Reserved 1 piece of 10\"1<b>")`)
	require.Equal(t, `reserve 10"1<b>`, buttons.all())
	require.True(t, look[bool](v, `window.evil === undefined`))

	for i := range 9 { // one reason, said once
		p.board.park("fireforget", fmt.Sprint("message ", i), "the receiver refuses it")
	}
	p.board.event(kindTrouble, evil)
	v.until(`document.getElementById("log").innerText.includes("(2 times)")`)
	v.until(`document.getElementById("parked-count").textContent === "11" && document.getElementById("parked").children.length === 3`)
	v.until(`document.querySelector("#parked summary").textContent === "and 5 more"`)
	for i := range 9 {
		p.board.unpark("fireforget", fmt.Sprint("message ", i))
	}
	p.board.unpark("batchsync", "line 17 "+evil)
	v.until(`document.getElementById("parked-count").textContent === "1" && document.getElementById("parked").children.length === 1`)

	require.True(t, look[bool](v, `document.getElementById("forecasting").hidden`), "what is not there has no button")
	p.board.flip("forecast", false, "Run the forecast")
	v.click("#forecast")
	p.board.flip("forecast", true, "The forecast runs")
	p.board.progress("remoteinvoke", 30, 120)
	v.until(`document.getElementById("bar").getAttribute("aria-valuenow") === "25"`)
	v.click("#cancel")
	p.board.flip("forecast", false, "Run the forecast")
	p.board.progress("remoteinvoke", 0, 0)
	v.until(`document.getElementById("bar").hidden && document.getElementById("cancel").disabled`)
	p.board.subscriber("cache", well, "at its end")
	v.click("#subscribers button")
	eventually(t, "the buttons arrive", func() bool { return buttons.all() == `reserve 10"1<b>,forecast,cancel,restart cache` })
	require.Empty(t, v.console())
}

// faintJS lists the pairs of colours whose contrast is below 4.5, as WCAG 2.2 counts it (1.4.3).
const faintJS = `(() => {
	const colour = (name) => {
		const el = document.body.appendChild(document.createElement("i"));
		el.style.color = "var(--" + name + ")";
		const [r, g, b] = getComputedStyle(el).color.match(/[\d.]+/g).map(Number);
		el.remove();
		return [r, g, b];
	};
	const light = (name) => colour(name).map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
		.reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
	return ["ink sheet", "ink paper", "soft sheet", "soft paper", "soft sunk", "accent sheet", "accent paper", "accent accent-soft",
		"on-accent accent", "trouble sheet", "trouble paper", "trouble trouble-soft", "sheet trouble", "caution sheet",
		"caution caution-soft", "ink caution-soft", "soft accent-soft"].filter((pair) => {
		const [a, b] = pair.split(" ").map(light).sort((x, y) => y - x);
		return (a + 0.05) / (b + 0.05) < 4.5;
	});
})()`

func TestThousandsOfProductsInABrowser(t *testing.T) {
	browser := openBrowser(t)
	const products = 4000
	var catalogue strings.Builder
	catalogue.WriteString(headers[catalogueInput] + "\n")
	for i := range products {
		fmt.Fprintf(&catalogue, "%05d,PRODUCT NUMBER %d,1.50,%d\n", 10000+i, i, 10+i%90)
	}
	file := filepath.Join(t.TempDir(), "many.csv")
	require.NoError(t, os.WriteFile(file, []byte(catalogue.String()), 0o600))
	v := openTab(t, browser, serving(t, "-input", file), 1280, 800)
	v.until(fmt.Sprintf(`inventory.stock.size === %d && document.querySelectorAll("#scroller .row").length > 10`, products))
	require.Less(t, look[int](v, `document.querySelectorAll("#scroller .row").length`), 60, "only what is seen is in the page")

	v.click("[data-column=sku] button")
	v.until(`document.querySelector("[data-column=sku]").getAttribute("aria-sort") === "ascending"`)
	v.click("[data-sku='10000'] .reserve")
	v.until(`document.activeElement.closest("[data-sku='10000']")`)
	v.press(kb.End)
	v.until(`document.activeElement.closest("[data-sku='13999']")`)
	v.until(`document.activeElement.closest(".row").getAttribute("aria-rowindex") === "4001"`)
	v.press(kb.Home)
	v.until(`document.activeElement.closest("[data-sku='10000']")`)
	v.search("number 77")
	v.until(`document.getElementById("sum").textContent.startsWith("76 of 4,000")`)
	require.Empty(t, v.console())
}

// A file may hold what a browser would run. The page shows it as the text that it is.
func TestHostileTextInABrowser(t *testing.T) {
	browser := openBrowser(t)
	const image = `<img src=x onerror=window.hit=1>`
	file := filepath.Join(t.TempDir(), "hostile.csv")
	require.NoError(t, os.WriteFile(file, []byte(headers[catalogueInput]+"\n"+
		image+`,"<script>window.hit=2</script>",1.00,5`+"\n"+
		`__proto__,constructor,1.00,5`+"\n"+
		`constructor,javascript:window.hit=3,1.00,5`+"\n"+
		`</template><svg/onload=window.hit=4>,"${7*7} {{7*7}} &lt;b&gt;",1.00,5`+"\n"+
		`"a""b'c\d",../../x,1.00,1`+"\n"), 0o600))
	base := serving(t, "-input", file)
	v := openTab(t, browser, base, 1280, 800)
	v.until(`inventory.stock.size === 5 && document.querySelectorAll("#scroller .row").length === 5`)
	texts := look[[]string](v, `[...document.querySelectorAll("#scroller .c-sku, #scroller .c-description")].map((e) => e.textContent)`)
	for _, want := range []string{image, "<script>window.hit=2</script>", "__proto__", "</template><svg/onload=window.hit=4>", "${7*7} {{7*7}} &lt;b&gt;", `a"b'c\d`} {
		require.Contains(t, texts, want)
	}
	v.search("window.hit=1")
	v.until(`document.querySelectorAll("#scroller .row").length === 1`)
	v.click("#network") // what is not settled is told by its code, in the log and in a toast
	v.until(`document.getElementById("network").getAttribute("aria-pressed") === "true"`)
	v.click("#scroller .reserve")
	v.until(`[...document.querySelectorAll("#log p")].some((e) => e.textContent.includes("onerror"))`)
	v.click("#network")
	v.until(`[...document.querySelectorAll("#log [data-kind=mended] p")].some((e) => e.textContent.includes("onerror"))`)
	v.search("__proto__")
	v.until(`document.querySelectorAll("#scroller .row").length === 1`)
	v.click("#scroller .reserve")
	v.until(`inventory.stock.get("__proto__").value.free === 4`)

	require.Equal(t, "undefined", look[string](v, `typeof window.hit`))
	require.Equal(t, "undefined", look[string](v, `typeof ({}).free`), "no prototype was touched")
	require.Zero(t, look[int](v, `document.querySelectorAll("main img, main script, [onerror], [onload], main a").length`))
	require.Empty(t, v.console(), "nothing that the policy of the page had to stop")
}

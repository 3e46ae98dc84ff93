package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// The page in a real browser, served by the whole program.

// openBrowser starts a Chromium without a window. Where there is none the test is skipped, or fails if it is required.
func openBrowser(t *testing.T) context.Context {
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		const missing = "no Chromium: the page is not driven in a browser; install one, such as by apt-get install chromium"
		if os.Getenv("CROSSTIE_BROWSER") == "required" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // which does not work for root; the only pages here are ours
	}
	allocator, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	browser, closeBrowser := chromedp.NewContext(allocator)
	t.Cleanup(closeBrowser)
	require.NoError(t, chromedp.Do(browser))
	return browser
}

// A tab is one page in the browser.
type tab struct {
	*testing.T
	ctx context.Context

	mu   sync.Mutex // guards said
	said []string   // to the console: broken scripts, and what the page's policy stopped
}

func openTab(t *testing.T, browser context.Context, url string, width, height int64) *tab {
	ctx, closeTab := chromedp.NewContext(browser)
	t.Cleanup(closeTab)
	v := &tab{T: t, ctx: ctx}
	var options []chromedp.EmulateViewportOption
	if width < 500 {
		options = append(options, chromedp.EmulateMobile, chromedp.EmulatePortrait, chromedp.EmulateTouch)
	}
	require.NoError(t, chromedp.Do(ctx, chromedp.EmulateViewport(width, height, options...)))
	messages := chromedp.Console(ctx)
	go func() {
		for m, err := range messages {
			if err != nil {
				return
			}
			v.mu.Lock()
			if !strings.Contains(m.Text, "status of 409") { // a button that was refused, as the page says in words
				v.said = append(v.said, fmt.Sprint(m.Type, ": ", m.Text, " ", m.URL))
			}
			v.mu.Unlock()
		}
	}()
	require.NoError(t, chromedp.Do(ctx, chromedp.Navigate(url)))
	return v
}

// until waits for an expression to be true.
func (v *tab) until(js string) {
	v.Helper()
	_, err := chromedp.Run(v.ctx, chromedp.Poll[chromedp.Void](js, chromedp.WithPollingInterval(20*time.Millisecond)))
	if err != nil {
		page, _ := chromedp.Run(v.ctx, chromedp.Evaluate[string](`document.body.innerText`))
		v.Fatalf("never in the browser: %s: %v\nthe page says:\n%s\nits console: %q", js, err, page, v.console())
	}
}

func (v *tab) click(selector string) {
	v.Helper()
	v.until(fmt.Sprintf(`((b) => b?.disabled === false && b.getAttribute("aria-disabled") !== "true")(document.querySelector(%q))`, selector))
	require.NoError(v, chromedp.Do(v.ctx, chromedp.Click(selector)), selector)
}

// learns waits until whoever pressed is told what became of it: at once, or in the activity if he was told to wait,
// which a slow machine may well do.
func (v *tab) learns(atOnce, later string) {
	v.Helper()
	v.until(fmt.Sprintf(`document.getElementById("said-words").textContent === %q || document.getElementById("log").innerText.includes(%q)`, atOnce, later))
}

func (v *tab) press(keys string) {
	v.Helper()
	require.NoError(v, chromedp.Do(v.ctx, chromedp.KeyEvent(keys)))
}

// search goes to the search by its key and types.
func (v *tab) search(words string) {
	v.Helper()
	v.press("/")
	v.until(`document.activeElement.id === "search"`)
	look[chromedp.Void](v, `document.getElementById("search").value = ""`) // the driver sends the key and its character apart
	v.press(words)
}

func (v *tab) console() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return append([]string(nil), v.said...)
}

func look[T any](v *tab, js string) T {
	v.Helper()
	got, err := chromedp.Run(v.ctx, chromedp.Evaluate[T](js))
	require.NoError(v, err, js)
	return got
}

// serving runs the program and returns where.
func serving(t *testing.T, args ...string) (base string) {
	ctx, interrupt := context.WithCancel(context.Background())
	var out, errs console
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, append([]string{"-dir", fastDir(t), "-addr", "127.0.0.1:0"}, args...), func(string) string { return "" }, &out, &errs, hooks{})
	}()
	t.Cleanup(func() {
		interrupt()
		require.Equal(t, exitOK, <-ended, errs.String())
	})
	eventually(t, "it serves", func() bool { return strings.Contains(out.String(), "/status") || len(ended) > 0 })
	base = regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(out.String())
	require.NotEmpty(t, base, errs.String())
	return base
}

// A line is what lies between the browser and the program. It can be cut.
type line struct {
	net.Listener
	to  atomic.Pointer[string]
	cut atomic.Bool // nothing gets through

	mu    sync.Mutex // guards conns
	conns map[net.Conn]bool
}

func newLine(t *testing.T, base string) *line {
	u, err := url.Parse(base)
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	v := &line{Listener: l, conns: map[net.Conn]bool{}}
	v.to.Store(&u.Host)
	var work sync.WaitGroup
	work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() { v.carry(c) })
		}
	})
	t.Cleanup(func() { l.Close(); v.cut.Store(true); v.drop(); work.Wait() })
	return v
}

func (l *line) carry(near net.Conn) {
	defer near.Close()
	far, err := net.Dial("tcp", *l.to.Load())
	if err != nil {
		return
	}
	defer far.Close()
	l.mu.Lock()
	l.conns[near] = true
	l.mu.Unlock()
	if l.cut.Load() {
		return
	}
	go func() { io.Copy(far, near); far.Close() }()
	io.Copy(near, far)
	l.mu.Lock()
	delete(l.conns, near)
	l.mu.Unlock()
}

// drop cuts every connection there is. New ones may come, unless cut is set.
func (l *line) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		c.Close()
	}
}

func (l *line) url() string { return "http://" + l.Addr().String() }

// reserveAt reserves as any client may: under its key it repeats what a busy warehouse did not get to, or what nobody
// knows the end of.
func reserveAt(t *testing.T, base, id, sku string, n int) {
	var status int
	var said []byte
	until(t, "the warehouse takes the order "+id, func() bool {
		r, err := http.NewRequestWithContext(t.Context(), "POST", base+"/reservations", strings.NewReader(fmt.Sprintf(`{"id":%q,"sku":%q,"quantity":%d}`, id, sku, n)))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Idempotency-Key", id)
		res, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		said, err = io.ReadAll(res.Body)
		require.NoError(t, errors.Join(err, res.Body.Close()))
		status = res.StatusCode
		return status < 500 && res.Header.Get("Retry-After") == ""
	})
	require.Contains(t, []int{200, 409}, status, string(said))
}

// warehouseStock is what the warehouse has, product by product.
func warehouseStock(t *testing.T, base string, skus []string) map[string]int64 {
	all := map[string]int64{}
	for _, sku := range skus {
		res, err := http.Get(base + "/stock/" + url.PathEscape(sku))
		require.NoError(t, err)
		var a stockAnswer
		require.NoError(t, errors.Join(json.NewDecoder(res.Body).Decode(&a), res.Body.Close()))
		all[sku] = a.Stock
	}
	return all
}

// scheme has the page see a light or a dark system.
func (v *tab) scheme(name string) {
	v.Helper()
	_, err := chromedp.Call(v.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}},
	})
	require.NoError(v, err)
}

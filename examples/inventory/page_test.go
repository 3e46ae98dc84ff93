package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply"
)

// pressed are controls that remember what was pressed, and answer as told.
type pressed struct {
	err error

	mu   sync.Mutex // guards what
	what []string
}

func (p *pressed) press(what string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.what = append(p.what, what)
	return p.err
}

func (p *pressed) all() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.what, ",")
}

func (p *pressed) Reserve(_ context.Context, sku string, _ int) error {
	return p.press("reserve " + sku)
}
func (p *pressed) Forecast(context.Context) error            { return p.press("forecast") }
func (p *pressed) CancelForecast(context.Context) error      { return p.press("cancel") }
func (p *pressed) Restart(_ context.Context, s string) error { return p.press("restart " + s) }

func (p *pressed) Network(broken bool) error {
	if broken {
		return p.press("break")
	}
	return p.press("mend")
}

// buttonPage is a page whose buttons do nothing, guarded as serve does.
func buttonPage(t *testing.T) (http.Handler, *pressed) {
	h, buttons, _ := anyPage(t)
	return h, buttons
}

func anyPage(t *testing.T) (http.Handler, *pressed, *page) {
	buttons := &pressed{}
	p := newPage(newBoard(), newStock(), buttons)
	t.Cleanup(func() { require.NoError(t, p.close()) })
	h, err := p.handler(http.NotFoundHandler())
	require.NoError(t, err)
	return guarded("127.0.0.1:8080", h), buttons, p
}

func ask(h http.Handler, method, target, body string, header ...string) *http.Response {
	r := httptest.NewRequest(method, "http://127.0.0.1:8080"+target, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func TestThePageNeedsNothingFromOutside(t *testing.T) {
	h, _ := buttonPage(t)
	for path, kind := range map[string]string{
		"/":                 "text/html; charset=utf-8",
		"/page/style.css":   "text/css; charset=utf-8",
		"/page/parts.css":   "text/css; charset=utf-8",
		"/page/app.js":      "text/javascript; charset=utf-8",
		"/page/grid.js":     "text/javascript; charset=utf-8",
		"/page/board.js":    "text/javascript; charset=utf-8",
		"/page/feed.js":     "text/javascript; charset=utf-8",
		"/page/uiupdate.js": "text/javascript; charset=utf-8",
		"/page/words.js":    "text/javascript; charset=utf-8",
		"/page/icon.svg":    "image/svg+xml",
	} {
		res := ask(h, "GET", path, "")
		require.Equal(t, http.StatusOK, res.StatusCode, path)
		require.Equal(t, kind, res.Header.Get("Content-Type"), path)
		csp := res.Header.Get("Content-Security-Policy")
		require.Contains(t, csp, "default-src 'none'")
		require.NotContains(t, csp, "unsafe")
		require.NotContains(t, csp, "http")
		require.Equal(t, "nosniff", res.Header.Get("X-Content-Type-Options"))
		text, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		for _, outside := range []string{"http://", "https://", "//cdn", "<script>", "javascript:", " onclick=", " style="} {
			for line := range strings.Lines(string(text)) {
				if strings.Contains(line, "http://www.w3.org/") { // the name of SVG, which nobody fetches
					continue
				}
				require.NotContains(t, line, outside, path)
			}
		}

		again := ask(h, "GET", path, "", "If-None-Match", res.Header.Get("ETag"))
		require.Equal(t, http.StatusNotModified, again.StatusCode, path)
	}
	require.Equal(t, http.StatusNotFound, ask(h, "GET", "/page/index.html", "").StatusCode)
	require.Equal(t, http.StatusNotFound, ask(h, "GET", "/page/", "").StatusCode)
}

func TestPagesOfOtherSitesReachNothing(t *testing.T) {
	h, buttons := buttonPage(t)
	const json = "application/json"
	for name, c := range map[string]struct {
		method, path string
		header       []string
		status       int
	}{
		"our page, read":              {"GET", "/", nil, 200},
		"our page, a button":          {"POST", "/page/do/forecast", []string{"Content-Type", json, "Origin", "http://127.0.0.1:8080", "Sec-Fetch-Site", "same-origin"}, 200},
		"a program":                   {"POST", "/page/do/forecast", []string{"Content-Type", json}, 200},
		"a type with a parameter":     {"POST", "/page/do/forecast", []string{"Content-Type", json + "; charset=utf-8"}, 200},
		"by another name of loopback": {"GET", "/", []string{"Host", "localhost:8080"}, 200},
		"by IPv6":                     {"GET", "/", []string{"Host", "[::1]:8080"}, 200},
		"a link from another site":    {"GET", "/", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"}, 200},

		"a name that was rebound":       {"GET", "/", []string{"Host", "evil.example:8080"}, 421},
		"rebound, to the stream":        {"GET", "/page/events/stock", []string{"Host", "evil.example"}, 421},
		"rebound, its own origin":       {"POST", "/page/do/forecast", []string{"Host", "evil.example", "Origin", "http://evil.example", "Content-Type", json}, 421},
		"a name that begins like ours":  {"GET", "/", []string{"Host", "localhost.evil.example"}, 421},
		"a name that looks like a host": {"GET", "/", []string{"Host", "127.0.0.1.evil.example"}, 421},
		"a zone that is a name":         {"GET", "/", []string{"Host", "[fe80::1%25evil.example]:8080"}, 421},
		"no host":                       {"GET", "/", []string{"Host", ""}, 421},
		"another origin reads":          {"GET", "/page/events/stock", []string{"Origin", "http://evil.example"}, 403},
		"another origin presses":        {"POST", "/page/do/forecast", []string{"Origin", "http://evil.example", "Content-Type", json}, 403},
		"another port presses":          {"POST", "/page/do/forecast", []string{"Origin", "http://127.0.0.1:9", "Content-Type", json}, 403},
		"a sandboxed frame presses":     {"POST", "/page/do/forecast", []string{"Origin", "null", "Content-Type", json}, 403},
		"an old form presses":           {"POST", "/page/do/forecast", []string{"Sec-Fetch-Site", "cross-site", "Content-Type", json}, 403},
		"a form":                        {"POST", "/page/do/forecast", []string{"Content-Type", "application/x-www-form-urlencoded"}, 415},
		"plain text":                    {"POST", "/page/do/forecast", []string{"Content-Type", "text/plain"}, 415},
		"no type":                       {"POST", "/page/do/forecast", nil, 415},
		"a button is not read":          {"GET", "/page/do/forecast", nil, 404},
	} {
		buttons.what = nil
		body := ""
		if c.method == "POST" {
			body = "{}"
		}
		res := ask(h, c.method, c.path, body, c.header...)
		require.Equal(t, c.status, res.StatusCode, name)
		require.Equal(t, c.method == "POST" && c.status == 200, len(buttons.what) == 1, name)
	}
	other := guarded("shop.internal:80", http.NotFoundHandler())
	require.Equal(t, 404, ask(other, "GET", "/", "", "Host", "Shop.internal").StatusCode, "the name that -addr gives")
}

func TestButtons(t *testing.T) {
	h, buttons := buttonPage(t)
	for body, c := range map[string]struct {
		path, pressed, words string
		status               int
	}{
		`{"sku":"10131","quantity":2}`:   {"reserve", "reserve 10131", "Reserved 2 pieces of 10131.", 200},
		`{"broken":true}`:                {"network", "break", "broken", 200},
		`{"broken":false}`:               {"network", "mend", "mended", 200},
		`{"subscriber":"cache"}`:         {"restart", "restart cache", "at its cursor", 200},
		`{}`:                             {"cancel", "cancel", "asked to stop", 200},
		`{"open":true}`:                  {"customers", "", "Customers come in", 200},
		`{"sku":"10131","quantity":0}`:   {"reserve", "", "from 1 to", 400},
		`{"sku":"10131","quantity":1.5}`: {"reserve", "", "not the JSON", 400},
		`{"sku":"","quantity":1}`:        {"reserve", "", "which product", 400},
		`{"sku":1}`:                      {"reserve", "", "not the JSON", 400},
		`{} {}`:                          {"network", "", "more than one", 400},
		`{"broken":null}`:                {"network", "", "true or false", 400},
		`{"open":null}`:                  {"customers", "", "true or false", 400},
		`{"more":1}`:                     {"forecast", "", "not the JSON", 400},
		`quantity=1`:                     {"reserve", "", "not the JSON", 400},
		`"` + strings.Repeat("x", 5000):  {"reserve", "", "not the JSON", 400},
	} {
		buttons.what = nil
		res := ask(h, "POST", "/page/do/"+c.path, body, "Content-Type", "application/json")
		var answer struct{ Words string }
		require.NoError(t, json.NewDecoder(res.Body).Decode(&answer), body)
		require.Equal(t, c.status, res.StatusCode, body)
		require.Contains(t, answer.Words, c.words, body)
		require.Equal(t, c.pressed, buttons.all(), body)
	}
}

// wrapped is an error as a caller gets it, with a text that is none of a visitor's business.
func wrapped(known outcome.Outcome, cause error) error {
	return errors.Join(&requestreply.Error{Op: "POST http://10.0.0.7/secret", Known: known, Err: cause})
}

func TestFailuresInWords(t *testing.T) {
	h, buttons := buttonPage(t)
	for name, c := range map[string]struct {
		err    error
		status int
		words  string
	}{
		"out of stock":    {wrapped(outcome.Refused, &requestreply.Problem{Status: 409, Type: problemOutOfStock, Title: "out of stock: 2 pieces left"}), 409, "2 pieces left"},
		"no such product": {wrapped(outcome.Refused, &requestreply.Problem{Status: 404, Type: problemNoProduct, Title: "x"}), 404, "no product has this code"},
		"refused":         {wrapped(outcome.Refused, &requestreply.Problem{Status: 422, Title: "an order has a sku."}), 409, "an order has a sku."},
		"declined":        {declined("Not now: a forecast runs already."), 409, "a forecast runs already"},
		"still trying":    {&stillTrying{"The network is broken."}, 202, "under the same key"},
		"not sent":        {wrapped(outcome.NotSent, errors.New("dial")), 503, "nothing was sent"},
		"open":            {requestreply.ErrOpen, 503, "left alone for a moment"},
		"late":            {context.DeadlineExceeded, 504, "not known"},
		"unknown":         {errors.New("10.0.0.7: secret"), 500, "not known"},
		"applied":         {wrapped(outcome.Applied, errors.New("10.0.0.7: secret")), 200, "Done"},
	} {
		buttons.err = c.err
		res := ask(h, "POST", "/page/do/reserve", `{"sku":"a","quantity":1}`, "Content-Type", "application/json")
		text, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.Equal(t, c.status, res.StatusCode, name)
		require.Contains(t, string(text), c.words, name)
		require.NotContains(t, string(text), "secret", name)
		require.NotContains(t, string(text), "10.0.0.7", name)
	}
}

// Without a browser: what the buttons do to the whole program.
func TestAnOrderOutlivesABrokenNetwork(t *testing.T) {
	base := serving(t)
	do := func(what, body string) (int, string) {
		res, err := http.Post(base+"/page/do/"+what, "application/json", strings.NewReader(body))
		require.NoError(t, err)
		defer res.Body.Close()
		var answer struct{ Words string }
		require.NoError(t, json.NewDecoder(res.Body).Decode(&answer))
		return res.StatusCode, answer.Words
	}
	free := func() int64 { return warehouseStock(t, base, []string{"10101"})["10101"] }
	before := free()
	for range 2 { // to break what is broken changes nothing
		status, _ := do("network", `{"broken":true}`)
		require.Equal(t, 200, status)
	}
	status, words := do("reserve", `{"sku":"10101","quantity":2}`)
	require.Equal(t, 202, status, words)
	require.Contains(t, words, "not known")
	require.Equal(t, before, free())
	status, _ = do("network", `{"broken":false}`)
	require.Equal(t, 200, status)
	eventually(t, "the order is settled", func() bool { return free() == before-2 })

	status, words = do("reserve", `{"sku":"10101","quantity":1000000}`)
	require.Equal(t, 409, status)
	require.Contains(t, words, "out of stock")
	status, words = do("reserve", `{"sku":"NONE","quantity":1}`)
	require.Equal(t, 404, status, words)
	status, words = do("restart", `{"subscriber":"nobody"}`)
	require.Equal(t, 409, status)
	require.Contains(t, words, "no such subscriber")
	status, words = do("cancel", `{}`)
	require.Equal(t, 409, status)
	require.Contains(t, words, "No forecast")
	require.Equal(t, before-2, free(), "once, however often it was repeated")
}

// Whatever comes from wherever, no button is pressed for a page of another site, and each answer is in words.
func FuzzButtons(f *testing.F) {
	for _, body := range []string{`{"sku":"a","quantity":1}`, `{"broken":true,"broken":false}`, `{"subscriber":"org"}`, `{"open":null}`, `{} {}`, `[[[`, "", "null", "\xff"} {
		for _, button := range []string{"reserve", "network", "restart", "customers", "forecast", "cancel", "../do/reserve", "%2e"} {
			f.Add(button, "127.0.0.1:8080", "http://127.0.0.1:8080", "same-origin", "application/json", body)
			f.Add(button, "evil.example", "", "", "text/plain", body)
			f.Add(button, "[::1%eth0]:8080", "null", "none", "application/json;", body)
		}
	}
	buttons := &pressed{}
	p := newPage(newBoard(), newStock(), buttons)
	p.customers.stop = func() {} // open: nobody comes, and nothing starts
	h, err := p.handler(http.NotFoundHandler())
	require.NoError(f, err)
	h = guarded("127.0.0.1:8080", h)
	f.Fuzz(func(t *testing.T, button, host, origin, site, kind, body string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1:8080/page/do/"+button, strings.NewReader(body))
		if err != nil {
			return
		}
		r.Host = host
		for name, v := range map[string]string{"Origin": origin, "Sec-Fetch-Site": site, "Content-Type": kind} {
			if v != "" {
				r.Header.Set(name, v)
			}
		}
		p.customers.stop = func() {}
		buttons.what = nil
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		require.Less(t, w.Code, 500)
		if len(buttons.what) == 0 {
			return
		}
		name, port, err := net.SplitHostPort(host)
		if err != nil {
			name, port = strings.Trim(host, "[]"), ""
		}
		_, bad := netip.ParseAddr(name)
		require.True(t, bad == nil || strings.EqualFold(name, "localhost"), "pressed under the name %q, port %q", host, port)
		require.True(t, origin == "" || strings.EqualFold(origin, "http://"+host), "pressed from %q", origin)
		require.True(t, site == "" || site == "same-origin" || site == "none", "pressed across sites: %q", site)
		require.True(t, json.Valid(w.Body.Bytes()))
	})
}

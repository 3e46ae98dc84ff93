package uiupdate_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/uiupdate"
)

// Who may read: pages of the same host, pages of the origins that are named,
// and what is no page.
func TestOrigins(t *testing.T) {
	v := uiupdate.NewView[string, int](nil)
	h := uiupdate.NewHandler(v, &uiupdate.HandlerOptions{Origins: []string{"https://app.example"}, Hosts: []string{"stock.example"}})
	for _, c := range []struct {
		name, host, origin, site string
		want                     int
	}{
		{"no browser", "stock.example", "", "", 200},
		{"a page of the host", "stock.example", "https://stock.example", "", 200},
		{"the same, by its metadata", "stock.example", "", "same-origin", 200},
		{"typed by a person", "stock.example", "", "none", 200},
		{"an origin that is named", "stock.example", "https://app.example", "cross-site", 200},
		{"another", "stock.example", "https://evil.example", "", 403},
		{"another, by its metadata", "stock.example", "https://stock.example", "cross-site", 403},
		{"a sibling of the site", "stock.example", "", "same-site", 403},
		{"a page in a sandbox", "stock.example", "null", "", 403},
		{"a name that ends alike", "stock.example", "https://notstock.example", "", 403},
		{"another host", "private.example", "", "", 421},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodHead, "http://"+c.host+"/stock", nil)
			if c.origin != "" {
				r.Header.Set("Origin", c.origin)
			}
			if c.site != "" {
				r.Header.Set("Sec-Fetch-Site", c.site)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			require.Equal(t, c.want, w.Code)
			if c.want == 200 {
				require.Equal(t, "text/event-stream", w.Header().Get("Content-Type"))
				require.Equal(t, "no-cache, no-transform", w.Header().Get("Cache-Control"))
				require.Equal(t, "no", w.Header().Get("X-Accel-Buffering"))
			}
			if c.origin == "https://app.example" {
				require.Equal(t, c.origin, w.Header().Get("Access-Control-Allow-Origin"))
			} else {
				require.Empty(t, w.Header().Get("Access-Control-Allow-Origin"))
			}
		})
	}
}

func TestScript(t *testing.T) {
	get := func(method, tag string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "/uiupdate.js", nil)
		r.Header.Set("If-None-Match", tag)
		w := httptest.NewRecorder()
		uiupdate.Script().ServeHTTP(w, r)
		return w
	}
	first := get(http.MethodGet, "")
	require.Equal(t, 200, first.Code)
	require.Contains(t, first.Body.String(), "export class View")
	require.Equal(t, "nosniff", first.Header().Get("X-Content-Type-Options"))
	require.Equal(t, 304, get(http.MethodGet, first.Header().Get("ETag")).Code)
	require.Empty(t, get(http.MethodHead, "").Body.String())
	require.Equal(t, 405, get(http.MethodPost, "").Code)
}

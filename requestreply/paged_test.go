package requestreply_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/retry"
)

// A wire answers requests without a network and remembers them.
type wire struct {
	answer func(n int, r *http.Request) (status int, header http.Header, body string)
	asked  []*http.Request
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	w.asked = append(w.asked, r)
	status, header, body := w.answer(len(w.asked), r)
	h := http.Header{"Content-Type": {"application/json"}}
	maps.Copy(h, header)
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

func (w *wire) client() *http.Client {
	return &http.Client{Transport: w, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func linked(to string) http.Header { return http.Header{"Link": {"<" + to + `>; rel="next"`}} }

// numbers is a list of n pages at /list?page=1 and on, each [page].
func numbers(n int) *wire {
	return &wire{answer: func(_ int, r *http.Request) (int, http.Header, string) {
		page, _ := strconv.Atoi(r.URL.Query().Get("page"))
		page = max(page, 1)
		if page == n {
			return 200, nil, fmt.Sprintf("[%d]", page)
		}
		return 200, linked(fmt.Sprintf("?page=%d", page+1)), fmt.Sprintf("[%d]", page)
	}}
}

func collect[Req, T any](ctx context.Context, p requestreply.Paged[Req, T]) (pages []requestreply.Page[T], last requestreply.Page[T], err error) {
	for page, err := range p.All(ctx) {
		if err != nil {
			return pages, page, err
		}
		pages = append(pages, page)
	}
	return pages, last, nil
}

func list(w *wire, url string) requestreply.Paged[struct{}, []int] {
	return requestreply.Paged[struct{}, []int]{Endpoint: requestreply.Endpoint[struct{}, []int]{URL: url, Client: w.client()}}
}

func TestPagedByLink(t *testing.T) {
	w := numbers(3)
	p := list(w, "http://shop.example/list")
	pages, _, err := collect(t.Context(), p)
	require.NoError(t, err)
	require.Len(t, pages, 3)
	for i, page := range pages {
		require.Equal(t, []int{i + 1}, page.Value)
		require.Equal(t, 200, page.Status)
	}
	require.Equal(t, "http://shop.example/list?page=2", pages[0].Next)
	require.Equal(t, pages[0].Next, pages[1].At)
	require.Empty(t, pages[2].Next)
	require.Equal(t, "GET", w.asked[0].Method)

	t.Run("it goes on from a page", func(t *testing.T) {
		p := p
		p.From = pages[0].Next
		rest, _, err := collect(t.Context(), p)
		require.NoError(t, err)
		require.Len(t, rest, 2)
		require.Equal(t, []int{2}, rest[0].Value)
	})
	t.Run("who stops has asked for no more", func(t *testing.T) {
		w := numbers(3)
		for page, err := range list(w, "http://shop.example/list").All(t.Context()) {
			require.NoError(t, err)
			require.Equal(t, []int{1}, page.Value)
			break
		}
		require.Len(t, w.asked, 1)
	})
	t.Run("each page is a call of the work", func(t *testing.T) {
		ctx, trips := requestreply.WithTrips(t.Context(), nil)
		_, _, err := collect(ctx, p)
		require.NoError(t, err)
		require.Equal(t, 3, trips.Made())
	})
}

func TestPagedByCursor(t *testing.T) {
	type body struct {
		Items []int  `json:"items"`
		More  string `json:"more"`
	}
	w := &wire{answer: func(_ int, r *http.Request) (int, http.Header, string) {
		switch r.URL.Query().Get("after") {
		case "":
			return 200, linked("http://elsewhere.example/ignored"), `{"items":[1],"more":"a&b=c/é"}`
		case "a&b=c/é":
			return 200, nil, `{"items":[2]}`
		}
		return 404, nil, ""
	}}
	p := requestreply.Paged[struct{}, body]{
		Endpoint:    requestreply.Endpoint[struct{}, body]{URL: "http://shop.example/list?q=tea&after=", Client: w.client()},
		Next:        func(r requestreply.Reply[body]) string { return r.Value.More },
		CursorParam: "after",
	}
	pages, _, err := collect(t.Context(), p)
	require.NoError(t, err)
	require.Len(t, pages, 2)
	require.Equal(t, "tea", w.asked[1].URL.Query().Get("q"))

	p.CursorParam = ""
	p.Next = func(r requestreply.Reply[body]) string {
		if r.Value.More == "" {
			return ""
		}
		return "/list?after=a%26b%3Dc%2F%C3%A9"
	}
	pages, _, err = collect(t.Context(), p)
	require.NoError(t, err)
	require.Len(t, pages, 2)
}

// A list whose cursor travels in the body of a POST.
func TestPagedByRequest(t *testing.T) {
	type query struct {
		After string `json:"after"`
	}
	type body struct {
		Items []int  `json:"items"`
		More  string `json:"more"`
	}
	last := ""
	w := &wire{answer: func(_ int, r *http.Request) (int, http.Header, string) {
		var q query
		if r.Method != "POST" || json.NewDecoder(r.Body).Decode(&q) != nil {
			return 400, nil, ""
		}
		n, _ := strconv.Atoi(q.After)
		if n == 3 {
			return 200, nil, fmt.Sprintf(`{"items":[3],"more":%q}`, last)
		}
		return 200, nil, fmt.Sprintf(`{"items":[%d],"more":"%d"}`, n, n+1)
	}}
	p := requestreply.Paged[query, body]{
		Endpoint: requestreply.Endpoint[query, body]{URL: "http://shop.example/search", Client: w.client()},
		Next:     func(r requestreply.Reply[body]) string { return r.Value.More },
		Request:  func(cursor string) query { return query{After: cursor} },
	}
	pages, _, err := collect(t.Context(), p)
	require.NoError(t, err)
	require.Len(t, pages, 4)
	require.Equal(t, []string{"", "1"}, []string{pages[0].At, pages[0].Next})
	require.Equal(t, "3", pages[3].At)

	p.From = pages[2].At
	rest, _, err := collect(t.Context(), p)
	require.NoError(t, err)
	require.Len(t, rest, 2)

	last = "2"
	_, at, err := collect(t.Context(), p)
	require.ErrorContains(t, err, "circle")
	require.ErrorIs(t, err, requestreply.ErrNextPage)
	require.Equal(t, "3", at.At)

	p.Next = nil
	n := len(w.asked)
	_, _, err = collect(t.Context(), p)
	require.ErrorContains(t, err, "Paged.Next")
	require.Len(t, w.asked, n)
}

// What Link headers may look like (RFC 8288 §3, and its appendix B).
func TestPagedLinkHeader(t *testing.T) {
	const bad = "bad"
	for _, c := range []struct {
		link []string
		want string // path and query of the second page, "" for none
	}{
		{[]string{`</p2>; rel="next"`}, "/p2"},
		{[]string{`</p2>; rel=next`}, "/p2"},
		{[]string{`</p2>;rel=NEXT ; title="x"`}, "/p2"},
		{[]string{`</p2>; REL = "last next"`}, "/p2"},
		{[]string{`</p0>; rel="prev", </p2>; rel="next"`}, "/p2"},
		{[]string{`</p0>; rel="prev"`, `</p2>; rel="next"`}, "/p2"},
		{[]string{`</p2?a=1,2;b>; rel="next"`}, "/p2?a=1,2;b"},
		{[]string{`</p0>; title="a \", </evil>; rel=next"; rel=prev, </p2>; rel=next`}, "/p2"},
		{[]string{`</p2>; rel="next"; rel="prev"`}, "/p2"},
		{[]string{`</p2>; rel="prev"; rel="next"`}, ""}, // the first rel counts
		{[]string{`</p2>; rel="nextish"`}, ""},
		{[]string{`</p2>; title=next`}, ""},
		{[]string{`</p2>; rel`}, ""},
		{[]string{`</p2>`}, ""},
		{[]string{`</p2>; rel=next; anchor="/other"`}, ""}, // about another list
		{[]string{``, ` , ,`}, ""},
		{[]string{`, </p2>; rel=next,`}, "/p2"},
		{[]string{`</p2>; rel=next, </p2>; rel=next`}, "/p2"},
		{[]string{`</p2>; rel=next#top`}, ""},
		{[]string{`</p2#top>; rel=next`}, "/p2"},
		{[]string{`<http://SHOP.example:80/p2>; rel=next`}, "/p2"},
		{[]string{`<//shop.example/p2>; rel=next`}, "/p2"},
		{[]string{`</p2>; rel=next, </p3>; rel=next`}, bad},
		{[]string{`</p2; rel=next`}, bad},
		{[]string{`/p2; rel=next`}, bad},
		{[]string{`</p2>; rel="next`}, bad},
		{[]string{`</p2>; rel="next\`}, bad},
		{[]string{`</p2> rel=next`}, bad},
		{[]string{`<>; rel=next`}, bad},
		{[]string{`<:%zz>; rel=next`}, bad},
		{[]string{`</p2>; rel=next, garbage`}, bad},
		{[]string{`</` + strings.Repeat("x", 9000) + `>; rel=next`}, bad},
	} {
		t.Run(strings.Join(c.link, " | ")[:min(60, len(strings.Join(c.link, " | ")))], func(t *testing.T) {
			w := &wire{answer: func(n int, r *http.Request) (int, http.Header, string) {
				if n == 1 {
					return 200, http.Header{"Link": c.link}, "[1]"
				}
				return 200, nil, "[2]"
			}}
			pages, last, err := collect(t.Context(), list(w, "http://shop.example/p1"))
			if c.want == bad {
				require.ErrorIs(t, err, requestreply.ErrNextPage)
				require.Equal(t, outcome.NotSent, outcome.Of(err))
				require.Len(t, pages, 1)
				require.Equal(t, "http://shop.example/p1", last.At)
				return
			}
			require.NoError(t, err)
			require.Len(t, w.asked, len(pages))
			if c.want == "" {
				require.Len(t, pages, 1)
				return
			}
			require.Equal(t, c.want, w.asked[1].URL.RequestURI())
			require.NotContains(t, pages[0].Next, "#")
		})
	}
}

// Credentials stay at home: a page cannot send them elsewhere.
func TestPagedOrigin(t *testing.T) {
	for _, to := range []string{
		"http://evil.example/p2", "//evil.example/p2", "https://shop.example/p2", "http://shop.example:8080/p2",
		"http://shop.example.evil.example/p2", "http://sub.shop.example/p2", "ftp://shop.example/p2",
		"http://shop.example@evil.example/p2", `http:\\evil.example`, "javascript:alert(1)", "http:/p2:80", "file:///etc/passwd",
	} {
		w := &wire{answer: func(int, *http.Request) (int, http.Header, string) { return 200, linked(to), "[1]" }}
		p := list(w, "http://shop.example/p1")
		p.MaxPages = 2
		p.Endpoint.Header = http.Header{"Authorization": {"Bearer secret"}}
		pages, _, err := collect(t.Context(), p)
		require.Len(t, pages[:1], 1, to)
		require.Error(t, err, to)
		for _, r := range w.asked {
			require.Equal(t, "shop.example", r.URL.Host, to)
			require.Equal(t, "http", r.URL.Scheme, to)
		}
		require.NotContains(t, err.Error(), "secret")
	}

	t.Run("a page does not choose who we are", func(t *testing.T) {
		w := &wire{answer: func(n int, r *http.Request) (int, http.Header, string) {
			if n == 1 {
				return 200, linked("http://eve:pw-eve@shop.example/p2"), "[1]"
			}
			return 200, nil, "[2]"
		}}
		pages, _, err := collect(t.Context(), list(w, "http://bob:pw-bob@shop.example/p1"))
		require.NoError(t, err)
		for _, r := range w.asked {
			user, _, _ := r.BasicAuth()
			require.Equal(t, "bob", user)
		}
		for _, page := range pages {
			require.NotContains(t, page.At+page.Next, "pw-bob")
			require.NotContains(t, page.At+page.Next, "pw-eve")
		}
		require.Equal(t, "http://shop.example/p2", pages[1].At)
	})
	t.Run("nor does what was written down", func(t *testing.T) {
		for _, from := range []string{"http://evil.example/p2", "/p2", "https://shop.example/p2", "%zz", "javascript:1"} {
			w := numbers(1)
			p := list(w, "http://bob:pw-bob@shop.example/p1")
			p.From = from
			pages, last, err := collect(t.Context(), p)
			require.ErrorIs(t, err, requestreply.ErrNextPage)
			require.Equal(t, outcome.NotSent, outcome.Of(err))
			require.NotContains(t, err.Error(), "pw-bob")
			require.Empty(t, pages)
			require.Equal(t, from, last.At)
			require.Empty(t, w.asked)
		}
		w := numbers(2)
		p := list(w, "http://bob:pw-bob@shop.example/p1")
		p.From = "http://eve:pw-eve@shop.example/list?page=2"
		_, _, err := collect(t.Context(), p)
		require.NoError(t, err)
		user, _, _ := w.asked[0].BasicAuth()
		require.Equal(t, "bob", user)
	})
	t.Run("not by a redirect either", func(t *testing.T) {
		w := &wire{answer: func(n int, r *http.Request) (int, http.Header, string) {
			if r.URL.Host == "shop.example" {
				return 302, http.Header{"Location": {"http://mirror.example/p1"}}, ""
			}
			return 200, linked("/p2"), "[1]"
		}}
		p := list(w, "http://shop.example/p1")
		p.Endpoint.Client = &http.Client{Transport: w}
		p.Endpoint.Header = http.Header{"X-Api-Key": {"secret"}}
		pages, _, err := collect(t.Context(), p)
		require.Len(t, pages, 1)
		require.ErrorIs(t, err, requestreply.ErrNextPage)
		require.Len(t, w.asked, 2)
	})
	t.Run("links are relative to where a redirect led", func(t *testing.T) {
		w := &wire{answer: func(n int, r *http.Request) (int, http.Header, string) {
			switch r.URL.Path {
			case "/list":
				return 302, http.Header{"Location": {"/v2/list/1"}}, ""
			case "/v2/list/1":
				return 200, linked("2"), "[1]"
			}
			return 200, nil, "[2]"
		}}
		p := list(w, "http://shop.example/list")
		p.Endpoint.Client = &http.Client{Transport: w}
		pages, _, err := collect(t.Context(), p)
		require.NoError(t, err)
		require.Len(t, pages, 2)
		require.Equal(t, "/v2/list/2", w.asked[2].URL.Path)
	})
}

func TestPagedCircles(t *testing.T) {
	for name, next := range map[string]func(n int, r *http.Request) string{
		"itself":            func(int, *http.Request) string { return "/list?page=1" },
		"itself, spelled":   func(int, *http.Request) string { return "http://SHOP.example:80/list?page=1#x" },
		"back and forth":    func(n int, _ *http.Request) string { return fmt.Sprintf("?page=%d", 1+n%2) },
		"back to the start": func(n int, _ *http.Request) string { return fmt.Sprintf("?page=%d", 1+n%7) },
	} {
		t.Run(name, func(t *testing.T) {
			w := &wire{answer: func(n int, r *http.Request) (int, http.Header, string) { return 200, linked(next(n, r)), "[1]" }}
			_, _, err := collect(t.Context(), list(w, "http://shop.example/list?page=1"))
			require.ErrorIs(t, err, requestreply.ErrNextPage)
			require.ErrorContains(t, err, "circle")
			require.LessOrEqual(t, len(w.asked), 7)
		})
	}
	t.Run("to where a redirect led", func(t *testing.T) {
		w := &wire{answer: func(n int, r *http.Request) (int, http.Header, string) {
			switch r.URL.RequestURI() {
			case "/list":
				return 302, http.Header{"Location": {"/list?page=1"}}, ""
			case "/list?page=1":
				return 200, linked("?page=2"), "[1]"
			}
			return 200, linked("?page=1"), "[2]"
		}}
		p := list(w, "http://shop.example/list")
		p.Endpoint.Client = &http.Client{Transport: w}
		pages, _, err := collect(t.Context(), p)
		require.ErrorContains(t, err, "circle")
		require.Len(t, pages, 2)
	})
	t.Run("a cursor that stays", func(t *testing.T) {
		w := &wire{answer: func(int, *http.Request) (int, http.Header, string) { return 200, nil, "[1]" }}
		p := list(w, "http://shop.example/list")
		p.CursorParam, p.Next = "after", func(requestreply.Reply[[]int]) string { return "42" }
		_, _, err := collect(t.Context(), p)
		require.ErrorIs(t, err, requestreply.ErrNextPage)
		require.Len(t, w.asked, 2)
	})
}

func TestPagedBounds(t *testing.T) {
	t.Run("pages", func(t *testing.T) {
		w := numbers(10)
		p := list(w, "http://shop.example/list")
		p.MaxPages = 4
		pages, last, err := collect(t.Context(), p)
		require.ErrorIs(t, err, requestreply.ErrTooLarge)
		require.ErrorContains(t, err, "more than 4 pages")
		require.Equal(t, outcome.NotSent, outcome.Of(err))
		require.Len(t, pages, 4)
		require.Len(t, w.asked, 4)
		require.Equal(t, "http://shop.example/list?page=5", last.At)
	})
	t.Run("as many as allowed", func(t *testing.T) {
		p := list(numbers(4), "http://shop.example/list")
		p.MaxPages = 4
		_, _, err := collect(t.Context(), p)
		require.NoError(t, err)
	})
	t.Run("1000 by default, no limit on request", func(t *testing.T) {
		p := list(numbers(1100), "http://shop.example/list")
		pages, _, err := collect(t.Context(), p)
		require.ErrorIs(t, err, requestreply.ErrTooLarge)
		require.Len(t, pages, 1000)
		p.MaxPages, p.MaxBytes = -1, -1
		pages, _, err = collect(t.Context(), p)
		require.NoError(t, err)
		require.Len(t, pages, 1100)
	})
	t.Run("bytes", func(t *testing.T) {
		w := numbers(9) // pages of 3 bytes
		p := list(w, "http://shop.example/list")
		p.MaxBytes = 8
		pages, last, err := collect(t.Context(), p)
		require.ErrorIs(t, err, requestreply.ErrTooLarge)
		require.ErrorContains(t, err, "MaxBytes")
		require.Len(t, pages, 2)
		require.Equal(t, "http://shop.example/list?page=3", last.At)
		p.MaxBytes = 9
		pages, _, err = collect(t.Context(), p)
		require.ErrorIs(t, err, requestreply.ErrTooLarge)
		require.ErrorContains(t, err, "MaxBytes")
		require.Len(t, pages, 3)
		p.MaxBytes = 27
		pages, _, err = collect(t.Context(), p)
		require.NoError(t, err)
		require.Len(t, pages, 9)
	})
	t.Run("a single page", func(t *testing.T) {
		p := list(numbers(9), "http://shop.example/list")
		p.Endpoint.MaxBody = 2
		_, _, err := collect(t.Context(), p)
		require.ErrorIs(t, err, requestreply.ErrTooLarge)
		require.NotContains(t, err.Error(), "MaxBytes")
	})
}

func TestPagedFailures(t *testing.T) {
	t.Run("a page fails: the error names it and the walk goes on from there", func(t *testing.T) {
		down := true
		inner := numbers(4)
		w := &wire{}
		w.answer = func(n int, r *http.Request) (int, http.Header, string) {
			if r.URL.Query().Get("page") == "3" && down {
				return 403, nil, ""
			}
			return inner.answer(n, r)
		}
		p := list(w, "http://shop.example/list")
		pages, last, err := collect(t.Context(), p)
		require.Len(t, pages, 2)
		e, ok := errors.AsType[*requestreply.Error](err)
		require.True(t, ok)
		require.Equal(t, 403, e.Status)
		require.Equal(t, outcome.Refused, e.Known)
		require.Equal(t, 403, last.Status)
		down = false
		p.From = last.At
		rest, _, err := collect(t.Context(), p)
		require.NoError(t, err)
		require.Equal(t, []int{3}, rest[0].Value)
		require.Len(t, rest, 2)
	})
	t.Run("a page is repeated like any call", func(t *testing.T) {
		inner := numbers(3)
		w := &wire{}
		w.answer = func(n int, r *http.Request) (int, http.Header, string) {
			if n == 2 {
				return 503, nil, ""
			}
			return inner.answer(n, r)
		}
		p := list(w, "http://shop.example/list")
		p.Endpoint.Guard = requestreply.NewGuard(&requestreply.Options{Retry: retry.Policy{Base: 1}})
		pages, _, err := collect(t.Context(), p)
		require.NoError(t, err)
		require.Len(t, pages, 3)
		require.Len(t, w.asked, 4)
	})
	t.Run("the context ends between two pages", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		w := numbers(3)
		var n int
		for page, err := range list(w, "http://shop.example/list").All(ctx) {
			if n++; n == 1 {
				require.NoError(t, err)
				cancel()
				continue
			}
			require.ErrorIs(t, err, context.Canceled)
			require.Equal(t, outcome.NotSent, outcome.Of(err))
			require.Equal(t, "http://shop.example/list?page=2", page.At)
		}
		require.Equal(t, 2, n)
		require.Len(t, w.asked, 1)
	})
	t.Run("no URL", func(t *testing.T) {
		for _, u := range []string{"", "/list", "ftp://x/"} {
			pages, _, err := collect(t.Context(), list(numbers(1), u))
			require.Error(t, err)
			require.Empty(t, pages)
			require.Equal(t, outcome.NotSent, outcome.Of(err))
		}
	})
	t.Run("unchanged since the last walk", func(t *testing.T) {
		w := &wire{}
		inner := numbers(2)
		w.answer = func(n int, r *http.Request) (int, http.Header, string) {
			if r.Header.Get("If-None-Match") == `"v1"` {
				return 304, nil, ""
			}
			return inner.answer(n, r)
		}
		p := list(w, "http://shop.example/list")
		p.Endpoint.IfNoneMatch = `"v1"`
		_, _, err := collect(t.Context(), p)
		require.ErrorIs(t, err, requestreply.ErrNotModified)
		p.Endpoint.IfNoneMatch = `"v0"`
		pages, _, err := collect(t.Context(), p)
		require.NoError(t, err)
		require.Len(t, pages, 2)
		require.Empty(t, w.asked[2].Header.Get("If-None-Match"))
	})
}

// Whatever a server says of the next page, nothing panics, the walk ends, and
// no other origin hears of it.
func FuzzPagedLink(f *testing.F) {
	for _, s := range []string{`</p2>; rel="next"`, `<//evil.example>; rel=next`, `<a>; rel="x\"y", <b>;rel=next`, `<?p=2>;rel=next;anchor=x`, "<", `<a>;`, `<a>;=`, `<a>; rel="`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		w := &wire{answer: func(int, *http.Request) (int, http.Header, string) {
			return 200, http.Header{"Link": {s}}, "[1]"
		}}
		p := list(w, "http://shop.example/p1")
		p.MaxPages = 5
		pages, _, err := collect(t.Context(), p)
		if len(w.asked) > 5 || len(pages) != len(w.asked) {
			t.Fatalf("%d pages of %d calls: %v", len(pages), len(w.asked), err)
		}
		for _, r := range w.asked {
			if !strings.EqualFold(r.URL.Hostname(), "shop.example") || r.URL.Scheme != "http" {
				t.Fatalf("asked %s", r.URL)
			}
		}
	})
}

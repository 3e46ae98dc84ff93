package openapi_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/requestreply/openapi"
	"github.com/crosstie/crosstie/requestreply/server"
)

// does returns an operation's function that does nothing.
func does[Req, Resp any]() func(context.Context, Req) (Resp, error) {
	return func(context.Context, Req) (r Resp, err error) { return r, nil }
}

// found registers an operation on its own, and returns what was found.
func found[Req, Resp any](t *testing.T, p openapi.Profile, pattern, id string, o *openapi.Operation) (stop []openapi.Finding, notes []openapi.Finding) {
	t.Helper()
	api := openapi.New("T", "1", &openapi.Options{Profile: p})
	before := api.Document()
	err := openapi.Register(api, pattern, id, does[Req, Resp](), o)
	if err == nil {
		return nil, api.Notes()
	}
	var e *openapi.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, string(before), string(api.Document()), "what is refused leaves no trace")
	require.Empty(t, api.Notes())
	for _, f := range e.Findings {
		require.Contains(t, err.Error(), f.What)
		require.Contains(t, err.Error(), f.Source)
		require.Equal(t, id, f.Operation)
	}
	return e.Findings, nil
}

// says turns findings into lines without their sources.
func says(fs []openapi.Finding) (lines []string) {
	for _, f := range fs {
		lines = append(lines, fmt.Sprintf("%s: %s: %s", f.Where, f.Effect, f.What))
	}
	return lines
}

type none = struct{}

type selfish struct{ Inner []selfless }
type selfless map[string]selfless
type wide struct {
	A uint   `json:"a"`
	B uint64 `json:"b"`
}
type odd struct {
	Ch      chan int          `json:"ch"`
	Err     error             `json:"err"`
	Big     big.Int           `json:"big"`
	Complex map[bool]string   `json:"keys"`
	Bad     bool              `json:"bad" enum:"true"`
	Twice   string            `json:"twice" enum:"a,a"`
	Num     int               `json:"num" enum:"1,x"`
	Lines   []Line            `json:"lines" enum:"a"`
	Stamp   readsOnly         `json:"stamp"`
	Half    pointerOnly       `json:"half"`
	Fine    *pointerOnly      `json:"fine,omitempty"`
	Func    map[string]func() `json:"func"`
}
type readsOnly struct{ t time.Time }

func (r *readsOnly) UnmarshalText(b []byte) error { return r.t.UnmarshalText(b) }

type pointerOnly struct{ n int }

func (p *pointerOnly) MarshalText() ([]byte, error) { return fmt.Append(nil, p.n), nil }

func TestWhatIsRefused(t *testing.T) {
	type params struct {
		ID   string `path:"id"`
		Auth string `header:"Authorization"`
		Id2  string `query:"ID,omitempty"`
	}
	type hooked struct {
		URL  string   `json:"url"`
		URLs []string `json:"urls"`
		N    int      `json:"n"`
	}
	hook := func(c openapi.Callback) *openapi.Operation {
		return &openapi.Operation{Callbacks: []openapi.Callback{c}}
	}
	long := strings.Repeat("é", 1334)
	es, std := openapi.ExternalServices, openapi.Standard
	for _, c := range []struct {
		name string
		find func(t *testing.T, p openapi.Profile) ([]openapi.Finding, []openapi.Finding)
		es   []string // what is found
		std  []string
	}{
		{"fine", func(t *testing.T, p openapi.Profile) ([]openapi.Finding, []openapi.Finding) {
			return found[none, none](t, p, "GET /a/{$}", "a", nil)
		}, nil, nil},
		{"no method", func(t *testing.T, p openapi.Profile) ([]openapi.Finding, []openapi.Finding) {
			return found[none, none](t, p, "/a", "a", nil)
		}, []string{`pattern: refused: it has no method: write "GET /stock/{sku}"`}, []string{`pattern: refused: it has no method: write "GET /stock/{sku}"`}},
		{"another method", func(t *testing.T, p openapi.Profile) ([]openapi.Finding, []openapi.Finding) {
			return found[none, none](t, p, "OPTIONS /a", "a", nil)
		}, []string{"pattern: refused: the method OPTIONS is not imported: use GET, PATCH, PUT, POST or DELETE"}, nil},
		{"a method of nobody", func(t *testing.T, p openapi.Profile) ([]openapi.Finding, []openapi.Finding) {
			return found[none, none](t, p, "get host/a//{b...}", "a b", nil)
		}, []string{
			`pattern: refused: the method "get" has no place in a document`,
			"pattern: refused: the path must begin with a slash, without a host: where the API is, Options.URL says",
			"id: refused: callers name their functions by it: use letters, digits, and _ - or . between",
		}, []string{
			`pattern: refused: the method "get" has no place in a document`,
			"pattern: refused: the path must begin with a slash, without a host: where the API is, Options.URL says",
			"id: refused: callers name their functions by it: use letters, digits, and _ - or . between",
		}},
		{"paths", func(t *testing.T, p openapi.Profile) ([]openapi.Finding, []openapi.Finding) {
			return found[none, none](t, p, "GET /a b/{c...}/../{d}x/", "a", nil)
		}, []string{
			`pattern: refused: the segment "a b" has a character that a path has only percent-encoded`,
			`pattern: refused: a template stands for one segment, and {c...} for any number: name each one`,
			`pattern: refused: no request has a path with the segment "..": it is cleaned first`,
			`pattern: refused: the segment "{d}x" has a character that a path has only percent-encoded`,
			"pattern: refused: it ends in a slash and so serves all below: end it with {$}, or leave the slash out",
		}, nil},
		{"parameters", func(t *testing.T, p openapi.Profile) ([]openapi.Finding, []openapi.Finding) {
			return found[params, none](t, p, "GET /a/{other}", "a", nil)
		}, []string{
			`path "id": refused: the pattern has no {id}`,
			`header "Authorization": dropped: a parameter for this header is ignored: read it from server.Request`,
			`query "ID": refused: the request has a parameter "id" already, and case tells no names apart: rename one`,
			`pattern: refused: {other} needs a field of Params with the tag path:"other"`,
		}, []string{
			`path "id": refused: the pattern has no {id}`,
			`header "Authorization": dropped: a parameter for this header is ignored: read it from server.Request`,
			`pattern: refused: {other} needs a field of Params with the tag path:"other"`,
		}},
		{"a body where there is none", func(t *testing.T, p openapi.Profile) ([]openapi.Finding, []openapi.Finding) {
			return found[Line, none](t, p, "DELETE /a", "a", nil)
		}, []string{"request Line: refused: a request of DELETE has no body: tag its fields path, query or header, or use POST"},
			[]string{"request Line: refused: a request of DELETE has no body: tag its fields path, query or header, or use POST"}},
		{"unsigned", func(t *testing.T, p openapi.Profile) ([]openapi.Finding, []openapi.Finding) {
			return found[none, wide](t, p, "GET /a", "a", nil)
		}, []string{
			"Wide.a: refused: there is no unsigned integer of 64 bits: use int64 or uint32",
			"Wide.b: refused: there is no unsigned integer of 64 bits: use int64 or uint32",
		}, nil},
		{"endless", func(t *testing.T, p openapi.Profile) ([]openapi.Finding, []openapi.Finding) {
			return found[none, selfish](t, p, "GET /a", "a", nil)
		}, []string{"Selfish.Inner[]{}: refused: openapi_test.selfless contains itself and nothing has a name: put a struct between"},
			[]string{"Selfish.Inner[]{}: refused: openapi_test.selfless contains itself and nothing has a name: put a struct between"}},
		{"descriptions", func(t *testing.T, p openapi.Profile) ([]openapi.Finding, []openapi.Finding) {
			return found[none, none](t, p, "GET /a", "a", &openapi.Operation{Description: long})
		}, []string{"description: dropped: a description of 1334 characters is cut after 1333: shorten it"}, nil},
		{"status", func(t *testing.T, p openapi.Profile) ([]openapi.Finding, []openapi.Finding) {
			return found[none, Line](t, p, "GET /a", "a", &openapi.Operation{Status: 204})
		}, []string{"Operation.Status: refused: 204: want 200 to 299, 204 for struct{} and for nothing else, and not 205"},
			[]string{"Operation.Status: refused: 204: want 200 to 299, 204 for struct{} and for nothing else, and not 205"}},
		{"keys without a scope", func(t *testing.T, p openapi.Profile) ([]openapi.Finding, []openapi.Finding) {
			return found[none, Line](t, p, "POST /a", "a", &openapi.Operation{Keys: server.NewMemKeys()})
		}, []string{"Server.Scope: refused: keys need a scope, which tells one caller's from another's"},
			[]string{"Server.Scope: refused: keys need a scope, which tells one caller's from another's"}},
		{"keys for reading", func(t *testing.T, p openapi.Profile) ([]openapi.Finding, []openapi.Finding) {
			return found[none, Line](t, p, "GET /a", "a", &openapi.Operation{Keys: server.NewMemKeys()})
		}, []string{"pattern: refused: a GET changes nothing and needs no key"}, []string{"pattern: refused: a GET changes nothing and needs no key"}},
		{"callbacks by another method", func(t *testing.T, p openapi.Profile) ([]openapi.Finding, []openapi.Finding) {
			c := openapi.NewCallback[Line]("c", "{$request.body#/url}")
			c.Method = "PATCH"
			return found[hooked, none](t, p, "POST /a", "a", hook(c))
		}, []string{`callback "c": dropped: a callback by PATCH is ignored: use POST or PUT`}, nil},
		{"callbacks to nowhere", func(t *testing.T, p openapi.Profile) ([]openapi.Finding, []openapi.Finding) {
			return found[hooked, none](t, p, "POST /a", "a", &openapi.Operation{Callbacks: []openapi.Callback{
				openapi.NewCallback[Line]("c", "{$request.body#/uri}"), openapi.NewCallback[Line]("d", "{$request.body#/n}"),
				openapi.NewCallback[Line]("e", "{$request.query.url}"), openapi.NewCallback[Line]("f", "http://{$request.body#/url}"),
				openapi.NewCallback[Line]("g", "{$request.body#/url/0}"), openapi.NewCallback[Line]("g", "{$request.body#/urls/1}"),
				{Name: "h", URL: "{$request.body#/url}"},
			}})
		}, []string{
			`callback "c": refused: the body has no member at "/uri"`,
			`callback "d": refused: what is at "/n" in the body is no string`,
			`callback "e": refused: the request has no query parameter "url"`,
			`callback "f": refused: the address must be {$request.query.name} or {$request.body#/name}, not "http://{$request.body#/url}"`,
			`callback "g": refused: the body has no member at "/url/0"`,
			`callback "g": refused: a callback needs a name of its own`,
			`callback "h": refused: it says nothing of what it carries: make it with NewCallback`,
		}, nil},
		{"types without JSON", func(t *testing.T, p openapi.Profile) ([]openapi.Finding, []openapi.Finding) {
			return found[none, odd](t, p, "GET /a", "a", nil)
		}, []string{
			"Odd.ch: refused: a chan int has no JSON",
			"Odd.err: refused: error says nothing of what is in it: use a struct, or any",
			"Odd.big: refused: big.Int has its own JSON, and what that is cannot be seen: say it in Options.Types, or give it MarshalText",
			"Odd.keys: refused: keys of map[bool]string have no text",
			"Odd.bad: refused: the tag enum is for strings and integers, and for lists and maps of them",
			`Odd.twice: refused: the tag enum has "a" twice, or an empty value`,
			`Odd.num: refused: the value "x" of the tag enum is no integer`,
			"Odd.lines: refused: the tag enum is for strings and integers, and for lists and maps of them",
			"Odd.stamp: refused: openapi_test.readsOnly has UnmarshalText and no MarshalText: it reads otherwise than it writes",
			"Odd.half: refused: openapi_test.pointerOnly has MarshalText on its pointer, which encoding/json calls in some places only: use a pointer, or give it to the value",
			"Odd.func{}: refused: a func() has no JSON",
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			stop, _ := c.find(t, es)
			for _, f := range stop {
				require.NotEmpty(t, f.Source)
			}
			if c.es != nil {
				require.Equal(t, c.es, says(stop))
			} else {
				require.Empty(t, stop)
			}
			stop, _ = c.find(t, std)
			if c.std != nil {
				require.Equal(t, c.std, says(stop))
			} else if c.name != "paths" && c.name != "callbacks to nowhere" && c.name != "types without JSON" { // the same there
				require.Empty(t, stop)
			}
		})
	}
}

func TestWhatLooksOtherwise(t *testing.T) {
	type names struct {
		Plain  string     `json:"plain"`
		Order  string     `json:"order_id"`
		Digit  string     `json:"5getOpen-bankingV2.2Atms"`
		Matrix [][]string `json:"matrix"`
		Line   Line       `json:"line" doc:"The line."`
	}
	_, notes := found[none, names](t, openapi.ExternalServices, "GET /a", "get_names", nil)
	require.Equal(t, []string{
		`id: changed: the name "get_names" is getx5fnames in Apex: letters and digits alone stay as they are`,
		`Names.order_id: changed: the name "order_id" is orderx5fid in Apex: letters and digits alone stay as they are`,
		// the example of the page itself
		`Names.5getOpen-bankingV2.2Atms: changed: the name "5getOpen-bankingV2.2Atms" is x35getOpenx2dbankingV2x2e2Atms in Apex: letters and digits alone stay as they are`,
		"Names.matrix: changed: a list of lists is List<List<T>> in Apex, and no field for Flow: put a struct between for Flow",
		"Names.line: changed: its description is left out, since beside a reference it is ignored: describe the fields of the type instead",
	}, says(notes))
	_, notes = found[none, names](t, openapi.Standard, "GET /a", "get_names", nil)
	require.Empty(t, notes)
}

func TestOperationsThatClash(t *testing.T) {
	type byA struct {
		A string `path:"a"`
	}
	type byB struct {
		B string `path:"b"`
	}
	api := openapi.New("T", "1", nil)
	require.NoError(t, openapi.Register(api, "GET /x/{a}", "one", does[byA, none](), nil))
	for _, c := range []struct {
		err  error
		want string
	}{
		{openapi.Register(api, "GET /y", "one", does[none, none](), nil), "id: refused: another operation has it"},
		{openapi.Register(api, "GET /y", "ONE", does[none, none](), nil), `id: refused: it differs from "one" in case alone, which is one name in Apex: rename one`},
		{openapi.Register(api, "DELETE /x/{b}", "two", does[byB, none](), nil), "pattern: refused: /x/{b} and /x/{a} differ in the names of templates alone, and are one path: name them alike"},
		{openapi.Register(api, "GET /x/{a}", "two", does[byA, none](), nil), `pattern: refused: a request could match it and "GET /x/{a}" as well: change one`},
		{openapi.Register(api, "GET /{a}/y", "two", does[byA, none](), nil), `pattern: refused: a request could match it and "GET /x/{a}" as well: change one`},
		{openapi.Register(api, "GET /openapi.json", "two", does[none, none](), nil), `pattern: refused: a request could match it and "GET /openapi.json" as well: change one`},
		{openapi.Register[none, none](api, "GET /y", "two", nil, nil), "function: refused: there is none, or no keys: nothing could be served"},
		{openapi.RegisterTx(api, nil, "POST /y", "two", func(context.Context, *sql.Tx, none) (none, error) { return none{}, nil }, nil), "function: refused: there is none, or no keys: nothing could be served"},
		{openapi.RegisterTx(api, server.NewMemKeys(), "POST /y", "two", func(context.Context, *sql.Tx, none) (none, error) { return none{}, nil }, &openapi.Operation{Keys: server.NewMemKeys()}), "Operation.Keys: refused: RegisterTx has keys of its own: leave these out"},
	} {
		var e *openapi.Error
		require.ErrorAs(t, c.err, &e, c.want)
		require.Equal(t, []string{c.want}, says(e.Findings))
	}
	require.NoError(t, openapi.Register(api, "GET /y", "two", does[none, none](), nil), "a refusal takes no id and no pattern")
}

func TestLimitsOfTheImporter(t *testing.T) {
	t.Run("characters", func(t *testing.T) { // not bytes
		api := openapi.New("T", "1", &openapi.Options{Path: "-", Description: strings.Repeat("é", 9_990_000)})
		var err error
		for i := 0; err == nil; i++ {
			id := fmt.Sprintf("a%d", i)
			err = openapi.Register(api, "GET /"+id, id, does[none, none](), &openapi.Operation{Description: strings.Repeat("é", 1333)})
		}
		require.ErrorContains(t, err, "more than 10000000: make a second API")
		n := utf8.RuneCount(api.Document())
		require.Less(t, n, 10_000_000)
		require.Greater(t, n, 9_997_000, "and not long before")
	})
	t.Run("operations", func(t *testing.T) {
		api := openapi.New("T", "1", nil)
		for i := range 3000 {
			require.NoError(t, openapi.Register(api, fmt.Sprintf("GET /a%d", i), fmt.Sprintf("a%d", i), does[none, none](), nil))
		}
		require.ErrorContains(t, openapi.Register(api, "GET /b", "b", does[none, none](), nil), "more than 3000 operations")
	})
}

func TestNamesOfSchemas(t *testing.T) {
	type Line struct{ Local int } // another Line than the package's
	type Problem struct{ Mine int }
	type Page[T any] struct {
		Items []T `json:"items"`
	}
	type snake_case struct {
		In struct{ A int } `json:"in"`
	}
	type all struct {
		A Line                       `json:"a"`
		B []Order                    `json:"b"`
		C Problem                    `json:"c"`
		D Page[Page[snake_case]]     `json:"d"`
		E Page[map[string][]*Line]   `json:"e"`
		F Page[requestreply.Problem] `json:"-"`
		G Page[time.Time]            `json:"g"`
		H Page[int]                  `json:"h"`
		I Page[[]int]                `json:"i"`
	}
	api := openapi.New("T", "1", nil)
	require.NoError(t, openapi.Register(api, "GET /a", "a", does[none, all](), nil))
	require.NoError(t, openapi.Register(api, "POST /b", "b", does[struct{ X int }, struct{ Y int }](), nil))
	var names []string
	for name := range newJudge(t, api.Document()).schemas {
		names = append(names, name)
	}
	require.ElementsMatch(t, []string{
		"All", "Line", "OpenapiTestLine", "Order", "OpenapiTestProblem", "Problem", "ProblemField", "SnakeCase", "SnakeCaseIn",
		"PagePageSnakeCase", "PageSnakeCase", "PageMapStringListLine", "PageTime", "PageInt", "PageListInt", "BRequest", "BResponse",
	}, names)
}

// A document is compared with what others imported: it must not depend on the
// order of a map.
func TestTheDocumentIsTheSameEachTime(t *testing.T) {
	build := func() *openapi.API {
		api := openapi.New("T", "1", nil)
		require.NoError(t, openapi.Register(api, "POST /a", "a", does[everything, Tree[leaf]](), nil))
		require.NoError(t, openapi.Register(api, "PUT /a", "b", does[Order, map[string]Order](), nil))
		return api
	}
	first := build().Document()
	for range 20 {
		require.Equal(t, string(first), string(build().Document()))
	}
	api := build()
	copied := api.Document()
	copied[0] = 'x'
	require.Equal(t, string(first), string(api.Document()), "a caller's copy is its own")
}

func get(t *testing.T, h http.Handler, method, target string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestTheDocumentIsServedWithATag(t *testing.T) {
	api := openapi.New("T", "1", nil)
	w := get(t, api, "GET", "/openapi.json")
	require.Equal(t, 200, w.Code)
	require.Equal(t, "application/json", w.Header().Get("Content-Type"))
	require.Equal(t, string(api.Document()), w.Body.String())
	tag := w.Header().Get("ETag")
	require.Regexp(t, `^"[0-9a-f]{32}"$`, tag)
	w = get(t, api, "GET", "/openapi.json", "If-None-Match", tag)
	require.Equal(t, 304, w.Code)
	require.Empty(t, w.Body.String())
	require.Equal(t, 200, get(t, api, "HEAD", "/openapi.json").Code)

	require.NoError(t, openapi.Register(api, "GET /a", "a", does[none, none](), nil))
	w = get(t, api, "GET", "/openapi.json", "If-None-Match", tag)
	require.Equal(t, 200, w.Code, "it has changed")
	require.NotEqual(t, tag, w.Header().Get("ETag"))

	elsewhere := openapi.New("T", "1", &openapi.Options{Path: "/v1/api.json"})
	require.Equal(t, 200, get(t, elsewhere, "GET", "/v1/api.json").Code)
	require.Equal(t, 404, get(t, elsewhere, "GET", "/openapi.json").Code)
	require.Equal(t, 404, get(t, openapi.New("T", "1", &openapi.Options{Path: "-"}), "GET", "/openapi.json").Code)
}

func TestWhatCannotBeMadePanics(t *testing.T) {
	require.Panics(t, func() { openapi.New("", "1", nil) })
	require.Panics(t, func() { openapi.New("T", "", nil) })
	require.Panics(t, func() { openapi.New("T", "1", &openapi.Options{Path: "{"}) })
}

func TestProblemsHaveTheTypeTheCallerReads(t *testing.T) {
	const plain, problem = "application/json", "application/problem+json"
	for _, c := range []struct {
		accept  string
		es, std string
	}{
		{"", plain, problem},
		{"application/json", plain, plain},
		{"*/*", plain, problem},
		{"application/json, */*;q=0.1", plain, problem},
		{"application/json, application/problem+json", problem, problem},
		{"application/json, application/problem+json;q=0", plain, plain},
		{"application/json, application/problem+json;q=0.0", plain, plain},
		{"application/json, application/problem+json;q=0.001", problem, problem},
		{"application/problem+json", problem, problem},
		{";;;,application/*", plain, problem},
	} {
		for p, want := range map[openapi.Profile]string{openapi.ExternalServices: c.es, openapi.Standard: c.std} {
			api := openapi.New("T", "1", &openapi.Options{Profile: p})
			require.NoError(t, openapi.Register(api, "GET /a", "a", func(context.Context, none) (none, error) {
				return none{}, &requestreply.Problem{Status: 409}
			}, nil))
			for target, status := range map[string]int{"/a": 409, "/b": 404} {
				w := get(t, api, "GET", target, "Accept", c.accept)
				require.Equal(t, status, w.Code)
				require.Equal(t, want, w.Header().Get("Content-Type"), "%s, %q", p, c.accept)
				require.Equal(t, "Accept", w.Header().Get("Vary"))
			}
		}
	}
}

// A requestreply.Endpoint asks for problems and gets them, from both profiles.
func TestAnEndpointFindsTheProblem(t *testing.T) {
	api := openapi.New("T", "1", nil)
	require.NoError(t, openapi.Register(api, "POST /a", "a", func(context.Context, Line) (Line, error) {
		return Line{}, &requestreply.Problem{Status: 409, Title: "Out of stock"}
	}, nil))
	s := httptest.NewServer(api)
	defer s.Close()
	_, err := requestreply.Endpoint[Line, Line]{URL: s.URL + "/a"}.Call(t.Context(), Line{})
	var p *requestreply.Problem
	require.ErrorAs(t, err, &p)
	require.Equal(t, "Out of stock", p.Title)
}

func TestPathsAndMethodsNobodyServes(t *testing.T) {
	type byID struct {
		ID string `path:"id"`
	}
	api := openapi.New("T", "1", nil)
	require.NoError(t, openapi.Register(api, "GET /a/{id}", "a", does[byID, none](), nil))
	require.NoError(t, openapi.Register(api, "PUT /a/{id}", "b", does[byID, none](), nil))
	w := get(t, api, "POST", "/a/1")
	require.Equal(t, 405, w.Code)
	require.Equal(t, "GET, HEAD, PUT", w.Header().Get("Allow"))
	require.JSONEq(t, `{"title":"Method Not Allowed","status":405,"detail":"no operation has this path and method: see Allow"}`, w.Body.String())
	require.Equal(t, 405, get(t, api, "BREW", "/a/1").Code)
	require.Equal(t, 404, get(t, api, "GET", "/a").Code)
	require.Equal(t, 404, get(t, api, "GET", "/").Code)
	require.Equal(t, 204, get(t, api, "GET", "/a/1").Code)
	require.Equal(t, 204, get(t, api, "GET", "/a/x%2Fy").Code)
}

func TestKeyedOperations(t *testing.T) {
	ran := 0
	o := &server.Options{Scope: func(r *http.Request) string { return r.Header.Get("Caller") }}
	api := openapi.New("T", "1", &openapi.Options{Server: o})
	require.NoError(t, openapi.Register(api, "POST /a", "a", func(context.Context, Line) (Line, error) {
		ran++
		return Line{Qty: int32(ran)}, nil
	}, &openapi.Operation{Keys: server.NewMemKeys(), Status: 201}))
	require.NoError(t, openapi.RegisterTx(api, server.NewMemKeys(), "POST /b", "b", func(context.Context, *sql.Tx, Line) (none, error) {
		ran++
		return none{}, nil
	}, &openapi.Operation{Server: &server.Options{KeyOptional: true}}))
	post := func(path, key, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("POST", path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		if key != "" {
			r.Header.Set("Idempotency-Key", key)
		}
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		return w
	}
	for range 3 {
		w := post("/a", "k", `{"sku":"x","qty":1}`)
		require.Equal(t, 201, w.Code, w.Body)
		require.JSONEq(t, `{"sku":"","qty":1}`, w.Body.String())
	}
	require.Equal(t, 422, post("/a", "k", `{"sku":"x","qty":2}`).Code)
	require.Equal(t, 400, post("/a", "", `{"sku":"x","qty":2}`).Code)
	require.Equal(t, 204, post("/b", "", `{"sku":"x","qty":2}`).Code)
	require.Equal(t, 2, ran)

	for path, required := range map[string]bool{"/a": true, "/b": false} {
		q := dig(t, read(t, api.Document()), "paths", path, "post").(map[string]any)["parameters"].([]any)[0].(map[string]any)
		require.Equal(t, "Idempotency-Key", q["name"])
		require.Equal(t, "header", q["in"])
		require.Equal(t, required, q["required"] == true)
	}
}

func TestTypesThatSayWhatTheyWrite(t *testing.T) {
	type price struct {
		Total big.Int   `json:"total"`
		Day   time.Time `json:"day"`
		Free  odd       `json:"free,omitzero"`
	}
	api := openapi.New("T", "1", &openapi.Options{Types: map[reflect.Type]openapi.Type{
		reflect.TypeFor[big.Int]():   {Type: "number"},
		reflect.TypeFor[time.Time](): {Type: "string", Format: "date"},
		reflect.TypeFor[odd]():       {},
	}})
	require.NoError(t, openapi.Register(api, "GET /a", "a", does[none, price](), nil))
	got, err := json.Marshal(newJudge(t, api.Document()).schemas["Price"])
	require.NoError(t, err)
	require.JSONEq(t, `{"type":"object","required":["total","day"],"properties":{"total":{"type":"number"},"day":{"type":"string","format":"date"},"free":{}}}`, string(got))
}

// An answer that has a nil where the document has no word for it says so,
// instead of being another answer than was promised.
func TestANilInAListIsNoAnswer(t *testing.T) {
	api := openapi.New("T", "1", nil)
	require.NoError(t, openapi.Register(api, "GET /a", "a", func(context.Context, none) ([]*Line, error) { return []*Line{{}, nil}, nil }, nil))
	require.NoError(t, openapi.Register(api, "GET /b", "b", func(context.Context, none) (*Line, error) { return nil, nil }, nil))
	for _, path := range []string{"/a", "/b"} {
		w := get(t, api, "GET", path)
		require.Equal(t, 500, w.Code)
		require.Contains(t, w.Body.String(), `"outcome":"applied"`)
	}
}

func TestAPIsAreUsedByManyAtOnce(t *testing.T) {
	api := openapi.New("T", "1", nil)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for k := range 20 {
				id := fmt.Sprintf("o%dx%d", i, k)
				if err := openapi.Register(api, "GET /"+id, id, does[none, Order](), nil); err != nil {
					t.Error(err)
				}
				if w := get(t, api, "GET", "/"+id); w.Code != 200 {
					t.Error(w.Code)
				}
				if !bytes.Contains(api.Document(), []byte(id)) {
					t.Error("registered, and not in the document")
				}
				_, _ = io.Copy(io.Discard, get(t, api, "GET", "/openapi.json").Body)
				_ = api.Notes()
			}
		})
	}
	wg.Wait()
}

type crate struct {
	Inside []crate            `json:"inside"`
	By     map[string][]crate `json:"by"`
}

// A list of a struct that has such lists is no endless one: the struct has a
// name, wherever the circle is entered.
func TestCircleThroughAList(t *testing.T) {
	api := openapi.New("T", "1", nil)
	type pile struct {
		Crates []crate `json:"crates"`
	}
	require.NoError(t, openapi.Register(api, "GET /pile", "pile", does[none, pile](), nil))
	require.NoError(t, openapi.Register(api, "POST /crates", "crates", does[map[string][]crate, []crate](), nil))
	got, err := json.Marshal(newJudge(t, api.Document()).schemas["Crate"])
	require.NoError(t, err)
	require.JSONEq(t, `{"type":"object","required":["inside","by"],"properties":{
		"inside":{"type":"array","items":{"$ref":"#/components/schemas/Crate"}},
		"by":{"type":"object","additionalProperties":{"type":"array","items":{"$ref":"#/components/schemas/Crate"}}}}}`, string(got))
}

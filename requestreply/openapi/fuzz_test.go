package openapi_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/requestreply/openapi"
	"github.com/crosstie/crosstie/requestreply/server"
)

// A pattern and an id are refused, or they are served and described; nothing
// panics, and the document stays JSON.
func FuzzRegister(f *testing.F) {
	for _, pattern := range []string{
		"GET /", "GET /{$}", "GET /a", "POST /a/{id}", "GET /{id}", "GET /{id}/{id}", "GET /{id...}", "GET host/a", "GET  /a", "GET /%2f/%zz", "GET /a//b", "PUT /./a/..",
		"get /a", "GET /a b", "GET /{}", "GET /{ä}", "GET /x{a}", "OPTIONS /a", "GET /openapi.json", "GET /é", "\tGET /a", "GET /{_}", "GET /{id}{$}",
	} {
		f.Add(pattern, "id")
	}
	f.Add("GET /a", "get Stock")
	f.Add("GET /a", "")
	type ask struct {
		ID string `path:"id"`
	}
	f.Fuzz(func(t *testing.T, pattern, id string) {
		for _, p := range []openapi.Profile{openapi.ExternalServices, openapi.Standard} {
			api := openapi.New("T", "1", &openapi.Options{Profile: p})
			err := openapi.Register(api, pattern, id, func(context.Context, struct{}) (struct{}, error) { return struct{}{}, nil }, nil)
			if err != nil {
				err = openapi.Register(api, pattern, id, func(context.Context, ask) (struct{}, error) { return struct{}{}, nil }, nil)
			}
			require.True(t, json.Valid(api.Document()))
			paths := dig(t, read(t, api.Document()), "paths").(map[string]any)
			if err != nil {
				require.Empty(t, paths)
				continue
			}
			require.Len(t, paths, 1)
			for path := range paths {
				// What the document calls a path is one that is served.
				w := httptest.NewRecorder()
				method, _, _ := strings.Cut(pattern, " ")
				api.ServeHTTP(w, httptest.NewRequest(method, strings.ReplaceAll(path, "{id}", "x"), nil))
				require.Equal(t, http.StatusNoContent, w.Code, "%q: %s", pattern, path)
			}
		}
	})
}

// Whatever the body: what is served is what the document says of a request,
// and so is the answer.
func FuzzBody(f *testing.F) {
	api := openapi.New("T", "1", &openapi.Options{Server: &server.Options{MaxBody: -1}})
	if err := openapi.Register(api, "POST /a", "a", func(_ context.Context, v strict) (strict, error) { return v, nil }, nil); err != nil {
		f.Fatal(err)
	}
	var document any
	if err := json.Unmarshal(api.Document(), &document); err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"color":"red","levels":[1,-3],"names":{"x":"a"},"bytes":"AAAA","when":"2026-01-02T03:04:05Z","pair":[1,2.5],"lists":["AA=="],"small":[[1],[]],"u32":null,"tree":{"value":1,"kids":[],"by":{}},"lines":[{"sku":"a","qty":1}]}`))
	f.Add([]byte(`{"color":"green"}`))
	f.Add([]byte(`null`))
	schema := map[string]any{"$ref": "#/components/schemas/Strict"}
	f.Fuzz(func(t *testing.T, body []byte) {
		r := httptest.NewRequest("POST", "/a", strings.NewReader(string(body)))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		if w.Code == http.StatusOK {
			j := newJudge(t, api.Document())
			require.NoError(t, j.judge(schema, read(t, body), true, ""), "served: %s", body)
			require.NoError(t, j.judge(schema, read(t, w.Body.Bytes()), false, ""), "answered")
			return
		}
		require.Equal(t, http.StatusBadRequest, w.Code)
		var p struct{ Status int }
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &p))
		require.False(t, reflect.ValueOf(p).IsZero())
	})
}

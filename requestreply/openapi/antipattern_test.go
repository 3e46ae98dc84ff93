package openapi_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/requestreply/openapi"
)

// Anti-pattern: a document that is kept by hand beside the code. It was right
// when it was written. Since then a field was renamed, a list became empty and
// so null, and a filter of the document was never read: a client generated
// from it fails on answers, and gets all rows where it asked for some.

const byHand = `{
  "paths": {"/stock": {"get": {"operationId": "getStock",
    "parameters": [{"name": "site", "in": "query", "schema": {"type": "string"}}],
    "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Stock"}}}}}}}},
  "components": {"schemas": {"Stock": {"type": "object", "required": ["sku", "free", "lots"], "properties": {
    "sku": {"type": "string"}, "free": {"type": "integer", "format": "int32"}, "lots": {"type": "array", "items": {"type": "string"}}}}}}}`

type shelf struct {
	SKU       string   `json:"sku"`
	Available int32    `json:"available"` // it was "free"
	Lots      []string `json:"lots"`
}

func TestAntiPatternADocumentKeptByHand(t *testing.T) {
	all := shelf{SKU: "84879", Available: 3}
	verdict := func(document, answer []byte) error {
		schema := dig(t, read(t, document), "paths", "/stock", "get").(map[string]any)
		reply := dig(t, schema, "responses", "200", "content", "application/json", "schema")
		return newJudge(t, document).judge(reply, read(t, answer), false, "")
	}

	naive := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(all)
	})
	w := get(t, naive, "GET", "/stock?sight=north")
	require.Equal(t, 200, w.Code, "the misspelt filter found all")
	require.ErrorContains(t, verdict([]byte(byHand), w.Body.Bytes()), "lacks free")
	require.Contains(t, w.Body.String(), `"lots":null`)
	patched := strings.ReplaceAll(byHand, "free", "available") // somebody noticed; the null is still there
	require.ErrorContains(t, verdict([]byte(patched), w.Body.Bytes()), "is no array")

	type query struct {
		Site string `query:"site,omitempty"`
	}
	api := openapi.New("Warehouse", "1", nil)
	require.NoError(t, openapi.Register(api, "GET /stock", "getStock", func(context.Context, query) (shelf, error) { return all, nil }, nil))
	require.Equal(t, 400, get(t, api, "GET", "/stock?sight=north").Code)
	w = get(t, api, "GET", "/stock?site=north")
	require.Equal(t, 200, w.Code)
	require.NoError(t, verdict(api.Document(), w.Body.Bytes()))
}

// Anti-pattern: errors of a type of their own in a document for Salesforce. An
// importer that knows application/json alone refuses the whole document, so
// the errors are left out of it, and a flow gets a text it cannot read.
func TestAntiPatternErrorsTheImporterDoesNotKnow(t *testing.T) {
	imported := map[string]bool{"application/json": true, "text/plain": true, "application/x-www-form-urlencoded": true}
	types := func(p openapi.Profile) (all []string) {
		api := openapi.New("T", "1", &openapi.Options{Profile: p})
		require.NoError(t, openapi.Register(api, "POST /a", "a", does[Line, Line](), nil))
		replies := dig(t, read(t, api.Document()), "paths", "/a", "post", "responses").(map[string]any)
		for _, reply := range replies {
			for mt := range dig(t, reply, "content").(map[string]any) {
				all = append(all, mt)
			}
		}
		return all
	}
	require.Contains(t, types(openapi.Standard), "application/problem+json", "what others are told")
	for _, mt := range types(openapi.ExternalServices) {
		require.True(t, imported[mt], mt)
	}
	api := openapi.New("T", "1", nil)
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/nothing", nil)
	r.Header.Set("Accept", "application/json") // what External Services sends for such a document
	api.ServeHTTP(w, r)
	require.Equal(t, "application/json", w.Header().Get("Content-Type"))
	schema := newJudge(t, api.Document())
	require.NoError(t, schema.judge(schema.schemas["Problem"], read(t, w.Body.Bytes()), false, ""))
}

package openapi_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A judge holds values against the schemas of a document. It knows what this
// package writes and refuses what it does not know, so that no keyword passes
// without being judged.
type judge struct{ schemas map[string]any }

// read decodes JSON with its numbers as they are.
func read(t *testing.T, data []byte) (v any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(string(data)))
	d.UseNumber()
	require.NoError(t, d.Decode(&v), "%s", data)
	return v
}

// at walks down a document.
func dig(t *testing.T, v any, path ...string) any {
	t.Helper()
	for _, p := range path {
		m, ok := v.(map[string]any)
		require.True(t, ok && m[p] != nil, "nothing at %s of %v", p, path)
		v = m[p]
	}
	return v
}

func newJudge(t *testing.T, document []byte) judge {
	return judge{dig(t, read(t, document), "components", "schemas").(map[string]any)}
}

// judge says what is wrong with v. A request may have null where nothing is
// required.
func (j judge) judge(schema, v any, request bool, at string) error {
	s := schema.(map[string]any)
	bad := func(format string, args ...any) error { return fmt.Errorf("%s: %s", at, fmt.Sprintf(format, args...)) }
	for keyword := range s {
		if !slices.Contains([]string{"$ref", "type", "format", "description", "enum", "minimum", "maximum", "items", "minItems", "maxItems", "allOf", "properties", "required", "additionalProperties"}, keyword) {
			return bad("the judge does not know %s", keyword)
		}
	}
	if ref, ok := s["$ref"].(string); ok {
		in, ok := j.schemas[strings.TrimPrefix(ref, "#/components/schemas/")]
		if !ok {
			return bad("%s is nowhere", ref)
		}
		return j.judge(in, v, request, at)
	}
	for _, in := range list(s["allOf"]) {
		if err := j.judge(in, v, request, at); err != nil {
			return err
		}
	}
	if enum, ok := s["enum"].([]any); ok && !slices.Contains(enum, v) {
		return bad("%v is none of %v", v, enum)
	}
	switch s["type"] {
	case nil:
		return nil
	case "boolean":
		if _, ok := v.(bool); !ok {
			return bad("%v is no bool", v)
		}
	case "string":
		text, ok := v.(string)
		if !ok {
			return bad("%v is no string", v)
		}
		var err error
		switch s["format"] {
		case "date-time":
			_, err = time.Parse(time.RFC3339, text)
		case "byte":
			_, err = base64.StdEncoding.DecodeString(text)
		}
		if err != nil {
			return bad("%v", err)
		}
	case "integer", "number":
		n, ok := v.(json.Number)
		if !ok {
			return bad("%v is no number", v)
		}
		return number(s, n, bad)
	case "array":
		items, ok := v.([]any)
		if !ok {
			return bad("%v is no array", v)
		}
		if least, ok := s["minItems"].(json.Number); ok && fmt.Sprint(len(items)) != least.String() {
			return bad("%d items, want %s", len(items), least)
		}
		for i, item := range items {
			if err := j.judge(s["items"], item, request, at+"/"+strconv.Itoa(i)); err != nil {
				return err
			}
		}
	case "object":
		return j.object(s, v, request, at)
	default:
		return bad("the type %v", s["type"])
	}
	return nil
}

func (j judge) object(s map[string]any, v any, request bool, at string) error {
	m, ok := v.(map[string]any)
	if !ok {
		return fmt.Errorf("%s: %v is no object", at, v)
	}
	properties, _ := s["properties"].(map[string]any)
	required := list(s["required"])
	for _, name := range required {
		if _, ok := m[name.(string)]; !ok {
			return fmt.Errorf("%s: lacks %s", at, name)
		}
	}
	for name, in := range m {
		p, known := properties[name]
		more := s["additionalProperties"]
		switch {
		case !known && more != nil:
			p = more
		case !known:
			return fmt.Errorf("%s: %s is unknown", at, name)
		case in == nil && request && !slices.Contains(required, any(name)):
			continue
		}
		if err := j.judge(p, in, request, at+"/"+name); err != nil {
			return err
		}
	}
	return nil
}

func number(s map[string]any, n json.Number, bad func(string, ...any) error) error {
	f, err := n.Float64()
	if err != nil {
		return bad("%v", err)
	}
	if s["type"] == "integer" && strings.ContainsAny(n.String(), ".eE") {
		return bad("%s is no integer", n)
	}
	if s["format"] == "int32" && (f < math.MinInt32 || f > math.MaxInt32) {
		return bad("%s is no int32", n)
	}
	if s["format"] == "int64" {
		if _, err := n.Int64(); err != nil {
			return bad("%s is no int64", n)
		}
	}
	if s["format"] == "float" && math.Abs(f) > math.MaxFloat32 {
		return bad("%s is no float", n)
	}
	for keyword, wrong := range map[string]func(a, b float64) bool{
		"minimum": func(a, b float64) bool { return a < b },
		"maximum": func(a, b float64) bool { return a > b },
	} {
		if limit, ok := s[keyword].(json.Number); ok {
			if l, _ := limit.Float64(); wrong(f, l) {
				return bad("%s past the %s %s", n, keyword, limit)
			}
		}
	}
	return nil
}

func list(v any) []any {
	l, _ := v.([]any)
	return l
}

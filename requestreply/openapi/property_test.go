package openapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/requestreply/openapi"
	"github.com/crosstie/crosstie/requestreply/server"
)

type leaf struct {
	B   bool    `json:"b"`
	I8  int8    `json:"i8"`
	I16 int16   `json:"i16"`
	I32 int32   `json:"i32"`
	I64 int64   `json:"i64"`
	U8  uint8   `json:"u8"`
	U16 uint16  `json:"u16"`
	U32 uint32  `json:"u32"`
	F32 float32 `json:"f32"`
	F64 float64 `json:"f64"`
	S   string  `json:"s" doc:"A text."`
	Q   int64   `json:"q,string"`
}

type strict struct {
	Color  string            `json:"color" enum:"red,blue"`
	Levels []int16           `json:"levels" enum:"1,2,-3"`
	Names  map[string]string `json:"names" enum:"a,b"`
	Bytes  []byte            `json:"bytes"`
	When   time.Time         `json:"when"`
	Pair   [2]float32        `json:"pair"`
	Lists  [][]uint8         `json:"lists"`
	Small  [][]uint16        `json:"small"`
	U32    *uint32           `json:"u32"`
	I64    int64             `json:"i64,omitempty"`
	Tree   Tree[int8]        `json:"tree"`
	Lines  []*Line           `json:"lines"`
}

type common struct {
	ID   string     `json:"id"`
	When time.Time  `json:"when"`
	Addr netip.Addr `json:"addr"`
}

type Tree[T any] struct {
	Value T                  `json:"value"`
	Kids  []Tree[T]          `json:"kids"`
	By    map[string]Tree[T] `json:"by"`
	Up    *Tree[T]           `json:"up"`
}

type everything struct {
	common
	*Line
	Leaf    leaf                     `json:"leaf"`
	Color   string                   `json:"color" enum:"red,blue"`
	Levels  []int16                  `json:"levels" enum:"1,2,-3"`
	Names   map[string]string        `json:"names" enum:"a,b"`
	Bytes   []byte                   `json:"bytes"`
	Pair    [2]leaf                  `json:"pair"`
	Lists   [][]string               `json:"lists"`
	Maps    map[string]map[int]*leaf `json:"maps,omitempty"`
	Tree    *Tree[leaf]              `json:"tree"`
	Texts   Tree[string]             `json:"texts"`
	Any     any                      `json:"any"`
	Raw     json.RawMessage          `json:"raw"`
	Keys    map[int16]string         `json:"keys"`
	Number  json.Number              `json:"number"`
	Took    time.Duration            `json:"took"`
	Inline  struct{ X, Y *int32 }    `json:"inline"`
	Empty   struct{}                 `json:"empty"`
	Opt     *[]map[string]int        `json:"opt"`
	Hidden  int                      `json:"-"`
	Untyped string
}

// fill sets v at random, nil where it may be, and inside the enums.
func fill(r *rand.Rand, v reflect.Value, enum []string, depth int) {
	pick := func() string { return enum[r.IntN(len(enum))] }
	switch x := v.Addr().Interface().(type) {
	case *time.Time:
		*x = time.Unix(r.Int64N(1e10), r.Int64N(1e9)).UTC()
		return
	case *netip.Addr:
		*x = netip.AddrFrom4([4]byte{byte(r.Uint32()), 2, 3, 4})
		return
	case *json.RawMessage:
		*x = json.RawMessage([]string{`{"a":[null,1,"]"]}`, `"\"}"`, `1.5e3`, `[]`}[r.IntN(4)])
		return
	case *json.Number:
		*x = json.Number([]string{"0", "-1.5", "1e30"}[r.IntN(3)])
		return
	case *any:
		*x = []any{nil, "t", 1.5, map[string]any{"n": nil, "l": []any{nil, "a,b"}}}[r.IntN(4)]
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.String:
		if v.SetString([]string{"", "null", `"\/<é` + "\u2028", "a,b:c]}"}[r.IntN(4)]); enum != nil {
			v.SetString(pick())
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if v.SetInt(int64(r.Uint64() >> (64 - v.Type().Bits()))); enum != nil {
			var n int64
			_, _ = fmt.Sscan(pick(), &n)
			v.SetInt(n)
		}
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		v.SetUint(r.Uint64() >> (64 - v.Type().Bits()))
	case reflect.Float32:
		v.SetFloat(float64(float32(r.NormFloat64() * math.MaxFloat32 / 10)))
	case reflect.Float64:
		v.SetFloat(r.NormFloat64() * 1e300)
	case reflect.Pointer:
		if depth > 0 && r.IntN(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(r, v.Elem(), enum, depth-1)
		}
	case reflect.Slice:
		if n := r.IntN(4); n > 0 && depth > 0 {
			v.Set(reflect.MakeSlice(v.Type(), n-1, n))
		}
		for i := range v.Len() {
			if fill(r, v.Index(i), enum, depth-1); v.Index(i).Kind() == reflect.Pointer && v.Index(i).IsNil() {
				v.Index(i).Set(reflect.New(v.Type().Elem().Elem())) // the document has no null
			}
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(r, v.Index(i), enum, depth)
		}
	case reflect.Map:
		if n := r.IntN(4); n > 0 && depth > 0 {
			v.Set(reflect.MakeMap(v.Type()))
			for range n - 1 {
				k, e := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
				fill(r, k, nil, 0)
				if fill(r, e, enum, depth-1); e.Kind() != reflect.Pointer || !e.IsNil() {
					v.SetMapIndex(k, e)
				}
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() || f.Anonymous && f.Type.Kind() == reflect.Struct {
				var values []string
				if tag, ok := f.Tag.Lookup("enum"); ok {
					values = strings.Split(tag, ",")
				}
				if f.IsExported() {
					fill(r, v.Field(i), values, depth-1)
				} else { // its exported fields can be set, it cannot
					for k := range f.Type.NumField() {
						fill(r, v.Field(i).Field(k), nil, depth-1)
					}
				}
			}
		}
	}
}

// echo registers an operation that answers with what it was asked, and
// returns how to call it.
func echo[T any](t *testing.T, api *openapi.API, id string) (call func(body []byte) (int, []byte), value func(T) []byte) {
	t.Helper()
	var give T
	require.NoError(t, openapi.Register(api, "POST /"+id, id, func(_ context.Context, v T) (T, error) { return v, nil }, nil))
	require.NoError(t, openapi.Register(api, "GET /"+id, id+"Get", func(context.Context, struct{}) (T, error) { return give, nil }, nil))
	ask := func(method string, body []byte) (int, []byte) {
		r := httptest.NewRequest(method, "/"+id, bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		data, err := io.ReadAll(w.Body)
		require.NoError(t, err)
		return w.Code, data
	}
	return func(body []byte) (int, []byte) { return ask("POST", body) }, func(v T) []byte {
		give = v
		code, data := ask("GET", nil)
		require.Equal(t, 200, code, "%s", data)
		return data
	}
}

// What is answered is what the document says; asked again it is taken, and
// comes back as it was. What the document refuses the server refuses; what the
// server refuses the document does, unless a type reads texts by itself.
func conform[T any](t *testing.T, seeds uint64, texts bool) {
	t.Helper()
	api := openapi.New("Echo", "1", &openapi.Options{Server: &server.Options{MaxBody: -1}})
	call, answer := echo[T](t, api, "echo")
	j := newJudge(t, api.Document())
	op := dig(t, read(t, api.Document()), "paths", "/echo", "post")
	request := dig(t, op, "requestBody", "content", "application/json", "schema")
	reply := dig(t, op, "responses", "200", "content", "application/json", "schema")
	for seed := range soak(seeds) {
		r := rand.New(rand.NewPCG(seed, 7))
		var v T
		fill(r, reflect.ValueOf(&v).Elem(), nil, 4)
		data := answer(v)
		require.NoError(t, j.judge(reply, read(t, data), false, ""), "seed %d: %s", seed, data)
		code, again := call(data)
		require.Equal(t, http.StatusOK, code, "seed %d: %s\n%s", seed, data, again)
		require.Equal(t, string(data), string(again), "seed %d", seed)

		// Both say the same of a request in which something is wrong.
		for range 20 {
			bent := bend(r, read(t, data))
			body, err := json.Marshal(bent)
			require.NoError(t, err)
			verdict := j.judge(request, read(t, body), true, "")
			code, why := call(body)
			if texts && verdict == nil && code == http.StatusBadRequest {
				continue
			}
			require.Equal(t, verdict == nil, code == http.StatusOK, "seed %d: %v\n%s\n%s", seed, verdict, why, body)
		}
	}
}

// soak is how many there are of n cases, more for make soak.
func soak(n uint64) uint64 {
	if os.Getenv("CROSSTIE_SOAK") != "" {
		return 50 * n
	}
	return n
}

// bend changes one place of a value.
func bend(r *rand.Rand, v any) any {
	switch x := v.(type) {
	case map[string]any:
		if len(x) == 0 || r.IntN(8) == 0 {
			break
		}
		keys := slices.Sorted(maps.Keys(x))
		k := keys[r.IntN(len(keys))]
		switch r.IntN(8) {
		case 0:
			delete(x, k)
		case 1:
			x["never heard of"] = true
		default:
			x[k] = bend(r, x[k])
		}
		return x
	case []any:
		if len(x) == 0 || r.IntN(8) == 0 {
			break
		}
		if i := r.IntN(len(x) + 1); i == len(x) {
			return x[1:]
		} else {
			x[i] = bend(r, x[i])
		}
		return x
	}
	return []any{
		nil, true, "text", "red", "", map[string]any{}, []any{}, []any{nil}, json.Number("0"), json.Number("-1"), json.Number("2"), json.Number("256"),
		json.Number("2147483648"), json.Number("9223372036854775808"), json.Number("1.5"), json.Number("1e39"), "2026-01-02T03:04:05Z", "AAAA", map[string]any{"1": nil},
	}[r.IntN(19)]
}

func TestDocumentAndServerAgree(t *testing.T) {
	t.Run("everything", func(t *testing.T) { conform[everything](t, 8, true) })
	t.Run("no texts", func(t *testing.T) { conform[strict](t, 25, false) })
	t.Run("a list", func(t *testing.T) { conform[[]leaf](t, 8, true) })
	t.Run("a map", func(t *testing.T) { conform[map[string][]*leaf](t, 8, true) })
	t.Run("a pointer", func(t *testing.T) { conform[Tree[*Line]](t, 15, false) })
	t.Run("a text", func(t *testing.T) { conform[string](t, 20, false) })
	t.Run("any", func(t *testing.T) { conform[[]any](t, 50, false) })
}

// randomType makes a type of whatever may be in a request or an answer.
func randomType(r *rand.Rand, depth int) reflect.Type {
	leaves := []reflect.Type{
		reflect.TypeFor[bool](), reflect.TypeFor[string](), reflect.TypeFor[int](), reflect.TypeFor[int8](), reflect.TypeFor[uint32](),
		reflect.TypeFor[float32](), reflect.TypeFor[float64](), reflect.TypeFor[[]byte](), reflect.TypeFor[time.Time](), reflect.TypeFor[netip.Addr](),
		reflect.TypeFor[json.Number](), reflect.TypeFor[leaf](), reflect.TypeFor[common](), reflect.TypeFor[Tree[int8]](), reflect.TypeFor[any](),
	}
	if depth == 0 {
		return leaves[r.IntN(len(leaves))]
	}
	switch r.IntN(8) {
	case 0:
		return reflect.SliceOf(randomType(r, depth-1))
	case 1:
		return reflect.ArrayOf(r.IntN(3), randomType(r, depth-1))
	case 2:
		return reflect.MapOf([]reflect.Type{reflect.TypeFor[string](), reflect.TypeFor[uint8]()}[r.IntN(2)], randomType(r, depth-1))
	case 3:
		return leaves[r.IntN(len(leaves))]
	}
	var fields []reflect.StructField
	for i := range 1 + r.IntN(5) {
		f := reflect.StructField{Name: "F" + string(rune('A'+i)), Type: randomType(r, depth-1)}
		name := []string{"", "name" + string(rune('A'+i)), "same"}[r.IntN(3)]
		f.Tag = reflect.StructTag(`json:"` + name + []string{"", ",omitempty", ",omitzero", ",string"}[r.IntN(4)] + `" doc:"Something."`)
		if r.IntN(4) == 0 {
			f.Type = reflect.PointerTo(f.Type)
		}
		if r.IntN(6) == 0 {
			f.Type, f.Anonymous, f.Tag = []reflect.Type{reflect.TypeFor[Line](), reflect.TypeFor[Receipt]()}[i%2], true, ""
		}
		fields = append(fields, f)
	}
	return reflect.StructOf(fields)
}

// For any type: what it encodes to is what its schema says, and reads back.
func TestSchemasOfRandomTypes(t *testing.T) {
	tried := 0
	for seed := range soak(150) {
		r := rand.New(rand.NewPCG(seed, 3))
		typ := randomType(r, 3)
		api := openapi.New("T", "1", &openapi.Options{Profile: openapi.Profile(seed % 2)})
		in, findings := openapi.Describe(api, typ)
		if len(findings) > 0 { // "same" and "Same", and the like
			continue
		}
		tried++
		text, err := json.Marshal(in)
		require.NoError(t, err)
		schema := dig(t, read(t, text), "schema")
		j := newJudge(t, api.Document())
		for range 5 {
			v := reflect.New(typ)
			fill(r, v.Elem(), nil, 4)
			data, err := openapi.Encode(api, v.Elem().Interface(), typ)
			if err != nil {
				require.ErrorContains(t, err, "is nil, and the document has no null", "seed %d: %s", seed, typ)
				continue
			}
			require.NoError(t, j.judge(schema, read(t, data), false, ""), "seed %d: %s\n%s\n%s", seed, typ, text, data)
			back := reflect.New(typ)
			require.NoError(t, json.Unmarshal(data, back.Interface()), "seed %d: %s\n%s", seed, typ, data)
			again, err := openapi.Encode(api, back.Elem().Interface(), typ)
			require.NoError(t, err)
			require.NoError(t, j.judge(schema, read(t, again), false, ""), "seed %d: %s", seed, typ)
		}
	}
	require.Greater(t, tried, 100)
}

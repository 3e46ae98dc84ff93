package shape_test

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/internal/shape"
)

type inner struct {
	ID   string `json:"id"`
	Note string
	deep
}

type deep struct {
	Deep int
	ID   string `json:"id"` // hidden by inner's
}

type Left struct{ Both, OnlyLeft int }
type Right struct{ Both, OnlyRight int }
type Tagged struct {
	Other int `json:"Both"`
}
type Loop struct {
	*Loop
	Own int
}
type Word string

func namesOf(t reflect.Type) []string {
	var names []string
	for _, m := range shape.ObjectOf(t).Members {
		names = append(names, m.Name)
	}
	return names
}

// What encoding/json writes of a value without omitempty is what ObjectOf says.
func TestMembersAreThoseOfEncodingJSON(t *testing.T) {
	for _, v := range []any{
		inner{},
		struct {
			Left
			Right
		}{},
		struct {
			Left
			Right
			Tagged
		}{},
		struct {
			Left  `json:"left"`
			Right Right
		}{},
		struct {
			*inner
			hidden int
			Word
			A int `json:"-"`
			D int `json:"a b"`
			E int `json:",string"`
		}{inner: &inner{}},
		struct {
			A struct{ Left }
			Left
			Twice struct {
				Left
				Right
			}
		}{},
		Loop{},
	} {
		data, err := json.Marshal(v)
		require.NoError(t, err)
		var m map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(data, &m))
		require.ElementsMatch(t, slices.Collect(maps.Keys(m)), namesOf(reflect.TypeOf(v)), "%s", data)
	}
}

func TestMembersOfRandomStructs(t *testing.T) {
	names := []string{"", "a", "A", "b,omitempty", "-", "a,string", "c d", "-,", `q"`}
	var build func(r *rand.Rand, depth int) reflect.Type
	build = func(r *rand.Rand, depth int) reflect.Type {
		var fields []reflect.StructField
		for i, n := range []string{"A", "B", "C"}[:1+r.IntN(3)] {
			f := reflect.StructField{Name: n, Type: []reflect.Type{reflect.TypeFor[int](), reflect.TypeFor[string](), reflect.TypeFor[[]int]()}[r.IntN(3)]}
			if tag := names[r.IntN(len(names))]; tag != "" {
				f.Tag = reflect.StructTag(`json:"` + tag + `"`)
			}
			if depth < 2 && r.IntN(3) == 0 {
				f.Type, f.Name, f.Anonymous = build(r, depth+1), "E"+string(rune('0'+i)), true
				if r.IntN(2) == 0 {
					f.Tag = ""
				}
			}
			fields = append(fields, f)
		}
		return reflect.StructOf(fields)
	}
	for seed := range uint64(2000) {
		typ := build(rand.New(rand.NewPCG(seed, 1)), 0)
		data, err := json.Marshal(reflect.New(typ).Elem().Interface())
		require.NoError(t, err)
		var m map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(data, &m))
		for _, member := range shape.ObjectOf(typ).Members {
			if _, there := m[member.Name]; !there {
				require.True(t, member.Optional, "seed %d: %s lacks %s: %s", seed, typ, member.Name, data)
			}
			delete(m, member.Name)
		}
		require.Empty(t, m, "seed %d: %s", seed, typ)
	}
}

func TestWhatMayBeMissing(t *testing.T) {
	type T struct {
		Value   int
		Pointer *int
		Any     any
		Empty   []int     `json:",omitempty"`
		Zero    time.Time `json:",omitzero"`
		List    []int
		*Tagged
	}
	var optional []string
	for _, m := range shape.ObjectOf(reflect.TypeFor[T]()).Members {
		if m.Optional {
			optional = append(optional, m.Name)
		}
	}
	require.Equal(t, []string{"Pointer", "Any", "Empty", "Zero", "Both"}, optional)
}

func TestPartsThatCannotBeRead(t *testing.T) {
	for _, c := range []struct {
		v    any
		want string
	}{
		{struct {
			A string `path:"a"`
			B string
		}{}, "the field B has no place, others have: tag it path, query, header or body"},
		{struct {
			a string `path:"a"`
		}{}, "the field a is not exported, so nothing can be read into it"},
		{struct {
			A *string `path:"a"`
		}{}, "the field A: a part of the path is always there: take omitempty and pointer away"},
		{struct {
			A string `query:"a"`
			B string `query:"a"`
		}{}, `the fields A and B are the same query parameter "a"`},
		{struct {
			A string `header:"x-a"`
			B string `header:"X-A"`
		}{}, `the fields A and B are the same header parameter "X-A"`},
		{struct {
			A string `header:"x a"`
		}{}, `the field A: "x a" is not the name of a header (RFC 9110 §5.1)`},
		{struct {
			A string `query:"a,optional"`
		}{}, `the field A: the tag query has the option "optional": the only one is omitempty`},
		{struct {
			A string `query:""`
		}{}, "the field A: the tag query names no parameter"},
		{struct {
			A map[string]int `query:"a"`
		}{}, "the field A: a query parameter is a text, a number, a bool, or has UnmarshalText; in the query also a list of these"},
		{struct {
			A []string `header:"a"`
		}{}, "the field A: a header parameter is a text, a number, a bool, or has UnmarshalText; in the query also a list of these"},
		{struct {
			A int `body:"xml"`
		}{}, `the field A: the tag body must say how: body:"json"`},
		{struct {
			A int `body:"json"`
			B int `body:"json"`
		}{}, "the fields A and B are both the body"},
	} {
		_, err := shape.PartsOf(reflect.TypeOf(c.v))
		require.EqualError(t, err, c.want)
	}
}

func TestPartsOfEmbeddedStructs(t *testing.T) {
	type Paging struct {
		Limit int `query:"limit,omitempty"`
	}
	type Req struct {
		Paging
		From netip.Addr `header:"From-Addr"`
		Body *int       `body:"json"`
	}
	p, err := shape.PartsOf(reflect.TypeFor[Req]())
	require.NoError(t, err)
	require.Len(t, p.Params, 2)
	var req Req
	for _, q := range p.Params {
		require.NoError(t, q.Set(reflect.ValueOf(&req).Elem(), []string{map[string]string{"limit": "7", "From-Addr": "::1"}[q.Name]}))
	}
	require.Equal(t, 7, req.Limit)
	require.Equal(t, netip.IPv6Loopback(), req.From)
	require.Equal(t, "Body", p.Body.Name)
}

func FuzzSet(f *testing.F) {
	type All struct {
		S string    `query:"s"`
		B bool      `query:"b"`
		I int8      `query:"i"`
		U uint16    `query:"u"`
		F float32   `query:"f"`
		P *int64    `query:"p"`
		L []int     `query:"l"`
		T time.Time `query:"t"`
		E string    `query:"e" enum:"a,b"`
	}
	p, err := shape.PartsOf(reflect.TypeFor[All]())
	require.NoError(f, err)
	for _, s := range []string{"", "true", "-128", "65536", "1e39", "NaN", "2026-01-02T03:04:05Z", "a", "0x10", "1_000", " 1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, q := range p.Params {
			var v All
			if q.Set(reflect.ValueOf(&v).Elem(), []string{s}) != nil {
				continue
			}
			// What was read is JSON of the kind it is called.
			_, err := json.Marshal(v)
			require.NoError(t, err, "%s", q.Name)
		}
	})
}

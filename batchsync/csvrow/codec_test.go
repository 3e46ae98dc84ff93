package csvrow_test

import (
	"bytes"
	"database/sql/driver"
	"encoding/json"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/batchsync/csvrow"
)

type code string

type every struct {
	S   string                `csv:"s"`
	C   code                  `csv:"c"`
	B   bool                  `csv:"b"`
	I   int64                 `csv:"i"`
	I8  int8                  `csv:"i8"`
	U   uint64                `csv:"u"`
	F   float64               `csv:"f"`
	F32 float32               `csv:"f32"`
	R   []byte                `csv:"r"`
	T   time.Time             `csv:"t"`
	D   time.Time             `csv:"d" layout:"2006-01-02"`
	A   netip.Addr            `csv:"a"`
	PS  *string               `csv:"ps"`
	PI  *int                  `csv:"pi"`
	OS  csvrow.Opt[string]    `csv:"os"`
	OI  csvrow.Opt[int64]     `csv:"oi"`
	OT  csvrow.Opt[time.Time] `csv:"ot"`
	Not chan int              `csv:"-"`
}

func TestRoundTripOfEveryType(t *testing.T) {
	at := time.Date(2026, 2, 3, 4, 5, 6, 7, time.UTC)
	a := every{
		S: "x", C: "00042", B: true, I: math.MinInt64, I8: -128, U: math.MaxUint64, F: 12345678.9, F32: 0.1,
		R: []byte("\xff\x00"), T: at, D: time.Date(2026, 2, 3, 0, 0, 0, 0, time.UTC), A: netip.MustParseAddr("::1"),
		PS: new(""), PI: new(0), OS: csvrow.Some(""), OI: csvrow.Some[int64](-1), OT: csvrow.Some(at),
	}
	b := every{I: math.MaxInt64, F: math.MaxFloat64, F32: math.SmallestNonzeroFloat32, R: []byte{}, T: at, D: a.D, A: a.A,
		PS: nil, PI: nil, OS: csvrow.Null[string](), OI: csvrow.Null[int64](), OT: csvrow.Null[time.Time]()}
	c := b
	c.OS, c.OI, c.OT = csvrow.Opt[string]{}, csvrow.Opt[int64]{}, csvrow.Opt[time.Time]{}
	for _, null := range []string{"", "#N/A"} {
		o := &csvrow.Options{Null: null}
		want := []every{a, b, c}
		if null == "" {
			want = want[:2]
		}
		var out bytes.Buffer
		w, err := csvrow.NewWriter[every](&out, o)
		require.NoError(t, err)
		for _, v := range want {
			require.NoError(t, w.Write(v))
		}
		require.NoError(t, w.Flush())
		require.NotContains(t, out.String(), "e+")
		got := rows(t, source[every](out.String(), o))
		require.Len(t, got, len(want))
		for i, r := range got {
			require.NoError(t, r.Err)
			require.Equal(t, want[i], r.Value)
		}
	}
}

func TestTriState(t *testing.T) {
	type opt struct {
		ID string             `csv:"id"`
		S  csvrow.Opt[string] `csv:"s,optional"`
		N  csvrow.Opt[int]    `csv:"n,optional"`
		P  *string            `csv:"p,optional"`
	}
	show := func(text, null string) string {
		r := rows(t, source[opt](text, &csvrow.Options{Null: null}))[0]
		require.NoError(t, r.Err)
		p := "nil"
		if r.Value.P != nil {
			p = "text " + *r.Value.P
		}
		return strings.Join([]string{r.Value.S.String(), r.Value.N.String(), p}, "; ")
	}
	require.Equal(t, "absent; absent; nil", show("id\n1\n", ""))
	require.Equal(t, "null; null; nil", show("id,s,n,p\n1,,,\n", ""))
	require.Equal(t, "; null; text ", show("id,s,n,p\n1,\"\",\"\",\"\"\n", ""))
	require.Equal(t, "#N/A; 7; text #N/A", show("id,s,n,p\n1,#N/A,7,#N/A\n", ""))
	require.Equal(t, "absent; absent; nil", show("id,s,n,p\n1,,,\n", "#N/A"))
	require.Equal(t, "; absent; text ", show("id,s,n,p\n1,\"\",\"\",\"\"\n", "#N/A"))
	require.Equal(t, "null; null; nil", show("id,s,n,p\n1,#N/A,\"#N/A\",#N/A\n", "#N/A"))

	type plain struct {
		A int    `csv:"a"`
		S string `csv:"s"`
	}
	got := rows(t, source[plain]("a,s\n#N/A,x\n1,#N/A\n1,\n", &csvrow.Options{Null: "#N/A"}))
	require.ErrorContains(t, got[0].Err, `column "a": the cell is null`)
	require.ErrorContains(t, got[1].Err, `column "s": the cell is null`)
	require.NoError(t, got[2].Err)
}

func TestWriterRefusesWhatWouldReadBackAsAnother(t *testing.T) {
	type row struct {
		A string             `csv:"a"`
		O csvrow.Opt[string] `csv:"o"`
		F float64            `csv:"f"`
	}
	var out bytes.Buffer
	w, err := csvrow.NewWriter[row](&out, &csvrow.Options{Null: "#N/A"})
	require.NoError(t, err)
	require.ErrorContains(t, w.Write(row{A: "#N/A"}), `row 1: column "a"`)
	require.ErrorContains(t, w.Write(row{F: math.NaN()}), `column "f"`)
	require.NoError(t, w.Write(row{A: "ok"}))
	w2, err := csvrow.NewWriter[row](&out, nil)
	require.NoError(t, err)
	require.ErrorContains(t, w2.Write(row{}), "absent")
	require.NoError(t, w.Flush())
	require.Equal(t, "a,o,f\nok,,0\n", out.String())
}

func TestOneColumnRowsDoNotVanish(t *testing.T) {
	type one struct {
		Name string `csv:"Name"`
	}
	type oneOpt struct {
		Name *string `csv:"Name"`
	}
	var out bytes.Buffer
	w, err := csvrow.NewWriter[one](&out, nil)
	require.NoError(t, err)
	for _, s := range []string{"a", "", "b", ""} {
		require.NoError(t, w.Write(one{s}))
	}
	require.NoError(t, w.Flush())
	require.Equal(t, "Name\na\n\"\"\nb\n\"\"\n", out.String())
	require.Len(t, rows(t, source[one](out.String(), nil)), 4)
	require.Len(t, rows(t, source[one]("Name\na\n\nb\n\n", nil)), 4)
	got := rows(t, source[oneOpt]("Name\r\na\r\n\r\n\"\"\r\n", nil))
	require.Len(t, got, 3)
	require.Nil(t, got[1].Value.Name)
	require.Equal(t, "", *got[2].Value.Name)
}

func TestHeaderIsWrittenOnce(t *testing.T) {
	var out bytes.Buffer
	w, err := csvrow.NewWriter[texts](&out, nil)
	require.NoError(t, err)
	require.NoError(t, w.Flush())
	require.Equal(t, "a,b\n", out.String())
	for range 2 {
		require.NoError(t, w.Write(texts{"1", "2"}))
		require.NoError(t, w.Flush())
	}
	require.Equal(t, "a,b\n1,2\n1,2\n", out.String())
}

func TestSpreadsheetSafeIsForPeopleOnly(t *testing.T) {
	type row struct {
		A string `csv:"a"`
		N int    `csv:"n"`
	}
	write := func(o *csvrow.Options, a string) string {
		var out bytes.Buffer
		w, err := csvrow.NewWriter[row](&out, o)
		require.NoError(t, err)
		require.NoError(t, w.Write(row{a, -1}))
		require.NoError(t, w.Flush())
		return strings.TrimPrefix(out.String(), "a,n\n")
	}
	for _, a := range []string{"=1+1", "+1", "-1", "@x", "\tx", "\rx", "\x00x"} {
		safe := write(&csvrow.Options{SpreadsheetSafe: true}, a)
		require.Contains(t, safe, "'"+a)
		require.NotContains(t, write(nil, a), "'")
		require.Contains(t, safe, ",-1\n", "a number stays a number")
	}
	require.Equal(t, "x,-1\n", write(&csvrow.Options{SpreadsheetSafe: true}, "x"))
}

func TestOptInJSONAndSQL(t *testing.T) {
	type doc struct {
		A csvrow.Opt[int]    `json:"a,omitzero"`
		B csvrow.Opt[int]    `json:"b,omitzero"`
		C csvrow.Opt[string] `json:"c,omitzero"`
	}
	in := doc{B: csvrow.Null[int](), C: csvrow.Some("x")}
	b, err := json.Marshal(in)
	require.NoError(t, err)
	require.JSONEq(t, `{"b":null,"c":"x"}`, string(b))
	var out doc
	require.NoError(t, json.Unmarshal(b, &out))
	require.Equal(t, in, out)
	require.Error(t, json.Unmarshal([]byte(`{"a":"x"}`), &out))

	v, err := in.C.Value()
	require.NoError(t, err)
	require.Equal(t, driver.Value("x"), v)
	v, err = in.B.Value()
	require.NoError(t, err)
	require.Nil(t, v)
	_, err = in.A.Value()
	require.Error(t, err)
	var s csvrow.Opt[int64]
	require.NoError(t, s.Scan(int64(7)))
	require.Equal(t, csvrow.Some[int64](7), s)
	require.NoError(t, s.Scan(nil))
	require.True(t, s.IsNull())
	n, ok := s.Load()
	require.False(t, ok)
	require.Zero(t, n)
	require.Error(t, s.Scan("x"))
}

// To a reader that takes an empty cell for nothing said, an empty text must
// not look like one.
func TestEmptyNull(t *testing.T) {
	type item struct {
		A string
		B csvrow.Opt[string]
		C *string
		D int
	}
	empty := ""
	write := func(o *csvrow.Options, v item) string {
		var b strings.Builder
		w, err := csvrow.NewWriter[item](&b, o)
		require.NoError(t, err)
		require.NoError(t, w.Write(v))
		require.NoError(t, w.Flush())
		_, row, _ := strings.Cut(b.String(), "\n")
		return strings.TrimSuffix(row, "\n")
	}
	o := &csvrow.Options{Null: "#N/A", EmptyNull: true}
	require.Equal(t, "#N/A,#N/A,#N/A,0", write(o, item{B: csvrow.Some(""), C: &empty}))
	require.Equal(t, "#N/A,#N/A,#N/A,0", write(o, item{B: csvrow.Null[string]()}))
	require.Equal(t, "x,,#N/A,0", write(o, item{A: "x"}), "what is absent stays absent")
	require.Equal(t, `,"","",0`, write(&csvrow.Options{Null: "#N/A"}, item{B: csvrow.Some(""), C: &empty}))

	_, err := csvrow.NewWriter[item](&strings.Builder{}, &csvrow.Options{EmptyNull: true})
	require.ErrorContains(t, err, "needs Options.Null")
}

package bulk

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/batchsync"
	"github.com/crosstie/crosstie/batchsync/csvrow"
	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/salesforce"
)

// What an org answers is foreign bytes: whatever comes, it is rows or an error.
func FuzzReadResults(f *testing.F) {
	f.Add([]byte("\"sf__Id\",\"sf__Created\",\"K__c\",\"Name\"\n\"01t\",\"true\",\"a\",\"x \"\"y\"\"\n\"\n"))
	f.Add([]byte("\ufeffsf__Id,sf__Error,k__C,name\n,REQUIRED_FIELD_MISSING:Required fields are missing: [Name]:Name --,a,\n"))
	f.Add([]byte("K__c,Name\na,\"cut"))
	f.Add([]byte("K__c\na\n"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		err := readResults(bytes.NewReader(b), "750", []string{"K__c", "Name"}, func(_ string, cells []string, r batchsync.Result) {
			require.Len(t, cells, 2)
			require.True(t, r.Verdict == batchsync.Failed == (r.Err != nil))
			if r.Err != nil {
				require.NotEqual(t, outcome.Applied, outcome.Of(r.Err))
			}
			n++
		})
		// Never more rows than lines.
		require.LessOrEqual(t, n, bytes.Count(b, []byte("\n"))+1)
		if err != nil {
			_, said := outcome.Transient(err)
			require.True(t, said)
		}
	})
}

// An endless source has no end of its row; it fails a test that reads on.
type endless struct{ read int }

func (e *endless) Read(b []byte) (int, error) {
	if e.read += len(b); e.read > 256<<20 {
		return 0, io.EOF
	}
	for i := range b {
		b[i] = 'x'
	}
	return len(b), nil
}

func TestAListWhoseRowHasNoEnd(t *testing.T) {
	for name, head := range map[string]string{"its header": `"sf__Id`, "a cell": "sf__Id,sf__Error,K__c\n,\"", "a line": "sf__Id,sf__Error,K__c\n,"} {
		src := &endless{}
		err := readResults(io.MultiReader(strings.NewReader(head), src), "750", []string{"K__c"}, func(string, []string, batchsync.Result) {})
		require.ErrorIs(t, err, errList, name)
		require.ErrorContains(t, err, "longer than", name)
		require.Less(t, src.read, 64<<20, name)
	}
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A list that tells of one row for ever is kept once.
func TestAListThatRepeatsItself(t *testing.T) {
	const head, row = "sf__Id,sf__Error,K__c\n", ",ODD:no:--,a\n"
	org, err := salesforce.New("https://acme.my.salesforce.com", salesforce.StaticToken("x"), &salesforce.Options{
		Client: &http.Client{Transport: transport(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"text/csv"}},
				Body: io.NopCloser(strings.NewReader(head + strings.Repeat(row, 10_000)))}, nil
		})},
	})
	require.NoError(t, err)
	w := &write{org: org, lines: make([]line, 2)}
	rows, err := w.list(t.Context(), "750", "/failedResults", 1, []string{"K__c"}, func([]string) int { return 1 })
	require.NoError(t, err)
	require.Len(t, rows, 1)
	require.Equal(t, 1, rows[0].at)
}

func TestRowErrorsAreTame(t *testing.T) {
	e := parseRowError("750", "ODD:no\n01t: all is well\u2028"+strings.Repeat("x", 1<<20)+":"+strings.Repeat("F\u0001 ", 1<<16)+"--")
	require.Equal(t, "ODD", e.Code)
	require.Less(t, len(e.Error()), 4<<10)
	require.False(t, strings.ContainsFunc(e.Error(), func(r rune) bool { return r < ' ' || r == 0x2028 }))
	require.Less(t, len(parseRowError("750", strings.Repeat("x", 1<<20)).Error()), 4<<10)
}

func TestRowErrors(t *testing.T) {
	for _, c := range []struct{ cell, code, message, fields, text string }{
		{"REQUIRED_FIELD_MISSING:Required fields are missing: [Name]:Name --", "REQUIRED_FIELD_MISSING", "Required fields are missing: [Name]", "Name", "REQUIRED_FIELD_MISSING: Required fields are missing: [Name] (fields Name; job 750)"},
		{"UNABLE_TO_LOCK_ROW:busy: 001:--", "UNABLE_TO_LOCK_ROW", "busy: 001", "", "UNABLE_TO_LOCK_ROW: busy: 001 (job 750)"},
		{"X:a:b c --", "X", "a", "b c", "X: a (fields b c; job 750)"},
		{"no code at all", "", "no code at all", "", "no code at all (job 750)"},
		{"lower:case", "", "lower:case", "", "lower:case (job 750)"},
		{"", "", "", "", " (job 750)"},
	} {
		e := parseRowError("750", c.cell)
		require.Equal(t, c.code, e.Code)
		require.Equal(t, c.message, e.Message)
		require.Equal(t, c.fields, strings.Join(e.Fields, " "))
		require.Equal(t, c.text, e.Error())
	}
	require.True(t, parseRowError("", "UNABLE_TO_LOCK_ROW:x:--").Transient())
	require.False(t, parseRowError("", "DUPLICATE_VALUE:x:--").Transient())
	require.Equal(t, outcome.Unknown, parseRowError("", "UNKNOWN_EXCEPTION:x:--").Outcome())
	require.Equal(t, outcome.Refused, parseRowError("", "who knows").Outcome())
}

// split takes apart what csvrow puts together, cell by cell, as encoding/csv
// does where that is known to be right.
func FuzzSplit(f *testing.F) {
	f.Add("a", "b,c", `d"e`, "f\ng")
	f.Add("", `""`, ",", "\"\n\"")
	f.Fuzz(func(t *testing.T, a, b, c, d string) {
		type row struct{ A, B, C, D string }
		var buf strings.Builder
		w, err := csvrow.NewWriter[row](&buf, nil)
		require.NoError(t, err)
		if w.Write(row{a, b, c, d}) != nil {
			t.Skip() // not UTF-8
		}
		require.NoError(t, w.Flush())
		_, text, _ := strings.Cut(buf.String(), "\n")
		cells, err := split(nil, strings.TrimSuffix(text, "\n"))
		require.NoError(t, err)
		require.Equal(t, []string{a, b, c, d}, cells)
		if !strings.Contains(text, "\r\n") { // which encoding/csv changes
			want, err := csv.NewReader(strings.NewReader(text)).Read()
			require.NoError(t, err)
			require.Equal(t, want, cells)
		}
	})
}

func TestSplitRefusesWhatNoWriterWrites(t *testing.T) {
	for _, text := range []string{`"a`, `"a"b`, `"a""`, `x,"`} {
		_, err := split(nil, text)
		require.Error(t, err, text)
	}
}

func TestEqualByType(t *testing.T) {
	for _, c := range []struct {
		kind  string
		scale int
		cell  string
		raw   string
		want  bool
	}{
		{"string", 0, "a", `"a"`, true}, {"string", 0, "a", `"A"`, false}, {"string", 0, " a ", `"a"`, true},
		{"string", 0, "#N/A", `null`, true}, {"string", 0, "#N/A", `""`, true}, {"string", 0, "#N/A", `"x"`, false}, {"string", 0, " ", `null`, true},
		{"double", 2, "1.5", `1.50`, true}, {"double", 2, "12345678.9", `1.23456789E7`, true}, {"double", 2, "1.004", `1.0`, true}, {"double", 2, "1.006", `1.0`, false},
		{"double", 0, "0", `null`, false}, {"double", 0, "#N/A", `0`, false}, {"double", 2, "1e999999999", `1`, false}, {"double", 2, "1e-999999999", `0`, true},
		{"currency", 2, "-0.001", `0.0`, true}, {"int", 0, "9007199254740993", `9007199254740993`, true}, {"int", 0, "9007199254740993", `9007199254740992`, false},
		{"boolean", 0, "TRUE", `true`, true}, {"boolean", 0, "#N/A", `false`, true}, {"boolean", 0, "false", `true`, false},
		{"datetime", 0, "2024-02-29T12:00:00.999Z", `"2024-02-29T12:00:00.000+0000"`, true}, {"datetime", 0, "2024-02-29T12:00:00Z", `"2024-02-29T12:00:01.000+0000"`, false},
		{"datetime", 0, "soon", `"soon"`, false}, {"date", 0, "2024-02-29", `"2024-02-29"`, true},
		{"reference", 0, "001000000000001", `"001000000000001AAA"`, true}, {"reference", 0, "001", `"001000000000001AAA"`, false},
		{"address", 0, "x", `{"city":"x"}`, false},
	} {
		got := equal(salesforce.Field{Type: c.kind, Scale: c.scale}, c.cell, json.RawMessage(c.raw))
		require.Equal(t, c.want, got, "%s %q %s", c.kind, c.cell, c.raw)
	}
	parent := record{"Rel__r": json.RawMessage(`{"Code__c":"x","attributes":{}}`), "None__r": json.RawMessage(`null`)}
	require.Equal(t, "x", parent.text("rel__R.code__C"))
	require.Equal(t, "", parent.text("None__r.Code__c"))
	require.Equal(t, "", parent.text("Gone__r.Code__c"))
}

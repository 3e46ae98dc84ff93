package csvrow_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/batchsync"
	"github.com/crosstie/crosstie/batchsync/csvrow"
)

type three struct {
	A string `csv:"a"`
	B string `csv:"b"`
	C string `csv:"c"`
}

// FuzzReader holds the reader against encoding/csv on what both accept.
func FuzzReader(f *testing.F) {
	for _, s := range []string{
		"1,2,3\n", "1,2,3", "\"a\"\"b\",\"c\nd\",e\r\n", ",,\n", "\n\n1,2,3\n\n", "\"x", "a\"b,c,d\n",
		"\"a\"b,c,d\n1,2,3\n", "1,2\n1,2,3,4\n", "\"\r\n\",\"\",\r\n", "1,2,3\r", "\"a\r\",b,\"c\"\r", "\x00,\xff,3\n",
		"\"a\n\n\"\"\nb\",2,3\n", "\"\"\"\"\"\",x,y",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		text := "a,b,c\n" + body
		ours := rows(t, source[three](text, nil))
		for i, r := range ours {
			if r.Err != nil {
				e, ok := errors.AsType[*csvrow.RowError](r.Err)
				require.True(t, ok, "row %d: %v", i, r.Err)
				require.GreaterOrEqual(t, e.Line, 2)
			}
		}
		resumed(t, text, ours)

		std := csv.NewReader(strings.NewReader(text))
		want, err := std.ReadAll()
		if err != nil || !utf8.ValidString(body) {
			return
		}
		require.Len(t, ours, len(want)-1)
		for i, r := range ours {
			require.NoError(t, r.Err)
			got := []string{r.Value.A, r.Value.B, r.Value.C}
			for j := range got { // encoding/csv rewrites CRLF inside quotes
				got[j] = strings.ReplaceAll(got[j], "\r\n", "\n")
			}
			require.Equal(t, want[i+1], got)
		}
	})
}

// resumed reads the text again from every position it gives out.
func resumed(t *testing.T, text string, want []batchsync.Row[three]) {
	src := source[three](text, &csvrow.Options{PageRows: 1})
	at, n := "", 0
	for {
		done := false
		for p, err := range src.Pages(context.Background(), at) {
			require.NoError(t, err)
			for _, r := range p.Rows {
				require.Equal(t, want[n], r)
				n++
			}
			at, done = p.Next, p.Done
			break
		}
		if done {
			break
		}
	}
	require.Len(t, want, n)
}

// FuzzRoundTrip writes any three texts and reads them back.
func FuzzRoundTrip(f *testing.F) {
	f.Add("", "a\"b", "c\r\nd,e")
	f.Add(" x", "\\.", "\r")
	f.Add("\u0085", "\u00a0x", "\u3000")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		var out bytes.Buffer
		w, err := csvrow.NewWriter[three](&out, nil)
		require.NoError(t, err)
		in := three{a, b, c}
		if !utf8.ValidString(a) || !utf8.ValidString(b) || !utf8.ValidString(c) {
			require.Error(t, w.Write(in))
			return
		}
		require.NoError(t, w.Write(in))
		require.NoError(t, w.Write(in))
		require.NoError(t, w.Flush())
		got := rows(t, source[three](out.String(), nil))
		require.Len(t, got, 2)
		for _, r := range got {
			require.NoError(t, r.Err)
			require.Equal(t, in, r.Value)
		}
		var std bytes.Buffer
		cw := csv.NewWriter(&std)
		require.NoError(t, cw.WriteAll([][]string{{"a", "b", "c"}, {a, b, c}, {a, b, c}}))
		require.Equal(t, std.String(), out.String())
	})
}

// FuzzPosition gives the source foreign positions.
func FuzzPosition(f *testing.F) {
	f.Add("1;8;2;8;1;1")
	f.Add("1;-1;0;-1;;")
	f.Fuzz(func(t *testing.T, at string) {
		for _, err := range source[three]("a,b,c\n1,2,3\n", nil).Pages(context.Background(), at) {
			if at != "" {
				require.Error(t, err)
			}
		}
	})
}

package salesforce_test

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/salesforce"
)

// asked runs a query and returns the SOQL that was sent.
func asked(ctx context.Context, t testing.TB, soql string, args ...any) (string, error) {
	var got string
	s := &script{answer: func(_ int, r *http.Request) (*http.Response, error) {
		got = r.URL.Query().Get("q")
		return reply(200, `{"totalSize":0,"done":true,"records":[]}`), nil
	}}
	org, err := salesforce.New("https://acme.my.salesforce.com", salesforce.StaticToken("00D000000000001!x"), &salesforce.Options{Client: &http.Client{Transport: s}})
	require.NoError(t, err)
	for _, err := range salesforce.Query[map[string]any](ctx, org, soql, args...) {
		return got, err
	}
	return got, nil
}

func TestArgumentsAreLiterals(t *testing.T) {
	day := salesforce.Date{Year: 2026, Month: 1, Day: 2}
	at := time.Date(2026, 1, 2, 4, 4, 5, 6e6, time.FixedZone("", 3600))
	type code string
	n := 7
	for _, c := range []struct {
		arg  any
		want string
	}{
		{"x", `'x'`}, {code("x"), `'x'`}, {"", `''`}, {nil, `null`}, {true, `true`}, {-3, `-3`}, {uint8(3), `3`},
		{1e21, `1000000000000000000000`}, {0.1, `0.1`}, {&n, `7`}, {(*int)(nil), `null`},
		{at, `2026-01-02T03:04:05.006Z`}, {salesforce.Time{Time: at}, `2026-01-02T03:04:05.006Z`}, {salesforce.Time{}, `null`},
		{day, `2026-01-02`}, {salesforce.Date{}, `null`},
		{[]string{"a", "b'"}, `('a','b\'')`}, {[]any{1, nil}, `(1,null)`}, {[2]int{1, 2}, `(1,2)`},
		{`' OR Name != '`, `'\' OR Name != \''`}, {`\`, `'\\'`}, {`\'`, `'\\\''`}, {"a\nb\rc\td\"\b\f", `'a\nb\rc\td\"\b\f'`}, {"?", `'?'`},
		{salesforce.Like("%" + salesforce.EscapeLike(`50%_\%'`) + "_"), `'%50\%\_\\\%\'_'`},
	} {
		got, err := asked(t.Context(), t, `SELECT Id FROM A WHERE B = 'it\'s ?' AND C = ? AND D != ''`, c.arg)
		require.NoError(t, err)
		require.Equal(t, `SELECT Id FROM A WHERE B = 'it\'s ?' AND C = `+c.want+` AND D != ''`, got)
	}
	for _, c := range []struct {
		soql string
		args []any
		want string
	}{
		{"A = ?", nil, "more ?"}, {"A = 1", []any{1}, "0 ? for 1"}, {"A = 'x", nil, "quote is not closed"},
		{"A IN ?", []any{[]string{}}, "empty list"}, {"A IN ?", []any{[][]int{{1}}}, "list in a list"},
		{"A = ?", []any{math.NaN()}, "NaN"}, {"A = ?", []any{struct{}{}}, "no form in SOQL"}, {"A = ?", []any{map[string]int{}}, "no form"},
	} {
		_, err := asked(t.Context(), t, c.soql, c.args...)
		require.ErrorIs(t, err, salesforce.ErrInput)
		require.ErrorContains(t, err, c.want)
		require.Equal(t, outcome.NotSent, outcome.Of(err))
	}
	_, err := asked(t.Context(), t, "A IN ?", []string{strings.Repeat("x", 20_000)})
	require.ErrorIs(t, err, salesforce.ErrTooLarge)
	require.Equal(t, outcome.NotSent, outcome.Of(err))
}

// Whatever a text holds, it is read back as that text, and nothing of it is
// read as SOQL.
func FuzzLiteral(f *testing.F) {
	for _, s := range []string{"", "'", `\`, `\'`, `a' OR Name LIKE '%`, "\n\r\t\b\f\"", "ü€😀", "??"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 1000 {
			t.Skip()
		}
		got, err := asked(t.Context(), t, "X ? Y ? Z", s, 1)
		require.NoError(t, err)
		in, ok := strings.CutPrefix(got, "X '")
		require.True(t, ok)
		var back strings.Builder
		i := 0
		for ; in[i] != '\''; i++ {
			if in[i] != '\\' {
				back.WriteByte(in[i])
				continue
			}
			i++
			at := strings.IndexByte(`nrtbf"'\`, in[i])
			require.GreaterOrEqual(t, at, 0, "an escape SOQL does not have")
			back.WriteByte("\n\r\t\b\f\"'\\"[at])
		}
		require.Equal(t, s, back.String())
		require.Equal(t, "' Y 1 Z", in[i:])
	})
}

func TestQueryReadsPagesToTheirEnd(t *testing.T) {
	pages := []string{
		`{"totalSize":3,"done":false,"nextRecordsUrl":"/services/data/v66.0/query/01gX-2","records":[{"Id":"1"},{"Id":"2"}]}`,
		`{"totalSize":3,"done":true,"records":[{"Id":"3"}]}`,
	}
	s := &script{answer: func(n int, r *http.Request) (*http.Response, error) {
		switch n {
		case 1:
			return reply(200, pages[0]), nil
		case 2: // a page may fail once
			return fault(503, "SERVER_UNAVAILABLE", "busy"), nil
		}
		return reply(200, pages[1]), nil
	}}
	org := scripted(t, s)
	var ids []string
	for p, err := range salesforce.Query[product](t.Context(), org, "SELECT Id FROM Product2") {
		require.NoError(t, err)
		ids = append(ids, p.ID)
	}
	require.Equal(t, []string{"1", "2", "3"}, ids)
	require.Equal(t, "/services/data/v66.0/query/01gX-2", s.seen[2].URL.Path)

	s = &script{answer: func(int, *http.Request) (*http.Response, error) { return reply(200, pages[0]), nil }}
	for range salesforce.Query[product](t.Context(), scripted(t, s), "SELECT Id FROM Product2") {
		break
	}
	require.Equal(t, 1, s.calls(), "who stops reading stops asking")

	s = &script{answer: func(int, *http.Request) (*http.Response, error) {
		return reply(200, `{"totalSize":42,"done":true,"records":[]}`), nil
	}}
	n, err := salesforce.Count(t.Context(), scripted(t, s), "SELECT COUNT() FROM Product2 WHERE Name = ?", "x")
	require.NoError(t, err)
	require.EqualValues(t, 42, n)
}

// What is no end is no end: an answer that was cut must not look like few rows.
func TestQueryDoesNotTakeACutForAnEnd(t *testing.T) {
	for name, body := range map[string]string{
		"no done":           `{"totalSize":1,"records":[{"Id":"1"}]}`,
		"no next page":      `{"totalSize":2,"done":false,"records":[{"Id":"1"}]}`,
		"another's page":    `{"totalSize":2,"done":false,"nextRecordsUrl":"https://evil.example/services/data/","records":[{"Id":"1"}]}`,
		"a row of no shape": `{"totalSize":1,"done":true,"records":[{"Name":{"x":1}}]}`,
		"half a page":       `{"totalSize":1,"done":true,"records":[{"Id":"1"}`,
	} {
		s := &script{answer: func(int, *http.Request) (*http.Response, error) { return reply(200, body), nil }}
		var last error
		for _, err := range salesforce.Query[product](t.Context(), scripted(t, s), "SELECT Id FROM Product2") {
			last = err
		}
		require.Error(t, last, name)
		require.NotContains(t, fmt.Sprint(last), "evil")
		for _, r := range s.seen {
			require.Equal(t, "acme.my.salesforce.com", r.URL.Host)
		}
	}
	circle := &script{answer: func(int, *http.Request) (*http.Response, error) {
		return reply(200, `{"totalSize":9,"done":false,"nextRecordsUrl":"/services/data/v66.0/query/01gX-2","records":[]}`), nil
	}}
	for _, err := range salesforce.Query[product](t.Context(), scripted(t, circle), "SELECT Id FROM Product2") {
		require.ErrorIs(t, err, salesforce.ErrTooLarge, "pages without rows, for ever")
	}
	require.Equal(t, 101, circle.calls())
	s := &script{answer: func(int, *http.Request) (*http.Response, error) {
		return reply(200, `{"totalSize":3,"done":true,"records":[{"Id":"1"},{"Id":"2"},{"Id":"3"}]}`), nil
	}}
	org := scripted(t, s, func(o *salesforce.Options) { o.MaxRows = 2 })
	n := 0
	for _, err := range salesforce.Query[product](t.Context(), org, "SELECT Id FROM Product2") {
		if n++; n == 3 {
			require.ErrorIs(t, err, salesforce.ErrTooLarge)
		} else {
			require.NoError(t, err)
		}
	}
	require.Equal(t, 3, n)
}

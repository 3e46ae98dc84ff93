package soql_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/salesforce/sftest/internal/soql"
)

func TestParse(t *testing.T) {
	q, err := soql.Parse(`select Id, Maker__r.Name from Product2 where (Name like 'a\_b%' or not Stock__c >= -1.5e3)
		and Code__c not in ('it\'s', null) and Day__c <> 2024-02-29 and At__c < 2024-01-01T00:00:00+01:00
		order by Name desc nulls last, Id limit 10 offset 5`)
	require.NoError(t, err)
	require.Equal(t, "Maker__r.Name", q.Fields[1].Text)
	require.Equal(t, "Product2", q.From.Text)
	require.Equal(t, 10, q.Limit)
	require.Equal(t, 5, q.Offset)
	require.Len(t, q.Order, 2)
	require.True(t, q.Order[0].Desc && q.Order[0].NullsLast)
	and := q.Where.(*soql.Logic)
	require.False(t, and.Or)
	require.Len(t, and.Terms, 4)
	or := and.Terms[0].(*soql.Logic)
	require.True(t, or.Or)
	require.Equal(t, `a\_b%`, or.Terms[0].(*soql.Test).Values[0].Text)
	in := and.Terms[1].(*soql.Test)
	require.Equal(t, "NOT IN", in.Op)
	require.Equal(t, "it's", in.Values[0].Text)
	require.Equal(t, soql.Null, in.Values[1].Kind)
	require.Equal(t, "!=", and.Terms[2].(*soql.Test).Op)
	require.Equal(t, soql.DateTime, and.Terms[3].(*soql.Test).Values[0].Kind)

	q, err = soql.Parse("SELECT COUNT() FROM X")
	require.NoError(t, err)
	require.True(t, q.Count)
	require.Equal(t, -1, q.Limit)
}

func TestParseRefuses(t *testing.T) {
	for query, want := range map[string]string{
		"":                  "unexpected token: '<EOF>'",
		"SELEKT Id FROM X":  "unexpected token: 'SELEKT'",
		"SELECT Id, FROM X": "unexpected token: 'FROM'",
		"SELECT Id FROM X WHERE a=1 AND b=2 OR c=3":                     "unexpected token: 'OR'",
		"SELECT Id FROM X WHERE a=1 OR b=2 AND c=3":                     "unexpected token: 'AND'",
		"SELECT Id FROM X WHERE a IN ()":                                "unexpected token: ')'",
		"SELECT Id FROM X WHERE a = 'x":                                 "unterminated string",
		`SELECT Id FROM X WHERE a = 'x\`:                                "unterminated string",
		`SELECT Id FROM X WHERE a = 'x\q'`:                              "Illegal escape sequence",
		"SELECT Id FROM X WHERE a = 'x\ny'":                             "line breaks",
		"SELECT Id FROM X WHERE a = b":                                  "unexpected token: 'b'",
		"SELECT Id FROM X LIMIT -1":                                     "unexpected token: '-1'",
		"SELECT Id FROM X LIMIT 1.5":                                    "unexpected token: '1.5'",
		"SELECT Id FROM X y":                                            "unexpected token: 'y'",
		"SELECT Id FROM X; DROP":                                        "unexpected token: ';'",
		"SELECT Id FROM X GROUP BY Id":                                  "does not offer GROUP BY",
		"SELECT MAX(a) FROM X":                                          "offers COUNT() alone",
		"SELECT COUNT(Id) FROM X":                                       "offers COUNT() alone",
		"SELECT Id, (SELECT Id FROM Y) FROM X":                          "does not offer sub-queries",
		"SELECT Id FROM X WHERE a IN (SELECT Id FROM Y)":                "does not offer sub-queries",
		"SELECT Id FROM X WHERE a = LAST_N_DAYS:3":                      "TODAY, YESTERDAY and TOMORROW alone",
		"SELECT Id FROM X WHERE a INCLUDES ('x')":                       "does not offer INCLUDES",
		"SELECT TYPEOF What WHEN A THEN b END FROM X":                   "does not offer TYPEOF",
		"SELECT Id FROM X WHERE a = 2024-1-1":                           "unexpected token: '2024-1-1'",
		"SELECT Id FROM X WHERE " + strings.Repeat("(", 101) + "a=1":    "nested more than 100 deep",
		"SELECT Id FROM X WHERE " + strings.Repeat("NOT ", 101) + "a=1": "nested more than 100 deep",
	} {
		_, err := soql.Parse(query)
		var e *soql.Error
		require.True(t, errors.As(err, &e), "%s: %v", query, err)
		require.Contains(t, e.Text, want, query)
	}
	row, column, line := soql.Place("SELECT Id\nFROM ü y", 18)
	require.Equal(t, []any{2, 8, "FROM ü y"}, []any{row, column, line})
}

// Whatever comes, the parser ends, and an error has a place in the query.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`SELECT Id, Name FROM Product2 WHERE (A = 'x\'' OR NOT B IN (1, -2.5, null)) AND C LIKE '%' ORDER BY D DESC NULLS LAST LIMIT 1 OFFSET 2`,
		"SELECT COUNT() FROM X WHERE d >= 2024-01-01T00:00:00Z", "SELECT a.b FROM \x00", "((((", "'\\",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		q, err := soql.Parse(query)
		if err == nil {
			require.True(t, q.Count != (len(q.Fields) > 0))
			return
		}
		var e *soql.Error
		require.True(t, errors.As(err, &e))
		require.NotEmpty(t, e.Text)
		require.True(t, e.At >= 0 && e.At <= len(query))
	})
}

package csvrow_test

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/batchsync"
	"github.com/crosstie/crosstie/batchsync/csvrow"
)

type rewound struct{ *bytes.Reader }

func (rewound) Close() error { return nil }

// A file of another separator is the commonest reason why no column is found.
func TestHeaderErrorTellsOfTheSeparator(t *testing.T) {
	type item struct {
		SKU   string `csv:"sku"`
		Price string `csv:"price"`
	}
	for text, hint := range map[string]bool{"sku;price\na;1\n": true, "sku\tprice\n": true, "code,price\n": false, "a;b,price\n": false} {
		src := csvrow.NewSource[item](func() (io.ReadSeekCloser, error) { return rewound{bytes.NewReader([]byte(text))}, nil }, nil)
		_, err := src.Count(t.Context())
		require.Error(t, err)
		require.Equal(t, hint, bytes.Contains([]byte(err.Error()), []byte("Options.Comma")), "%q: %v", text, err)
	}
}

// What is shown of a bad row says so where it is not all there was.
func TestBadRowsAreMarkedAsCut(t *testing.T) {
	type item struct {
		N int `csv:"n"`
	}
	long := func(n int) string { return strings.Repeat("x", n) }
	for name, c := range map[string]struct {
		rows string
		max  int
		cut  bool
	}{
		"short":                       {"x\n1\n", 0, false},
		"as long as what is kept":     {long(64<<10) + "\n1\n", 0, false},
		"longer than what is kept":    {long(64<<10+1) + "\n1\n", 0, true},
		"larger than MaxRecord":       {long(1000) + "\n1\n", 100, false},
		"the same at the end":         {"1\n" + long(1000), 100, false},
		"far larger, read in parts":   {long(200_000) + "\n1\n", 100, true},
		"quoted, given up at a line":  {"\"" + long(50) + "\n" + long(100) + "\n" + long(200) + "\n1\n", 100, false},
		"the same, of one small line": {"\"x\r\n1\n", 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			src := csvrow.NewSource[item](func() (io.ReadSeekCloser, error) {
				return rewound{bytes.NewReader([]byte("n\n" + c.rows))}, nil
			}, &csvrow.Options{MaxRecord: c.max})
			var dead []batchsync.DeadRow
			sync := batchsync.New("cut", src, batchsync.To(func(_ context.Context, rows []batchsync.Row[item]) ([]batchsync.Result, error) {
				results := make([]batchsync.Result, len(rows))
				for i := range results {
					results[i].Verdict = batchsync.Inserted
				}
				return results, nil
			}), nil)
			_, err := sync.Run(t.Context())
			require.NoError(t, err)
			for d, err := range sync.DeadRows(t.Context()) {
				require.NoError(t, err)
				dead = append(dead, d)
			}
			require.NotEmpty(t, dead)
			require.Equal(t, c.cut, dead[0].Cut, "%d bytes", len(dead[0].Value))
			require.Equal(t, !c.cut, strings.Contains("\n"+c.rows+"\n", "\n"+string(dead[0].Value)+"\n") || strings.Contains(c.rows, string(dead[0].Value)+"\r\n"))
		})
	}
}

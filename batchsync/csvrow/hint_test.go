package csvrow_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

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

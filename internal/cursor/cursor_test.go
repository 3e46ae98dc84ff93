package cursor_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/internal/cursor"
)

func TestText(t *testing.T) {
	last := ""
	for _, p := range []cursor.Place{
		{"0123456789abcdef", 1, 0}, {"0123456789abcdef", 1, 1}, {"0123456789abcdef", 1, 255},
		{"0123456789abcdef", 1, cursor.MaxPos}, {"0123456789abcdef", 2, 0},
		{"0123456789abcdef", cursor.MaxTopic, cursor.MaxPos},
	} {
		got, ok := cursor.Parse(p.String())
		require.True(t, ok, p)
		require.Equal(t, p, got)
		require.Equal(t, p, cursor.At(p.Life, p.Row()))
		require.Greater(t, p.String(), last, "texts sort as positions")
		last = p.String()
	}
}

func FuzzParse(f *testing.F) {
	f.Add(cursor.Place{"0123456789abcdef", 7, 9}.String())
	f.Add("0123456789abcdef-00000100000000FF") // upper case is not ours
	f.Add("0123456789abcdef-+000100000000ff")
	f.Add("0123456789abcdef-ffffffffffffffff")
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		if p, ok := cursor.Parse(s); ok {
			require.Equal(t, s, p.String())
			require.Positive(t, p.Topic)
		}
	})
}

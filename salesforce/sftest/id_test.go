package sftest

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The checksum is that of ids which orgs gave out.
func TestLongID(t *testing.T) {
	for _, long := range []string{"0013000000auCyTAAU", "001Vr00000m4eGCIAY", "7504x000004Qc36AAC", "0054P00000AJCZNQA5", "750Do00000DmVvBIAV"} {
		require.Equal(t, long, longID(long[:15]))
		for _, spelling := range []string{long, long[:15], strings.ToLower(long), strings.ToUpper(long)} {
			short, ok := shortID(spelling)
			require.True(t, ok, spelling)
			require.Equal(t, long[:15], short, spelling)
		}
	}
	for _, bad := range []string{"", "001", "0013000000auCy-", "0013000000auCyTAA9", "0013000000auCyTBBB\n", "0013000000auCyT555"} {
		_, ok := shortID(bad)
		require.False(t, ok, bad)
	}
}

func TestDouble(t *testing.T) {
	for n, want := range map[float64]string{
		0: "0.0", 9: "9.0", -2.5: "-2.5", 9999999: "9999999.0", 1e7: "1.0E7", 350000000: "3.5E8",
		123456789.125: "1.23456789125E8", 0.001: "0.001", 0.0005: "5.0E-4",
	} {
		require.Equal(t, want, double(n))
	}
}

func TestRound(t *testing.T) {
	f := &field{Field: Field{Scale: 2}}
	for in, want := range map[float64]float64{2.555: 2.56, 1.005: 1.01, -1.005: -1.01, 1.004: 1, -0.001: 0, 12: 12} {
		got := f.round(in).(float64)
		require.InDelta(t, want, got, 0)
		require.NotEqual(t, "-0", number(got))
	}
	require.Nil(t, f.round(nil))
}

func TestLike(t *testing.T) {
	for _, c := range []struct {
		s, pattern string
		want       bool
	}{
		{"abc", "abc", true}, {"abc", "a%", true}, {"abc", "%c", true}, {"abc", "%b%", true}, {"abc", "a_c", true},
		{"abc", "a_", false}, {"abc", "", false}, {"", "%", true}, {"", "", true}, {"a%c", `a\%c`, true}, {"abc", `a\%c`, false},
		{"a_c", `a\_c`, true}, {"abc", `a\_c`, false}, {"aXbXc", "a%X%c", true}, {`a\c`, `a\c`, true}, {"ä", "_", true},
	} {
		require.Equal(t, c.want, like([]rune(c.s), []rune(c.pattern)), "%s LIKE %s", c.s, c.pattern)
	}
	// No pattern takes more than its length times the text's.
	require.False(t, like([]rune(strings.Repeat("a", 5_000)), []rune(strings.Repeat("%a", 500)+"b")))
}

// A journal of any length keeps its memory.
func TestBounded(t *testing.T) {
	b := bounded[int]{most: 80}
	for i := range 1_000 {
		b.add(i)
		require.LessOrEqual(t, len(b.entries), 90)
	}
	require.Len(t, b.list(), 80)
	require.Equal(t, 920, b.list()[0])
	require.Equal(t, 1_000, b.count)
}

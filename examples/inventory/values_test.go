package main

import (
	"encoding"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMoneyIsExact(t *testing.T) {
	for _, c := range []struct {
		in, out string
		want    Money
	}{
		{"2.55", "2.55", 25_500},
		{"2.5", "2.50", 25_000},
		{"0.001", "0.001", 10},
		{"0", "0.00", 0},
		{"0.0", "0.00", 0},
		{"-11062.06", "-11062.06", -110_620_600},
		{"0.1", "0.10", 1_000},
		{" 12.340000 ", "12.34", 123_400},
		{"1000000000", "1000000000.00", maxMoney},
	} {
		var got Money
		require.NoError(t, got.UnmarshalText([]byte(c.in)), c.in)
		require.Equal(t, c.want, got, c.in)
		require.Equal(t, c.out, got.String(), c.in)
	}
	b, err := json.Marshal(Money(10))
	require.NoError(t, err)
	require.Equal(t, `"0.001"`, string(b), "a JSON number would become a float at the other end")
	var m Money
	require.NoError(t, json.Unmarshal([]byte(`"16.13"`), &m))
	require.Equal(t, Money(161_300), m)
}

func TestValuesThatAreNone(t *testing.T) {
	for _, c := range []struct {
		into   encoding.TextUnmarshaler
		reason string
		texts  []string
	}{
		{new(Money), "not a decimal number", []string{"", "-", ".", "1.", ".5", "1,50", "2.55 GBP", "1e3", "NaN", "--1", "+1", "٣", "1.5.", "0x1"}},
		{new(Money), "more than 4 decimals", []string{"0.00001"}},
		{new(Money), "more than a billion", []string{"1000000000.01", "99999999999999999999"}},
		{new(price), "below zero", []string{"-0.01"}},
		{new(price), "not a decimal number", []string{"free"}},
		{new(pieces), "not a whole number", []string{"", "-", "6.0", "six", "1e2", "+1", "0x10", "1_000", "٣"}},
		{new(pieces), "more than a billion", []string{"1000000001", "-1000000001", "99999999999999999999999"}},
		{new(stock), "below zero", []string{"-1"}},
		{new(code), "blank", []string{"", " ", "\t"}},
		{new(code), "longer than", []string{strings.Repeat("9", 65)}},
		{new(code), "control character", []string{"a\x00b", "a\nb", "85\xff", "\u202e85123"}},
	} {
		for _, text := range c.texts {
			require.ErrorContains(t, c.into.UnmarshalText([]byte(text)), c.reason, "%T %q", c.into, text)
		}
	}
}

func FuzzValues(f *testing.F) {
	for _, s := range []string{"2.55", "-0.001", "17850", "85123A", "\xff", "", "-", "1."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var m, again Money
		if m.UnmarshalText([]byte(s)) == nil {
			require.NoError(t, again.UnmarshalText([]byte(m.String())))
			require.Equal(t, m, again)
			require.LessOrEqual(t, max(m, -m), Money(maxMoney))
		}
		var n, same pieces
		if n.UnmarshalText([]byte(s)) == nil {
			text, err := n.MarshalText()
			require.NoError(t, err)
			require.NoError(t, same.UnmarshalText(text))
			require.Equal(t, n, same)
		}
		var c code
		if c.UnmarshalText([]byte(s)) == nil {
			require.NotEmpty(t, c)
			require.LessOrEqual(t, len(c), maxCode)
		}
	})
}

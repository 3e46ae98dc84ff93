package uiupdate

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const testEpoch = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

// An id that is read as a position is the one spelling of that position.
func FuzzPosition(f *testing.F) {
	for _, p := range []position{{base: 1, head: 1}, {head: 7}, {base: 3, head: 9, block: 4}, {base: 5, head: 5, block: 1}} {
		f.Add(p.id(testEpoch))
	}
	for _, s := range []string{"", "-", testEpoch, testEpoch + "-", testEpoch + "-+1", testEpoch + "-01", testEpoch + "-1-1-0", testEpoch + "-18446744073709551615", testEpoch + "-1-2-9223372036854775807", testEpoch + "-1\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, id string) {
		p, ok := parsePosition(testEpoch, id)
		if !ok {
			return
		}
		require.Equal(t, id, p.id(testEpoch))
		require.LessOrEqual(t, p.base, p.head)
		require.GreaterOrEqual(t, p.block, 0)
		require.LessOrEqual(t, len(id), maxID)
		_, other := parsePosition(strings.ToLower(testEpoch), id)
		require.False(t, other)
	})
}

// Every position a reader can be in survives its id.
func TestPositionRoundTrip(t *testing.T) {
	for _, p := range []position{{base: 1, head: 1}, {head: 1}, {head: 7, block: 2}, {base: 3, head: 9, block: 4}, {base: 5, head: 5, block: 1}, {base: 1<<63 - 1, head: 1<<63 - 1, block: 1<<31 - 1}} {
		got, ok := parsePosition(testEpoch, p.id(testEpoch))
		require.True(t, ok, "%+v", p)
		require.Equal(t, p, got)
	}
	_, ok := parsePosition(testEpoch, position{}.id(testEpoch))
	require.False(t, ok, "nothing is no place to go on from")
}

// A reader that is stuck keeps the segment it reads, and nothing after it.
func TestRingLetsGo(t *testing.T) {
	g := newRing(4 << 10)
	stuck := g.end()
	frame := make([]byte, 500)
	for i := range uint64(1000) {
		g.add(frame, i+2)
		require.LessOrEqual(t, g.bytes, g.window)
	}
	require.Nil(t, stuck.at.next)
	_, _, ok := g.read(&stuck)
	require.False(t, ok)
	last := g.end()
	g.add(make([]byte, 10<<10), 2000)
	_, _, ok = g.read(&last)
	require.False(t, ok, "a frame larger than the window leaves room for no other")
	require.Equal(t, g.first, g.last)
	require.Len(t, g.last.buf, 10<<10)
}

package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestATallyAddsUpOrSaysSo(t *testing.T) {
	row := tally{Pattern: "batchsync", What: "load", In: 10, Done: 4, Unchanged: 3, Failed: 1, Parked: 1, Unprocessed: 1}
	require.NoError(t, row.check())
	row.Done++
	require.ErrorContains(t, row.check(), "invariant broken: the report adds up: batchsync, load: in is 10, but its parts make 11")
}

func TestTheTable(t *testing.T) {
	var b strings.Builder
	require.NoError(t, printTable(&b, []tally{{Pattern: "requestreply", What: "reserve", In: 3, Done: 2, Failed: 1, Took: 1500 * time.Millisecond}}))
	require.Equal(t, 2, strings.Count(b.String(), "\n"))
	require.Contains(t, b.String(), "3 = 2 + 0 + 1 + 0 + 0")
	require.Contains(t, b.String(), "1.5 s")
}

func TestProgressIsPlainWhereNothingCanBeRedrawn(t *testing.T) {
	var b strings.Builder
	p := newProgress(&b)
	p.start("load", 100)
	for range 100 {
		p.add(1)
	}
	p.end("100 lines")
	require.Equal(t, "load       100 lines\n", b.String())

	b.Reset()
	p = &progress{w: &b, bar: true}
	p.start("load", 4)
	p.drawn = time.Time{}
	p.set(2)
	require.Contains(t, b.String(), "[==============              ]  50%")
	p.drawn = time.Time{}
	p.set(9)
	require.Contains(t, b.String(), "100%", "never past the end")
	p.end("done")
	require.True(t, strings.HasSuffix(b.String(), "done\n"))
}

package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func boardRows(b *board) map[string]any {
	all := map[string]any{}
	for key, row := range b.rows.All() {
		all[key] = row.V
	}
	return all
}

func TestANilBoardTakesEverything(t *testing.T) {
	var b *board
	b.now("pubsub", "x")
	b.counts("pubsub", 1, 1, 0, 0, 0)
	b.progress("pubsub", 1, 2)
	b.party(partyOrg, away, "x")
	b.subscriber("cache", away, "x")
	b.flip("network", true, "x")
	b.park("pubsub", "x", "y")
	b.unpark("pubsub", "x")
	b.event(kindTrouble, "x")
}

func TestABoardSaysWhatIsStillWaiting(t *testing.T) {
	b := newBoard()
	require.Len(t, boardRows(b), len(patterns), "a card for each, before anything happened")
	b.counts("fireforget", 10, 4, 1, 0, 2)
	c := boardRows(b)["card/fireforget"].(card)
	require.EqualValues(t, 3, c.Waiting)
	b.counts("fireforget", 1, 4, 0, 0, 0)
	require.EqualValues(t, 0, boardRows(b)["card/fireforget"].(card).Waiting, "counted at two moments, and never negative")
}

func TestABoardIsBounded(t *testing.T) {
	b := newBoard()
	for i := range 3 * keptEvents {
		b.event("pubsub", fmt.Sprint("event ", i, strings.Repeat(" long", keptWords)))
		b.park("pubsub", fmt.Sprint("event ", i), "its schema is not known")
		b.park("pubsub", "the same thing", "again")
	}
	var events, parked int
	for key, row := range boardRows(b) {
		switch {
		case strings.HasPrefix(key, "event/"):
			events++
			require.LessOrEqual(t, len([]rune(row.(eventRow).Words)), keptWords)
		case strings.HasPrefix(key, "parked/"):
			parked++
		}
	}
	require.Equal(t, keptEvents, events)
	require.Equal(t, keptParked, parked)
	_, err := json.Marshal(boardRows(b))
	require.NoError(t, err)
}

func TestWhatIsSettledLeavesTheBoard(t *testing.T) {
	b := newBoard()
	b.park("batchsync", "line 7", "the price is no number")
	require.Contains(t, boardRows(b), parkedKey("batchsync", "line 7"))
	b.unpark("batchsync", "line 7")
	b.unpark("batchsync", "line 8")
	require.NotContains(t, boardRows(b), parkedKey("batchsync", "line 7"))
}

func TestWhatIsSaidAgainIsCounted(t *testing.T) {
	b := newBoard()
	for range 5 {
		b.event(kindTrouble, "the org is away")
	}
	b.event(kindMended, "it is back")
	b.event(kindTrouble, "the org is away")
	var said []string
	for _, key := range b.events {
		e := boardRows(b)[key].(eventRow)
		said = append(said, fmt.Sprint(e.Words, " ", e.Times))
	}
	require.Equal(t, []string{"the org is away 5", "it is back 1", "the org is away 1"}, said)
}

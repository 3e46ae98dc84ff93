package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/crosstie/crosstie/uiupdate"
)

// The names of the patterns, in the order of the page.
var patterns = []string{"requestreply", "fireforget", "batchsync", "remoteinvoke", "pubsub", "uiupdate"}

// The parties between which the patterns work, as [board.party] takes them.
const (
	partyNetwork  = "network"  // between the shop and the warehouse
	partyReceiver = "receiver" // of the webhooks
	partyOrg      = "org"
)

// The kinds of event beside the names of the patterns.
const (
	kindPerson  = "person"  // somebody pressed a button
	kindTrouble = "trouble" // something went wrong
	kindMended  = "mended"  // it is well again
)

// How a party is.
type condition string

const (
	well    condition = "well"
	waiting condition = "waiting" // it is on its way to be well: starting, catching up
	away    condition = "away"
)

// controls are what a person may do. Each method returns when its effect is sure, or tells in words why it is not;
// all are safe for concurrent use.
type controls interface {
	// Reserve takes pieces of a product as a customer of the shop does: through the network, whatever its state.
	Reserve(ctx context.Context, sku string, qty int) error
	// Forecast starts the reorder forecast, and returns when it is accepted. One at a time.
	Forecast(ctx context.Context) error
	// CancelForecast asks the running forecast to stop.
	CancelForecast(ctx context.Context) error
	// Network breaks what lies between the parties, or mends it.
	Network(broken bool) error
	// Restart stops a subscriber and starts it again at its cursor.
	Restart(ctx context.Context, subscriber string) error
}

// A board is what the page shows beside the stock: a card for each pattern, the parties, what is parked, and what
// happened last. Whoever does something tells the board, and the board tells every browser. A nil board takes
// everything and keeps nothing, so that a story without a page need not ask. It is safe for concurrent use.
type board struct {
	mu     sync.Mutex // guards the rest
	cards  map[string]*card
	parked map[string][]string // the keys of a pattern's parked rows, oldest first
	events []string            // the keys of the events, oldest first
	n      int64               // of the events so far
	latest eventRow            // of them
	last   time.Time           // of the last change

	rows *uiupdate.View[string, any] // what the browsers get
}

// A card says what a pattern does now, and what it did so far.
type card struct {
	Pattern   string `json:"pattern"`
	Now       string `json:"now"`
	In        int64  `json:"in"`
	Done      int64  `json:"done"`
	Unchanged int64  `json:"unchanged"`
	Failed    int64  `json:"failed"`
	Parked    int64  `json:"parked"`
	Waiting   int64  `json:"waiting"` // in, and none of the others yet

	Progress int64 `json:"progress"` // of the step that runs now
	Of       int64 `json:"of"`       // 0: no step runs whose size is known
}

type partyRow struct {
	Name      string    `json:"name"`
	Condition condition `json:"condition"`
	Words     string    `json:"words"`
}

type switchRow struct {
	On    bool   `json:"on"`
	Words string `json:"words"`
}

type parkedRow struct {
	Pattern string    `json:"pattern"`
	What    string    `json:"what"`
	Why     string    `json:"why"`
	At      time.Time `json:"at"`
}

type eventRow struct {
	N     int64     `json:"n"`
	Kind  string    `json:"kind"`
	Words string    `json:"words"`
	Times int64     `json:"times"` // it was said, one after the other
	At    time.Time `json:"at"`
}

// What a board keeps. The counts on the cards go on; what falls off here is in the databases.
const (
	keptEvents = 200
	keptParked = 300 // of each pattern
	keptWords  = 400 // of each sentence, in characters
)

func newBoard() *board {
	b := &board{cards: map[string]*card{}, parked: map[string][]string{}, rows: uiupdate.NewView[string, any](nil)}
	for _, p := range patterns {
		b.cards[p] = &card{Pattern: p}
		b.set("card/"+p, *b.cards[p])
	}
	return b
}

// now says in a sentence what a pattern does at this moment.
func (b *board) now(pattern, sentence string) {
	b.card(pattern, func(c *card) { c.Now = sentenceOf(sentence) })
}

// counts says what became of everything a pattern got. What is in none of the others is still waiting.
func (b *board) counts(pattern string, in, done, unchanged, failed, parked int64) {
	b.card(pattern, func(c *card) {
		c.In, c.Done, c.Unchanged, c.Failed, c.Parked = in, done, unchanged, failed, parked
		c.Waiting = max(0, in-done-unchanged-failed-parked)
	})
}

// progress says how far the step is that a pattern is at; of = 0 takes the bar away.
func (b *board) progress(pattern string, done, of int64) {
	b.card(pattern, func(c *card) { c.Progress, c.Of = done, of })
}

// party says how one of the parties or subscribers is, in words.
func (b *board) party(name string, how condition, sentence string) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.set("party/"+name, partyRow{name, how, sentenceOf(sentence)})
}

// subscriber says how a subscriber is, in a word or two. Each that is told of here gets a button that restarts it.
func (b *board) subscriber(name string, how condition, words string) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.set("subscriber/"+name, partyRow{name, how, sentenceOf(words)})
}

// flip shows a switch as it is, with what pressing it would do: "network", "customers", "forecast". The buttons of the
// forecast are there once that is told of; it is on while one runs.
func (b *board) flip(name string, on bool, words string) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.set("switch/"+name, switchRow{on, words})
}

// park shows something that only a person can settle: what it is, and why it came to that.
func (b *board) park(pattern, what, why string) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	key := parkedKey(pattern, what)
	if _, ok := b.rows.Load(key); !ok {
		b.parked[pattern] = append(b.parked[pattern], key)
		if len(b.parked[pattern]) > keptParked {
			b.drop(b.parked[pattern][0])
			b.parked[pattern] = b.parked[pattern][1:]
		}
	}
	b.set(key, parkedRow{pattern, sentenceOf(what), sentenceOf(why), time.Now().UTC()})
}

// unpark takes what was parked off the board: somebody settled it.
func (b *board) unpark(pattern, what string) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	key := parkedKey(pattern, what)
	b.parked[pattern] = slices.DeleteFunc(b.parked[pattern], func(k string) bool { return k == key })
	b.drop(key)
}

func parkedKey(pattern, what string) string { return "parked/" + pattern + "/" + sentenceOf(what) }

// event notes what just happened, in a sentence for people. kind is the name of a pattern, or one of the kinds above.
// What is said again at once is counted, and not listed again.
func (b *board) event(kind, sentence string) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	e := eventRow{b.n, kind, sentenceOf(sentence), 1, time.Now().UTC()}
	if l := b.latest; l.N > 0 && l.Kind == e.Kind && l.Words == e.Words {
		e.Times += l.Times
		b.latest = e
		b.set(b.events[len(b.events)-1], e)
		return
	}
	b.n++
	e.N = b.n
	b.latest = e
	key := fmt.Sprintf("event/%012d", b.n)
	b.events = append(b.events, key)
	if len(b.events) > keptEvents {
		b.drop(b.events[0])
		b.events = b.events[1:]
	}
	b.set(key, e)
}

// card changes a card.
func (b *board) card(pattern string, change func(*card)) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	c, ok := b.cards[pattern]
	if !ok {
		c = &card{Pattern: pattern}
		b.cards[pattern] = c
	}
	change(c)
	b.set("card/"+pattern, *c)
}

// set is called with mu held. What is set again as it was is told to nobody.
func (b *board) set(key string, v any) {
	if was, ok := b.rows.Load(key); ok && was.V == v {
		return
	}
	b.rows.Set(key, v, b.at()) // it refuses only what no row here can be: too large, too many, without JSON
}

func (b *board) drop(key string) {
	if _, ok := b.rows.Load(key); ok {
		b.rows.Delete(key, b.at())
	}
}

// at is now, and never before the last change: the clock of a machine may be set back, and the board goes on.
func (b *board) at() time.Time {
	if now := time.Now(); now.After(b.last) {
		b.last = now
	}
	return b.last
}

// sentenceOf is a text as the board shows it: on one line, and not longer than the board keeps.
func sentenceOf(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > keptWords {
		return string(r[:keptWords-1]) + "…"
	}
	return s
}

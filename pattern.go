package crosstie

import "fmt"

// A Pattern is one of the six ways in which this module ties two systems
// together. Patterns are comparable constants; there is no zero pattern, so
// that one nobody set is seen.
type Pattern int

// The six patterns, in the order in which equal scores are ranked: the one
// that needs the least machinery first.
const (
	// RequestReply: ask and wait, package requestreply.
	RequestReply Pattern = iota + 1
	// FireForget: hand over and go on, package fireforget.
	FireForget
	// BatchSync: move much, periodically, package batchsync.
	BatchSync
	// RemoteInvoke: start there, learn later, package remoteinvoke.
	RemoteInvoke
	// UIUpdate: show what changed, package uiupdate.
	UIUpdate
	// PubSub: tell whoever listens, package pubsub.
	PubSub
)

// patterns lists all six; rules and ranking walk it, so its order is theirs.
var patterns = [...]Pattern{RequestReply, FireForget, BatchSync, RemoteInvoke, UIUpdate, PubSub}

// rooms says where each pattern lives and whether its door is open: a room
// that is not open has no folder yet.
var rooms = map[Pattern]struct {
	name string
	gist string
	open bool
}{
	RequestReply: {"requestreply", "ask and wait", true},
	FireForget:   {"fireforget", "hand over and go on", true},
	BatchSync:    {"batchsync", "move much, periodically", true},
	RemoteInvoke: {"remoteinvoke", "start there, learn later", false},
	UIUpdate:     {"uiupdate", "show what changed", false},
	PubSub:       {"pubsub", "tell whoever listens", false},
}

// String returns the name of the pattern's package, such as "requestreply",
// and "pattern(n)" for a value that is none of the six.
func (p Pattern) String() string {
	if r, ok := rooms[p]; ok {
		return r.name
	}
	return fmt.Sprintf("pattern(%d)", int(p))
}

// Open says whether this version has the package. What is not open is
// planned: [Choose] ranks it all the same, because the right pattern is worth
// knowing before its room can be used.
func (p Pattern) Open() bool { return rooms[p].open }

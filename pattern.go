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

// rooms says where each pattern lives.
var rooms = map[Pattern]struct {
	name string
	gist string
}{
	RequestReply: {"requestreply", "ask and wait"},
	FireForget:   {"fireforget", "hand over and go on"},
	BatchSync:    {"batchsync", "move much, periodically"},
	RemoteInvoke: {"remoteinvoke", "start there, learn later"},
	UIUpdate:     {"uiupdate", "show what changed"},
	PubSub:       {"pubsub", "tell whoever listens"},
}

// String returns the name of the pattern's package, such as "requestreply",
// and "pattern(n)" for a value that is none of the six.
func (p Pattern) String() string {
	if r, ok := rooms[p]; ok {
		return r.name
	}
	return fmt.Sprintf("pattern(%d)", int(p))
}

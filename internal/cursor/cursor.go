// Package cursor writes positions of event logs as opaque text.
//
// A cursor outlives the log it came from: in a group's row after a restore
// from a backup, in another database, in a file. So it names the life of its
// log and its topic, and whoever reads it can tell a position that was trimmed
// from one that was never there.
package cursor

import (
	"fmt"
	"strconv"
)

// The bits of a position: a log has up to 8 million topics of up to a
// trillion events each.
const (
	posBits  = 40
	MaxPos   = 1<<posBits - 1
	MaxTopic = 1<<(63-posBits) - 1
)

// Life is the length of the text that names the life of a log: hex digits,
// random at its birth.
const Life = 16

// A Place is a position in a topic of a log.
type Place struct {
	Life  string
	Topic int64 // the topic's number in its log, from 1 on
	Pos   int64 // the event's number in its topic, from 1 on; 0 is before the first
}

// Row is the position as one number, which grows with Pos inside a topic.
func (p Place) Row() int64 { return p.Topic<<posBits | p.Pos }

// At returns the place of a row.
func At(life string, row int64) Place {
	return Place{Life: life, Topic: row >> posBits, Pos: row & MaxPos}
}

// String returns the text form. Texts of one topic sort as their positions.
func (p Place) String() string { return fmt.Sprintf("%s-%016x", p.Life, p.Row()) }

// Parse reads the text form, and returns false for any other text.
func Parse(s string) (Place, bool) {
	if len(s) != Life+1+16 || s[Life] != '-' {
		return Place{}, false
	}
	row, err := strconv.ParseUint(s[Life+1:], 16, 63)
	if err != nil {
		return Place{}, false
	}
	p := At(s[:Life], int64(row))
	return p, p.Topic > 0 && p.String() == s
}

// Package id makes the ids of items: UUIDs of version 7 (RFC 9562 §5.7).
//
// An id is made once, where the item is born, and kept across attempts. It
// begins with the time it was made, so a receiver that only has the id still
// knows how old the item is, and ids made later sort later.
package id

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"sync"
	"time"
)

// hold is how far the clock may step back before ids follow it down. Within
// it ids go on growing from the last instant (RFC 9562 §6.2).
const hold = time.Second

var last struct {
	sync.Mutex
	ms      int64  // the instant of the last id
	counter uint16 // its rand_a, 12 bits, growing within an instant
}

// New returns a new id in its text form of 36 lower case characters. Ids of
// one process made within a millisecond, or while its clock stepped back by
// up to a second, sort in the order they were made. New is safe for
// concurrent use.
func New() string {
	var r [10]byte
	_, _ = rand.Read(r[:]) // never fails: it ends the program instead
	ms, counter := tick(time.Now().UnixMilli(), binary.BigEndian.Uint16(r[8:]))

	var b [16]byte
	binary.BigEndian.PutUint64(b[:], uint64(ms)<<16|0x7000|uint64(counter))
	copy(b[8:], r[:8])
	b[8] = b[8]&0x3f | 0x80
	return text(b)
}

// tick returns the next instant and counter, larger than the last. A new
// instant starts its counter at random with the top bit free, so that at
// least 2048 ids fit before the instant is pushed ahead of the clock.
func tick(now int64, random uint16) (ms int64, counter uint16) {
	last.Lock()
	defer last.Unlock()
	switch {
	case now > last.ms, now < last.ms-hold.Milliseconds():
		last.ms, last.counter = now, random&0x7ff
	case last.counter < 0xfff:
		last.counter++
	default:
		last.ms, last.counter = last.ms+1, random&0x7ff
	}
	return last.ms, last.counter
}

func text(b [16]byte) string {
	var s [36]byte
	hex.Encode(s[0:8], b[0:4])
	hex.Encode(s[9:13], b[4:6])
	hex.Encode(s[14:18], b[6:8])
	hex.Encode(s[19:23], b[8:10])
	hex.Encode(s[24:36], b[10:16])
	s[8], s[13], s[18], s[23] = '-', '-', '-', '-'
	return string(s[:])
}

// Time returns the instant inside a UUID of version 7, to the millisecond and
// in UTC, and false for any other text. Hex digits of both cases are read
// (RFC 9562 §4); braces and a urn prefix are not.
func Time(id string) (time.Time, bool) {
	if len(id) != 36 || id[14] != '7' {
		return time.Time{}, false
	}
	switch id[19] {
	case '8', '9', 'a', 'b', 'A', 'B':
	default:
		return time.Time{}, false
	}
	var ms int64
	for i := range len(id) {
		c := id[i]
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return time.Time{}, false
			}
			continue
		}
		d, ok := digit(c)
		if !ok {
			return time.Time{}, false
		}
		if i < 13 {
			ms = ms<<4 | int64(d)
		}
	}
	return time.UnixMilli(ms).UTC(), true
}

func digit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

package uiupdate

import (
	"strconv"
	"strings"
)

// A position says which versions of the rows a reader has, in the few bytes of
// an event's id. Blocks before block have been read at head or later, the
// others at base or later. Away from the middle of a catch-up block is 0 and
// head is base.
//
//	epoch-base             at rest
//	epoch-base-head-block  in the middle of a catch-up
type position struct {
	base, head uint64
	block      int
}

// maxID is longer than any id of ours: an epoch of 26 characters and three
// numbers.
const maxID = 26 + 3*21

func (p position) id(epoch string) string {
	b := make([]byte, 0, maxID)
	b = append(b, epoch...)
	b = strconv.AppendUint(append(b, '-'), p.base, 10)
	if p.block > 0 || p.head != p.base {
		b = strconv.AppendUint(append(b, '-'), p.head, 10)
		b = strconv.AppendInt(append(b, '-'), int64(p.block), 10)
	}
	return string(b)
}

// parsePosition reads an id that came from outside. It is strict: each
// position has one spelling, so that nothing but an id of ours is one.
func parsePosition(epoch, id string) (position, bool) {
	rest, ok := strings.CutPrefix(id, epoch+"-")
	if !ok || len(id) > maxID {
		return position{}, false
	}
	part := strings.Split(rest, "-")
	if len(part) != 1 && len(part) != 3 {
		return position{}, false
	}
	var n [3]uint64
	for i, s := range part {
		v, err := strconv.ParseUint(s, 10, 63)
		if err != nil {
			return position{}, false
		}
		n[i] = v
	}
	p := position{base: n[0], head: n[1], block: int(n[2])}
	if len(part) == 1 {
		p.head = p.base
	}
	return p, p.base <= p.head && p.head > 0 && p.id(epoch) == id
}

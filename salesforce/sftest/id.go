package sftest

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

const (
	// base62 is the alphabet of ids, in the order the platform counts by.
	base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	// checks is the alphabet of the three characters that make an id safe where
	// case is lost: one for each five characters, a bit for each capital.
	checks = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
)

// longID adds the checksum to an id of 15 characters.
func longID(id string) string {
	var sum [3]byte
	for block := range sum {
		bits := 0
		for i, c := range []byte(id[block*5 : block*5+5]) {
			if 'A' <= c && c <= 'Z' {
				bits |= 1 << i
			}
		}
		sum[block] = checks[bits]
	}
	return id + string(sum[:])
}

// shortID gives the 15 characters that identify, of an id with or without its
// checksum. The case of 18 characters is put right by their checksum, which is
// what it is for; an id whose checksum belongs to no spelling of it is none.
func shortID(id string) (string, bool) {
	if len(id) != 15 && len(id) != 18 {
		return "", false
	}
	for _, c := range []byte(id) {
		if strings.IndexByte(base62, c) < 0 {
			return "", false
		}
	}
	if len(id) == 15 {
		return id, true
	}
	short := []byte(id[:15])
	for block, c := range []byte(strings.ToUpper(id[15:])) {
		bits := strings.IndexByte(checks, c)
		if bits < 0 {
			return "", false
		}
		for i := range 5 {
			at := block*5 + i
			upper, lower := strings.ToUpper(string(short[at]))[0], strings.ToLower(string(short[at]))[0]
			switch {
			case bits&(1<<i) == 0:
				short[at] = lower
			case upper == lower: // a digit has no capital
				return "", false
			default:
				short[at] = upper
			}
		}
	}
	return string(short), true
}

// ids makes the ids of one org: a prefix, the org's own three characters, and a
// number that counts up per prefix.
type ids struct {
	pod  string
	next map[string]uint64
}

func newIDs(seed uint64) *ids {
	r := rand.New(rand.NewPCG(seed, 0))
	pod := string([]byte{base62[r.IntN(62)], base62[r.IntN(62)], '0'})
	return &ids{pod: pod, next: map[string]uint64{}}
}

// make gives the next id of 18 characters under a prefix of three.
func (g *ids) make(prefix string) string {
	g.next[prefix]++
	n := g.next[prefix]
	var tail [9]byte
	for i := len(tail) - 1; i >= 0; i-- {
		tail[i] = base62[n%62]
		n /= 62
	}
	return longID(prefix + g.pod + string(tail[:]))
}

// uuid makes a random one, for the ids of events.
func uuid(r *rand.Rand) string {
	a, b := r.Uint64(), r.Uint64()
	a = a&^0xf000 | 0x4000
	b = b&^(3<<62) | 2<<62
	return fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", a>>32, a>>16&0xffff, a&0xffff, b>>48, b&0xffffffffffff)
}

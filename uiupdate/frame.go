package uiupdate

import (
	"strconv"
	"time"
)

// What goes over the wire: Server-Sent Events as the HTML standard has them
// (section 9.2), each with one data line of JSON. JSON has no raw line breaks,
// so no value can forge a field.

// chunk is about how many bytes an event of rows has; a block of rows is not
// cut, so that one may be larger.
const chunk = 32 << 10

// stampForm has milliseconds, as the ECMAScript date format has, cut and not
// rounded: a value is never said to be younger than it is.
const stampForm = "2006-01-02T15:04:05.000Z"

func appendTime(b []byte, t time.Time) []byte { return t.UTC().AppendFormat(b, stampForm) }

// frames collects events of rows.
type frames[K comparable, V any] struct {
	buf   []byte
	epoch string
	start int // of the event that is open
	rows  int // in it
}

func (f *frames[K, V]) size() int { return len(f.buf) - f.start }

func (f *frames[K, V]) row(kind Kind, r *row[K, V]) {
	if f.rows == 0 {
		f.start = len(f.buf)
		f.buf = append(append(append(f.buf, "event: "...), kind.String()...), "\ndata: {\"rows\":["...)
	} else {
		f.buf = append(f.buf, ',')
	}
	f.buf = append(appendTime(append(append(f.buf, r.body...), `,"asOf":"`...), r.asOf), `"}`...)
	f.rows++
}

// end closes the event of rows that is open, if one is.
func (f *frames[K, V]) end(_ Kind, at position) {
	if f.rows > 0 {
		f.buf = append(f.buf, "]}"...)
		f.id(at)
	}
	f.start, f.rows = len(f.buf), 0
}

func (f *frames[K, V]) id(at position) {
	f.buf = append(append(append(f.buf, "\nid: "...), at.id(f.epoch)...), "\n\n"...)
}

func (f *frames[K, V]) reset(why string, at position) {
	f.buf = append(append(append(f.buf, "event: reset\ndata: {\"why\":\""...), why...), "\"}"...)
	f.id(at)
	f.start = len(f.buf)
}

func (f *frames[K, V]) live(asOf, now time.Time, beat time.Duration, at position) {
	f.buf = append(f.buf, "event: live\ndata: "...)
	f.buf = appendLive(f.buf, asOf, now, beat)
	f.id(at)
	f.start = len(f.buf)
}

// appendLive writes the data of a live event. beat is left out where it is not
// known.
func appendLive(b []byte, asOf, now time.Time, beat time.Duration) []byte {
	b = append(appendTime(append(b, `{"now":"`...), now), '"')
	if !asOf.IsZero() {
		b = append(appendTime(append(b, `,"asOf":"`...), asOf), '"')
	}
	if beat > 0 {
		b = strconv.AppendInt(append(b, `,"heartbeatMs":`...), beat.Milliseconds(), 10)
	}
	return append(b, '}')
}

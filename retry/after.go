package retry

import (
	"net/http"
	"strings"
	"time"
)

// usable is the longest Retry-After that is believed.
const usable = 24 * time.Hour

// ParseAfter reads the Retry-After header of a response (RFC 9110 §10.2.3):
// whole seconds, or an HTTP date in any of its three forms. A date is counted
// from the response's own Date header where that can be read, so that the
// difference between two clocks cannot shorten it; else from now. Of several
// values the longest counts.
//
// It returns false when there is nothing usable: no header, another form,
// zero, a date that is past, or more than 24 hours.
func ParseAfter(h http.Header, now time.Time) (time.Duration, bool) {
	var longest time.Duration
	for _, v := range h["Retry-After"] {
		if d, ok := parseAfter(strings.Trim(v, " \t"), h, now); ok {
			longest = max(longest, d)
		}
	}
	return longest, longest > 0
}

func parseAfter(v string, h http.Header, now time.Time) (time.Duration, bool) {
	if s, ok := seconds(v); ok {
		return s, s <= usable
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0, false
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	d := at.Sub(now)
	return d, d > 0 && d <= usable
}

// seconds reads digits alone (strconv would take a sign) and stops growing
// above what is usable.
func seconds(v string) (time.Duration, bool) {
	if v == "" {
		return 0, false
	}
	var n time.Duration
	for i := range len(v) {
		if v[i] < '0' || v[i] > '9' {
			return 0, false
		}
		if n <= usable {
			n = n*10 + time.Duration(v[i]-'0')*time.Second
		}
	}
	return n, true
}

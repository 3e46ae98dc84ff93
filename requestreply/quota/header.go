package quota

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/crosstie/crosstie/retry"
)

// maxHeader is the longest header value that is looked at.
const maxHeader = 4 << 10

// A sight is what one answer says; -1 is what it does not say.
type sight struct {
	used, limit, left int64
	until             time.Time // zero: not said
	shut              time.Time
}

func (s sight) nothing() bool {
	return s.used < 0 && s.limit < 0 && s.left < 0 && s.until.IsZero() && s.shut.IsZero()
}

// look reads the headers of an answer.
func look(status int, h http.Header, now time.Time) sight {
	s := sight{used: -1, limit: -1, left: -1}
	if status == http.StatusTooManyRequests {
		if d, ok := retry.ParseAfter(h, now); ok {
			s.shut = now.Add(d)
		}
	}
	if used, limit, ok := sforce(value(h, "Sforce-Limit-Info")); ok {
		s.used, s.limit = used, limit
		return s
	}
	for _, prefix := range []string{"Ratelimit", "X-Ratelimit"} {
		left, ok := number(value(h, prefix+"-Remaining"))
		if !ok {
			continue
		}
		s.left = left
		if limit, ok := number(first(value(h, prefix+"-Limit"))); ok {
			s.limit = limit
		}
		if reset, ok := number(value(h, prefix+"-Reset")); ok {
			s.until = instant(reset, now)
		}
		return s
	}
	s.structured(value(h, "Ratelimit"), value(h, "Ratelimit-Policy"), now)
	return s
}

// value is the only value of a field; of several, which one holds is not known.
func value(h http.Header, name string) string {
	vs := h[name]
	if len(vs) != 1 || len(vs[0]) > maxHeader {
		return ""
	}
	return strings.TrimSpace(vs[0])
}

// first is what stands before the first comma: older drafts list windows after
// the limit.
func first(s string) string {
	s, _, _ = strings.Cut(s, ",")
	return strings.TrimSpace(s)
}

// number reads digits alone, at most 15 of them.
func number(s string) (int64, bool) {
	if s == "" || len(s) > 15 {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// instant reads seconds from now, or seconds since 1970 when there are more
// than a quota can last. What is out of reach is not said.
func instant(n int64, now time.Time) time.Time {
	at := now.Add(time.Duration(min(n, 1e8)) * time.Second)
	if n > 1e8 {
		at = time.Unix(n, 0)
	}
	if d := at.Sub(now); d <= 0 || d > maxPeriod {
		return time.Time{}
	}
	return at
}

// sforce reads "api-usage=18/5000; per-app-api-usage=...".
func sforce(s string) (used, limit int64, ok bool) {
	for part := range strings.SplitSeq(s, ";") {
		v, found := strings.CutPrefix(strings.TrimSpace(part), "api-usage=")
		if !found {
			continue
		}
		a, b, found := strings.Cut(v, "/")
		used, ok1 := number(a)
		limit, ok2 := number(b)
		if found && ok1 && ok2 && limit > 0 {
			return used, limit, true
		}
	}
	return 0, 0, false
}

// structured reads the fields of draft-ietf-httpapi-ratelimit-headers: lists of
// names with parameters, r (left) and t (seconds to the end) in one, q (the
// allowance) in the other. Of several policies the one with the least left
// counts.
func (s *sight) structured(limits, policies string, now time.Time) {
	for _, item := range items(limits) {
		left, ok := number(item.params["r"])
		if !ok || s.left >= 0 && left >= s.left {
			continue
		}
		s.left, s.limit, s.until = left, -1, time.Time{}
		if t, ok := number(item.params["t"]); ok {
			s.until = instant(t, now)
		}
		for _, p := range items(policies) {
			if q, ok := number(p.params["q"]); ok && p.name == item.name {
				s.limit = q
			}
		}
	}
}

// An item is a member of a structured list: a name and its parameters.
type item struct {
	name   string
	params map[string]string
}

// items splits a list. Names with a comma or semicolon in them are not taken
// apart rightly, and then say nothing.
func items(s string) (list []item) {
	if s == "" {
		return nil
	}
	for member := range strings.SplitSeq(s, ",") {
		name, rest, _ := strings.Cut(strings.TrimSpace(member), ";")
		it := item{name: strings.TrimSpace(name), params: map[string]string{}}
		for p := range strings.SplitSeq(rest, ";") {
			k, v, _ := strings.Cut(strings.TrimSpace(p), "=")
			it.params[k] = v
		}
		list = append(list, it)
	}
	return list
}

// apply is s with what was seen. limit is the allowance before, and hand what
// this process has taken and not used: the other side has not counted it.
func (v sight) apply(s State, limit, hand int64) State {
	if v.limit > 0 {
		s.Limit, limit = v.limit, v.limit
	}
	used := v.used
	if v.left >= 0 {
		used = max(0, limit-v.left)
	}
	switch {
	case v.until.IsZero():
	case v.until.Sub(s.Until).Abs() <= 2*time.Second: // rounded seconds
	default:
		// Another end is another period, whose count is what we are told.
		s.Until, s.Used = v.until, 0
	}
	if used >= 0 {
		s.Used = max(s.Used, used+hand)
	}
	if v.shut.After(s.Shut) {
		s.Shut = v.shut
	}
	s.Until, s.Shut = s.Until.Truncate(time.Microsecond), s.Shut.Truncate(time.Microsecond)
	return s
}

// news reports whether it is worth the store's time: small steps of what is
// used are not, as long as much is left.
func (v sight) news(s State, limit, reserve, chunk int64) bool {
	next := v.apply(s, limit, 0)
	if next.Limit != s.Limit || !next.Until.Equal(s.Until) || next.Shut.After(s.Shut.Add(time.Second)) {
		return true
	}
	grown := next.Used - s.Used
	return grown >= chunk || grown > 0 && next.Used+chunk >= limit-reserve
}

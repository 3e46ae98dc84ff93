package salesforce

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Limits is what the org last said about its calls of the day.
type Limits struct {
	// Used and Max count API calls of the last 24 hours, of all who call the
	// org. Both are 0 before the first answer.
	Used, Max int64
	// At is when the org said so.
	At time.Time
}

// Left returns how many calls are left.
func (l Limits) Left() int64 { return max(0, l.Max-l.Used) }

// Limits returns what the latest answer said about the day's calls. It makes
// no call.
func (o *Org) Limits() Limits {
	o.limits.mu.Lock()
	defer o.limits.mu.Unlock()
	return o.limits.last
}

type limits struct {
	mu     sync.Mutex // guards the fields below
	last   Limits
	looked time.Time // when a call was let through although nothing was left
}

// note reads the Sforce-Limit-Info header of an answer: "api-usage=18/5000",
// perhaps with more after a semicolon.
func (l *limits) note(h http.Header) {
	for part := range strings.SplitSeq(h.Get("Sforce-Limit-Info"), ";") {
		usage, ok := strings.CutPrefix(strings.TrimSpace(part), "api-usage=")
		if !ok {
			continue
		}
		u, m, _ := strings.Cut(usage, "/")
		used, err1 := strconv.ParseInt(u, 10, 64)
		most, err2 := strconv.ParseInt(m, 10, 64)
		if err1 != nil || err2 != nil || used < 0 || most <= 0 {
			continue
		}
		l.mu.Lock()
		l.last = Limits{used, most, time.Now()}
		l.mu.Unlock()
	}
}

// allow says whether one more call leaves the reserve alone. What it knows
// comes from answers alone, so one call a minute looks again.
func (l *limits) allow(reserve int64) bool {
	if reserve <= 0 {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last.Max == 0 || l.last.Left() > reserve {
		return true
	}
	now := time.Now()
	seen := l.last.At
	if l.looked.After(seen) {
		seen = l.looked
	}
	if now.Sub(seen) < time.Minute {
		return false
	}
	l.looked = now
	return true
}

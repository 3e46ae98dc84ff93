package retry

import (
	"math"
	"sync"
	"time"
)

const (
	// saved is how many retries a budget keeps for later, and how deep in
	// debt the account gets that did not allow them.
	saved = 10
	// enough for one retry: ten times 0.1 is a little less than 1.
	enough = 1 - 1e-9
)

// A Budget keeps retries a small part of the traffic, so that they cannot
// bring down what is struggling already. It allows the greater of a share of
// the calls and a number of retries per time, and saves at most 10; a new one
// has saved 10, and its first calls make up for them, so that they do not come on
// top of the share. Calls of every outcome fill it. Share one among all calls to
// one destination. A retry counts against both measures: the one that did not
// allow it has up to 10 to make up for before it allows another, so after a
// busy time it may take 11 quiet minutes until there is one retry a minute.
//
// The zero value allows the greater of 10 % of the calls and one retry a
// minute. A nil Budget allows everything. A Budget is safe for concurrent use
// and must not be copied after first use.
type Budget struct {
	ratio, perSecond float64

	mu      sync.Mutex // guards what follows
	begun   bool
	byCalls float64
	byTime  float64
	at      time.Time // when byTime was last filled
}

// NewBudget returns a budget of the greater of ratio retries a call and
// perSecond retries a second. Zero means the default: 0.1, and one a minute.
// A negative number or NaN allows no retries by that measure.
func NewBudget(ratio, perSecond float64) *Budget {
	return &Budget{ratio: ratio, perSecond: perSecond}
}

// Call counts one call; a repeat is not another call. [Do] and
// [Policy.Begin] do it themselves.
func (b *Budget) Call() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.begin()
	b.byCalls = min(saved, b.byCalls+b.share(b.ratio, 0.1))
}

// Take asks for one retry and reports whether there was one left. Ask before
// waiting, so that nobody waits for what is refused then. [Do] and
// [Attempts.Next] do it themselves.
func (b *Budget) Take() bool {
	_, ok := b.take()
	return ok
}

// A loan is what one retry took from the two accounts.
type loan struct{ byCalls, byTime float64 }

func (b *Budget) take() (loan, bool) {
	if b == nil {
		return loan{}, true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.begin()
	b.fill()
	if b.byCalls < enough && b.byTime < enough {
		return loan{}, false
	}
	// A retry counts against both accounts, into debt: else their sum would
	// be allowed, and not the greater of them.
	l := loan{min(1, b.byCalls+saved), min(1, b.byTime+saved)}
	b.byCalls -= l.byCalls
	b.byTime -= l.byTime
	return l, true
}

// giveBack returns what was taken for a retry that was not made.
func (b *Budget) giveBack(l loan) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.byCalls = min(saved, b.byCalls+l.byCalls)
	b.byTime = min(saved, b.byTime+l.byTime)
}

func (b *Budget) begin() {
	if b.begun {
		return
	}
	b.begun, b.at = true, time.Now()
	// The two begin with saved between them, not each: the first retries are a
	// loan to the account of the calls, or they would come on top of its share.
	switch {
	case b.share(b.perSecond, 1./60) > 0:
		b.byTime = saved
	case b.share(b.ratio, 0.1) > 0:
		b.byCalls = saved
	}
}

func (b *Budget) fill() {
	now := time.Now()
	// Without a monotonic reading the clock may have stepped back.
	if d := now.Sub(b.at).Seconds(); d > 0 {
		b.byTime = min(saved, b.byTime+d*b.share(b.perSecond, 1./60))
	}
	b.at = now
}

func (b *Budget) share(v, byDefault float64) float64 {
	switch {
	case v == 0:
		return byDefault
	case v < 0, math.IsNaN(v):
		return 0
	}
	return min(v, saved)
}

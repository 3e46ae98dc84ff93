package crosstie_test

import (
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie"
)

// values holds, for each driver, what lies on both sides of every bound at
// which the advice may change.
var (
	withins   = []time.Duration{0, time.Millisecond, 5 * time.Second, 6 * time.Second, 5 * time.Minute, 6 * time.Minute, time.Hour, 2 * time.Hour, 24 * time.Hour, 14 * 24 * time.Hour}
	runs      = []time.Duration{0, time.Millisecond, 5 * time.Second, 6 * time.Second, 2 * time.Minute, 3 * time.Minute, 40 * time.Minute, 3 * time.Hour}
	counts    = []int64{0, 1, 2, 199, 200, 1_999, 2_000, 9_999, 10_000, 10_001, 25_001, 999_999, 1_000_000, 150_000_000, 1_000_000_000_000}
	listeners = []int{0, 1, 2, 3, 4, 8, 200, 5_000, 1_000_000}
	allowed   = []int64{0, 1, 23, 24, 499, 5_000, 100_000, 1_000_000, 1_000_000_000_000}
)

func pick[T any](r *rand.Rand, of []T) T { return of[r.IntN(len(of))] }

func random(r *rand.Rand) crosstie.Requirement {
	return crosstie.Requirement{
		Within: pick(r, withins), PersonWaits: r.IntN(2) == 0, Runs: pick(r, runs),
		PerDay: pick(r, counts), PerBurst: pick(r, counts), BestEffort: r.IntN(2) == 0,
		Direction: crosstie.Direction(r.IntN(3)), Starts: crosstie.Side(r.IntN(3)),
		Listeners: pick(r, listeners), InPlace: r.IntN(2) == 0, CallsPerDay: pick(r, allowed),
	}
}

// soak is how many rounds to make: a hundred times as many for `make soak`.
func soak(rounds int) int {
	if os.Getenv("CROSSTIE_SOAK") != "" {
		return 100 * rounds
	}
	return rounds
}

func place(a crosstie.Advice, p crosstie.Pattern) int {
	return slices.IndexFunc(a.Ranked, func(c crosstie.Choice) bool { return c.Pattern == p })
}

func choice(a crosstie.Advice, p crosstie.Pattern) crosstie.Choice { return a.Ranked[place(a, p)] }

// sane asserts what holds for any advice.
func sane(t require.TestingT, a crosstie.Advice) {
	require.Len(t, a.Ranked, 6)
	seen := map[crosstie.Pattern]bool{}
	for i, c := range a.Ranked {
		seen[c.Pattern] = true
		sum := 0
		for j, why := range c.Reasons {
			sum += why.Points
			require.NotZero(t, why.Points)
			require.NotEmpty(t, why.Field)
			require.NotContains(t, why.Text, "{")
			if j > 0 {
				require.LessOrEqual(t, max(why.Points, -why.Points), max(c.Reasons[j-1].Points, -c.Reasons[j-1].Points))
			}
		}
		require.Equal(t, c.Score, sum, "the score is the sum of its reasons")
		require.Positive(t, c.Cost.Calls)
		require.Equal(t, c.Cost.Allowed == 0 || c.Cost.Calls <= c.Cost.Allowed, c.Cost.Fits)
		require.NotEmpty(t, c.Cost.Formula)
		require.NotEmpty(t, c.Tooling)
		if i > 0 {
			before := a.Ranked[i-1]
			require.True(t, before.Score > c.Score || before.Score == c.Score && before.Pattern < c.Pattern, "ranked by score, then by the order of the constants")
		}
	}
	require.Len(t, seen, 6, "each pattern once")
	require.Equal(t, a.Ranked[1].Pattern, a.Warning.RunnerUp)
	require.NotEmpty(t, a.Warning.AntiPattern)
	require.NotEmpty(t, a.Warning.Text)
	require.GreaterOrEqual(t, a.Warning.Calls, int64(0))
	require.NotEmpty(t, a.String())
}

// Each property holds one requirement beside the same one with a driver
// turned up: then the favoured pattern keeps its place or gains.
func TestChooseProperties(t *testing.T) {
	rounds := soak(1_000)
	at := func(r *rand.Rand, of int) int { return r.IntN(of) }
	for _, p := range []struct {
		name   string
		favour crosstie.Pattern
		turn   func(r *rand.Rand, q crosstie.Requirement) (less, more crosstie.Requirement)
		// excused says that the favoured pattern may fall after all.
		excused func(less, more crosstie.Choice) bool
	}{
		{"more listeners, pubsub", crosstie.PubSub, func(r *rand.Rand, q crosstie.Requirement) (less, more crosstie.Requirement) {
			less, more = q, q
			i := at(r, len(listeners))
			less.Listeners, more.Listeners = listeners[i], listeners[i+at(r, len(listeners)-i)]
			return less, more
		}, nil},
		{"longer work, remoteinvoke", crosstie.RemoteInvoke, func(r *rand.Rand, q crosstie.Requirement) (less, more crosstie.Requirement) {
			less, more = q, q
			i := at(r, len(runs)-1) + 1 // 0 is the default of one second, not the shortest
			less.Runs, more.Runs = runs[i], runs[i+at(r, len(runs)-i)]
			return less, more
		}, nil},
		{"larger bursts, batchsync", crosstie.BatchSync, func(r *rand.Rand, q crosstie.Requirement) (less, more crosstie.Requirement) {
			less, more = q, q
			i := at(r, len(counts))
			less.PerBurst, more.PerBurst = counts[i], counts[i+at(r, len(counts)-i)]
			return less, more
		}, func(less, more crosstie.Choice) bool { return less.Cost.Fits && !more.Cost.Fits }},
		{"more time, batchsync", crosstie.BatchSync, func(r *rand.Rand, q crosstie.Requirement) (less, more crosstie.Requirement) {
			q.Direction, q.CallsPerDay = crosstie.Between, 0 // else polling may become affordable too
			less, more = q, q
			i := at(r, len(withins)-1) + 1
			less.Within, more.Within = withins[i], withins[i+at(r, len(withins)-i)]
			return less, more
		}, nil},
		{"a person, uiupdate", crosstie.UIUpdate, func(r *rand.Rand, q crosstie.Requirement) (less, more crosstie.Requirement) {
			q.Within = withins[1+at(r, 6)] // given, for its default depends on the person
			less, more = q, q
			less.PersonWaits, more.PersonWaits = false, true
			return less, more
		}, nil},
		{"best effort, uiupdate", crosstie.UIUpdate, func(r *rand.Rand, q crosstie.Requirement) (less, more crosstie.Requirement) {
			less, more = q, q
			less.BestEffort, more.BestEffort = false, true
			return less, more
		}, nil},
		{"guaranteed, fireforget", crosstie.FireForget, func(r *rand.Rand, q crosstie.Requirement) (less, more crosstie.Requirement) {
			less, more = q, q
			less.BestEffort, more.BestEffort = true, false
			return less, more
		}, nil},
		{"data in place, requestreply", crosstie.RequestReply, func(r *rand.Rand, q crosstie.Requirement) (less, more crosstie.Requirement) {
			less, more = q, q
			less.InPlace, more.InPlace = false, true
			return less, more
		}, nil},
		{"a copy wanted, batchsync", crosstie.BatchSync, func(r *rand.Rand, q crosstie.Requirement) (less, more crosstie.Requirement) {
			less, more = q, q
			less.InPlace, more.InPlace = true, false
			return less, more
		}, nil},
	} {
		t.Run(p.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			moved := 0
			for range rounds {
				less, more := p.turn(r, random(r))
				a, err := crosstie.Choose(less)
				if err != nil {
					continue
				}
				b, err := crosstie.Choose(more)
				if err != nil || p.excused != nil && p.excused(choice(a, p.favour), choice(b, p.favour)) {
					continue
				}
				if place(b, p.favour) < place(a, p.favour) {
					moved++
				}
				require.LessOrEqual(t, place(b, p.favour), place(a, p.favour), "%+v\nthen %+v\n%s\n%s", less, more, a, b)
			}
			require.Positive(t, moved, "the driver decides something")
		})
	}
}

// The ranking is total, the same each time, and sane wherever it is asked.
func TestChooseAnywhere(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	first := map[crosstie.Pattern]int{}
	for range soak(600) {
		need := random(r)
		a, err := crosstie.Choose(need)
		if err != nil {
			continue
		}
		sane(t, a)
		again, err := crosstie.Choose(need)
		require.NoError(t, err)
		require.Equal(t, a, again)
		// What the advice says it judged is judged the same.
		filled, err := crosstie.Choose(a.Requirement)
		if err == nil { // a default may stand beside a value that it would contradict if it were given
			require.Equal(t, a, filled)
		}
		first[a.Ranked[0].Pattern]++
	}
	require.Len(t, first, 6, "no pattern is never the answer: %v", first)
}

func FuzzChoose(f *testing.F) {
	for _, c := range useCases {
		n := c.need
		f.Add(int64(n.Within), n.PersonWaits, int64(n.Runs), n.PerDay, n.PerBurst, n.BestEffort, int(n.Direction), int(n.Starts), n.Listeners, n.InPlace, n.CallsPerDay)
	}
	f.Fuzz(func(t *testing.T, within int64, person bool, takes, perDay, perBurst int64, best bool, direction, starts, heard int, inPlace bool, calls int64) {
		a, err := crosstie.Choose(crosstie.Requirement{
			Within: time.Duration(within), PersonWaits: person, Runs: time.Duration(takes), PerDay: perDay, PerBurst: perBurst,
			BestEffort: best, Direction: crosstie.Direction(direction), Starts: crosstie.Side(starts), Listeners: heard, InPlace: inPlace, CallsPerDay: calls,
		})
		if err != nil {
			require.Empty(t, a)
			return
		}
		sane(t, a)
	})
}

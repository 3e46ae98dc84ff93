package crosstie_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie"
)

// The seven use cases this module is built for, as their owners describe them.
var useCases = []struct {
	name  string
	need  crosstie.Requirement
	want  crosstie.Pattern
	why   []string // fields that must be among the three heaviest reasons
	anti  crosstie.AntiPattern
	calls int64
	tool  string // part of a tool's name
}{
	{
		name: "current inventory",
		need: crosstie.Requirement{
			Within: 800 * time.Millisecond, PersonWaits: true, Runs: 200 * time.Millisecond, PerDay: 20_000,
			BestEffort: true, Direction: crosstie.IntoSalesforce, Starts: crosstie.AskingSide, InPlace: true,
		},
		want: crosstie.RequestReply, why: []string{"Starts", "PersonWaits"},
		anti: crosstie.LongCaching, calls: 20_000, tool: "External Services",
	},
	{
		name: "notification and audit",
		need: crosstie.Requirement{
			Within: time.Minute, PerDay: 30_000, PerBurst: 20,
			Direction: crosstie.OutOfSalesforce, Starts: crosstie.ChangedSide, Listeners: 2,
		},
		want: crosstie.FireForget, why: []string{"Starts", "BestEffort"},
		anti: crosstie.NoRetry, calls: 60_000, tool: "Outbound Messages",
	},
	{
		name: "nightly reload",
		need: crosstie.Requirement{
			Within: 8 * time.Hour, PerDay: 500_000, PerBurst: 500_000, Direction: crosstie.IntoSalesforce,
		},
		want: crosstie.BatchSync, why: []string{"PerBurst", "Within"},
		anti: crosstie.ChattyCalls, calls: 500, tool: "Bulk API 2.0",
	},
	{
		name: "AI inference",
		need: crosstie.Requirement{
			Within: 30 * time.Minute, PersonWaits: true, Runs: 5 * time.Minute, PerDay: 2_000,
			Direction: crosstie.OutOfSalesforce, Starts: crosstie.AskingSide,
		},
		want: crosstie.RemoteInvoke, why: []string{"Runs", "Starts"},
		anti: crosstie.NoRetry, calls: 6_000, tool: "Queueable",
	},
	{
		name: "live screen",
		need: crosstie.Requirement{
			Within: 2 * time.Second, PersonWaits: true, PerDay: 20_000, BestEffort: true,
			Direction: crosstie.IntoSalesforce, Starts: crosstie.ChangedSide, Listeners: 3, InPlace: true,
		},
		want: crosstie.UIUpdate, why: []string{"PersonWaits", "Starts", "InPlace"},
		anti: crosstie.Polling, calls: 24, tool: "Salesforce Connect",
	},
	{
		name: "decoupled events",
		need: crosstie.Requirement{
			Within: time.Minute, PerDay: 20_000,
			Direction: crosstie.OutOfSalesforce, Starts: crosstie.ChangedSide, Listeners: 8,
		},
		want: crosstie.PubSub, why: []string{"Listeners", "Starts"},
		anti: crosstie.ChattyCalls, calls: 24, tool: "Change Data Capture",
	},
	{
		name: "weekly price lists",
		need: crosstie.Requirement{
			Within: 24 * time.Hour, PerDay: 7_000, PerBurst: 50_000, Direction: crosstie.IntoSalesforce,
		},
		want: crosstie.BatchSync, why: []string{"PerBurst", "Within"},
		anti: crosstie.ChattyCalls, calls: 50, tool: "Bulk API 2.0",
	},
}

func TestChooseUseCases(t *testing.T) {
	for _, c := range useCases {
		t.Run(c.name, func(t *testing.T) {
			a, err := crosstie.Choose(c.need)
			require.NoError(t, err)
			best := a.Ranked[0]
			require.Equal(t, c.want, best.Pattern, "%s", a)
			require.Greater(t, best.Score, a.Ranked[1].Score, "the choice is clear, not a tie")
			var fields []string
			for _, why := range best.Reasons[:min(3, len(best.Reasons))] {
				fields = append(fields, why.Field)
			}
			require.Subset(t, fields, c.why)
			require.Equal(t, a.Ranked[1].Pattern, a.Warning.RunnerUp)
			require.Equal(t, c.anti, a.Warning.AntiPattern, "%s", a)
			require.Equal(t, c.calls, best.Cost.Calls)
			require.True(t, best.Cost.Fits)
			require.Contains(t, strings.Join(best.Tooling, "\n"), c.tool)
		})
	}
}

// The zero value is a requirement too: careful, one by one, nobody waits.
func TestChooseZero(t *testing.T) {
	a, err := crosstie.Choose(crosstie.Requirement{})
	require.NoError(t, err)
	require.Equal(t, crosstie.FireForget, a.Ranked[0].Pattern)
	require.Equal(t, crosstie.Requirement{
		Within: time.Hour, Runs: time.Second, PerDay: 1_000, PerBurst: 1, Listeners: 1,
	}, a.Requirement)
	a, err = crosstie.Choose(crosstie.Requirement{PersonWaits: true, PerBurst: 5_000, Direction: crosstie.IntoSalesforce})
	require.NoError(t, err)
	require.Equal(t, 5*time.Second, a.Requirement.Within)
	require.EqualValues(t, 5_000, a.Requirement.PerDay)
	require.EqualValues(t, 100_000, a.Requirement.CallsPerDay)
}

// The formulas of Cost.Calls, each worked out by hand.
func TestCosts(t *testing.T) {
	costs := func(r crosstie.Requirement) map[crosstie.Pattern]int64 {
		a, err := crosstie.Choose(r)
		require.NoError(t, err)
		calls := map[crosstie.Pattern]int64{}
		for _, c := range a.Ranked {
			require.NotEmpty(t, c.Cost.Formula)
			calls[c.Pattern] = c.Cost.Calls
		}
		return calls
	}
	t.Run("polling every ten seconds against subscribing", func(t *testing.T) {
		got := costs(crosstie.Requirement{Within: 10 * time.Second, Starts: crosstie.ChangedSide, Listeners: 5, PerDay: 400})
		require.EqualValues(t, 5*(8_640+2), got[crosstie.RequestReply])
		require.EqualValues(t, 24, got[crosstie.PubSub])
		require.EqualValues(t, 24, got[crosstie.UIUpdate])
		require.EqualValues(t, 400*5, got[crosstie.FireForget])
		require.EqualValues(t, 400*3, got[crosstie.RemoteInvoke])
		// One row at a time makes a run a row: 400 runs, one batch, ten calls, five targets.
		require.EqualValues(t, 400*10*5, got[crosstie.BatchSync])
	})
	t.Run("a call a row against bulk batches", func(t *testing.T) {
		got := costs(crosstie.Requirement{PerDay: 60_000, PerBurst: 30_000, Within: 6 * time.Hour})
		require.EqualValues(t, 60_000, got[crosstie.RequestReply])
		require.EqualValues(t, 2*3*10, got[crosstie.BatchSync], "two runs of three batches")
	})
	t.Run("no more runs than fit into the day", func(t *testing.T) {
		got := costs(crosstie.Requirement{PerDay: 60_000, Within: 6 * time.Hour})
		require.EqualValues(t, 4*2*10, got[crosstie.BatchSync], "four runs of 15,000 rows")
	})
	t.Run("what does not fit is said and costs places", func(t *testing.T) {
		a, err := crosstie.Choose(crosstie.Requirement{PerDay: 500, CallsPerDay: 499})
		require.NoError(t, err)
		i := slices.IndexFunc(a.Ranked, func(c crosstie.Choice) bool { return c.Pattern == crosstie.FireForget })
		require.False(t, a.Ranked[i].Cost.Fits)
		require.Contains(t, a.Ranked[i].Reasons[0].Text, "500 calls a day are more than the 499 allowed")
		require.Positive(t, i)
	})
}

func TestPatternNames(t *testing.T) {
	require.Equal(t, "requestreply", crosstie.RequestReply.String())
	require.Equal(t, "pattern(0)", crosstie.Pattern(0).String())
	require.Equal(t, "out of Salesforce", crosstie.OutOfSalesforce.String())
	require.Equal(t, "direction(9)", crosstie.Direction(9).String())
	require.Equal(t, "the changed side", crosstie.ChangedSide.String())
	require.Equal(t, "side(-1)", crosstie.Side(-1).String())
	require.Equal(t, "no advice", crosstie.Advice{}.String())
}

// What a person reads names the pattern, its reasons, the tools, the warning
// and the numbers.
func TestAdviceText(t *testing.T) {
	a, err := crosstie.Choose(useCases[5].need)
	require.NoError(t, err)
	text := a.String()
	for _, part := range []string{
		"Use pubsub: tell whoever listens.",
		"+3 Listeners: 8 listeners",
		"Salesforce: Change Data Capture",
		"Not fireforget, which would be chatty synchronous calls",
		"160,000 calls or deliveries a day (20,000 items x 8 receiving) against 24",
		"MORE than the 100,000 allowed",
	} {
		require.Contains(t, text, part)
	}
	require.NotContains(t, text, "{", "every placeholder is filled")
}

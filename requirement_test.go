package crosstie_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie"
)

func TestChooseRefuses(t *testing.T) {
	for _, c := range []struct {
		name  string
		need  crosstie.Requirement
		field string
		value string
		limit string
	}{
		{"negative time", crosstie.Requirement{Within: -time.Second}, "Within", "-1s", "0 or 1ms to 8784h0m0s"},
		{"less than a millisecond", crosstie.Requirement{Within: time.Microsecond}, "Within", "1µs", "0 or 1ms to 8784h0m0s"},
		{"a person waits two days", crosstie.Requirement{PersonWaits: true, Within: 48 * time.Hour}, "Within", "48h0m0s", "at most 1h0m0s while PersonWaits"},
		{"negative work", crosstie.Requirement{Runs: -1}, "Runs", "-1ns", "0 to 8784h0m0s"},
		{"answered before it is done", crosstie.Requirement{Within: time.Second, Runs: time.Minute}, "Runs", "1m0s", "at most Within, 1s"},
		{"negative volume", crosstie.Requirement{PerDay: -1}, "PerDay", "-1", "0 to 1,000,000,000,000"},
		{"negative burst", crosstie.Requirement{PerBurst: math.MinInt64}, "PerBurst", "-9223372036854775808", "0 to 1,000,000,000,000"},
		{"absurd burst", crosstie.Requirement{PerBurst: math.MaxInt64}, "PerBurst", "9223372036854775807", "0 to 1,000,000,000,000"},
		{"no such direction", crosstie.Requirement{Direction: 7}, "Direction", "7", "Between, IntoSalesforce or OutOfSalesforce"},
		{"no such side", crosstie.Requirement{Starts: -1}, "Starts", "-1", "EitherSide, AskingSide or ChangedSide"},
		{"negative listeners", crosstie.Requirement{Listeners: -3}, "Listeners", "-3", "0 to 1,000,000"},
		{"negative allowance", crosstie.Requirement{CallsPerDay: -1}, "CallsPerDay", "-1", "0 to 1,000,000,000,000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, err := crosstie.Choose(c.need)
			require.Empty(t, a)
			e, ok := errors.AsType[*crosstie.Error](err)
			require.True(t, ok, "%v", err)
			require.Equal(t, c.field, e.Field)
			require.Equal(t, c.value, e.Value)
			require.Equal(t, c.limit, e.Limit)
			require.NotEmpty(t, e.Hint)
			require.Equal(t, "crosstie: Requirement."+c.field+" is "+c.value+", want "+c.limit+": "+e.Hint, err.Error())
		})
	}
	t.Run("every wrong field is named", func(t *testing.T) {
		_, err := crosstie.Choose(crosstie.Requirement{PerDay: -1, Listeners: -1})
		require.ErrorContains(t, err, "Requirement.PerDay")
		require.ErrorContains(t, err, "Requirement.Listeners")
	})
	t.Run("defaults never contradict", func(t *testing.T) {
		_, err := crosstie.Choose(crosstie.Requirement{PersonWaits: true, Runs: 10 * time.Minute})
		require.NoError(t, err)
		_, err = crosstie.Choose(crosstie.Requirement{Within: time.Millisecond})
		require.NoError(t, err)
	})
}

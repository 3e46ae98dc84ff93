package outcome_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
)

// Every gRPC code, and what is none.
func TestGRPC(t *testing.T) {
	for code, want := range map[uint32]struct {
		o         outcome.Outcome
		transient bool
	}{
		0:  {outcome.Applied, false},
		1:  {outcome.Unknown, false},
		2:  {outcome.Unknown, true},
		3:  {outcome.Refused, false},
		4:  {outcome.Unknown, true},
		5:  {outcome.Refused, false},
		6:  {outcome.Refused, false},
		7:  {outcome.Refused, false},
		8:  {outcome.Unknown, true},
		9:  {outcome.Refused, false},
		10: {outcome.Refused, false},
		11: {outcome.Refused, false},
		12: {outcome.Refused, false},
		13: {outcome.Unknown, true},
		14: {outcome.Unknown, true},
		15: {outcome.Unknown, false},
		16: {outcome.Refused, false},
		17: {outcome.Unknown, false}, 1 << 31: {outcome.Unknown, false},
	} {
		o, transient := outcome.GRPC(code)
		require.Equal(t, want.o, o, "code %d", code)
		require.Equal(t, want.transient, transient, "code %d", code)
	}
}

func TestSQLState(t *testing.T) {
	for _, row := range []struct {
		codes            []string
		o                outcome.Outcome
		transient, known bool
	}{
		{[]string{"40001", "40P01", "40000", "55P03", "55006", "57014", "57P03", "08001", "08004", "53100", "53300"}, outcome.Refused, true, true},
		{[]string{"23505", "23503", "22P02", "42601", "42P01", "42501", "25006", "25P02", "28P01", "3D000", "0A000", "21000", "40002", "44000", "54001", "55000", "P0001"}, outcome.Refused, false, true},
		{[]string{"08000", "08003", "08006", "08007", "40003", "57P01", "57P02"}, outcome.Unknown, true, true},
		{[]string{"XX000", "58030", "HV000", "00000", "08P01", "99999", "", "4000", "400011"}, outcome.Unknown, false, false},
	} {
		for _, code := range row.codes {
			o, transient, known := outcome.SQLState(code)
			require.Equal(t, row.o, o, code)
			require.Equal(t, row.transient, transient, code)
			require.Equal(t, row.known, known, code)
		}
	}
}

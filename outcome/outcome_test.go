package outcome_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
)

var errCause = errors.New("cause")

var all = []outcome.Outcome{outcome.Unknown, outcome.NotSent, outcome.Refused, outcome.Applied}

// The table of the package comment, status by status.
func TestStatus(t *testing.T) {
	const no, yes = false, true
	for _, row := range []struct {
		statuses  []int
		after     []bool // with a usable Retry-After
		want      outcome.Outcome
		transient bool
	}{
		{[]int{200, 201, 202, 204, 206, 226, 299, 304}, []bool{no, yes}, outcome.Applied, no},
		{[]int{307, 308}, []bool{no, yes}, outcome.Refused, no},
		{[]int{300, 301, 302, 303, 305, 399}, []bool{no, yes}, outcome.Unknown, no},
		{[]int{400, 401, 403, 404, 405, 406, 409, 410, 412, 413, 414, 415, 422, 428, 431}, []bool{no, yes}, outcome.Refused, no},
		{[]int{402, 407, 411, 416, 417, 418, 421, 423, 424, 426, 451, 499}, []bool{no, yes}, outcome.Refused, no},
		{[]int{425, 429}, []bool{no, yes}, outcome.Refused, yes},
		{[]int{503}, []bool{yes}, outcome.Refused, yes},
		{[]int{503}, []bool{no}, outcome.Unknown, yes},
		{[]int{408, 500, 502, 504}, []bool{no, yes}, outcome.Unknown, yes},
		{[]int{506, 507, 508, 510, 511, 520, 529, 599, 600, 999}, []bool{no, yes}, outcome.Unknown, yes},
		{[]int{501, 505}, []bool{no, yes}, outcome.Refused, no},
		{[]int{-1, 0, 99, 100, 101, 103, 199}, []bool{no, yes}, outcome.Unknown, no},
	} {
		for _, status := range row.statuses {
			for _, after := range row.after {
				o, transient := outcome.Status(status, after)
				require.Equal(t, row.want, o, "%d, Retry-After %v", status, after)
				require.Equal(t, row.transient, transient, "%d, Retry-After %v", status, after)
			}
		}
	}
}

// What each row of the table means for a repeat: safe for any operation, safe
// by key, worth it.
func TestRowsOfTheTable(t *testing.T) {
	for _, row := range []struct {
		seen      string
		o         outcome.Outcome
		transient bool
		safe      bool // without a key
	}{
		{"no request byte written", outcome.NotSent, true, true},
		{"our own breaker said no", outcome.NotSent, true, true},
		{"reset after the first byte", outcome.Unknown, true, false},
		{"404", outcome.Refused, false, true},
		{"429", outcome.Refused, true, true},
		{"500", outcome.Unknown, true, false},
		{"2xx whose body is cut", outcome.Applied, false, false},
		{"SQL: failed before COMMIT was sent", outcome.Refused, true, true},
		{"SQL: connection lost during COMMIT", outcome.Unknown, true, false},
	} {
		t.Run(row.seen, func(t *testing.T) {
			err := fmt.Errorf("room: op: %w", outcome.TransientError(row.o, row.transient, errCause))
			require.Equal(t, row.o, outcome.Of(err))
			transient, said := outcome.Transient(err)
			require.True(t, said)
			require.Equal(t, row.transient, transient)
			require.Equal(t, row.safe, outcome.NotApplied(err))
			require.Equal(t, row.safe, outcome.CanRepeat(err, false))
			require.True(t, outcome.CanRepeat(err, true))
		})
	}
}

func TestMarksKeepTheError(t *testing.T) {
	require.NoError(t, outcome.Error(outcome.Refused, nil))
	require.NoError(t, outcome.TransientError(outcome.Refused, true, nil))
	for _, o := range all {
		for _, err := range []error{outcome.Error(o, errCause), outcome.TransientError(o, true, errCause)} {
			require.EqualError(t, err, "cause")
			require.ErrorIs(t, err, errCause)
			require.Equal(t, o, outcome.Of(err))
		}
		_, said := outcome.Transient(outcome.Error(o, errCause))
		require.False(t, said)
		transient, said := outcome.Transient(outcome.Error(o, outcome.TransientError(outcome.Unknown, true, errCause)))
		require.True(t, said && transient, "an outcome leaves what is said of passing as it was")
	}
}

func TestWhatSaysNothing(t *testing.T) {
	require.Equal(t, outcome.Applied, outcome.Of(nil))
	require.False(t, outcome.NotApplied(nil))
	require.Equal(t, outcome.Unknown, outcome.Of(errCause))
	require.Equal(t, outcome.Unknown, outcome.Of(errors.Join(errCause)))
	require.Equal(t, outcome.Unknown, outcome.Of(emptyJoin{}))
	require.Equal(t, outcome.Unknown, outcome.Of(emptyJoin{nil, nil}))
	require.Equal(t, outcome.Unknown, outcome.Worst())
	require.Equal(t, outcome.Unknown, *new(outcome.Outcome))
	for _, err := range []error{nil, errCause, errors.Join(errCause), emptyJoin{}, emptyJoin{nil}} {
		_, said := outcome.Transient(err)
		require.False(t, said)
	}
}

type emptyJoin []error

func (emptyJoin) Error() string     { return "join" }
func (e emptyJoin) Unwrap() []error { return e }

func TestTransientOfAJoin(t *testing.T) {
	passes := outcome.TransientError(outcome.Refused, true, errCause)
	lasts := outcome.TransientError(outcome.Refused, false, errCause)
	for _, c := range []struct {
		err             error
		transient, said bool
	}{
		{errors.Join(passes, passes), true, true},
		{errors.Join(passes, lasts), false, true},
		{errors.Join(lasts, passes), false, true},
		{errors.Join(passes, errCause), true, true},
		{errors.Join(errCause, lasts), false, true},
		{fmt.Errorf("%w, %w", errCause, passes), true, true},
		{errors.Join(errors.Join(passes), errors.Join(errors.Join(lasts))), false, true},
	} {
		transient, said := outcome.Transient(c.err)
		require.Equal(t, c.transient, transient)
		require.Equal(t, c.said, said)
	}
}

func TestString(t *testing.T) {
	for o, want := range map[outcome.Outcome]string{
		outcome.Unknown: "unknown", outcome.NotSent: "not sent", outcome.Refused: "refused",
		outcome.Applied: "applied", 17: "outcome(17)", -1: "outcome(-1)",
	} {
		require.Equal(t, want, o.String())
	}
}

// rank is written apart from the package's own order.
func rank(o outcome.Outcome) int {
	return map[outcome.Outcome]int{outcome.NotSent: 1, outcome.Refused: 2, outcome.Unknown: 3, outcome.Applied: 4}[o]
}

// A tree of errors, and what its outcome must be: marks decide for all below
// them, joins take the worst branch, wrapping changes nothing, and a plain
// error is unknown.
func tree(r *rand.Rand, depth int) (outcome.Outcome, error) {
	kind := r.IntN(5)
	if depth == 0 {
		kind = 4
	}
	switch kind {
	case 0:
		o, err := tree(r, depth-1)
		return o, fmt.Errorf("wrapped: %w", err)
	case 1:
		_, err := tree(r, depth-1)
		o := all[r.IntN(len(all))]
		return o, outcome.Error(o, err)
	case 2, 3:
		var errs []error
		var worst outcome.Outcome
		for i := range 1 + r.IntN(4) {
			o, err := tree(r, depth-1)
			if i == 0 || rank(o) > rank(worst) {
				worst = o
			}
			errs = append(errs, err)
			if r.IntN(4) == 0 {
				errs = append(errs, nil)
			}
		}
		if kind == 2 {
			return worst, errors.Join(errs...)
		}
		return worst, emptyJoin(errs)
	}
	if r.IntN(2) == 0 {
		return outcome.Unknown, errCause
	}
	o := all[r.IntN(len(all))]
	return o, outcome.TransientError(o, r.IntN(2) == 0, errCause)
}

func TestPropertiesOfTrees(t *testing.T) {
	for seed := range uint64(5000) {
		r := rand.New(rand.NewPCG(seed, 1))
		want, err := tree(r, 6)
		require.Equal(t, want, outcome.Of(err), "seed %d", seed)
		require.Equal(t, want, outcome.Of(fmt.Errorf("x: %w", err)), "seed %d", seed)
		require.Equal(t, want, outcome.Of(errors.Join(err, err)), "seed %d", seed)
		require.Equal(t, outcome.NotApplied(err), want == outcome.NotSent || want == outcome.Refused)
		require.True(t, outcome.CanRepeat(err, true))
		require.Equal(t, outcome.NotApplied(err), outcome.CanRepeat(err, false))
		// No branch can make a join look safer than it is alone.
		o, other := tree(r, 3)
		joined := outcome.Of(errors.Join(err, other))
		require.Equal(t, max(rank(want), rank(o)), rank(joined), "seed %d", seed)
		require.Equal(t, joined, outcome.Worst(want, o), "seed %d", seed)
		require.Equal(t, joined, outcome.Of(errors.Join(other, err)), "seed %d", seed)
	}
}

func BenchmarkOf(b *testing.B) {
	err := fmt.Errorf("a: %w", fmt.Errorf("b: %w", outcome.Error(outcome.Refused, errCause)))
	b.ReportAllocs()
	for b.Loop() {
		_ = outcome.Of(err)
	}
}

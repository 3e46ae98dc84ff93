package retry_test

import (
	"context"
	"testing"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/retry"
)

func succeed(context.Context) (int, error) { return 1, nil }

func TestSuccessAllocatesNothing(t *testing.T) {
	ctx := t.Context()
	p := retry.Policy{Budget: &retry.Budget{}}
	require.Zero(t, testing.AllocsPerRun(100, func() { _, _ = retry.Do(ctx, p, succeed) }))
	require.Zero(t, testing.AllocsPerRun(100, func() { _, _ = retry.DoIdempotent(ctx, retry.Policy{}, succeed) }))
}

// The success path beside the loop of backoff v4, as its own documentation
// uses it, on the same schedule.
func BenchmarkSuccess(b *testing.B) {
	ctx := b.Context()
	b.Run("retry", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = retry.Do(ctx, retry.Policy{}, succeed)
		}
	})
	b.Run("retry with budget", func(b *testing.B) {
		p := retry.Policy{Budget: &retry.Budget{}}
		b.ReportAllocs()
		for b.Loop() {
			_, _ = retry.Do(ctx, p, succeed)
		}
	})
	b.Run("backoff v4", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s := backoff.WithContext(backoff.WithMaxRetries(backoff.NewExponentialBackOff(), 3), ctx)
			_, _ = backoff.RetryWithData(func() (int, error) { return succeed(ctx) }, s)
		}
	})
	b.Run("plain call", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = succeed(ctx)
		}
	})
}

// One failure and no wait.
func BenchmarkOneRepeat(b *testing.B) {
	ctx := b.Context()
	b.Run("retry", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			n := 0
			_, _ = retry.Do(ctx, retry.Policy{Base: -1}, func(context.Context) (int, error) {
				if n++; n == 1 {
					return 0, refused
				}
				return 1, nil
			})
		}
	})
	b.Run("backoff v4", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			n := 0
			s := backoff.WithContext(backoff.WithMaxRetries(&backoff.ZeroBackOff{}, 3), ctx)
			_, _ = backoff.RetryWithData(func() (int, error) {
				if n++; n == 1 {
					return 0, refused
				}
				return 1, nil
			}, s)
		}
	})
}

package id_test

import (
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/internal/id"
)

var form = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

func TestNewHasTheFormOfRFC9562(t *testing.T) {
	before := time.Now().Truncate(time.Millisecond)
	s := id.New()
	require.Regexp(t, form, s)
	at, ok := id.Time(s)
	require.True(t, ok)
	require.False(t, at.Before(before))
	require.WithinDuration(t, time.Now(), at, time.Second)
}

func TestIDsOfOneInstantGrowAndDiffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		prev := id.New()
		for range 20_000 { // more than the counter of one instant holds
			next := id.New()
			require.Less(t, prev, next)
			prev = next
		}
	})
}

func TestIDsFollowTheClock(t *testing.T) {
	id.New() // the clock outside is decades ahead of the bubble's
	synctest.Test(t, func(t *testing.T) {
		for range 100 {
			at, ok := id.Time(id.New())
			require.True(t, ok)
			require.WithinDuration(t, time.Now(), at, 0)
			time.Sleep(time.Millisecond)
		}
	})
}

func TestNewIsSafeForConcurrentUse(t *testing.T) {
	var (
		mu   sync.Mutex
		seen = map[string]bool{}
		wg   sync.WaitGroup
	)
	for range 8 {
		wg.Go(func() {
			for range 2000 {
				s := id.New()
				mu.Lock()
				seen[s] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	require.Len(t, seen, 16_000)
}

func TestTimeReadsTheExampleOfTheRFC(t *testing.T) {
	at, ok := id.Time("017F22E2-79B0-7CC3-98C4-DC0C0C07398F") // RFC 9562 A.6
	require.True(t, ok)
	require.Equal(t, time.Date(2022, 2, 22, 19, 22, 22, 0, time.UTC), at)
}

func TestTimeRefusesWhatIsNoVersion7(t *testing.T) {
	const good = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"
	for name, s := range map[string]string{
		"empty":     "",
		"version 4": "017f22e2-79b0-4cc3-98c4-dc0c0c07398f",
		"variant":   "017f22e2-79b0-7cc3-c8c4-dc0c0c07398f",
		"letter":    "g17f22e2-79b0-7cc3-98c4-dc0c0c07398f",
		"last":      "017f22e2-79b0-7cc3-98c4-dc0c0c07398x",
		"no dash":   "017f22e2079b0-7cc3-98c4-dc0c0c07398f",
		"short":     good[1:],
		"long":      good + "0",
		"braces":    "{" + good[:34] + "}",
		"plain":     strings.ReplaceAll(good, "-", ""),
	} {
		t.Run(name, func(t *testing.T) {
			_, ok := id.Time(s)
			require.False(t, ok)
		})
	}
}

func FuzzTime(f *testing.F) {
	f.Add("017f22e2-79b0-7cc3-98c4-dc0c0c07398f")
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		at, ok := id.Time(s)
		if ok != form.MatchString(strings.ToLower(s)) {
			t.Fatalf("Time(%q) = %v, %v", s, at, ok)
		}
		if ok && (at.UnixMilli() < 0 || at.UnixMilli() >= 1<<48) {
			t.Fatalf("Time(%q) = %v", s, at)
		}
	})
}

func BenchmarkNew(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		_ = id.New()
	}
}

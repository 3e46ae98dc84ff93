package uiupdate_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/uiupdate"
)

// rows copies a view.
func rows[K comparable, V any](v *uiupdate.View[K, V]) map[K]V {
	m := map[K]V{}
	for k, val := range v.All() {
		m[k] = val.V
	}
	return m
}

// upTo reads a watch until it is live, and returns what it yielded.
func upTo[K comparable, V any](t *testing.T, v *uiupdate.View[K, V], after string) (events []uiupdate.Event[K, V], last string) {
	t.Helper()
	for e, err := range v.Watch(t.Context(), after) {
		require.NoError(t, err)
		events = append(events, e)
		if e.Kind == uiupdate.Live {
			break
		}
	}
	return events, events[len(events)-1].ID
}

func kinds[K comparable, V any](events []uiupdate.Event[K, V]) string {
	var s []string
	for _, e := range events {
		s = append(s, e.Kind.String())
	}
	return strings.Join(s, " ")
}

func at(seconds int) time.Time { return noon.Add(time.Duration(seconds) * time.Second) }

// A row takes what is as young as it is, or younger.
func TestViewNeverGoesBack(t *testing.T) {
	v := uiupdate.NewView[string, string](nil)
	for _, step := range []struct {
		do   func() error
		want map[string]string
	}{
		{func() error { return v.Set("a", "5", at(5)) }, map[string]string{"a": "5"}},
		{func() error { return v.Set("a", "4", at(4)) }, map[string]string{"a": "5"}},
		{func() error { return v.Delete("a", at(4)) }, map[string]string{"a": "5"}},
		{func() error { return v.Set("a", "5 again", at(5)) }, map[string]string{"a": "5 again"}},
		{func() error { return v.Delete("a", at(7)) }, map[string]string{}},
		{func() error { return v.Set("a", "6", at(6)) }, map[string]string{}},
		{func() error { return v.Delete("a", at(6)) }, map[string]string{}},
		{func() error { return v.Set("a", "8", at(8)) }, map[string]string{"a": "8"}},
		{func() error { return v.Delete("never", at(8)) }, map[string]string{"a": "8"}},
		{func() error { return v.Set("never", "late", at(7)) }, map[string]string{"a": "8"}},
	} {
		require.NoError(t, step.do())
		require.Equal(t, step.want, rows(v))
	}
	s := v.Stats()
	require.EqualValues(t, 10, s.Changes)
	require.EqualValues(t, 5, s.Late)
	require.Equal(t, s.Changes, s.Applied+s.Unchanged+s.Late)
}

// A Reset replaces all but what is younger, and sends only what differs.
func TestReset(t *testing.T) {
	v := uiupdate.NewView[string, int](nil)
	require.NoError(t, v.Reset(map[string]int{"same": 1, "other": 1, "gone": 1, "young": 1}, at(0)))
	require.NoError(t, v.Set("young", 2, at(20)))
	require.NoError(t, v.Set("born", 2, at(20)))
	_, last := upTo(t, v, "")
	require.NoError(t, v.Reset(map[string]int{"same": 1, "other": 2, "young": 1}, at(10)))
	require.Equal(t, map[string]int{"same": 1, "other": 2, "young": 2, "born": 2}, rows(v))
	events, _ := upTo(t, v, last)
	require.Equal(t, "delta live", kinds(events))
	told := map[string]bool{}
	for _, c := range events[0].Changes {
		told[c.Key] = c.Deleted
	}
	require.Equal(t, map[string]bool{"other": false, "gone": true}, told, "and nothing of what is the same")
	require.Equal(t, at(10), events[1].AsOf)
	require.Equal(t, at(10), v.Stats().AsOf)

	same, ok := v.Load("same")
	require.True(t, ok)
	require.Equal(t, at(10), same.AsOf, "confirmed by the reading")
	require.NoError(t, v.Set("gone", 9, at(9)))
	require.NoError(t, v.Set("unheard of", 9, at(9)))
	require.NotContains(t, rows(v), "gone")
	require.NotContains(t, rows(v), "unheard of", "the reading at 10 would have had it")

	require.NoError(t, v.Reset(nil, at(5)), "older than the last")
	require.Len(t, rows(v), 4)
	require.NoError(t, v.Reset(nil, at(30)))
	require.Empty(t, rows(v))
	s := v.Stats()
	require.Equal(t, s.Changes, s.Applied+s.Unchanged+s.Late)
}

// A quiet source and a broken feed look different.
func TestConfirm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := uiupdate.NewView[string, int](nil)
		start := time.Now()
		require.NoError(t, v.Set("a", 1, start.Add(-time.Hour)))
		row, _ := v.Load("a")
		require.Equal(t, time.Hour, row.Age())
		v.Confirm(start)
		row, _ = v.Load("a")
		require.Zero(t, row.Age(), "the source said that there is nothing younger")
		v.Confirm(start.Add(-time.Minute))
		v.Confirm(time.Time{})
		v.Confirm(start.Add(time.Hour))
		require.True(t, start.Equal(v.Stats().AsOf), "neither back nor ahead")
		require.NoError(t, v.Set("a", 2, start.Add(-time.Minute)))
		row, _ = v.Load("a")
		require.Equal(t, 2, row.V, "a change that the feed had missed is not lost by it")

		var lives []time.Time
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		go func() {
			for time.Now().Before(start.Add(10 * time.Second)) {
				time.Sleep(100 * time.Millisecond)
				v.Confirm(time.Now())
			}
		}()
		for e, err := range v.Watch(ctx, "") {
			if err != nil {
				require.ErrorIs(t, err, context.DeadlineExceeded)
				break
			}
			if e.Kind == uiupdate.Live {
				lives = append(lives, e.AsOf)
			}
		}
		require.InDelta(t, 10, len(lives), 2, "once a second, from a hundred")
	})
}

type point struct{ X, Y int }

func (p point) MarshalText() ([]byte, error) {
	if p.X < 0 {
		return nil, errors.New("secret text")
	}
	return fmt.Appendf(nil, "%d:%d", p.X, p.Y), nil
}

// What cannot be a row is refused with its field and place, and nothing of the
// call is applied.
func TestChangeRefused(t *testing.T) {
	v := uiupdate.NewView[string, any](&uiupdate.ViewOptions{MaxRow: 64, MaxRows: 3})
	ok := uiupdate.Change[string, any]{Key: "a", Value: 1, AsOf: at(0)}
	for _, c := range []struct {
		name, field string
		change      uiupdate.Change[string, any]
		is          error
	}{
		{"no as-of", "AsOf", uiupdate.Change[string, any]{Key: "b"}, uiupdate.ErrInvalid},
		{"ahead", "AsOf", uiupdate.Change[string, any]{Key: "b", AsOf: time.Now().Add(2 * time.Minute)}, uiupdate.ErrInvalid},
		{"no text", "Key", uiupdate.Change[string, any]{Key: "\xff", AsOf: at(0)}, uiupdate.ErrInvalid},
		{"no JSON", "Value", uiupdate.Change[string, any]{Key: "b", Value: math.NaN(), AsOf: at(0)}, uiupdate.ErrInvalid},
		{"a channel", "Value", uiupdate.Change[string, any]{Key: "b", Value: make(chan int), AsOf: at(0)}, uiupdate.ErrInvalid},
		{"over the limit", "Value", uiupdate.Change[string, any]{Key: "b", Value: "secret" + strings.Repeat("x", 64), AsOf: at(0)}, uiupdate.ErrTooLarge},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := v.Apply([]uiupdate.Change[string, any]{ok, c.change})
			require.ErrorIs(t, err, c.is)
			require.ErrorIs(t, errors.Join(errors.New("other"), fmt.Errorf("wrapped: %w", err)), c.is)
			e, found := errors.AsType[*uiupdate.FieldError](err)
			require.True(t, found)
			require.Equal(t, c.field, e.Field)
			require.Equal(t, 1, e.Index)
			require.Equal(t, outcome.NotSent, outcome.Of(err))
			require.NotContains(t, err.Error(), "secret")
			require.Empty(t, rows(v))
		})
	}

	t.Run("one row at its limit", func(t *testing.T) {
		v := uiupdate.NewView[string, string](&uiupdate.ViewOptions{MaxRow: len(`{"key":"a","value":"xxx"`)})
		require.NoError(t, v.Set("a", "xxx", at(0)))
		require.ErrorIs(t, v.Set("a", "xxxx", at(0)), uiupdate.ErrTooLarge)
	})
	t.Run("rows at their limit", func(t *testing.T) {
		set := func(k string) uiupdate.Change[string, any] {
			return uiupdate.Change[string, any]{Key: k, Value: 1, AsOf: at(0)}
		}
		del := func(k string) uiupdate.Change[string, any] {
			return uiupdate.Change[string, any]{Key: k, Deleted: true, AsOf: at(0)}
		}
		require.NoError(t, v.Apply([]uiupdate.Change[string, any]{set("a"), set("b"), set("c")}))
		err := v.Set("d", 1, at(0))
		require.ErrorIs(t, err, uiupdate.ErrFull)
		require.Equal(t, outcome.Refused, outcome.Of(err))
		require.NoError(t, v.Set("a", 2, at(1)), "no more rows than before")
		require.NoError(t, v.Apply([]uiupdate.Change[string, any]{del("b"), set("d"), set("d")}))
		require.ErrorIs(t, v.Apply([]uiupdate.Change[string, any]{set("e"), del("a")}), uiupdate.ErrFull, "in their order")
		require.ErrorIs(t, v.Reset(map[string]any{"1": 1, "2": 1, "3": 1, "4": 1}, at(5)), uiupdate.ErrFull)
		require.NoError(t, v.Reset(map[string]any{"1": 1, "2": 1, "3": 1}, at(5)))
		require.Len(t, rows(v), 3)
		require.ErrorIs(t, v.Reset(nil, time.Time{}), uiupdate.ErrInvalid)
	})
	t.Run("a type of keys without text", func(t *testing.T) {
		require.Panics(t, func() { uiupdate.NewView[float64, int](nil) })
		require.Panics(t, func() { uiupdate.NewView[struct{ A int }, int](nil) })
		require.Panics(t, func() { uiupdate.NewView[any, int](nil) })
		p := uiupdate.NewView[point, int](nil)
		require.NoError(t, p.Set(point{1, 2}, 3, at(0)))
		err := p.Set(point{-1, 2}, 3, at(0))
		require.ErrorIs(t, err, uiupdate.ErrInvalid)
		require.NotContains(t, err.Error(), "secret")
		require.NoError(t, uiupdate.NewView[uint64, int](nil).Set(math.MaxUint64, 1, at(0)))
	})
}

// Positions of other views, of the future and of before the deletions that are
// remembered begin with a reset; all others go on.
func TestResume(t *testing.T) {
	v := uiupdate.NewView[int, int](&uiupdate.ViewOptions{Deleted: 5})
	for i := range 200 {
		require.NoError(t, v.Set(i, i, at(0)))
	}
	events, first := upTo(t, v, "")
	require.Equal(t, "reset snapshot live", kinds(events))
	events, _ = upTo(t, v, first)
	require.Equal(t, "live", kinds(events), "nothing happened")

	for i := range 5 {
		require.NoError(t, v.Delete(i, at(1)))
	}
	events, _ = upTo(t, v, first)
	require.Equal(t, "delta live", kinds(events), "all five are remembered")
	require.Len(t, events[0].Changes, 5)
	require.NoError(t, v.Delete(5, at(1)))
	events, second := upTo(t, v, first)
	require.Equal(t, "reset snapshot live", kinds(events), "of one nobody knows any more")
	require.Len(t, events[1].Changes, 194)
	events, _ = upTo(t, v, second)
	require.Equal(t, "live", kinds(events))

	other := uiupdate.NewView[int, int](nil)
	_, foreign := upTo(t, other, "")
	epoch, _, _ := strings.Cut(first, "-")
	for _, id := range []string{
		foreign, epoch, epoch + "-", epoch + "-0", epoch + "-99999999", epoch + "-01", epoch + "-+1", epoch + "--1",
		epoch + "-1-2", epoch + "-2-1-0", epoch + "-1-2-9999", epoch + "-1-1-0", epoch + "-1-2-3-4", " " + first, first + " ",
		strings.ToLower(first), strings.Repeat("9", 1000), epoch + "-99999999999999999999999",
	} {
		events, _ := upTo(t, v, id)
		require.Equal(t, "reset snapshot live", kinds(events), id)
	}
}

// A round over the rows that ends with an event ends once: the id of the next
// event is another, when a row in a new place came in between.
func TestRoundEndsOnce(t *testing.T) {
	v := uiupdate.NewView[int, string](nil)
	big := strings.Repeat("x", 300)
	for i := range 128 { // which fill two blocks, and those one event
		require.NoError(t, v.Set(i, big, at(0)))
	}
	ids := map[string]bool{}
	for e, err := range v.Watch(t.Context(), "") {
		require.NoError(t, err)
		require.False(t, ids[e.ID] && e.Kind != uiupdate.Live, "%s again: %s", e.Kind, e.ID)
		ids[e.ID] = true
		if e.Kind == uiupdate.Live {
			break
		}
		if e.Kind == uiupdate.Snapshot && len(e.Changes) == 128 {
			require.NoError(t, v.Set(1000, big, at(1)))
		}
	}
	require.GreaterOrEqual(t, len(ids), 3)
}

// MaxReaders counts watchers, and a loop that is left counts no more.
func TestMaxReaders(t *testing.T) {
	v := uiupdate.NewView[int, int](&uiupdate.ViewOptions{MaxReaders: 1})
	for range v.Watch(t.Context(), "") {
		for _, err := range v.Watch(t.Context(), "") {
			require.ErrorIs(t, err, uiupdate.ErrFull)
		}
		break
	}
	upTo(t, v, "")
	require.Zero(t, v.Stats().Readers)
}

// The end of a watch is told with its cause.
func TestWatchEnds(t *testing.T) {
	v := uiupdate.NewView[int, int](nil)
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	n := 0
	for _, err := range v.Watch(ctx, "") {
		if n++; n == 2 {
			cancel(cause)
		}
		if n == 3 {
			require.ErrorIs(t, err, cause)
		}
	}
	require.Equal(t, 3, n, "reset, live and the error")
	require.Equal(t, "kind(9)", uiupdate.Kind(9).String())
}

// A row that changes all the time reaches a watcher that is slower than the
// changes.
func TestSlowWatcherSeesTheBusiestRow(t *testing.T) {
	v := uiupdate.NewView[int, string](nil)
	big := strings.Repeat("x", 1000)
	set := func(k, n int) { require.NoError(t, v.Set(k, fmt.Sprint(n, big), at(n))) }
	for k := range 5000 {
		set(k, 0)
	}
	seen, n := 0, 0
	for e, err := range v.Watch(t.Context(), "") {
		require.NoError(t, err)
		if n++; n > 400 {
			break
		}
		require.NotEqual(t, 1, len(e.Changes), "this test needs a reader that lags")
		for _, c := range e.Changes {
			if c.Key == 77 {
				seen++
			}
		}
		for k := range 100 { // more rows than an event holds
			set((n*100+k)%5000, n)
		}
		set(77, n)
	}
	require.GreaterOrEqual(t, seen, 4)
}

package pubsub_test

import (
	"bytes"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/pubsub"
)

// behindTrim is a group that is behind events that are no longer kept: it saw
// 1 and 2, 3 to 7 were trimmed, 8 to 10 are kept.
func behindTrim(t *testing.T, r *record, o *pubsub.SubscribeOptions) (*pubsub.Topic[int], *pubsub.Subscription) {
	t.Helper()
	topic := numbers(pubsub.NewMem())
	s := pubsub.Subscribe(topic, "g", collect(r), o)
	publish(t, topic, "k", 1, 2)
	stop := start(t, s)
	time.Sleep(time.Second)
	require.NoError(t, stop())
	publish(t, topic, "k", 3, 4, 5, 6, 7, 8, 9, 10)
	n, err := topic.Prune(t.Context(), pubsub.Retention{Count: 3})
	require.NoError(t, err)
	require.EqualValues(t, 2, n, "what the group has not read is kept")
	n, err = topic.Prune(t.Context(), pubsub.Retention{Count: 3, DropUnread: true})
	require.NoError(t, err)
	require.EqualValues(t, 5, n)
	return topic, s
}

func TestGone(t *testing.T) {
	bubble(t, "fails loudly, and says how many are missing", func(t *testing.T) {
		var r record
		_, s := behindTrim(t, &r, nil)
		err := s.Run(t.Context())
		require.ErrorIs(t, err, pubsub.ErrGone)
		var g *pubsub.GoneError
		require.ErrorAs(t, err, &g)
		require.EqualValues(t, 5, g.Missing)
		require.ErrorContains(t, err, `topic "numbers": group "g"`)
		require.ErrorContains(t, err, "5 events are missing")
		require.Equal(t, []int{1, 2}, r.of("k"))
		_, err = s.Lag(t.Context())
		require.ErrorIs(t, err, pubsub.ErrGone)
		// Somebody decides.
		require.NoError(t, s.Seek(t.Context(), pubsub.Start{}))
		stop := start(t, s)
		time.Sleep(time.Second)
		require.NoError(t, stop())
		require.Equal(t, []int{1, 2, 8, 9, 10}, r.of("k"))
	})
	bubble(t, "goes on with the oldest, and logs it", func(t *testing.T) {
		var r record
		var log bytes.Buffer
		topic, s := behindTrim(t, &r, &pubsub.SubscribeOptions{Gone: pubsub.GoneEarliest, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		stop := start(t, s)
		time.Sleep(time.Second)
		publish(t, topic, "k", 11)
		time.Sleep(time.Second)
		require.NoError(t, stop())
		require.Equal(t, []int{1, 2, 8, 9, 10, 11}, r.of("k"))
		require.Contains(t, log.String(), "history_gone")
		require.Contains(t, log.String(), "5 events are missing")
	})
	bubble(t, "goes on with the latest", func(t *testing.T) {
		var r record
		topic, s := behindTrim(t, &r, &pubsub.SubscribeOptions{Gone: pubsub.GoneLatest})
		stop := start(t, s)
		time.Sleep(time.Second)
		publish(t, topic, "k", 11)
		time.Sleep(time.Second)
		require.NoError(t, stop())
		require.Equal(t, []int{1, 2, 11}, r.of("k"))
	})
	bubble(t, "a new group whose start is gone", func(t *testing.T) {
		topic := numbers(pubsub.NewMem())
		var first pubsub.Cursor
		publish(t, topic, "k", 1, 2, 3)
		for e, err := range topic.Events(t.Context(), pubsub.Start{}) {
			require.NoError(t, err)
			if first == "" {
				first = e.Cursor
			}
		}
		_, err := topic.Prune(t.Context(), pubsub.Retention{Count: 1})
		require.NoError(t, err)
		var r record
		o := pubsub.SubscribeOptions{Start: pubsub.Start{After: first}}
		require.ErrorIs(t, pubsub.Subscribe(topic, "g", collect(&r), &o).Run(t.Context()), pubsub.ErrGone)
		o.Gone = pubsub.GoneEarliest
		stop := start(t, pubsub.Subscribe(topic, "g", collect(&r), &o))
		time.Sleep(time.Second)
		require.NoError(t, stop())
		require.Equal(t, []int{3}, r.of("k"))
	})
}

func TestStart(t *testing.T) {
	bubble(t, "where a new group begins", func(t *testing.T) {
		topic := numbers(pubsub.NewMem())
		publish(t, topic, "k", 1)
		time.Sleep(time.Hour)
		noon := time.Now()
		publish(t, topic, "k", 2)
		var after pubsub.Cursor
		for e, err := range topic.Events(t.Context(), pubsub.Start{}) {
			require.NoError(t, err)
			if e.Data == 1 {
				after = e.Cursor
			}
		}
		for name, c := range map[string]struct {
			start pubsub.Start
			want  []int
		}{
			"the-oldest": {pubsub.Start{}, []int{1, 2}},
			"latest":     {pubsub.Start{Latest: true}, nil},
			"since":      {pubsub.Start{Since: noon}, []int{2}},
			"after":      {pubsub.Start{After: after}, []int{2}},
		} {
			var r record
			s := pubsub.Subscribe(topic, name, collect(&r), &pubsub.SubscribeOptions{Start: c.start})
			stop := start(t, s)
			time.Sleep(time.Second)
			require.NoError(t, stop())
			require.Equal(t, c.want, r.of("k"), name)
		}
		two := pubsub.Start{Latest: true, Since: noon}
		require.ErrorIs(t, pubsub.Subscribe(topic, "two", collect(&record{}), &pubsub.SubscribeOptions{Start: two}).Run(t.Context()), pubsub.ErrInvalid)
	})
	bubble(t, "latest is anchored before the first event", func(t *testing.T) {
		// Published between the first Run, which crashed before it handled
		// anything, and the second: not missed.
		topic := numbers(pubsub.NewMem())
		publish(t, topic, "k", 1)
		var r record
		s := pubsub.Subscribe(topic, "g", collect(&r), &pubsub.SubscribeOptions{Start: pubsub.Start{Latest: true}})
		require.NoError(t, s.Seek(t.Context(), pubsub.Start{Latest: true}))
		publish(t, topic, "k", 2)
		stop := start(t, s)
		time.Sleep(time.Second)
		require.NoError(t, stop())
		require.Equal(t, []int{2}, r.of("k"))
	})
	bubble(t, "lag", func(t *testing.T) {
		topic := numbers(pubsub.NewMem())
		s := pubsub.Subscribe(topic, "g", collect(&record{}), nil)
		lag, err := s.Lag(t.Context())
		require.NoError(t, err)
		require.Zero(t, lag)
		publish(t, topic, "k", 1, 2, 3)
		time.Sleep(time.Minute)
		lag, err = s.Lag(t.Context())
		require.NoError(t, err)
		require.Equal(t, pubsub.Lag{Events: 3, Age: time.Minute}, lag)
		stop := start(t, s)
		time.Sleep(time.Second)
		lag, err = s.Lag(t.Context())
		require.NoError(t, err)
		require.Zero(t, lag)
		require.NoError(t, stop())
	})
}

func TestPrune(t *testing.T) {
	bubble(t, "in pages", func(t *testing.T) {
		topic := numbers(pubsub.NewMem())
		es := make([]pubsub.Event[int], 4000)
		_, err := topic.PublishAll(t.Context(), es)
		require.NoError(t, err)
		n, err := topic.Prune(t.Context(), pubsub.Retention{Count: 500})
		require.NoError(t, err)
		require.EqualValues(t, 3500, n)
		_, err = topic.Prune(t.Context(), pubsub.Retention{Age: -1})
		require.ErrorIs(t, err, pubsub.ErrInvalid)
	})
	bubble(t, "unsupported is said", func(t *testing.T) {
		_, err := numbers(bare{pubsub.NewMem()}).Groups(t.Context())
		require.ErrorIs(t, err, errors.ErrUnsupported)
	})
}

// bare is a log that keeps no groups.
type bare struct{ pubsub.Log }

package pubsub_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/inbox"
	"github.com/crosstie/crosstie/pubsub"
)

func TestSharedInbox(t *testing.T) {
	bubble(t, "the same ID in two topics is two events", func(t *testing.T) {
		store, in := pubsub.NewMem(), inbox.New("all", inbox.NewMem(), nil)
		var got []string
		for _, name := range []string{"orders", "invoices"} {
			topic := pubsub.NewTopic[string](store, name, nil)
			_, err := topic.PublishAll(t.Context(), []pubsub.Event[string]{{ID: "17", Data: name}, {ID: "17", Data: name}})
			require.NoError(t, err)
			s := pubsub.SubscribeTx(topic, "billing", in, func(_ context.Context, _ *sql.Tx, e pubsub.Event[string]) error {
				got = append(got, e.Data)
				return nil
			}, nil)
			stop := start(t, s)
			time.Sleep(time.Second)
			require.NoError(t, stop())
		}
		require.Equal(t, []string{"orders", "invoices"}, got)
	})
	bubble(t, "and so it is of two sources", func(t *testing.T) {
		store, in := pubsub.NewMem(), inbox.New("all", inbox.NewMem(), nil)
		n := 0
		for _, source := range []string{"/shop/1", "/shop/2"} {
			topic := pubsub.NewTopic[int](store, "orders", &pubsub.TopicOptions{Source: source})
			_, err := topic.PublishAll(t.Context(), []pubsub.Event[int]{{ID: "17"}, {ID: "17"}})
			require.NoError(t, err)
		}
		s := pubsub.SubscribeTx(pubsub.NewTopic[int](store, "orders", nil), "billing", in, func(context.Context, *sql.Tx, pubsub.Event[int]) error {
			n++
			return nil
		}, nil)
		stop := start(t, s)
		time.Sleep(time.Second)
		require.NoError(t, stop())
		require.Equal(t, 2, n)
	})
	bubble(t, "no group's name and ID read as another's", func(t *testing.T) {
		store, in := pubsub.NewMem(), inbox.New("all", inbox.NewMem(), nil)
		topic := numbers(store)
		_, err := topic.PublishAll(t.Context(), []pubsub.Event[int]{{ID: "eu/1", Data: 1}, {ID: "1", Data: 2}})
		require.NoError(t, err)
		n := 0
		for _, group := range []string{"billing", "billing/eu"} {
			s := pubsub.SubscribeTx(topic, group, in, func(context.Context, *sql.Tx, pubsub.Event[int]) error {
				n++
				return nil
			}, nil)
			stop := start(t, s)
			time.Sleep(time.Second)
			require.NoError(t, stop())
		}
		require.Equal(t, 4, n)
	})
}

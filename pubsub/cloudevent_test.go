package pubsub_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/pubsub"
)

// What other programs may write, and what they must be able to read.
func TestCloudEventForms(t *testing.T) {
	event := func(more string) string { return `{"specversion":"1.0","id":"1","source":"/s","type":"t"` + more + `}` }
	t.Run("no byte of data", func(t *testing.T) {
		m, err := pubsub.ParseCloudEvent([]byte(event(`,"datacontenttype":"application/octet-stream","data_base64":""`)))
		require.NoError(t, err)
		require.Empty(t, m.Data)
		_, err = pubsub.ParseCloudEvent([]byte(event(`,"data_base64":"","data":1`)))
		require.ErrorIs(t, err, pubsub.ErrInvalid)
	})
	t.Run("a time in small letters", func(t *testing.T) {
		m, err := pubsub.ParseCloudEvent([]byte(event(`,"time":"2026-03-29t12:00:00.5z"`)))
		require.NoError(t, err)
		require.True(t, m.Time.Equal(time.Date(2026, 3, 29, 12, 0, 0, 5e8, time.UTC)))
		for _, bad := range []string{"2026-03-29", "2026-03-29 12:00:00Z", "2026-03-29T12:00:00", "1"} {
			_, err := pubsub.ParseCloudEvent([]byte(event(`,"time":"` + bad + `"`)))
			require.ErrorIs(t, err, pubsub.ErrInvalid, bad)
		}
	})
	t.Run("an extension with a long name", func(t *testing.T) {
		// "SHOULD NOT exceed 20 characters" is for those who name them.
		const name = "comexamplewarehouseshelf"
		m, err := pubsub.ParseCloudEvent([]byte(event(`,"` + name + `":"7"`)))
		require.NoError(t, err)
		require.Equal(t, map[string]string{name: "7"}, m.Header)
		b, err := json.Marshal(m)
		require.NoError(t, err)
		require.JSONEq(t, event(`,"`+name+`":"7"`), string(b))
		_, err = pubsub.NewTopic[int](pubsub.NewMem(), "t", nil).PublishAll(t.Context(), []pubsub.Event[int]{{Header: m.Header}})
		require.ErrorIs(t, err, pubsub.ErrInvalid)
	})
	t.Run("no time", func(t *testing.T) {
		m, err := pubsub.ParseCloudEvent([]byte(event("")))
		require.NoError(t, err)
		b, err := json.Marshal(m)
		require.NoError(t, err)
		require.JSONEq(t, event(""), string(b), "none is made up")
	})
	t.Run("JSON that is not UTF-8 stays what it is", func(t *testing.T) {
		m := pubsub.Message{ID: "1", Source: "/s", Type: "t", ContentType: "application/json", Data: []byte("\"\xff\"")}
		b, err := json.Marshal(m)
		require.NoError(t, err)
		got, err := pubsub.ParseCloudEvent(b)
		require.NoError(t, err)
		require.Equal(t, m.Data, got.Data)
	})
}

package node

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/pubsub"
)

// What a Message writes, the SDK of CloudEvents reads, and what that writes,
// ParseCloudEvent reads; what is no event, the SDK refuses.
func TestCloudEvents(t *testing.T) {
	at := time.Date(2026, 5, 1, 10, 0, 0, 123000000, time.UTC)
	messages := []pubsub.Message{
		{
			ID: "m-1", Source: "/stock", Type: "stock.changed", Subject: "84879", Key: "84879", Time: at, ContentType: "application/json",
			Schema: "https://warehouse.example/schema", Data: []byte(`{"free":7,"note":"ä"}`),
			Header: map[string]string{"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
		},
		{ID: "m-2", Source: "urn:stock", Type: "stock.picture", Time: at, ContentType: "image/png", Data: []byte{1, 2, 255}},
		{ID: "m-3", Source: "/stock", Type: "stock.note", Time: at, ContentType: "text/plain", Data: []byte("seven")},
		{ID: "m-4", Source: "/stock", Type: "stock.counted", Time: at},
	}
	in := []string{}
	for _, m := range messages {
		b, err := json.Marshal(m)
		require.NoError(t, err)
		in = append(in, string(b))
	}
	in = append(in, `{"specversion":"1.0","id":"m-5","source":"/stock"}`)

	type read struct {
		ID, Source, Type, Subject, DataContentType, DataSchema, PartitionKey, Trace, Base64, Refused string
		Time                                                                                         time.Time
		Data                                                                                         any
	}
	var got struct {
		Read    []read
		Written []string
	}
	run(t, "cloudevents.js", map[string]any{"events": in}, &got)
	require.Len(t, got.Read, len(in))
	for i, m := range messages {
		r := got.Read[i]
		require.Empty(t, r.Refused, "%s", in[i])
		require.Equal(t, []string{m.ID, m.Source, m.Type, m.Subject, m.ContentType, m.Schema, m.Key, m.Header["traceparent"]},
			[]string{r.ID, r.Source, r.Type, r.Subject, r.DataContentType, r.DataSchema, r.PartitionKey, r.Trace}, "%s", in[i])
		require.True(t, r.Time.Equal(m.Time))
	}
	require.Equal(t, map[string]any{"free": 7.0, "note": "ä"}, got.Read[0].Data)
	require.Equal(t, "AQL/", got.Read[1].Base64)
	require.Equal(t, "c2V2ZW4=", got.Read[2].Base64)
	require.Nil(t, got.Read[3].Data)
	require.NotEmpty(t, got.Read[4].Refused, "it has no type")

	var parsed []pubsub.Message
	for _, b := range got.Written {
		m, err := pubsub.ParseCloudEvent([]byte(b))
		require.NoError(t, err, "%s", b)
		parsed = append(parsed, m)
	}
	require.Len(t, parsed, 4)
	require.JSONEq(t, `{"free":7,"note":"ä"}`, string(parsed[0].Data))
	parsed[0].Data = nil
	require.Equal(t, pubsub.Message{ID: "a-1", Source: "/stock", Type: "stock.changed", Subject: "84879", Key: "84879", Time: at}, parsed[0])
	require.Equal(t, []byte{1, 2, 255}, parsed[1].Data)
	require.Equal(t, "image/png", parsed[1].ContentType)
	require.Equal(t, "seven", string(parsed[2].Data))
	require.Equal(t, map[string]string{"comexampleattempt": "3", "comexamplefinal": "true"}, parsed[3].Header)
}

package uiupdatetest_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/uiupdate/uiupdatetest"
)

const (
	reset    = "event: reset\ndata: {\"why\":\"new\"}\nid: e-0-1-0\n\n"
	snapshot = "event: snapshot\ndata: {\"rows\":[{\"key\":\"a\",\"value\":1,\"asOf\":\"2026-11-23T12:00:00.000Z\"}]}\nid: e-1\n\n"
	isLive   = "event: live\ndata: {\"now\":\"2026-11-23T12:00:05.000Z\",\"asOf\":\"2026-11-23T12:00:04.000Z\"}\nid: e-1\n\n"
	delta    = "event: delta\ndata: {\"rows\":[{\"key\":\"a\",\"deleted\":true,\"asOf\":\"2026-11-23T12:00:01.000Z\"}]}\nid: e-2\n\n"
)

// What is as documented passes, and each thing that is not is found.
func TestCopyFindsWhatIsWrong(t *testing.T) {
	var good uiupdatetest.Client
	good.Copy.Connect()
	require.NoError(t, good.Feed([]byte("retry: 2000\n\n: a comment\n\n"+reset+snapshot+isLive+isLive+delta)))
	require.Empty(t, good.Copy.Rows)
	require.Equal(t, "e-2", good.Copy.LastID)
	require.True(t, good.Copy.Live)

	swap := func(s, from, to string) string {
		if !strings.Contains(s, from) {
			panic(from)
		}
		return strings.ReplaceAll(s, from, to)
	}
	for name, bad := range map[string]string{
		"no reset at the beginning":     snapshot + isLive,
		"a snapshot without a reset":    reset + isLive + swap(snapshot, "e-1", "e-3"),
		"no id":                         reset + swap(snapshot, "\nid: e-1", ""),
		"an empty id":                   reset + swap(snapshot, "id: e-1", "id:"),
		"an id that is far too long":    reset + swap(snapshot, "e-1", strings.Repeat("e", 2000)),
		"an id twice":                   reset + snapshot + isLive + swap(delta, "e-2", "e-1"),
		"a row that goes back":          reset + snapshot + isLive + swap(delta, "12:00:01", "11:59:59"),
		"a row without an as-of":        reset + swap(snapshot, `,"asOf":"2026-11-23T12:00:00.000Z"`, ""),
		"a row without a key":           reset + swap(snapshot, `"key":"a",`, ""),
		"a row without a value":         reset + swap(snapshot, `"value":1,`, ""),
		"a deleted row with a value":    reset + snapshot + isLive + swap(delta, `"deleted"`, `"value":1,"deleted"`),
		"a deleted row in a snapshot":   reset + swap(delta, "event: delta", "event: snapshot"),
		"a row twice in a snapshot":     reset + snapshot + swap(snapshot, "e-1", "e-2"),
		"no rows":                       reset + "event: delta\ndata: {\"rows\":[]}\nid: e-3\n\n",
		"no JSON":                       reset + "event: delta\ndata: {\nid: e-3\n\n",
		"a reset that does not say why": swap(reset, `"why":"new"`, ""),
		"live without the time":         reset + snapshot + swap(isLive, `"now":"2026-11-23T12:00:05.000Z",`, ""),
		"a view that goes back":         reset + snapshot + isLive + swap(isLive, "12:00:04", "12:00:03"),
		"an event nobody knows":         reset + swap(delta, "event: delta", "event: gossip"),
		"a field nobody knows":          reset + swap(snapshot, "data:", "body:"),
		"a carriage return":             reset + swap(snapshot, "\nid", "\r\nid"),
		"no UTF-8":                      reset + swap(snapshot, `"a"`, "\"\xff\""),
		"a NUL in an id":                reset + swap(snapshot, "e-1", "e-1\x00"),
		"a retry that is no number":     "retry: soon\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			var c uiupdatetest.Client
			c.Copy.Connect()
			err := c.Feed([]byte(bad))
			require.Error(t, err)
			require.NotErrorIs(t, err, uiupdatetest.ErrCut)
		})
	}
	for n := range len(reset + snapshot) {
		var c uiupdatetest.Client
		c.Copy.Connect()
		err := c.Feed([]byte((reset + snapshot)[:n]))
		if n == 0 || n == len(reset) {
			require.NoError(t, err)
			continue
		}
		require.ErrorIs(t, err, uiupdatetest.ErrCut, "cut at %d", n)
	}
}

// A head that lets proxies hold events back is refused, and so is what is no
// stream.
func TestClientLooksAtTheHead(t *testing.T) {
	head := map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-cache, no-transform"}
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for k, v := range head {
			w.Header().Set(k, v)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, reset+snapshot+isLive)
		w.(http.Flusher).Flush()
	}))
	defer server.Close()
	connect := func() error {
		c := &uiupdatetest.Client{URL: server.URL}
		defer c.Close()
		return c.Connect(t.Context())
	}
	require.NoError(t, connect())
	for k, bad := range map[string]string{"Content-Type": "text/plain", "Cache-Control": "no-cache"} {
		good := head[k]
		head[k] = bad
		require.ErrorContains(t, connect(), k)
		head[k] = good
	}
	status = http.StatusServiceUnavailable
	e, ok := errors.AsType[*uiupdatetest.StatusError](connect())
	require.True(t, ok)
	require.Equal(t, 503, e.Status)
}

// Whatever the bytes are, reading ends, and what is read is what was there.
func FuzzReadEvent(f *testing.F) {
	f.Add([]byte(reset + snapshot + isLive + delta))
	f.Add([]byte(":\n\nretry: 1\n\ndata\ndata:\n\n"))
	f.Add([]byte("id: 1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bufio.NewReader(bytes.NewReader(b))
		var c uiupdatetest.Copy
		c.Connect()
		for range len(b) + 1 {
			e, err := uiupdatetest.ReadEvent(r)
			if err != nil {
				return
			}
			require.True(t, bytes.Contains(b, e.Raw))
			if c.Apply(e) == nil && e.Type == "delta" {
				require.True(t, json.Valid([]byte(e.Data)))
			}
		}
		t.Fatal("more events than bytes")
	})
}

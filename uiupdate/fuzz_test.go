package uiupdate_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/uiupdate"
	"github.com/crosstie/crosstie/uiupdate/uiupdatetest"
)

// answered is what a handler sends to a request that goes away at once.
func answered(v *uiupdate.View[string, string], lastID string) *httptest.ResponseRecorder {
	h := uiupdate.NewHandler(v, &uiupdate.HandlerOptions{Authorize: func(*http.Request) (time.Time, error) {
		return time.Now().Add(time.Millisecond), nil
	}})
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Last-Event-ID", lastID)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// No key, value or id that comes from outside can forge an event.
func FuzzStream(f *testing.F) {
	f.Add("a", "1", "")
	f.Add("\n\nevent: reset\n\n", "\r\rid: 7\r\r", "x\r\nid: 1")
	f.Add("\u2028", "\x00\xff", "-1")
	f.Fuzz(func(t *testing.T, key, value, id string) {
		v := uiupdate.NewView[string, string](nil)
		if err := v.Set(key, value, noon); err != nil {
			require.False(t, utf8.ValidString(key) && len(key)+len(value) < 1000, err)
			return
		}
		var c uiupdatetest.Copy
		c.Connect()
		body := bufio.NewReader(answered(v, id).Body)
		for !c.Live {
			e, err := uiupdatetest.ReadEvent(body)
			require.NoError(t, err)
			require.NoError(t, c.Apply(e))
		}
		require.Len(t, c.Rows, 1)
		var got string
		require.NoError(t, json.Unmarshal(c.Rows[key].Value, &got))
		var want string // what is not UTF-8 is replaced by encoding/json
		text, err := json.Marshal(value)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(text, &want))
		require.Equal(t, want, got)
	})
}

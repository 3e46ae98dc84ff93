package uiupdate_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/uiupdate"
)

// A long poll gets what a stream would, a part at a time.
func TestPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := uiupdate.NewView[int, string](nil)
		client := serve(t, uiupdate.NewHandler(v, nil))
		have, id := map[string]string{}, ""
		type answer struct {
			ID    string
			Reset string
			Rows  []struct {
				Key, Value string
				Deleted    bool
			}
			Live *struct{ Now time.Time }
		}
		poll := func() (a answer) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://stock.example/stock?after="+id, nil)
			require.NoError(t, err)
			req.Header.Set("Accept", "application/json")
			resp, err := client.Do(req)
			require.NoError(t, err)
			defer func() { _ = resp.Body.Close() }()
			require.Equal(t, "application/json", resp.Header.Get("Content-Type"))
			require.Equal(t, "no-store", resp.Header.Get("Cache-Control"))
			require.NoError(t, json.NewDecoder(resp.Body).Decode(&a))
			id = a.ID
			if a.Reset != "" {
				clear(have)
			}
			for _, r := range a.Rows {
				if have[r.Key] = r.Value; r.Deleted {
					delete(have, r.Key)
				}
			}
			return a
		}
		for i := range 1000 {
			require.NoError(t, v.Set(i, strings.Repeat("x", 100), time.Now()))
		}
		a := poll()
		require.Equal(t, "new", a.Reset)
		require.Nil(t, a.Live, "too much for one answer")
		for a.Live == nil {
			a = poll()
			require.Empty(t, a.Reset)
		}
		require.Len(t, have, 1000)

		begun := time.Now()
		a = poll()
		require.Equal(t, 25*time.Second, time.Since(begun))
		require.Empty(t, a.Rows)
		require.NotNil(t, a.Live)

		time.AfterFunc(time.Second, func() { _ = v.Delete(7, time.Now()) })
		begun = time.Now()
		poll()
		require.Equal(t, time.Second, time.Since(begun))
		require.Len(t, have, 999)
		id = "elsewhere-1"
		require.Equal(t, "unknown", poll().Reset)
	})
}

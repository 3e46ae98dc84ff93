package requestreply_test

import (
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/retry"
)

// An answer is what the endpoint reads: status, type, encoding and body are
// the other side's.
func answering(status int, header http.Header, body string) *http.Client {
	return &http.Client{CheckRedirect: noRedirect, Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
	})}
}

type answer struct {
	Number int64             `json:"number"`
	Text   string            `json:"text"`
	List   []answer          `json:"list"`
	Names  map[string]string `json:"names"`
	Any    any               `json:"any"`
}

// Whatever is answered: a value that encoding/json reads too, or an error with
// the outcome of its status, on one line and short. What is read strictly is
// read the same without.
func FuzzAnswer(f *testing.F) {
	f.Add(200, "application/json", `{"number":7,"text":"a","list":[{"number":1}],"names":{"a":"b"},"any":[1,{"x":null}]}`, false, false)
	f.Add(200, "application/vnd.x+json; charset=utf-8", `{"Number":7,"number":8}`, true, false)
	f.Add(200, "application/json", `{"unknown":[[[[]]]]}`, true, true)
	f.Add(201, "text/html", "<html>", false, true)
	f.Add(204, "", "", false, false)
	f.Add(304, `a/b; c="`, "\xff", false, false)
	f.Add(422, "application/problem+json", `{"title":"a\u001b[31m\nb","status":200,"outcome":"applied","errors":[{"pointer":"/a"}]}`, false, false)
	f.Add(503, "application/problem+json; charset=x", `{"outcome":"refused"}`, false, false)
	f.Fuzz(func(t *testing.T, status int, contentType, body string, strict, known bool) {
		if status < 200 || status > 599 || len(body) > 1<<16 {
			return
		}
		e := requestreply.Endpoint[struct{}, answer]{URL: "http://api.example", Strict: strict, NoUnknown: known,
			Client: answering(status, http.Header{"Content-Type": {contentType}}, body),
			Guard:  requestreply.NewGuard(&requestreply.Options{Retry: retry.Policy{MaxAttempts: 1}})}
		got, err := e.Call(t.Context(), struct{}{})
		if err != nil {
			fail := asError(t, err)
			if status >= 300 {
				require.Equal(t, status, fail.Status)
			}
			require.LessOrEqual(t, len(err.Error()), 4<<10)
			require.False(t, strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' || r == 0x7f }), "%q", err.Error())
			if status < 300 {
				require.Equal(t, outcome.Applied, outcome.Of(err), "the effect has happened")
			}
			return
		}
		require.Less(t, status, 300)
		var theirs answer
		if status != http.StatusNoContent && status != http.StatusResetContent {
			require.NoError(t, json.Unmarshal([]byte(body), &theirs), "it took what encoding/json does not")
		}
		require.True(t, reflect.DeepEqual(theirs, got))
		if strict || known {
			e.Strict, e.NoUnknown = false, false
			again, err := e.Call(t.Context(), struct{}{})
			require.NoError(t, err)
			require.True(t, reflect.DeepEqual(got, again))
		}
	})
}
